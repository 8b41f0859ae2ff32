#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every place in the library that can fail has failed.

The places are found in the built program itself: in the code of libvmem every
call of vmemi_alloc0(), of the functions that make locks, and every call through a
pointer, which is how system calls and callbacks are made. all_sites writes down
which of them, by return address, were on the stack when something failed; for
calls of what cannot fail (discard of a listener, notifications, the clock) it is
enough that they were made. A place that was never met is a failure, unless the
list of exceptions has it, with its reason; so is an exception that is not needed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

# Calls by name that may fail. The inline functions of base/lock.h are compiled
# as such, because nothing is optimised.
DIRECT = {
    "vmemi_alloc0": "alloc",
    "vmemi_mutex_init": "lock",
    "vmemi_cond_init": "lock",
    "pthread_mutex_init": "lock",
    "__wrap_pthread_mutex_init": "lock",
    "pthread_cond_init": "lock",
    "__wrap_pthread_cond_init": "lock",
}

# x86-64 and aarch64.
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
CALL = {"call", "callq", "bl", "blr"}


class Site:
    def __init__(self, kind, address):
        self.kind = kind
        self.address = address  # of the instruction behind the call
        self.function = self.file = self.text = ""
        self.line = 0

    def show(self):
        return (f"{self.file}:{self.line}: {self.kind} in {self.function}(): "
                f"{self.text}")


def output_of(*command, stdin=None):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE,
                          text=True, check=True).stdout


def find_calls(program):
    """Sites of the whole program, and where its symbols are."""
    sites = []
    pending = None
    lines = output_of("objdump", "-d", "--no-show-raw-insn", program)
    for line in lines.split("\n"):
        match = INSTRUCTION.match(line)
        if match is None:
            continue
        address, name, operands = match.groups()
        if pending is not None:
            sites.append(Site(pending, int(address, 16)))
            pending = None
        if name not in CALL:
            continue
        target = re.search(r"<([^>+@]+)(?:@[^>]*)?>", operands)
        if name == "blr" or operands.startswith("*"):
            pending = "indirect"
        elif target and target.group(1) in DIRECT:
            pending = DIRECT[target.group(1)]
    return sites


def find_symbol(program, wanted):
    for line in output_of("nm", program).split("\n"):
        words = line.split()
        if len(words) == 3 and words[2] == wanted:
            return int(words[0], 16)
    return sys.exit(f"{program} has no symbol {wanted}")


def locate(program, sites, root):
    """Fills in function, file and line; keeps the sites in libvmem/."""
    # The call itself, not what is behind it.
    asked = "".join(f"{site.address - 1:x}\n" for site in sites)
    answers = output_of("addr2line", "-f", "-e", program,
                        stdin=asked).split("\n")
    sources = {}
    kept = []
    for site, function, place in zip(sites, answers[0::2], answers[1::2]):
        path, _, line = place.partition(":")
        # By its end: a compiler cache may have taken an object of the same source
        # from another copy of this tree.
        end = re.search(r"(?:^|/)(libvmem/\w+/\w+\.[ch])$",
                        os.path.normpath(path))
        if end is None or not os.path.exists(os.path.join(root, end.group(1))):
            continue
        path = end.group(1)
        site.function, site.file = function, path
        site.line = int(re.match(r"\d+", line).group(0))
        if path not in sources:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                sources[path] = file.read().split("\n")
        # A source that has been changed since the build may be shorter.
        site.text = "".join(sources[path][site.line - 1:site.line]).strip()
        kept.append(site)
    return kept


def read_hits(path, program):
    """{address in the program: set of words}."""
    hits = {}
    main = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[0] == "main":
                main = find_symbol(program, "main") - int(words[1], 16)
            else:
                hits[int(words[1], 16) + main] = set(words[2:])
    return hits


def read_exceptions(path):
    """[[file, function, text, enough, reason, times used]]"""
    exceptions = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            parts = [part.strip() for part in line.split("|")]
            if len(parts) != 5 or parts[3] not in ("passed", "never") or \
                    not parts[4]:
                sys.exit(f"{path}:{number}: not understood: {line}")
            exceptions.append(parts + [0])
    return exceptions


def functions_left_out(root):
    """Public functions that no operation calls."""
    folder = os.path.join(root, "tests", "faults")
    text = ""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".c"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text += file.read()
    with open(os.path.join(root, "libvmem", "libvmem.map"),
              encoding="utf-8") as file:
        exported = re.findall(r"\b(vmem_\w+);", file.read())
    return [name for name in exported
            if not re.search(r"\b" + name + r"\(", text)]


def judge(site, words, exceptions):
    """"failed", "reached", "excepted", or None."""
    if "failed" in words:
        return "failed"
    if "reached" in words and site.kind == "indirect":
        return "reached"
    for exception in exceptions:
        file, function, text, enough = exception[:4]
        if (file, function) == (site.file, site.function) and \
                text in site.text and (enough == "never" or "passed" in words):
            exception[5] += 1
            return "excepted"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--root", required=True, help="top of the source tree")
    parser.add_argument("--program", required=True, help="all_sites")
    parser.add_argument("--exceptions", help="places that cannot fail, or not "
                        "here, with reasons")
    parser.add_argument("--list", action="store_true",
                        help="print the sites and stop")
    args = parser.parse_args()

    machine = os.uname().machine
    if machine not in ("x86_64", "aarch64"):
        print(f"SKIP: calls are not recognised in code for {machine}")
        sys.exit(77)
    sites = locate(args.program, find_calls(args.program), args.root)
    if not sites:
        sys.exit("no call of the library was found: was it built with -g?")
    if args.list:
        for site in sorted(sites, key=lambda s: (s.file, s.line)):
            print(site.show())
        print(f"{len(sites)} sites")
        return

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "hits")
        done = subprocess.run([args.program, path], check=False)
        if done.returncode != 0:
            sys.exit(f"{args.program} failed: {done.returncode}")
        hits = read_hits(path, args.program)
    exceptions = read_exceptions(args.exceptions) if args.exceptions else []
    counts = {"failed": 0, "reached": 0, "excepted": 0}
    kinds = {}
    missed = []
    for site in sites:
        verdict = judge(site, hits.get(site.address, set()), exceptions)
        kinds[site.kind] = kinds.get(site.kind, 0) + 1
        if verdict is None:
            missed.append(site)
        else:
            counts[verdict] += 1
    for site in sorted(missed, key=lambda s: (s.file, s.line)):
        words = " ".join(sorted(hits.get(site.address, {"not even reached"})))
        print(f"NEVER FAILED {site.show()} ({words})")
    unused = [exception for exception in exceptions if exception[5] == 0]
    for exception in unused:
        print("this exception is not needed: " + " | ".join(exception[:5]))
    left_out = functions_left_out(args.root)
    for name in left_out:
        print(f"{name}: no operation calls it")
    print(f"FIGURE: faults: {len(sites)} sites ("
          + ", ".join(f"{number} {kind}" for kind, number
                      in sorted(kinds.items()))
          + f"): {counts['failed']} failed, {counts['reached']} cannot fail and "
          f"were reached, {counts['excepted']} excepted, {len(missed)} missed")
    sys.exit(1 if missed or unused or left_out else 0)


main()
