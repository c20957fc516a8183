#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fingerprint.py: all that a tree shows, one JSON line for each name, so that two states can be compared.

    fingerprint.py make [--inodes] [--no-dir-links] DIR >FILE
    fingerprint.py diff FILE FILE

A line holds the path, type, mode, owner, size, mtime (ns), links, which names are the same file, extended
attributes, the target of a link, device numbers and a hash of the content. --inodes adds inode number and ctime,
which a copy cannot keep and a remount must. --no-dir-links leaves out the link counts of directories, which
differ between file systems.
"""
import argparse
import hashlib
import json
import os
import stat
import sys


def content_hash(path):
    h = hashlib.blake2b(digest_size=16)
    with open(path, "rb", opener=lambda p, f: os.open(p, f | os.O_NOFOLLOW)) as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def xattrs(path):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names}


def describe(path, name, first, args):
    st = os.lstat(path)
    line = {"path": name, "mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid, "mtime_ns": st.st_mtime_ns}
    is_dir = stat.S_ISDIR(st.st_mode)
    if not is_dir:
        line["size"] = st.st_size
        line["same_as"] = first.setdefault(st.st_ino, name)
    if not (is_dir and args.no_dir_links):
        line["nlink"] = st.st_nlink
    if args.inodes:
        line["ino"], line["ctime_ns"] = st.st_ino, st.st_ctime_ns
    if stat.S_ISREG(st.st_mode):
        line["content"] = content_hash(path)
    elif stat.S_ISLNK(st.st_mode):
        line["target"] = os.fsencode(os.readlink(path)).hex()
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        line["rdev"] = st.st_rdev
    line["xattrs"] = xattrs(path)
    return line


def walk(top):
    """Every path below top and top itself, in an order that does not depend on the file system."""
    yield top, "."
    stack = [""]
    while stack:
        directory = stack.pop()
        for name in sorted(os.listdir(os.path.join(top, directory)), reverse=True):
            inner = os.path.join(directory, name)
            path = os.path.join(top, inner)
            yield path, inner
            if stat.S_ISDIR(os.lstat(path).st_mode):
                stack.append(inner)


def make(args):
    first, bad = {}, 0
    lines = []
    for path, name in walk(args.dir):
        try:
            lines.append(describe(path, os.fsencode(name).decode("utf-8", "backslashreplace"), first, args))
        except OSError as e:
            print(f"{path}: {e.strerror}", file=sys.stderr)
            lines.append({"path": name, "error": e.strerror})
            bad = 1
    for line in lines:
        print(json.dumps(line, sort_keys=True))
    return bad


def load(path):
    with open(path, encoding="utf-8") as f:
        return {line["path"]: line for line in map(json.loads, f)}


def diff(args):
    a, b = load(args.a), load(args.b)
    wrong = []
    for name in sorted(a.keys() | b.keys()):
        if name not in b:
            wrong.append(f"{name}: missing")
        elif name not in a:
            wrong.append(f"{name}: new")
        elif a[name] != b[name]:
            keys = sorted(k for k in a[name].keys() | b[name].keys() if a[name].get(k) != b[name].get(k))
            wrong.append(f"{name}: " + ", ".join(f"{k} {a[name].get(k)} became {b[name].get(k)}" for k in keys))
    for line in wrong[:20]:
        print(line)
    if len(wrong) > 20:
        print(f"… and {len(wrong) - 20} more")
    return 1 if wrong or not a else 0


def main():
    p = argparse.ArgumentParser()
    sub = p.add_subparsers(dest="what", required=True)
    m = sub.add_parser("make")
    m.add_argument("--inodes", action="store_true")
    m.add_argument("--no-dir-links", action="store_true")
    m.add_argument("dir")
    d = sub.add_parser("diff")
    d.add_argument("a")
    d.add_argument("b")
    args = p.parse_args()
    return make(args) if args.what == "make" else diff(args)


if __name__ == "__main__":
    sys.exit(main())
