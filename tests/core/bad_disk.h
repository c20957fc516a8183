/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bad_disk.h: over another backing, a disk with bad sectors, or one that is away for a while.
 *
 * A bad sector gives EIO to each read that touches it, for ever. A write of it fails, or is taken and not kept, so that the next sync
 * of the file fails, once, as the page cache does it (`late`). Sectors belong to the file, not to its name: a file that takes the place of
 * another lies elsewhere. While the disk is away every call gives EIO and does nothing.
 */
#ifndef HOLO_TESTS_CORE_BAD_DISK_H
#define HOLO_TESTS_CORE_BAD_DISK_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/backing.h"

enum { BAD_BLOCK = 4096 };

struct bad_node {
    struct bad_node *next;
    char *name; /* NULL: it has none any more */
    bool dropped; /* something written was not kept: the next sync says so */
    uint32_t n;
    uint32_t *bad; /* blocks, in any order */
};

struct bad_disk {
    struct backing b;
    struct backing *lower; /* stays the caller's */
    pthread_mutex_t lock;
    struct bad_node *nodes;
    bool late, kept; /* kept: close leaves it alone */
    _Atomic uint64_t calls, away_from, away_to; /* calls in [from, to) find nothing there */
    _Atomic uint64_t away_hits, bad_reads; /* calls that met it; reads of bad sectors of containers */
};

struct bad_file {
    struct bfile f;
    struct bad_disk *d;
    struct bad_node *node;
    struct bfile *lower;
    int flags;
};

static inline bool bad_away(struct bad_disk *d)
{
    uint64_t n = atomic_fetch_add(&d->calls, 1);
    bool away = n >= d->away_from && n < d->away_to;
    if (away)
        atomic_fetch_add(&d->away_hits, 1);
    return away;
}

static inline struct bad_disk *bad_of(struct backing *b)
{
    return (struct bad_disk *)b;
}

static inline struct bad_file *bad_file_of(struct bfile *f)
{
    return (struct bad_file *)f;
}

/* ---- nodes (lock held) ---- */

static inline struct bad_node *bad_node_of(struct bad_disk *d, const char *name)
{
    struct bad_node *x = d->nodes;
    while (x && !(x->name && strcmp(x->name, name) == 0))
        x = x->next;
    if (x)
        return x;
    x = calloc(1, sizeof(*x));
    x->name = strdup(name);
    x->next = d->nodes;
    d->nodes = x;
    return x;
}

static inline void bad_unname(struct bad_disk *d, const char *name)
{
    struct bad_node *x = bad_node_of(d, name);
    free(x->name);
    x->name = NULL;
}

/* The first bad block in [from, to), or to. */
static inline uint32_t bad_next(const struct bad_node *x, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < x->n; i++)
        to = x->bad[i] >= from && x->bad[i] < to ? x->bad[i] : to;
    return to;
}

static inline bool bad_touches(const struct bad_node *x, uint64_t off, uint64_t len)
{
    uint32_t end = (uint32_t)((off + len + BAD_BLOCK - 1) / BAD_BLOCK);
    return bad_next(x, (uint32_t)(off / BAD_BLOCK), end) < end;
}

/* ---- files ---- */

static inline int bad_pread(struct bfile *bf, void *buf, size_t len, uint64_t off)
{
    struct bad_file *f = bad_file_of(bf);
    if (bad_away(f->d))
        return -EIO;
    pthread_mutex_lock(&f->d->lock);
    bool bad = bad_touches(f->node, off, len), counts = bad && f->node->name && strncmp(f->node->name, "containers/", 11) == 0;
    pthread_mutex_unlock(&f->d->lock);
    atomic_fetch_add(&f->d->bad_reads, counts);
    return bad ? -EIO : f->lower->ops->pread(f->lower, buf, len, off);
}

/* What of it is not on bad sectors is written. */
static inline int bad_write_around(struct bad_file *f, const uint8_t *p, uint64_t off, uint64_t end)
{
    int e = 0;
    while (off < end && !e) {
        uint64_t stop = (uint64_t)bad_next(f->node, (uint32_t)(off / BAD_BLOCK), (uint32_t)((end + BAD_BLOCK - 1) / BAD_BLOCK)) * BAD_BLOCK;
        if (stop > off)
            e = bfile_pwrite(f->lower, p, (size_t)((stop < end ? stop : end) - off), off);
        stop = stop > off ? stop : off / BAD_BLOCK * BAD_BLOCK + BAD_BLOCK;
        p += stop - off;
        off = stop;
    }
    return e;
}

static inline int bad_pwritev(struct bfile *bf, const struct iovec *iov, int n, uint64_t off)
{
    struct bad_file *f = bad_file_of(bf);
    uint64_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (bad_away(f->d))
        return -EIO;
    pthread_mutex_lock(&f->d->lock);
    bool bad = bad_touches(f->node, off, len), late = bad && f->d->late && !(f->flags & BACKING_DIRECT);
    int e = bad ? -EIO : 0;
    if (late) {
        uint8_t *all = malloc(len);
        size_t at = 0;
        for (int i = 0; i < n; at += iov[i].iov_len, i++)
            memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
        e = bad_write_around(f, all, off, off + len);
        f->node->dropped = true;
        free(all);
    }
    pthread_mutex_unlock(&f->d->lock);
    return bad ? e : f->lower->ops->pwritev(f->lower, iov, n, off);
}

