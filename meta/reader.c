/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reader.c: read-only connections and snapshots. Every call outside a snapshot is its own read transaction. */
#include "meta/index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { READER_CACHE_KIB = 4096 };

int meta_reader_open(struct meta_index *idx, struct meta_reader **out)
{
    struct meta_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    int rc = conn_open(&r->conn, idx->retired ? idx->old_path : idx->path, idx->uuid, idx->sums, idx->immutable ? CONN_IMMUTABLE : CONN_READ);
    if (rc)
        goto free_reader;
    rc = conn_setup(&r->conn, READER_CACHE_KIB);
    if (rc)
        goto close_conn;
    /* Only the writer checkpoints, also when a reader outlives it by mistake. */
    sqlite3_db_config(r->conn.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    *out = r;
    return 0;
close_conn:
    conn_close(&r->conn);
free_reader:
    free(r);
    return rc;
}

void meta_reader_close(struct meta_reader *r)
{
    if (!r)
        return;
    meta_snapshot_end(r);
    conn_close(&r->conn);
    free(r);
}

int meta_snapshot_begin(struct meta_reader *r, struct meta_state *state)
{
    assert(!r->snapshot);
    int rc = conn_run_id(&r->conn, STMT_BEGIN_READ);
    if (rc)
        return rc;
    r->snapshot = true;
    rc = conn_state_get(&r->conn, state); /* the first read fixes what the snapshot sees */
    if (rc)
        meta_snapshot_end(r);
    return rc;
}

void meta_snapshot_end(struct meta_reader *r)
{
    if (!r->snapshot)
        return;
    r->snapshot = false;
    if (!sqlite3_get_autocommit(r->conn.db))
        (void)conn_run_id(&r->conn, STMT_ROLLBACK);
}
