/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_open.c: open(2) with every flag, and what a descriptor then does. */
#include "tests/mount/posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void create_makes_an_empty_file(void)
{
    struct stat st;
    umask(027);
    int fd = open("f", O_RDWR | O_CREAT, 0666);
    OK(fd >= 0, "opens with O_CREAT");
    OK(fstat(fd, &st) == 0 && st.st_size == 0, "the size is 0");
    OK((st.st_mode & 07777) == 0640, "the umask applies");
    OK(st.st_nlink == 1, "one link");
    OK(st.st_uid == geteuid(), "owned by the creator");
    OK(close(fd) == 0, "closes");
    OK(open("missing", O_RDONLY) == -1 && errno == ENOENT, "a missing file is ENOENT");
    OK(open("f/x", O_RDONLY) == -1 && errno == ENOTDIR, "a file as a directory is ENOTDIR");
}

static void o_excl_refuses_what_exists(void)
{
    int fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0644);
    OK(fd >= 0, "creates a new file");
    close(fd);
    FAILS(open("f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "an existing file is EEXIST");
    OK(symlink("nowhere", "l") == 0, "symlink");
    FAILS(open("l", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST, "a dangling symlink is EEXIST");
}

static void o_trunc_empties(void)
{
    OK(posix_put("f", "some text") == 0, "writes");
    struct stat before, after;
    OK(stat("f", &before) == 0, "stat");
    usleep(20000);
    int fd = open("f", O_WRONLY | O_TRUNC);
    OK(fd >= 0, "opens");
    OK(fstat(fd, &after) == 0 && after.st_size == 0, "the size is 0");
    OK(after.st_mtim.tv_sec > before.st_mtim.tv_sec || after.st_mtim.tv_nsec > before.st_mtim.tv_nsec, "mtime moves");
    close(fd);
    OK(posix_holds("f", ""), "reads nothing");
}

static void o_append_writes_at_the_end(void)
{
    OK(posix_put("f", "abc") == 0, "writes");
    int a = open("f", O_WRONLY | O_APPEND);
    int b = open("f", O_WRONLY | O_APPEND);
    OK(a >= 0 && b >= 0, "opens twice");
    OK(write(a, "1", 1) == 1 && write(b, "2", 1) == 1 && write(a, "3", 1) == 1, "writes in turn");
    OK(lseek(a, 0, SEEK_SET) == 0 && write(a, "4", 1) == 1, "the offset does not matter");
    OK(truncate("f", 2) == 0 && write(b, "5", 1) == 1, "appends behind a truncation");
    close(a);
    close(b);
    OK(posix_holds("f", "ab5"), "all went to the end");
}

static void o_nofollow_and_o_path(void)
{
    OK(posix_put("f", "x") == 0 && symlink("f", "l") == 0, "makes a link");
    FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP, "O_NOFOLLOW on a link is ELOOP");
    int fd = open("l", O_PATH | O_NOFOLLOW);
    char buf[8];
    OK(fd >= 0 && readlinkat(fd, "", buf, sizeof(buf)) == 1, "O_PATH of the link itself");
    close(fd);
    OK(symlink("loop", "loop") == 0, "a link to itself");
    FAILS(open("loop", O_RDONLY), ELOOP, "which is ELOOP");
}

static void o_directory(void)
{
    OK(posix_put("f", "x") == 0 && mkdir("d", 0755) == 0, "makes both");
    FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR, "a file is ENOTDIR");
    FAILS(open("d", O_WRONLY), EISDIR, "writing a directory is EISDIR");
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    char c;
    OK(fd >= 0, "a directory opens");
    FAILS(read(fd, &c, 1), EISDIR, "reading it is EISDIR");
    OK(fsync(fd) == 0, "fsync of a directory");
    close(fd);
}

static void o_tmpfile(void)
{
    int fd = open(".", O_RDWR | O_TMPFILE, 0600);
    if (fd < 0 && errno == EOPNOTSUPP) {
        posix_skip("O_TMPFILE is not supported");
        return;
    }
    struct stat st;
    char path[64];
    OK(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 0, "opens an empty file without a name");
    OK(write(fd, "text", 4) == 4 && fsync(fd) == 0, "writes");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW) == 0 && posix_holds("f", "text"), "gets a name");
    OK(fstat(fd, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600, "and counts it");
    OK(linkat(AT_FDCWD, "f", AT_FDCWD, "g", 0) == 0 && unlink("f") == 0 && unlink("g") == 0, "and another, and loses them");
    OK(pwrite(fd, "T", 1, 0) == 1 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 4, "stays open");
    close(fd);
    fd = open(".", O_RDWR | O_TMPFILE | O_EXCL, 0600);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW), ENOENT, "with O_EXCL it never gets one");
    close(fd);
    OK(access("f", F_OK) != 0, "nothing is left");
}

