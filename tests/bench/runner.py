#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""runner.py: the order of turns, and what happens when a filesystem fails, with filesystems that do nothing. Usage: runner.py BENCH"""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, sys.argv[1])
from suite import measure, peers, runner, sizes  # noqa: E402 pylint: disable=import-error,wrong-import-position

METRIC = measure.Metric("nothing", "MiB/s", "GiB")


class Idle(peers.Peer):
    """A folder that says when it is used."""

    turns = []

    def mount(self):
        self.turns.append(self.name)

    def umount(self):
        pass

    def cpu(self):
        return 1.0

    def peak_mib(self):
        return 2

    def written(self):
        return 100


class Broken(Idle):
    name = "broken"

    def mount(self):
        super().mount()
        raise RuntimeError("does not mount")


def part(fs, env):  # pylint: disable=unused-argument
    yield METRIC, measure.measured(fs, METRIC, lambda: measure.Outcome(5, user_bytes=measure.GIB))


class Runner(unittest.TestCase):
    def run_peers(self, kinds, runs=2):
        Idle.turns = []
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as told:
            env = runner.Env(None, None, None, sizes.Sizes(runs=runs), {"tmpfs": pathlib.Path(folder)})
            with mock.patch.dict(runner.PEERS, kinds), mock.patch.dict(runner.PARTS, {"idle": runner.Part(part, "", tuple(kinds))}):
                found = runner.run(env, [("idle", ["tmpfs"])], list(kinds))
            self.assertEqual(list(pathlib.Path(folder).iterdir()), [])
        return found, told.getvalue()

    def test_filesystems_take_turns_and_begin_with_another_one_each_time(self):
        kinds = {n: type(n, (Idle,), {"name": n}) for n in "abc"}
        found, _ = self.run_peers(kinds, 3)
        self.assertEqual("".join(Idle.turns), "abcbcacab")
        samples = found.metrics[("idle", "tmpfs", "nothing")]["samples"]
        self.assertEqual({who: len(s) for who, s in samples.items()}, {"a": 3, "b": 3, "c": 3})
        self.assertEqual(samples["a"][0], {"value": 5, "cpu_s": 0, "cpu_per": 0, "rss_mib": 2})

    def test_one_that_fails_is_told_once_and_the_others_go_on(self):
        found, told = self.run_peers({"broken": Broken, "a": type("a", (Idle,), {"name": "a"})})
        self.assertEqual(found.failures, ["idle on tmpfs, broken: does not mount"])
        self.assertEqual(told.count("FAILED"), 1)
        self.assertEqual(len(found.metrics[("idle", "tmpfs", "nothing")]["samples"]["a"]), 2)
        self.assertEqual(Idle.turns.count("broken"), 1)

    def test_a_step_that_wrote_is_over_when_nothing_is_written_any_more(self):
        fs = mock.Mock()
        fs.written.side_effect = [0, 10, 20, 30] + [40] * 1000
        fs.cpu.return_value = 1.0
        fs.peak_mib.return_value = 1
        fs.alive_pids.return_value = [1]
        sample = measure.measured(fs, METRIC, lambda: measure.Outcome(1, user_bytes=20, wrote=True))
        fs.sync.assert_called_once()
        self.assertEqual(sample["written_ratio"], 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
