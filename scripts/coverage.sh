#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# How much of the library the suites run, measured with gcov and gcovr.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/coverage.sh [--write]

Builds with gcov, runs the suites, and prints how many lines and branches of
libvmem/ ran. Fails below 97 % of lines or 90 % of branches, and for what did
not run and has no reason in docs/coverage.md.

  --write  put what did not run into docs/coverage.md, for a reason to be added

VMEM_BUILD_DIR  where to build (build/)
END
}

options=()
for argument; do
    case $argument in
    --write) options+=(--write) ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

skip_without gcov gcovr

choose_build_top
dir=$build_top/coverage

# Threads count too. What sanitizers and other settings would add is not measured.
configure_and_build coverage -Dbuildtype=debug -Db_coverage=true \
    -Dc_args=-fprofile-update=atomic -Dtests=enabled -Dtools=enabled \
    -Ddocs=disabled
find "$dir" -name '*.gcda' -delete

# Not the suite stress: what only threads that meet by chance reach is not
# covered; but its table of calls, of the suite docs. Not the examples, which are built outside this tree.
status=0
if ! meson test -C "$dir" --no-rebuild --quiet --timeout-multiplier 4 \
    --suite unit --suite conformance --suite property --suite tools \
    --suite fuzz --suite faults --suite docs >"$dir.log" 2>&1; then
    tail -n 40 "$dir.log"
    echo "not all of these tests pass, so less may be reached"
    status=1
fi

# Each object once, whichever program it is in; a branch is one that gcov -b
# shows. The filter is relative to the working directory.
cd "$root"
gcovr --root "$root" --object-directory "$dir" --filter 'libvmem/' \
    --json "$dir/coverage.json" "$dir" >"$dir.log" 2>&1 || {
    tail -n 40 "$dir.log"
    exit 1
}
folders=()
for folder in "$root"/libvmem/*/; do
    folders+=("libvmem/$(basename "$folder")/")
done
python3 "$root/scripts/uncovered.py" --root "$root" --table suites \
    --lines 97 --branches 90 "${options[@]}" "$dir/coverage.json" \
    "${folders[@]}" || status=1
exit "$status"
