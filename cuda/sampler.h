/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sampler.h: what the device says about itself, asked for by a thread of its own: a driver may take its time, or hang, and
 * statistics must not. The thread sleeps until somebody has looked at a sample that is older than a second.
 */
#ifndef HOLO_CUDA_SAMPLER_H
#define HOLO_CUDA_SAMPLER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/lock.h"
#include "cuda/runtime.h"

struct sampler {
    struct gpu_runtime *rt;
    struct mutex lock; /* rank 760; guards what follows */
    pthread_cond_t wanted_cond;
    pthread_t thread;
    bool running, wanted, stop;
    struct gpu_sample last;
    uint64_t taken_ns; /* 0: never */
};

void sampler_init(struct sampler *s, struct gpu_runtime *rt);
void sampler_fini(struct sampler *s);

/* The last sample (-1 everywhere before the first), and a wish for a fresh one. */
void sampler_get(struct sampler *s, struct gpu_sample *out);

#endif
