/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dir.c: listings, with offsets that stay valid while entries come and go.
 *
 * An entry's offset is its cookie: a number that only grows, given when the name is made, and kept for as long as there is the
 * name, whatever it leads to. What the index has comes first; every change it does not know yet is in the directory's dirty
 * lists, and those that add a name have cookies above all that the index has. Offsets 1 and 2 are "." and "..".
 * So a name that is there throughout is listed exactly once. One that comes after the listing began is not listed: a caller that
 * renames what it meets comes to an end.
 *
 * Entries are fetched in batches, and a batch counts only while no name of the directory changes: what is listed is there.
 * (A cache above may keep an entry that is listed with its inode for long: one that is gone would come to life again.)
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"

enum { BATCH = 1024, BATCH_MIN = 64, FIRST_COOKIE = 3 };

struct row {
    uint64_t ino, cookie;
    uint32_t type, name_off;
};

struct holofs_dir {
    struct holofs *fs;
    uint64_t ino;
    struct row row[BATCH]; /* the entries behind offset `after`, in order */
    size_t n, at;
    size_t most; /* of a batch: fewer while the directory changes, for they are fetched in vain */
    uint64_t after;
    uint64_t limit;        /* of cookies: names are younger than the listing from here on */
    bool filled, last;     /* last: nothing comes behind this batch */
    uint64_t changes, changed; /* fs->changes and the directory's when it was filled, or found unchanged since */
    struct buf names;
};

int holofs_opendir(struct holofs *fs, uint64_t ino, struct holofs_dir **out)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    bool dir = S_ISDIR(i->type);
    inode_put(fs, i);
    if (!dir)
        return -ENOTDIR;
    struct holofs_dir *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->fs = fs;
    d->ino = ino;
    d->most = BATCH;
    *out = d;
    return 0;
}

void holofs_closedir(struct holofs_dir *d)
{
    buf_fini(&d->names);
    free(d);
}

static int add_row(struct holofs_dir *d, uint64_t ino, uint64_t cookie, uint32_t type, const char *name, size_t len)
{
    d->row[d->n] = (struct row){ ino, cookie, type, (uint32_t)d->names.len };
    int e = buf_add(&d->names, name, len);
    if (!e)
        e = buf_add(&d->names, "", 1);
    d->n += !e;
    return e;
}

enum { FULL = 1, YOUNGER = 2 };

struct fill {
    struct holofs_dir *d;
    uint64_t applied;
    struct dentry *kept[BATCH]; /* dirty names in their old places: the first d->most behind d->after, in order */
    size_t n_kept, at_kept;
    bool more_kept;
};

static void gather_kept(struct fill *f, const struct inode *dir)
{
    for (struct dentry *t = dir->kept.first; t; t = t->dirty_next) {
        size_t k = f->n_kept;
        if (t->cookie <= f->d->after || t->cookie >= f->d->limit || t->dirty_txg <= f->applied)
            continue;
        if (k < f->d->most) {
            f->n_kept++;
        } else {
            f->more_kept = true;
            if (t->cookie > f->kept[--k]->cookie)
                continue;
        }
        for (; k > 0 && f->kept[k - 1]->cookie > t->cookie; k--)
            f->kept[k] = f->kept[k - 1];
        f->kept[k] = t;
    }
}

/* The next row, after the kept names that come before it: 0, FULL, or an error. */
static int add(struct fill *f, uint64_t ino, uint64_t cookie, uint32_t type, const char *name, size_t len)
{
    int e = 0;
    for (; !e && f->at_kept < f->n_kept && f->kept[f->at_kept]->cookie < cookie; f->at_kept++) {
        const struct dentry *t = f->kept[f->at_kept];
        if (f->d->n == f->d->most)
            return FULL;
        e = add_row(f->d, t->ino, t->cookie, t->type, t->name, t->name_len);
    }
    if (e || !name)
        return e;
    return f->d->n == f->d->most ? FULL : add_row(f->d, ino, cookie, type, name, len);
}

