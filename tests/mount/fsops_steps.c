/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsops_steps.c: the operations of fsops, one function each: do it, then do it to the model. */
#include "tests/mount/fsops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAY(s, ...) snprintf((s)->what, sizeof((s)->what), __VA_ARGS__)

struct range {
    size_t off, len;
};

void fsops_close(struct fsops_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void fsops_put(struct fsops_file *f)
{
    if (--f->links > 0)
        return;
    fsops_close(f);
    free(f);
}

/* Ranges that hit the borders of pages, chunks and the file more often than chance would. */
static struct range pick(struct fsops *s, size_t limit)
{
    static const size_t unit[] = { 1, 1, 512, 4096, 131072 };
    size_t u = unit[fsops_random(s, 5)];
    size_t off = fsops_random(s, limit) / u * u;
    size_t len = 1 + fsops_random(s, fsops_random(s, 2) ? 9000 : 200000);
    if (u > 1 && fsops_random(s, 2))
        len = (len + u - 1) / u * u;
    if (len > limit - off)
        len = limit - off;
    return (struct range){ off, len };
}

static void fill(struct fsops *s, uint8_t *p, size_t len)
{
    if (fsops_random(s, 3) == 0) {
        memset(p, (int)fsops_random(s, 256), len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)fsops_random(s, 256);
}

/* The slot's descriptor, opened if need be. */
static int descriptor(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    char path[FSOPS_PATH];
    fsops_name(s, slot, path);
    if (f->fd < 0)
        f->fd = open(path, O_RDWR);
    if (f->fd < 0)
        fsops_fail(s, "cannot open n%u", slot);
    return f->fd;
}

static bool do_create(struct fsops *s, unsigned slot)
{
    char path[FSOPS_PATH];
    fsops_name(s, slot, path);
    SAY(s, "create n%u", slot);
    struct fsops_file *f = calloc(1, sizeof(*f));
    if (!f)
        return fsops_fail(s, "memory");
    f->fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    f->links = 1;
    s->slot[slot] = f;
    return f->fd >= 0 ? true : fsops_fail(s, "open");
}

static bool do_write(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    struct range r = pick(s, FSOPS_MAX);
    SAY(s, "write n%u %zu+%zu, size %zu", slot, r.off, r.len, f->size);
    int fd = descriptor(s, slot);
    fill(s, f->data + r.off, r.len);
    if (fd < 0 || pwrite(fd, f->data + r.off, r.len, (off_t)r.off) != (ssize_t)r.len)
        return fsops_fail(s, "pwrite");
    if (r.off + r.len > f->size)
        f->size = r.off + r.len;
    return true;
}

static bool do_append(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    size_t len = 1 + fsops_random(s, 30000);
    char path[FSOPS_PATH];
    if (f->size + len > FSOPS_MAX)
        return true;
    SAY(s, "append n%u %zu+%zu", slot, f->size, len);
    fill(s, f->data + f->size, len);
    fsops_name(s, slot, path);
    int fd = open(path, O_WRONLY | O_APPEND);
    bool ok = fd >= 0 && write(fd, f->data + f->size, len) == (ssize_t)len;
    if (fd >= 0)
        close(fd);
    f->size += len;
    return ok ? true : fsops_fail(s, "append");
}

static bool do_read(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    struct range r = pick(s, FSOPS_MAX);
    SAY(s, "read n%u %zu+%zu, size %zu", slot, r.off, r.len, f->size);
    size_t want = r.off >= f->size ? 0 : r.off + r.len > f->size ? f->size - r.off : r.len;
    int fd = descriptor(s, slot);
    if (fd < 0 || pread(fd, s->scratch, r.len, (off_t)r.off) != (ssize_t)want)
        return fsops_fail(s, "pread");
    return memcmp(s->scratch, f->data + r.off, want) == 0 ? true : fsops_compare(s, slot) && fsops_fail(s, "one read was wrong");
}

static bool do_truncate(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    size_t to = pick(s, FSOPS_MAX).off;
    char path[FSOPS_PATH];
    fsops_name(s, slot, path);
    SAY(s, "truncate n%u %zu to %zu", slot, f->size, to);
    bool by_name = fsops_random(s, 2);
    if (by_name ? truncate(path, (off_t)to) : ftruncate(descriptor(s, slot), (off_t)to))
        return fsops_fail(s, "truncate");
    if (to < f->size)
        memset(f->data + to, 0, f->size - to);
    f->size = to;
    return true;
}

/* True when the file system does not have this kind of fallocate. */
static bool unsupported(void)
{
    return errno == EOPNOTSUPP || errno == ENOSYS;
}

static bool do_fallocate(struct fsops *s, unsigned slot)
{
    static const int mode[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, FALLOC_FL_KEEP_SIZE };
    struct fsops_file *f = s->slot[slot];
    struct range r = pick(s, FSOPS_MAX);
    int m = mode[fsops_random(s, 5)];
    SAY(s, "fallocate n%u mode %d %zu+%zu, size %zu", slot, m, r.off, r.len, f->size);
    int fd = descriptor(s, slot);
    if (fd < 0)
        return false;
    if (fallocate(fd, m, (off_t)r.off, (off_t)r.len))
        return unsupported() ? true : fsops_fail(s, "fallocate");
    if (m & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(f->data + r.off, 0, r.len);
    if (!(m & FALLOC_FL_KEEP_SIZE) && r.off + r.len > f->size)
        f->size = r.off + r.len;
    return true;
}

static bool do_mmap(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    if (f->size == 0)
        return true;
    struct range r = pick(s, f->size);
    SAY(s, "mmap n%u %zu+%zu, size %zu", slot, r.off, r.len, f->size);
    int fd = descriptor(s, slot);
    uint8_t *m = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        return fsops_fail(s, "mmap");
    bool same = memcmp(m + r.off, f->data + r.off, r.len) == 0;
    fill(s, f->data + r.off, r.len);
    memcpy(m + r.off, f->data + r.off, r.len);
    if (fsops_random(s, 2))
        same &= msync(m, f->size, MS_SYNC) == 0;
    munmap(m, f->size);
    return same ? true : fsops_fail(s, "the mapping shows other bytes");
}

static bool do_copy(struct fsops *s, unsigned slot)
{
    unsigned from_slot = (unsigned)fsops_random(s, FSOPS_SLOTS);
    struct fsops_file *to = s->slot[slot], *from = s->slot[from_slot];
    if (!from || from == to || from->size == 0)
        return true;
    struct range r = pick(s, from->size);
    size_t dst = fsops_random(s, FSOPS_MAX - r.len + 1), done = 0;
    SAY(s, "copy n%u %zu+%zu to n%u %zu", from_slot, r.off, r.len, slot, dst);
    int in = descriptor(s, from_slot), out = descriptor(s, slot);
    while (done < r.len) {
        off_t a = (off_t)(r.off + done), b = (off_t)(dst + done);
        ssize_t n = copy_file_range(in, &a, out, &b, r.len - done, 0);
        if (n <= 0)
            return n < 0 && done == 0 && unsupported() ? true : fsops_fail(s, "copied %zu of %zu", done, r.len);
        done += (size_t)n;
    }
    memcpy(to->data + dst, from->data + r.off, r.len);
    if (dst + r.len > to->size)
        to->size = dst + r.len;
    return true;
}

static bool do_fsync(struct fsops *s, unsigned slot)
{
    SAY(s, "fsync n%u", slot);
    int fd = descriptor(s, slot);
    return fd >= 0 && (fsops_random(s, 2) ? fsync(fd) : fdatasync(fd)) == 0 ? true : fsops_fail(s, "fsync");
}

static bool do_reopen(struct fsops *s, unsigned slot)
{
    SAY(s, "reopen n%u", slot);
    fsops_close(s->slot[slot]);
    return descriptor(s, slot) >= 0 && fsops_compare(s, slot);
}

static bool do_rename(struct fsops *s, unsigned slot)
{
    unsigned to = (unsigned)fsops_random(s, FSOPS_SLOTS);
    char a[FSOPS_PATH], b[FSOPS_PATH];
    fsops_name(s, slot, a);
    fsops_name(s, to, b);
    SAY(s, "rename n%u to n%u", slot, to);
    if (s->slot[to] == s->slot[slot])
        return true;
    if (rename(a, b))
        return fsops_fail(s, "rename");
    if (s->slot[to])
        fsops_put(s->slot[to]);
    s->slot[to] = s->slot[slot];
    s->slot[slot] = NULL;
    return true;
}

static bool do_exchange(struct fsops *s, unsigned slot)
{
    unsigned other = (unsigned)fsops_random(s, FSOPS_SLOTS);
    char a[FSOPS_PATH], b[FSOPS_PATH];
    if (!s->slot[other])
        return true;
    fsops_name(s, slot, a);
    fsops_name(s, other, b);
    SAY(s, "exchange n%u and n%u", slot, other);
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE))
        return errno == EINVAL ? true : fsops_fail(s, "exchange");
    struct fsops_file *f = s->slot[slot];
    s->slot[slot] = s->slot[other];
    s->slot[other] = f;
    return true;
}

static bool do_link(struct fsops *s, unsigned slot)
{
    unsigned to = (unsigned)fsops_random(s, FSOPS_SLOTS);
    char a[FSOPS_PATH], b[FSOPS_PATH];
    if (s->slot[to])
        return true;
    fsops_name(s, slot, a);
    fsops_name(s, to, b);
    SAY(s, "link n%u to n%u", slot, to);
    if (link(a, b))
        return fsops_fail(s, "link");
    s->slot[to] = s->slot[slot];
    s->slot[to]->links++;
    return true;
}

static bool do_unlink(struct fsops *s, unsigned slot)
{
    struct fsops_file *f = s->slot[slot];
    char path[FSOPS_PATH];
    fsops_name(s, slot, path);
    SAY(s, "unlink n%u", slot);
    if (unlink(path))
        return fsops_fail(s, "unlink");
    s->slot[slot] = NULL;
    bool ok = true;
    if (f->links == 1 && f->fd >= 0) {
        ssize_t n = pread(f->fd, s->scratch, FSOPS_MAX, 0);
        ok = n == (ssize_t)f->size && memcmp(s->scratch, f->data, f->size) == 0;
        if (!ok)
            fsops_fail(s, "the unlinked file reads differently");
    }
    fsops_put(f);
    return ok;
}

struct step {
    unsigned weight;
    bool (*run)(struct fsops *s, unsigned slot);
};

static const struct step steps[] = {
    { 24, do_write }, { 8, do_append }, { 12, do_read },  { 8, do_truncate }, { 8, do_fallocate }, { 8, do_mmap },   { 6, do_copy },
    { 5, do_fsync },  { 5, do_reopen }, { 5, do_rename }, { 2, do_exchange }, { 3, do_link },      { 6, do_unlink },
};

enum { WEIGHTS = 100 };

bool fsops_step(struct fsops *s)
{
    unsigned slot = (unsigned)fsops_random(s, FSOPS_SLOTS);
    if (!s->slot[slot])
        return do_create(s, slot);
    unsigned at = (unsigned)fsops_random(s, WEIGHTS), i = 0;
    while (at >= steps[i].weight)
        at -= steps[i++].weight;
    return steps[i].run(s, slot);
}
