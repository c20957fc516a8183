/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_scope.c: which containers hold bytes of a file, or of what is below a directory: with --path only those are read in phase 6. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/fsck_private.h"

struct scope {
    struct fsck *f;
    uint64_t ino;   /* what the path leads to */
    uint64_t seen;  /* the inode of the last window, and whether it is meant */
    bool meant;
};

/* The inode that a path leads to; symbolic links are not followed. -ENOENT. */
static int find(struct fsck *f, const char *path, uint64_t *ino)
{
    *ino = INO_ROOT;
    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        struct meta_dent d;
        size_t n = strcspn(path, "/");
        int e = meta_read_dent(f->scan, *ino, path, n, &d);
        if (e)
            return e;
        *ino = d.ino;
        path += n;
    }
    return 0;
}

/* Is it the inode, or below it? Directories have one parent each; of a file with several names the last one counts. */
static bool is_meant(struct scope *s, uint64_t ino)
{
    struct meta_inode m;
    for (int depth = 0; depth < 10000; depth++) {
        if (ino == s->ino)
            return true;
        if (ino == INO_ROOT || meta_read_inode(s->f->fs->reader, ino, &m) || m.parent == ino)
            return false;
        ino = m.parent;
    }
    return false;
}

static int look_at_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct scope *s = arg;
    struct window w = { 0 };
    if (ino != s->seen) {
        mutex_lock(&s->f->fs->reader_lock);
        s->meant = is_meant(s, ino);
        mutex_unlock(&s->f->fs->reader_lock);
    }
    s->seen = ino;
    int e = s->meant ? window_decode(&w, window, blob, len) : 0;
    if (e && e != -ENOMEM)
        e = 0; /* told in phase 3 */
    for (uint32_t i = 0; i < w.n && !e; i++) {
        if (!ids_has(&s->f->only, w.e[i].container))
            e = ids_add(&s->f->only, w.e[i].container);
    }
    window_fini(&w);
    return e;
}

int fsck_scope(struct fsck *f)
{
    struct scope s = { .f = f };
    if (!f->o->only_path)
        return 0;
    int e = find(f, f->o->only_path, &s.ino);
    if (e == -ENOENT)
        snprintf(f->r->why, sizeof(f->r->why), "%.400s: no such file in the store", f->o->only_path);
    return e ? e : meta_each_window(f->scan, look_at_window, &s);
}
