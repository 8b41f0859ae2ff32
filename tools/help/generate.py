#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes what commands.py says in one of the forms in which it is needed.

usage: generate.py c|bash|vmemctl.1|vmem.7 VERSION OUTPUT [HEADER...]
"""

import os
import sys

import bash
import manual
import text_c


FORMS = {
    "c": text_c.write,
    "bash": bash.write,
    "vmemctl.1": manual.vmemctl,
    "vmem.7": manual.library,
}


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in FORMS:
        sys.exit(__doc__)
    form, version, output = sys.argv[1:4]
    text = FORMS[form](version, sys.argv[4:])
    partial = output + ".partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(partial, output)


if __name__ == "__main__":
    main()
