#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The tarball of a release builds without network and without git, and its
# examples run. Usage: dist.sh ROOT
set -euo pipefail

root=$1
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 CCACHE_DISABLE=1
unset DESTDIR CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH
if ! git -C "$root" rev-parse --verify --quiet HEAD >/dev/null; then
    echo "SKIP: there is no git here, and so no last commit"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# Runs a command, shows what it said only if it fails.
quietly() {
    if ! "$@" >"$scratch/log" 2>&1; then
        echo "failed: $*"
        tail -n 60 "$scratch/log"
        exit 1
    fi
}

# shellcheck source=scripts/dist.sh
. "$root/scripts/dist.sh"

make_tarball
if tar -tf "$tarball" | grep -E '/(\.git|build|__pycache__)/'; then
    echo "these do not belong into a release"
    exit 1
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
