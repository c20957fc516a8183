/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attr.c: setattr with truncation, access times, and what a change takes away. */
#include "core/attr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"

enum { ATTR_SPACE = 1024, ACL_MAX = 8 + 8 * 512 };

static const int64_t day_ns = INT64_C(86400) * 1000000000;

uint32_t killed_mode(uint32_t mode)
{
    if (S_ISDIR(mode))
        return mode;
    mode &= ~(uint32_t)S_ISUID;
    return mode & S_IXGRP ? mode & ~(uint32_t)S_ISGID : mode;
}

int log_image(struct holofs *fs, struct inode *i, const struct inode_image *img, enum record_kind kind)
{
    uint8_t space[256];
    struct rec r;
    uint64_t txg;
    rec_begin(&r, space, sizeof(space), kind, img->ctime);
    rec_inode(&r, img);
    int e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (e)
        return e;
    i->img = *img;
    inode_dirty(i, txg);
    return 0;
}

static bool atime_due(const struct holofs *fs, const struct inode_image *img, int64_t now)
{
    if (fs->read_only || fs->opt.atime == HOLOFS_ATIME_NEVER || (fs->opt.no_dir_atime && S_ISDIR(img->mode)))
        return false;
    if (fs->opt.atime == HOLOFS_ATIME_ALWAYS)
        return true;
    return img->atime <= img->mtime || img->atime <= img->ctime || now - img->atime >= day_ns;
}

void touch_atime(struct holofs *fs, struct inode *i)
{
    int64_t now = clock_real_ns();
    mutex_lock(&i->lock);
    if (atime_due(fs, &i->img, now) && !i->gone && !log_writable(fs)) {
        struct inode_image img = i->img;
        img.atime = now;
        log_image(fs, i, &img, REC_SETATTR);
    }
    mutex_unlock(&i->lock);
}

void holofs_accessed(struct holofs *fs, uint64_t ino)
{
    struct inode *i;
    if (fs->read_only || fs->opt.atime == HOLOFS_ATIME_NEVER || inode_get(fs, ino, &i))
        return;
    touch_atime(fs, i);
    inode_put(fs, i);
}

/* ---- setattr ---- */

static void set_times(const struct holofs_setattr *s, bool from_above, struct inode_image *img, int64_t now)
{
    if (s->set & HOLOFS_SET_ATIME)
        img->atime = s->set & HOLOFS_SET_ATIME_NOW ? now : s->atime_ns;
    if (s->set & HOLOFS_SET_MTIME)
        img->mtime = s->set & HOLOFS_SET_MTIME_NOW ? now : s->mtime_ns;
    if (s->set & HOLOFS_SET_CTIME)
        img->ctime = s->ctime_ns;
    else if (!from_above)
        img->ctime = now;
}

/* chmod keeps an access ACL in step. The changed value goes into the record and, once that is logged, into memory. */
static int chmod_acl(struct holofs *fs, struct inode *i, uint32_t mode, struct rec *r, uint8_t *acl, size_t *acl_len)
{
    *acl_len = 0;
    if (!(i->img.flags & INODE_HAS_XATTR))
        return 0;
    int e = inode_load_xattrs(fs, i);
    struct xattr *x = e ? NULL : xattr_find(i, "system.posix_acl_access");
    if (!x || x->len > ACL_MAX)
        return e;
    memcpy(acl, x->value, x->len);
    e = acl_chmod(acl, x->len, mode);
    if (e)
        return e;
    *acl_len = x->len;
    rec_xattr(r, i->ino, x->name, x->name_len, acl, x->len);
    return 0;
}

/* Who writes to, truncates or gives away a file takes its capabilities. */
static int kill_capability(struct holofs *fs, struct inode *i, struct rec *r, bool *had)
{
    *had = false;
    if (!(i->img.flags & INODE_HAS_XATTR))
        return 0;
    int e = inode_load_xattrs(fs, i);
    if (e)
        return e;
    *had = xattr_find(i, "security.capability") != NULL;
    if (*had)
        rec_xattr_gone(r, i->ino, "security.capability", strlen("security.capability"));
    return 0;
}

static void forget_capability(struct holofs *fs, struct inode *i)
{
    for (struct xattr **p = &i->xattrs; *p; p = &(*p)->next) {
        struct xattr *x = *p;
        if (strcmp(x->name, "security.capability") != 0)
            continue;
        *p = x->next;
        xattr_free(fs, x);
        return;
    }
}

/* Cut [size, old size) off: the record's item, and the new size in the image. */
static int prepare_shrink(struct holofs *fs, struct inode *i, uint64_t size, struct inode_image *img, struct rec *r, struct punch *p)
{
    *p = (struct punch){ .off = size, .end = i->img.size };
    int e = punch_prepare(fs, i, p);
    if (!e)
        rec_range_gone(r, i->ino, size, HOLO_FILE_SIZE_MAX - size);
    img->size = size;
    return e;
}

