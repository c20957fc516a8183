/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_attr.c: modes, owners, times, set-id bits, sticky and set-gid directories, extended attributes. */
#include "tests/mount/posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static mode_t mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0177777;
}

static bool later(struct timespec a, struct timespec b)
{
    return b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec > a.tv_nsec);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void chmod_sets_every_bit(void)
{
    struct stat a, b;
    OK(posix_put("f", "x") == 0 && stat("f", &a) == 0, "a file");
    usleep(20000);
    OK(chmod("f", 07777) == 0 && mode_of("f") == 07777, "07777");
    OK(stat("f", &b) == 0 && later(a.st_ctim, b.st_ctim) && same_time(a.st_mtim, b.st_mtim), "moves ctime, not mtime");
    OK(chmod("f", 0) == 0 && mode_of("f") == 0, "0");
    int fd = open(".", O_RDONLY);
    OK(fchmodat(fd, "f", 0640, 0) == 0 && mode_of("f") == 0640, "fchmodat");
    close(fd);
    FAILS(chmod("missing", 0644), ENOENT, "a missing file is ENOENT");
}

static void chown_changes_owners(void)
{
    struct stat st;
    OK(posix_put("f", "x") == 0 && symlink("f", "l") == 0, "a file");
    OK(chown("f", USER_A, GROUP_A) == 0 && stat("f", &st) == 0 && st.st_uid == USER_A && st.st_gid == GROUP_A, "both");
    OK(chown("f", (uid_t)-1, GROUP_B) == 0 && stat("f", &st) == 0 && st.st_uid == USER_A && st.st_gid == GROUP_B, "only the group");
    OK(lchown("l", USER_B, GROUP_B) == 0 && lstat("l", &st) == 0 && st.st_uid == USER_B, "of a link");
    OK(stat("f", &st) == 0 && st.st_uid == USER_A, "leaves its target alone");
}

static int change_what_is_not_ours(void)
{
    return (chmod("f", 0777) == 0) | (chown("f", USER_B, (gid_t)-1) == 0) << 1 | (utimensat(AT_FDCWD, "f", NULL, 0) == 0) << 2;
}

static int give_away(void)
{
    return (chown("mine", USER_B, (gid_t)-1) == 0) | (chown("mine", (uid_t)-1, GROUP_B) == 0) << 1 | (chmod("mine", 0600) != 0) << 2;
}

static void only_owners_change_attributes(void)
{
    OK(posix_put("f", "x") == 0, "a file of root");
    OK(posix_as(USER_A, GROUP_A, change_what_is_not_ours) == 0, "another user changes nothing");
    OK(posix_put("mine", "x") == 0 && chown("mine", USER_A, GROUP_A) == 0, "a file of a user");
    OK(posix_as(USER_A, GROUP_A, give_away) == 0, "who cannot give it away");
}

static void times_have_nanoseconds(void)
{
    struct stat st;
    struct timespec set[2] = { { 1000000001, 123456789 }, { 2000000002, 987654321 } };
    OK(posix_put("f", "x") == 0 && utimensat(AT_FDCWD, "f", set, 0) == 0 && stat("f", &st) == 0, "sets both");
    OK(same_time(st.st_atim, set[0]) && same_time(st.st_mtim, set[1]), "to the nanosecond");
    struct timespec omit[2] = { { 0, UTIME_OMIT }, { 5, 6 } };
    OK(utimensat(AT_FDCWD, "f", omit, 0) == 0 && stat("f", &st) == 0, "UTIME_OMIT");
    OK(same_time(st.st_atim, set[0]) && st.st_mtim.tv_sec == 5 && st.st_mtim.tv_nsec == 6, "leaves the one");
    struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
    OK(utimensat(AT_FDCWD, "f", now, 0) == 0 && stat("f", &st) == 0, "UTIME_NOW");
    OK(llabs((long long)st.st_atim.tv_sec - time(NULL)) < 60 && st.st_mtim.tv_sec == 5, "sets the other");
    struct timespec old[2] = { { -1000, 1 }, { 4102444800 * 2, 2 } };
    OK(utimensat(AT_FDCWD, "f", old, 0) == 0 && stat("f", &st) == 0, "before 1970 and after 2106");
    OK(same_time(st.st_atim, old[0]) && same_time(st.st_mtim, old[1]), "are kept");
    OK(symlink("f", "l") == 0 && utimensat(AT_FDCWD, "l", set, AT_SYMLINK_NOFOLLOW) == 0, "a link");
    OK(lstat("l", &st) == 0 && same_time(st.st_mtim, set[1]), "has its own");
}

