#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Fuzzes, starting from the checked-in corpora.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/fuzz.sh TARGET SECONDS [--afl] [--jobs N]
       scripts/fuzz.sh --all SECONDS [--afl] [--jobs N]
       scripts/fuzz.sh --build [--afl]
       scripts/fuzz.sh --coverage [--write]
       scripts/fuzz.sh --list

Builds the targets with clang's address and undefined behaviour sanitizers for
libFuzzer (or AFL++), runs one of them, or one after the other, for so many
seconds, and prints how often it ran and what it found. The exit status is 1
if an input makes a target fail; its path is printed, and

    BUILD/fuzz/tests/fuzz/TARGET PATH

repeats it. Inputs that reach something new are kept in BUILD/fuzz-found and
used again the next time.

  --build     build the targets and stop
  --built     they are built: do not look for what has changed
  --coverage  lines of libvmem/core and libvmem/virtio that the checked-in
              corpora reach; fails below 95 %, and for a line that is not in
              docs/coverage.md, where --write puts it
  --list      the names of the targets

VMEM_BUILD_DIR  where to build (build/)
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

corpora=$root/tests/fuzz/corpus

list() {
    local file
    for file in "$root"/tests/fuzz/fuzz_*.c; do
        basename "$file" .c
    done
}

# Long enough for what a target does, and no longer: short inputs are fast.
max_len() {
    case $1 in
    fuzz_request | fuzz_structs | fuzz_dma_structs) echo 24 ;;
    fuzz_config) echo 32 ;;
    fuzz_claims) echo 64 ;;
    fuzz_bitmap) echo 128 ;;
    fuzz_dma_info) echo 320 ;;
    fuzz_trace) echo 600 ;;
    fuzz_vectors) echo 1500 ;;
    *) echo 160 ;;
    esac
}

needs() {
    if ! command -v "$1" >/dev/null; then
        echo "fuzz: $1 is missing; Debian's package is $2" >&2
        exit 1
    fi
}

# build NAME OPTION... : configures $build_top/NAME and builds the targets only.
build() {
    local dir=$build_top/$1
    local log=$dir.log
    shift
    mkdir -p "$build_top"
    if [ ! -f "$dir/build.ninja" ] &&
        ! meson setup "$dir" "$root" -Dtests=enabled -Dtools=enabled \
            -Ddocs=disabled -Ddefault_library=static -Db_lundef=false \
            "$@" >"$log" 2>&1; then
        tail -n 20 "$log"
        rm -rf "$dir"
        echo "fuzz: configuring $dir failed" >&2
        exit 1
    fi
    if ! ninja -C "$dir" fuzzers >"$log" 2>&1; then
        tail -n 50 "$log"
        echo "fuzz: building $dir failed" >&2
        exit 1
    fi
}

# The targets make and free many small things: short stacks and a small
# quarantine double the speed.
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=4:detect_leaks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

build_libfuzzer() {
    needs clang clang
    CC=clang build fuzz -Dfuzzing=libfuzzer -Db_sanitize=address,undefined \
        -Doptimization=2 \
        "-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"
}

# Sum of the numbers that a pattern finds in files, one each.
sum_of() {
    local pattern=$1
    shift
    sed -n "s/$pattern/\\1/p" "$@" | awk '{ sum += $1 } END { print sum + 0 }'
}

# run_libfuzzer TARGET SECONDS JOBS
run_libfuzzer() {
    local target=$1 seconds=$2 jobs=$3
    local found=$build_top/fuzz-found/$target
    local crashes=$build_top/fuzz-crashes
    local logs=() pids=() job pid failed=0 dictionary=() executions path
    mkdir -p "$found" "$crashes"
    if [ -f "$root/tests/fuzz/$target.dict" ]; then
        dictionary=("-dict=$root/tests/fuzz/$target.dict")
    fi
    for ((job = 0; job < jobs; job++)); do
        logs+=("$build_top/fuzz-$target-$job.log")
        "$build_top/fuzz/tests/fuzz/$target" "${dictionary[@]}" \
            -max_len="$(max_len "$target")" -max_total_time="$seconds" \
            -timeout=10 -rss_limit_mb=2048 -entropic=0 -reload=30 \
            -print_final_stats=1 -artifact_prefix="$crashes/$target-" \
            "$found" "$corpora/$target" >"${logs[job]}" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    executions=$(sum_of '^stat::number_of_executed_units: *\([0-9]*\)$' \
        "${logs[@]}")
    echo "FIGURE: fuzzing: $target: $executions executions in $seconds s," \
        "$(sum_of '^stat::new_units_added: *\([0-9]*\)$' "${logs[@]}") new" \
        "inputs, coverage" \
        "$(sed -n 's/.*INITED *cov: \([0-9]*\).*/\1/p' "${logs[0]}" |
            tail -n 1) ->" \
        "$(sed -n 's/^#.* cov: \([0-9]*\).*/\1/p' "${logs[0]}" | tail -n 1)"
    if [ "$failed" -ne 0 ]; then
        grep -ah -m 1 -B 2 -A 12 -e '^==[0-9]*==' -e 'runtime error' \
            "${logs[@]}" || tail -n 20 "${logs[@]}"
        echo "fuzz: $target failed; inputs that show it:"
        sed -n 's/.*Test unit written to //p' "${logs[@]}" |
            while read -r path; do
                echo "    $path, in base64: $(base64 -w 0 "$path")"
                echo "to repeat it: scripts/fuzz.sh --build &&" \
                    "$build_top/fuzz/tests/fuzz/$target $path"
            done
    elif [ "$executions" -eq 0 ]; then
        tail -n 20 "${logs[@]}"
        echo "fuzz: $target ran nothing"
        failed=1
    fi
    return "$failed"
}

