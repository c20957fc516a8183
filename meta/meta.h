/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meta.h: the index: an sqlite database with everything needed to find things fast.
 *
 * The index is never the truth: it can be rebuilt from ring and containers. It knows rows, not records; who
 * calls it decides what a change means. One connection writes and checkpoints (struct meta_index), any number
 * of readers read (struct meta_reader, one thread at a time each). WAL, mmap off, every database page carries
 * a checksum that is verified when it is read (a small VFS shim): a bad page is -HOLO_ESUM, a damaged
 * structure -HOLO_ECORRUPT. Return values: 0 or a negative code; -ENOENT where a row does not exist; other
 * sqlite failures are mapped to errno (full → -ENOSPC, I/O → -EIO, memory → -ENOMEM). Outputs are written on
 * success only, except *len with -ERANGE. A callback may call other functions of its connection, but not the
 * one that called it.
 */
#ifndef HOLO_META_META_H
#define HOLO_META_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { META_NAME_MAX = 255, META_SYMLINK_MAX = 4095, META_XATTR_NAME_MAX = 255, META_XATTR_SIZE_MAX = 65536 };

/* What the index stands for: the last txg that was applied, and counters that must never go back. */
struct meta_state {
    uint64_t epoch, txg, txg_hash; /* last applied */
    uint64_t next_ino, next_cookie, next_seq;
    uint32_t next_container;
    uint64_t dump_txg;             /* txg of the last complete dump, 0 = none */
    uint8_t uuid[16];
};

struct meta_inode {
    uint64_t ino, size, stored_bytes; /* stored_bytes: what its extents take in containers */
    uint64_t parent;                  /* a directory's parent, or where a file was created */
    uint32_t gen, mode, uid, gid, nlink, rdev, flags;
    int64_t atime_ns, mtime_ns, ctime_ns, btime_ns; /* since 1970; the year 2262 is the limit */
};

struct meta_dent {
    uint64_t parent, ino, cookie; /* cookie: position in the directory, unique in the store, ascending with age */
    uint32_t type;                /* DT_* */
    uint32_t name_len;
    const char *name;             /* name_len bytes, not terminated; valid during the call or callback */
};

struct meta_container {
    uint32_t id, cls;    /* cls: container class, see store/format.h */
    uint32_t state, flags; /* see store/format.h */
    uint32_t r, used;    /* redundancy; data blocks stored */
    uint64_t live_bytes; /* stored bytes that extents still refer to */
    uint64_t sealed_txg;
    int64_t sealed_ns;
};

struct meta_index;
struct meta_reader;

/*
 * Create an empty index at path (removing what is there, with its side files). It is durable on return.
 * -ENAMETOOLONG if the path has more than about 500 bytes: sqlite's limit is 512.
 */
int meta_create(const char *path, const uint8_t uuid[16], struct meta_index **out);

/*
 * Open an existing one. -ENOENT if there is none, -HOLO_ESTALE if it belongs to another uuid or schema or its WAL to another
 * database or time, -HOLO_ESUM or -HOLO_ECORRUPT if it is damaged where opening looks (header, schema, state row, sums of pages).
 * -EISDIR, -ELOOP, -EINVAL: it is no regular file.
 */
int meta_open(const char *path, const uint8_t uuid[16], struct meta_index **out);

/* The same for reading only what nobody writes: no file is made or changed. -HOLO_ESTALE also if there is a WAL to be read first. */
int meta_open_immutable(const char *path, const uint8_t uuid[16], struct meta_index **out);

/* Close, after all readers; a clean close checkpoints and leaves no WAL behind. An open transaction is rolled back. */
void meta_close(struct meta_index *idx);

/* What follows the path in the names of an index and all its side files: the i-th, or NULL. */
const char *meta_suffix(size_t i);

/* Remove an index and its side files. */
int meta_remove(const char *path);

/* Copy an index that nobody has open, with its side files. -ENOENT if there is none. What was at `to` is replaced. */
int meta_copy(const char *from, const char *to);

/* Bytes in memory for the sums of its pages: 8 a page. */
size_t meta_sums_bytes(const struct meta_index *idx);

/* All pages read and verified, and sqlite's own quick_check. 0, -HOLO_ESUM or -HOLO_ECORRUPT. */
int meta_verify(struct meta_index *idx);

/* The checksums of the first pages of the file, up to max_bytes. Nothing of it may be in a WAL alone. 0 or -HOLO_ESUM. */
int meta_verify_pages(struct meta_index *idx, uint64_t max_bytes);

int meta_state_get(struct meta_index *idx, struct meta_state *out);

/*
 * ---- writing: begin, rows, commit; one thread ----
 * When sqlite fails a write, the transaction has failed: every later write and the commit return the same
 * code. A commit that fails has rolled back. A commit is atomic at once and durable with the next checkpoint,
 * which commits make by themselves every 32 MiB of WAL. The uuid in @state is not looked at.
 */
int meta_begin(struct meta_index *idx);
int meta_commit(struct meta_index *idx, const struct meta_state *state);
void meta_rollback(struct meta_index *idx); /* nothing if no transaction is open */

/*
 * Has a sync of its files failed? Then no later one says anything about what they hold: meta_retire gives them another name, under which
 * they go on serving, so that the next meta_open finds none (-ENOENT). Repeatable.
 */
bool meta_sync_failed(const struct meta_index *idx);
int meta_retire(struct meta_index *idx);

