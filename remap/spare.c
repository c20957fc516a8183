/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spare.c: one spare file: its name, its header where it has one, its blocks. */
#include "remap/spare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sum.h"

#define SUM_ID_SPARE_HEADER UINT64_C(0x7370726864)

enum { BLOCK = REMAP_BLOCK_SIZE, SUMMED = BLOCK - 8, SPARE_VERSION = 1, NAME_SIZE = 64, LEFT_BYTES = 1 << 20 };

static const char magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'S', 'P' };

/* Elsewhere several stores may share a directory. */
static void file_name(const struct spare_place *at, const struct remap_spare *s, const char *path, char out[NAME_SIZE])
{
    char uuid[33];
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", at->uuid[i]);
    if (*path)
        snprintf(out, NAME_SIZE, "holofs-%s-%04u.spare", uuid, (unsigned)s->number);
    else
        snprintf(out, NAME_SIZE, "spare/%04u.spare", (unsigned)s->number);
}

static int dir_open(const struct spare_place *at, const char *path, bool read_only, struct backing **out)
{
    *out = NULL;
    if (!*path)
        return 0;
    return at->dirs ? at->dirs->open(at->dirs->arg, path, read_only, out) : backing_posix_open(path, read_only, out);
}

static void dir_close(struct backing *dir)
{
    if (dir)
        dir->ops->close(dir);
}

static void header_encode(const struct spare_place *at, const struct remap_spare *s, uint8_t out[BLOCK])
{
    memset(out, 0, BLOCK);
    memcpy(out, magic, sizeof(magic));
    le32_put(out + 8, SPARE_VERSION);
    le32_put(out + 12, s->number);
    memcpy(out + 16, at->uuid, 16);
    le32_put(out + 32, s->blocks);
    le32_put(out + 36, s->identity);
    le64_put(out + SUMMED, sum64(out, SUMMED, sum_seed(at->uuid, SUM_ID_SPARE_HEADER, s->number)));
}

static int file_fill(const struct spare_place *at, const struct remap_spare *s, const char *path, struct bfile *f)
{
    uint32_t first = *path != 0;
    uint8_t header[BLOCK];
    int rc = f->ops->preallocate(f, ((uint64_t)s->blocks + first) * BLOCK);
    header_encode(at, s, header);
    if (rc == 0 && first)
        rc = bfile_pwrite(f, header, BLOCK, 0);
    return rc ? rc : f->ops->datasync(f);
}

static int create_in(const struct spare_place *at, const struct remap_spare *s, const char *path, struct backing *b)
{
    struct backing_space space;
    struct bfile *f;
    char name[NAME_SIZE];
    file_name(at, s, path, name);
    int rc = b->ops->space(b, &space);
    if (rc == 0 && space.free_bytes < (uint64_t)s->blocks * BLOCK + LEFT_BYTES)
        rc = -ENOSPC;
    if (rc == 0)
        rc = b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (rc)
        return rc;
    rc = file_fill(at, s, path, f);
    f->ops->close(f);
    if (rc == 0)
        rc = b->ops->sync_dir(b, *path ? "" : "spare");
    if (rc)
        b->ops->unlink(b, name);
    return rc;
}

int spare_file_create(const struct spare_place *at, const struct remap_spare *s, const char *path)
{
    struct backing *dir;
    int rc = dir_open(at, path, false, &dir);
    if (rc == 0 && !dir)
        rc = at->store->ops->mkdir(at->store, "spare");
    if (rc == 0)
        rc = create_in(at, s, path, dir ? dir : at->store);
    dir_close(dir);
    return rc;
}

void spare_file_delete(const struct spare_place *at, const struct remap_spare *s, const char *path)
{
    struct backing *dir;
    char name[NAME_SIZE];
    file_name(at, s, path, name);
    int rc = dir_open(at, path, false, &dir);
    struct backing *b = dir ? dir : at->store;
    if (rc == 0)
        rc = b->ops->unlink(b, name);
    if (rc && rc != -ENOENT)
        log_warn("%s%s%s: cannot be deleted: %s", path, *path ? "/" : "", name, holo_strerror(rc));
    dir_close(dir);
}

/* Is it the file that the table means, and all of it? */
static int verify(const struct spare_place *at, const struct remap_spare *s, struct bfile *f)
{
    uint8_t header[BLOCK], want[BLOCK];
    uint64_t size;
    int rc = f->ops->size(f, &size);
    if (rc == 0 && size < ((uint64_t)s->blocks + 1) * BLOCK)
        rc = -HOLO_ETRUNC;
    if (rc == 0)
        rc = f->ops->pread(f, header, BLOCK, 0);
    header_encode(at, s, want);
    return rc ? rc : memcmp(header, want, BLOCK) ? -HOLO_ECORRUPT : 0;
}

static int open_own(const struct spare_place *at, const struct remap_spare *s, const char *name, bool read_only, struct spare_file *out)
{
    struct backing *b = at->store;
    int rc = b->ops->open(b, name, BACKING_READ, &out->read);
    if (rc != -ENOENT || read_only)
        return rc;
    log_err("%s: missing: made anew; blocks that were remapped to it are rebuilt from parity when read", name);
    rc = spare_file_create(at, s, "");
    return rc ? rc : b->ops->open(b, name, BACKING_READ, &out->read);
}

static int open_elsewhere(const struct spare_place *at, const struct remap_spare *s, const char *name, struct spare_file *out)
{
    int rc = out->dir->ops->open(out->dir, name, BACKING_READ, &out->read);
    return rc ? rc : verify(at, s, out->read);
}

int spare_file_open(const struct spare_place *at, const struct remap_spare *s, const char *path, bool read_only, struct spare_file *out)
{
    char name[NAME_SIZE];
    *out = (struct spare_file){ .first = *path != 0 };
    file_name(at, s, path, name);
    int rc = dir_open(at, path, read_only, &out->dir);
    if (rc == 0)
        rc = out->dir ? open_elsewhere(at, s, name, out) : open_own(at, s, name, read_only, out);
    struct backing *b = out->dir ? out->dir : at->store;
    if (rc == 0 && !read_only)
        rc = b->ops->open(b, name, BACKING_WRITE | BACKING_DIRECT, &out->direct);
    if (rc == 0)
        return 0;
    spare_file_close(out);
    out->error = rc;
    return rc;
}

void spare_file_close(struct spare_file *f)
{
    if (f->read)
        f->read->ops->close(f->read);
    if (f->direct)
        f->direct->ops->close(f->direct);
    dir_close(f->dir);
    *f = (struct spare_file){ 0 };
}

static uint64_t offset(const struct spare_file *f, uint32_t block)
{
    return ((uint64_t)f->first + block) * BLOCK;
}

int spare_file_read(const struct spare_file *f, uint32_t block, void *buf)
{
    return f->read ? f->read->ops->pread(f->read, buf, BLOCK, offset(f, block)) : -EIO;
}

int spare_file_read_direct(const struct spare_file *f, uint32_t block, void *buf)
{
    return f->direct ? f->direct->ops->pread(f->direct, buf, BLOCK, offset(f, block)) : spare_file_read(f, block, buf);
}

int spare_file_write(const struct spare_file *f, uint32_t block, const void *buf)
{
    int rc = f->direct ? bfile_pwrite(f->direct, buf, BLOCK, offset(f, block)) : -EIO;
    return rc ? rc : f->direct->ops->datasync(f->direct);
}

bool spare_file_answers(const struct spare_file *f, uint32_t blocks, void *buf)
{
    return f->read && (spare_file_read_direct(f, 0, buf) == 0 || spare_file_read_direct(f, blocks - 1, buf) == 0);
}
