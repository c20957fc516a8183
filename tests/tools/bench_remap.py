#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench_remap.py: holo bench remap finds what it remapped, leaves nothing behind, refuses bad options. Usage: bench_remap.py HOLO"""
import json
import pathlib
import subprocess
import sys
import tempfile

failures = 0


def expect(holds, what):
    global failures
    if not holds:
        print(f"FAIL {what}")
        failures += 1


def run(holo, *options):
    return subprocess.run([holo, "bench", "remap", *options], capture_output=True, text=True, check=False)


def main():
    holo = sys.argv[1]
    program = pathlib.Path(holo).read_bytes()
    sanitized = b"__asan_init" in program or b"__tsan_init" in program  # their malloc does not tell
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "result.json"
        done = run(holo, "--dir", folder, "--commits", "150", "--json", str(out))
        expect(done.returncode == 0 and "WRONG" not in done.stdout, f"exit {done.returncode}: {done.stdout}{done.stderr}")
        result = json.loads(out.read_text(encoding="utf-8"))
        expect([c["remaps"] for c in result["memory"]] == [0, 1000, 10000, 100000, 1000000], "every size of the table")
        for cell in result["memory"]:
            for times in (cell["lookup_ns"], cell["add_ns"]):
                ascending = [times[p] for p in ("p50", "p99", "p999", "max")]
                expect(cell["right"] and 0 <= ascending[0] and ascending == sorted(ascending), f"times of {cell}")
            expect(cell["remaps"] == 0 or sanitized or 8 < cell["bytes_each"] < 200, f"memory of {cell}")
        disk = result["durable"]
        expect(disk["right"] and disk["remap_ns"]["p50"] > 0 and disk["write_ns"]["p50"] > 0, f"durable remaps: {disk}")
        expect([p.name for p in pathlib.Path(folder).iterdir()] == ["result.json"], "nothing is left behind")
    for wrong in (["--commits", "0"], ["--commits", "x"], ["x"], ["--nothing"]):
        expect(run(holo, *wrong).returncode == 16, f"refused: {wrong}")
    done = run(holo, "--dir", "/nowhere/at/all")
    expect(done.returncode == 8 and len(done.stderr.splitlines()) == 1, "a folder that is not there is one line")
    sys.exit(failures != 0)


main()
