/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.h: the five copies of the remap log. docs/FORMAT.md, «Remap table». Not thread-safe: the caller serializes. */
#ifndef HOLO_REMAP_LOG_H
#define HOLO_REMAP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remap/entry.h"
#include "remap/map.h"
#include "store/backing.h"

struct remap_log;

/* Write five copies that hold no entry. */
int remap_log_format(struct backing *b, const uint8_t uuid[16], const struct remap_header *h);

/*
 * Load what the copies agree on into a new map, and repair copies that are stale or damaged unless read_only.
 * A repair that fails is made up for before the next append. -HOLO_ECORRUPT if the copies are another store's.
 */
int remap_log_open(struct backing *b, const uint8_t uuid[16], bool read_only, struct remap_log **out, struct remap_map **out_map);
void remap_log_close(struct remap_log *l);

const struct remap_header *remap_log_header(const struct remap_log *l);

/*
 * Read all copies past the page cache and compare them with what was appended; nothing is written. *bad: a bit for each copy that is missing,
 * short, too long, stale, or wrong in any byte, or cannot be read. -ENOMEM.
 */
int remap_log_check(struct remap_log *l, unsigned *bad);

/* Did a write, sync or repair fail, so that copies may differ until the log is written anew? Thread-safe. */
bool remap_log_broken(const struct remap_log *l);

/* Must the log be written anew before the next append: because one failed, or because it is long for its table? */
bool remap_log_wants_rewrite(const struct remap_log *l, uint64_t live);

/*
 * Write all copies anew with these entries as snapshot. What was appended before and is not among them is void. Where sequence numbers end the
 * new log begins with 1 again. spares: a header with another list of spare files, which is that of the log from then on; NULL.
 */
int remap_log_rewrite(struct remap_log *l, const struct remap_header *spares, struct remap_entry *e, size_t n);

enum { REMAP_APPEND_MAX = 64 };

/*
 * Append up to REMAP_APPEND_MAX entries, durable in every copy when this returns 0. `beside`, unless it is NULL, is called while the copies are
 * written, and must have ended well as well. After an error the log wants to be rewritten. Sequence numbers are filled in.
 */
int remap_log_append(struct remap_log *l, struct remap_entry *e, size_t n, int (*beside)(void *arg), void *arg);

/* Last sequence number used, and copies repaired since the log was opened. Thread-safe. */
uint64_t remap_log_sequence(const struct remap_log *l);
uint64_t remap_log_repaired(const struct remap_log *l);
void remap_log_count_repaired(struct remap_log *l, unsigned copies);

#endif
