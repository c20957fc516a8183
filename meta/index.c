/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index.c: creating, opening and closing the index; transactions and checkpoints.
 *
 * How a database is known to be ours: application_id says that it is an index, user_version is a hash over
 * uuid and schema version (page 1 can be verified without knowing the uuid, see vfs.c), the state row has the
 * whole uuid.
 */
#include "meta/index.h"

#include <assert.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/sum.h"
#include "meta/vfs.h"

enum { WRITER_CACHE_KIB = 8192, WAL_CHECKPOINT_FRAMES = 8192 /* of a little over 4 KiB: 32 MiB */ };

static int32_t store_tag(const uint8_t uuid[16])
{
    return (int32_t)(uint32_t)sum_seed(uuid, SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
}

static int remember_wal_size(void *arg, sqlite3 *db, const char *schema, int frames)
{
    struct meta_index *idx = arg;
    (void)db;
    (void)schema;
    idx->wal_frames = frames;
    return SQLITE_OK;
}

/* Takes the reference to the sums over, also when it fails. */
static int index_new(const char *path, const uint8_t uuid[16], struct page_sums *sums, enum conn_mode mode, struct meta_index **out)
{
    struct meta_index *idx = calloc(1, sizeof(*idx));
    int rc = -ENOMEM;
    if (!idx)
        goto free_sums;
    idx->sums = sums;
    idx->immutable = mode == CONN_IMMUTABLE;
    idx->path = strdup(path);
    idx->old_path = malloc(strlen(path) + sizeof(".old"));
    if (!idx->path || !idx->old_path)
        goto free_path;
    sprintf(idx->old_path, "%s.old", path);
    memcpy(idx->uuid, uuid, sizeof(idx->uuid));
    idx->wal_threshold = WAL_CHECKPOINT_FRAMES;
    rc = conn_open(&idx->conn, path, uuid, sums, mode);
    if (rc)
        goto free_path;
    *out = idx;
    return 0;
free_path:
    free(idx->old_path);
    free(idx->path);
    free(idx);
free_sums:
    sums_unref(sums);
    return rc;
}

static bool text_is(sqlite3_stmt *s, const char *expected)
{
    const char *text = (const char *)sqlite3_column_text(s, 0);
    return text && strcmp(text, expected) == 0;
}

static int use_wal(struct conn *c)
{
    sqlite3_stmt *s;
    int rc = conn_err(c, sqlite3_prepare_v2(c->db, "PRAGMA journal_mode=WAL", -1, &s, NULL));
    if (rc)
        return rc;
    rc = conn_row(c, s);
    if (rc == 1)
        rc = text_is(s, "wal") ? 0 : -EIO;
    sqlite3_finalize(s);
    return rc;
}

/* The settings that every use of the writing connection needs; the database is known to be ours. */
static int setup_writer(struct meta_index *idx)
{
    int rc = use_wal(&idx->conn);
    if (!rc)
        rc = conn_setup(&idx->conn, WRITER_CACHE_KIB);
    if (!rc)
        sqlite3_wal_hook(idx->conn.db, remember_wal_size, idx);
    return rc;
}

static int create_tables(struct meta_index *idx, const uint8_t uuid[16])
{
    struct meta_state st = { 0 };
    char sql[128];
    snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d;", SCHEMA_APPLICATION_ID, store_tag(uuid));
    memcpy(st.uuid, uuid, sizeof(st.uuid));
    int rc = meta_begin(idx);
    if (rc)
        return rc;
    rc = conn_exec(&idx->conn, schema_tables());
    if (!rc)
        rc = conn_exec(&idx->conn, sql);
    if (!rc)
        return meta_commit(idx, &st);
    meta_rollback(idx);
    return rc;
}

static int sync_dir_of(const char *path)
{
    char copy[PATH_MAX];
    int n = snprintf(copy, sizeof(copy), "%s", path);
    if (n >= (int)sizeof(copy))
        return -ENAMETOOLONG;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) ? -errno : 0;
    close(fd);
    return rc;
}

