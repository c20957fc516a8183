/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smallfiles.c: make, stat, read or delete many small files, one after the other, and print the seconds it took.
 * Usage: smallfiles create|stat|list|read|unlink DIR COUNT SIZE
 * 1000 files share a directory. Contents are incompressible.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PER_DIR = 1000, MAX_SIZE = 1 << 20 };

struct job {
    const char *dir;
    size_t size;
    uint8_t *buf;
    uint64_t random;
};

static void file_name(const struct job *j, unsigned i, char *path, size_t len)
{
    snprintf(path, len, "%s/%04u/file-%06u", j->dir, i / PER_DIR, i);
}

static void scramble(struct job *j)
{
    for (size_t i = 0; i + 8 <= j->size; i += 8) {
        j->random ^= j->random << 13;
        j->random ^= j->random >> 7;
        j->random ^= j->random << 17;
        memcpy(j->buf + i, &j->random, 8);
    }
}

static int do_create(struct job *j, unsigned i)
{
    char path[4096];
    if (i % PER_DIR == 0) {
        snprintf(path, sizeof(path), "%s/%04u", j->dir, i / PER_DIR);
        if (mkdir(path, 0755))
            return -1;
    }
    file_name(j, i, path, sizeof(path));
    scramble(j);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, j->buf, j->size) != (ssize_t)j->size)
        return -1;
    return close(fd);
}

static int do_stat(struct job *j, unsigned i)
{
    char path[4096];
    struct stat st;
    file_name(j, i, path, sizeof(path));
    return stat(path, &st) || (size_t)st.st_size != j->size ? -1 : 0;
}

static int do_list(struct job *j, unsigned i)
{
    char path[4096];
    if (i % PER_DIR)
        return 0;
    snprintf(path, sizeof(path), "%s/%04u", j->dir, i / PER_DIR);
    DIR *d = opendir(path);
    if (!d)
        return -1;
    while (readdir(d))
        ;
    return closedir(d);
}

static int do_read(struct job *j, unsigned i)
{
    char path[4096];
    file_name(j, i, path, sizeof(path));
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, j->buf, j->size) != (ssize_t)j->size)
        return -1;
    return close(fd);
}

static int do_unlink(struct job *j, unsigned i)
{
    char path[4096];
    file_name(j, i, path, sizeof(path));
    return unlink(path);
}

static const struct {
    const char *name;
    int (*run)(struct job *j, unsigned i);
} kinds[] = { { "create", do_create }, { "stat", do_stat }, { "list", do_list }, { "read", do_read }, { "unlink", do_unlink } };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(struct job *j, int (*fn)(struct job *, unsigned), unsigned count)
{
    double start = now();
    for (unsigned i = 0; i < count; i++) {
        if (fn(j, i)) {
            perror("smallfiles");
            return 1;
        }
    }
    printf("%.6f\n", now() - start);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5 || (size_t)atol(argv[4]) > MAX_SIZE) {
        fprintf(stderr, "usage: smallfiles create|stat|list|read|unlink DIR COUNT SIZE\n");
        return 16;
    }
    struct job j = { .dir = argv[2], .size = (size_t)atol(argv[4]), .random = 88172645463325252u };
    j.buf = calloc(1, MAX_SIZE);
    for (unsigned i = 0; j.buf && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(argv[1], kinds[i].name) == 0)
            return run(&j, kinds[i].run, (unsigned)atol(argv[3]));
    }
    fprintf(stderr, "smallfiles: unknown kind '%s'\n", argv[1]);
    return 16;
}
