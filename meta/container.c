/* SPDX-License-Identifier: GPL-2.0-or-later */
/* container.c: rows of containers. */
#include "meta/index.h"

#include <errno.h>

int meta_container_put(struct meta_index *idx, const struct meta_container *c)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_CONTAINER_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, c->id);
    bind_u64(s, 2, c->cls);
    bind_u64(s, 3, c->state);
    bind_u64(s, 4, c->r);
    bind_u64(s, 5, c->used);
    bind_u64(s, 6, c->live_bytes);
    bind_u64(s, 7, c->sealed_txg);
    bind_i64(s, 8, c->sealed_ns);
    bind_u64(s, 9, c->flags);
    return index_run(idx, s);
}

static void col_container(sqlite3_stmt *s, struct meta_container *out)
{
    *out = (struct meta_container){
        .id = col_u32(s, 0),
        .cls = col_u32(s, 1),
        .state = col_u32(s, 2),
        .r = col_u32(s, 3),
        .used = col_u32(s, 4),
        .live_bytes = col_u64(s, 5),
        .sealed_txg = col_u64(s, 6),
        .sealed_ns = sqlite3_column_int64(s, 7),
        .flags = col_u32(s, 8),
    };
}

int meta_container_get(struct meta_index *idx, uint32_t id, struct meta_container *out)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&idx->conn, STMT_CONTAINER_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, id);
    rc = conn_row(&idx->conn, s);
    if (rc == 1)
        col_container(s, out);
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -ENOENT);
}

int meta_container_add_live(struct meta_index *idx, uint32_t id, int64_t delta_bytes)
{
    return index_run_2u64(idx, STMT_CONTAINER_LIVE, id, (uint64_t)delta_bytes);
}

int meta_container_del(struct meta_index *idx, uint32_t id)
{
    return index_run_u64(idx, STMT_CONTAINER_DEL, id);
}

int meta_each_container(struct meta_reader *r, int (*cb)(void *arg, const struct meta_container *c), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_CONTAINER_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        struct meta_container c;
        col_container(s, &c);
        rc = cb(arg, &c);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}
