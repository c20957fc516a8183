/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * namei.c: operations on names: lookup, link, unlink, rename.
 *
 * Each is one record with absolute images of every inode it touches. NS is held over the whole operation, the
 * inodes' locks while their images are read, logged and replaced. Memory changes only after the log took the
 * record.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"
#include "core/namei.h"

enum { OP_SPACE = 2048 + 4096 };

void inode_to_attr(struct inode *i, struct holofs_attr *out)
{
    const struct inode_image *img = &i->img;
    *out = (struct holofs_attr){ .ino = img->ino, .size = img->size, .stored = img->stored, .gen = img->gen, .mode = img->mode,
                                 .nlink = img->nlink, .uid = img->uid, .gid = img->gid, .rdev = img->rdev, .atime_ns = img->atime,
                                 .mtime_ns = img->mtime, .ctime_ns = img->ctime, .btime_ns = img->btime, .settled = i->opens == 0 && S_ISREG(i->type) };
    i->told |= out->settled;
    out->settled |= !S_ISREG(i->type);
}

static void copy_attr(struct inode *i, struct holofs_attr *out)
{
    mutex_lock(&i->lock);
    inode_to_attr(i, out);
    mutex_unlock(&i->lock);
}

/* An image with a new change time, unless that comes from above. */
static struct inode_image changed(const struct holofs *fs, const struct inode *i, int64_t now)
{
    struct inode_image img = i->img;
    if (!inode_times_from_above(fs, i))
        img.ctime = now;
    return img;
}

struct inode_image changed_dir(const struct inode *dir, int64_t now, int links)
{
    struct inode_image img = dir->img;
    img.mtime = img.ctime = now;
    img.nlink = (uint32_t)((int)img.nlink + links);
    return img;
}

/* Several inodes are locked in order of their numbers (NS held). */
static void lock_inodes(struct inode **v, size_t n)
{
    for (size_t k = 1; k < n; k++) {
        for (size_t j = k; j > 0 && v[j - 1]->ino > v[j]->ino; j--) {
            struct inode *t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    }
    for (size_t k = 0; k < n; k++)
        mutex_lock(&v[k]->lock);
}

static void unlock_inodes(struct inode **v, size_t n)
{
    while (n-- > 0)
        mutex_unlock(&v[n]->lock);
}

void inode_take(struct inode *i, const struct inode_image *img, uint64_t txg)
{
    i->img = *img;
    inode_dirty(i, txg);
}

int get_dir(struct holofs *fs, uint64_t ino, struct inode **out)
{
    int e = inode_get(fs, ino, out);
    if (e)
        return e;
    mutex_lock(&(*out)->lock);
    uint32_t links = (*out)->img.nlink;
    mutex_unlock(&(*out)->lock);
    if (S_ISDIR((*out)->type) && links > 0)
        return 0;
    e = S_ISDIR((*out)->type) ? -ENOENT : -ENOTDIR;
    inode_put(fs, *out);
    return e;
}

static uint64_t parent_of(struct inode *i)
{
    mutex_lock(&i->lock);
    uint64_t parent = i->img.parent;
    mutex_unlock(&i->lock);
    return parent;
}

int holofs_lookup(struct holofs *fs, uint64_t parent, const char *name, struct holofs_attr *out)
{
    struct dentry *d;
    struct inode *i;
    mutex_lock(&fs->ns_lock);
    int e;
    if (strcmp(name, "..") == 0 || strcmp(name, ".") == 0) {
        e = inode_get(fs, parent, &i);
        if (!e && name[1]) {
            uint64_t up = parent_of(i);
            inode_put(fs, i);
            e = inode_get(fs, up, &i);
        }
    } else {
        e = dentry_find(fs, parent, name, strlen(name), &d);
        if (!e)
            e = d->ino ? inode_get(fs, d->ino, &i) : -ENOENT;
    }
    mutex_unlock(&fs->ns_lock);
    if (e)
        return e;
    inode_lookup_ref(fs, i, 1);
    copy_attr(i, out);
    inode_put(fs, i);
    return 0;
}

int holofs_get(struct holofs *fs, uint64_t ino, struct holofs_attr *out)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    inode_lookup_ref(fs, i, 1);
    copy_attr(i, out);
    inode_put(fs, i);
    return 0;
}

int holofs_getattr(struct holofs *fs, uint64_t ino, struct holofs_attr *out)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    copy_attr(i, out);
    inode_put(fs, i);
    return 0;
}

