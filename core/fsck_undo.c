/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_undo.c: keep what a repair changes.
 *
 * Everything below the store's backing is kept block by block as it changes (store/undo.h). Before anything else the lock and the
 * superblocks are, so that a mount since can be told. sqlite writes the index past the backing: all of its files are kept before it is opened for writing. What nobody
 * writes is not kept: a check that never opens for writing leaves no undo file.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "core/fsck_private.h"
#include "store/undo.h"

/* Is the directory dir, or one above it, the store? Paths say nothing: a store can be mounted at several places. */
static bool is_below(const char *dir, const char *store)
{
    struct stat s, d, up;
    char path[PATH_MAX];
    if (stat(store, &s) || stat(dir, &d) || snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
        return false;
    for (;;) {
        if (d.st_dev == s.st_dev && d.st_ino == s.st_ino)
            return true;
        size_t len = strlen(path);
        if (len + 4 > sizeof(path))
            return false;
        memcpy(path + len, "/..", 4);
        if (stat(path, &up) || (up.st_dev == d.st_dev && up.st_ino == d.st_ino))
            return false;
        d = up;
    }
}

int fsck_undo_check(struct fsck *f)
{
    const char *file = f->o->undo, *slash = file ? strrchr(file, '/') : NULL, *wrong = NULL;
    char dir[PATH_MAX] = ".";
    struct stat st;
    if (!file)
        return 0;
    if (slash && snprintf(dir, sizeof(dir), "%.*s", (int)(slash - file + 1), file) >= (int)sizeof(dir))
        return -ENAMETOOLONG;
    bool there = lstat(file, &st) == 0;
    if (f->mode == FSCK_LOOK)
        wrong = "nothing is written, and so nothing is kept";
    else if (is_below(dir, f->path))
        wrong = "is in the store itself";
    else if (there && !S_ISREG(st.st_mode))
        wrong = "is not a regular file";
    else if (there && st.st_size)
        wrong = "is there already and is not empty";
    else if (access(dir, W_OK))
        wrong = strerror(errno);
    if (wrong)
        snprintf(f->r->why, sizeof(f->r->why), "%.300s: %s", file, wrong);
    return wrong ? -EINVAL : 0;
}

/* Told at the end: what follows from it is told before. */
static int failed(struct fsck *f, const char *what, int e)
{
    if (e && !f->undo_failed) {
        f->undo_failed = e;
        snprintf(f->undo_why, sizeof(f->undo_why), "%.300s: %s%s", f->o->undo, what, holo_strerror(e));
    }
    return e;
}

static int keep_first(struct fsck *f, struct backing *b)
{
    char name[32];
    int e = undo_keep_whole(f->undo, b, "lock");
    for (unsigned i = 0; i < SUPER_COPIES && !e; i++) {
        snprintf(name, sizeof(name), "superblock.%u", i);
        e = undo_keep_whole(f->undo, b, name);
    }
    return e;
}

int fsck_undo_begin(struct fsck *f)
{
    struct undo_file u;
    struct backing *b;
    if (!f->o->undo)
        return 0;
    int e = backing_posix_open(f->path, true, &b);
    if (e)
        return e;
    e = undo_create(f->o->undo, f->sb.uuid, &u);
    if (!e) {
        e = undo_keeper_create(&u, &f->undo);
        if (e)
            undo_close(&u);
    }
    if (!e)
        e = keep_first(f, b);
    b->ops->close(b);
    return failed(f, e == -EINVAL ? "superblocks or lock are no regular files: " : "", e);
}

int fsck_undo_index(void *arg)
{
    struct fsck *f = arg;
    struct backing *b;
    char name[40];
    if (!f->undo)
        return 0;
    int e = backing_posix_open(f->path, true, &b);
    if (e)
        return e;
    for (size_t i = 0; meta_suffix(i) && !e; i++) {
        snprintf(name, sizeof(name), "index.db%s", meta_suffix(i));
        e = undo_keep_whole(f->undo, b, name);
    }
    b->ops->close(b);
    return failed(f, e == -EINVAL ? "the index is no regular file: " : "the index: ", e);
}

int fsck_undo_end(struct fsck *f)
{
    int e = f->undo ? undo_keeper_finish(f->undo) : 0;
    f->undo = NULL;
    failed(f, "the repair could not go on: ", e);
    if (f->undo_failed)
        snprintf(f->r->why, sizeof(f->r->why), "%s", f->undo_why);
    return f->undo_failed;
}
