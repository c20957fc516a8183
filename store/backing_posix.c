/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backing_posix.c: a store in an ordinary directory.
 *
 * Names are resolved from the directory's descriptor, one component at a time and never through a symbolic
 * link, so that nothing outside the store is reached, whatever somebody put there.
 */
#include "store/backing.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lock.h"
#include "store/aio.h"

enum { UNSURE_SHARE = 24, UNSURE_MAX = 1 << 30 };
enum { RANK_AIO = 850 };
enum { IOV_BATCH = 64, ZERO_PIECE = 1 << 20, DIRECT_ALIGN = 4096 };

struct posix_backing {
    struct backing b;
    int fd;
    bool read_only;
    struct mutex aio_lock; /* held while writes are waited for, and what is done beside them */
    struct aio *aio;       /* made when it is needed first, in the process that needs it */
    bool no_aio;
};

struct posix_file {
    struct bfile f;
    int fd;
    bool direct;     /* opened with O_DIRECT */
    bool drop_first; /* asked for direct, refused: pages are dropped before each read */
};

static struct posix_backing *posix_of(struct backing *b)
{
    return (struct posix_backing *)b;
}

static struct posix_file *file_of(struct bfile *f)
{
    return (struct posix_file *)f;
}

/* A short direct read that is not whole sectors met the end of the file; to go on from there would be EINVAL. */
static int posix_pread(struct bfile *bf, void *buf, size_t len, uint64_t off)
{
    struct posix_file *f = file_of(bf);
    if (f->drop_first)
        posix_fadvise(f->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(f->fd, (char *)buf + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
        if (n == 0 || (f->direct && done < len && done % DIRECT_ALIGN != 0))
            return -HOLO_ETRUNC;
    }
    return 0;
}

/* Fill out with what is left of iov behind skip bytes of its first entry. Returns the number of entries. */
static int iov_rest(const struct iovec *iov, int n, size_t skip, struct iovec *out)
{
    int count = n < IOV_BATCH ? n : IOV_BATCH;
    for (int i = 0; i < count; i++)
        out[i] = iov[i];
    if (count > 0) {
        out[0].iov_base = (char *)out[0].iov_base + skip;
        out[0].iov_len -= skip;
    }
    return count;
}

static int posix_pwritev(struct bfile *bf, const struct iovec *iov, int n, uint64_t off)
{
    struct posix_file *f = file_of(bf);
    size_t skip = 0;
    while (n > 0) {
        if (skip == iov->iov_len) {
            iov++, n--, skip = 0;
            continue;
        }
        struct iovec rest[IOV_BATCH];
        ssize_t done = pwritev(f->fd, rest, iov_rest(iov, n, skip, rest), (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        off += (uint64_t)done;
        for (skip += (size_t)done; n > 0 && skip >= iov->iov_len; iov++, n--)
            skip -= iov->iov_len;
    }
    return 0;
}

static int posix_datasync(struct bfile *f)
{
    return fdatasync(file_of(f)->fd) < 0 ? -errno : 0;
}

static int posix_size(struct bfile *f, uint64_t *out_bytes)
{
    struct stat st;
    if (fstat(file_of(f)->fd, &st) < 0)
        return -errno;
    *out_bytes = (uint64_t)st.st_size;
    return 0;
}

static int posix_truncate(struct bfile *f, uint64_t size_bytes)
{
    return ftruncate(file_of(f)->fd, (off_t)size_bytes) < 0 ? -errno : 0;
}

static int write_zeros(struct bfile *f, uint64_t size_bytes)
{
    void *zeros;
    if (posix_memalign(&zeros, DIRECT_ALIGN, ZERO_PIECE) != 0)
        return -ENOMEM;
    memset(zeros, 0, ZERO_PIECE);
    int rc = 0;
    for (uint64_t off = 0; off < size_bytes && rc == 0; off += ZERO_PIECE) {
        uint64_t left = size_bytes - off;
        rc = bfile_pwrite(f, zeros, left < ZERO_PIECE ? (size_t)left : ZERO_PIECE, off);
    }
    free(zeros);
    return rc;
}

/* Where data are copied on write (btrfs), an empty file may ask to be overwritten in place: that needs no room. Others refuse it. */
static void keep_in_place(int fd)
{
    int flags;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_NOCOW_FL)) {
        flags |= FS_NOCOW_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
}

/* Zeros are written, not only allocated: an unwritten extent costs the filesystem a journal commit at first use. */
static int posix_preallocate(struct bfile *f, uint64_t size_bytes)
{
    if (size_bytes == 0)
        return 0;
    keep_in_place(file_of(f)->fd);
    int err = posix_fallocate(file_of(f)->fd, 0, (off_t)size_bytes);
    if (err && err != EOPNOTSUPP)
        return -err;
    int rc = write_zeros(f, size_bytes);
    return rc ? rc : posix_datasync(f);
}

static void posix_file_close(struct bfile *f)
{
    close(file_of(f)->fd);
    free(f);
}

static const struct bfile_ops posix_file_ops = {
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .datasync = posix_datasync,
    .size = posix_size,
    .truncate = posix_truncate,
    .preallocate = posix_preallocate,
    .close = posix_file_close,
};

/* The next component of a name into part. Returns what follows it, or NULL when it is no proper name. */
static const char *component(const char *name, char part[NAME_MAX + 1])
{
    size_t len = strcspn(name, "/");
    if (len == 0 || len > NAME_MAX)
        return NULL;
    memcpy(part, name, len);
    part[len] = 0;
    if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return NULL;
    return name + len + (name[len] == '/');
}

/* Open the directory that holds the last component of name, which goes to leaf. Returns a descriptor of the caller's. */
static int parent_open(const struct posix_backing *p, const char *name, char leaf[NAME_MAX + 1])
{
    int dir = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
    while (dir >= 0) {
        name = component(name, leaf);
        if (name && !*name)
            return dir;
        int next = name ? openat(dir, leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int err = name ? errno : EINVAL;
        close(dir);
        errno = err;
        dir = next;
    }
    return -errno;
}

static int open_flags(int flags)
{
    int o = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY; /* non-blocking: a FIFO must not hang the open */
    o |= flags & BACKING_WRITE ? O_RDWR : O_RDONLY;
    o |= flags & BACKING_CREATE ? O_CREAT : 0;
    o |= flags & BACKING_EXCL ? O_EXCL : 0;
    o |= flags & BACKING_TRUNC ? O_TRUNC : 0;
    return o;
}

static int open_at(int dir, const char *leaf, int flags, struct posix_file *f)
{
    int o = open_flags(flags);
    f->direct = flags & BACKING_DIRECT;
    f->fd = openat(dir, leaf, o | (f->direct ? O_DIRECT : 0), 0600);
    if (f->fd < 0 && f->direct && errno == EINVAL) {
        f->direct = false;
        f->drop_first = true;
        /* Linux creates the file before it refuses O_DIRECT, so what EXCL asked for is done already. */
        f->fd = openat(dir, leaf, o & ~O_EXCL, 0600);
    }
    if (f->fd < 0)
        return -errno;
    struct stat st;
    int rc = fstat(f->fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -HOLO_ECORRUPT;
    if (rc)
        close(f->fd);
    return rc;
}

static int posix_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    const struct posix_backing *p = posix_of(b);
    if (p->read_only && (flags & (BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC)))
        return -EROFS;
    char leaf[NAME_MAX + 1];
    int dir = parent_open(p, name, leaf);
    if (dir < 0)
        return dir;
    struct posix_file *f = calloc(1, sizeof(*f));
    int rc = f ? open_at(dir, leaf, flags, f) : -ENOMEM;
    close(dir);
    if (rc) {
        free(f);
        return rc;
    }
    f->f.ops = &posix_file_ops;
    *out = &f->f;
    return 0;
}

static int posix_unlink(struct backing *b, const char *name)
{
    if (posix_of(b)->read_only)
        return -EROFS;
    char leaf[NAME_MAX + 1];
    int dir = parent_open(posix_of(b), name, leaf);
    if (dir < 0)
        return dir;
    int rc = unlinkat(dir, leaf, 0) < 0 ? -errno : 0;
    close(dir);
    return rc;
}

static int posix_rename(struct backing *b, const char *from, const char *to)
{
    if (posix_of(b)->read_only)
        return -EROFS;
    char leaf_from[NAME_MAX + 1], leaf_to[NAME_MAX + 1];
    int dir_from = parent_open(posix_of(b), from, leaf_from);
    if (dir_from < 0)
        return dir_from;
    int dir_to = parent_open(posix_of(b), to, leaf_to);
    int rc = dir_to;
    if (dir_to >= 0) {
        rc = renameat(dir_from, leaf_from, dir_to, leaf_to) < 0 ? -errno : 0;
        close(dir_to);
    }
    close(dir_from);
    return rc;
}

static int posix_mkdir(struct backing *b, const char *name)
{
    if (posix_of(b)->read_only)
        return -EROFS;
    char leaf[NAME_MAX + 1];
    int dir = parent_open(posix_of(b), name, leaf);
    if (dir < 0)
        return dir;
    struct stat st;
    int rc = mkdirat(dir, leaf, 0700) < 0 ? -errno : 0;
    if (rc == -EEXIST && fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
        rc = S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    close(dir);
    return rc;
}

/* A readable descriptor of a directory, "" being the store itself. */
static int dir_open(struct backing *b, const char *name)
{
    const struct posix_backing *p = posix_of(b);
    const int o = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char leaf[NAME_MAX + 1] = ".";
    int dir = *name ? parent_open(p, name, leaf) : p->fd;
    if (dir < 0)
        return dir;
    int fd = openat(dir, leaf, o);
    int rc = fd < 0 ? -errno : fd;
    if (dir != p->fd)
        close(dir);
    return rc;
}

static int posix_sync_dir(struct backing *b, const char *name)
{
    int fd = dir_open(b, name);
    if (fd < 0)
        return fd;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int posix_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    int fd = dir_open(b, dir);
    if (fd < 0)
        return fd;
    DIR *d = fdopendir(fd);
    if (!d) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            rc = -errno;
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = cb(arg, e->d_name);
    }
    closedir(d);
    return rc;
}

static int posix_space(struct backing *b, struct backing_space *out)
{
    struct statfs v;
    if (fstatfs(posix_of(b)->fd, &v) < 0)
        return -errno;
    uint64_t unit = (uint64_t)(v.f_frsize ? v.f_frsize : v.f_bsize), unsure = 0;
    out->total_bytes = v.f_blocks * unit;
    out->free_bytes = v.f_bavail * unit;
    if ((uint32_t)v.f_type == BTRFS_SUPER_MAGIC) /* an estimate: chunks of metadata may still take from it */
        unsure = out->total_bytes / UNSURE_SHARE < UNSURE_MAX ? out->total_bytes / UNSURE_SHARE : UNSURE_MAX;
    out->free_bytes -= out->free_bytes < unsure ? out->free_bytes : unsure;
    return 0;
}

/* Then its new size has to be committed: with that of the others, if they are written before the first sync. */
static bool grows(const struct backing_write *w)
{
    struct stat st;
    return fstat(file_of(w->f)->fd, &st) < 0 || (uint64_t)st.st_size < w->off + w->len;
}

static bool posix_write_durably(struct backing *b, struct backing_write *w, size_t n, void (*beside)(void *arg), void *arg)
{
    struct posix_backing *p = posix_of(b);
    int fd[AIO_MAX];
    if (n > AIO_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (grows(&w[i]))
            return false;
        fd[i] = file_of(w[i].f)->fd;
    }
    mutex_lock(&p->aio_lock);
    if (!p->aio && !p->no_aio)
        p->no_aio = aio_create(&p->aio) != 0;
    bool have = p->aio;
    if (have)
        aio_write_durably(p->aio, fd, w, n, beside, arg);
    mutex_unlock(&p->aio_lock);
    return have;
}

static void posix_close(struct backing *b)
{
    aio_destroy(posix_of(b)->aio);
    mutex_fini(&posix_of(b)->aio_lock);
    close(posix_of(b)->fd);
    free(b);
}

static const struct backing_ops posix_ops = {
    .open = posix_open,
    .unlink = posix_unlink,
    .rename = posix_rename,
    .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .space = posix_space,
    .write_durably = posix_write_durably,
    .close = posix_close,
};

int backing_posix_open(const char *path, bool read_only, struct backing **out)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct posix_backing *p = calloc(1, sizeof(*p));
    if (!p) {
        close(fd);
        return -ENOMEM;
    }
    p->b.ops = &posix_ops;
    p->fd = fd;
    p->read_only = read_only;
    mutex_init(&p->aio_lock, RANK_AIO);
    *out = &p->b;
    return 0;
}

int backing_posix_fd(const struct backing *b)
{
    return b->ops == &posix_ops ? ((const struct posix_backing *)b)->fd : -1;
}
