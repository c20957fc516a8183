/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inspect.h: decode single files of a store, for people and scripts. Nothing is written, nothing is repaired: files are shown as they are,
 * whatever is wrong with them.
 */
#ifndef HOLO_CORE_INSPECT_H
#define HOLO_CORE_INSPECT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

/*
 * Decode a container's header (A, or B where A cannot be read), or one superblock copy, into a JSON object with
 * one level, appended to *out with a final zero byte that is not counted. Returns 0 or a negative code.
 */
int holofs_inspect_container(const char *file, struct buf *out);
int holofs_inspect_superblock(const char *file, struct buf *out);

/*
 * What is found is given to `emit` piece by piece, as objects of which the first member, "what", says what it is; emit owns them. What is
 * not as it should be is such an object, too: { "what": "wrong", "why": …, where }, counted in `wrong`. emit returns 0, or a code that
 * ends it.
 */
struct inspect {
    const char *store; /* the store's directory, for its uuid; NULL: the one that the file is in */
    bool records;      /* of the ring: decode the records, too */
    bool one_txg;      /* only this one's */
    uint64_t txg;
    int (*emit)(void *arg, json_t *o);
    void *arg;
    uint64_t wrong;
};

/* A copy of the ring: its entries in order of lsn. Without a superblock to have the uuid from, checksums are not asked, which is told. */
int holofs_inspect_ring(struct inspect *in, const char *file);

/* The records of a metadata container, or of a copy of the ring, with their items. */
int holofs_inspect_records(struct inspect *in, const char *file);

/* The directory of a container of file data: which bytes of which inode are where. */
int holofs_inspect_pieces(struct inspect *in, const char *file);

/* A copy of the remap table: headers, spare files, entries. */
int holofs_inspect_remap(struct inspect *in, const char *file);

#endif
