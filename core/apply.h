/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.h: what records mean for the index: the same code follows live commits, replays the ring after a crash
 * and rebuilds the index from nothing.
 *
 * One applier is used within one meta transaction (meta_begin … meta_commit); it keeps the windows and the
 * inode it is working on until apply_flush.
 */
#ifndef HOLO_CORE_APPLY_H
#define HOLO_CORE_APPLY_H

#include "core/fs.h"

struct applier;

/* fs: whose container table follows the live bytes; the index is fs->index, counters go to fs->state. */
struct applier *applier_create(struct holofs *fs);
void applier_destroy(struct applier *a);

/* Apply a stream of records of txg. 0, -HOLO_ECORRUPT, or what the index says. */
int apply_records(struct applier *a, uint64_t txg, const uint8_t *records, size_t len);

/* Say that the bytes of x (extent_lost) are lost. */
int apply_lost(struct applier *a, uint64_t ino, const struct extent *x);

/* Write back what the applier holds; before meta_commit. */
int apply_flush(struct applier *a);

/* Forget it instead (after an error). */
void apply_reset(struct applier *a);

void inode_image_to_meta(const struct inode_image *i, struct meta_inode *m);
void meta_to_inode_image(const struct meta_inode *m, struct inode_image *i);

#endif
