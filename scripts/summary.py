#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One line for each suite of a test run, and a failure for what did not run.

Reads what `meson test` has logged, what the build says there is to run, and
tests/suites.txt. Cases of cmocka and of Python's unittest count one by one.

A test that prints "FIGURE: AREA: TEXT" says how much was tried. Figures are kept
for the end of the run, where --show-figures prints them by area.
"""

import argparse
import json
import os
import re
import sys

WHEN = ["default", "ci", "all"]
TAIL_LINES = 60

# In the order in which they are shown; others follow.
AREAS = ["fuzzing", "faults", "threads", "exhaustive", "interface", "coverage"]


def read_suites(path):
    """[(suite, when, kinds of build)] in the order of the file."""
    suites = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if not words:
                continue
            if len(words) < 3 or words[1] not in WHEN:
                sys.exit(f"{path}: not understood: {line.strip()}")
            suites.append((words[0], words[1], words[2:]))
    return suites


def selected(suites, when, kind, only):
    return [name for name, its_when, kinds in suites
            if WHEN.index(its_when) <= WHEN.index(when) and kind in kinds
            and only in (None, name)]


def known_tests(build):
    """[(name as in the log, suites)] of all tests of a build."""
    path = os.path.join(build, "meson-info", "intro-tests.json")
    with open(path, encoding="utf-8") as file:
        tests = json.load(file)
    known = []
    for test in tests:
        project = test["suite"][0].split(":")[0] if test["suite"] else ""
        names = [suite.partition(":")[2] for suite in test["suite"]]
        names = [name for name in names if name]
        shown = project + (":" + "+".join(names) if names else "")
        known.append((f"{shown} / {test['name']}", names))
    return known


def read_log(path):
    """{name: record} of a run; an absent log is an empty run."""
    records = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                records[record["name"]] = record
    return records


def reasons_of(text):
    return [line.strip()[len("SKIP:"):].strip() for line in text.split("\n")
            if line.strip().startswith("SKIP:")]


def figures_of(text):
    """["AREA: TEXT"]"""
    return re.findall(r"^\s*FIGURE: (\w+: .*\S)\s*$", text, flags=re.M)


def count_unittest(text):
    """The same for Python's unittest, which is to run with verbosity 2."""
    passed = failed = 0
    skipped = []
    for line in text.split("\n"):
        match = re.match(r"(.*) \.\.\. (?:(ok)|(FAIL|ERROR)|skipped '(.*)')$",
                         line)
        if match is None:
            continue
        passed += match.group(2) is not None
        failed += match.group(3) is not None
        if match.group(4) is not None:
            skipped.append((match.group(1), match.group(4)))
    return passed, failed, skipped


def count_cases(record):
    """(passed, failed, [(skipped case, reason or None)], [(case that passed
    without some of its parts, reason)]) of one program."""
    out = record.get("stdout", "")
    err = record.get("stderr", "")
    result = record["result"]
    everywhere = reasons_of(out) + reasons_of(err)
    if result == "SKIP":
        return 0, 0, [(None, everywhere[0] if everywhere else None)], []
    passed = failed = 0
    skipped = []
    partly = []
    reasons = []
    if re.search(r"^Ran \d+ tests? in ", err, flags=re.M):
        passed, failed, skipped = count_unittest(err)
        if result not in ("OK", "EXPECTEDFAIL"):
            failed = max(failed, 1)
        return passed, failed, skipped, []
    is_cmocka = False
    for line in out.split("\n"):
        match = re.match(r"\[ *(RUN|OK|FAILED|SKIPPED|=+) *\] ?(.*)", line)
        if match is None:
            reasons += reasons_of(line)
            continue
        is_cmocka = True
        word, case = match.groups()
        if re.match(r"\d+ test", case):
            continue
        if word == "RUN":
            reasons = []
        elif word == "OK":
            passed += 1
            partly += [(case, reason) for reason in dict.fromkeys(reasons)]
        elif word == "FAILED":
            failed += 1
        elif word == "SKIPPED":
            skipped.append((case, (reasons + reasons_of(err) + [None])[0]))
    if result not in ("OK", "EXPECTEDFAIL"):
        failed = max(failed, 1)
    elif not is_cmocka:
        passed = 1
        partly = [(None, reason) for reason in dict.fromkeys(everywhere)]
    return passed, failed, skipped, partly


def proofs_of(record):
    """[(case, text)] of what passed and says what it proved, with numbers."""
    proofs = []
    case = None
    for line in record.get("stdout", "").split("\n"):
        match = re.match(r"\[ *RUN *\] (.*)|PROVED: (.*)", line)
        if match and match.group(1):
            case = match.group(1)
        elif match:
            proofs.append((case, match.group(2)))
    return proofs


