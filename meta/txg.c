/* SPDX-License-Identifier: GPL-2.0-or-later */
/* txg.c: rows of recent transaction groups, the journal that people can query. */
#include <errno.h>

#include "meta/index.h"

enum { TXG_KEPT = 4096 };

int meta_txg_put(struct meta_index *idx, uint64_t txg, uint64_t epoch, uint64_t hash, int64_t time_ns, uint32_t records, uint64_t bytes)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_TXG_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, txg);
    bind_u64(s, 2, epoch);
    bind_u64(s, 3, hash);
    bind_i64(s, 4, time_ns);
    bind_u64(s, 5, records);
    bind_u64(s, 6, bytes);
    rc = index_run(idx, s);
    if (rc || txg < TXG_KEPT)
        return rc;
    return index_run_u64(idx, STMT_TXG_TRIM, txg - TXG_KEPT);
}

int meta_txg_get(struct meta_index *idx, uint64_t txg, uint64_t *epoch, uint64_t *hash)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&idx->conn, STMT_TXG_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, txg);
    rc = conn_row(&idx->conn, s);
    if (rc == 1) {
        *epoch = (uint64_t)sqlite3_column_int64(s, 0);
        *hash = (uint64_t)sqlite3_column_int64(s, 1);
    }
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -ENOENT);
}
