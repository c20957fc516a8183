/* SPDX-License-Identifier: GPL-2.0-or-later */
/* super.h: the superblock and its five copies (docs/FORMAT.md, «Superblock»). */
#ifndef HOLO_STORE_SUPER_H
#define HOLO_STORE_SUPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/backing.h"
#include "store/format.h"

enum { SUPER_LABEL_MAX = 64, SUPER_CLEAN = 1, SUPER_GARBAGE = 2 };

/* Feature bits this program knows; all others are refused as FORMAT.md says. */
#define SUPER_COMPAT_KNOWN UINT64_C(0)
#define SUPER_RO_COMPAT_KNOWN UINT64_C(0)
#define SUPER_INCOMPAT_MOVES UINT64_C(1) /* the log may hold moves */
#define SUPER_INCOMPAT_UNDO UINT64_C(2)  /* neither what it was before a repair nor what that made of it: opens for nobody */
#define SUPER_INCOMPAT_SPARES UINT64_C(4) /* spare files may be in other directories */
#define SUPER_INCOMPAT_KNOWN (SUPER_INCOMPAT_MOVES | SUPER_INCOMPAT_SPARES)

struct superblock {
    uint32_t version;
    uint64_t compat, ro_compat, incompat;
    uint8_t uuid[16];
    char label[SUPER_LABEL_MAX + 1];
    uint64_t sequence;
    uint32_t k, r, meta_r, seed_base, nmax, ring_blocks, flags;
    uint64_t size_limit_bytes, reserve_bytes;
    uint64_t epoch, hint_tail, hint_end, hint_txg;
    int64_t created_ns, written_ns;
    uint64_t ever_repaired, ever_remapped, ever_lost; /* blocks, since mkfs */
};

struct super_vote {
    unsigned valid;    /* copies with a right checksum */
    unsigned agreeing; /* of them, those like the chosen one */
};

void super_encode(const struct superblock *sb, uint8_t block[BLOCK_SIZE]);

/* 0, -HOLO_EFORMAT (no magic), -HOLO_ESUM, -HOLO_EVERSION, or -HOLO_ECORRUPT (impossible geometry). */
int super_decode(const uint8_t block[BLOCK_SIZE], struct superblock *sb);

/*
 * Read the copies and vote: three that are alike decide; else what most copies say byte by byte, if three carry that, flipped
 * as they may be; else most of the valid ones, and of those the newest. Returns 0, or: -HOLO_EFORMAT if no copy exists or none looks like one,
 * -HOLO_EVERSION if the winner is newer, -HOLO_EVOTE if no copy is valid; then why they cannot be read, if that is so for three or more:
 * a disk that does not answer has lost nothing yet.
 */
int super_read(struct backing *b, struct superblock *sb, struct super_vote *vote);

/* Write and sync all copies. Succeeds if at least three did (then *failed counts the others). */
int super_write(struct backing *b, const struct superblock *sb, unsigned *failed);

/* May this program write (0), only read (-EROFS), or not open (-HOLO_EFEATURE, -HOLO_EUNDO) a store with these features? */
int super_check_features(const struct superblock *sb);

#endif
