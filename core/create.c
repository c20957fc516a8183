/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * create.c: new inodes, with a name or without (O_TMPFILE).
 *
 * One record with the new inode, what it inherits, and its name. Without a name it is an orphan from the start, as a
 * file is whose last name was removed: it goes with its last user or at the next mount, unless holofs_link names it.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/cache.h"
#include "core/namei.h"

enum { OP_SPACE = 2048 + 4096, ACL_MAX = 8 + 8 * 512 };

struct new_acls {
    uint8_t access[ACL_MAX], dflt[ACL_MAX];
    size_t access_len, default_len;
};

/* What the parent's default ACL (or the umask) makes of a new inode's mode. */
static int inherit(struct holofs *fs, struct inode *dir, const struct holofs_cred *cred, uint32_t *mode, struct new_acls *acl)
{
    acl->access_len = acl->default_len = 0;
    if (S_ISLNK(*mode))
        return 0;
    struct xattr *x = NULL;
    mutex_lock(&dir->lock);
    int e = dir->img.flags & INODE_HAS_XATTR ? inode_load_xattrs(fs, dir) : 0;
    if (!e && (dir->img.flags & INODE_HAS_XATTR))
        x = xattr_find(dir, "system.posix_acl_default");
    if (x && x->len <= ACL_MAX) {
        bool trivial;
        memcpy(acl->access, x->value, x->len);
        e = acl_inherit(acl->access, x->len, mode, &trivial);
        acl->access_len = trivial ? 0 : x->len;
        if (S_ISDIR(*mode)) {
            memcpy(acl->dflt, x->value, x->len);
            acl->default_len = x->len;
        }
    } else {
        *mode &= ~cred->umask;
    }
    mutex_unlock(&dir->lock);
    return e;
}

static int add_xattr(struct holofs *fs, struct inode *i, const char *name, const void *value, size_t len)
{
    size_t n = strlen(name);
    struct xattr *x = calloc(1, sizeof(*x) + n + 1);
    if (!x)
        return -ENOMEM;
    x->value = malloc(len ? len : 1);
    if (!x->value) {
        free(x);
        return -ENOMEM;
    }
    memcpy(x->name, name, n);
    memcpy(x->value, value, len);
    x->name_len = n;
    x->len = len;
    xattr_add(fs, i, x);
    return 0;
}

static const char acl_access_name[] = "system.posix_acl_access", acl_default_name[] = "system.posix_acl_default";

static void rec_acls(struct rec *r, uint64_t ino, const struct new_acls *acl)
{
    if (acl->access_len)
        rec_xattr(r, ino, acl_access_name, sizeof(acl_access_name) - 1, acl->access, acl->access_len);
    if (acl->default_len)
        rec_xattr(r, ino, acl_default_name, sizeof(acl_default_name) - 1, acl->dflt, acl->default_len);
}

static int keep_acls(struct holofs *fs, struct inode *i, const struct new_acls *acl)
{
    int e = acl->access_len ? add_xattr(fs, i, acl_access_name, acl->access, acl->access_len) : 0;
    return !e && acl->default_len ? add_xattr(fs, i, acl_default_name, acl->dflt, acl->default_len) : e;
}

static enum record_kind kind_of(uint32_t mode)
{
    if (S_ISDIR(mode))
        return REC_MKDIR;
    if (S_ISLNK(mode))
        return REC_SYMLINK;
    return S_ISREG(mode) ? REC_CREATE : REC_MKNOD;
}

static struct inode_image new_image(struct holofs *fs, struct inode *dir, const struct holofs_cred *cred, uint32_t mode, uint32_t rdev,
                                    const char *target, int64_t now)
{
    struct inode_image img = { .ino = fs->next_ino++, .parent = dir->ino, .atime = now, .mtime = now, .ctime = now, .btime = now,
                               .gen = 1, .mode = mode, .uid = cred->uid, .gid = cred->gid, .rdev = rdev };
    img.nlink = S_ISDIR(mode) ? 2 : 1;
    if (S_ISLNK(mode))
        img.size = strlen(target);
    mutex_lock(&dir->lock);
    uint32_t dir_mode = dir->img.mode, dir_gid = dir->img.gid;
    mutex_unlock(&dir->lock);
    if (dir_mode & S_ISGID) {
        img.gid = dir_gid;
        if (S_ISDIR(mode))
            img.mode |= S_ISGID;
    }
    return img;
}