static void o_direct(void)
{
    uint8_t *buf = NULL, *back = NULL;
    OK(posix_memalign((void **)&buf, 4096, 1 << 20) == 0 && posix_memalign((void **)&back, 4096, 1 << 20) == 0, "memory");
    posix_pattern(buf, 1 << 20, 7);
    int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd < 0 && errno == EINVAL) {
        posix_skip("O_DIRECT is not supported");
        free(buf);
        free(back);
        return;
    }
    OK(fd >= 0, "opens");
    OK(pwrite(fd, buf, 1 << 20, 0) == 1 << 20, "writes a MiB");
    OK(pread(fd, back, 1 << 20, 0) == 1 << 20 && memcmp(buf, back, 1 << 20) == 0, "reads it back");
    OK(pwrite(fd, buf, 4096, 12288) == 4096, "overwrites a block");
    int other = open("f", O_RDONLY);
    OK(pread(other, back, 4096, 12288) == 4096 && memcmp(buf, back, 4096) == 0, "the page cache sees it");
    OK(pread(fd, back, 8192, (1 << 20) - 4096) == 4096, "reads up to the end");
    close(other);
    close(fd);
    free(buf);
    free(back);
}

static void o_sync_and_o_dsync(void)
{
    int fd = open("f", O_WRONLY | O_CREAT | O_SYNC, 0644);
    OK(fd >= 0 && write(fd, "abc", 3) == 3, "O_SYNC writes");
    close(fd);
    fd = open("f", O_WRONLY | O_DSYNC | O_APPEND);
    OK(fd >= 0 && write(fd, "def", 3) == 3, "O_DSYNC writes");
    close(fd);
    OK(posix_holds("f", "abcdef"), "both arrived");
}

static void fsync_and_its_kin(void)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(write(fd, "abc", 3) == 3, "writes");
    OK(fsync(fd) == 0, "fsync");
    OK(fdatasync(fd) == 0, "fdatasync");
    OK(syncfs(fd) == 0, "syncfs");
    OK(sync_file_range(fd, 0, 3, SYNC_FILE_RANGE_WRITE) == 0, "sync_file_range");
    close(fd);
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    OK(fsync(dir) == 0 && fdatasync(dir) == 0, "fsync and fdatasync of a directory");
    close(dir);
}

static int try_modes(void)
{
    int bad = 0;
    bad |= open("secret", O_RDONLY) != -1 || errno != EACCES;
    bad |= (open("readable", O_WRONLY) != -1 || errno != EACCES) << 1;
    bad |= (open("readable", O_RDONLY) < 0) << 2;
    bad |= (open("closed/f", O_RDONLY) != -1 || errno != EACCES) << 3;
    bad |= (open("dir/new", O_WRONLY | O_CREAT, 0644) != -1 || errno != EACCES) << 4;
    bad |= (access("readable", R_OK) != 0 || access("readable", W_OK) == 0) << 5;
    return bad;
}

static void permissions_are_checked(void)
{
    OK(posix_put("secret", "x") == 0 && chmod("secret", 0600) == 0, "a file of mode 0600");
    OK(posix_put("readable", "x") == 0 && chmod("readable", 0644) == 0, "a file of mode 0644");
    OK(mkdir("closed", 0755) == 0 && posix_put("closed/f", "x") == 0 && chmod("closed", 0600) == 0, "a closed directory");
    OK(mkdir("dir", 0755) == 0, "a directory of mode 0755");
    if (geteuid() != 0) {
        posix_skip("needs root");
        return;
    }
    OK(posix_as(USER_A, GROUP_A, try_modes) == 0, "another user is held to the modes");
}

static void statfs_counts_bytes_and_inodes(void)
{
    struct statvfs a, b;
    OK(statvfs(".", &a) == 0, "statvfs");
    OK(a.f_blocks > 0 && a.f_bfree <= a.f_blocks && a.f_bavail <= a.f_bfree, "blocks are plausible");
    OK(a.f_files > 0 && a.f_ffree <= a.f_files, "inodes are counted");
    OK(a.f_namemax == 255, "names of 255 bytes");
    OK(a.f_bsize >= 512 && a.f_frsize >= 512, "a block size");
    uint8_t *buf = malloc(8 << 20);
    posix_pattern(buf, 8 << 20, 99);
    int fd = open("f", O_WRONLY | O_CREAT, 0644);
    OK(write(fd, buf, 8 << 20) == 8 << 20 && fsync(fd) == 0, "writes 8 MiB");
    close(fd);
    free(buf);
    OK(statvfs(".", &b) == 0, "statvfs again");
    OK(b.f_bfree * b.f_frsize + (4 << 20) <= a.f_bfree * a.f_frsize, "free space shrinks with them");
    OK(b.f_ffree < a.f_ffree || b.f_files > a.f_files, "so do the free inodes");
}

const struct posix_case posix_open_cases[] = {
    { "create", create_makes_an_empty_file },
    { "o_excl", o_excl_refuses_what_exists },
    { "o_trunc", o_trunc_empties },
    { "o_append", o_append_writes_at_the_end },
    { "o_nofollow", o_nofollow_and_o_path },
    { "o_directory", o_directory },
    { "o_tmpfile", o_tmpfile },
    { "o_direct", o_direct },
    { "o_sync", o_sync_and_o_dsync },
    { "fsync", fsync_and_its_kin },
    { "permissions", permissions_are_checked },
    { "statfs", statfs_counts_bytes_and_inodes },
    { NULL, NULL },
};
