/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * krefs.h: how often the kernel refers to inodes that were evicted, in 8 bytes each: an unlinked one goes when the last reference does.
 *
 * Once the table is full, some numbers are lost: then the kernel may refer more often to an inode than is known.
 */
#ifndef HOLO_CORE_KREFS_H
#define HOLO_CORE_KREFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct krefs {
    uint64_t *slot; /* open addressing; 0: free */
    _Atomic size_t size; /* read by the stats without a lock */
    size_t n;
    size_t max; /* slots, at most */
    bool lost;
};

/* Note the references of an inode that has no entry; n > 0. */
void krefs_keep(struct krefs *k, uint64_t ino, uint64_t n);
/* Take the entry out: the references, 0 if there is none. */
uint64_t krefs_take(struct krefs *k, uint64_t ino);
/* The kernel drops n of them. */
void krefs_drop(struct krefs *k, uint64_t ino, uint64_t n);
void krefs_fini(struct krefs *k);

#endif
