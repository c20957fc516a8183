# SPDX-License-Identifier: GPL-2.0-or-later
"""data.py: what is written: text and source trees, made from a seed."""
import itertools
import random
import tarfile
from pathlib import Path

MIB = 1 << 20
SEED = 20261121


def words(rng, count):
    """A vocabulary, the frequent ones first and short, as in a language."""
    out = set()
    while len(out) < count:
        syllables = 1 + min(4, int(rng.expovariate(0.8)))
        out.add("".join(rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "s")) for _ in range(syllables)))
    return sorted(out, key=lambda w: (len(w) + rng.random() * 3))


def text(size, seed=SEED):
    """size bytes of sentences; frequencies fall off as 1/rank, of words and of phrases. zstd -1 makes about a third of it."""
    rng = random.Random(seed)
    single = words(rng, 3000)
    vocabulary = [" ".join(rng.choices(single[:1000], k=rng.randint(3, 6))) if i % 3 else single[i // 3] for i in range(9000)]
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))
    out, length = [], 0
    while length < size:
        line = " ".join(rng.choices(vocabulary, cum_weights=weights, k=rng.randint(8, 16))) + rng.choice((".\n", ",\n", "\n"))
        out.append(line)
        length += len(line)
    return "".join(out).encode("ascii")[:size]


def source(rng, prose, number):
    """A C file of its own functions and comments; most are some KiB, few are large."""
    at = rng.randrange(len(prose) - (1 << 16))
    lines = [f"/* file {number} */\n#include \"common.h\"\n"]
    for f in range(1 + min(40, int(rng.expovariate(0.15)))):
        at += 400
        comment = prose[at : at + rng.randint(60, 380)].replace("\n", "\n * ")
        lines.append(f"/* {comment} */\nint f{number}_{f}(int a, int b)\n{{\n    int s = {rng.randrange(10**6)};\n    for (int i = a; i < b; i++)\n"
                     f"        s = s * {rng.randrange(3, 99)} + (s >> {rng.randrange(1, 9)}) + COMMON(i);\n    return s;\n}}\n")
    return "\n".join(lines)


def makefile(build):
    objects = " ".join(f"{path[:-2]}.o" for path in build)
    return f"OBJECTS = {objects}\nprogram: $(OBJECTS) main.o\n\t$(CC) -o $@ $^\n%.o: %.c common.h\n\t$(CC) -O1 -c -I. -o $@ $<\n"


def make_tree(top, files, build):
    """A tree of so many C files, 25 to a folder, in top; its Makefile compiles the first build of them. Returns the tar beside it."""
    rng, prose = random.Random(SEED), text(MIB).decode("ascii")
    top.mkdir()
    names = [f"part{n // 500:02}/dir{n // 25 % 20:02}/file{n}.c" for n in range(files)]
    for n, name in enumerate(names):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source(rng, prose, n), encoding="ascii")
    (top / "common.h").write_text("#define COMMON(i) ((i) ^ (i) << 3)\n", encoding="ascii")
    (top / "main.c").write_text("int main(void) { return 0; }\n", encoding="ascii")
    (top / "Makefile").write_text(makefile(names[:build]), encoding="ascii")
    archive = Path(f"{top}.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(top, arcname=".")
    return archive
