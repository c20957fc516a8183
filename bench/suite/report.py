# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py: tables in Markdown of a result, and what changed since another one. A ratio above one is in favour of the first named."""
import statistics

from suite.peers import REFERENCE, Holofs

HOLOFS = Holofs.name
# Of samples: key, title, how a figure is written.
ASPECTS = (
    ("p50_us", "Median latency, µs"),
    ("p99_us", "99th percentile of latency, µs"),
    ("cpu_per", "CPU seconds of the daemon, for each GiB, 1000 operations or mount"),
    ("rss_mib", "Largest memory of the daemon, MiB"),
    ("written_ratio", "Bytes written to the store for each byte of the user"),
)


def digits(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.3f}"


def values(row, who, key="value"):
    return [s[key] for s in row["samples"].get(who, []) if key in s]


def median(row, who, key="value"):
    found = values(row, who, key)
    return statistics.median(found) if found else None


def ratio(row, who, other):
    """How many times better who is than other, or None."""
    a, b = median(row, who), median(row, other)
    if not a or not b:
        return None
    return a / b if row["larger"] else b / a


def cell(row, who):
    found = values(row, who)
    return f"{digits(statistics.median(found))} ({digits(min(found))}–{digits(max(found))})" if found else "–"


def peers_of(rows):
    """In the order of the run."""
    return list(dict.fromkeys(who for row in rows for who in row["samples"]))


def line(cells):
    return "| " + " | ".join(cells) + " |"


def grid(head, body):
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(r) for r in body)]) + "\n"


def figures(rows):
    who = peers_of(rows)
    body = [[row["name"], row["unit"] + ("" if row["larger"] else ", less is better"), *(cell(row, w) for w in who)] for row in rows]
    return grid(["", "unit", *who], body)


def ratios(rows):
    """Of every filesystem to the reference, and of holofs to every other one."""
    others = [w for w in peers_of(rows) if w not in (HOLOFS, REFERENCE)]
    pairs = [(HOLOFS, REFERENCE), *((HOLOFS, w) for w in others), *((w, REFERENCE) for w in others)]
    pairs = [p for p in pairs if any(ratio(row, *p) for row in rows)]
    if not pairs:
        return ""
    body = [[row["name"], *("–" if ratio(row, *p) is None else f"{ratio(row, *p):.2f}" for p in pairs)] for row in rows
            if any(ratio(row, *p) for p in pairs)]
    return grid(["better by", *(f"{a} / {b}" for a, b in pairs)], body)


def own_ratios(rows):
    """Of metrics to another one of the same filesystem."""
    by_name = {row["name"]: row for row in rows}
    body = []
    for row in rows:
        for who in peers_of([row]) if row["base"] in by_name else []:
            base = median(by_name[row["base"]], who)
            body.append([row["name"], who, f"{median(row, who) / base:.3f}"])
    return grid(["", "", "of that without"], body) if body else ""


def aspect(rows, key, title):
    shown = [row for row in rows if any(values(row, w, key) for w in row["samples"])]
    who = [w for w in peers_of(shown) if any(values(row, w, key) for row in shown)]
    if not shown:
        return ""
    body = [[row["name"] + (f", per {row['per']}" if key == "cpu_per" else ""),
             *("–" if median(row, w, key) is None else digits(median(row, w, key)) for w in who)] for row in shown]
    return f"{title}:\n\n" + grid(["", *who], body)


def heading(result):
    m, versions = result["machine"], result["versions"]
    left_out = "".join(f" Without {who}: {why}." for who, why in result["left_out"].items())
    return (f"{result['date']}, {m['cpu']}, {m['cpus']} CPUs, {m['memory_gib']} GiB, Linux {m['kernel']}, load {m['load']:.1f} at the start; commit "
            f"{result['commit'] or '?'}; {', '.join(f'{k} {v}' for k, v in versions.items())}.{left_out}\n\n"
            f"Medians (smallest–largest) of {result['sizes']['runs']} runs in turns. `{result['command']}`\n")


def table(result):
    out = [heading(result)]
    for place in dict.fromkeys(row["place"] for row in result["metrics"]):
        rows = [row for row in result["metrics"] if row["place"] == place]
        below = result["places"].get(place, "")
        out.append(f"### {place}" + (f" ({below})" if below else "") + "\n")
        out += [part for part in (figures(rows), ratios(rows), own_ratios(rows), *(aspect(rows, *a) for a in ASPECTS)) if part]
    if result["failures"]:
        out.append("Failed:\n\n" + "".join(f"- {f}\n" for f in result["failures"]))
    return "\n".join(out)


def compare(new, old):
    """The ratios of holofs to the reference, now and then."""
    then = {(r["place"], r["name"]): r for r in old["metrics"]}
    body = []
    for row in new["metrics"]:
        now, before = ratio(row, HOLOFS, REFERENCE), then.get((row["place"], row["name"]))
        before = before and ratio(before, HOLOFS, REFERENCE)
        if now:
            change = f"{100 * (now / before - 1):+.0f} %" if before else "new"
            body.append([row["place"], row["name"], f"{now:.2f}", f"{before:.2f}" if before else "–", change])
    return (f"{HOLOFS} beside {REFERENCE}, and beside what was kept on {old['date']} (commit {old['commit']}):\n\n"
            + grid(["", "", "ratio", "then", "change"], body))
