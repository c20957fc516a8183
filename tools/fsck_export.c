/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_export.c: copy out of a store everything that can be read.
 *
 * The store is opened to look only: its index is a private copy, or made anew. Files are made under descriptors of their directories,
 * never through symbolic links, and get times and modes last. A directory that is a part of itself ends at a depth that no path has.
 */
#include "tools/fsck_export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "core/holofs.h"

enum { ROOT = 1, PIECE = 1 << 20, BLOCK = 4096, DEPTH_MAX = 2000, PATH_CAP = 65536, XATTRS = 65536 };

/* Where a file with several names was made first. */
struct first_name {
    uint64_t ino;
    char *path; /* below the target */
};

struct export {
    struct holofs *fs;
    int root; /* the target */
    bool json;
    bool (*stop)(void);
    uint8_t *buf;
    char path[PATH_CAP]; /* of what is being copied, with a slash before each name */
    size_t len;
    struct first_name *linked;
    size_t n_linked, cap_linked;
    uint64_t files, bytes, lost_files, lost_bytes, failed;
};

static void set_path(json_t *o, const char *path)
{
    json_t *s = json_string(path);
    json_object_set_new(o, "path", s ? s : json_string("(not UTF-8)"));
}

/* len 0: all of it. */
static void tell_lost(struct export *x, uint64_t ino, uint64_t off, uint64_t len, const char *why)
{
    const char *path = x->len ? x->path : "/";
    if (x->json) {
        json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:s}", "event", "unreadable", "inode", (json_int_t)ino, "offset", (json_int_t)off,
                              "length", (json_int_t)len, "detail", why);
        if (!o)
            return;
        set_path(o, path);
        json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(o);
    } else if (len) {
        printf("%s: bytes %" PRIu64 " to %" PRIu64 ": %s\n", path, off, off + len - 1, why);
    } else {
        printf("%s: %s\n", path, why);
    }
}

static void failed(struct export *x, uint64_t ino, int e)
{
    x->failed++;
    tell_lost(x, ino, 0, 0, holo_strerror(e));
}

/* ---- contents ---- */

static int write_all(int fd, const uint8_t *p, size_t len, uint64_t off)
{
    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* A range that cannot be read whole, block by block; neighbours that are lost are told together. */
static int copy_blocks(struct export *x, uint64_t ino, int fd, uint64_t off, uint64_t end)
{
    uint64_t lost_from = 0, lost = 0;
    int e = 0;
    for (uint64_t at = off; at < end && !e; at += BLOCK) {
        size_t want = end - at < BLOCK ? (size_t)(end - at) : BLOCK;
        ssize_t n = holofs_read(x->fs, ino, at, x->buf, want);
        if (n == (ssize_t)want) {
            e = write_all(fd, x->buf, want, at);
            x->bytes += want;
        } else {
            lost_from = lost ? lost_from : at;
            lost += want;
        }
        if (lost && (n == (ssize_t)want || at + BLOCK >= end)) {
            tell_lost(x, ino, lost_from, lost, "cannot be read");
            x->lost_bytes += lost;
            lost = 0;
        }
    }
    return e;
}

static int copy_content(struct export *x, const struct holofs_attr *a, int fd)
{
    uint64_t at = 0, before = x->lost_bytes;
    int e = ftruncate(fd, (off_t)a->size) ? -errno : 0;
    while (!e && at < a->size) {
        uint64_t data = at, hole;
        int r = holofs_seek(x->fs, a->ino, at, SEEK_DATA, &data);
        if (r == -ENXIO)
            break;
        if (r || holofs_seek(x->fs, a->ino, data, SEEK_HOLE, &hole))
            hole = a->size;
        for (at = data; at < hole && !e && !x->stop();) {
            size_t want = hole - at < PIECE ? (size_t)(hole - at) : PIECE;
            ssize_t n = holofs_read(x->fs, a->ino, at, x->buf, want);
            if (n == (ssize_t)want)
                e = write_all(fd, x->buf, want, at);
            else
                e = copy_blocks(x, a->ino, fd, at, at + want);
            x->bytes += n == (ssize_t)want ? want : 0;
            at += want;
        }
        if (x->stop())
            e = -ECANCELED;
    }
    x->lost_files += x->lost_bytes > before;
    return e;
}

/* ---- what belongs to a file ---- */

static void copy_xattrs(struct export *x, uint64_t ino, int fd)
{
    char *list = malloc(2 * XATTRS);
    ssize_t n = list ? holofs_listxattr(x->fs, ino, list, XATTRS) : 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1) {
        ssize_t len = holofs_getxattr(x->fs, ino, list + at, list + XATTRS, XATTRS);
        if (len >= 0 && fsetxattr(fd, list + at, list + XATTRS, (size_t)len, 0) && errno != EPERM && errno != EOPNOTSUPP)
            failed(x, ino, -errno);
    }
    free(list);
}

