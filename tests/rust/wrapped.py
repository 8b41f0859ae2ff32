#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The safe crate calls every function that vmem-sys declares, or says why not.

Usage: wrapped.py BINDINGS

vmem/unwrapped.txt lists "function: reason" for those that it does not call. What the
crate offers to others is used by one of its tests or examples.
"""

import os
import re
import sys


def read(folder):
    """All Rust source of a folder, without comments."""
    text = ""
    for path, _, files in os.walk(folder):
        for name in sorted(files):
            if name.endswith(".rs"):
                with open(os.path.join(path, name), encoding="utf-8") as file:
                    text += re.sub(r"//[^\n]*", "", file.read())
    return text


def reasons(text):
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, why = line.partition(":")
            found[name] = why.strip()
    return found


def problems(declared, wrapper, listed, users):
    """Each argument is text; what is wrong, a line each."""
    functions = set(re.findall(r"\bpub fn (vmem_\w+)", declared))
    called = set(re.findall(r"\b(?:vmem_)?sys::(vmem_\w+)", wrapper)) & functions
    why = reasons(listed)
    found = [] if functions and called else ["no functions found"]
    found += [f"{name}: not wrapped, and not listed with a reason"
              for name in sorted(functions - called - set(why))]
    found += [f"{name}: listed as not wrapped, but it is"
              for name in sorted(called & set(why))]
    found += [f"{name}: listed, but not declared"
              for name in sorted(set(why) - functions)]
    found += [f"{name}: listed without a reason"
              for name in sorted(why) if not why[name]]
    offered = set(re.findall(r"\bpub (?:unsafe )?fn (\w+)", wrapper))
    found += [f"{name}(): no test or example uses it" for name in sorted(offered)
              if not re.search(rf"\b{name}\b", users)]
    return found, len(functions), len(offered)


def selftest():
    """Each of these must be noticed."""
    declared = "pub fn vmem_a(); pub fn vmem_b();"
    wrapper = "pub fn a() { sys::vmem_a() }"
    good = (declared, wrapper, "# words\n\nvmem_b: is not needed\n", "x.a()")
    assert problems(*good)[0] == []
    for at, text, noticed in [
            (0, declared + " pub fn vmem_c();", "vmem_c: not wrapped"),
            (1, wrapper + " sys::vmem_b()", "vmem_b: listed as not"),
            (2, good[2] + "vmem_d: is not there", "vmem_d: listed, but not"),
            (2, "vmem_b:", "vmem_b: listed without a reason"),
            (3, "x.ab()", "a(): no test"),
            (0, "", "no functions")]:
        case = [*good[:at], text, *good[at + 1:]]
        if not any(words.startswith(noticed) for words in problems(*case)[0]):
            sys.exit(f"selftest: \"{noticed}\" was not noticed")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    selftest()
    crate = os.path.join(sys.argv[1], "vmem")
    with open(os.path.join(crate, "unwrapped.txt"), encoding="utf-8") as file:
        listed = file.read()
    found, nr_functions, nr_offered = problems(
        read(os.path.join(sys.argv[1], "vmem-sys")),
        read(os.path.join(crate, "src")), listed,
        read(os.path.join(crate, "tests")) +
        read(os.path.join(crate, "examples")))
    print("\n".join(found))
    print(f"{nr_functions} functions declared, {len(reasons(listed))} not "
          f"wrapped, {nr_offered} offered, {len(found)} problem(s)")
    sys.exit(1 if found else 0)


main()
