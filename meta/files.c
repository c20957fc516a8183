/* SPDX-License-Identifier: GPL-2.0-or-later */
/* files.c: the index and its side files as files: remove them, copy them. */
#include "meta/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COPY_PIECE = 1 << 20 };

static const char *const suffix[] = { "", "-journal", "-wal", "-shm", "-sum0", "-sum1", ".old", ".old-wal", ".old-shm" };

enum { SUFFIXES = sizeof(suffix) / sizeof(suffix[0]), SUFFIXES_COPIED = 6 };

static int name_of(const char *path, size_t i, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s%s", path, suffix[i]) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

const char *meta_suffix(size_t i)
{
    return i < SUFFIXES ? suffix[i] : NULL;
}

int meta_remove(const char *path)
{
    char name[PATH_MAX];
    for (size_t i = 0; i < SUFFIXES; i++) {
        int rc = name_of(path, i, name);
        if (rc)
            return rc;
        if (unlink(name) && errno != ENOENT)
            return -errno;
    }
    return 0;
}

/* A short write is followed by the rest, or by the reason why there is none. */
static int write_all(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int copy_bytes(int in, int out)
{
    char *buf = malloc(COPY_PIECE);
    int rc = buf ? 0 : -ENOMEM;
    while (!rc) {
        ssize_t n = read(in, buf, COPY_PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : 0;
            break;
        }
        rc = write_all(out, buf, (size_t)n);
    }
    free(buf);
    return rc;
}

static int copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return -errno;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = out < 0 ? -errno : copy_bytes(in, out);
    if (out >= 0 && close(out) && !rc)
        rc = -errno;
    close(in);
    return rc;
}

/* The shared memory of the WAL is made again by who opens the copy; an index that was retired is no part of it. */
int meta_copy(const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    int rc = meta_remove(to);
    for (size_t i = 0; i < SUFFIXES_COPIED && !rc; i++) {
        rc = name_of(from, i, a);
        if (!rc)
            rc = name_of(to, i, b);
        if (rc || strcmp(suffix[i], "-shm") == 0)
            continue;
        rc = copy_file(a, b);
        if (rc == -ENOENT && i > 0)
            rc = 0;
    }
    return rc;
}
