/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.h: the remap table in memory: which block is where, and which spare blocks are free.
 *
 * Lookups run beside one changing thread; changes are serialized by the caller.
 */
#ifndef HOLO_REMAP_MAP_H
#define HOLO_REMAP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remap/entry.h"

struct remap_map;

struct remap_place {
    uint32_t spare; /* index in the list of spare files */
    uint32_t block;
    uint64_t sum;
};

struct remap_counts {
    uint64_t remaps, blocks, used, bad;
    uint64_t free; /* in spare files that are not closed */
};

struct remap_spare_counts {
    uint32_t number, blocks, used, bad;
    bool closed;
};

/* An empty table over the spare files of a header. */
int remap_map_create(const struct remap_header *h, struct remap_map **out);
void remap_map_destroy(struct remap_map *m);
void remap_map_clear(struct remap_map *m);

/* Make room for one more remap, so that the next remap_map_apply() cannot fail. */
int remap_map_reserve(struct remap_map *m);

/* What a log entry says. One that names no spare block of ours is ignored. */
void remap_map_apply(struct remap_map *m, const struct remap_entry *e);

/* O(1); without any lock if the container has no remap (and none has that shares its filter slot). @out may be NULL. */
bool remap_map_find(struct remap_map *m, uint32_t container, uint32_t file_block, struct remap_place *out);

/* Has the container any remap? O(n) if its filter slot says maybe. */
bool remap_map_has(struct remap_map *m, uint32_t container);

/* The next free spare block, going round. It stays free until an add is applied. False if there is none. */
bool remap_map_next_free(struct remap_map *m, struct remap_place *out);

/* Is there any remap? One relaxed load. */
bool remap_map_any(const struct remap_map *m);

void remap_map_counts(struct remap_map *m, struct remap_counts *out);

/*
 * Spare files that come and go. An index stays the same while its file is there; remap_map_create() takes them from 0 on in the order of the
 * header. Add: -ENOSPC beyond REMAP_SPARES_MAX, -ENOMEM. Remove: nothing may lead there any more. Close: nothing new goes there.
 */
int remap_map_spare_add(struct remap_map *m, uint32_t number, uint32_t blocks, uint32_t *index);
void remap_map_spare_remove(struct remap_map *m, uint32_t index);
void remap_map_spare_close(struct remap_map *m, uint32_t index, bool closed);

/* A block that counts as bad is free: it never failed. What the log says of it is for the caller to put right. */
void remap_map_spare_free(struct remap_map *m, const struct remap_place *p);

/* False if there is no spare file with this index (0 … REMAP_SPARES_MAX − 1). */
bool remap_map_spare(struct remap_map *m, uint32_t index, struct remap_spare_counts *out);

/* The whole table as entries without sequence numbers: adds, then bad spare blocks. The caller frees *out. */
int remap_map_entries(struct remap_map *m, struct remap_entry **out, size_t *n);

#endif
