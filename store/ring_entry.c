/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_entry.c: the bytes of a ring entry. */
#include <string.h>

#include "base/bytes.h"
#include "base/sum.h"
#include "store/ring_private.h"

static const char magic[8] = { 'h', 'o', 'l', 'o', 'R', 'I', 'N', 'G' };
static const char mark_magic[8] = { 'h', 'o', 'l', 'o', 'L', 'O', 'S', 'T' };

uint32_t ring_entry_blocks(uint64_t payload)
{
    uint32_t blocks = 1;
    while (blocks < RING_ENTRY_BLOCKS && ring_payload_cap(blocks) < payload) {
        uint64_t missing = payload - ring_payload_cap(blocks);
        blocks += (uint32_t)((missing + BLOCK_SIZE - 1) / BLOCK_SIZE);
    }
    return blocks < RING_ENTRY_BLOCKS ? blocks : RING_ENTRY_BLOCKS;
}

uint64_t ring_block_sum(const struct ring *r, uint64_t lsn, const uint8_t *block)
{
    return sum64(block, BLOCK_SIZE, sum_seed(r->uuid, SUM_ID_RING_PAYLOAD, lsn));
}

static uint64_t entry_sum(const struct ring *r, uint64_t lsn, const uint8_t *block)
{
    return sum64(block, OFF_ENTRY_SUM, sum_seed(r->uuid, SUM_ID_RING_HEADER, lsn));
}

uint64_t ring_entry_encode(const struct ring *r, const struct ring_entry *e, uint8_t *block)
{
    struct wr w = wr_init(block, OFF_BLOCK_SUMS);
    wr_bytes(&w, magic, sizeof(magic));
    wr_u64(&w, e->epoch);
    wr_u64(&w, e->txg);
    wr_u64(&w, e->lsn);
    wr_u64(&w, e->tail);
    wr_u64(&w, e->previous);
    wr_u64(&w, (uint64_t)e->time_ns);
    wr_u32(&w, e->blocks);
    wr_u32(&w, e->part);
    wr_u32(&w, e->flags);
    wr_u32(&w, e->n_segments);
    wr_u64(&w, e->records_len);
    wr_u64(&w, e->data_len);
    wr_u64(&w, e->payload);
    wr_u64(&w, e->base_epoch);
    wr_u64(&w, e->base_txg);
    wr_u64(&w, e->base_chain);
    wr_u64(&w, 0);
    uint64_t sum = entry_sum(r, e->lsn, block);
    le64_put(block + OFF_ENTRY_SUM, sum);
    return sum;
}

uint64_t ring_entry_claims(const uint8_t *block)
{
    return memcmp(block, magic, sizeof(magic)) == 0 ? le64_get(block + 24) : UINT64_MAX;
}

bool ring_entry_resembles(const uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < sizeof(magic); i++) {
        if (a[i] != (uint8_t)magic[i] && b[i] != (uint8_t)magic[i])
            return false;
    }
    return true;
}

bool ring_entry_peek(const uint8_t *block, struct ring_trace *out)
{
    unsigned differ = 0;
    for (size_t i = 0; i < sizeof(magic); i++)
        differ += block[i] != (uint8_t)magic[i];
    out->epoch = le64_get(block + 8);
    out->txg = le64_get(block + 16);
    out->lsn = le64_get(block + 24);
    out->part = le32_get(block + 60);
    out->flags = le32_get(block + 64);
    return differ <= 1;
}

void ring_mark_encode(const struct ring *r, const struct ring_txg *newest, uint64_t lsn, uint8_t *block)
{
    memset(block, 0, BLOCK_SIZE);
    memcpy(block, mark_magic, sizeof(mark_magic));
    le64_put(block + 8, newest->epoch);
    le64_put(block + 16, newest->txg);
    le64_put(block + 24, lsn);
    le64_put(block + OFF_ENTRY_SUM, entry_sum(r, lsn, block));
}

bool ring_mark_is(const struct ring *r, const struct ring_txg *newest, uint64_t lsn, const uint8_t *block)
{
    return memcmp(block, mark_magic, sizeof(mark_magic)) == 0 && le64_get(block + 8) >= newest->epoch && le64_get(block + 24) == lsn &&
           le64_get(block + OFF_ENTRY_SUM) == entry_sum(r, lsn, block);
}

bool ring_entry_parse(const struct ring *r, const uint8_t *block, struct ring_entry *e)
{
    struct rd d = rd_init(block, OFF_BLOCK_SUMS);
    rd_u64(&d);
    e->epoch = rd_u64(&d);
    e->txg = rd_u64(&d);
    e->lsn = rd_u64(&d);
    e->tail = rd_u64(&d);
    e->previous = rd_u64(&d);
    e->time_ns = (int64_t)rd_u64(&d);
    e->blocks = rd_u32(&d);
    e->part = rd_u32(&d);
    e->flags = rd_u32(&d);
    e->n_segments = rd_u32(&d);
    e->records_len = rd_u64(&d);
    e->data_len = rd_u64(&d);
    e->payload = rd_u64(&d);
    e->base_epoch = rd_u64(&d);
    e->base_txg = rd_u64(&d);
    e->base_chain = rd_u64(&d);
    if (e->blocks < 1 || e->blocks > RING_ENTRY_BLOCKS || e->payload > ring_payload_cap(e->blocks) || e->tail > e->lsn)
        return false;
    uint64_t limit = (uint64_t)r->blocks * BLOCK_SIZE;
    return e->records_len <= limit && e->data_len <= limit && e->n_segments <= limit / RING_SEGMENT_BYTES && e->lsn - e->tail <= r->blocks;
}

bool ring_entry_decode(const struct ring *r, const uint8_t *block, uint64_t lsn, struct ring_entry *e, uint64_t *chain)
{
    *chain = le64_get(block + OFF_ENTRY_SUM);
    return ring_entry_claims(block) == lsn && *chain == entry_sum(r, lsn, block) && ring_entry_parse(r, block, e);
}
