/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remap.c: bad block → spare block: the policy.
 *
 * Order of an add: the spare block written, synced, read back past the cache, and meanwhile the entry durable in all copies; then it counts.
 * After a crash in between an entry may name a spare block that has not its bytes: its checksum says so, and
 * the block comes from parity, as before. A block that has a spare block already keeps it until the next one is written: first that, then
 * the entry. A spare block that fails is passed over, and recorded as bad only once another one took the bytes:
 * when all of them fail, it is not the blocks. A spare file in which several in a row fail is passed over until the next check, if another one
 * took the bytes. A block that leaves a spare file which does not answer, or which is emptied, left nothing bad behind.
 *
 * Locking: `spares` serializes what adds and takes away spare files; `change`, behind it, everything that changes the table. Both are held across
 * syncs. `files` is held for reading while a spare block is read, and for writing while files are opened and closed. Lookups, reads
 * and statistics take neither of the first two.
 */
#include "remap/remap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "remap/log.h"
#include "remap/map.h"
#include "remap/spare.h"

enum { RANK_SPARES = 790, RANK_REMAP = 800, TRIES = 8, BLOCK = REMAP_BLOCK_SIZE };

struct remap_table {
    struct backing *b;
    uint8_t uuid[16];
    bool read_only;
    struct mutex spares, change;
    struct remap_log *log;
    struct remap_map *map;
    struct spare_place place;
    pthread_rwlock_t files;
    struct spare_file file[REMAP_SPARES_MAX]; /* by index of the map; files */
    _Atomic uint8_t state[REMAP_SPARES_MAX];  /* enum remap_spare_state; changes with change held */
    bool unsettled;                           /* blocks are free that the log calls bad; change */
    uint8_t *scratch;                         /* 2 blocks, aligned: what is written, what is read back */
};

int remap_format(struct backing *b, const uint8_t uuid[16], uint32_t spare_blocks)
{
    struct remap_header h = { .first = 1, .n_spares = spare_blocks > 0, .spare = { { .number = 0, .blocks = spare_blocks } } };
    const struct spare_place at = { .store = b, .uuid = uuid };
    int rc = spare_blocks <= REMAP_BLOCKS_MAX ? b->ops->mkdir(b, "spare") : -EFBIG;
    if (rc == 0 && spare_blocks)
        rc = spare_file_create(&at, &h.spare[0], "");
    return rc ? rc : remap_log_format(b, uuid, &h);
}

static void state_set(struct remap_table *t, uint32_t index, enum remap_spare_state state)
{
    t->state[index] = (uint8_t)state;
    remap_map_spare_close(t->map, index, state != REMAP_SPARE_OK);
}

static const struct remap_spare *spare_of(const struct remap_header *h, uint32_t number)
{
    for (uint32_t i = 0; i < h->n_spares; i++) {
        if (h->spare[i].number == number)
            return &h->spare[i];
    }
    return NULL;
}

/* A spare file that cannot be had is told once; the table works without it. */
static void file_open(struct remap_table *t, uint32_t index, const struct remap_spare *s)
{
    char path[REMAP_PATHS_MAX + 1];
    struct spare_file f;
    remap_header_path(remap_log_header(t->log), s, path);
    int rc = spare_file_open(&t->place, s, path, t->read_only, &f);
    if (rc && t->state[index] == REMAP_SPARE_OK)
        log_err("spare %04u%s%s: %s", (unsigned)s->number, *path ? " in " : "", path, holo_strerror(rc));
    pthread_rwlock_wrlock(&t->files);
    spare_file_close(&t->file[index]);
    t->file[index] = f;
    pthread_rwlock_unlock(&t->files);
    state_set(t, index, rc ? REMAP_SPARE_AWAY : REMAP_SPARE_OK);
}

int remap_open(struct backing *b, const uint8_t uuid[16], bool read_only, struct remap_table **out)
{
    return remap_open_with(b, uuid, read_only, NULL, out);
}

