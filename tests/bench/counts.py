#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Do the main paths still take as many instructions as they did?

Counts the instructions that the library executes for one operation, which no
other program on the machine changes, and compares them with the figures that
are checked in. They hold for one compiler; with another one there is nothing to
compare with, and the test is skipped.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOLERANCE = 0.05
LIBRARY = re.compile(r"libvmem\.so")


def skip(why):
    print(f"SKIP: {why}")
    sys.exit(77)


def read_figures(path):
    """({key: value} of what they hold for, {path: instructions})"""
    conditions = {}
    figures = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "for":
                conditions[words[1]] = " ".join(words[2:])
            else:
                figures[words[0]] = float(words[1])
    return conditions, figures


def count_in(path):
    """Instructions in the library itself, of a file of callgrind."""
    total = 0
    inside = False
    called = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("ob="):
                inside = LIBRARY.search(line) is not None
            elif line.startswith("calls="):
                called = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                # The line after "calls=" has what the called function cost.
                if inside and not called:
                    total += int(line.split()[1])
                called = False
    return total


def measure(program, name):
    """Instructions of the library for one operation of a path."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=measured",
             "--compress-strings=no", "--compress-pos=no",
             f"--callgrind-out-file={out}", program, name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr}")
        return count_in(out) / int(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("program", help="the built counts program")
    parser.add_argument("figures", help="counts.txt")
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--options", required=True)
    parser.add_argument("--update", action="store_true",
                        help="write the figures instead")
    args = parser.parse_args()

    here = {"compiler": args.compiler, "machine": args.machine,
            "options": args.options}
    if shutil.which("valgrind") is None:
        skip("valgrind is not installed")
    wanted, figures = read_figures(args.figures)
    if wanted != here and not args.update:
        skip("the figures are for " + ", ".join(wanted.values()) + "; this is "
             + ", ".join(here.values()))
    names = subprocess.run([args.program, "--list"], stdout=subprocess.PIPE,
                           text=True, check=True).stdout.split()
    found = {name: measure(args.program, name) for name in names}
    if not any(found.values()):
        skip("the library is linked statically, its instructions cannot be "
             "told from the program's")
    if args.update:
        with open(args.figures, "w", encoding="utf-8") as file:
            file.write("# Instructions of the library for one operation, and "
                       "what they were counted with.\n# Written by "
                       "counts.py --update.\n")
            for key, value in here.items():
                file.write(f"for {key} {value}\n")
            for name, number in found.items():
                file.write(f"{name} {number:.1f}\n")
        return
    problems = 0
    for name in sorted(set(names) | set(figures)):
        if name not in figures or name not in found:
            print(f"{name}: not in both the program and the figures")
            problems += 1
            continue
        change = found[name] / figures[name] - 1
        verdict = ""
        if abs(change) > TOLERANCE:
            verdict = "  MORE than 5 %" if change > 0 else "  less by over 5 %"
            problems += 1
        print(f"{name:<30} {found[name]:>10.1f}  {figures[name]:>10.1f} "
              f"{change:>+7.1%}{verdict}")
    if problems:
        print("If this is meant, update tests/bench/counts.txt: "
              "tests/bench/counts.py --update does it.")
        sys.exit(1)


main()
