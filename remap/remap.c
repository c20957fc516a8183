/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remap.c: bad block → spare block: the policy, and the spare files.
 *
 * Order of an add: the spare block written, synced, read back past the cache, and meanwhile the entry durable in three copies; then in the
 * other two; then it counts. After a crash in between an entry may name a spare block that has not its bytes: its checksum says so, and
 * the block comes from parity, as before. A block that has a spare block already keeps it until the next one is written: first that, then
 * the entry. A spare block that fails is passed over, and recorded as bad only once another one took the bytes:
 * when all of them fail, it is not the blocks.
 *
 * Locking: `change` serializes everything that changes the table, and is held across its syncs; lookups, reads
 * and statistics never take it.
 */
#include "remap/remap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "remap/log.h"
#include "remap/map.h"

enum { RANK_REMAP = 800, TRIES = 8, BLOCK = REMAP_BLOCK_SIZE };

struct remap_table {
    struct backing *b;
    uint8_t uuid[16];
    bool read_only;
    struct mutex change;
    struct remap_log *log;
    struct remap_map *map;
    struct bfile *spare[REMAP_SPARES_MAX];        /* for reading; NULL if it cannot be opened */
    struct bfile *spare_direct[REMAP_SPARES_MAX]; /* for writing and reading back */
    uint8_t *scratch;                             /* 2 blocks, aligned: what is written, what is read back */
};

static void spare_name(uint32_t number, char out[24])
{
    snprintf(out, 24, "spare/%04u.spare", (unsigned)number);
}

static int spare_create(struct backing *b, uint32_t number, uint32_t blocks)
{
    char name[24];
    spare_name(number, name);
    struct bfile *f;
    int rc = b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (rc)
        return rc;
    rc = f->ops->preallocate(f, (uint64_t)blocks * BLOCK);
    if (rc == 0)
        rc = f->ops->datasync(f);
    f->ops->close(f);
    return rc ? rc : b->ops->sync_dir(b, "spare");
}

int remap_format(struct backing *b, const uint8_t uuid[16], uint32_t spare_blocks)
{
    struct remap_header h = { .first = 1, .n_spares = spare_blocks > 0, .spare = { { .number = 0, .blocks = spare_blocks } } };
    int rc = spare_blocks <= REMAP_BLOCKS_MAX ? b->ops->mkdir(b, "spare") : -EFBIG;
    if (rc == 0 && spare_blocks)
        rc = spare_create(b, 0, spare_blocks);
    return rc ? rc : remap_log_format(b, uuid, &h);
}

/* Open a spare file; one that is missing is made again: what was in it is rebuilt from parity. */
static int spare_open(struct remap_table *t, const struct remap_spare *s, const char *name, struct bfile **out)
{
    int rc = t->b->ops->open(t->b, name, BACKING_READ, out);
    if (rc != -ENOENT || t->read_only)
        return rc;
    log_err("%s: missing: made anew; blocks that were remapped to it are rebuilt from parity when read", name);
    rc = t->b->ops->mkdir(t->b, "spare");
    if (rc == 0)
        rc = spare_create(t->b, s->number, s->blocks);
    return rc ? rc : t->b->ops->open(t->b, name, BACKING_READ, out);
}

/* A spare file that cannot be had is told once; the table works without it. */
static void spares_open(struct remap_table *t)
{
    const struct remap_header *h = remap_log_header(t->log);
    for (uint32_t i = 0; i < h->n_spares; i++) {
        char name[24];
        spare_name(h->spare[i].number, name);
        int rc = spare_open(t, &h->spare[i], name, &t->spare[i]);
        if (rc == 0 && !t->read_only)
            rc = t->b->ops->open(t->b, name, BACKING_WRITE | BACKING_DIRECT, &t->spare_direct[i]);
        if (rc)
            log_err("%s: %s", name, holo_strerror(rc));
    }
}

