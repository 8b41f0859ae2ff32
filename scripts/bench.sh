#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sets up, builds for speed, runs the benchmarks and prints what they found.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/bench.sh [--quick] [--json] [--svg DIR]
       scripts/bench.sh --update-docs

Installs what is missing, builds libvmem optimised and runs the benchmarks, which
compare it with the usual ways to do the same. Prints a table, how costs grow,
and a verdict for each bar. Takes some eight minutes on two cores and 500 MiB of
memory; what else runs on the machine makes the figures worse, the ratios less
so.

--quick    fewer sizes and samples, in less than a minute
--json     lines of JSON instead of the table, described in tests/bench/bench.h
--svg DIR  also draws the curves there

--update-docs  prints the lines of JSON, and writes the tables of
               docs/performance.md and its curves from them: on a machine that
               does nothing else

VMEM_BUILD_DIR  where to build (build/)
END
}

report=()
update_docs=false
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
    --update-docs)
        update_docs=true
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

# What is not a figure goes to standard error, so that --json is only lines.
set_up "test" >&2
echo "building in $build_top/bench" >&2
configure_and_build bench -Doptimization=2 -Ddebug=true -Db_sanitize=none \
    -Dtests=enabled -Dtools=enabled -Ddocs=disabled >&2

measure() {
    "$root/tests/bench/report.py" --programs "$build_top/bench/tests/bench" \
        "$@" --traces "$root"/tests/data/traces/*.trace
}

if [ "$update_docs" = false ]; then
    measure "${report[@]}"
    exit
fi
if [ "${#report[@]}" -gt 0 ]; then
    echo "--update-docs stands alone" >&2
    exit 2
fi
curves=$build_top/bench/curves
measure --json --svg "$curves" | tee "$build_top/bench/lines.json"
"$root/tests/bench/tables.py" "$build_top/bench/lines.json" "$root/docs/performance.md"
for curve in "$curves"/*.svg; do
    cp "$curve" "$root/docs/growth-$(basename "$curve")"
done
