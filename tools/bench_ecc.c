/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_ecc.c: holo bench ecc: every size, redundancy, operation and engine, one cell after the other. */
#include "tools/bench_ecc.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { EXIT_OPERATION = 8 };

const char *bench_op_name(enum bench_op op)
{
    static const char *const names[BENCH_OPS] = { "encode", "check", "clean", "erasures", "flips" };
    return names[op];
}

/* The container counts as one size more. */
static unsigned n_subjects(const struct bench_options *o)
{
    return o->n_sizes + (o->container_bytes != 0);
}

static unsigned n_cells(const struct bench_options *o)
{
    unsigned ops = 0;
    for (enum bench_op op = 0; op < BENCH_OPS; op++)
        ops += !o->op[op] ? 0 : op == OP_FLIPS ? o->n_flips : 1;
    return n_subjects(o) * o->n_R * ops * o->n_engines;
}

/* One operation with one kind of damage, by every engine: neighbours in the table. */
static int run_engines(const struct bench_options *o, struct bench_subject *s, enum bench_op op, double flips, struct bench_report *report)
{
    for (unsigned i = 0; i < o->n_engines; i++) {
        struct bench_cell cell = { s, o->engine[i], op, flips };
        struct bench_result result;
        bench_report_begin(report, &cell);
        if (!s->ops->can(s, cell.engine, op))
            continue;
        int e = bench_measure(o, &cell, &result);
        if (e)
            return e;
        bench_report_add(report, &cell, &result);
    }
    return 0;
}

static int run_subject(const struct bench_options *o, struct bench_subject *s, struct bench_report *report)
{
    int e = 0;
    bench_report_subject(report, s);
    for (enum bench_op op = 0; op < BENCH_OPS && !e; op++) {
        unsigned n = !o->op[op] ? 0 : op == OP_FLIPS ? o->n_flips : 1;
        for (unsigned i = 0; i < n && !e; i++)
            e = run_engines(o, s, op, op == OP_FLIPS ? o->flips[i] : 0, report);
    }
    return e;
}

static int run_all(const struct bench_options *o, struct bench_report *report)
{
    int e = 0;
    for (unsigned i = 0; i < n_subjects(o); i++) {
        for (unsigned r = 0; r < o->n_R && !e; r++) {
            struct bench_subject *s = NULL;
            e = i < o->n_sizes ? bench_string_create(o->size[i], o->R[r], o->seed, &s)
                               : bench_container_create(o->container_bytes, o->R[r], o->seed, &s);
            if (!e)
                e = run_subject(o, s, report);
            if (s)
                s->ops->destroy(s);
        }
    }
    return e;
}

int holo_bench_ecc(int argc, char **argv)
{
    struct bench_options o;
    int e = bench_options_parse(argc, argv, &o);
    if (e)
        return e < 0 ? 0 : e;
    struct bench_report *report = bench_report_open(&o, n_cells(&o));
    if (!report)
        return EXIT_OPERATION;
    e = run_all(&o, report);
    int code = bench_report_close(report);
    if (e)
        fprintf(stderr, "holo: bench ecc: %s\n", holo_strerror(e));
    return code ? code : e ? EXIT_OPERATION : 0;
}
