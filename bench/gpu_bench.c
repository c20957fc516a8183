/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu_bench.c: the GPU engine, measured: kernels alone, copies, whole calls, and from which size on the GPU beats one core.
 *
 *   gpu_bench [--json FILE] [--containers N] [--nmax BLOCKS] [--runs N]
 *
 * Every figure is the median of the runs with the smallest and the largest; GB/s are 10^9 bytes of data a second. Kernels are timed
 * by the device's own events, over containers that lie in its memory and are much larger than its caches; all else by the clock. It
 * measures only: tests/cuda/test_device.c says whether the bytes are right. Exits with 77, and one line, where there is no GPU.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "cuda/gpu.h"

enum { EXIT_NO_GPU = 77, RUNS_MAX = 31, ROWS_MAX = 128, BLOCK = 4096, WIDTH = 64 };

struct row {
    const char *part;
    char what[48];
    double median, min, max; /* GB/s, unless `what` says otherwise */
};

struct bench {
    const struct ecc_engine *gpu, *cpu;
    struct gpu_runtime *rt;
    struct cuda_status status;
    unsigned containers, nmax, runs;
    struct row row[ROWS_MAX];
    unsigned rows;
    uint8_t *host; /* page-locked if that is possible */
    size_t host_bytes;
};

static const unsigned redundancies[] = { 2, 4, 6, 10, 14, 20 }; /* m */

/* ---- results ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds become rates. */
static void add_row(struct bench *b, const char *part, const char *what, double *seconds, double bytes)
{
    if (b->rows == ROWS_MAX)
        return;
    struct row *r = &b->row[b->rows++];
    qsort(seconds, b->runs, sizeof(seconds[0]), ascending);
    r->part = part;
    snprintf(r->what, sizeof(r->what), "%s", what);
    r->median = bytes / seconds[b->runs / 2] / 1e9;
    r->min = bytes / seconds[b->runs - 1] / 1e9;
    r->max = bytes / seconds[0] / 1e9;
    printf("| %s | %s | %.1f (%.1f–%.1f) |\n", part, what, r->median, r->min, r->max);
    fflush(stdout);
}

static int write_json(const struct bench *b, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return -1;
    fprintf(f, "{\"gpu\": \"%s\", \"driver\": \"%s\", \"runtime\": \"%s\", \"compute\": \"%u.%u\", \"multiprocessors\": %u, \"cpu_engine\": \"%s\", ",
            b->status.name, b->status.driver, b->status.runtime, b->status.compute_major, b->status.compute_minor,
            b->status.multiprocessors, b->cpu->name);
    fprintf(f, "\"k\": %d, \"block_bytes\": %d, \"container_blocks\": %u, \"containers\": %u, \"runs\": %u, \"rows\": [\n", WIDTH, BLOCK, b->nmax,
            b->containers, b->runs);
    for (unsigned i = 0; i < b->rows; i++)
        fprintf(f, "  {\"part\": \"%s\", \"what\": \"%s\", \"median\": %.3f, \"min\": %.3f, \"max\": %.3f}%s\n", b->row[i].part, b->row[i].what,
                b->row[i].median, b->row[i].min, b->row[i].max, i + 1 < b->rows ? "," : "");
    fprintf(f, "]}\n");
    return fclose(f);
}

/* ---- kernels alone ---- */

struct kernel_case {
    const char *name;
    enum ecc_work work;
    uint32_t seed;
    bool waves;
};

/* A job over containers in device memory; the memory holds what the host's does, again and again. */
static void fill_job(const struct bench *b, struct gpu_job *job, uint8_t *memory, size_t each, const struct kernel_case *c, unsigned m)
{
    uint32_t D = ecc_layout_stripes(b->nmax, WIDTH);
    size_t rows = (size_t)m * D * BLOCK, stored = (size_t)b->nmax * BLOCK + (c->work == ECC_SYNDROME ? rows : 0);
    for (job->parts = 0; job->parts < b->containers && job->parts < GPU_PARTS; job->parts++) {
        uint8_t *p = memory + job->parts * each;
        job->part[job->parts] = (struct gpu_part){ .stored = p, .out = c->waves ? p + stored : NULL, .dirty = p + stored + rows,
                                                   .used = b->nmax, .D = D };
    }
}

static int time_kernel(struct bench *b, const struct kernel_case *c, unsigned m, uint8_t *memory, size_t each)
{
    struct ecc_code *code;
    struct gpu_job job;
    double seconds[RUNS_MAX];
    char what[48];
    int e = ecc_code_create(WIDTH, m, c->seed, &code);
    if (e)
        return e;
    gpu_job_init(&job, c->work, code, BLOCK);
    fill_job(b, &job, memory, each, c, m);
    e = b->rt->time_launches(b->rt, &job, 2, &seconds[0]); /* warm */
    for (unsigned i = 0; !e && i < b->runs; i++) {
        e = b->rt->time_launches(b->rt, &job, 4, &seconds[i]);
        seconds[i] /= 4;
    }
    snprintf(what, sizeof(what), "%s, m = %u", c->name, m);
    if (!e)
        add_row(b, "kernel", what, seconds, (double)job.parts * b->nmax * BLOCK);
    ecc_code_destroy(code);
    return e;
}

