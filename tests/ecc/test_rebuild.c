/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rebuild.c: what is erased comes back, for every pattern of a small code and random ones of large codes. */
#include "base/err.h"
#include "tests/ecc/helper.h"

enum { EXHAUSTIVE_N = 10 };

/* Erase, rebuild, compare with the bytes that were there. */
static void check_erasures(const struct ecc_engine *engine, const struct ecc_code *code, const struct stripe *good, struct stripe *work,
                           const unsigned *erased, unsigned n_erased)
{
    memcpy(work->bytes, good->bytes, good->n * good->len);
    for (unsigned i = 0; i < n_erased; i++)
        memset(work->block[erased[i]], 0xa5, good->len);
    assert_int_equal(ecc_rebuild(engine, code, work->block, erased, n_erased, good->len), 0);
    assert_memory_equal(work->bytes, good->bytes, good->n * good->len);
}

static void check_all_patterns(const struct ecc_engine *engine, unsigned k, unsigned m, uint32_t seed)
{
    uint64_t random = SEED + seed;
    struct ecc_code *code = make_code(k, m, seed);
    struct stripe good, work;
    stripe_init(&good, k + m, 64);
    stripe_init(&work, k + m, 64);
    stripe_fill(&good, scalar(), code, &random);
    for (unsigned set = 0; set < 1u << (k + m); set++) {
        unsigned erased[EXHAUSTIVE_N], n = 0;
        for (unsigned i = 0; i < k + m; i++) {
            if (set >> i & 1)
                erased[n++] = i;
        }
        if (n <= m)
            check_erasures(engine, code, &good, &work, erased, n);
    }
    stripe_fini(&good);
    stripe_fini(&work);
    ecc_code_destroy(code);
}

/* Every k and m with k + m ≤ 10: all sets of at most m members, with every engine. */
static void every_pattern_of_small_codes_comes_back(void **state)
{
    (void)state;
    static const uint32_t seeds[] = { 0, 1, 251, 253, 254, 255, 300, UINT32_MAX };
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        for (unsigned m = 2; (*e)->supported() && m < EXHAUSTIVE_N; m += 2) {
            for (unsigned k = 1; k + m <= EXHAUSTIVE_N; k++) {
                for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
                    check_all_patterns(*e, k, m, seeds[i]);
            }
        }
    }
}

static void check_random_patterns(const struct ecc_engine *engine, unsigned k, unsigned m, uint64_t *random)
{
    struct ecc_code *code = make_code(k, m, (uint32_t)next_random(random));
    size_t len = 64 * (1 + random_below(random, 20));
    struct stripe good, work;
    unsigned erased[ECC_M_MAX];
    stripe_init(&good, k + m, len);
    stripe_init(&work, k + m, len);
    stripe_fill(&good, scalar(), code, random);
    for (unsigned count = 1; count <= m; count += 1 + random_below(random, 3)) {
        choose(erased, count, k + m, random);
        check_erasures(engine, code, &good, &work, erased, count);
    }
    choose(erased, m, k + m, random);
    check_erasures(engine, code, &good, &work, erased, m);
    stripe_fini(&good);
    stripe_fini(&work);
    ecc_code_destroy(code);
}

static void random_patterns_of_every_redundancy_come_back_with_every_engine(void **state)
{
    (void)state;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        uint64_t random = SEED;
        for (unsigned m = 2; (*e)->supported() && m <= ECC_M_MAX; m += 2) {
            check_random_patterns(*e, ECC_N_MAX - m, m, &random);
            check_random_patterns(*e, 64, m, &random);
            check_random_patterns(*e, 1 + random_below(&random, ECC_N_MAX - m), m, &random);
        }
    }
}

static void blocks_of_zeros_that_are_not_stored_take_part(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(10, 4, 5);
    struct stripe good, work;
    static const unsigned erased[] = { 0, 3, 10, 12 };
    stripe_init(&good, 14, 128);
    stripe_init(&work, 14, 128);
    fill_random(good.bytes, 7 * 128, &random);
    scalar()->encode(code, blocks_of(&good), good.block + 10, 128);
    for (unsigned i = 7; i < 10; i++)
        work.block[i] = NULL;
    check_erasures(scalar(), code, &good, &work, erased, 4);
    stripe_fini(&good);
    stripe_fini(&work);
    ecc_code_destroy(code);
}

static void rebuild_refuses_more_erasures_than_parity_and_writes_nothing(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned m = 2; m <= ECC_M_MAX; m += 2) {
        struct ecc_code *code = make_code(30, m, 9);
        struct stripe s, before;
        unsigned erased[ECC_M_MAX + 1];
        stripe_init(&s, 30 + m, 64);
        stripe_init(&before, 30 + m, 64);
        stripe_fill(&s, scalar(), code, &random);
        choose(erased, m + 1, 30 + m, &random);
        for (unsigned i = 0; i <= m; i++)
            memset(s.block[erased[i]], 0x11, 64);
        memcpy(before.bytes, s.bytes, s.n * s.len);
        assert_int_equal(ecc_rebuild(scalar(), code, s.block, erased, m + 1, 64), -HOLO_EPARITY);
        assert_memory_equal(before.bytes, s.bytes, s.n * s.len);
        stripe_fini(&s);
        stripe_fini(&before);
        ecc_code_destroy(code);
    }
}

/* Parity that is not needed may be anything: it is not read, and not written. */
static void only_the_first_k_survivors_are_read(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(20, 6, 31);
    struct stripe good, work;
    static const unsigned erased[] = { 4, 21 };
    stripe_init(&good, 26, 64);
    stripe_init(&work, 26, 64);
    stripe_fill(&good, scalar(), code, &random);
    for (unsigned i = 22; i < 26; i++)
        fill_random(good.block[i], 64, &random);
    uint8_t original[64];
    memcpy(original, good.block[4], 64);
    check_erasures(scalar(), code, &good, &work, erased, 2);
    assert_memory_equal(work.block[4], original, 64);
    stripe_fini(&good);
    stripe_fini(&work);
    ecc_code_destroy(code);
}

static void parity_agrees_until_any_single_byte_is_flipped(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(13, 4, 600);
    struct stripe s;
    uint8_t scratch[4 * 192];
    stripe_init(&s, 17, 192);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (!(*e)->supported())
            continue;
        stripe_fill(&s, scalar(), code, &random);
        assert_true(ecc_parity_agrees(*e, code, blocks_of(&s), scratch, 192));
        for (size_t i = 0; i < 17 * 192; i++) {
            uint8_t flip = (uint8_t)(1 + random_below(&random, 255));
            s.bytes[i] ^= flip;
            assert_false(ecc_parity_agrees(*e, code, blocks_of(&s), scratch, 192));
            s.bytes[i] ^= flip;
        }
        assert_true(ecc_parity_agrees(*e, code, blocks_of(&s), scratch, 192));
    }
    stripe_fini(&s);
    ecc_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_of_small_codes_comes_back),
        cmocka_unit_test(random_patterns_of_every_redundancy_come_back_with_every_engine),
        cmocka_unit_test(blocks_of_zeros_that_are_not_stored_take_part),
        cmocka_unit_test(rebuild_refuses_more_erasures_than_parity_and_writes_nothing),
        cmocka_unit_test(only_the_first_k_survivors_are_read),
        cmocka_unit_test(parity_agrees_until_any_single_byte_is_flipped),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
