# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.py: which part is run on which filesystem, where, in which order; everything measured goes into one dictionary.

Filesystems take turns within every repetition, each time from another one on, and every turn starts with an empty store. A filesystem that fails
is told and written down, and the run goes on without it in that part.
"""
import dataclasses
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from suite import data, parts_data, parts_files, parts_whole
from suite.measure import in_turn
from suite.peers import PEERS, Btrfs, Holofs


@dataclasses.dataclass(frozen=True)
class Part:
    run: Callable
    what: str
    peers: tuple = tuple(PEERS)
    repeats: bool = True  # else it does its own repetitions, on one store
    program: str = ""


PARTS = {
    "seq": Part(parts_data.seq, "sequential write and read, random bytes and text"),
    "rand": Part(parts_data.rand, "4 KiB at random: read, write, fdatasync, mixed", program="fio"),
    "small": Part(parts_files.small, "create, list, stat, read, unlink small files"),
    "tree": Part(parts_files.tree, "a source tree: unpack, walk, read, git, build, delete"),
    "sqlite": Part(parts_data.sqlite, "a database with small transactions"),
    "fastq": Part(parts_data.fastq, "reads of a sequencer through seqtk", program="seqtk"),
    "remap": Part(parts_data.remap, "the same with remapped blocks", (Holofs.name,), repeats=False, program="seqtk"),
    "scrub": Part(parts_whole.scrub, "verify everything", (Holofs.name, Btrfs.name), program="fio"),
    "mount": Part(parts_files.mount, "mount full stores, clean and without their index", (Holofs.name,), repeats=False),
    "encode": Part(parts_whole.encode, "parity without a mount: ISA-L, SnapRAID, par2", (), repeats=False),
}


@dataclasses.dataclass
class Env:  # pylint: disable=too-many-instance-attributes
    """What the parts need to know."""

    bin: Path
    tools: Path
    peers: Path
    sizes: object
    places: dict  # tmpfs, disk: a folder there
    mount_opts: str = ""
    mkfs_args: str = ""
    kept: dict = dataclasses.field(default_factory=dict)

    def text(self, size):
        if "text" not in self.kept:
            self.kept["text"] = data.text(size)
        return self.kept["text"]

    def tree(self):
        """The tar of the source tree, and how many files it has."""
        if "tree" not in self.kept:
            folder = Path(tempfile.mkdtemp(prefix="holo-bench-tree.", dir=next(iter(self.places.values()))))
            self.kept["folder"] = folder
            self.kept["tree"] = data.make_tree(folder / "tree", self.sizes.tree_files, self.sizes.build_files)
            shutil.rmtree(folder / "tree")
        return self.kept["tree"], self.sizes.tree_files + 3

    def clear(self):
        if "folder" in self.kept:
            shutil.rmtree(self.kept["folder"], ignore_errors=True)


class Results:
    """Metrics in the order in which they were first met."""

    def __init__(self):
        self.metrics, self.failures = {}, []

    def add(self, where, metric, who, sample):
        row = self.metrics.setdefault((*where, metric.name), {"part": where[0], "place": where[1], **dataclasses.asdict(metric), "samples": {}})
        row["samples"].setdefault(who, []).append({k: round(v, 6) for k, v in sample.items()})

    def fail(self, part, place, who, error):
        text = f"{part} on {place}, {who}: {error}"
        print(f"bench: FAILED {text}", file=sys.stderr)
        self.failures.append(text)


def say(text):
    print(f"bench: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def one_turn(env, part, place, who, results):
    """One filesystem, new, through one part."""
    top = Path(tempfile.mkdtemp(prefix="holo-bench.", dir=env.places[place]))
    fs = None
    try:
        fs = PEERS[who](env, place, top)
        fs.mount()
        for metric, sample in PARTS[part].run(fs, env):
            results.add((part, place), metric, who, sample)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        results.fail(part, place, who, error)
        return False
    finally:
        if fs:
            fs.close()
        shutil.rmtree(top, ignore_errors=True)
    return True


def in_turns(env, part, place, peers, results):
    peers, runs = list(peers), env.sizes.runs if PARTS[part].repeats else 1
    for run in range(runs):
        for who in in_turn(peers, run):
            say(f"{part} on {place}, {run + 1} of {runs}: {who}")
            if not one_turn(env, part, place, who, results):
                peers.remove(who)


def in_memory(env, part, results):
    say(part)
    folder = Path(tempfile.mkdtemp(prefix="holo-bench.", dir=next(iter(env.places.values()))))
    try:
        for who, metric, sample in PARTS[part].run(env, folder):
            results.add((part, "memory"), metric, who, sample)
    except (RuntimeError, OSError) as error:
        results.fail(part, "memory", "all", error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(env, parts, peers):
    """Everything that was asked for; parts: (name, places)."""
    results = Results()
    try:
        for part, places in parts:
            program = PARTS[part].program
            if program and not shutil.which(program):
                results.fail(part, "any place", "all", f"{program} is not installed")
            elif not PARTS[part].peers:
                in_memory(env, part, results)
            else:
                for place in places:
                    in_turns(env, part, place, [p for p in peers if p in PARTS[part].peers], results)
    finally:
        env.clear()
    return results
