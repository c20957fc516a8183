/* SPDX-License-Identifier: GPL-2.0-or-later */
/* recover.h: from what is on the medium to a running store: ring, index, heads. */
#ifndef HOLO_CORE_RECOVER_H
#define HOLO_CORE_RECOVER_H

#include "core/fs.h"

/*
 * Scan the ring, bring the index up to it (rebuilding it from containers where it cannot be used), load the
 * container table and fill the heads again with what is not sealed. Single-threaded.
 */
int recover(struct holofs *fs, char *why, size_t why_cap);

/* Is (epoch, txg) of a history that t's epoch is not built on? */
bool ring_voids(uint64_t epoch, uint64_t txg, uint64_t hash, const struct ring_txg *t);

/* Open the index, or build it from containers where it cannot be used; it may be behind or ahead of the ring. On an error *step is what failed. */
int index_open(struct holofs *fs, const struct ring_scan_result *scan, const char **step);

/* Opening has done so much of `of`: told every progress_ms. */
void opening_progress(struct holofs *fs, const char *what, uint64_t done, uint64_t of);

/* Remove what a mount for reading only made for itself; the index is closed. */
void remove_private_index(struct holofs *fs);

/*
 * A new index from metadata containers: the last complete dump and the log behind it. Leaves it at that txg. What the epochs of these
 * txgs of the ring are not built on is void.
 */
int rebuild_index(struct holofs *fs, const char *index_path, const struct ring_txg *ring, size_t n);

/* Apply what the metadata log has of the txgs between those of the index and `end`. */
int rebuild_between(struct holofs *fs, uint64_t end, const struct ring_txg *ring, size_t n);

/* Records are missing; to = 0: nobody knows how many. Times of the txgs around them, 0 if unknown. */
void note_gap(struct holofs *fs, uint64_t from, uint64_t to, int64_t after_ns, int64_t before_ns);

/* What the index is to say of itself: the state before a loss that nobody has accepted. */
const struct meta_state *state_to_keep(const struct holofs *fs);

/* Delete container files that no commit names (after an unclean stop); if the ring lost something, none, but their numbers are not used again. */
void remove_garbage(struct holofs *fs);

/* Call cb for the id of every container file there is, ascending. */
int each_container_file(struct holofs *fs, int (*cb)(void *arg, uint32_t id), void *arg);

#endif