static int reserve_checksum_bytes(struct conn *c)
{
    int bytes = META_PAGE_RESERVED;
    int rc = conn_exec(c, "PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE; PRAGMA encoding='UTF-8';");
    return rc ? rc : conn_err(c, sqlite3_file_control(c->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes));
}

int meta_create(const char *path, const uint8_t uuid[16], struct meta_index **out)
{
    struct meta_index *idx;
    struct page_sums *sums;
    int rc = meta_remove(path);
    if (!rc)
        rc = sums_create(path, uuid, &sums);
    if (!rc)
        rc = index_new(path, uuid, sums, CONN_CREATE, &idx);
    if (rc)
        return rc;
    rc = reserve_checksum_bytes(&idx->conn);
    if (!rc)
        rc = setup_writer(idx);
    if (!rc)
        rc = create_tables(idx, uuid);
    if (!rc)
        rc = conn_prepare_all(&idx->conn);
    if (!rc)
        rc = meta_checkpoint(idx);
    if (!rc)
        rc = sync_dir_of(path);
    if (rc)
        meta_close(idx);
    else
        *out = idx;
    return rc;
}

static int identify(struct meta_index *idx)
{
    int64_t id, tag;
    int rc = conn_pragma(&idx->conn, "PRAGMA application_id", &id);
    if (!rc)
        rc = conn_pragma(&idx->conn, "PRAGMA user_version", &tag);
    if (rc)
        return rc;
    if (id != SCHEMA_APPLICATION_ID)
        return -HOLO_ECORRUPT;
    return tag == store_tag(idx->uuid) ? 0 : -HOLO_ESTALE;
}

static int check_state(struct meta_index *idx)
{
    struct meta_state st;
    int rc = conn_prepare_all(&idx->conn);
    if (!rc)
        rc = conn_state_get(&idx->conn, &st);
    if (rc)
        return rc;
    return memcmp(st.uuid, idx->uuid, sizeof(st.uuid)) ? -HOLO_ESTALE : 0;
}

/* A rollback journal is only there while an index is made; any other would be rolled into the database. */
static int remove_journal(const char *path)
{
    char name[PATH_MAX];
    if (snprintf(name, sizeof(name), "%s-journal", path) >= (int)sizeof(name))
        return -ENAMETOOLONG;
    return unlink(name) && errno != ENOENT ? -errno : 0;
}

/* A WAL of another database, or of another time of this one, has valid frames that are wrong here. */
static int check_wal(struct meta_index *idx)
{
    bool fits = true;
    if (sqlite3_file_control(idx->conn.db, "main", META_FCNTL_WAL_FITS, &fits) != SQLITE_OK)
        return -EIO;
    if (!fits)
        log_err("index: its WAL is not the one that it was left with");
    return fits ? 0 : -HOLO_ESTALE;
}

/* A regular file, not a link to one. */
static int check_file(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return -errno;
    return S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? -EISDIR : S_ISLNK(st.st_mode) ? -ELOOP : -EINVAL;
}

static int open_mode(const char *path, const uint8_t uuid[16], enum conn_mode mode, struct meta_index **out)
{
    struct meta_index *idx;
    struct page_sums *sums = NULL;
    int rc = check_file(path);
    if (!rc && mode == CONN_WRITE)
        rc = remove_journal(path);
    if (!rc)
        rc = sums_load(path, uuid, &sums);
    if (rc == -ENOENT && check_file(path) == 0) {
        log_err("index: the checksums of its pages are missing or damaged");
        rc = -HOLO_ESUM;
    }
    if (!rc)
        rc = index_new(path, uuid, sums, mode, &idx);
    if (rc)
        return rc;
    rc = identify(idx);
    if (!rc)
        rc = check_wal(idx);
    if (!rc)
        rc = mode == CONN_WRITE ? setup_writer(idx) : conn_setup(&idx->conn, WRITER_CACHE_KIB);
    if (!rc)
        rc = check_state(idx);
    if (rc)
        meta_close(idx);
    else
        *out = idx;
    return rc;
}

