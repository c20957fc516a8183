/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cache.h: inodes, their extent windows and xattrs, and names, in memory.
 *
 * Invariant: an object whose newest change is not applied to the index yet (dirty_txg > applied_txg) is never
 * evicted. So what is not in memory is as the index says, and nothing has to be merged, but for listings.
 */
#ifndef HOLO_CORE_CACHE_H
#define HOLO_CORE_CACHE_H

#include "core/fs.h"
#include <sys/stat.h>

#include "base/sum.h"
#include "core/log.h"

enum { INODE_HAS_XATTR = 1 }; /* inode_image.flags: xattrs may exist */

struct xattr {
    struct xattr *next;
    size_t name_len, len, charged; /* charged: bytes of it in loaded_bytes */
    uint8_t *value;
    char name[];
};

/* One MiB of a file, loaded. */
struct iwin {
    struct iwin *next; /* hash chain */
    uint32_t win, charged; /* charged: bytes of it in loaded_bytes */
    uint64_t dirty_txg;    /* UINT64_MAX: of a record that has no txg yet */
    struct window w;
};

/* A hole that the index may not have yet: windows get it when they are loaded. */
struct hole {
    struct hole *next;
    uint64_t off, end, txg; /* txg as for windows */
};

/* Names of one directory that the index does not know yet as they are, by age of that change. NS */
struct dirty_names {
    struct dentry *first, *last;
};

/*
 * CACHE guards the table links and counts; `lock` the image, windows, xattrs and target; NS the names in a
 * directory (dirty lists). An inode is referenced while refs, nlookup or opens is not 0. With forgets_come, what the kernel refers to
 * is evicted like any other and loaded again by its number, which is never used twice; but for orphans, which wait for the kernel's forget.
 */
struct inode {
    struct inode *hash_next, *lru_next, *lru_prev;
    bool in_lru;
    uint64_t ino;
    uint32_t type;    /* S_IFMT bits; never change */
    uint64_t nlookup; /* references the kernel holds; those known of, with nlookup_unknown */
    uint32_t refs;
    _Atomic uint32_t opens;
    uint32_t writers; /* of the opens; CACHE */
    bool nlookup_unknown; /* it may hold more (krefs.h); CACHE */
    bool gone;        /* purged: kept until the index knows */
    _Atomic bool orphan;
    bool linkable;    /* an orphan that was made without a name: it may get one; NS */
    bool told, stale; /* attributes are cached above; and have changed since (the size on disk, set-id bits) */
    struct mutex lock;
    struct inode_image img;
    _Atomic uint64_t dirty_txg;
    struct iwin **wtab;
    uint32_t wtab_size, n_win, drop_at; /* drop_at: windows at which clean ones go */
    struct hole *holes;
    struct xattr *xattrs;
    bool xattrs_loaded;
    char *target;
    _Atomic uint8_t raw_streak; /* chunks in a row that did not shrink */
    struct dirty_names dirty; /* cookies of names that are there ascend */
    struct dirty_names kept;  /* lead to another inode than before, in their old places: cookies in any order */
    _Atomic uint64_t changed; /* of a directory: fs->changes when its names changed last, or when it was loaded */
};

struct dentry {
    struct dentry *hash_next, *lru_next, *lru_prev;
    struct dentry *dirty_next, *dirty_prev;
    struct dirty_names *dirty_in;            /* the list it is in, or NULL */
    uint64_t parent, ino, cookie, dirty_txg; /* ino 0: there is no such name */
    uint32_t type, name_len;
    char name[];
};

/*
 * Let go of READER after a read of the index that returned e; damage that it met is told, and the next mount verifies the index.
 * Returns e, or -EIO if the disk does not answer.
 */
int reader_unlock(struct holofs *fs, int e);

/* The inode, loaded if need be, with a reference. -ESTALE if there is none. */
int inode_get(struct holofs *fs, uint64_t ino, struct inode **out);
void inode_put(struct holofs *fs, struct inode *i);
/* A new inode with this image, one reference; NULL when memory is short. */
struct inode *inode_new(struct holofs *fs, const struct inode_image *img);
/* Raise the reference that the kernel holds. */
void inode_lookup_ref(struct holofs *fs, struct inode *i, uint64_t n);

/* Attributes for the caller (lock held). */
void inode_to_attr(struct inode *i, struct holofs_attr *out);

/* Do mtime and ctime of this inode come with setattr (holofs_times_from_above)? */
static inline bool inode_times_from_above(const struct holofs *fs, const struct inode *i)
{
    return fs->times_from_above && (i->type & S_IFMT) == S_IFREG;
}

