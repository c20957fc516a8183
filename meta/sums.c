/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sums.c: the checksum of every page of the index as it was last written, 8 bytes a page, in memory and in two files beside the database.
 *
 * A page carries its own checksum (vfs.c), but a page whose last write was lost has a right one and old contents. Here it has not.
 *
 * Invariants:
 * 1. The sums of the newest whole copy are those of the database as the last complete checkpoint left it. Pages that a later one
 *    has begun to write are in the WAL, from where sqlite reads them until a checkpoint is complete.
 * 2. Copies are written in turn, each whole and synced: while one is written the other is whole. A checkpoint is complete, so that
 *    sqlite may begin its WAL anew, only when the copy is durable.
 * 3. A copy names the WALs that belong to it: the one it was copied from, with the number of frames that are in the database, and the one
 *    that was begun since. Any other WAL is a stranger or of another time.
 * 4. Only the writing connection changes anything; readers compare, under `lock` against the growth of the table.
 *
 * A copy, little-endian: 0 magic "holoSUMS", 8 u32 version, 12 u32 frames in the database, 16 uuid, 32 u64 generation,
 * 40 u64 pages, 48 salts of the checkpointed WAL, 56 salts of the WAL begun, 64 u64 XXH3-64 of all the rest, 72 one u64 a page.
 */
#include "meta/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/sum.h"
#include "meta/walindex.h"

enum { IO_BYTES = 64 << 10 /* sqlite's VFS writes at most 128 KiB less one at a time, and of multiples of that nothing */ };
enum { VERSION = 1, HEADER = 72, SUM_AT = 64, SUMS_RANK = 66, SEED_ID = 0x68534d53 };
static const char magic[8] = { 'h', 'o', 'l', 'o', 'S', 'U', 'M', 'S' };

struct page_sums {
    _Atomic unsigned refs;
    struct mutex lock;
    struct wal_index *walindex;
    char *name[2]; /* of the copies */
    uint8_t uuid[16];
    uint8_t *image; /* a copy as it will be written: header, sums */
    uint64_t pages, cap, generation;
    uint8_t done_salt[8], next_salt[8];
    uint32_t done_frames;
    unsigned older;  /* the copy that is written next */
    bool changed;    /* since the last copy */
};

