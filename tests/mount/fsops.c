/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsops.c: random operations on a few files, each also done to a model in memory; all bytes and sizes are compared.
 * Usage: fsops [-n OPS] [-s FIRST_SEED] [-c SEEDS] [-R ROUNDS] [-r COMMAND] [-v] DIR
 * COMMAND remounts the file system; it runs between rounds, when nothing is open. The same seed does the same
 * operations: a failure names its seed and the number of its operation, -v prints them all.
 */
#include "tests/mount/fsops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    unsigned ops, rounds, seeds;
    uint64_t first_seed;
    const char *remount, *dir;
    bool verbose;
};

uint64_t fsops_random(struct fsops *s, uint64_t below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (s->random >> 11) % below;
}

bool fsops_fail(struct fsops *s, const char *fmt, ...)
{
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    printf("FAIL seed %ju, operation %u (%s): ", (uintmax_t)s->seed, s->n, s->what);
    vprintf(fmt, ap);
    printf(" (errno %s)\n", strerror(err));
    va_end(ap);
    fflush(stdout);
    return false;
}

void fsops_name(const struct fsops *s, unsigned slot, char *path)
{
    snprintf(path, FSOPS_PATH, "%s/d%u/n%u", s->top, slot % FSOPS_DIRS, slot);
}

static bool compare_bytes(struct fsops *s, unsigned slot, const uint8_t *got, const struct fsops_file *f)
{
    for (size_t i = 0; i < f->size; i++) {
        if (got[i] != f->data[i])
            return fsops_fail(s, "n%u differs at %zu of %zu: %02x, not %02x", slot, i, f->size, got[i], f->data[i]);
    }
    return true;
}

bool fsops_compare(struct fsops *s, unsigned slot)
{
    const struct fsops_file *f = s->slot[slot];
    char path[FSOPS_PATH];
    struct stat st;
    fsops_name(s, slot, path);
    if (!f)
        return lstat(path, &st) == -1 && errno == ENOENT ? true : fsops_fail(s, "n%u should not exist", slot);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        return fsops_fail(s, "n%u cannot be opened", slot);
    bool ok = true;
    if ((size_t)st.st_size != f->size || st.st_nlink != f->links)
        ok = fsops_fail(s, "n%u: size %jd, not %zu, or links %ju, not %u", slot, (intmax_t)st.st_size, f->size,
                        (uintmax_t)st.st_nlink, f->links);
    ssize_t n = ok ? pread(fd, s->scratch, FSOPS_MAX, 0) : 0;
    if (ok && n != (ssize_t)f->size)
        ok = fsops_fail(s, "n%u: read %zd of %zu", slot, n, f->size);
    ok = ok && compare_bytes(s, slot, s->scratch, f);
    close(fd);
    return ok;
}

static bool compare_all(struct fsops *s)
{
    for (unsigned i = 0; i < FSOPS_SLOTS; i++) {
        if (!fsops_compare(s, i))
            return false;
    }
    return true;
}

static void close_all(struct fsops *s)
{
    for (unsigned i = 0; i < FSOPS_SLOTS; i++) {
        if (s->slot[i])
            fsops_close(s->slot[i]);
    }
}

static bool make_dirs(const struct fsops *s)
{
    char path[FSOPS_PATH];
    if (mkdir(s->top, 0755))
        return false;
    for (unsigned i = 0; i < FSOPS_DIRS; i++) {
        snprintf(path, sizeof(path), "%s/d%u", s->top, i);
        if (mkdir(path, 0755))
            return false;
    }
    return true;
}

static void remove_all(struct fsops *s)
{
    char path[FSOPS_PATH];
    for (unsigned i = 0; i < FSOPS_SLOTS; i++) {
        fsops_name(s, i, path);
        unlink(path);
        if (s->slot[i])
            fsops_put(s->slot[i]);
        s->slot[i] = NULL;
    }
    for (unsigned i = 0; i < FSOPS_DIRS; i++) {
        snprintf(path, sizeof(path), "%s/d%u", s->top, i);
        rmdir(path);
    }
    if (rmdir(s->top))
        fsops_fail(s, "the directory is not empty at the end");
}

static bool run_round(struct fsops *s, const struct options *o)
{
    for (unsigned i = 0; i < o->ops / o->rounds; i++) {
        s->n++;
        if (!fsops_step(s))
            return false;
        if (s->verbose)
            printf("seed %ju %u: %s\n", (uintmax_t)s->seed, s->n, s->what);
        if (s->n % 64 == 0 && !compare_all(s))
            return false;
    }
    return true;
}

static bool run_seed(struct fsops *s, const struct options *o)
{
    s->random = s->seed * 0x9e3779b97f4a7c15u + 0x1234567;
    s->n = 0;
    snprintf(s->top, sizeof(s->top), "%s/seed-%ju", o->dir, (uintmax_t)s->seed);
    snprintf(s->what, sizeof(s->what), "start");
    if (!make_dirs(s))
        return fsops_fail(s, "cannot make %s", s->top);
    for (unsigned round = 0; round < o->rounds; round++) {
        if (!run_round(s, o) || !compare_all(s))
            return false;
        close_all(s);
        snprintf(s->what, sizeof(s->what), "after a remount");
        if (o->remount && system(o->remount))
            return fsops_fail(s, "%s", o->remount);
        if (!compare_all(s))
            return false;
    }
    remove_all(s);
    return true;
}

static int usage(void)
{
    fprintf(stderr, "usage: fsops [-n OPS] [-s FIRST_SEED] [-c SEEDS] [-R ROUNDS] [-r COMMAND] [-v] DIR\n");
    return 16;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int c; (c = getopt(argc, argv, "n:s:c:R:r:v")) != -1;) {
        switch (c) {
        case 'n': o->ops = (unsigned)atoi(optarg); break;
        case 's': o->first_seed = strtoull(optarg, NULL, 10); break;
        case 'c': o->seeds = (unsigned)atoi(optarg); break;
        case 'R': o->rounds = (unsigned)atoi(optarg); break;
        case 'r': o->remount = optarg; break;
        case 'v': o->verbose = true; break;
        default: return false;
        }
    }
    o->dir = argv[optind];
    return optind + 1 == argc && o->rounds > 0;
}

int main(int argc, char **argv)
{
    struct options o = { .ops = 3000, .rounds = 3, .seeds = 5, .first_seed = 1 };
    if (!parse(argc, argv, &o))
        return usage();
    unsigned passed = 0, failed = 0;
    struct fsops *s = calloc(1, sizeof(*s));
    if (!s)
        return 8;
    s->verbose = o.verbose;
    for (unsigned i = 0; i < o.seeds; i++) {
        s->seed = o.first_seed + i;
        bool ok = run_seed(s, &o);
        passed += ok;
        failed += !ok;
        memset(s->slot, 0, sizeof(s->slot));
    }
    free(s);
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
