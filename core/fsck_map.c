/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_map.c: read errors where a rescued disk has holes.
 *
 * The copy of a dying disk reads well everywhere: what could not be saved is zeros, or whatever was there before. The map says where.
 * Blocks there count as lost, also those that happen to have a right checksum of other bytes, and parity is asked at once.
 *
 * A file's extents are taken when it is opened: containers, journals and tables do not move while a check has them open. A write makes
 * its place good, in every file that is opened afterwards too; where it needed new room, that is known and good with the next sync.
 */
#include "core/fsck_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lock.h"

enum { RANK_RESCUE = 890, EXTENTS = 128, UNIT = 4096 };

struct span {
    uint64_t from, to; /* bytes of the filesystem's device */
};

struct rescue_map {
    struct mutex lock;
    struct span *bad;
    size_t n, cap;
};

/* ---- the map ---- */

static int add_bad(struct rescue_map *m, uint64_t from, uint64_t to)
{
    if (from >= to)
        return 0;
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        struct span *v = realloc(m->bad, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        m->bad = v;
        m->cap = cap;
    }
    m->bad[m->n++] = (struct span){ from, to };
    return 0;
}

/* "0x00000000  0x00117000  +": position, size, status. */
static int take_line(struct rescue_map *m, const char *text, uint64_t offset)
{
    uint64_t pos, size;
    char status, rest;
    if (sscanf(text, "%" SCNi64 " %" SCNi64 " %c %c", (int64_t *)&pos, (int64_t *)&size, &status, &rest) != 3 || !strchr("?*/-+", status) ||
        size > UINT64_MAX - pos)
        return -EINVAL;
    if (status == '+' || pos + size <= offset)
        return 0;
    return add_bad(m, pos < offset ? 0 : pos - offset, pos + size - offset);
}

static int take_lines(struct rescue_map *m, FILE *f, uint64_t offset, unsigned *line)
{
    char text[256];
    bool current = false; /* the line of the current position has been */
    int e = 0;
    for (*line = 1; !e && fgets(text, sizeof(text), f); (*line)++) {
        if (text[0] == '#' || text[strspn(text, " \t\r\n")] == 0)
            continue;
        if (current)
            e = take_line(m, text, offset);
        current = true;
    }
    *line -= e != 0;
    return e ? e : ferror(f) ? -EIO : current ? 0 : -EINVAL;
}

int rescue_map_load(const char *file, uint64_t offset, struct rescue_map **out, unsigned *line)
{
    struct rescue_map *m = calloc(1, sizeof(*m));
    FILE *f = m ? fopen(file, "re") : NULL;
    *line = 0;
    int e = !m ? -ENOMEM : f ? take_lines(m, f, offset, line) : -errno;
    if (f)
        fclose(f);
    if (e) {
        free(m ? m->bad : NULL);
        free(m);
        return e;
    }
    mutex_init(&m->lock, RANK_RESCUE);
    *out = m;
    return 0;
}

void rescue_map_free(struct rescue_map *m)
{
    if (!m)
        return;
    mutex_fini(&m->lock);
    free(m->bad);
    free(m);
}

uint64_t rescue_map_bad_bytes(const struct rescue_map *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->bad[i].to - m->bad[i].from;
    return n;
}

static bool is_bad(struct rescue_map *m, uint64_t from, uint64_t to)
{
    bool bad = false;
    mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n && !bad; i++)
        bad = m->bad[i].from < to && from < m->bad[i].to;
    mutex_unlock(&m->lock);
    return bad;
}

/* Cut [from, to) out of what is bad. Without memory more stays bad than is. */
static void make_good(struct rescue_map *m, uint64_t from, uint64_t to)
{
    mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n; i++) {
        struct span s = m->bad[i];
        if (s.from >= to || from >= s.to)
            continue;
        if (s.from < from && to < s.to && add_bad(m, to, s.to))
            continue;
        if (s.from < from)
            m->bad[i].to = from;
        else
            m->bad[i].from = to < s.to ? to : s.to;
    }
    mutex_unlock(&m->lock);
}

