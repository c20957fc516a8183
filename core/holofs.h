/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * holofs.h: libholofs, the filesystem without FUSE: what fuse/ and tools/ call.
 *
 * All functions are thread-safe unless said otherwise, and return 0 (or a count) or a negative code, which
 * holo_errno() turns into an errno. Inode numbers are 64-bit, the root is 1, none is ever used again.
 */
#ifndef HOLO_CORE_HOLOFS_H
#define HOLO_CORE_HOLOFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct holofs;
struct ecc_engine;
struct backing;

enum holofs_compress { HOLOFS_COMPRESS_AUTO, HOLOFS_COMPRESS_OFF, HOLOFS_COMPRESS_ZSTD };
enum holofs_atime { HOLOFS_ATIME_RELATIVE, HOLOFS_ATIME_NEVER, HOLOFS_ATIME_ALWAYS };

struct holofs_options {
    bool read_only;
    enum holofs_compress compress;
    int zstd_level;          /* for COMPRESS_ZSTD, and for AUTO */
    const char *engine;      /* NULL or "auto": the fastest */
    const struct ecc_engine *device; /* NULL: the GPU of this machine, if any; tests bring another */
    uint64_t cache_bytes;    /* bound of the caches of inodes, names, extents and checksum tables */
    unsigned redundancy;     /* R for new file data; 0: the store's */
    unsigned commit_seconds; /* an open txg commits after this long */
    enum holofs_atime atime;
    bool no_dir_atime;       /* listing a directory never sets its access time */
    uint64_t clean_rate;     /* bytes a second that the cleaner moves while nobody waits for room; 0: as fast as it can */
    bool check_all;          /* read the whole ring and index also after a clean stop */
    bool accept_loss;        /* go on writing although records are lost for ever (holofsck -y); else such a store opens for reading only */
    bool io_flusher;         /* told in .holo/config: PR_SET_IO_FLUSHER works here */
    void (*progress)(void *arg, const char *line); /* while opening takes long: how far it is; NULL */
    void *progress_arg;
    unsigned remap_check_ms; /* the copies of the remap table are read and compared so often */
    const char *spare_dir;   /* have a spare file in this directory; NULL */
    const char *mountpoint;  /* where the tree will be seen, an absolute path; NULL: nowhere */
    unsigned progress_ms;    /* how often that is told, and logged */
    struct backing *backing; /* tests: the store's directory with faults; stays the caller's. The index and the lock go around it. NULL */
};

/* The defaults that mount uses. */
void holofs_options_init(struct holofs_options *o);

struct holofs_geometry {
    uint32_t k, r, meta_r, seed_base, nmax, ring_blocks;
    uint64_t size_limit_bytes, reserve_bytes, spare_bytes;
    const char *spare_dir; /* a second spare file of that size, in this directory; NULL */
    const char *label;
    bool force; /* format although the directory is not empty: whatever store was there is removed */
};

/*
 * Make a store in an existing or new directory. Fields that are 0 get defaults fit for the space there is.
 * -ENOTEMPTY without force. On failure, `why` says in one line what was wrong.
 */
int holofs_format(const char *path, const struct holofs_geometry *g, char *why, size_t why_cap);

/* Open (replay or rebuild what is needed). On failure, `why` says in one line what was wrong. */
int holofs_open(const char *path, const struct holofs_options *o, struct holofs **out, char *why, size_t why_cap);

/* Commit everything, stop, leave the store clean. Returns the first error, the store is closed in any case. */
int holofs_close(struct holofs *fs);

/* ---- attributes ---- */
struct holofs_attr {
    uint64_t ino, size, stored; /* stored: bytes in containers, st_blocks · 512 */
    uint32_t gen, mode, nlink, uid, gid, rdev;
    int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
    bool settled; /* nobody has it open: a cache may keep these until holofs_attr_stale says otherwise */
};

