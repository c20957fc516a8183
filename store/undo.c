/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * undo.c: the bytes of an undo file: header, progress blocks, records.
 *
 * Invariants:
 * 1. What a progress block calls durable was synced before that block was written: all of it must be right. Behind that a record
 *    that is not right is a torn end, of which nothing has been changed in the store.
 * 2. The two progress blocks are written in turn, so that one is whole. Where the repair has come to its end both say so. One that is
 *    not right costs nothing: the other one calls less durable, and records verify themselves.
 * 3. Checksums are seeded with the file's own random number and the place: bytes of another undo file are no records here.
 */
#include "store/undo.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/format.h"

/* docs/FORMAT.md, «Undo file» */
enum { FILE_VERSION = 1, PROGRESS_AT = BLOCK_SIZE, RECORDS_AT = 3 * BLOCK_SIZE, BLOCK_SUM_AT = BLOCK_SIZE - 8 };
enum { RECORD_HEADER = 64, RECORD_MAGIC = 0x52556f68 /* hoUR */ };
#define SUM_ID_UNDO UINT64_C(0x554e444f)
#define SUM_ID_UNDO_PAYLOAD (UINT64_C(0x554e444f) << 8)

static const char header_magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'U', 'N' };
static const char progress_magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'U', 'P' };

static void seal_block(const struct undo_file *u, uint8_t *block, uint64_t position)
{
    le64_put(block + BLOCK_SUM_AT, sum64(block, BLOCK_SUM_AT, sum_seed(u->nonce, SUM_ID_UNDO, position)));
}

static bool block_right(const struct undo_file *u, const uint8_t *block, uint64_t position)
{
    return le64_get(block + BLOCK_SUM_AT) == sum64(block, BLOCK_SUM_AT, sum_seed(u->nonce, SUM_ID_UNDO, position));
}

/* ---- the file ---- */

/* The directory of a path, and its last component. */
static int open_dir(const char *path, bool read_only, struct backing **dir, const char **leaf)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *leaf = slash ? slash + 1 : path;
    int n = slash ? snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path + 1), path) : snprintf(parent, sizeof(parent), ".");
    return n < (int)sizeof(parent) ? backing_posix_open(parent, read_only, dir) : -ENAMETOOLONG;
}

/* ---- progress ---- */

static int write_progress(struct undo_file *u)
{
    uint8_t block[BLOCK_SIZE] = { 0 };
    uint64_t at = PROGRESS_AT + (u->generation + 1) % 2 * BLOCK_SIZE;
    memcpy(block, progress_magic, sizeof(progress_magic));
    le64_put(block + 8, u->generation + 1);
    le64_put(block + 16, u->end);
    le32_put(block + 24, (uint32_t)u->state);
    seal_block(u, block, at);
    int e = bfile_pwrite(u->f, block, sizeof(block), at);
    u->generation += e == 0;
    return e;
}

struct progress {
    bool blank, right;
    uint64_t generation, end;
    uint32_t state;
};

static struct progress decode_progress(const struct undo_file *u, const uint8_t *block, uint64_t at)
{
    static const uint8_t zeros[BLOCK_SIZE];
    struct progress p = { .blank = memcmp(block, zeros, BLOCK_SIZE) == 0 };
    p.right = memcmp(block, progress_magic, sizeof(progress_magic)) == 0 && block_right(u, block, at);
    p.generation = le64_get(block + 8);
    p.end = le64_get(block + 16);
    p.state = le32_get(block + 24);
    return p;
}

/* *durable: up to where all must be right. */
static int read_progress(struct undo_file *u, uint64_t *durable)
{
    uint8_t block[2][BLOCK_SIZE];
    struct progress p[2];
    *durable = RECORDS_AT;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = PROGRESS_AT + (uint64_t)i * BLOCK_SIZE;
        int e = u->f->ops->pread(u->f, block[i], BLOCK_SIZE, at);
        if (e)
            return e;
        p[i] = decode_progress(u, block[i], at);
    }
    const struct progress *best = p[0].right && (!p[1].right || p[0].generation > p[1].generation) ? &p[0] : &p[1];
    if (!best->right) /* neither: it never came to a first sync */
        return p[0].blank || p[1].blank ? 0 : -HOLO_ESUM;
    if (best->state > UNDO_APPLIED)
        return -HOLO_ESUM;
    u->generation = best->generation;
    u->state = (enum undo_state)best->state;
    *durable = best->end;
    return 0;
}

