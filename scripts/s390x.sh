#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds libvmem for a big-endian machine and runs its tests there: unit,
# property and conformance tests and the vectors, as s390x under qemu-user.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/s390x.sh [FOLDER]

The cross compiler and qemu-user come with scripts/setup.sh all. The libraries
for s390x are fetched with apt-get and unpacked in FOLDER, which is used again
by the next run (without FOLDER: nothing is kept). No architecture is added to
the system, and no root is needed.

Tests of real memory do not run: the emulator ignores most kinds of madvise and
knows no VFIO, so they would test it and not the library.

Exits with 77 and the reason when something cannot be had.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
no_options "$@"
triplet=s390x-linux-gnu
libc=/usr/$triplet

skip_without "$triplet-gcc" qemu-s390x pkg-config apt-get dpkg
[ -e "$libc/include/stdio.h" ] || skip "libc6-dev-s390x-cross is not installed"

# Of the build that runs this one.
unset CC CXX CFLAGS CPPFLAGS LDFLAGS LD_LIBRARY_PATH MAKEFLAGS
unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR

make_scratch
folder=$scratch/kept
if [ -n "${1:-}" ]; then
    folder=$1
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd -P)

# What the tests link, and what pkg-config wants to see beside it.
packages=(
    libglib2.0-0 libglib2.0-dev libjson-glib-1.0-0 libjson-glib-dev
    libcmocka0 libcmocka-dev libpcre2-8-0 libpcre2-dev libffi8 libffi-dev
    zlib1g zlib1g-dev libmount1 libmount-dev libblkid1 libblkid-dev
    libselinux1 libselinux1-dev libsepol-dev
)

# fetch WHERE : unpacks the packages there.
fetch() {
    local apt=$scratch/apt
    local options=(
        -o "APT::Architecture=s390x" -o "APT::Architectures=s390x"
        -o "APT::Sandbox::User=$(id -un)"
        -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt/cache"
    )
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" \
        "$apt/debs" "$1"
    : >"$apt/status"
    # A source that lacks the architecture makes this complain; whether enough
    # was had is for the download to say.
    apt-get "${options[@]}" update >"$scratch/log" 2>&1 || :
    if ! (cd "$apt/debs" &&
        apt-get "${options[@]}" download "${packages[@]}") \
        >>"$scratch/log" 2>&1; then
        tail -n 5 "$scratch/log"
        return 1
    fi
    local deb
    for deb in "$apt"/debs/*.deb; do
        dpkg -x "$deb" "$1"
    done
}

wanted=$(printf '%s\n' "${packages[@]}" | sha256sum | cut -c1-16)
sysroot=$folder/sysroot-$wanted
if [ ! -d "$sysroot" ]; then
    rm -rf "$folder"/sysroot-*
    fetch "$folder/sysroot-new" ||
        skip "the libraries for s390x could not be fetched"
    mv "$folder/sysroot-new" "$sysroot"
fi

libs=$sysroot/usr/lib/$triplet
old_libs=$sysroot/lib/$triplet
cat >"$scratch/cross.ini" <<END
[binaries]
c = '$triplet-gcc'
ar = '$triplet-ar'
strip = '$triplet-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-s390x', '-L', '$libc',
               '-E', 'LD_LIBRARY_PATH=$libs:$old_libs']

[built-in options]
c_link_args = ['-Wl,-rpath-link,$libs', '-Wl,-rpath-link,$old_libs']

[properties]
sys_root = '$sysroot'
pkg_config_libdir = '$libs/pkgconfig'

[host_machine]
system = 'linux'
cpu_family = 's390x'
cpu = 's390x'
endian = 'big'
END

build=$folder/build
rm -rf "$build"
# Not tests=enabled, which would ask for a compiler of C++ too.
quietly meson setup "$build" "$root" --cross-file "$scratch/cross.ini" \
    --wrap-mode=nodownload -Dtools=enabled -Ddocs=disabled

cat >"$scratch/probe.c" <<'END'
int main(void)
{
    const union { unsigned int word; unsigned char bytes[4]; } u = { 1 };

    return u.bytes[3] == 1 ? 0 : 1;
}
END
quietly "$triplet-gcc" -o "$scratch/probe" "$scratch/probe.c"
quietly qemu-s390x -L "$libc" "$scratch/probe"

# What these look at is the kernel's handling of memory: see usage(). The models of
# IOMMUs find out with madvise what could be pinned, and one test of type1 asks the
# kernel itself.
real_memory=(test_backing test_backing_calls test_backing_faults
    test_backing_made test_backing_odd test_backing_real test_backing_refused
    test_backing_usage test_device_keep test_dma_models test_dma_type1
    test_kernel_pins test_populate)
python3 - "$build" "${real_memory[@]}" >"$scratch/tests" <<'END'
import json
import sys

with open(sys.argv[1] + "/meson-info/intro-tests.json",
          encoding="utf-8") as file:
    tests = json.load(file)
for test in tests:
    suites = {suite.partition(":")[2] for suite in test["suite"]}
    if test["name"] not in sys.argv[2:] and (
            suites & {"unit", "property", "conformance"} or
            test["name"] == "vectors"):
        print(test["name"])
END
mapfile -t tests <"$scratch/tests"
[ "${#tests[@]}" -gt 0 ] || fail "there are no tests to run"

# This builds what these tests need, and no more.
if ! meson test -C "$build" --timeout-multiplier 5 --print-errorlogs \
    "${tests[@]}" >"$scratch/log" 2>&1; then
    tail -n 200 "$scratch/log"
    exit 1
fi
python3 - "$build/meson-logs/testlog.json" "${#tests[@]}" \
    "${real_memory[@]}" <<'END'
import json
import re
import sys

nr_ran = nr_cases = nr_vectors = 0
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        record = json.loads(line)
        out = record.get("stdout", "")
        nr_ran += record["result"] in ("OK", "SKIP")
        nr_cases += len(re.findall(r"^\[ +OK \] ", out, flags=re.M))
        for count in re.findall(r"^(\d+) passed, 0 failed", out, flags=re.M):
            nr_vectors += int(count)
if nr_ran < int(sys.argv[2]) or nr_cases == 0 or nr_vectors == 0:
    sys.exit(f"{nr_ran} of {sys.argv[2]} programs, {nr_cases} cases and "
             f"{nr_vectors} vectors ran: that is not enough")
print(f"FIGURE: interface: as s390x, big endian: {nr_ran} programs, {nr_cases} cases, "
      f"{nr_vectors} vectors")
print("not run, because qemu-user has no real madvise and no VFIO:",
      ", ".join(sys.argv[3:]))
END
