/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_engines.c: every engine gives the scalar one's bytes, at every shape, length and damage tried. */
#include "tests/ecc/helper.h"

enum { GUARD = 64, GUARD_BYTE = 0xc3 };

typedef void check_fn(const struct ecc_engine *engine, uint64_t *random);

/* Runs a check for every engine of this machine but the scalar one, from the same seed. */
static void with_every_engine(check_fn *check, unsigned rounds)
{
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (*e == scalar() || !(*e)->supported()) {
            printf("%s: %s\n", (*e)->name, *e == scalar() ? "the oracle" : "not supported here");
            continue;
        }
        uint64_t random = SEED;
        for (unsigned i = 0; i < rounds; i++)
            check(*e, &random);
    }
}

/* Blocks that are not aligned, with guard bytes behind each. */
static void guarded_init(struct stripe *s, unsigned n, size_t len, unsigned shift)
{
    stripe_init(s, n, len + GUARD);
    memset(s->bytes, GUARD_BYTE, n * s->len);
    for (unsigned i = 0; i < n; i++)
        s->block[i] += shift;
}

static void assert_same(const struct stripe *a, const struct stripe *b)
{
    assert_memory_equal(a->bytes, b->bytes, a->n * a->len);
}

static void lose_some(struct stripe *s, unsigned n, uint64_t *random)
{
    for (unsigned i = random_below(random, 3) ? n : 0; i < n; i++) {
        if (random_below(random, 3) == 0)
            s->block[i] = NULL;
    }
}

static void check_encode(const struct ecc_engine *engine, uint64_t *random)
{
    unsigned m = 2 * (1 + random_below(random, ECC_R_MAX)), k = 1 + random_below(random, ECC_N_MAX - m);
    size_t len = 64 * (1 + random_below(random, 64));
    struct ecc_code *code = make_code(k, m, (uint32_t)next_random(random));
    struct stripe data, expected, got;
    stripe_init(&data, k, len);
    guarded_init(&expected, m, len, 7);
    guarded_init(&got, m, len, 7);
    fill_random(data.bytes, k * len, random);
    lose_some(&data, k, random);
    scalar()->encode(code, blocks_of(&data), expected.block, len);
    engine->encode(code, blocks_of(&data), got.block, len);
    assert_same(&expected, &got);
    stripe_fini(&data);
    stripe_fini(&expected);
    stripe_fini(&got);
    ecc_code_destroy(code);
}

static void check_syndrome(const struct ecc_engine *engine, uint64_t *random)
{
    unsigned m = 2 * (1 + random_below(random, ECC_R_MAX)), k = 1 + random_below(random, ECC_N_MAX - m);
    size_t len = 64 * (1 + random_below(random, 20));
    struct ecc_code *code = make_code(k, m, (uint32_t)next_random(random));
    struct stripe blocks, expected, got;
    stripe_init(&blocks, k + m, len);
    guarded_init(&expected, m, len, 0);
    guarded_init(&got, m, len, 0);
    fill_random(blocks.bytes, (k + m) * len, random);
    lose_some(&blocks, k + m, random);
    scalar()->syndrome(code, blocks_of(&blocks), expected.block, len);
    engine->syndrome(code, blocks_of(&blocks), got.block, len);
    assert_same(&expected, &got);
    stripe_fini(&blocks);
    stripe_fini(&expected);
    stripe_fini(&got);
    ecc_code_destroy(code);
}

/* Any number of rows, any matrix (zeros too), and lengths beyond one piece. */
static void check_apply(const struct ecc_engine *engine, uint64_t *random)
{
    unsigned rows = 1 + random_below(random, ECC_M_MAX), cols = random_below(random, 40);
    size_t len = 64 * (1 + random_below(random, 200));
    uint8_t coef[ECC_M_MAX * 40];
    struct stripe src, expected, got;
    stripe_init(&src, cols + 1, len);
    guarded_init(&expected, rows, len, 1);
    guarded_init(&got, rows, len, 1);
    fill_random(coef, sizeof(coef), random);
    coef[0] = 0;
    coef[rows - 1] = 1;
    fill_random(src.bytes, cols * len, random);
    lose_some(&src, cols, random);
    scalar()->apply(coef, rows, cols, blocks_of(&src), expected.block, len);
    engine->apply(coef, rows, cols, blocks_of(&src), got.block, len);
    assert_same(&expected, &got);
    stripe_fini(&src);
    stripe_fini(&expected);
    stripe_fini(&got);
}

/* Every number of rows and every small length: each compiled kernel, its pairs of vectors and its tail. */
static void check_every_kernel(const struct ecc_engine *engine, uint64_t *random)
{
    uint8_t coef[ECC_M_MAX * 17];
    struct stripe src, expected, got;
    fill_random(coef, sizeof(coef), random);
    for (unsigned rows = 1; rows <= ECC_M_MAX; rows++) {
        for (size_t len = 64; len <= 512; len += 64) {
            stripe_init(&src, 17, len);
            guarded_init(&expected, rows, len, 0);
            guarded_init(&got, rows, len, 0);
            fill_random(src.bytes, 17 * len, random);
            scalar()->apply(coef, rows, 17, blocks_of(&src), expected.block, len);
            engine->apply(coef, rows, 17, blocks_of(&src), got.block, len);
            assert_same(&expected, &got);
            stripe_fini(&src);
            stripe_fini(&expected);
            stripe_fini(&got);
        }
    }
}