static int page_sums_new(const char *database, const uint8_t uuid[16], struct page_sums **out)
{
    struct page_sums *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    size_t len = strlen(database) + 6;
    s->refs = 1;
    mutex_init(&s->lock, SUMS_RANK);
    memcpy(s->uuid, uuid, 16);
    s->image = malloc(HEADER);
    s->walindex = walindex_create();
    for (int i = 0; i < 2; i++) {
        s->name[i] = malloc(len + 1);
        if (s->name[i])
            snprintf(s->name[i], len + 1, "%s-sum%d", database, i);
    }
    if (!s->image || !s->walindex || !s->name[0] || !s->name[1]) {
        sums_unref(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}

int sums_create(const char *database, const uint8_t uuid[16], struct page_sums **out)
{
    return page_sums_new(database, uuid, out);
}

struct page_sums *sums_ref(struct page_sums *s)
{
    s->refs++;
    return s;
}

void sums_unref(struct page_sums *s)
{
    if (!s || --s->refs)
        return;
    mutex_fini(&s->lock);
    walindex_destroy(s->walindex);
    free(s->name[0]);
    free(s->name[1]);
    free(s->image);
    free(s);
}

/* ---- the files, through the VFS below ours ---- */

static int file_open(const char *name, int flags, sqlite3_file **out)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int got;
    sqlite3_file *f = vfs ? calloc(1, (size_t)vfs->szOsFile) : NULL;
    if (!f)
        return vfs ? SQLITE_NOMEM : SQLITE_ERROR;
    /* a «super journal»: no locks, and the directory is synced with a new one */
    int rc = vfs->xOpen(vfs, name, f, flags | SQLITE_OPEN_SUPER_JOURNAL, &got);
    if (rc != SQLITE_OK)
        free(f);
    else
        *out = f;
    return rc;
}

static void file_close(sqlite3_file *f)
{
    f->pMethods->xClose(f);
    free(f);
}

static uint64_t image_sum(const uint8_t *image, uint64_t pages)
{
    uint64_t head = sum64(image, SUM_AT, sum_seed(image + 16, SEED_ID, pages));
    return sum64(image + HEADER, pages * 8, head);
}

static int write_image(const char *name, const uint8_t *image, size_t len)
{
    sqlite3_file *f;
    int rc = file_open(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &f);
    if (rc != SQLITE_OK)
        return rc;
    for (size_t at = 0; at < len && rc == SQLITE_OK; at += IO_BYTES) {
        size_t n = len - at < IO_BYTES ? len - at : IO_BYTES;
        rc = f->pMethods->xWrite(f, image + at, (int)n, (sqlite3_int64)at);
    }
    if (rc == SQLITE_OK)
        rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    file_close(f);
    return rc;
}

/* The other copy stays as it is until this one is durable; one that failed is tried again, not the good one. */
static int save(struct page_sums *s)
{
    uint8_t *h = s->image;
    memset(h, 0, HEADER);
    memcpy(h, magic, sizeof(magic));
    le32_put(h + 8, VERSION);
    le32_put(h + 12, s->done_frames);
    memcpy(h + 16, s->uuid, 16);
    le64_put(h + 32, s->generation + 1);
    le64_put(h + 40, s->pages);
    memcpy(h + 48, s->done_salt, 8);
    memcpy(h + 56, s->next_salt, 8);
    le64_put(h + SUM_AT, image_sum(h, s->pages));
    int rc = write_image(s->name[s->older], h, HEADER + s->pages * 8);
    if (rc != SQLITE_OK)
        return rc;
    s->generation++;
    s->older ^= 1;
    s->changed = false;
    return SQLITE_OK;
}

/* 0 or negative errno: sqlite does not tell apart what is missing from what cannot be opened just now. */
static int probe(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* A whole copy, or NULL: *rc tells apart what is missing or damaged (SQLITE_OK) from what could not be read. */
static uint8_t *read_image(const char *name, uint64_t *pages, int *rc)
{
    sqlite3_file *f;
    sqlite3_int64 size = 0;
    uint8_t *image = NULL;
    *rc = file_open(name, SQLITE_OPEN_READONLY, &f);
    if (*rc != SQLITE_OK)
        return NULL;
    *rc = f->pMethods->xFileSize(f, &size);
    if (*rc == SQLITE_OK && size >= HEADER && size < INT64_C(1) << 36) {
        image = malloc((size_t)size);
        *rc = image ? SQLITE_OK : SQLITE_NOMEM;
    }
    for (sqlite3_int64 at = 0; image && *rc == SQLITE_OK && at < size; at += IO_BYTES)
        *rc = f->pMethods->xRead(f, image + at, (int)(size - at < IO_BYTES ? size - at : IO_BYTES), at);
    file_close(f);
    if (image && *rc == SQLITE_OK) {
        *pages = le64_get(image + 40);
        bool ok = memcmp(image, magic, sizeof(magic)) == 0 && le32_get(image + 8) == VERSION &&
                  *pages <= ((uint64_t)size - HEADER) / 8 && le64_get(image + SUM_AT) == image_sum(image, *pages);
        if (ok)
            return image;
    }
    free(image);
    return NULL;
}

static void adopt(struct page_sums *s, uint8_t *image, uint64_t pages, unsigned copy)
{
    free(s->image);
    s->image = image;
    s->pages = s->cap = pages;
    s->done_frames = le32_get(image + 12);
    s->generation = le64_get(image + 32);
    memcpy(s->done_salt, image + 48, 8);
    memcpy(s->next_salt, image + 56, 8);
    s->older = copy ^ 1;
}

int sums_load(const char *database, const uint8_t uuid[16], struct page_sums **out)
{
    struct page_sums *s;
    int e = page_sums_new(database, uuid, &s), worst = SQLITE_OK;
    bool found = false, foreign = false;
    if (e)
        return e;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t pages;
        int rc = SQLITE_OK, there = probe(s->name[i]);
        uint8_t *image = there ? NULL : read_image(s->name[i], &pages, &rc);
        e = there && there != -ENOENT ? there : e;
        bool ours = image && memcmp(image + 16, uuid, 16) == 0;
        worst = rc == SQLITE_OK ? worst : rc;
        foreign |= image && !ours;
        if (ours && (!found || le64_get(image + 32) > s->generation)) {
            adopt(s, image, pages, i);
            found = true;
        } else {
            free(image);
        }
    }
    if (found) {
        *out = s;
        return 0;
    }
    sums_unref(s);
    if (foreign)
        return -HOLO_ESTALE;
    if (e)
        return e;
    return worst == SQLITE_OK ? -ENOENT : worst == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

/* ---- the table ---- */

bool sums_match(struct page_sums *s, uint64_t page, uint64_t sum)
{
    mutex_lock(&s->lock);
    bool same = page >= 1 && page <= s->pages && le64_get(s->image + HEADER + (page - 1) * 8) == sum;
    mutex_unlock(&s->lock);
    return same;
}

static int grow(struct page_sums *s, uint64_t pages)
{
    if (pages > s->cap) {
        uint64_t cap = s->cap + s->cap / 4 + 1024;
        cap = cap > pages ? cap : pages;
        uint8_t *p = realloc(s->image, HEADER + cap * 8);
        if (!p)
            return -ENOMEM;
        s->image = p;
        s->cap = cap;
    }
    memset(s->image + HEADER + s->pages * 8, 0, (pages - s->pages) * 8);
    s->pages = pages;
    return 0;
}

int sums_set(struct page_sums *s, uint64_t page, uint64_t sum)
{
    mutex_lock(&s->lock);
    int e = page > s->pages ? grow(s, page) : 0;
    if (!e)
        le64_put(s->image + HEADER + (page - 1) * 8, sum);
    s->changed = true;
    mutex_unlock(&s->lock);
    return e;
}

void sums_cut(struct page_sums *s, uint64_t pages)
{
    mutex_lock(&s->lock);
    s->changed |= pages < s->pages;
    s->pages = pages < s->pages ? pages : s->pages;
    mutex_unlock(&s->lock);
}

size_t sums_bytes(const struct page_sums *s)
{
    return HEADER + s->cap * 8;
}

/* ---- the WAL ---- */

struct wal_index *sums_walindex(struct page_sums *s)
{
    return s->walindex;
}

int sums_wal_begins(struct page_sums *s, const uint8_t salt[8])
{
    if (!s->changed && memcmp(s->next_salt, salt, 8) == 0)
        return SQLITE_OK;
    memcpy(s->next_salt, salt, 8);
    return save(s);
}

int sums_checkpointed(struct page_sums *s, const uint8_t salt[8], uint32_t frames)
{
    bool same = s->done_frames == frames && memcmp(s->done_salt, salt, 8) == 0;
    if (same && !s->changed)
        return SQLITE_OK;
    memcpy(s->done_salt, salt, 8);
    s->done_frames = frames;
    return save(s);
}

bool sums_wal_fits(const struct page_sums *s, const uint8_t salt[8], uint32_t frames)
{
    if (memcmp(s->done_salt, salt, 8) == 0)
        return frames >= s->done_frames;
    return memcmp(s->next_salt, salt, 8) == 0;
}
