/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix.c: runs the parts of the posix test in DIR. Usage: posix DIR [part of a case's name] */
#include "tests/mount/posix.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned n_passed, n_failed; /* the one result of this program */
static const char *case_name;

bool posix_check(bool ok, const char *name, const char *file, int line)
{
    int err = errno;
    if (ok) {
        n_passed++;
        return true;
    }
    n_failed++;
    const char *base = strrchr(file, '/');
    printf("FAIL %s: %s (%s:%d, errno %s)\n", case_name, name, base ? base + 1 : file, line, strerror(err));
    fflush(stdout);
    return false;
}

void posix_skip(const char *name)
{
    printf("skipped %s: %s\n", case_name, name);
}

int posix_as(uid_t uid, gid_t gid, int (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) || setgid(gid) || setuid(uid))
            _exit(255);
        _exit(fn());
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

int posix_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return -1;
    size_t len = strlen(text);
    ssize_t n = write(fd, text, len);
    return close(fd) == 0 && n == (ssize_t)len ? 0 : -1;
}

bool posix_holds(const char *path, const char *text)
{
    char buf[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, sizeof(buf));
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

void posix_pattern(uint8_t *buf, size_t len, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        buf[i] = (uint8_t)(x >> 32);
    }
}

static void run_case(int top, const struct posix_case *c)
{
    char dir[64];
    snprintf(dir, sizeof(dir), "case-%.50s", c->name);
    case_name = c->name;
    umask(022);
    if (fchdir(top) || mkdir(dir, 0777) || chdir(dir)) {
        posix_check(false, "makes its directory", __FILE__, __LINE__);
        return;
    }
    chmod(".", 0777);
    c->run();
    if (fchdir(top))
        perror("fchdir");
}

static void run_table(int top, const struct posix_case *table, const char *filter)
{
    for (; table->name; table++) {
        if (!filter || strstr(table->name, filter))
            run_case(top, table);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: posix DIR [part of a case's name]\n");
        return 16;
    }
    int top = open(argv[1], O_RDONLY | O_DIRECTORY);
    if (top < 0) {
        perror(argv[1]);
        return 8;
    }
    const char *filter = argc > 2 ? argv[2] : NULL;
    run_table(top, posix_open_cases, filter);
    run_table(top, posix_data_cases, filter);
    run_table(top, posix_name_cases, filter);
    run_table(top, posix_attr_cases, filter);
    run_table(top, posix_share_cases, filter);
    printf("%u passed, %u failed\n", n_passed, n_failed);
    return n_failed ? 1 : 0;
}