int remap_open(struct backing *b, const uint8_t uuid[16], bool read_only, struct remap_table **out)
{
    struct remap_table *t = calloc(1, sizeof(*t));
    void *scratch = NULL;
    if (!t || posix_memalign(&scratch, BLOCK, (size_t)2 * BLOCK) != 0) {
        free(t);
        return -ENOMEM;
    }
    t->scratch = scratch;
    t->b = b;
    t->read_only = read_only;
    memcpy(t->uuid, uuid, sizeof(t->uuid));
    mutex_init(&t->change, RANK_REMAP);
    int rc = remap_log_open(b, uuid, read_only, &t->log, &t->map);
    if (rc) {
        remap_close(t);
        return rc;
    }
    spares_open(t);
    *out = t;
    return 0;
}

void remap_close(struct remap_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++) {
        if (t->spare[i])
            t->spare[i]->ops->close(t->spare[i]);
        if (t->spare_direct[i])
            t->spare_direct[i]->ops->close(t->spare_direct[i]);
    }
    remap_log_close(t->log);
    remap_map_destroy(t->map);
    mutex_fini(&t->change);
    free(t->scratch);
    free(t);
}

bool remap_lookup(struct remap_table *t, uint32_t container, uint32_t file_block)
{
    return remap_map_find(t->map, container, file_block, NULL);
}

static bool place_equal(const struct remap_place *a, const struct remap_place *b)
{
    return a->spare == b->spare && a->block == b->block && a->sum == b->sum;
}

/* Bytes that fail are read again only if the block moved meanwhile. */
int remap_read(struct remap_table *t, uint32_t container, uint32_t file_block, void *buf)
{
    struct remap_place p, now;
    if (!remap_map_find(t->map, container, file_block, &p))
        return -ENOENT;
    for (;;) {
        struct bfile *f = t->spare[p.spare];
        int rc = f ? f->ops->pread(f, buf, BLOCK, (uint64_t)p.block * BLOCK) : -EIO;
        if (rc == 0 && remap_block_sum(t->uuid, container, file_block, buf) == p.sum)
            return 0;
        if (!remap_map_find(t->map, container, file_block, &now))
            return -ENOENT;
        if (place_equal(&p, &now))
            return -EIO;
        p = now;
    }
}

/* A spare block that is being written. */
struct filling {
    struct remap_table *t;
    struct remap_place p;
    const void *buf;
    int rc;
};

/* Write, sync, read back past the cache (change held by who waits for this). */
static int spare_write(void *arg)
{
    struct filling *x = arg;
    struct remap_table *t = x->t;
    struct bfile *f = t->spare_direct[x->p.spare];
    uint64_t off = (uint64_t)x->p.block * BLOCK;
    memcpy(t->scratch, x->buf, BLOCK);
    int rc = f ? bfile_pwrite(f, t->scratch, BLOCK, off) : -EIO;
    if (rc == 0)
        rc = f->ops->datasync(f);
    if (rc == 0)
        rc = f->ops->pread(f, t->scratch + BLOCK, BLOCK, off);
    if (rc == 0 && memcmp(t->scratch, t->scratch + BLOCK, BLOCK) != 0)
        rc = -HOLO_ESUM;
    x->rc = rc;
    return rc;
}

static int log_rewrite_locked(struct remap_table *t)
{
    struct remap_entry *e;
    size_t n;
    int rc = remap_map_entries(t->map, &e, &n);
    if (rc)
        return rc;
    rc = remap_log_rewrite(t->log, e, n);
    free(e);
    return rc;
}

static int log_append_locked(struct remap_table *t, struct remap_entry *e, size_t n, struct filling *x)
{
    struct remap_counts c;
    remap_map_counts(t->map, &c);
    int rc = remap_log_wants_rewrite(t->log, c.remaps + c.bad) ? log_rewrite_locked(t) : 0;
    return rc ? rc : remap_log_append(t->log, e, n, x ? spare_write : NULL, x);
}

/* A copy whose write or sync failed is replaced by a new file before the second try. Not when it is the spare block (x) that fails. */
static int commit_locked(struct remap_table *t, struct remap_entry *e, size_t n, struct filling *x)
{
    int rc = log_append_locked(t, e, n, x);
    if (rc && !(x && x->rc))
        rc = log_append_locked(t, e, n, x);
    for (size_t i = 0; i < n && rc == 0; i++)
        remap_map_apply(t->map, &e[i]);
    return rc;
}

