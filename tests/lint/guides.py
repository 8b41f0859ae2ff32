#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guides show what runs, and leave no public function out.

Every function of the version script is used in an example or named in a guide;
the tables of porting guides, which name all of them, do not count.
Guides contain no code but what Doxygen quotes from examples (it refuses a quote
of what is not there). Examples stay short.
"""

import os
import re

import common

GUIDES = "docs/guide"
MAP = "libvmem/libvmem.map"
MAX_LINES = 119

# What a script writes into a page is no explanation of anything.
GENERATED = re.compile(r"<!-- begin of .*?<!-- end of .*?-->", re.S)


def check_functions(root, pages, examples, problems):
    told = "".join(GENERATED.sub("", text) for path, text in pages.items()
                   if not os.path.basename(path).startswith("porting"))
    shown = "".join(common.code_only(text) for text in examples.values())
    words = set(re.findall(r"\bvmem_\w+", told + shown))
    functions = re.findall(r"\b(vmem_\w+);", common.read(root, MAP))
    for name in functions:
        if name not in words:
            problems.append(f"{name}(): in no example and no guide")
    if not functions:
        problems.append(f"{MAP}: no functions")


def check_quotes(root, pages, problems):
    for path, text in pages.items():
        blocks = re.findall(r"^```.*?^```|(?:^ {4}[^\n]*\n)+", text,
                            flags=re.M | re.S)
        for block in blocks:
            if re.search(r"\bvmem_\w+\(|;[ ]*$|#include", block, flags=re.M):
                first = block.strip().split("\n")[0]
                problems.append(f"{path}: code that nobody ran: {first}")
        for name in re.findall(r"[@\\](?:snippet|include)\S* (\S+)", text):
            if not os.path.exists(os.path.join(root, "examples", name)):
                problems.append(f"{path}: quotes {name}, which is no example")


def check_examples(root, examples, problems):
    for name, text in examples.items():
        stem, suffix = os.path.splitext(name)
        if suffix == ".out":
            continue
        nr_lines = text.count("\n")
        if nr_lines > MAX_LINES:
            problems.append(f"examples/{name}: {nr_lines} lines, "
                            f"{MAX_LINES} is the most")
        if stem + ".out" not in examples:
            problems.append(f"examples/{name}: what it prints is not in "
                            f"{stem}.out")
    build = common.read(root, "examples/meson.build")
    for name in examples:
        stem = os.path.splitext(name)[0]
        if f"'{stem}" not in build:
            problems.append(f"examples/{name}: examples/meson.build does not "
                            "name it")


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    pages = {path: common.read(root, path)
             for path in common.walk(root, GUIDES, suffixes=(".md",))}
    examples = {os.path.basename(path): common.read(root, path)
                for path in common.walk(root, "examples",
                                        suffixes=(".c", ".cc", ".rs", ".out"))
                if os.path.dirname(path) == "examples"}
    check_functions(root, pages, examples, problems)
    check_quotes(root, pages, problems)
    check_examples(root, examples, problems)
    common.finish("guides", problems, len(pages) + len(examples))


main()
