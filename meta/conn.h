/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conn.h: one sqlite connection with its prepared statements; inside meta/ only.
 *
 * The pattern of every call: conn_stmt, bind, conn_row (until it returns 0), conn_done. A statement runs once
 * at a time: a callback must not call the function again that called it, on the same connection.
 */
#ifndef HOLO_META_CONN_H
#define HOLO_META_CONN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/meta.h"
#include "meta/schema.h"
#include "meta/sums.h"

struct conn {
    sqlite3 *db;
    struct page_sums *sums; /* a reference, or NULL */
    sqlite3_stmt *stmt[STMT_COUNT]; /* prepared at first use, kept until conn_close */
};

/* CONN_IMMUTABLE: nobody writes to it, and no file is made beside it. */
enum conn_mode { CONN_READ, CONN_WRITE, CONN_CREATE, CONN_IMMUTABLE };

/*
 * Open the database file; nothing in it has been looked at afterwards. The connection takes a reference to the sums (NULL:
 * none are compared or kept). Returns 0 or a negative code.
 */
int conn_open(struct conn *c, const char *path, const uint8_t uuid[16], struct page_sums *sums, enum conn_mode mode);

/* The settings of a connection to a database that is known to be ours. */
int conn_setup(struct conn *c, int cache_kib);

void conn_close(struct conn *c);

/* A negative code for what sqlite returned; 0 for SQLITE_OK, SQLITE_ROW and SQLITE_DONE. */
int conn_err(const struct conn *c, int rc);

/* Run SQL text that returns nothing. */
int conn_exec(struct conn *c, const char *sql);

/* The integer that a pragma answers. */
int conn_pragma(struct conn *c, const char *sql, int64_t *out);

/* Prepare every statement now, which also finds missing tables (-HOLO_ECORRUPT). */
int conn_prepare_all(struct conn *c);

/* A statement ready for its parameters. */
int conn_stmt(struct conn *c, enum stmt id, sqlite3_stmt **out);

/* Step: 1 with a row, 0 at the end, or a negative code. */
int conn_row(struct conn *c, sqlite3_stmt *s);

/* Reset the statement; returns rc. */
int conn_done(sqlite3_stmt *s, int rc);

/* Step a statement without rows to its end and reset it. */
int conn_run(struct conn *c, sqlite3_stmt *s);

/* conn_stmt and conn_run for a statement without parameters. */
int conn_run_id(struct conn *c, enum stmt id);

/* Copy one blob column; -ERANGE (with *len set) if cap is too small. */
int conn_copy_blob(sqlite3_stmt *s, int column, void *buf, size_t cap, size_t *len);

/* Parameters count from 1. Blobs are not copied: they must live until the statement has run. */
void bind_u64(sqlite3_stmt *s, int param, uint64_t v);
void bind_i64(sqlite3_stmt *s, int param, int64_t v);
void bind_blob(sqlite3_stmt *s, int param, const void *p, size_t len);

/* Columns count from 0. A blob lives until the next step; it is never NULL. */
uint64_t col_u64(sqlite3_stmt *s, int column);
uint32_t col_u32(sqlite3_stmt *s, int column);
const void *col_blob(sqlite3_stmt *s, int column, size_t *len);

/* Whether meta_state's row can be read and what it says. */
int conn_state_get(struct conn *c, struct meta_state *out);

#endif
