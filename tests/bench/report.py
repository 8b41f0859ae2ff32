#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the benchmarks and shows what they found.

Prints a table and a verdict for each bar, or with --json the lines as the
programs print them. With --svg the curves are drawn as well; with --rows it only
sees that every bar has been measured.
"""

import argparse
import json
import math
import os
import subprocess
import sys

import svg

PROGRAMS = ["bench_request", "bench_dma", "bench_walk", "bench_query",
            "bench_expand", "bench_memory", "bench_trace", "bench_growth"]

# The bars: key in the lines, what it is, the bar in words.
ROWS = [
    ("walk-uniform", "walk a full or empty map of 2^28 blocks",
     "at most 1/30 of a find-next walk"),
    ("walk-alternating", "walk an alternating map",
     "at most 1/2 of a find-next walk"),
    ("is-populated", "is a whole region populated, 512 times the blocks",
     "the same (at most 1.2)"),
    ("pair", "plug and unplug of one block",
     "at most 3 times a mutex and a vmem_bitmap"),
    ("pair-words", "plug and unplug of one block, against bare words",
     "at most 3 times a mutex and words"),
    ("combine", "two sources, 16 times the granules, the same runs",
     "cost for each run (at most 1.5)"),
    ("expand", "expand blocks to pages", "at most 1.5 times memset"),
    ("discard", "discard of populated memory",
     "at least 0.95 of the speed of the raw calls"),
    ("populate-threads", "populate with threads of the library",
     "at least 0.9 of the speed of raw threads"),
    ("memory", "memory of a bitmap of 4096 blocks or more",
     "at most 1.05 bits for each block"),
]

CHARTS = {
    "blocks": ("Against the number of blocks", "blocks in the region"),
    "runs": ("Against the number of runs, 8 TiB of 2 MiB blocks",
             "populated runs"),
    "listeners": ("Against the number of listeners", "listeners"),
    "sources": ("Against the number of sources", "sources"),
}


def run(args):
    """Yields the lines of all programs."""
    for name in PROGRAMS:
        command = [os.path.join(args.programs, name)]
        command += ["--smoke"] if args.smoke else []
        command += ["--quick"] if args.quick else []
        command += args.traces if name == "bench_trace" else []
        with subprocess.Popen(command, stdout=subprocess.PIPE,
                              text=True) as process:
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode != 0:
            sys.exit(f"{name} ended with status {process.returncode}")


def time_of(ns):
    for limit, unit, factor in ((1e3, "ns", 1), (1e6, "us", 1e3),
                                (1e9, "ms", 1e6)):
        if ns < limit:
            return f"{ns / factor:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def ratio_of(line):
    ratio = line["ratio"]
    text = f"1/{1 / ratio:.0f}" if 0 < ratio < 0.1 else f"{ratio:.2f}"
    return text + (" of the speed" if line.get("ratio_of") == "speed" else "")


def bar_of(line):
    if "bar" not in line:
        return ""
    kind, value = next(iter(line["bar"].items()))
    text = f"1/{1 / value:.0f}" if value < 0.1 else f"{value:g}"
    return {"at_most": "<= ", "at_least": ">= "}[kind] + text


def cells_of(line):
    """The columns of the table: what, ours, theirs, against, ratio, bar, met."""
    what = " ".join(f"{key}={value}" for key, value
                    in line["params"].items())
    if "left_out" in line:
        return [line["name"], what, "", "", "left out: " + line["left_out"],
                "", "", ""]
    met = {True: "met", False: "MISSED", None: ""}[line.get("met")]
    if "value" in line:
        return [line["name"], what, f"{line['value']:g} {line['unit']}s",
                f"{line['reference_value']:g}", line["reference"],
                ratio_of(line), bar_of(line), met]
    ours = f"{time_of(line['ns'])} a {line['unit']}"
    if "ratio" not in line:
        return [line["name"], what, ours, "", "", "", "", met]
    return [line["name"], what, ours, time_of(line["reference_ns"]),
            line["reference"], ratio_of(line), bar_of(line), met]


HEAD = ["name", "parameters", "libvmem", "reference", "which is", "ratio",
        "bar", ""]


def show_table(lines):
    table = [HEAD] + [cells_of(line) for line in lines
                      if "curve" not in line]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width
                        in zip(row, widths)).rstrip())


def verdicts(lines):
    """[(key, words, bar, lines of that row)] for each bar."""
    return [(key, words, bar,
             [line for line in lines if line.get("row") == key])
            for key, words, bar in ROWS]


def show_verdicts(lines):
    print("\nThe bars:")
    for _, words, bar, found in verdicts(lines):
        measured = [line for line in found if "met" in line]
        missed = [line for line in measured if not line["met"]]
        if not measured:
            print(f"  {words}: {bar}: NOT MEASURED HERE")
            continue
        ratios = [line["ratio"] for line in measured]
        verdict = "met" if not missed else \
            f"MISSED in {len(missed)} of {len(measured)}"
        print(f"  {words}: {bar}: {verdict}, "
              f"{min(ratios):.3g} to {max(ratios):.3g}")
        for line in missed:
            print("      missed: " + " ".join(
                [line["name"]] + [f"{key}={value}" for key, value
                                  in line["params"].items()]))


def curves_of(lines):
    """{chart: {series: [(x, ns)]}}"""
    charts = {}
    for line in lines:
        if "curve" in line:
            curve = line["curve"]
            charts.setdefault(curve["chart"], {}).setdefault(
                curve["series"], []).append((curve["x"], line["ns"]))
    return charts


def exponent_of(points):
    """Slope of the upper half of a curve in a plane of logarithms."""
    upper = points[(len(points) - 1) // 2:]
    if len(upper) < 2:
        return 0.0
    xs = [math.log(x) for x, _ in upper]
    ys = [math.log(y) for _, y in upper]
    mean_x = sum(xs) / len(xs)
    mean_y = sum(ys) / len(ys)
    return (sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
            / sum((x - mean_x) ** 2 for x in xs))


def words_of(points):
    """The law, as measured."""
    exponent = exponent_of(points)
    return "constant" if abs(exponent) < 0.1 else f"x^{exponent:.2f}"


def law_of(points):
    (x0, y0), (x1, y1) = points[0], points[-1]
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0
    words = words_of(points)
    return f"{words}; from {time_of(y0)} at {x0:g} to {time_of(y1)} at " \
           f"{x1:g}, {slope:.3g} ns for each more"


def show_laws(lines):
    print("\nGrowth (slope of the upper half of each curve):")
    for chart, series in curves_of(lines).items():
        print("  " + CHARTS[chart][0].lower())
        for name, points in series.items():
            print(f"    {name:<24} {law_of(points)}")


def draw(lines, folder):
    os.makedirs(folder, exist_ok=True)
    for chart, series in curves_of(lines).items():
        title, x_label = CHARTS[chart]
        path = os.path.join(folder, chart + ".svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg.chart(title, x_label, "nanoseconds", series))
        print(f"{path}", file=sys.stderr)


def check_rows(lines):
    """A bar that nothing measures is a promise that nobody keeps."""
    problems = 0
    for key, words, _, found in verdicts(lines):
        if not found:
            print(f"no line for: {words} ({key})")
            problems += 1
    unknown = {line["row"] for line in lines if "row" in line} \
        - {key for key, _, _ in ROWS}
    for key in sorted(unknown):
        print(f"a line of an unknown row: {key}")
        problems += 1
    print(f"{len(lines)} lines, {len(ROWS)} bars, {problems} problems")
    sys.exit(1 if problems else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n",
                                                               maxsplit=1)[0])
    parser.add_argument("--programs", required=True,
                        help="folder of the built benchmarks")
    parser.add_argument("--traces", nargs="*", default=[],
                        help="recorded guests")
    parser.add_argument("--json", action="store_true",
                        help="print lines of JSON instead of a table")
    parser.add_argument("--svg", metavar="DIR", help="draw curves there")
    parser.add_argument("--quick", action="store_true",
                        help="fewer sizes and samples, in a minute")
    parser.add_argument("--smoke", action="store_true",
                        help="one sample each, which says nothing about speed")
    parser.add_argument("--rows", action="store_true",
                        help="only see that every bar is measured")
    args = parser.parse_args()

    lines = []
    for line in run(args):
        lines.append(line)
        if args.json:
            print(json.dumps(line), flush=True)
        elif sys.stderr.isatty():
            print(f"\r{len(lines)} measured", end="", file=sys.stderr)
    if sys.stderr.isatty() and not args.json:
        print("\r", end="", file=sys.stderr)
    if args.svg:
        draw(lines, args.svg)
    if args.rows:
        check_rows(lines)
    if not args.json:
        show_table(lines)
        show_laws(lines)
        show_verdicts(lines)


if __name__ == "__main__":
    main()
