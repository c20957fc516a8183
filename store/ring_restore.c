/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring_restore.c: a new file for a copy of the ring that failed.
 *
 * After a failed sync a file may read as if it held what it does not. So the entries of the log are read past the page cache from
 * whichever copy has each block right, and go into a file of another name that takes the place of the old one once it is durable.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/ring_private.h"

static int transfer(struct ring *r, int c, void *buf, uint64_t lsn)
{
    struct bfile *f = r->direct[c];
    return f ? f->ops->pread(f, buf, BLOCK_SIZE, lsn % r->blocks * BLOCK_SIZE) : -EIO;
}

/*
 * The first block of the entry at lsn, which follows *chain unless it is the first one. The copy that failed is asked last: it may have an
 * attempt at the same txg that the other one took later, with another tail.
 */
static int head_at(struct ring *r, unsigned copies, uint64_t lsn, bool first, struct ring_entry *e, uint64_t *chain)
{
    for (int k = 0; k < RING_COPIES; k++) {
        uint64_t own;
        int c = k ^ (int)(r->failed & 1u);
        if (!(copies & 1u << c) || transfer(r, c, r->staging, lsn) || !ring_entry_decode(r, r->staging, lsn, e, &own))
            continue;
        if (!first && e->previous != *chain)
            continue;
        *chain = own;
        return 0;
    }
    return -HOLO_ELOST;
}

static int payload_at(struct ring *r, unsigned copies, uint64_t lsn, uint32_t i)
{
    uint64_t want = le64_get(r->staging + OFF_BLOCK_SUMS + 8 * (size_t)(i - 1));
    uint8_t *block = r->staging + (size_t)i * BLOCK_SIZE;
    for (int c = 0; c < RING_COPIES; c++) {
        if ((copies & 1u << c) && transfer(r, c, block, lsn + i) == 0 && ring_block_sum(r, lsn + i, block) == want)
            return 0;
    }
    return -HOLO_ELOST;
}

/* Read the log from these copies, past the page cache, and write it into out, unless that is NULL. */
static int walk(struct ring *r, unsigned copies, struct bfile *out)
{
    uint64_t lsn = r->kept < r->tail ? r->kept : r->tail, from = lsn, chain = 0, end = r->end;
    while (lsn < end) {
        struct ring_entry e;
        int err = head_at(r, copies, lsn, lsn == from, &e, &chain);
        for (uint32_t i = 1; !err && i < e.blocks; i++)
            err = payload_at(r, copies, lsn, i);
        for (uint32_t i = 0; !err && out && i < e.blocks; i++)
            err = bfile_pwrite(out, r->staging + (size_t)i * BLOCK_SIZE, BLOCK_SIZE, (lsn + i) % r->blocks * BLOCK_SIZE);
        if (err)
            return err;
        lsn += e.blocks;
    }
    return chain == r->chain || from == end ? 0 : -HOLO_ELOST;
}

static void put_file(struct bfile **slot, struct bfile *f)
{
    if (*slot)
        (*slot)->ops->close(*slot);
    *slot = f;
}

static int fill_new(struct ring *r, struct bfile *f)
{
    int e = f->ops->preallocate(f, (uint64_t)r->blocks * BLOCK_SIZE);
    if (!e)
        e = walk(r, (1u << RING_COPIES) - 1, f);
    return e ? e : f->ops->datasync(f);
}

static int replace(struct ring *r, struct backing *b, int c)
{
    char name[16], fresh[24];
    struct bfile *f, *direct;
    snprintf(name, sizeof(name), "journal.%d", c);
    snprintf(fresh, sizeof(fresh), "journal.%d.new", c);
    int e = b->ops->open(b, fresh, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (e)
        return e;
    e = fill_new(r, f);
    if (!e)
        e = b->ops->open(b, fresh, BACKING_READ | BACKING_DIRECT, &direct);
    if (e) {
        f->ops->close(f);
        b->ops->unlink(b, fresh);
        return e;
    }
    e = b->ops->rename(b, fresh, name);
    if (!e)
        e = b->ops->sync_dir(b, "");
    if (e) { /* whichever file has the name after a crash: what this one holds is in the other copy, or never counts */
        f->ops->close(f);
        direct->ops->close(direct);
        return e;
    }
    put_file(&r->file[c], f);
    put_file(&r->direct[c], direct);
    return 0;
}

/* There is no room for another file. Written anew, its blocks are not what the failed sync left behind, and they are read back. */
static int rewrite(struct ring *r, int c)
{
    struct bfile *f = r->file[c];
    int e = f ? walk(r, (1u << RING_COPIES) - 1, f) : -EIO;
    if (!e)
        e = f->ops->datasync(f);
    return e ? e : walk(r, 1u << c, NULL);
}

int ring_restore(struct ring *r, struct backing *b, int c)
{
    int e = replace(r, b, c);
    if (holo_errno(e) == ENOSPC || holo_errno(e) == EDQUOT)
        e = rewrite(r, c);
    if (e)
        return e;
    r->failed &= ~(1u << c);
    r->caught_up = false;
    r->mirrored = r->end;
    return 0;
}
