/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walindex.c: regions and locks of the WAL-index, as sqlite's own VFS for Unix has them within one process. */
#include "meta/walindex.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base/lock.h"

enum { WALINDEX_RANK = 67 };

struct wal_index {
    struct mutex lock;
    struct wal_index_user *users;
    void **region;
    int n;
};

struct wal_index *walindex_create(void)
{
    struct wal_index *w = calloc(1, sizeof(*w));
    if (w)
        mutex_init(&w->lock, WALINDEX_RANK);
    return w;
}

static void drop_regions(struct wal_index *w)
{
    for (int i = 0; i < w->n; i++)
        free(w->region[i]);
    free(w->region);
    w->region = NULL;
    w->n = 0;
}

void walindex_destroy(struct wal_index *w)
{
    if (!w)
        return;
    drop_regions(w);
    mutex_fini(&w->lock);
    free(w);
}

static int grow(struct wal_index *w, int n, size_t size)
{
    void **p = realloc(w->region, (size_t)n * sizeof(*p));
    if (!p)
        return SQLITE_NOMEM;
    for (w->region = p; w->n < n; w->n++) {
        p[w->n] = calloc(1, size);
        if (!p[w->n])
            return SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

int walindex_map(struct wal_index *w, struct wal_index_user *u, int region, int size, int extend, void volatile **out)
{
    int rc = SQLITE_OK;
    mutex_lock(&w->lock);
    if (!u->of) {
        *u = (struct wal_index_user){ .of = w, .next = w->users };
        w->users = u;
    }
    if (region >= w->n && extend)
        rc = grow(w, region + 1, (size_t)size);
    *out = rc == SQLITE_OK && region < w->n ? w->region[region] : NULL;
    mutex_unlock(&w->lock);
    return rc;
}

int walindex_lock(struct wal_index_user *u, int off, int n, int flags)
{
    const uint16_t mask = (uint16_t)((1u << (off + n)) - (1u << off));
    struct wal_index *w = u->of;
    uint16_t shared = 0, exclusive = 0; /* of others */
    int rc = SQLITE_OK;
    mutex_lock(&w->lock);
    for (const struct wal_index_user *o = w->users; o; o = o->next) {
        shared |= o == u ? 0 : o->shared;
        exclusive |= o == u ? 0 : o->exclusive;
    }
    if (flags & SQLITE_SHM_UNLOCK) {
        u->shared &= (uint16_t)~mask;
        u->exclusive &= (uint16_t)~mask;
    } else if ((exclusive & mask) || ((flags & SQLITE_SHM_EXCLUSIVE) && (shared & mask))) {
        rc = SQLITE_BUSY;
    } else if (flags & SQLITE_SHM_EXCLUSIVE) {
        u->exclusive |= mask;
    } else {
        u->shared |= mask;
    }
    mutex_unlock(&w->lock);
    return rc;
}

/* A mutex orders memory, also for readers that look without a lock. */
void walindex_barrier(struct wal_index_user *u)
{
    if (!u->of)
        return;
    __sync_synchronize();
    mutex_lock(&u->of->lock);
    mutex_unlock(&u->of->lock);
}

void walindex_unmap(struct wal_index_user *u)
{
    struct wal_index *w = u->of;
    if (!w)
        return;
    mutex_lock(&w->lock);
    struct wal_index_user **link = &w->users;
    while (*link != u)
        link = &(*link)->next;
    *link = u->next;
    u->of = NULL;
    if (!w->users)
        drop_regions(w);
    mutex_unlock(&w->lock);
}
