/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_decode.c: damaged stripes come back while the code carries the damage, and never a wrong byte beyond it. */
#include "base/err.h"
#include "tests/ecc/damage.h"

/* In every column `errors` wrong bytes anywhere but in the lost members. */
static void damage_columns(struct patient *p, unsigned errors, uint64_t *random)
{
    unsigned there[ECC_N_MAX], n = 0, at[ECC_N_MAX];
    for (unsigned i = 0; i < p->n; i++) {
        if (p->state[i] != ECC_MISSING)
            there[n++] = i;
    }
    for (size_t c = 0; c < p->len; c++) {
        choose(at, errors, n, random);
        for (unsigned e = 0; e < errors; e++)
            damage_byte(p, there[at[e]], c, random);
    }
}

static void lose_some(struct patient *p, unsigned count, uint64_t *random)
{
    unsigned at[ECC_N_MAX];
    choose(at, count, p->n, random);
    for (unsigned i = 0; i < count; i++)
        damage_lose(p, at[i]);
}

static struct ecc_code *random_code(unsigned m, uint64_t *random)
{
    return make_code(1 + random_below(random, ECC_N_MAX - m), m, (uint32_t)next_random(random));
}

static void every_mix_of_errors_and_erasures_that_the_code_carries_is_decoded(void **state)
{
    (void)state;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        uint64_t random = SEED;
        for (unsigned round = 0; (*e)->supported() && round < 30; round++) {
            unsigned m = 2 + 2 * (round % ECC_R_MAX);
            struct ecc_code *code = random_code(m, &random);
            struct patient p;
            struct ecc_decoded out;
            patient_init(&p, code, 64 * (1 + random_below(&random, 4)));
            patient_fill(&p, &random);
            for (unsigned lost = 0; lost <= m; lost++) {
                patient_restore(&p);
                lose_some(&p, lost, &random);
                unsigned errors = (m - lost) / 2, there = p.n - lost;
                damage_columns(&p, errors < there ? errors : there, &random);
                patient_examine(&p);
                assert_int_equal(patient_decode(&p, *e, &out), 0);
            }
            patient_fini(&p);
            ecc_code_destroy(code);
        }
    }
}

static void damage_beyond_the_code_never_yields_a_wrong_byte(void **state)
{
    (void)state;
    uint64_t random = SEED;
    unsigned failed = 0;
    for (unsigned round = 0; round < 300; round++) {
        unsigned m = 2 + 2 * (round % 4);
        struct ecc_code *code = make_code(20 + random_below(&random, 100), m, (uint32_t)next_random(&random));
        struct patient p;
        struct ecc_decoded out;
        patient_init(&p, code, 64);
        patient_fill(&p, &random);
        patient_restore(&p);
        lose_some(&p, random_below(&random, m + 2), &random);
        damage_columns(&p, m / 2 + 1, &random);
        patient_examine(&p);
        failed += patient_decode(&p, fastest(), &out) != 0;
        patient_fini(&p);
        ecc_code_destroy(code);
    }
    assert_in_range(failed, 200, 300);
}

static void nothing_damaged_asks_for_nothing(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 77);
    struct patient p;
    struct ecc_decoded out;
    patient_init(&p, code, 4096);
    patient_fill(&p, &random);
    patient_restore(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), 0);
    assert_int_equal(out.repaired + out.corrected_bytes + out.passes + p.asked, 0);
    patient_fini(&p);
    ecc_code_destroy(code);
}

static void one_flip_in_a_block_is_an_erasure_of_one_corrected_byte(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 77);
    struct patient p;
    struct ecc_decoded out;
    patient_init(&p, code, 4096);
    patient_fill(&p, &random);
    patient_restore(&p);
    damage_byte(&p, 69, 4095, &random);
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), 0);
    assert_int_equal(out.repaired, 1);
    assert_int_equal(out.corrected_bytes, 1);
    assert_int_equal(out.passes, 0);
    patient_fini(&p);
    ecc_code_destroy(code);
}

static void flips_in_every_block_are_counted_byte_by_byte(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 77);
    struct patient p;
    struct ecc_decoded out;
    patient_init(&p, code, 4096);
    patient_fill(&p, &random);
    patient_restore(&p);
    for (unsigned i = 0; i < p.n; i++)
        damage_byte(&p, i, i * 50, &random);
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), 0);
    assert_int_equal(out.repaired, 70);
    assert_int_equal(out.corrected_bytes, 70);
    assert_int_equal(out.passes, 1);
    assert_in_range(p.asked, 64, 70); /* the last six could be erasures */
    patient_fini(&p);
    ecc_code_destroy(code);
}

