/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.c: the calls to the system that change files, before libc's, with a log of what they did below one directory.
 *
 * The calls carry no context, hence the one static log. A call and its entry are made under its lock, so that the order
 * of the log is the order in which things happened. Files are known by their inode number.
 */
#include "tests/power/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OBJECTS_MAX = 1 << 16, BAD_MAX = 16 };

static struct {
    pthread_mutex_t lock;
    bool active, cut;
    char dir[PATH_MAX];
    dev_t dev;
    ino_t inode[OBJECTS_MAX]; /* by number of the object */
    unsigned n_objects;
    struct event *e;
    size_t n, cap, base;
    struct {
        unsigned obj;
        uint64_t off;
    } bad[BAD_MAX];
    unsigned n_bad, no_sync, no_write; /* the last two: objects, 0: none */
} trace = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "trace: %s: %s\n", what, strerror(errno));
    abort();
}

/* ---- the log (lock held) ---- */

static struct event *add(enum event_kind kind, unsigned obj)
{
    if (trace.n == trace.cap) {
        trace.cap = trace.cap ? 2 * trace.cap : 4096;
        trace.e = realloc(trace.e, trace.cap * sizeof(*trace.e));
        need(trace.e != NULL, "memory");
    }
    struct event *e = &trace.e[trace.n++];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    e->obj = obj;
    return e;
}

/* The newest object with that inode number; 0 if it is none of ours. */
static unsigned object_of(const struct stat *st)
{
    if (!trace.active || st->st_dev != trace.dev)
        return 0;
    for (unsigned i = trace.n_objects; i > 0; i--) {
        if (trace.inode[i] == st->st_ino)
            return i;
    }
    return 0;
}

static unsigned object_of_fd(int fd)
{
    struct stat st;
    return trace.active && fstat(fd, &st) == 0 ? object_of(&st) : 0;
}

static unsigned object_new(ino_t inode)
{
    need(trace.n_objects + 1 < OBJECTS_MAX, "too many files");
    trace.inode[++trace.n_objects] = inode;
    return trace.n_objects;
}

/* The directory that a path lies in, and its last component. 0 if it is none of ours. */
static unsigned parent_of(int dirfd, const char *path, const char **leaf)
{
    struct stat st;
    char parent[PATH_MAX];
    if (!trace.active)
        return 0;
    const char *slash = strrchr(path, '/');
    *leaf = slash ? slash + 1 : path;
    if (!slash)
        return dirfd == AT_FDCWD ? 0 : object_of_fd(dirfd);
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    return fstatat(dirfd, *parent ? parent : "/", &st, 0) == 0 ? object_of(&st) : 0;
}

static struct event *add_name(enum event_kind kind, unsigned obj, unsigned dir, const char *name)
{
    struct event *e = add(kind, obj);
    e->dir = dir;
    need(strlen(name) < TRACE_NAME_MAX, "name too long");
    strcpy(e->name, name);
    return e;
}

static void add_data(enum event_kind kind, unsigned obj, const void *p, size_t len, uint64_t off)
{
    struct event *e = add(kind, obj);
    e->off = off;
    e->len = len;
    e->data = malloc(len ? len : 1);
    need(e->data != NULL, "memory");
    memcpy(e->data, p, len);
}

static void add_size(unsigned obj, uint64_t size)
{
    add(EVENT_SIZE, obj)->off = size;
}

static bool is_bad(unsigned obj, uint64_t off, size_t len)
{
    if (obj == trace.no_write)
        return true;
    for (unsigned i = 0; i < trace.n_bad; i++) {
        if (trace.bad[i].obj == obj && trace.bad[i].off < off + len && off < trace.bad[i].off + SECTOR)
            return true;
    }
    return false;
}

/* ---- instead of libc's ---- */

static int fails(int err)
{
    errno = err;
    return -1;
}

