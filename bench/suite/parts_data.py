# SPDX-License-Identifier: GPL-2.0-or-later
"""parts_data.py: bytes of large files: sequential, at random, mixed, an sqlite database, reads of a sequencer.

A part is a generator: it gets a filesystem that was just made and mounted, and yields (Metric, sample).
"""
import os
import sqlite3
import subprocess
import time

from suite import data
from suite.fio import fio, outcome
from suite.measure import Metric, Outcome, in_turn, measured, percentile

MIB = 1 << 20
TEXT_BLOCK = 16 * MIB


def plural(jobs):
    return f"{jobs} job" + ("s" if jobs > 1 else "")


def seq(fs, env):
    """1 MiB at a time: random bytes by fio, text by the suite itself (fio's patterns are of 512 bytes)."""
    for jobs in (1, 4):
        write, read = (Metric(f"sequential {what}, {plural(jobs)}", "MiB/s", "GiB") for what in ("write", "read, cold"))
        name, size = f"seq{jobs}", env.sizes.stream_mib

        def step(*args, name=name, jobs=jobs):
            return outcome(fio(fs, name, size, jobs, "--bs=1m", *args), "MiB/s")

        yield write, measured(fs, write, lambda step=step: step("--rw=write", "--end_fsync=1"))
        fs.cold()
        yield read, measured(fs, read, lambda step=step: step("--rw=read"))
        remove(fs, name)
    write, read = Metric("sequential write, text", "MiB/s", "GiB"), Metric("sequential read, text, cold", "MiB/s", "GiB")
    yield write, measured(fs, write, lambda: write_text(fs, env))
    fs.cold()
    yield read, measured(fs, read, lambda: read_text(fs, env))


def remove(fs, name):
    for path in fs.mnt.glob(f"{name}.*"):
        path.unlink()


def write_text(fs, env):
    block, times = memoryview(env.text(TEXT_BLOCK)), []
    start = time.monotonic()
    with open(fs.mnt / "text", "wb", buffering=0) as f:
        for i in range(env.sizes.stream_mib):
            at = i * MIB % TEXT_BLOCK
            before = time.monotonic()
            f.write(block[at : at + MIB])
            times.append(time.monotonic() - before)
        os.fsync(f.fileno())
    return stream(time.monotonic() - start, times, wrote=True)


def read_text(fs, env):
    block, buf, times = memoryview(env.text(TEXT_BLOCK)), bytearray(MIB), []
    start = time.monotonic()
    with open(fs.mnt / "text", "rb", buffering=0) as f:
        for i in range(env.sizes.stream_mib):
            before = time.monotonic()
            f.readinto(buf)
            times.append(time.monotonic() - before)
            if i % 16 == 0 and buf != block[:MIB]:
                raise RuntimeError(f"{fs.name} read other bytes than were written")
    return stream(time.monotonic() - start, times, wrote=False)


def stream(seconds, times, wrote):
    return Outcome(len(times) / seconds, len(times) * MIB, len(times), percentile(times, 0.5) * 1e6, percentile(times, 0.99) * 1e6, wrote)


def rand(fs, env):
    """4 KiB at random places of files that are there."""
    sizes = env.sizes
    limit = f"--runtime={sizes.seconds}"
    for jobs in (1, 4):
        name, each = f"rand{jobs}", sizes.rand_ops // jobs
        fio(fs, name, sizes.rand_mib, jobs, "--rw=write", "--bs=1m", "--end_fsync=1")
        steps = [("random read 4 KiB, cold", True, ("--rw=randread", f"--io_size={each * 4}k")),
                 ("random write 4 KiB, buffered", False, ("--rw=randwrite", "--end_fsync=1", f"--io_size={each * 4}k"))]
        if fs.place == "disk":  # on tmpfs a sync is free, and says nothing
            steps.append(("random write 4 KiB, fdatasync each", False,
                          ("--rw=randwrite", "--fdatasync=1", f"--io_size={sizes.sync_ops // jobs * 4}k")))
        steps.append(("mixed 4 KiB, 70 % reads, cold", True, ("--rw=randrw", "--rwmixread=70", "--end_fsync=1", f"--io_size={each * 4}k")))
        for title, cold, args in steps:
            if cold:
                fs.cold()
            metric = Metric(f"{title}, {plural(jobs)}", "IOPS", "1000 ops")

            def step(name=name, jobs=jobs, args=args):
                return outcome(fio(fs, name, sizes.rand_mib, jobs, "--bs=4k", limit, *args), "IOPS")

            yield metric, measured(fs, metric, step)
        remove(fs, name)


