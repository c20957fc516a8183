/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inspect_ring.c: one copy of the ring, as it is in the file: its entries in order of lsn, and what became of each.
 *
 *   live   the log: from the tail of the newest committed transaction in this file to its end
 *   old    before that: not needed any more, and written over by and by
 *   behind after it: begun and not committed, or of another epoch
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "core/inspect_private.h"
#include "store/ring.h"

struct look {
    struct inspect *in;
    int fd;
    uint32_t blocks;     /* of the ring */
    const uint8_t *uuid; /* NULL: not known */
    uint8_t *buf;        /* an entry */
    struct ring_look *v;
    size_t n, cap;
    uint64_t tail, end;  /* of what is live; equal: nothing is */
    struct buf stream;   /* of the txg whose parts are being read */
    uint64_t stream_txg, stream_next;
};

static int add(struct look *l, const struct ring_look *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct ring_look *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *e;
    return 0;
}

/* All that looks like an entry; with a uuid, all that is one. */
static int collect(struct look *l)
{
    int e = 0;
    for (uint32_t at = 0; at < l->blocks && !e; at += RING_ENTRY_BLOCKS) {
        uint32_t n = l->blocks - at < RING_ENTRY_BLOCKS ? l->blocks - at : RING_ENTRY_BLOCKS;
        e = inspect_read(l->in, l->fd, (uint64_t)at * BLOCK_SIZE, l->buf, (size_t)n * BLOCK_SIZE);
        for (uint32_t i = 0; i < n && !e; i++) {
            struct ring_look found;
            if (ring_look_entry(l->uuid, l->blocks, at + i, l->buf + (size_t)i * BLOCK_SIZE, &found) && (found.sum_right || !l->uuid))
                e = add(l, &found);
        }
    }
    return e;
}

static int by_lsn(const void *pa, const void *pb)
{
    const struct ring_look *a = pa, *b = pb;
    if (a->lsn != b->lsn)
        return a->lsn < b->lsn ? -1 : 1;
    return a->epoch < b->epoch ? -1 : a->epoch > b->epoch;
}

static void find_live(struct look *l)
{
    const struct ring_look *newest = NULL;
    for (size_t i = 0; i < l->n; i++) {
        const struct ring_look *e = &l->v[i];
        if ((e->flags & RING_LAST) && (!newest || e->epoch > newest->epoch || (e->epoch == newest->epoch && e->txg > newest->txg)))
            newest = e;
    }
    l->tail = newest ? newest->tail : 0;
    l->end = newest ? newest->lsn + newest->blocks : 0;
}

/* Read an entry into buf; how many of its blocks are not what its first one says. */
static int read_entry(struct look *l, const struct ring_look *e, uint32_t *bad)
{
    int r = 0;
    *bad = 0;
    for (uint32_t i = 0; i < e->blocks && !r; i++)
        r = inspect_read(l->in, l->fd, (e->lsn + i) % l->blocks * BLOCK_SIZE, l->buf + (size_t)i * BLOCK_SIZE, BLOCK_SIZE);
    for (uint32_t i = 1; i < e->blocks && !r && l->uuid; i++)
        *bad += !ring_look_block(l->uuid, e, l->buf, i, l->buf + (size_t)i * BLOCK_SIZE);
    return r;
}

static int emit_entry(struct look *l, const struct ring_look *e, uint32_t bad)
{
    const char *state = e->lsn < l->tail ? "old" : e->lsn < l->end ? "live" : "behind";
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "what", "entry", "lsn", (json_int_t)e->lsn, "epoch", (json_int_t)e->epoch,
                          "txg", (json_int_t)e->txg, "part", (json_int_t)e->part, "blocks", (json_int_t)e->blocks, "state", state);
    if (o && l->uuid)
        json_object_set_new(o, "whole", json_boolean(bad == 0));
    json_t *more = json_pack("{s:b, s:b, s:b, s:b, s:f, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "last", (int)(e->flags & RING_LAST),
                             "first_of_epoch", (int)(e->flags & RING_EPOCH_FIRST), "clean", (int)(e->flags & RING_CLEAN),
                             "mirror_first", (int)(e->flags & RING_MIRROR_FIRST), "time", (double)e->time_ns / 1e9, "tail", (json_int_t)e->tail, "segments", (json_int_t)e->n_segments,
                             "record_bytes", (json_int_t)e->records_len, "data_bytes", (json_int_t)e->data_len, "payload_bytes",
                             (json_int_t)e->payload, "chain", inspect_hex(e->chain), "previous", inspect_hex(e->previous));
    if (o && more)
        json_object_update(o, more);
    json_decref(more);
    int r = inspect_emit(l->in, o);
    if (!r && bad && e->lsn >= l->tail && e->lsn < l->end)
        r = inspect_wrong(l->in, "lsn", e->lsn, "blocks of this entry are damaged in this copy");
    return r;
}

