/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index.h: the writing connection and the readers; inside meta/ only.
 *
 * struct meta_index:
 *
 *   in_txn  error   state                      leaves it by
 *   false   0       idle                       meta_begin
 *   true    0       rows may be written        meta_commit, meta_rollback; an error of sqlite
 *   true    < 0     failed: every write and    meta_rollback, or meta_commit (which rolls back and
 *                   the commit return `error`  returns `error`)
 *
 * The failed state is needed because sqlite ends a transaction by itself after some errors: what followed
 * would be committed row by row.
 */
#ifndef HOLO_META_INDEX_H
#define HOLO_META_INDEX_H

#include "meta/conn.h"

struct meta_index {
    struct conn conn;
    struct page_sums *sums; /* of the database's pages; a reference */
    bool immutable;         /* opened for reading a database that nobody writes */
    char *path, *old_path; /* the second once it is retired */
    _Atomic bool retired;
    bool sync_failed;
    uint8_t uuid[16];
    bool in_txn;
    int error;
    int wal_frames;    /* in the WAL at the last commit */
    int wal_threshold; /* frames at which a commit checkpoints */
};

struct meta_reader {
    struct conn conn;
    bool snapshot;
};

/* A statement that writes; only in a transaction. Returns 0 or the error that the transaction has. */
int index_stmt(struct meta_index *idx, enum stmt id, sqlite3_stmt **out);
int index_run(struct meta_index *idx, sqlite3_stmt *s);

/* index_stmt and index_run for statements with one or two numbers. */
int index_run_u64(struct meta_index *idx, enum stmt id, uint64_t v);
int index_run_2u64(struct meta_index *idx, enum stmt id, uint64_t v, uint64_t w);

#endif
