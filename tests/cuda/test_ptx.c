/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ptx.c: the kernels as nvcc compiled them, instruction by instruction (ptx2c.py), give the scalar engine's bytes. What is left
 * unproven without a GPU is the assembler behind PTX, the launch, and the runtime.
 */
#include "cuda/job.h"

typedef void ptx_fn(uint64_t param, uint32_t ctaid_x, uint32_t ctaid_y, uint32_t tid_x);

static void ptx_thread(const struct gpu_job *job, uint32_t x, uint32_t y);
#define SIM_THREAD ptx_thread

#include "tests/cuda/identity.h"
#include "tests/cuda/sim.h"

#define PTX(m) extern ptx_fn ptx_##m##_0_0, ptx_##m##_0_1, ptx_##m##_1_0, ptx_##m##_1_1
PTX(2);
PTX(4);
PTX(6);
PTX(8);
PTX(10);
PTX(12);
PTX(14);
PTX(16);
PTX(18);
PTX(20);

#define ROW(m) { { ptx_##m##_0_0, ptx_##m##_0_1 }, { ptx_##m##_1_0, ptx_##m##_1_1 } }

static void ptx_thread(const struct gpu_job *job, uint32_t x, uint32_t y)
{
    static ptx_fn *const kernel[][2][2] = { ROW(2), ROW(4), ROW(6), ROW(8), ROW(10), ROW(12), ROW(14), ROW(16), ROW(18), ROW(20) };
    kernel[job->m / 2 - 1][job->work][job->scaled]((uintptr_t)job, x / GPU_THREADS, y, x % GPU_THREADS);
}

static int by_gpu(void *arg, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    return gpu_containers(arg, work, code, block_size, c, n);
}

static void compiled_kernels_give_the_scalar_engines_bytes_for_every_code(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct sim sim;
    struct gpu *gpu;
    char why[128];
    sim_init(&sim);
    assert_int_equal(gpu_create(&sim.rt, &gpu, why, sizeof(why)), 0);
    identity_check_all(by_gpu, gpu, &random);
    identity_check(by_gpu, gpu, 8, 6, 0, 4096, 2, 9, &random);
    gpu_destroy(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiled_kernels_give_the_scalar_engines_bytes_for_every_code),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
