#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Programs outside the tree, in C and in C++, each way to use libvmem: installed
# and shared, installed and static, as a Meson subproject. With SYSROOT, use what
# packages have put there instead of installing ROOT.
# Usage: consumer.sh ROOT VERSION [SYSROOT]
set -euo pipefail

root=$1
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
version=$2
sysroot=${3:-}
host=$root/tests/abi/consumer
read -r -a cc <<<"${CC:-cc}"
read -r -a cxx <<<"${CXX:-c++}"

make_scratch
# Of the build that runs this test; not of the ones below.
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH
prefix=$scratch/prefix

step() {
    echo "--- $*"
}

libdir=$prefix/lib
if [ -n "$sysroot" ]; then
    libdir=$(dirname "$(find "$sysroot/usr/lib" -name libvmem.so)")
    # What is below /usr there is not what the compiler looks through by itself.
    export PKG_CONFIG_SYSROOT_DIR=$sysroot PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 \
        PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
else
    step "install"
    quietly meson setup "$scratch/build" "$root" --prefix="$prefix" \
        --libdir=lib --buildtype=debugoptimized -Dtests=disabled \
        -Dtools=disabled -Ddocs=disabled
    quietly meson install -C "$scratch/build"
fi

export PKG_CONFIG_PATH=$libdir/pkgconfig
[ "$(pkg-config --modversion vmem)" = "$version" ] ||
    fail "vmem.pc says version $(pkg-config --modversion vmem)"
case $(pkg-config --libs vmem) in
*glib*) fail "GLib is asked of every user: $(pkg-config --libs vmem)" ;;
esac
case $(pkg-config --static --libs vmem) in
*glib*) ;;
*) fail "static users do not get GLib: $(pkg-config --static --libs vmem)" ;;
esac
[ -e "$libdir/libvmem.so.${version%.*}" ] ||
    fail "no libvmem.so.${version%.*} is installed"

# try NAME COMPILER... : the program is built and runs.
try() {
    local name=$1
    shift
    quietly "$@" -o "$scratch/$name"
    "$scratch/$name"
}

strict=(-Wall -Wextra -Wpedantic -Werror)
for linkage in shared static; do
    flags=()
    if [ "$linkage" = static ]; then
        # With no shared library to be found the linker takes the other one.
        rm "$libdir"/libvmem.so*
        flags=(--static)
    else
        export LD_LIBRARY_PATH=$libdir
    fi
    read -r -a used <<<"$(pkg-config "${flags[@]}" --cflags --libs vmem)"
    step "installed, $linkage"
    try "c-$linkage" "${cc[@]}" -std=c11 "${strict[@]}" "$host/host.c" \
        "${used[@]}"
    try "cxx-$linkage" "${cxx[@]}" -std=c++17 "${strict[@]}" "$host/host.cc" \
        "${used[@]}"
    for name in "c-$linkage" "cxx-$linkage"; do
        needed=$(readelf -d "$scratch/$name" | grep -c 'NEEDED.*libvmem' || :)
        if [ "$linkage" = static ] && [ "$needed" != 0 ]; then
            fail "$name needs a shared libvmem"
        elif [ "$linkage" = shared ] && [ "$needed" != 1 ]; then
            fail "$name does not need a shared libvmem"
        fi
    done
done
unset LD_LIBRARY_PATH PKG_CONFIG_PATH
if [ -n "$sysroot" ]; then
    echo "4 programs built and ran"
    exit 0
fi

step "subproject"
mkdir -p "$scratch/outside/subprojects"
cp "$host/host.c" "$host/host.cc" "$host/meson.build" "$scratch/outside"
ln -s "$root" "$scratch/outside/subprojects/libvmem"
quietly meson setup "$scratch/outside/build" "$scratch/outside" \
    --wrap-mode=forcefallback
quietly meson compile -C "$scratch/outside/build"
for name in host-c host-cxx; do
    "$scratch/outside/build/$name"
done
echo "6 programs built and ran"
