/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rounds.c: rounds of tests, threads, medians, tables. */
#include "bench/rounds.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Thread 0 is alone on the last processor: interrupts go to the first ones. */
static void pin(const cpu_set_t *allowed, unsigned thread)
{
    for (size_t cpu = CPU_SETSIZE; cpu-- > 0;) {
        if (CPU_ISSET(cpu, allowed) && thread-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

struct worker {
    const struct rounds_test *test;
    const cpu_set_t *allowed;
    pthread_barrier_t *start;
    unsigned thread;
    size_t bytes;
    uint64_t begin, end;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    pin(w->allowed, w->thread);
    pthread_barrier_wait(w->start);
    clockid_t clock = w->test->threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    w->begin = now_ns(clock);
    w->bytes = w->test->run(w->test, w->thread);
    w->end = now_ns(clock);
    return NULL;
}

/* From the start of the first thread to the end of the last one. */
static double measure(const struct rounds_test *t, const cpu_set_t *allowed)
{
    struct worker w[ROUNDS_THREADS_MAX];
    pthread_t id[ROUNDS_THREADS_MAX];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, t->threads);
    for (unsigned i = 0; i < t->threads; i++) {
        w[i] = (struct worker){ .test = t, .allowed = allowed, .start = &start, .thread = i };
        if (pthread_create(&id[i], NULL, work, &w[i]))
            abort();
    }
    uint64_t begin = UINT64_MAX, end = 0;
    size_t bytes = 0;
    for (unsigned i = 0; i < t->threads; i++) {
        pthread_join(id[i], NULL);
        begin = w[i].begin < begin ? w[i].begin : begin;
        end = w[i].end > end ? w[i].end : end;
        bytes += w[i].bytes;
    }
    pthread_barrier_destroy(&start);
    return (double)bytes / (double)(end - begin);
}

void rounds_run(struct rounds_test *tests, unsigned n, unsigned rounds)
{
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < n; i++)
            tests[i].gb_s[tests[i].n++] = measure(&tests[i], &allowed);
        fprintf(stderr, "\rround %u of %u", r + 1, rounds);
    }
    fputc('\n', stderr);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

struct rounds_figure rounds_figure(const struct rounds_test *t)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, t->gb_s, t->n * sizeof(double));
    qsort(sorted, t->n, sizeof(double), by_size);
    double median = (sorted[(t->n - 1) / 2] + sorted[t->n / 2]) / 2;
    return (struct rounds_figure){ .median = median, .min = sorted[0], .max = sorted[t->n - 1] };
}

static bool same_title(const struct rounds_test *a, const struct rounds_test *b)
{
    return strcmp(a->what, b->what) == 0 && strcmp(a->where, b->where) == 0 && a->threads == b->threads;
}

static bool same_row(const struct rounds_test *a, const struct rounds_test *b)
{
    return same_title(a, b) && a->parameter == b->parameter;
}

static bool same_column(const struct rounds_test *a, const struct rounds_test *b)
{
    return same_title(a, b) && strcmp(a->by, b->by) == 0;
}

/* Is test i the first one of its kind? */
static bool is_first(const struct rounds_test *tests, unsigned i, bool (*same)(const struct rounds_test *, const struct rounds_test *))
{
    for (unsigned j = 0; j < i; j++) {
        if (same(&tests[j], &tests[i]))
            return false;
    }
    return true;
}

static void print_row(const struct rounds_test *tests, unsigned n, const struct rounds_test *row)
{
    printf("| %u |", row->parameter);
    for (unsigned column = 0; column < n; column++) {
        if (!same_title(&tests[column], row) || !is_first(tests, column, same_column))
            continue;
        for (unsigned i = 0; i < n; i++) {
            if (same_row(&tests[i], row) && same_column(&tests[i], &tests[column])) {
                struct rounds_figure f = rounds_figure(&tests[i]);
                printf(" %.1f (%.1f–%.1f) |", f.median, f.min, f.max);
            }
        }
    }
    printf("\n");
}

static void print_table(const struct rounds_test *tests, unsigned n, const struct rounds_test *title, const char *parameter)
{
    printf("\n%s, %s, %u thread%s\n\n| %s |", title->what, title->where, title->threads, title->threads > 1 ? "s" : "", parameter);
    unsigned columns = 1;
    for (unsigned i = 0; i < n; i++) {
        if (same_title(&tests[i], title) && is_first(tests, i, same_column)) {
            printf(" %s |", tests[i].by);
            columns++;
        }
    }
    printf("\n|");
    while (columns-- > 0)
        printf("---|");
    printf("\n");
    for (unsigned i = 0; i < n; i++) {
        if (same_title(&tests[i], title) && is_first(tests, i, same_row))
            print_row(tests, n, &tests[i]);
    }
}

void rounds_print(const struct rounds_test *tests, unsigned n, const char *parameter)
{
    for (unsigned i = 0; i < n; i++) {
        if (is_first(tests, i, same_title))
            print_table(tests, n, &tests[i], parameter);
    }
}

void rounds_json(FILE *out, const struct rounds_test *tests, unsigned n, const char *parameter)
{
    fprintf(out, "\"parameter\": \"%s\", \"unit\": \"GB/s\", \"tests\": [", parameter);
    for (unsigned i = 0; i < n; i++) {
        const struct rounds_test *t = &tests[i];
        struct rounds_figure f = rounds_figure(t);
        fprintf(out, "%s\n  {\"what\": \"%s\", \"where\": \"%s\", \"by\": \"%s\", \"%s\": %u, \"threads\": %u, ", i ? "," : "", t->what,
                t->where, t->by, parameter, t->parameter, t->threads);
        fprintf(out, "\"median\": %.3f, \"min\": %.3f, \"max\": %.3f, \"runs\": [", f.median, f.min, f.max);
        for (unsigned r = 0; r < t->n; r++)
            fprintf(out, "%s%.3f", r ? ", " : "", t->gb_s[r]);
        fprintf(out, "]}");
    }
    fprintf(out, "\n]");
}