enum {
    HOLOFS_SET_MODE = 1, HOLOFS_SET_UID = 2, HOLOFS_SET_GID = 4, HOLOFS_SET_SIZE = 8, HOLOFS_SET_ATIME = 16, HOLOFS_SET_MTIME = 32,
    HOLOFS_SET_CTIME = 64, HOLOFS_SET_ATIME_NOW = 128, HOLOFS_SET_MTIME_NOW = 256,
    HOLOFS_SET_KILL_PRIV = 512, /* drop suid, sgid and security.capability */
    HOLOFS_SET_KILL_CAP = 1024,  /* only security.capability */
};

struct holofs_setattr {
    unsigned set;
    uint32_t mode, uid, gid;
    uint64_t size;
    int64_t atime_ns, mtime_ns, ctime_ns;
};

/* Who creates something. */
struct holofs_cred {
    uint32_t uid, gid, umask;
};

/*
 * Functions that return an attr for a name take one reference on the inode for the caller; holofs_forget
 * gives n of them back. An inode without names lives until its last reference goes.
 */
int holofs_lookup(struct holofs *fs, uint64_t parent, const char *name, struct holofs_attr *out);
int holofs_get(struct holofs *fs, uint64_t ino, struct holofs_attr *out); /* by number (NFS); takes a reference */
void holofs_forget(struct holofs *fs, uint64_t ino, uint64_t n);
int holofs_getattr(struct holofs *fs, uint64_t ino, struct holofs_attr *out);
int holofs_setattr(struct holofs *fs, uint64_t ino, const struct holofs_setattr *s, struct holofs_attr *out);

/* Have attributes that were given out as settled changed by writes since? Asked once: then it is false again. */
bool holofs_attr_stale(struct holofs *fs, uint64_t ino);

/*
 * A cache above keeps mtime and ctime of regular files and sends them with setattr: writes, fallocate and truncations do not
 * set them here. Before the first operation.
 */
void holofs_times_from_above(struct holofs *fs);

/*
 * Whoever calls has a reference (of holofs_lookup and the like) on what it takes a name from, and gives all references of
 * an inode back with one holofs_forget: then referenced inodes need not stay in memory. Before the first operation.
 */
void holofs_forgets_come(struct holofs *fs);

/* Would an operation that changes something wait for the disk now? Then it is better given to another thread. */
bool holofs_is_congested(struct holofs *fs);

/* ---- names; sticky bits and permissions are the kernel's business (default_permissions) ---- */
/* name NULL: a regular file without a name (O_TMPFILE), which holofs_link may name while it is referred to. */
int holofs_create(struct holofs *fs, const struct holofs_cred *cred, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
                  const char *symlink_target, struct holofs_attr *out);
