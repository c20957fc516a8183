#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench.py: holofs beside other filesystems, in turns, with the store on tmpfs and on the disk. docs/BENCHMARKS.md says how to read it.

    bench.py run [--preset full|quick|smoke] [--part seq,rand] [--place tmpfs,disk] [--peers holofs,…] [--runs N] [--set files=5000]
                 [--out FILE] [--compare FILE] [--keep FILE]
    bench.py table FILE          the tables of a result again
    bench.py compare NEW OLD     ratios to passthrough_ll, now and then
    bench.py plot FILE PLACE     bars as SVG
    bench.py parts               what there is to run
"""
import argparse
import dataclasses
import json
import resource
import signal
import sys
import time
from pathlib import Path

from suite import host, plot, report, runner, sizes
from suite.peers import PEERS

TOP = Path(__file__).resolve().parent.parent
SPARE_FILES = 4000  # descriptors for folders, the daemon, this program
PLACES = ("tmpfs", "disk")
PLANS = {
    "quick": [("seq", ("tmpfs",)), ("rand", PLACES), ("small", ("tmpfs",)), ("tree", ("tmpfs",)), ("sqlite", ("disk",)), ("fastq", ("tmpfs",))],
    "smoke": [(part, ("disk",)) for part in ("seq", "rand", "small", "tree", "sqlite", "fastq", "remap", "scrub", "mount")],
}


def words(text):
    return [w for w in text.split(",") if w]


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    run = sub.add_parser("run")
    run.add_argument("--preset", choices=tuple(sizes.PRESETS), default="full")
    run.add_argument("--part", type=words, default=None, help=f"of {', '.join(runner.PARTS)}")
    run.add_argument("--place", type=words, default=list(PLACES))
    run.add_argument("--peers", type=words, default=list(PEERS), help=f"of {', '.join(PEERS)}")
    run.add_argument("--runs", type=int)
    run.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    run.add_argument("--bin", type=Path, default=TOP / "build/bin")
    run.add_argument("--tools", type=Path, default=TOP / "build/bench")
    run.add_argument("--peers-dir", type=Path, default=TOP / "build/peers")
    run.add_argument("--tmpfs-dir", type=Path, default=Path("/dev/shm"))
    run.add_argument("--disk-dir", type=Path, default=Path("/var/tmp"))
    run.add_argument("--mount-opts", default="")
    run.add_argument("--mkfs-args", default="")
    run.add_argument("--out", type=Path, help="the result as JSON; else bench/results/DATE-COMMIT-PRESET.json")
    run.add_argument("--compare", type=Path)
    run.add_argument("--keep", type=Path)
    for name, files in (("table", ("result",)), ("compare", ("result", "old")), ("plot", ("result",))):
        s = sub.add_parser(name)
        for f in files:
            s.add_argument(f, type=load)
        if name == "plot":
            s.add_argument("place")
    sub.add_parser("parts")
    return p.parse_args()


def load(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def save(path, result):
    """A line for each key, and for each metric."""
    def compact(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    lines = [f"{compact(key)}: {compact(value)}" for key, value in result.items() if key != "metrics"]
    rows = ",\n".join(compact(row) for row in result["metrics"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{" + ",\n".join(lines) + ',\n"metrics": [\n' + rows + "\n]}\n", encoding="utf-8")


def plan(args):
    """[(part, places)]. What a preset leaves out is run when it is named."""
    for name, known in (("part", runner.PARTS), ("peers", PEERS), ("place", PLACES)):
        for word in getattr(args, name) or ():
            if word not in known:
                raise SystemExit(f"bench.py: --{name}: '{word}' is not one of {', '.join(known)}")
    if args.part is None and args.preset in PLANS:
        return [(part, [p for p in places if p in args.place]) for part, places in PLANS[args.preset]]
    return [(part, args.place) for part in args.part or runner.PARTS]


def descriptors(amounts):
    """passthrough_ll keeps one for every inode: as many as it can have, and no more files than that."""
    most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii")))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    amounts.files = min(amounts.files, max(1, most - SPARE_FILES))
    amounts.tree_files = min(amounts.tree_files, max(1, most - SPARE_FILES))


def do_run(args):
    amounts = sizes.changed(sizes.PRESETS[args.preset], args.set + ([f"runs={args.runs}"] if args.runs else []))
    descriptors(amounts)
    env = runner.Env(args.bin.resolve(), args.tools.resolve(), args.peers_dir.resolve(), amounts,
                     {"tmpfs": args.tmpfs_dir, "disk": args.disk_dir}, args.mount_opts, args.mkfs_args)
    parts, missing = plan(args), {who: PEERS[who].missing(env) for who in args.peers}
    result = {"date": time.strftime("%Y-%m-%d %H:%M"), "command": "bench/bench.py " + " ".join(sys.argv[1:]), "preset": args.preset,
              "sizes": dataclasses.asdict(amounts), **host.describe(TOP), "places": {p: host.below(env.places[p]) for p in args.place},
              "left_out": {who: why for who, why in missing.items() if why}}
    found = runner.run(env, parts, [who for who in args.peers if not missing[who]])
    result.update(ended=time.strftime("%Y-%m-%d %H:%M"), failures=found.failures, metrics=list(found.metrics.values()))
    save(args.out or TOP / "bench/results" / f"{time.strftime('%Y%m%d-%H%M')}-{result['commit'] or 'none'}-{args.preset}.json", result)
    print(report.table(result))
    if args.compare and args.compare.exists():
        print(report.compare(result, load(args.compare)))
    if args.keep and not found.failures:
        save(args.keep, result)
    return 1 if found.failures else 0


def main():
    args = parse()
    # Mounts and loop devices are taken away by what a SystemExit passes.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    if args.command == "run":
        return do_run(args)
    if args.command == "parts":
        print("\n".join(f"{name:8} {part.what}" for name, part in runner.PARTS.items()))
    elif args.command == "table":
        print(report.table(args.result))
    elif args.command == "compare":
        print(report.compare(args.result, args.old))
    else:
        print(plot.plot(args.result, args.place), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
