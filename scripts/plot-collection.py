#!/usr/bin/env python3
"""Draws docs/collection.svg from what scripts/bench-collection.sh printed.

    scripts/plot-collection.py <RESULTS >docs/collection.svg

Two panels with logarithmic scales: CPU a collection and peak memory, by the number of pairs. No library is needed.
"""

import math
import sys

KINDS = {
    "klag": ("klag-exporter 0.1.29", "#b45309"),
    "first": ("tidemark, first minute", "#93a5f5"),
    "tidemark": ("tidemark, after it", "#3b5bdb"),
    "bare": ("the bare read", "#868e96"),
}
WIDTH, HEIGHT, LEFT, TOP, PANEL, DEPTH = 900, 400, 70, 60, 340, 270


def points(lines):
    found = {kind: [] for kind in KINDS}
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[0] == "point" and words[1] in found:
            pairs, cpu, peak = (float(word) for word in words[2:])
            found[words[1]].append((pairs, cpu, peak))
    return {kind: sorted(rows) for kind, rows in found.items() if rows}


def decades(values):
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def short(number):
    return f"{number:g}" if number < 1000 else f"{number / 1000:g}k"


def panel(out, x0, title, rows, column):
    pairs = [row[0] for kind in rows.values() for row in kind]
    low, high = math.log10(min(pairs)) - 0.1, math.log10(max(pairs)) + 0.1
    bottom, top = decades([max(row[column], 0.1) for kind in rows.values() for row in kind])

    def at(pair, value):
        x = x0 + PANEL * (math.log10(pair) - low) / (high - low)
        y = TOP + DEPTH * (1 - (math.log10(max(value, 0.1)) - bottom) / (top - bottom))
        return f"{x:.1f}", f"{y:.1f}"

    out.append(f'<text x="{x0}" y="{TOP - 16}" class="title">{title}</text>')
    for power in range(bottom, top + 1):
        y = TOP + DEPTH * (1 - (power - bottom) / (top - bottom))
        out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x0 + PANEL}" y2="{y:.1f}" class="grid"/>')
        out.append(f'<text x="{x0 - 8}" y="{y + 4:.1f}" text-anchor="end">{short(10.0 ** power)}</text>')
    for pair in sorted(set(pairs)):
        x, _ = at(pair, 1)
        out.append(f'<text x="{x}" y="{TOP + DEPTH + 20}" text-anchor="middle">{short(round(pair, -3))}</text>')
    out.append(f'<text x="{x0 + PANEL / 2}" y="{TOP + DEPTH + 40}" text-anchor="middle">pairs of group and partition</text>')
    for kind, of_kind in rows.items():
        colour = KINDS[kind][1]
        places = [at(row[0], row[column]) for row in of_kind]
        line = " ".join(",".join(place) for place in places)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.extend(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in places)


def main():
    rows = points(sys.stdin)
    if not rows:
        sys.exit("no line of the input begins with 'point': give it what scripts/bench-collection.sh printed")
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        "<title>CPU and memory of a collection by the number of pairs</title>",
        "<style>.grid{stroke:#dee2e6} .title{font-size:14px;font-weight:bold} text{fill:#343a40}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    panel(out, LEFT, "CPU a collection, ms", rows, 1)
    panel(out, LEFT + PANEL + 90, "Peak memory, MiB", rows, 2)
    x = LEFT
    for kind in rows:
        name, colour = KINDS[kind]
        out.append(f'<circle cx="{x}" cy="20" r="5" fill="{colour}"/><text x="{x + 10}" y="24">{name}</text>')
        x += 50 + 7 * len(name)
    out.append("</svg>")
    print("\n".join(out))


main()
