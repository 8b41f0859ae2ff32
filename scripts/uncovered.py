#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How much of the library ran, and whether the rest is explained.

Reads what gcovr (--json) or llvm-cov (export -format=lcov) have written. A line
or a branch that did not run must be in a table of docs/coverage.md, with the
reason. With --write the table gets what is missing, for a reason to be added,
and loses what runs now.
"""

import argparse
import json
import os
import re
import sys

PAGE = "docs/coverage.md"
TABLES = ["suites", "fuzzing"]
HEAD = ["| where | line of the source | what did not run | why |",
        "|---|---|---|---|"]

# The other branch of an assertion is the end of the process; see docs/testing.md.
ASSERTION = "vmemi_assert("


class Line:
    def __init__(self):
        self.runs = 0
        self.branches = {}  # number: times taken

    def nr_missed(self):
        return sum(taken == 0 for taken in self.branches.values())


def read_gcovr(path):
    """{file: {number: Line}}"""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    files = {}
    for entry in data["files"]:
        lines = files.setdefault(entry["file"], {})
        for found in entry["lines"]:
            if found.get("gcovr/noncode"):
                continue
            line = lines.setdefault(found["line_number"], Line())
            line.runs += found["count"]
            for number, branch in enumerate(found["branches"]):
                line.branches[number] = (line.branches.get(number, 0)
                                         + branch["count"])
    return files


def read_lcov(path, root):
    """The same; llvm-cov's branches are left alone."""
    files = {}
    lines = {}
    with open(path, encoding="utf-8") as file:
        for row in file:
            row = row.rstrip("\n")
            if row.startswith("SF:"):
                lines = files.setdefault(os.path.relpath(row[3:], root), {})
            elif row.startswith("DA:"):
                number, runs = row[3:].split(",")[:2]
                lines.setdefault(int(number), Line()).runs += int(runs)
    return files


