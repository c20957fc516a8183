/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache.c: the table of inodes, their windows and xattrs. */
#include "core/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/lost.h"

enum { SWEEP_BUCKETS = 64 };

static struct inode **bucket(struct holofs *fs, uint64_t ino)
{
    return &fs->itab[ino * 0x9e3779b97f4a7c15u >> 20 & (fs->itab_size - 1)];
}

static struct inode *find(struct holofs *fs, uint64_t ino)
{
    struct inode *i = *bucket(fs, ino);
    while (i && i->ino != ino)
        i = i->hash_next;
    return i;
}

static void lru_remove(struct holofs *fs, struct inode *i)
{
    if (!i->in_lru)
        return;
    *(i->lru_prev ? &i->lru_prev->lru_next : &fs->ilru_first) = i->lru_next;
    *(i->lru_next ? &i->lru_next->lru_prev : &fs->ilru_last) = i->lru_prev;
    i->in_lru = false;
}

static void lru_add(struct holofs *fs, struct inode *i)
{
    lru_remove(fs, i);
    i->lru_next = NULL;
    i->lru_prev = fs->ilru_last;
    *(fs->ilru_last ? &fs->ilru_last->lru_next : &fs->ilru_first) = i;
    fs->ilru_last = i;
    i->in_lru = true;
}

static void free_xattrs(struct holofs *fs, struct inode *i)
{
    while (i->xattrs) {
        struct xattr *x = i->xattrs;
        i->xattrs = x->next;
        xattr_free(fs, x);
    }
}

static void unlink_dirty(struct dirty_names *l)
{
    while (l->first) {
        struct dentry *d = l->first;
        l->first = d->dirty_next;
        d->dirty_in = NULL;
    }
    l->last = NULL;
}

static void free_inode(struct holofs *fs, struct inode *i)
{
    windows_free(fs, i);
    free_xattrs(fs, i);
    unlink_dirty(&i->dirty);
    unlink_dirty(&i->kept);
    free(i->target);
    mutex_fini(&i->lock);
    free(i);
}

static void remove_inode(struct holofs *fs, struct inode *i)
{
    struct inode **p = bucket(fs, i->ino);
    if (i->nlookup && !i->nlookup_unknown)
        krefs_keep(&fs->krefs, i->ino, i->nlookup);
    while (*p != i)
        p = &(*p)->hash_next;
    *p = i->hash_next;
    lru_remove(fs, i);
    fs->n_inodes--;
    free_inode(fs, i);
}

static void rehash(struct holofs *fs)
{
    size_t old_size = fs->itab_size;
    struct inode **old = fs->itab, **tab = calloc(old_size * 2, sizeof(*tab));
    if (!tab)
        return;
    fs->itab = tab;
    fs->itab_size = old_size * 2;
    for (size_t b = 0; b < old_size; b++) {
        while (old[b]) {
            struct inode *i = old[b];
            old[b] = i->hash_next;
            struct inode **p = bucket(fs, i->ino);
            i->hash_next = *p;
            *p = i;
        }
    }
    free(old);
}

static struct inode *insert(struct holofs *fs, const struct inode_image *img)
{
    struct inode *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    i->ino = img->ino;
    i->img = *img;
    i->type = img->mode & S_IFMT;
    mutex_init(&i->lock, RANK_INODE);
    i->changed = ++fs->changes;
    if (fs->n_inodes > fs->itab_size)
        rehash(fs);
    struct inode **p = bucket(fs, i->ino);
    i->hash_next = *p;
    *p = i;
    fs->n_inodes++;
    return i;
}

/* Does it wait in the LRU list? What the kernel refers to as well, where it can be loaded again; orphans cannot. */
static bool unused(const struct holofs *fs, const struct inode *i)
{
    return i->refs == 0 && i->opens == 0 && (i->nlookup == 0 || (fs->forgets_come && !i->orphan));
}

