/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h: records and their items: what one operation did (docs/FORMAT.md, «Records»).
 *
 * A writer builds one record in the caller's buffer; a reader walks records and items and decodes each item
 * into a struct item. Pointers in a decoded item point into the input.
 */
#ifndef HOLO_STORE_RECORD_H
#define HOLO_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/extent.h"

enum record_kind {
    REC_CREATE = 1, REC_MKDIR, REC_MKNOD, REC_SYMLINK, REC_LINK, REC_UNLINK, REC_RMDIR, REC_RENAME, REC_SETATTR, REC_WRITE,
    REC_TRUNCATE, REC_PUNCH, REC_SETXATTR, REC_REMOVEXATTR, REC_PURGE, REC_CONTAINER, REC_FORMAT, REC_DUMP, REC_COMMIT,
    REC_MOVE,
};

enum item_type {
    ITEM_INODE = 1, ITEM_INODE_GONE, ITEM_ENTRY, ITEM_ENTRY_GONE, ITEM_SYMLINK, ITEM_XATTR, ITEM_XATTR_GONE, ITEM_ORPHAN,
    ITEM_ORPHAN_GONE, ITEM_EXTENT, ITEM_RANGE_GONE, ITEM_CONTAINER, ITEM_COUNTERS, ITEM_WINDOW, ITEM_DUMP_COMPLETE, ITEM_TIMES,
    ITEM_MOVE,
    ITEM_SKIPPABLE = 0x8000,
};

enum { RECORD_HEADER = 24, ITEM_HEADER = 8, RECORD_MAX = 1 << 20 };

struct inode_image {
    uint64_t ino, size, stored, parent;
    int64_t atime, mtime, ctime, btime; /* ns since 1970 */
    uint32_t gen, mode, uid, gid, nlink, rdev, flags;
};

struct container_info {
    uint32_t id, cls, state, r, used, flags;
    uint64_t first_txg, last_txg;
};

struct counters {
    uint64_t next_ino, next_cookie, next_seq;
    uint32_t next_container;
};

/* One decoded item; which fields are set follows from the type. */
struct item {
    enum item_type type;
    uint64_t ino, parent, cookie, off, len, txg;
    uint32_t dtype, window, first_container, last_container;
    const char *name;     /* entry, xattr */
    uint32_t name_len;
    const uint8_t *value; /* symlink target, xattr value, packed window */
    uint32_t value_len;
    struct inode_image inode;
    struct extent extent;
    struct extent_place place; /* move: where the extent was */
    struct container_info container;
    struct counters counters;
    int64_t mtime, ctime;
};

/* ---- writing ---- */

struct rec {
    struct wr w;
    uint32_t items;
};

/* Start a record in space (8-byte multiples of it are used). */
void rec_begin(struct rec *r, void *space, size_t cap, enum record_kind kind, int64_t time_ns);
void rec_inode(struct rec *r, const struct inode_image *i);
void rec_inode_gone(struct rec *r, uint64_t ino);
void rec_entry(struct rec *r, uint64_t parent, uint64_t ino, uint64_t cookie, uint32_t dtype, const char *name, size_t len);
void rec_entry_gone(struct rec *r, uint64_t parent, const char *name, size_t len);
void rec_symlink(struct rec *r, uint64_t ino, const char *target, size_t len);
void rec_xattr(struct rec *r, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len);
void rec_xattr_gone(struct rec *r, uint64_t ino, const char *name, size_t name_len);
void rec_orphan(struct rec *r, uint64_t ino, bool gone);
void rec_extent(struct rec *r, uint64_t ino, const struct extent *e);
void rec_move(struct rec *r, uint64_t ino, const struct extent *e, const struct extent_place *place);
void rec_times(struct rec *r, uint64_t ino, int64_t mtime, int64_t ctime);
void rec_range_gone(struct rec *r, uint64_t ino, uint64_t off, uint64_t len);
void rec_container(struct rec *r, const struct container_info *c);
void rec_counters(struct rec *r, const struct counters *c);
void rec_window(struct rec *r, uint64_t ino, uint32_t window, const void *blob, size_t len);
void rec_dump_complete(struct rec *r, uint64_t txg, uint32_t first, uint32_t last);

/* Fill in the lengths. Returns the record's length in bytes, or 0 if it did not fit. */
size_t rec_end(struct rec *r);

/* Give a finished record its sequence number. */
void rec_set_seq(uint8_t *record, uint64_t seq);

/* ---- reading ---- */

struct rec_view {
    enum record_kind kind;
    uint32_t items;
    uint64_t seq;
    int64_t time_ns;
    struct rd body;
};

/* The next record of a stream: 1 and *v, 0 at its end, -HOLO_ECORRUPT. */
int rec_next(struct rd *stream, struct rec_view *v);

/* The next item of a record: 1 and *it, 0 at its end, -HOLO_ECORRUPT. Skippable unknown items are passed over. */
int rec_next_item(struct rec_view *v, struct item *it);

#endif
