/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrub_speed.c: what a scrub costs beside the sum of its parts, one core, in a store in memory.
 * Usage: scrub_speed [MIB [ROUNDS [DIR]]] (2048 7 /dev/shm). Makes a store of R = 3 in DIR, fills it with MIB of random bytes, and removes it.
 *
 * The parts, on the very files that the scrub reads: every byte copied into memory, as in reads of 1 MiB; XXH3 of every stored block of
 * 4 KiB; the syndromes of all stripes by the engine of the store. They take one container after the other, as a scrub does, in memory that
 * is there already, and are timed by themselves. A scrub is what users start, in the scrubber's thread, from the command to its end.
 * Every round does all of it in turns; figures are medians of the rounds with the smallest and the largest, and so are ratios.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sum.h"
#include "core/container.h"
#include "core/fs.h"
#include "core/holofs.h"
#include "store/chead.h"

enum { ROUNDS_MAX = 99, SETTLE_ROUNDS = 20, RUN = 1 << 20 /* of a read or a write */ };

/* By the clock on the wall, and of all threads of this program. */
struct times {
    double wall, cpu;
};

enum figure { COPY, XXH3, PARITY, SCRUB, TRUSTING, FIGURES };
static const char *const names[FIGURES] = { "copy in", "XXH3", "parity", "scrub", "scrub --trust-parity" };

struct bench {
    struct holofs *fs;
    uint8_t *file; /* one container file */
    size_t cap;
    uint8_t *dirty;
    uint64_t used;             /* so that no compiler leaves out what nobody needs */
    uint64_t blocks, scrubbed; /* of a round */
    unsigned round;
    struct times t[FIGURES][ROUNDS_MAX];
};

static char dir[4096]; /* of the store */

static void die(const char *what, int e)
{
    fprintf(stderr, "scrub_speed: %s: %s\n", what, strerror(e < 0 ? -e : e));
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct times now(void)
{
    return (struct times){ seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID) };
}

static void add_since(struct times *sum, const struct times *since)
{
    struct times t = now();
    sum->wall += t.wall - since->wall;
    sum->cpu += t.cpu - since->cpu;
}

/* The last processor, for all threads that are started from here: interrupts go to the first ones. */
static void stay_on_one_core(void)
{
    cpu_set_t allowed, one;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    }
    sched_setaffinity(0, sizeof(one), &one);
}

/* ---- the store ---- */

static void fill_random(uint64_t *p, size_t n)
{
    static uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < n / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = x;
    }
}

static void write_file(struct holofs *fs, uint64_t bytes)
{
    static const char *const after[] = { "sync", "seal", "sync" };
    const struct holofs_cred cred = { 0 };
    struct holofs_attr a;
    uint64_t *piece = malloc(RUN);
    int e = piece ? holofs_create(fs, &cred, 1, "file", S_IFREG | 0644, 0, NULL, &a) : -ENOMEM;
    for (uint64_t off = 0; off < bytes && !e; off += RUN) {
        fill_random(piece, RUN);
        e = holofs_write(fs, a.ino, off, piece, RUN, false) == RUN ? 0 : -EIO;
    }
    for (unsigned i = 0; i < 3 && !e; i++)
        e = holofs_control(fs, after[i], strlen(after[i]));
    if (e)
        die("filling the store", e);
    free(piece);
}