/* ---- where a file lies ---- */

struct piece_of_file {
    uint64_t off, physical, len;
};

struct rescue_file {
    struct bfile base;
    struct bfile *lower;
    struct rescue_map *map;
    int fd;
    bool grown; /* written where it had no extent */
    struct piece_of_file *v;
    size_t n;
};

struct rescue_dir {
    struct backing base;
    struct backing *lower;
    struct rescue_map *map;
    char path[PATH_MAX];
};

static int add_extents(struct rescue_file *f, const struct fiemap *fm, uint64_t *next, bool *last)
{
    struct piece_of_file *v = realloc(f->v, (f->n + fm->fm_mapped_extents) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    f->v = v;
    *last = fm->fm_mapped_extents == 0;
    for (unsigned i = 0; i < fm->fm_mapped_extents; i++) {
        const struct fiemap_extent *x = &fm->fm_extents[i];
        *next = x->fe_logical + x->fe_length;
        *last |= x->fe_flags & FIEMAP_EXTENT_LAST;
        if (!(x->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DATA_INLINE)))
            f->v[f->n++] = (struct piece_of_file){ x->fe_logical, x->fe_physical, x->fe_length };
    }
    return 0;
}

static int find_extents(struct rescue_file *f)
{
    struct fiemap *fm = calloc(1, sizeof(*fm) + EXTENTS * sizeof(struct fiemap_extent));
    uint64_t next = 0;
    bool last = false;
    int e = fm ? 0 : -ENOMEM;
    while (!e && !last) {
        memset(fm, 0, sizeof(*fm));
        fm->fm_start = next;
        fm->fm_length = FIEMAP_MAX_OFFSET - next;
        fm->fm_flags = FIEMAP_FLAG_SYNC;
        fm->fm_extent_count = EXTENTS;
        e = ioctl(f->fd, FS_IOC_FIEMAP, fm) ? -errno : add_extents(f, fm, &next, &last);
    }
    free(fm);
    return e;
}

/* ---- the layer ---- */

static struct rescue_file *file_of(struct bfile *f)
{
    return (struct rescue_file *)f;
}

static struct rescue_dir *dir_of(struct backing *b)
{
    return (struct rescue_dir *)b;
}

enum look { ASK, MAKE_GOOD };

/* Each place on the device that bytes [off, off + len) of the file have; how many of them have one is *known. True if any is bad. */
static bool look(struct rescue_file *f, uint64_t off, uint64_t len, enum look what, uint64_t *known)
{
    bool bad = false;
    *known = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct piece_of_file *p = &f->v[i];
        if (p->off >= off + len || off >= p->off + p->len)
            continue;
        uint64_t from = off > p->off ? off : p->off, to = off + len < p->off + p->len ? off + len : p->off + p->len;
        *known += to - from;
        if (what == MAKE_GOOD)
            make_good(f->map, p->physical + (from - p->off), p->physical + (to - p->off));
        else
            bad |= is_bad(f->map, p->physical + (from - p->off), p->physical + (to - p->off));
    }
    return bad;
}

static int rescue_pread(struct bfile *b, void *buf, size_t len, uint64_t off)
{
    struct rescue_file *f = file_of(b);
    uint64_t known;
    return look(f, off, len, ASK, &known) ? -EIO : f->lower->ops->pread(f->lower, buf, len, off);
}

static int rescue_pwritev(struct bfile *b, const struct iovec *iov, int n, uint64_t off)
{
    struct rescue_file *f = file_of(b);
    uint64_t len = 0, known;
    int e = f->lower->ops->pwritev(f->lower, iov, n, off);
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (!e) {
        look(f, off, len, MAKE_GOOD, &known);
        f->grown |= known < len;
    }
    return e;
}

static bool had(const struct piece_of_file *v, size_t n, uint64_t off)
{
    bool it = false;
    for (size_t i = 0; i < n && !it; i++)
        it = v[i].off <= off && off < v[i].off + v[i].len;
    return it;
}

