/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_ecc.h: what the files of `holo bench ecc` share: options, subjects, cells and their results.
 *
 * A subject is what is encoded and decoded: a byte string, or a container. A cell is one operation on one subject by one engine with one
 * kind of damage, repeated for a while. Every result is compared with the bytes that there were; what a call says of itself
 * is only counted.
 */
#ifndef HOLO_TOOLS_BENCH_ECC_H
#define HOLO_TOOLS_BENCH_ECC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecc/ecc.h"

enum { BENCH_SIZES_MAX = 32, BENCH_ENGINES_MAX = 8, BENCH_FLIPS_MAX = 8 };

/* OP_CHECK: do data and parity agree? Only for containers: a scrub asks that. */
enum bench_op { OP_ENCODE, OP_CHECK, OP_CLEAN, OP_ERASURES, OP_FLIPS, BENCH_OPS };

struct bench_options {
    uint64_t size[BENCH_SIZES_MAX];  /* of strings */
    unsigned n_sizes;
    uint64_t container_bytes;        /* of data; 0: no container */
    unsigned R[ECC_R_MAX], n_R;
    const struct ecc_engine *engine[BENCH_ENGINES_MAX];
    unsigned n_engines;
    bool op[BENCH_OPS];
    double flips[BENCH_FLIPS_MAX];   /* chance of each byte */
    unsigned n_flips;
    uint64_t cell_ns;                /* how long a cell is repeated */
    uint64_t seed;
    const char *json;                /* a file, or NULL */
    bool spoil;                      /* change a byte of every result before it is compared */
};

/* Read the command line. Returns 0, -1 after help that was asked for, or the exit code after one line on standard error. */
int bench_options_parse(int argc, char **argv, struct bench_options *o);

struct bench_subject;

struct bench_subject_ops {
    const char *name;
    void (*destroy)(struct bench_subject *s);
    bool (*can)(const struct bench_subject *s, const struct ecc_engine *engine, enum bench_op op);
    /* From the data of work: its parity, behind it. 0 or a negative code. */
    int (*encode)(struct bench_subject *s, const struct ecc_engine *engine);
    /* Make work what it was. 0 or a negative code. */
    int (*decode)(struct bench_subject *s, const struct ecc_engine *engine);
    /* 0: data and parity of work agree, 1: they do not, or a negative code. */
    int (*check)(struct bench_subject *s, const struct ecc_engine *engine);
    /* After a decode that failed (with these flips, or 0): is nothing worse than it was? May change work. */
    bool (*failed_honestly)(struct bench_subject *s, uint64_t seed, double flips);
};

struct bench_subject {
    const struct bench_subject_ops *ops;
    unsigned R;
    uint64_t data_len, stored_len;   /* bytes of data; of data and parity */
    uint64_t burst_len;              /* bytes in a row that may be lost: 2R blocks of every stripe */
    uint64_t burst_unit, burst_room; /* where: at a multiple of unit, within the first room bytes */
    uint8_t *original, *work;        /* stored_len each: as it was encoded, and what calls work on */
    uint64_t lost_from, lost_len;    /* bytes of work that are known to be lost */
};

/* @bytes of data, random from seed; encoded with the fastest CPU engine. 0 or a negative code. */
int bench_string_create(uint64_t bytes, unsigned R, uint64_t seed, struct bench_subject **out);
int bench_container_create(uint64_t bytes, unsigned R, uint64_t seed, struct bench_subject **out);

/* original and work, of stored_len bytes, data filled from seed. 0 or -ENOMEM; for the subjects' own use. */
int bench_subject_init(struct bench_subject *s, uint64_t seed);
void bench_subject_fini(struct bench_subject *s);

/* The fastest CPU engine of this machine. */
const struct ecc_engine *bench_best_engine(void);

/* One step of a generator (xorshift*, Vigna 2014). */
uint64_t bench_random(uint64_t *state);

/* Change every byte of work with this chance. The same again undoes it. */
void bench_flip(struct bench_subject *s, uint64_t seed, double chance);

/* Lose burst_len bytes in a row somewhere: they hold noise, and lost_from and lost_len tell. */
void bench_lose(struct bench_subject *s, uint64_t seed);

struct bench_cell {
    struct bench_subject *subject;
    const struct ecc_engine *engine;
    enum bench_op op;
    double flips; /* OP_FLIPS */
};

struct bench_result {
    uint64_t runs, good, failed, wrong;    /* good: it said so, and every byte is right; wrong: it said so, and one is not */
    uint64_t p50_ns, p90_ns, p99_ns, max_ns, total_ns;
    uint64_t cpu_ns;                       /* of all threads, all runs */
    uint64_t rss_bytes, rss_growth_bytes;  /* peak of the process; by how much the calls raised it */
    double gb_s, gb_s_mean;                /* 10^9 bytes of data a second: by the median, by all the time */
};

/* Repeat a cell for o->cell_ns, at least once. 0 or -ENOMEM. */
int bench_measure(const struct bench_options *o, const struct bench_cell *c, struct bench_result *out);

/* Output: a table on standard output, progress on standard error if that is a terminal, JSON into a file. */
struct bench_report;

struct bench_report *bench_report_open(const struct bench_options *o, unsigned n_cells);
void bench_report_subject(struct bench_report *r, const struct bench_subject *s);
void bench_report_begin(struct bench_report *r, const struct bench_cell *c);
void bench_report_add(struct bench_report *r, const struct bench_cell *c, const struct bench_result *result);

/* The last lines and the file. Returns the exit code: 0, 1 if a result was wrong, 8 if the file cannot be written. */
int bench_report_close(struct bench_report *r);

const char *bench_op_name(enum bench_op op);

/* holo bench ecc OPTIONS; argv[0] is «ecc». Returns the exit code. */
int holo_bench_ecc(int argc, char **argv);

#endif
