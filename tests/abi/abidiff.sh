#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The interface of the built library against the one of its first release.
set -euo pipefail

usage() {
    cat <<'END'
usage: abidiff.sh describe LIBRARY OUTPUT INCLUDE...
       abidiff.sh compare LIBRARY BASELINE INCLUDE...
       abidiff.sh selftest ROOT

  describe  writes what users of a library with debug information see
  compare   fails on everything but structs with struct_size that grew
  selftest  builds changed copies and shows which of them are refused
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
skip_without abidw abidiff
[ "$(uname -m)" = x86_64 ] || skip "the baseline is of x86_64"
make_scratch

# describe_like BASELINE LIBRARY OUTPUT INCLUDE... : BASELINE may be empty.
describe_like() {
    local options=()
    if [ -n "$1" ]; then
        options=(--like "$1")
    fi
    local library=$2
    local output=$3
    shift 3
    local folder
    for folder; do
        options+=(--include "$folder")
    done
    abidw --exported-interfaces-only --no-show-locs --no-comp-dir-path \
        --no-corpus-path --no-elf-needed --out-file "$scratch/full" "$library"
    python3 "$here/abixml.py" "${options[@]}" "$scratch/full" "$output"
}

describe() {
    describe_like "" "$@"
}

# same OLD NEW : 0 if nothing has changed, else what, on standard output.
same() {
    abidiff --harmless --no-show-locs "$1" "$2"
}

# compare LIBRARY BASELINE INCLUDE...
compare() {
    local library=$1
    local baseline=$2
    shift 2
    if [ ! -e "$baseline" ]; then
        echo "there is no $baseline: a new minor version needs one, which" \
            "scripts/abi-baseline.sh makes"
        exit 1
    fi
    if ! readelf -S "$library" | grep -q '\.debug_info'; then
        echo "SKIP: this build has no debug information"
        exit 77
    fi
    describe_like "$baseline" "$library" "$scratch/now" "$@"
    if ! same "$baseline" "$scratch/now"; then
        echo "the interface is no longer that of $(basename "$baseline" .abi);" \
            "before that version is released scripts/abi-baseline.sh records" \
            "it anew, later it needs another minor version"
        exit 1
    fi
    echo "FIGURE: interface: abidiff:" \
        "$(grep -c '<function-decl' "$scratch/now") functions are those of" \
        "$(basename "$baseline" .abi)"
}

# build_copy BASELINE OUTPUT
build_copy() {
    quietly meson compile -C "$scratch/build" vmem:shared_library
    describe_like "$1" "$scratch/build/libvmem/libvmem.so" "$2" \
        "$scratch/copy/include" "$scratch/build/include"
}

nr_changes=0
edited=()

# change NAME VERDICT FILE SED... : a copy with FILEs edited is accepted or
# refused.
change() {
    local name=$1
    local verdict=$2
    shift 2
    local file
    for file in "${edited[@]}"; do
        cp "$scratch/pristine/$file" "$scratch/copy/$file"
    done
    edited=()
    while [ "$#" -gt 0 ]; do
        sed -i "$2" "$scratch/copy/$1"
        if cmp -s "$scratch/copy/$1" "$scratch/pristine/$1"; then
            fail "$name: nothing to change in $1, this test is out of date"
        fi
        edited+=("$1")
        shift 2
    done
    build_copy "$scratch/first.abi" "$scratch/changed.abi" >"$scratch/note"
    local found=accepted
    same "$scratch/first.abi" "$scratch/changed.abi" >"$scratch/report" ||
        found=refused
    if [ "$found" != "$verdict" ]; then
        cat "$scratch/report"
        fail "$name: $found, should be $verdict"
    fi
    echo "$verdict: $name"
    nr_changes=$((nr_changes + 1))
}

selftest() {
    local root=$1
    unset DESTDIR CFLAGS LDFLAGS
    mkdir "$scratch/pristine" "$scratch/copy"
    cp -r "$root"/{include,libvmem,tools,examples,meson.build} \
        "$root"/{meson_options.txt,vmem.pc.in} "$scratch/pristine"
    cp -r "$scratch/pristine/." "$scratch/copy"
    quietly meson setup "$scratch/build" "$scratch/copy" --buildtype=debug \
        -Ddefault_library=shared -Dtests=disabled -Dtools=disabled \
        -Ddocs=disabled
    build_copy "" "$scratch/first.abi"

    local backing=include/vmem/backing.h
    local stats='/^struct vmem_backing_stats {/,/^};/'
    local ops='/^struct vmem_listener_ops {/,/^};/'
    local map=libvmem/libvmem.map
    change "nothing but a comment" accepted $backing '1a /* Made up. */'
    change "a member of a private struct" accepted libvmem/core/vm.h \
        's/^struct vmem_vm {/&\n    uint64_t made_up;/'
    change "a member at the end of a struct of results" accepted $backing \
        "$stats s/^};/    uint64_t made_up;\n&/"
    change "a callback at the end of a table" accepted \
        include/vmem/listener.h "$ops s/^};/    void (*made_up)(void *u);\n&/"
    change "a member at the end of vmem_error" accepted include/vmem/error.h \
        '/^struct vmem_error {/,/^};/ s/^};/    uint64_t made_up;\n&/'
    change "a member in the middle" refused $backing \
        "$stats s/^    uint64_t nr_discards;/    uint64_t made_up;\n&/"
    change "a member of another type" refused $backing \
        "$stats s/^    uint64_t nr_discards;/    int64_t nr_discards;/"
    change "a member with another name" refused $backing \
        "$stats s/^    uint64_t zeroed_bytes;/    uint64_t made_up;/" \
        libvmem/core/backing.c 's/stats\.zeroed_bytes/stats.made_up/'
    change "a struct that never grows" refused include/vmem/types.h \
        '/^struct vmem_range {/,/^};/ s/^};/    uint64_t made_up;\n&/'
    change "a function that is gone" refused $map '/vmem_device_notify_config;/d'
    change "another function" refused $map 's/^    vmem_vm_new;/&\n    vmemi_fail;/' \
        libvmem/base/error.h 's/^int vmemi_fail(/__attribute__((visibility("default"))) &/'
    change "a parameter of another type" refused \
        include/vmem/error.h 's/vmem_reason_name(uint32_t/vmem_reason_name(uint64_t/' \
        libvmem/base/error.c 's/vmem_reason_name(uint32_t/vmem_reason_name(uint64_t/'
    change "a parameter of another opaque type" refused \
        include/vmem/backing.h 's/vmem_backing_free(struct vmem_backing /vmem_backing_free(struct vmem_region /' \
        libvmem/core/backing.c 's/vmem_backing_free(struct vmem_backing \*backing/vmem_backing_free(struct vmem_region *made_up/; /^int vmem_backing_free/,/^{/ s/^{/{\n    struct vmem_backing *backing = (void *)made_up;/'
    change "another result" refused \
        include/vmem/error.h 's/char \*vmem_reason_name(/void *vmem_reason_name(/' \
        libvmem/base/error.c 's/char \*vmem_reason_name(/void *vmem_reason_name(/'
    echo "FIGURE: interface: abidiff: $nr_changes changed libraries were" \
        "built and judged"
}

command=${1:-}
case $command in
describe | compare)
    if [ "$#" -lt 4 ]; then
        usage >&2
        exit 2
    fi
    shift
    "$command" "$@"
    ;;
selftest)
    selftest "${2:?}"
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
