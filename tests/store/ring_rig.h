/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring_rig.h: a ring in memory under a fault layer, and a memory of its own of all that was committed to it.
 *
 * What a txg holds follows from its epoch and number, so that what is read can be compared with the bytes that were
 * written, not with what the ring says about them.
 */
#ifndef HOLO_TESTS_STORE_RING_RIG_H
#define HOLO_TESTS_STORE_RING_RIG_H

#include "tests/store/kit.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/backing.h"
#include "store/ring.h"

enum { RIG_TXGS = 4096, RIG_DATA_MAX = 8 };

/* One txg to be written: sizes and bytes. */
struct content {
    struct ring_data data[RIG_DATA_MAX];
    uint32_t n_data;
    uint64_t records_len;
    uint8_t *bytes;    /* records, then the data */
    struct buf stream; /* what must come back */
};

struct sent {
    struct ring_txg t;
    uint64_t size;
    bool acked;
};

struct rig {
    struct backing *memory, *fault;
    struct ring *r;
    uint32_t blocks;
    uint64_t seed, epoch, tail; /* tail: as the test moved it */
    struct sent sent[RIG_TXGS]; /* by number; the newest of that number */
    uint64_t last;              /* number of the last one tried */
    struct ring_txg base;       /* what the epoch builds on */
    bool begun;
};

/* About `size` bytes, of which some are records and the rest segments; without segments if size is odd. */
static inline void content_make(struct content *c, uint64_t epoch, uint64_t txg, uint64_t size)
{
    uint64_t seed = epoch * 1000003 + txg * 7919 + size;
    memset(c, 0, sizeof(*c));
    c->n_data = size % 2 ? 0 : (uint32_t)(kit_random(&seed) % (RIG_DATA_MAX + 1));
    c->records_len = c->n_data ? size / (1 + kit_random(&seed) % 5) : size;
    uint64_t left = size - c->records_len;
    c->bytes = malloc(size ? size : 1);
    kit_fill(seed, c->bytes, size);
    uint64_t at = c->records_len;
    uint8_t enc[RING_SEGMENT_BYTES];
    for (uint32_t i = 0; i < c->n_data; i++) {
        uint64_t len = i + 1 == c->n_data ? left : kit_random(&seed) % (left + 1);
        c->data[i] = (struct ring_data){ { (uint32_t)(txg * 10 + i), (uint32_t)len, kit_random(&seed) }, c->bytes + at };
        at += len;
        left -= len;
        le32_put(enc, c->data[i].seg.container);
        le32_put(enc + 4, c->data[i].seg.len);
        le64_put(enc + 8, c->data[i].seg.off);
        buf_add(&c->stream, enc, sizeof(enc));
    }
    buf_add(&c->stream, c->bytes, at);
}

static inline void content_fini(struct content *c)
{
    free(c->bytes);
    buf_fini(&c->stream);
}

static inline void rig_open(struct rig *g)
{
    assert_int_equal(backing_fault_create(g->memory, g->seed, &g->fault), 0);
    assert_int_equal(ring_open(g->fault, kit_uuid, g->blocks, false, &g->r), 0);
}

/* A formatted ring in its first epoch. */
static inline struct rig *rig_new(uint32_t blocks, uint64_t seed)
{
    struct rig *g = calloc(1, sizeof(*g));
    struct ring_scan_result s;
    g->blocks = blocks;
    g->seed = seed;
    g->epoch = 1;
    assert_int_equal(backing_memory_create(UINT64_C(1) << 30, &g->memory), 0);
    assert_int_equal(ring_format(g->memory, blocks), 0);
    rig_open(g);
    assert_int_equal(ring_scan(g->r, 0, &s), 0);
    assert_int_equal(s.n, 0);
    assert_false(s.torn);
    free(s.txgs);
    return g;
}

static inline void rig_close(struct rig *g)
{
    ring_close(g->r);
    g->fault->ops->close(g->fault);
}

static inline void rig_free(struct rig *g)
{
    rig_close(g);
    g->memory->ops->close(g->memory);
    free(g);
}

/* Try to commit one more txg. Returns what ring_append said. */
static inline int rig_append(struct rig *g, uint64_t size)
{
    struct content c;
    uint64_t number = g->last + 1;
    assert_true(number < RIG_TXGS);
    struct ring_txg t = { .epoch = g->epoch, .txg = number, .time_ns = (int64_t)number * 1000, .flags = g->begun ? 0 : RING_EPOCH_FIRST,
                          .base_epoch = g->base.epoch, .base_txg = g->base.txg, .base_chain = g->base.chain };
    content_make(&c, g->epoch, number, size);
    int e = ring_append(g->r, &t, c.data, c.n_data, c.records_len ? c.bytes : NULL, c.records_len);
    content_fini(&c);
    if (e == -HOLO_ERINGFULL)
        return e;
    g->last = number;
    g->begun |= !e;
    g->sent[number] = (struct sent){ t, size, !e };
    return e;
}

