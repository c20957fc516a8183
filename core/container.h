/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * container.h: the table of containers, their open files, reading with verification, and repair.
 */
#ifndef HOLO_CORE_CONTAINER_H
#define HOLO_CORE_CONTAINER_H

#include "core/fs.h"
#include "core/head.h"

struct ctable; /* a block of a checksum table (cread.c) */

/* The open file of a sealed container. */
struct copen {
    struct bfile *f;
    struct container_header h;
    _Atomic(struct ctable *) *table; /* table blocks read so far, h.table_blocks pointers */
    bool direct;               /* f goes past the page cache */
    bool cached;               /* by the table of containers: damage met here asks for a scrub */
    uint32_t refs;             /* CTAB; 1 is the table's own */
    struct piece *pieces;      /* the directory, for messages and checks, by place, once read; REPAIR */
    size_t n_pieces;
};

/* A row stays in memory when its container is deleted, so that whoever found it just before may look at it. */
struct container {
    uint32_t id, cls, r, used;
    _Atomic uint32_t state;
    _Atomic uint64_t sealed_txg; /* UINT64_MAX: sealed, but no commit names it yet */
    _Atomic int64_t live;      /* bytes that applied extents refer to */
    struct head *head;         /* while it is in memory; CTAB */
    struct copen *open;        /* CTAB */
    struct container *lru_next, *lru_prev;
    _Atomic uint32_t verified_s, watched_s; /* s since 1970, 0: never. When all of it was last read and right; until when it is checked first */
    _Atomic bool due;          /* in the scrub that goes on */
    uint8_t *lost;             /* a bit for each position that is lost, of lost_cap; NULL: none was; REPAIR */
    uint32_t lost_cap;
    _Atomic uint64_t n_lost;
    _Atomic bool unreadable;   /* all of it */
    uint64_t *hopeless;        /* D digests of stripes that were decoded in vain, 0 for none; NULL before the first; REPAIR */
    uint32_t readers;          /* of its file; CTAB */
    _Atomic bool deleting;     /* somebody logs it as dead */
    _Atomic bool cleaning;     /* the cleaner took it */
    _Atomic bool quarantined;  /* the cleaner could not read all of it: not touched until a scrub finds it right */
    _Atomic uint64_t data_txg; /* about when its data was written; survivors of cleaning are older than their container */
};

/* NULL if there is no such container. What is found stays valid until the store is closed. */
struct container *ctab_find(struct holofs *fs, uint32_t id);

/* Insert or update; creates the row. -ENOMEM. */
int ctab_set(struct holofs *fs, const struct container_info *info, uint64_t sealed_txg, struct head *head);
/* Waits for those who read its file. */
void ctab_remove(struct holofs *fs, uint32_t id);
/* While a container is held its file is not deleted, nor are its remaps; NULL if it is gone already. */
struct container *ctab_hold(struct holofs *fs, uint32_t id);
void ctab_release(struct holofs *fs, struct container *c);
void ctab_add_live(struct holofs *fs, uint32_t id, int64_t delta);
void ctab_fini(struct holofs *fs);
/* Call cb for every container, in order of id, without a lock held during the call. */
int ctab_each(struct holofs *fs, int (*cb)(void *arg, uint32_t id), void *arg);

/* An open sealed container; copen_put gives it back. A damaged header is read from its other copy. */
int copen_get(struct holofs *fs, uint32_t id, struct copen **out);
void copen_put(struct holofs *fs, struct copen *o);

/* Does a header agree with what the log says of its container, if that is known? */
bool container_header_fits(struct holofs *fs, const struct container_header *h);

/* The entries of its directory that are right, by place in the container; *out is good as long as o. */
size_t container_pieces(struct holofs *fs, struct copen *o, const struct piece **out);
/* Forget an open file (it was deleted or replaced). */
void copen_drop(struct holofs *fs, uint32_t id);

/* Delete the file of a container that nothing refers to; the next mount does what fails. 0 also if there is none. */
int container_unlink(struct holofs *fs, uint32_t id);

/* The same while the header is not known. */
int copen_read_block(struct holofs *fs, uint32_t id, const struct copen *o, uint64_t file_block, uint8_t *block);

