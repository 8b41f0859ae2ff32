#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sets up, builds, and shows what libvmem is for: three recorded guests plug and
# unplug memory, which is really used and really given back.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/quickstart.sh

Installs what is missing, builds the library and vmemctl, and replays three
recorded guests against shared memory (a memfd) and against anonymous memory.
Needs about 400 MiB of free memory.

VMEM_BUILD_DIR  where to build (build/)
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
no_arguments "$@"

set_up build

echo "building in $build_top/quickstart"
configure_and_build quickstart -Dtests=disabled -Dtools=enabled -Ddocs=disabled

# A guest that reloads its driver, one with blocks of 1 MiB, one at its limit.
cd "$root"
traces=()
for name in driver_reload_61 block1m_61 size_limit_61; do
    traces+=("tests/data/traces/$name.trace")
done

make_scratch
for backing in memfd anon; do
    echo
    if ! "$build_top/quickstart/tools/vmemctl" replay --touch \
        --backing="$backing" "${traces[@]}" >"$scratch/$backing"; then
        cat "$scratch/$backing"
        echo "the replay on $backing memory did not go as recorded"
        exit 1
    fi
    cat "$scratch/$backing"
done

echo
echo "What happened:"
tail -q -n 1 "$scratch/memfd" "$scratch/anon"
