/* SPDX-License-Identifier: GPL-2.0-or-later */
/* same_bytes.h: one number for all names, sizes and bytes below a directory; times do not count. */
#ifndef HOLO_TESTS_FSCK_SAME_BYTES_H
#define HOLO_TESTS_FSCK_SAME_BYTES_H

#include <dirent.h>

#include "base/sum.h"
#include "tests/core/rig.h"

static inline uint64_t bytes_of_file(int fd)
{
    static uint8_t buf[1 << 16];
    uint64_t h = 0;
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        h = sum64(buf, (size_t)n, h + (uint64_t)n);
    assert_true(n == 0);
    return h;
}

/* The order in which a directory is listed does not count either. With `verbose` each file is shown. */
static inline uint64_t bytes_below(const char *dir, const char *name, bool verbose)
{
    char path[PATH_MAX], below[PATH_MAX];
    struct stat st;
    uint64_t all = 0;
    snprintf(path, sizeof(path), "%s%s%s", dir, *name ? "/" : "", name);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s%s%s", name, *name ? "/" : "", e->d_name);
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        uint64_t h = S_ISDIR(st.st_mode) ? bytes_below(dir, below, verbose) : bytes_of_file(fd) + (uint64_t)st.st_size * 1000003;
        close(fd);
        if (verbose)
            print_message("  %s %llx\n", below, (unsigned long long)h);
        all += sum64(below, strlen(below), h);
    }
    closedir(d);
    return all;
}

static inline uint64_t bytes_of(const char *dir)
{
    return bytes_below(dir, "", false);
}

#endif
