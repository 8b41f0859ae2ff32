#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""README shows the code that runs, and the changelog begins with this version."""

import os
import re
import textwrap

import common

EXAMPLE = "examples/smallest-host.c"
MARK = "//! [host]\n"


def marked(text):
    """What is between the two marks, or None."""
    parts = text.split(MARK)
    return textwrap.dedent(parts[1]) if len(parts) == 3 else None


def check_quote(root, readme, problems):
    example = marked(common.read(root, EXAMPLE))
    if example is None:
        problems.append(f"{EXAMPLE}: needs two lines {MARK.strip()}")
        return
    blocks = re.findall(r"^```c\n(.*?)^```$", readme, flags=re.M | re.S)
    if blocks != [example]:
        problems.append(f"README.md: its C code is not the marked part of "
                        f"{EXAMPLE}")


def check_version(root, problems):
    match = re.search(r"version: '([\d.]+)'", common.read(root, "meson.build"))
    found = re.search(r"^## \[?([\d.]+)", common.read(root, "CHANGELOG.md"),
                      flags=re.M)
    if not match or not found or match.group(1) != found.group(1):
        problems.append("CHANGELOG.md: its first section is not of the version "
                        "in meson.build")


def main():
    root = common.root_from_args(__doc__)
    problems = []
    check_quote(root, common.read(root, "README.md"), problems)
    check_version(root, problems)
    common.finish("readme", problems, len(common.walk(root, suffixes=(".md",))))


main()