static int indexed_row(void *arg, const struct meta_dent *m)
{
    struct fill *f = arg;
    struct dentry *known = dentry_cached(f->d->fs, m->parent, m->name, m->name_len);
    if (m->cookie >= f->d->limit)
        return YOUNGER;
    if (known && known->dirty_txg > f->applied)
        return 0;
    return add(f, m->ino, m->cookie, m->type, m->name, m->name_len);
}

/* What the index does not know (NS held). */
static int add_dirty(struct fill *f, const struct inode *dir)
{
    int e = 0;
    for (struct dentry *t = dir->dirty.first; t && e == 0; t = t->dirty_next) {
        if (t->ino && t->cookie > f->d->after && t->cookie < f->d->limit && t->dirty_txg > f->applied)
            e = add(f, t->ino, t->cookie, t->type, t->name, t->name_len);
    }
    return e ? e : add(f, 0, UINT64_MAX, 0, NULL, 0);
}

/* The next batch behind `after`. */
static int fill(struct holofs_dir *d, uint64_t after)
{
    struct holofs *fs = d->fs;
    struct inode *dir;
    struct fill f = { .d = d };
    d->n = d->at = d->names.len = 0;
    d->after = after;
    int e = inode_get(fs, d->ino, &dir);
    if (e)
        return e;
    mutex_lock(&fs->ns_lock);
    d->changes = fs->changes;
    d->changed = dir->changed;
    f.applied = fs->applied_txg;
    gather_kept(&f, dir);
    mutex_lock(&fs->reader_lock);
    e = meta_read_dir(fs->reader, d->ino, after < FIRST_COOKIE ? 0 : after, indexed_row, &f);
    e = reader_unlock(fs, e);
    if (e == 0 || e == YOUNGER)
        e = add_dirty(&f, dir);
    d->last = e == 0 && !f.more_kept;
    mutex_unlock(&fs->ns_lock);
    inode_put(fs, dir);
    d->filled = e >= 0;
    return e < 0 ? e : 0;
}

static int dot(struct holofs_dir *d, uint64_t off, struct holofs_dirent *out)
{
    struct inode *i;
    int e = inode_get(d->fs, d->ino, &i);
    if (e)
        return e;
    mutex_lock(&i->lock);
    uint64_t parent = i->img.parent;
    mutex_unlock(&i->lock);
    *out = (struct holofs_dirent){ .name = off ? ".." : ".", .ino = off ? parent : d->ino, .next = off + 1, .type = DT_DIR };
    if (off == 0)
        touch_atime(d->fs, i);
    inode_put(d->fs, i);
    return 1;
}

/* Is the batch still what the directory has? */
static bool is_current(struct holofs_dir *d)
{
    struct inode *i;
    uint64_t changes = d->fs->changes;
    if (changes == d->changes)
        return true;
    if (inode_get(d->fs, d->ino, &i))
        return false;
    bool same = i->changed == d->changed;
    inode_put(d->fs, i);
    if (same)
        d->changes = changes;
    return same;
}

int holofs_readdir(struct holofs_dir *d, uint64_t off, struct holofs_dirent *out)
{
    if (off == 0 || d->limit == 0)
        d->limit = d->fs->next_cookie;
    if (off < 2) {
        d->filled = false;
        return dot(d, off, out);
    }
    bool old = d->filled && !is_current(d);
    if (old)
        d->most = BATCH_MIN;
    if (!d->filled || off < d->after || old) {
        int e = fill(d, off);
        if (e)
            return e;
    }
    while (d->at > 0 && d->row[d->at - 1].cookie > off)
        d->at--;
    for (;;) {
        while (d->at < d->n && d->row[d->at].cookie <= off)
            d->at++;
        if (d->at < d->n)
            break;
        if (d->last)
            return 0;
        d->most = d->most * 4 < BATCH ? d->most * 4 : BATCH;
        int e = fill(d, off);
        if (e)
            return e;
    }
    const struct row *r = &d->row[d->at];
    *out = (struct holofs_dirent){ .name = (const char *)d->names.p + r->name_off, .ino = r->ino, .next = r->cookie, .type = r->type };
    return 1;
}
