#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Debian packages of the last commit, checked and tried.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/package.sh [OUTPUT]

Makes the tarball of a release (meson dist) of the last commit and from it the
packages of debian/, without network where the kernel can keep it away. Lintian must
find nothing. Then they are unpacked into a folder of their own, where the consumers
of tests/abi/consumer use the library and vmemctl runs. If all of that went well they
are moved to OUTPUT (build/packages), in place of those of an earlier run; an OUTPUT
with anything else in it is refused. Needs dpkg-dev, debhelper and lintian
(scripts/setup.sh all); no root.
END
}

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

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
output=${1:-$root/build/packages}
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# A shared cache would write other people's paths into debug information.
export CCACHE_DISABLE=1
unset DESTDIR CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH

# What an earlier run has left there: these go, and nothing else does.
made=(-type f "(" -name "libvmem*_*" -o -name "vmem-tools*_*" ")"
    -regex '.*\.\(deb\|dsc\|changes\|buildinfo\|tar\.xz\)')
if [ -d "$output" ]; then
    other=$(find "$output/" -mindepth 1 -maxdepth 1 ! "(" "${made[@]}" ")" \
        -printf '%f' -quit)
    if [ -n "$other" ]; then
        echo "$output has $other in it, which this script has not made:" \
            "give an empty folder, or one that is not there" >&2
        exit 1
    fi
fi

for tool in dpkg-buildpackage dh lintian doxygen meson; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIP: $tool is not installed (scripts/setup.sh all)"
        exit 77
    fi
done
if ! git -C "$root" rev-parse --verify --quiet HEAD >/dev/null; then
    echo "SKIP: there is no git here, and so no last commit"
    exit 77
fi

mkdir -p "$output"
output=$(cd "$output" && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

step() {
    echo "--- $*"
}

# Runs a command, shows what it said only if it fails.
quietly() {
    if ! "$@" >"$scratch/log" 2>&1; then
        echo "failed: $*"
        tail -n 60 "$scratch/log"
        exit 1
    fi
}

# shellcheck source=scripts/dist.sh
. "$root/scripts/dist.sh"

step "tarball"
make_tarball
packages=$scratch/packages
mkdir "$packages"
orig=$packages/libvmem_$version.orig.tar.xz
cp "$tarball" "$orig"
tar -C "$packages" -xf "$orig"
source=$packages/libvmem-$version
# Releases do not have it.
mkdir "$source/debian"
git -C "$root" archive HEAD:debian | tar -C "$source/debian" -x

step "packages${offline:+, without network}"
said=$(cd "$source" && dpkg-parsechangelog --show-field Version)
if [ "${said%-*}" != "$version" ]; then
    echo "debian/changelog is of $said, libvmem $version"
    exit 1
fi
(cd "$source" && quietly "${offline[@]}" dpkg-buildpackage -us -uc)
rm -rf "$source"

step "lintian"
lintian --allow-root --fail-on error,warning,info --info --display-info \
    "$packages"/libvmem_*.changes

step "installed into a folder"
sysroot=$scratch/sysroot
mkdir "$sysroot"
nr_packages=0
for package in "$packages"/*.deb; do
    case $package in
    *-dbgsym_*) continue ;;
    esac
    dpkg-deb --extract "$package" "$sysroot"
    nr_packages=$((nr_packages + 1))
done
if [ "$nr_packages" -ne 4 ]; then
    echo "$nr_packages packages, not 4:" "$packages"/*.deb
    exit 1
fi
libraries=$(dirname "$(find "$sysroot" -name 'libvmem.so.*' -print -quit)")
said=$(LD_LIBRARY_PATH=$libraries "$sysroot/usr/bin/vmemctl" --version)
case $said in
*"$version"*) ;;
*)
    echo "vmemctl of the package says: $said"
    exit 1
    ;;
esac
for file in usr/share/man/man1/vmemctl.1.gz usr/share/man/man7/vmem.7.gz \
    usr/share/doc/libvmem-doc/html/index.html; do
    if [ ! -e "$sysroot/$file" ]; then
        echo "no package has $file"
        exit 1
    fi
done
# Takes the shared library away at last.
"$root/tests/abi/consumer.sh" "$root" "$version" "$sysroot"

find "$output" -mindepth 1 -maxdepth 1 "${made[@]}" -delete
mv "$packages"/* "$output"
echo "$nr_packages packages in $output"
