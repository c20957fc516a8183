#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""files.py: docs/DESIGN.md lists every source file, and no file that is gone. Usage: files.py TOP"""
import pathlib
import re
import sys

FOLDERS = ("base", "ecc", "cuda", "store", "remap", "meta", "core", "fuse", "tools", "bench")
SUFFIXES = {".c", ".h", ".cu", ".cuh"}
SCRIPTS = {"bench": {".py", ".sh"}}


def main():
    top = pathlib.Path(sys.argv[1])
    text = (top / "docs" / "DESIGN.md").read_text(encoding="utf-8")
    rows = re.findall(r"^- (`[^:]+): ", text, re.M)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    there = {str(p.relative_to(top)) for f in FOLDERS for p in (top / f).rglob("*") if p.suffix in SUFFIXES | SCRIPTS.get(f, set())}
    for name in sorted(there - listed):
        print(f"docs/DESIGN.md does not list {name}")
    for name in sorted(listed - there):
        print(f"docs/DESIGN.md lists {name}, which is not there")
    return 1 if there != listed else 0


if __name__ == "__main__":
    sys.exit(main())
