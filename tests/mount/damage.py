#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""damage.py: what the damage test does to container files, and the comparison with the original bytes.

    damage.py fill --seed N --mib M DIR              files of random bytes, from one byte to 60 MiB
    damage.py geometry --holo PROGRAM STORE          the containers and their geometry
    damage.py burst|scattered --seed N --holo PROGRAM STORE
    damage.py stripe --seed N --holo PROGRAM --files DIR STORE
    damage.py flips --seed N STORE                   one byte in a thousand of every container file
    damage.py flips-journals --seed N STORE          the same of both journals, all superblocks and remap tables
    damage.py same DIR DIR                           are the container files identical?
    damage.py compare [--lost PLACES] DIR MNT        is every file what it was?

burst: in every container m·D consecutive blocks anywhere among data and parity. scattered: m blocks of every
stripe, and one copy of the header and of every checksum table. stripe: m + 1 data blocks of one stripe of one
data container; prints which bytes of which file they hold, found by their content. flips-journals: no byte of the
journals is flipped in both copies, and at most ten of a block in each: then all of it must come back.
"""
import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

BLOCK = 4096
PIECE = 4096


class Container:
    """Header A, table A, used data blocks, m·D parity blocks, table B, header B."""

    def __init__(self, path, holo):
        out = subprocess.run([holo, "dump", "container", str(path), "--json"], check=True, capture_output=True, text=True)
        g = json.loads(out.stdout)
        self.path, self.kind = path, str(g["class"])
        self.m, self.stripes, self.used, self.tables = g["m"], g["d"], g["used"], g["table_blocks"]
        self.first = 1 + self.tables
        self.stored = self.used + self.m * self.stripes
        self.blocks = g["file_blocks"]
        size = path.stat().st_size
        if self.blocks * BLOCK != size or self.blocks != self.stored + 2 * self.tables + 2:
            raise ValueError(f"{path}: {size} bytes do not fit {g}")

    def is_metadata(self):
        return self.kind.lower().startswith("m") or self.kind == "0"


def containers(store, holo):
    found = [Container(p, holo) for p in sorted(Path(store, "containers").glob("*/*.hc"))]
    if not found:
        raise ValueError("no containers")
    return found


def garbage(path, blocks, rnd):
    with open(path, "r+b") as f:
        for b in blocks:
            f.seek(b * BLOCK)
            f.write(rnd.randbytes(BLOCK))
        os.fsync(f.fileno())


def fill(args):
    rnd = random.Random(args.seed)
    top = Path(args.dir)
    left, n = args.mib << 20, 0
    for size in (1, 4095, 4097, 131073):
        n += 1
        (top / "small").mkdir(parents=True, exist_ok=True)
        (top / "small" / f"file-{n}").write_bytes(rnd.randbytes(size))
    while left > 0:
        n += 1
        size = min(left, rnd.choice((10_000, 300_001, 5_000_000, 20_000_000, 60_000_000)))
        directory = top / f"dir-{n % 7}"
        directory.mkdir(exist_ok=True)
        (directory / f"file-{n}").write_bytes(rnd.randbytes(size))
        left -= size
    return 0


def geometry(args):
    for c in containers(args.store, args.holo):
        print(f"{c.path.name}: class {c.kind}, m {c.m}, D {c.stripes}, used {c.used}, tables {c.tables}")
    return 0


def burst(args):
    rnd = random.Random(args.seed)
    for c in containers(args.store, args.holo):
        length = c.m * c.stripes
        start = c.first + rnd.randrange(c.stored - length + 1)
        print(f"{c.path.name}: blocks {start} to {start + length - 1}")
        garbage(c.path, range(start, start + length), rnd)
    return 0


def scattered(args):
    rnd = random.Random(args.seed + 1)
    for c in containers(args.store, args.holo):
        bad = []
        for s in range(c.stripes):
            members = range(s, c.stored, c.stripes)
            bad += [c.first + x for x in rnd.sample(members, min(c.m, len(members)))]
        bad.append(rnd.choice((0, c.blocks - 1)))
        for t in range(c.tables):
            bad.append(1 + t if rnd.random() < 0.5 else c.first + c.stored + t)
        print(f"{c.path.name}: {len(bad)} blocks")
        garbage(c.path, bad, rnd)
    return 0


def owners(block, files):
    """(path, offset, length) of every file piece that the block's bytes show; probes of 64 bytes find it."""
    found = {}
    for at in range(0, BLOCK - 64, 448):
        probe = block[at : at + 64]
        for name, data in files.items():
            if (where := data.find(probe)) >= 0:
                found.setdefault((name, where - at), None)
    for name, start in found:
        begin, end = max(start, 0), min(start + BLOCK, len(files[name]))
        yield name, begin, end - begin


def stripe(args):
    rnd = random.Random(args.seed + 2)
    top = Path(args.files)
    files = {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}
    full = [c for c in containers(args.store, args.holo) if not c.is_metadata() and c.used > c.stripes * (c.m + 1)]
    c = rnd.choice(full)
    s = rnd.randrange(c.stripes)
    chosen = sorted(rnd.sample(range(s, c.used, c.stripes), c.m + 1))
    raw = c.path.read_bytes()
    lost = []
    for x in chosen:
        off = (c.first + x) * BLOCK
        lost += owners(raw[off : off + BLOCK], files)
    if not lost:
        raise ValueError(f"{c.path}: no file has the bytes of stripe {s}")
    garbage(c.path, [c.first + x for x in chosen], rnd)
    for name, off, length in lost:
        print(json.dumps({"path": name, "off": off, "len": length}))
    return 0


