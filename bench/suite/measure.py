# SPDX-License-Identifier: GPL-2.0-or-later
"""measure.py: one step of a workload on one filesystem: its rate, and what it cost beside the time.

A step returns an Outcome. What the daemon does later for the sake of a write (sealing, writing back) belongs to the write: CPU seconds and bytes
written are taken when the store has come to rest.
"""
import dataclasses
import time

GIB = 1 << 30
REST_S, REST_LIMIT_S = 0.4, 20


@dataclasses.dataclass(frozen=True)
class Metric:
    """name is the row of the tables; per is what CPU seconds are counted for; base names a metric to compare with, of the same filesystem."""

    name: str
    unit: str
    per: str = ""  # "GiB", "1000 ops", "mount" or nothing
    larger: bool = True
    base: str = ""


@dataclasses.dataclass
class Outcome:
    value: float
    user_bytes: int = 0
    ops: int = 0
    p50_us: float = None
    p99_us: float = None
    wrote: bool = False


def rest(fs):
    """Until nothing is written any more, for REST_S."""
    fs.sync()
    if not fs.alive_pids():
        return
    deadline, last, since = time.monotonic() + REST_LIMIT_S, (fs.written(), round(fs.cpu(), 1)), time.monotonic()
    while time.monotonic() < min(deadline, since + REST_S):
        time.sleep(0.05)
        now = (fs.written(), round(fs.cpu(), 1))
        if now != last:
            last, since = now, time.monotonic()


def share(metric, outcome, cpu):
    """CPU seconds for a GiB or for 1000 operations."""
    amount = outcome.user_bytes / GIB if metric.per == "GiB" else outcome.ops / 1000
    return cpu / amount if metric.per and amount else None


def measured(fs, metric, step):
    cpu, written = fs.cpu(), fs.written()
    outcome = step()
    if outcome.wrote:
        rest(fs)
    sample = {"value": outcome.value, "p50_us": outcome.p50_us, "p99_us": outcome.p99_us}
    if cpu is not None:
        sample["cpu_s"] = fs.cpu() - cpu
        sample["cpu_per"] = share(metric, outcome, sample["cpu_s"])
        sample["rss_mib"] = fs.peak_mib()
    if outcome.wrote and written is not None and outcome.user_bytes:
        sample["written_ratio"] = (fs.written() - written) / outcome.user_bytes
    return {k: v for k, v in sample.items() if v is not None}


def timed(run):
    """Seconds that run() takes."""
    start = time.monotonic()
    run()
    return time.monotonic() - start


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def in_turn(what, run):
    """The list, from another one on in each run."""
    first = run % len(what) if what else 0
    return what[first:] + what[:first]