/* Blocks that have lost their checksums are believed when k others determine them, and not before. */
static void members_without_checksums_come_last(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(30, 6, 3);
    for (unsigned unsure = 1; unsure <= 8; unsure++) {
        struct patient p;
        struct ecc_decoded out;
        unsigned at[8];
        patient_init(&p, code, 256);
        patient_fill(&p, &random);
        patient_restore(&p);
        choose(at, unsure, p.n, &random);
        for (unsigned i = 0; i < unsure; i++)
            damage_sum(&p, at[i]);
        for (unsigned i = 0; i < p.n; i++)
            damage_byte(&p, i, i * 7, &random);
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, fastest(), &out), unsure <= 6 ? 0 : -HOLO_EPARITY);
        assert_int_equal(out.repaired, unsure <= 6 ? 36 : 36 - unsure);
        patient_fini(&p);
    }
    ecc_code_destroy(code);
}

static void blocks_of_zeros_that_are_not_stored_are_right(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(16, 4, 8);
    struct patient p;
    struct ecc_decoded out;
    patient_init(&p, code, 128);
    fill_random(p.good.bytes, 9 * 128, &random);
    scalar()->encode(code, blocks_of(&p.good), p.good.block + 16, 128);
    for (unsigned i = 0; i < p.n; i++)
        p.sum[i] = sum64(p.good.block[i], 128, i);
    patient_restore(&p);
    damage_lose(&p, 2);
    for (unsigned i = 0; i < p.n; i++) {
        if (i < 9 || i > 15)
            damage_byte(&p, i, i, &random);
    }
    patient_examine(&p);
    uint8_t *blocks[ECC_N_MAX];
    for (unsigned i = 0; i < p.n; i++)
        blocks[i] = i < 9 || i > 15 ? p.work.block[i] : NULL;
    struct ecc_damage damage = { scalar(), code, blocks, p.state, 128, patient_confirm, &p };
    assert_int_equal(ecc_decode(p.decoder, &damage, &out), 0);
    assert_memory_equal(p.work.bytes, p.good.bytes, p.n * 128);
    patient_fini(&p);
    ecc_code_destroy(code);
}

/* One decoder serves smaller stripes of other codes as well. */
static void a_decoder_is_used_again_for_smaller_stripes(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_decoder *shared;
    assert_int_equal(ecc_decoder_create(ECC_N_MAX, 1024, &shared), 0);
    for (unsigned round = 0; round < 40; round++) {
        struct ecc_code *code = random_code(2 + 2 * (round % ECC_R_MAX), &random);
        struct patient p;
        struct ecc_decoded out;
        patient_init(&p, code, 64 * (1 + random_below(&random, 16)));
        patient_fill(&p, &random);
        patient_restore(&p);
        damage_columns(&p, 1, &random);
        patient_examine(&p);
        struct ecc_decoder *own = p.decoder;
        p.decoder = shared;
        assert_int_equal(patient_decode(&p, fastest(), &out), 0);
        p.decoder = own;
        patient_fini(&p);
        ecc_code_destroy(code);
    }
    ecc_decoder_destroy(shared);
}

static void create_refuses_impossible_sizes(void **state)
{
    (void)state;
    struct ecc_decoder *d = NULL;
    assert_int_equal(ecc_decoder_create(0, 64, &d), -EINVAL);
    assert_int_equal(ecc_decoder_create(ECC_N_MAX + 1, 64, &d), -EINVAL);
    assert_int_equal(ecc_decoder_create(10, 0, &d), -EINVAL);
    assert_int_equal(ecc_decoder_create(10, 65, &d), -EINVAL);
    assert_null(d);
    ecc_decoder_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mix_of_errors_and_erasures_that_the_code_carries_is_decoded),
        cmocka_unit_test(damage_beyond_the_code_never_yields_a_wrong_byte),
        cmocka_unit_test(nothing_damaged_asks_for_nothing),
        cmocka_unit_test(one_flip_in_a_block_is_an_erasure_of_one_corrected_byte),
        cmocka_unit_test(flips_in_every_block_are_counted_byte_by_byte),
        cmocka_unit_test(members_without_checksums_come_last),
        cmocka_unit_test(blocks_of_zeros_that_are_not_stored_are_right),
        cmocka_unit_test(a_decoder_is_used_again_for_smaller_stripes),
        cmocka_unit_test(create_refuses_impossible_sizes),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