/* ---- records ---- */

static void encode(const struct undo_file *u, const struct undo_record *r, uint64_t payload_sum, uint8_t *h)
{
    memset(h, 0, RECORD_HEADER);
    le32_put(h, RECORD_MAGIC);
    le32_put(h + 4, (uint32_t)r->kind);
    le64_put(h + 8, u->end);
    le32_put(h + 16, r->len);
    le32_put(h + 20, r->file);
    le64_put(h + 24, r->block);
    le32_put(h + 32, r->blocks);
    le64_put(h + 40, r->size_or_sum);
    le64_put(h + 48, payload_sum);
    le64_put(h + 56, sum64(h, 56, sum_seed(u->nonce, SUM_ID_UNDO, u->end)));
}

static uint64_t padded(uint32_t len)
{
    return ((uint64_t)len + 7) & ~UINT64_C(7);
}

int undo_append(struct undo_file *u, const struct undo_record *r, const void *payload)
{
    static const uint8_t zeros[8];
    uint8_t h[RECORD_HEADER];
    uint64_t sum = sum64(payload ? payload : zeros, r->len, sum_seed(u->nonce, SUM_ID_UNDO_PAYLOAD, u->end));
    encode(u, r, sum, h);
    const struct iovec iov[] = { { h, sizeof(h) }, { (void *)(uintptr_t)payload, r->len }, { (void *)(uintptr_t)zeros, padded(r->len) - r->len } };
    int n = r->len == 0 ? 1 : padded(r->len) == r->len ? 2 : 3;
    int e = u->f->ops->pwritev(u->f, iov, n, u->end);
    if (!e)
        u->end += RECORD_HEADER + padded(r->len);
    return e;
}

int undo_sync(struct undo_file *u)
{
    int e = u->f->ops->datasync(u->f);
    return e ? e : write_progress(u);
}

int undo_set_state(struct undo_file *u, enum undo_state state)
{
    int e = u->torn ? u->f->ops->truncate(u->f, u->end) : 0;
    u->torn &= e != 0;
    u->state = state;
    for (int i = 0; i < 2 && !e; i++) {
        e = u->f->ops->datasync(u->f);
        if (!e)
            e = write_progress(u);
    }
    return e ? e : u->f->ops->datasync(u->f);
}

/* The record at `at`, its payload in buf. 0, -HOLO_ESUM if there is none, or an error. */
static int read_record(const struct undo_file *u, uint64_t at, uint64_t size, struct undo_record *r, uint8_t *buf)
{
    uint8_t h[RECORD_HEADER];
    if (size < at + RECORD_HEADER)
        return -HOLO_ESUM;
    int e = u->f->ops->pread(u->f, h, sizeof(h), at);
    if (e)
        return e;
    *r = (struct undo_record){ .kind = (enum undo_kind)le32_get(h + 4), .len = le32_get(h + 16), .file = le32_get(h + 20), .block = le64_get(h + 24),
                               .blocks = le32_get(h + 32), .size_or_sum = le64_get(h + 40), .at = at + RECORD_HEADER };
    if (le32_get(h) != RECORD_MAGIC || le64_get(h + 8) != at || le64_get(h + 56) != sum64(h, 56, sum_seed(u->nonce, SUM_ID_UNDO, at)) ||
        r->len > UNDO_PAYLOAD_MAX || size - r->at < padded(r->len))
        return -HOLO_ESUM;
    e = r->len ? u->f->ops->pread(u->f, buf, padded(r->len), r->at) : 0;
    if (e)
        return e;
    for (uint64_t i = r->len; i < padded(r->len); i++) {
        if (buf[i])
            return -HOLO_ESUM;
    }
    return le64_get(h + 48) == sum64(buf, r->len, sum_seed(u->nonce, SUM_ID_UNDO_PAYLOAD, at)) ? 0 : -HOLO_ESUM;
}

