/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walindex.h: sqlite's WAL-index in memory, for the connections of this process, which are all there are: a store has one owner.
 *
 * In a mapped file it would need space at the first write to each page: on a full disk, or behind a quota, that is a SIGBUS.
 * Contract of the four calls: sqlite3_io_methods. Thread-safe; a user is one connection's.
 */
#ifndef HOLO_META_WALINDEX_H
#define HOLO_META_WALINDEX_H

#include <stdbool.h>
#include <stdint.h>

struct wal_index;

struct wal_index_user {
    struct wal_index *of; /* NULL: not attached */
    struct wal_index_user *next;
    uint16_t shared, exclusive; /* bits of the locks held */
};

struct wal_index *walindex_create(void);
void walindex_destroy(struct wal_index *w); /* without users; NULL is fine */

int walindex_map(struct wal_index *w, struct wal_index_user *u, int region, int size, int extend, void volatile **out);
int walindex_lock(struct wal_index_user *u, int off, int n, int flags);
void walindex_barrier(struct wal_index_user *u);
/* The last user takes the contents with it: the next one makes them again from the WAL. */
void walindex_unmap(struct wal_index_user *u);

#endif
