#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Relative links of all pages lead somewhere, to headings as well.

With --html also those of the pages that Doxygen made there.
"""

import argparse
import html.parser
import os
import re
import urllib.parse

import common

FOREIGN = re.compile(r"[a-z][a-z0-9+.-]*:|//")


def prose(text):
    """Markdown without its code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`", "``", text)


def anchors_of(text):
    """What a page can be linked to by: headings, as forges name them, and
    labels."""
    found = set()
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for heading in re.findall(r"^#+ +(.+)$", text, flags=re.M):
        label = re.search(r"\{#([\w-]+)\}\s*$", heading)
        if label:
            found.add(label.group(1))
            heading = heading[:label.start()].rstrip()
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while slug + (f"-{number}" if number else "") in found:
            number += 1
        found.add(slug + (f"-{number}" if number else ""))
    return found


def check_markdown(root, problems):
    paths = common.walk(root, suffixes=(".md",))
    for path in paths:
        text = common.read(root, path)
        for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)",
                                 prose(text)):
            if FOREIGN.match(target):
                continue
            name, _, anchor = target.partition("#")
            inside = os.path.normpath(os.path.join(os.path.dirname(path),
                                                   name)) if name else path
            if not os.path.exists(os.path.join(root, inside)):
                problems.append(f"{path}: link to {target}, which is not there")
            elif anchor and inside.endswith(".md") and anchor not in anchors_of(
                    common.read(root, inside)):
                problems.append(f"{path}: link to {target}: {inside} has no "
                                f"heading {anchor}")
        for target in re.findall(r"`\./(\S+?)[`\s]", text):
            if not os.path.exists(os.path.join(root, target)):
                problems.append(f"{path}: ./{target} is not there")
    return len(paths)


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def check_html(folder, problems):
    pages = {path: Page(common.read(folder, path))
             for path in common.walk(folder, suffixes=(".html",))}
    for path, page in pages.items():
        for link in page.links:
            if FOREIGN.match(link):
                continue
            name, _, anchor = urllib.parse.unquote(link).partition("#")
            inside = os.path.normpath(os.path.join(os.path.dirname(path),
                                                   name)) if name else path
            if not os.path.exists(os.path.join(folder, inside)):
                problems.append(f"{path}: link to {link}, which is not there")
            elif anchor and inside in pages and anchor not in pages[
                    inside].anchors:
                problems.append(f"{path}: link to {link}, which has no such "
                                "anchor")
    if not pages:
        problems.append(f"{folder}: no pages")
    return len(pages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--root", required=True, help="top of the source tree")
    parser.add_argument("--html", help="folder of built pages")
    args = parser.parse_args()
    problems = []
    if args.html:
        nr_pages = check_html(os.path.abspath(args.html), problems)
    else:
        nr_pages = check_markdown(os.path.abspath(args.root), problems)
    common.finish("links", problems, nr_pages)


main()
