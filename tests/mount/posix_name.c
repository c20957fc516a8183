/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_name.c: names: rename, hard links, symbolic links, directories, special files, unlinked files, handles. */
#include "tests/mount/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

enum { MANY = 100000 };

static nlink_t links(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_nlink : 0;
}

static ino_t inode(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void rename_moves_and_replaces(void)
{
    OK(posix_put("a", "aa") == 0 && posix_put("b", "bb") == 0, "two files");
    ino_t ino = inode("a");
    int old = open("b", O_RDONLY);
    char buf[4];
    OK(rename("a", "c") == 0 && posix_holds("c", "aa") && inode("c") == ino, "to a new name");
    FAILS(access("a", F_OK), ENOENT, "the old name is gone");
    OK(rename("c", "b") == 0 && posix_holds("b", "aa"), "over another file");
    OK(read(old, buf, 4) == 2 && memcmp(buf, "bb", 2) == 0, "which stays readable while it is open");
    close(old);
    OK(rename("b", "b") == 0 && posix_holds("b", "aa"), "onto itself");
    OK(link("b", "b2") == 0 && rename("b", "b2") == 0 && links("b") == 2, "onto another link of itself does nothing");
    FAILS(rename("missing", "x"), ENOENT, "a missing source is ENOENT");
}

static void rename_of_an_open_file(void)
{
    int fd = open("a", O_RDWR | O_CREAT, 0644);
    OK(write(fd, "1", 1) == 1 && rename("a", "b") == 0 && write(fd, "2", 1) == 1, "writes go on");
    OK(posix_holds("b", "12"), "to the new name");
    close(fd);
}

static void rename_of_directories(void)
{
    OK(mkdir("d", 0755) == 0 && mkdir("d/sub", 0755) == 0 && posix_put("d/f", "x") == 0, "a tree");
    OK(mkdir("empty", 0755) == 0 && mkdir("full", 0755) == 0 && posix_put("full/f", "y") == 0, "two targets");
    FAILS(rename("d", "d/sub/x"), EINVAL, "into its own subtree is EINVAL");
    FAILS(rename("d", "d/x"), EINVAL, "into itself is EINVAL");
    OK(rename("d", "full") == -1 && (errno == ENOTEMPTY || errno == EEXIST), "over a full directory is ENOTEMPTY");
    OK(rename("d", "empty") == 0 && posix_holds("empty/f", "x"), "over an empty directory");
    OK(posix_put("file", "z") == 0, "a file");
    FAILS(rename("empty", "file"), ENOTDIR, "over a file is ENOTDIR");
    FAILS(rename("file", "full"), EISDIR, "a file over a directory is EISDIR");
    OK(mkdir("other", 0755) == 0 && links(".") == 5, "the parent counts its directories");
    OK(rename("empty", "other/moved") == 0 && links(".") == 4 && links("other") == 3, "moving one changes both counts");
    OK(inode("other/moved/..") == inode("other"), "its .. follows");
}

static void rename_noreplace_and_exchange(void)
{
    OK(posix_put("a", "aa") == 0 && posix_put("b", "bb") == 0 && mkdir("d", 0755) == 0 && posix_put("d/f", "x") == 0, "two files and a directory");
    FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST, "NOREPLACE does not replace");
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) == 0, "NOREPLACE to a new name");
    OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE) == 0 && posix_holds("c", "bb") && posix_holds("b", "aa"), "EXCHANGE of files");
    OK(mkdir("e", 0755) == 0 && links("d") == 2 && links("e") == 2, "another directory");
    OK(renameat2(AT_FDCWD, "d", AT_FDCWD, "c", RENAME_EXCHANGE) == 0 && posix_holds("d", "bb") && posix_holds("c/f", "x"), "of a file and a directory");
    OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "e", RENAME_EXCHANGE) == 0 && posix_holds("e/f", "x"), "of two directories");
    FAILS(renameat2(AT_FDCWD, "b", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT, "with nothing is ENOENT");
    FAILS(renameat2(AT_FDCWD, "e", AT_FDCWD, "e/f", RENAME_EXCHANGE), EINVAL, "with its own child is EINVAL");
}

