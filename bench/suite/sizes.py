# SPDX-License-Identifier: GPL-2.0-or-later
"""sizes.py: how much of everything: whole runs, a quick one, and one that only shows that the suite works."""
import dataclasses


@dataclasses.dataclass
class Sizes:  # pylint: disable=too-many-instance-attributes
    runs: int = 5
    stream_mib: int = 1024  # sequential, over all jobs
    rand_mib: int = 512  # the file, over all jobs
    rand_ops: int = 65536
    sync_ops: int = 5000
    seconds: int = 60  # the most that one fio job goes on
    files: int = 20000
    tree_files: int = 4000
    build_files: int = 300
    transactions: int = 3000
    fastq_mib: int = 1024
    remaps: tuple = (0, 1000, 10000)
    scrub_mib: int = 1024
    mount_files: tuple = (1000, 100000, 1000000)
    encode_mib: int = 256


PRESETS = {
    "full": Sizes(),
    "quick": Sizes(runs=3, stream_mib=256, rand_mib=64, rand_ops=16384, sync_ops=500, seconds=10, files=2000, tree_files=400, build_files=20,
                   transactions=200, fastq_mib=128, remaps=(0, 1000), scrub_mib=256, mount_files=(1000,), encode_mib=16),
    "smoke": Sizes(runs=1, stream_mib=4, rand_mib=1, rand_ops=128, sync_ops=16, seconds=5, files=50, tree_files=10, build_files=2,
                   transactions=5, fastq_mib=8, remaps=(0, 20), scrub_mib=8, mount_files=(50,), encode_mib=1),
}


def changed(sizes, settings):
    """sizes with the NAME=NUMBER or NAME=N,N,… of settings put in."""
    out = dataclasses.replace(sizes)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in {f.name for f in dataclasses.fields(Sizes)} or not text.replace(",", "").isdigit():
            raise ValueError(f"'{setting}': one of {', '.join(f.name for f in dataclasses.fields(Sizes))}, = and a number")
        setattr(out, name, tuple(map(int, text.split(","))) if isinstance(getattr(out, name), tuple) else int(text))
    return out
