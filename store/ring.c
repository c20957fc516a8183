/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.c: append to the ring and keep its mirror.
 *
 * Invariants:
 *  1. tail <= mirrored <= end (mirrored is raised to tail when the tail passes it), end - tail <= blocks.
 *  2. A block in [kept, end) is never overwritten; kept is the tail that the newest durable txg names, kept <= tail. So a txg that
 *     is torn has destroyed nothing that the one before it needs.
 *  3. `end` advances only after the sync of the copy that carries the entries.
 */
#include "store/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/ring_private.h"

static const char *const copy_names[RING_COPIES] = { "journal.0", "journal.1" };

int ring_format(struct backing *b, uint32_t blocks)
{
    for (int c = 0; c < RING_COPIES; c++) {
        struct bfile *f;
        int r = b->ops->open(b, copy_names[c], BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
        if (r)
            return r;
        r = f->ops->preallocate(f, (uint64_t)blocks * BLOCK_SIZE);
        if (!r)
            r = f->ops->datasync(f);
        f->ops->close(f);
        if (r)
            return r;
    }
    return 0;
}

/* A copy that cannot be opened is a failed copy; both failing is an error. */
static int open_copy(struct ring *r, struct backing *b, int c, bool read_only)
{
    int e = b->ops->open(b, copy_names[c], BACKING_READ | BACKING_DIRECT, &r->direct[c]);
    if (!e && !read_only)
        e = b->ops->open(b, copy_names[c], BACKING_WRITE, &r->file[c]);
    return e;
}

/* How much of a copy is there, up to its full size. */
static int measure(struct ring *r, int c)
{
    uint64_t size, full = (uint64_t)r->blocks * BLOCK_SIZE;
    int e = r->direct[c]->ops->size(r->direct[c], &size);
    r->had_bytes[c] = e ? 0 : size < full ? size : full;
    return e;
}

/* A copy that is gone beside one that is there is made again; what is in the log comes from the other one. */
static int make_copy(struct ring *r, struct backing *b, int c)
{
    struct bfile *f;
    int e = b->ops->open(b, copy_names[c], BACKING_WRITE | BACKING_CREATE, &f);
    if (e)
        return e;
    f->ops->close(f);
    e = b->ops->sync_dir(b, "");
    r->made |= 1u << c;
    return e ? e : open_copy(r, b, c, false);
}

int ring_open(struct backing *b, const uint8_t uuid[16], uint32_t blocks, bool read_only, struct ring **out)
{
    struct ring *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->blocks = blocks;
    memcpy(r->uuid, uuid, 16);
    int e[RING_COPIES] = { open_copy(r, b, 0, read_only), open_copy(r, b, 1, read_only) };
    for (int c = 0; c < RING_COPIES; c++) {
        if (e[c] == -ENOENT && !e[!c] && !read_only)
            e[c] = make_copy(r, b, c);
        if (!e[c])
            e[c] = measure(r, c);
        if (e[c])
            r->failed |= 1u << c;
    }
    r->staging = aligned_alloc(BLOCK_SIZE, RING_ENTRY_BLOCKS * BLOCK_SIZE);
    r->mirror_buf = aligned_alloc(BLOCK_SIZE, RING_ENTRY_BLOCKS * BLOCK_SIZE);
    if (!r->staging || !r->mirror_buf || (e[0] && e[1])) {
        ring_close(r);
        return e[0] && e[1] ? e[0] : -ENOMEM;
    }
    *out = r;
    return 0;
}

void ring_close(struct ring *r)
{
    if (!r)
        return;
    for (int c = 0; c < RING_COPIES; c++) {
        if (r->file[c])
            r->file[c]->ops->close(r->file[c]);
        if (r->direct[c])
            r->direct[c]->ops->close(r->direct[c]);
    }
    free(r->staging);
    free(r->mirror_buf);
    free(r);
}

uint64_t ring_blocks_for(uint32_t n_segments, uint64_t records_len, uint64_t data_len)
{
    uint64_t left = (uint64_t)n_segments * RING_SEGMENT_BYTES + records_len + data_len;
    uint64_t full = left / ring_payload_cap(RING_ENTRY_BLOCKS);
    left -= full * ring_payload_cap(RING_ENTRY_BLOCKS);
    return full * RING_ENTRY_BLOCKS + (left || !full ? ring_entry_blocks(left) : 0);
}

uint64_t ring_free_blocks(const struct ring *r)
{
    return r->blocks - (r->end - r->kept);
}

uint64_t ring_used_blocks(const struct ring *r)
{
    return r->end - r->tail;
}

uint64_t ring_unmirrored_blocks(const struct ring *r)
{
    uint64_t from = r->mirrored, tail = r->tail, end = r->end; /* in this order: none is ahead of the next */
    return end - (from > tail ? from : tail);
}

uint64_t ring_end(const struct ring *r)
{
    return r->end;
}

uint64_t ring_tail(const struct ring *r)
{
    return r->tail;
}

unsigned ring_made_copies(const struct ring *r)
{
    return r->made;
}

unsigned ring_failed_copies(const struct ring *r)
{
    return r->failed;
}

uint64_t ring_bytes_written(const struct ring *r)
{
    return r->bytes_written;
}

void ring_set_tail(struct ring *r, uint64_t lsn)
{
    if (lsn > r->tail)
        r->tail = lsn;
}

/* Write n blocks at an lsn of one copy; the range may wrap around. */
static int write_blocks(struct ring *r, int c, const uint8_t *p, uint32_t n, uint64_t lsn)
{
    while (n) {
        uint64_t at = lsn % r->blocks;
        uint32_t now = n < r->blocks - at ? n : (uint32_t)(r->blocks - at);
        int e = bfile_pwrite(r->file[c], p, (size_t)now * BLOCK_SIZE, at * BLOCK_SIZE);
        if (e)
            return e;
        p += (size_t)now * BLOCK_SIZE;
        lsn += now;
        n -= now;
    }
    return 0;
}

/* The byte stream of a txg, taken piece by piece while entries are filled. */
struct stream {
    const struct ring_data *data;
    uint32_t n_data, i;
    const uint8_t *records;
    uint64_t records_len, off; /* off within the current part */
    int part;                  /* 0 segment table, 1 records, 2 data */
    uint64_t left;
};

static void take_segments(struct stream *s, uint8_t *out, size_t n)
{
    while (n) {
        uint8_t enc[RING_SEGMENT_BYTES];
        const struct ring_segment *g = &s->data[s->off / RING_SEGMENT_BYTES].seg;
        le32_put(enc, g->container);
        le32_put(enc + 4, g->len);
        le64_put(enc + 8, g->off);
        size_t skip = (size_t)(s->off % RING_SEGMENT_BYTES);
        size_t now = RING_SEGMENT_BYTES - skip < n ? RING_SEGMENT_BYTES - skip : n;
        memcpy(out, enc + skip, now);
        out += now;
        n -= now;
        s->off += now;
    }
}

static void next_part(struct stream *s)
{
    s->part++;
    s->off = 0;
}

/* Copy the next n bytes of the stream (n <= left). */
static void take(struct stream *s, uint8_t *out, size_t n)
{
    s->left -= n;
    while (n) {
        uint64_t part_len = s->part == 0   ? (uint64_t)s->n_data * RING_SEGMENT_BYTES
                            : s->part == 1 ? s->records_len
                                           : s->data[s->i].seg.len;
        size_t now = part_len - s->off < n ? (size_t)(part_len - s->off) : n;
        if (s->part == 0) {
            take_segments(s, out, now);
        } else if (now) {
            memcpy(out, (s->part == 1 ? s->records : s->data[s->i].bytes) + s->off, now);
            s->off += now;
        }
        out += now;
        n -= now;
        if (s->off == part_len && s->part < 2)
            next_part(s);
        else if (s->off == part_len) {
            s->i++;
            s->off = 0;
        }
    }
}

/* Build the entry at lsn in staging. Returns its blocks. */
static uint32_t build_entry(struct ring *r, struct stream *s, const struct ring_txg *t, uint64_t lsn, uint32_t part, uint64_t *chain)
{
    uint64_t cap = ring_payload_cap(RING_ENTRY_BLOCKS);
    uint64_t payload = s->left < cap ? s->left : cap;
    uint32_t blocks = ring_entry_blocks(payload);
    uint8_t *b = r->staging;
    size_t head = ring_payload_off(blocks);
    size_t first = payload < OFF_ENTRY_SUM - head ? (size_t)payload : OFF_ENTRY_SUM - head;
    bool last = payload == s->left;
    memset(b, 0, head);
    take(s, b + head, first);
    memset(b + head + first, 0, BLOCK_SIZE - head - first);
    take(s, b + BLOCK_SIZE, (size_t)payload - first);
    memset(b + BLOCK_SIZE + (payload - first), 0, (size_t)(blocks - 1) * BLOCK_SIZE - (size_t)(payload - first));
    struct ring_entry e = { .epoch = t->epoch, .txg = t->txg, .lsn = lsn, .tail = r->tail, .previous = *chain, .time_ns = t->time_ns,
                            .blocks = blocks, .part = part, .flags = t->flags | (last ? RING_LAST : 0), .n_segments = s->n_data,
                            .records_len = s->records_len, .data_len = t->data_len, .payload = payload, .base_epoch = t->base_epoch,
                            .base_txg = t->base_txg, .base_chain = t->base_chain };
    for (uint32_t i = 1; i < blocks; i++)
        le64_put(b + OFF_BLOCK_SUMS + 8 * (i - 1), ring_block_sum(r, lsn + i, b + (size_t)i * BLOCK_SIZE));
    *chain = ring_entry_encode(r, &e, b);
    return blocks;
}

static int write_txg(struct ring *r, int c, struct ring_txg *t, const struct ring_data *data, uint32_t n_data, const uint8_t *records,
                     uint64_t records_len)
{
    struct stream s = { .data = data, .n_data = n_data, .records = records, .records_len = records_len };
    s.left = (uint64_t)n_data * RING_SEGMENT_BYTES + records_len + t->data_len;
    s.part = n_data ? 0 : records_len ? 1 : 2;
    uint64_t lsn = r->end, chain = r->chain;
    uint32_t part = 0;
    do {
        uint32_t n = build_entry(r, &s, t, lsn, part++, &chain);
        int e = write_blocks(r, c, r->staging, n, lsn);
        if (e)
            return e;
        r->bytes_written += (uint64_t)n * BLOCK_SIZE;
        lsn += n;
    } while (s.left);
    t->lsn = r->end;
    t->blocks = lsn - r->end;
    t->chain = chain;
    return r->file[c]->ops->datasync(r->file[c]);
}

/*
 * journal.0 has just failed, and the mirror goes on in its place: it gets what it lacks of journal.0 while that can still be read, so that
 * nothing committed is left in the copy that failed alone. Synced with the txg that follows.
 */
static void catch_up(struct ring *r)
{
    uint64_t lsn = r->mirrored > r->kept ? r->mirrored : r->kept;
    for (; r->file[0] && r->file[1] && lsn < r->end; lsn++) {
        uint64_t at = lsn % r->blocks * BLOCK_SIZE;
        if (r->file[0]->ops->pread(r->file[0], r->staging, BLOCK_SIZE, at) == 0)
            bfile_pwrite(r->file[1], r->staging, BLOCK_SIZE, at);
    }
}

int ring_append(struct ring *r, struct ring_txg *t, const struct ring_data *data, uint32_t n_data, const uint8_t *records,
                uint64_t records_len)
{
    t->data_len = 0;
    for (uint32_t i = 0; i < n_data; i++)
        t->data_len += data[i].seg.len;
    t->n_segments = n_data;
    t->records_len = records_len;
    if (ring_blocks_for(n_data, records_len, t->data_len) > ring_free_blocks(r))
        return -HOLO_ERINGFULL;
    uint64_t tail = r->tail;
    int error = -EIO;
    for (int c = 0; c < RING_COPIES; c++) {
        if (r->failed & (1u << c))
            continue;
        if (c > 0 && !r->caught_up)
            catch_up(r);
        r->caught_up = c > 0;
        t->flags = c > 0 ? t->flags | RING_MIRROR_FIRST : t->flags & ~(uint32_t)RING_MIRROR_FIRST;
        error = write_txg(r, c, t, data, n_data, records, records_len);
        if (error) {
            r->failed |= 1u << c;
            continue;
        }
        t->flags |= RING_LAST;
        r->chain = t->chain;
        r->kept = tail;
        r->end = t->lsn + t->blocks;
        return 0;
    }
    return error;
}

/* Copy n blocks that do not wrap around. The copy that fails is marked. */
static int mirror_blocks(struct ring *r, uint64_t lsn, uint64_t n)
{
    uint64_t at = lsn % r->blocks * BLOCK_SIZE;
    size_t bytes = (size_t)n * BLOCK_SIZE;
    int e = r->file[0]->ops->pread(r->file[0], r->mirror_buf, bytes, at);
    if (e) {
        r->failed |= 1u;
        return e;
    }
    e = bfile_pwrite(r->file[1], r->mirror_buf, bytes, at);
    if (e)
        r->failed |= 2u;
    return e;
}

int64_t ring_mirror(struct ring *r)
{
    uint64_t end = r->end;
    uint64_t tail = r->tail;
    if (r->mirrored < tail)
        r->mirrored = tail;
    if (r->failed || !r->file[1] || r->mirrored == end)
        return 0;
    int64_t copied = 0;
    for (uint64_t lsn = r->mirrored; lsn < end;) {
        uint64_t at = lsn % r->blocks;
        uint64_t n = end - lsn;
        n = n < RING_ENTRY_BLOCKS ? n : RING_ENTRY_BLOCKS;
        n = n < r->blocks - at ? n : r->blocks - at;
        int e = mirror_blocks(r, lsn, n);
        if (e)
            return e;
        lsn += n;
        copied += (int64_t)n;
    }
    int e = r->file[1]->ops->datasync(r->file[1]);
    if (e) {
        r->failed |= 2u;
        return e;
    }
    r->mirrored = end;
    return copied;
}
