#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The summary must not say that all is well when something did not run."""

import json
import os
import subprocess
import sys
import tempfile

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "..", "..", "scripts", "summary.py")

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] a block is plugged
[       OK ] a block is plugged
[ RUN      ] a huge page is plugged
SKIP: no huge pages here
[  SKIPPED ] a huge page is plugged
[ RUN      ] a block is unplugged
[       OK ] a block is unplugged
[==========] 3 test(s) run.
"""
FAILING = CMOCKA.replace("[       OK ] a block is unplugged",
                         "[  FAILED  ] a block is unplugged")
UNITTEST = """test_a (__main__.Case.test_a) ... ok
test_b (__main__.Case.test_b)
A replay is a replay. ... ok
test_c (__main__.Case.test_c) ... skipped 'no terminal'
test_d (__main__.Case.test_d) ... FAIL

----------------------------------------------------------------------
Ran 4 tests in 0.100s
"""
EMPTY = "[==========] Running 0 test(s).\n[==========] 0 test(s) run.\n"


def known(name, suite):
    return {"name": name, "suite": ["libvmem:" + suite]}


def ran(name, suite, result="OK", out="", err=""):
    return {"name": f"libvmem:{suite} / {name}", "result": result,
            "stdout": out, "stderr": err, "starttime": 1.0, "duration": 2.5,
            "returncode": 0}


BOTH = [known("a", "unit"), known("b", "lint")]

# What it is, tests of the build, log, exit status, words of the output, totals.
CASES = [
    ("all is well", BOTH,
     [ran("a", "unit", out=CMOCKA), ran("b", "lint")], 0,
     ["unit", "2 passed, 0 failed, 1 skipped", "2.5 s",
      "skipped a: a huge page is plugged: no huge pages here",
      "1 passed, 0 failed, 0 skipped"], (3, 0, 1)),
    ("a case leaves a part out", BOTH,
     [ran("a", "unit", out=CMOCKA.replace("[       OK ] a block is plugged",
                                          "SKIP: no room\nSKIP: no room\n"
                                          "[       OK ] a block is plugged")),
      ran("b", "lint", out="SKIP: no tool\n")], 0,
     ["skipped a part of a: a block is plugged: no room",
      "skipped a part of b: no tool"], (3, 0, 1)),
    ("a case says what it proved", BOTH,
     [ran("a", "unit", out=CMOCKA.replace("[       OK ] a block is unplugged",
                                          "PROVED: 512 bytes are gone\n"
                                          "[       OK ] a block is unplugged")),
      ran("b", "lint")], 0,
     ["    a: a block is unplugged: 512 bytes are gone\n"], (3, 0, 1)),
    ("cases of unittest", BOTH,
     [ran("a", "unit", "FAIL", err=UNITTEST), ran("b", "lint")], 1,
     ["2 passed, 1 failed, 1 skipped", "_c (__main__.Case.test_c): no terminal"],
     (3, 1, 1)),
    ("a case fails", BOTH,
     [ran("a", "unit", "FAIL", FAILING), ran("b", "lint")], 1,
     ["1 passed, 1 failed, 1 skipped", "FAILED a: fail"], (2, 1, 1)),
    ("all cases pass, and then the program crashes", BOTH,
     [ran("a", "unit", "FAIL", CMOCKA), ran("b", "lint")], 1,
     ["2 passed, 1 failed, 1 skipped"], (3, 1, 1)),
    ("a test takes too long", BOTH,
     [ran("a", "unit", "TIMEOUT"), ran("b", "lint")], 1,
     ["FAILED a: timeout"], (1, 1, 0)),
    ("a test did not run", BOTH, [ran("a", "unit", out=CMOCKA)], 1,
     ["libvmem:lint / b did not run"], (2, 1, 1)),
    ("a suite has no tests", [known("a", "unit")],
     [ran("a", "unit", out=CMOCKA)], 1, ["this suite ran no test"], (2, 1, 1)),
    ("a suite only skipped", BOTH,
     [ran("a", "unit", "SKIP", "SKIP: no kernel\n"), ran("b", "lint")], 1,
     ["skipped a: no kernel", "this suite ran no test"], (1, 1, 1)),
    ("a program without cases", BOTH,
     [ran("a", "unit", out=EMPTY), ran("b", "lint")], 1,
     ["this suite ran no test"], (1, 1, 0)),
    ("a suite that is not listed", BOTH + [known("c", "surprise")],
     [ran("a", "unit", out=CMOCKA), ran("b", "lint"), ran("c", "surprise")], 1,
     ["libvmem:surprise / c: its suite is not in suites.txt"], (3, 1, 1)),
    ("a skip without a reason", BOTH + [known("d", "lint")],
     [ran("a", "unit", out=CMOCKA), ran("b", "lint"), ran("d", "lint", "SKIP")],
     1, ["skipped d without a reason"], (3, 1, 2)),
    ("nothing ran", BOTH, None, 1, ["did not run"], (0, 2, 0)),
]


def run(folder, tests, log, *options):
    with open(os.path.join(folder, "suites.txt"), "w",
              encoding="utf-8") as file:
        file.write("# comment\nunit default plain asan\nlint ci plain\n"
                   "lab all plain\n")
    for name, lines in (("meson-info/intro-tests.json", [tests]),
                        ("meson-logs/testlog.json", log)):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path))
        if lines is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
    totals = os.path.join(folder, "totals")
    done = subprocess.run(
        [sys.executable, "-B", SCRIPT, "--suites",
         os.path.join(folder, "suites.txt"), "--when", "ci", "--build", folder,
         "--totals", totals, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    with open(totals, encoding="utf-8") as file:
        numbers = tuple(int(word) for word in file.read().split())
    return done.returncode, done.stdout, numbers


def figures():
    """Figures of two builds, by area, each once, as they are shown."""
    out = "FIGURE: threads: 7 rounds\nFIGURE: faults: 3 sites\nFIGURE: odd\n"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures")
        for build, label in (("one", ""), ("two", ""), ("three", " (again)")):
            inside = os.path.join(folder, build)
            os.mkdir(inside)
            run(inside, BOTH, [ran("a", "unit", out=out),
                               ran("b", "lint", out="FIGURE: odds: 1\n")],
                "--figures", path, "--label", label)
        done = subprocess.run(
            [sys.executable, "-B", SCRIPT, "--show-figures", "--figures", path],
            stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.split("\n")


SHOWN = ["faults:", "    3 sites", "    3 sites (again)",
         "threads:", "    7 rounds", "    7 rounds (again)",
         "odds:", "    1", "    1 (again)", ""]


def names(when, kind, *more):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "suites.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("a default plain\nb ci plain asan\nc all asan\n")
        done = subprocess.run(
            [sys.executable, "-B", SCRIPT, "--suites", path, "--when", when,
             "--kind", kind, "--list", *more],
            stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.split()


def main():
    failures = 0
    for what, tests, log, status, words, totals in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = run(folder, tests, log)
        if (found[0] != status or found[2] != totals
                or any(word not in found[1] for word in words)):
            failures += 1
            print(f"{what}: status {found[0]}, totals {found[2]}:\n{found[1]}")
    for arguments, expected in ((("default", "plain"), ["a"]),
                                (("ci", "plain"), ["a", "b"]),
                                (("all", "asan"), ["b", "c"]),
                                (("ci", "plain", "--only", "b"), ["b"])):
        if names(*arguments) != expected:
            failures += 1
            print(f"{arguments}: {names(*arguments)}, not {expected}")
    if figures() != SHOWN:
        failures += 1
        print(f"figures: {figures()}")
    print(f"{len(CASES) + 5} cases, {failures} failure(s)")
    sys.exit(1 if failures else 0)


main()
