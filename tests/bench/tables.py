#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the tables of docs/performance.md from the lines of one whole run.

Each table stands between <!-- measured: NAME --> and <!-- end -->. What is said
about the figures is for a person to write.
"""

import argparse
import json
import re
import sys

import report

REGIONS = {"16G": 1 << 34, "1T": 1 << 40, "8T": 1 << 43, "64T": 1 << 46}
PAGES = {"4K": 1 << 12, "64K": 1 << 16}
PATTERNS = ["empty", "full", "idle", "slab", "pressure", "scatter", "random",
            "alternating"]


def size_of(text):
    """"64T" as a person writes it."""
    return re.sub(r"^(\d+)([KMGT])$", r"\1 \2iB", str(text))


def time_of(ns):
    return report.time_of(ns).replace("us", "µs")


def ratio_of(line):
    return report.ratio_of(line).replace(" of the speed", "")


class Lines:
    """The lines of a run, to be asked for."""

    def __init__(self, lines):
        self.lines = lines

    def find(self, name, reference=None, **params):
        return [line for line in self.lines if line["name"] == name
                and "curve" not in line and "left_out" not in line
                and reference in (None, line.get("reference"))
                and all(line["params"].get(key) == value
                        for key, value in params.items())]

    def one(self, name, reference=None, **params):
        found = self.find(name, reference, **params)
        if not found:
            sys.exit(f"nothing was measured of {name} {params}: is that a whole "
                     "run?")
        return found[0]


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells):
    return [row(*cells), "|" + "---|" * len(cells)]


def comparison(label, line):
    return row(label, time_of(line["ns"]), time_of(line["reference_ns"]),
               line["reference"], ratio_of(line))


# ---- the tables ----

def what_of(line):
    """The parameters that tell a line from others of its row."""
    params = line["params"]
    keys = [key for key in ("backing", "size", "region", "block", "page",
                            "pattern") if key in params]
    words = " ".join(size_of(params[key]) for key in keys)
    words += "".join(f" {params[key]} {key}" for key in ("blocks", "threads")
                     if key in params)
    return words.strip()


def bars(lines):
    yield from head("what", "bar", "measured", "")
    for _, words, bar, found in report.verdicts(lines.lines):
        measured = [line for line in found if "met" in line]
        if not measured:
            sys.exit(f"nobody measured: {words}")
        for is_met in (True, False):
            part = [line for line in measured if line["met"] == is_met]
            if not part:
                continue
            low, high = (ratio_of({"ratio": pick(line["ratio"] for line
                                                 in part)})
                         for pick in (min, max))
            span = low if low == high else f"{low} to {high}"
            count = "" if len(part) == len(measured) else \
                f", {len(part)} of {len(measured)}"
            if is_met:
                yield row(words, bar, span, "met" + count)
            else:
                where = "; ".join(what_of(line) for line in part)
                yield row(f"{words}: {where}", bar, span, "missed" + count)


def walks(lines):
    yield from head("map", "pattern", "runs", "libvmem, per run",
                    "find-next words", "ratio", "flag bytes", "ratio")
    for region, block in (("1T", "2M"), ("8T", "2M"), ("64T", "2M"),
                          ("1T", "4K")):
        for pattern in PATTERNS:
            where = {"region": region, "block": block, "pattern": pattern}
            words = lines.one("walk.region", "find-next words", **where)
            flags = lines.find("walk.region", "flag bytes", **where)
            yield row(f"{size_of(region)} / {size_of(block)}", pattern,
                      words["params"]["runs"], time_of(words["ns"]),
                      time_of(words["reference_ns"]), ratio_of(words),
                      time_of(flags[0]["reference_ns"]) if flags else "",
                      ratio_of(flags[0]) if flags else "")


def requests(lines):
    yield from head("request", "libvmem", "reference", "which is", "ratio")
    yield comparison("plug and unplug of one block, one thread in the process",
                     lines.one("request.pair", region="1T", threads=1))
    yield comparison("the same, two threads",
                     lines.one("request.pair", region="1T", threads=2))
    yield comparison("the same",
                     lines.one("request.pair.words", region="1T", threads=2))
    for nr in (1, 8, 64):
        yield comparison(f"the same, {nr} listener{'s' if nr > 1 else ''}",
                         lines.one("request.listeners", region="1T",
                                   listeners=nr))
    for pattern in ("full", "slab", "pressure", "random", "alternating"):
        yield comparison(f"plug and unplug of one block, {pattern}",
                         lines.one("request.pair.pattern", region="1T",
                                   pattern=pattern))
    for pattern in ("empty", "slab", "alternating"):
        yield comparison("each of a burst of 300 one-block unplugs, "
                         f"{pattern}",
                         lines.one("request.burst", region="1T",
                                   pattern=pattern))
    for pattern in ("empty", "slab", "alternating"):
        yield comparison("each of a storm of 524288 STATE requests, "
                         f"{pattern}",
                         lines.one("request.state-storm", region="1T",
                                   pattern=pattern))
    for pattern in ("full", "slab", "pressure", "random", "alternating"):
        yield comparison(f"UNPLUG ALL, 8 TiB, one listener, {pattern}",
                         lines.one("request.unplug-all", region="8T",
                                   pattern=pattern))
    yield comparison("each request of 16 recorded guests",
                     lines.one("trace", trace="all"))
    for trace, words in (("frag_kernel_61", "a fragmented guest"),
                         ("kdump_61", "a kdump kernel")):
        line = lines.one("trace", trace=trace)
        yield comparison(f"of these, {words} ({line['params']['requests']} "
                         "requests)", line)


def mappers(lines):
    yield from head("what", "calls", "mapper, per chunk", "loop", "ratio",
                    "allocations")
    for name, region, unmap, batches, words in (
            ("dma.request", "1T", "run", 0, "a guest plugs 100 MiB in one request "
             "and unplugs it, 1 TiB"),
            ("dma.request", "64T", "run", 0, "the same, 64 TiB"),
            ("dma.request", "1T", "each", 0, "the same, 1 TiB, exact unmaps"),
            ("dma.request", "1T", "run", 1, "the same, 1 TiB, with begin and "
             "commit"),
            ("dma.request", "64T", "run", 1, "the same, 64 TiB, with begin and "
             "commit"),
            ("dma.viommu", "1T", "each", 0, "a guest's IOMMU maps 50 blocks "
             "one by one and unmaps them in one request, 1 TiB"),
            ("dma.viommu", "64T", "each", 0, "the same, 64 TiB"),
            ("dma.attach", "16G", "run", 0, "attach 16 GiB, all of it plugged, and "
             "detach"),
            ("dma.attach", "1T", "run", 0, "the same, 1 TiB"),
            ("dma.attach", "1T", "each", 0, "the same, 1 TiB, exact unmaps")):
        line = lines.one(name, region=region, unmap=unmap, batches=batches)
        unmaps = line["counts"]["unmaps"]
        yield row(words, f"{line['counts']['maps']} maps, {unmaps} "
                  f"unmap{'s' if unmaps > 1 else ''}", time_of(line["ns"]),
                  time_of(line["reference_ns"]), f"{line['ratio']:.1f}",
                  line["counts"]["allocations"])


def questions(lines):
    yield from head("question", "libvmem", "reference", "which is", "ratio")
    for region, block, what, pattern in (
            ("8T", "2M", "page", "full"), ("8T", "2M", "block", "full"),
            ("8T", "2M", "whole", "full"), ("1T", "4K", "whole", "full"),
            ("8T", "2M", "block", "slab"), ("8T", "2M", "block", "random"),
            ("8T", "2M", "whole", "slab")):
        words = {"page": "this page", "block": "this block",
                 "whole": "this whole region"}[what]
        yield comparison(f"is {words} populated? {size_of(region)} / "
                         f"{size_of(block)}, {pattern}",
                         lines.one("is_populated", region=region, block=block,
                                   range=what, pattern=pattern))
    for pattern in ("full", "slab", "pressure", "random", "alternating"):
        yield comparison(f"a listener joins and leaves, 8 TiB, {pattern}",
                         lines.one("listener.replay", region="8T",
                                   pattern=pattern))
    for region, pattern in (("1T", "pressure"), ("64G", "full"),
                            ("64G", "slab"), ("64G", "alternating")):
        yield comparison("walk two sources (2 MiB, 4 KiB), "
                         f"{size_of(region)}, {pattern}, per run",
                         lines.one("combine.naive", region=region,
                                   pattern=pattern))
    for pattern in ("full", "slab", "alternating"):
        yield comparison(f"walk 1 GiB of 8 TiB, {pattern}",
                         lines.one("walk.window", region="8T",
                                   pattern=pattern))


def pages(lines):
    yield from head("region, blocks to pages", "pattern", "a whole bitmap",
                    "memset of 0xff", "ratio")
    for region, page in (("16G", "4K"), ("1T", "4K"), ("8T", "4K"),
                         ("64T", "4K"), ("1T", "64K")):
        nr_pages = REGIONS[region] // PAGES[page]
        for pattern in PATTERNS:
            line = lines.one("expand", region=region, page=page,
                             pattern=pattern)
            yield row(f"{size_of(region)}, 2 MiB to {size_of(page)}", pattern,
                      time_of(line["ns"] * nr_pages),
                      time_of(line["reference_ns"] * nr_pages), ratio_of(line))


MEMORY = {
    "discard": "discard, against the same calls",
    "discard.by-block": "discard, against the same calls block by block",
    "discard.empty": "discard of nothing, against block by block",
    "populate": "populate",
    "populate.host-threads": "populate with two threads of the host",
    "populate.threads": "populate with two threads of the library",
}


def memory(lines):
    yield from head("memory", "what", "libvmem, per 2 MiB", "raw",
                    "speed against raw", "system calls")
    for line in lines.lines:
        if line["name"] in MEMORY and "left_out" not in line:
            params = line["params"]
            yield row(f"{params['backing']}, {size_of(params['size'])}",
                      MEMORY[line["name"]], time_of(line["ns"]),
                      time_of(line["reference_ns"]), ratio_of(line),
                      line["counts"]["syscalls"])


# What a curve is, and what its author expects. Beside it stands what was measured.
GROWTH = [
    ("blocks", "is_populated-whole", "is a whole region populated?",
     "constant"),
    ("blocks", "is_populated-page", "is a page populated?", "constant"),
    ("blocks", "plug-unplug", "plug and unplug of one block",
     "constant, but for caches that the map outgrows"),
    ("blocks", "plug-unplug-mapped", "the same, with a mapper that commits",
     "constant, but for caches"),
    ("blocks", "state", "STATE of one block", "constant, but for caches"),
    ("blocks", "burst", "each of a burst of 300 unplugs", "constant"),
    ("blocks", "walk-1G", "walk of 1 GiB", "constant"),
    ("blocks", "walk-full", "walk of a full map",
     "constant, and 1 word read for 4096 blocks"),
    ("blocks", "walk-full-find-next", "the same, find-next words", "linear"),
    ("blocks", "replay-full", "a listener joins and leaves, full",
     "constant, and 1 word read for 4096 blocks"),
    ("blocks", "unplug-all-full", "UNPLUG ALL, full",
     "constant, and memset of 1 bit a block"),
    ("blocks", "unplug-all-slab", "UNPLUG ALL, slab",
     "linear: so do the runs"),
    ("blocks", "expand-64K-full", "a bitmap of 64 KiB pages, full",
     "linear: a memset"),
    ("runs", "walk", "walk", "linear"),
    ("runs", "walk-find-next", "the same, find-next words",
     "linear, above what the size costs"),
    ("runs", "replay", "a listener joins and leaves", "linear"),
    ("runs", "discard-all", "a source that only hides is emptied",
     "at most 1 word for 64 blocks"),
    ("runs", "is_populated-page", "is a page populated?", "constant"),
    ("runs", "expand-4K", "a bitmap of 4 KiB pages, 8 TiB", "constant"),
    ("runs", "plug-unplug", "plug and unplug of one block", "constant"),
    ("runs", "state", "STATE of one block", "constant"),
    ("runs", "unplug-all", "UNPLUG ALL", "linear, above what the size costs"),
    ("listeners", "plug-unplug", "plug and unplug of one block", "linear"),
    ("listeners", "burst", "each of a burst of 300 unplugs", "linear"),
    ("listeners", "state", "STATE of one block", "constant"),
    ("listeners", "unplug-all-full", "UNPLUG ALL, 1 TiB, full",
     "linear, above what the size costs"),
    ("listeners", "replay-one-more", "one more joins and leaves, slab",
     "constant: the others do not hear of it"),
    ("listeners", "walk", "walk, slab", "constant"),
    ("listeners", "is_populated-page", "is a page populated?", "constant"),
    ("sources", "walk-per-run", "walk, per run",
     "linear; one source has a path of its own"),
    ("sources", "replay-per-run", "a listener joins and leaves, per run",
     "linear"),
    ("sources", "is_populated-page", "is a page populated?", "linear"),
    ("sources", "discard-populate",
     "discard and populate of one block, no listener", "constant"),
    ("sources", "plug-unplug", "plug and unplug of one block, no listener",
     "constant"),
    ("sources", "unplug-all-full", "UNPLUG ALL, 1 TiB, full", "constant"),
    ("sources", "expand-4K", "a bitmap of 4 KiB pages, pressure",
     "linear; one source has a path of its own"),
]


def law_of(points):
    return report.words_of(points).replace("x^", "x to the ")


def growth(lines):
    curves = report.curves_of(lines.lines)
    yield from head("operation", "x is", "measured, upper half", "expected", "from", "to")
    for chart, series, words, law in GROWTH:
        points = curves[chart][series]
        (x0, y0), (x1, y1) = points[0], points[-1]
        yield row(words, "size" if chart == "blocks" else chart,
                  law_of(points), law, f"{time_of(y0)} at {int(x0):,}",
                  f"{time_of(y1)} at {int(x1):,}")


def listeners(lines):
    """Plug and unplug with 0, 1, 8 and 64 of them."""
    found = [lines.one("request.listeners", region="1T", listeners=nr)
             for nr in (0, 1, 8, 64)]
    return " / ".join(f"{line['ns']:.0f}" for line in found) + " ns"


def others(lines):
    """What is published of others; nothing of it was measured here."""
    def walk(region, block, pattern):
        return time_of(lines.one("walk.region", "find-next words",
                                 region=region, block=block,
                                 pattern=pattern)["ns"])

    whole = lines.one("is_populated", region="8T", block="2M", range="whole",
                      pattern="full")
    replay = lines.one("listener.replay", region="8T", block="2M",
                       pattern="full")
    expand = [lines.one("expand", region="8T", page="4K", pattern=pattern)["ns"]
              * (REGIONS["8T"] // PAGES["4K"]) for pattern in PATTERNS]
    attach = lines.one("dma.attach", region="16G", unmap="run", batches=0)
    yield from head("what", "elsewhere", "libvmem, in the same run as above")
    yield row("QEMU 10.0: walk of 8 TiB / 2 MiB, dense", "27 µs",
              walk("8T", "2M", "full"))
    yield row("QEMU 10.0: the same, alternating, per run", "14 ns",
              walk("8T", "2M", "alternating"))
    yield row("QEMU 10.0: walk of 1 TiB / 4 KiB, dense", "4.2 ms",
              walk("1T", "4K", "full"))
    yield row("QEMU 10.0: is all of 8 TiB / 2 MiB populated?", "55 µs",
              time_of(whole["ns"]))
    yield row("QEMU 10.0: plug and unplug of one block, 0 / 1 / 8 / 64 "
              "listeners", "53 / 68 / 134 / 914 ns, under the global lock, "
              "which is not counted", listeners(lines) + ", all included")
    yield row("QEMU's development branch: replay of 8 TiB / 2 MiB, dense, a "
              "question for each granule", "98 ms (243 ms with its type "
              "checks)", time_of(replay["ns"]))
    yield row("QEMU 10.0: clear the discarded pages of an unplugged 8 TiB from "
              "the page bitmap, and set it before", "170 + 54 ms",
              f"{time_of(min(expand))} to {time_of(max(expand))}, both in one")
    yield row("cloud-hypervisor: 16 GiB with one VFIO container",
              "8192 map calls, one a block",
              f"{attach['counts']['maps']}, of what is plugged only")
    yield row("Firecracker: a hotplug, whole guest cycle", "from 30 ms",
              "the guest's part is not the library's")
    yield row("cloud-hypervisor under hypeman: 4 GiB, a whole resize",
              "some 60 ms", "the same")
    yield row("NeonVM on QEMU, blocks of 8 MiB: 47 GiB up, down, idle guest",
              "1 s, 6 to 8 s", "the same")
    yield row("HyperAlloc (EuroSys 2025)", "shrinks 10 times as fast as "
              "virtio-mem, 362 times as a balloon", "another mechanism")


def books(lines):
    """What is kept for each block."""
    yield from head("what", "bits for each block of 2 MiB, 64 TiB")
    for name, batches, words in (
            ("memory.source", None, "a machine, a region and one source"),
            ("memory.device", None, "a machine, a region and a virtio-mem "
             "device"),
            ("memory.attachment", 0, "an attachment of a mapper, besides"),
            ("memory.attachment", 1, "the same, of a backend with a commit")):
        line = lines.one(name) if batches is None else \
            lines.one(name, batches=batches)
        yield row(words, f"{line['ratio']:.2f}")


TABLES = {"bars": bars, "walks": walks, "requests": requests,
          "mappers": mappers, "questions": questions, "pages": pages,
          "memory": memory, "growth": growth, "books": books, "others": others}


def write(text, lines):
    """The document with all tables replaced."""
    missing = set(TABLES)

    def replace(match):
        name = match.group(1)
        if name not in missing:
            sys.exit(f"a table that is unknown, or there twice: {name}")
        missing.remove(name)
        table = "\n".join(TABLES[name](lines))
        return f"<!-- measured: {name} -->\n\n{table}\n\n<!-- end -->"

    text = re.sub(r"<!-- measured: (\w+) -->.*?<!-- end -->", replace, text,
                  flags=re.S)
    if missing:
        sys.exit(f"no place for: {', '.join(sorted(missing))}")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("lines", help="what scripts/bench.sh --json printed")
    parser.add_argument("document", help="docs/performance.md")
    args = parser.parse_args()

    with open(args.lines, encoding="utf-8") as file:
        lines = Lines([json.loads(line) for line in file])
    with open(args.document, encoding="utf-8") as file:
        text = file.read()
    text = write(text, lines)
    with open(args.document, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
