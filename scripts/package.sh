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

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
no_options "$@"
output=${1:-$root/build/packages}

# What an earlier run has left there: these go, and nothing else does.
made=(-type f "(" -name "libvmem*_*" -o -name "vmem-tools*_*" ")"
    -regex '.*\.\(deb\|dsc\|changes\|buildinfo\|tar\.xz\)')
if [ -d "$output" ]; then
    other=$(find "$output/" -mindepth 1 -maxdepth 1 ! "(" "${made[@]}" ")" \
        -printf '%f' -quit)
    [ -z "$other" ] ||
        fail "$output has $other in it, which this script has not made:" \
            "give an empty folder, or one that is not there"
fi

skip_without dpkg-buildpackage dh lintian doxygen meson
# shellcheck source=scripts/dist.sh
. "$root/scripts/dist.sh"

mkdir -p "$output"
output=$(cd "$output" && pwd -P)

step() {
    echo "--- $*"
}

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
[ "${said%-*}" = "$version" ] ||
    fail "debian/changelog is of $said, libvmem $version"
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
[ "$nr_packages" -eq 4 ] ||
    fail "$nr_packages packages, not 4:" "$packages"/*.deb
libraries=$(dirname "$(find "$sysroot" -name 'libvmem.so.*' -print -quit)")
said=$(LD_LIBRARY_PATH=$libraries "$sysroot/usr/bin/vmemctl" --version)
case $said in
*"$version"*) ;;
*) fail "vmemctl of the package says: $said" ;;
esac
for file in usr/share/man/man1/vmemctl.1.gz usr/share/man/man7/vmem.7.gz \
    usr/share/doc/libvmem-doc/html/index.html; do
    [ -e "$sysroot/$file" ] || fail "no package has $file"
done
# Takes the shared library away at last.
"$root/tests/abi/consumer.sh" "$root" "$version" "$sysroot"

find "$output" -mindepth 1 -maxdepth 1 "${made[@]}" -delete
mv "$packages"/* "$output"
echo "$nr_packages packages in $output"
