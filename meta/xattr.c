/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr.c: rows of extended attributes. */
#include "meta/index.h"

#include <errno.h>

int meta_xattr_put(struct meta_index *idx, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len)
{
    sqlite3_stmt *s;
    if (name_len == 0 || name_len > META_XATTR_NAME_MAX)
        return -ERANGE;
    if (len > META_XATTR_SIZE_MAX)
        return -E2BIG;
    int rc = index_stmt(idx, STMT_XATTR_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    bind_blob(s, 2, name, name_len);
    bind_blob(s, 3, value, len);
    return index_run(idx, s);
}

int meta_xattr_del(struct meta_index *idx, uint64_t ino, const char *name, size_t name_len)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_XATTR_DEL, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    bind_blob(s, 2, name, name_len);
    return index_run(idx, s);
}

int meta_read_xattrs(struct meta_reader *r, uint64_t ino, int (*cb)(void *arg, const char *name, size_t name_len, const void *value, size_t len),
                     void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_XATTR_LIST, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    while ((rc = conn_row(&r->conn, s)) == 1) {
        size_t name_len, len;
        const char *name = col_blob(s, 1, &name_len);
        const void *value = col_blob(s, 2, &len);
        rc = cb(arg, name, name_len, value, len);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}

int meta_each_xattr(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len),
                    void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_XATTR_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        size_t name_len, len;
        const char *name = col_blob(s, 1, &name_len);
        const void *value = col_blob(s, 2, &len);
        rc = cb(arg, col_u64(s, 0), name, name_len, value, len);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}
