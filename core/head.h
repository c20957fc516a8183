/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * head.h: the containers that are being filled, and how they are sealed.
 *
 * A head lives in memory; what was committed of it is in the ring as well. States:
 *
 *   OPEN ──head_rotate──▶ SEALING ──sealer: written and synced──▶ SEALED ──a commit names it──▶ destroyed
 *
 * Invariants:
 *  1. Bytes below `fill` that belong to a piece never change again.
 *  2. A head leaves SEALING only when no writer is in it.
 *  3. The ring keeps everything from first_lsn on until the commit that names the container is durable.
 */
#ifndef HOLO_CORE_HEAD_H
#define HOLO_CORE_HEAD_H

#include "base/err.h"
#include "base/sum.h"
#include "core/fs.h"

enum head_state { HEAD_OPEN, HEAD_SEALING, HEAD_SEALED };

struct head {
    struct head *next; /* in the sealing queue */
    enum head_state state;
    uint32_t id, cls, r;
    uint8_t *buf;      /* cap_bytes; NULL once sealed */
    uint64_t cap_bytes, fill;
    uint32_t writers;  /* HEAD */
    uint32_t refs;     /* CTAB: readers, and 1 until a commit names the container */
    struct piece *pieces;
    size_t n_pieces, cap_pieces;
    uint64_t *sums;    /* of data blocks */
    uint8_t *summed;   /* which of them are valid */
    uint64_t first_lsn; /* UINT64_MAX: nothing of it is in the ring */
    uint64_t open_txg; /* has the record that it is open: no earlier one may name it as sealed */
    uint64_t used_txg; /* the last one with a record that refers to it */
    uint64_t first_txg, last_txg; /* metadata */
    uint32_t used;     /* blocks, once sealed */
    uint8_t *known;    /* damage in the ring took some of it: a bit for each 8 bytes that are there; NULL: all are (salvage.h) */
};

/* Room for one piece in the head of redundancy r. */
struct slot {
    struct head *head;
    uint8_t *at;
    uint32_t coff;
    size_t piece;
};

/*
 * Reserve room for a piece (p->stored bytes, at most CHUNK_SIZE); runs start on a block. Takes HEAD and LOG.
 * May wait for the sealer, which waits for the slots of its head: who holds slots must not wait and gets
 * -EAGAIN instead. -ENOSPC if the backing filesystem has no room for another container.
 * head_done must follow, with sequence number and txg of the record that refers to it (0: none does).
 */
int head_reserve(struct holofs *fs, unsigned r, const struct piece *p, bool may_wait, struct slot *out);
void head_done(struct holofs *fs, const struct slot *s, uint64_t seq, uint64_t txg);

/* The same in a head that is the caller's own, without a lock; -ENOSPC if it does not fit. No head_done follows. */
int head_place(struct head *h, const struct piece *p, struct slot *out);

/* Checksum the blocks that the piece in this slot fills alone. Returns the extent's tag. */
uint32_t head_sum_piece(struct holofs *fs, const struct slot *s, uint32_t len, unsigned codec);

/* A head with one reference, or NULL (memory). HEAD held, or single-threaded. */
struct head *head_create(struct holofs *fs, uint32_t id, uint32_t cls, uint32_t r);
/* Give a reference back; the last one frees. Neither HEAD nor CTAB held. */
void head_unref(struct holofs *fs, struct head *h);
/* Free the buffer of a sealed head early (HEAD held, nobody else refers to it). */
void head_drop_buffer(struct holofs *fs, struct head *h);

/* Note a piece that the ring brought back. */
int head_add_piece(struct head *h, const struct piece *p);

/* Queue a head for the sealer (HEAD held). */
void head_queue(struct holofs *fs, struct head *h);

/* Seal all open data heads; with `wait` until they are durable. At least min_bytes must be in a head. */
int heads_seal(struct holofs *fs, uint64_t min_bytes, bool wait);

/* Seal open data heads whose ring contents begin before lsn. */
void heads_seal_before(struct holofs *fs, uint64_t lsn);

/* Wait until this container is sealed, or cannot be for now. Returns what the store failed with, or 0. */
int head_wait_sealed(struct holofs *fs, uint32_t id);

/* Bytes in heads that are not sealed yet. */
uint64_t heads_unsealed_bytes(struct holofs *fs);

enum { SEAL_BATCH = 4 };
/*
 * Write n ≤ SEAL_BATCH heads of one R as container files and sync them: the sealer's work, also for dumps. `done` (or NULL)
 * is called after each. Ends at the first that cannot be written.
 */
int seal_write(struct holofs *fs, struct head *const *h, unsigned n, void (*done)(struct holofs *fs, struct head *h));

/* Give up a piece of the space held back, so that what was promised can be finished on a full disk. Was there any? */
bool release_reserve(struct holofs *fs);
/* Hold it back again when there is room for it; at mount, see how much there is. */
void refill_reserve(struct holofs *fs);
void measure_reserve(struct holofs *fs);
static inline bool disk_is_full(int e)
{
    return holo_errno(e) == ENOSPC || holo_errno(e) == EDQUOT;
}
void *sealer_main(void *fs);

/* Size in bytes of the file of a full container. */
uint64_t container_full_size(const struct holofs *fs, unsigned r);

#endif
