# SPDX-License-Identifier: BSD-3-Clause
"""Curves as SVG: logarithmic axes, readable in print, and without colour, since
each curve has a mark and a pattern of dashes of its own."""

import html
import math

WIDTH = 900
HEIGHT = 520
LEFT = 80
RIGHT = 230
TOP = 50
BOTTOM = 60

# Colours that people with any colour vision tell apart (Okabe and Ito).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00",
           "#56b4e9", "#7f7f7f"]
DASHES = ["", "7 3", "2 3", "9 3 2 3", "", "12 4", "4 2", "1 2"]
FONT = 'font-family="sans-serif" font-size="13"'


def mark(kind, x, y, colour):
    """A point of a curve, in one of several shapes."""
    style = f'fill="white" stroke="{colour}" stroke-width="1.6"'
    if kind % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {style}/>'
    if kind % 4 == 1:
        return (f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" '
                f'{style}/>')
    corners = {2: [(0, -5), (5, 4), (-5, 4)],
               3: [(0, -5), (5, 0), (0, 5), (-5, 0)]}[kind % 4]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>'


def text(x, y, words, anchor="start", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} '
            f'{extra}>{html.escape(words)}</text>')


def number(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


class Axis:
    """A logarithmic axis over decades or, below, powers of two."""

    def __init__(self, values, start, end):
        self.low = min(values)
        self.high = max(max(values), self.low * 2)
        self.start = start
        self.end = end

    def place(self, value):
        part = (math.log(value / self.low)
                / math.log(self.high / self.low))
        return self.start + part * (self.end - self.start)

    def ticks(self):
        if self.high / self.low < 200:
            first = math.ceil(math.log2(self.low) - 1e-9)
            last = math.floor(math.log2(self.high) + 1e-9)
            return [2.0 ** i for i in range(first, last + 1)]
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        return [10.0 ** i for i in range(first, last + 1)]


def spread(wanted, distance):
    """Places near the wanted ones, ascending, that do not overlap."""
    placed = []
    for y in wanted:
        placed.append(max(y, placed[-1] + distance) if placed else y)
    return placed


def frame(x_axis, y_axis, title, x_label, y_label):
    parts = [text(LEFT, 28, title, extra='font-weight="bold"')]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" '
                     f'y2="{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(text(x, HEIGHT - BOTTOM + 18, number(tick), "middle"))
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" '
                     f'y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, y + 4, number(tick), "end"))
    parts.append(f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
                 f'height="{HEIGHT - TOP - BOTTOM}" fill="none" '
                 'stroke="black"/>')
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_label,
                      "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(20, middle, y_label, "middle",
                      f'transform="rotate(-90 20 {middle:.1f})"'))
    return parts


def chart(title, x_label, y_label, series):
    """series: {name: [(x, y)]}. Returns a whole SVG document."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_axis = Axis(xs, LEFT + 12, WIDTH - RIGHT - 12)
    y_axis = Axis([min(ys) / 1.5, max(ys) * 1.5], HEIGHT - BOTTOM, TOP)
    parts = frame(x_axis, y_axis, title, x_label, y_label)
    order = sorted(series, key=lambda name: -series[name][-1][1])
    labels = dict(zip(order, spread(
        [y_axis.place(series[name][-1][1]) for name in order], 18)))
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = DASHES[i % len(DASHES)]
        parts.append(f'<polyline points="{path}" fill="none" '
                     f'stroke="{colour}" stroke-width="2" '
                     f'stroke-dasharray="{dash}"/>')
        parts += [mark(i, x, y, colour) for x, y in places]
        parts.append(mark(i, WIDTH - RIGHT + 16, labels[name], colour))
        parts.append(text(WIDTH - RIGHT + 28, labels[name] + 4, name))
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
            f"{body}\n</svg>\n")