class Suite:
    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.start = None
        self.end = None
        self.notes = []
        self.figures = []

    def add(self, short, record):
        self.figures += figures_of(record.get("stdout", ""))
        passed, failed, skipped, partly = count_cases(record)
        self.passed += passed
        self.failed += failed
        self.skipped += len(skipped)
        start = record.get("starttime", 0)
        end = start + record.get("duration", 0)
        self.start = start if self.start is None else min(self.start, start)
        self.end = end if self.end is None else max(self.end, end)
        for case, text in proofs_of(record):
            what = short if case is None else f"{short}: {case}"
            self.notes.append(f"{what}: {text}")
        for case, reason in skipped:
            what = short if case is None else f"{short}: {case}"
            if reason:
                self.notes.append(f"skipped {what}: {reason}")
            else:
                self.failed += 1
                self.notes.append(f"skipped {what} without a reason, "
                                  "which counts as a failure")
        for case, reason in partly:
            what = short if case is None else f"{short}: {case}"
            self.notes.append(f"skipped a part of {what}: {reason}")
        if failed:
            self.notes.append(f"FAILED {short}: {record['result'].lower()} "
                              f"after {record.get('duration', 0):.1f} s, "
                              "its last lines:")
            text = record.get("stdout", "") + record.get("stderr", "")
            self.notes += ["    | " + line for line
                           in text.rstrip("\n").split("\n")[-TAIL_LINES:]]

    def miss(self, why):
        self.failed += 1
        self.notes.append(why)

    def show(self, label):
        seconds = 0 if self.start is None else self.end - self.start
        print(f"{self.name + label:<24} {self.passed:>6} passed, "
              f"{self.failed} failed, {self.skipped} skipped "
              f"{seconds:>8.1f} s")
        for note in self.notes:
            print(f"    {note}")


def summarise(names, listed, known, records):
    """Suites with their counts; what did not run is a failure."""
    suites = {name: Suite(name) for name in names}
    for shown, its_suites in known:
        for name in its_suites:
            if name in suites:
                if shown in records:
                    suites[name].add(shown.split(" / ", 1)[1], records[shown])
                else:
                    suites[name].miss(f"{shown} did not run")
                break
        unlisted = [name for name in its_suites if name not in listed]
        if unlisted or not its_suites:
            suite = suites.setdefault("unlisted", Suite("unlisted"))
            suite.miss(f"{shown}: its suite is not in suites.txt")
    for name in names:
        suite = suites[name]
        if suite.passed + suite.failed == 0:
            suite.miss("this suite ran no test")
    return list(suites.values())


def add_totals(path, suites):
    """Add to a file of three numbers: passed, failed, skipped."""
    totals = [0, 0, 0]
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            totals = [int(word) for word in file.read().split()] or totals
    for suite in suites:
        for i, number in enumerate((suite.passed, suite.failed,
                                    suite.skipped)):
            totals[i] += number
    with open(path, "w", encoding="utf-8") as file:
        print(*totals, file=file)


def add_figures(path, suites, label):
    with open(path, "a", encoding="utf-8") as file:
        for suite in suites:
            for figure in suite.figures:
                file.write(figure + label + "\n")


def show_figures(path):
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        figures = list(dict.fromkeys(file.read().splitlines()))
    by_area = {}
    for figure in figures:
        area, _, text = figure.partition(": ")
        by_area.setdefault(area, []).append(text)
    for area in sorted(by_area, key=lambda area: AREAS.index(area)
                       if area in AREAS else len(AREAS)):
        print(f"{area}:")
        for text in by_area[area]:
            print(f"    {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--suites", help="tests/suites.txt")
    parser.add_argument("--when", choices=WHEN, default="default")
    parser.add_argument("--kind", default="plain", help="kind of build")
    parser.add_argument("--only", help="this suite and no other")
    parser.add_argument("--list", action="store_true",
                        help="print the names of the suites to run and stop")
    parser.add_argument("--build", help="build directory that was tested")
    parser.add_argument("--log", help="its log, if not the usual one")
    parser.add_argument("--label", default="", help="shown behind the names")
    parser.add_argument("--totals", help="file to add the numbers to")
    parser.add_argument("--figures", help="file to add the figures to")
    parser.add_argument("--show-figures", action="store_true",
                        help="print the figures of that file and stop")
    args = parser.parse_args()

    if args.show_figures:
        show_figures(args.figures)
        return
    listed = read_suites(args.suites)
    names = selected(listed, args.when, args.kind, args.only)
    if args.list:
        print("\n".join(names))
        return
    log = args.log or os.path.join(args.build, "meson-logs", "testlog.json")
    suites = summarise(names, {name for name, _, _ in listed},
                       known_tests(args.build), read_log(log))
    for suite in suites:
        suite.show(args.label)
    if args.totals:
        add_totals(args.totals, suites)
    if args.figures:
        add_figures(args.figures, suites, args.label)
    sys.exit(1 if any(suite.failed for suite in suites) else 0)


main()
