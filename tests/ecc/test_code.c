/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_code.c: the code against its definition: the waves of an encoded stripe vanish, as computed here and slowly. */
#include <errno.h>

#include "tests/ecc/helper.h"

enum { LEN = 64 };

static const uint32_t seeds[] = { 0, 1, 7, 127, 235, 250, 254, 255, 256, 1000, 65535, 0x80000000u, UINT32_MAX };
enum { N_SEEDS = sizeof(seeds) / sizeof(seeds[0]) };

/* Wave at frequency f of byte j of the blocks; α^i·f by its definition. */
static uint8_t slow_wave(const struct stripe *s, uint64_t f, size_t j)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->block[i])
            sum ^= slow_mul(s->block[i][j], slow_alpha(i * f));
    }
    return sum;
}

static void waves_of_an_encoded_stripe_vanish(void **state)
{
    (void)state;
    static const struct { unsigned k, m; } shape[] = { { 1, 2 }, { 3, 4 }, { 17, 6 }, { 64, 6 }, { 40, 14 }, { 235, 20 }, { 253, 2 } };
    uint64_t random = SEED;
    for (unsigned t = 0; t < sizeof(shape) / sizeof(shape[0]); t++) {
        uint32_t seed = seeds[t * 5 % N_SEEDS];
        struct ecc_code *code = make_code(shape[t].k, shape[t].m, seed);
        struct stripe s;
        stripe_init(&s, shape[t].k + shape[t].m, LEN);
        stripe_fill(&s, scalar(), code, &random);
        for (unsigned f = 0; f < shape[t].m; f++) {
            for (size_t j = 0; j < LEN; j += 21)
                assert_int_equal(slow_wave(&s, (uint64_t)seed % 255 + f, j), 0);
        }
        stripe_fini(&s);
        ecc_code_destroy(code);
    }
}

static void waves_vanish_for_every_redundancy_and_seed(void **state)
{
    (void)state;
    uint64_t random = SEED + 1;
    for (unsigned r = ECC_R_MIN; r <= ECC_R_MAX; r++) {
        for (unsigned t = 0; t < N_SEEDS; t++) {
            unsigned k = 1 + random_below(&random, 12), m = 2 * r;
            struct ecc_code *code = make_code(k, m, seeds[t]);
            struct stripe s;
            stripe_init(&s, k + m, LEN);
            stripe_fill(&s, scalar(), code, &random);
            for (unsigned f = 0; f < m; f++)
                assert_int_equal(slow_wave(&s, seeds[t] % 255 + f, random_below(&random, LEN)), 0);
            stripe_fini(&s);
            ecc_code_destroy(code);
        }
    }
}

static void syndrome_is_the_waves_of_any_blocks(void **state)
{
    (void)state;
    uint64_t random = SEED + 2;
    for (unsigned t = 0; t < N_SEEDS; t++) {
        unsigned k = 1 + random_below(&random, 40), m = 2 * (1 + random_below(&random, ECC_R_MAX));
        struct ecc_code *code = make_code(k, m, seeds[t]);
        struct stripe s, syn;
        stripe_init(&s, k + m, LEN);
        stripe_init(&syn, m, LEN);
        fill_random(s.bytes, (k + m) * LEN, &random);
        s.block[random_below(&random, k + m)] = NULL;
        scalar()->syndrome(code, blocks_of(&s), syn.block, LEN);
        for (unsigned f = 0; f < m; f++)
            assert_int_equal(syn.block[f][13], slow_wave(&s, seeds[t] % 255 + f, 13));
        stripe_fini(&s);
        stripe_fini(&syn);
        ecc_code_destroy(code);
    }
}

