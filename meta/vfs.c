/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfs.c: the sqlite VFS "holofs": the system's own, with a checksum at the end of every database page.
 *
 * Invariants:
 * 1. Every page of the main database file ends with XXH3-64 (little-endian) over the bytes before it, seeded
 *    with the store's uuid and the page number. Page 1 is seeded with the number alone, so that a database of
 *    another store can be told from a damaged one.
 * 2. sqlite sees only whole pages whose checksum was right; another one reads as SQLITE_IOERR_DATA. The only
 *    smaller read is that of the first bytes of page 1, which sqlite repeats with the whole page.
 * 3. A short page is a bad page: in WAL mode sqlite reads no page that was not written whole.
 * 4. sqlite's buffers are not written to: they are in its cache, and WAL checksums cover them.
 * 5. A page from a committed frame of the WAL is verified as well, with the checksum that sqlite put there but
 *    looks at only after a crash: else a checkpoint would give a rotten page a fresh checksum. Frames of the
 *    open transaction are exempt, because sqlite rewrites them in place and mends their checksums at its end.
 * 6. A page of the main file must also have the sum with which it was last written (sums.c): one whose last write was lost
 *    reads as SQLITE_IOERR_DATA too. The sums are durable when the sync of the main file returns, and before a WAL begins.
 *
 * The WAL-index is in memory (walindex.h). Other files are the system VFS's alone. sqlite requires the registered VFS to live for ever, hence the one
 * static object, which is constant once it is registered.
 */
#include "meta/vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/sum.h"
#include "meta/walindex.h"

enum { SUM_AT = META_PAGE_SIZE - META_PAGE_RESERVED, HEADER_READ_MAX = 100 };

/* Layout of a WAL: https://sqlite.org/fileformat2.html#the_write_ahead_log */
enum {
    WAL_HEADER_SIZE = 32,
    WAL_HEADER_SUM_AT = 24,
    WAL_FRAME_HEADER_SIZE = 24,
    WAL_FRAME_SUM_AT = 16,
    WAL_FRAME_SIZE = WAL_FRAME_HEADER_SIZE + META_PAGE_SIZE,
    WAL_HEADER_SALT_AT = 16,
    WAL_MAGIC_BIG_ENDIAN = 0x377f0683,
};

/* Layout of the WAL-index: https://sqlite.org/walformat.html#the_wal_index_header */
enum { WAL_INDEX_FRAMES_AT = 16, WAL_INDEX_SALT_AT = 32 };

/* A main database file or its WAL. */
struct page_file {
    sqlite3_file base; /* first: sqlite knows the file by it */
    sqlite3_file *real;
    struct page_file *partner; /* the WAL of a database, where one is open; the database of a WAL */
    uint8_t uuid[16];          /* of a database */
    struct page_sums *sums;    /* of a database, or NULL; the connection's */
    bool told;                 /* of a bad page */
    bool immutable;            /* nobody writes this database: sqlite looks for no WAL and takes no locks */
    struct wal_index_user shm; /* of a database with sums */
    const volatile uint8_t *wal_index; /* of a database: header of the WAL-index in shared memory, once there is one */
    sqlite3_int64 unsettled;   /* of a WAL: where the frames of the open transaction begin */
};

struct page_vfs {
    sqlite3_vfs base;
    sqlite3_vfs *real;
    bool immutable; /* databases that nobody writes */
};

static struct page_file *page_file(sqlite3_file *f)
{
    return (struct page_file *)(void *)f;
}

static sqlite3_file *real_file(sqlite3_file *f)
{
    return page_file(f)->real;
}

static uint64_t page_sum(const struct page_file *f, const uint8_t *page, sqlite3_int64 off)
{
    static const uint8_t none[16];
    uint64_t number = (uint64_t)off / META_PAGE_SIZE + 1;
    return sum64(page, SUM_AT, sum_seed(number == 1 ? none : f->uuid, 0, number));
}

static bool whole_page(int len, sqlite3_int64 off)
{
    return len == META_PAGE_SIZE && off % META_PAGE_SIZE == 0;
}

static int bad_page(struct page_file *f, sqlite3_int64 off, const char *what)
{
    if (!f->told)
        log_err("index: page %lld %s", (long long)(off / META_PAGE_SIZE + 1), what);
    f->told = true;
    return SQLITE_IOERR_DATA;
}

