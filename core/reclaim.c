/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reclaim.c: delete containers: dead record durable first, then the file.
 *
 * A data container without live bytes in the applied state can only be dead: extents that refer to it were all logged by its
 * sealed_txg, which is applied. (The cleaner logs moves into its containers after they are sealed, and sets sealed_txg last.)
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/big.h"
#include "core/cache.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/dump.h"
#include "core/log.h"
#include "core/open.h"
#include "core/remapper.h"

static uint64_t less(uint64_t sum, uint64_t n)
{
    return sum > n ? sum - n : 0;
}

static void unlink_file(struct holofs *fs, uint32_t id, bool metadata)
{
    char name[CONTAINER_NAME_MAX];
    struct bfile *f;
    uint64_t size = 0;
    container_name(id, name);
    if (fs->backing->ops->open(fs->backing, name, BACKING_READ, &f) == 0) {
        f->ops->size(f, &size);
        f->ops->close(f);
    }
    int e = container_unlink(fs, id);
    if (e) {
        log_warn("container %08x: cannot be deleted: %s", id, holo_strerror(e));
        return;
    }
    mutex_lock(&fs->head_lock);
    fs->container_file_bytes = less(fs->container_file_bytes, size);
    if (metadata)
        fs->meta_file_bytes = less(fs->meta_file_bytes, size);
    mutex_unlock(&fs->head_lock);
    fs->clean.deleted_bytes += size;
    COUNT(fs, containers_deleted, 1);
}

int containers_delete(struct holofs *fs, const uint32_t *ids, size_t n)
{
    uint64_t txg = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t space[128];
        struct rec r;
        struct container *c = ctab_find(fs, ids[i]);
        struct container_info info = { .id = ids[i], .cls = c->cls, .state = CONTAINER_DEAD, .r = c->r };
        rec_begin(&r, space, sizeof(space), REC_CONTAINER, clock_real_ns());
        rec_container(&r, &info);
        int e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
        if (e)
            return e;
    }
    int e = commit_txg(fs, txg);
    if (e)
        return e;
    indexer_wait(fs, txg, false);
    if (!is_applied(fs, txg))
        return trouble_now(fs, TROUBLE_INDEX);
    for (size_t i = 0; i < n; i++) {
        const struct container *c = ctab_find(fs, ids[i]);
        bool metadata = c && c->cls != CLASS_DATA;
        ctab_remove(fs, ids[i]);
        unlink_file(fs, ids[i], metadata);
        remap_drop_container(fs->remap, ids[i]);
    }
    return fs->failed;
}

struct dead {
    struct holofs *fs;
    uint32_t ids[256];
    size_t n;
};

static int find_dead(void *arg, uint32_t id)
{
    struct dead *d = arg;
    struct container *c = ctab_find(d->fs, id);
    if (c && c->cls == CLASS_DATA && c->state == CONTAINER_SEALED && c->live == 0 && is_applied(d->fs, c->sealed_txg) &&
        !atomic_exchange(&c->deleting, true))
        d->ids[d->n++] = id;
    return d->n == sizeof(d->ids) / sizeof(d->ids[0]);
}

int reclaim_run(struct holofs *fs)
{
    struct dead d = { .fs = fs };
    if (log_writable(fs))
        return log_writable(fs);
    ctab_each(fs, find_dead, &d);
    int e = d.n ? containers_delete(fs, d.ids, d.n) : 0;
    for (size_t i = 0; i < d.n && e; i++) { /* once more later */
        struct container *c = ctab_find(fs, d.ids[i]);
        if (c)
            c->deleting = false;
    }
    return e;
}

/* Counts of damage last for ever: they go into the superblocks soon after they moved. */
static void keep_counts(struct holofs *fs)
{
    mutex_lock(&fs->super_lock);
    bool moved = fs->sb.ever_repaired != fs->before.repaired + fs->count.repaired_blocks ||
                 fs->sb.ever_remapped != fs->before.remapped + fs->count.remapped_blocks ||
                 fs->sb.ever_lost != fs->before.lost + fs->count.lost_blocks;
    mutex_unlock(&fs->super_lock);
    if (moved)
        super_update(fs, false);
}

void *housekeeper_main(void *arg)
{
    struct holofs *fs = arg;
    while (!fs->stopping) {
        mutex_lock(&fs->wake_lock);
        if (!fs->stopping)
            mutex_timedwait(&fs->wake_lock, &fs->wake_cond, 1000000000u);
        mutex_unlock(&fs->wake_lock);
        cache_shrink(fs);
        big_trim(fs, BIG_IDLE_NS);
        if (fs->stopping || log_writable(fs))
            continue;
        reclaim_run(fs);
        keep_counts(fs);
        remapper_check_if_due(fs);
        refill_reserve(fs);
        dump_run_if_due(fs);
    }
    return NULL;
}