/*
 * Bring all committed transactions into the database file and make them durable. What an open snapshot keeps
 * out of the database file is made durable in the WAL; nothing waits for readers.
 */
int meta_checkpoint(struct meta_index *idx);

int meta_inode_put(struct meta_index *idx, const struct meta_inode *inode);        /* insert or replace */
int meta_inode_get(struct meta_index *idx, uint64_t ino, struct meta_inode *out); /* sees the open transaction */
int meta_inode_del(struct meta_index *idx, uint64_t ino);                         /* with its xattrs and symlink target; not windows */
int meta_symlink_put(struct meta_index *idx, uint64_t ino, const char *target, size_t len);
int meta_dent_put(struct meta_index *idx, const struct meta_dent *dent); /* replaces an entry of that name */
int meta_dent_del(struct meta_index *idx, uint64_t parent, const char *name, size_t len);
int meta_xattr_put(struct meta_index *idx, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len);
int meta_xattr_del(struct meta_index *idx, uint64_t ino, const char *name, size_t name_len);
int meta_orphan_put(struct meta_index *idx, uint64_t ino);
int meta_orphan_del(struct meta_index *idx, uint64_t ino);

/*
 * Extent windows: the extents of one MiB of a file's offsets, packed by the caller. The row key is
 * ino · 2^24 + window (ino < 2^39, window < 2^24; put is -EFBIG beyond). put with len 0 deletes. get returns the
 * row in buf and its length in *len; -ENOENT if there is none, -ERANGE (with *len set) if cap is too small.
 */
int meta_window_put(struct meta_index *idx, uint64_t ino, uint32_t window, const void *blob, size_t len);
int meta_window_get(struct meta_index *idx, uint64_t ino, uint32_t window, void *buf, size_t cap, size_t *len);
/* Call cb for every window of ino from `first` on (cb must not write), in ascending order. */
int meta_windows_each(struct meta_index *idx, uint64_t ino, uint32_t first,
                      int (*cb)(void *arg, uint32_t window, const void *blob, size_t len), void *arg);
int meta_windows_del(struct meta_index *idx, uint64_t ino, uint32_t first); /* this window and all behind it */

int meta_container_put(struct meta_index *idx, const struct meta_container *c);
int meta_container_get(struct meta_index *idx, uint32_t id, struct meta_container *out);
int meta_container_add_live(struct meta_index *idx, uint32_t id, int64_t delta_bytes); /* 0 also if there is no such row */
int meta_container_del(struct meta_index *idx, uint32_t id);

/* The journal one can query: recent commits; only the last 4096 are kept. */
int meta_txg_put(struct meta_index *idx, uint64_t txg, uint64_t epoch, uint64_t hash, int64_t time_ns, uint32_t records, uint64_t bytes);

/* What it keeps of one; -ENOENT if that txg is not among them. */
int meta_txg_get(struct meta_index *idx, uint64_t txg, uint64_t *epoch, uint64_t *hash);

/* ---- reading ---- */
int meta_reader_open(struct meta_index *idx, struct meta_reader **out);
void meta_reader_close(struct meta_reader *r);

/* Hold one snapshot over several calls (dumps, checks); without it every call sees the newest commit. */
int meta_snapshot_begin(struct meta_reader *r, struct meta_state *state);
void meta_snapshot_end(struct meta_reader *r);

int meta_read_inode(struct meta_reader *r, uint64_t ino, struct meta_inode *out);
int meta_read_symlink(struct meta_reader *r, uint64_t ino, char *buf, size_t cap, size_t *len);
/* The entry of that name; out->name is not set. */
int meta_read_dent(struct meta_reader *r, uint64_t parent, const char *name, size_t len, struct meta_dent *out);
/* Entries of a directory with cookie > after, ascending; cb returns 0 to go on, anything else stops (and is returned). */
int meta_read_dir(struct meta_reader *r, uint64_t parent, uint64_t after, int (*cb)(void *arg, const struct meta_dent *d), void *arg);
int meta_read_xattrs(struct meta_reader *r, uint64_t ino, int (*cb)(void *arg, const char *name, size_t name_len, const void *value, size_t len),
                     void *arg);
int meta_read_window(struct meta_reader *r, uint64_t ino, uint32_t window, void *buf, size_t cap, size_t *len);
/* The first window ≥ first that exists; -ENOENT if none. */
int meta_read_next_window(struct meta_reader *r, uint64_t ino, uint32_t first, uint32_t *window);

/* Whole tables, in key order, for dumps, checks and reports. */
int meta_each_inode(struct meta_reader *r, int (*cb)(void *arg, const struct meta_inode *i), void *arg);
int meta_each_dent(struct meta_reader *r, int (*cb)(void *arg, const struct meta_dent *d), void *arg);
int meta_each_symlink(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, const char *target, size_t len), void *arg);
int meta_each_xattr(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len),
                    void *arg);
int meta_each_window(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len), void *arg);
int meta_each_orphan(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino), void *arg);
int meta_each_container(struct meta_reader *r, int (*cb)(void *arg, const struct meta_container *c), void *arg);
int meta_count_inodes(struct meta_reader *r, uint64_t *out);

/*
 * One path that leads to ino (any link), for messages: "/a/b", "/" for inode 1. Returns its length or a
 * negative code: -ERANGE if cap is too small. Scans the inode's parent, or all entries if it is not there.
 */
int meta_path_of(struct meta_reader *r, uint64_t ino, char *buf, size_t cap);

#endif