def source_of(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        return file.read().split("\n")


def function_of(source, number):
    """The function that a line is in, by the form that the source has."""
    for row in reversed(source[:number]):
        match = re.match(r"[A-Za-z_].*?\b(\w+)\((?!.*;)", row)
        if match:
            return match.group(1)
    return "?"


def missed_in(name, lines, source):
    """[(place, first line, its text, what did not run)]. Lines that follow each
    other in a function are one."""
    found = []
    is_going_on = False
    last = 0
    for number in sorted(lines):
        line = lines[number]
        text = source[number - 1].strip()
        if any(row.startswith("}") for row in source[last:number - 1]):
            is_going_on = False
        last = number
        if line.runs == 0:
            if not is_going_on:
                found.append((number, text, "line"))
            is_going_on = True
            continue
        is_going_on = line.nr_missed() > 0
        if is_going_on and not text.startswith(ASSERTION):
            found.append((number, text, "branch"))
    return [(f"{name}: {function_of(source, entry[0])}()", *entry)
            for entry in found]


def markers(table):
    return (f"<!-- begin of the table of {table} -->\n",
            f"<!-- end of the table of {table} -->\n")


def read_table(page, begin, end):
    """{(place, text): reason} between two markers."""
    if page.count(begin) != 1 or page.count(end) != 1:
        sys.exit(f"{PAGE}: the markers of the table are missing: {begin}")
    rows = {}
    for row in page.split(begin)[1].split(end)[0].split("\n"):
        cells = [cell.strip().replace("\\|", "|")
                 for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`"):
            rows[(cells[0].strip("`"), cells[1].strip("`"))] = cells[3]
    return rows


def write_table(entries, rows):
    lines = list(HEAD)
    seen = set()
    for place, _, text, what in entries:
        if (place, text) in seen:
            continue
        seen.add((place, text))
        shown = text.replace("|", "\\|")
        lines.append(f"| `{place}` | `{shown}` | {what} | "
                     f"{rows.get((place, text), '')} |")
    return "\n".join(lines) + "\n"


def has_line(sources, place, text):
    name, _, function = place.partition(": ")
    source = sources.get(name, [])
    return any(row.strip() == text
               and function_of(source, number) + "()" == function
               for number, row in enumerate(source, 1))


def percent(part, whole):
    return 100 * part / whole if whole else 100.0


def show_folders(files, folders):
    """Prints the numbers of each folder; (lines run, all, taken, all)."""
    totals = [0, 0, 0, 0]
    print(f"{'':<24} {'lines':>16} {'branches':>18}")
    for folder in folders:
        sums = [0, 0, 0, 0]
        for name, lines in files.items():
            if not name.startswith(folder):
                continue
            for line in lines.values():
                sums[0] += line.runs > 0
                sums[1] += 1
                sums[2] += len(line.branches) - line.nr_missed()
                sums[3] += len(line.branches)
        print(f"{folder:<24} {sums[0]:>5} of {sums[1]:>5} "
              f"{sums[2]:>8} of {sums[3]:>6}   "
              f"{percent(*sums[:2]):5.1f} % {percent(*sums[2:]):5.1f} %")
        totals = [a + b for a, b in zip(totals, sums)]
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--root", required=True, help="top of the source tree")
    parser.add_argument("--table", required=True,
                        choices=TABLES,
                        help=f"which table of {PAGE}")
    parser.add_argument("--lines", type=float, default=0,
                        help="fail below so many percent of lines")
    parser.add_argument("--branches", type=float, default=0,
                        help="fail below so many percent of branches")
    parser.add_argument("--write", action="store_true",
                        help="write the table instead of comparing")
    parser.add_argument("data", help="of gcovr, or of llvm-cov as lcov")
    parser.add_argument("folder", nargs="+", help="such as libvmem/core/")
    args = parser.parse_args()

    root = os.path.realpath(args.root)
    files = (read_gcovr(args.data) if args.data.endswith(".json")
             else read_lcov(args.data, root))
    files = {name: lines for name, lines in sorted(files.items())
             if name.startswith(tuple(args.folder)) and lines}
    if not files:
        sys.exit(f"{args.data}: nothing below " + " ".join(args.folder))
    sources = {name: source_of(root, name) for name in files}
    entries = [entry for name, lines in files.items()
               for entry in missed_in(name, lines, sources[name])]
    totals = show_folders(files, args.folder)

    path = os.path.join(root, PAGE)
    with open(path, encoding="utf-8") as file:
        page = file.read()
    begin, end = markers(args.table)
    rows = read_table(page, begin, end)
    if args.write:
        head, rest = page.split(begin)
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + begin + write_table(entries, rows) + end
                       + rest.split(end)[1])
        rows = dict.fromkeys(((e[0], e[2]) for e in entries), "to be written")

    problems = []
    listed = set()
    for place, number, text, what in entries:
        listed.add((place, text))
        if not rows.get((place, text)):
            problems.append(f"{place}: line {number}: {what} not reached, and no "
                            f"reason in {PAGE}: {text}")
    for place, text in rows:
        if not has_line(sources, place, text):
            problems.append(f"{PAGE}: {place} has no such line: {text}")
        elif (place, text) not in listed:
            print(f"reached this time, though {PAGE} lists it: {place}: {text}")
    lines, branches = percent(*totals[:2]), percent(*totals[2:])
    if lines < args.lines or branches < args.branches:
        problems.append(f"below the bar of {args.lines:g} % of lines"
                        + (f" and {args.branches:g} % of branches"
                           if args.branches else ""))
    print("\n".join(problems))
    area, who = (("coverage", "the suites reach") if args.table == "suites"
                 else ("fuzzing", "the corpora alone reach"))
    print(f"FIGURE: {area}: {who} {lines:.1f} % of {totals[1]} lines"
          + (f" and {branches:.1f} % of {totals[3]} branches"
             if totals[3] else "")
          + " of " + " ".join(args.folder) + f", {len(listed)} places listed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
