# SPDX-License-Identifier: GPL-2.0-or-later
"""parts_whole.py: verification of all there is, and parity without a mount beside programs that make it for files."""
import json
import re
import shutil
import subprocess

from suite.fio import fio
from suite.measure import Metric, Outcome, measured, timed

MIB = 1 << 20


def scrub(fs, env):
    metric = Metric("scrub", "MiB/s", "GiB")
    fio(fs, "scrub", env.sizes.scrub_mib, 1, "--rw=write", "--bs=1m", "--end_fsync=1")
    for _ in range(2):  # the first, after the write, and once more from the same state
        fs.cold()
        yield metric, measured(fs, metric, lambda: Outcome(env.sizes.scrub_mib / fs.scrub(), env.sizes.scrub_mib * MIB))


PAR2 = Metric("create parity of a file, 9 %", "MB/s")
VERIFY = Metric("verify it", "MB/s")
ENCODE = Metric("parity, 64 + 6 blocks (snapraid: 8 + 6), one core, from memory", "MB/s")
HASH = Metric("checksum of data, one core", "MB/s")


def encode(env, folder):
    """Yields (who, Metric, sample). Nothing is mounted: par2 makes and verifies parity of a file, the others work in memory."""
    path = folder / "file"
    with open("/dev/urandom", "rb") as random, open(path, "wb") as out:
        for _ in range(env.sizes.encode_mib):
            out.write(random.read(MIB))
    yield from engines(env, folder / "ecc.json")
    for _ in range(env.sizes.runs):
        yield from snapraid()
        if shutil.which("par2"):
            yield "par2", PAR2, rate(env, ["par2", "create", "-q", "-q", f"-b{min(2000, 16 * env.sizes.encode_mib)}", "-r9", str(path)])
            yield "par2", VERIFY, rate(env, ["par2", "verify", "-q", "-q", f"{path}.par2"])
        for made in folder.glob("*.par2"):
            made.unlink()


def rate(env, command):
    seconds = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    return {"value": env.sizes.encode_mib * MIB / 1e6 / seconds}


def snapraid():
    """Its speed test: six parities over 8 disks, and its hashes; of each the fastest function."""
    if not shutil.which("snapraid"):
        return
    done = subprocess.run(["snapraid", "-T"], capture_output=True, text=True, check=False)
    for metric, pattern in ((ENCODE, r"^ *gen6 +[a-z]\S* (.*)$"), (HASH, r"^ *hash +[a-z]\S* (.*)$")):
        found = re.search(pattern, done.stdout, re.M)
        if found:
            yield "snapraid", metric, {"value": max(map(float, found[1].split()))}


def engines(env, out):
    """The store's own engines and ISA-L, by ecc_speed, which compares their bytes first."""
    command = [env.tools / "ecc_speed", "-r", max(3, env.sizes.runs), "-m", 6, "-s", 256, "-j", out]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    for test in json.loads(out.read_text(encoding="utf-8"))["tests"]:
        if (test["what"], test["where"], test["threads"]) == ("encode", "DRAM", 1):
            for value in test["runs"]:
                yield test["by"] if test["by"].startswith("ISA-L") else f"holofs {test['by']}", ENCODE, {"value": value * 1000}