static bool evictable(struct holofs *fs, const struct inode *i)
{
    return unused(fs, i) && !i->orphan && is_applied(fs, i->dirty_txg);
}

static bool too_much(const struct holofs *fs)
{
    return fs->n_inodes > fs->inode_max || fs->loaded_bytes > fs->loaded_max;
}

/* Evict from the cold end; those that cannot go yet wait at the warm end (CACHE held). */
static void shrink_inodes(struct holofs *fs, size_t tries)
{
    while (too_much(fs) && fs->ilru_first && tries--) {
        struct inode *i = fs->ilru_first;
        if (i->dirty.first || i->kept.first || !evictable(fs, i))
            lru_add(fs, i);
        else
            remove_inode(fs, i);
    }
}

int reader_unlock(struct holofs *fs, int e)
{
    mutex_unlock(&fs->reader_lock);
    if (e != -HOLO_ESUM && e != -HOLO_ECORRUPT)
        return e;
    if (!disk_answers(fs))
        return -EIO;
    if (!atomic_exchange(&fs->index_damaged, true))
        event_add(fs, "index_damaged", "s:s", "error", holo_strerror(e));
    return e;
}

static int load(struct holofs *fs, uint64_t ino, struct inode **out)
{
    struct meta_inode m;
    struct inode_image img;
    mutex_lock(&fs->reader_lock);
    int e = meta_read_inode(fs->reader, ino, &m);
    e = reader_unlock(fs, e);
    if (e)
        return e == -ENOENT ? -ESTALE : e;
    meta_to_inode_image(&m, &img);
    struct inode *i = *out = insert(fs, &img);
    if (!i)
        return -ENOMEM;
    i->nlookup = krefs_take(&fs->krefs, ino);
    i->nlookup_unknown = i->nlookup == 0 && fs->krefs.lost;
    i->told = i->nlookup || i->nlookup_unknown; /* the kernel may keep what it was told before */
    return 0;
}

int inode_get(struct holofs *fs, uint64_t ino, struct inode **out)
{
    int e = 0;
    mutex_lock(&fs->cache_lock);
    struct inode *i = find(fs, ino);
    if (!i) {
        shrink_inodes(fs, 4);
        e = load(fs, ino, &i);
    }
    if (!e && i->gone)
        e = -ESTALE;
    if (!e) {
        i->refs++;
        lru_remove(fs, i);
        *out = i;
    }
    mutex_unlock(&fs->cache_lock);
    return e;
}

struct inode *inode_new(struct holofs *fs, const struct inode_image *img)
{
    mutex_lock(&fs->cache_lock);
    shrink_inodes(fs, 4);
    struct inode *i = insert(fs, img);
    if (i) {
        i->refs = 1;
        i->xattrs_loaded = true;
    }
    mutex_unlock(&fs->cache_lock);
    return i;
}

void inode_put(struct holofs *fs, struct inode *i)
{
    bool purge = false;
    mutex_lock(&fs->cache_lock);
    i->refs--;
    if (unused(fs, i)) {
        purge = i->orphan && !i->nlookup_unknown && !i->gone && !fs->stopping;
        if (purge) {
            i->gone = true;
            i->refs++;
        } else {
            lru_add(fs, i);
        }
    }
    mutex_unlock(&fs->cache_lock);
    if (purge) {
        inode_purge(fs, i);
        mutex_lock(&fs->cache_lock);
        i->orphan = false;
        if (--i->refs == 0)
            lru_add(fs, i);
        mutex_unlock(&fs->cache_lock);
    }
}

void inode_lookup_ref(struct holofs *fs, struct inode *i, uint64_t n)
{
    mutex_lock(&fs->cache_lock);
    i->nlookup += n;
    mutex_unlock(&fs->cache_lock);
}

