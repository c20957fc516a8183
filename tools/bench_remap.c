/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_remap.c: holo bench remap: what the remap table costs: a lookup, a new remap in memory, and a durable one.
 *
 * Lookups and additions are timed one by one; half of the lookups are of blocks that are remapped. A durable remap takes its turn
 * with one write of 4 KiB and its fdatasync in the same directory, so that both see the same disk. Every remapped block is read
 * back and compared.
 */
#include "tools/bench_remap.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "remap/map.h"
#include "remap/remap.h"
#include "tools/size.h"

enum { EXIT_WRONG = 1, EXIT_OPERATION = 8, EXIT_USAGE = 16 };
enum { SIZES = 5, SAMPLES = 200000, ADDS = 20000, BLOCKS_OF_CONTAINER = 16384, BLOCK = REMAP_BLOCK_SIZE };
static const size_t sizes[SIZES] = { 0, 1000, 10000, 100000, 1000000 };

struct options {
    const char *dir, *json;
    unsigned long commits;
};

/* Nanoseconds of calls, and what of them is told. */
struct times {
    uint32_t *v;
    size_t n, cap;
};

struct spread {
    double p50, p99, p999, max;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = (*seed ^ *seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int by_value(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static bool times_make(struct times *t, size_t cap)
{
    *t = (struct times){ .v = malloc(cap * sizeof(*t->v)), .cap = cap };
    return t->v;
}

static void times_add(struct times *t, uint64_t ns)
{
    if (t->n < t->cap)
        t->v[t->n++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static struct spread times_spread(struct times *t)
{
    struct spread s = { 0 };
    if (t->n) {
        qsort(t->v, t->n, sizeof(*t->v), by_value);
        s = (struct spread){ t->v[t->n / 2], t->v[t->n * 99 / 100], t->v[t->n * 999 / 1000], t->v[t->n - 1] };
    }
    free(t->v);
    t->v = NULL;
    return s;
}

static json_t *spread_json(const struct spread *s)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50", s->p50, "p99", s->p99, "p999", s->p999, "max", s->max);
}

/* ---- in memory ---- */

/* The k-th remapped block. Every second block of a container, so that its neighbours are not. */
static struct remap_entry entry_of(size_t k)
{
    size_t per_container = BLOCKS_OF_CONTAINER / 64;
    return (struct remap_entry){ .kind = REMAP_ADD, .container = (uint32_t)(1 + k / per_container),
                                 .file_block = (uint32_t)(k % per_container * 2) };
}

static bool add_one(struct remap_map *m, size_t k)
{
    struct remap_place p;
    struct remap_entry e = entry_of(k);
    if (remap_map_reserve(m) || !remap_map_next_free(m, &p))
        return false;
    e.spare_block = p.block;
    remap_map_apply(m, &e);
    return true;
}

static size_t bytes_in_use(void)
{
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
}

struct cell {
    size_t remaps;
    struct spread lookup, add;
    double bytes; /* of memory for each remap, spare blocks that wait left out */
    bool right;
};

static bool time_lookups(struct remap_map *m, size_t n, struct spread *out)
{
    struct times t;
    uint64_t seed = 1;
    bool right = true;
    if (!times_make(&t, SAMPLES))
        return false;
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t x = next_random(&seed);
        struct remap_entry e = entry_of(x / 2 % (n ? n : 1000));
        bool there = n && x % 2;
        uint32_t block = e.file_block + (there ? 0 : 1);
        uint64_t t0 = clock_mono_ns();
        bool found = remap_map_find(m, e.container, block, NULL);
        times_add(&t, clock_mono_ns() - t0);
        right &= found == there;
    }
    *out = times_spread(&t);
    return right;
}

static bool time_adds(struct remap_map *m, size_t from, struct spread *out)
{
    struct times t;
    bool right = times_make(&t, ADDS);
    for (size_t k = from; right && k < from + ADDS; k++) {
        uint64_t t0 = clock_mono_ns();
        right = add_one(m, k);
        times_add(&t, clock_mono_ns() - t0);
    }
    *out = times_spread(&t);
    return right;
}

static int measure(size_t n, struct cell *c)
{
    struct remap_header h = { .first = 1, .n_spares = 1, .spare = { { .blocks = (uint32_t)(n + ADDS + 1) } } };
    struct remap_map *m;
    *c = (struct cell){ .remaps = n };
    int e = remap_map_create(&h, &m);
    if (e)
        return e;
    size_t before = bytes_in_use();
    for (size_t k = 0; k < n && !e; k++)
        e = add_one(m, k) ? 0 : -ENOMEM;
    c->bytes = n ? (double)(bytes_in_use() - before) / (double)n : 0;
    c->right = !e && time_lookups(m, n, &c->lookup) && time_adds(m, n, &c->add);
    remap_map_destroy(m);
    return e;
}

static void print_cell(const struct cell *c)
{
    printf("%9zu  %7.0f %7.0f %7.0f  %7.0f %7.0f %7.0f  %8.1f%s\n", c->remaps, c->lookup.p50, c->lookup.p99, c->lookup.p999, c->add.p50, c->add.p99,
           c->add.p999, c->bytes, c->right ? "" : "  WRONG");
    fflush(stdout);
}

static int in_memory(json_t *cells, bool *right)
{
    printf("            lookup, ns               new remap, ns            memory,\n"
           "   remaps      p50     p99   p99.9      p50     p99   p99.9  bytes each\n");
    for (int i = 0; i < SIZES; i++) {
        struct cell c;
        int e = measure(sizes[i], &c);
        if (e)
            return e;
        print_cell(&c);
        *right &= c.right;
        json_array_append_new(cells, json_pack("{s:I, s:o, s:o, s:f, s:b}", "remaps", (json_int_t)c.remaps, "lookup_ns", spread_json(&c.lookup),
                                               "add_ns", spread_json(&c.add), "bytes_each", c.bytes, "right", c.right));
    }
    return 0;
}

/* ---- durable ---- */

/* Bytes that this process had sent to disks so far; 0 where the kernel does not tell. */
static uint64_t bytes_sent(void)
{
    char line[128];
    unsigned long long v = 0;
    FILE *f = fopen("/proc/self/io", "re");
    while (f && fgets(line, sizeof(line), f))
        sscanf(line, "write_bytes: %llu", &v);
    if (f)
        fclose(f);
    return v;
}

struct durable {
    struct backing *b;
    struct remap_table *t;
    int fd; /* the file whose writes remaps are compared with */
    uint8_t *block, *got;
    uint64_t remap_bytes, write_bytes;
    struct times remaps, writes;
    bool right;
};

static void block_of(unsigned long k, uint8_t *out)
{
    uint64_t seed = k;
    for (size_t i = 0; i < BLOCK; i += 8) {
        uint64_t v = next_random(&seed);
        memcpy(out + i, &v, 8);
    }
}

static int durable_pair(struct durable *d, unsigned long k)
{
    struct remap_entry e = entry_of(k);
    uint64_t sent = bytes_sent(), t0 = clock_mono_ns();
    block_of(k, d->block);
    if (pwrite(d->fd, d->block, BLOCK, (off_t)(k % 256) * BLOCK) != BLOCK || fdatasync(d->fd))
        return -errno;
    times_add(&d->writes, clock_mono_ns() - t0);
    d->write_bytes += bytes_sent() - sent;
    sent = bytes_sent();
    t0 = clock_mono_ns();
    int r = remap_add(d->t, e.container, e.file_block, d->block);
    times_add(&d->remaps, clock_mono_ns() - t0);
    d->remap_bytes += bytes_sent() - sent;
    return r;
}

static int durable_all(struct durable *d, unsigned long n)
{
    int e = 0;
    for (unsigned long k = 0; k < n && !e; k++)
        e = durable_pair(d, k);
    for (unsigned long k = 0; k < n && !e; k++) {
        struct remap_entry x = entry_of(k);
        block_of(k, d->block);
        e = remap_read(d->t, x.container, x.file_block, d->got);
        d->right &= !e && memcmp(d->block, d->got, BLOCK) == 0;
    }
    return e;
}

static int prepare(struct durable *d, const char *dir, unsigned long n)
{
    static const uint8_t uuid[16] = "bench of remaps";
    char path[4200];
    int e = backing_posix_open(dir, false, &d->b);
    if (!e)
        e = d->b->ops->mkdir(d->b, "spare");
    if (!e)
        e = remap_format(d->b, uuid, (uint32_t)n + 64);
    if (!e)
        e = remap_open(d->b, uuid, false, &d->t);
    if (e)
        return e;
    snprintf(path, sizeof(path), "%s/plain", dir);
    d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->fd < 0)
        return -errno;
    for (int i = 0; i < 256; i++) { /* blocks that are there already: the cheapest that a durable write can be */
        if (pwrite(d->fd, d->block, BLOCK, (off_t)i * BLOCK) != BLOCK)
            return -errno;
    }
    return fsync(d->fd) ? -errno : 0;
}

static void remove_files(const char *dir)
{
    static const char *const names[] = { "plain", "remap.0", "remap.1", "remap.2", "remap.3", "remap.4", "remap.guard.0", "remap.guard.1",
                                         "spare/0000.spare" };
    char path[4200];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/spare", dir);
    rmdir(path);
    rmdir(dir);
}

static int tell_durable(struct durable *d, unsigned long n, json_t *out)
{
    struct spread r = times_spread(&d->remaps), w = times_spread(&d->writes);
    double ratio = w.p50 > 0 ? r.p50 / w.p50 : 0, bytes = (double)d->remap_bytes / (double)n;
    printf("\n%lu durable remaps: p50 %.0f µs, p99 %.0f µs, %.0f bytes written each\n"
           "%lu writes of 4 KiB with fdatasync: p50 %.0f µs, p99 %.0f µs, %.0f bytes written each\n"
           "one remap takes %.2f times one write%s\n",
           n, r.p50 / 1e3, r.p99 / 1e3, bytes, n, w.p50 / 1e3, w.p99 / 1e3, (double)d->write_bytes / (double)n, ratio, d->right ? "" : "  WRONG BYTES");
    return json_object_update_new(out, json_pack("{s:o, s:o, s:f, s:f, s:b}", "remap_ns", spread_json(&r), "write_ns", spread_json(&w),
                                                 "ratio", ratio, "bytes_each", bytes, "right", d->right)) ? -ENOMEM : 0;
}

static int in_folder(struct durable *d, const char *dir, unsigned long n, json_t *out)
{
    memset(d->block, 1, BLOCK);
    int e = prepare(d, dir, n);
    if (!e)
        e = durable_all(d, n);
    if (!e)
        e = tell_durable(d, n, out);
    remove_files(dir);
    return e;
}

static int durable(const struct options *o, json_t *out, bool *right)
{
    struct durable d = { .fd = -1, .right = true, .block = aligned_alloc(BLOCK, BLOCK), .got = aligned_alloc(BLOCK, BLOCK) };
    char dir[4100];
    snprintf(dir, sizeof(dir), "%s/holo-bench-XXXXXX", o->dir);
    bool memory = d.block && d.got && times_make(&d.remaps, o->commits) && times_make(&d.writes, o->commits);
    int e = !memory ? -ENOMEM : mkdtemp(dir) ? in_folder(&d, dir, o->commits, out) : -errno;
    *right &= d.right;
    if (d.fd >= 0)
        close(d.fd);
    remap_close(d.t);
    if (d.b)
        d.b->ops->close(d.b);
    free(d.remaps.v);
    free(d.writes.v);
    free(d.block);
    free(d.got);
    return e;
}

/* ---- command line ---- */

static const struct option longs[] = {
    { "dir", required_argument, NULL, 'd' }, { "commits", required_argument, NULL, 'c' }, { "json", required_argument, NULL, 'j' }, { 0 },
};

static bool parse(int argc, char **argv, struct options *o)
{
    int c;
    *o = (struct options){ .dir = "/var/tmp", .commits = 200 };
    optind = 1;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'd')
            o->dir = optarg;
        else if (c == 'j')
            o->json = optarg;
        else if (c != 'c' || !parse_number(optarg, 1, 100000, &o->commits))
            return false;
    }
    return optind == argc && strlen(o->dir) < 4000;
}

int holo_bench_remap(int argc, char **argv)
{
    struct options o;
    bool right = true;
    if (!parse(argc, argv, &o)) {
        fputs("holo: usage: holo bench remap [--dir DIR] [--commits N] [--json FILE]\n", stderr);
        return EXIT_USAGE;
    }
    json_t *cells = json_array(), *disk = json_object();
    int e = in_memory(cells, &right);
    if (!e)
        e = durable(&o, disk, &right);
    json_t *all = json_pack("{s:o, s:o}", "memory", cells, "durable", disk);
    if (!e && o.json && json_dump_file(all, o.json, JSON_INDENT(2) | JSON_PRESERVE_ORDER))
        e = -EIO;
    json_decref(all);
    if (e)
        fprintf(stderr, "holo: bench remap: %s: %s\n", o.json && e == -EIO ? o.json : o.dir, holo_strerror(e));
    return e ? EXIT_OPERATION : right ? 0 : EXIT_WRONG;
}
