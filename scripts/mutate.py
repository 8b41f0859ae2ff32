#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutation test: every fault in tests/mutants.txt is applied to a copy of the
tree, alone; the unit, conformance and property suites must fail.

A fault is three lines: "@ FILE [N] | WHY", "- LINE", "+ LINE". LINE is compared
without leading white space and must occur once in FILE, or N says which one.
Exits 1 when fewer than 95 % are killed, or when a fault does not apply or build.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

BAR = 0.95
SUITES = {"unit", "conformance", "property"}
# Nothing of core/, virtio/ or dma/ is in these, and they are slow or touch the host.
LEFT_OUT = {"test_kernel_pins", "test_backing", "test_backing_calls",
            "test_backing_faults", "test_backing_made", "test_backing_real",
            "test_backing_refused", "test_backing_usage", "test_smaps",
            "test_trace", "test_vectors_read"}
# Enough to notice a fault; the full run has its own test.
FEWER_SEEDS = ["100", "400"]
TIMEOUT = 40


class Mutant:
    def __init__(self, number, path, nth, why, old, new):
        self.number, self.path, self.nth = number, path, nth
        self.why, self.old, self.new = why, old, new

    def is_meant(self, what):
        if what.isdigit():
            return self.number == int(what)
        return (self.path + "/").startswith(what.rstrip("/") + "/")

    def find(self, root):
        """The text of the file, and the index of the line that is meant."""
        with open(os.path.join(root, self.path), encoding="utf-8") as file:
            text = file.read()
        lines = text.splitlines()
        hits = [i for i, l in enumerate(lines) if l.strip() == self.old]
        if self.nth is None and len(hits) != 1 or \
                self.nth is not None and len(hits) < self.nth:
            raise ValueError(f"mutant {self.number}: {self.path}: line occurs "
                             f"{len(hits)} times: {self.old}")
        return text, hits[(self.nth or 1) - 1]

    def apply(self, root):
        """Returns the original text."""
        text, i = self.find(root)
        lines = text.splitlines(keepends=True)
        indent = lines[i][:len(lines[i]) - len(lines[i].lstrip())]
        lines[i] = indent + self.new + "\n"
        with open(os.path.join(root, self.path), "w", encoding="utf-8") as file:
            file.writelines(lines)
        return text

    def restore(self, root, text):
        with open(os.path.join(root, self.path), "w", encoding="utf-8") as file:
            file.write(text)


def read_mutants(path):
    mutants, head, old = [], None, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            mark, rest = line[0], line[1:].strip()
            if mark == "@":
                head = re.fullmatch(r"(\S+)(?: (\d+))? \| (.+)", rest)
                if head is None:
                    sys.exit(f"{path}:{number}: bad head line")
            elif mark == "-":
                old = rest
            elif mark == "+" and head is not None and old is not None:
                nth = int(head[2]) if head[2] else None
                mutants.append(Mutant(len(mutants) + 1, head[1], nth, head[3],
                                      old, rest))
                head = old = None
            else:
                sys.exit(f"{path}:{number}: unexpected line")
    return mutants


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, errors="replace",
                          check=False, **options)


def copy_tree(to):
    listed = run(["git", "ls-files", "-co", "--exclude-standard"])
    for name in listed.stdout.splitlines():
        if os.path.isfile(name):
            target = os.path.join(to, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(name, target)


def find_tests(build):
    found = json.loads(run(["meson", "introspect", "--tests", build]).stdout)
    tests = []
    for test in found:
        suites = {s.split(":")[-1] for s in test["suite"]}
        if not suites & SUITES or test["name"] in LEFT_OUT:
            continue
        command = list(test["cmd"])
        if "property" in suites:
            command = command[:1] + FEWER_SEEDS
        tests.append((test["name"], command, test.get("env") or {}))
    # The quick ones first: one failure is enough.
    return sorted(tests, key=lambda t: ("prop" in t[0], "exhaust" in t[0]))


def run_test(test):
    name, command, env = test
    try:
        code = run(command, timeout=TIMEOUT,
                   env=dict(os.environ, **env)).returncode
    except subprocess.TimeoutExpired:
        return f"{name} (hangs)"
    return None if code in (0, 77) else name


def first_failure(tests):
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        jobs = [pool.submit(run_test, test) for test in tests]
        for job in as_completed(jobs):
            if job.result() is not None:
                for other in jobs:
                    other.cancel()
                return job.result()
    return None


def try_mutant(mutant, root, build, tests):
    """Returns what killed it, or None."""
    text = mutant.apply(root)
    try:
        built = run(["ninja", "-C", build])
        if built.returncode != 0:
            raise ValueError(f"mutant {mutant.number} does not build:\n" +
                             built.stdout[-2000:])
        return first_failure(tests)
    finally:
        mutant.restore(root, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("only", nargs="*",
                        help="only these: a number, a file or a folder")
    arguments = parser.parse_args()
    mutants = read_mutants("tests/mutants.txt")
    if arguments.only:
        mutants = [m for m in mutants
                   if any(m.is_meant(what) for what in arguments.only)]
    if not mutants:
        parser.error("none of tests/mutants.txt is meant")
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.number:3} {mutant.path}: {mutant.why}")
        return 0
    killed = 0
    with tempfile.TemporaryDirectory(prefix="vmem-mutate-") as root:
        copy_tree(root)
        build = os.path.join(root, "build")
        setup = run(["meson", "setup", build, root, "-Dbuildtype=debug",
                     "-Doptimization=1", "-Ddocs=disabled",
                     "-Ddefault_library=static"])
        if setup.returncode != 0 or run(["ninja", "-C", build]).returncode != 0:
            sys.exit("the unchanged tree does not build:\n" +
                     setup.stdout[-2000:])
        tests = find_tests(build)
        failure = first_failure(tests)
        if failure is not None:
            sys.exit(f"the unchanged tree fails: {failure}")
        for mutant in mutants:
            start = time.monotonic()
            try:
                by = try_mutant(mutant, root, build, tests)
            except ValueError as error:
                sys.exit(str(error))
            killed += by is not None
            verdict = f"killed by {by}" if by is not None else "SURVIVED"
            print(f"{mutant.number:3} {mutant.path}: {mutant.why}: {verdict} "
                  f"({time.monotonic() - start:.0f} s)", flush=True)
    share = killed / len(mutants)
    print(f"mutants: {killed} of {len(mutants)} killed ({share:.1%}), the bar "
          f"is {BAR:.0%}")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
