# SPDX-License-Identifier: GPL-2.0-or-later
"""parts_files.py: many files: small ones, source trees with what people do to them, mounts of full stores."""
import os
import subprocess
import time

from suite.measure import Metric, Outcome, measured, timed

SMALL = 4096
TINY = 64


def smallfiles(fs, env, what, folder, count, size):
    command = [str(env.tools / "smallfiles"), what, str(fs.mnt / folder), str(count), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{fs.name}: {' '.join(command)}: {done.stderr[-300:]}")
    return float(done.stdout)


def small(fs, env):
    count = env.sizes.files
    (fs.mnt / "small").mkdir()
    for what, title in (("create", "create"), ("list", "list"), ("stat", "stat"), ("read", "read"), ("unlink", "unlink")):
        metric = Metric(f"{title}, files of 4 KiB" + ("" if what == "create" else ", cold"), "files/s", "1000 ops")

        def step(what=what):
            seconds = smallfiles(fs, env, what, "small", count, SMALL)
            return Outcome(count / seconds, count * SMALL if what == "create" else 0, count, wrote=what in ("create", "unlink"))

        yield metric, measured(fs, metric, step)
        fs.cold()


def shell(fs, command, **env):
    """Seconds of a command that runs in the tree on the filesystem."""
    def run():
        done = subprocess.run(command, shell=True, cwd=fs.mnt, capture_output=True, text=True, check=False, env={**os.environ, **env})
        if done.returncode:
            raise RuntimeError(f"{fs.name}: {command}: {(done.stderr or done.stdout)[-500:]}")
    return timed(run)


GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
COMMIT = "git init -q . && git add -A && git -c user.name=bench -c user.email=bench@localhost commit -qm tree"


def tree(fs, env):
    """A source tree: out of a tar, under version control, compiled, deleted."""
    archive, n = env.tree()
    steps = [("unpack", f"mkdir tree && tar -xf {archive} -C tree", False, True),
             ("walk", "find tree -type f -size +0 -links 1 | wc -l", True, False),
             ("read", "find tree -type f -print0 | xargs -0 cat >/dev/null", True, False)]
    for title, command, cold, wrote in steps:
        if cold:
            fs.cold()
        yield files_a_second(fs, f"{title} a source tree", command, n, wrote)
    shell(fs, f"cd tree && {COMMIT}", **GIT)
    fs.cold()
    yield seconds(fs, "git status, cold", "cd tree && git status --porcelain", n, False)
    yield seconds(fs, "git status, again", "cd tree && git status --porcelain", n, False)
    yield seconds(fs, "build", f"make -s -j{os.cpu_count()} -C tree program", env.sizes.build_files, True)
    shell(fs, "rm -rf tree/.git")
    fs.cold()
    yield files_a_second(fs, "delete a source tree", "rm -rf tree", n, True)


def files_a_second(fs, title, command, n, wrote):
    metric = Metric(title + ("" if "unpack" in title else ", cold"), "files/s", "1000 ops")
    return metric, measured(fs, metric, lambda: Outcome(n / shell(fs, command), 0, n, wrote=wrote))


def seconds(fs, title, command, n, wrote):
    metric = Metric(title, "s", "1000 ops", larger=False)
    return metric, measured(fs, metric, lambda: Outcome(shell(fs, command, **GIT), 0, n, wrote=wrote))


def mount(fs, env):
    """Stores of more and more files: a clean mount, and one whose index is lost. One store, sizes.runs mounts of each size."""
    made = 0
    for n in env.sizes.mount_files:
        (fs.mnt / f"to{n}").mkdir()
        smallfiles(fs, env, "create", f"to{n}", n - made, TINY)
        made = n
        for _ in range(env.sizes.runs):
            fs.chill()
            yield mounted(fs, Metric(f"mount, clean, {n} files", "ms", "mount", larger=False))
        for _ in range(env.sizes.runs):
            fs.umount()
            for path in fs.store.glob("index.db*"):
                path.unlink()
            fs.chill()
            yield mounted(fs, Metric(f"mount, index lost, {n} files", "ms", "mount", larger=False))
            if not fs.stats()["opening"]["index_rebuilt"]:
                raise RuntimeError("the index was not rebuilt")


def mounted(fs, metric):
    """From the command to an answer, with the daemon's processor time of its life until then."""
    start = time.monotonic()
    fs.mount()
    os.listdir(fs.mnt)
    ms = (time.monotonic() - start) * 1000
    return metric, {"value": ms, "cpu_s": fs.cpu(), "cpu_per": fs.cpu(), "rss_mib": fs.peak_mib()}