static inline int bad_datasync(struct bfile *bf)
{
    struct bad_file *f = bad_file_of(bf);
    if (bad_away(f->d))
        return -EIO;
    pthread_mutex_lock(&f->d->lock);
    bool dropped = f->node->dropped;
    f->node->dropped = false;
    pthread_mutex_unlock(&f->d->lock);
    int e = f->lower->ops->datasync(f->lower);
    return dropped ? -EIO : e;
}

static inline int bad_size(struct bfile *bf, uint64_t *out)
{
    struct bad_file *f = bad_file_of(bf);
    return bad_away(f->d) ? -EIO : f->lower->ops->size(f->lower, out);
}

static inline int bad_truncate(struct bfile *bf, uint64_t size)
{
    struct bad_file *f = bad_file_of(bf);
    return bad_away(f->d) ? -EIO : f->lower->ops->truncate(f->lower, size);
}

static inline int bad_preallocate(struct bfile *bf, uint64_t size)
{
    struct bad_file *f = bad_file_of(bf);
    return bad_away(f->d) ? -EIO : f->lower->ops->preallocate(f->lower, size);
}

static inline void bad_file_close(struct bfile *bf)
{
    struct bad_file *f = bad_file_of(bf);
    f->lower->ops->close(f->lower);
    free(f);
}

/* ---- names ---- */

static inline int bad_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    static const struct bfile_ops ops = { bad_pread, bad_pwritev, bad_datasync, bad_size, bad_truncate, bad_preallocate, bad_file_close };
    struct bad_disk *d = bad_of(b);
    struct bad_file *f = calloc(1, sizeof(*f));
    int e = bad_away(d) ? -EIO : d->lower->ops->open(d->lower, name, flags, &f->lower);
    if (e) {
        free(f);
        return e;
    }
    f->f.ops = &ops;
    f->d = d;
    f->flags = flags;
    pthread_mutex_lock(&d->lock);
    f->node = bad_node_of(d, name);
    pthread_mutex_unlock(&d->lock);
    *out = &f->f;
    return 0;
}

static inline int bad_unlink(struct backing *b, const char *name)
{
    struct bad_disk *d = bad_of(b);
    int e = bad_away(d) ? -EIO : d->lower->ops->unlink(d->lower, name);
    pthread_mutex_lock(&d->lock);
    if (!e)
        bad_unname(d, name);
    pthread_mutex_unlock(&d->lock);
    return e;
}

static inline int bad_rename(struct backing *b, const char *from, const char *to)
{
    struct bad_disk *d = bad_of(b);
    int e = bad_away(d) ? -EIO : d->lower->ops->rename(d->lower, from, to);
    pthread_mutex_lock(&d->lock);
    if (!e) {
        struct bad_node *x = bad_node_of(d, from);
        bad_unname(d, to);
        free(x->name);
        x->name = strdup(to);
    }
    pthread_mutex_unlock(&d->lock);
    return e;
}

static inline int bad_mkdir(struct backing *b, const char *name)
{
    struct bad_disk *d = bad_of(b);
    return bad_away(d) ? -EIO : d->lower->ops->mkdir(d->lower, name);
}

static inline int bad_sync_dir(struct backing *b, const char *name)
{
    struct bad_disk *d = bad_of(b);
    return bad_away(d) ? -EIO : d->lower->ops->sync_dir(d->lower, name);
}

static inline int bad_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    struct bad_disk *d = bad_of(b);
    return bad_away(d) ? -EIO : d->lower->ops->list(d->lower, dir, cb, arg);
}

static inline int bad_space(struct backing *b, struct backing_space *out)
{
    struct bad_disk *d = bad_of(b);
    return bad_away(d) ? -EIO : d->lower->ops->space(d->lower, out);
}

static inline void bad_close(struct backing *b)
{
    struct bad_disk *d = bad_of(b);
    while (!d->kept && d->nodes) {
        struct bad_node *x = d->nodes;
        d->nodes = x->next;
        free(x->name);
        free(x->bad);
        free(x);
    }
    if (d->kept)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* lower is closed by the caller, after this. */
static inline struct bad_disk *bad_disk_create(struct backing *lower, bool late)
{
    static const struct backing_ops ops = { bad_open, bad_unlink, bad_rename, bad_mkdir, bad_sync_dir, bad_list, bad_space,
                                            .close = bad_close };
    struct bad_disk *d = calloc(1, sizeof(*d));
    d->b.ops = &ops;
    d->lower = lower;
    d->late = late;
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

static inline void bad_disk_sector(struct bad_disk *d, const char *name, uint32_t block)
{
    pthread_mutex_lock(&d->lock);
    struct bad_node *x = bad_node_of(d, name);
    x->bad = realloc(x->bad, (x->n + 1) * sizeof(*x->bad));
    x->bad[x->n++] = block;
    pthread_mutex_unlock(&d->lock);
}

/* From the next call but `after` on the disk is away, for `calls` calls; 0: until bad_disk_back. */
static inline void bad_disk_away(struct bad_disk *d, uint64_t after, uint64_t calls)
{
    uint64_t from = d->calls + after;
    d->away_to = 0;
    d->away_from = from;
    d->away_to = calls ? from + calls : UINT64_MAX;
}

static inline void bad_disk_back(struct bad_disk *d)
{
    d->away_to = 0;
}

#endif
