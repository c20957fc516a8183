/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_ring.c: phase 2: both copies of the ring: every block of what is committed.
 *
 * Nothing is written: opening the store for writing writes right blocks over wrong ones.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/fsck_private.h"

/* Is this copy there and as long as it should be? */
static int check_file(struct fsck *f, unsigned copy)
{
    char name[16];
    struct bfile *file;
    uint64_t size = 0, want = (uint64_t)f->sb.ring_blocks * BLOCK_SIZE;
    snprintf(name, sizeof(name), "journal.%u", copy);
    int e = f->b->ops->open(f->b, name, BACKING_READ, &file);
    if (!e) {
        e = file->ops->size(file, &size);
        file->ops->close(file);
    }
    if (!e && size >= want)
        return 0;
    struct fsck_where w = { .path = name, .detail = e ? holo_strerror(e) : "too short" };
    return fsck_found_before_opening(f, PR_RING_COPY, &w);
}

static int judge(struct fsck *f, const struct ring_scan_result *scan)
{
    char detail[64];
    int e = 0;
    f->ring_first = scan->n ? scan->txgs[0].txg : 0;
    f->ring_hole = scan->n == 0 || scan->lost_txgs || scan->missing_to || scan->end_unknown;
    if (scan->repairable_blocks) {
        snprintf(detail, sizeof(detail), "%llu blocks", (unsigned long long)scan->repairable_blocks);
        e = fsck_found_before_opening(f, PR_RING_BLOCKS, &(struct fsck_where){ .path = "journal.0", .detail = detail });
    }
    if (scan->lost_txgs) {
        snprintf(detail, sizeof(detail), "%llu transaction groups", (unsigned long long)scan->lost_txgs);
        e = e ? e : fsck_found_before_opening(f, PR_RING_LOST, &(struct fsck_where){ .detail = detail });
    }
    if (scan->missing_to && !e) {
        snprintf(detail, sizeof(detail), "behind the newest, to %llu", (unsigned long long)scan->missing_to);
        e = fsck_found_before_opening(f, PR_RING_END, &(struct fsck_where){ .detail = detail });
    } else if (scan->end_unknown && !e) {
        e = fsck_found_before_opening(f, PR_RING_END, &(struct fsck_where){ .detail = "nobody knows how many" });
    }
    if (scan->n == 0 && !e)
        e = fsck_found_before_opening(f, PR_RING_EMPTY, &(struct fsck_where){ 0 });
    return e;
}

/* A look ends here: without a ring there is nothing to open. */
static int neither_copy(struct fsck *f)
{
    f->ring_hole = true;
    int e = fsck_found_before_opening(f, PR_RING_NONE, &(struct fsck_where){ 0 });
    if (e)
        return e;
    if (f->refused || f->mode == FSCK_LOOK)
        return -ENOENT;
    f->accept_loss = true;
    return 0;
}

int fsck_ring(struct fsck *f)
{
    struct ring *ring;
    struct ring_scan_result scan = { 0 };
    int e = check_file(f, 0);
    if (!e)
        e = check_file(f, 1);
    if (e)
        return e;
    e = ring_open(f->b, f->sb.uuid, f->sb.ring_blocks, true, &ring);
    if (e == -ENOENT)
        return neither_copy(f);
    if (!e)
        e = ring_scan(ring, f->sb.flags & SUPER_CLEAN ? f->sb.hint_txg : 0, &scan);
    if (!e)
        e = judge(f, &scan);
    else if (e != -ENOMEM)
        fsck_tell(f, PR_RING_NONE, FSCK_LOST, &(struct fsck_where){ .detail = holo_strerror(e) });
    free(scan.txgs);
    ring_close(ring);
    return e;
}
