#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Searches the models of the region and of the mapper (docs/model.md), sees that
# their wrong variants are refuted, and that they accept what the library was seen
# to do.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/model.sh [BUILD-DIR]

BUILD-DIR has the library, tests/model-record and tests/model-record-mapper, as
Meson builds them; without it all are built for this run. Prints one line for each check. The exit status
is 0 if all passed, 77 if there is no Spin.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
no_options "$@"
build=
if [ "$#" -gt 0 ]; then
    build=$(cd "$1" && pwd -P)
fi

has_tools() {
    command -v spin >/dev/null && command -v gcc >/dev/null &&
        command -v python3 >/dev/null
}

if ! has_tools && [ -x "$root/scripts/setup.sh" ]; then
    "$root/scripts/setup.sh" all </dev/null || :
    hash -r
fi
skip_without spin gcc python3

make_scratch

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    local job
    trap - EXIT
    for job in $(jobs -p); do
        kill -- "-$job" 2>/dev/null || :
    done
    wait
    cleanup
}
trap clean_up EXIT

if [ -z "$build" ]; then
    build=$scratch/build
    quietly meson setup "$build" "$root" -Dtests=enabled -Dtools=disabled \
        -Ddocs=disabled
    quietly ninja -C "$build" tests/model-record tests/model-record-mapper
fi
record=$build/tests/model-record
for program in "$record" "$record-mapper"; do
    if [ ! -x "$program" ]; then
        fail "$program is not there"
    fi
done

# At most two at a time: one search needs up to 1 GiB. Each is a process group
# of its own, which can be ended as a whole.
set -m
nr_jobs=$(nproc)
nr_jobs=$((nr_jobs < 2 ? nr_jobs : 2))
nr_checks=0

# check NAME FUNCTION ARGUMENT... : runs it beside the others, in a folder of
# its own. Its last line says what came of it.
check() {
    local name=$1
    shift
    while [ "$(jobs -rp | wc -l)" -ge "$nr_jobs" ]; do
        wait -n || :
    done
    nr_checks=$((nr_checks + 1))
    mkdir "$scratch/$nr_checks"
    (
        cd "$scratch/$nr_checks"
        if "$@" >log 2>&1; then
            echo "passed  $name: $(tail -n 1 log)"
            touch ../passed."$nr_checks"
        else
            echo "FAILED  $name: $(tail -n 1 log)"
            sed 's/^/    | /' log | tail -n 60
        fi
    ) </dev/null &
}

# build_model GCC-OPTIONS MODEL-OPTION... : of $model.
build_model() {
    local options=$1
    shift
    cp "$root/tests/model/$model.pml" . && spin -a "$@" "$model.pml" || return 1
    # shellcheck disable=SC2086 # several options
    gcc -w -DCOLLAPSE -DMEMLIM=2000 $options -o pan pan.c
}

# What a search found, in one line.
describe() {
    sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log |
        awk '{ sum += $1 } END { printf "%d\n", sum }' >states
    awk '/states, stored/ { states = $1 }
        /total actual memory/ { memory = $1 }
        /elapsed time/ { seconds = $4 }
        END { printf "%d states, %d MiB, %.1f s\n", states, memory, seconds }' \
        pan.log
}

# holds GCC-OPTIONS PAN-OPTIONS MODEL-OPTION... : all states were looked at
# and nothing is wrong with any.
holds() {
    local pan_options=$2
    build_model "-O2 $1" "${@:3}" || return 1
    # shellcheck disable=SC2086
    ./pan -n -m4000000 $pan_options >pan.log 2>&1 || :
    if ! grep -q 'errors: 0$' pan.log ||
        grep -q -e 'not completed' -e 'depth too small' pan.log; then
        cat pan.log
        return 1
    fi
    describe
}

# refuted BY MODEL-OPTION... : a search finds an error, and this one: an
# invariant, or a thread that hangs.
refuted() {
    local by=$1
    local pattern="assertion violated ($by|"
    shift
    if [ "$by" = hangs ]; then
        pattern="invalid end state"
    fi
    build_model "-O0 -DSAFETY" "$@" || return 1
    ./pan -n -m1000000 >pan.log 2>&1 || :
    if ! grep -q "^pan:1: $pattern" pan.log; then
        cat pan.log
        echo "not refuted by $by"
        return 1
    fi
    echo "$by, after $(describe)"
}

# trace PROGRAM NAME ARGUMENT...
trace() {
    local program=$1 name=$2
    shift 2
    "$program" "$@" >"$name"
}

accepted() {
    trace "$@" || return 1
    python3 "$root/tests/model/accept.py" "$2"
}