int meta_open(const char *path, const uint8_t uuid[16], struct meta_index **out)
{
    return open_mode(path, uuid, CONN_WRITE, out);
}

int meta_open_immutable(const char *path, const uint8_t uuid[16], struct meta_index **out)
{
    char wal[PATH_MAX];
    struct stat st;
    if (snprintf(wal, sizeof(wal), "%s-wal", path) >= (int)sizeof(wal))
        return -ENAMETOOLONG;
    if (stat(wal, &st) == 0 && st.st_size > 0)
        return -HOLO_ESTALE; /* what it has is not in the database yet */
    return open_mode(path, uuid, CONN_IMMUTABLE, out);
}

void meta_close(struct meta_index *idx)
{
    if (!idx)
        return;
    meta_rollback(idx);
    conn_close(&idx->conn);
    sums_unref(idx->sums);
    free(idx->old_path);
    free(idx->path);
    free(idx);
}

size_t meta_sums_bytes(const struct meta_index *idx)
{
    return sums_bytes(idx->sums);
}

bool meta_sync_failed(const struct meta_index *idx)
{
    return idx->sync_failed;
}

int meta_retire(struct meta_index *idx)
{
    static const char *const suffix[] = { "", "-wal", "-shm" };
    char from[PATH_MAX], to[PATH_MAX];
    for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
        if (snprintf(from, sizeof(from), "%s%s", idx->path, suffix[i]) >= (int)sizeof(from) ||
            snprintf(to, sizeof(to), "%s%s", idx->old_path, suffix[i]) >= (int)sizeof(to))
            return -ENAMETOOLONG;
        if (rename(from, to) && errno != ENOENT)
            return -errno;
    }
    idx->retired = true;
    return sync_dir_of(idx->path);
}

int meta_state_get(struct meta_index *idx, struct meta_state *out)
{
    return conn_state_get(&idx->conn, out);
}

int index_stmt(struct meta_index *idx, enum stmt id, sqlite3_stmt **out)
{
    assert(idx->in_txn);
    if (!idx->error)
        idx->error = conn_stmt(&idx->conn, id, out);
    return idx->error;
}

int index_run(struct meta_index *idx, sqlite3_stmt *s)
{
    idx->error = conn_run(&idx->conn, s);
    return idx->error;
}

int index_run_u64(struct meta_index *idx, enum stmt id, uint64_t v)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, id, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, v);
    return index_run(idx, s);
}

int index_run_2u64(struct meta_index *idx, enum stmt id, uint64_t v, uint64_t w)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, id, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, v);
    bind_u64(s, 2, w);
    return index_run(idx, s);
}

int meta_begin(struct meta_index *idx)
{
    assert(!idx->in_txn);
    int rc = conn_run_id(&idx->conn, STMT_BEGIN);
    idx->in_txn = rc == 0;
    idx->error = 0;
    return rc;
}

void meta_rollback(struct meta_index *idx)
{
    if (!idx->in_txn)
        return;
    idx->in_txn = false;
    if (!sqlite3_get_autocommit(idx->conn.db)) /* sqlite may have done it */
        (void)conn_run_id(&idx->conn, STMT_ROLLBACK);
}

static int put_state(struct meta_index *idx, const struct meta_state *st)
{
    sqlite3_stmt *s;
    int rc = index_stmt(idx, STMT_STATE_PUT, &s);
    if (rc)
        return rc;
    bind_u64(s, 1, st->epoch);
    bind_u64(s, 2, st->txg);
    bind_u64(s, 3, st->txg_hash);
    bind_u64(s, 4, st->next_ino);
    bind_u64(s, 5, st->next_cookie);
    bind_u64(s, 6, st->next_seq);
    bind_u64(s, 7, st->next_container);
    bind_u64(s, 8, st->dump_txg);
    bind_blob(s, 9, idx->uuid, sizeof(idx->uuid));
    return index_run(idx, s);
}

