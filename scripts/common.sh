# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What scripts share. Sourced, with $root set; what prints usage() needs it defined.

# No tool may depend on the language of its user, or leave files among the
# sources.
export LC_ALL=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1
unset DESTDIR

cleanup_dirs=()
cleanup() {
    local dir
    for dir in "${cleanup_dirs[@]}"; do
        rm -rf "$dir"
    done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# make_scratch : $scratch, a folder that is gone afterwards.
scratch=
make_scratch() {
    scratch=$(mktemp -d)
    cleanup_dirs+=("$scratch")
}

fail() {
    echo "$*" >&2
    exit 1
}

skip() {
    echo "SKIP: $*"
    exit 77
}

# skip_without TOOL...
skip_without() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null ||
            skip "$tool is not installed, scripts/setup.sh all brings it"
    done
}

# quietly COMMAND... : shows what it said only if it fails. Needs $scratch.
quietly() {
    if ! "$@" >"$scratch/log" 2>&1; then
        tail -n 60 "$scratch/log" >&2
        fail "failed: $*"
    fi
}

# no_options "$@" : for who takes no option but --help.
no_options() {
    case ${1:-} in
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        usage >&2
        exit 2
        ;;
    esac
}

# no_arguments "$@" : nor anything else.
no_arguments() {
    no_options "$@"
    if [ "$#" -gt 0 ]; then
        usage >&2
        exit 2
    fi
}

# Where to build: $VMEM_BUILD_DIR, else build/, else (when that belongs to
# somebody else) a folder that is gone afterwards.
build_top=
choose_build_top() {
    build_top=${VMEM_BUILD_DIR:-$root/build}
    if mkdir -p "$build_top" 2>/dev/null && [ -w "$build_top" ] &&
        [ -z "$(find "$build_top" -maxdepth 1 ! -uid "$(id -u)" \
            2>/dev/null)" ]; then
        build_top=$(cd "$build_top" && pwd -P)
        return
    fi
    local mine
    mine=$(mktemp -d)
    cleanup_dirs+=("$mine")
    echo "$build_top belongs to somebody else, building in $mine for now"
    build_top=$mine
}

# set_up PROFILE : installs what is missing and finds a place to build.
set_up() {
    # Somebody at a terminal may have to type a password for sudo; nothing
    # after that reads any input.
    [ -t 0 ] || exec </dev/null
    "$root/scripts/setup.sh" "$1"
    exec </dev/null
    choose_build_top
}

# configure_and_build NAME OPTION... : builds $build_targets (all) in
# $build_top/NAME, silently unless it fails. An old build directory is used again if
# that works.
build_targets=()
configure_and_build() {
    local dir=$build_top/$1
    local log=$dir.log
    shift
    local again=()
    if [ -f "$dir/build.ninja" ]; then
        again=(--reconfigure)
    fi
    if ! meson setup "${again[@]}" "$dir" "$root" "$@" >"$log" 2>&1; then
        rm -rf "$dir"
        if ! meson setup "$dir" "$root" "$@" >"$log" 2>&1; then
            cat "$log"
            echo "configuring $dir failed"
            return 1
        fi
    fi
    if ! ninja -C "$dir" "${build_targets[@]}" >"$log" 2>&1; then
        grep -v '^\[[0-9]*/[0-9]*\] \(Compiling\|Linking\|Generating\)' "$log" |
            tail -n 100
        echo "building $dir failed"
        return 1
    fi
}
