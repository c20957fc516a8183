/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring_scan.c: find the committed log after a crash or a clean stop, and read it.
 *
 * The newest complete txg decides: the one of the highest epoch, and there of the highest number, whose every
 * block is right in one of the copies, or can be made right from both. From it the chain of checksum fields leads back to the tail. What lies
 * behind it is torn or void. A missing link before it is damage: it is counted and passed over. Entries name what their epoch builds
 * on, so that what an older epoch wrote beyond that never fills a gap. Of txgs that are damaged, what is right can still be read.
 *
 * A block that is wrong in both copies may still come back from what they have in common (store/flips.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/flips.h"
#include "store/ring_private.h"

struct found {
    struct ring_entry e;
    uint64_t chain;
};

struct found_list {
    struct found *v;
    size_t n, cap;
};

static int add(struct found_list *l, const struct ring_entry *e, uint64_t chain)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct found *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct found){ *e, chain };
    return 0;
}

static int read_blocks(struct ring *r, int c, uint64_t lsn, uint32_t n, uint8_t *out)
{
    if (!r->direct[c])
        return -EIO;
    while (n) {
        uint64_t at = lsn % r->blocks;
        uint32_t now = n < r->blocks - at ? n : (uint32_t)(r->blocks - at);
        int e = r->direct[c]->ops->pread(r->direct[c], out, (size_t)now * BLOCK_SIZE, at * BLOCK_SIZE);
        if (e)
            return e;
        out += (size_t)now * BLOCK_SIZE;
        lsn += now;
        n -= now;
    }
    return 0;
}

int ring_block_read(struct ring *r, int copy, uint64_t lsn, uint8_t *out)
{
    return read_blocks(r, copy, lsn, 1, out);
}

/* Read as many of n blocks as the medium gives; those it refuses become zeros. */
static void read_what_is_there(struct ring *r, int c, uint64_t lsn, uint32_t n, uint8_t *out)
{
    if (read_blocks(r, c, lsn, n, out) == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (read_blocks(r, c, lsn + i, 1, out + (size_t)i * BLOCK_SIZE))
            memset(out + (size_t)i * BLOCK_SIZE, 0, BLOCK_SIZE);
    }
}

/* A block of the files, and the header that it or both copies of it turned out to be. */
struct place {
    struct ring *r;
    uint32_t at;
    struct found found;
};

static bool is_header(void *arg, const uint8_t *block)
{
    struct place *p = arg;
    uint64_t lsn = ring_entry_claims(block);
    return lsn != UINT64_MAX && lsn % p->r->blocks == p->at && ring_entry_decode(p->r, block, lsn, &p->found.e, &p->found.chain);
}

/* The headers at one place: that of either copy, or the one that two flipped copies give together. a is scratch. */
static int collect_at(struct found_list *l, struct place *p, uint8_t *a, const uint8_t *b)
{
    bool first = is_header(p, a);
    int err = first ? add(l, &p->found.e, p->found.chain) : 0;
    bool second = is_header(p, b);
    if (!first && !second && ring_entry_resembles(a, b))
        second = flips_settle(a, b, is_header, p);
    return second && !err ? add(l, &p->found.e, p->found.chain) : err;
}

static int collect(struct ring *r, struct found_list *l, struct ring_traces *traces)
{
    int err = 0;
    for (uint32_t at = 0; at < r->blocks && !err; at += RING_ENTRY_BLOCKS) {
        uint32_t n = r->blocks - at < RING_ENTRY_BLOCKS ? r->blocks - at : RING_ENTRY_BLOCKS;
        read_what_is_there(r, 0, at, n, r->staging);
        read_what_is_there(r, 1, at, n, r->mirror_buf);
        for (uint32_t i = 0; i < n && !err; i++) {
            struct place p = { .r = r, .at = at + i };
            uint8_t *a = r->staging + (size_t)i * BLOCK_SIZE, *b = r->mirror_buf + (size_t)i * BLOCK_SIZE;
            err = ring_trace_note(traces, r, 0, at + i, a);
            if (!err)
                err = ring_trace_note(traces, r, 1, at + i, b);
            if (!err)
                err = collect_at(l, &p, a, b);
        }
    }
    return err;
}