/* A new inode in memory, with what it inherits; `now` is its birth. */
static int make_inode(struct holofs *fs, const struct holofs_cred *cred, struct inode *dir, uint32_t mode, uint32_t rdev, const char *target,
                      int64_t now, struct new_acls *acl, struct inode **out)
{
    int e = inherit(fs, dir, cred, &mode, acl);
    if (e)
        return e;
    struct inode_image img = new_image(fs, dir, cred, mode, rdev, target, now);
    img.flags = acl->access_len || acl->default_len ? INODE_HAS_XATTR : 0;
    struct inode *i = inode_new(fs, &img);
    if (!i)
        return -ENOMEM;
    e = keep_acls(fs, i, acl);
    if (!e && target && !(i->target = strdup(target)))
        e = -ENOMEM;
    if (e) {
        i->gone = true;
        inode_put(fs, i);
        return e;
    }
    *out = i;
    return 0;
}

/* The log took the inode as of txg, or refused it with e. */
static int born(struct holofs *fs, struct inode *i, int e, uint64_t txg, struct inode **out)
{
    if (e) {
        i->gone = true;
        inode_put(fs, i);
        return e;
    }
    inode_dirty(i, txg);
    fs->n_files++;
    *out = i;
    return 0;
}

static int create_locked(struct holofs *fs, const struct holofs_cred *cred, struct inode *dir, const char *name, uint32_t mode,
                         uint32_t rdev, const char *target, struct inode **out)
{
    uint8_t space[2 * ACL_MAX + OP_SPACE];
    struct dentry *d;
    struct new_acls acl;
    struct inode *i;
    size_t len = strlen(name);
    int64_t now = clock_real_ns();
    int e = dentry_find(fs, dir->ino, name, len, &d);
    if (e)
        return e;
    if (d->ino)
        return -EEXIST;
    e = make_inode(fs, cred, dir, mode, rdev, target, now, &acl, &i);
    if (e)
        return e;
    uint64_t cookie = fs->next_cookie++, txg = 0;
    struct rec r;
    mutex_lock(&dir->lock);
    struct inode_image dimg = changed_dir(dir, now, S_ISDIR(mode));
    rec_begin(&r, space, sizeof(space), kind_of(mode), now);
    rec_inode(&r, &i->img);
    if (target)
        rec_symlink(&r, i->ino, target, strlen(target));
    rec_acls(&r, i->ino, &acl);
    rec_inode(&r, &dimg);
    rec_entry(&r, dir->ino, i->ino, cookie, IFTODT(mode), name, len);
    e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (!e)
        inode_take(dir, &dimg, txg);
    mutex_unlock(&dir->lock);
    if (!e) {
        dentry_trim_dirty(fs, dir);
        dentry_set(fs, d, dir, i->ino, IFTODT(mode), cookie, txg);
    }
    return born(fs, i, e, txg, out);
}

static int create_unnamed_locked(struct holofs *fs, const struct holofs_cred *cred, struct inode *dir, uint32_t mode, struct inode **out)
{
    uint8_t space[2 * ACL_MAX + OP_SPACE];
    struct new_acls acl;
    struct inode *i;
    struct rec r;
    uint64_t txg = 0;
    int64_t now = clock_real_ns();
    int e = make_inode(fs, cred, dir, mode, 0, NULL, now, &acl, &i);
    if (e)
        return e;
    i->img.nlink = 0;
    rec_begin(&r, space, sizeof(space), REC_CREATE, now);
    rec_inode(&r, &i->img);
    rec_acls(&r, i->ino, &acl);
    rec_orphan(&r, i->ino, false);
    e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    i->orphan = i->linkable = !e;
    return born(fs, i, e, txg, out);
}

int holofs_create(struct holofs *fs, const struct holofs_cred *cred, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
                  const char *symlink_target, struct holofs_attr *out)
{
    struct inode *dir, *i = NULL;
    if (S_ISLNK(mode) && strlen(symlink_target) > META_SYMLINK_MAX)
        return -ENAMETOOLONG;
    int e = log_grow(fs);
    if (e)
        return e;
    mutex_lock(&fs->ns_lock);
    e = get_dir(fs, parent, &dir);
    if (!e) {
        e = name ? create_locked(fs, cred, dir, name, mode, rdev, symlink_target, &i) : create_unnamed_locked(fs, cred, dir, mode, &i);
        inode_put(fs, dir);
    }
    mutex_unlock(&fs->ns_lock);
    if (e)
        return e;
    inode_lookup_ref(fs, i, 1);
    mutex_lock(&i->lock);
    inode_to_attr(i, out);
    out->settled = !S_ISREG(i->type); /* it will be written */
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return 0;
}
