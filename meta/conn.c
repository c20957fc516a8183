/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conn.c: one sqlite connection with its prepared statements, and sqlite's result codes as ours. */
#include "meta/conn.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "meta/vfs.h"

enum { BUSY_TIMEOUT_MS = 10000 };

/* Of open files: that says nothing about the file. */
static bool too_many(int err)
{
    return err == EMFILE || err == ENFILE;
}

static int io_err(const struct conn *c, int rc)
{
    if (rc == SQLITE_IOERR_DATA)
        return -HOLO_ESUM;
    if (rc == SQLITE_IOERR_CORRUPTFS)
        return -HOLO_ECORRUPT;
    if (rc == SQLITE_IOERR_NOMEM)
        return -ENOMEM;
    int err = sqlite3_system_errno(c->db);
    return err == ENOSPC || err == EDQUOT ? -ENOSPC : too_many(err) ? -err : -EIO;
}

int conn_err(const struct conn *c, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_IOERR:
        return io_err(c, rc);
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CANTOPEN:
        return too_many(sqlite3_system_errno(c->db)) ? -sqlite3_system_errno(c->db) : -EIO;
    case SQLITE_ERROR: /* our statements are right: a table or a column is missing */
    case SQLITE_SCHEMA:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
        return -HOLO_ECORRUPT;
    default:
        return -EIO;
    }
}

