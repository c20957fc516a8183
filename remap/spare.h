/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spare.h: one spare file: in the store's own folder, or, with a header that says whose it is, in a directory elsewhere.
 * docs/FORMAT.md, «Spare files». Reading and writing are thread-safe.
 */
#ifndef HOLO_REMAP_SPARE_H
#define HOLO_REMAP_SPARE_H

#include "remap/entry.h"
#include "remap/remap.h"

struct spare_file {
    struct backing *dir;         /* of its directory elsewhere; NULL: the store's own folder */
    struct bfile *read, *direct; /* direct: for writing and reading past the cache; NULL where it cannot be written */
    uint32_t first;              /* block of the file that is block 0 */
    int error;                   /* why it cannot be had, 0: it can */
};

/* What both have in common: the store, and how directories elsewhere are opened (NULL: as ordinary ones). */
struct spare_place {
    struct backing *store;
    const struct remap_dirs *dirs;
    const uint8_t *uuid;
};

/*
 * Make the file, preallocated and durable; one of that name is replaced. path: its directory, "" for the store's own folder.
 * -ENOSPC also if hardly anything would be left free. On failure nothing is left behind.
 */
int spare_file_create(const struct spare_place *at, const struct remap_spare *s, const char *path);
void spare_file_delete(const struct spare_place *at, const struct remap_spare *s, const char *path);

/*
 * Open it. Elsewhere only what has the right header is believed: -HOLO_ECORRUPT. One that is missing in the store's own folder is made anew,
 * unless read_only: what was in it is rebuilt from parity. Returns out->error.
 */
int spare_file_open(const struct spare_place *at, const struct remap_spare *s, const char *path, bool read_only, struct spare_file *out);
void spare_file_close(struct spare_file *f);

/* One block, through the page cache or, if it is open so, past it (then buf is aligned). */
int spare_file_read(const struct spare_file *f, uint32_t block, void *buf);
int spare_file_read_direct(const struct spare_file *f, uint32_t block, void *buf);

/* Write and sync one aligned block. */
int spare_file_write(const struct spare_file *f, uint32_t block, const void *buf);

/* Does it answer at all? buf: one aligned block. */
bool spare_file_answers(const struct spare_file *f, uint32_t blocks, void *buf);

#endif