int undo_each(struct undo_file *u, int (*cb)(void *arg, const struct undo_record *r, const uint8_t *payload), void *arg)
{
    uint8_t *buf = malloc(UNDO_PAYLOAD_MAX);
    int e = buf ? 0 : -ENOMEM;
    for (uint64_t at = RECORDS_AT; at < u->end && !e;) {
        struct undo_record r;
        e = read_record(u, at, u->end, &r, buf);
        if (!e)
            e = cb(arg, &r, buf);
        at += RECORD_HEADER + padded(r.len);
    }
    free(buf);
    return e;
}

/* All records up to the torn end. */
static int verify(struct undo_file *u, uint64_t durable)
{
    uint64_t size, at = RECORDS_AT;
    uint8_t *buf = malloc(UNDO_PAYLOAD_MAX);
    int e = buf ? u->f->ops->size(u->f, &size) : -ENOMEM;
    if (!e && size < durable)
        e = -HOLO_ETRUNC;
    while (!e && at < size) {
        struct undo_record r;
        e = read_record(u, at, size, &r, buf);
        if (!e)
            at += RECORD_HEADER + padded(r.len);
    }
    free(buf);
    u->torn = e == -HOLO_ESUM;
    if (e == -HOLO_ESUM && at >= durable && u->state == UNDO_OPEN)
        e = 0;
    u->end = at;
    return e;
}

/* ---- create, open ---- */

static int write_header(struct undo_file *u)
{
    uint8_t block[3 * BLOCK_SIZE] = { 0 };
    memcpy(block, header_magic, sizeof(header_magic));
    le32_put(block + 8, FILE_VERSION);
    memcpy(block + 16, u->uuid, 16);
    memcpy(block + 32, u->nonce, 16);
    le64_put(block + 48, (uint64_t)clock_real_ns());
    seal_block(u, block, 0);
    u->end = RECORDS_AT;
    return bfile_pwrite(u->f, block, sizeof(block), 0);
}

int undo_create(const char *path, const uint8_t uuid[16], struct undo_file *out)
{
    struct undo_file u = { 0 };
    struct backing *dir;
    const char *leaf;
    uint64_t size = 0;
    memcpy(u.uuid, uuid, 16);
    if (getrandom(u.nonce, sizeof(u.nonce), 0) != (ssize_t)sizeof(u.nonce))
        return -EIO;
    int e = open_dir(path, false, &dir, &leaf);
    if (e)
        return e;
    e = dir->ops->open(dir, leaf, BACKING_WRITE | BACKING_CREATE, &u.f);
    if (!e)
        e = u.f->ops->size(u.f, &size);
    if (!e && size)
        e = -EEXIST;
    if (!e)
        e = write_header(&u);
    if (!e)
        e = u.f->ops->datasync(u.f);
    if (!e)
        e = dir->ops->sync_dir(dir, "");
    dir->ops->close(dir);
    if (e)
        undo_close(&u);
    else
        *out = u;
    return e;
}

static int read_header(struct undo_file *u)
{
    uint8_t block[BLOCK_SIZE];
    int e = u->f->ops->pread(u->f, block, sizeof(block), 0);
    if (e)
        return e == -HOLO_ETRUNC ? -HOLO_EFORMAT : e;
    if (memcmp(block, header_magic, sizeof(header_magic)) != 0)
        return -HOLO_EFORMAT;
    memcpy(u->uuid, block + 16, 16);
    memcpy(u->nonce, block + 32, 16);
    if (!block_right(u, block, 0))
        return -HOLO_ESUM;
    return le32_get(block + 8) == FILE_VERSION ? 0 : -HOLO_EVERSION;
}

int undo_open(const char *path, bool read_only, struct undo_file *out)
{
    struct undo_file u = { 0 };
    struct backing *dir;
    const char *leaf;
    uint64_t durable;
    int e = open_dir(path, read_only, &dir, &leaf);
    if (e)
        return e;
    e = dir->ops->open(dir, leaf, read_only ? BACKING_READ : BACKING_WRITE, &u.f);
    dir->ops->close(dir);
    if (!e)
        e = read_header(&u);
    if (!e)
        e = read_progress(&u, &durable);
    if (!e)
        e = verify(&u, durable);
    if (e)
        undo_close(&u);
    else
        *out = u;
    return e;
}

void undo_close(struct undo_file *u)
{
    if (u->f)
        u->f->ops->close(u->f);
    u->f = NULL;
}
