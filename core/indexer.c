/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * indexer.c: the thread that applies committed txgs to the index, in order.
 *
 * Invariants: applied_txg only grows, and only after the sqlite commit; objects in memory whose changes are
 * newer than applied_txg are never evicted, so whoever misses memory finds the truth in the index.
 */
#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/head.h"
#include "core/log.h"
#include "core/lost.h"

enum { QUEUE_MIN_BYTES = 8 << 20, BATCH_BYTES = 8 << 20 };

/* Bytes of records that wait; what they change is pinned in memory besides. */
static uint64_t queue_max(const struct holofs *fs)
{
    uint64_t limit = fs->opt.cache_bytes / 4;
    return limit > QUEUE_MIN_BYTES ? limit : QUEUE_MIN_BYTES;
}

int indexer_enqueue(struct holofs *fs, const struct ring_txg *t, struct buf *records, uint32_t n_records)
{
    struct txg_done *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->epoch = t->epoch;
    d->txg = t->txg;
    d->chain = t->chain;
    d->time_ns = t->time_ns;
    d->bytes = t->blocks * BLOCK_SIZE;
    d->n_records = n_records;
    d->records = *records;
    *records = (struct buf){ 0 };
    mutex_lock(&fs->indexer_lock);
    while (fs->done_bytes > queue_max(fs) && !trouble_now(fs, TROUBLE_INDEX))
        mutex_wait(&fs->indexer_lock, &fs->applied_cond);
    *fs->done_last = d;
    fs->done_last = &d->next;
    fs->done_bytes += d->records.len;
    pthread_cond_signal(&fs->indexer_wake);
    mutex_unlock(&fs->indexer_lock);
    return 0;
}

void indexer_wait(struct holofs *fs, uint64_t txg, bool durable)
{
    mutex_lock(&fs->indexer_lock);
    if (durable && fs->checkpoint_txg < txg)
        fs->checkpoint_txg = txg;
    pthread_cond_signal(&fs->indexer_wake);
    while ((durable ? fs->index_durable_txg : fs->applied_txg) < txg && !trouble_now(fs, TROUBLE_INDEX))
        mutex_wait(&fs->indexer_lock, &fs->applied_cond);
    mutex_unlock(&fs->indexer_lock);
}

/* Take a batch off the queue (INDEXER held). */
static struct txg_done *take_batch(struct holofs *fs)
{
    struct txg_done *first = fs->done_first, *d = first;
    size_t bytes = 0;
    struct txg_done **cut = &fs->done_first;
    while (d && bytes < BATCH_BYTES) {
        bytes += d->records.len;
        cut = &d->next;
        d = d->next;
    }
    fs->done_first = d;
    if (!d)
        fs->done_last = &fs->done_first;
    if (first)
        *cut = NULL;
    return first;
}

static void free_batch(struct holofs *fs, struct txg_done *d)
{
    while (d) {
        struct txg_done *next = d->next;
        fs->done_bytes -= d->records.len;
        buf_fini(&d->records);
        free(d);
        d = next;
    }
}

void indexer_fini(struct holofs *fs)
{
    free_batch(fs, fs->done_first);
    fs->done_first = NULL;
}

static int apply_batch(struct holofs *fs, struct applier *a, const struct txg_done *d, uint64_t *last)
{
    const struct meta_state before = fs->state;
    int e = meta_begin(fs->index);
    if (e)
        return e;
    for (; d && !e; d = d->next) {
        e = apply_records(a, d->txg, d->records.p, d->records.len);
        if (!e)
            e = meta_txg_put(fs->index, d->txg, d->epoch, d->chain, d->time_ns, d->n_records, d->bytes);
        fs->state.txg = *last = d->txg;
        fs->state.epoch = d->epoch;
        fs->state.txg_hash = d->chain;
    }
    if (!e)
        e = apply_flush(a);
    if (!e)
        e = meta_commit(fs->index, &fs->state);
    if (e) {
        apply_reset(a);
        meta_rollback(fs->index);
        fs->state = before;
    }
    return e;
}

