/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_super.c: phase 1: the lock, and the five copies of the superblock, each against the one that the vote takes.
 *
 * Nothing is written: opening the store for writing writes all copies anew.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/fsck_private.h"
#include "core/remake.h"

static int lock(struct fsck *f)
{
    int e = store_lock(f->path, true, &f->lock_fd);
    if (e == -ENOENT)
        return fsck_found_before_opening(f, PR_LOCK_MISSING, &(struct fsck_where){ .path = "lock" });
    if (e)
        snprintf(f->r->why, sizeof(f->r->why), "%s: %s", f->path, holo_strerror(e));
    return e;
}

/* 0 if copy number i is the superblock, byte for byte; else what is wrong with it. */
static int check_copy(struct fsck *f, unsigned i)
{
    char name[16];
    uint8_t got[BLOCK_SIZE], want[BLOCK_SIZE];
    struct superblock sb;
    struct bfile *file;
    snprintf(name, sizeof(name), "superblock.%u", i);
    int e = f->b->ops->open(f->b, name, BACKING_READ, &file);
    if (e)
        return e;
    e = file->ops->pread(file, got, BLOCK_SIZE, 0);
    file->ops->close(file);
    if (e)
        return e;
    super_encode(&f->sb, want);
    if (memcmp(got, want, BLOCK_SIZE) == 0)
        return 0;
    e = super_decode(got, &sb);
    return e ? e : -HOLO_ESTALE;
}

static int check_copies(struct fsck *f)
{
    int e = 0;
    for (unsigned i = 0; i < SUPER_COPIES && !e; i++) {
        char name[16];
        snprintf(name, sizeof(name), "superblock.%u", i);
        int bad = check_copy(f, i);
        struct fsck_where w = { .path = name, .detail = bad == -HOLO_ESTALE ? "another version of it" : holo_strerror(bad) };
        if (bad)
            e = fsck_found_before_opening(f, PR_SUPER_COPY, &w);
    }
    return e;
}

/* The check goes on with the superblock that a repair would make. */
static int make_super(struct fsck *f)
{
    int e = remake_super(f->b, &f->sb);
    if (e == -HOLO_EVERSION || e == -ENOMEM)
        return e;
    if (e) {
        fsck_tell(f, PR_SUPER_NONE, FSCK_LOST, &(struct fsck_where){ .detail = "nor do headers tell what it was" });
        return e;
    }
    f->accept_loss = true;
    return fsck_found_before_opening(f, PR_SUPER_NONE, &(struct fsck_where){ 0 });
}

int fsck_super(struct fsck *f)
{
    int e = f->b ? 0 : fsck_backing(f, true, &f->b);
    if (e)
        return e;
    e = super_read(f->b, &f->sb, &f->vote);
    bool gone = remake_super_is_gone(f->b, e);
    if (gone)
        e = make_super(f);
    if (e == -HOLO_EVERSION)
        fsck_tell(f, PR_SUPER_FEATURE, FSCK_LOST, &(struct fsck_where){ .detail = holo_strerror(e) });
    if (e)
        return e;
    e = super_check_features(&f->sb);
    if (e == -HOLO_EUNDO)
        return e;
    if (e == -HOLO_EFEATURE || (e == -EROFS && f->mode != FSCK_LOOK)) {
        fsck_tell(f, PR_SUPER_FEATURE, FSCK_LOST, NULL);
        return -HOLO_EFEATURE;
    }
    e = lock(f);
    if (!e && !gone)
        e = check_copies(f);
    f->r->unclean = !(f->sb.flags & SUPER_CLEAN);
    if (!e && f->r->unclean)
        fsck_tell(f, PR_UNCLEAN, FSCK_NOTED, NULL);
    return e;
}
