/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h: which engine does what work, by what it was measured to cost.
 *
 * A plan has one CPU engine and at most one device (the GPU engine, handed in by the caller). Its life:
 *
 *   no device  ◀──failed its first test────  calibrating ──▶ weighing ──three failures in a row, 16 in all, ──▶ given up
 *                                                                        or one wrong byte
 *
 * Invariants:
 *  1. Whatever the device does, the caller gets the CPU's bytes: a call that the device fails is done again by the CPU.
 *  2. Before it is used, the device shows on a whole small container that it gives the CPU's bytes; after that, one stripe
 *     of each container it worked on is computed by the CPU as well, another one each time. A wrong byte ends its use.
 *  3. Estimates follow what calls really take. A sixteenth of the time spent goes to asking the engine that lost again, so
 *     that neither a slow first second nor a busy GPU decides for ever.
 */
#ifndef HOLO_ECC_PLAN_H
#define HOLO_ECC_PLAN_H

#include "ecc/ecc.h"

struct ecc_plan;

struct ecc_plan_options {
    const struct ecc_code *code;      /* the usual one; others are estimated from it until they have been seen */
    size_t block_size;
    struct ecc_layout full;           /* the usual container, full: the size of a real batch */
    const struct ecc_engine *cpu;     /* NULL: the fastest of this machine */
    const struct ecc_engine *device;  /* NULL: none. Called from several threads at once */
    bool device_always;               /* asked for by name: never weighed against the CPU, only fallen back from */
    uint64_t (*now_ns)(void);         /* NULL: the monotonic clock; tests bring one that they move */
};

/*
 * Measure and decide: about 2 ms for each CPU engine; with a device also some runs of one full container, in memory that
 * is given back (its parity included), about a tenth of a second. The options' code must live as long as the plan.
 * 0 or -ENOMEM. A device that fails its test is given up: see struct ecc_plan_stats.
 */
int ecc_plan_create(const struct ecc_plan_options *o, struct ecc_plan **out);
void ecc_plan_destroy(struct ecc_plan *p);

/* The CPU engine, for single stripes. */
const struct ecc_engine *ecc_plan_cpu(const struct ecc_plan *p);

/*
 * Work on n containers of one code, as struct ecc_engine says, by the engine that is expected to be done first. Returns
 * 0: CPU engines do not fail. Thread-safe; waits for the device without a lock.
 */
int ecc_plan_containers(struct ecc_plan *p, enum ecc_work work, const struct ecc_code *code, size_t block_size,
                        const struct ecc_container *c, unsigned n);

/* Page-lock memory for the device, if there is one that has use for it and is still in use. True: unpin it before it is freed. */
bool ecc_plan_pin(struct ecc_plan *p, void *mem, size_t len);
void ecc_plan_unpin(struct ecc_plan *p, void *mem, size_t len);

struct ecc_plan_work {
    uint64_t batches, bytes; /* of data */
    uint64_t ns;
};

/* The cost of one kind of work with the plan's code, as it is estimated now. GB/s are 10^9 bytes of data a second. */
struct ecc_plan_cost {
    double cpu_gb_s, device_gb_s; /* of a container from memory; the device's without its latency. 0: not measured (no device) */
    double device_latency_us;
    uint64_t wins_from_bytes;     /* batches of at least that much data go to the device; UINT64_MAX: none */
};

struct ecc_plan_stats {
    const char *cpu, *device;  /* names; device NULL: none */
    bool given_up, device_always;
    struct ecc_calibration engines;
    uint64_t calibration_ns;
    struct ecc_plan_cost cost[ECC_WORKS];
    struct ecc_plan_work done_cpu[ECC_WORKS], done_device[ECC_WORKS];
    uint64_t fallbacks;        /* calls that the CPU had to answer because the device failed */
    uint64_t checked_stripes;  /* of the device's, computed by the CPU as well */
    char last_failure[96];     /* one line; empty: none */
};

/* Thread-safe; never waits for the device. */
void ecc_plan_get_stats(struct ecc_plan *p, struct ecc_plan_stats *out);

/* Would a full container go to the device now? */
bool ecc_plan_prefers_device(struct ecc_plan *p, enum ecc_work work);

#endif