/* sqlite would take a name that starts with "file:" for an URI, and ":memory:" for no file at all. */
static int plain_path(const char *path, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s%s", path[0] == '/' ? "" : "./", path);
    return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int open_err(const struct conn *c, const char *path, int rc)
{
    if ((rc & 0xff) != SQLITE_CANTOPEN || !c->db)
        return c->db ? conn_err(c, rc) : -ENOMEM;
    int err = sqlite3_system_errno(c->db);
    if (err)
        return -err;
    return strlen(path) >= 500 ? -ENAMETOOLONG : -EIO; /* sqlite's own limit is 512 */
}

int conn_open(struct conn *c, const char *path, const uint8_t uuid[16], struct page_sums *sums, enum conn_mode mode)
{
    static const int flags[] = {
        [CONN_READ] = SQLITE_OPEN_READONLY,
        [CONN_WRITE] = SQLITE_OPEN_READWRITE,
        [CONN_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [CONN_IMMUTABLE] = SQLITE_OPEN_READONLY,
    };
    const struct meta_vfs_store store = { uuid, sums };
    const char *vfs = mode == CONN_IMMUTABLE ? META_VFS_IMMUTABLE : META_VFS_NAME;
    char name[PATH_MAX];
    struct stat st;
    memset(c, 0, sizeof(*c));
    int rc = meta_vfs_register();
    if (!rc)
        rc = plain_path(path, name);
    if (rc)
        return rc;
    if (mode != CONN_CREATE && stat(name, &st)) /* without the file, sqlite would fail only later, and vaguely */
        return -errno;
    int err = sqlite3_open_v2(name, &c->db, flags[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, vfs);
    if (err != SQLITE_OK) {
        rc = open_err(c, name, sqlite3_extended_errcode(c->db));
        conn_close(c);
        return rc;
    }
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
    c->sums = sums ? sums_ref(sums) : NULL;
    err = sqlite3_file_control(c->db, "main", META_FCNTL_STORE, (void *)(uintptr_t)&store);
    if (err != SQLITE_OK) {
        conn_close(c);
        return -EIO;
    }
    return 0;
}

int conn_setup(struct conn *c, int cache_kib)
{
    char sql[512];
    /*
     * secure_delete is on in Debian's build; what it zeroes is in containers anyway. cell_size_check costs
     * little and finds more damage. The WAL is checkpointed by index.c alone.
     */
    snprintf(sql, sizeof(sql),
             "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0; PRAGMA cache_size=-%d;"
             "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF; PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;",
             cache_kib);
    return conn_exec(c, sql);
}

void conn_close(struct conn *c)
{
    for (int i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(c->stmt[i]);
    int rc = sqlite3_close(c->db);
    assert(rc == SQLITE_OK);
    (void)rc;
    sums_unref(c->sums); /* closing the last connection checkpoints */
    memset(c, 0, sizeof(*c));
}

int conn_exec(struct conn *c, const char *sql)
{
    return conn_err(c, sqlite3_exec(c->db, sql, NULL, NULL, NULL));
}

int conn_pragma(struct conn *c, const char *sql, int64_t *out)
{
    sqlite3_stmt *s;
    int rc = conn_err(c, sqlite3_prepare_v2(c->db, sql, -1, &s, NULL));
    if (rc)
        return rc;
    rc = conn_row(c, s);
    if (rc == 1)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc < 0 ? rc : rc == 0 ? -HOLO_ECORRUPT : 0;
}

static int prepare(struct conn *c, enum stmt id)
{
    return conn_err(c, sqlite3_prepare_v3(c->db, schema_stmt(id), -1, SQLITE_PREPARE_PERSISTENT, &c->stmt[id], NULL));
}

int conn_prepare_all(struct conn *c)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        int rc = c->stmt[i] ? 0 : prepare(c, (enum stmt)i);
        if (rc)
            return rc;
    }
    return 0;
}

int conn_stmt(struct conn *c, enum stmt id, sqlite3_stmt **out)
{
    int rc = c->stmt[id] ? 0 : prepare(c, id);
    if (rc)
        return rc;
    assert(!sqlite3_stmt_busy(c->stmt[id]));
    *out = c->stmt[id];
    return 0;
}

int conn_row(struct conn *c, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    return rc == SQLITE_ROW ? 1 : conn_err(c, rc);
}

int conn_done(sqlite3_stmt *s, int rc)
{
    sqlite3_reset(s); /* repeats the error that the step had */
    return rc;
}

int conn_run(struct conn *c, sqlite3_stmt *s)
{
    int rc = conn_row(c, s);
    assert(rc != 1);
    return conn_done(s, rc);
}

int conn_run_id(struct conn *c, enum stmt id)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(c, id, &s);
    return rc ? rc : conn_run(c, s);
}

int conn_copy_blob(sqlite3_stmt *s, int column, void *buf, size_t cap, size_t *len)
{
    const void *p = col_blob(s, column, len);
    if (*len > cap)
        return -ERANGE;
    if (*len)
        memcpy(buf, p, *len);
    return 0;
}

/* The binds below fail only for a wrong number or a running statement: both are mistakes of ours. */
void bind_u64(sqlite3_stmt *s, int param, uint64_t v)
{
    bind_i64(s, param, (int64_t)v);
}

void bind_i64(sqlite3_stmt *s, int param, int64_t v)
{
    int rc = sqlite3_bind_int64(s, param, v);
    assert(rc == SQLITE_OK);
    (void)rc;
}

void bind_blob(sqlite3_stmt *s, int param, const void *p, size_t len)
{
    int rc = sqlite3_bind_blob64(s, param, p ? p : "", len, SQLITE_STATIC); /* a null pointer would bind NULL */
    assert(rc == SQLITE_OK);
    (void)rc;
}

uint64_t col_u64(sqlite3_stmt *s, int column)
{
    return (uint64_t)sqlite3_column_int64(s, column);
}

uint32_t col_u32(sqlite3_stmt *s, int column)
{
    return (uint32_t)sqlite3_column_int64(s, column);
}

const void *col_blob(sqlite3_stmt *s, int column, size_t *len)
{
    const void *p = sqlite3_column_blob(s, column);
    *len = p ? (size_t)sqlite3_column_bytes(s, column) : 0;
    return p ? p : "";
}

int conn_state_get(struct conn *c, struct meta_state *out)
{
    sqlite3_stmt *s;
    int rc = conn_stmt(c, STMT_STATE_GET, &s);
    if (rc)
        return rc;
    rc = conn_row(c, s);
    if (rc != 1)
        return conn_done(s, rc ? rc : -HOLO_ECORRUPT);
    struct meta_state st = {
        .epoch = col_u64(s, 0),
        .txg = col_u64(s, 1),
        .txg_hash = col_u64(s, 2),
        .next_ino = col_u64(s, 3),
        .next_cookie = col_u64(s, 4),
        .next_seq = col_u64(s, 5),
        .next_container = col_u32(s, 6),
        .dump_txg = col_u64(s, 7),
    };
    size_t len;
    rc = conn_copy_blob(s, 8, st.uuid, sizeof(st.uuid), &len);
    if (rc || len != sizeof(st.uuid))
        return conn_done(s, -HOLO_ECORRUPT);
    *out = st;
    return conn_done(s, 0);
}
