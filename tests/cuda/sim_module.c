/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_module.c: the simulated GPU as a module for the loader, so that everything above it, up to a mount with ecc=cuda, can be run
 * without a GPU: HOLOFS_CUDA_MODULE=…/libholofs_sim.so. SIM_LOST_AFTER=N loses the device at the N-th call; SIM_BUILD names the
 * build that the module says it is of.
 */
#include "tests/cuda/sim.h"

struct gpu_runtime *holofs_gpu_runtime(void);

struct gpu_runtime *holofs_gpu_runtime(void)
{
    static struct sim sim;
    const char *lost_after = getenv("SIM_LOST_AFTER"), *build = getenv("SIM_BUILD");
    sim_init(&sim);
    sim.fail_at = lost_after ? (unsigned)strtoul(lost_after, NULL, 10) : 0;
    sim.fail_code = -ENODEV;
    if (build)
        sim.rt.build = build;
    return &sim.rt;
}
