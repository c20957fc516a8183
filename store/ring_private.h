/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_private.h: what ring.c (append, mirror), ring_entry.c (bytes), ring_scan.c (find, read) and ring_end.c (what is missing at the end) share. */
#ifndef HOLO_STORE_RING_PRIVATE_H
#define HOLO_STORE_RING_PRIVATE_H

#include "store/ring.h"

/* Byte offsets in the first block of an entry, docs/FORMAT.md «Ring». */
enum { OFF_BLOCK_SUMS = 128, OFF_ENTRY_SUM = 4088 };

struct ring {
    uint32_t blocks;
    uint8_t uuid[16];
    struct bfile *file[RING_COPIES];   /* buffered, for writing */
    struct bfile *direct[RING_COPIES]; /* past the page cache, for scanning */
    _Atomic unsigned failed;           /* bits of copies that are not written any more */
    _Atomic uint64_t tail, end;        /* read by the mirror's thread */
    uint64_t kept;                     /* the tail on the medium: nothing from here on is overwritten */
    _Atomic uint64_t mirrored;         /* what the mirror has */
    uint64_t chain;
    bool caught_up;                    /* the mirror has taken over */
    unsigned made;                     /* bits of copies that ring_open had to make */
    uint64_t had_bytes[RING_COPIES];   /* as they were found, up to their full size: zeros or nothing lie behind */
    _Atomic uint64_t bytes_written;
    uint8_t *staging, *mirror_buf;     /* RING_ENTRY_BLOCKS blocks each */
};

/* The header of one entry. */
struct ring_entry {
    uint64_t epoch, txg, lsn, tail, previous;
    int64_t time_ns;
    uint32_t blocks, part, flags, n_segments;
    uint64_t records_len, data_len, payload;
    uint64_t base_epoch, base_txg, base_chain;
};

/* Where the payload starts in the first block of an entry of that many blocks. */
static inline size_t ring_payload_off(uint32_t blocks)
{
    return OFF_BLOCK_SUMS + 8 * (size_t)(blocks - 1);
}

/* Payload bytes that an entry of that many blocks carries. */
static inline uint64_t ring_payload_cap(uint32_t blocks)
{
    return OFF_ENTRY_SUM - ring_payload_off(blocks) + (uint64_t)(blocks - 1) * BLOCK_SIZE;
}

/* Blocks of the entry that carries so many payload bytes (at most a full entry's). */
uint32_t ring_entry_blocks(uint64_t payload);

/* Write the header fields into a block whose block sums and payload are in place. Returns the checksum field. */
uint64_t ring_entry_encode(const struct ring *r, const struct ring_entry *e, uint8_t *block);

/* false if the block is not the first one of an entry of this store at this lsn. */
bool ring_entry_decode(const struct ring *r, const uint8_t *block, uint64_t lsn, struct ring_entry *e, uint64_t *chain);

/* The fields of a block, whatever its checksum says; false if they are impossible. */
bool ring_entry_parse(const struct ring *r, const uint8_t *block, struct ring_entry *e);

/* The lsn a block claims; UINT64_MAX if it does not look like an entry. */
uint64_t ring_entry_claims(const uint8_t *block);

/* May two copies of a block, flipped both, be the first one of an entry? Most others are refused. */
bool ring_entry_resembles(const uint8_t *a, const uint8_t *b);

uint64_t ring_block_sum(const struct ring *r, uint64_t lsn, const uint8_t *block);

/* What a block that looks like an entry's first one says of itself; `right` if its checksum confirms that. */
struct ring_trace {
    uint64_t epoch, txg, lsn;
    uint32_t part, flags;
    int copy;
    bool right;
};

struct ring_traces {
    struct ring_trace *v;
    size_t n, cap;
};

/* Note block `at` of a copy if it looks like an entry's first one that belongs there. 0 or -ENOMEM. */
int ring_trace_note(struct ring_traces *l, const struct ring *r, int copy, uint32_t at, const uint8_t *block);

/* The same without a checksum: at most one byte of the magic may differ. copy, right: untouched. */
bool ring_entry_peek(const uint8_t *block, struct ring_trace *out);

/* One block of a copy. 0 or a negative code. */
int ring_block_read(struct ring *r, int copy, uint64_t lsn, uint8_t *out);

/*
 * Was more begun (torn) or committed (missing_to, end_unknown) than up to `newest`, which needs everything from `tail` on, and whose last block
 * should be `last`? NULL: nothing was committed. Leaves a mark at the end of the log that keeps end_unknown true. Before anything is healed;
 * staging and mirror_buf are scratch.
 */
void ring_end_judge(struct ring *r, const struct ring_traces *l, const struct ring_txg *newest, uint64_t tail, const uint8_t *last,
                    struct ring_scan_result *out);

/* Write zeros behind the end of copies that were found too short. One that cannot be filled has failed. */
void ring_fill_up(struct ring *r);

/* The mark: the end of the log behind a txg is not known. False if it is none, or one of an older epoch. */
void ring_mark_encode(const struct ring *r, const struct ring_txg *newest, uint64_t lsn, uint8_t *block);
bool ring_mark_is(const struct ring *r, const struct ring_txg *newest, uint64_t lsn, const uint8_t *block);

#endif
