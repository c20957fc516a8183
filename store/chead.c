/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chead.c: encode and decode container headers, checksum tables, directory entries and names. */
#include "store/chead.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/vote.h"

static const char magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'H', 'C' };

enum { OFF_SUM = 248, OFF_ID = 12, OFF_UUID = 16 };

static uint64_t header_sum(const uint8_t *rec, uint32_t id)
{
    return sum64(rec, OFF_SUM, sum_seed(rec + OFF_UUID, SUM_ID_HEADER, id));
}

void chead_encode(const struct container_header *h, uint8_t block[BLOCK_SIZE])
{
    memset(block, 0, CHEAD_BYTES);
    struct wr w = wr_init(block, CHEAD_BYTES);
    wr_bytes(&w, magic, sizeof(magic));
    wr_u32(&w, HOLO_FORMAT_VERSION);
    wr_u32(&w, h->id);
    wr_bytes(&w, h->uuid, 16);
    wr_u32(&w, h->cls);
    wr_u32(&w, h->r);
    wr_u32(&w, h->k);
    wr_u32(&w, h->m);
    wr_u32(&w, h->D);
    wr_u32(&w, h->nmax);
    wr_u32(&w, h->used);
    wr_u32(&w, h->table_blocks);
    wr_u32(&w, h->seed_base);
    wr_u32(&w, h->pieces);
    wr_u64(&w, h->content_bytes);
    wr_u64(&w, h->dir_off);
    wr_u64(&w, h->epoch);
    wr_u64(&w, h->first_txg);
    wr_u64(&w, h->last_txg);
    wr_u32(&w, h->previous);
    wr_u32(&w, h->sb_ring_blocks);
    wr_u32(&w, h->sb_r);
    wr_u32(&w, h->sb_meta_r);
    wr_u64(&w, h->sb_size_limit);
    wr_u64(&w, (uint64_t)h->sealed_ns);
    le64_put(block + OFF_SUM, header_sum(block, h->id));
    for (int i = 1; i < CHEAD_COPIES; i++)
        memcpy(block + i * CHEAD_BYTES, block, CHEAD_BYTES);
}

static bool geometry_ok(const struct container_header *h)
{
    if (h->r < 1 || h->r > 10 || h->m != 2 * h->r || h->k < 1 || h->k > 255 || h->k + h->m > 255)
        return false;
    if (h->nmax < 1 || h->nmax > (1u << 20) || h->cls < CLASS_META_LOG || h->cls > CLASS_META_DUMP)
        return false;
    if (h->D != (((h->nmax + h->k - 1) / h->k) | 1) || h->used > h->nmax)
        return false;
    uint64_t room = (uint64_t)h->used * BLOCK_SIZE;
    return h->table_blocks == chead_table_blocks_for(chead_positions(h)) && h->content_bytes <= room && h->dir_off <= room &&
           (uint64_t)h->pieces * PIECE_BYTES <= room - h->dir_off;
}

static int decode_record(const uint8_t *rec, struct container_header *out)
{
    struct container_header h = { 0 };
    struct rd r = rd_init(rec, CHEAD_BYTES);
    if (memcmp(rd_bytes(&r, 8), magic, 8) != 0)
        return -HOLO_EFORMAT;
    uint32_t version = rd_u32(&r);
    h.id = rd_u32(&r);
    if (le64_get(rec + OFF_SUM) != header_sum(rec, h.id))
        return -HOLO_ESUM;
    if (version != HOLO_FORMAT_VERSION)
        return -HOLO_EVERSION;
    memcpy(h.uuid, rd_bytes(&r, 16), 16);
    h.cls = rd_u32(&r);
    h.r = rd_u32(&r);
    h.k = rd_u32(&r);
    h.m = rd_u32(&r);
    h.D = rd_u32(&r);
    h.nmax = rd_u32(&r);
    h.used = rd_u32(&r);
    h.table_blocks = rd_u32(&r);
    h.seed_base = rd_u32(&r);
    h.pieces = rd_u32(&r);
    h.content_bytes = rd_u64(&r);
    h.dir_off = rd_u64(&r);
    h.epoch = rd_u64(&r);
    h.first_txg = rd_u64(&r);
    h.last_txg = rd_u64(&r);
    h.previous = rd_u32(&r);
    h.sb_ring_blocks = rd_u32(&r);
    h.sb_r = rd_u32(&r);
    h.sb_meta_r = rd_u32(&r);
    h.sb_size_limit = rd_u64(&r);
    h.sealed_ns = (int64_t)rd_u64(&r);
    if (!geometry_ok(&h))
        return -HOLO_ECORRUPT;
    *out = h;
    return 0;
}

/* Decode one copy; unless uuid is NULL, it has to name this store and container. */
static int decode_named(const uint8_t *rec, const uint8_t *uuid, uint32_t id, struct container_header *out)
{
    struct container_header h;
    int r = decode_record(rec, &h);
    if (r == 0 && uuid && (h.id != id || memcmp(h.uuid, uuid, 16) != 0))
        r = -HOLO_ESUM;
    if (r == 0)
        *out = h;
    return r;
}

