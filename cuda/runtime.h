/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runtime.h: what the engine needs of a GPU runtime, as a vtable. Two implementations: CUDA (runtime.cu, in the module that the
 * loader opens) and a simulation in host memory that can fail on purpose (tests/cuda/sim.h).
 *
 * Device memory is named by pointers that only the device may follow. Work is queued on streams 0 … GPU_STREAMS−1: in
 * order on one stream, in any order across them, finished when wait() on that stream says so. Until then memory that is
 * copied from must not change, and memory that is copied to must live.
 *
 * Fallible functions return 0 or a negative code: -ENOMEM (of the device), -ENODEV (the device is lost for this process: everything
 * fails from now on), -EIO (this one operation). why() then has one line about it, for the calling thread. All are thread-safe.
 */
#ifndef HOLO_CUDA_RUNTIME_H
#define HOLO_CUDA_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "cuda/job.h"

enum {
    GPU_STREAMS = 3,
    GPU_ABI = 1, /* of this header and of job.h */
};

struct gpu_device {
    char name[64];
    char driver[32], runtime[32]; /* versions */
    uint64_t memory_bytes;
    unsigned multiprocessors, major, minor;
};

/* What the device says about itself now; -1: not known. */
struct gpu_sample {
    int64_t memory_free_bytes;
    int64_t utilization_pct, temperature_c, power_mw;
};

struct gpu_runtime {
    uint32_t abi;      /* GPU_ABI of the one who built it */
    const char *build; /* HOLOFS_VERSION likewise */

    /* Choose a device and make the streams; once. On failure why() says what is missing. */
    int (*open)(struct gpu_runtime *rt, struct gpu_device *out);
    void (*close)(struct gpu_runtime *rt);

    /* Addresses are multiples of 256. release waits for whatever uses the memory. */
    int (*alloc)(struct gpu_runtime *rt, size_t len, void **out);
    void (*release)(struct gpu_runtime *rt, void *p);

    int (*copy_in)(struct gpu_runtime *rt, unsigned stream, void *device, const void *host, size_t len);
    int (*copy_out)(struct gpu_runtime *rt, unsigned stream, void *host, const void *device, size_t len);
    int (*clear)(struct gpu_runtime *rt, unsigned stream, void *device, size_t len);
    int (*launch)(struct gpu_runtime *rt, unsigned stream, const struct gpu_job *job); /* the job is copied */
    int (*wait)(struct gpu_runtime *rt, unsigned stream);

    /* Page-lock host memory, so that copies need no detour and do not block. */
    int (*pin)(struct gpu_runtime *rt, void *host, size_t len);
    void (*unpin)(struct gpu_runtime *rt, void *host);

    void (*sample)(struct gpu_runtime *rt, struct gpu_sample *out); /* may take as long as the driver likes */
    const char *(*why)(struct gpu_runtime *rt);

    /* For benches: seconds that `count` launches of the job take on the device alone, one behind the other. */
    int (*time_launches)(struct gpu_runtime *rt, const struct gpu_job *job, unsigned count, double *seconds);
};

/* The module's only symbol. */
#define GPU_RUNTIME_SYMBOL "holofs_gpu_runtime"
typedef struct gpu_runtime *gpu_runtime_fn(void);

#endif