static int open_logged(int dirfd, const char *path, int flags, mode_t mode)
{
    const char *leaf;
    struct stat st;
    if (!(flags & (O_CREAT | O_TRUNC)))
        return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    pthread_mutex_lock(&trace.lock);
    unsigned dir = parent_of(dirfd, path, &leaf);
    bool existed = fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool changes = dir && (!existed || (flags & O_TRUNC));
    int fd = changes && trace.cut ? fails(EIO) : (int)syscall(SYS_openat, dirfd, path, flags, mode);
    bool made = changes && !existed && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0; /* Linux creates before it refuses O_DIRECT */
    int err = errno;
    if (made && !trace.cut)
        add_name(EVENT_CREATE, object_new(st.st_ino), dir, leaf);
    else if (changes && fd >= 0)
        add_size(object_of(&st), 0);
    pthread_mutex_unlock(&trace.lock);
    errno = err;
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_logged(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_logged(dirfd, path, flags, mode);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t off)
{
    pthread_mutex_lock(&trace.lock);
    unsigned obj = object_of_fd(fd);
    ssize_t n = obj && (trace.cut || is_bad(obj, (uint64_t)off, len)) ? fails(EIO) : syscall(SYS_pwrite64, fd, p, len, off);
    if (obj && n > 0)
        add_data(EVENT_WRITE, obj, p, (size_t)n, (uint64_t)off);
    pthread_mutex_unlock(&trace.lock);
    return n;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n_iov, off_t off)
{
    size_t len = 0;
    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    pthread_mutex_lock(&trace.lock);
    unsigned obj = object_of_fd(fd);
    ssize_t n = obj && (trace.cut || is_bad(obj, (uint64_t)off, len)) ? fails(EIO)
                                                                      : syscall(SYS_pwritev, fd, iov, (long)n_iov, (long)off, 0L);
    size_t left = obj && n > 0 ? (size_t)n : 0;
    for (int i = 0; i < n_iov && left; i++) {
        size_t piece = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (piece)
            add_data(EVENT_WRITE, obj, iov[i].iov_base, piece, (uint64_t)off);
        off += (off_t)piece;
        left -= piece;
    }
    pthread_mutex_unlock(&trace.lock);
    return n;
}

int ftruncate(int fd, off_t size)
{
    pthread_mutex_lock(&trace.lock);
    unsigned obj = object_of_fd(fd);
    int rc = obj && trace.cut ? fails(EIO) : (int)syscall(SYS_ftruncate, fd, size);
    if (obj && rc == 0)
        add_size(obj, (uint64_t)size);
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

int posix_fallocate(int fd, off_t off, off_t len)
{
    struct stat st;
    pthread_mutex_lock(&trace.lock);
    unsigned obj = object_of_fd(fd);
    int rc = obj && trace.cut ? EIO : syscall(SYS_fallocate, fd, 0, off, len) == 0 ? 0 : errno;
    if (obj && rc == 0 && fstat(fd, &st) == 0)
        add_size(obj, (uint64_t)st.st_size);
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

/* What the kernel writes by itself would not be in the log: there is no asynchronous I/O here. */
long syscall(long number, ...)
{
    static long (*_Atomic real)(long, ...);
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (!real)
        real = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    return number == SYS_io_setup ? fails(ENOSYS) : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int sync_logged(int fd, long number)
{
    pthread_mutex_lock(&trace.lock);
    unsigned obj = object_of_fd(fd);
    int rc = obj && (trace.cut || obj == trace.no_sync) ? fails(EIO) : (int)syscall(number, fd);
    if (obj && rc == 0)
        add(EVENT_SYNC, obj);
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

int fsync(int fd)
{
    return sync_logged(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_logged(fd, SYS_fdatasync);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    const char *leaf;
    struct stat st;
    pthread_mutex_lock(&trace.lock);
    unsigned dir = parent_of(dirfd, path, &leaf);
    unsigned obj = dir && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? object_of(&st) : 0;
    int rc = dir && trace.cut ? fails(EIO) : (int)syscall(SYS_unlinkat, dirfd, path, flags);
    if (obj && rc == 0)
        add_name(EVENT_UNLINK, obj, dir, leaf);
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    const char *leaf, *to_leaf;
    struct stat st;
    pthread_mutex_lock(&trace.lock);
    unsigned dir = parent_of(from_dir, from, &leaf);
    unsigned other = parent_of(to_dir, to, &to_leaf);
    need(dir == other, "a rename across directories");
    unsigned obj = dir && fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) == 0 ? object_of(&st) : 0;
    int rc = dir && trace.cut ? fails(EIO) : (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
    if (obj && rc == 0)
        strcpy(add_name(EVENT_RENAME, obj, dir, leaf)->to, to_leaf);
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    const char *leaf;
    struct stat st;
    pthread_mutex_lock(&trace.lock);
    unsigned dir = parent_of(dirfd, path, &leaf);
    int rc = dir && trace.cut ? fails(EIO) : (int)syscall(SYS_mkdirat, dirfd, path, mode);
    if (dir && rc == 0) {
        need(fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0, path);
        add_name(EVENT_MKDIR, object_new(st.st_ino), dir, leaf);
    }
    pthread_mutex_unlock(&trace.lock);
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- begin, end, marks ---- */

static int note_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    struct stat parent;
    if (f->level == 0)
        return 0;
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%.*s", f->base - 1, path);
    need(stat(dir, &parent) == 0, dir);
    unsigned obj = object_new(st->st_ino);
    add_name(type == FTW_D ? EVENT_MKDIR : EVENT_CREATE, obj, object_of(&parent), path + f->base);
    if (type == FTW_D || st->st_size == 0)
        return 0;
    uint8_t *p = malloc((size_t)st->st_size);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    need(p && fd >= 0 && pread(fd, p, (size_t)st->st_size, 0) == st->st_size, path);
    close(fd);
    add_data(EVENT_WRITE, obj, p, (size_t)st->st_size, 0);
    free(p);
    return 0;
}

void trace_start(const char *dir)
{
    struct stat st;
    pthread_mutex_lock(&trace.lock);
    need(stat(dir, &st) == 0, dir);
    snprintf(trace.dir, sizeof(trace.dir), "%s", dir);
    trace.dev = st.st_dev;
    trace.active = true;
    trace.cut = false;
    trace.n_objects = 0;
    trace.n_bad = trace.no_sync = trace.no_write = 0;
    object_new(st.st_ino);
    nftw(dir, note_one, 16, FTW_PHYS);
    add(EVENT_SETTLE, 0);
    trace.base = trace.n;
    pthread_mutex_unlock(&trace.lock);
}

void trace_stop(void)
{
    pthread_mutex_lock(&trace.lock);
    for (size_t i = 0; i < trace.n; i++)
        free(trace.e[i].data);
    free(trace.e);
    trace.e = NULL;
    trace.n = trace.cap = 0;
    trace.active = false;
    pthread_mutex_unlock(&trace.lock);
}

void trace_cut(bool cut)
{
    pthread_mutex_lock(&trace.lock);
    trace.cut = cut;
    pthread_mutex_unlock(&trace.lock);
}

void trace_mark(uint64_t low, uint64_t high)
{
    pthread_mutex_lock(&trace.lock);
    struct event *e = add(EVENT_MARK, 0);
    e->low = low;
    e->high = high;
    pthread_mutex_unlock(&trace.lock);
}

static int open_there(const char *name)
{
    char path[PATH_MAX + TRACE_NAME_MAX];
    snprintf(path, sizeof(path), "%s/%s", trace.dir, name);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR);
}

bool trace_rot(const char *name, uint64_t off, size_t len, uint64_t seed)
{
    uint8_t *p = malloc(len);
    pthread_mutex_lock(&trace.lock);
    int fd = open_there(name);
    bool there = fd >= 0 && pread(fd, p, len, (off_t)off) == (ssize_t)len;
    for (size_t i = 0; i < len; i++)
        p[i] ^= (uint8_t)(1 + (seed + i * 7) % 255);
    if (there) {
        need(syscall(SYS_pwrite64, fd, p, len, off) == (long)len, name);
        add_data(EVENT_ROT, object_of_fd(fd), p, len, off);
    }
    if (fd >= 0)
        close(fd);
    pthread_mutex_unlock(&trace.lock);
    free(p);
    return there;
}

void trace_bad_block(const char *name, uint64_t off)
{
    pthread_mutex_lock(&trace.lock);
    int fd = name ? open_there(name) : -1;
    if (!name)
        trace.n_bad = trace.no_sync = trace.no_write = 0;
    if (fd >= 0 && trace.n_bad < BAD_MAX) {
        trace.bad[trace.n_bad].obj = object_of_fd(fd);
        trace.bad[trace.n_bad++].off = off;
    }
    if (fd >= 0)
        close(fd);
    pthread_mutex_unlock(&trace.lock);
}

void trace_bad_file(const char *name, bool writes)
{
    pthread_mutex_lock(&trace.lock);
    int fd = open_there(name);
    if (fd >= 0) {
        trace.no_sync = object_of_fd(fd);
        trace.no_write = writes ? trace.no_sync : 0;
        close(fd);
    }
    pthread_mutex_unlock(&trace.lock);
}

size_t trace_events(size_t *base)
{
    pthread_mutex_lock(&trace.lock);
    size_t n = trace.n;
    *base = trace.base;
    pthread_mutex_unlock(&trace.lock);
    return n;
}

const struct event *trace_event(size_t i)
{
    return &trace.e[i];
}