int remap_open_with(struct backing *b, const uint8_t uuid[16], bool read_only, const struct remap_dirs *dirs, struct remap_table **out)
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
    t->place = (struct spare_place){ .store = b, .dirs = dirs, .uuid = t->uuid };
    mutex_init(&t->spares, RANK_SPARES);
    mutex_init(&t->change, RANK_REMAP);
    pthread_rwlock_init(&t->files, NULL);
    int rc = remap_log_open(b, uuid, read_only, &t->log, &t->map);
    if (rc) {
        remap_close(t);
        return rc;
    }
    const struct remap_header *h = remap_log_header(t->log);
    for (uint32_t i = 0; i < h->n_spares; i++)
        file_open(t, i, &h->spare[i]);
    *out = t;
    return 0;
}

/* All copies anew from what is in memory; spares: with this list of spare files, NULL: with the same one. */
static int log_rewrite_locked(struct remap_table *t, const struct remap_header *spares)
{
    struct remap_entry *e;
    size_t n;
    int rc = remap_map_entries(t->map, &e, &n);
    if (rc)
        return rc;
    rc = remap_log_rewrite(t->log, spares, e, n);
    t->unsettled &= rc != 0;
    free(e);
    return rc;
}

void remap_close(struct remap_table *t)
{
    if (!t)
        return;
    if (t->unsettled)
        log_rewrite_locked(t, NULL);
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++)
        spare_file_close(&t->file[i]);
    pthread_rwlock_destroy(&t->files);
    remap_log_close(t->log);
    remap_map_destroy(t->map);
    mutex_fini(&t->change);
    mutex_fini(&t->spares);
    free(t->scratch);
    free(t);
}

bool remap_lookup(struct remap_table *t, uint32_t container, uint32_t file_block)
{
    return remap_map_find(t->map, container, file_block, NULL);
}

bool remap_any(const struct remap_table *t)
{
    return remap_map_any(t->map);
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
        pthread_rwlock_rdlock(&t->files);
        int rc = spare_file_read(&t->file[p.spare], p.block, buf);
        pthread_rwlock_unlock(&t->files);
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
    const struct spare_file *f = &t->file[x->p.spare]; /* files change with change held only */
    memcpy(t->scratch, x->buf, BLOCK);
    int rc = spare_file_write(f, x->p.block, t->scratch);
    if (rc == 0)
        rc = spare_file_read_direct(f, x->p.block, t->scratch + BLOCK);
    if (rc == 0 && memcmp(t->scratch, t->scratch + BLOCK, BLOCK) != 0)
        rc = -HOLO_ESUM;
    x->rc = rc;
    return rc;
}

