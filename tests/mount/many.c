/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * many.c: very many files, names, open files or holes, so that a mount's memory can be looked at meanwhile.
 *
 *   many make DIR N        N files of a few bytes, 1000 to a folder, and all of them once more as links in DIR/all
 *   many walk DIR N        list and stat all of it, read a file in ten: N files with the bytes that make wrote
 *   many open DIR N        hold N of them open, write and read each
 *   many sparse FILE G N   N blocks of 4 KiB at random places of G GiB, then read again
 * All end with 'N passed, N failed'.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER = 1000, TEXT = 64, BLOCK = 4096 };

static unsigned long failed;

static void complain(const char *what, const char *name)
{
    if (failed++ < 10)
        printf("FAIL %s %s: %s\n", what, name, strerror(errno));
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void name_of(const char *dir, unsigned long n, char out[512])
{
    snprintf(out, 512, "%s/d%lu/a file with number %lu", dir, n / FOLDER, n);
}

static int text_of(unsigned long n, char out[TEXT])
{
    return snprintf(out, TEXT, "%lu %llx\n", n, (unsigned long long)mix(n));
}

static void make(const char *dir, unsigned long n)
{
    char name[512], text[TEXT], link_name[512];
    snprintf(link_name, sizeof(link_name), "%s/all", dir);
    mkdir(link_name, 0755);
    for (unsigned long i = 0; i < n; i++) {
        if (i % FOLDER == 0) {
            snprintf(name, sizeof(name), "%s/d%lu", dir, i / FOLDER);
            if (mkdir(name, 0755))
                complain("mkdir", name);
        }
        name_of(dir, i, name);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644), len = text_of(i, text);
        if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd))
            complain("create", name);
        snprintf(link_name, sizeof(link_name), "%s/all/%lu", dir, i);
        if (link(name, link_name))
            complain("link", link_name);
    }
}

static void expect_text(const char *name, unsigned long n)
{
    char text[TEXT], got[TEXT];
    int fd = open(name, O_RDONLY), len = text_of(n, text);
    if (fd < 0 || read(fd, got, TEXT) != len || memcmp(got, text, (size_t)len) != 0)
        complain("read", name);
    if (fd >= 0)
        close(fd);
}

static unsigned long list(const char *dir, unsigned long at_most)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;
    char name[800];
    unsigned long n = 0;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        snprintf(name, sizeof(name), "%.500s/%.255s", dir, e->d_name);
        if (n <= at_most && lstat(name, &st))
            complain("stat", name);
    }
    if (!d)
        complain("opendir", dir);
    else
        closedir(d);
    return n;
}

static void walk(const char *dir, unsigned long n)
{
    char name[512];
    unsigned long seen = 0;
    for (unsigned long d = 0; d * FOLDER < n; d++) {
        snprintf(name, sizeof(name), "%s/d%lu", dir, d);
        seen += list(name, FOLDER);
        for (unsigned long i = d * FOLDER; i < n && i < (d + 1) * FOLDER; i += 10) {
            name_of(dir, i, name);
            expect_text(name, i);
        }
    }
    if (seen != n)
        complain("files are missing in", dir);
    snprintf(name, sizeof(name), "%s/all", dir);
    if (list(name, n) != n)
        complain("names are missing in", name);
}

static void hold_open(const char *dir, unsigned long n)
{
    struct rlimit lim = { n + 100, n + 100 };
    char name[512], text[TEXT], got[TEXT];
    int *fd = calloc(n, sizeof(*fd));
    if (setrlimit(RLIMIT_NOFILE, &lim))
        complain("setrlimit", dir);
    for (unsigned long i = 0; i < n; i++) {
        name_of(dir, i, name);
        fd[i] = open(name, O_RDWR);
        int len = text_of(i, text);
        if (fd[i] < 0 || pwrite(fd[i], text, (size_t)len, 5000000) != len)
            complain("open", name);
    }
    for (unsigned long i = 0; i < n; i++) {
        int len = text_of(i, text);
        if (pread(fd[i], got, (size_t)len, 5000000) != len || memcmp(got, text, (size_t)len) != 0)
            complain("read back", dir);
        if (ftruncate(fd[i], len) || close(fd[i]))
            complain("close", dir);
    }
    free(fd);
}

static void sparse(const char *file, unsigned long gib, unsigned long n)
{
    uint64_t blocks = (uint64_t)gib << 18, block[BLOCK / 8], got[BLOCK / 8];
    int fd = open(file, O_CREAT | O_RDWR | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)(blocks * BLOCK)))
        complain("open", file);
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned long i = 0; i < n; i++) {
            uint64_t at = mix(i + 1) % blocks;
            for (size_t k = 0; k < BLOCK / 8; k++)
                block[k] = mix(at * 512 + k);
            if (pass == 0 && pwrite(fd, block, BLOCK, (off_t)(at * BLOCK)) != BLOCK)
                complain("write", file);
            if (pass == 1 && (pread(fd, got, BLOCK, (off_t)(at * BLOCK)) != BLOCK || memcmp(got, block, BLOCK) != 0))
                complain("read", file);
        }
        if (fsync(fd))
            complain("fsync", file);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    if (close(fd))
        complain("close", file);
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 3 ? strtoul(argv[argc - 1], NULL, 10) : 0;
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        make(argv[2], n);
    else if (argc == 4 && strcmp(argv[1], "walk") == 0)
        walk(argv[2], n);
    else if (argc == 4 && strcmp(argv[1], "open") == 0)
        hold_open(argv[2], n);
    else if (argc == 5 && strcmp(argv[1], "sparse") == 0)
        sparse(argv[2], strtoul(argv[3], NULL, 10), n);
    else
        return 2;
    printf("%d passed, %lu failed\n", failed == 0, failed);
    return failed != 0;
}