/* Member counts and lengths around the ends of sweeps and pieces. */
static void check_sweep_ends(const struct ecc_engine *engine, uint64_t *random)
{
    static const unsigned counts[] = { 1, 2, 7, 8, 9, 15, 16, 17, 64, 255, 400 };
    static const size_t lengths[] = { 64, 4032, 4096, 4160, 8192, 10304 };
    static uint8_t coef[6 * 400];
    struct stripe src, expected, got;
    fill_random(coef, sizeof(coef), random);
    for (unsigned t = 0; t < sizeof(counts) / sizeof(counts[0]) * 6; t++) {
        unsigned cols = counts[t / 6];
        size_t len = lengths[t % 6];
        const uint8_t *block[400];
        stripe_init(&src, 1, cols * len);
        guarded_init(&expected, 6, len, 0);
        guarded_init(&got, 6, len, 0);
        fill_random(src.bytes, cols * len, random);
        for (unsigned c = 0; c < cols; c++)
            block[c] = src.bytes + c * len;
        scalar()->apply(coef, 6, cols, block, expected.block, len);
        engine->apply(coef, 6, cols, block, got.block, len);
        assert_same(&expected, &got);
        stripe_fini(&src);
        stripe_fini(&expected);
        stripe_fini(&got);
    }
}

static void encoding_equals_the_scalar_engine(void **state)
{
    (void)state;
    with_every_engine(check_encode, 60);
}

static void syndromes_equal_the_scalar_engine(void **state)
{
    (void)state;
    with_every_engine(check_syndrome, 60);
}

static void any_matrix_equals_the_scalar_engine(void **state)
{
    (void)state;
    with_every_engine(check_apply, 100);
}

static void every_row_count_and_small_length_equals_the_scalar_engine(void **state)
{
    (void)state;
    with_every_engine(check_every_kernel, 1);
}

static void ends_of_sweeps_and_pieces_equal_the_scalar_engine(void **state)
{
    (void)state;
    with_every_engine(check_sweep_ends, 1);
}

/* The oracle itself, against sums of slow products. */
static void scalar_apply_is_the_sum_of_products(void **state)
{
    (void)state;
    uint64_t random = SEED;
    uint8_t coef[5 * 20];
    struct stripe src, dst;
    stripe_init(&src, 20, 128);
    stripe_init(&dst, 5, 128);
    fill_random(coef, sizeof(coef), &random);
    fill_random(src.bytes, 20 * 128, &random);
    src.block[4] = NULL;
    scalar()->apply(coef, 5, 20, blocks_of(&src), dst.block, 128);
    for (unsigned r = 0; r < 5; r++) {
        for (size_t j = 0; j < 128; j++) {
            uint8_t sum = 0;
            for (unsigned c = 0; c < 20; c++)
                sum ^= src.block[c] ? slow_mul(coef[r * 20 + c], src.block[c][j]) : 0;
            assert_int_equal(dst.block[r][j], sum);
        }
    }
    stripe_fini(&src);
    stripe_fini(&dst);
}

static void an_engine_is_found_by_name_only_where_it_runs(void **state)
{
    (void)state;
    assert_non_null(scalar());
    assert_null(ecc_engine_find("fpga"));
    assert_null(ecc_engine_find(""));
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        assert_ptr_equal(ecc_engine_find((*e)->name), (*e)->supported() ? *e : NULL);
}

static void calibration_measures_every_supported_engine_and_takes_the_fastest(void **state)
{
    (void)state;
    struct ecc_code *code = make_code(64, 6, 1);
    struct ecc_calibration c;
    ecc_calibrate(code, &c);
    assert_non_null(c.best);
    assert_true(c.n >= 1);
    double best = 0;
    for (unsigned i = 0; i < c.n; i++) {
        printf("%s: %.2f GB/s\n", c.row[i].name, c.row[i].encode_gb_s);
        assert_non_null(ecc_engine_find(c.row[i].name));
        assert_true(c.row[i].encode_gb_s > 0);
        best = c.row[i].encode_gb_s > best ? c.row[i].encode_gb_s : best;
    }
    for (unsigned i = 0; i < c.n; i++)
        assert_true(strcmp(c.row[i].name, c.best->name) != 0 || c.row[i].encode_gb_s >= best);
    ecc_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_apply_is_the_sum_of_products),
        cmocka_unit_test(encoding_equals_the_scalar_engine),
        cmocka_unit_test(syndromes_equal_the_scalar_engine),
        cmocka_unit_test(any_matrix_equals_the_scalar_engine),
        cmocka_unit_test(every_row_count_and_small_length_equals_the_scalar_engine),
        cmocka_unit_test(ends_of_sweeps_and_pieces_equal_the_scalar_engine),
        cmocka_unit_test(an_engine_is_found_by_name_only_where_it_runs),
        cmocka_unit_test(calibration_measures_every_supported_engine_and_takes_the_fastest),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
