#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sets up, builds and runs the test suites; prints one line for each.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/test.sh [--ci | --all | --lab]

Installs what is missing, builds libvmem twice (as it ships, and with address
and undefined behaviour sanitizers) and runs the suites of tests/suites.txt:
the default ones, with --ci also those marked ci, with --all every one. For those
marked ci it is built twice more: with the thread sanitizer, and for libFuzzer,
which then looks for inputs that make a target fail. With --lab only the suite
lab runs: programs in an emulated machine with a real kernel.

Suites, skipped tests and their reasons are printed, then how much was tried; the
last line has the totals. The exit status is 0 if nothing failed and every suite ran.

VMEM_BUILD_DIR  where to build (build/)
END
}

when=default
profile="test"
werror=false
only=()
for argument; do
    case $argument in
    --ci)
        when=ci
        profile=ci
        werror=true
        ;;
    --all)
        when=all
        profile=all
        werror=true
        ;;
    --lab)
        when=ci
        profile=lab
        only=(--only lab)
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
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

totals=$(mktemp)
figures=$(mktemp)
nr_broken=0
status=0

# The last line, whatever happens: what passed, failed and was skipped.
# shellcheck disable=SC2317 # called by the trap
finish() {
    local ret=$?
    trap - EXIT
    cleanup
    if [ "$ret" -ne 0 ] && [ "$status" -eq 0 ]; then
        nr_broken=$((nr_broken + 1))
        status=$ret
    fi
    local passed=0 failed=0 skipped=0
    if [ -s "$totals" ]; then
        read -r passed failed skipped <"$totals"
    fi
    if [ -s "$figures" ]; then
        echo
        python3 "$root/scripts/summary.py" --show-figures \
            --figures "$figures" || :
    fi
    rm -f "$totals" "$figures"
    if [ "$status" -ne 0 ] && [ $((failed + nr_broken)) -eq 0 ]; then
        nr_broken=1
    fi
    echo
    echo "libvmem: $passed passed, $((failed + nr_broken)) failed," \
        "$skipped skipped"
    exit "$status"
}
trap finish EXIT

broken() {
    echo "$*"
    nr_broken=$((nr_broken + 1))
    status=1
}

set_up "$profile"

summary=("$root/scripts/summary.py" --suites "$root/tests/suites.txt"
    --when "$when" "${only[@]}")

# run_suites KIND DIR LABEL COMMAND... : builds that kind, runs its suites.
run_suites() {
    local kind=$1
    local dir=$2
    local label=$3
    shift 3
    local names selection=() name
    names=$(python3 "${summary[@]}" --kind "$kind" --list)
    if [ -z "$names" ]; then
        return
    fi
    for name in $names; do
        selection+=(--suite "$name")
    done
    echo "the $kind build, in $build_top/$dir"
    if ! "$@"; then
        broken "the $kind build failed, its suites did not run"
        return
    fi
    local logs=$build_top/$dir/meson-logs
    local log=$logs/testlog${setup:+-${setup[1]}}.json
    rm -rf "$log"
    # Tests that take minutes show here how far they are.
    export VMEM_PROGRESS=$build_top/$dir.progress
    : >"$VMEM_PROGRESS"
    tail -f -n +1 --pid=$$ "$VMEM_PROGRESS" &
    local tail_pid=$!
    # Its verdict is in the log that the summary reads.
    meson test -C "$build_top/$dir" --no-rebuild --quiet "${setup[@]}" \
        --timeout-multiplier "$multiplier" "${selection[@]}" \
        >"$build_top/$dir.log" 2>&1 || :
    kill "$tail_pid"
    wait "$tail_pid" 2>/dev/null || :
    if ! python3 "${summary[@]}" --kind "$kind" --label "$label" \
        --build "$build_top/$dir" --log "$log" --totals "$totals" \
        --figures "$figures"; then
        status=1
    fi
}

# build DIR OPTION... : everything, with these options of Meson.
# shellcheck disable=SC2317 # called by run_suites
build() {
    local dir=$1
    shift
    configure_and_build "$dir" -Dwerror="$werror" -Dtests=enabled \
        -Dtools=enabled -Ddocs=enabled "$@"
}

setup=()
multiplier=1
run_suites plain test "" build test -Db_sanitize=none

# Slower, and it stops at the first thing that is wrong. Tests that run out of
# memory on purpose get NULL, as without sanitizers.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
multiplier=4
run_suites asan asan " (sanitizers)" build asan \
    -Db_sanitize=address,undefined -Db_lundef=false

# Only what has threads, and nothing that it does not need.
export TSAN_OPTIONS=history_size=7
run_suites tsan tsan " (threads)" build tsan -Db_sanitize=thread \
    -Db_lundef=false -Dtools=disabled -Ddocs=disabled -Dfuzzing=off

# The programs of the plain build, much slower.
if [ "$when" = all ]; then
    unset ASAN_OPTIONS UBSAN_OPTIONS
    setup=(--setup valgrind)
    multiplier=30
    run_suites valgrind test " (valgrind)" true
    setup=()
fi

# Each target for a while. It sets its own options.
unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
multiplier=1
run_suites fuzz fuzz "" env VMEM_BUILD_DIR="$build_top" \
    "$root/scripts/fuzz.sh" --build

exit "$status"