static bool checkpoint_due(const struct holofs *fs, uint64_t last_ns)
{
    uint64_t applied = fs->applied_txg, durable = fs->index_durable_txg;
    if (applied == durable)
        return false;
    if (fs->checkpoint_txg > durable && fs->checkpoint_txg <= applied)
        return true;
    return clock_mono_ns() - last_ns > 20000000000u || ring_used_blocks(fs->ring) > fs->sb.ring_blocks / 3;
}

static void set_applied(struct holofs *fs, uint64_t txg)
{
    atomic_store_explicit(&fs->applied_txg, txg, memory_order_release);
}

/*
 * A sync of the index failed: what it holds on the medium cannot be known any more, and syncing again would only claim it. So it gets
 * another name, under which it serves until the end of this mount; the next one finds none and builds it from the log, which has all.
 */
static int retire(struct holofs *fs)
{
    if (!meta_sync_failed(fs->index))
        return 0;
    int e = meta_retire(fs->index);
    if (!e && !fs->index_retired) {
        fs->index_retired = true;
        event_add(fs, "index_retired", "s:s", "why", "a sync of it failed; the next mount builds it anew");
    }
    return e;
}

static int checkpoint(struct holofs *fs)
{
    int e = meta_checkpoint(fs->index);
    if (disk_is_full(e) && release_reserve(fs))
        e = meta_checkpoint(fs->index);
    int r = retire(fs);
    if (fs->index_retired && !r) /* nothing depends on it any more */
        e = 0;
    if (!e)
        fs->index_durable_txg = fs->applied_txg;
    return e;
}

/* On a full disk a checkpoint comes first: the WAL's space is used again then. */
static int apply(struct holofs *fs, struct applier *a, const struct txg_done *batch)
{
    uint64_t last = 0;
    int e = apply_batch(fs, a, batch, &last);
    if (disk_is_full(e) && checkpoint(fs) == 0)
        e = apply_batch(fs, a, batch, &last);
    if (disk_is_full(e) && release_reserve(fs))
        e = apply_batch(fs, a, batch, &last);
    if (!e)
        set_applied(fs, last);
    return e;
}

/* An index that says that it is damaged may lie on a disk that is not there just now: it is tried again, and the next mount verifies it. */
static void tell(struct holofs *fs, int e)
{
    bool bad = e == -HOLO_ESUM || e == -HOLO_ECORRUPT;
    if (bad && disk_answers(fs) && !atomic_exchange(&fs->index_damaged, true))
        event_add(fs, "index_damaged", "s:s", "error", holo_strerror(e));
    if (!e)
        trouble_end(fs, TROUBLE_INDEX);
    else
        trouble_begin(fs, TROUBLE_INDEX, e);
}

void *indexer_main(void *arg)
{
    struct holofs *fs = arg;
    struct applier *a = applier_create(fs);
    struct txg_done *batch = NULL;
    uint64_t checkpoint_ns = clock_mono_ns();
    mutex_lock(&fs->indexer_lock);
    while (a) {
        if (!batch)
            batch = take_batch(fs);
        if (!batch && fs->indexer_stop)
            break;
        if (!batch && !checkpoint_due(fs, checkpoint_ns)) {
            mutex_timedwait(&fs->indexer_lock, &fs->indexer_wake, 1000000000u);
            if (!fs->done_first && fs->checkpoint_txg <= fs->index_durable_txg)
                continue;
        }
        mutex_unlock(&fs->indexer_lock);
        int e = fs->failed ? fs->failed : batch ? apply(fs, a, batch) : 0;
        bool applied = !e;
        if (!e && checkpoint_due(fs, checkpoint_ns)) {
            e = checkpoint(fs);
            fs->index_sum_bytes = meta_sums_bytes(fs->index);
            checkpoint_ns = clock_mono_ns();
        }
        tell(fs, e);
        mutex_lock(&fs->indexer_lock);
        if (applied || fs->failed) {
            free_batch(fs, batch);
            batch = NULL;
        }
        pthread_cond_broadcast(&fs->applied_cond);
        if (e && fs->indexer_stop)
            break;
        if (e)
            mutex_timedwait(&fs->indexer_lock, &fs->indexer_wake, TROUBLE_RETRY_NS);
    }
    free_batch(fs, batch);
    mutex_unlock(&fs->indexer_lock);
    applier_destroy(a);
    return NULL;
}