static void make_store(struct bench *b, const char *in, uint64_t bytes)
{
    const struct holofs_geometry g = { .r = 3 };
    struct holofs_options o;
    char why[512] = "";
    snprintf(dir, sizeof(dir), "%s/scrub-speed-XXXXXX", in);
    if (!mkdtemp(dir))
        die(dir, errno);
    holofs_options_init(&o);
    o.compress = HOLOFS_COMPRESS_OFF;
    int e = holofs_format(dir, &g, why, sizeof(why));
    if (!e)
        e = holofs_open(dir, &o, &b->fs, why, sizeof(why));
    if (e)
        die(why, e);
    write_file(b->fs, bytes);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void remove_store(void)
{
    if (dir[0])
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the parts ---- */

static size_t copy_in(struct bench *b, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;
    while (fd >= 0 && len + RUN <= b->cap && (n = pread(fd, b->file + len, RUN, (off_t)len)) > 0)
        len += (size_t)n;
    if (fd < 0 || n)
        die(path, n > 0 ? EFBIG : errno);
    close(fd);
    return len;
}

static uint64_t xxh3(const uint8_t *stored, uint32_t n)
{
    uint64_t all = 0;
    for (uint32_t x = 0; x < n; x++)
        all ^= sum64(stored + (size_t)x * BLOCK_SIZE, BLOCK_SIZE, x + 1);
    return all;
}

static void check_parity(struct bench *b, const struct container_header *h, const uint8_t *stored)
{
    const struct ecc_container c = { .layout = { .used = h->used, .D = h->D }, .stored = stored, .dirty = b->dirty };
    const struct ecc_code *code = b->fs->code[h->r];
    int e = code ? b->fs->engine->containers(ECC_SYNDROME, code, BLOCK_SIZE, &c, 1) : -EINVAL;
    if (e || memchr(b->dirty, 1, h->D))
        die("parity", e ? e : EILSEQ);
}

static int parts_of_one(void *arg, uint32_t id)
{
    struct bench *b = arg;
    struct container_header h;
    struct times *copy = &b->t[COPY][b->round], *sums = &b->t[XXH3][b->round], *parity = &b->t[PARITY][b->round], t;
    char path[5000], name[CONTAINER_NAME_MAX];
    if (ctab_find(b->fs, id)->state != CONTAINER_SEALED)
        return 0;
    container_name(id, name);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    t = now();
    size_t len = copy_in(b, path);
    add_since(copy, &t);
    if (chead_decode_any(b->file, &h) || len != (size_t)chead_file_blocks(&h) * BLOCK_SIZE)
        die(path, EILSEQ);
    const uint8_t *stored = b->file + (size_t)chead_file_block(&h, 0) * BLOCK_SIZE;
    t = now();
    b->used ^= xxh3(stored, chead_positions(&h));
    add_since(sums, &t);
    t = now();
    check_parity(b, &h, stored);
    add_since(parity, &t);
    b->blocks += len / BLOCK_SIZE;
    return 0;
}

/* ---- the whole ---- */

static void scrub(struct bench *b, const char *command, struct times *out)
{
    const struct timespec ms = { .tv_nsec = 1000000 };
    const struct scrub_state *s = &b->fs->scrub;
    uint64_t passes = s->passes;
    struct times t = now();
    int e = holofs_control(b->fs, command, strlen(command));
    while (!e && (s->passes == passes || s->run != SCRUB_IDLE))
        nanosleep(&ms, NULL);
    add_since(out, &t);
    if (e || s->bad || s->lost || s->parity_disagrees)
        die(command, e ? e : EILSEQ);
    b->scrubbed = s->blocks;
}

/* Returns whether the scrubs and the parts read the same. */
static bool run_round(struct bench *b)
{
    for (unsigned f = 0; f < FIGURES; f++)
        b->t[f][b->round] = (struct times){ 0 };
    b->blocks = 0;
    ctab_each(b->fs, parts_of_one, b);
    scrub(b, "scrub start", &b->t[SCRUB][b->round]);
    bool same = b->blocks == b->scrubbed;
    scrub(b, "scrub start trust-parity", &b->t[TRUSTING][b->round]);
    return same && b->blocks == b->scrubbed;
}

/* Warm up, until housekeeping has come to its end; then measure. */
static void run_rounds(struct bench *b, unsigned rounds)
{
    for (unsigned i = 0; i < SETTLE_ROUNDS && !run_round(b); i++)
        sleep(1);
    for (b->round = 0; b->round < rounds; b->round++) {
        if (!run_round(b))
            die("the scrub and the parts did not read the same", EILSEQ);
    }
}

/* ---- telling ---- */

static int by_value(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

static void print_figure(const char *name, double *v, unsigned n, const char *form)
{
    qsort(v, n, sizeof(*v), by_value);
    printf(form, name, v[n / 2], v[0], v[n - 1]);
}

/* What the parts of a figure take together. */
static double parts_of(const struct bench *b, enum figure whole, unsigned round, bool wall)
{
    double sum = 0;
    for (unsigned f = COPY; f < (whole == TRUSTING ? PARITY : SCRUB); f++)
        sum += wall ? b->t[f][round].wall : b->t[f][round].cpu;
    return sum;
}

static void print_all(const struct bench *b, unsigned rounds, bool wall)
{
    double v[ROUNDS_MAX];
    printf("%s\n", wall ? "by the clock on the wall" : "processor time");
    for (unsigned f = 0; f < FIGURES; f++) {
        for (unsigned r = 0; r < rounds; r++)
            v[r] = (wall ? b->t[f][r].wall : b->t[f][r].cpu) / (double)b->blocks * 1e9;
        print_figure(names[f], v, rounds, "  %-42s %6.0f (%.0f to %.0f) ns a block of 4 KiB\n");
    }
    for (unsigned f = SCRUB; f < FIGURES; f++) {
        for (unsigned r = 0; r < rounds; r++)
            v[r] = (wall ? b->t[f][r].wall : b->t[f][r].cpu) / parts_of(b, f, r, wall);
        print_figure(f == SCRUB ? "scrub / (copy in + XXH3 + parity)" : "scrub --trust-parity / (copy in + XXH3)", v, rounds,
                     "  %-42s %6.2f (%.2f to %.2f)\n");
    }
}

static unsigned long number(int argc, char **argv, int i, unsigned long otherwise, unsigned long max)
{
    unsigned long v = argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
    return v < 1 ? 1 : v > max ? max : v;
}

int main(int argc, char **argv)
{
    static struct bench b;
    unsigned long mib = number(argc, argv, 1, 2048, 1u << 20);
    unsigned rounds = (unsigned)number(argc, argv, 2, 7, ROUNDS_MAX);
    atexit(remove_store);
    stay_on_one_core();
    make_store(&b, argc > 3 ? argv[3] : "/dev/shm", (uint64_t)mib << 20);
    b.cap = (size_t)(b.fs->sb.nmax + ECC_N_MAX * 64) * 2 * BLOCK_SIZE;
    b.file = mmap(NULL, b.cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    b.dirty = calloc(b.fs->sb.nmax + 1, 1);
    if (b.file == MAP_FAILED || !b.dirty)
        die("memory", ENOMEM);
    madvise(b.file, b.cap, MADV_HUGEPAGE);
    run_rounds(&b, rounds);
    printf("%lu MiB of files in %llu MiB of containers, engine %s, %u rounds\n", mib, (unsigned long long)(b.blocks >> 8), b.fs->engine->name,
           rounds);
    print_all(&b, rounds, false);
    print_all(&b, rounds, true);
    holofs_close(b.fs);
    return 0;
}
