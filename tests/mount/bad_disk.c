/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bad_disk.c: a disk with bad sectors, as a file for a loop device: MNT/disk has the bytes of IMAGE, but for what MAP says.
 *
 * MAP has a byte for each 4 KiB block: 0 well, 1 reads and writes of it are EIO, 2 reads alone. It may be changed at any time. No arguments but
 * these three; runs in the foreground until it is unmounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096 };

struct disk {
    int fd;
    off_t size;
    const volatile unsigned char *map;
};

static struct disk *disk(void)
{
    return fuse_get_context()->private_data;
}

static int d_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    memset(st, 0, sizeof(*st));
    st->st_mode = S_IFDIR | 0755;
    st->st_nlink = 2;
    if (strcmp(path, "/") == 0)
        return 0;
    if (strcmp(path, "/disk") != 0)
        return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = disk()->size;
    return 0;
}

static int d_open(const char *path, struct fuse_file_info *fi)
{
    fi->direct_io = 1; /* each request comes here */
    return strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

/* Does [off, off + n) touch a block whose byte is one of these? */
static bool is_bad(size_t n, off_t off, bool write)
{
    const struct disk *d = disk();
    for (off_t b = off / BLOCK; b * BLOCK < off + (off_t)n && b * BLOCK < d->size; b++) {
        if (d->map[b] == 1 || (d->map[b] == 2 && !write))
            return true;
    }
    return false;
}

static int d_read(const char *path, char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)path;
    (void)fi;
    if (is_bad(n, off, false))
        return -EIO;
    ssize_t r = pread(disk()->fd, buf, n, off);
    return r < 0 ? -errno : (int)r;
}

static int d_write(const char *path, const char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)path;
    (void)fi;
    if (is_bad(n, off, true))
        return -EIO;
    ssize_t r = pwrite(disk()->fd, buf, n, off);
    return r < 0 ? -errno : (int)r;
}

static int d_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
    (void)path;
    (void)datasync;
    (void)fi;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations ops = { .getattr = d_getattr, .open = d_open, .read = d_read, .write = d_write, .fsync = d_fsync };
    struct disk d = { 0 };
    struct stat st;
    if (argc != 4) {
        fprintf(stderr, "usage: bad_disk IMAGE MAP MNT\n");
        return 2;
    }
    d.fd = open(argv[1], O_RDWR | O_CLOEXEC);
    int map = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (d.fd < 0 || map < 0 || fstat(d.fd, &st)) {
        perror("bad_disk");
        return 1;
    }
    d.size = st.st_size;
    d.map = mmap(NULL, (size_t)(d.size / BLOCK), PROT_READ, MAP_SHARED, map, 0);
    if (d.map == MAP_FAILED) {
        perror(argv[2]);
        return 1;
    }
    char *args[] = { argv[0], (char[]){ "-f" }, argv[3], NULL };
    return fuse_main(3, args, &ops, &d);
}