static void writing_moves_mtime_and_ctime(void)
{
    struct stat a, b;
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(fstat(fd, &a) == 0, "a file");
    usleep(20000);
    OK(write(fd, "x", 1) == 1 && fstat(fd, &b) == 0 && later(a.st_mtim, b.st_mtim) && later(a.st_ctim, b.st_ctim), "a write moves both");
    struct timespec set[2] = { { 7, 7 }, { 8, 8 } };
    OK(futimens(fd, set) == 0 && fsync(fd) == 0 && close(fd) == 0 && stat("f", &b) == 0, "a time set after it");
    OK(same_time(b.st_mtim, set[1]), "is not overwritten at close");
    usleep(20000);
    OK(link("f", "g") == 0 && stat("f", &a) == 0 && later(b.st_ctim, a.st_ctim), "link moves ctime");
    usleep(20000);
    OK(rename("g", "h") == 0 && stat("f", &b) == 0 && later(a.st_ctim, b.st_ctim), "so does rename");
}

/* relatime: a read moves atime when it was not later than mtime. */
/* Read a byte past the page cache: reads that the kernel answers from it are not seen by a FUSE filesystem. */
static int read_cold(int flags)
{
    char c;
    int fd = open("f", O_RDONLY | flags);
    int bad = fd < 0 || fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || read(fd, &c, 1) != 1;
    return bad | (fd >= 0 && close(fd) != 0);
}

static void reading_moves_atime(void)
{
    struct stat st;
    struct timespec set[2] = { { 100, 0 }, { 200, 0 } };
    OK(posix_put("f", "x") == 0 && utimensat(AT_FDCWD, "f", set, 0) == 0, "an old atime");
    OK(read_cold(O_NOATIME) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 100, "O_NOATIME keeps it");
    OK(read_cold(0) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec >= 100, "a read never moves it back");
    if (st.st_atim.tv_sec == 100)
        posix_skip("atime is not kept (noatime)");
    OK(st.st_mtim.tv_sec == 200, "nor mtime");
}

static int write_a_byte(void)
{
    int fd = open("f", O_WRONLY);
    return fd < 0 || write(fd, "y", 1) != 1 || close(fd);
}

static int truncate_it(void)
{
    return truncate("f", 1) != 0;
}

static int chgrp_it(void)
{
    return chown("f", (uid_t)-1, GROUP_A) != 0;
}

static int truncate_by_open(void)
{
    int fd = open("f", O_WRONLY | O_TRUNC);
    return fd < 0 || close(fd);
}

static int allocate(int mode)
{
    int fd = open("f", O_WRONLY);
    return fd < 0 || fallocate(fd, mode, 0, 65536) || close(fd);
}

static int allocate_it(void)
{
    return allocate(0);
}

static int allocate_behind(void)
{
    return allocate(FALLOC_FL_KEEP_SIZE);
}