static int time_kernels(struct bench *b)
{
    static const struct kernel_case cases[] = {
        { "encode", ECC_ENCODE, 0, true },
        { "encode, another seed", ECC_ENCODE, 100, true },
        { "waves", ECC_SYNDROME, 0, true },
        { "flags", ECC_SYNDROME, 0, false },
    };
    uint32_t D = ecc_layout_stripes(b->nmax, WIDTH);
    size_t each = ((size_t)b->nmax + 2 * ECC_M_MAX * (size_t)D) * BLOCK + (D + 255) / 256 * 256;
    void *memory;
    int e = b->rt->alloc(b->rt, b->containers * each, &memory);
    if (e)
        return e;
    for (size_t off = 0; !e && off < b->containers * each; off += b->host_bytes) {
        size_t left = b->containers * each - off;
        e = b->rt->copy_in(b->rt, 0, (uint8_t *)memory + off, b->host, left < b->host_bytes ? left : b->host_bytes);
    }
    if (!e)
        e = b->rt->wait(b->rt, 0);
    for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        for (unsigned i = 0; !e && i < sizeof(redundancies) / sizeof(redundancies[0]); i++)
            e = time_kernel(b, &cases[c], redundancies[i], memory, each);
    }
    b->rt->release(b->rt, memory);
    return e;
}

/* ---- copies ---- */

static int time_copies(struct bench *b)
{
    double in[RUNS_MAX], out[RUNS_MAX];
    void *memory;
    int e = b->rt->alloc(b->rt, b->host_bytes, &memory);
    for (unsigned i = 0; !e && i < b->runs; i++) {
        uint64_t begin = clock_mono_ns();
        e = b->rt->copy_in(b->rt, 0, memory, b->host, b->host_bytes);
        e = e ? e : b->rt->wait(b->rt, 0);
        uint64_t middle = clock_mono_ns();
        e = e ? e : b->rt->copy_out(b->rt, 0, b->host, memory, b->host_bytes);
        e = e ? e : b->rt->wait(b->rt, 0);
        in[i] = (double)(middle - begin) / 1e9;
        out[i] = (double)(clock_mono_ns() - middle) / 1e9;
    }
    if (e)
        return e;
    add_row(b, "copy", "host to device", in, (double)b->host_bytes);
    add_row(b, "copy", "device to host", out, (double)b->host_bytes);
    b->rt->release(b->rt, memory);
    return 0;
}

/* ---- whole calls ---- */

/* n containers of nmax blocks, side by side in the host's memory. */
static int time_calls(struct bench *b, const struct ecc_engine *engine, enum ecc_work work, unsigned m, uint32_t nmax, unsigned n,
                      double *seconds)
{
    struct ecc_container c[GPU_PARTS];
    struct ecc_code *code;
    const struct ecc_layout l = { .used = nmax, .D = ecc_layout_stripes(nmax, WIDTH) };
    size_t rows = (size_t)m * l.D * BLOCK, each = (size_t)nmax * BLOCK + rows + (l.D + BLOCK - 1) / BLOCK * BLOCK;
    int e = n > GPU_PARTS || n * each > b->host_bytes ? -1 : ecc_code_create(WIDTH, m, 0, &code);
    if (e)
        return e;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = b->host + i * each;
        c[i] = (struct ecc_container){ .layout = l, .stored = p };
        c[i].out = work == ECC_ENCODE ? p + (size_t)nmax * BLOCK : NULL;
        c[i].dirty = p + (size_t)nmax * BLOCK + rows;
    }
    e = engine->containers(work, code, BLOCK, c, n); /* warm: memory of the device, pages */
    for (unsigned i = 0; !e && i < b->runs; i++) {
        uint64_t begin = clock_mono_ns();
        e = engine->containers(work, code, BLOCK, c, n);
        seconds[i] = (double)(clock_mono_ns() - begin) / 1e9;
    }
    ecc_code_destroy(code);
    return e;
}

static int time_engines(struct bench *b)
{
    const struct ecc_engine *const engine[] = { b->gpu, b->cpu };
    double seconds[RUNS_MAX];
    char what[48];
    int e = 0;
    for (unsigned i = 0; i < sizeof(redundancies) / sizeof(redundancies[0]); i++) {
        for (unsigned w = 0; w < 2 * 2; w++) {
            enum ecc_work work = w / 2 ? ECC_SYNDROME : ECC_ENCODE;
            for (unsigned n = 1; n <= b->containers; n += b->containers > 1 ? b->containers - 1 : 1) {
                e = time_calls(b, engine[w % 2], work, redundancies[i], b->nmax, n, seconds);
                if (e)
                    return e;
                snprintf(what, sizeof(what), "%s %s, m = %u, %u at once", engine[w % 2]->name, w / 2 ? "flags" : "encode", redundancies[i], n);
                add_row(b, "call", what, seconds, (double)n * b->nmax * BLOCK);
            }
        }
    }
    return 0;
}

