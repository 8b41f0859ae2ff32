#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Lines of the source that a list quotes are in the source: the faults of
tests/mutants.txt, and the places of docs/coverage.md. What reads those lists runs
for long and seldom; this tells whoever changes a line at once.
"""

import os
import sys

import common

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, os.pardir, "scripts"))
# pylint: disable=wrong-import-position
import mutate  # noqa: E402
import uncovered  # noqa: E402


def check_mutants(root, problems):
    mutants = mutate.read_mutants(os.path.join(root, "tests/mutants.txt"))
    for mutant in mutants:
        try:
            mutant.find(root)
        except (OSError, ValueError) as error:
            problems.append(f"tests/mutants.txt: {error}")
    return len(mutants)


def check_coverage(root, problems):
    page = common.read(root, uncovered.PAGE)
    nr_rows = 0
    for table in uncovered.TABLES:
        for place, text in uncovered.read_table(page, *uncovered.markers(table)):
            nr_rows += 1
            name = place.partition(": ")[0]
            sources = {}
            if os.path.isfile(os.path.join(root, name)):
                sources[name] = uncovered.source_of(root, name)
            if not uncovered.has_line(sources, place, text):
                problems.append(f"{uncovered.PAGE}: {place} has no such line: "
                                f"{text}")
    return nr_rows


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    nr_lines = check_mutants(root, problems) + check_coverage(root, problems)
    common.finish("quoted", problems, nr_lines)


main()