/* Open a container file by itself: header from A or B; *bad_headers is a bit for each bad one. */
int copen_file(struct holofs *fs, uint32_t id, bool direct, struct copen **out, unsigned *bad_headers);
void copen_free(struct copen *o);

/* Where damage is met, for messages. */
struct whose {
    uint64_t ino; /* 0: not known */
    uint64_t off; /* offset in the file */
};

/*
 * Read len bytes of content at coff. Every block touched is verified; bad ones are rebuilt, healed and told.
 * From a head, bytes come from memory. Returns 0, -EIO and friends.
 * @scratch: at least (len / 4096 + 2) blocks, may hold the result; *data points at the first byte wanted.
 */
int container_read(struct holofs *fs, uint32_t id, uint64_t coff, size_t len, uint8_t *blocks, const uint8_t **data, const struct whose *w);

/* Checksum of one block as the table says (tags). */
int container_block_sum(struct holofs *fs, uint32_t id, uint32_t position, uint64_t *sum);

/*
 * What the checksum table says of a block. UNSURE: nothing, both copies of its entry are lost. WRONG is certain while
 * container_table_intact() is true of it; otherwise the entry itself may be wrong.
 */
enum block_verdict { BLOCK_WRONG = 0, BLOCK_RIGHT = 1, BLOCK_UNSURE = 2 };

/* Is a block with this checksum the right one for stored position x? A verdict, or -ENOMEM. */
int container_judge(struct holofs *fs, struct copen *o, uint32_t x, uint64_t sum);

/* The same of the block itself. */
int container_verify(struct holofs *fs, struct copen *o, uint32_t x, const uint8_t *block);

/* Is the table block of stored position x right in one of its copies? */
bool container_table_intact(struct holofs *fs, struct copen *o, uint32_t x);
/* Tables of which neither copy could be read are tried again from now on. Returns whether there is one. */
bool container_retry_tables(struct copen *o);
void ctable_free(struct ctable *c);

/* Read one block of the file, through the remap table, and past the page cache if that refuses it. */
int container_read_file_block(struct holofs *fs, struct copen *o, uint32_t file_block, uint8_t *block);

/* Read n stored positions from x on. What cannot be read becomes zeros and, unless it is NULL, is marked in unreadable. */
void container_read_positions(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, uint8_t *out, bool *unreadable);

/*
 * Rebuild stored position x from its stripe into block, heal it and every other block of the stripe that could be made
 * right. Returns 0, -HOLO_EPARITY when this one could not (told, counted), -EIO when the disk does not answer, -ENOMEM. One at a time.
 */
int repair_position(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w);

/* "/path" of the file that the container's own directory says a data position belongs to; "" if it is not known. Takes REPAIR. */
void container_owner(struct holofs *fs, uint32_t id, uint32_t x, char *path, size_t cap);

/* "/path" of an inode for messages, from the index; "inode N" when there is none. */
void path_for_message(struct holofs *fs, uint64_t ino, char *out, size_t cap);

/* Memory for repairs, made once and kept (REPAIR held): the decoder and REPAIR_BLOCKS blocks. */
enum { REPAIR_BLOCKS = 1024 };
int repair_pool(struct holofs *fs);
void repair_pool_fini(struct holofs *fs);

/* One block of a container file and what belongs there. */
struct heal {
    uint32_t file_block;
    bool healed;
    const uint8_t *block;
};
/*
 * Write n blocks, sync once, read back; those that the medium does not keep twice, while the disk answers, are remapped (REPAIR held). Blocks that follow each
 * other in the file are written together if they do so in h. Returns how many are healed now, counted as repaired.
 */
unsigned container_heal_blocks(struct holofs *fs, uint32_t id, struct heal *h, unsigned n);

/* Tell of n blocks of one container from position x on, "repaired" or "lost"; whose they are is looked up unless w says it. */
void tell_damage(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, const struct whose *w, const char *event);

/* "repaired" or "lost": one event for each container and file in a row, with a count that grows. */
void event_damage(struct holofs *fs, const char *event, uint32_t container, const char *what, uint64_t ino, const char *path, uint64_t off,
                  uint64_t blocks);

#endif