static int by_place(const void *pa, const void *pb)
{
    const struct found *a = pa, *b = pb;
    if (a->e.lsn != b->e.lsn)
        return a->e.lsn < b->e.lsn ? -1 : 1;
    if (a->e.epoch != b->e.epoch)
        return a->e.epoch < b->e.epoch ? -1 : 1;
    return a->chain < b->chain ? -1 : a->chain > b->chain;
}

static void sort_unique(struct found_list *l)
{
    size_t n = 0;
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_place);
    for (size_t i = 0; i < l->n; i++) {
        if (n == 0 || by_place(&l->v[n - 1], &l->v[i]) != 0)
            l->v[n++] = l->v[i];
    }
    l->n = n;
}

/* The part behind `a` of the same txg, or NULL. */
static const struct found *next_part(const struct found_list *l, const struct found *a)
{
    uint64_t lsn = a->e.lsn + a->e.blocks;
    for (const struct found *f = a + 1; f < l->v + l->n && f->e.lsn <= lsn; f++) {
        if (f->e.lsn == lsn && f->e.previous == a->chain && f->e.txg == a->e.txg && f->e.part == a->e.part + 1)
            return f;
    }
    return NULL;
}

static bool whole_txg(const struct found_list *l, const struct found *first, struct ring_txg *t)
{
    const struct found *f = first;
    if (f->e.part != 0)
        return false;
    while (!(f->e.flags & RING_LAST)) {
        f = next_part(l, f);
        if (!f)
            return false;
    }
    *t = (struct ring_txg){ .epoch = f->e.epoch, .txg = f->e.txg, .lsn = first->e.lsn, .blocks = f->e.lsn + f->e.blocks - first->e.lsn,
                            .chain = f->chain, .base_epoch = f->e.base_epoch, .base_txg = f->e.base_txg, .base_chain = f->e.base_chain,
                            .time_ns = f->e.time_ns, .flags = f->e.flags, .n_segments = f->e.n_segments,
                            .records_len = f->e.records_len, .data_len = f->e.data_len };
    return true;
}

struct txg_list {
    struct link {
        struct ring_txg t;
        uint64_t previous, tail;
    } *v;
    size_t n;
};

static int by_age(const void *pa, const void *pb)
{
    const struct link *a = pa, *b = pb;
    if (a->t.epoch != b->t.epoch)
        return a->t.epoch < b->t.epoch ? -1 : 1;
    return a->t.txg < b->t.txg ? -1 : a->t.txg > b->t.txg;
}

static int whole_txgs(const struct found_list *l, struct txg_list *out)
{
    out->n = 0;
    out->v = malloc((l->n + 1) * sizeof(*out->v));
    if (!out->v)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        struct link *k = &out->v[out->n];
        if (whole_txg(l, &l->v[i], &k->t)) {
            k->previous = l->v[i].e.previous;
            k->tail = l->v[i].e.tail;
            out->n++;
        }
    }
    if (out->n)
        qsort(out->v, out->n, sizeof(*out->v), by_age);
    return 0;
}

/* Put the right bytes of a block where a copy has wrong ones. */
static void heal_block(struct ring *r, int c, uint64_t lsn, const uint8_t *block)
{
    if (r->file[c] && bfile_pwrite(r->file[c], block, BLOCK_SIZE, lsn % r->blocks * BLOCK_SIZE))
        r->failed |= 1u << c;
}

static void sync_healed(struct ring *r)
{
    for (int c = 0; c < RING_COPIES; c++) {
        if (r->file[c] && !(r->failed & (1u << c)) && r->file[c]->ops->datasync(r->file[c]))
            r->failed |= 1u << c;
    }
}

