#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Boots Linux in minivmm; its memory grows and shrinks as a second terminal says,
# and the map of its blocks is drawn while that happens.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/demo-guest.sh [--auto] [--built DIR]
       scripts/demo-guest.sh --ctl COMMAND...

Installs what is missing, builds, gets a Debian kernel, boots it in
examples/minivmm, and says what to type in a second terminal. Where /dev/kvm
cannot run Linux all of that happens in an emulated machine, which needs 1.5 GiB
of memory.

--auto       nobody types: grow, use, shrink; each step is checked
--ctl        a command for the monitor of the guest that runs, such as
             "resize vmem0 512M"; "help" lists them
--built DIR  install and build nothing: the programs are in that build directory

VMEM_BUILD_DIR  where to build (build/)
END
}

auto=()
built=
ctl=false
while [ $# -gt 0 ]; do
    case $1 in
    --auto) auto=(--auto) ;;
    --built)
        built=${2:-}
        if [ -z "$built" ]; then
            echo "--built needs the build directory that it is about" >&2
            exit 2
        fi
        shift
        ;;
    --ctl)
        ctl=true
        shift
        break
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

if $ctl; then
    dir=${built:-${VMEM_BUILD_DIR:-$root/build}/demo}
    if [ ! -f "$dir/demo.monitor" ]; then
        echo "no guest of demo-guest.sh runs in $dir" >&2
        exit 1
    fi
    exec "$dir/examples/minivmm" --ctl "$(<"$dir/demo.monitor")" "$@"
fi

short=()
if [ -n "$built" ]; then
    dir=$built
    if [ ! -x "$dir/tests/lab/guest-host" ]; then
        echo "$dir is no build directory with the demo in it:" \
            "it has no tests/lab/guest-host (ninja -C BUILD demo)" >&2
        exit 1
    fi
else
    # What is typed here is for the guest, later.
    exec 3<&0
    set_up lab
    dir=$build_top/demo
    echo "building in $dir"
    build_targets=(demo)
    configure_and_build demo -Dtests=enabled -Dtools=enabled -Ddocs=disabled
    exec <&3 3<&-
    short=(--short "or: scripts/demo-guest.sh --ctl resize vmem0 512M")
fi

programs=$dir/tests/lab
demo=(python3 "$root/tests/lab/demo.py" "${auto[@]}" "${short[@]}" \
    --cache "$dir/lab/kernels" --init "$programs/lab-init" \
    --agent "$programs/guest-agent" --host "$programs/guest-host" \
    --lab-minivmm "$programs/lab-minivmm" --minivmm "$dir/examples/minivmm" \
    --vmemctl "$dir/tools/vmemctl" --running "$dir/demo.monitor" \
    --trace "$dir/demo.trace" --svg "$dir/demo.svg")
if [ "${#cleanup_dirs[@]}" -eq 0 ]; then
    # Signals are for it alone.
    exec "${demo[@]}"
fi
trap - INT
"${demo[@]}"
