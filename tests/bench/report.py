#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py: medians, ratios, tables, comparison and plot of the suite; its data are the same from the same seed. Usage: report.py BENCH FASTQ"""
import pathlib
import subprocess
import sys
import unittest
from xml.etree import ElementTree

BENCH, FASTQ = sys.argv[1], sys.argv[2]
sys.path.insert(0, BENCH)
from suite import data, measure, plot, report, sizes  # noqa: E402 pylint: disable=import-error,wrong-import-position


def row(name, larger=True, place="tmpfs", base="", **samples):
    return {"part": "seq", "place": place, "name": name, "unit": "MiB/s", "per": "GiB", "larger": larger, "base": base, "samples":
            {who: [{"value": v, "cpu_per": v / 10} for v in values] for who, values in samples.items()}}


def result(*rows, date="2026-01-02 03:04"):
    return {"date": date, "command": "bench.py run", "commit": "abc", "sizes": {"runs": 3}, "places": {"tmpfs": "tmpfs"},
            "left_out": {"securefs": "no"}, "machine": {"cpu": "x", "cpus": 2, "memory_gib": 4, "kernel": "6", "load": 0.1},
            "versions": {"fio": "3"}, "failures": [], "metrics": list(rows)}


class Report(unittest.TestCase):
    def test_a_ratio_above_one_is_better_whatever_the_unit(self):
        self.assertEqual(report.ratio(row("a", holofs=[1, 30, 4], passthrough_ll=[2]), "holofs", "passthrough_ll"), 2)
        self.assertEqual(report.ratio(row("a", larger=False, holofs=[4], passthrough_ll=[2]), "holofs", "passthrough_ll"), 0.5)
        self.assertIsNone(report.ratio(row("a", holofs=[4]), "holofs", "passthrough_ll"))

    def test_tables_show_medians_spread_who_is_left_out_and_ratios(self):
        text = report.table(result(row("seq write", holofs=[100, 300, 200], passthrough_ll=[400, 400, 400])))
        for piece in ("200 (100–300)", "| seq write | 0.50 |", "Without securefs: no.", "| seq write, per GiB | 20.0 | 40.0 |", "of 3 runs"):
            self.assertIn(piece, text)

    def test_what_one_filesystem_lacks_is_a_dash(self):
        text = report.table(result(row("a", holofs=[1], passthrough_ll=[1]), row("b", holofs=[1])))
        self.assertIn("| b | MiB/s | 1.00 (1.00–1.00) | – |", text)
        self.assertNotIn("| b | – |", text)

    def test_a_metric_is_compared_with_its_base(self):
        text = report.table(result(row("none", holofs=[100]), row("many", base="none", holofs=[98])))
        self.assertIn("| many | holofs | 0.980 |", text)

    def test_a_comparison_tells_the_change_of_ratios_and_what_is_new(self):
        old = result(row("a", holofs=[1], passthrough_ll=[2]))
        new = result(row("a", holofs=[3], passthrough_ll=[4]), row("b", holofs=[1], passthrough_ll=[1]))
        text = report.compare(new, old)
        self.assertIn("| tmpfs | a | 0.75 | 0.50 | +50 % |", text)
        self.assertIn("| tmpfs | b | 1.00 | – | new |", text)

    def test_the_plot_is_xml_with_a_bar_for_each_figure(self):
        svg = plot.plot(result(row("a < b", holofs=[1], passthrough_ll=[2], ext4=[40]), row("b", holofs=[1])), "tmpfs")
        bars = [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("title")]
        self.assertEqual([b.text for b in bars], ["holofs: 0.50", "ext4: 20.00"])

    def test_cpu_is_for_a_gib_or_for_a_thousand_operations(self):
        self.assertEqual(measure.share(measure.Metric("a", "x", "GiB"), measure.Outcome(1, user_bytes=2 << 30), 4), 2)
        self.assertEqual(measure.share(measure.Metric("a", "x", "1000 ops"), measure.Outcome(1, ops=500), 4), 8)
        self.assertIsNone(measure.share(measure.Metric("a", "x"), measure.Outcome(1, ops=500), 4))

    def test_sizes_are_set_by_name(self):
        changed = sizes.changed(sizes.PRESETS["full"], ["files=7", "remaps=0,5"])
        self.assertEqual((changed.files, changed.remaps, sizes.PRESETS["full"].files), (7, (0, 5), 20000))
        with self.assertRaises(ValueError):
            sizes.changed(sizes.PRESETS["full"], ["nothing=7"])


class Data(unittest.TestCase):
    def test_text_is_the_same_from_a_seed_and_of_the_size_asked_for(self):
        self.assertEqual(data.text(100000, 3), data.text(100000, 3))
        self.assertNotEqual(data.text(100000, 3), data.text(100000, 4))
        self.assertEqual(len(data.text(99999)), 99999)

    def test_reads_are_whole_records_with_qualities_of_their_length(self):
        def make(seed):
            return subprocess.run([FASTQ, "1", seed], capture_output=True, check=True)
        done = make("5")
        lines = done.stdout.decode("ascii").splitlines()
        self.assertEqual(len(lines), 4 * int(done.stderr))
        self.assertGreaterEqual(len(done.stdout), 1 << 20)
        for at in range(0, len(lines), 4):
            self.assertTrue(lines[at].startswith("@A00317:") and lines[at + 2] == "+")
            self.assertTrue(len(lines[at + 1]) == len(lines[at + 3]) == 150 and set(lines[at + 1]) <= set("ACGTN"))
            self.assertTrue(all("#" <= q <= "I" for q in lines[at + 3]))
        self.assertEqual(done.stdout, make("5").stdout)
        self.assertNotEqual(done.stdout, make("6").stdout)

    def test_a_tree_is_compiled_from_what_it_holds(self):
        text = data.makefile(["part00/dir00/file0.c"])
        self.assertIn("OBJECTS = part00/dir00/file0.o\n", text)


if __name__ == "__main__":
    assert pathlib.Path(FASTQ).exists()
    unittest.main(argv=[sys.argv[0]])
