/* SPDX-License-Identifier: GPL-2.0-or-later */
/* entry.h: the bytes of a remap log: its header and its entries. docs/FORMAT.md, «Remap table». */
#ifndef HOLO_REMAP_ENTRY_H
#define HOLO_REMAP_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REMAP_VERSION = 1,
    REMAP_ENTRY_SIZE = 64,
    REMAP_HEADER_SIZE = 4096,
    REMAP_HEADERS = 2,
    REMAP_SPARES_MAX = 64,
    REMAP_PATHS_MAX = 3000, /* bytes of all directories of spare files together */
    REMAP_BLOCKS_MAX = 1 << 26, /* of all spare files together: 256 GiB; the table takes 9 bytes for each */
    REMAP_LOG_MAX = 1 << 28,    /* bytes of a log that are looked at */
};

/* The highest first sequence number of a log; behind it comes 1. docs/FORMAT.md, «Numbering». */
#define REMAP_FIRST_MAX ((uint64_t)INT64_MAX)

enum remap_kind { REMAP_ADD = 1, REMAP_DROP_BLOCK = 2, REMAP_DROP_CONTAINER = 3, REMAP_SPARE_BAD = 4 };

struct remap_entry {
    uint64_t sequence;
    enum remap_kind kind;
    uint32_t container, file_block;
    uint32_t spare, spare_block; /* spare: number of the file */
    uint64_t sum;                /* of the spare block */
};

/* A spare file; path_len 0: in the store's own folder. */
struct remap_spare {
    uint32_t number, blocks;
    uint32_t identity;           /* what the file's header repeats; 0 in the store's own folder, whose files have none */
    uint16_t path_off, path_len; /* of its directory, in the header's paths */
};

struct remap_header {
    uint64_t first;    /* sequence number of the first entry */
    uint64_t snapshot; /* entries of the snapshot */
    uint32_t n_spares;
    struct remap_spare spare[REMAP_SPARES_MAX];
    char paths[REMAP_PATHS_MAX]; /* one behind another, not terminated */
};

/* Add a spare file to the list; dir: an absolute path, or NULL. -ENOSPC if the header has no room for it. */
int remap_header_add_spare(struct remap_header *h, const struct remap_spare *s, const char *dir);

/* The directory of a spare file into out; "" for the store's own folder. */
void remap_header_path(const struct remap_header *h, const struct remap_spare *s, char out[REMAP_PATHS_MAX + 1]);

void remap_entry_encode(const struct remap_entry *e, const uint8_t uuid[16], uint8_t out[REMAP_ENTRY_SIZE]);

/* False unless the bytes are the entry with this sequence number, whole. */
bool remap_entry_decode(const uint8_t in[REMAP_ENTRY_SIZE], const uint8_t uuid[16], uint64_t sequence, struct remap_entry *out);

void remap_header_encode(const struct remap_header *h, const uint8_t uuid[16], uint8_t out[REMAP_HEADER_SIZE]);

/* 0, -HOLO_ECORRUPT, or -HOLO_EVERSION for a whole header that is newer than this program. */
int remap_header_decode(const uint8_t in[REMAP_HEADER_SIZE], const uint8_t uuid[16], struct remap_header *out);

/* A whole log in memory, aligned for direct I/O. */
struct remap_image {
    uint8_t *p;
    size_t len;
};

enum { REMAP_SLOTS_OFFSET = REMAP_HEADERS * REMAP_HEADER_SIZE };

/* Headers, and zeros where n entries go. The caller frees out->p. Returns 0 or -ENOMEM. */
int remap_image_create(const struct remap_header *h, const uint8_t uuid[16], uint64_t n, struct remap_image *out);

static inline uint64_t remap_slot_offset(uint64_t slot)
{
    return REMAP_SLOTS_OFFSET + slot * REMAP_ENTRY_SIZE;
}

/* The checksum of a spare block, tied to the block that it stands for. */
uint64_t remap_block_sum(const uint8_t uuid[16], uint32_t container, uint32_t file_block, const void *block);

#endif
