/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rounds.h: run tests in rounds and show their speeds: for benches in C.
 *
 * Shared machines are noisy, and differently from minute to minute. So each round runs every test once, one after the other, and a figure
 * is the median over the rounds, with the smallest and the largest: ratios within one run count. One thread is timed by its processor time,
 * so that the turns of other programs do not count (their traffic in caches and memory does); several threads by the clock on the wall,
 * because they must run together: give them an idle machine.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stddef.h>
#include <stdio.h>

enum { ROUNDS_MAX = 99, ROUNDS_THREADS_MAX = 8 };

struct rounds_test {
    const char *what;  /* a table's title is what and where, its rows are parameters, its columns are who did it */
    const char *where;
    const char *by;
    unsigned parameter;
    unsigned threads;  /* 1 … ROUNDS_THREADS_MAX, each on a processor of its own as far as there are any */
    /* Does the part of one thread and returns how many bytes of it count. */
    size_t (*run)(const struct rounds_test *t, unsigned thread);
    const void *arg;   /* for run */
    double gb_s[ROUNDS_MAX]; /* 10^9 bytes a second of all threads together, one of each round */
    unsigned n;
};

struct rounds_figure {
    double median, min, max;
};

/* Each test once a round. rounds ≤ ROUNDS_MAX. */
void rounds_run(struct rounds_test *tests, unsigned n, unsigned rounds);

struct rounds_figure rounds_figure(const struct rounds_test *t);

/* A table in Markdown for every title, in the order of first appearance. */
void rounds_print(const struct rounds_test *tests, unsigned n, const char *parameter);

/* The same as the members "parameter", "unit" and "tests" of an object that the caller opens and closes. */
void rounds_json(FILE *out, const struct rounds_test *tests, unsigned n, const char *parameter);

#endif
