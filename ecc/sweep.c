/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep.c: encode, syndrome, apply and whole containers, cut into an engine's sweeps. */
#include "ecc/sweep.h"

#include <assert.h>
#include <string.h>

#include "ecc/code.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where the sweep behind members c … c + s->members reads: further members, or the first ones in the next piece. */
static void look_ahead(struct sweep *s, unsigned c, unsigned cols, const uint8_t *const *src, size_t len)
{
    unsigned left = cols - c - s->members;
    s->next_begin = s->begin;
    if (left >= s->members) {
        s->next = src + c + s->members;
    } else if (left > 0) {
        s->next = src + cols - s->members; /* a pointer for each member, though fewer are left */
    } else {
        s->next = src;
        s->next_begin = s->end < len ? s->end : s->begin;
    }
}

/* One piece: all members, in as few sweeps as possible, of nearly the same size. s->begin and s->end are set. */
static void sweep_piece(sweep_fn *fn, struct sweep *s, const uint8_t *coef, unsigned cols, const uint8_t *const *src, size_t len)
{
    unsigned sweeps = (cols + SWEEP_MEMBERS - 1) / SWEEP_MEMBERS;
    for (unsigned c = 0; c < cols; c += s->members, sweeps--) {
        s->members = (cols - c) / sweeps;
        s->coef = coef + c;
        s->src = src + c;
        s->add = c > 0;
        look_ahead(s, c, cols, src, len);
        fn(s);
    }
}

void sweep_apply(sweep_fn *fn, const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst,
                 size_t len)
{
    assert(rows >= 1 && rows <= ECC_M_MAX && len % ECC_ALIGN == 0);
    struct sweep s = { .stride = cols, .rows = rows, .dst = dst };
    for (unsigned r = 0; cols == 0 && r < rows; r++)
        memset(dst[r], 0, len);
    for (size_t off = 0; off < len; off = s.end) {
        s.begin = off;
        s.end = min_size(off + SWEEP_PIECE, len);
        sweep_piece(fn, &s, coef, cols, src, len);
    }
}

void sweep_encode(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len)
{
    sweep_apply(fn, code->encode, code->m, code->k, data, parity, len);
}

void sweep_syndrome(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len)
{
    sweep_apply(fn, code->syndrome, code->m, code->n, blocks, syn, len);
}

/* Stripes that lie side by side, members and all, and so make one wide stripe. */
struct band {
    uint32_t first, count; /* stripes */
    uint32_t members;      /* data members stored; the others are zeros */
    uint32_t slot;         /* in each parity row, of the first one */
};

static void encode_band(sweep_fn *fn, const struct ecc_code *code, uint32_t D, size_t block_size, const struct band *b,
                        const uint8_t *data, uint8_t *parity)
{
    const uint8_t *src[ECC_N_MAX];
    uint8_t *dst[ECC_M_MAX];
    for (unsigned i = 0; i < code->k; i++)
        src[i] = i < b->members ? data + ((size_t)i * D + b->first) * block_size : NULL;
    for (unsigned r = 0; r < code->m; r++)
        dst[r] = parity + ((size_t)r * D + b->slot) * block_size;
    sweep_encode(fn, code, src, dst, b->count * block_size);
}

/*
 * Members of neighbouring stripes are neighbours, so a container is two wide stripes: in the stripes before used mod D
 * one more member is stored, and their parity stands at the end of each row (the rows begin where data ends).
 */
int sweep_encode_container(sweep_fn *fn, const struct ecc_code *code, const struct ecc_layout *layout, size_t block_size,
                           const uint8_t *data, uint8_t *parity)
{
    uint32_t D = layout->D, full = layout->used / D, rest = layout->used % D;
    const struct band longer = { .first = 0, .count = rest, .members = full + 1, .slot = D - rest };
    const struct band shorter = { .first = rest, .count = D - rest, .members = full, .slot = 0 };
    encode_band(fn, code, D, block_size, &longer, data, parity);
    encode_band(fn, code, D, block_size, &shorter, data, parity);
    return 0;
}
