#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench.py: holofs beside libfuse's passthrough_ll, both on tmpfs: a ratio table in Markdown.

    bench.py --bin DIR --peers DIR [--runs 5] [--files 20000] [--mib 1024] [--mount-opts …] [--json FILE]

Runs are interleaved, every run starts with an empty store, and the table shows medians with the smallest and the
largest value. passthrough_ll runs with writeback, cache=always and long timeouts, as holofs does.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20

# name, unit, larger is better
METRICS = [
    ("sequential write", "MiB/s", True),
    ("sequential write with fsync", "MiB/s", True),
    ("cold sequential read", "MiB/s", True),
    ("create", "files/s", True),
    ("cold list", "files/s", True),
    ("cold stat", "files/s", True),
    ("cold read of small files", "files/s", True),
    ("unlink", "files/s", True),
    ("daemon CPU for writing", "s/GiB", False),
    ("daemon CPU for reading", "s/GiB", False),
    ("daemon memory, peak", "MiB", False),
]


class Mounted:
    """A file system under test: format once, then mounted any number of times."""

    def __init__(self, top, args):
        self.args, self.store, self.mnt = args, top / "store", top / "mnt"
        self.store.mkdir()
        self.mnt.mkdir()
        self.log = open(top / "log", "wb")  # pylint: disable=consider-using-with
        self.daemon = None
        self.peak_kib = 0
        self.format()

    def format(self):
        pass

    def mount(self):
        self.daemon = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(600):
            if os.path.ismount(self.mnt):
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.command()[0]} does not mount: {Path(self.log.name).read_text()[-500:]}")

    def cpu(self):
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def note_memory(self):
        for line in Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                self.peak_kib = max(self.peak_kib, int(line.split()[1]))

    def umount(self):
        if self.daemon is None:
            return
        if self.daemon.poll() is None:
            self.note_memory()
        subprocess.run(["umount", "-i", str(self.mnt)], check=False)
        try:
            self.daemon.wait(timeout=300)
        finally:
            self.daemon.kill()
        self.daemon = None

    def remount_cold(self):
        self.umount()
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
        self.mount()


class Holofs(Mounted):
    name = "holofs"

    def format(self):
        subprocess.run([self.args.bin / "mkfs.holofs", *self.args.mkfs_args.split(), self.store], check=True, stdout=subprocess.DEVNULL)

    def command(self):
        opts = ["-o", self.args.mount_opts] if self.args.mount_opts else []
        return [str(self.args.bin / "holofs"), str(self.store), str(self.mnt), "-f", *opts]


class Passthrough(Mounted):
    name = "passthrough_ll"

    def command(self):
        opts = f"source={self.store},writeback,cache=always,timeout=86400"
        return [str(self.args.peers / "passthrough_ll"), "-f", "-o", opts, str(self.mnt)]


