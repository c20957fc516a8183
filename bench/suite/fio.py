# SPDX-License-Identifier: GPL-2.0-or-later
"""fio.py: fio's jobs, and what its JSON says of them."""
import json
import subprocess

from suite.measure import Outcome

MIB = 1 << 20


def fio(fs, name, size_mib, jobs, *args):
    """Run a job whose files, one for each of jobs, have size_mib together. Files stay, for the next job of that name."""
    command = ["fio", f"--name={name}", f"--directory={fs.mnt}", f"--size={max(1, size_mib // jobs)}m", f"--numjobs={jobs}", "--group_reporting",
               "--ioengine=psync", "--fallocate=none", "--randrepeat=1", "--randseed=7", "--output-format=json", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/tmp")
    if done.returncode:
        raise RuntimeError(f"{fs.name}: {' '.join(command)}: {(done.stderr or done.stdout)[-500:]}")
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    if job["error"]:
        raise RuntimeError(f"{fs.name}: fio {name}: error {job['error']}")
    return job


def micros(times, part):
    """A percentile of a group of fio's times, in microseconds; of those with fdatasync, the sync's are the ones that count."""
    found = times.get("percentile", {}).get(f"{part:.6f}")
    return None if found is None else found / 1000


def outcome(job, rate):
    """rate: 'MiB/s' or 'IOPS', of reads and writes together."""
    read, write = job["read"], job["write"]
    total = read["io_bytes"] + write["io_bytes"]
    value = (read["bw_bytes"] + write["bw_bytes"]) / MIB if rate == "MiB/s" else read["iops"] + write["iops"]
    syncs = job["sync"]["lat_ns"]  # its total_ios stays 0 with fdatasync
    times = syncs if syncs["N"] > 4 else (read if read["total_ios"] else write)["clat_ns"]
    return Outcome(value, total if rate == "MiB/s" or not read["io_bytes"] else write["io_bytes"], read["total_ios"] + write["total_ios"],
                   micros(times, 50), micros(times, 99), wrote=write["io_bytes"] > 0)
