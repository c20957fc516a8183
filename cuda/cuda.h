/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cuda.h: the parity engine that runs on an NVIDIA GPU, where there is one. */
#ifndef HOLO_CUDA_CUDA_H
#define HOLO_CUDA_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecc/ecc.h"

struct cuda_status {
    bool present;
    char name[64];         /* of the device; empty if there is none */
    char why[128];         /* there is none: the reason, one line */
    uint64_t memory_bytes;
    uint64_t fallbacks;    /* calls that the CPU had to answer */
    uint64_t launches;
};

/*
 * The engine, or NULL and one line in @why (cap bytes, always terminated) that says why there is none. It lives until
 * the process ends. Thread-safe.
 */
const struct ecc_engine *cuda_engine_get(char *why, size_t cap);

/* Thread-safe; never waits for the device. */
void cuda_status_get(struct cuda_status *out);

#endif
