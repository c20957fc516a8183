/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * path.c: a path that leads to an inode, for messages.
 *
 * There is no index from inode to name. The parent that the inode names is scanned first; for a file with
 * several links, or one that was moved, it may be the wrong directory, and then all entries are scanned.
 */
#include "meta/index.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

enum { ROOT_INO = 1 };

/* The path grows towards the front of buf: its bytes are [at, cap). */
struct path {
    char *buf;
    size_t cap, at;
};

static int prepend(struct path *p, const void *name, size_t len)
{
    if (len + 1 > p->at)
        return -ERANGE;
    p->at -= len + 1;
    p->buf[p->at] = '/';
    memcpy(p->buf + p->at + 1, name, len);
    return 0;
}

/* Run a search for a name of ino; prepend it and say where it was found. */
static int search(struct conn *c, sqlite3_stmt *s, struct path *p, uint64_t *parent)
{
    int rc = conn_row(c, s);
    if (rc != 1)
        return conn_done(s, rc ? rc : -ENOENT);
    size_t len;
    const void *name = col_blob(s, 1, &len);
    *parent = col_u64(s, 0);
    return conn_done(s, prepend(p, name, len));
}

static int step_up(struct meta_reader *r, struct path *p, uint64_t ino, uint64_t *parent)
{
    struct meta_inode inode;
    sqlite3_stmt *s;
    int rc = meta_read_inode(r, ino, &inode);
    if (!rc)
        rc = conn_stmt(&r->conn, STMT_DENT_OF_INO_IN, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    bind_u64(s, 2, inode.parent);
    rc = search(&r->conn, s, p, parent);
    if (rc != -ENOENT)
        return rc;
    rc = conn_stmt(&r->conn, STMT_DENT_OF_INO, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, ino);
    return search(&r->conn, s, p, parent);
}

/* A loop in a damaged tree ends when the buffer is full: every step takes at least one byte. */
static int climb(struct meta_reader *r, struct path *p, uint64_t ino)
{
    if (ino == ROOT_INO)
        return prepend(p, "", 0);
    while (ino != ROOT_INO) {
        int rc = step_up(r, p, ino, &ino);
        if (rc)
            return rc;
    }
    return 0;
}

int meta_path_of(struct meta_reader *r, uint64_t ino, char *buf, size_t cap)
{
    struct meta_state st;
    struct path p = { .buf = buf, .cap = cap ? cap - 1 : 0, .at = cap ? cap - 1 : 0 };
    bool own = !r->snapshot;
    int rc = own ? meta_snapshot_begin(r, &st) : 0;
    if (rc)
        return rc;
    rc = climb(r, &p, ino);
    if (own)
        meta_snapshot_end(r);
    if (rc)
        return rc;
    size_t len = p.cap - p.at;
    memmove(buf, buf + p.at, len);
    buf[len] = '\0';
    return (int)len;
}
