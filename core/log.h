/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h: the open transaction group and its commit.
 *
 * log.c collects records, commit.c makes them durable, metalog.c carries them on into metadata containers.
 */
#ifndef HOLO_CORE_LOG_H
#define HOLO_CORE_LOG_H

#include "core/fs.h"

/*
 * Append a finished record (rec_end) to the open txg, with the extents whose bytes it needs. The caller holds
 * the locks of every inode concerned. *txg is the txg it will be in; *seq may be NULL. Nothing happens on
 * error: -ENOMEM, -EROFS, or what the store failed with.
 */
int log_append(struct holofs *fs, uint8_t *record, size_t len, const struct extent *ext, size_t n_ext, uint64_t *txg, uint64_t *seq);

/* May something be written now? 0, -EROFS or the failure. */
int log_writable(const struct holofs *fs);

/* Is the open txg so large that it should commit now (LOG held)? */
bool log_is_half_full(const struct holofs *fs);

/* Wait until the open txg is small enough to take more; called before locks are taken. */
int log_throttle(struct holofs *fs);

/*
 * The same for what makes metadata grow: -ENOSPC before the backing filesystem lacks the room that it still needs (space_of_growth):
 * with that, everything can be deleted. Waits for the cleaner before (no locks). What takes names away does not ask, and uses that room.
 */
int log_grow(struct holofs *fs);

/* Everything in txgs up to `want` is durable when this returns 0. Takes COMMIT: call without inner locks. */
int commit_txg(struct holofs *fs, uint64_t want);

/* The open txg, with everything received so far, even if that is nothing when flags are given: RING_CLEAN for the last one, RING_EPOCH_FIRST. */
int commit_all(struct holofs *fs, uint32_t flags);

/* Number of the txg that is open now. */
uint64_t log_open_txg(struct holofs *fs);

/* Carry a committed txg's records into the metadata head (COMMIT held, or single-threaded). */
int metalog_append(struct holofs *fs, const struct ring_txg *t, const uint8_t *records, size_t len);

/* Send the metadata head to the sealer (COMMIT held). */
int metalog_seal(struct holofs *fs);

/* Remember where a committed txg lies in the ring (COMMIT held, or single-threaded). */
int note_ring_place(struct holofs *fs, const struct ring_txg *t);

/* Free ring space that is not needed any more (COMMIT held). */
void commit_advance_tail(struct holofs *fs);

/* Stop writing for good: the first reason stays, and is told; whoever waits is woken. No lock from HEAD on is held. */
void fs_fail(struct holofs *fs, int error, const char *what);

/* ---- what cannot be written now and is tried again (trouble.c) ---- */
enum { TROUBLE_RETRY_NS = 1000000000 };
/* Told once, until it ends. Who waits for this work wakes up by itself or is woken by the caller. */
void trouble_begin(struct holofs *fs, enum trouble t, int error);
void trouble_end(struct holofs *fs, enum trouble t);
const char *trouble_name(enum trouble t);
/* Would waiting for this work be in vain? What the store failed with, or the trouble, or 0. */
static inline int trouble_now(struct holofs *fs, enum trouble t)
{
    int failed = fs->failed;
    return failed ? failed : fs->trouble[t];
}

/* A new file for every copy of the ring that failed; 0, or why one could not be made. Takes COMMIT. */
int commit_restore_ring(struct holofs *fs);

/* Threads: commit an open txg after commit_seconds; keep the mirror. */
void *committer_main(void *fs);
void *mirror_main(void *fs);
void commit_fini(struct holofs *fs);
void commit_wake(struct holofs *fs);

/* ---- the index follows (indexer.c) ---- */
/* Takes the records over (they are empty afterwards); waits while the index is far behind. */
int indexer_enqueue(struct holofs *fs, const struct ring_txg *t, struct buf *records, uint32_t n_records);
void *indexer_main(void *fs);
/* Wait until the index has everything up to txg; with `durable`, also on the medium. Returns early if it failed. */
void indexer_fini(struct holofs *fs); /* gives up what was not applied */
void indexer_wait(struct holofs *fs, uint64_t txg, bool durable);
static inline bool is_applied(struct holofs *fs, uint64_t txg)
{
    return txg <= atomic_load_explicit(&fs->applied_txg, memory_order_acquire);
}

/* ---- messages (events.c) ---- */
void events_init(struct event_log *e);
void events_fini(struct event_log *e);
/* One JSON line: time, type, and members as for json_pack("{…}") without the braces; also logged. */
void event_add(struct holofs *fs, const char *type, const char *fmt, ...);

#endif
