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

/* A walk over the stored members (those not NULL) of one piece after the other, a few at a time. */
struct walk {
    const uint8_t *coef;
    unsigned cols;
    const uint8_t *const *src;
    size_t len;
    unsigned c; /* where it stands: member and byte */
    size_t off;
};

/* The next members, or none if no member is stored. */
static void take(struct walk *w, struct sweep *out)
{
    out->members = 0;
    out->begin = w->off;
    out->end = min_size(w->off + SWEEP_PIECE, w->len);
    out->add = w->c > 0;
    for (; w->c < w->cols && (out->members < SWEEP_MEMBERS || !w->src[w->c]); w->c++) {
        if (w->src[w->c]) {
            out->src[out->members] = w->src[w->c];
            out->coef[out->members++] = w->coef + w->c;
        }
    }
    if (w->c == w->cols) {
        w->c = 0;
        w->off = out->end;
    }
}

/* If nothing comes after s, it may as well fetch what it has. */
static void look_ahead(struct sweep *s, const struct sweep *after)
{
    for (unsigned c = 0; c < SWEEP_MEMBERS; c++)
        s->next[c] = after->src[c < after->members ? c : 0] + after->begin;
}

/* more: what is behind len in the blocks will be wanted next. */
static void sweep_on(sweep_fn *fn, const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst,
                     size_t len, bool more)
{
    struct walk w = { .coef = coef, .cols = cols, .src = src, .len = len };
    struct sweep sweep[2] = { { .stride = cols, .rows = rows, .dst = dst }, { .stride = cols, .rows = rows, .dst = dst } };
    struct sweep *now = &sweep[0], *after = &sweep[1], *swap;
    assert(rows >= 1 && rows <= ECC_M_MAX && len % ECC_ALIGN == 0);
    take(&w, now);
    for (unsigned r = 0; now->members == 0 && r < rows; r++)
        memset(dst[r], 0, len);
    while (now->members > 0 && now->begin < len) {
        bool end = w.off == len;
        take(&w, after);
        look_ahead(now, end && !more ? now : after);
        fn(now);
        swap = now;
        now = after;
        after = swap;
    }
}

void sweep_apply(sweep_fn *fn, const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst,
                 size_t len)
{
    sweep_on(fn, coef, rows, cols, src, dst, len, false);
}

void sweep_encode(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len)
{
    sweep_apply(fn, code->encode, code->m, code->k, data, parity, len);
}

void sweep_syndrome(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len)
{
    sweep_apply(fn, code->syndrome, code->m, code->n, blocks, syn, len);
}

/*
 * Stripes that lie side by side, members and all, and so make one wide stripe. Whether data or parity, the i-th stored
 * member of stripe t is stored position i·D + t. In the stripes before used mod D one more data member is stored, so a
 * container is two bands.
 */
struct band {
    uint32_t first, count; /* stripes */
    uint32_t members;      /* data members stored; those from there to k are zeros */
    uint32_t slot;         /* of the first one in each row of parity: the rows begin where data ends */
};

static void split_bands(const struct ecc_layout *l, struct band out[2])
{
    uint32_t full = l->used / l->D, rest = l->used % l->D;
    out[0] = (struct band){ .first = 0, .count = rest, .members = full + 1, .slot = l->D - rest };
    out[1] = (struct band){ .first = rest, .count = l->D - rest, .members = full, .slot = 0 };
}

static void encode_band(sweep_fn *fn, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, const struct band *b)
{
    const uint8_t *src[ECC_N_MAX];
    uint8_t *dst[ECC_M_MAX];
    size_t row = c->layout.D * block_size;
    for (unsigned i = 0; i < code->k; i++)
        src[i] = i < b->members ? c->stored + i * row + b->first * block_size : NULL;
    for (unsigned r = 0; r < code->m; r++)
        dst[r] = c->out + r * row + b->slot * block_size;
    sweep_encode(fn, code, src, dst, b->count * block_size);
}

static bool all_zero(const uint8_t *p, size_t len)
{
    static const uint8_t zeros[SWEEP_PIECE];
    return memcmp(p, zeros, len) == 0;
}

/* Waves of a band from byte off of it on, as many bytes as make a piece of one stripe; how many that was. */
static size_t syndrome_piece(sweep_fn *fn, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                             const struct band *b, size_t off)
{
    uint8_t scratch[ECC_M_MAX][SWEEP_PIECE], *dst[ECC_M_MAX];
    const uint8_t *src[ECC_N_MAX];
    size_t row = c->layout.D * block_size, at = b->first * block_size + off;
    size_t len = min_size(block_size - off % block_size, SWEEP_PIECE);
    for (unsigned i = 0; i < code->k; i++)
        src[i] = i < b->members ? c->stored + i * row + at : NULL;
    for (unsigned j = 0; j < code->m; j++) {
        src[code->k + j] = c->stored + (b->members + j) * row + at;
        dst[j] = c->out ? c->out + j * row + at : scratch[j];
    }
    sweep_on(fn, code->syndrome, code->m, code->n, src, dst, len, off + len < b->count * block_size);
    for (unsigned j = 0; c->dirty && j < code->m; j++) {
        if (!all_zero(dst[j], len))
            c->dirty[at / block_size] = 1;
    }
    return len;
}

static void syndrome_band(sweep_fn *fn, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                          const struct band *b)
{
    if (c->dirty)
        memset(c->dirty + b->first, 0, b->count);
    for (size_t off = 0; off < b->count * block_size;)
        off += syndrome_piece(fn, code, block_size, c, b, off);
}

int sweep_containers(sweep_fn *fn, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                     unsigned n)
{
    assert(block_size % ECC_ALIGN == 0);
    for (unsigned i = 0; i < n; i++) {
        struct band band[2];
        split_bands(&c[i].layout, band);
        for (unsigned b = 0; b < 2; b++) {
            if (work == ECC_ENCODE)
                encode_band(fn, code, block_size, &c[i], &band[b]);
            else
                syndrome_band(fn, code, block_size, &c[i], &band[b]);
        }
    }
    return 0;
}
