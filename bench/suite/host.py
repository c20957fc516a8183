# SPDX-License-Identifier: GPL-2.0-or-later
"""host.py: what a figure depends on: the machine, the programs and their versions, the commit."""
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("libfuse3-dev", "gocryptfs", "securefs", "bindfs", "btrfs-progs", "fio", "seqtk", "sqlite3", "git", "gcc", "par2", "snapraid",
            "libisal2")


def output(*command, cwd=None):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd).stdout.strip()
    except OSError:
        return ""


def processor():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def below(path):
    """The filesystem that holds path, as findmnt calls it."""
    return " ".join(output("findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", str(path)).splitlines()[-1:]).replace("  ", " ")


def versions():
    installed = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES)
    return dict(line.split(" ", 1) for line in installed.splitlines() if " " in line and not line.endswith(" "))


def commit(top):
    name = output("git", "rev-parse", "--short=12", "HEAD", cwd=top)
    return name + ("+" if name and output("git", "status", "--porcelain", "-uno", cwd=top) else "")


def describe(top):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": {"cpu": processor(), "cpus": os.cpu_count(), "memory_gib": round(memory / (1 << 30), 1), "kernel": platform.release(),
                    "load": os.getloadavg()[0]},
        "versions": versions(),
        "commit": commit(top),
    }
