/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protect.h: where the bytes of a file are, and which blocks of those containers are right now: what `holo protect` asks, by ioctl on a
 * file that is open for reading. Both sides are of one build and one machine; the structs are no part of any format.
 */
#ifndef HOLO_CORE_PROTECT_H
#define HOLO_CORE_PROTECT_H

#include <stdint.h>
#include <sys/ioctl.h>

struct holofs;

enum place_state {
    PLACE_LOST,     /* for ever: reading it fails */
    PLACE_UNSEALED, /* in memory and, once it is synced, in the ring and its mirror */
    PLACE_SEALED,   /* in a container file, with parity */
};

/* A range of a file, and where it is. Holes are in none. */
struct place {
    uint64_t off, len;
    uint32_t state;
    uint32_t container;
    uint32_t first, n;               /* sealed: the stored positions that are needed for it */
    uint32_t k, m, D, used, tables;  /* sealed: the container, as its header says */
    uint32_t zero;
};

enum { PLACES_MAX = 64, BLOCKS_JUDGED_MAX = 2048 };

struct places {
    uint64_t off;  /* in: from here on. Out: go on here; UINT64_MAX: that was all */
    uint64_t size; /* out: of the file */
    uint32_t n, zero;
    struct place v[PLACES_MAX];
};

enum block_state { BLOCK_STATE_RIGHT = 0, BLOCK_STATE_BAD = 1, BLOCK_STATE_REMAPPED = 2 }; /* bits */

/* Blocks of the file of a container: headers, tables, data and parity, in the order of the file. */
struct judged {
    uint64_t off;       /* in: a byte of the open file that is in the container */
    uint32_t container; /* in */
    uint32_t first;     /* in: a block of the container file */
    uint32_t n, zero;   /* out: how many from there on; 0: there are no more */
    uint8_t state[BLOCKS_JUDGED_MAX];
};

#define HOLOFS_IOC_PLACES _IOWR('h', 0xe0, struct places)
#define HOLOFS_IOC_JUDGE _IOWR('h', 0xe1, struct judged)

/* 0, or a negative code. -EINVAL: not a regular file. */
int holofs_places(struct holofs *fs, uint64_t ino, struct places *p);

/*
 * Read blocks past the page cache and ask their checksums; nothing is repaired. -ESTALE: that byte is not in that container any more. Takes as
 * long as 8 MiB take to read.
 */
int holofs_judge(struct holofs *fs, uint64_t ino, struct judged *j);

#endif
