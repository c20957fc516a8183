#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""programs.py: find short exclusive-or programs for y = x·α^p + c over bit planes, and print programs.h.

Multiplication by α^p is an 8 × 8 matrix over bits. Terms that several rows share are computed once; every operation adds up
to three terms, as LOP3 does. A beam search over the shared sums finds fewer operations than the rows by themselves need:
59 instead of 63 for the powers 0 … 5, 256 instead of 300 for 0 … 19. It takes half a minute. Usage: programs.py > programs.h
"""
import itertools

POWERS = range(-19, 20)
SHARED = 5
WIDTH = 25
PLANES = [1 << a for a in range(8)]


def alpha(e):
    v = 1
    for _ in range(e % 255):
        v = v << 1 ^ (0x11d if v & 0x80 else 0)
    return v


def rows(power):
    columns = [alpha(power + a) for a in range(8)]
    return [sum((columns[a] >> b & 1) << a for a in range(8)) for b in range(8)]


def fewest(row, sums):
    """Indices of the fewest sums that add up to row."""
    for n in range(1, 9):
        for chosen in itertools.combinations(range(len(sums)), n):
            total = 0
            for i in chosen:
                total ^= sums[i]
            if total == row:
                return chosen
    raise AssertionError("planes are a basis")


def fewest_count(row, sums):
    """len(fewest()) up to 4, quickly; 5 stands for more."""
    there = set(sums)
    if row in there:
        return 1
    for n in (1, 2, 3):
        for chosen in itertools.combinations(sums, n):
            rest = row
            for v in chosen:
                rest ^= v
            if rest in there:
                return n + 1
    return 5


def cost(matrix, sums):
    """Operations for all rows, each with its c: t terms and c take ceil(t/2)."""
    return sum((fewest_count(row, sums) + 1) // 2 for row in matrix)


def search(matrix):
    best = (cost(matrix, PLANES), [])
    beam = [best]
    for _ in range(SHARED):
        found = {}
        for _, shared in beam:
            sums = PLANES + shared
            for n in (2, 3):
                for chosen in itertools.combinations(sums, n):
                    total = 0
                    for v in chosen:
                        total ^= v
                    key = tuple(sorted(shared + [total]))
                    if total in sums or total == 0 or key in found:
                        continue
                    found[key] = (cost(matrix, sums + [total]) + len(shared) + 1, shared + [total])
        beam = sorted(found.values(), key=lambda c: c[0])[:WIDTH]
        best = min(best, beam[0], key=lambda c: c[0])
        if beam[0][0] > best[0] + 2:
            break
    return best


def expression(names):
    """All of them, three terms an operation."""
    while len(names) > 3:
        names = [f"X3({names[0]}, {names[1]}, {names[2]})"] + names[3:]
    return f"X3({', '.join(names)})" if len(names) == 3 else " ^ ".join(names)


def program(power):
    """The case of one power, as lines of C."""
    matrix = rows(power)
    operations, shared = search(matrix)
    names = [f"x{a}" for a in range(8)] + [f"s{q}" for q in range(len(shared))]
    sums = [f"s{q} = " + expression([names[i] for i in fewest(total, PLANES + shared[:q])]) for q, total in enumerate(shared)]
    out = [f"y.b[{b}] = " + expression([names[i] for i in fewest(row, PLANES + shared)] + [f"c{b}"]) for b, row in enumerate(matrix)]
    lines = [f"    case {power}: /* {operations} operations */"]
    for part in (sums, out[:4], out[4:]):
        if part:
            lines.append("        " + ", ".join(part) + ";")
    return lines + ["        break;"]


HEAD = """/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * programs.h: multiplication by α^power on bit planes, power = -19 … 19; made by programs.py, which says how. Included by kernel.h.
 */
#ifndef HOLO_CUDA_PROGRAMS_H
#define HOLO_CUDA_PROGRAMS_H

#define X3(a, b, c) gpu_xor3(a, b, c)

/* x·α^power + c */
GPU_FN struct gpu_planes gpu_times_alpha(struct gpu_planes x, int power, struct gpu_planes c)
{
    const uint32_t x0 = x.b[0], x1 = x.b[1], x2 = x.b[2], x3 = x.b[3], x4 = x.b[4], x5 = x.b[5], x6 = x.b[6], x7 = x.b[7];
    const uint32_t c0 = c.b[0], c1 = c.b[1], c2 = c.b[2], c3 = c.b[3], c4 = c.b[4], c5 = c.b[5], c6 = c.b[6], c7 = c.b[7];
    uint32_t s0, s1, s2, s3, s4; /* sums that several planes share */
    struct gpu_planes y = c;
    switch (power) {"""

TAIL = """    default:
        break;
    }
    return y;
}

#undef X3

#endif"""

if __name__ == "__main__":
    print(HEAD)
    for p in POWERS:
        print("\n".join(program(p)))
    print(TAIL)