static int setattr_locked(struct holofs *fs, struct inode *i, const struct holofs_setattr *s)
{
    uint8_t space[ATTR_SPACE + ACL_MAX], acl[ACL_MAX];
    size_t acl_len = 0;
    bool capability = false;
    struct rec r;
    uint64_t txg;
    int64_t now = clock_real_ns();
    struct punch p;
    struct inode_image img = i->img;
    bool resize = (s->set & HOLOFS_SET_SIZE) != 0, shrink = resize && s->size < img.size;
    int e = 0;
    if (resize && !S_ISREG(img.mode))
        return S_ISDIR(img.mode) ? -EISDIR : -EINVAL;
    if (resize && s->size > HOLO_FILE_SIZE_MAX)
        return -EFBIG;
    rec_begin(&r, space, sizeof(space), resize ? REC_TRUNCATE : REC_SETATTR, now);
    if (s->set & HOLOFS_SET_MODE) {
        img.mode = (img.mode & S_IFMT) | (s->mode & 07777);
        e = chmod_acl(fs, i, img.mode, &r, acl, &acl_len);
    }
    if (s->set & HOLOFS_SET_UID)
        img.uid = s->uid;
    if (s->set & HOLOFS_SET_GID)
        img.gid = s->gid;
    if (!e && (s->set & (HOLOFS_SET_KILL_PRIV | HOLOFS_SET_KILL_CAP | HOLOFS_SET_UID | HOLOFS_SET_GID))) {
        if (!(s->set & (HOLOFS_SET_MODE | HOLOFS_SET_KILL_CAP)))
            img.mode = killed_mode(img.mode);
        e = kill_capability(fs, i, &r, &capability);
    }
    set_times(s, inode_times_from_above(fs, i), &img, now);
    if (resize && !(s->set & HOLOFS_SET_MTIME) && !inode_times_from_above(fs, i))
        img.mtime = now;
    if (!e && shrink)
        e = prepare_shrink(fs, i, s->size, &img, &r, &p);
    else if (resize)
        img.size = s->size;
    if (e)
        return e;
    if (shrink) { /* punch a copy's worth first: the image carries the result */
        e = punch_windows(fs, i, &p);
        img.stored += (uint64_t)p.delta;
    }
    rec_inode(&r, &img);
    if (!e)
        e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (e) {
        if (shrink)
            fs_fail(fs, e, "truncate");
        return e;
    }
    if (shrink)
        punch_logged(i, &p, txg);
    i->img = img;
    inode_dirty(i, txg);
    if (acl_len)
        memcpy(xattr_find(i, "system.posix_acl_access")->value, acl, acl_len);
    if (capability)
        forget_capability(fs, i);
    return 0;
}

void holofs_times_from_above(struct holofs *fs)
{
    fs->times_from_above = true;
}

int holofs_setattr(struct holofs *fs, uint64_t ino, const struct holofs_setattr *s, struct holofs_attr *out)
{
    struct inode *i;
    int e = log_throttle(fs);
    if (!e)
        e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&i->lock);
    e = setattr_locked(fs, i, s);
    inode_to_attr(i, out);
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

/* ---- fallocate ---- */

static int check_range(uint64_t off, uint64_t len)
{
    if (len == 0)
        return -EINVAL;
    return off > HOLO_FILE_SIZE_MAX || len > HOLO_FILE_SIZE_MAX - off ? -EFBIG : 0;
}

static int punch_locked(struct holofs *fs, struct inode *i, uint64_t off, uint64_t end, uint64_t size)
{
    uint8_t space[512];
    struct rec r;
    uint64_t txg;
    int64_t now = clock_real_ns();
    uint64_t cut = end < i->img.size ? end : i->img.size;
    struct punch p = { .off = off, .end = cut };
    int e = off < cut ? punch_prepare(fs, i, &p) : 0;
    if (e)
        return e;
    struct inode_image img = i->img;
    if (!fs->times_from_above)
        img.mtime = img.ctime = now;
    img.size = size > img.size ? size : img.size;
    rec_begin(&r, space, sizeof(space), REC_PUNCH, now);
    if (off < cut) {
        rec_range_gone(&r, i->ino, off, end - off);
        e = punch_windows(fs, i, &p);
        img.stored += (uint64_t)p.delta;
    }
    rec_inode(&r, &img);
    if (!e)
        e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (e) {
        if (off < cut)
            fs_fail(fs, e, "punch");
        return e;
    }
    punch_logged(i, &p, txg);
    i->img = img;
    inode_dirty(i, txg);
    return 0;
}

static int allocate_locked(struct holofs *fs, struct inode *i, uint64_t end, bool keep)
{
    struct holofs_space sp;
    struct inode_image img = i->img;
    int e = holofs_statfs(fs, &sp);
    if (e)
        return e;
    uint64_t have = img.stored, want = end;
    if (want > have && want - have > sp.free_bytes)
        return -ENOSPC;
    if (keep)
        return 0;
    if (!fs->times_from_above)
        img.mtime = img.ctime = clock_real_ns();
    img.size = end > img.size ? end : img.size;
    return log_image(fs, i, &img, REC_TRUNCATE);
}

int holofs_fallocate(struct holofs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
    struct inode *i;
    int e = check_range(off, len);
    if (!e)
        e = log_throttle(fs);
    if (!e)
        e = inode_get(fs, ino, &i);
    if (e)
        return e;
    bool keep = mode & HOLOFS_FALLOC_KEEP_SIZE;
    mutex_lock(&i->lock);
    uint64_t end = off + len, size = keep ? 0 : end;
    switch (mode & ~HOLOFS_FALLOC_KEEP_SIZE) {
    case 0:
        e = allocate_locked(fs, i, end, keep);
        break;
    case HOLOFS_FALLOC_PUNCH_HOLE:
        e = keep ? punch_locked(fs, i, off, end, 0) : -EOPNOTSUPP;
        break;
    case HOLOFS_FALLOC_ZERO_RANGE:
        e = punch_locked(fs, i, off, end, size);
        break;
    default:
        e = -EOPNOTSUPP;
    }
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}
