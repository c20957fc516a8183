/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cuda.h: the parity engine that runs on an NVIDIA GPU, where there is one.
 *
 * The GPU's part is in a shared module of its own, libholofs_cuda.so, which is looked for beside the program, then in
 * ../lib/holofs; HOLOFS_CUDA_MODULE names another file. Nothing of CUDA is linked into the programs.
 */
#ifndef HOLO_CUDA_CUDA_H
#define HOLO_CUDA_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecc/ecc.h"

struct cuda_status {
    bool present;
    bool lost;             /* it was there, and failed for good */
    char name[64];         /* of the device; empty if there is none */
    char why[128];         /* there is none: the reason, one line */
    char driver[32], runtime[32]; /* versions */
    char last_error[128];  /* one line; empty: none so far */
    unsigned multiprocessors, compute_major, compute_minor;
    uint64_t memory_bytes; /* of the device */
    uint64_t memory_held_bytes; /* by this program, for batches */
    uint64_t pinned_bytes; /* of host memory */
    int64_t memory_free_bytes, utilization_pct, temperature_c, power_mw; /* at most some seconds old; -1: not known */
    uint64_t launches, containers;
    uint64_t bytes_in, bytes_out; /* copied to and from the device */
    uint64_t busy_ns;      /* spent in calls, waiting for the device included */
    uint64_t fallbacks;    /* calls that failed: the CPU had to answer */
    uint64_t cpu_stripes;  /* calls for single stripes: always the CPU's, because copies cost more than the work */
};

/*
 * The engine, or NULL and one line in @why (cap bytes, always terminated) that says why there is none. The first call opens the
 * device, which takes some tenths of a second and starts threads of the driver: fork before, not after. Encoding and syndromes of
 * whole containers run on the GPU, `containers` may be called by several threads; work on single stripes is done by the fastest
 * CPU engine. It lives until the process ends. Thread-safe.
 */
const struct ecc_engine *cuda_engine_get(char *why, size_t cap);

/* Thread-safe; never waits for the device, and does not open it: before the first cuda_engine_get() there is none. */
void cuda_status_get(struct cuda_status *out);

#endif