/*
 * Passive: copies what no reader needs and never waits for one, so a long snapshot lets the WAL grow.
 * *left tells whether frames remain that only the WAL has.
 */
static int checkpoint(struct meta_index *idx, bool *left)
{
    int log = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(idx->conn.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done);
    *left = done < log;
    idx->sync_failed |= rc == SQLITE_IOERR_FSYNC;
    return conn_err(&idx->conn, rc);
}

/* The commit has succeeded whatever happens here; the next try is 32 MiB later. */
static void checkpoint_if_long(struct meta_index *idx)
{
    bool left;
    if (idx->wal_frames < WAL_CHECKPOINT_FRAMES)
        idx->wal_threshold = WAL_CHECKPOINT_FRAMES; /* the WAL began anew */
    if (idx->wal_frames < idx->wal_threshold)
        return;
    int rc = checkpoint(idx, &left);
    if (rc)
        log_warn("index: checkpoint after a commit: %s", holo_strerror(rc));
    idx->wal_threshold = idx->wal_frames + WAL_CHECKPOINT_FRAMES;
}

int meta_commit(struct meta_index *idx, const struct meta_state *state)
{
    assert(idx->in_txn);
    int rc = put_state(idx, state);
    if (!rc)
        rc = conn_run_id(&idx->conn, STMT_COMMIT);
    if (rc) {
        idx->sync_failed |= sqlite3_extended_errcode(idx->conn.db) == SQLITE_IOERR_FSYNC;
        meta_rollback(idx);
        return rc;
    }
    idx->in_txn = false;
    checkpoint_if_long(idx);
    return 0;
}

/* A checkpoint syncs the WAL only if it has something to copy that readers do not hold back. */
static int sync_wal(struct meta_index *idx)
{
    sqlite3_file *wal = NULL;
    int rc = sqlite3_file_control(idx->conn.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc != SQLITE_OK || !wal || !wal->pMethods)
        return -EIO;
    idx->sync_failed |= wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) != SQLITE_OK;
    return idx->sync_failed ? -EIO : 0;
}

int meta_checkpoint(struct meta_index *idx)
{
    bool left;
    assert(!idx->in_txn);
    int rc = checkpoint(idx, &left);
    return rc || !left ? rc : sync_wal(idx);
}

int meta_verify_pages(struct meta_index *idx, uint64_t max_bytes)
{
    sqlite3_file *f = NULL;
    sqlite3_int64 size;
    uint8_t page[META_PAGE_SIZE];
    if (sqlite3_file_control(idx->conn.db, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK)
        return -EIO;
    if (f->pMethods->xFileSize(f, &size) != SQLITE_OK)
        return -EIO;
    for (sqlite3_int64 off = 0; off < size && (uint64_t)off < max_bytes; off += META_PAGE_SIZE) {
        if (off == META_LOCK_PAGE_OFF)
            continue;
        int rc = f->pMethods->xRead(f, page, META_PAGE_SIZE, off);
        if (rc != SQLITE_OK)
            return conn_err(&idx->conn, rc);
    }
    return 0;
}

static int quick_check(struct conn *c)
{
    sqlite3_stmt *s;
    int rc = conn_err(c, sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &s, NULL));
    if (rc)
        return rc;
    rc = conn_row(c, s);
    if (rc == 1 && !text_is(s, "ok")) {
        log_err("index: %s", (const char *)sqlite3_column_text(s, 0));
        rc = -HOLO_ECORRUPT;
    }
    sqlite3_finalize(s);
    return rc == 1 ? 0 : rc;
}

int meta_verify(struct meta_index *idx)
{
    assert(!idx->in_txn);
    int rc = idx->immutable ? 0 : meta_checkpoint(idx); /* what is only in the WAL is verified on its way into the file */
    if (!rc)
        rc = meta_verify_pages(idx, UINT64_MAX);
    return rc ? rc : quick_check(&idx->conn);
}