bool holofs_attr_stale(struct holofs *fs, uint64_t ino)
{
    struct inode *i;
    if (inode_get(fs, ino, &i))
        return false;
    mutex_lock(&i->lock);
    bool stale = i->stale;
    if (stale)
        i->stale = i->told = false;
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return stale;
}

int holofs_readlink(struct holofs *fs, uint64_t ino, char *buf, size_t cap)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&i->lock);
    size_t len = 0;
    if (!S_ISLNK(i->type)) {
        e = -EINVAL;
    } else if (i->target) {
        len = strlen(i->target);
        e = len < cap ? 0 : -ENAMETOOLONG;
        memcpy(buf, i->target, len < cap ? len : 0);
    } else {
        mutex_lock(&fs->reader_lock);
        e = meta_read_symlink(fs->reader, ino, buf, cap - 1, &len);
        e = reader_unlock(fs, e);
    }
    mutex_unlock(&i->lock);
    if (!e) {
        buf[len] = 0;
        touch_atime(fs, i);
    }
    inode_put(fs, i);
    return e ? e : (int)len;
}

/* ---- link ---- */

static int link_locked(struct holofs *fs, struct inode *i, struct inode *dir, const char *name)
{
    uint8_t space[OP_SPACE];
    struct dentry *d;
    struct rec r;
    uint64_t txg;
    size_t len = strlen(name);
    int e = dentry_find(fs, dir->ino, name, len, &d);
    if (e)
        return e;
    if (d->ino)
        return -EEXIST;
    if (S_ISDIR(i->type))
        return -EPERM;
    int64_t now = clock_real_ns();
    uint64_t cookie = fs->next_cookie++;
    struct inode *both[2] = { dir, i };
    lock_inodes(both, 2);
    struct inode_image img = changed(fs, i, now), dimg = changed_dir(dir, now, 0);
    img.nlink++;
    img.parent = i->orphan ? dir->ino : img.parent;
    rec_begin(&r, space, sizeof(space), REC_LINK, now);
    rec_inode(&r, &img);
    if (i->orphan)
        rec_orphan(&r, i->ino, true);
    rec_inode(&r, &dimg);
    rec_entry(&r, dir->ino, i->ino, cookie, IFTODT(img.mode), name, len);
    if (i->img.nlink == 0 && !i->linkable)
        e = -ENOENT;
    else if (i->img.nlink >= 0x7fffffff)
        e = -EMLINK;
    else
        e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (!e) {
        inode_take(i, &img, txg);
        inode_take(dir, &dimg, txg);
        i->orphan = i->linkable = false;
    }
    unlock_inodes(both, 2);
    if (e)
        return e;
    dentry_trim_dirty(fs, dir);
    dentry_set(fs, d, dir, i->ino, IFTODT(img.mode), cookie, txg);
    return 0;
}

int holofs_link(struct holofs *fs, uint64_t ino, uint64_t parent, const char *name, struct holofs_attr *out)
{
    struct inode *i, *dir;
    int e = log_grow(fs);
    if (e)
        return e;
    e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&fs->ns_lock);
    e = get_dir(fs, parent, &dir);
    if (!e) {
        e = link_locked(fs, i, dir, name);
        inode_put(fs, dir);
    }
    mutex_unlock(&fs->ns_lock);
    if (!e) {
        inode_lookup_ref(fs, i, 1);
        copy_attr(i, out);
    }
    inode_put(fs, i);
    return e;
}

/* ---- unlink, rmdir ---- */

/* What becomes of an inode that loses a name: one link less, an orphan when it was the last (lock held). */
static struct inode_image lose_name(const struct holofs *fs, const struct inode *i, int64_t now)
{
    struct inode_image img = changed(fs, i, now);
    img.nlink = S_ISDIR(img.mode) ? 0 : img.nlink - 1;
    return img;
}

