#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each porting guide has a place for every function and every callback.

In the tables of docs/guide/porting-*.md each function of the version script,
each callback of a table of callbacks and each type of a callback has one row:
its name, where in the VMM it goes to, or why the port does not need it. What
the headers do not have is in no table.
"""

import os
import re

import common

OVERVIEW = "docs/guide/porting.md"
MAP = "libvmem/libvmem.map"
NAME = re.compile(r"\bvmem_\w+(?:::\w+)?")
# Dashes and "none" are no reason.
MIN_WORDS = 2


def functions(root):
    return {name + "()"
            for name in re.findall(r"\b(vmem_\w+);", common.read(root, MAP))}


def callbacks(root):
    found = set()
    for path in common.walk(root, "include/vmem", suffixes=(".h",)):
        text = common.code_only(common.read(root, path))
        found.update(re.findall(r"\btypedef\s+\w+\s+\(\*(vmem_\w+_fn)\)", text))
        for struct, body in re.findall(r"\bstruct\s+(vmem_\w+_ops)\s*\{(.*?)\n\}",
                                       text, flags=re.S):
            found.update(f"{struct}::{member}"
                         for member in re.findall(r"\(\*(\w+)\)\s*\(", body))
    return found


def rows(text):
    """(names, where) of each row of a table that begins with names."""
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 2 and NAME.search(cells[0]):
            yield (re.findall(r"\bvmem_\w+\(\)|\bvmem_\w+(?:::\w+)?", cells[0]),
                   cells[1])


def check_page(path, text, wanted, problems):
    seen = set()
    for names, where in rows(text):
        for name in names:
            if name in seen:
                problems.append(f"{path}: {name} has two rows")
            if name not in wanted:
                problems.append(f"{path}: {name} has a row and is in no header")
            seen.add(name)
        if len(re.findall(r"[\w]+", where)) < MIN_WORDS:
            problems.append(f"{path}: {', '.join(names)}: neither a place nor a "
                            "reason")
    for name in sorted(wanted - seen):
        problems.append(f"{path}: no row for {name}: say where a port calls or "
                        "implements it, or why not")


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    wanted = functions(root) | callbacks(root)
    pages = [path for path in common.walk(root, os.path.dirname(OVERVIEW),
                                          suffixes=(".md",))
             if os.path.basename(path).startswith("porting-")]
    overview = common.read(root, OVERVIEW)
    for path in pages:
        text = common.read(root, path)
        check_page(path, text, wanted, problems)
        label = re.search(r"\{#(\w+)\}", text)
        if not label or f"@subpage {label.group(1)}" not in overview:
            problems.append(f"{OVERVIEW}: no subpage {path}")
    if not callbacks(root):
        problems.append("include/vmem: no callbacks")
    common.finish("porting", problems, len(pages))


main()
