#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run a program and compare what it prints. Usage: EXPECTED COMMAND..."""

import difflib
import subprocess
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        expected = file.read()
    done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode == 77:
        print(done.stdout, end="")
        sys.exit(77)
    if done.returncode != 0:
        print(done.stdout, end="")
        print(f"exit status {done.returncode}")
        sys.exit(1)
    diff = list(difflib.unified_diff(expected.splitlines(),
                                     done.stdout.splitlines(),
                                     "expected", "printed", lineterm=""))
    print("\n".join(diff) or "as expected")
    sys.exit(1 if diff else 0)


main()