/* Mark changed in txg (inode lock held). */
static inline void inode_dirty(struct inode *i, uint64_t txg)
{
    if (txg > i->dirty_txg)
        i->dirty_txg = txg;
}

/* ---- windows (iwin.c; the inode's lock held) ---- */

void windows_free(struct holofs *fs, struct inode *i);
/* Drop the windows that the index knows. */
void windows_drop_clean(struct holofs *fs, struct inode *i);
/* Count the bytes of a window that changed. */
void window_charge(struct holofs *fs, struct iwin *w);

/* Making [off, end) a hole: prepare, punch, log, and say in which txg. delta: change in stored bytes. */
struct punch {
    uint64_t off, end;
    int64_t delta;
    struct hole *hole;
};
int punch_prepare(struct holofs *fs, struct inode *i, struct punch *p); /* nothing has changed if it fails */
int punch_windows(struct holofs *fs, struct inode *i, struct punch *p); /* -ENOMEM: half done */
void punch_logged(struct inode *i, const struct punch *p, uint64_t txg);
/* Windows of a record that came to nothing (UINT64_MAX) count as changed in txg. */
void restamp_windows(struct inode *i, uint64_t txg);

/* The window of the inode (lock held), loaded if need be. Windows behind the end of the file are empty. */
int inode_window(struct holofs *fs, struct inode *i, uint32_t win, struct iwin **out);
/* The first window >= first that has extents or is in memory: 1 and *win, 0 if none (lock held). */
int inode_next_window(struct holofs *fs, struct inode *i, uint32_t first, uint32_t *win);

/* Load the xattrs (lock held). */
int inode_load_xattrs(struct holofs *fs, struct inode *i);
struct xattr *xattr_find(struct inode *i, const char *name);
/* Put one into the list (lock held). */
void xattr_add(struct holofs *fs, struct inode *i, struct xattr *x);
/* Free one that no list has any more; NULL is nothing. */
void xattr_free(struct holofs *fs, struct xattr *x);

/* ---- names (NS held) ---- */

/* The entry of that name, negative if there is none; -ENOMEM or what the index says. */
int dentry_find(struct holofs *fs, uint64_t parent, const char *name, size_t len, struct dentry **out);
/* Point an entry at an inode (0: none) as of txg. Who only leads to another inode keeps its cookie. */
void dentry_set(struct holofs *fs, struct dentry *d, struct inode *dir, uint64_t ino, uint32_t type, uint64_t cookie, uint64_t txg);
/* 1 if the directory has no entries, 0 if it has. */
int dir_is_empty(struct holofs *fs, struct inode *dir);
/* The cached entry or NULL; never reads the index. */
struct dentry *dentry_cached(struct holofs *fs, uint64_t parent, const char *name, size_t len);
/* Evict at most `tries` entries, down to the limit. */
void dentry_shrink(struct holofs *fs, size_t tries);
/* Drop entries of the lists that the index knows by now. */
void dentry_trim_dirty(struct holofs *fs, struct inode *dir);

int cache_init(struct holofs *fs);
void cache_fini(struct holofs *fs);
/* Evict down to the limits. */
void cache_shrink(struct holofs *fs);
/* Drop some clean windows of any inodes if they are too many; no lock held. */
void cache_relieve(struct holofs *fs);
/* Is so much pinned by changes that the index does not have that it should get them? Then, once it has them: */
bool cache_wants_applying(struct holofs *fs);
void cache_applied(struct holofs *fs);

/* Drop an orphan for good once nobody refers to it; called by inode_put. */
void inode_purge(struct holofs *fs, struct inode *i);
/* Purge the orphans a crash left behind. */
int purge_orphans(struct holofs *fs);

/* ---- ACLs (acl.c): values of system.posix_acl_* ---- */

/* Permission bits that an access ACL stands for: 0 and *mode with its low nine bits replaced, or -EINVAL. */
int acl_to_mode(const void *acl, size_t len, uint32_t *mode);
/* Does it say no more than mode bits do? Then it is not kept. */
bool acl_is_minimal(const void *acl, size_t len);
/* Change an access ACL in place to fit new permission bits (chmod). */
int acl_chmod(void *acl, size_t len, uint32_t mode);
/* Turn a default ACL into the access ACL of a new file with these mode bits, both adjusted. *trivial: mode says it all. */
int acl_inherit(void *acl, size_t len, uint32_t *mode, bool *trivial);

#endif