static void hard_links_share_the_file(void)
{
    OK(posix_put("a", "aa") == 0 && link("a", "b") == 0 && links("a") == 2 && inode("a") == inode("b"), "two names, one inode");
    OK(posix_put("b", "changed") == 0 && posix_holds("a", "changed"), "one content");
    OK(unlink("a") == 0 && links("b") == 1 && posix_holds("b", "changed"), "lives on under the other");
    FAILS(link("b", "b"), EEXIST, "an existing name is EEXIST");
    OK(mkdir("d", 0755) == 0, "mkdir");
    FAILS(link("d", "e"), EPERM, "a directory is EPERM");
    FAILS(link("missing", "e"), ENOENT, "a missing source is ENOENT");
    OK(symlink("b", "l") == 0 && link("l", "l2") == 0 && inode("l") == inode("l2"), "a link to a symlink");
    OK(linkat(AT_FDCWD, "l", AT_FDCWD, "l3", AT_SYMLINK_FOLLOW) == 0 && inode("l3") == inode("b"), "or to where it leads");
}

static void symlinks_keep_their_target(void)
{
    char buf[PATH_MAX], target[PATH_MAX];
    struct stat st;
    OK(symlink("some/where", "l") == 0 && readlink("l", buf, sizeof(buf)) == 10 && memcmp(buf, "some/where", 10) == 0, "readlink");
    OK(lstat("l", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 10, "the size is the length of the target");
    memset(target, 't', 4095);
    target[4095] = 0;
    OK(symlink(target, "long") == 0 && readlink("long", buf, sizeof(buf)) == 4095 && memcmp(buf, target, 4095) == 0, "4095 bytes");
    FAILS(symlink("x", "l"), EEXIST, "an existing name is EEXIST");
    FAILS(open("l", O_RDONLY), ENOENT, "a dangling one is ENOENT");
    OK(posix_put("f", "x") == 0 && readlink("f", buf, sizeof(buf)) == -1 && errno == EINVAL, "a file is no link");
}

static void directories_count_their_links(void)
{
    struct stat st;
    OK(mkdir("d", 0750) == 0 && stat("d", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0750, "mkdir");
    OK(links("d") == 2, "an empty one has two links");
    OK(mkdir("d/a", 0755) == 0 && mkdir("d/b", 0755) == 0 && posix_put("d/f", "") == 0 && links("d") == 4, "two and one for each child");
    FAILS(rmdir("d"), ENOTEMPTY, "a full one is ENOTEMPTY");
    FAILS(unlink("d/a"), EISDIR, "unlink is EISDIR");
    FAILS(rmdir("d/f"), ENOTDIR, "rmdir of a file is ENOTDIR");
    FAILS(mkdir("d", 0755), EEXIST, "an existing name is EEXIST");
    FAILS(mkdir("none/x", 0755), ENOENT, "a missing parent is ENOENT");
    OK(rmdir("d/a") == 0 && links("d") == 3, "rmdir takes the link away");
    FAILS(rmdir("d/b/."), EINVAL, "rmdir of . is EINVAL");
}

static void a_removed_directory_stays_usable(void)
{
    OK(mkdir("d", 0755) == 0, "mkdir");
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    OK(rmdir("d") == 0, "rmdir while it is open");
    FAILS(openat(fd, "f", O_WRONLY | O_CREAT, 0644), ENOENT, "nothing can be made in it");
    struct stat st;
    OK(fstat(fd, &st) == 0 && st.st_nlink == 0, "it has no links");
    close(fd);
}

static void times_of_a_directory_follow_its_entries(void)
{
    struct stat a, b;
    OK(mkdir("d", 0755) == 0 && stat("d", &a) == 0, "mkdir");
    usleep(20000);
    OK(posix_put("d/f", "") == 0 && stat("d", &b) == 0, "a new entry");
    OK(b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec != a.st_mtim.tv_nsec, "moves mtime");
    a = b;
    usleep(20000);
    OK(unlink("d/f") == 0 && stat("d", &b) == 0 && (b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec != a.st_mtim.tv_nsec), "so does its end");
}

static void names_of_255_bytes(void)
{
    char name[300];
    memset(name, 'n', sizeof(name));
    name[255] = 0;
    OK(posix_put(name, "x") == 0 && posix_holds(name, "x"), "255 bytes");
    OK(rename(name, "short") == 0 && rename("short", name) == 0 && posix_put("short", "y") == 0, "renamed to and fro");
    name[255] = 'n';
    name[256] = 0;
    FAILS(open(name, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG, "256 bytes are ENAMETOOLONG");
    FAILS(mkdir(name, 0755), ENAMETOOLONG, "for mkdir too");
    FAILS(symlink("x", name), ENAMETOOLONG, "and symlink");
    FAILS(rename("short", name), ENAMETOOLONG, "and rename");
    FAILS(access(name, F_OK), ENAMETOOLONG, "and lookup");
    OK(posix_put("a\nb\xff\x01", "odd") == 0 && posix_holds("a\nb\xff\x01", "odd"), "any byte but / and 0");
}

static void unlinked_files_live_while_open(void)
{
    struct stat st;
    char buf[8];
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(write(fd, "abc", 3) == 3 && unlink("f") == 0, "unlink of an open file");
    FAILS(access("f", F_OK), ENOENT, "the name is gone");
    OK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 3, "the file is not");
    OK(pwrite(fd, "XYZ", 3, 3) == 3 && fsync(fd) == 0, "it can be written");
    OK(pread(fd, buf, 8, 0) == 6 && memcmp(buf, "abcXYZ", 6) == 0, "and read");
    OK(ftruncate(fd, 2) == 0 && fchmod(fd, 0600) == 0 && fstat(fd, &st) == 0 && st.st_size == 2, "and changed");
    OK(posix_put("f", "new") == 0 && posix_holds("f", "new") && inode("f") != st.st_ino, "its name is free for another");
    close(fd);
    FAILS(unlink("missing"), ENOENT, "a missing name is ENOENT");
}

static void special_files(void)
{
    struct stat st;
    OK(mkfifo("fifo", 0640) == 0 && lstat("fifo", &st) == 0 && S_ISFIFO(st.st_mode), "a fifo");
    int r = open("fifo", O_RDONLY | O_NONBLOCK), w = open("fifo", O_WRONLY);
    char c = 0;
    OK(r >= 0 && w >= 0 && write(w, "p", 1) == 1 && read(r, &c, 1) == 1 && c == 'p', "passes bytes");
    close(r);
    close(w);
    struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "sock" };
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    OK(bind(s, (struct sockaddr *)&addr, sizeof(addr)) == 0 && lstat("sock", &st) == 0 && S_ISSOCK(st.st_mode), "a socket");
    close(s);
    if (geteuid() != 0) {
        posix_skip("devices need root");
        return;
    }
    OK(mknod("chr", S_IFCHR | 0600, makedev(1, 3)) == 0 && lstat("chr", &st) == 0, "a character device");
    OK(S_ISCHR(st.st_mode) && major(st.st_rdev) == 1 && minor(st.st_rdev) == 3, "with its numbers");
    OK(mknod("blk", S_IFBLK | 0600, makedev(259, 70000)) == 0 && lstat("blk", &st) == 0, "a block device");
    OK(S_ISBLK(st.st_mode) && major(st.st_rdev) == 259 && minor(st.st_rdev) == 70000, "with large numbers");
    OK(mknod("reg", S_IFREG | 0644, 0) == 0 && lstat("reg", &st) == 0 && S_ISREG(st.st_mode), "a regular file");
}

static void fill(const char *dir, unsigned n)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    char name[32];
    unsigned made = 0;
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "entry-%06u", i);
        made += mknodat(fd, name, S_IFREG | 0644, 0) == 0;
    }
    close(fd);
    OK(made == n, "makes the entries");
}