/* Try spare blocks until one takes the bytes; entries: the blocks that did not, then the add. */
static int fill_and_commit(struct remap_table *t, const struct remap_entry *add, const void *buf)
{
    struct remap_entry e[TRIES];
    struct remap_counts c;
    bool again = remap_map_find(t->map, add->container, add->file_block, NULL);
    remap_map_counts(t->map, &c);
    uint64_t n_free = c.blocks - c.used - c.bad;
    int rc = -HOLO_EREMAPFULL;
    for (size_t n = 0; n < TRIES && n < n_free; n++) {
        struct filling x = { .t = t, .buf = buf };
        if (!remap_map_next_free(t->map, &x.p))
            break;
        e[n] = *add;
        e[n].spare = remap_log_header(t->log)->spare[x.p.spare].number;
        e[n].spare_block = x.p.block;
        rc = again ? spare_write(&x) : 0;
        if (rc == 0)
            rc = commit_locked(t, e, n + 1, again ? NULL : &x);
        if (rc == 0 || !x.rc)
            break;
        e[n].kind = REMAP_SPARE_BAD;
        log_warn("spare %04u block %u is bad: %s", (unsigned)e[n].spare, (unsigned)x.p.block, holo_strerror(rc));
    }
    return rc;
}

static int add_locked(struct remap_table *t, uint32_t container, uint32_t file_block, const void *buf)
{
    const struct remap_entry add = { .kind = REMAP_ADD, .container = container, .file_block = file_block,
                                     .sum = remap_block_sum(t->uuid, container, file_block, buf) };
    int rc = remap_map_reserve(t->map);
    return rc ? rc : fill_and_commit(t, &add, buf);
}

int remap_add(struct remap_table *t, uint32_t container, uint32_t file_block, const void *buf)
{
    if (t->read_only)
        return -EROFS;
    mutex_lock(&t->change);
    int rc = add_locked(t, container, file_block, buf);
    mutex_unlock(&t->change);
    return rc;
}

static int check_locked(struct remap_table *t, unsigned *bad)
{
    int rc = remap_log_check(t->log, bad);
    if (rc || t->read_only || (!*bad && !remap_log_broken(t->log)))
        return rc;
    rc = log_rewrite_locked(t);
    if (rc == 0)
        remap_log_count_repaired(t->log, (unsigned)__builtin_popcount(*bad));
    return rc;
}

int remap_check(struct remap_table *t, unsigned *bad)
{
    mutex_lock(&t->change);
    int rc = check_locked(t, bad);
    mutex_unlock(&t->change);
    return rc;
}

/* The callback runs over a copy, without a lock. */
int remap_each(struct remap_table *t, int (*cb)(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block),
               void *arg)
{
    struct remap_entry *e;
    size_t n;
    int rc = remap_map_entries(t->map, &e, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (e[i].kind == REMAP_ADD)
            rc = cb(arg, e[i].container, e[i].file_block, e[i].spare, e[i].spare_block);
    free(e);
    return rc;
}

int remap_drop_container(struct remap_table *t, uint32_t container)
{
    if (t->read_only)
        return -EROFS;
    mutex_lock(&t->change);
    int rc = 0;
    if (remap_map_has(t->map, container)) {
        struct remap_entry e = { .kind = REMAP_DROP_CONTAINER, .container = container };
        rc = commit_locked(t, &e, 1, NULL);
    }
    mutex_unlock(&t->change);
    return rc;
}

void remap_stats(struct remap_table *t, struct remap_stats *out)
{
    struct remap_counts c;
    remap_map_counts(t->map, &c);
    *out = (struct remap_stats){
        .remaps = c.remaps,
        .spare_blocks = c.blocks,
        .spare_used = c.used,
        .spare_bad = c.bad,
        .copies_repaired = remap_log_repaired(t->log),
        .sequence = remap_log_sequence(t->log),
        .broken = remap_log_broken(t->log),
    };
}