/* What the file did not have before is new room, which was written. */
static int find_new_extents(struct rescue_file *f)
{
    struct piece_of_file *old = f->v;
    size_t n = f->n;
    f->v = NULL;
    f->n = 0;
    int e = find_extents(f);
    for (size_t i = 0; i < f->n && !e; i++) {
        const struct piece_of_file *p = &f->v[i];
        for (uint64_t at = 0; at < p->len; at += UNIT) {
            if (!had(old, n, p->off + at))
                make_good(f->map, p->physical + at, p->physical + (p->len - at < UNIT ? p->len : at + UNIT));
        }
    }
    free(old);
    f->grown = e != 0;
    return e;
}

static int rescue_datasync(struct bfile *b)
{
    struct rescue_file *f = file_of(b);
    int e = f->lower->ops->datasync(f->lower);
    return e || !f->grown ? e : find_new_extents(f);
}

static int rescue_size(struct bfile *b, uint64_t *out)
{
    return file_of(b)->lower->ops->size(file_of(b)->lower, out);
}

static int rescue_truncate(struct bfile *b, uint64_t size)
{
    return file_of(b)->lower->ops->truncate(file_of(b)->lower, size);
}

static int rescue_preallocate(struct bfile *b, uint64_t size)
{
    return file_of(b)->lower->ops->preallocate(file_of(b)->lower, size);
}

static void rescue_file_close(struct bfile *b)
{
    struct rescue_file *f = file_of(b);
    f->lower->ops->close(f->lower);
    if (f->fd >= 0)
        close(f->fd);
    free(f->v);
    free(f);
}

static const struct bfile_ops file_ops = {
    .pread = rescue_pread, .pwritev = rescue_pwritev, .datasync = rescue_datasync, .size = rescue_size, .truncate = rescue_truncate,
    .preallocate = rescue_preallocate, .close = rescue_file_close,
};

static int rescue_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    struct rescue_dir *d = dir_of(b);
    char path[PATH_MAX + 300];
    struct rescue_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct rescue_file){ .base = { &file_ops }, .map = d->map };
    int e = d->lower->ops->open(d->lower, name, flags, &f->lower);
    if (e) {
        free(f);
        return e;
    }
    snprintf(path, sizeof(path), "%s/%s", d->path, name);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    e = f->fd < 0 ? -errno : find_extents(f);
    if (e)
        rescue_file_close(&f->base);
    else
        *out = &f->base;
    return e;
}

static int rescue_unlink(struct backing *b, const char *name)
{
    return dir_of(b)->lower->ops->unlink(dir_of(b)->lower, name);
}

static int rescue_rename(struct backing *b, const char *from, const char *to)
{
    return dir_of(b)->lower->ops->rename(dir_of(b)->lower, from, to);
}

static int rescue_mkdir(struct backing *b, const char *name)
{
    return dir_of(b)->lower->ops->mkdir(dir_of(b)->lower, name);
}

static int rescue_sync_dir(struct backing *b, const char *name)
{
    return dir_of(b)->lower->ops->sync_dir(dir_of(b)->lower, name);
}

static int rescue_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    return dir_of(b)->lower->ops->list(dir_of(b)->lower, dir, cb, arg);
}

static int rescue_space(struct backing *b, struct backing_space *out)
{
    return dir_of(b)->lower->ops->space(dir_of(b)->lower, out);
}

static void rescue_close(struct backing *b)
{
    dir_of(b)->lower->ops->close(dir_of(b)->lower);
    free(b);
}

static const struct backing_ops dir_ops = {
    .open = rescue_open, .unlink = rescue_unlink, .rename = rescue_rename, .mkdir = rescue_mkdir, .sync_dir = rescue_sync_dir,
    .list = rescue_list, .space = rescue_space, .close = rescue_close,
};

int rescue_backing(const char *path, struct backing *lower, struct rescue_map *m, struct backing **out)
{
    struct rescue_dir *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->base.ops = &dir_ops;
    d->lower = lower;
    d->map = m;
    if (!realpath(path, d->path)) {
        int e = -errno;
        free(d);
        return e;
    }
    *out = &d->base;
    return 0;
}
