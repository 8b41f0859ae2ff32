#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Which test shows which rule: prints the table, and fails where it has a hole.

A test says what it shows in the line before it, /* Rule: PLG-03 */ for a rule
of the specification's checklist, /* Row: E18 */ for a mistake that others made.
docs/testing.md has the table, and the reason for each rule that has no test."""

import argparse
import os
import re
import sys

# How many there are of each, in the order of the table.
RULES = {"CFG": 18, "NEG": 7, "REQ": 11, "PLG": 10, "UNP": 9, "ALL": 6,
         "STA": 4, "MEM": 7, "RST": 4, "SUS": 4}
RULE_IDS = [f"{family}-{number:02}" for family, count in RULES.items()
            for number in range(1, count + 1)]
RULE_IDS += [f"REC-{number}" for number in range(1, 8)]
ROW_IDS = [f"E{number}" for number in range(1, 46)]
TE2_IDS = [f"TE2-{number}" for number in range(1, 19)]
BUG_IDS = [f"B{number}" for number in (*range(1, 36), *range(44, 50))]

DOC = "docs/testing.md"
BEGIN = "<!-- begin of the table that tests/conformance/table.py writes -->"
END = "<!-- end of the table -->"

TAG = re.compile(r"^/\* (Rule|Row): ([A-Z0-9 -]+) \*/\n", re.M)
TEST = re.compile(r"static void\s+(\w+)\(\s*void \*\*")
NAME = re.compile(r"`((?:test|prop)_\w+): (\w+)`")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def sources(root):
    """(module, text) of every test in C."""
    for folder in ("conformance", "unit", "property"):
        top = os.path.join(root, "tests", folder)
        for name in sorted(os.listdir(top)):
            if name.endswith(".c"):
                yield name[:-2], read(os.path.join(top, name))


def collect(root, problems):
    """The tests of each id, and all tests as (module, name)."""
    shown = {}
    tests = set()
    for module, text in sources(root):
        tests |= {(module, name) for name in TEST.findall(text)}
        for tag in TAG.finditer(text):
            test = TEST.match(text, tag.end())
            if test is None:
                problems.append(f"{module}: no test after {tag.group(0)!r}")
                continue
            name = test.group(1)
            if not re.search(rf"cmocka_unit_test\w*\(\s*{name}\b", text):
                problems.append(f"{module}: {name} is not run")
            known = RULE_IDS if tag.group(1) == "Rule" else ROW_IDS
            for ident in tag.group(2).split():
                if ident not in known:
                    problems.append(f"{module}: {name}: unknown {ident}")
                shown.setdefault(ident, []).append((module, name))
    return shown, tests


def rows(text):
    """Cells of each table row, by the id in the first one."""
    found = {}
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 2:
            found[cells[0]] = cells[1:]
    return found


def make_table(shown):
    lines = ["| rule | shown by |", "|---|---|"]
    for ident in RULE_IDS + ROW_IDS:
        if ident in shown:
            names = [f"`{module}: {name}`" for module, name in shown[ident]]
            lines.append(f"| {ident} | {', '.join(names)} |")
    return "\n".join(lines)


def check_doc(text, table, shown, tests, problems):
    before, begin, rest = text.partition(BEGIN)
    written, end, after = rest.partition(END)
    if not begin or not end:
        problems.append(f"{DOC}: the markers of the table are missing")
        return
    if written.strip() != table:
        problems.append(f"{DOC}: the table is old; run table.py --write")
    reasons = rows(before + after)
    for ident in RULE_IDS + ROW_IDS:
        if ident not in shown and ident not in reasons:
            problems.append(f"{ident} has neither a test nor a reason in {DOC}")
        if ident in shown and ident in reasons:
            problems.append(f"{ident} has tests, and a reason for none in "
                            f"{DOC}")
    for ident in TE2_IDS + BUG_IDS:
        if ident not in reasons:
            problems.append(f"{ident} is not in {DOC}")
    for module, name in NAME.findall(before + after):
        if (module, name) not in tests:
            problems.append(f"{DOC}: there is no test {module}: {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--write", action="store_true",
                        help=f"put the table into {DOC}")
    options = parser.parse_args()

    problems = []
    shown, tests = collect(options.root, problems)
    table = make_table(shown)
    path = os.path.join(options.root, DOC)
    text = read(path)
    if options.write:
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        text = f"{before}{BEGIN}\n{table}\n{END}{after}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(table)
    check_doc(text, table, shown, tests, problems)
    for problem in problems:
        print(f"table: {problem}", file=sys.stderr)
    nr_shown = sum(ident in shown for ident in RULE_IDS + ROW_IDS)
    print(f"table: {nr_shown} of {len(RULE_IDS) + len(ROW_IDS)} rules and rows "
          f"have tests, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
