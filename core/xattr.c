/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr.c: extended attributes; the ACL ones change the mode too. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"

static const char acl_access[] = "system.posix_acl_access", acl_default[] = "system.posix_acl_default";

static struct xattr *make(const char *name, size_t name_len, const void *value, size_t len)
{
    struct xattr *x = calloc(1, sizeof(*x) + name_len + 1);
    uint8_t *v = malloc(len ? len : 1);
    if (!x || !v) {
        free(x);
        free(v);
        return NULL;
    }
    memcpy(x->name, name, name_len);
    if (len)
        memcpy(v, value, len);
    x->value = v;
    x->name_len = name_len;
    x->len = len;
    return x;
}

void xattr_free(struct holofs *fs, struct xattr *x)
{
    if (!x)
        return;
    fs->loaded_bytes -= x->charged;
    free(x->value);
    free(x);
}

void xattr_add(struct holofs *fs, struct inode *i, struct xattr *x)
{
    x->charged = sizeof(*x) + x->name_len + x->len + 48;
    fs->loaded_bytes += x->charged;
    x->next = i->xattrs;
    i->xattrs = x;
}

struct load {
    struct holofs *fs;
    struct inode *i;
};

static int load_one(void *arg, const char *name, size_t name_len, const void *value, size_t len)
{
    struct load *l = arg;
    struct xattr *x = make(name, name_len, value, len);
    if (!x)
        return -ENOMEM;
    xattr_add(l->fs, l->i, x);
    return 0;
}

int inode_load_xattrs(struct holofs *fs, struct inode *i)
{
    if (i->xattrs_loaded)
        return 0;
    int e = 0;
    struct load l = { fs, i };
    if (i->img.flags & INODE_HAS_XATTR) {
        mutex_lock(&fs->reader_lock);
        e = meta_read_xattrs(fs->reader, i->ino, load_one, &l);
        e = reader_unlock(fs, e);
    }
    if (e) {
        while (i->xattrs) {
            struct xattr *x = i->xattrs;
            i->xattrs = x->next;
            xattr_free(fs, x);
        }
        return e;
    }
    i->xattrs_loaded = true;
    return 0;
}

struct xattr *xattr_find(struct inode *i, const char *name)
{
    struct xattr *x = i->xattrs;
    while (x && strcmp(x->name, name) != 0)
        x = x->next;
    return x;
}

static void replace(struct holofs *fs, struct inode *i, struct xattr *old, struct xattr *x)
{
    struct xattr **p = &i->xattrs;
    while (old && *p != old)
        p = &(*p)->next;
    if (old) {
        *p = old->next;
        xattr_free(fs, old);
    }
    if (x)
        xattr_add(fs, i, x);
}

/* Namespaces that can be stored; the kernel has checked who may. */
static bool known_namespace(const char *name)
{
    static const char *const prefix[] = { "user.", "trusted.", "security." };
    for (size_t k = 0; k < sizeof(prefix) / sizeof(prefix[0]); k++) {
        if (strncmp(name, prefix[k], strlen(prefix[k])) == 0 && name[strlen(prefix[k])])
            return true;
    }
    return strcmp(name, acl_access) == 0 || strcmp(name, acl_default) == 0;
}

/* Log and take over one change; value NULL removes; flags as with holofs_setxattr (lock held). */
static int change(struct holofs *fs, struct inode *i, struct xattr *old, const char *name, const void *value, size_t len, int flags)
{
    size_t name_len = strlen(name), cap = 512 + name_len + len;
    uint8_t *space = malloc(cap);
    struct xattr *x = value ? make(name, name_len, value, len) : NULL;
    uint64_t txg;
    struct rec r;
    int e = !space || (value && !x) ? -ENOMEM : 0;
    int64_t now = clock_real_ns();
    struct inode_image img = i->img;
    if (!inode_times_from_above(fs, i))
        img.ctime = now;
    img.flags |= INODE_HAS_XATTR;
    if (!e && value && strcmp(name, acl_access) == 0) {
        e = acl_to_mode(value, len, &img.mode);
        if (flags & HOLOFS_XATTR_CLEAR_SGID)
            img.mode &= ~(uint32_t)S_ISGID;
        if (!e && acl_is_minimal(value, len)) { /* the mode says it all */
            xattr_free(fs, x);
            x = NULL;
            value = NULL;
        }
    }
    if (!e) {
        rec_begin(&r, space, cap, value ? REC_SETXATTR : REC_REMOVEXATTR, now);
        if (value)
            rec_xattr(&r, i->ino, name, name_len, value, len);
        else
            rec_xattr_gone(&r, i->ino, name, name_len);
        rec_inode(&r, &img);
        e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    }
    free(space);
    if (e) {
        xattr_free(fs, x);
        return e;
    }
    i->img = img;
    inode_dirty(i, txg);
    replace(fs, i, old, x);
    return 0;
}

static int set_locked(struct holofs *fs, struct inode *i, const char *name, const void *value, size_t len, int flags)
{
    int e = inode_load_xattrs(fs, i);
    if (e)
        return e;
    struct xattr *old = xattr_find(i, name);
    if (old && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!old && (flags & XATTR_REPLACE))
        return -ENODATA;
    if (strcmp(name, acl_default) == 0 && !S_ISDIR(i->type))
        return -EACCES;
    return change(fs, i, old, name, value, len, flags);
}

int holofs_setxattr(struct holofs *fs, uint64_t ino, const char *name, const void *value, size_t len, int flags)
{
    struct inode *i;
    if (!known_namespace(name))
        return -EOPNOTSUPP;
    if (strlen(name) > META_XATTR_NAME_MAX)
        return -ERANGE;
    if (len > META_XATTR_SIZE_MAX)
        return -E2BIG;
    int e = log_grow(fs);
    if (!e)
        e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&i->lock);
    e = set_locked(fs, i, name, value, len, flags);
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

int holofs_removexattr(struct holofs *fs, uint64_t ino, const char *name)
{
    struct inode *i;
    if (!known_namespace(name))
        return -EOPNOTSUPP;
    int e = log_throttle(fs);
    if (!e)
        e = inode_get(fs, ino, &i);
    if (e)
        return e;
    mutex_lock(&i->lock);
    e = inode_load_xattrs(fs, i);
    struct xattr *old = e ? NULL : xattr_find(i, name);
    if (!e)
        e = old ? change(fs, i, old, name, NULL, 0, 0) : -ENODATA;
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

ssize_t holofs_getxattr(struct holofs *fs, uint64_t ino, const char *name, void *value, size_t cap)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    ssize_t n;
    mutex_lock(&i->lock);
    e = inode_load_xattrs(fs, i);
    struct xattr *x = e ? NULL : xattr_find(i, name);
    if (!x)
        n = e ? e : -ENODATA;
    else if (cap && cap < x->len)
        n = -ERANGE;
    else
        n = (ssize_t)x->len;
    if (n > 0 && cap)
        memcpy(value, x->value, x->len);
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return n;
}

ssize_t holofs_listxattr(struct holofs *fs, uint64_t ino, char *list, size_t cap)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    size_t n = 0;
    mutex_lock(&i->lock);
    e = inode_load_xattrs(fs, i);
    for (struct xattr *x = e ? NULL : i->xattrs; x; x = x->next) {
        if (n + x->name_len + 1 <= cap)
            memcpy(list + n, x->name, x->name_len + 1);
        n += x->name_len + 1;
    }
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    if (e)
        return e;
    return cap && n > cap ? -ERANGE : (ssize_t)n;
}
