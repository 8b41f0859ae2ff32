# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034,SC2154
# The tarball of a release. Sourced, with $root, $scratch and quietly() set; gives
# $offline, $version and $tarball.

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