/* One entry on its way into staging, each block from the copy that has it right, or from both; mirror_buf is scratch. */
struct entry_read {
    struct ring *r;
    uint64_t lsn, epoch, txg;
    struct ring_entry e;
    bool check_both;    /* compare both copies; else the mirror is only asked where journal.0 fails */
    bool heal;          /* write right blocks where a copy has others */
    bool mirror_read;   /* the payload of journal.1 is in mirror_buf */
    uint64_t *repaired; /* blocks that journal.0 had wrong */
    struct ring_holes *holes; /* where what is lost is noted, with `at` as the place of the entry's payload; NULL: that is an error */
    uint64_t at;
};

/* One block: what journal.0 gave, what journal.1 gave unless it was not asked, and who says what is right. */
struct block_read {
    uint8_t *block;
    const uint8_t *mirror;
    bool good; /* journal.0's */
    uint64_t lsn;
    flips_right_fn *right;
    void *arg;
};

/* Leave the right bytes in b->block, and where a copy has others. */
static int settle(struct entry_read *w, const struct block_read *b)
{
    bool mirror_good = b->mirror && b->right(b->arg, b->mirror);
    if (!b->good && mirror_good)
        memcpy(b->block, b->mirror, BLOCK_SIZE);
    if (!b->good && !mirror_good && !flips_settle(b->block, b->mirror, b->right, b->arg))
        return -HOLO_ELOST;
    *w->repaired += !b->good;
    if (!b->good && w->heal)
        heal_block(w->r, 0, b->lsn, b->block);
    if (b->mirror && !mirror_good && w->heal)
        heal_block(w->r, 1, b->lsn, b->block);
    return 0;
}

static bool is_head(void *arg, const uint8_t *block)
{
    struct entry_read *w = arg;
    struct ring_entry e;
    uint64_t chain;
    if (!ring_entry_decode(w->r, block, w->lsn, &e, &chain) || e.epoch != w->epoch || e.txg != w->txg)
        return false;
    w->e = e;
    return true;
}

static int take_head(struct entry_read *w)
{
    struct ring *r = w->r;
    struct block_read b = { .block = r->staging, .lsn = w->lsn, .right = is_head, .arg = w };
    read_what_is_there(r, 0, w->lsn, 1, r->staging);
    b.good = is_head(w, r->staging);
    if (w->check_both || !b.good) {
        read_what_is_there(r, 1, w->lsn, 1, r->mirror_buf);
        b.mirror = r->mirror_buf;
    }
    return settle(w, &b);
}

/* A payload block as its entry's header knows it. */
struct payload_sum {
    struct ring *r;
    uint64_t lsn, want;
};

static bool is_payload(void *arg, const uint8_t *block)
{
    const struct payload_sum *p = arg;
    return ring_block_sum(p->r, p->lsn, block) == p->want;
}

/* Payload block i of n, which journal.0 has given to staging: is it right, or can it be made so? */
static int settle_payload(struct entry_read *w, uint32_t i, uint32_t n)
{
    struct ring *r = w->r;
    struct payload_sum sum = { r, w->lsn + 1 + i, le64_get(r->staging + OFF_BLOCK_SUMS + 8 * (size_t)i) };
    struct block_read b = { .block = r->staging + (size_t)(i + 1) * BLOCK_SIZE, .lsn = sum.lsn, .right = is_payload, .arg = &sum };
    b.good = is_payload(&sum, b.block);
    if (!w->mirror_read && !b.good) {
        read_what_is_there(r, 1, w->lsn + 1, n, r->mirror_buf);
        w->mirror_read = true;
    }
    if (w->mirror_read)
        b.mirror = r->mirror_buf + (size_t)i * BLOCK_SIZE;
    return settle(w, &b);
}

static int add_hole(struct ring_holes *h, uint64_t off, uint64_t len)
{
    if (h->n && h->v[h->n - 1].off + h->v[h->n - 1].len == off) {
        h->v[h->n - 1].len += len;
        return 0;
    }
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 16;
        struct ring_hole *v = realloc(h->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        h->v = v;
        h->cap = cap;
    }
    h->v[h->n++] = (struct ring_hole){ off, len };
    return 0;
}

