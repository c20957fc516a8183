/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reclaim.c: delete containers: dead record durable first, then the file.
 *
 * A data container without live bytes in the applied state can only be dead: extents that refer to it were all
 * logged before it was sealed, and those txgs are applied (sealed_txg is the last of them).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/big.h"
#include "core/cache.h"
#include "core/container.h"
#include "core/dump.h"
#include "core/log.h"
#include "core/open.h"

static void unlink_file(struct holofs *fs, uint32_t id)
{
    char name[CONTAINER_NAME_MAX];
    struct bfile *f;
    uint64_t size = 0;
    container_name(id, name);
    if (fs->backing->ops->open(fs->backing, name, BACKING_READ, &f) == 0) {
        f->ops->size(f, &size);
        f->ops->close(f);
    }
    int e = fs->backing->ops->unlink(fs->backing, name);
    if (e && e != -ENOENT) {
        log_warn("container %08x: cannot be deleted: %s", id, holo_strerror(e));
        return;
    }
    mutex_lock(&fs->head_lock);
    fs->container_file_bytes -= fs->container_file_bytes < size ? fs->container_file_bytes : size;
    mutex_unlock(&fs->head_lock);
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
        ctab_remove(fs, ids[i]);
        unlink_file(fs, ids[i]);
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
    if (c && c->cls == CLASS_DATA && c->state == CONTAINER_SEALED && c->live == 0 && is_applied(d->fs, c->sealed_txg))
        d->ids[d->n++] = id;
    return d->n == sizeof(d->ids) / sizeof(d->ids[0]);
}

int reclaim_run(struct holofs *fs)
{
    struct dead d = { .fs = fs };
    if (log_writable(fs))
        return log_writable(fs);
    ctab_each(fs, find_dead, &d);
    return d.n ? containers_delete(fs, d.ids, d.n) : 0;
}

/* A new dump bounds the log: due once the log since the last one passes max(64 MiB, its size). */
static bool dump_due(struct holofs *fs)
{
    uint64_t limit = 64u << 20;
    mutex_lock(&fs->commit_lock);
    if (fs->last_dump_bytes > limit)
        limit = fs->last_dump_bytes;
    bool due = fs->meta_since_dump > limit;
    if (due)
        fs->meta_since_dump = 0;
    mutex_unlock(&fs->commit_lock);
    return due || fs->dump_wanted;
}

/* Counts of damage last for ever: they go into the superblocks soon after they moved. */
static void keep_counts(struct holofs *fs)
{
    if (fs->sb.ever_repaired != fs->before.repaired + fs->count.repaired_blocks ||
        fs->sb.ever_remapped != fs->before.remapped + fs->count.remapped_blocks ||
        fs->sb.ever_lost != fs->before.lost + fs->count.lost_blocks)
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
        if (dump_due(fs) && dump_run(fs))
            fs->dump_wanted = false;
    }
    return NULL;
}