static int log_append_locked(struct remap_table *t, struct remap_entry *e, size_t n, struct filling *x)
{
    struct remap_counts c;
    remap_map_counts(t->map, &c);
    int rc = remap_log_wants_rewrite(t->log, c.remaps + c.bad) ? log_rewrite_locked(t, NULL) : 0;
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

/* May what leaves this place count as free? It may if nobody knows that it is bad: it is emptied, or all of its file is away. */
static bool leaves_good(struct remap_table *t, const struct remap_place *p)
{
    struct remap_spare_counts c;
    return remap_map_spare(t->map, p->spare, &c) &&
           (t->state[p->spare] == REMAP_SPARE_LEAVING || !spare_file_answers(&t->file[p->spare], c.blocks, t->scratch));
}

/* One attempt: 0, x->rc if it is the spare block that fails, or why the table cannot be written. */
static int try_block(struct remap_table *t, struct filling *x, struct remap_entry *e, size_t n, bool again)
{
    struct remap_spare_counts c;
    remap_map_spare(t->map, x->p.spare, &c);
    e[n].spare = c.number;
    e[n].spare_block = x->p.block;
    int rc = again ? spare_write(x) : 0;
    return rc ? rc : commit_locked(t, e, n + 1, again ? NULL : x);
}

/* Spare files that were passed over for this one remap only: all of them failed, so that it says nothing of each. */
static void reopen(struct remap_table *t, uint64_t closed)
{
    for (uint32_t i = 0; i < REMAP_SPARES_MAX; i++) {
        if (closed >> i & 1)
            state_set(t, i, REMAP_SPARE_OK);
    }
}

/*
 * Try spare blocks until one takes the bytes. Entries: the blocks of its file that did not, then the add. What fails in one file says nothing of
 * blocks once TRIES did: then it is the file.
 */
static int fill_and_commit(struct remap_table *t, const struct remap_entry *add, const void *buf, bool again)
{
    struct remap_entry e[TRIES];
    struct remap_counts c;
    uint64_t closed = 0;
    uint32_t spare = UINT32_MAX;
    size_t n = 0;
    remap_map_counts(t->map, &c);
    int rc = -HOLO_EREMAPFULL;
    for (uint64_t left = c.free; left > 0; left--) {
        struct filling x = { .t = t, .buf = buf };
        if (!remap_map_next_free(t->map, &x.p))
            break;
        n = x.p.spare == spare ? n : 0;
        spare = x.p.spare;
        e[n] = *add;
        rc = try_block(t, &x, e, n, again);
        if (rc == 0 || !x.rc)
            break;
        log_warn("spare %04u block %u is bad: %s", (unsigned)e[n].spare, (unsigned)x.p.block, holo_strerror(rc));
        e[n++].kind = REMAP_SPARE_BAD;
        if (n == TRIES) {
            state_set(t, spare, REMAP_SPARE_FAILING);
            closed |= UINT64_C(1) << spare;
            n = 0;
        }
    }
    if (rc)
        reopen(t, closed);
    return rc;
}

static int add_locked(struct remap_table *t, uint32_t container, uint32_t file_block, const void *buf)
{
    const struct remap_entry add = { .kind = REMAP_ADD, .container = container, .file_block = file_block,
                                     .sum = remap_block_sum(t->uuid, container, file_block, buf) };
    struct remap_place old;
    bool again = remap_map_find(t->map, container, file_block, &old), good = again && leaves_good(t, &old);
    int rc = remap_map_reserve(t->map);
    if (rc == 0)
        rc = fill_and_commit(t, &add, buf, again);
    if (rc == 0 && good) {
        remap_map_spare_free(t->map, &old);
        t->unsettled = true;
    }
    return rc;
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

/*
 * Files that were away may be back, what failed may not fail any more, and a disk may be gone. One that was pulled out and put in again is behind
 * other descriptors than those that are open.
 */
static void files_try_again(struct remap_table *t, bool failing)
{
    const struct remap_header *h = remap_log_header(t->log);
    struct remap_spare_counts c;
    for (uint32_t i = 0; i < REMAP_SPARES_MAX; i++) {
        if (!remap_map_spare(t->map, i, &c))
            continue;
        bool well = t->state[i] == REMAP_SPARE_OK && spare_file_answers(&t->file[i], c.blocks, t->scratch);
        if (!well && t->state[i] != REMAP_SPARE_LEAVING && (failing || t->state[i] != REMAP_SPARE_FAILING))
            file_open(t, i, spare_of(h, c.number));
    }
}

static int check_locked(struct remap_table *t, unsigned *bad)
{
    files_try_again(t, true);
    int rc = remap_log_check(t->log, bad);
    if (rc || t->read_only || (!*bad && !t->unsettled && !remap_log_broken(t->log)))
        return rc;
    rc = log_rewrite_locked(t, NULL);
    if (rc == 0)
        remap_log_count_repaired(t->log, (unsigned)__builtin_popcount(*bad));
    return rc;
}

int remap_retry(struct remap_table *t)
{
    mutex_lock(&t->change);
    files_try_again(t, false);
    int rc = !t->read_only && remap_log_broken(t->log) ? log_rewrite_locked(t, NULL) : 0;
    mutex_unlock(&t->change);
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

int remap_drop_block(struct remap_table *t, uint32_t container, uint32_t file_block)
{
    if (t->read_only)
        return -EROFS;
    mutex_lock(&t->change);
    int rc = 0;
    if (remap_map_find(t->map, container, file_block, NULL)) {
        struct remap_entry e = { .kind = REMAP_DROP_BLOCK, .container = container, .file_block = file_block };
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
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++) {
        out->spares_away += t->state[i] == REMAP_SPARE_AWAY;
        out->spares_failing += t->state[i] == REMAP_SPARE_FAILING;
    }
}

/* ---- spare files that come and go ---- */

/* Index of a spare file in the map, or -ENOENT. */
static int index_of(struct remap_table *t, uint32_t number)
{
    struct remap_spare_counts c;
    for (int i = 0; i < REMAP_SPARES_MAX; i++) {
        if (remap_map_spare(t->map, (uint32_t)i, &c) && c.number == number)
            return i;
    }
    return -ENOENT;
}

static int info_of(struct remap_table *t, const struct remap_header *h, uint32_t index, struct remap_spare_info *out)
{
    char path[REMAP_PATHS_MAX + 1];
    struct remap_spare_counts c;
    if (!remap_map_spare(t->map, index, &c))
        return -ENOENT;
    *out = (struct remap_spare_info){ .number = c.number, .blocks = c.blocks, .used = c.used, .bad = c.bad,
                                      .state = (enum remap_spare_state)t->state[index] };
    pthread_rwlock_rdlock(&t->files);
    out->error = t->file[index].error;
    pthread_rwlock_unlock(&t->files);
    remap_header_path(h, spare_of(h, c.number), path);
    out->directory = *path ? strdup(path) : NULL;
    return *path && !out->directory ? -ENOMEM : 0;
}

int remap_spares(struct remap_table *t, struct remap_spare_info **out, size_t *n)
{
    struct remap_spare_info *v = calloc(REMAP_SPARES_MAX, sizeof(*v));
    int rc = v ? 0 : -ENOMEM;
    *n = 0;
    mutex_lock(&t->change);
    for (uint32_t i = 0; i < REMAP_SPARES_MAX && rc == 0; i++) {
        rc = info_of(t, remap_log_header(t->log), i, &v[*n]);
        *n += rc == 0;
        rc = rc == -ENOENT ? 0 : rc;
    }
    mutex_unlock(&t->change);
    if (rc)
        remap_spares_free(v, *n);
    else
        *out = v;
    return rc;
}

void remap_spares_free(struct remap_spare_info *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i].directory);
    free(v);
}

/* The next list of spare files (spares held): what it has now and one more. */
static int header_with(struct remap_table *t, const char *directory, uint32_t blocks, struct remap_header *h, struct remap_spare *s)
{
    uint64_t all = blocks;
    mutex_lock(&t->change);
    *h = *remap_log_header(t->log);
    mutex_unlock(&t->change);
    *s = (struct remap_spare){ .blocks = blocks };
    for (uint32_t i = 0; i < h->n_spares; i++)
        all += h->spare[i].blocks;
    while (spare_of(h, s->number))
        s->number++;
    if (blocks == 0 || all > REMAP_BLOCKS_MAX)
        return -EFBIG;
    if (directory && getrandom(&s->identity, sizeof(s->identity), 0) != (ssize_t)sizeof(s->identity))
        return -EIO;
    return remap_header_add_spare(h, s, directory) ? -E2BIG : 0;
}

/* The file is there: into the table with it, or back to what was (change held). *kept: copies may name the file all the same. */
static int spare_enter(struct remap_table *t, const struct remap_header *h, const struct remap_spare *s, struct spare_file *f, bool *kept)
{
    uint32_t index;
    *kept = false;
    int rc = remap_map_spare_add(t->map, s->number, s->blocks, &index);
    if (rc)
        return rc;
    rc = log_rewrite_locked(t, h);
    if (rc) {
        *kept = log_rewrite_locked(t, NULL) != 0;
        remap_map_spare_remove(t->map, index);
        return rc;
    }
    pthread_rwlock_wrlock(&t->files);
    t->file[index] = *f;
    pthread_rwlock_unlock(&t->files);
    *f = (struct spare_file){ 0 };
    state_set(t, index, REMAP_SPARE_OK);
    return 0;
}

static int spare_add(struct remap_table *t, const char *directory, uint32_t blocks, uint32_t *number)
{
    const char *path = directory ? directory : "";
    struct remap_header h;
    struct remap_spare s;
    struct spare_file f;
    bool kept = false;
    int rc = header_with(t, directory, blocks, &h, &s);
    if (rc == 0)
        rc = spare_file_create(&t->place, &s, path);
    if (rc)
        return rc;
    rc = spare_file_open(&t->place, &s, path, false, &f);
    if (rc == 0) {
        mutex_lock(&t->change);
        rc = spare_enter(t, &h, &s, &f, &kept);
        mutex_unlock(&t->change);
        spare_file_close(&f);
    }
    if (rc && !kept)
        spare_file_delete(&t->place, &s, path);
    *number = s.number;
    return rc;
}

int remap_spare_add(struct remap_table *t, const char *directory, uint32_t blocks, uint32_t *number)
{
    if (t->read_only)
        return -EROFS;
    if (directory && directory[0] != '/')
        return -EINVAL;
    mutex_lock(&t->spares);
    int rc = spare_add(t, directory, blocks, number);
    mutex_unlock(&t->spares);
    return rc;
}

/* The table as it is now, and room for one block; both the caller's to free, also after an error, when there are no entries. */
static int entries_and_block(struct remap_table *t, struct remap_entry **e, size_t *n, void **block)
{
    *e = NULL;
    *n = 0;
    if (posix_memalign(block, BLOCK, BLOCK) != 0) {
        *block = NULL;
        return -ENOMEM;
    }
    int rc = remap_map_entries(t->map, e, n);
    if (rc) {
        *e = NULL;
        *n = 0;
    }
    return rc;
}

/* Put one block elsewhere if its bytes are there. 1: they are not. Somebody may have moved or dropped it meanwhile. */
static int move_locked(struct remap_table *t, uint32_t index, const struct remap_entry *e, uint8_t *block)
{
    struct remap_place p;
    if (!remap_map_find(t->map, e->container, e->file_block, &p) || p.spare != index)
        return 0;
    if (spare_file_read_direct(&t->file[index], p.block, block) ||
        remap_block_sum(t->uuid, e->container, e->file_block, block) != p.sum)
        return 1;
    return add_locked(t, e->container, e->file_block, block);
}

static int moves(struct remap_table *t, uint32_t index, uint32_t number, uint64_t *left)
{
    struct remap_entry *e;
    size_t n;
    void *block;
    int rc = entries_and_block(t, &e, &n, &block);
    for (size_t i = 0; i < n && rc >= 0; i++) {
        if (e[i].kind != REMAP_ADD || e[i].spare != number)
            continue;
        mutex_lock(&t->change);
        rc = move_locked(t, index, &e[i], block);
        mutex_unlock(&t->change);
        *left += rc == 1;
    }
    free(e);
    free(block);
    return rc < 0 ? rc : 0;
}

static int spare_empty(struct remap_table *t, uint32_t number, uint64_t *left)
{
    struct remap_spare_counts s;
    struct remap_counts c;
    int index = index_of(t, number);
    if (index < 0)
        return index;
    mutex_lock(&t->change);
    remap_map_spare(t->map, (uint32_t)index, &s);
    remap_map_counts(t->map, &c);
    uint64_t elsewhere = c.free - (s.closed ? 0 : s.blocks - s.used - s.bad);
    if (s.used <= elsewhere)
        state_set(t, (uint32_t)index, REMAP_SPARE_LEAVING);
    mutex_unlock(&t->change);
    return s.used > elsewhere ? -HOLO_EREMAPFULL : moves(t, (uint32_t)index, number, left);
}

int remap_spare_empty(struct remap_table *t, uint32_t number, uint64_t *left)
{
    *left = 0;
    if (t->read_only)
        return -EROFS;
    mutex_lock(&t->spares);
    int rc = spare_empty(t, number, left);
    mutex_unlock(&t->spares);
    return rc;
}

static void header_without(const struct remap_header *h, uint32_t number, struct remap_header *out)
{
    char path[REMAP_PATHS_MAX + 1];
    *out = (struct remap_header){ 0 };
    for (uint32_t i = 0; i < h->n_spares; i++) {
        remap_header_path(h, &h->spare[i], path);
        if (h->spare[i].number != number)
            remap_header_add_spare(out, &h->spare[i], path); /* it had room before */
    }
}

static int spare_remove_locked(struct remap_table *t, uint32_t number)
{
    const struct remap_header *old = remap_log_header(t->log);
    struct remap_spare_counts c;
    struct remap_header h;
    char path[REMAP_PATHS_MAX + 1];
    int index = index_of(t, number);
    if (index < 0)
        return index;
    remap_map_spare(t->map, (uint32_t)index, &c);
    if (c.used)
        return -EBUSY;
    const struct remap_spare s = *spare_of(old, number);
    remap_header_path(old, &s, path);
    header_without(old, number, &h);
    int rc = log_rewrite_locked(t, &h);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&t->files);
    spare_file_close(&t->file[index]);
    pthread_rwlock_unlock(&t->files);
    t->state[index] = REMAP_SPARE_OK;
    remap_map_spare_remove(t->map, (uint32_t)index);
    spare_file_delete(&t->place, &s, path);
    return 0;
}