/* Payload block i of an entry is lost: its share of the stream is a hole. */
static int lose_block(struct entry_read *w, uint32_t i)
{
    uint64_t first = OFF_ENTRY_SUM - ring_payload_off(w->e.blocks), from = first + (uint64_t)i * BLOCK_SIZE;
    memset(w->r->staging + (size_t)(i + 1) * BLOCK_SIZE, 0, BLOCK_SIZE);
    if (from >= w->e.payload)
        return 0;
    uint64_t len = w->e.payload - from < BLOCK_SIZE ? w->e.payload - from : BLOCK_SIZE;
    return add_hole(w->holes, w->at + from, len);
}

static int read_entry(struct entry_read *w)
{
    int err = take_head(w);
    if (err || w->e.blocks == 1)
        return err;
    uint32_t n = w->e.blocks - 1;
    read_what_is_there(w->r, 0, w->lsn + 1, n, w->r->staging + BLOCK_SIZE);
    if (w->check_both)
        read_what_is_there(w->r, 1, w->lsn + 1, n, w->r->mirror_buf);
    w->mirror_read = w->check_both;
    for (uint32_t i = 0; i < n && !err; i++) {
        err = settle_payload(w, i, n);
        if (err == -HOLO_ELOST && w->holes)
            err = lose_block(w, i);
    }
    return err;
}

static uint64_t stream_len(const struct ring_txg *t)
{
    return (uint64_t)t->n_segments * RING_SEGMENT_BYTES + t->records_len + t->data_len;
}

/* The entry at w->at of a txg's stream has no header any more: nobody can say what of it is right. */
static int lose_entry(struct entry_read *w, const struct ring_txg *t)
{
    uint64_t left = stream_len(t) - w->at, cap = ring_payload_cap(RING_ENTRY_BLOCKS);
    w->e.payload = left < cap ? left : cap;
    w->e.blocks = ring_entry_blocks(w->e.payload);
    memset(w->r->staging, 0, (size_t)w->e.blocks * BLOCK_SIZE);
    return add_hole(w->holes, w->at, w->e.payload);
}

enum { READ_BOTH = 1, READ_HEAL = 2 };

static int read_txg(struct ring *r, const struct ring_txg *t, unsigned how, struct buf *out, struct ring_holes *holes, uint64_t *repaired)
{
    uint64_t lsn = t->lsn, end = t->lsn + t->blocks, at = 0;
    if (out)
        out->len = 0;
    while (lsn < end) {
        struct entry_read w = { .r = r, .lsn = lsn, .epoch = t->epoch, .txg = t->txg, .check_both = how & READ_BOTH, .heal = how & READ_HEAL,
                                .repaired = repaired, .holes = holes, .at = at };
        int err = read_entry(&w);
        if (err == -HOLO_ELOST && holes)
            err = lose_entry(&w, t);
        if (err)
            return err;
        at += w.e.payload;
        size_t head = ring_payload_off(w.e.blocks), payload = (size_t)w.e.payload;
        size_t first = payload < OFF_ENTRY_SUM - head ? payload : OFF_ENTRY_SUM - head;
        if (out) {
            err = buf_add(out, r->staging + head, first);
            if (!err)
                err = buf_add(out, r->staging + BLOCK_SIZE, payload - first);
            if (err)
                return err;
        }
        lsn += w.e.blocks;
    }
    return !out || out->len == stream_len(t) ? 0 : -HOLO_ECORRUPT;
}

int ring_read(struct ring *r, const struct ring_txg *t, struct buf *out)
{
    uint64_t repaired = 0;
    return read_txg(r, t, READ_HEAL, out, NULL, &repaired);
}

int ring_read_damaged(struct ring *r, const struct ring_txg *t, struct buf *out, struct ring_holes *holes)
{
    uint64_t repaired = 0;
    holes->n = 0;
    return read_txg(r, t, READ_HEAL, out, holes, &repaired);
}

void ring_holes_fini(struct ring_holes *h)
{
    free(h->v);
    *h = (struct ring_holes){ 0 };
}

void ring_segment_get(const uint8_t *stream, uint32_t i, struct ring_segment *out)
{
    const uint8_t *p = stream + (size_t)i * RING_SEGMENT_BYTES;
    out->container = le32_get(p);
    out->len = le32_get(p + 4);
    out->off = le64_get(p + 8);
}

