#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints how many lines below some folders ran, and which did not.

Reads what "llvm-cov export -format=lcov" writes.
"""

import argparse
import sys


def read_lcov(path):
    """{source file: {line: runs}}"""
    files = {}
    lines = None
    with open(path, encoding="utf-8") as file:
        for row in file:
            row = row.rstrip("\n")
            if row.startswith("SF:"):
                lines = files.setdefault(row[3:], {})
            elif row.startswith("DA:"):
                number, runs = row[3:].split(",")[:2]
                number = int(number)
                lines[number] = max(lines.get(number, 0), int(runs))
    return files


def ranges(numbers):
    """[1, 2, 3, 7] as "1-3 7"."""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--minimum", type=float, default=0,
                        help="fail below so many percent")
    parser.add_argument("lcov")
    parser.add_argument("folder", nargs="+", help="such as libvmem/core/")
    args = parser.parse_args()

    sums = {folder: [0, 0] for folder in args.folder}
    for path, lines in sorted(read_lcov(args.lcov).items()):
        folder = next((f for f in args.folder if "/" + f in path), None)
        if folder is None or not lines:
            continue
        missed = [number for number, runs in lines.items() if runs == 0]
        nr_run = len(lines) - len(missed)
        sums[folder][0] += nr_run
        sums[folder][1] += len(lines)
        name = path[path.index("/" + folder) + 1:]
        print(f"{100 * nr_run / len(lines):6.1f} %  {nr_run:4} of "
              f"{len(lines):4}  {name}"
              + (f"  not: {ranges(missed)}" if missed else ""))
    nr_run = sum(s[0] for s in sums.values())
    nr_lines = sum(s[1] for s in sums.values())
    if nr_lines == 0:
        print("no lines below " + " ".join(args.folder))
        sys.exit(1)
    for folder, (run, total) in sums.items():
        print(f"{100 * run / max(total, 1):6.1f} %  {run:4} of {total:4}  "
              f"{folder}")
    percent = 100 * nr_run / nr_lines
    print(f"{percent:6.1f} %  {nr_run:4} of {nr_lines:4}  in all, "
          f"{args.minimum:g} % wanted")
    sys.exit(0 if percent >= args.minimum else 1)


main()
