#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each invariant of docs/architecture.md names tests that exist and run.

A test is named as in docs/testing.md, "module: test"; a property test that has no
names inside by its module alone.
"""

import os
import re

import common

PAGE = "docs/architecture.md"
NR_INVARIANTS = 14
FOLDERS = ("tests/conformance", "tests/unit", "tests/property")


def tests_of(root):
    """The names of the tests that each module runs."""
    found = {}
    for path in common.walk(root, *FOLDERS, suffixes=(".c",)):
        text = common.read(root, path)
        defined = set(re.findall(r"static void\s+(\w+)\(\s*void \*\*", text))
        used = set(re.findall(r"cmocka_unit_test\w*\(\s*(\w+)", text))
        module = os.path.splitext(os.path.basename(path))[0]
        # Tables of tests go through a macro or a list of their own.
        found[module] = {name for name in defined
                         if name in used or len(re.findall(
                             rf"\b{name}\b", text)) > 1}
    return found


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    tests = tests_of(root)
    rows = dict(re.findall(r"^\| (I\d+) \|.*\|(.*)\|$", common.read(root, PAGE),
                           flags=re.M))
    wanted = [f"I{number}" for number in range(1, NR_INVARIANTS + 1)]
    for ident in sorted(set(rows) ^ set(wanted)):
        problems.append(f"{PAGE}: {ident} is {'unknown' if ident in rows else 'missing'}")
    for ident, cell in rows.items():
        names = re.findall(r"`([^`]+)`", cell)
        if not names:
            problems.append(f"{PAGE}: {ident} names no test")
        for entry in names:
            module, colon, name = entry.partition(": ")
            if module not in tests:
                problems.append(f"{PAGE}: {ident}: there is no module {module}")
            elif not colon and not module.startswith("prop_"):
                problems.append(f"{PAGE}: {ident}: which test of {module}?")
            elif colon and name not in tests[module]:
                problems.append(f"{PAGE}: {ident}: {module} does not run {name}")
    common.finish("invariants", problems, len(tests))


main()
