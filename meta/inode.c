/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode.c: rows of inodes, symlink targets and orphans. */
#include "base/err.h"
#include "meta/index.h"

static void bind_inode(sqlite3_stmt *s, const struct meta_inode *i)
{
    bind_u64(s, 1, i->ino);
    bind_u64(s, 2, i->size);
    bind_u64(s, 3, i->stored_bytes);
    bind_u64(s, 4, i->parent);
    bind_u64(s, 5, i->gen);
    bind_u64(s, 6, i->mode);
    bind_u64(s, 7, i->uid);
    bind_u64(s, 8, i->gid);
    bind_u64(s, 9, i->nlink);
    bind_u64(s, 10, i->rdev);
    bind_u64(s, 11, i->flags);
    bind_i64(s, 12, i->atime_ns);
    bind_i64(s, 13, i->mtime_ns);
    bind_i64(s, 14, i->ctime_ns);
    bind_i64(s, 15, i->btime_ns);
}

static void col_inode(sqlite3_stmt *s, struct meta_inode *out)
{
    *out = (struct meta_inode){
        .ino = col_u64(s, 0),
        .size = col_u64(s, 1),
        .stored_bytes = col_u64(s, 2),
        .parent = col_u64(s, 3),
        .gen = col_u32(s, 4),
        .mode = col_u32(s, 5),
        .uid = col_u32(s, 6),
        .gid = col_u32(s, 7),
        .nlink = col_u32(s, 8),
        .rdev = col_u32(s, 9),
        .flags = col_u32(s, 10),
        .atime_ns = sqlite3_column_int64(s, 11),
        .mtime_ns = sqlite3_column_int64(s, 12),
        .ctime_ns = sqlite3_column_int64(s, 13),
        .btime_ns = sqlite3_column_int64(s, 14),
    };
}

int meta_inode_put(struct meta_index *idx, const struct meta_inode *inode)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_INODE_PUT, &s);
    if (rc)
        return rc;
    bind_inode(s, inode);
    return index_run(idx, s);
}

static int get_inode(struct conn *c, uint64_t ino, struct meta_inode *out)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(c, STMT_INODE_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    rc = conn_row(c, s);
    if (rc == 1)
        col_inode(s, out);
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -ENOENT);
}

int meta_inode_get(struct meta_index *idx, uint64_t ino, struct meta_inode *out)
{
    return get_inode(&idx->conn, ino, out);
}

int meta_read_inode(struct meta_reader *r, uint64_t ino, struct meta_inode *out)
{
    return get_inode(&r->conn, ino, out);
}

int meta_inode_del(struct meta_index *idx, uint64_t ino)
{
    int rc = index_run_u64(idx, STMT_INODE_DEL, ino);
    if (!rc)
        rc = index_run_u64(idx, STMT_SYMLINK_DEL, ino);
    return rc ? rc : index_run_u64(idx, STMT_XATTR_DEL_ALL, ino);
}

int meta_each_inode(struct meta_reader *r, int (*cb)(void *arg, const struct meta_inode *i), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_INODE_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        struct meta_inode i;
        col_inode(s, &i);
        rc = cb(arg, &i);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}

int meta_count_inodes(struct meta_reader *r, uint64_t *out)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_INODE_COUNT, &s);
    if (rc)
        return rc;
    rc = conn_row(&r->conn, s);
    if (rc == 1)
        *out = col_u64(s, 0);
    return conn_done(s, rc == 1 ? 0 : rc ? rc : -HOLO_ECORRUPT);
}

int meta_symlink_put(struct meta_index *idx, uint64_t ino, const char *target, size_t len)
{
    sqlite3_stmt *s;
    if (len > META_SYMLINK_MAX)
        return -ENAMETOOLONG;
    int rc = index_stmt(idx, STMT_SYMLINK_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    bind_blob(s, 2, target, len);
    return index_run(idx, s);
}

int meta_read_symlink(struct meta_reader *r, uint64_t ino, char *buf, size_t cap, size_t *len)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_SYMLINK_GET, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    rc = conn_row(&r->conn, s);
    if (rc != 1)
        return conn_done(s, rc ? rc : -ENOENT);
    return conn_done(s, conn_copy_blob(s, 0, buf, cap, len));
}

int meta_each_symlink(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino, const char *target, size_t len), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_SYMLINK_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        size_t len;
        const char *target = col_blob(s, 1, &len);
        rc = cb(arg, col_u64(s, 0), target, len);
        if (rc)
            break;
    }
    return conn_done(s, rc);
}

int meta_orphan_put(struct meta_index *idx, uint64_t ino)
{
    return index_run_u64(idx, STMT_ORPHAN_PUT, ino);
}

int meta_orphan_del(struct meta_index *idx, uint64_t ino)
{
    return index_run_u64(idx, STMT_ORPHAN_DEL, ino);
}

int meta_each_orphan(struct meta_reader *r, int (*cb)(void *arg, uint64_t ino), void *arg)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(&r->conn, STMT_ORPHAN_EACH, &s);
    if (rc)
        return rc;
    while ((rc = conn_row(&r->conn, s)) == 1) {
        rc = cb(arg, col_u64(s, 0));
        if (rc)
            break;
    }
    return conn_done(s, rc);
}
