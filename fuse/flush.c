/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flush.c: have the kernel send what it has of files written here and not given to us yet.
 *
 * Whoever waits for that waits for this very program. Two things follow. Only the flusher's thread does it, which serves no
 * request. And it does it as any user of the mount would, in a table of files of its own that has no /dev/fuse in it: should
 * the program be killed meanwhile, the kernel sees the last descriptor of the connection go, ends it, and thereby frees the
 * waiting thread. A thread that waits inside a write to /dev/fuse (as notifications do) would keep the connection alive and
 * wait for ever, and neither process nor mount could be got rid of.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/fuse.h"

enum { HANDLE_TYPE = 0x81, HANDLE_WORDS = 3 }; /* linux/fs/fuse/inode.c: number (high, low), generation */

int flush_prepare(int keep_fd)
{
    if (unshare(CLONE_FILES))
        return -errno;
    if (keep_fd > 3)
        close_range(3, (unsigned)keep_fd - 1, 0);
    close_range((unsigned)keep_fd + 1, ~0u, 0);
    return 0;
}

/* The root of the mount, by its path: -ENOENT when another is there, or none any more. */
static int open_root(const struct mnt *m)
{
    struct stat st;
    int fd = open(m->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (m->dev && fstat(fd, &st) == 0 && st.st_dev == m->dev)
        return fd;
    close(fd);
    return -ENOENT;
}

/* A file of the mount by its number: it need not have a name. */
static int open_number(int root, uint64_t ino, uint32_t gen)
{
    struct file_handle *h = calloc(1, sizeof(*h) + HANDLE_WORDS * sizeof(uint32_t));
    uint32_t words[HANDLE_WORDS] = { (uint32_t)(ino >> 32), (uint32_t)ino, gen };
    if (!h)
        return -ENOMEM;
    h->handle_bytes = sizeof(words);
    h->handle_type = HANDLE_TYPE;
    memcpy(h->f_handle, words, sizeof(words));
    int fd = open_by_handle_at(root, h, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int e = fd < 0 ? -errno : fd;
    free(h);
    return e;
}

int flush_file(const struct mnt *m, uint64_t ino, uint32_t gen)
{
    int root = open_root(m);
    if (root < 0)
        return root;
    int fd = open_number(root, ino, gen);
    close(root);
    if (fd < 0)
        return fd;
    /* Not fsync: the caller of lseek holds the inode's lock in the kernel. */
    int e = sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) ? -errno : 0;
    close(fd);
    return e;
}

int flush_all(const struct mnt *m)
{
    int root = open_root(m);
    if (root < 0)
        return root;
    int e = syncfs(root) ? -errno : 0;
    close(root);
    return e;
}
