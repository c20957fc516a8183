/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heal.c: put right bytes back on the medium, many blocks with one sync.
 *
 * Write in place, sync, read back past the page cache. Only what is read back counts: what a place does not keep is
 * remapped, and so is what was remapped already (its spare block is the one that failed).
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/container.h"
#include "core/log.h"
#include "core/remapper.h"

enum { RUN_MAX = 64 };

/* How many of the next n blocks lie one behind another in the file. */
static unsigned run_length(const struct heal *h, unsigned n)
{
    unsigned run = 1;
    while (run < n && run < RUN_MAX && h[run].file_block == h[0].file_block + run)
        run++;
    return run;
}

static uint64_t offset(const struct heal *h)
{
    return (uint64_t)h->file_block * BLOCK_SIZE;
}

/* A run that fails is tried block by block; which blocks failed is seen when they are read back. */
static void write_run(struct bfile *f, const struct heal *h, unsigned n)
{
    struct iovec iov[RUN_MAX] = { { 0 } };
    for (unsigned i = 0; i < n; i++)
        iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)h[i].block, .iov_len = BLOCK_SIZE };
    if (f->ops->pwritev(f, iov, (int)n, offset(h)) == 0)
        return;
    for (unsigned i = 0; i < n && n > 1; i++)
        f->ops->pwritev(f, iov + i, 1, offset(h + i));
}

static int write_all(struct holofs *fs, const char *name, const struct heal *h, unsigned n)
{
    struct bfile *f;
    int e = fs->backing->ops->open(fs->backing, name, BACKING_WRITE, &f);
    if (e)
        return e;
    for (unsigned i = 0, run; i < n; i += run) {
        run = run_length(h + i, n - i);
        write_run(f, h + i, run);
    }
    e = f->ops->datasync(f);
    if (e) /* some block was refused; the second sync is for the others */
        e = f->ops->datasync(f);
    f->ops->close(f);
    return e;
}

static void read_back(struct bfile *f, struct heal *h, unsigned n, uint8_t *back)
{
    bool whole = f->ops->pread(f, back, (size_t)n * BLOCK_SIZE, offset(h)) == 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *b = back + (size_t)i * BLOCK_SIZE;
        h[i].healed = (whole || f->ops->pread(f, b, BLOCK_SIZE, offset(h + i)) == 0) && memcmp(b, h[i].block, BLOCK_SIZE) == 0;
    }
}

static void read_back_all(struct holofs *fs, const char *name, struct heal *h, unsigned n)
{
    struct bfile *f;
    uint8_t *back = aligned_alloc(BLOCK_SIZE, (size_t)RUN_MAX * BLOCK_SIZE);
    if (back && fs->backing->ops->open(fs->backing, name, BACKING_READ | BACKING_DIRECT, &f) == 0) {
        for (unsigned i = 0, run; i < n; i += run) {
            run = run_length(h + i, n - i);
            read_back(f, h + i, run, back);
        }
        f->ops->close(f);
    }
    free(back);
}

static int remap_one(struct holofs *fs, uint32_t id, struct heal *h)
{
    int e = remap_add(fs->remap, id, h->file_block, h->block);
    h->healed = e == 0;
    if (e == -HOLO_EREMAPFULL && !atomic_exchange(&fs->remapper.full, true))
        event_add(fs, "spares_full", "s:i, s:i", "container", (int)id, "file_block", (int)h->file_block);
    if (!e) {
        fs->remapper.full = false;
        COUNT(fs, remapped_blocks, 1);
        event_add(fs, "remapped", "s:i, s:i", "container", (int)id, "file_block", (int)h->file_block);
    }
    remapper_note(fs);
    return e;
}

unsigned container_heal_blocks(struct holofs *fs, uint32_t id, struct heal *h, unsigned n)
{
    char name[CONTAINER_NAME_MAX];
    unsigned healed = 0;
    int error = 0;
    container_name(id, name);
    for (unsigned i = 0; i < n; i++)
        h[i].healed = false;
    if (n && write_all(fs, name, h, n) == 0)
        read_back_all(fs, name, h, n);
    for (unsigned i = 0; i < n; i++) {
        if (!h[i].healed || remap_lookup(fs->remap, id, h[i].file_block)) {
            int e = remap_one(fs, id, &h[i]);
            error = e ? e : error;
        }
        healed += h[i].healed;
    }
    if (error)
        event_add(fs, "heal_failed", "s:i, s:i, s:s", "container", (int)id, "blocks", (int)(n - healed), "error", holo_strerror(error));
    COUNT(fs, repaired_blocks, healed);
    return healed;
}
