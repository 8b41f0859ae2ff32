#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Is every C file as .clang-format wants it? Usage: format.sh ROOT
set -euo pipefail

root=$1
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

tool=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null; then
        tool=$candidate
        break
    fi
done
[ -n "$tool" ] || skip "clang-format is not installed"
version=$("$tool" --version | grep -o 'version [0-9]*' | head -n 1)
[ "$version" = "version 14" ] ||
    skip "clang-format 14 decides, this is $version"

cd "$root"
folders=()
for folder in include libvmem tools examples tests; do
    if [ -d "$folder" ]; then
        folders+=("$folder")
    fi
done
mapfile -t files < <(find "${folders[@]}" -type f \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort)
[ "${#files[@]}" -gt 0 ] || fail "no C files found"
"$tool" --dry-run -Werror "${files[@]}"
echo "${#files[@]} files are formatted"
