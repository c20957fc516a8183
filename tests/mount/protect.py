#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""protect.py: what holo protect must say, computed from FORMAT.md, `holo dump` and filefrag, and damage at the worst place.

    protect.py expect --holo PROGRAM --ino N STORE        JSON: stripes, containers, losses, burst_bytes
    protect.py stripe --holo PROGRAM --ino N --blocks N STORE
                     overwrite so many blocks of one stripe that holds bytes of the file, the file's first; prints the container
    protect.py burst --holo PROGRAM --ino N --more BLOCKS --image FILE STORE
                     prints the places (JSON) on the device of a burst of the length that expect says and so many blocks more, at the worst place
    protect.py zero --image FILE PLACES                   zeros there

Only blocks of containers are zeroed: the burst must not destroy what the filesystem below needs to find them.
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

BLOCK = 4096


def dump(holo, what, path):
    out = subprocess.run([holo, "dump", what, str(path), "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out) if what == "container" else [json.loads(line) for line in out.splitlines()]


def places(path):
    """Device block of each block of a file."""
    place = {}
    out = subprocess.run(["filefrag", "-b4096", "-v", str(path)], check=True, capture_output=True, text=True).stdout
    for m in re.finditer(r"^ *\d+: *(\d+)\.\. *(\d+): *(\d+)\.\. *(\d+):", out, re.M):
        a, b, start = int(m[1]), int(m[2]), int(m[3])
        place.update({a + i: start + i for i in range(b - a + 1)})
    return place


class Container:
    def __init__(self, holo, path, ino):
        g = dump(holo, "container", path)
        self.store = path.parents[2]
        self.remaps = [e for e in dump(holo, "remap", self.store / "remap.0") if e.get("kind") == "add" and e["container"] == g["id"]]
        self.path, self.m, self.D, self.used, self.tables = path, g["m"], g["d"], g["used"], g["table_blocks"]
        self.positions = self.used + self.m * self.D
        self.base, self.blocks = 1 + self.tables, g["file_blocks"]
        self.mine = set()
        for p in dump(holo, "pieces", path) if g["class"] == "file data" else []:
            if p["inode"] == ino:
                self.mine |= set(range(p["at"] // BLOCK, (p["at"] + p["stored"] - 1) // BLOCK + 1))
        self.stripes = {x % self.D for x in self.mine}

    def groups(self):
        """(blocks of the file, losses that are carried)"""
        for t in sorted(self.stripes):
            yield [self.base + x for x in range(t, self.positions, self.D)], self.m
        after = self.base + self.positions
        for t in range(self.tables):
            yield [1 + t, after + t], 1
        yield [0, self.blocks - 1], 1

    def physical(self):
        place = places(self.path)
        for e in self.remaps:
            place[e["block"]] = places(self.store / "spare" / f"{e['spare']:04}.spare")[e["spare_block"]]
        return place


def containers(args):
    found = [Container(args.holo, p, args.ino) for p in sorted(Path(args.store, "containers").glob("*/*.hc"))]
    return [c for c in found if c.mine]


def worst(args):
    """The shortest burst, in blocks, that is safe wherever it lies, and where it is tightest."""
    best = None
    for c in containers(args):
        place = c.physical()
        for blocks, carried in c.groups():
            at = sorted(place[b] for b in blocks)
            for i in range(len(at) - carried):
                length = at[i + carried] - at[i]
                if best is None or length < best[0]:
                    best = (length, at[i], c.path.name)
    return best


def expect(args):
    found = containers(args)
    print(json.dumps({"stripes": sum(len(c.stripes) for c in found), "containers": len(found), "losses": min(c.m for c in found),
                      "burst_bytes": worst(args)[0] * BLOCK}))


def stripe(args):
    c = containers(args)[0]
    t = min(c.stripes)
    members = sorted(range(t, c.positions, c.D), key=lambda x: x not in c.mine)
    with open(c.path, "r+b") as f:
        for x in members[: args.blocks]:
            f.seek((c.base + x) * BLOCK)
            f.write(b"\xa5" * BLOCK)
    print(c.path.name)


def burst(args):
    length, start, _ = worst(args)
    last = start + length + args.more
    print(json.dumps(sorted(b for c in containers(args) for b in c.physical().values() if start <= b < last)))


def zero(args):
    with open(args.image, "r+b") as f:
        for block in json.loads(Path(args.store).read_text(encoding="ascii")):
            f.seek(block * BLOCK)
            f.write(bytes(BLOCK))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["expect", "stripe", "burst", "zero"])
    parser.add_argument("store")
    parser.add_argument("--holo")
    parser.add_argument("--image")
    for name in ("--ino", "--blocks", "--more"):
        parser.add_argument(name, type=int, default=0)
    args = parser.parse_args()
    globals()[args.what](args)


if __name__ == "__main__":
    sys.exit(main())