void holofs_forget(struct holofs *fs, uint64_t ino, uint64_t n)
{
    mutex_lock(&fs->cache_lock);
    struct inode *i = find(fs, ino);
    if (i) {
        i->nlookup_unknown &= n < i->nlookup; /* less than what is known of: one of several */
        i->nlookup -= n < i->nlookup ? n : i->nlookup;
        i->refs++;
    } else {
        krefs_drop(&fs->krefs, ino, n);
    }
    mutex_unlock(&fs->cache_lock);
    if (i)
        inode_put(fs, i);
}

int holofs_open_file(struct holofs *fs, uint64_t ino, bool writes, bool truncate, bool kill_priv)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&fs->cache_lock);
    i->opens++;
    i->writers += writes;
    mutex_unlock(&fs->cache_lock);
    if (truncate) {
        struct holofs_attr a;
        struct holofs_setattr s = { .set = HOLOFS_SET_SIZE | (kill_priv ? HOLOFS_SET_KILL_PRIV : HOLOFS_SET_KILL_CAP) };
        e = holofs_setattr(fs, ino, &s, &a);
        mutex_lock(&i->lock);
        i->stale |= i->told;
        mutex_unlock(&i->lock);
        if (e)
            holofs_release_file(fs, ino, writes);
    }
    inode_put(fs, i);
    return e;
}

bool holofs_has_writers(struct holofs *fs, uint64_t ino)
{
    mutex_lock(&fs->cache_lock);
    struct inode *i = find(fs, ino);
    bool has = i && i->writers > 0;
    mutex_unlock(&fs->cache_lock);
    return has;
}

void holofs_release_file(struct holofs *fs, uint64_t ino, bool writes)
{
    mutex_lock(&fs->cache_lock);
    struct inode *i = find(fs, ino);
    if (i) {
        i->opens--;
        i->writers -= writes;
        i->refs++;
    }
    mutex_unlock(&fs->cache_lock);
    if (i)
        inode_put(fs, i);
}

void inode_purge(struct holofs *fs, struct inode *i)
{
    uint8_t space[128];
    struct rec r;
    uint64_t txg;
    rec_begin(&r, space, sizeof(space), REC_PURGE, clock_real_ns());
    rec_inode_gone(&r, i->ino);
    rec_orphan(&r, i->ino, true);
    mutex_lock(&i->lock);
    int e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (!e) {
        inode_dirty(i, txg);
        fs->n_files--;
    }
    mutex_unlock(&i->lock);
}

struct orphans {
    uint64_t *v;
    size_t n, cap;
};

static int note_orphan(void *arg, uint64_t ino)
{
    struct orphans *o = arg;
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        uint64_t *v = realloc(o->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        o->v = v;
        o->cap = cap;
    }
    o->v[o->n++] = ino;
    return 0;
}

int purge_orphans(struct holofs *fs)
{
    struct orphans o = { 0 };
    mutex_lock(&fs->reader_lock);
    int e = meta_each_orphan(fs->reader, note_orphan, &o);
    e = reader_unlock(fs, e);
    for (size_t n = 0; n < o.n && !e; n++) {
        struct inode *i;
        e = inode_get(fs, o.v[n], &i);
        if (e == -ESTALE) {
            e = 0;
            continue;
        }
        if (e)
            break;
        i->orphan = true;
        inode_put(fs, i);
    }
    free(o.v);
    return e;
}

/* ---- all of it ---- */

/* Descriptors kept for containers: a quarter of those there may be. */
static unsigned open_files_max(const struct holofs *fs)
{
    struct rlimit l;
    uint64_t n = fs->opt.cache_bytes / (1u << 20);
    n = n < 16 ? 16 : n > 512 ? 512 : n;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && n > l.rlim_cur / 4)
        n = l.rlim_cur / 4;
    return n < 4 ? 4 : (unsigned)n;
}

