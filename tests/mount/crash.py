#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""crash.py: writers that note outside the mount what fsync acknowledged, and the checks of it after a crash.

    crash.py write KIND DIR LOG SEED      until the file system goes away
    crash.py verify KIND DIR LOG SEED     exit 0 if nothing acknowledged is missing and nothing is invented

LOG gets a line `try …` before each step and `ack …` after the fsync that covers it. The state after a crash must
be one between the last ack and the last try: never older, never of mixed or foreign bytes.
"""
import hashlib
import os
import random
import sqlite3
import sys

PAGE = 4096


def pattern(tag, size):
    return hashlib.shake_128(tag.encode()).digest(size) if size else b""


class Log:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *words):
        os.write(self.fd, (" ".join(map(str, words)) + "\n").encode())


def read_log(path):
    with open(path, encoding="ascii") as f:
        return [line.split() for line in f if line.endswith("\n")]


def last(log, word, default=0):
    return max((int(w[1]) for w in log if w[0] == word), default=default)


def fsync_dir(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd, data, off=None):
    view = memoryview(data)
    while view:
        n = os.write(fd, view) if off is None else os.pwrite(fd, view, off)
        view = view[n:]
        off = None if off is None else off + n


def slurp(path):
    with open(path, "rb") as f:
        return f.read()


class Wrong(Exception):
    pass


def want(cond, text):
    if not cond:
        raise Wrong(text)


class Append:
    """A log file that only grows."""

    def __init__(self, top, seed):
        self.path, self.seed = os.path.join(top, "append"), seed

    def page(self, i):
        return pattern(f"append {self.seed} {i}", PAGE)

    def stream(self, a, b):
        data = b"".join(self.page(i) for i in range(a // PAGE, (b + PAGE - 1) // PAGE))
        return data[a % PAGE : a % PAGE + b - a]

    def write(self, log):
        rnd, size = random.Random(self.seed), 0
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        while True:
            n = rnd.choice((1, 100, 5000, 70000))
            log.note("try", size + n)
            write_all(fd, self.stream(size, size + n))
            size += n
            if rnd.random() < 0.3:
                os.fsync(fd)
                log.note("ack", size)

    def verify(self, log):
        acked, tried = last(log, "ack"), last(log, "try")
        if not acked and not os.path.exists(self.path):
            return
        got = slurp(self.path)
        want(acked <= len(got) <= tried, f"size {len(got)}, acknowledged {acked}, tried {tried}")
        want(got[:acked] == self.stream(0, acked), "acknowledged bytes differ")
        for off in [acked, *range(acked - acked % PAGE + PAGE, len(got), PAGE)]:
            piece = got[off : off - off % PAGE + PAGE]
            want(piece == self.stream(off, off + len(piece)) or not any(piece), f"foreign bytes at {off}")


class Synced(Append):
    """The same, opened so that each write is durable when it returns."""

    def __init__(self, top, seed):
        super().__init__(top, seed)
        self.path = os.path.join(top, "synced")

    def write(self, log):
        rnd, size = random.Random(self.seed), 0
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_SYNC, os.O_DSYNC)[self.seed % 2], 0o644)
        while True:
            n = rnd.choice((1, 100, 5000, 70000))
            log.note("try", size + n)
            write_all(fd, self.stream(size, size + n))
            size += n
            log.note("ack", size)


class Replace:
    """Write a new file, rename it over the old one: whole old or whole new, fsync before the rename or not."""

    def __init__(self, top, seed):
        self.top, self.seed = top, seed
        self.path = os.path.join(top, "replace")

    def content(self, version):
        size = random.Random(f"{self.seed} {version}").choice((10, 3000, 4096, 50000, 300000))
        return f"{version:010d}".encode() + pattern(f"replace {self.seed} {version}", size)

    def write(self, log):
        rnd, version = random.Random(self.seed), 0
        while True:
            version += 1
            log.note("try", version)
            fd = os.open(self.path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            write_all(fd, self.content(version))
            if rnd.random() < 0.5:
                os.fsync(fd)
            os.close(fd)
            os.rename(self.path + ".tmp", self.path)
            if rnd.random() < 0.3:
                fsync_dir(self.top)
                log.note("ack", version)

    def verify(self, log):
        acked, tried = last(log, "ack"), last(log, "try")
        if not os.path.exists(self.path):
            want(not acked, f"version {acked} was acknowledged and is missing")
            return
        got = slurp(self.path)
        want(len(got) >= 10, f"{len(got)} bytes after a rename")
        version = int(got[:10])
        want(acked <= version <= tried, f"version {version}, acknowledged {acked}, tried {tried}")
        want(got == self.content(version), f"version {version} is not whole")


class Blocks:
    """Overwrites of single blocks of one file."""

    COUNT = 256

    def __init__(self, top, seed):
        self.path, self.seed = os.path.join(top, "blocks"), seed

    def block(self, i, version):
        return pattern(f"block {self.seed} {i} {version}", PAGE)

    def write(self, log):
        rnd, version = random.Random(self.seed), 0
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        write_all(fd, b"".join(self.block(i, 0) for i in range(self.COUNT)), 0)
        os.fsync(fd)
        log.note("ack", 0, -1)
        while True:
            mine = []
            for _ in range(rnd.choice((1, 2, 20))):
                i, version = rnd.randrange(self.COUNT), version + 1
                log.note("try", version, i)
                write_all(fd, self.block(i, version), i * PAGE)
                mine.append((version, i))
            os.fdatasync(fd)
            for v, i in mine:
                log.note("ack", v, i)

    def verify(self, log):
        if not any(w[0] == "ack" for w in log):
            return
        got = slurp(self.path)
        want(len(got) == self.COUNT * PAGE, f"size {len(got)}")
        for i in range(self.COUNT):
            acked = max((int(w[1]) for w in log if w[0] == "ack" and int(w[2]) == i), default=0)
            tried = [int(w[1]) for w in log if w[0] == "try" and int(w[2]) == i]
            allowed = [acked] + [v for v in tried if v > acked]
            want(any(got[i * PAGE : (i + 1) * PAGE] == self.block(i, v) for v in allowed), f"block {i} is no version of {allowed}")


class Resize:
    """One step at a time, each with its fsync: writes anywhere, truncations both ways."""

    LIMIT = 600000

    def __init__(self, top, seed):
        self.path, self.seed = os.path.join(top, "resize"), seed

    def steps(self):
        rnd, n = random.Random(self.seed), 0
        while True:
            n += 1
            off = rnd.randrange(self.LIMIT)
            yield (n, "trunc", off, 0) if rnd.random() < 0.3 else (n, "write", off, rnd.choice((1, 700, 4096, 50000)))

    def write(self, log):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        for n, what, off, size in self.steps():
            log.note("try", n)
            if what == "trunc":
                os.ftruncate(fd, off)
            else:
                write_all(fd, pattern(f"resize {self.seed} {n}", size), off)
            os.fsync(fd)
            log.note("ack", n)

    def apply(self, data, n, what, off, size):
        if what == "trunc":
            return data[:off] + bytes(max(0, off - len(data)))
        data = data + bytes(max(0, off + size - len(data)))
        return data[:off] + pattern(f"resize {self.seed} {n}", size) + data[off + size :]

    def verify(self, log):
        acked, tried = last(log, "ack"), last(log, "try")
        if not os.path.exists(self.path):
            want(not acked, "the file is missing")
            return
        old = new = b""
        for step in self.steps():
            if step[0] > tried:
                break
            old, new = new, self.apply(new, *step)
        if tried == acked:
            old = new
        got = slurp(self.path)
        want(min(len(old), len(new)) <= len(got) <= max(len(old), len(new)), f"size {len(got)}, not {len(old)} or {len(new)}")
        for off in range(0, len(got), PAGE):
            piece = got[off : off + PAGE]
            old_piece = old[off : off + len(piece)]
            fits = piece in (new[off : off + len(piece)], old_piece + bytes(len(piece) - len(old_piece)))
            want(fits, f"the page at {off} is neither old nor new")


class Names:
    """Namespace operations: after a crash the tree is the one after some prefix of them."""

    def __init__(self, top, seed):
        self.top, self.seed = os.path.join(top, "names"), seed

    def name(self, rnd):
        d = rnd.randrange(6)
        return (f"d{d}/" if d else "") + f"n{rnd.randrange(25)}"

    def steps(self):
        """Yields (number, operation, arguments) that are valid in the state it keeps."""
        rnd, state, n = random.Random(self.seed), State(), 0
        while True:
            what = rnd.choice(("create", "create", "unlink", "rename", "rename", "link", "symlink", "mkdir", "rmdir", "chmod", "xattr"))
            args = {
                "mkdir": lambda: (f"d{rnd.randrange(1, 6)}",),
                "rmdir": lambda: (f"d{rnd.randrange(1, 6)}",),
                "rename": lambda: (self.name(rnd), self.name(rnd)),
                "link": lambda: (self.name(rnd), self.name(rnd)),
                "chmod": lambda: (self.name(rnd), rnd.randrange(0o1000)),
            }.get(what, lambda: (self.name(rnd),))()
            if state.apply(what, args, n + 1):
                n += 1
                yield n, what, args

    def do(self, what, args, n):
        path = os.path.join(self.top, args[0])
        if what == "create":
            os.mknod(path, 0o100644)
        elif what == "unlink":
            os.unlink(path)
        elif what == "rename":
            os.rename(path, os.path.join(self.top, args[1]))
        elif what == "link":
            os.link(path, os.path.join(self.top, args[1]), follow_symlinks=False)
        elif what == "symlink":
            os.symlink(f"target-{n}", path)
        elif what == "mkdir":
            os.mkdir(path)
        elif what == "rmdir":
            os.rmdir(path)
        elif what == "chmod":
            os.chmod(path, args[1])
        else:
            os.setxattr(path, "user.n", str(n).encode())

    def write(self, log):
        os.mkdir(self.top)
        fsync_dir(self.top)
        log.note("ack", 0)
        rnd = random.Random(f"fsync {self.seed}")
        for n, what, args in self.steps():
            log.note("try", n)
            self.do(what, args, n)
            if rnd.random() < 0.05:
                fsync_dir(self.top)
                log.note("ack", n)

    def seen(self):
        state = State()
        inode = {}
        for directory, dirs, files in os.walk(self.top):
            here = os.path.relpath(directory, self.top)
            for d in list(dirs):
                if os.path.islink(os.path.join(directory, d)):
                    files.append(d)
                else:
                    state.dirs.add(d)
            for f in files:
                path = os.path.join(directory, f)
                st = os.lstat(path)
                name = f if here == "." else f"{here}/{f}"
                state.names[name] = inode.setdefault(st.st_ino, self.describe(path, st))
        return state

    @staticmethod
    def describe(path, st):
        if os.path.islink(path):
            return Node(target=os.readlink(path))
        attrs = os.listxattr(path)
        return Node(mode=st.st_mode & 0o7777, attr=os.getxattr(path, "user.n").decode() if "user.n" in attrs else "")

    def verify(self, log):
        acked, tried = last(log, "ack", -1), last(log, "try")
        if acked < 0:
            return
        seen = self.seen().image()
        state = State()
        if acked == 0 and state.image() == seen:
            return
        for n, what, args in self.steps():
            if n > tried:
                break
            state.apply(what, args, n)
            if n >= acked and state.image() == seen:
                return
        raise Wrong(f"the tree is no state between step {acked} and {tried}")


class Node:
    def __init__(self, target="", mode=0o644, attr=""):
        self.target, self.mode, self.attr = target, mode, attr


class State:
    """What a sequence of namespace operations leads to."""

    def __init__(self):
        self.dirs, self.names = set(), {}

    def has_parent(self, name):
        return "/" not in name or name.split("/")[0] in self.dirs

    def apply(self, what, args, n):
        """True if the operation is possible; then it is done."""
        a = args[0]
        if what == "mkdir":
            fits = a not in self.dirs
            self.dirs.add(a)
            return fits
        if what == "rmdir":
            fits = a in self.dirs and not any(x.startswith(a + "/") for x in self.names)
            if fits:
                self.dirs.discard(a)
            return fits
        if what in ("create", "symlink"):
            if a in self.names or not self.has_parent(a):
                return False
            self.names[a] = Node(target=f"target-{n}") if what == "symlink" else Node()
            return True
        node = self.names.get(a)
        if node is None:
            return False
        if what == "unlink":
            del self.names[a]
        elif what == "rename":
            if not self.has_parent(args[1]) or self.names.get(args[1]) is node:
                return False
            self.names[args[1]] = self.names.pop(a)
        elif what == "link":
            if not self.has_parent(args[1]) or args[1] in self.names:
                return False
            self.names[args[1]] = node
        elif node.target:
            return False
        elif what == "chmod":
            node.mode = args[1]
        else:
            node.attr = str(n)
        return True

    def image(self):
        first = {}
        files = []
        for name in sorted(self.names):
            node = self.names[name]
            shown = (node.target,) if node.target else (node.mode, node.attr)
            files.append((name, first.setdefault(id(node), name), shown))
        return sorted(self.dirs), files


class Attrs:
    """An xattr, then a time, set again and again: in order, and never older than acknowledged."""

    def __init__(self, top, seed):
        self.path, self.seed = os.path.join(top, "attrs"), seed

    def write(self, log):
        rnd, version = random.Random(self.seed), 0
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        os.fsync(fd)
        log.note("ack", 0)
        while True:
            version += 1
            log.note("try", version)
            os.setxattr(fd, "user.version", str(version).encode())
            os.utime(fd, ns=(version, version))
            if rnd.random() < 0.2:
                os.fsync(fd)
                log.note("ack", version)

    def verify(self, log):
        acked, tried = last(log, "ack", -1), last(log, "try")
        if acked < 0:
            return
        attr = int(os.getxattr(self.path, "user.version")) if "user.version" in os.listxattr(self.path) else 0
        want(acked <= attr <= tried, f"xattr {attr}, acknowledged {acked}, tried {tried}")
        mtime = os.stat(self.path).st_mtime_ns
        want(acked <= mtime <= attr or (acked == 0 and mtime > tried), f"mtime {mtime}, acknowledged {acked}, xattr {attr}")


class Bulk:
    """Whole files of some MiB, so that containers fill and are sealed; older ones are deleted."""

    KEEP = 6

    def __init__(self, top, seed):
        self.top, self.seed = top, seed

    def path(self, n):
        return os.path.join(self.top, f"bulk-{n}")

    def content(self, n):
        return pattern(f"bulk {self.seed} {n}", random.Random(f"{self.seed} {n}").randrange(1, 4 << 20))

    def write(self, log):
        n = 0
        while True:
            n += 1
            log.note("try", n)
            fd = os.open(self.path(n), os.O_WRONLY | os.O_CREAT, 0o644)
            write_all(fd, self.content(n))
            os.fsync(fd)
            os.close(fd)
            log.note("ack", n)
            if n > self.KEEP:
                log.note("drop", n - self.KEEP)
                os.unlink(self.path(n - self.KEEP))

    def verify(self, log):
        dropped = last(log, "drop")
        for n in range(1, last(log, "ack") + 1):
            if os.path.exists(self.path(n)):
                want(slurp(self.path(n)) == self.content(n), f"file {n} differs")
            else:
                want(n <= dropped, f"file {n} was acknowledged and is missing")


class Sqlite:
    """A database that commits with synchronous=EXTRA."""

    def __init__(self, top, seed):
        self.path, self.mode = os.path.join(top, "db.sqlite"), ("delete", "wal")[seed % 2]

    def write(self, log):
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute(f"pragma journal_mode={self.mode}")
        # With a journal that is deleted, FULL leaves the deletion itself unsynced: a power loss may roll the last
        # commit back. EXTRA syncs the directory too (https://www.sqlite.org/pragma.html#pragma_synchronous).
        db.execute("pragma synchronous=extra")
        db.execute("create table if not exists t (n integer primary key, text blob)")
        n = 0
        while True:
            n += 1
            log.note("try", n)
            db.execute("begin")
            db.execute("insert into t values (?, ?)", (n, pattern(f"row {n}", 500)))
            db.execute("commit")
            log.note("ack", n)

    def verify(self, log):
        acked, tried = last(log, "ack"), last(log, "try")
        if not acked:
            return
        db = sqlite3.connect(self.path)
        want(db.execute("pragma integrity_check").fetchone() == ("ok",), "integrity_check")
        rows = db.execute("select n, text from t order by n").fetchall()
        want([r[0] for r in rows] == list(range(1, len(rows) + 1)), "rows are missing")
        want(acked <= len(rows) <= tried, f"{len(rows)} rows, acknowledged {acked}, tried {tried}")
        want(all(text == pattern(f"row {n}", 500) for n, text in rows), "a row differs")
        db.close()


KINDS = {c.__name__.lower(): c for c in (Append, Synced, Replace, Blocks, Resize, Names, Attrs, Bulk, Sqlite)}


def main():
    if len(sys.argv) == 2 and sys.argv[1] == "kinds":
        print(*KINDS)
        return 0
    what, kind, top, log_path, seed = sys.argv[1:6]
    job = KINDS[kind](top, int(seed))
    if what == "write":
        try:
            job.write(Log(log_path))
        except (OSError, sqlite3.Error) as e:
            print(f"{kind}: {e}", file=sys.stderr)
            return 3
    try:
        job.verify(read_log(log_path))
    except (Wrong, OSError, ValueError, sqlite3.Error) as e:
        print(f"{kind} (seed {seed}): {e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