static int punch_it(void)
{
    return allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static int zero_it(void)
{
    return allocate(FALLOC_FL_ZERO_RANGE);
}

static int copy_into_it(void)
{
    int in = open("from", O_RDONLY), fd = open("f", O_WRONLY);
    return in < 0 || fd < 0 || copy_file_range(in, NULL, fd, NULL, 3, 0) != 3 || close(fd) || close(in);
}

/* stat(1) asks for the mode alone, which the kernel may keep longer than it keeps the rest. */
static mode_t mode_alone(void)
{
    struct statx x;
    return statx(AT_FDCWD, "f", 0, STATX_MODE, &x) == 0 ? x.stx_mode & 07777 : 0177777;
}

static mode_t after(mode_t mode, int (*fn)(void))
{
    OK(chmod("f", mode) == 0 && mode_alone() == mode, "sets the bits");
    OK(posix_as(USER_A, GROUP_A, fn) == 0, "a user changes the file");
    return mode_alone() == mode_of("f") ? mode_of("f") : 0177777;
}

static mode_t after_root(mode_t mode, int (*fn)(void))
{
    OK(chmod("f", mode) == 0 && fn() == 0, "root changes the file");
    return mode_of("f");
}

static void set_id_bits_and_allocation(void)
{
    OK(posix_put("f", "xyz") == 0 && chown("f", USER_A, GROUP_A) == 0 && posix_put("from", "abc") == 0, "a file of a user");
    OK(after(06777, allocate_it) == 0777, "cleared by fallocate");
    OK(after(06777, allocate_behind) == 0777, "by one that keeps the size");
    OK(after(06777, punch_it) == 0777, "by a hole");
    OK(after(06777, zero_it) == 0777, "by zeroes");
    OK(after(06777, copy_into_it) == 0777, "by copy_file_range");
    OK(after(06767, punch_it) == 02767 && after(06767, copy_into_it) == 02767, "set-gid without group execute stays");
    OK(chown("f", USER_A, GROUP_B) == 0 && after(06767, punch_it) == 0767, "not where the user is not of the group");
    OK(after(06767, copy_into_it) == 0767 && after(06767, write_a_byte) == 0767, "nor copying, nor writing");
    OK(after_root(06777, allocate_it) == 06777, "not by root's fallocate");
    OK(after_root(06777, punch_it) == 06777, "nor hole");
    OK(after_root(06777, copy_into_it) == 06777, "nor copy_file_range");
    OK(after_root(06777, truncate_by_open) == 06777, "nor O_TRUNC");
}

static void set_id_bits_are_cleared(void)
{
    OK(posix_put("f", "xyz") == 0 && chown("f", USER_A, GROUP_A) == 0, "a file of a user");
    OK(after(06777, write_a_byte) == 0777, "by a write");
    OK(after(06777, truncate_it) == 0777, "by a truncation");
    OK(after(06777, truncate_by_open) == 0777, "by O_TRUNC");
    OK(after(06777, chgrp_it) == 0777, "by chown");
    OK(after(02767, write_a_byte) == 02767, "set-gid without group execute stays");
    OK(chmod("f", 06777) == 0 && chown("f", USER_B, GROUP_B) == 0 && mode_of("f") == 0777, "by root's chown too");
    OK(chmod("f", 06777) == 0 && write_a_byte() == 0 && mode_of("f") == 06777, "not by root's write");
    OK(unlink("f") == 0 && mkfifo("f", 0644) == 0 && chown("f", USER_A, GROUP_B) == 0, "a fifo of a user");
    OK(after(06777, chgrp_it) == 0777, "of a fifo, too");
    OK(mkdir("d", 0755) == 0 && chmod("d", 06777) == 0 && chown("d", USER_A, GROUP_A) == 0 && mode_of("d") == 06777, "never of a directory");
}

static void security_capability_is_cleared_by_a_write(void)
{
    const uint8_t cap[20] = { 0, 0, 0, 2, 0, 4 };
    OK(posix_put("f", "x") == 0 && chmod("f", 0777) == 0, "a file");
    if (setxattr("f", "security.capability", cap, sizeof(cap), 0)) {
        OK(errno == EOPNOTSUPP || errno == EPERM, "security.capability");
        posix_skip("security.capability cannot be set");
        return;
    }
    OK(write_a_byte() == 0, "a write");
    FAILS((int)getxattr("f", "security.capability", NULL, 0), ENODATA, "takes it away");
}

static int chmod_foreign_group(void)
{
    return chmod("f", 02755) != 0;
}

static void chmod_by_a_stranger_to_the_group(void)
{
    OK(posix_put("f", "x") == 0 && chown("f", USER_A, GROUP_B) == 0, "a file of another group");
    OK(posix_as(USER_A, GROUP_A, chmod_foreign_group) == 0 && mode_of("f") == 0755, "does not get set-gid");
}

static int unlink_in_sticky(void)
{
    int bad = unlink("t/root") == 0 || (errno != EPERM && errno != EACCES);
    bad |= (rename("t/root", "t/x") == 0) << 1;
    return bad | (unlink("t/mine") != 0) << 2;
}

static void sticky_directories(void)
{
    OK(mkdir("t", 0777) == 0 && chmod("t", 01777) == 0, "a sticky directory");
    OK(posix_put("t/root", "x") == 0 && posix_put("t/mine", "x") == 0 && chown("t/mine", USER_A, GROUP_A) == 0, "two files");
    OK(posix_as(USER_A, GROUP_A, unlink_in_sticky) == 0, "each deletes only his own");
}

static int make_in_setgid(void)
{
    int fd = open("g/f", O_WRONLY | O_CREAT, 0644);
    return fd < 0 || mkdir("g/d", 0755);
}

static void setgid_directories(void)
{
    struct stat st;
    OK(mkdir("g", 0777) == 0 && chown("g", 0, GROUP_B) == 0 && chmod("g", 02777) == 0, "a set-gid directory");
    OK(posix_as(USER_A, GROUP_A, make_in_setgid) == 0, "a user makes things in it");
    OK(stat("g/f", &st) == 0 && st.st_gid == GROUP_B && st.st_uid == USER_A, "files get its group");
    OK(stat("g/d", &st) == 0 && st.st_gid == GROUP_B && (st.st_mode & S_ISGID), "directories the bit as well");
}

static void xattrs_are_kept(void)
{
    char buf[64];
    OK(posix_put("f", "x") == 0 && setxattr("f", "user.a", "value", 5, 0) == 0, "sets");
    OK(getxattr("f", "user.a", buf, sizeof(buf)) == 5 && memcmp(buf, "value", 5) == 0, "gets");
    OK(getxattr("f", "user.a", NULL, 0) == 5, "tells the size");
    FAILS((int)getxattr("f", "user.a", buf, 3), ERANGE, "a small buffer is ERANGE");
    FAILS(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST, "XATTR_CREATE of one that exists is EEXIST");
    FAILS(setxattr("f", "user.b", "x", 1, XATTR_REPLACE), ENODATA, "XATTR_REPLACE of one that does not is ENODATA");
    OK(setxattr("f", "user.a", "", 0, XATTR_REPLACE) == 0 && getxattr("f", "user.a", buf, sizeof(buf)) == 0, "an empty value");
    OK(removexattr("f", "user.a") == 0, "removes");
    FAILS(removexattr("f", "user.a"), ENODATA, "once");
    FAILS((int)getxattr("f", "user.none", buf, sizeof(buf)), ENODATA, "a missing one is ENODATA");
    OK(mkdir("d", 0755) == 0 && setxattr("d", "user.a", "v", 1, 0) == 0 && getxattr("d", "user.a", buf, 64) == 1, "on a directory");
}

static void xattrs_of_every_namespace(void)
{
    char buf[64];
    OK(posix_put("f", "x") == 0 && symlink("f", "l") == 0, "a file and a link");
    OK(setxattr("f", "trusted.t", "tt", 2, 0) == 0 && getxattr("f", "trusted.t", buf, 64) == 2, "trusted");
    OK(setxattr("f", "security.s", "sss", 3, 0) == 0 && getxattr("f", "security.s", buf, 64) == 3, "security");
    OK(lsetxattr("l", "trusted.t", "link", 4, 0) == 0 && lgetxattr("l", "trusted.t", buf, 64) == 4, "on a link");
    FAILS(lsetxattr("l", "user.u", "x", 1, 0), EPERM, "but not user");
    FAILS(setxattr("f", "nothing.x", "x", 1, 0), EOPNOTSUPP, "an unknown one is EOPNOTSUPP");
    OK(getxattr("f", "trusted.t", buf, 64) == 2, "the file has its own");
}

static void xattrs_of_64_kib(void)
{
    uint8_t *v = malloc(65537), *back = malloc(65536);
    posix_pattern(v, 65536, 11);
    OK(posix_put("f", "x") == 0, "a file");
    for (size_t len = 1; len <= 65536; len *= 4)
        OK(setxattr("f", "user.big", v, len, 0) == 0 && getxattr("f", "user.big", back, 65536) == (ssize_t)len && memcmp(v, back, len) == 0, "1 B … 64 KiB");
    FAILS(setxattr("f", "user.big", v, 65537, 0), E2BIG, "more is E2BIG");
    char name[300];
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[255] = 0;
    OK(setxattr("f", name, "x", 1, 0) == 0 && getxattr("f", name, back, 10) == 1, "a name of 255 bytes");
    free(v);
    free(back);
}

static void xattrs_are_listed(void)
{
    char name[32], list[8192];
    OK(posix_put("f", "x") == 0, "a file");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user.attr%02d", i);
        OK(setxattr("f", name, name, strlen(name), 0) == 0, "sets one of many");
    }
    ssize_t len = listxattr("f", list, sizeof(list));
    OK(len == listxattr("f", NULL, 0), "tells the size");
    unsigned n = 0;
    for (char *p = list; len > 0 && p < list + len; p += strlen(p) + 1)
        n += strncmp(p, "user.attr", 9) == 0;
    OK(n == 100, "all are there");
    FAILS((int)listxattr("f", list, 10), ERANGE, "a small buffer is ERANGE");
    OK(removexattr("f", "user.attr50") == 0 && listxattr("f", list, sizeof(list)) == len - 12, "one less after a removal");
}

