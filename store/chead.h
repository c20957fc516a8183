/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chead.h: container headers, checksum tables and file names (docs/FORMAT.md, «Containers»). */
#ifndef HOLO_STORE_CHEAD_H
#define HOLO_STORE_CHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/format.h"

enum { CHEAD_COPIES = 16, CHEAD_BYTES = 256, PIECE_BYTES = 48, CONTAINER_NAME_MAX = 48 };

struct container_header {
    uint32_t id, cls, r, k, m, D, nmax, used, table_blocks, seed_base, pieces;
    uint8_t uuid[16];
    uint64_t content_bytes, dir_off, epoch, first_txg, last_txg;
    uint32_t previous, sb_ring_blocks, sb_r, sb_meta_r;
    uint64_t sb_size_limit;
    int64_t sealed_ns;
};

/* One entry of a data container's directory. */
struct piece {
    uint64_t ino, off, seq;
    uint32_t coff, stored, raw, codec;
};

void chead_encode(const struct container_header *h, uint8_t block[BLOCK_SIZE]);

/*
 * Decode the first of the sixteen copies that is intact and names this store and container, or else what most of them say.
 * -HOLO_EFORMAT if no copy has the magic, -HOLO_EVERSION, -HOLO_ESUM, or -HOLO_ECORRUPT (impossible geometry).
 * *intact tells whether all sixteen are alike.
 */
int chead_decode(const uint8_t block[BLOCK_SIZE], const uint8_t uuid[16], uint32_t id, struct container_header *h, bool *intact);

/* The same without knowing store and id (tools): those of the copy are taken. */
int chead_decode_any(const uint8_t block[BLOCK_SIZE], struct container_header *h);

/* Stored positions: data and parity. */
static inline uint32_t chead_positions(const struct container_header *h)
{
    return h->used + h->m * h->D;
}

/* Block of the file that holds stored position x. */
static inline uint32_t chead_file_block(const struct container_header *h, uint32_t x)
{
    return 1 + h->table_blocks + x;
}

/* Blocks of the whole file. */
static inline uint32_t chead_file_blocks(const struct container_header *h)
{
    return 2 + 2 * h->table_blocks + chead_positions(h);
}

/* Block of the file that holds table block t of copy 0 (A) or 1 (B). */
static inline uint32_t chead_table_block(const struct container_header *h, unsigned copy, uint32_t t)
{
    return copy == 0 ? 1 + t : 1 + h->table_blocks + chead_positions(h) + t;
}

static inline uint32_t chead_table_blocks_for(uint32_t positions)
{
    return (positions + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
}

/* Checksum of the block at a stored position. */
uint64_t chead_block_sum(const uint8_t uuid[16], uint32_t id, uint32_t position, const void *block);

/* Table block t from sums[511·t …] (n sums in all). */
void ctable_encode(const uint8_t uuid[16], uint32_t id, uint32_t t, const uint64_t *sums, uint32_t n, uint8_t block[BLOCK_SIZE]);
bool ctable_intact(const uint8_t uuid[16], uint32_t id, uint32_t t, const uint8_t block[BLOCK_SIZE]);
uint64_t ctable_entry(const uint8_t block[BLOCK_SIZE], uint32_t position);

void piece_encode(const struct piece *p, const uint8_t uuid[16], uint32_t id, uint8_t out[PIECE_BYTES]);
bool piece_decode(const uint8_t in[PIECE_BYTES], const uint8_t uuid[16], uint32_t id, struct piece *p);

/* "containers/000/0000002a.hc", and the folder it is in. */
void container_name(uint32_t id, char out[CONTAINER_NAME_MAX]);
void container_dir(uint32_t id, char out[CONTAINER_NAME_MAX]);
/* Does a file name (without folder) belong to a container? */
bool container_name_parse(const char *name, uint32_t *id);

#endif
