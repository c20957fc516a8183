/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring_end.c: was more committed than the scan has found?
 *
 * What a crash leaves behind the newest txg is one txg that is torn: old and new blocks, none of which is wrong. So these tell that
 * something is missing:
 *
 *   the first block of an entry, right or flipped, of the txg after the next: the next one was durable before that was begun
 *   one in journal.1 that was not begun there: the mirror gets only what is durable
 *   the next place cannot be read, or the copy that txgs are written to first was not whole
 *   the newest txg's last block is gone where it was written first, and the next place holds other bytes than in the other copy, or both
 *   are zeros; or it is flipped, and a header follows it
 *
 * The last commit alone, damaged before the mirror has followed, looks like one that a crash tore. Healing does not hide what was seen: a mark
 * at the end of the log tells it to the next scan, until something is appended, that is, until the loss was accepted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/flips.h"
#include "store/ring_private.h"

int ring_trace_note(struct ring_traces *l, const struct ring *r, int copy, uint32_t at, const uint8_t *block)
{
    struct ring_trace t = { .copy = copy };
    struct ring_entry e;
    uint64_t chain;
    if (!ring_entry_peek(block, &t) || t.lsn % r->blocks != at)
        return 0;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct ring_trace *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    t.right = ring_entry_decode(r, block, t.lsn, &e, &chain);
    l->v[l->n++] = t;
    return 0;
}

/* Up to which txg was everything durable, as this trace proves? 0 if it says nothing about what lies behind the newest one. */
static uint64_t proven_by(const struct ring *r, const struct ring_trace *t, const struct ring_txg *newest)
{
    uint64_t before = (uint64_t)t->part * RING_ENTRY_BLOCKS, end = newest->lsn + newest->blocks, begin = t->lsn - before;
    if (t->lsn < before || begin < end || begin - end >= r->blocks || t->epoch < newest->epoch)
        return 0;
    if (!t->right && (t->epoch != newest->epoch || t->txg - newest->txg > begin - end + 1))
        return 0; /* what flips made of something else */
    if (t->copy == 1 && !(t->flags & RING_MIRROR_FIRST))
        return t->txg;
    return begin > end ? t->txg - 1 : 0;
}

static bool is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, BLOCK_SIZE - 1) == 0;
}

/* May these be the same block, flipped here and there? */
static bool similar(const uint8_t *a, const uint8_t *b)
{
    unsigned differ = 0;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        differ += a[i] != b[i];
    return differ <= FLIPS_MAX;
}

/* The copy that a txg was written to first: what follows in it is what was begun. */
static int first_copy(const struct ring_txg *t)
{
    return t->flags & RING_MIRROR_FIRST ? 1 : 0;
}

static bool is_marked(struct ring *r, const struct ring_txg *newest, uint64_t end)
{
    for (int c = 0; c < RING_COPIES; c++) {
        if (ring_block_read(r, c, end, r->staging) == 0 && ring_mark_is(r, newest, end, r->staging))
            return true;
    }
    return false;
}

static bool has_header(const struct ring_traces *l, int copy, uint64_t lsn)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].copy == copy && l->v[i].lsn == lsn)
            return true;
    }
    return false;
}

/*
 * Is damage next to the end, in the copy that txgs are written to first? Flips leave a header that can be seen; what is gone altogether may
 * go on behind the end, unless the next place is as in the other copy.
 */
static bool is_unknown(struct ring *r, const struct ring_traces *l, const struct ring_txg *newest, const uint8_t *last)
{
    int first = first_copy(newest);
    uint64_t end = newest->lsn + newest->blocks;
    uint8_t *next = r->staging, *other = r->mirror_buf;
    if (r->had_bytes[first] < (uint64_t)r->blocks * BLOCK_SIZE || ring_block_read(r, first, end, next))
        return true;
    bool readable = ring_block_read(r, first, end - 1, other) == 0;
    if (readable && memcmp(other, last, BLOCK_SIZE) == 0)
        return false;
    if (readable && similar(other, last))
        return has_header(l, first, end);
    if (readable && is_zero(other) && is_zero(next)) /* a run of zeros, and they need not end here */
        return true;
    return ring_block_read(r, !first, end, other) || !similar(next, other);
}

static bool mark(struct ring *r, int copy, const struct ring_txg *newest, uint64_t end)
{
    struct bfile *f = r->file[copy];
    if (!f || (r->failed & 1u << copy))
        return false;
    ring_mark_encode(r, newest, end, r->staging);
    return bfile_pwrite(f, r->staging, BLOCK_SIZE, end % r->blocks * BLOCK_SIZE) == 0 && f->ops->datasync(f) == 0;
}

/* In the copy that has nothing to tell at this place, before the other one is filled up and healed. */
static void keep_in_mind(struct ring *r, const struct ring_txg *newest, uint64_t end)
{
    if (mark(r, !first_copy(newest), newest, end))
        return;
    ring_fill_up(r);
    mark(r, first_copy(newest), newest, end);
}

void ring_end_judge(struct ring *r, const struct ring_traces *l, const struct ring_txg *newest, uint64_t tail, const uint8_t *last,
                    struct ring_scan_result *out)
{
    uint64_t end = newest->lsn + newest->blocks;
    for (size_t i = 0; i < l->n; i++) {
        const struct ring_trace *t = &l->v[i];
        uint64_t txg = last ? proven_by(r, t, newest) : 0;
        if (txg > newest->txg && txg > out->missing_to)
            out->missing_to = txg;
        out->torn |= t->right && t->lsn >= end && t->epoch >= newest->epoch;
    }
    if (!last || end - tail >= r->blocks) /* full: the next place is the oldest one that is needed, and nothing can have been begun */
        return;
    bool marked = is_marked(r, newest, end);
    out->end_unknown = marked || is_unknown(r, l, newest, last);
    if (out->end_unknown && !marked)
        keep_in_mind(r, newest, end);
}

static int fill(struct bfile *f, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[16 * BLOCK_SIZE];
    int e = 0;
    while (from < to && !e) {
        size_t n = to - from < sizeof(zeros) ? (size_t)(to - from) : sizeof(zeros);
        e = bfile_pwrite(f, zeros, n, from);
        from += n;
    }
    return e ? e : f->ops->datasync(f);
}

void ring_fill_up(struct ring *r)
{
    uint64_t full = (uint64_t)r->blocks * BLOCK_SIZE;
    for (int c = 0; c < RING_COPIES; c++) {
        if (!r->file[c] || r->had_bytes[c] >= full || (r->failed & 1u << c))
            continue;
        if (fill(r->file[c], r->had_bytes[c], full))
            r->failed |= 1u << c;
        r->had_bytes[c] = full;
    }
}