int remap_spare_remove(struct remap_table *t, uint32_t number)
{
    if (t->read_only)
        return -EROFS;
    mutex_lock(&t->spares);
    mutex_lock(&t->change);
    int rc = spare_remove_locked(t, number);
    mutex_unlock(&t->change);
    mutex_unlock(&t->spares);
    return rc;
}

void remap_spare_keep(struct remap_table *t, uint32_t number)
{
    mutex_lock(&t->change);
    int index = index_of(t, number);
    if (index >= 0 && t->state[index] == REMAP_SPARE_LEAVING)
        state_set(t, (uint32_t)index, t->file[index].error ? REMAP_SPARE_AWAY : REMAP_SPARE_OK);
    mutex_unlock(&t->change);
}

/* ---- testing ---- */

/* Are the bytes of this entry right, or is it another one by now? */
static bool is_right(struct remap_table *t, const struct remap_entry *e, uint8_t *block)
{
    struct remap_place p, now;
    if (!remap_map_find(t->map, e->container, e->file_block, &p))
        return true;
    pthread_rwlock_rdlock(&t->files);
    int rc = spare_file_read_direct(&t->file[p.spare], p.block, block);
    pthread_rwlock_unlock(&t->files);
    if (rc == 0 && remap_block_sum(t->uuid, e->container, e->file_block, block) == p.sum)
        return true;
    return !remap_map_find(t->map, e->container, e->file_block, &now) || !place_equal(&p, &now);
}

int remap_test(struct remap_table *t, int (*cb)(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block),
               void *arg, uint64_t *tested)
{
    struct remap_entry *e;
    size_t n;
    void *block;
    *tested = 0;
    int rc = entries_and_block(t, &e, &n, &block);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (e[i].kind != REMAP_ADD)
            continue;
        ++*tested;
        if (!is_right(t, &e[i], block))
            rc = cb(arg, e[i].container, e[i].file_block, e[i].spare, e[i].spare_block);
    }
    free(e);
    free(block);
    return rc;
}
