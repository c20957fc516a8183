/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h: a GPU in host memory, for tests: struct gpu_runtime with the kernels' own arithmetic, run for every thread of the grid.
 *
 * Nothing that is queued happens before wait() on its stream, or a release of memory: who does not wait sees nothing. A fault plan
 * makes the n-th fallible call fail; -ENODEV makes all later ones fail too. SIM_THREAD, defined before, runs a thread instead of
 * gpu_thread().
 */
#ifndef TESTS_CUDA_SIM_H
#define TESTS_CUDA_SIM_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cuda/kernel.h"
#include "cuda/runtime.h"

enum { SIM_QUEUE = 512, SIM_ALIGN = 256 };

struct sim_op {
    enum { SIM_COPY, SIM_CLEAR, SIM_LAUNCH } kind;
    void *to;
    const void *from;
    size_t len;
    struct gpu_job *job;
};

struct sim {
    struct gpu_runtime rt; /* first: the runtime is the simulation */
    pthread_mutex_t lock;
    struct sim_op op[GPU_STREAMS][SIM_QUEUE];
    unsigned queued[GPU_STREAMS];
    bool is_open, lost;
    unsigned calls;        /* fallible calls so far */
    unsigned fail_at;      /* the call that fails, from 1 on; 0: none */
    int fail_code;
    size_t memory_limit, memory_used; /* limit 0: none */
    unsigned allocations, pins, launches;
    pthread_mutex_t *sample_gate; /* sample() waits for it; NULL: at once */
    struct { void *p; size_t len; } memory[64];
};

static inline struct sim *sim_of(struct gpu_runtime *rt)
{
    return (struct sim *)rt;
}