def flip_places(size, rnd):
    """Offsets of about one byte in a thousand."""
    n = round(rnd.gauss(size / 1000, (size / 1000) ** 0.5))
    return rnd.sample(range(size), max(0, min(size, n)))


def flip_at(path, places, rnd):
    data = bytearray(path.read_bytes())
    for at in places:
        data[at] ^= rnd.randrange(1, 256)
    with open(path, "r+b") as f:
        f.write(data)
        os.fsync(f.fileno())
    print(f"{path.name}: {len(places)} bytes")


def flips(args):
    rnd = random.Random(args.seed + 3)
    for path in sorted(Path(args.store, "containers").glob("*/*.hc")):
        flip_at(path, flip_places(path.stat().st_size, rnd), rnd)
    return 0


def flips_journals(args):
    rnd = random.Random(args.seed + 4)
    store, taken = Path(args.store), set()
    for i in range(2):
        path, in_block, places = store / f"journal.{i}", {}, []
        for at in flip_places(path.stat().st_size, rnd):
            n = in_block[at // BLOCK] = in_block.get(at // BLOCK, 0) + 1
            if n <= 10 and at not in taken:
                places.append(at)
        taken.update(places)
        flip_at(path, places, rnd)
    for path in sorted([*store.glob("superblock.?"), *store.glob("remap.?")]):
        flip_at(path, flip_places(path.stat().st_size, rnd), rnd)
    return 0


def same(args):
    a = {p.relative_to(args.a): p for p in Path(args.a).rglob("*.hc")}
    b = {p.relative_to(args.b): p for p in Path(args.b).rglob("*.hc")}
    wrong = [str(n) for n in sorted(a.keys() - b.keys())]
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name].read_bytes(), b[name].read_bytes()
        if x != y:
            bad = [i for i in range(0, max(len(x), len(y)), BLOCK) if x[i : i + BLOCK] != y[i : i + BLOCK]]
            wrong.append(f"{name}: {len(bad)} blocks differ, first {bad[0] // BLOCK}, last {bad[-1] // BLOCK}")
    for line in wrong[:20]:
        print(line)
    return 1 if wrong or not a else 0


class Result:
    def __init__(self):
        self.wrong, self.eio = [], {}

    def piece(self, name, fd, off, want):
        try:
            got = os.pread(fd, len(want), off)
        except OSError as e:
            self.eio.setdefault(name, []).append((off, len(want)))
            if e.errno != 5:
                self.wrong.append(f"{name} at {off}: {e.strerror}, not EIO")
            return
        if got != want:
            self.wrong.append(f"{name} at {off}: other bytes" if len(got) == len(want) else f"{name} at {off}: {len(got)} of {len(want)} bytes")


def read_all(files, mnt):
    """Whole files where they read; in pieces of 4 KiB around an error."""
    result = Result()
    for path in sorted(p for p in files.rglob("*") if p.is_file()):
        name, want = str(path.relative_to(files)), path.read_bytes()
        try:
            fd = os.open(mnt / name, os.O_RDONLY)
        except OSError as e:
            result.wrong.append(f"{name}: {e.strerror}")
            continue
        try:
            got = b"".join(iter(lambda fd=fd: os.read(fd, 1 << 20), b""))
            if got != want:
                result.wrong.append(f"{name}: other bytes" if len(got) == len(want) else f"{name}: {len(got)} of {len(want)} bytes")
        except OSError:
            for off in range(0, len(want), PIECE):
                result.piece(name, fd, off, want[off : off + PIECE])
        finally:
            os.close(fd)
    return result


def touches(pieces, off, length):
    return any(o < off + length and off < o + n for o, n in pieces)


def compare(args):
    result = read_all(Path(args.files), Path(args.mnt))
    lost = {}
    if args.lost:
        for line in Path(args.lost).read_text(encoding="utf-8").splitlines():
            place = json.loads(line)
            lost.setdefault(place["path"], []).append((place["off"], place["len"]))
    wrong = result.wrong
    for name, pieces in lost.items():
        for off, length in pieces:
            if not touches(result.eio.get(name, []), off, length):
                wrong.append(f"{name} at {off}: lost, but no EIO")
    for name, pieces in result.eio.items():
        for off, length in pieces:
            if not touches(lost.get(name, []), off, length):
                wrong.append(f"{name} at {off}: EIO, but its block is not lost")
    for line in wrong[:20]:
        print(line)
    return 1 if wrong else 0


def main():
    p = argparse.ArgumentParser()
    sub = p.add_subparsers(dest="what", required=True)
    f = sub.add_parser("fill")
    f.add_argument("--seed", type=int, required=True)
    f.add_argument("--mib", type=int, default=320)
    f.add_argument("dir")
    for name in ("geometry", "burst", "scattered", "stripe"):
        s = sub.add_parser(name)
        s.add_argument("--holo", required=True)
        s.add_argument("--seed", type=int, default=0)
        s.add_argument("--files")
        s.add_argument("store")
    for name in ("flips", "flips-journals"):
        s = sub.add_parser(name)
        s.add_argument("--seed", type=int, default=0)
        s.add_argument("store")
    d = sub.add_parser("same")
    d.add_argument("a")
    d.add_argument("b")
    c = sub.add_parser("compare")
    c.add_argument("--lost")
    c.add_argument("files")
    c.add_argument("mnt")
    args = p.parse_args()
    return globals()[args.what.replace("-", "_")](args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as e:
        print(f"damage.py: {e!r}", file=sys.stderr)
        sys.exit(8)
