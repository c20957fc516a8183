#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""layers.py: who may include whom, as docs/DESIGN.md says under «Folders». Usage: layers.py TOP [BINDIR]"""
import pathlib
import re
import subprocess
import sys

ALLOWED = {
    "base": set(),
    "ecc": {"base"},
    "cuda": {"ecc", "base"},
    "store": {"base"},
    "remap": {"store", "base"},
    "meta": {"base"},
    "core": {"base", "ecc", "cuda", "store", "remap", "meta"},
    "fuse": {"core", "base"},
    "tools": {"core", "cuda", "ecc", "remap", "base"},
}
# Libraries that belong to one folder.
SYSTEM = {
    r"fuse.*|linux/fuse\.h": {"fuse"},
    r"sqlite3.*": {"meta"},
    r"zstd.*": {"store"},
    r"cuda.*|nvrtc.*": {"cuda"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in {".c", ".h", ".cu", ".cuh"})


def own_include(path, folder, name):
    """The complaint about a quoted include, or None."""
    first, _, rest = name.partition("/")
    if rest and first in ALLOWED:
        if first == folder or first in ALLOWED[folder]:
            return None
        return f"{folder}/ may not include {first}/"
    if (path.parent / name).is_file() and ".." not in name:
        return None
    return "quoted includes name folder/file.h"


def system_include(folder, name):
    for pattern, owners in SYSTEM.items():
        if re.fullmatch(pattern, name) and folder not in owners:
            return f"<{name}> belongs to {', '.join(sorted(owners))}/"
    return None


def complaints(top):
    for folder in ALLOWED:
        for path in sources(top / folder):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                m = INCLUDE.match(line)
                if not m:
                    continue
                wrong = own_include(path, folder, m[2]) if m[1] == '"' else system_include(folder, m[2])
                if wrong:
                    yield f"{path.relative_to(top)}:{number}: {wrong}: {line.strip()}"


def linked_with_fuse(bindir):
    """The programs of tools/ must run where libfuse is not installed."""
    for name in ("mkfs.holofs", "holofsck", "holo"):
        program = bindir / name
        if program.is_file():
            out = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
            if "libfuse" in out:
                yield f"{name} is linked with libfuse"


def main():
    top = pathlib.Path(sys.argv[1])
    wrong = list(complaints(top))
    if len(sys.argv) > 2:
        wrong += list(linked_with_fuse(pathlib.Path(sys.argv[2])))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