/* A listing of a directory; the test cannot go on without it. */
static DIR *list(const char *path)
{
    DIR *d = opendir(path);
    if (!OK(d != NULL, "opendir"))
        exit(1);
    return d;
}

/* Number in the name of the next entry that is not . or .., or −1. */
static int next_entry(DIR *d)
{
    struct dirent *e;
    int number;
    while ((e = readdir(d)) != NULL) {
        if (sscanf(e->d_name, "entry-%d", &number) == 1)
            return number;
    }
    return -1;
}

static void a_hundred_thousand_entries(void)
{
    uint8_t *seen = calloc(MANY, 1);
    OK(mkdir("d", 0755) == 0, "mkdir");
    fill("d", MANY);
    DIR *d = list("d");
    unsigned n = 0, twice = 0;
    for (int i; (i = next_entry(d)) >= 0; n++)
        twice += seen[i]++;
    OK(n == MANY && twice == 0, "all are listed once");
    rewinddir(d);
    OK(next_entry(d) >= 0, "rewinddir starts again");
    closedir(d);
    OK(access("d/entry-099999", F_OK) == 0 && access("d/entry-100000", F_OK) != 0, "lookup");
    free(seen);
}

/* Delete every entry as soon as it was listed, seeking back and forth meanwhile: none may be skipped. */
static void deleting_while_listing(void)
{
    enum { N = 20000 };
    char path[64];
    OK(mkdir("d", 0755) == 0, "mkdir");
    fill("d", N);
    DIR *d = list("d");
    unsigned gone = 0, wrong = 0;
    for (;;) {
        long here = telldir(d);
        int i = next_entry(d);
        if (i < 0)
            break;
        seekdir(d, here);
        wrong += next_entry(d) != i;
        snprintf(path, sizeof(path), "d/entry-%06d", i);
        gone += unlink(path) == 0;
    }
    closedir(d);
    OK(wrong == 0, "seekdir returns to the same entry");
    OK(gone == N, "every entry was listed");
    OK(rmdir("d") == 0, "nothing is left");
}

