# SPDX-License-Identifier: GPL-2.0-or-later
"""plot.py: ratios to the reference as bars, in SVG; a logarithmic scale, the line at 1 is the reference."""
import math
from xml.sax.saxutils import escape

from suite.report import REFERENCE, peers_of, ratio

COLORS = {"holofs": "#1b6ca8", "gocryptfs": "#c98b2b", "securefs": "#8c564b", "bindfs": "#999999", "btrfs dup": "#3a9a5b", "ext4": "#a8a3d0"}
BAR, GAP, LEFT, WIDTH, TOP, LOW, HIGH = 9, 10, 330, 620, 60, 0.1, 20


def x_of(r):
    r = min(max(r, LOW), HIGH)
    return LEFT + WIDTH * (math.log(r) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW))


def text(x, y, what, anchor="start", size=11):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">{escape(what)}</text>'


def bars(row, who, y):
    out, at = [text(LEFT - 8, y + len(who) * BAR / 2 + 4, row["name"], "end")], y
    for w in who:
        r = ratio(row, w, REFERENCE)
        if r:
            a, b = sorted((x_of(1), x_of(r)))
            out.append(f'<rect x="{a:.1f}" y="{at}" width="{max(b - a, 1):.1f}" height="{BAR - 1}" fill="{COLORS.get(w, "#666")}">'
                       f"<title>{escape(w)}: {r:.2f}</title></rect>")
        at += BAR
    return out


def plot(result, place):
    rows = [r for r in result["metrics"] if r["place"] == place and REFERENCE in r["samples"]]
    who = [w for w in peers_of(rows) if w != REFERENCE]
    step = max(1, len(who)) * BAR + GAP
    height = TOP + step * len(rows) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{height}" font-family="sans-serif">',
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           text(20, 22, f"Times as fast as {REFERENCE}, store on {place}; commit {result['commit']}", size=14)]
    for n, w in enumerate(who):
        x = LEFT + n * 100
        out += [f'<rect x="{x}" y="34" width="10" height="10" fill="{COLORS.get(w, "#666")}"/>', text(x + 14, 43, w)]
    for r in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20):
        x = x_of(r)
        stroke = "#444" if r == 1 else "#ddd"
        out += [f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 22}" stroke="{stroke}"/>', text(x, height - 8, f"{r:g}", "middle")]
    for n, row in enumerate(rows):
        out += bars(row, who, TOP + n * step)
    return "\n".join(out) + "\n</svg>\n"