/* The parts of a txg, one behind another; its segments and records are decoded at the last. */
static int take_part(struct look *l, const struct ring_look *e, uint32_t bad)
{
    struct inspect *in = l->in;
    if (bad || (in->one_txg && e->txg != in->txg) || (!in->one_txg && (e->lsn < l->tail || e->lsn >= l->end)))
        return 0;
    if (e->part == 0) {
        l->stream.len = 0;
        l->stream_txg = e->txg;
        l->stream_next = e->lsn;
    }
    if (l->stream_txg != e->txg || l->stream_next != e->lsn)
        return 0; /* a part before it is missing, which was told */
    uint8_t *room = buf_room(&l->stream, (size_t)e->payload);
    if (!room)
        return -ENOMEM;
    ring_look_payload(e, l->buf, room);
    l->stream.len += (size_t)e->payload;
    l->stream_next = e->lsn + e->blocks;
    uint64_t from = (uint64_t)e->n_segments * RING_SEGMENT_BYTES;
    if (!(e->flags & RING_LAST))
        return 0;
    if (from + e->records_len > l->stream.len)
        return inspect_wrong(in, "txg", e->txg, "its parts are shorter than its records");
    int r = 0;
    for (uint32_t i = 0; i < e->n_segments && !r; i++) {
        struct ring_segment s;
        ring_segment_get(l->stream.p, i, &s);
        r = inspect_emit(in, json_pack("{s:s, s:I, s:I, s:I, s:I}", "what", "segment", "txg", (json_int_t)e->txg, "container",
                                       (json_int_t)s.container, "at", (json_int_t)s.off, "len", (json_int_t)s.len));
    }
    return r ? r : inspect_stream(in, l->stream.p + from, (size_t)e->records_len, e->txg);
}

static int emit_all(struct look *l)
{
    uint64_t next = l->tail;
    int r = 0;
    for (size_t i = 0; i < l->n && !r; i++) {
        const struct ring_look *e = &l->v[i];
        uint32_t bad;
        if (e->lsn >= next && e->lsn > l->tail && next < l->end && e->lsn != next)
            r = inspect_wrong(l->in, "lsn", next, "no right entry is here, and one should be");
        if (!r)
            r = read_entry(l, e, &bad);
        if (!r)
            r = emit_entry(l, e, bad);
        if (!r && l->in->records)
            r = take_part(l, e, bad);
        next = e->lsn >= l->tail ? e->lsn + e->blocks : next;
    }
    return r;
}

/* How large the ring is, and whose it is: the superblock says it, or else the file. */
static int find_shape(struct look *l, const char *file, struct superblock *sb)
{
    struct stat st;
    if (fstat(l->fd, &st))
        return -errno;
    uint64_t there = (uint64_t)st.st_size / BLOCK_SIZE;
    if (inspect_super(l->in, file, 0, sb) == 0) {
        l->uuid = sb->uuid;
        l->blocks = sb->ring_blocks;
        return there == l->blocks ? 0 : inspect_wrong(l->in, "blocks", there, "the file is not as long as the superblock says");
    }
    l->blocks = there < UINT32_MAX ? (uint32_t)there : UINT32_MAX;
    return inspect_wrong(l->in, "blocks", there, "no superblock beside it: checksums are not asked (see --store)");
}

int holofs_inspect_ring(struct inspect *in, const char *file)
{
    struct superblock sb;
    struct look l = { .in = in, .fd = open(file, O_RDONLY | O_CLOEXEC) };
    if (l.fd < 0)
        return -errno;
    l.buf = malloc((size_t)RING_ENTRY_BLOCKS * BLOCK_SIZE);
    int e = l.buf ? find_shape(&l, file, &sb) : -ENOMEM;
    if (!e)
        e = collect(&l);
    if (!e && l.n) {
        qsort(l.v, l.n, sizeof(*l.v), by_lsn);
        find_live(&l);
        e = emit_all(&l);
    }
    buf_fini(&l.stream);
    free(l.buf);
    free(l.v);
    close(l.fd);
    return e;
}