static int page_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 off)
{
    struct page_file *f = page_file(file);
    int rc = f->real->pMethods->xRead(f->real, buf, len, off);
    if (len <= HEADER_READ_MAX)
        return rc;
    if (!whole_page(len, off)) /* a damaged header can ask for other page sizes */
        return SQLITE_IOERR_DATA;
    if (rc == SQLITE_IOERR_SHORT_READ)
        return bad_page(f, off, "is missing");
    if (rc != SQLITE_OK)
        return rc;
    uint64_t sum = page_sum(f, buf, off);
    if (le64_get((const uint8_t *)buf + SUM_AT) != sum)
        return bad_page(f, off, "has a wrong checksum");
    if (f->sums && !sums_match(f->sums, (uint64_t)off / META_PAGE_SIZE + 1, sum))
        return bad_page(f, off, "is not as it was last written");
    return SQLITE_OK;
}

static int page_write(sqlite3_file *file, const void *buf, int len, sqlite3_int64 off)
{
    struct page_file *f = page_file(file);
    uint8_t page[META_PAGE_SIZE];
    if (!whole_page(len, off))
        return SQLITE_IOERR_WRITE;
    memcpy(page, buf, SUM_AT);
    uint64_t sum = page_sum(f, page, off);
    le64_put(page + SUM_AT, sum);
    if (f->sums && sums_set(f->sums, (uint64_t)off / META_PAGE_SIZE + 1, sum))
        return SQLITE_IOERR_NOMEM;
    return f->real->pMethods->xWrite(f->real, page, META_PAGE_SIZE, off);
}

static uint32_t be32_get(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* sqlite's own checksum over len bytes, a multiple of 8. */
static void wal_sum(const uint8_t *p, size_t len, uint32_t s[2])
{
    for (const uint8_t *end = p + len; p < end; p += 8) {
        s[0] += le32_get(p) + s[1];
        s[1] += le32_get(p + 4) + s[0];
    }
}

static int wal_get(struct page_file *f, void *buf, int len, sqlite3_int64 off)
{
    int rc = f->real->pMethods->xRead(f->real, buf, len, off);
    return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_IOERR_DATA : rc;
}

/* A WAL written on a big-endian machine has its checksums in that order: those stay unverified. */
static int wal_mismatch(struct page_file *f)
{
    uint8_t magic[4];
    int rc = wal_get(f, magic, sizeof(magic), 0);
    if (rc != SQLITE_OK)
        return rc;
    return be32_get(magic) == WAL_MAGIC_BIG_ENDIAN ? SQLITE_OK : SQLITE_IOERR_DATA;
}

/* The checksum of a frame goes on from that of the frame before, or of the WAL's header. */
static int wal_verify(struct page_file *f, const uint8_t *page, sqlite3_int64 frame)
{
    uint8_t header[WAL_FRAME_HEADER_SIZE], before[8];
    bool first = frame == WAL_HEADER_SIZE;
    int rc = wal_get(f, header, sizeof(header), frame);
    if (rc == SQLITE_OK)
        rc = wal_get(f, before, sizeof(before), first ? WAL_HEADER_SUM_AT : frame - WAL_FRAME_SIZE + WAL_FRAME_SUM_AT);
    if (rc != SQLITE_OK)
        return rc;
    uint32_t s[2] = { be32_get(before), be32_get(before + 4) };
    wal_sum(header, 8, s);
    wal_sum(page, META_PAGE_SIZE, s);
    if (be32_get(header + WAL_FRAME_SUM_AT) == s[0] && be32_get(header + WAL_FRAME_SUM_AT + 4) == s[1])
        return SQLITE_OK;
    return wal_mismatch(f);
}

static int wal_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 off)
{
    struct page_file *f = page_file(file);
    sqlite3_int64 frame = off - WAL_FRAME_HEADER_SIZE;
    if (len != META_PAGE_SIZE || frame < WAL_HEADER_SIZE || (frame - WAL_HEADER_SIZE) % WAL_FRAME_SIZE || frame >= f->unsettled)
        return f->real->pMethods->xRead(f->real, buf, len, off);
    int rc = wal_get(f, buf, len, off);
    return rc == SQLITE_OK ? wal_verify(f, buf, frame) : rc;
}

