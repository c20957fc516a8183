/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu.h: the engine on one GPU: whole containers through a runtime. For cuda/ and its tests; others use cuda.h. */
#ifndef HOLO_CUDA_GPU_H
#define HOLO_CUDA_GPU_H

#include "cuda/cuda.h"
#include "cuda/runtime.h"
#include "ecc/ecc.h"

struct gpu;

/*
 * @rt: must live as long as the engine. Opens the device; nothing is allocated there before the first batch. Returns 0 or a negative
 * code, with one line in @why (cap bytes, always terminated).
 */
int gpu_create(struct gpu_runtime *rt, struct gpu **out, char *why, size_t cap);

/* Nobody may be in a call. */
void gpu_destroy(struct gpu *g);

/* As struct ecc_engine says. Callers take turns. -ENODEV for ever once the device is lost; -E2BIG: not for kernels of 32-bit rows. */
int gpu_containers(struct gpu *g, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                   unsigned n);

int gpu_pin(struct gpu *g, void *p, size_t len);
void gpu_unpin(struct gpu *g, void *p, size_t len);

/* Counts a call for a single stripe, which the CPU does. */
void gpu_count_stripe(struct gpu *g);

/* Never waits for the device. */
void gpu_status(struct gpu *g, struct cuda_status *out);

/* The runtime behind cuda_engine_get(), for benches; NULL: none, or not asked for. */
struct gpu_runtime *cuda_runtime_get(void);

/* Everything of a job but its parts. */
void gpu_job_init(struct gpu_job *job, enum ecc_work work, const struct ecc_code *code, size_t block_size);

#endif