/* The first copy that is intact; if there is none, what most of them say byte by byte. */
static int decode_first(const uint8_t block[BLOCK_SIZE], const uint8_t *uuid, uint32_t id, struct container_header *out)
{
    const uint8_t *copies[CHEAD_COPIES];
    uint8_t voted[CHEAD_BYTES];
    int error = -HOLO_EFORMAT;
    for (int i = 0; i < CHEAD_COPIES; i++) {
        copies[i] = block + i * CHEAD_BYTES;
        int r = decode_named(copies[i], uuid, id, out);
        if (r == 0)
            return 0;
        if (error == -HOLO_EFORMAT || r == -HOLO_EVERSION)
            error = r;
    }
    vote_bytes(copies, CHEAD_COPIES, CHEAD_BYTES, voted);
    return decode_named(voted, uuid, id, out) == 0 ? 0 : error;
}

int chead_decode_any(const uint8_t block[BLOCK_SIZE], struct container_header *h)
{
    return decode_first(block, NULL, 0, h);
}

int chead_decode(const uint8_t block[BLOCK_SIZE], const uint8_t uuid[16], uint32_t id, struct container_header *h, bool *intact)
{
    int r = decode_first(block, uuid, id, h);
    if (!r && intact)
        *intact = memcmp(block, block + CHEAD_BYTES, BLOCK_SIZE - CHEAD_BYTES) == 0;
    return r;
}

uint64_t chead_block_sum(const uint8_t uuid[16], uint32_t id, uint32_t position, const void *block)
{
    return sum64(block, BLOCK_SIZE, sum_seed(uuid, id, position));
}

static uint64_t table_sum(const uint8_t uuid[16], uint32_t id, uint32_t t, const uint8_t *block)
{
    return sum64(block + 8, BLOCK_SIZE - 8, sum_seed(uuid, SUM_ID_TABLE, (uint64_t)id << 20 | t));
}

void ctable_encode(const uint8_t uuid[16], uint32_t id, uint32_t t, const uint64_t *sums, uint32_t n, uint8_t block[BLOCK_SIZE])
{
    memset(block, 0, BLOCK_SIZE);
    uint32_t first = t * TABLE_ENTRIES;
    for (uint32_t e = 0; e < TABLE_ENTRIES && first + e < n; e++)
        le64_put(block + 8 + 8 * e, sums[first + e]);
    le64_put(block, table_sum(uuid, id, t, block));
}

bool ctable_intact(const uint8_t uuid[16], uint32_t id, uint32_t t, const uint8_t block[BLOCK_SIZE])
{
    return le64_get(block) == table_sum(uuid, id, t, block);
}

uint64_t ctable_entry(const uint8_t block[BLOCK_SIZE], uint32_t position)
{
    return le64_get(block + 8 + 8 * (position % TABLE_ENTRIES));
}

void piece_encode(const struct piece *p, const uint8_t uuid[16], uint32_t id, uint8_t out[PIECE_BYTES])
{
    struct wr w = wr_init(out, PIECE_BYTES);
    wr_u64(&w, p->ino);
    wr_u64(&w, p->off);
    wr_u64(&w, p->seq);
    wr_u32(&w, p->coff);
    wr_u32(&w, p->stored);
    wr_u32(&w, p->raw);
    wr_u32(&w, p->codec);
    wr_u64(&w, sum64(out, 40, sum_seed(uuid, id, p->coff)));
}

bool piece_decode(const uint8_t in[PIECE_BYTES], const uint8_t uuid[16], uint32_t id, struct piece *p)
{
    struct rd r = rd_init(in, PIECE_BYTES);
    p->ino = rd_u64(&r);
    p->off = rd_u64(&r);
    p->seq = rd_u64(&r);
    p->coff = rd_u32(&r);
    p->stored = rd_u32(&r);
    p->raw = rd_u32(&r);
    p->codec = rd_u32(&r);
    return rd_u64(&r) == sum64(in, 40, sum_seed(uuid, id, p->coff));
}

void container_dir(uint32_t id, char out[CONTAINER_NAME_MAX])
{
    snprintf(out, CONTAINER_NAME_MAX, "containers/%03x", id >> 12);
}

void container_name(uint32_t id, char out[CONTAINER_NAME_MAX])
{
    snprintf(out, CONTAINER_NAME_MAX, "containers/%03x/%08x.hc", id >> 12, id);
}

bool container_name_parse(const char *name, uint32_t *id)
{
    char check[CONTAINER_NAME_MAX];
    unsigned v;
    if (sscanf(name, "%8x.hc", &v) != 1)
        return false;
    snprintf(check, sizeof(check), "%08x.hc", v);
    *id = v;
    return strcmp(check, name) == 0;
}