/* Every fallible call begins here. */
static inline int sim_step(struct gpu_runtime *rt)
{
    struct sim *s = sim_of(rt);
    pthread_mutex_lock(&s->lock);
    s->calls++;
    int e = s->lost ? -ENODEV : s->fail_at && s->calls == s->fail_at ? s->fail_code : 0;
    s->lost |= e == -ENODEV;
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- streams ---- */

/* The grid of kernels.cu. */
static inline void sim_grid(const struct gpu_job *job)
{
    struct gpu_diagonal diagonal = gpu_diagonal_of(job->m);
    (void)diagonal;
    unsigned blocks = gpu_job_blocks(job);
    for (uint32_t y = 0; y < job->parts; y++) {
        for (uint32_t x = 0; x < blocks * GPU_THREADS; x++) {
#ifdef SIM_THREAD
            SIM_THREAD(job, x, y);
#else
            gpu_thread(job, y, x, job->m, job->work, job->scaled, diagonal.v);
#endif
        }
    }
}

static inline void sim_run(struct sim *s, unsigned stream, bool drop)
{
    for (unsigned i = 0; i < s->queued[stream]; i++) {
        struct sim_op *op = &s->op[stream][i];
        if (!drop && op->kind == SIM_COPY)
            memcpy(op->to, op->from, op->len);
        else if (!drop && op->kind == SIM_CLEAR)
            memset(op->to, 0, op->len);
        else if (!drop)
            sim_grid(op->job);
        free(op->job);
    }
    s->queued[stream] = 0;
}

static inline int sim_queue(struct gpu_runtime *rt, unsigned stream, struct sim_op op)
{
    struct sim *s = sim_of(rt);
    int e = sim_step(rt);
    if (e || stream >= GPU_STREAMS || s->queued[stream] == SIM_QUEUE) {
        free(op.job);
        return e ? e : -EIO;
    }
    s->op[stream][s->queued[stream]++] = op;
    return 0;
}

static inline int sim_copy(struct gpu_runtime *rt, unsigned stream, void *to, const void *from, size_t len)
{
    return sim_queue(rt, stream, (struct sim_op){ .kind = SIM_COPY, .to = to, .from = from, .len = len });
}

static inline int sim_clear(struct gpu_runtime *rt, unsigned stream, void *device, size_t len)
{
    return sim_queue(rt, stream, (struct sim_op){ .kind = SIM_CLEAR, .to = device, .len = len });
}

static inline int sim_launch(struct gpu_runtime *rt, unsigned stream, const struct gpu_job *job)
{
    struct gpu_job *copy = malloc(sizeof(*copy));
    *copy = *job;
    sim_of(rt)->launches++;
    return sim_queue(rt, stream, (struct sim_op){ .kind = SIM_LAUNCH, .job = copy });
}

static inline int sim_wait(struct gpu_runtime *rt, unsigned stream)
{
    int e = sim_step(rt);
    sim_run(sim_of(rt), stream, e != 0);
    return e;
}

/* ---- memory ---- */

static inline int sim_alloc(struct gpu_runtime *rt, size_t len, void **out)
{
    struct sim *s = sim_of(rt);
    int e = sim_step(rt);
    if (!e && s->memory_limit && s->memory_used + len > s->memory_limit)
        e = -ENOMEM;
    for (unsigned i = 0; !e && i < 64; i++) {
        if (s->memory[i].p)
            continue;
        *out = s->memory[i].p = aligned_alloc(SIM_ALIGN, (len + SIM_ALIGN - 1) / SIM_ALIGN * SIM_ALIGN);
        memset(*out, 0xdb, len);
        s->memory[i].len = len;
        s->memory_used += len;
        s->allocations++;
        return 0;
    }
    return e ? e : -ENOMEM;
}

static inline void sim_release(struct gpu_runtime *rt, void *p)
{
    struct sim *s = sim_of(rt);
    for (unsigned i = 0; i < GPU_STREAMS; i++)
        sim_run(s, i, s->lost);
    for (unsigned i = 0; i < 64; i++) {
        if (s->memory[i].p == p) {
            s->memory_used -= s->memory[i].len;
            s->memory[i].p = NULL;
            s->allocations--;
        }
    }
    free(p);
}

static inline int sim_pin(struct gpu_runtime *rt, void *host, size_t len)
{
    int e = sim_step(rt);
    (void)host, (void)len;
    sim_of(rt)->pins += !e;
    return e;
}

static inline void sim_unpin(struct gpu_runtime *rt, void *host)
{
    (void)host;
    sim_of(rt)->pins--;
}

/* ---- the device ---- */

static inline int sim_open(struct gpu_runtime *rt, struct gpu_device *out)
{
    int e = sim_step(rt);
    if (e)
        return e;
    *out = (struct gpu_device){ .name = "simulation", .driver = "1.0", .runtime = "2.0", .memory_bytes = 1 << 30,
                                .multiprocessors = 1, .major = 9 };
    sim_of(rt)->is_open = true;
    return 0;
}

static inline void sim_close(struct gpu_runtime *rt)
{
    sim_of(rt)->is_open = false;
}

static inline void sim_sample(struct gpu_runtime *rt, struct gpu_sample *out)
{
    struct sim *s = sim_of(rt);
    if (s->sample_gate) {
        pthread_mutex_lock(s->sample_gate);
        pthread_mutex_unlock(s->sample_gate);
    }
    *out = (struct gpu_sample){ .memory_free_bytes = 12345, .utilization_pct = 7, .temperature_c = 41, .power_mw = 75000 };
}

static inline const char *sim_why(struct gpu_runtime *rt)
{
    return sim_of(rt)->lost ? "the simulated device is lost" : "a simulated failure";
}

static inline int sim_time_launches(struct gpu_runtime *rt, const struct gpu_job *job, unsigned count, double *seconds)
{
    int e = sim_step(rt);
    if (e)
        return e;
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < count; i++)
        sim_grid(job);
    *seconds = (double)(clock_mono_ns() - begin) / 1e9;
    return 0;
}

static inline void sim_init(struct sim *s)
{
    memset(s, 0, sizeof(*s));
    s->rt = (struct gpu_runtime){
        .abi = GPU_ABI, .build = HOLOFS_VERSION, .open = sim_open, .close = sim_close, .alloc = sim_alloc, .release = sim_release,
        .copy_in = sim_copy, .copy_out = sim_copy, .clear = sim_clear, .launch = sim_launch, .wait = sim_wait, .pin = sim_pin,
        .unpin = sim_unpin, .sample = sim_sample, .why = sim_why,
        .time_launches = sim_time_launches,
    };
    pthread_mutex_init(&s->lock, NULL);
}

#endif
