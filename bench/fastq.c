/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fastq.c: reads of a sequencer, from a seed, to standard output. Usage: fastq MIB SEED
 * 150 bases of a made-up genome, either strand, with an error as often as the quality says; headers as Illumina's, in the order of the flow cell.
 * A quality follows the one before it, is best in the first third of a read, and falls towards its end; one read in fifty is bad all over.
 * Whole reads only: MIB, rounded up. The number of reads goes to standard error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASES = 150, GENOME = 4 << 20, BUFFER = 1 << 20, RECORD_MAX = 512, Q_MIN = 2, Q_MAX = 40 };

struct maker {
    uint64_t random;
    char *genome;
    uint32_t chance[Q_MAX + 1]; /* of an error, of 2^32 */
    unsigned tile, x, y;
};

static uint32_t next(struct maker *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)(m->random >> 32);
}

static void begin(struct maker *m, uint64_t seed)
{
    double error = 1;
    m->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    m->tile = 1101;
    m->genome = malloc(GENOME);
    for (int i = 0; m->genome && i < GENOME; i++)
        m->genome[i] = "ACGT"[next(m) >> 30];
    for (int q = 1; q <= Q_MAX; q++) {
        error *= 0.79432823472; /* 10^(-1/10) */
        m->chance[q] = (uint32_t)(error * 4294967295.0);
    }
}

static size_t header(struct maker *m, char *out)
{
    m->x += 1 + next(m) % 60;
    if (m->x > 32000) {
        m->x = 1000;
        m->y += 1 + next(m) % 40;
    }
    if (m->y > 32000) {
        m->y = 1000;
        m->tile++;
    }
    return (size_t)sprintf(out, "@A00317:88:HKVJ2DSXY:1:%u:%u:%u 1:N:0:ATTACTCG+AGGCTATA\n", m->tile, m->x, m->y);
}

static void qualities(struct maker *m, char *q)
{
    int bad = next(m) % 50 ? 0 : 18, now = 34;
    for (int i = 0; i < BASES; i++) {
        int aim = (i < 8 ? 33 : i < 60 ? 38 : 38 - (i - 60) / 10) - bad;
        uint32_t r = next(m);
        if (r % 4 == 0)
            now += (int)(r >> 8) % 9 - 4 + (aim - now) / 2;
        if (r % 97 == 0)
            now -= 15;
        now = now < Q_MIN ? Q_MIN : now > Q_MAX ? Q_MAX : now;
        q[i] = (char)now;
    }
}

static void bases(struct maker *m, const char *q, char *out)
{
    uint32_t at = next(m) % (GENOME - BASES);
    int back = next(m) & 1;
    for (int i = 0; i < BASES; i++) {
        char c = back ? m->genome[at + BASES - 1 - (uint32_t)i] : m->genome[at + (uint32_t)i];
        if (back)
            c = c == 'A' ? 'T' : c == 'T' ? 'A' : c == 'C' ? 'G' : 'C';
        if (next(m) < m->chance[(int)q[i]])
            c = q[i] == Q_MIN ? 'N' : "ACGT"[next(m) >> 30];
        out[i] = c;
    }
}

static size_t record(struct maker *m, char *out)
{
    char q[BASES];
    size_t n = header(m, out);
    qualities(m, q);
    bases(m, q, out + n);
    n += BASES;
    memcpy(out + n, "\n+\n", 3);
    n += 3;
    for (int i = 0; i < BASES; i++)
        out[n + (size_t)i] = (char)(q[i] + 33);
    out[n + BASES] = '\n';
    return n + BASES + 1;
}

int main(int argc, char **argv)
{
    static char buf[BUFFER + RECORD_MAX];
    struct maker m = { 0 };
    if (argc != 3) {
        fprintf(stderr, "usage: fastq MIB SEED\n");
        return 16;
    }
    begin(&m, strtoull(argv[2], NULL, 10));
    uint64_t left = strtoull(argv[1], NULL, 10) << 20, reads = 0;
    while (m.genome && left) {
        size_t n = 0;
        for (; n < BUFFER && n < left; reads++)
            n += record(&m, buf + n);
        left -= n < left ? n : left;
        if (fwrite(buf, 1, n, stdout) != n)
            break;
    }
    if (left || fflush(stdout)) {
        perror("fastq");
        return 1;
    }
    free(m.genome);
    fprintf(stderr, "%llu\n", (unsigned long long)reads);
    return 0;
}
