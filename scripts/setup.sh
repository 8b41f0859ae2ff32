#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is missing to build and test libvmem on Debian 12, and says
# what and why. Touches no network and needs no root when nothing is missing.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/setup.sh [build|test|lab|ci|all]

  build  what the library and vmemctl need
  test   and the test suites and the reference (the default)
  lab    and an emulator for the lab machine
  ci     and the second compiler with its fuzzer, and small tools whose absence
         only skips a test
  all    and another machine, another fuzzer, valgrind, coverage, the model
END
}

profile=${1:-test}
case $profile in
build | test | lab | ci | all) ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

# What to look for, the Debian package that has it, and what it is for.
# "pc:" is a pkg-config module, "file:" a pattern, the rest are commands.
wanted=(
    "python3|python3|runs Meson and the checks"
    "meson|meson|configures the build"
    "ninja|ninja-build|runs the build"
    "cc|gcc|compiles the library"
    "file:/usr/include/stdio.h|libc6-dev|has the headers of the C library"
    "pkg-config|pkg-config|finds libraries"
    "pc:glib-2.0|libglib2.0-dev|is used inside the library"
    "pc:json-glib-1.0|libjson-glib-dev|reads and writes vmemctl's JSON"
)
if [ "$profile" != build ]; then
    wanted+=(
        "c++|g++|compiles the C++ checks of the headers"
        "pc:cmocka|libcmocka-dev|runs the unit tests"
        "doxygen|doxygen|builds the reference"
        "readelf|binutils|looks at the built library"
    )
fi
if [ "$profile" = lab ] || [ "$profile" = ci ] || [ "$profile" = all ]; then
    wanted+=(
        "qemu-system-x86_64|qemu-system-x86|emulates the lab machine"
        "lz4|lz4|unpacks its kernel"
        "zstd|zstd|unpacks newer kernels"
        "make|make|builds modules for it"
        "gcc-12|gcc-12|is what its kernel was compiled with"
        "xz|xz-utils|unpacks their source"
        "file:/usr/lib/*/libelf.so.1|libelf1|checks their code"
        "file:/usr/lib/*/libpcre2-8.a|libpcre2-dev|is linked into its programs"
    )
fi
if [ "$profile" = ci ] || [ "$profile" = all ]; then
    wanted+=(
        "clang-format|clang-format|checks the format of the source"
        "groff|groff-base|checks the manual pages"
        "mandoc|mandoc|checks them as other systems read them"
        "shellcheck|shellcheck|checks the scripts"
        "clang|clang|is the second compiler, and has libFuzzer"
        "file:/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer*|libclang-rt-14-dev|has clang's sanitizers"
        "abidiff|abigail-tools|compares the interface with the first release's"
        "strace|strace|shows the library's system calls"
        "rustc|rustc|compiles the Rust bindings"
        "cargo|cargo|builds them"
    )
fi
if [ "$profile" = all ]; then
    wanted+=(
        "afl-fuzz|afl++|is the second fuzzer"
        "dpkg-buildpackage|dpkg-dev|builds the packages"
        "dh|debhelper|knows how"
        "lintian|lintian|judges them"
        "llvm-cov|llvm|shows what the fuzz corpora reach"
        "gcovr|gcovr|shows what the suites reach"
        "valgrind|valgrind|counts instructions, and looks for leaks"
        "spin|spin|searches the model of the region"
        "s390x-linux-gnu-gcc|gcc-s390x-linux-gnu|compiles for a big-endian machine"
        "file:/usr/s390x-linux-gnu/include/stdio.h|libc6-dev-s390x-cross|has that machine's C library"
        "qemu-s390x|qemu-user|runs its programs"
    )
fi

has_pkg_config() {
    command -v pkg-config >/dev/null
}

is_there() {
    case $1 in
    pc:*) has_pkg_config && pkg-config --exists "${1#pc:}" ;;
    file:*) compgen -G "${1#file:}" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

missing=()
for entry in "${wanted[@]}"; do
    IFS='|' read -r what package why <<<"$entry"
    if ! is_there "$what"; then
        missing+=("$package")
        echo "setup: $package is missing: it $why"
    fi
done

if [ "${#missing[@]}" -gt 0 ]; then
    install=(apt-get -o DPkg::Lock::Timeout=300 install
        --yes --no-install-recommends "${missing[@]}")
    by_hand="apt-get update && apt-get install ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "setup: there is no apt-get here; install what Debian calls:" \
            "${missing[*]}" >&2
        exit 1
    fi

    # Root runs as it is. Otherwise sudo may ask for a password where somebody
    # can type one, and must not where nobody can.
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup: run this as root, then try again: $by_hand" >&2
            exit 1
        fi
        as_root=(sudo)
        if [ ! -t 0 ] || [ -n "${CI:-}" ]; then
            as_root=(sudo -n)
        fi
        if ! "${as_root[@]}" true; then
            echo "setup: run this as root, then try again: $by_hand" >&2
            exit 1
        fi
    fi

    quiet=(env DEBIAN_FRONTEND=noninteractive)
    echo "setup: installing ${missing[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { "${as_root[@]}" "${quiet[@]}" apt-get update </dev/null &&
        "${as_root[@]}" "${quiet[@]}" "${install[@]}" </dev/null; } \
        >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: installing failed; by hand: $by_hand" >&2
        exit 1
    fi
    hash -r
    for entry in "${wanted[@]}"; do
        IFS='|' read -r what package why <<<"$entry"
        if ! is_there "$what"; then
            echo "setup: $package was installed, but $what is not there" >&2
            exit 1
        fi
    done
fi

needed=1.0.1
found=$(meson --version)
if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]
then
    echo "setup: Meson $found is too old, $needed or newer is needed" >&2
    exit 1
fi