static void offsets_stay_valid_while_others_go(void)
{
    enum { N = 5000 };
    static long place[N];
    static int entry[N];
    char path[64];
    OK(mkdir("d", 0755) == 0, "mkdir");
    fill("d", N);
    DIR *d = list("d");
    int n = 0;
    while (n < N) {
        place[n] = telldir(d);
        entry[n] = next_entry(d);
        if (entry[n] < 0)
            break;
        n++;
    }
    OK(n == N, "lists all");
    for (int i = 0; i < n; i += 2) {
        snprintf(path, sizeof(path), "d/entry-%06d", entry[i]);
        unlink(path);
    }
    unsigned wrong = 0;
    for (int i = n - 1 - (n % 2 == 0 ? 0 : 1); i > 0; i -= 2 * 97) {
        seekdir(d, place[i]);
        wrong += next_entry(d) != entry[i];
    }
    OK(wrong == 0, "an old offset still leads to its entry");
    closedir(d);
}

static void dot_entries_are_listed(void)
{
    OK(mkdir("d", 0755) == 0, "mkdir");
    DIR *d = list("d");
    bool dot = false, dotdot = false;
    unsigned n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL; n++) {
        dot |= strcmp(e->d_name, ".") == 0 && e->d_ino == inode("d");
        dotdot |= strcmp(e->d_name, "..") == 0;
    }
    closedir(d);
    OK(dot && dotdot && n == 2, ". and .. and nothing else");
}

static void readdir_knows_types(void)
{
    OK(posix_put("f", "") == 0 && mkdir("d", 0755) == 0 && symlink("x", "l") == 0 && mkfifo("p", 0600) == 0, "one of each");
    DIR *d = list(".");
    unsigned right = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        right += strcmp(e->d_name, "f") == 0 && e->d_type == DT_REG && e->d_ino == inode("f");
        right += strcmp(e->d_name, "d") == 0 && e->d_type == DT_DIR && e->d_ino == inode("d");
        right += strcmp(e->d_name, "l") == 0 && e->d_type == DT_LNK && e->d_ino == inode("l");
        right += strcmp(e->d_name, "p") == 0 && e->d_type == DT_FIFO && e->d_ino == inode("p");
    }
    closedir(d);
    OK(right == 4, "d_type and d_ino are right");
}

const struct posix_case posix_name_cases[] = {
    { "rename", rename_moves_and_replaces },
    { "rename_open", rename_of_an_open_file },
    { "rename_dirs", rename_of_directories },
    { "renameat2", rename_noreplace_and_exchange },
    { "links", hard_links_share_the_file },
    { "symlinks", symlinks_keep_their_target },
    { "directories", directories_count_their_links },
    { "removed_directory", a_removed_directory_stays_usable },
    { "directory_times", times_of_a_directory_follow_its_entries },
    { "name_length", names_of_255_bytes },
    { "unlinked", unlinked_files_live_while_open },
    { "special_files", special_files },
    { "many_entries", a_hundred_thousand_entries },
    { "delete_while_listing", deleting_while_listing },
    { "stable_offsets", offsets_stay_valid_while_others_go },
    { "dot_entries", dot_entries_are_listed },
    { "readdir_types", readdir_knows_types },
    { NULL, NULL },
};