static int may_remove(struct holofs *fs, struct inode *i, bool dir)
{
    if (S_ISDIR(i->type) != dir)
        return dir ? -ENOTDIR : -EISDIR;
    if (!dir)
        return 0;
    int empty = dir_is_empty(fs, i);
    return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

static int remove_locked(struct holofs *fs, struct inode *dir, struct dentry *d, struct inode *i, bool is_dir)
{
    uint8_t space[OP_SPACE];
    struct rec r;
    uint64_t txg;
    int e = may_remove(fs, i, is_dir);
    if (e)
        return e;
    int64_t now = clock_real_ns();
    struct inode *both[2] = { dir, i };
    lock_inodes(both, 2);
    struct inode_image img = lose_name(fs, i, now), dimg = changed_dir(dir, now, is_dir ? -1 : 0);
    rec_begin(&r, space, sizeof(space), is_dir ? REC_RMDIR : REC_UNLINK, now);
    rec_entry_gone(&r, dir->ino, d->name, d->name_len);
    rec_inode(&r, &img);
    if (img.nlink == 0)
        rec_orphan(&r, i->ino, false);
    rec_inode(&r, &dimg);
    e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (!e) {
        inode_take(i, &img, txg);
        inode_take(dir, &dimg, txg);
        i->orphan = img.nlink == 0;
    }
    unlock_inodes(both, 2);
    if (e)
        return e;
    dentry_trim_dirty(fs, dir);
    dentry_set(fs, d, dir, 0, 0, 0, txg);
    return 0;
}

static int remove_name(struct holofs *fs, uint64_t parent, const char *name, bool is_dir)
{
    struct inode *dir, *i = NULL;
    struct dentry *d;
    int e = log_throttle(fs);
    if (e)
        return e;
    mutex_lock(&fs->ns_lock);
    e = get_dir(fs, parent, &dir);
    if (!e) {
        e = dentry_find(fs, parent, name, strlen(name), &d);
        if (!e)
            e = d->ino ? inode_get(fs, d->ino, &i) : -ENOENT;
        if (!e)
            e = remove_locked(fs, dir, d, i, is_dir);
        inode_put(fs, dir);
    }
    mutex_unlock(&fs->ns_lock);
    if (i)
        inode_put(fs, i);
    return e;
}

int holofs_unlink(struct holofs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, false);
}

int holofs_rmdir(struct holofs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, true);
}

/* ---- rename ---- */

struct renaming {
    struct inode *from_dir, *to_dir, *src, *dst; /* dst: what is replaced or exchanged, may be NULL */
    struct dentry *from, *to;
    unsigned flags;
};

/* Would a directory become its own descendant? */
static int is_ancestor(struct holofs *fs, uint64_t dir, uint64_t of)
{
    while (of != INO_ROOT) {
        struct inode *i;
        if (of == dir)
            return 1;
        int e = inode_get(fs, of, &i);
        if (e)
            return e;
        of = parent_of(i);
        inode_put(fs, i);
    }
    return dir == INO_ROOT;
}