/* Is c of the history that k's epoch builds on, as far as k says? What an older epoch wrote beyond that is void. */
static bool same_history(const struct ring_txg *c, const struct ring_txg *k)
{
    if (c->epoch == k->epoch || k->base_epoch == 0)
        return true;
    return c->epoch < k->base_epoch || (c->epoch == k->base_epoch && c->txg <= k->base_txg);
}

/* Can c stand before k? The first txg of k's epoch is missing between them if k is not the first and c is older. */
static bool may_precede(const struct link *c, const struct link *k, uint64_t tail)
{
    if (c->t.lsn < tail || c->t.epoch > k->t.epoch || c->t.txg >= k->t.txg || c->t.lsn + c->t.blocks > k->t.lsn)
        return false;
    if (!same_history(&c->t, &k->t))
        return false;
    return c->t.epoch == k->t.epoch || (k->t.flags & RING_EPOCH_FIRST) || c->t.txg + 1 < k->t.txg;
}

/* The txg that ends where `k` begins: by the chain, else (damage) the newest one before it. NULL if there is none. */
static const struct link *link_before(const struct txg_list *l, const struct link *k, uint64_t tail, uint64_t *lost)
{
    const struct link *best = NULL;
    for (size_t i = (size_t)(k - l->v); i-- > 0;) {
        const struct link *c = &l->v[i];
        if (!may_precede(c, k, tail))
            continue;
        if (c->t.chain == k->previous)
            return c;
        if (!best)
            best = c;
        if (c->t.txg + 1 < k->t.txg && c->t.epoch < k->t.epoch)
            break;
    }
    *lost += best && best->t.txg + 1 < k->t.txg ? k->t.txg - best->t.txg - 1 : 1;
    return best;
}

