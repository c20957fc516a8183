/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_share.c: what several users of one file see: mmap, flock and fcntl locks, concurrent writers. */
#include "tests/mount/posix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAP_LEN = 1 << 20 };

static void mmap_and_read_agree(void)
{
    uint8_t *b = malloc(MAP_LEN), back[4096];
    posix_pattern(b, MAP_LEN, 20);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(write(fd, b, MAP_LEN) == MAP_LEN, "writes");
    uint8_t *m = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(m != MAP_FAILED, "maps it shared");
    if (m == MAP_FAILED)
        return;
    OK(memcmp(m, b, MAP_LEN) == 0, "the mapping shows the bytes");
    memset(m + 5000, 0xaa, 3000);
    OK(pread(fd, back, 3000, 5000) == 3000 && back[0] == 0xaa && back[2999] == 0xaa, "read sees a store");
    OK(pwrite(fd, "hello", 5, 70000) == 5 && memcmp(m + 70000, "hello", 5) == 0, "the mapping sees a write");
    OK(msync(m, MAP_LEN, MS_SYNC) == 0, "msync");
    OK(ftruncate(fd, 4096) == 0 && ftruncate(fd, MAP_LEN) == 0 && m[5000] == 0, "a truncation empties the mapping");
    memcpy(m + 100000, "late", 4);
    OK(munmap(m, MAP_LEN) == 0 && close(fd) == 0, "unmaps");
    fd = open("f", O_RDONLY);
    OK(pread(fd, back, 4, 100000) == 4 && memcmp(back, "late", 4) == 0, "stores outlive the mapping");
    close(fd);
    free(b);
}

static void private_mappings_stay_private(void)
{
    OK(posix_put("f", "original") == 0, "a file");
    int fd = open("f", O_RDONLY);
    char *m = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    OK(m != MAP_FAILED, "maps it");
    if (m != MAP_FAILED) {
        m[0] = 'X';
        munmap(m, 8);
    }
    close(fd);
    OK(posix_holds("f", "original"), "the file is unchanged");
}

static int run_child(int (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn());
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int flock_is_refused(void)
{
    int fd = open("f", O_RDWR);
    int bad = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    return bad | (flock(fd, LOCK_SH | LOCK_NB) == 0) << 1;
}

static int flock_is_granted(void)
{
    int fd = open("f", O_RDWR);
    return flock(fd, LOCK_EX | LOCK_NB) != 0;
}

static void flock_between_processes(void)
{
    OK(posix_put("f", "x") == 0, "a file");
    int fd = open("f", O_RDWR);
    OK(flock(fd, LOCK_EX) == 0, "locks");
    OK(run_child(flock_is_refused) == 0, "another process is refused");
    OK(flock(fd, LOCK_UN) == 0 && run_child(flock_is_granted) == 0, "and granted after the release");
    close(fd);
    OK(run_child(flock_is_granted) == 0, "and after the end of a holder");
}

static int set_lock(int fd, short type, off_t start, off_t len)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
    return fcntl(fd, F_SETLK, &l);
}

static int range_is_locked(void)
{
    int fd = open("f", O_RDWR);
    int bad = set_lock(fd, F_WRLCK, 50, 10) == 0 || (errno != EAGAIN && errno != EACCES);
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0 };
    bad |= (fcntl(fd, F_GETLK, &l) || l.l_type != F_WRLCK || l.l_start != 0 || l.l_len != 100 || l.l_pid != getppid()) << 1;
    return bad | (set_lock(fd, F_WRLCK, 100, 100) != 0) << 2;
}

static int range_is_free(void)
{
    int fd = open("f", O_RDWR);
    return set_lock(fd, F_WRLCK, 0, 0) != 0;
}

static void fcntl_locks_between_processes(void)
{
    OK(posix_put("f", "x") == 0, "a file");
    int fd = open("f", O_RDWR);
    OK(set_lock(fd, F_WRLCK, 0, 100) == 0, "locks 100 bytes");
    OK(run_child(range_is_locked) == 0, "another process sees the lock and its owner");
    OK(set_lock(fd, F_UNLCK, 0, 0) == 0 && run_child(range_is_free) == 0, "until it is released");
    OK(set_lock(fd, F_WRLCK, 0, 0) == 0, "locks all");
    close(open("f", O_RDONLY));
    OK(run_child(range_is_free) == 0, "closing any descriptor releases it");
    close(fd);
}

static int append_thousand_records(void)
{
    int fd = open("log", O_WRONLY | O_APPEND);
    char line[33];
    snprintf(line, sizeof(line), "%031d", getpid());
    line[31] = '\n';
    for (int i = 0; i < 1000; i++) {
        if (write(fd, line, 32) != 32)
            return 1;
    }
    return close(fd) != 0;
}

static void appenders_do_not_overwrite_each_other(void)
{
    struct stat st;
    pid_t pid[4];
    OK(posix_put("log", "") == 0, "a log");
    fflush(stdout);
    for (int i = 0; i < 4; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            _exit(append_thousand_records());
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        waitpid(pid[i], &status, 0);
        OK(status == 0, "an appender");
    }
    OK(stat("log", &st) == 0 && st.st_size == 4 * 1000 * 32, "every record has its place");
    FILE *f = fopen("log", "r");
    char line[64];
    unsigned whole = 0;
    while (f && fgets(line, sizeof(line), f))
        whole += strlen(line) == 32;
    if (f)
        fclose(f);
    OK(whole == 4000, "and is whole");
}

static void two_descriptors_share_the_size(void)
{
    struct stat st;
    int a = open("f", O_RDWR | O_CREAT, 0644), b = open("f", O_RDWR);
    char c = 0;
    OK(pwrite(a, "x", 1, 9999) == 1 && fstat(b, &st) == 0 && st.st_size == 10000, "the other sees it grow");
    OK(ftruncate(b, 10) == 0 && fstat(a, &st) == 0 && st.st_size == 10, "and shrink");
    OK(pread(a, &c, 1, 9999) == 0, "nothing is behind the end");
    close(a);
    close(b);
}

const struct posix_case posix_share_cases[] = {
    { "mmap", mmap_and_read_agree },
    { "mmap_private", private_mappings_stay_private },
    { "flock", flock_between_processes },
    { "fcntl_locks", fcntl_locks_between_processes },
    { "appenders", appenders_do_not_overwrite_each_other },
    { "two_descriptors", two_descriptors_share_the_size },
    { NULL, NULL },
};
