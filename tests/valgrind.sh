#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs a test under valgrind, for meson test --setup=valgrind.
# Usage: valgrind.sh VALGRIND PROGRAM ARGUMENT...
set -euo pipefail

valgrind=$1
program=$2
shift 2

case $(basename "$program") in
unit_test_backing | unit_test_backing_* | unit_test_kernel_pins)
    # It does not know PAGEMAP_SCAN, and takes what the kernel wrote for memory
    # that nobody wrote.
    echo "SKIP: measures the memory of the process, which is also valgrind's"
    exit 77
    ;;
unit_test_counts)
    echo "SKIP: measures the time of the processor"
    exit 77
    ;;
unit_test_bitmap_exhaustive)
    echo "SKIP: millions of ranges, of which test_bitmap tries the edges"
    exit 77
    ;;
python* | *.py | *.sh)
    echo "SKIP: a script"
    exit 77
    ;;
esac

exec "$valgrind" --quiet --leak-check=full --error-exitcode=99 \
    --num-callers=20 "$program" "$@"