def write_file(fs, args, block):
    """Seconds up to close and up to fsync, and the daemon's CPU seconds."""
    cpu = fs.cpu()
    start = time.monotonic()
    fd = os.open(fs.mnt / "big", os.O_WRONLY | os.O_CREAT, 0o644)
    view = memoryview(block)
    for i in range(args.mib):
        os.write(fd, view[i % 64 * MIB : (i % 64 + 1) * MIB])
    os.close(fd)
    closed = time.monotonic()
    fd = os.open(fs.mnt / "big", os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    return closed - start, time.monotonic() - start, fs.cpu() - cpu


def read_file(fs, args, block):
    cpu, buf = fs.cpu(), bytearray(MIB)
    start = time.monotonic()
    total = 0
    with open(fs.mnt / "big", "rb", buffering=0) as f:
        while n := f.readinto(buf):
            total += n
    seconds = time.monotonic() - start
    last = (args.mib - 1) % 64 * MIB
    if total != args.mib * MIB or buf != block[last : last + MIB]:
        raise RuntimeError(f"{fs.name} read other bytes than were written")
    return seconds, fs.cpu() - cpu


def small(fs, args, what):
    command = [args.peers / "smallfiles", what, fs.mnt / "small", str(args.files), "4096"]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def one_run(kind, args, block):
    top = Path(tempfile.mkdtemp(prefix="holo-bench.", dir=args.tmp))
    fs = kind(top, args)
    result = {}
    try:
        fs.mount()
        closed, synced, cpu = write_file(fs, args, block)
        gib = args.mib / 1024
        result["sequential write"], result["sequential write with fsync"] = args.mib / closed, args.mib / synced
        result["daemon CPU for writing"] = cpu / gib
        fs.remount_cold()
        seconds, cpu = read_file(fs, args, block)
        result["cold sequential read"], result["daemon CPU for reading"] = args.mib / seconds, cpu / gib
        os.unlink(fs.mnt / "big")
        os.mkdir(fs.mnt / "small")
        result["create"] = args.files / small(fs, args, "create")
        fs.remount_cold()
        result["cold list"] = args.files / small(fs, args, "list")
        fs.remount_cold()
        result["cold stat"] = args.files / small(fs, args, "stat")
        fs.remount_cold()
        result["cold read of small files"] = args.files / small(fs, args, "read")
        result["unlink"] = args.files / small(fs, args, "unlink")
        fs.umount()
        result["daemon memory, peak"] = fs.peak_kib / 1024
    finally:
        fs.umount()
        shutil.rmtree(top)
    return result


def machine():
    cpu = next((l.split(":", 1)[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    libfuse = subprocess.run(["pkg-config", "--modversion", "fuse3"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{cpu}, {os.cpu_count()} CPUs, {memory:.0f} GiB, Linux {platform.release()}, libfuse {libfuse}"


def digits(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def table(results, args):
    print(f"{machine()}; stores on tmpfs; medians of {args.runs} interleaved runs (smallest–largest).")
    print(f"{args.mib} MiB incompressible; {args.files} files of 4 KiB.\n")
    print("| | unit | holofs | passthrough_ll | ratio |\n|---|---|---|---|---|")
    for name, unit, larger in METRICS:
        cells, medians = [], []
        for system in ("holofs", "passthrough_ll"):
            values = [r[name] for r in results.get(system, [])]
            if not values:
                cells.append("–")
                continue
            medians.append(statistics.median(values))
            cells.append(f"{digits(medians[-1])} ({digits(min(values))}–{digits(max(values))})")
        ratio = f"{medians[0] / medians[1]:.2f}" if len(medians) == 2 and medians[1] else "–"
        print(f"| {name} | {unit}{'' if larger else ', less is better'} | {' | '.join(cells)} | {ratio} |")


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", type=Path, default=Path("build/bin"))
    p.add_argument("--peers", type=Path, default=Path("build/peers"))
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--files", type=int, default=20000)
    p.add_argument("--mib", type=int, default=1024)
    p.add_argument("--mount-opts", default="")
    p.add_argument("--mkfs-args", default="")
    p.add_argument("--tmp", default="/dev/shm")
    p.add_argument("--only", choices=("holofs", "passthrough_ll"))
    p.add_argument("--json", type=Path)
    args = p.parse_args()
    args.bin, args.peers = args.bin.resolve(), args.peers.resolve()
    return args


def main():
    args = parse()
    # passthrough_ll keeps a descriptor for every inode.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if args.only != "holofs":
        args.files = min(args.files, (most - 200) // 1000 * 1000)
    block = os.urandom(64 * MIB)
    kinds = [k for k in (Holofs, Passthrough) if args.only in (None, k.name)]
    results = {k.name: [] for k in kinds}
    for run in range(args.runs):
        for kind in kinds if run % 2 == 0 else reversed(kinds):
            print(f"run {run + 1} of {args.runs}: {kind.name}", file=sys.stderr)
            results[kind.name].append(one_run(kind, args, block))
    table(results, args)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": results}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
