/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_table.c: what holo bench ecc shows: a table, progress while it works, JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cuda/cuda.h"
#include "tools/bench_ecc.h"

enum { EXIT_WRONG = 1, EXIT_OPERATION = 8, NAME_MAX_LEN = 32 };

struct bench_report {
    const struct bench_options *o;
    unsigned n_cells, done;
    uint64_t begin_ns, good, failed, wrong;
    bool progress;                         /* standard error is a terminal */
    json_t *cells;
};

/* 1536 → "1.5 KiB" */
static const char *size_text(uint64_t bytes, char out[NAME_MAX_LEN])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
    double v = (double)bytes;
    unsigned u = 0;
    while (v >= 1024 && u < 3) {
        v /= 1024;
        u++;
    }
    snprintf(out, NAME_MAX_LEN, v == (double)(uint64_t)v ? "%.0f %s" : "%.1f %s", v, units[u]);
    return out;
}

/* Three digits and a unit. */
static const char *time_text(uint64_t ns, char out[NAME_MAX_LEN])
{
    static const char *const units[] = { "ns", "µs", "ms", "s" };
    double v = (double)ns;
    unsigned u = 0;
    while (v >= 999.5 && u < 3) {
        v /= 1000;
        u++;
    }
    snprintf(out, NAME_MAX_LEN, "%.*f %s", u == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, units[u]);
    return out;
}

static const char *work_text(const struct bench_cell *c, char out[NAME_MAX_LEN])
{
    if (c->op == OP_ENCODE || c->op == OP_CHECK)
        snprintf(out, NAME_MAX_LEN, "%s", bench_op_name(c->op));
    else if (c->op == OP_FLIPS)
        snprintf(out, NAME_MAX_LEN, "decode, flips %.0e", c->flips);
    else
        snprintf(out, NAME_MAX_LEN, "decode, %s", c->op == OP_CLEAN ? "clean" : "erasures");
    return out;
}

static const char *subject_text(const struct bench_subject *s, char out[2 * NAME_MAX_LEN])
{
    char size[NAME_MAX_LEN];
    snprintf(out, 2 * NAME_MAX_LEN, "%s of %s", s->ops->name, size_text(s->data_len, size));
    return out;
}

struct bench_report *bench_report_open(const struct bench_options *o, unsigned n_cells)
{
    struct bench_report *r = calloc(1, sizeof(*r));
    json_t *cells = json_array();
    if (!r || !cells) {
        free(r);
        json_decref(cells);
        return NULL;
    }
    *r = (struct bench_report){ .o = o, .n_cells = n_cells, .begin_ns = clock_mono_ns(), .cells = cells, .progress = isatty(2) };
    printf("holo bench ecc: one thread, seed %llu. Times are of whole calls: checksums, memory and search included.\n"
           "GB/s are 10^9 bytes of data by the median; every result is compared with the original.\n",
           (unsigned long long)o->seed);
    return r;
}

void bench_report_begin(struct bench_report *r, const struct bench_cell *c)
{
    char subject[2 * NAME_MAX_LEN], work[NAME_MAX_LEN];
    r->done++;
    if (!r->progress)
        return;
    fprintf(stderr, "\r\033[K[%u/%u] %us  %s, R = %u, %s, %s", r->done, r->n_cells, (unsigned)((clock_mono_ns() - r->begin_ns) / 1000000000),
            subject_text(c->subject, subject), c->subject->R, work_text(c, work), c->engine->name);
    fflush(stderr);
}

static void clear_progress(const struct bench_report *r)
{
    if (r->progress)
        fputs("\r\033[K", stderr);
}

/* Columns count characters; µ is one of two bytes. */
static void cell_text(const char *text, int width)
{
    int wide = 0;
    for (const char *p = text; *p; p++)
        wide += (*p & 0xc0) != 0x80;
    printf(" %*s%s", width > wide ? width - wide : 0, "", text);
}

void bench_report_subject(struct bench_report *r, const struct bench_subject *s)
{
    clear_progress(r);
    char subject[2 * NAME_MAX_LEN], parity[NAME_MAX_LEN];
    printf("\n%s, R = %u, parity %s (%.1f %%)\n", subject_text(s, subject), s->R, size_text(s->stored_len - s->data_len, parity),
           100.0 * (double)(s->stored_len - s->data_len) / (double)s->data_len);
    printf("%-20s %-7s %8s %8s %8s %8s %8s %8s %8s  %s\n", "", "", "GB/s", "p50", "p90", "p99", "max", "CPU", "RSS", "right");
}

