/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sums.h: what every page of the index must be: its checksum, kept beside the database. */
#ifndef HOLO_META_SUMS_H
#define HOLO_META_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_sums;

/* Sums of a database that is being made: nothing is known yet. One reference. Returns 0 or -ENOMEM. */
int sums_create(const char *database, const uint8_t uuid[16], struct page_sums **out);

/* The newer of the two copies that is whole. -ENOENT if none is, -HOLO_ESTALE if they are of another store; -ENOMEM, -EIO. One reference. */
int sums_load(const char *database, const uint8_t uuid[16], struct page_sums **out);

struct page_sums *sums_ref(struct page_sums *s);
void sums_unref(struct page_sums *s); /* NULL is fine */

/* Was this the sum of the page (from 1 on) when it was last written? Thread-safe. */
bool sums_match(struct page_sums *s, uint64_t page, uint64_t sum);

/* ---- the writing connection alone ---- */

/* The page is being written. 0 or -ENOMEM. */
int sums_set(struct page_sums *s, uint64_t page, uint64_t sum);

/* The database has this many pages now. */
void sums_cut(struct page_sums *s, uint64_t pages);

/* A WAL with these salts (8 bytes as in its header) begins: durable before it does. 0 or an sqlite code. */
int sums_wal_begins(struct page_sums *s, const uint8_t salt[8]);

/* The database, which has been synced, has everything of the WAL with these salts up to `frames`. 0 or an sqlite code. */
int sums_checkpointed(struct page_sums *s, const uint8_t salt[8], uint32_t frames);

/*
 * May what a WAL with these salts and so many valid frames says be laid over this database? Not if it is of another database or time,
 * nor if it lost frames that are in the database already.
 */
bool sums_wal_fits(const struct page_sums *s, const uint8_t salt[8], uint32_t frames);

struct wal_index;
/* The WAL-index of the database, for all of its connections. */
struct wal_index *sums_walindex(struct page_sums *s);

/* The bytes it takes. */
size_t sums_bytes(const struct page_sums *s);

#endif