rejected() {
    trace "$@" || return 1
    python3 "$root/tests/model/accept.py" --corrupt "$2"
}

# The right models. Of the region: modes are how the two listeners are told.
model=region
blocks=(-DMODE_0=CHUNKS -DMODE_1=EXACT)
mixed=(-DWINDOWS -DMODE_0=RUNS -DMODE_1=CHUNKS)
check "4 blocks, runs and blocks" holds -DSAFETY "" -DNB=4 "${mixed[@]}"
check "3 blocks, blocks and exact" holds -DSAFETY "" -DNB=3 -DWINDOWS \
    "${blocks[@]}"
check "2 blocks, any windows, runs" holds -DSAFETY "" -DNB=2
check "2 blocks, any windows, blocks and exact" holds -DSAFETY "" -DNB=2 \
    "${blocks[@]}"
check "I1 as a formula, 3 blocks" holds "" -a -DNB=3 "${mixed[@]}" -DFORMULA
check "every call ends, 2 blocks" holds -DNP -l -DNB=2 "${mixed[@]}"

model=mapper
check "mapper, 3 chunks" holds -DSAFETY "" -DNC=3
check "mapper, 3 chunks, exact" holds -DSAFETY "" -DNC=3 -DEXACT=1
check "mapper, 2 chunks, three threads" holds -DSAFETY "" -DNC=2 -DWITH_KEEPER
check "mapper, every call ends, 2 chunks" holds -DNP -l -DNC=2

nr_right=$nr_checks

# The wrong ones, each with what refutes it.
nr_wrong=0

# try_wrong MODEL-OPTION... : reads variants and what refutes them.
try_wrong() {
    local variant by
    while read -r variant by; do
        nr_wrong=$((nr_wrong + 1))
        check "wrong: $variant" refuted "$by" "$@" "-DWRONG_$variant"
    done
}

model=region
try_wrong -DNB=3 "${mixed[@]}" <<'END'
COMMIT_BEFORE_VETO      I3
UNDO_FORWARD            I3
DISCARD_BEFORE_UNMAP    I5
ADD_WITHOUT_REPLAY      I1
ADD_WITHOUT_LOCK        I3
REMOVE_WITHOUT_DISCARD  I1
FORGET_RETAINED         I6
PLUG_UNCLEAN            I6
UNDO_KEEPS_MEMORY       I6
COMMIT_IN_TWO_PARTS     I11
QUERY_WITHOUT_LOCK      I11
CHANGE_IN_CALLBACK      hangs
TELL_UNDER_STATE_LOCK   hangs
TELL_WHILE_ASKING       I1
FREEZE_WITHOUT_LOCK     I14
END

model=mapper
try_wrong -DNC=2 <<'END'
DISCARD_BEFORE_UNMAP    ORDER
VETO_NOT_UNDONE         ORDER
MAP_OVER_STUCK          STALE
SECOND_JOIN             STALE
FORGET_STUCK            LEFT
COMMIT_IGNORED          LEFT
BUDGET_NOT_GIVEN_BACK   BUDGET
CLAIM_DROPPED_EARLY     CLAIM
WAIT_UNDER_MAPPER_LOCK  hangs
END

# The library: scripts, also with a mistake in what they recorded, random calls,
# and three threads.
for script in $("$record" list); do
    check accepted accepted "$record" "$script" script "$script"
    check rejected rejected "$record" "$script" script "$script"
done
for seed in 1 2 3 4; do
    check accepted accepted "$record" "random-$seed" random "$seed" 100
    check accepted accepted "$record" "threads-$seed" threads "$seed" 60
done
for seed in 1 2 3 4; do
    check accepted accepted "$record-mapper" "mapper-random-$seed" \
        random "$seed" 200
    check accepted accepted "$record-mapper" "mapper-threads-$seed" \
        threads "$seed" 80
done
for seed in 1 2; do
    check rejected rejected "$record-mapper" "mapper-random-$seed" \
        random "$seed" 60
done
nr_traces=$((nr_checks - nr_right - nr_wrong))
wait

nr_passed=$(find "$scratch" -maxdepth 1 -name 'passed.*' | wc -l)
echo "FIGURE: exhaustive: $(cat "$scratch"/*/states | awk '{ sum += $1 }
    END { printf "%d", sum }') states of $nr_right right models and" \
    "$nr_wrong wrong ones, which are refuted;" \
    "$nr_traces traces of the library judged;" \
    "$nr_passed of $nr_checks checks passed"
echo "model: $nr_passed passed, $((nr_checks - nr_passed)) failed"
[ "$nr_passed" -eq "$nr_checks" ]
