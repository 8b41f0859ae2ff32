#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Records the interface of this tree as that of its minor version: once for
# each, before its first release. Later changes must keep to what is recorded.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/abi-baseline.sh

Writes, for version MAJOR.MINOR of meson.build,
  tests/abi/baseline/libvmem-MAJOR.MINOR-x86_64.abi  what abidiff compares with
  tests/abi/frozen_MAJOR_MINOR.h                     the headers in one file
Needs abigail-tools and clang-format (scripts/setup.sh all), on x86_64.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
no_arguments "$@"
unset CFLAGS CPPFLAGS LDFLAGS

for tool in abidw clang-format meson ninja python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed, scripts/setup.sh all brings it" >&2
        exit 1
    fi
done
if [ "$(uname -m)" != x86_64 ]; then
    echo "the baseline is of x86_64, this is $(uname -m)" >&2
    exit 1
fi

make_scratch
build=$scratch/build
quietly meson setup "$build" "$root" --buildtype=debugoptimized \
    -Ddefault_library=shared -Dtests=disabled -Dtools=disabled \
    -Ddocs=disabled
quietly ninja -C "$build"

version=$(meson introspect --projectinfo "$build" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
minor=${version%.*}
include=("$root/include" "$build/include")

baseline=tests/abi/baseline/libvmem-$minor-x86_64.abi
"$root/tests/abi/abidiff.sh" describe "$build/libvmem/libvmem.so" \
    "$scratch/baseline" "${include[@]}"

frozen=tests/abi/frozen_${minor/./_}.h
python3 "$root/tests/abi/frozen.py" --include "${include[0]}" \
    --include "${include[1]}" --write "$minor" --frozen "$scratch/frozen.h"
clang-format --style="file:$root/.clang-format" -i "$scratch/frozen.h"

mkdir -p "$root/tests/abi/baseline"
cp "$scratch/baseline" "$root/$baseline"
cp "$scratch/frozen.h" "$root/$frozen"
for file in "$baseline" "$frozen"; do
    echo "$file: $(wc -l <"$root/$file") lines"
done
