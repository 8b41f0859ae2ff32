#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each public function says since when it exists and on which threads.

Doxygen checks that parameters and return values are documented. These it does
not know, and of the values of enums Debian 12's says nothing.
"""

import os
import re

import common


def functions(text):
    """(line, name, comment before it) of each function declared VMEM_API."""
    pattern = (r"/\*\*((?:(?!\*/).)*)\*/\s*"
               r"VMEM_API\s[^;]*?\b(vmem_\w+)\s*\(")
    for match in re.finditer(pattern, text, flags=re.S):
        yield (text.count("\n", 0, match.start(2)) + 1, match.group(2),
               match.group(1))


def enumerators(text):
    """(line, enum, enumerators, comments) of each enum."""
    for match in re.finditer(r"^enum (\w+) \{(.*?)^\};", text,
                             flags=re.S | re.M):
        body = match.group(2)
        bare = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        yield (text.count("\n", 0, match.start()) + 1, match.group(1),
               len([part for part in bare.split(",") if part.strip()]),
               body.count("/**"))


def version_of(root):
    text = common.read(root, "meson.build")
    match = re.search(r"version: '(\d+)\.(\d+)\.\d+'", text)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    version = version_of(root)
    problems = []
    nr_functions = 0
    for path in common.walk(root, "include/vmem", suffixes=(".h", ".h.in")):
        if os.path.basename(path) == "macros.h":
            continue
        text = common.read(root, path)
        seen = 0
        for number, name, comment in functions(text):
            seen += 1
            where = f"{path}:{number}: {name}()"
            since = re.search(r"@since (\d+)\.(\d+)\s", comment)
            if since is None:
                problems.append(f"{where}: no @since")
            elif (int(since.group(1)), int(since.group(2))) > version:
                problems.append(f"{where}: @since names a version to come")
            if "@threads{" not in comment:
                problems.append(f"{where}: no @threads")
        for number, name, nr_values, nr_comments in enumerators(text):
            if nr_values != nr_comments:
                problems.append(f"{path}:{number}: enum {name}: {nr_values} "
                                f"values, {nr_comments} comments")
        declared = len(re.findall(r"^VMEM_API\b", text, flags=re.M))
        if seen != declared:
            problems.append(f"{path}: {declared} functions, "
                            f"{seen} of them with a comment")
        nr_functions += declared
    common.finish("contracts", problems, nr_functions)


main()
