/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remap.h: bad block → spare block.
 *
 * A remap sends one 4 KiB block of a sealed container file to a block of a spare file. The table lives in five
 * copies (remap.0 … remap.4 in the store), each an append-only log of entries with sequence number and
 * checksum; lookups are O(1) in memory. remap/ decides and records, its caller provides confirmed bytes.
 * A remap counts only after the spare block is written and synced and all five copies are durable.
 * Thread-safe. docs/FORMAT.md, «Remap table» and «Spare files».
 */
#ifndef HOLO_REMAP_REMAP_H
#define HOLO_REMAP_REMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/backing.h"

enum { REMAP_COPIES = 5, REMAP_BLOCK_SIZE = 4096 };

struct remap_table;

/* Create five empty copies and one spare file of spare_blocks (0 … 2^26, else -EFBIG) in spare/0000.spare; used by mkfs. */
int remap_format(struct backing *b, const uint8_t uuid[16], uint32_t spare_blocks);

/*
 * Load the table: the copy with the highest valid sequence wins, entry by entry; stale or damaged copies are
 * rewritten unless read_only. With no header left in any copy the table is made anew, from the entries that are right; spare files that
 * are missing are made again. -HOLO_ECORRUPT only if the copies are another store's; the error of reading if that fails in every copy and
 * something is missing.
 */
int remap_open(struct backing *b, const uint8_t uuid[16], bool read_only, struct remap_table **out);

/* How directories elsewhere are opened, where they are no ordinary ones. What is opened is closed by the table. */
struct remap_dirs {
    int (*open)(void *arg, const char *path, bool read_only, struct backing **out);
    void *arg;
};

/* The same with other directories; they outlive the table. */
int remap_open_with(struct backing *b, const uint8_t uuid[16], bool read_only, const struct remap_dirs *dirs, struct remap_table **out);
void remap_close(struct remap_table *t);

/* Is block file_block (4 KiB units from the start of the container file) of container id remapped? O(1). */
bool remap_lookup(struct remap_table *t, uint32_t container, uint32_t file_block);

/* Is any block remapped at all? One relaxed load. */
bool remap_any(const struct remap_table *t);

/* Read the spare block of a remapped block. -ENOENT if it is not remapped, -EIO if the spare fails. */
int remap_read(struct remap_table *t, uint32_t container, uint32_t file_block, void *buf);

/*
 * Put confirmed bytes (one block) into a spare and make the remap durable. A block that is remapped already
 * goes to another spare block. -HOLO_EREMAPFULL if no spare is left; on any error nothing counts.
 */
int remap_add(struct remap_table *t, uint32_t container, uint32_t file_block, const void *buf);

/* Forget the remap of one block, which the container does not have, and free its spare block. 0 also if there is none. */
int remap_drop_block(struct remap_table *t, uint32_t container, uint32_t file_block);

/* Forget all remaps of a deleted container and free their spare blocks. */
int remap_drop_container(struct remap_table *t, uint32_t container);

/* ---- spare files that come and go ---- */

enum { REMAP_SPARE_FILES_MAX = 64 };

/*
 * AWAY: the file is not there, or another one is; its blocks are read through parity. FAILING: it took no new block lately. LEAVING: being
 * emptied.
 */
enum remap_spare_state { REMAP_SPARE_OK, REMAP_SPARE_AWAY, REMAP_SPARE_FAILING, REMAP_SPARE_LEAVING };

struct remap_spare_info {
    uint32_t number, blocks, used, bad;
    enum remap_spare_state state;
    int error;       /* why it is away */
    char *directory; /* NULL: the store's own folder */
};

/* All spare files; *out is given back with remap_spares_free(). */
int remap_spares(struct remap_table *t, struct remap_spare_info **out, size_t *n);
void remap_spares_free(struct remap_spare_info *v, size_t n);

/*
 * A new spare file of so many blocks (1 … 2^26 in all), in a directory (an absolute path) or, with NULL, in the store's own folder.
 * -ENOSPC if there is no room for it, -EFBIG if there are too many blocks, -E2BIG if there are 64 files or the paths are too long. On failure
 * nothing changed.
 */
int remap_spare_add(struct remap_table *t, const char *directory, uint32_t blocks, uint32_t *number);

/*
 * Move what is in a spare file to others, each block with bytes that its checksum confirms; nothing new goes there any more. *left: blocks whose
 * bytes are not there, which whoever heals them moves. -HOLO_EREMAPFULL if the others have no room for all of it: then nothing changed.
 * -ENOENT if there is no such file.
 */
int remap_spare_empty(struct remap_table *t, uint32_t number, uint64_t *left);

/* Take an empty spare file out of the table and delete it. -EBUSY if something is in it. */
int remap_spare_remove(struct remap_table *t, uint32_t number);

/* Let a spare file that was to be emptied take new blocks again. */
void remap_spare_keep(struct remap_table *t, uint32_t number);

/*
 * Read every used spare block past the cache. cb is called for each whose bytes are not right; not 0 ends the test with that. *tested counts all.
 */
int remap_test(struct remap_table *t, int (*cb)(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block),
               void *arg, uint64_t *tested);

/*
 * Read the five copies of the table and, unless it is open for reading only, write all anew if any is not as it must be, or could not be
 * written before. *bad: a bit for each bad copy. What is in memory decides: it is what was acknowledged. 0, also if all is well, or why
 * the copies could not be repaired; they are tried again with the next change, or the next check. Spare files that were away or failing are
 * tried again.
 */
int remap_check(struct remap_table *t, unsigned *bad);

/* The part of it that costs little: spare files that are away, and copies that could not be written, are tried again. */
int remap_retry(struct remap_table *t);

struct remap_stats {
    uint64_t remaps, spare_blocks, spare_used, spare_bad, copies_repaired, sequence;
    uint64_t spares_away, spares_failing; /* files */
    bool broken; /* copies could not be written, and may differ: nothing new counts until they can */
};
void remap_stats(struct remap_table *t, struct remap_stats *out);

/* Every remap, in any order. */
int remap_each(struct remap_table *t, int (*cb)(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block),
               void *arg);

#endif
