# SPDX-License-Identifier: BSD-3-Clause
"""What the lints share: finding files, blanking comments, reporting."""

import argparse
import os
import re
import sys

SKIPPED_DIRS = {".git", "subprojects", "__pycache__"}


def root_from_args(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", required=True, help="top of the source tree")
    return os.path.abspath(parser.parse_args().root)


def walk(root, *tops, suffixes=()):
    """Paths below root/top with one of the suffixes, relative, sorted."""
    found = []
    for top in tops or ("",):
        for folder, dirs, files in os.walk(os.path.join(root, top)):
            inside = os.path.relpath(folder, root)
            dirs[:] = sorted(
                d for d in dirs if d not in SKIPPED_DIRS
                and not (inside == "." and d.startswith("build"))
                and not os.path.exists(os.path.join(folder, d,
                                                    "meson-private")))
            for name in files:
                if not suffixes or name.endswith(tuple(suffixes)):
                    path = os.path.join(folder, name)
                    found.append(os.path.relpath(path, root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8",
              errors="replace") as file:
        return file.read()


def _blank(match):
    text = match.group(0)
    if text.startswith("/"):
        return re.sub(r"[^\n]", " ", text)
    return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]


def code_only(text):
    """C text with comments and strings blanked; lines keep their numbers."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, _blank, text, flags=re.S)


def includes(text):
    """(line number, is quoted, path) of each include, comments ignored."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  text, flags=re.S)
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def finish(name, problems, nr_files):
    """Print problems, or one line that says what was looked at; exit."""
    for problem in problems:
        print(problem)
    if nr_files == 0:
        print(f"{name}: found no files to look at")
        sys.exit(1)
    if problems:
        print(f"{name}: {len(problems)} problem(s) in {nr_files} files")
        sys.exit(1)
    print(f"{name}: {nr_files} files are fine")
    sys.exit(0)
