#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Is every C file as .clang-format wants it? Usage: format.sh ROOT
set -euo pipefail

root=$1

tool=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null; then
        tool=$candidate
        break
    fi
done
if [ -z "$tool" ]; then
    echo "SKIP: clang-format is not installed"
    exit 77
fi
version=$("$tool" --version | grep -o 'version [0-9]*' | head -n 1)
if [ "$version" != "version 14" ]; then
    echo "SKIP: clang-format 14 decides, this is $version"
    exit 77
fi

cd "$root"
folders=()
for folder in include libvmem tools examples tests; do
    if [ -d "$folder" ]; then
        folders+=("$folder")
    fi
done
mapfile -t files < <(find "${folders[@]}" -type f \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort)
if [ "${#files[@]}" -eq 0 ]; then
    echo "no C files found"
    exit 1
fi
"$tool" --dry-run -Werror "${files[@]}"
echo "${#files[@]} files are formatted"
