/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_look.c: single entries of a copy of the ring, for tools that look at a file by itself. */
#include <string.h>

#include "base/bytes.h"
#include "store/ring_private.h"

/* What the bytes of an entry depend on. */
static struct ring ring_of(const uint8_t *uuid, uint32_t blocks)
{
    struct ring r = { .blocks = blocks };
    if (uuid)
        memcpy(r.uuid, uuid, sizeof(r.uuid));
    return r;
}

bool ring_look_entry(const uint8_t *uuid, uint32_t ring_blocks, uint32_t at, const uint8_t *block, struct ring_look *out)
{
    struct ring r = ring_of(uuid, ring_blocks);
    struct ring_entry e;
    uint64_t chain, lsn = ring_entry_claims(block);
    if (lsn == UINT64_MAX || lsn % ring_blocks != at || !ring_entry_parse(&r, block, &e))
        return false;
    *out = (struct ring_look){ .epoch = e.epoch, .txg = e.txg, .lsn = e.lsn, .tail = e.tail, .previous = e.previous,
                               .chain = le64_get(block + OFF_ENTRY_SUM), .records_len = e.records_len, .data_len = e.data_len,
                               .payload = e.payload, .base_epoch = e.base_epoch, .base_txg = e.base_txg, .base_chain = e.base_chain,
                               .time_ns = e.time_ns, .blocks = e.blocks, .part = e.part, .flags = e.flags, .n_segments = e.n_segments,
                               .sum_right = uuid && ring_entry_decode(&r, block, lsn, &e, &chain) };
    return true;
}

bool ring_look_block(const uint8_t uuid[16], const struct ring_look *e, const uint8_t *first, uint32_t i, const uint8_t *block)
{
    struct ring r = ring_of(uuid, 0);
    return le64_get(first + OFF_BLOCK_SUMS + 8 * (size_t)(i - 1)) == ring_block_sum(&r, e->lsn + i, block);
}

/* In the first block it ends before the checksum; from the second on it is all there is. */
void ring_look_payload(const struct ring_look *e, const uint8_t *blocks, uint8_t *out)
{
    size_t head = ring_payload_off(e->blocks), len = (size_t)e->payload;
    size_t first = len < OFF_ENTRY_SUM - head ? len : OFF_ENTRY_SUM - head;
    memcpy(out, blocks + head, first);
    memcpy(out + first, blocks + BLOCK_SIZE, len - first);
}