def sqlite(fs, env):
    """A row in and a row changed in each transaction, every one synced."""
    for journal in ("delete", "wal"):
        metric = Metric(f"sqlite, small transactions, journal {journal}", "transactions/s", "1000 ops")
        yield metric, measured(fs, metric, lambda j=journal: transactions(fs.mnt / f"{j}.db", j, env.sizes.transactions))


def transactions(path, journal, count):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA journal_mode={journal}")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, s TEXT)")
    times, start = [], time.monotonic()
    for i in range(count):
        before = time.monotonic()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES(?, 0, ?)", (i, f"row {i * 2654435761 % 2**32} of a table of rows" * 2))
        db.execute("UPDATE t SET n = n + 1 WHERE id = ?", (i * 7919 % (i + 1),))
        db.execute("COMMIT")
        times.append(time.monotonic() - before)
    seconds = time.monotonic() - start
    if db.execute("SELECT count(*), sum(n) FROM t").fetchone() != (count, count):
        raise RuntimeError(f"{path} holds other rows than were written")
    db.close()
    return Outcome(count / seconds, 0, count, percentile(times, 0.5) * 1e6, percentile(times, 0.99) * 1e6, wrote=True)


def write_reads(fs, env):
    """A FASTQ file onto the filesystem; the number of its reads."""
    with open(fs.mnt / "reads.fastq", "wb") as out:
        done = subprocess.run([env.tools / "fastq", str(env.sizes.fastq_mib), str(data.SEED)], stdout=out, stderr=subprocess.PIPE, check=True)
        os.fsync(out.fileno())
    return int(done.stdout or done.stderr)


def seqtk(fs, reads):
    path = fs.mnt / "reads.fastq"
    size, start = path.stat().st_size, time.monotonic()
    done = subprocess.Popen(["seqtk", "seq", str(path)], stdout=subprocess.DEVNULL)
    if done.wait():
        raise RuntimeError(f"{fs.name}: seqtk fails")
    return Outcome(reads / (time.monotonic() - start), size, reads)


def fastq(fs, env):
    reads = write_reads(fs, env)
    fs.cold()
    metric = Metric("FASTQ through seqtk, cold", "reads/s", "GiB")
    yield metric, measured(fs, metric, lambda: seqtk(fs, reads))


def remap(fs, env):
    """Copies of one store with more and more of the file in spare blocks, read in turns: its own repetitions."""
    reads = write_reads(fs, env)
    (fs.mnt / ".holo/control").write_text("seal", encoding="ascii")
    fs.umount()
    stores = remapped_copies(fs, env)
    tell = {n: f"{n} remaps" if n else "no remaps" for n in stores}
    base = tell[min(stores)]
    for run in range(env.sizes.runs):
        for n, store in in_turn(list(stores.items()), run):
            fs.umount()
            fs.store = store
            for title, unit, step in (("FASTQ through seqtk", "reads/s", lambda: seqtk(fs, reads)),
                                      ("read 1 MiB", "MiB/s", lambda: read_whole(fs))):
                fs.cold()
                metric = Metric(f"{title}, {tell[n]}", unit, "GiB", base="" if tell[n] == base else f"{title}, {base}")
                yield metric, measured(fs, metric, step)
            expect_remapped(fs, n)


def remapped_copies(fs, env):
    """{remaps: store}; whatever was in a block that is in a spare now is overwritten, so who reads it would have to repair."""
    stores = {}
    for n in env.sizes.remaps:
        stores[n] = fs.store.with_name(f"store.{n}")
        fs.run("cp", "-a", fs.store, stores[n])
        fs.run(env.tools / "remap_blocks", stores[n], n, data.SEED)
    return stores


def expect_remapped(fs, n):
    stats = fs.stats()
    if stats["remap"]["remaps"] != n or stats["since_mount"]["repaired_blocks"]:
        raise RuntimeError(f"{stats['remap']['remaps']} remaps instead of {n}, {stats['since_mount']['repaired_blocks']} blocks repaired")


def read_whole(fs):
    buf, times, total, start = bytearray(MIB), [], 0, time.monotonic()
    with open(fs.mnt / "reads.fastq", "rb", buffering=0) as f:
        while True:
            before = time.monotonic()
            n = f.readinto(buf)
            if not n:
                break
            times.append(time.monotonic() - before)
            total += n
    return Outcome(total / MIB / (time.monotonic() - start), total, len(times), percentile(times, 0.5) * 1e6, percentile(times, 0.99) * 1e6)