build_afl() {
    needs afl-clang-fast afl++
    needs afl-fuzz afl++
    AFL_USE_ASAN=1 AFL_USE_UBSAN=1 CC=afl-clang-fast \
        build afl -Dfuzzing=afl -Doptimization=2
}

# run_afl TARGET SECONDS JOBS
run_afl() {
    local target=$1 seconds=$2 jobs=$3
    local out=$build_top/afl-found/$target
    local pids=() job pid role broken=0 saved
    mkdir -p "$out"
    export AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1
    export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_AUTORESUME=1
    for ((job = 0; job < jobs; job++)); do
        role=-S
        if [ "$job" -eq 0 ]; then
            role=-M
        fi
        env -u ASAN_OPTIONS -u UBSAN_OPTIONS \
            afl-fuzz -i "$corpora/$target" -o "$out" "$role" "job$job" \
            -V "$seconds" -m none -G "$(max_len "$target")" -- \
            "$build_top/afl/tests/fuzz/$target" \
            >"$build_top/afl-$target-$job.log" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || broken=1
    done
    if [ "$broken" -ne 0 ]; then
        tail -n 20 "$build_top/afl-$target"-*.log
        echo "fuzz: afl-fuzz itself failed for $target" >&2
        return 1
    fi
    saved=$(sum_of '^saved_crashes *: *\([0-9]*\)$' "$out"/job*/fuzzer_stats)
    echo "FIGURE: fuzzing: $target with AFL++:" \
        "$(sum_of '^execs_done *: *\([0-9]*\)$' "$out"/job*/fuzzer_stats)" \
        "executions," \
        "$(sum_of '^corpus_found *: *\([0-9]*\)$' "$out"/job*/fuzzer_stats)" \
        "new inputs, $saved failures"
    if [ "$saved" -ne 0 ]; then
        echo "fuzz: $target failed; inputs that show it:" >&2
        find "$out" -path '*/crashes/id*' >&2
        return 1
    fi
}

# Per file: lines that count, lines that ran, and those that did not.
coverage() {
    needs clang clang
    CC=clang build fuzz-coverage -Dfuzzing=replay -Doptimization=0 \
        "-Dc_args=-fprofile-instr-generate -fcoverage-mapping" \
        "-Dc_link_args=-fprofile-instr-generate"
    local profdata cov dir=$build_top/fuzz-coverage
    profdata=$(clang -print-prog-name=llvm-profdata)
    cov=$(clang -print-prog-name=llvm-cov)
    needs "$profdata" llvm
    needs "$cov" llvm
    local target objects=()
    rm -f "$dir"/*.profraw
    while read -r target; do
        if ! LLVM_PROFILE_FILE=$dir/$target.profraw \
            "$dir/tests/fuzz/$target" "$corpora/$target" \
            >"$dir/$target.log" 2>&1; then
            tail -n 5 "$dir/$target.log"
            echo "fuzz: $target fails on its own corpus" >&2
            return 1
        fi
        objects+=(-object "$dir/tests/fuzz/$target")
    done < <(list)
    "$profdata" merge -o "$dir/all.profdata" "$dir"/*.profraw
    "$cov" export -format=lcov -instr-profile="$dir/all.profdata" \
        "${objects[@]}" >"$dir/all.lcov" 2>/dev/null
    python3 "$root/scripts/uncovered.py" --root "$root" --table fuzzing \
        --lines 95 "${write[@]}" "$dir/all.lcov" libvmem/core/ libvmem/virtio/
}

target=
seconds=
engine=libfuzzer
jobs=1
is_built=false
write=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --list)
        list
        exit 0
        ;;
    --build | --coverage) target=$1 ;;
    --built) is_built=true ;;
    --write) write=(--write) ;;
    --afl) engine=afl ;;
    --jobs)
        jobs=${2:-}
        shift
        ;;
    *)
        if [ -z "$target" ]; then
            target=$1
        elif [ -z "$seconds" ]; then
            seconds=$1
        else
            usage >&2
            exit 2
        fi
        ;;
    esac
    shift
done

choose_build_top
if [ "$target" = --coverage ]; then
    coverage
    exit
fi
if [ "$target" != --build ] &&
    ! [[ $seconds =~ ^[0-9]+$ && $jobs =~ ^[1-9][0-9]*$ ]]; then
    usage >&2
    exit 2
fi
if [[ $target != --* ]] && [ ! -f "$root/tests/fuzz/$target.c" ]; then
    echo "fuzz: there is no target $target; scripts/fuzz.sh --list" >&2
    exit 2
fi

if "$is_built"; then
    :
elif [ "$engine" = afl ]; then
    build_afl
else
    build_libfuzzer
fi
if [ "$target" = --build ]; then
    exit
fi

run() {
    if [ "$engine" = afl ]; then
        run_afl "$1" "$seconds" "$jobs"
    else
        run_libfuzzer "$1" "$seconds" "$jobs"
    fi
}

if [ "$target" != --all ]; then
    run "$target"
    exit
fi
status=0
while read -r target; do
    run "$target" || status=1
done < <(list)
exit "$status"
