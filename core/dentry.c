/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dentry.c: names in memory, positive and negative (NS held throughout). */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/cache.h"

static struct dentry **bucket(struct holofs *fs, uint64_t parent, const char *name, size_t len)
{
    return &fs->dtab[sum64(name, len, parent) & (fs->dtab_size - 1)];
}

static void lru_remove(struct holofs *fs, struct dentry *d)
{
    *(d->lru_prev ? &d->lru_prev->lru_next : &fs->dlru_first) = d->lru_next;
    *(d->lru_next ? &d->lru_next->lru_prev : &fs->dlru_last) = d->lru_prev;
}

static void lru_add(struct holofs *fs, struct dentry *d)
{
    d->lru_next = NULL;
    d->lru_prev = fs->dlru_last;
    *(fs->dlru_last ? &fs->dlru_last->lru_next : &fs->dlru_first) = d;
    fs->dlru_last = d;
}

static void leave_dirty_list(struct dentry *d)
{
    struct dirty_names *l = d->dirty_in;
    if (!l)
        return;
    *(d->dirty_prev ? &d->dirty_prev->dirty_next : &l->first) = d->dirty_next;
    *(d->dirty_next ? &d->dirty_next->dirty_prev : &l->last) = d->dirty_prev;
    d->dirty_in = NULL;
}

static void join_dirty_list(struct dentry *d, struct dirty_names *l)
{
    d->dirty_in = l;
    d->dirty_next = NULL;
    d->dirty_prev = l->last;
    *(l->last ? &l->last->dirty_next : &l->first) = d;
    l->last = d;
}

static void drop(struct holofs *fs, struct dentry *d)
{
    struct dentry **p = bucket(fs, d->parent, d->name, d->name_len);
    while (*p != d)
        p = &(*p)->hash_next;
    *p = d->hash_next;
    if (d->dirty_in) { /* nobody refers to the directory here: an inode may go when its list is empty, but not before this is done with it */
        mutex_lock(&fs->cache_lock);
        leave_dirty_list(d);
        mutex_unlock(&fs->cache_lock);
    }
    lru_remove(fs, d);
    fs->n_dentries--;
    free(d);
}

void dentry_shrink(struct holofs *fs, size_t tries)
{
    while (fs->n_dentries > fs->dentry_max && fs->dlru_first && tries--) {
        struct dentry *d = fs->dlru_first;
        if (is_applied(fs, d->dirty_txg)) {
            drop(fs, d);
            continue;
        }
        lru_remove(fs, d);
        lru_add(fs, d);
    }
}

static void rehash(struct holofs *fs)
{
    size_t old_size = fs->dtab_size;
    struct dentry **old = fs->dtab, **tab = calloc(old_size * 2, sizeof(*tab));
    if (!tab)
        return;
    fs->dtab = tab;
    fs->dtab_size = old_size * 2;
    for (size_t b = 0; b < old_size; b++) {
        while (old[b]) {
            struct dentry *d = old[b];
            old[b] = d->hash_next;
            struct dentry **p = bucket(fs, d->parent, d->name, d->name_len);
            d->hash_next = *p;
            *p = d;
        }
    }
    free(old);
}

struct dentry *dentry_cached(struct holofs *fs, uint64_t parent, const char *name, size_t len)
{
    struct dentry *d = *bucket(fs, parent, name, len);
    while (d && !(d->parent == parent && d->name_len == len && memcmp(d->name, name, len) == 0))
        d = d->hash_next;
    return d;
}

int dentry_find(struct holofs *fs, uint64_t parent, const char *name, size_t len, struct dentry **out)
{
    if (len > META_NAME_MAX)
        return -ENAMETOOLONG;
    struct dentry *d = dentry_cached(fs, parent, name, len);
    if (d) {
        lru_remove(fs, d);
        lru_add(fs, d);
        *out = d;
        return 0;
    }
    struct meta_dent m = { 0 };
    mutex_lock(&fs->reader_lock);
    int e = meta_read_dent(fs->reader, parent, name, len, &m);
    e = reader_unlock(fs, e);
    if (e && e != -ENOENT)
        return e;
    dentry_shrink(fs, 4);
    d = calloc(1, sizeof(*d) + len);
    if (!d)
        return -ENOMEM;
    d->parent = parent;
    d->name_len = (uint32_t)len;
    memcpy(d->name, name, len);
    if (!e) {
        d->ino = m.ino;
        d->cookie = m.cookie;
        d->type = m.type;
    }
    if (fs->n_dentries > fs->dtab_size)
        rehash(fs);
    struct dentry **p = bucket(fs, parent, name, len);
    d->hash_next = *p;
    *p = d;
    lru_add(fs, d);
    fs->n_dentries++;
    *out = d;
    return 0;
}

void dentry_trim_dirty(struct holofs *fs, struct inode *dir)
{
    while (dir->dirty.first && is_applied(fs, dir->dirty.first->dirty_txg))
        leave_dirty_list(dir->dirty.first);
    while (dir->kept.first && is_applied(fs, dir->kept.first->dirty_txg))
        leave_dirty_list(dir->kept.first);
}

void dentry_set(struct holofs *fs, struct dentry *d, struct inode *dir, uint64_t ino, uint32_t type, uint64_t cookie, uint64_t txg)
{
    bool kept = d->ino && ino && cookie == d->cookie;
    leave_dirty_list(d);
    dir->changed = ++fs->changes;
    d->ino = ino;
    d->type = type;
    d->cookie = cookie;
    d->dirty_txg = txg;
    join_dirty_list(d, kept ? &dir->kept : &dir->dirty);
}

struct emptiness {
    struct holofs *fs;
    uint64_t applied;
};

/* An entry of the index counts unless memory has something newer under its name. */
static int indexed_entry(void *arg, const struct meta_dent *m)
{
    struct emptiness *x = arg;
    struct dentry *d = dentry_cached(x->fs, m->parent, m->name, m->name_len);
    return !(d && d->dirty_txg > x->applied && d->ino == 0);
}

int dir_is_empty(struct holofs *fs, struct inode *dir)
{
    struct emptiness x = { fs, fs->applied_txg };
    dentry_trim_dirty(fs, dir);
    if (dir->kept.first) /* these all lead somewhere */
        return 0;
    for (struct dentry *d = dir->dirty.first; d; d = d->dirty_next) {
        if (d->ino)
            return 0;
    }
    mutex_lock(&fs->reader_lock);
    int r = meta_read_dir(fs->reader, dir->ino, 0, indexed_entry, &x);
    r = reader_unlock(fs, r);
    return r < 0 ? r : !r;
}
