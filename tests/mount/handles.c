/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handles.c: file handles as an NFS server keeps them: they must lead to the same file after a remount.
 * Usage: handles save MNT OUT PATH… | handles check MNT IN | handles stale MNT IN
 * A line of the file is: type, handle in hex, inode number, size.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct handle {
    struct file_handle h;
    unsigned char bytes[MAX_HANDLE_SZ]; /* where h.f_handle, an array of no length, goes on */
};

static_assert(offsetof(struct handle, bytes) == sizeof(struct file_handle), "no gap behind the header");

static int save(const char *out, char **paths)
{
    FILE *f = fopen(out, "w");
    if (!f)
        return 8;
    for (; *paths; paths++) {
        struct handle h = { .h.handle_bytes = MAX_HANDLE_SZ };
        struct stat st;
        int mount_id;
        if (name_to_handle_at(AT_FDCWD, *paths, &h.h, &mount_id, 0) || stat(*paths, &st)) {
            perror(*paths);
            fclose(f);
            return 1;
        }
        fprintf(f, "%d ", h.h.handle_type);
        for (unsigned i = 0; i < h.h.handle_bytes; i++)
            fprintf(f, "%02x", h.bytes[i]);
        fprintf(f, " %ju %jd\n", (uintmax_t)st.st_ino, (intmax_t)st.st_size);
    }
    return fclose(f) ? 8 : 0;
}

static unsigned from_hex(const char *hex, unsigned char *out)
{
    unsigned n = 0, byte;
    while (n < MAX_HANDLE_SZ && sscanf(hex + 2 * n, "%2x", &byte) == 1)
        out[n++] = (unsigned char)byte;
    return n;
}

/* The handle leads to the inode it was taken from; with stale set, to nothing. */
static int check_line(int mnt, const char *line, int stale)
{
    struct handle h = { .h.handle_bytes = 0 };
    char hex[2 * MAX_HANDLE_SZ + 1];
    unsigned long long ino;
    long long size;
    struct stat st;
    if (sscanf(line, "%d %256s %llu %lld", &h.h.handle_type, hex, &ino, &size) != 4)
        return 1;
    h.h.handle_bytes = from_hex(hex, h.bytes);
    int fd = open_by_handle_at(mnt, &h.h, O_RDONLY);
    if (stale) {
        int ok = fd < 0 && errno == ESTALE;
        if (!ok)
            printf("a handle of a deleted file opens, or fails with %s\n", strerror(errno));
        return !ok;
    }
    if (fd < 0) {
        printf("inode %llu: %s\n", ino, strerror(errno));
        return 1;
    }
    int bad = fstat(fd, &st) || st.st_ino != ino || (S_ISREG(st.st_mode) && st.st_size != size);
    if (bad)
        printf("inode %llu became %ju, size %lld became %jd\n", ino, (uintmax_t)st.st_ino, size, (intmax_t)st.st_size);
    close(fd);
    return bad;
}

static int check(const char *mnt, const char *in, int stale)
{
    FILE *f = fopen(in, "r");
    int dir = open(mnt, O_RDONLY | O_DIRECTORY);
    char line[512];
    int bad = 0, n = 0;
    if (!f || dir < 0) {
        perror(f ? mnt : in);
        return 8;
    }
    while (fgets(line, sizeof(line), f)) {
        bad += check_line(dir, line, stale);
        n++;
    }
    fclose(f);
    close(dir);
    return bad || !n;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "save") == 0)
        return save(argv[3], argv + 4);
    if (argc == 4 && strcmp(argv[1], "check") == 0)
        return check(argv[2], argv[3], 0);
    if (argc == 4 && strcmp(argv[1], "stale") == 0)
        return check(argv[2], argv[3], 1);
    fprintf(stderr, "usage: handles save MNT OUT PATH… | check MNT IN | stale MNT IN\n");
    return 16;
}
