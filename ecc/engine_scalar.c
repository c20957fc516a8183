/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_scalar.c: plain C for every machine, and the oracle for the other engines: a table of products, byte by byte. */
#include <string.h>

#include "ecc/field.h"
#include "ecc/sweep.h"

static void products(uint8_t c, uint8_t table[256])
{
    for (unsigned v = 0; v < 256; v++)
        table[v] = field_halves[c][v & 15] ^ field_halves[c][16 + (v >> 4)];
}

static void add_product(uint8_t *dst, const uint8_t *src, size_t len, uint8_t c)
{
    uint8_t table[256];
    products(c, table);
    for (size_t i = 0; i < len; i++)
        dst[i] ^= table[src[i]];
}

static void scalar_sweep(const struct sweep *s)
{
    size_t len = s->end - s->begin;
    for (unsigned r = 0; r < s->rows; r++) {
        uint8_t *dst = s->dst[r] + s->begin;
        if (!s->add)
            memset(dst, 0, len);
        for (unsigned c = 0; c < s->members; c++)
            add_product(dst, s->src[c] + s->begin, len, s->coef[c][r * s->stride]);
    }
}

SWEEP_ENGINE(scalar, scalar_sweep, ecc_cpu_any);
