/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dent.c: rows of directory entries.
 *
 * A listing is a range of (parent, cookie): an entry keeps its cookie as long as it has its name, so a listing
 * that goes on from a cookie sees every entry that was there all the time exactly once.
 */
#include "meta/index.h"

#include <errno.h>

static int check_name(size_t len)
{
    return len == 0 ? -EINVAL : len > META_NAME_MAX ? -ENAMETOOLONG : 0;
}

int meta_dent_put(struct meta_index *idx, const struct meta_dent *dent)
{
    sqlite3_stmt *s;
    int rc = check_name(dent->name_len);
    if (!rc)
        rc = index_stmt(idx, STMT_DENT_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, dent->parent);
    bind_blob(s, 2, dent->name, dent->name_len);
    bind_u64(s, 3, dent->ino);
    bind_u64(s, 4, dent->type);
    bind_u64(s, 5, dent->cookie);
    return index_run(idx, s);
}

int meta_dent_del(struct meta_index *idx, uint64_t parent, const char *name, size_t len)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_DENT_DEL, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, parent);
    bind_blob(s, 2, name, len);
    return index_run(idx, s);
}

int meta_read_dent(struct meta_reader *r, uint64_t parent, const char *name, size_t len, struct meta_dent *out)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_DENT_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, parent);
    bind_blob(s, 2, name, len);
    rc = conn_row(&r->conn, s);
    if (rc == 1)
        *out = (struct meta_dent){
            .parent = parent,
            .ino = col_u64(s, 0),
            .type = col_u32(s, 1),
            .cookie = col_u64(s, 2),
            .name_len = (uint32_t)len,
        };
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -ENOENT);
}

static int each_dent(struct conn *c, sqlite3_stmt *s, int (*cb)(void *arg, const struct meta_dent *d), void *arg)
{
    int rc;
    while ((rc = conn_row(c, s)) == 1) {
        size_t len;
        const char *name = col_blob(s, 1, &len);
        struct meta_dent d = {
            .parent = col_u64(s, 0),
            .name = name,
            .name_len = (uint32_t)len,
            .ino = col_u64(s, 2),
            .type = col_u32(s, 3),
            .cookie = col_u64(s, 4),
        };
        rc = cb(arg, &d);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}

int meta_read_dir(struct meta_reader *r, uint64_t parent, uint64_t after, int (*cb)(void *arg, const struct meta_dent *d), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_DENT_DIR, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, parent);
    bind_u64(s, 2, after);
    return each_dent(&r->conn, s, cb, arg);
}

int meta_each_dent(struct meta_reader *r, int (*cb)(void *arg, const struct meta_dent *d), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_DENT_EACH, &s);
    return rc ? rc : each_dent(&r->conn, s, cb, arg);
}
