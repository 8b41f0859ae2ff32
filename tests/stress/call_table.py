#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares docs/guide/threads.md with what each call does in each callback.

call_table, the program, tries them all and prints the tables. With --write the
page gets them; otherwise a difference is a failure. A public function that is in
no group is one too.
"""

import argparse
import os
import re
import subprocess
import sys

PAGE = "docs/guide/threads.md"
BEGIN = "<!-- begin of the tables that tests/stress/call_table.py writes -->\n"
END = "<!-- end of the tables -->\n"


def tables_of(program):
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        rows = [line for line in done.stdout.split("\n")
                if not line.startswith("|")]
        sys.exit("\n".join(rows) + "\nthe calls of a group must agree, and do "
                 "what they should where they are allowed")
    return done.stdout


def functions_of(version_script):
    with open(version_script, encoding="utf-8") as file:
        return set(re.findall(r"\b(vmem_\w+);", file.read()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--root", required=True, help="top of the source tree")
    parser.add_argument("--program", required=True, help="call_table")
    parser.add_argument("--write", action="store_true",
                        help="write the tables instead of comparing")
    args = parser.parse_args()

    tables = tables_of(args.program)
    tried = set(re.findall(r"`(vmem_\w+)`", tables))
    exported = functions_of(os.path.join(args.root, "libvmem/libvmem.map"))
    problems = [f"{name}: exported, but tried in no callback"
                for name in sorted(exported - tried)]
    problems += [f"{name}: tried, but not exported"
                 for name in sorted(tried - exported)]

    path = os.path.join(args.root, PAGE)
    with open(path, encoding="utf-8") as file:
        page = file.read()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        sys.exit(f"{PAGE}: the markers of the tables are missing")
    head, rest = page.split(BEGIN)
    found, tail = rest.split(END)
    if args.write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + BEGIN + tables + END + tail)
    elif found != tables:
        old, new = found.split("\n"), tables.split("\n")
        problems += ["in the page:  " + line for line in old if line not in new]
        problems += ["in the build: " + line for line in new if line not in old]
        problems.append(f"{PAGE} is out of date: run call_table.py --write")
    for problem in problems:
        print(problem)
    rows = [line for line in tables.split("\n\n")[0].split("\n")
            if line.startswith("| ")][1:]
    nr_cells = sum(len(row.split("|")) - 3 for row in rows)
    print(f"FIGURE: threads: {len(tried)} functions tried in {len(rows)} "
          f"callbacks, {nr_cells} cells, {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)


main()