/* The smallest of the sizes from which on the GPU's median is the better one at every size; one container a call. */
static int find_crossing(struct bench *b, enum ecc_work work, unsigned m)
{
    double gpu[RUNS_MAX], cpu[RUNS_MAX];
    uint32_t from = 0;
    for (uint32_t nmax = 16; nmax <= b->nmax; nmax *= 2) {
        int e = time_calls(b, b->gpu, work, m, nmax, 1, gpu);
        e = e ? e : time_calls(b, b->cpu, work, m, nmax, 1, cpu);
        if (e)
            return e;
        qsort(gpu, b->runs, sizeof(gpu[0]), ascending);
        qsort(cpu, b->runs, sizeof(cpu[0]), ascending);
        bool wins = gpu[b->runs / 2] < cpu[b->runs / 2];
        from = !wins ? 0 : from ? from : nmax;
    }
    struct row *r = &b->row[b->rows++];
    *r = (struct row){ .part = "crossing" };
    snprintf(r->what, sizeof(r->what), "KiB of data, %s, m = %u", work == ECC_ENCODE ? "encode" : "flags", m);
    r->median = r->min = r->max = from ? (double)from * BLOCK / 1024 : -1; /* -1: never */
    printf("| crossing | %s | %.0f |\n", r->what, r->median);
    return 0;
}

/* ---- the program ---- */

static int prepare(struct bench *b)
{
    size_t each = (size_t)b->nmax * BLOCK * 3 / 2 + (1 << 20);
    b->host_bytes = b->containers * each;
    b->host = mmap(NULL, b->host_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->host == MAP_FAILED)
        return -1;
    uint64_t v = 88172645463325252ull;
    for (size_t i = 0; i < b->host_bytes; i += sizeof(v)) {
        v ^= v << 13, v ^= v >> 7, v ^= v << 17;
        memcpy(b->host + i, &v, sizeof(v));
    }
    if (b->gpu->pin(b->host, b->host_bytes) != 0)
        fprintf(stderr, "gpu_bench: memory cannot be page-locked: copies are slower than they could be\n");
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        b->cpu = (*e)->supported() ? *e : b->cpu;
    return 0;
}

static int measure(struct bench *b)
{
    int e = prepare(b);
    printf("%s, driver %s, CUDA %s, against %s on one core; k = %d, containers of %u KiB, %u at once, %u runs\n\n", b->status.name,
           b->status.driver, b->status.runtime, b->cpu ? b->cpu->name : "?", WIDTH, b->nmax * (BLOCK / 1024), b->containers, b->runs);
    printf("| part | what | GB/s of data, median (smallest–largest) |\n|---|---|---|\n");
    e = e ? e : time_copies(b);
    e = e ? e : time_kernels(b);
    e = e ? e : time_engines(b);
    for (unsigned m = 6; !e && m <= 20; m += 14) {
        e = find_crossing(b, ECC_ENCODE, m);
        e = e ? e : find_crossing(b, ECC_SYNDROME, m);
    }
    return e;
}

static unsigned number(const char *text, unsigned max)
{
    unsigned long n = strtoul(text, NULL, 10);
    return n < 1 ? 1 : n > max ? max : (unsigned)n;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = { { "json", required_argument, NULL, 'j' }, { "containers", required_argument, NULL, 'c' },
                                           { "nmax", required_argument, NULL, 'n' }, { "runs", required_argument, NULL, 'r' },
                                           { NULL, 0, NULL, 0 } };
    struct bench b = { .containers = 16, .nmax = 16384, .runs = 9 };
    const char *json = NULL;
    char why[128];
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'j')
            json = optarg;
        else if (c == 'c')
            b.containers = number(optarg, GPU_PARTS);
        else if (c == 'n')
            b.nmax = number(optarg, 1u << 20);
        else if (c == 'r')
            b.runs = number(optarg, RUNS_MAX);
        else
            return 2;
    }
    b.gpu = cuda_engine_get(why, sizeof(why));
    if (!b.gpu) {
        fprintf(stderr, "gpu_bench: no GPU: %s\n", why);
        return EXIT_NO_GPU;
    }
    b.rt = cuda_runtime_get();
    cuda_status_get(&b.status);
    int e = measure(&b);
    cuda_status_get(&b.status);
    if (e)
        fprintf(stderr, "gpu_bench: failed (%d) %s\n", e, b.rt->why(b.rt));
    else if (json && write_json(&b, json) != 0)
        fprintf(stderr, "gpu_bench: cannot write %s\n", json);
    else
        return 0;
    return 1;
}