static int foreign_xattr(void)
{
    int bad = setxattr("f", "user.x", "x", 1, 0) == 0;
    bad |= (setxattr("f", "trusted.x", "x", 1, 0) == 0) << 1;
    return bad | (getxattr("f", "trusted.t", NULL, 0) >= 0) << 2;
}

static void xattrs_are_protected(void)
{
    OK(posix_put("f", "x") == 0 && setxattr("f", "trusted.t", "t", 1, 0) == 0, "a file of root");
    OK(posix_as(USER_A, GROUP_A, foreign_xattr) == 0, "another user sets none and sees no trusted one");
}

static void xattrs_vanish_with_their_file(void)
{
    OK(posix_put("f", "x") == 0 && setxattr("f", "user.a", "v", 1, 0) == 0 && unlink("f") == 0 && posix_put("f", "y") == 0, "a new file of the old name");
    FAILS((int)getxattr("f", "user.a", NULL, 0), ENODATA, "has none of them");
}

const struct posix_case posix_attr_cases[] = {
    { "chmod", chmod_sets_every_bit },
    { "chown", chown_changes_owners },
    { "owners_only", only_owners_change_attributes },
    { "utimens", times_have_nanoseconds },
    { "mtime", writing_moves_mtime_and_ctime },
    { "atime", reading_moves_atime },
    { "set_id", set_id_bits_are_cleared },
    { "set_id_allocation", set_id_bits_and_allocation },
    { "capability", security_capability_is_cleared_by_a_write },
    { "foreign_group", chmod_by_a_stranger_to_the_group },
    { "sticky", sticky_directories },
    { "setgid_dir", setgid_directories },
    { "xattr", xattrs_are_kept },
    { "xattr_namespaces", xattrs_of_every_namespace },
    { "xattr_64k", xattrs_of_64_kib },
    { "xattr_list", xattrs_are_listed },
    { "xattr_protected", xattrs_are_protected },
    { "xattr_unlink", xattrs_vanish_with_their_file },
    { NULL, NULL },
};