static int wal_write(sqlite3_file *file, const void *buf, int len, sqlite3_int64 off)
{
    struct page_file *f = page_file(file);
    struct page_sums *sums = f->partner->sums;
    if (off == 0 && len == WAL_HEADER_SIZE && sums) { /* all of the WAL before is in the database */
        int rc = sums_wal_begins(sums, (const uint8_t *)buf + WAL_HEADER_SALT_AT);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (off < f->unsettled)
        f->unsettled = off;
    return f->real->pMethods->xWrite(f->real, buf, len, off);
}

static int wal_close(sqlite3_file *file)
{
    page_file(file)->partner->partner = NULL;
    return real_file(file)->pMethods->xClose(real_file(file));
}

/* What sqlite found in the WAL when it opened it, or wrote there since: salts and the number of valid frames. */
static uint32_t wal_found(const struct page_file *f, uint8_t salt[8])
{
    uint32_t frames = 0;
    memset(salt, 0, 8);
    if (!f->wal_index)
        return 0;
    uint8_t head[WAL_INDEX_SALT_AT + 8];
    for (size_t i = 0; i < sizeof(head); i++)
        head[i] = f->wal_index[i];
    memcpy(&frames, head + WAL_INDEX_FRAMES_AT, sizeof(frames)); /* in this machine's order */
    memcpy(salt, head + WAL_INDEX_SALT_AT, 8);
    return frames;
}

static bool wal_fits(const struct page_file *f)
{
    uint8_t salt[8];
    uint32_t frames = wal_found(f, salt);
    return !f->sums || frames == 0 || sums_wal_fits(f->sums, salt, frames);
}

static int page_control(sqlite3_file *file, int op, void *arg)
{
    struct page_file *f = page_file(file);
    if (op == SQLITE_FCNTL_COMMIT_PHASETWO && f->partner) /* a commit is complete */
        f->partner->unsettled = INT64_MAX;
    if (op == META_FCNTL_WAL_FITS) {
        *(bool *)arg = wal_fits(f);
        return SQLITE_OK;
    }
    if (op != META_FCNTL_STORE)
        return f->real->pMethods->xFileControl(f->real, op, arg);
    const struct meta_vfs_store *store = arg;
    memcpy(f->uuid, store->uuid, sizeof(f->uuid));
    f->sums = store->sums;
    return SQLITE_OK;
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
    return real_file(file)->pMethods->xFileControl(real_file(file), op, arg);
}

static int page_close(sqlite3_file *file)
{
    walindex_unmap(&page_file(file)->shm);
    return real_file(file)->pMethods->xClose(real_file(file));
}

static int page_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct page_file *f = page_file(file);
    if (f->sums)
        sums_cut(f->sums, (uint64_t)size / META_PAGE_SIZE);
    return f->real->pMethods->xTruncate(f->real, size);
}

/* sqlite syncs the database at the end of a complete checkpoint, and then takes the WAL for superfluous. */
static int page_sync(sqlite3_file *file, int flags)
{
    struct page_file *f = page_file(file);
    uint8_t salt[8];
    int rc = f->real->pMethods->xSync(f->real, flags);
    if (rc != SQLITE_OK || !f->sums)
        return rc;
    uint32_t frames = wal_found(f, salt);
    return sums_checkpointed(f->sums, salt, frames);
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_file(file)->pMethods->xTruncate(real_file(file), size);
}

static int wal_sync(sqlite3_file *file, int flags)
{
    return real_file(file)->pMethods->xSync(real_file(file), flags);
}

static int page_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_file(file)->pMethods->xFileSize(real_file(file), size);
}

static int page_lock(sqlite3_file *file, int level)
{
    return real_file(file)->pMethods->xLock(real_file(file), level);
}

static int page_unlock(sqlite3_file *file, int level)
{
    return real_file(file)->pMethods->xUnlock(real_file(file), level);
}

static int page_check_lock(sqlite3_file *file, int *out)
{
    return real_file(file)->pMethods->xCheckReservedLock(real_file(file), out);
}

static int page_sector(sqlite3_file *file)
{
    return real_file(file)->pMethods->xSectorSize(real_file(file));
}

