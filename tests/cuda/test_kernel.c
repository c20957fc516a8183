/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_kernel.c: the arithmetic of the GPU's kernels, compiled for this machine, against the definition of the field. */
#include "cuda/kernel.h"
#include "tests/ecc/helper.h"

/* Bytes as planes and back. The pieces that a thread loads lie 32 bytes apart. */
enum { SPAN = 48 };

static struct gpu_planes random_planes(uint8_t *bytes, uint64_t *random)
{
    fill_random(bytes, SPAN, random);
    return gpu_transpose(gpu_load(bytes));
}

static void bytes_of(struct gpu_planes x, uint8_t *bytes)
{
    gpu_store(bytes, gpu_transpose(x));
}

static bool is_loaded(unsigned j)
{
    return j < 16 || j >= 32;
}

static void a_plane_holds_one_bit_of_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[SPAN] = { 0 };
    for (unsigned j = 0; j < SPAN; j++) {
        for (unsigned bit = 0; bit < 8 && is_loaded(j); bit++) {
            bytes[j] = (uint8_t)(1u << bit);
            struct gpu_planes x = gpu_transpose(gpu_load(bytes));
            for (unsigned b = 0; b < 8; b++)
                assert_int_equal(__builtin_popcount(x.b[b]), b == bit);
        }
        bytes[j] = 0;
    }
}

static void planes_become_the_bytes_they_were(void **state)
{
    (void)state;
    uint64_t random = SEED;
    uint8_t bytes[SPAN], back[SPAN];
    for (unsigned i = 0; i < 100; i++) {
        struct gpu_planes x = random_planes(bytes, &random);
        memset(back, 0xc3, SPAN);
        bytes_of(x, back);
        for (unsigned j = 0; j < SPAN; j++)
            assert_int_equal(back[j], is_loaded(j) ? bytes[j] : 0xc3);
    }
}

static void programs_multiply_by_powers_and_add(void **state)
{
    (void)state;
    uint64_t random = SEED + 1;
    uint8_t x[SPAN], c[SPAN], y[SPAN];
    for (int power = -19; power <= 19; power++) {
        for (unsigned i = 0; i < 20; i++) {
            struct gpu_planes px = random_planes(x, &random), pc = random_planes(c, &random);
            bytes_of(gpu_times_alpha(px, power, pc), y);
            for (unsigned j = 0; j < SPAN; j++) {
                if (is_loaded(j))
                    assert_int_equal(y[j], slow_mul(x[j], slow_alpha((uint64_t)(255 + power))) ^ c[j]);
            }
        }
    }
}

static void products_with_every_constant_are_right(void **state)
{
    (void)state;
    uint64_t random = SEED + 2;
    uint8_t x[SPAN], y[SPAN];
    for (unsigned coef = 0; coef < 256; coef++) {
        struct gpu_planes p = random_planes(x, &random);
        bytes_of(gpu_times(p, coef), y);
        for (unsigned j = 0; j < 16; j++)
            assert_int_equal(y[j], slow_mul(x[j], (uint8_t)coef));
    }
}

static void constants_are_those_of_the_field(void **state)
{
    (void)state;
    for (unsigned v = 1; v < 256; v++) {
        assert_int_equal(slow_mul((uint8_t)v, gpu_inverse((uint8_t)v)), 1);
        assert_int_equal(gpu_alpha(v), slow_alpha(v));
        assert_int_equal(gpu_mul((uint8_t)v, 0xb7), slow_mul((uint8_t)v, 0xb7));
    }
}

/* Put the solution into the equations: Σ_r p_r·α^(rf) = t_f. */
static void the_solution_satisfies_its_equations(void **state)
{
    (void)state;
    uint64_t random = SEED + 3;
    for (unsigned m = 2; m <= GPU_M_MAX; m += 2) {
        struct gpu_planes t[GPU_M_MAX];
        uint8_t right[GPU_M_MAX][SPAN], p[GPU_M_MAX][SPAN];
        struct gpu_diagonal diagonal = gpu_diagonal_of(m);
        for (unsigned f = 0; f < m; f++)
            t[f] = random_planes(right[f], &random);
        gpu_solve(t, m, diagonal.v);
        for (unsigned r = 0; r < m; r++)
            bytes_of(t[r], p[r]);
        for (unsigned f = 0; f < m; f++) {
            uint8_t sum = 0;
            for (unsigned r = 0; r < m; r++)
                sum ^= slow_mul(p[r][5], slow_alpha(r * f));
            assert_int_equal(sum, right[f][5]);
        }
    }
}

static void the_grid_covers_the_longest_row_and_not_a_block_more(void **state)
{
    (void)state;
    static const struct { uint32_t D, block_size, blocks; } shape[] = {
        { 1, 64, 1 }, { 64, 64, 1 }, { 65, 64, 2 }, { 257, 4096, 257 }, { 3, 5120, 4 }, { 1, 4032, 1 },
    };
    for (unsigned i = 0; i < sizeof(shape) / sizeof(shape[0]); i++) {
        struct gpu_job job = { .parts = 2, .block_size = shape[i].block_size, .part = { { .D = 1 }, { .D = shape[i].D } } };
        assert_int_equal(gpu_job_blocks(&job), shape[i].blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plane_holds_one_bit_of_every_byte),
        cmocka_unit_test(planes_become_the_bytes_they_were),
        cmocka_unit_test(programs_multiply_by_powers_and_add),
        cmocka_unit_test(products_with_every_constant_are_right),
        cmocka_unit_test(constants_are_those_of_the_field),
        cmocka_unit_test(the_solution_satisfies_its_equations),
        cmocka_unit_test(the_grid_covers_the_longest_row_and_not_a_block_more),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