static struct timespec when(int64_t ns)
{
    int64_t s = ns / 1000000000, rest = ns % 1000000000;
    return (struct timespec){ .tv_sec = rest < 0 ? s - 1 : s, .tv_nsec = rest < 0 ? rest + 1000000000 : rest };
}

/* Owner first: it takes set-id bits away. An owner that may not be given is no reason to stop. */
static void copy_attrs(const struct holofs_attr *a, int dir, const char *name)
{
    const struct timespec t[2] = { when(a->atime_ns), when(a->mtime_ns) };
    if (fchownat(dir, name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) == 0 || errno == EPERM) {
        if (!S_ISLNK(a->mode) && fchmodat(dir, name, a->mode & 07777, 0))
            errno = 0;
    }
    if (utimensat(dir, name, t, AT_SYMLINK_NOFOLLOW))
        errno = 0;
}

/* ---- names ---- */

static const char *known_name(struct export *x, uint64_t ino)
{
    for (size_t i = 0; i < x->n_linked; i++) {
        if (x->linked[i].ino == ino)
            return x->linked[i].path;
    }
    return NULL;
}

static int remember_name(struct export *x, uint64_t ino)
{
    if (x->n_linked == x->cap_linked) {
        size_t cap = x->cap_linked ? 2 * x->cap_linked : 64;
        struct first_name *v = realloc(x->linked, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        x->linked = v;
        x->cap_linked = cap;
    }
    char *path = strdup(x->path + 1);
    if (!path)
        return -ENOMEM;
    x->linked[x->n_linked++] = (struct first_name){ ino, path };
    return 0;
}

static int copy_regular(struct export *x, const struct holofs_attr *a, int dir, const char *name)
{
    const char *first = a->nlink > 1 ? known_name(x, a->ino) : NULL;
    if (first)
        return linkat(x->root, first, dir, name, 0) ? -errno : 0;
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int e = copy_content(x, a, fd);
    copy_xattrs(x, a->ino, fd);
    if (close(fd) && !e)
        e = -errno;
    copy_attrs(a, dir, name);
    x->files++;
    return e || a->nlink < 2 ? e : remember_name(x, a->ino);
}

static int copy_symlink(struct export *x, const struct holofs_attr *a, int dir, const char *name)
{
    char target[4096 + 1];
    int n = holofs_readlink(x->fs, a->ino, target, sizeof(target));
    if (n < 0)
        return n;
    if (symlinkat(target, dir, name))
        return -errno;
    copy_attrs(a, dir, name);
    return 0;
}

static int copy_directory(struct export *x, const struct holofs_attr *a, int dir, const char *name, int depth);

static int copy_one(struct export *x, const struct holofs_attr *a, int dir, const char *name, int depth)
{
    switch (a->mode & S_IFMT) {
    case S_IFREG:
        return copy_regular(x, a, dir, name);
    case S_IFLNK:
        return copy_symlink(x, a, dir, name);
    case S_IFDIR:
        return depth > DEPTH_MAX ? -ELOOP : copy_directory(x, a, dir, name, depth + 1);
    default:
        if (mknodat(dir, name, (a->mode & S_IFMT) | 0600, a->rdev))
            return -errno;
        copy_attrs(a, dir, name);
        return 0;
    }
}

/* What fails is told and left out; a full disk, no memory and a signal end it. */
static int copy_entry(struct export *x, uint64_t parent, int dir, const char *name, int depth)
{
    struct holofs_attr a;
    size_t len = x->len, more = strlen(name) + 1;
    if (len + more >= PATH_CAP)
        return 0;
    snprintf(x->path + len, PATH_CAP - len, "/%s", name);
    x->len += more;
    int e = holofs_lookup(x->fs, parent, name, &a);
    uint64_t ino = e ? 0 : a.ino;
    if (!e) {
        e = copy_one(x, &a, dir, name, depth);
        holofs_forget(x->fs, ino, 1);
    }
    bool fatal = e == -ENOSPC || e == -EDQUOT || e == -ENOMEM || e == -ECANCELED;
    if (e && !fatal)
        failed(x, ino, e);
    x->len = len;
    x->path[len] = 0;
    return fatal ? e : 0;
}

static int copy_entries(struct export *x, uint64_t ino, int fd, int depth)
{
    struct holofs_dir *d;
    struct holofs_dirent entry;
    int r = 0, e = holofs_opendir(x->fs, ino, &d);
    if (e)
        return e;
    for (uint64_t off = 0; !e && (r = holofs_readdir(d, off, &entry)) == 1; off = entry.next) {
        if (strcmp(entry.name, ".") != 0 && strcmp(entry.name, "..") != 0)
            e = copy_entry(x, ino, fd, entry.name, depth);
        if (!e && x->stop())
            e = -ECANCELED;
    }
    holofs_closedir(d);
    return e ? e : r;
}

static int copy_directory(struct export *x, const struct holofs_attr *a, int dir, const char *name, int depth)
{
    if (mkdirat(dir, name, 0700))
        return -errno;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = copy_entries(x, a->ino, fd, depth);
    copy_xattrs(x, a->ino, fd);
    close(fd);
    copy_attrs(a, dir, name);
    return e;
}

/* ---- the whole ---- */

static int open_target(const char *to, int *fd)
{
    if (mkdir(to, 0700) && errno != EEXIST)
        return -errno;
    DIR *d = opendir(to);
    if (!d)
        return -errno;
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    if (n > 2)
        return -ENOTEMPTY;
    *fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

static void summary(const struct export *x, int code)
{
    if (!x->json) {
        printf("%" PRIu64 " files, %" PRIu64 " bytes copied; %" PRIu64 " bytes of %" PRIu64 " files cannot be read; %" PRIu64
               " names could not be copied\n", x->files, x->bytes, x->lost_bytes, x->lost_files, x->failed);
        return;
    }
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i}", "event", "summary", "files", (json_int_t)x->files, "bytes",
                          (json_int_t)x->bytes, "lost_bytes", (json_int_t)x->lost_bytes, "lost_files", (json_int_t)x->lost_files, "failed",
                          (json_int_t)x->failed, "exit", code);
    if (o)
        json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static int copy_root(struct export *x)
{
    struct holofs_attr a;
    int e = copy_entries(x, ROOT, x->root, 0), r = holofs_getattr(x->fs, ROOT, &a);
    copy_xattrs(x, ROOT, x->root);
    if (!r)
        copy_attrs(&a, x->root, ".");
    return e;
}

static int copy_all(struct export *x, const char *to)
{
    int e = open_target(to, &x->root);
    x->buf = aligned_alloc(BLOCK, PIECE + 2 * BLOCK);
    if (!e && !x->buf)
        e = -ENOMEM;
    if (!e)
        e = copy_root(x);
    for (size_t i = 0; i < x->n_linked; i++)
        free(x->linked[i].path);
    free(x->linked);
    free(x->buf);
    if (x->root >= 0)
        close(x->root);
    return e;
}

int fsck_export(const char *store, const char *to, const struct fsck_options *o, bool json, bool (*stop)(void))
{
    struct fsck_view *view;
    char why[600];
    struct export *x = calloc(1, sizeof(*x));
    if (!x)
        return FSCK_EXIT_ERROR;
    x->json = json;
    x->stop = stop;
    x->root = -1;
    int e = holofs_fsck_view(store, o, &view, &x->fs, why, sizeof(why));
    if (e) {
        fprintf(stderr, "holofsck: %s\n", why);
        free(x);
        return FSCK_EXIT_ERROR;
    }
    e = copy_all(x, to);
    holofs_fsck_view_close(view);
    int code = x->lost_bytes || x->failed ? FSCK_EXIT_LEFT : 0;
    code |= e == -ECANCELED ? FSCK_EXIT_CANCELLED : e ? FSCK_EXIT_ERROR : 0;
    if (e && e != -ECANCELED)
        fprintf(stderr, "holofsck: %s: %s\n", to, holo_strerror(e));
    summary(x, code);
    free(x);
    return code;
}