static inline void rig_tail(struct rig *g, uint64_t lsn)
{
    g->tail = lsn;
    ring_set_tail(g->r, lsn);
}

/* The bytes of one txg, against those that were sent. */
static inline void rig_expect_txg(struct rig *g, const struct ring_txg *t)
{
    struct content c;
    struct buf got = { 0 };
    assert_true(t->txg >= 1 && t->txg <= g->last);
    const struct sent *s = &g->sent[t->txg];
    assert_int_equal(t->epoch, s->t.epoch);
    content_make(&c, t->epoch, t->txg, s->size);
    assert_int_equal(ring_read(g->r, t, &got), 0);
    assert_int_equal(got.len, c.stream.len);
    assert_memory_equal(got.p, c.stream.p, got.len);
    assert_true(t->n_segments == c.n_data && t->records_len == c.records_len && t->time_ns == (int64_t)t->txg * 1000);
    assert_true(t->base_txg == s->t.base_txg && t->base_epoch == s->t.base_epoch && t->base_chain == s->t.base_chain);
    uint32_t tried = s->acked ? 0 : RING_MIRROR_FIRST; /* by one that failed, too late to be what is found */
    assert_true((t->flags & ~tried) == ((s->t.flags | RING_LAST) & ~tried));
    if (s->acked)
        assert_true(t->lsn == s->t.lsn && t->blocks == s->t.blocks && t->chain == s->t.chain);
    buf_fini(&got);
    content_fini(&c);
}

/* All that was committed from the tail on is there, in order, and nothing but what was sent. */
static inline void rig_expect_all(struct rig *g, const struct ring_scan_result *s)
{
    size_t i = 0;
    for (size_t k = 0; k < s->n; k++) {
        rig_expect_txg(g, &s->txgs[k]);
        assert_true(k == 0 || s->txgs[k].txg > s->txgs[k - 1].txg);
    }
    for (uint64_t n = 1; n <= g->last; n++) {
        if (!g->sent[n].acked || g->sent[n].t.lsn < g->tail)
            continue;
        while (i < s->n && s->txgs[i].txg < n)
            i++;
        assert_true(i < s->n && s->txgs[i].txg == n);
    }
}

/* Stop and come back in a new epoch: what was not found is forgotten. The result is the caller's to free. */
static inline void rig_restart(struct rig *g, struct ring_scan_result *s)
{
    rig_close(g);
    rig_open(g);
    assert_int_equal(ring_scan(g->r, 0, s), 0);
    rig_expect_all(g, s);
    g->epoch++;
    g->begun = false;
    g->base = s->n ? s->txgs[s->n - 1] : (struct ring_txg){ 0 };
    g->last = g->base.txg;
    if (s->n)
        g->sent[g->last].t = g->base, g->sent[g->last].acked = true;
    g->tail = s->tail;
}

static inline struct bfile *rig_file(struct rig *g, int copy)
{
    struct bfile *f;
    assert_int_equal(g->memory->ops->open(g->memory, copy ? "journal.1" : "journal.0", BACKING_WRITE, &f), 0);
    return f;
}

static inline void rig_damage(struct rig *g, int copy, uint64_t lsn)
{
    struct bfile *f = rig_file(g, copy);
    uint8_t noise[BLOCK_SIZE];
    kit_fill(lsn * 2 + (uint64_t)copy, noise, sizeof(noise));
    assert_int_equal(bfile_pwrite(f, noise, sizeof(noise), lsn % g->blocks * BLOCK_SIZE), 0);
    f->ops->close(f);
}

static inline uint8_t *rig_image(struct rig *g, int copy)
{
    struct bfile *f = rig_file(g, copy);
    uint8_t *p = malloc((size_t)g->blocks * BLOCK_SIZE);
    assert_int_equal(f->ops->pread(f, p, (size_t)g->blocks * BLOCK_SIZE, 0), 0);
    f->ops->close(f);
    return p;
}

/* Put n blocks of an image back where lsn is. */
static inline void rig_put(struct rig *g, int copy, const uint8_t *image, uint64_t lsn, uint64_t n)
{
    struct bfile *f = rig_file(g, copy);
    for (uint64_t i = lsn; i < lsn + n; i++)
        assert_int_equal(bfile_pwrite(f, image + i % g->blocks * BLOCK_SIZE, BLOCK_SIZE, i % g->blocks * BLOCK_SIZE), 0);
    f->ops->close(f);
}

#endif
