#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sets up, builds for speed, runs the benchmarks and prints what they found.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/bench.sh [--quick] [--json] [--svg DIR]

Installs what is missing, builds libvmem optimised and runs the benchmarks, which
compare it with the usual ways to do the same. Prints a table, how costs grow,
and a verdict for each bar. Takes some ten minutes on two cores and 500 MiB of
memory; what else runs on the machine makes the figures worse, the ratios less
so.

--quick    fewer sizes and samples, in less than a minute
--json     lines of JSON instead of the table, described in tests/bench/bench.h
--svg DIR  also draws the curves there

VMEM_BUILD_DIR  where to build (build/)
END
}

report=()
while [ "$#" -gt 0 ]; do
    case $1 in
    --quick | --json)
        report+=("$1")
        ;;
    --svg)
        if [ "$#" -lt 2 ]; then
            usage >&2
            exit 2
        fi
        report+=("$1" "$(realpath -m -- "$2")")
        shift
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
trap cleanup EXIT
trap 'exit 130' INT TERM

# What is not a figure goes to standard error, so that --json is only lines.
set_up "test" >&2
echo "building in $build_top/bench" >&2
configure_and_build bench -Doptimization=2 -Ddebug=true -Db_sanitize=none \
    -Dtests=enabled -Dtools=enabled -Ddocs=disabled >&2

"$root/tests/bench/report.py" --programs "$build_top/bench/tests/bench" \
    "${report[@]}" --traces "$root"/tests/data/traces/*.trace