/* Walk back from the newest txg to the tail and fill the result in ascending order. */
static int follow_back(struct ring *r, const struct txg_list *l, const struct link *newest, uint64_t tail, size_t room,
                       struct ring_scan_result *out)
{
    size_t n = 0;
    struct ring_txg *v = malloc((l->n + 1 + room) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    const struct link *k = newest;
    while (k) {
        v[l->n - n++] = k->t;
        k = k->t.lsn > tail ? link_before(l, k, tail, &out->lost_txgs) : NULL;
    }
    memmove(v, v + l->n - n + 1, n * sizeof(*v));
    out->txgs = v;
    out->n = n;
    out->tail = tail;
    out->end = newest->t.lsn + newest->t.blocks;
    r->tail = tail;
    r->kept = newest->tail;
    r->end = out->end;
    r->chain = newest->t.chain;
    r->mirrored = out->end;
    return 0;
}

/* A txg of which only some entries are there: each of them says how long it is, and so where. false if it cannot be. */
static bool described_by(const struct found *f, struct ring_txg *t)
{
    uint64_t before = (uint64_t)f->e.part * RING_ENTRY_BLOCKS;
    *t = (struct ring_txg){ .epoch = f->e.epoch, .txg = f->e.txg, .lsn = f->e.lsn - before, .chain = f->e.flags & RING_LAST ? f->chain : 0,
                            .base_epoch = f->e.base_epoch, .base_txg = f->e.base_txg, .base_chain = f->e.base_chain,
                            .time_ns = f->e.time_ns, .flags = f->e.flags | RING_LAST, .n_segments = f->e.n_segments,
                            .records_len = f->e.records_len, .data_len = f->e.data_len };
    t->blocks = ring_blocks_for(t->n_segments, t->records_len, t->data_len);
    return f->e.lsn >= before && f->e.lsn + f->e.blocks <= t->lsn + t->blocks;
}

/* Does t stand between neighbours of the log, of which before may be NULL? */
static bool fits_between(const struct ring_txg *t, const struct ring_txg *before, const struct ring_txg *after, uint64_t tail)
{
    uint64_t from = before ? before->lsn + before->blocks : tail;
    if (t->lsn < from || t->lsn + t->blocks > after->lsn || t->txg >= after->txg || t->epoch > after->epoch || !same_history(t, after))
        return false;
    return !before || (before->txg < t->txg && before->epoch <= t->epoch && same_history(before, t));
}

/* Add what is left of txgs that are missing between those of the log. Room for them is behind out->txgs. */
static void find_remains(const struct found_list *l, struct ring_scan_result *out)
{
    struct ring_txg t, *known = out->txgs + out->n, last = { 0 };
    out->damaged = known;
    for (size_t i = 0, k = 0; i < l->n && out->n; i++) {
        while (k + 1 < out->n && out->txgs[k].lsn <= l->v[i].e.lsn)
            k++;
        if (!described_by(&l->v[i], &t) || !fits_between(&t, k ? &out->txgs[k - 1] : NULL, &out->txgs[k], out->tail))
            continue;
        if (out->n_damaged && (t.lsn < last.lsn + last.blocks || t.txg <= last.txg)) {
            struct ring_txg *same = &known[out->n_damaged - 1];
            if (t.txg == last.txg && t.epoch == last.epoch && t.lsn == last.lsn && t.chain)
                same->chain = t.chain;
            continue;
        }
        known[out->n_damaged++] = last = t;
    }
}

static int by_txg(const void *pa, const void *pb)
{
    const struct ring_txg *a = pa, *b = pb;
    return a->txg < b->txg ? -1 : a->txg > b->txg;
}

/*
 * Read all txgs but the newest, which has been verified already. Damaged ones move behind the others, to those of which only some
 * entries were found.
 */
static int verify_others(struct ring *r, struct ring_scan_result *out)
{
    for (size_t i = 0; i + 1 < out->n; i++) {
        struct ring_txg t = out->txgs[i];
        int e = read_txg(r, &t, READ_BOTH | READ_HEAL, NULL, NULL, &out->repairable_blocks);
        if (e && e != -HOLO_ELOST)
            return e;
        if (!e)
            continue;
        out->lost_txgs++;
        memmove(&out->txgs[i], &out->txgs[i + 1], (out->n - i - 1) * sizeof(*out->txgs));
        out->txgs[--out->n] = t;
        out->damaged = &out->txgs[out->n];
        out->n_damaged++;
        i--;
    }
    if (out->n_damaged)
        qsort(out->damaged, out->n_damaged, sizeof(*out->damaged), by_txg);
    sync_healed(r);
    return 0;
}

/* The newest txg whose blocks are all right in one of the copies, or in both together; staging holds its last entry. NULL if there is none. */
static const struct link *newest_right(struct ring *r, const struct txg_list *t)
{
    uint64_t repaired = 0;
    for (size_t i = t->n; i-- > 0;) {
        if (read_txg(r, &t->v[i].t, READ_BOTH, NULL, NULL, &repaired) == 0)
            return &t->v[i];
    }
    return NULL;
}

/* Look at what lies behind the newest txg, and only then heal: what is wrong tells whether something is missing. */
static int settle_end(struct ring *r, const struct link *k, const struct ring_traces *traces, bool known, struct ring_scan_result *out)
{
    uint8_t last[BLOCK_SIZE];
    const struct ring_txg *newest = &k->t;
    memcpy(last, r->staging + (newest->blocks - 1) % RING_ENTRY_BLOCKS * BLOCK_SIZE, BLOCK_SIZE);
    ring_end_judge(r, traces, newest, k->tail, known ? NULL : last, out);
    ring_fill_up(r);
    return read_txg(r, newest, READ_BOTH | READ_HEAL, NULL, NULL, &out->repairable_blocks);
}

int ring_scan(struct ring *r, uint64_t last_txg, struct ring_scan_result *out)
{
    struct found_list l = { 0 };
    struct ring_traces traces = { 0 };
    struct txg_list t = { 0 };
    *out = (struct ring_scan_result){ 0 };
    int e = collect(r, &l, &traces);
    if (e)
        goto out;
    sort_unique(&l);
    for (size_t i = 0; i < l.n; i++)
        out->max_epoch = l.v[i].e.epoch > out->max_epoch ? l.v[i].e.epoch : out->max_epoch;
    e = whole_txgs(&l, &t);
    if (e)
        goto out;
    const struct link *newest = newest_right(r, &t);
    if (!newest) {
        out->torn = l.n > 0;
        ring_fill_up(r);
        goto out;
    }
    e = settle_end(r, newest, &traces, last_txg && newest->t.txg == last_txg, out);
    if (!e)
        e = follow_back(r, &t, newest, newest->tail, l.n, out);
    if (!e) {
        find_remains(&l, out);
        e = verify_others(r, out);
    }
out:
    free(t.v);
    free(l.v);
    free(traces.v);
    return e;
}

static int follow_clean(struct ring *r, struct found_list *l, uint64_t tail, uint64_t end)
{
    for (uint64_t lsn = tail; lsn < end;) {
        struct ring_entry e;
        uint64_t chain;
        if (read_blocks(r, 0, lsn, 1, r->staging) || !ring_entry_decode(r, r->staging, lsn, &e, &chain))
            return -HOLO_ESTALE;
        if (l->n && e.previous != l->v[l->n - 1].chain)
            return -HOLO_ESTALE;
        int err = add(l, &e, chain);
        if (err)
            return err;
        lsn += e.blocks;
    }
    return 0;
}

/* Is the last entry followed by another one? Then the hints are older than the log. */
static bool goes_on(struct ring *r, const struct ring_entry *last)
{
    uint64_t lsn = last->lsn + last->blocks, chain;
    struct ring_entry e;
    for (int c = 0; c < RING_COPIES; c++) {
        if (read_blocks(r, c, lsn, 1, r->staging) == 0 && ring_entry_decode(r, r->staging, lsn, &e, &chain) && e.epoch >= last->epoch)
            return true;
    }
    return false;
}

/* The mirror is written in order: if it has the last entry, it has them all. */
static bool mirror_has(struct ring *r, const struct ring_entry *last)
{
    uint64_t chain;
    struct ring_entry e;
    return read_blocks(r, 1, last->lsn, 1, r->staging) == 0 && ring_entry_decode(r, r->staging, last->lsn, &e, &chain);
}

/* Read every txg; one that no copy has whole is nothing that a clean stop leaves. */
static int read_others(struct ring *r, struct ring_scan_result *out)
{
    int e = 0;
    for (size_t i = 0; i < out->n && !e; i++)
        e = read_txg(r, &out->txgs[i], READ_HEAL, NULL, NULL, &out->repairable_blocks);
    if (out->repairable_blocks)
        sync_healed(r);
    return e == -HOLO_ELOST ? -HOLO_ESTALE : e;
}

int ring_scan_clean(struct ring *r, uint64_t hint_tail, uint64_t hint_end, uint64_t hint_txg, struct ring_scan_result *out)
{
    struct found_list l = { 0 };
    struct txg_list t = { 0 };
    *out = (struct ring_scan_result){ 0 };
    if (hint_end - hint_tail > r->blocks || hint_end <= hint_tail || (r->failed & 1u))
        return -HOLO_ESTALE;
    int e = follow_clean(r, &l, hint_tail, hint_end);
    if (!e)
        e = whole_txgs(&l, &t);
    const struct link *newest = t.n ? &t.v[t.n - 1] : NULL;
    if (!e && (!newest || newest->t.txg != hint_txg || newest->t.lsn + newest->t.blocks != hint_end || goes_on(r, &l.v[l.n - 1].e)))
        e = -HOLO_ESTALE;
    if (!e)
        e = follow_back(r, &t, newest, hint_tail, 0, out);
    if (!e)
        e = out->lost_txgs ? -HOLO_ESTALE : read_others(r, out);
    if (e) {
        free(out->txgs);
        *out = (struct ring_scan_result){ 0 };
    }
    if (!e)
        ring_fill_up(r);
    if (!e && !mirror_has(r, &l.v[l.n - 1].e))
        r->mirrored = hint_tail;
    free(t.v);
    free(l.v);
    return e;
}
