/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.c: the open transaction group.
 *
 * Invariants (LOG held): sequence numbers in open.records ascend; open.number > committed_txg; every extent in
 * a record of the open txg lies within one of its segments.
 */
#include "core/log.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/cache.h"
#include "core/clean.h"
#include "core/head.h"

/* An open txg of this size is committed at once, and writers wait for it. */
enum { OPEN_RECORDS_MAX = 8 << 20, OPEN_SEGMENTS_MAX = 200000 };

/* How often room is looked at; bytes that the database and its log take for a byte of records. */
enum { LOOK_EVERY = 32, INDEX_GROWTH = 6 };

static size_t open_records_max(const struct holofs *fs)
{
    size_t limit = (size_t)fs->sb.ring_blocks * BLOCK_SIZE / 16, half = (size_t)fs->sb.nmax * BLOCK_SIZE / 2;
    limit = half < limit ? half : limit; /* so that a txg fits into one container of the metadata log */
    return limit < OPEN_RECORDS_MAX ? limit : OPEN_RECORDS_MAX;
}

bool log_is_half_full(const struct holofs *fs)
{
    return fs->open.records.len > open_records_max(fs) / 2;
}

int log_writable(const struct holofs *fs)
{
    if (fs->read_only)
        return -EROFS;
    return atomic_load_explicit(&fs->failed, memory_order_relaxed);
}

/* Whoever waits for the sealer or the indexer looks at `failed` before: under their locks, so that nobody sleeps through it. */
static void wake_waiting(struct holofs *fs)
{
    mutex_lock(&fs->head_lock);
    pthread_cond_broadcast(&fs->head_cond);
    mutex_unlock(&fs->head_lock);
    mutex_lock(&fs->indexer_lock);
    pthread_cond_broadcast(&fs->applied_cond);
    mutex_unlock(&fs->indexer_lock);
}

void fs_fail(struct holofs *fs, int error, const char *what)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&fs->failed, &none, error))
        return;
    event_add(fs, "store_failed", "s:s, s:s", "what", what, "error", holo_strerror(error));
    log_err("%s: %s: nothing is written any more; what was synced is safe", what, holo_strerror(error));
    wake_waiting(fs);
}

static int add_segment(struct txg *t, const struct extent *e)
{
    if (t->n_seg) {
        struct ring_segment *last = &t->seg[t->n_seg - 1];
        if (last->container == e->container && last->off + last->len == e->coff && last->len < (1u << 30)) {
            last->len += e->stored;
            return 0;
        }
    }
    if (t->n_seg == t->cap_seg) {
        size_t cap = t->cap_seg ? t->cap_seg * 2 : 64;
        struct ring_segment *s = realloc(t->seg, cap * sizeof(*s));
        if (!s)
            return -ENOMEM;
        t->seg = s;
        t->cap_seg = cap;
    }
    t->seg[t->n_seg++] = (struct ring_segment){ .container = e->container, .len = e->stored, .off = e->coff };
    return 0;
}

int log_append(struct holofs *fs, uint8_t *record, size_t len, const struct extent *ext, size_t n_ext, uint64_t *txg, uint64_t *seq)
{
    int e = log_writable(fs);
    if (e)
        return e;
    if (len == 0)
        return -EOVERFLOW;
    mutex_lock(&fs->log_lock);
    struct txg *t = &fs->open;
    size_t n_seg = t->n_seg;
    uint32_t last_len = n_seg ? t->seg[n_seg - 1].len : 0;
    for (size_t i = 0; i < n_ext && !e; i++)
        e = add_segment(t, &ext[i]);
    rec_set_seq(record, fs->next_seq);
    if (!e)
        e = buf_add(&t->records, record, len);
    if (e) {
        t->n_seg = n_seg;
        if (n_seg)
            t->seg[n_seg - 1].len = last_len;
        mutex_unlock(&fs->log_lock);
        return e;
    }
    t->n_records++;
    if (t->opened_ns == 0)
        t->opened_ns = clock_mono_ns();
    if (txg)
        *txg = t->number;
    if (seq)
        *seq = fs->next_seq;
    fs->next_seq++;
    bool much = log_is_half_full(fs);
    mutex_unlock(&fs->log_lock);
    if (much)
        commit_wake(fs);
    return 0;
}

uint64_t log_open_txg(struct holofs *fs)
{
    mutex_lock(&fs->log_lock);
    uint64_t n = fs->open.number;
    mutex_unlock(&fs->log_lock);
    return n;
}

bool holofs_is_congested(struct holofs *fs)
{
    mutex_lock(&fs->log_lock);
    bool full = fs->open.records.len > open_records_max(fs) / 4 * 3 || fs->open.n_seg > OPEN_SEGMENTS_MAX / 4 * 3;
    mutex_unlock(&fs->log_lock);
    return full || fs->n_sealing >= SEALING_MAX || fs->clean.pressed;
}

/* Let the index take in all there is: what it needed for that is no guess any more. */
static int index_catch_up(struct holofs *fs)
{
    int e = commit_txg(fs, log_open_txg(fs));
    if (!e)
        indexer_wait(fs, fs->committed_txg, false);
    return e;
}

int log_throttle(struct holofs *fs)
{
    int e = log_writable(fs);
    cache_relieve(fs);
    if (!e && cache_wants_applying(fs)) {
        e = index_catch_up(fs);
        cache_applied(fs);
    }
    if (e)
        return e;
    mutex_lock(&fs->log_lock);
    bool full = fs->open.records.len > open_records_max(fs) || fs->open.n_seg > OPEN_SEGMENTS_MAX;
    uint64_t n = fs->open.number;
    mutex_unlock(&fs->log_lock);
    return full ? commit_txg(fs, n) : 0;
}

/* Records that the index has not taken in yet. */
static uint64_t index_backlog(struct holofs *fs)
{
    mutex_lock(&fs->log_lock);
    uint64_t n = fs->open.records.len;
    mutex_unlock(&fs->log_lock);
    mutex_lock(&fs->indexer_lock);
    n += fs->done_bytes;
    mutex_unlock(&fs->indexer_lock);
    return n;
}

/* Does metadata lack its room? Looks again after the index has caught up, if that may make the difference. */
static int look_for_room(struct holofs *fs)
{
    struct backing_space s;
    int e = fs->backing->ops->space(fs->backing, &s);
    if (e)
        return e;
    uint64_t need = space_of_growth(fs, &s);
    if (s.free_bytes >= need && s.free_bytes - need < INDEX_GROWTH * index_backlog(fs)) {
        e = index_catch_up(fs);
        if (!e)
            e = fs->backing->ops->space(fs->backing, &s);
        if (e)
            return e;
    }
    fs->tight = s.free_bytes < need;
    return fs->tight ? -ENOSPC : 0;
}

int log_grow(struct holofs *fs)
{
    uint64_t waited = 0;
    int e = log_throttle(fs);
    if (e || (!fs->tight && fs->grown++ % LOOK_EVERY))
        return e;
    do
        e = look_for_room(fs);
    while (e == -ENOSPC && clean_wait_for_room(fs, &waited) == 0);
    if (waited)
        clean_waited(fs, waited);
    return e;
}