int cache_init(struct holofs *fs)
{
    mutex_init(&fs->ns_lock, RANK_NS);
    mutex_init(&fs->cache_lock, RANK_CACHE);
    fs->itab_size = fs->dtab_size = 1024;
    fs->itab = calloc(fs->itab_size, sizeof(*fs->itab));
    fs->dtab = calloc(fs->dtab_size, sizeof(*fs->dtab));
    fs->inode_max = fs->opt.cache_bytes / 2048;
    fs->dentry_max = fs->opt.cache_bytes / 1024;
    fs->open_max = open_files_max(fs);
    fs->loaded_max = fs->opt.cache_bytes / 4;
    fs->krefs.max = fs->opt.cache_bytes / 8 / sizeof(*fs->krefs.slot);
    return fs->itab && fs->dtab ? 0 : -ENOMEM;
}

static void free_dentries(struct holofs *fs)
{
    for (size_t b = 0; fs->dtab && b < fs->dtab_size; b++) {
        while (fs->dtab[b]) {
            struct dentry *d = fs->dtab[b];
            fs->dtab[b] = d->hash_next;
            free(d);
        }
    }
    free(fs->dtab);
}

void cache_fini(struct holofs *fs)
{
    for (size_t b = 0; fs->itab && b < fs->itab_size; b++) {
        while (fs->itab[b]) {
            struct inode *i = fs->itab[b];
            fs->itab[b] = i->hash_next;
            i->dirty.first = i->kept.first = NULL;
            free_inode(fs, i);
        }
    }
    free(fs->itab);
    krefs_fini(&fs->krefs);
    free_dentries(fs);
    mutex_fini(&fs->ns_lock);
    mutex_fini(&fs->cache_lock);
}

/* Take references to the inodes of some buckets; at most max. Returns how many. */
static size_t sweep(struct holofs *fs, struct inode **out, size_t max)
{
    size_t n = 0;
    mutex_lock(&fs->cache_lock);
    for (int b = 0; b < SWEEP_BUCKETS && n < max; b++) {
        fs->sweep_at = (fs->sweep_at + 1) & (fs->itab_size - 1);
        for (struct inode *i = fs->itab[fs->sweep_at]; i && n < max; i = i->hash_next) {
            i->refs++;
            lru_remove(fs, i);
            out[n++] = i;
        }
    }
    mutex_unlock(&fs->cache_lock);
    return n;
}

void cache_relieve(struct holofs *fs)
{
    struct inode *some[SWEEP_BUCKETS];
    if (fs->loaded_bytes <= fs->loaded_max)
        return;
    size_t n = sweep(fs, some, SWEEP_BUCKETS);
    for (size_t k = 0; k < n; k++) {
        mutex_lock(&some[k]->lock);
        windows_drop_clean(fs, some[k]);
        mutex_unlock(&some[k]->lock);
        inode_put(fs, some[k]);
    }
}

/* More than twice the limits, or than what could not be helped the last time. */
static bool far_too_much(const struct holofs *fs)
{
    return fs->n_inodes > 2 * fs->inode_max + fs->pinned || fs->n_dentries > 2 * fs->dentry_max + fs->pinned ||
           fs->loaded_bytes > 2 * fs->loaded_max + fs->pinned * 1024;
}

bool cache_wants_applying(struct holofs *fs)
{
    return far_too_much(fs);
}

void cache_applied(struct holofs *fs)
{
    cache_shrink(fs);
    for (size_t b = 0; b < fs->itab_size && fs->loaded_bytes > fs->loaded_max; b += SWEEP_BUCKETS)
        cache_relieve(fs);
    fs->pinned = far_too_much(fs) ? 2 * fs->pinned + 4096 : fs->pinned / 2;
}

void holofs_forgets_come(struct holofs *fs)
{
    mutex_lock(&fs->cache_lock);
    fs->forgets_come = true;
    mutex_unlock(&fs->cache_lock);
}

void cache_shrink(struct holofs *fs)
{
    mutex_lock(&fs->ns_lock);
    dentry_shrink(fs, fs->n_dentries);
    mutex_lock(&fs->cache_lock);
    shrink_inodes(fs, fs->n_inodes);
    mutex_unlock(&fs->cache_lock);
    mutex_unlock(&fs->ns_lock);
}
