#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dump.py: holo dump decodes the golden images, tells what is wrong with damaged files, and never crashes or writes.

Usage: dump.py HOLO GOLDEN. DUMPS (120) damaged files; SEED chooses them.
"""
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile

failures = 0


def expect(holds, what):
    global failures
    if not holds:
        print(f"FAIL {what}")
        failures += 1


def dump(holo, what, path, *options):
    """Exit code and objects; every line is JSON, and of standard error there is at most one."""
    done = subprocess.run([holo, "dump", what, str(path), "--json", *options], capture_output=True, check=False)
    errors = done.stderr.decode(errors="replace")
    expect(done.returncode in (0, 1) and len(errors.splitlines()) <= 1, f"dump {what} {path}: exit {done.returncode}\n{errors[:2000]}")
    text = done.stdout.decode()
    if what in ("superblock", "container"):
        return done.returncode, [json.loads(text)] if text else []
    return done.returncode, [json.loads(line) for line in text.splitlines()]


def whole_image(holo, store, tree):
    """The records of all metadata and the ring together have every inode and every name of the manifest."""
    inodes, names, kinds = {}, set(), set()
    logs = [store / "journal.0", store / "journal.1"]
    for c in sorted(store.glob("containers/*/*.hc")):
        rc, header = dump(holo, "container", c)
        expect(rc == 0, f"{c} has a header")
        if header[0]["class"] == "file data":
            rc, pieces = dump(holo, "pieces", c)
            expect(rc == 0 and len(pieces) == header[0]["pieces"], f"the directory of {c}")
            expect(all(p["at"] + p["stored"] <= header[0]["content_bytes"] for p in pieces), f"the pieces of {c} are in it")
        else:
            logs.append(c)
    for log in logs:
        rc, found = dump(holo, "record", log)
        expect(rc == 0 and not [o for o in found if o["what"] == "wrong"], f"records of {log}")
        for item in (i for o in found if o["what"] == "record" for i in o["items"]):
            kinds.add(item["item"])
            if item["item"] == "inode":
                inodes.setdefault(item["inode"], set()).add((int(item["mode"], 8), item["links"], item["uid"], item["gid"]))
            elif item["item"] == "entry":
                names.add((item["name"], item["inode"]))
    for path, ino, mode, links, uid, gid in tree:
        expect((mode, links, uid, gid) in inodes.get(ino, ()), f"{store}: inode {ino} of {path} is in the records")
        name = path.rsplit("/", 1)[1]
        if name.isascii() and "\\" not in name and name:
            expect((name, ino) in names, f"{store}: the name {path} is in the records")
    expect({"inode", "entry", "extent", "counters"} <= kinds, f"{store}: kinds of items: {kinds}")
    for i in range(2):
        rc, entries = dump(holo, "ring", store / f"journal.{i}")
        live = [e for e in entries if e["what"] == "entry" and e["state"] == "live"]
        expect(rc == 0 and live and all(e["whole"] for e in live), f"{store}: entries of journal.{i}")
        expect(all(a["lsn"] + a["blocks"] == b["lsn"] and a["chain"] == b["previous"] for a, b in zip(live, live[1:])), f"{store}: the chain")
    for i in range(5):
        rc, _ = dump(holo, "superblock", store / f"superblock.{i}")
        expect(rc == 0, f"{store}: superblock.{i}")
    copies = [dump(holo, "remap", store / f"remap.{i}") for i in range(5)]
    expect(all(c == copies[0] and c[0] == 0 for c in copies), f"{store}: five copies of the remap table")
    adds = sum(o.get("kind") == "add" for o in copies[0][1])
    expect((adds > 0) == ("remapped" in store.name), f"{store}: {adds} remaps")


def manifest(path):
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        m = re.match(r"(/.*?) ino (\d+) gen \d+ mode (\d+) links (\d+) owner (\d+):(\d+) ", line)
        if m and m[1] != "/":
            yield m[1], int(m[2]), int(m[3], 8), int(m[4]), int(m[5]), int(m[6])


def wrongs(found):
    return [o for o in found if o["what"] == "wrong"]


def known_damage(holo, store):
    """One thing wrong is one line; the rest is still decoded."""
    ring = store / "journal.0"
    right = ring.read_bytes()
    _, before = dump(holo, "ring", ring)
    live = [e for e in before if e["what"] == "entry" and e["state"] == "live"]
    size = len(right)
    for e in live[:-1][:8]:
        damaged = bytearray(right)
        damaged[e["lsn"] * 4096 % size + 200] ^= 1
        ring.write_bytes(damaged)
        rc, found = dump(holo, "ring", ring)
        expect(rc == 1 and [w["lsn"] for w in wrongs(found)] == [e["lsn"]], f"the entry at {e['lsn']}: {wrongs(found)}")
        expect(len(found) == len(before), "the other entries are there")
    ring.write_bytes(right[: size // 2 + 100])
    rc, found = dump(holo, "ring", ring)
    expect(rc == 1 and wrongs(found), "half of a ring")
    ring.write_bytes(right)
    remap = store / "remap.3"
    right = remap.read_bytes()
    for at, where in ((100, "header"), (4096 + 100, "header"), (8192 + 30, "slot")):
        if at < len(right):
            damaged = bytearray(right)
            damaged[at] ^= 4
            remap.write_bytes(damaged)
            rc, found = dump(holo, "remap", remap)
            expect(rc == 1 and len(wrongs(found)) == 1 and where in wrongs(found)[0], f"{where} of a remap table: {wrongs(found)}")
    remap.write_bytes(right)
    elsewhere = store.parent / "moved"
    elsewhere.write_bytes((store / "journal.0").read_bytes())
    rc, found = dump(holo, "ring", elsewhere)
    expect(rc == 1 and len(found) == len(before) + 1, "a ring without its store: shown, and told that nothing is verified")
    expect(dump(holo, "ring", elsewhere, "--store", str(store)) == (0, before), "with --store as before")


def spoil(rnd, data):
    how = rnd.randrange(4)
    if how == 0:
        return data[: rnd.randrange(len(data) + 1)]
    for _ in range(rnd.choice((1, 3, 50, 5000))):
        data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
    if how == 1:
        at = rnd.randrange(len(data))
        n = rnd.choice((1, 8, 64, 4096, 100000))
        data[at : at + n] = rnd.choice((rnd.randbytes(n), b"\xff" * n, bytes(n)))
    if how == 2 and len(data) > 8192:
        a, b = (rnd.randrange(len(data) // 8) * 8 for _ in range(2))
        data[a : a + 4096] = data[b : b + 4096]
    return data


def random_damage(holo, stores, rnd, n):
    kinds = ("ring", "record", "pieces", "remap", "superblock", "container")
    for _ in range(n):
        store = rnd.choice(stores)
        pick = [p for p in store.rglob("*") if p.suffix == ".hc" or p.name.startswith(("journal", "remap", "superblock"))]
        path = rnd.choice(sorted(pick))
        right = path.read_bytes()
        path.write_bytes(spoil(rnd, bytearray(right)))
        digest, when = hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns
        usual = {"j": ("ring", "record"), "r": ("remap",), "s": ("superblock",), "0": ("container", "record", "pieces")}[path.name[0]]
        for what in {*usual, rnd.choice(kinds)}:
            dump(holo, what, path, *(["--records"] if what == "ring" else []))
        expect(hashlib.sha256(path.read_bytes()).digest() == digest and path.stat().st_mtime_ns == when, f"{path} was not written")
        path.write_bytes(right)


def main():
    holo, golden = sys.argv[1], pathlib.Path(sys.argv[2])
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        stores = []
        for image in sorted(golden.glob("*.tar.xz")):
            store = pathlib.Path(folder) / image.name.removesuffix(".tar.xz")
            with tarfile.open(image) as t:
                t.extractall(store)
            stores.append(store)
            whole_image(holo, store, list(manifest(golden / f"{store.name}.tree")))
        known_damage(holo, next(s for s in stores if "remapped" in s.name))
        random_damage(holo, stores, random.Random(seed), int(os.environ.get("DUMPS", "120")))
        expect(dump(holo, "ring", folder)[0] == 1 and dump(holo, "remap", f"{folder}/nothing")[0] == 1, "no file is an error")
    done = subprocess.run([holo, "dump", "nonsense", "x"], capture_output=True, check=False)
    expect(done.returncode == 16, "what there is not is wrong use")
    sys.exit(failures != 0)


main()
