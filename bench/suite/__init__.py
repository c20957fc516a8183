# SPDX-License-Identifier: GPL-2.0-or-later
"""The performance suite: filesystems side by side, in turns, on the same store. bench/bench.py is its command line."""
