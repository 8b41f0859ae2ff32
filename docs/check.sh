#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds the reference with warnings as errors, and shows that what must be an
# error is one. Usage: check.sh DOXYGEN DOXYFILE ROOT
set -euo pipefail

doxygen=$1
doxyfile=$2
root=$3
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

make_scratch

# build NAME EXTRA-LINES: 0 if Doxygen had nothing to say.
build() {
    mkdir "$scratch/$1"
    {
        cat "$doxyfile"
        printf 'OUTPUT_DIRECTORY = "%s"\n%s\n' "$scratch/$1" "$2"
    } >"$scratch/$1/Doxyfile"
    "$doxygen" "$scratch/$1/Doxyfile" >"$scratch/$1/log" 2>&1
}

if ! build reference ''; then
    cat "$scratch/reference/log"
    exit 1
fi
echo "reference: $(find "$scratch/reference/html" -name '*.html' | wc -l) pages"
python3 -B "$root/tests/lint/links.py" --root "$root" \
    --html "$scratch/reference/html"

# Builds a made-up header with this text.
build_header() {
    rm -rf "$scratch/offender"
    printf '/** @file\n * @brief Made up. */\n%s\n' "$1" >"$scratch/made-up.h"
    build offender "INPUT = \"$scratch/made-up.h\"
USE_MDFILE_AS_MAINPAGE ="
}

# The text $1 must be refused, in the words $2.
refuse() {
    if build_header "$1"; then
        echo "this should have been refused: $1"
        exit 1
    fi
    if ! grep -q "$2" "$scratch/offender/log"; then
        echo "this was refused, but not because \"$2\": $1"
        cat "$scratch/offender/log"
        exit 1
    fi
}

good='/** Does. @param value  What. @return 0. */ int vmem_made_up(int value);'
if ! build_header "$good"; then
    echo "this should have passed: $good"
    cat "$scratch/offender/log"
    exit 1
fi
refuse 'int vmem_made_up(int value);' 'vmem_made_up.*is not documented'
refuse '/** Does. @return 0. */ int vmem_made_up(int value);' \
    'parameters of member vmem_made_up are not documented'
refuse '/** Does. @param value  What. */ int vmem_made_up(int value);' \
    'return type of member vmem_made_up is not documented'
refuse '/** Does. @param more  What. @return 0. */ int vmem_made_up(int value);' \
    "'more' of command @param is not found"
refuse '/** Does, see @ref nowhere. */ void vmem_made_up(void);' \
    "unable to resolve reference to 'nowhere'"
refuse '/** Is. */ struct vmem_made_up { int member; };' \
    'member.*of struct vmem_made_up is not documented'
refuse '#define VMEM_MADE_UP 1' 'VMEM_MADE_UP .*is not documented'
refuse '/** Does, see @snippet smallest-host.c nowhere */ void vmem_made_up(void);' \
    'nowhere.*snippet'
refuse '/** Does, see @snippet nowhere.c host */ void vmem_made_up(void);' \
    'nowhere.c.*not found'
echo "undocumented and wrongly documented interfaces are refused"
