/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * indexer.c: the thread that applies committed txgs to the index, in order.
 *
 * Invariants: applied_txg only grows, and only after the sqlite commit; objects in memory whose changes are
 * newer than applied_txg are never evicted, so whoever misses memory finds the truth in the index.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/head.h"
#include "core/log.h"

enum { QUEUE_MAX_BYTES = 64 << 20, BATCH_BYTES = 8 << 20 };

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
    while (fs->done_bytes > QUEUE_MAX_BYTES && !fs->failed)
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
    while ((durable ? fs->index_durable_txg : fs->applied_txg) < txg && !fs->failed)
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

static int apply_batch(struct holofs *fs, struct applier *a, const struct txg_done *d, uint64_t *last)
{
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

void *indexer_main(void *arg)
{
    struct holofs *fs = arg;
    struct applier *a = applier_create(fs);
    uint64_t checkpoint_ns = clock_mono_ns();
    mutex_lock(&fs->indexer_lock);
    while (a) {
        struct txg_done *batch = take_batch(fs);
        if (!batch && fs->indexer_stop)
            break;
        if (!batch && !checkpoint_due(fs, checkpoint_ns)) {
            mutex_timedwait(&fs->indexer_lock, &fs->indexer_wake, 1000000000u);
            if (!fs->done_first && fs->checkpoint_txg <= fs->index_durable_txg)
                continue;
        }
        mutex_unlock(&fs->indexer_lock);
        uint64_t last = 0;
        int e = batch ? apply_batch(fs, a, batch, &last) : 0;
        if (batch && e == -ENOSPC && release_reserve(fs))
            e = apply_batch(fs, a, batch, &last);
        if (!e && batch)
            set_applied(fs, last);
        if (!e && checkpoint_due(fs, checkpoint_ns)) {
            e = meta_checkpoint(fs->index);
            if (e == -ENOSPC && release_reserve(fs))
                e = meta_checkpoint(fs->index);
            checkpoint_ns = clock_mono_ns();
            if (!e)
                fs->index_durable_txg = fs->applied_txg;
        }
        if (e)
            fs_fail(fs, e, "index");
        mutex_lock(&fs->indexer_lock);
        free_batch(fs, batch);
        pthread_cond_broadcast(&fs->applied_cond);
        if (e && fs->indexer_stop)
            break;
    }
    mutex_unlock(&fs->indexer_lock);
    applier_destroy(a);
    return NULL;
}
