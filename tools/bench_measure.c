/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_measure.c: one cell of holo bench ecc: damage, time the call, compare, again.
 *
 * Only the call is timed, and all of it: checksums, allocations, the search among damaged columns. Damage and comparison are not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tools/bench_ecc.h"

enum { SAMPLES_MAX = 1 << 16, WALL_FACTOR = 4 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A line of /proc/self/status, in bytes; 0 if there is no such thing. */
static uint64_t status_bytes(const char *key)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtoull(line + strlen(key) + 1, NULL, 10);
            break;
        }
    }
    if (f)
        fclose(f);
    return kib * 1024;
}

/* The kernel forgets the highest resident size so far. */
static void reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

/* What a call has to make good: for encoding, that there is no parity. */
static void hurt(const struct bench_cell *c, uint64_t seed)
{
    struct bench_subject *s = c->subject;
    s->lost_len = 0;
    if (c->op == OP_ENCODE)
        memset(s->work + s->data_len, 0xa5, s->stored_len - s->data_len);
    if (c->op == OP_ERASURES)
        bench_lose(s, seed);
    if (c->op == OP_FLIPS)
        bench_flip(s, seed, c->flips);
}

static int call(const struct bench_cell *c)
{
    const struct bench_subject_ops *ops = c->subject->ops;
    if (c->op == OP_ENCODE)
        return ops->encode(c->subject, c->engine);
    return c->op == OP_CHECK ? ops->check(c->subject, c->engine) : ops->decode(c->subject, c->engine);
}

/* Count what a call did by the bytes that there were, and make work whole again. */
static void judge(const struct bench_cell *c, int rc, bool spoil, uint64_t seed, struct bench_result *out)
{
    struct bench_subject *s = c->subject;
    if (spoil)
        s->work[c->op == OP_ENCODE ? s->stored_len - 1 : 0] ^= 1;
    bool equal = memcmp(s->work, s->original, s->stored_len) == 0;
    if (rc == 0) {
        out->good += equal;
        out->wrong += !equal;
    } else {
        bool decoding = c->op != OP_ENCODE && c->op != OP_CHECK;
        bool honest = !decoding || s->ops->failed_honestly(s, seed, c->op == OP_FLIPS ? c->flips : 0);
        out->failed += honest;
        out->wrong += !honest;
    }
    if (!equal)
        memcpy(s->work, s->original, s->stored_len);
}

static int by_value(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return (a > b) - (a < b);
}

static uint64_t quantile(const uint64_t *sorted, uint64_t n, double q)
{
    uint64_t i = (uint64_t)(q * (double)n);
    return sorted[i < n ? i : n - 1];
}

static void summarize(const struct bench_cell *c, uint64_t *sample, struct bench_result *out)
{
    qsort(sample, out->runs, sizeof(*sample), by_value);
    out->p50_ns = quantile(sample, out->runs, 0.5);
    out->p90_ns = quantile(sample, out->runs, 0.9);
    out->p99_ns = quantile(sample, out->runs, 0.99);
    out->max_ns = sample[out->runs - 1];
    double bytes = (double)c->subject->data_len;
    out->gb_s = bytes / (double)(out->p50_ns ? out->p50_ns : 1);
    out->gb_s_mean = bytes * (double)out->runs / (double)(out->total_ns ? out->total_ns : 1);
}

int bench_measure(const struct bench_options *o, const struct bench_cell *c, struct bench_result *out)
{
    uint64_t *sample = malloc(SAMPLES_MAX * sizeof(*sample));
    if (!sample)
        return -ENOMEM;
    *out = (struct bench_result){ 0 };
    memset(sample, 0, SAMPLES_MAX * sizeof(*sample));
    bool pinned = c->engine->pin && c->engine->pin(c->subject->work, c->subject->stored_len) == 0;
    reset_peak();
    uint64_t before = status_bytes("VmRSS:"), begin = clock_mono_ns();
    do {
        uint64_t seed = o->seed * 1000003 + out->runs;
        hurt(c, seed);
        uint64_t cpu = cpu_ns(), from = clock_mono_ns();
        int rc = call(c);
        uint64_t to = clock_mono_ns();
        out->cpu_ns += cpu_ns() - cpu;
        out->total_ns += to - from;
        sample[out->runs++] = to - from;
        judge(c, rc, o->spoil, seed, out);
    } while (out->runs < SAMPLES_MAX && out->total_ns < o->cell_ns && clock_mono_ns() - begin < WALL_FACTOR * o->cell_ns);
    out->rss_bytes = status_bytes("VmHWM:");
    out->rss_growth_bytes = out->rss_bytes > before ? out->rss_bytes - before : 0;
    if (pinned)
        c->engine->unpin(c->subject->work, c->subject->stored_len);
    summarize(c, sample, out);
    free(sample);
    return 0;
}
