/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heal.c: put right bytes back on the medium, many blocks with one sync.
 *
 * Write in place, sync, read back past the page cache. Only what is read back counts. What a place does not keep twice, while the disk
 * answers before and after, is remapped, and so is what was remapped already (its spare block is the one that failed). What could not be
 * healed because the disk is away is left for the scrub that follows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/container.h"
#include "core/log.h"
#include "core/lost.h"
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

static void write_and_read_back(struct holofs *fs, const char *name, struct heal *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        h[i].healed = false;
    if (n && write_all(fs, name, h, n) == 0)
        read_back_all(fs, name, h, n);
}

/* A spare block that could not be read for a while. */
static bool spare_is_right(struct holofs *fs, uint32_t id, const struct heal *h, uint8_t *back)
{
    return remap_read(fs->remap, id, h->file_block, back) == 0 && memcmp(back, h->block, BLOCK_SIZE) == 0;
}

/* The n blocks that i says: once more, since the disk may have been away. Returns whether what fails now is their own fault. */
static bool try_again(struct holofs *fs, uint32_t id, const char *name, struct heal *h, const unsigned *i, unsigned n)
{
    struct heal *again = malloc(n * sizeof(*again));
    uint8_t *back = malloc(BLOCK_SIZE);
    bool sure = again && back && disk_answers(fs);
    for (unsigned k = 0; k < n && sure; k++)
        again[k] = h[i[k]];
    if (sure)
        write_and_read_back(fs, name, again, n);
    for (unsigned k = 0; k < n && sure; k++) {
        bool spare = remap_lookup(fs->remap, id, again[k].file_block);
        h[i[k]].healed = spare ? spare_is_right(fs, id, &again[k], back) : again[k].healed;
    }
    sure = sure && disk_answers(fs);
    free(again);
    free(back);
    return sure;
}

/* Those that the medium does not keep; n of them go into i. */
static unsigned not_kept(struct holofs *fs, uint32_t id, const struct heal *h, unsigned n, unsigned *i)
{
    unsigned found = 0;
    for (unsigned k = 0; k < n; k++) {
        if (!h[k].healed || remap_lookup(fs->remap, id, h[k].file_block))
            i[found++] = k;
    }
    return found;
}

unsigned container_heal_blocks(struct holofs *fs, uint32_t id, struct heal *h, unsigned n)
{
    char name[CONTAINER_NAME_MAX];
    unsigned healed = 0, *bad = malloc((n + 1) * sizeof(*bad));
    int error = bad ? 0 : -ENOMEM;
    container_name(id, name);
    write_and_read_back(fs, name, h, n);
    unsigned n_bad = bad ? not_kept(fs, id, h, n, bad) : 0;
    bool sure = n_bad && try_again(fs, id, name, h, bad, n_bad);
    for (unsigned k = 0; k < n_bad && sure; k++) {
        int e = h[bad[k]].healed ? 0 : remap_one(fs, id, &h[bad[k]]);
        error = e ? e : error;
    }
    free(bad);
    for (unsigned k = 0; k < n; k++)
        healed += h[k].healed;
    if (error && error != -HOLO_EREMAPFULL) /* that is told once, above: every read of such a block would come here */
        event_add(fs, "heal_failed", "s:i, s:i, s:s", "container", (int)id, "blocks", (int)(n - healed), "error", holo_strerror(error));
    COUNT(fs, repaired_blocks, healed);
    return healed;
}
