#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The tarball of a release builds without network and without git, and its
# examples run. Usage: dist.sh ROOT
set -euo pipefail

root=$1
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
# shellcheck source=scripts/dist.sh
. "$root/scripts/dist.sh"

make_tarball
if tar -tf "$tarball" | grep -E '/(\.git|build|__pycache__)/'; then
    fail "these do not belong into a release"
fi
tar -C "$scratch" -xf "$tarball"
quietly "${offline[@]}" meson setup "$scratch/build" \
    "$scratch/libvmem-$version" --wrap-mode=nodownload -Dwerror=true \
    -Dtests=disabled -Dtools=enabled -Ddocs=disabled
quietly "${offline[@]}" ninja -C "$scratch/build"
quietly "${offline[@]}" meson test -C "$scratch/build" --no-rebuild \
    --suite examples
nr_files=$(tar -tf "$tarball" | grep -vc '/$')
nr_tests=$(grep -c '^{' "$scratch/build/meson-logs/testlog.json")
echo "libvmem-$version.tar.xz: $nr_files files, built, $nr_tests examples ran"
