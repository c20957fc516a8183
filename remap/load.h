/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load.h: read the five copies of the remap log and make one table of them. docs/FORMAT.md, «Remap table», Loading. */
#ifndef HOLO_REMAP_LOAD_H
#define HOLO_REMAP_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "remap/entry.h"
#include "remap/map.h"
#include "remap/remap.h"

struct remap_loaded {
    struct remap_header header; /* of the newest log */
    struct remap_image image;   /* that log, merged from its copies */
    uint64_t next;              /* the sequence number that comes next */
    uint64_t lost;              /* entries found in no copy */
    bool made;                  /* no header was left: a new one */
    bool equal[REMAP_COPIES];   /* the copy is the image, byte for byte */
};

/* The guards of the block that is filled: docs/FORMAT.md, «Appending». */
enum { REMAP_GUARDS = 2, REMAP_NAME_MAX = 16 };
void remap_guard_name(unsigned i, char out[REMAP_NAME_MAX]);

/*
 * -HOLO_ECORRUPT if the copies are another store's, -HOLO_EVERSION if one is newer than this program. If reads fail in every copy and something
 * is missing, why they did: a disk that does not answer has lost nothing yet. Writes nothing.
 */
int remap_log_load(struct backing *b, const uint8_t uuid[16], struct remap_loaded *out, struct remap_map **out_map);
void remap_loaded_fini(struct remap_loaded *ld);

#endif