static int may_rename(struct holofs *fs, const struct renaming *x)
{
    bool src_dir = S_ISDIR(x->src->type), dst_dir = x->dst && S_ISDIR(x->dst->type);
    if (x->dst && (x->flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (src_dir) {
        int a = is_ancestor(fs, x->src->ino, x->to_dir->ino);
        if (a)
            return a < 0 ? a : -EINVAL;
    }
    if (x->flags & RENAME_EXCHANGE) {
        if (!x->dst)
            return -ENOENT;
        int a = dst_dir ? is_ancestor(fs, x->dst->ino, x->from_dir->ino) : 0;
        return a < 0 ? a : a ? -EINVAL : 0;
    }
    if (!x->dst)
        return 0;
    if (src_dir && !dst_dir)
        return -ENOTDIR;
    if (!src_dir && dst_dir)
        return -EISDIR;
    return dst_dir ? may_remove(fs, x->dst, true) : 0;
}

/* The inodes of a rename, each once. */
static size_t involved(const struct renaming *x, struct inode *v[4])
{
    struct inode *all[4] = { x->from_dir, x->to_dir, x->src, x->dst };
    size_t n = 0;
    for (size_t k = 0; k < 4; k++) {
        bool there = all[k] == NULL;
        for (size_t j = 0; j < n; j++)
            there |= v[j] == all[k];
        if (!there)
            v[n++] = all[k];
    }
    return n;
}

struct rename_images {
    struct inode_image from_dir, to_dir, src, dst;
};

/* The images after the rename; with one directory, its image is to_dir's (locks held). */
static void rename_images(const struct holofs *fs, const struct renaming *x, int64_t now, struct rename_images *m)
{
    bool src_dir = S_ISDIR(x->src->type), dst_dir = x->dst && S_ISDIR(x->dst->type), exchange = x->flags & RENAME_EXCHANGE;
    bool moves = x->from_dir != x->to_dir;
    int from_links = 0, to_links = 0;
    if (src_dir && moves)
        from_links--, to_links++;
    if (dst_dir && exchange && moves)
        to_links--, from_links++;
    if (dst_dir && !exchange)
        to_links--;
    m->from_dir = changed_dir(x->from_dir, now, from_links);
    m->to_dir = changed_dir(x->to_dir, now, to_links);
    m->src = changed(fs, x->src, now);
    m->src.parent = x->to_dir->ino;
    if (!x->dst)
        return;
    m->dst = exchange ? changed(fs, x->dst, now) : lose_name(fs, x->dst, now);
    if (exchange)
        m->dst.parent = x->from_dir->ino;
}

static void rename_record(const struct renaming *x, const struct rename_images *m, const uint64_t cookie[2], struct rec *r)
{
    bool exchange = x->flags & RENAME_EXCHANGE;
    if (exchange)
        rec_entry(r, x->from_dir->ino, x->dst->ino, cookie[0], IFTODT(x->dst->type), x->from->name, x->from->name_len);
    else
        rec_entry_gone(r, x->from_dir->ino, x->from->name, x->from->name_len);
    rec_entry(r, x->to_dir->ino, x->src->ino, cookie[1], IFTODT(x->src->type), x->to->name, x->to->name_len);
    rec_inode(r, &m->src);
    if (x->dst) {
        rec_inode(r, &m->dst);
        if (!exchange && m->dst.nlink == 0)
            rec_orphan(r, x->dst->ino, false);
    }
    if (x->from_dir != x->to_dir)
        rec_inode(r, &m->from_dir);
    rec_inode(r, &m->to_dir);
}

static int rename_locked(struct holofs *fs, const struct renaming *x)
{
    uint8_t space[OP_SPACE];
    struct rename_images m;
    struct inode *v[4];
    struct rec r;
    uint64_t txg, cookie[2];
    bool exchange = x->flags & RENAME_EXCHANGE;
    int e = may_rename(fs, x);
    if (e)
        return e;
    if (x->src == x->dst)
        return 0;
    int64_t now = clock_real_ns();
    cookie[0] = exchange ? x->from->cookie : 0; /* a name that stays keeps its place in listings */
    cookie[1] = x->dst ? x->to->cookie : fs->next_cookie++;
    size_t n = involved(x, v);
    lock_inodes(v, n);
    rename_images(fs, x, now, &m);
    rec_begin(&r, space, sizeof(space), REC_RENAME, now);
    rename_record(x, &m, cookie, &r);
    e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (!e) {
        if (x->from_dir != x->to_dir)
            inode_take(x->from_dir, &m.from_dir, txg);
        inode_take(x->to_dir, &m.to_dir, txg);
        inode_take(x->src, &m.src, txg);
        if (x->dst) {
            inode_take(x->dst, &m.dst, txg);
            x->dst->orphan = !exchange && m.dst.nlink == 0;
        }
    }
    unlock_inodes(v, n);
    if (e)
        return e;
    dentry_trim_dirty(fs, x->from_dir);
    dentry_trim_dirty(fs, x->to_dir);
    if (exchange)
        dentry_set(fs, x->from, x->from_dir, x->dst->ino, IFTODT(x->dst->type), cookie[0], txg);
    else
        dentry_set(fs, x->from, x->from_dir, 0, 0, 0, txg);
    dentry_set(fs, x->to, x->to_dir, x->src->ino, IFTODT(x->src->type), cookie[1], txg);
    return 0;
}

/* Look both names up and rename (NS held, directories referenced). */
static int rename_in(struct holofs *fs, struct renaming *x, const char *name, const char *to_name)
{
    int e = dentry_find(fs, x->from_dir->ino, name, strlen(name), &x->from);
    if (!e && !x->from->ino)
        e = -ENOENT;
    if (!e)
        e = inode_get(fs, x->from->ino, &x->src);
    if (!e)
        e = dentry_find(fs, x->to_dir->ino, to_name, strlen(to_name), &x->to);
    if (!e) /* the second search may have evicted the first entry */
        e = dentry_find(fs, x->from_dir->ino, name, strlen(name), &x->from);
    if (!e && x->to->ino)
        e = inode_get(fs, x->to->ino, &x->dst);
    return e ? e : rename_locked(fs, x);
}

int holofs_rename(struct holofs *fs, uint64_t parent, const char *name, uint64_t to_parent, const char *to_name, unsigned flags)
{
    struct renaming x = { .flags = flags };
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int e = log_throttle(fs);
    if (e)
        return e;
    mutex_lock(&fs->ns_lock);
    e = get_dir(fs, parent, &x.from_dir);
    if (!e) {
        e = get_dir(fs, to_parent, &x.to_dir);
        if (!e) {
            e = rename_in(fs, &x, name, to_name);
            inode_put(fs, x.to_dir);
        }
        inode_put(fs, x.from_dir);
    }
    mutex_unlock(&fs->ns_lock);
    if (x.src)
        inode_put(fs, x.src);
    if (x.dst)
        inode_put(fs, x.dst);
    return e;
}
