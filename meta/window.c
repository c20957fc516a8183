/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * window.c: rows of extent windows.
 *
 * The key is ino · 2^24 + window, so the windows of a file are one range, in the order of its bytes.
 */
#include "meta/index.h"

#include <errno.h>

enum { WINDOW_BITS = 24, WINDOW_LAST = (1 << WINDOW_BITS) - 1, INO_BITS = 39 };

static bool valid(uint64_t ino, uint32_t window)
{
    return ino >> INO_BITS == 0 && window <= WINDOW_LAST;
}

static uint64_t key_of(uint64_t ino, uint32_t window)
{
    return ino << WINDOW_BITS | window;
}

static uint32_t window_of(uint64_t key)
{
    return (uint32_t)(key & WINDOW_LAST);
}

int meta_window_put(struct meta_index *idx, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    sqlite3_stmt *s;
    if (!valid(ino, window))
        return -EFBIG;
    if (len == 0)
        return index_run_u64(idx, STMT_WINDOW_DEL, key_of(ino, window));
    int rc = index_stmt(idx, STMT_WINDOW_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, key_of(ino, window));
    bind_blob(s, 2, blob, len);
    return index_run(idx, s);
}

static int get_window(struct conn *c, uint64_t ino, uint32_t window, void *buf, size_t cap, size_t *len)
{
    sqlite3_stmt *s;
    if (!valid(ino, window))
        return -ENOENT;
    int rc = conn_stmt(c, STMT_WINDOW_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, key_of(ino, window));
    rc = conn_row(c, s);
    if (rc != 1)
        return conn_done(s, rc ? rc : -ENOENT);
    return conn_done(s, conn_copy_blob(s, 0, buf, cap, len));
}

int meta_window_get(struct meta_index *idx, uint64_t ino, uint32_t window, void *buf, size_t cap, size_t *len)
{
    return get_window(&idx->conn, ino, window, buf, cap, len);
}

int meta_read_window(struct meta_reader *r, uint64_t ino, uint32_t window, void *buf, size_t cap, size_t *len)
{
    return get_window(&r->conn, ino, window, buf, cap, len);
}

int meta_windows_each(struct meta_index *idx, uint64_t ino, uint32_t first,
                      int (*cb)(void *arg, uint32_t window, const void *blob, size_t len), void *arg)
{
    sqlite3_stmt *s;
    if (!valid(ino, first))
        return 0;
    int rc = conn_stmt(&idx->conn, STMT_WINDOW_RANGE, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, key_of(ino, first));
    bind_u64(s, 2, key_of(ino, WINDOW_LAST));
    while ((rc = conn_row(&idx->conn, s)) == 1) {
        size_t len;
        const void *blob = col_blob(s, 1, &len);
        rc = cb(arg, window_of(col_u64(s, 0)), blob, len);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}

int meta_windows_del(struct meta_index *idx, uint64_t ino, uint32_t first)
{
    if (!valid(ino, first))
        return 0;
    return index_run_2u64(idx, STMT_WINDOW_RANGE_DEL, key_of(ino, first), key_of(ino, WINDOW_LAST));
}

int meta_read_next_window(struct meta_reader *r, uint64_t ino, uint32_t first, uint32_t *window)
{
    sqlite3_stmt *s;
    if (!valid(ino, first))
        return -ENOENT;
    int rc = conn_stmt(&r->conn, STMT_WINDOW_NEXT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, key_of(ino, first));
    bind_u64(s, 2, key_of(ino, WINDOW_LAST));
    rc = conn_row(&r->conn, s);
    if (rc == 1)
        *window = window_of(col_u64(s, 0));
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -ENOENT);
}

int meta_each_window(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_WINDOW_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        uint64_t key = col_u64(s, 0);
        size_t len;
        const void *blob = col_blob(s, 1, &len);
        rc = cb(arg, key >> WINDOW_BITS, window_of(key), blob, len);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}
