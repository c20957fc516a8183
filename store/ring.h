/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.h: the ring, where everything commits, and its mirror (docs/FORMAT.md, «Ring»).
 *
 * Positions are lsns: blocks since mkfs; lsn l is block l mod size of journal.0 and of journal.1. The caller
 * serializes ring_append, ring_set_tail and ring_scan; ring_mirror may run beside them on one other thread.
 */
#ifndef HOLO_STORE_RING_H
#define HOLO_STORE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/backing.h"
#include "store/format.h"

enum { RING_LAST = 1, RING_EPOCH_FIRST = 2, RING_CLEAN = 4, RING_MIRROR_FIRST = 8 };

struct ring;

/* A piece of a container that is not sealed yet. */
struct ring_segment {
    uint32_t container, len;
    uint64_t off;
};

struct ring_txg {
    uint64_t epoch, txg;
    uint64_t lsn, blocks;   /* where it is */
    uint64_t chain;         /* checksum field of its last entry */
    uint64_t base_epoch, base_txg, base_chain; /* what its epoch builds on */
    int64_t time_ns;
    uint32_t flags, n_segments;
    uint64_t records_len, data_len;
};

/* Create both files, preallocated and prewritten with zeros; used by mkfs. */
int ring_format(struct backing *b, uint32_t blocks);

/*
 * Open both copies. For writing, one that is missing beside the other is made again (ring_made_copies); the scan fills it, and one that is
 * short, up with zeros and brings their contents back. A copy that cannot be opened has failed; -ENOENT and others when both have.
 */
int ring_open(struct backing *b, const uint8_t uuid[16], uint32_t blocks, bool read_only, struct ring **out);
void ring_close(struct ring *r);

struct ring_scan_result {
    struct ring_txg *txgs;      /* committed txgs from the tail on, ascending; free() it */
    size_t n;
    struct ring_txg *damaged;   /* txgs between them of which some blocks are lost in both copies, ascending; freed with txgs */
    size_t n_damaged;
    uint64_t tail, end;         /* lsns; append goes on at end */
    uint64_t max_epoch;         /* the highest of any entry, void and torn ones included */
    uint64_t repairable_blocks; /* blocks that journal.0 has wrong, and the mirror or both together right */
    uint64_t lost_txgs;         /* between tail and end, by their numbers, the damaged ones included: damage in both copies */
    bool torn;                  /* something was begun behind the end: a crash */
    uint64_t missing_to;        /* txgs behind the newest up to this one were durable, and are gone; 0: none that is known of */
    bool end_unknown;           /* damage adjoins the end: more may have been committed than is found */
};

/*
 * Find the committed log past the page cache: both copies, every block. Wrong blocks are written again if the ring is
 * open for writing. Positions the ring for ring_append. An empty ring gives n = 0. last_txg: nothing was committed behind it, as a clean
 * stop has noted; 0: not known, and damage at the end is looked for. Returns 0 or a negative code (I/O, memory).
 */
int ring_scan(struct ring *r, uint64_t last_txg, struct ring_scan_result *out);

/*
 * The quick way after a clean unmount: follow the chain of journal.0 from the hints and read its txgs, without looking
 * at the rest. -HOLO_ESTALE if it does not lead exactly to hint_txg, goes on behind it, or a txg is not whole: then scan.
 */
int ring_scan_clean(struct ring *r, uint64_t hint_tail, uint64_t hint_end, uint64_t hint_txg, struct ring_scan_result *out);

/*
 * Read one txg found by the scan into *out (replaced): its byte stream: segment table, records, data.
 * Each block comes from whichever copy is right, or from both where neither is. -HOLO_ELOST if that fails.
 */
int ring_read(struct ring *r, const struct ring_txg *t, struct buf *out);

/* A range of a txg's stream that is lost. */
struct ring_hole {
    uint64_t off, len;
};
struct ring_holes {
    struct ring_hole *v; /* ascending */
    size_t n, cap;
};

/* The same for a damaged txg: what is lost of its stream is zeros, and noted in *holes (replaced). */
int ring_read_damaged(struct ring *r, const struct ring_txg *t, struct buf *out, struct ring_holes *holes);
void ring_holes_fini(struct ring_holes *h);

/* Decode segment i of a txg's stream. */
void ring_segment_get(const uint8_t *stream, uint32_t i, struct ring_segment *out);
enum { RING_SEGMENT_BYTES = 16 };

/* Where the data of a segment comes from when a txg is written. */
struct ring_data {
    struct ring_segment seg;
    const uint8_t *bytes;
};

/* Blocks that a txg of this size takes. */
uint64_t ring_blocks_for(uint32_t n_segments, uint64_t records_len, uint64_t data_len);

/* Blocks that can be appended now: what the tail gives up counts from the txg on that says so on the medium. */
uint64_t ring_free_blocks(const struct ring *r);
uint64_t ring_used_blocks(const struct ring *r);
/* Blocks that journal.1 does not have yet. Any thread. */
uint64_t ring_unmirrored_blocks(const struct ring *r);
uint64_t ring_end(const struct ring *r);
uint64_t ring_tail(const struct ring *r);

/*
 * Append and sync one txg. t gives epoch, txg, flags (without RING_LAST), base_* and time; lsn, blocks and
 * chain are filled in. -HOLO_ERINGFULL if it does not fit (nothing is written). If the first copy fails, the
 * mirror gets what it still lacked of it, is written and synced in its place, and the copy is not used for writing again; -EIO when both fail.
 */
int ring_append(struct ring *r, struct ring_txg *t, const struct ring_data *data, uint32_t n_data, const uint8_t *records,
                uint64_t records_len);

/* Everything before this lsn is not needed any more once the next txg, which says so, is durable. */
void ring_set_tail(struct ring *r, uint64_t lsn);

/* Copy what the mirror lacks and sync it. Returns blocks copied or a negative code. */
int64_t ring_mirror(struct ring *r);

/* Copies that ring_open made: bits as below. */
unsigned ring_made_copies(const struct ring *r);

/*
 * Give copy c, which failed, a new file with all of the log that is needed, verified: the old one may claim what it does not hold. On a
 * full disk, and only then, it is written anew in place and read back. Nothing else may use the ring meanwhile. 0 or why not.
 */
int ring_restore(struct ring *r, struct backing *b, int c);

/* Copies that failed and are not written any more: bit 0 journal.0, bit 1 journal.1. */
unsigned ring_failed_copies(const struct ring *r);
uint64_t ring_bytes_written(const struct ring *r);

/* ---- one copy by itself, as tools look at it (ring_look.c) ---- */

/* An entry, FORMAT.md «Ring». */
struct ring_look {
    uint64_t epoch, txg, lsn, tail, previous, chain, records_len, data_len, payload, base_epoch, base_txg, base_chain;
    int64_t time_ns;
    uint32_t blocks, part, flags, n_segments;
    bool sum_right; /* of its first block */
};

/* Is the block at place `at` of a ring the first one of an entry, as it looks? Checksums are asked with a uuid, else sum_right is false. */
bool ring_look_entry(const uint8_t *uuid, uint32_t ring_blocks, uint32_t at, const uint8_t *block, struct ring_look *out);

/* Is block i (from 1 on) of the entry what its first block says? */
bool ring_look_block(const uint8_t uuid[16], const struct ring_look *e, const uint8_t *first, uint32_t i, const uint8_t *block);

/* Copy the payload, e->payload bytes, of an entry whose blocks are in memory one behind another. */
void ring_look_payload(const struct ring_look *e, const uint8_t *blocks, uint8_t *out);

#endif
