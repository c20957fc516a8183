#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench_ecc.py: holo bench ecc tells right results from failed and wrong ones, and refuses bad options. Usage: bench_ecc.py HOLO"""
import json
import pathlib
import subprocess
import sys
import tempfile

SMALL = ["--sizes", "1K,20K", "--container-size", "512K", "--redundancy", "1,3", "--time", "0.001"]
NUMBERS = ["bytes", "parity_bytes", "redundancy", "flip_chance", "lost_bytes", "runs", "right", "failed", "wrong", "gb_s", "gb_s_mean",
           "cpu_ns", "rss_bytes", "rss_growth_bytes"]


class Bench:
    def __init__(self, holo, folder):
        self.holo = holo
        self.json = pathlib.Path(folder) / "result.json"
        self.failures = 0

    def run(self, *options):
        return subprocess.run([self.holo, "bench", "ecc", *options], capture_output=True, text=True, check=False)

    def result(self, *options, code=0):
        """The JSON of a run that must exit with this code."""
        self.json.unlink(missing_ok=True)
        done = self.run(*SMALL, "--json", str(self.json), *options)
        self.expect(done.returncode == code, f"exit {code}, not {done.returncode}: {done.stderr}")
        return json.loads(self.json.read_text(encoding="utf-8")), done

    def expect(self, holds, what):
        if not holds:
            print(f"FAIL {what}")
            self.failures += 1


def every_cell_is_there_and_right(bench):
    result, done = bench.result("--flips", "1e-5")
    cells = result["cells"]
    for cell in cells:
        bench.expect(all(isinstance(cell[n], (int, float)) for n in NUMBERS), f"numbers in {cell}")
        bench.expect(cell["runs"] > 0 and cell["runs"] == cell["right"] + cell["failed"] + cell["wrong"], f"runs add up in {cell}")
        times = [cell["latency_ns"][p] for p in ("p50", "p90", "p99", "max")]
        bench.expect(0 < times[0] and times == sorted(times), f"latencies ascend in {cell}")
        bench.expect(cell["wrong"] == 0, f"nothing wrong in {cell}")
        if cell["damage"] != "flips":
            bench.expect(cell["failed"] == 0, f"nothing fails in {cell}")
        bench.expect((cell["damage"] == "erasures") == (cell["lost_bytes"] > 0), f"bytes were lost in {cell}")
    engines = {c["engine"] for c in cells}
    bench.expect("scalar" in engines, "the scalar engine is measured")
    # Two strings and a container; encode, clean, erasures, one chance of flips; containers also check.
    bench.expect(len([c for c in cells if c["engine"] == "scalar"]) == 2 * (2 * 4 + 5), f"{len(cells)} cells")
    bench.expect({c["what"] for c in cells} == {"string", "container"}, "strings and a container")
    bench.expect(f"{result['right']} right" in done.stdout and result["wrong"] == 0, "the last line counts")


def damage_beyond_the_code_fails_and_is_never_called_right(bench):
    result, _ = bench.result("--operations", "flips", "--flips", "0.3")
    for cell in result["cells"]:
        bench.expect(cell["right"] == 0 and cell["wrong"] == 0 and cell["failed"] == cell["runs"], f"all fails in {cell}")


def a_result_with_one_wrong_byte_is_shouted(bench):
    result, done = bench.result("--spoil", "--flips", "1e-5", code=1)
    bench.expect("WRONG BYTES" in done.stderr and "WRONG BYTES" in done.stdout, "wrong bytes are shouted")
    for cell in result["cells"]:
        bench.expect(cell["right"] == 0 and cell["wrong"] > 0, f"the spoiled byte was seen in {cell}")


def bad_options_give_one_line_and_exit_16(bench):
    for options in (["--sizes", "x"], ["--sizes", "1K,"], ["--sizes", ""], ["--redundancy", "0"], ["--redundancy", "11"],
                    ["--redundancy", "3,3"], ["--engines", "abacus"], ["--operations", "guess"], ["--flips", "0"], ["--flips", "1.5"],
                    ["--flips", "nan"], ["--time", "-1"], ["--time", "soon"], ["--container-size", "5"], ["--seed", "x"], ["--nix"],
                    ["--json"], ["more"], ["--sizes", "none", "--container-size", "0"]):
        done = bench.run(*options)
        bench.expect(done.returncode == 16 and done.stdout == "", f"{options}: exit {done.returncode}")
        bench.expect(len(done.stderr.splitlines()) == 1, f"{options}: one line, not {done.stderr!r}")


def a_file_that_cannot_be_written_is_told(bench):
    done = bench.run(*SMALL, "--operations", "encode", "--json", "/proc/no/such/file")
    bench.expect(done.returncode == 8 and "cannot be written" in done.stderr, f"exit {done.returncode}: {done.stderr}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(sys.argv[1], folder)
        for test in (every_cell_is_there_and_right, damage_beyond_the_code_fails_and_is_never_called_right,
                     a_result_with_one_wrong_byte_is_shouted, bad_options_give_one_line_and_exit_16, a_file_that_cannot_be_written_is_told):
            before = bench.failures
            test(bench)
            print(f"{'ok  ' if bench.failures == before else 'FAIL'} {test.__name__}")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
