# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034,SC2154
# The tarball of a release. Sourced after common.sh, makes $scratch; gives
# $offline, $version and $tarball.

if ! git -C "$root" rev-parse --verify --quiet HEAD >/dev/null; then
    skip "there is no git here, and so no last commit"
fi
make_scratch
# A shared cache would write other people's paths into debug information.
export CCACHE_DISABLE=1
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH

# How to run without network, where the kernel lets everybody do that.
offline=()
if unshare --map-root-user --net true 2>/dev/null; then
    offline=(unshare --map-root-user --net)
else
    echo "SKIP: no network namespaces here (unshare --net is refused):" \
        "nothing keeps what is built from the network"
fi

# make_tarball : $tarball of the last commit, of $version.
make_tarball() {
    quietly meson setup "$scratch/dist" "$root" -Dtests=disabled \
        -Dtools=disabled -Ddocs=disabled
    quietly meson dist -C "$scratch/dist" --no-tests --allow-dirty \
        --formats xztar
    version=$(meson introspect "$scratch/dist" --projectinfo |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
    tarball=$scratch/dist/meson-dist/libvmem-$version.tar.xz
}
