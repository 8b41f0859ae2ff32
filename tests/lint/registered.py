#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A file that no build file names is a file that silently does nothing."""

import os
import re

import common

# Folder, suffix, build file that must name it.
RULES = [
    ("libvmem", ".c", "libvmem/meson.build"),
    ("include/vmem", ".h", "include/vmem/meson.build"),
    ("tools", ".c", "tools/meson.build"),
    ("examples", ".c", "examples/meson.build"),
    ("tests/support", ".c", "tests/meson.build"),
    ("tests/unit", ".c", "tests/meson.build"),
    ("tests/conformance", ".c", "tests/meson.build"),
    ("tests/property", ".c", "tests/meson.build"),
    ("tests/fuzz", ".c", "tests/fuzz/meson.build"),
    ("tests/faults", ".c", "tests/faults/meson.build"),
    ("tests/faults", ".py", "tests/faults/meson.build"),
    ("tests/stress", ".c", "tests/stress/meson.build"),
    ("tests/stress", ".py", "tests/stress/meson.build"),
    ("tests/lab", ".c", "tests/lab/meson.build"),
    ("tests/bench", ".c", "tests/bench/meson.build"),
    ("tests/model", ".c", "tests/meson.build"),
]

# Not tests, and not run by themselves.
HELPERS = {"tests/lint/common.py"}


def names_of(root, path):
    """What a build file names in quotes."""
    full = os.path.join(root, path)
    if not os.path.exists(full):
        return set()
    text = re.sub(r"#.*", "", common.read(root, path))
    return set(re.findall(r"'([^'\n]+)'", text))


def main():
    root = common.root_from_args(__doc__)
    problems = []
    nr_files = 0
    for top, suffix, build in RULES:
        names = names_of(root, build)
        for path in common.walk(root, top, suffixes=(suffix,)):
            nr_files += 1
            inside = os.path.relpath(path, os.path.dirname(build))
            base = os.path.basename(path)
            if not {inside, base, os.path.splitext(inside)[0],
                    os.path.splitext(base)[0]} & names:
                problems.append(f"{path}: {build} does not name it")
    names = names_of(root, "tests/meson.build")
    for path in common.walk(root, "tests/lint", "tests/abi", "tests/tools",
                            "tests/rust", "tests/package",
                            suffixes=(".py", ".sh")):
        nr_files += 1
        if path in HELPERS:
            continue
        base = os.path.basename(path)
        if not {path[len("tests/"):], base, os.path.splitext(base)[0]} & names:
            problems.append(f"{path}: tests/meson.build does not name it")
    umbrella = "include/vmem/vmem.h"
    if os.path.exists(os.path.join(root, umbrella)):
        included = {path for _, _, path in
                    common.includes(common.read(root, umbrella))}
        for path in common.walk(root, "include/vmem", suffixes=(".h", ".h.in")):
            name = path[len("include/"):].removesuffix(".in")
            if path != umbrella and name not in included:
                problems.append(f"{path}: {umbrella} does not include it")
    common.finish("registered", problems, nr_files)


main()
