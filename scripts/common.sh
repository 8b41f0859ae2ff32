# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What quickstart.sh, demo-guest.sh, test.sh and others share. Sourced, with $root set.

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