static void print_row(const struct bench_cell *c, const struct bench_result *x)
{
    char text[NAME_MAX_LEN];
    printf("%-20s %-7s %8.3f", work_text(c, text), c->engine->name, x->gb_s);
    cell_text(time_text(x->p50_ns, text), 8);
    cell_text(time_text(x->p90_ns, text), 8);
    cell_text(time_text(x->p99_ns, text), 8);
    cell_text(time_text(x->max_ns, text), 8);
    cell_text(time_text(x->cpu_ns / x->runs, text), 8);
    cell_text(size_text(x->rss_bytes >> 20 << 20, text), 8);
    printf("  %llu of %llu%s\n", (unsigned long long)x->good, (unsigned long long)x->runs, x->wrong ? "  WRONG BYTES" : x->failed ? "  failed" : "");
    fflush(stdout);
}

static json_t *cell_json(const struct bench_cell *c, const struct bench_result *x)
{
    const struct bench_subject *s = c->subject;
    bool decode = c->op != OP_ENCODE && c->op != OP_CHECK;
    json_t *o = json_pack("{s:s, s:I, s:I, s:i, s:s, s:s, s:s}", "what", s->ops->name, "bytes", (json_int_t)s->data_len, "parity_bytes",
                          (json_int_t)(s->stored_len - s->data_len), "redundancy", (int)s->R, "engine", c->engine->name, "operation",
                          decode ? "decode" : bench_op_name(c->op), "damage", decode && c->op != OP_CLEAN ? bench_op_name(c->op) : "none");
    json_object_set_new(o, "flip_chance", json_real(c->op == OP_FLIPS ? c->flips : 0));
    json_object_set_new(o, "lost_bytes", json_integer((json_int_t)s->lost_len));
    json_object_set_new(o, "runs", json_integer((json_int_t)x->runs));
    json_object_set_new(o, "right", json_integer((json_int_t)x->good));
    json_object_set_new(o, "failed", json_integer((json_int_t)x->failed));
    json_object_set_new(o, "wrong", json_integer((json_int_t)x->wrong));
    json_object_set_new(o, "latency_ns", json_pack("{s:I, s:I, s:I, s:I}", "p50", (json_int_t)x->p50_ns, "p90", (json_int_t)x->p90_ns, "p99",
                                                   (json_int_t)x->p99_ns, "max", (json_int_t)x->max_ns));
    json_object_set_new(o, "gb_s", json_real(x->gb_s));
    json_object_set_new(o, "gb_s_mean", json_real(x->gb_s_mean));
    json_object_set_new(o, "cpu_ns", json_integer((json_int_t)(x->cpu_ns / x->runs)));
    json_object_set_new(o, "rss_bytes", json_integer((json_int_t)x->rss_bytes));
    json_object_set_new(o, "rss_growth_bytes", json_integer((json_int_t)x->rss_growth_bytes));
    return o;
}

void bench_report_add(struct bench_report *r, const struct bench_cell *c, const struct bench_result *result)
{
    clear_progress(r);
    print_row(c, result);
    r->good += result->good;
    r->failed += result->failed;
    r->wrong += result->wrong;
    json_array_append_new(r->cells, cell_json(c, result));
}

/* The line of /proc/cpuinfo that names the processor. */
static json_t *cpu_name(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    json_t *name = NULL;
    while (f && !name && fgets(line, sizeof(line), f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value) {
            value[strcspn(value, "\n")] = 0;
            name = json_string(value + 2);
        }
    }
    if (f)
        fclose(f);
    return name ? name : json_null();
}

static json_t *gpu_name(void)
{
    struct cuda_status gpu;
    cuda_status_get(&gpu);
    return gpu.present ? json_string(gpu.name) : json_null();
}

static int write_json(struct bench_report *r)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:b}", "program", "holo bench ecc", "version", HOLOFS_VERSION, "time",
                          (json_int_t)time(NULL), "seed", (json_int_t)r->o->seed, "threads", 1, "right", (json_int_t)r->good, "failed",
                          (json_int_t)r->failed, "wrong", (json_int_t)r->wrong, "spoiled", (int)r->o->spoil);
    json_object_set_new(o, "cpu", cpu_name());
    json_object_set_new(o, "gpu", gpu_name());
    json_object_set(o, "cells", r->cells);
    int e = json_dump_file(o, r->o->json, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    json_decref(o);
    return e;
}

int bench_report_close(struct bench_report *r)
{
    int code = r->wrong ? EXIT_WRONG : 0;
    clear_progress(r);
    printf("\n%llu right, %llu failed and said so, %llu wrong, in %.0f s\n", (unsigned long long)r->good, (unsigned long long)r->failed,
           (unsigned long long)r->wrong, (double)(clock_mono_ns() - r->begin_ns) / 1e9);
    if (r->wrong)
        fprintf(stderr, "holo: bench ecc: WRONG BYTES: %llu results were told to be right and are not%s\n", (unsigned long long)r->wrong,
                r->o->spoil ? ", as --spoil made them" : ". Do not trust parity on this machine");
    if (r->o->json && write_json(r) != 0) {
        fprintf(stderr, "holo: bench ecc: %s cannot be written\n", r->o->json);
        code = code ? code : EXIT_OPERATION;
    }
    json_decref(r->cells);
    free(r);
    return code;
}