int holofs_link(struct holofs *fs, uint64_t ino, uint64_t parent, const char *name, struct holofs_attr *out);
int holofs_unlink(struct holofs *fs, uint64_t parent, const char *name);
int holofs_rmdir(struct holofs *fs, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE or RENAME_EXCHANGE. */
int holofs_rename(struct holofs *fs, uint64_t parent, const char *name, uint64_t to_parent, const char *to_name, unsigned flags);
int holofs_readlink(struct holofs *fs, uint64_t ino, char *buf, size_t cap); /* terminated; returns its length */

/* ---- directories ---- */
struct holofs_dir; /* one open directory; one thread at a time */

struct holofs_dirent {
    const char *name;
    uint64_t ino, next; /* next: offset behind this entry */
    uint32_t type;      /* DT_* */
};

int holofs_opendir(struct holofs *fs, uint64_t ino, struct holofs_dir **out);
/* The entry at offset off (0 = start; else a `next`): 1 and *out (valid until the next call), 0 at the end. "." and ".." come first. */
int holofs_readdir(struct holofs_dir *d, uint64_t off, struct holofs_dirent *out);
void holofs_closedir(struct holofs_dir *d);

/* ---- contents ---- */
/* kill_priv: what truncates drops suid and sgid; capabilities go in any case. */
int holofs_open_file(struct holofs *fs, uint64_t ino, bool writes, bool truncate, bool kill_priv);
void holofs_release_file(struct holofs *fs, uint64_t ino, bool writes);
/* Is it open for writing? Then a cache above may hold bytes that are not known here. */
bool holofs_has_writers(struct holofs *fs, uint64_t ino);
/* Returns bytes read (short only at the end of the file). buf has room for size rounded up to 4096, plus 4096. */
ssize_t holofs_read(struct holofs *fs, uint64_t ino, uint64_t off, void *buf, size_t size);
/* A user read it: atime moves where the rules say so. */
void holofs_accessed(struct holofs *fs, uint64_t ino);
/* kill_priv: drop suid, sgid and capabilities. */
ssize_t holofs_write(struct holofs *fs, uint64_t ino, uint64_t off, const void *buf, size_t size, bool kill_priv);
/*
 * mode: HOLOFS_FALLOC_* as for fallocate(2); others are -EOPNOTSUPP. No room is set aside: -ENOSPC where there is not enough at
 * the moment. Suid and sgid stay, as with holofs_copy.
 */
enum { HOLOFS_FALLOC_KEEP_SIZE = 1, HOLOFS_FALLOC_PUNCH_HOLE = 2, HOLOFS_FALLOC_ZERO_RANGE = 16 };
int holofs_fallocate(struct holofs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len);
/* whence SEEK_DATA or SEEK_HOLE; -ENXIO behind the end. */
int holofs_seek(struct holofs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *out);
ssize_t holofs_copy(struct holofs *fs, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, size_t len);

/* Make one inode (or, for a directory or ino 0, everything received) durable. */
int holofs_fsync(struct holofs *fs, uint64_t ino);

/* ---- extended attributes ---- */
/* flags: XATTR_CREATE, XATTR_REPLACE; with an access ACL, HOLOFS_XATTR_CLEAR_SGID takes the set-group-id bit as well. */
#define HOLOFS_XATTR_CLEAR_SGID (1 << 30)
int holofs_setxattr(struct holofs *fs, uint64_t ino, const char *name, const void *value, size_t len, int flags);
ssize_t holofs_getxattr(struct holofs *fs, uint64_t ino, const char *name, void *value, size_t cap); /* cap 0: the size */
ssize_t holofs_listxattr(struct holofs *fs, uint64_t ino, char *list, size_t cap);
int holofs_removexattr(struct holofs *fs, uint64_t ino, const char *name);

/* ---- the store ---- */
/* free: what large pieces can fill. avail: what can be written in pieces of 4 KiB as well, whose records and places take room, too. */
struct holofs_space {
    uint64_t total_bytes, free_bytes, avail_bytes, files, free_files;
};
int holofs_statfs(struct holofs *fs, struct holofs_space *out);

/* Texts for .holo/: from memory, without waiting for the disk. */
int holofs_stats_json(struct holofs *fs, struct buf *out);
int holofs_metrics_text(struct holofs *fs, struct buf *out);
int holofs_health_text(struct holofs *fs, struct buf *out);
int holofs_events_text(struct holofs *fs, struct buf *out);
int holofs_config_json(struct holofs *fs, struct buf *out);
int holofs_scrub_text(struct holofs *fs, struct buf *out);
/* This one reads from the disk: paths of remapped blocks. */
int holofs_remap_json(struct holofs *fs, struct buf *out);

/* One command written to .holo/control: "sync", "seal", "scrub …" (core/scrubber.h), "dump", "clean", "clean-rate BYTES", "remap …" (core/remapper.h). -EINVAL if unknown (nothing happens). */
int holofs_control(struct holofs *fs, const char *command, size_t len);

/* FUSE operations are counted and timed under their names; op is an index the caller registered. */
void holofs_count_op(struct holofs *fs, unsigned op, const char *name, uint64_t ns, bool failed);
enum { HOLOFS_OPS_MAX = 48 };

/* The steps of holofs_open that the mount program needs before it daemonizes: is this a store, and free? */
int holofs_probe(const char *path, char *why, size_t why_cap);

#endif