static void syndrome_of_an_encoded_stripe_is_zero_and_of_a_changed_one_is_not(void **state)
{
    (void)state;
    uint64_t random = SEED + 3;
    struct ecc_code *code = make_code(64, 6, 99);
    struct stripe s, syn;
    stripe_init(&s, 70, 4096);
    stripe_init(&syn, 6, 4096);
    uint8_t *zeros = calloc(6, 4096);
    stripe_fill(&s, scalar(), code, &random);
    scalar()->syndrome(code, blocks_of(&s), syn.block, 4096);
    assert_memory_equal(syn.bytes, zeros, 6 * 4096);
    s.block[69][4095] ^= 1;
    scalar()->syndrome(code, blocks_of(&s), syn.block, 4096);
    for (unsigned f = 0; f < 6; f++) {
        assert_memory_equal(syn.block[f], zeros, 4095);
        assert_int_equal(syn.block[f][4095], slow_alpha(69 * (99 + f)));
    }
    free(zeros);
    stripe_fini(&s);
    stripe_fini(&syn);
    ecc_code_destroy(code);
}

static void seeds_that_are_equal_modulo_255_give_the_same_parity(void **state)
{
    (void)state;
    uint64_t random = SEED + 4;
    struct ecc_code *a = make_code(20, 8, 3), *b = make_code(20, 8, 3 + 255 * 1000), *c = make_code(20, 8, 4);
    struct stripe s, t, u;
    stripe_init(&s, 28, LEN);
    stripe_init(&t, 8, LEN);
    stripe_init(&u, 8, LEN);
    stripe_fill(&s, scalar(), a, &random);
    scalar()->encode(b, blocks_of(&s), t.block, LEN);
    scalar()->encode(c, blocks_of(&s), u.block, LEN);
    assert_memory_equal(s.block[20], t.bytes, 8 * LEN);
    assert_memory_not_equal(s.block[20], u.bytes, 8 * LEN);
    stripe_fini(&s);
    stripe_fini(&t);
    stripe_fini(&u);
    ecc_code_destroy(a);
    ecc_code_destroy(b);
    ecc_code_destroy(c);
}

/* The format depends on these bytes: they must never change. α^i for R = 1, seed 0: p_0 + p_1 = c_0, p_0·α + p_1·α² = c_0. */
static void parity_of_known_bytes_is_known(void **state)
{
    (void)state;
    struct ecc_code *code = make_code(1, 2, 0);
    struct stripe s;
    stripe_init(&s, 3, LEN);
    s.block[0][0] = 1;
    scalar()->encode(code, blocks_of(&s), s.block + 1, LEN);
    assert_int_equal(s.block[1][0] ^ s.block[2][0], 1);
    assert_int_equal(slow_mul(s.block[1][0], 2) ^ slow_mul(s.block[2][0], 4), 1);
    assert_int_equal(s.block[1][0], 0x8f);
    assert_int_equal(s.block[2][0], 0x8e);
    stripe_fini(&s);
    ecc_code_destroy(code);
}

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    static const struct { unsigned k, m; } bad[] = {
        { 0, 2 }, { 1, 0 }, { 1, 3 }, { 10, 22 }, { 254, 2 }, { 236, 20 }, { UINT32_MAX, 2 }, { 2, UINT32_MAX - 1 },
    };
    struct ecc_code *code = NULL;
    for (unsigned t = 0; t < sizeof(bad) / sizeof(bad[0]); t++) {
        assert_int_equal(ecc_code_create(bad[t].k, bad[t].m, 0, &code), -EINVAL);
        assert_null(code);
    }
}

static void a_code_remembers_its_parameters(void **state)
{
    (void)state;
    struct ecc_code *code = make_code(64, 6, 0xdeadbeef);
    assert_int_equal(ecc_code_k(code), 64);
    assert_int_equal(ecc_code_m(code), 6);
    assert_int_equal(ecc_code_seed(code), 0xdeadbeef);
    ecc_code_destroy(code);
    ecc_code_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waves_of_an_encoded_stripe_vanish),
        cmocka_unit_test(waves_vanish_for_every_redundancy_and_seed),
        cmocka_unit_test(syndrome_is_the_waves_of_any_blocks),
        cmocka_unit_test(syndrome_of_an_encoded_stripe_is_zero_and_of_a_changed_one_is_not),
        cmocka_unit_test(seeds_that_are_equal_modulo_255_give_the_same_parity),
        cmocka_unit_test(parity_of_known_bytes_is_known),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(a_code_remembers_its_parameters),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