static int page_device(sqlite3_file *file)
{
    int what = real_file(file)->pMethods->xDeviceCharacteristics(real_file(file));
    return page_file(file)->immutable ? what | SQLITE_IOCAP_IMMUTABLE : what;
}

static int page_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    struct page_file *f = page_file(file);
    int rc = f->sums ? walindex_map(sums_walindex(f->sums), &f->shm, region, size, extend, out)
                     : f->real->pMethods->xShmMap(f->real, region, size, extend, out);
    if (region == 0)
        f->wal_index = rc == SQLITE_OK ? *out : NULL;
    return rc;
}

static int page_shm_lock(sqlite3_file *file, int off, int n, int flags)
{
    struct page_file *f = page_file(file);
    return f->shm.of ? walindex_lock(&f->shm, off, n, flags) : f->real->pMethods->xShmLock(f->real, off, n, flags);
}

static void page_shm_barrier(sqlite3_file *file)
{
    struct page_file *f = page_file(file);
    if (f->shm.of)
        walindex_barrier(&f->shm);
    else
        f->real->pMethods->xShmBarrier(f->real);
}

static int page_shm_unmap(sqlite3_file *file, int remove)
{
    struct page_file *f = page_file(file);
    f->wal_index = NULL;
    if (!f->shm.of)
        return f->real->pMethods->xShmUnmap(f->real, remove);
    walindex_unmap(&f->shm);
    return SQLITE_OK;
}

/* Version 2 has shared memory for the WAL and leaves out xFetch, so no page comes through a mapping. */
static const sqlite3_io_methods page_methods = {
    .iVersion = 2,
    .xClose = page_close,
    .xRead = page_read,
    .xWrite = page_write,
    .xTruncate = page_truncate,
    .xSync = page_sync,
    .xFileSize = page_size,
    .xLock = page_lock,
    .xUnlock = page_unlock,
    .xCheckReservedLock = page_check_lock,
    .xFileControl = page_control,
    .xSectorSize = page_sector,
    .xDeviceCharacteristics = page_device,
    .xShmMap = page_shm_map,
    .xShmLock = page_shm_lock,
    .xShmBarrier = page_shm_barrier,
    .xShmUnmap = page_shm_unmap,
};

static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = page_size,
    .xLock = page_lock,
    .xUnlock = page_unlock,
    .xCheckReservedLock = page_check_lock,
    .xFileControl = wal_control,
    .xSectorSize = page_sector,
    .xDeviceCharacteristics = page_device,
};

static int page_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    sqlite3_vfs *real = ((struct page_vfs *)(void *)vfs)->real;
    struct page_file *f = page_file(file);
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return real->xOpen(real, name, file, flags, out_flags);
    memset(f, 0, sizeof(*f));
    f->real = (sqlite3_file *)(void *)(f + 1);
    f->unsettled = INT64_MAX;
    f->immutable = ((struct page_vfs *)(void *)vfs)->immutable;
    int rc = real->xOpen(real, name, f->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    if (flags & SQLITE_OPEN_WAL) {
        f->partner = page_file(sqlite3_database_file_object(name));
        f->partner->partner = f;
    }
    f->base.pMethods = flags & SQLITE_OPEN_WAL ? &wal_methods : &page_methods;
    return SQLITE_OK;
}

/*
 * All but xOpen is inherited: the system's functions find in the copy what they expect in their own object
 * (name lengths and their private pointer).
 */
static int register_vfs(struct page_vfs *vfs, const char *name, bool immutable)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* its lock is shared by all connections; too late is harmless */
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (!real)
        return -EIO;
    vfs->base = *real;
    vfs->real = real;
    vfs->immutable = immutable;
    vfs->base.zName = name;
    vfs->base.pNext = NULL;
    vfs->base.szOsFile = (int)sizeof(struct page_file) + real->szOsFile;
    vfs->base.xOpen = page_open;
    return sqlite3_vfs_register(&vfs->base, 0) == SQLITE_OK ? 0 : -EIO;
}

static int registered = -EIO;

static void register_once(void)
{
    static struct page_vfs vfs, immutable;
    registered = register_vfs(&vfs, META_VFS_NAME, false);
    if (!registered)
        registered = register_vfs(&immutable, META_VFS_IMMUTABLE, true);
}

int meta_vfs_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_once);
    return registered;
}
