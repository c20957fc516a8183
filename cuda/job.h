/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h: one launch: what the kernels are told, as the parameter that is passed by value. C and CUDA agree on its layout.
 *
 * Seeds: the code of seed s is the code of seed 0 with member i multiplied by α^(i·s), because
 * S_{s+f} = Σ c_i·α^(i(s+f)) = Σ (c_i·α^(is))·α^(if). So kernels know the frequencies 0 … m−1 only, which are constants for the
 * compiler; seed 0 is the default of mkfs.holofs, and for any other one the members are scaled on their way in, parity on its way out.
 */
#ifndef HOLO_CUDA_JOB_H
#define HOLO_CUDA_JOB_H

#include <assert.h>
#include <stdint.h>

enum {
    GPU_M_MAX = 20,
    GPU_N_MAX = 255,
    GPU_PARTS = 64,         /* containers in a launch */
    GPU_THREADS = 128,      /* in a block */
    GPU_THREAD_COLUMNS = 32, /* bytes of every member that one thread works on */
};

enum gpu_work {
    GPU_ENCODE,
    GPU_SYNDROME,
};

/* A container in device memory; the layout is that of struct ecc_container. Addresses are multiples of 64. */
struct gpu_part {
    const uint8_t *stored;
    uint8_t *out;    /* NULL: waves are not wanted */
    uint8_t *dirty;  /* NULL: flags are not wanted. D bytes, zeros before the launch */
    uint32_t used, D;
};

struct gpu_job {
    uint8_t work;   /* enum gpu_work */
    uint8_t m;
    uint8_t k;
    uint8_t scaled; /* a seed other than 0 */
    uint32_t parts;
    uint32_t block_size; /* a multiple of 64; D·block_size < 2^32 for every part */
    uint8_t scale[GPU_N_MAX + 1];  /* α^(i·s) of member i */
    uint8_t unscale[GPU_M_MAX];    /* α^(−(k+r)·s) of parity member k + r */
    struct gpu_part part[GPU_PARTS];
};

/* Blocks for the longest row of the job; the grid is that many times `parts`. */
static inline unsigned gpu_job_blocks(const struct gpu_job *job)
{
    const uint32_t columns = GPU_THREADS * GPU_THREAD_COLUMNS;
    uint32_t stripes = 0;
    for (uint32_t i = 0; i < job->parts; i++)
        stripes = job->part[i].D > stripes ? job->part[i].D : stripes;
    return (unsigned)(((uint64_t)stripes * job->block_size + columns - 1) / columns);
}

static_assert(sizeof(struct gpu_part) == 32 && sizeof(struct gpu_job) < 4096, "a kernel takes 4 KiB of parameters");

#endif
