/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_decode.c: damaged stripes come back while the code carries the damage, and never a wrong byte beyond it. */
#include "base/err.h"
#include "ecc/column.h"
#include "tests/ecc/damage.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { BEYOND = 40 };
#else
enum { BEYOND = 200 };
#endif

/* In every column `errors` wrong bytes anywhere but in the lost members. */
static void damage_columns(struct patient *p, unsigned errors, uint64_t *random)
{
    unsigned there[ECC_N_MAX], n = 0, at[ECC_N_MAX] = { 0 };
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
                assert_true(p.asked <= 2 * p.n); /* decoded, not found by trying */
            }
            patient_fini(&p);
            ecc_code_destroy(code);
        }
    }
}

/* In the columns from *column on, one after the other: every set of `errors` members that are not lost. */
static void damage_every_set(struct patient *p, unsigned errors, size_t *column, uint64_t *random)
{
    for (unsigned set = 1; set < 1u << p->n; set++) {
        bool fits = (unsigned)__builtin_popcount(set) == errors;
        for (unsigned i = 0; i < p->n; i++)
            fits &= !(set >> i & 1) || p->state[i] != ECC_MISSING;
        for (unsigned i = 0; fits && i < p->n; i++) {
            if (set >> i & 1)
                damage_byte(p, i, *column, random);
        }
        *column += fits;
    }
    assert_true(*column <= p->len);
}

static void check_every_mix(const struct ecc_engine *engine, unsigned k, unsigned m, uint32_t seed)
{
    uint64_t random = SEED;
    struct ecc_code *code = make_code(k, m, seed);
    struct patient p;
    struct ecc_decoded out;
    patient_init(&p, code, 128);
    patient_fill(&p, &random);
    for (unsigned lost = 0; lost < 1u << (k + m); lost++) {
        unsigned f = (unsigned)__builtin_popcount(lost);
        size_t column = 0;
        if (f > m)
            continue;
        patient_restore(&p);
        for (unsigned i = 0; i < k + m; i++) {
            if (lost >> i & 1)
                damage_lose(&p, i);
        }
        for (unsigned e = 1; 2 * e + f <= m; e++)
            damage_every_set(&p, e, &column, &random);
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, engine, &out), 0);
        assert_true(p.asked <= 2 * p.n);
    }
    patient_fini(&p);
    ecc_code_destroy(code);
}

static void every_place_of_errors_and_erasures_in_small_codes_is_decoded(void **state)
{
    (void)state;
    static const struct { unsigned k, m; } shape[] = { { 1, 2 }, { 2, 2 }, { 5, 2 }, { 1, 4 }, { 3, 4 }, { 4, 4 }, { 1, 6 }, { 2, 6 } };
    static const uint32_t seeds[] = { 0, 1, 250, 254 };
    for (unsigned t = 0; t < sizeof(shape) / sizeof(shape[0]); t++) {
        for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
            check_every_mix(fastest(), shape[t].k, shape[t].m, seeds[i]);
    }
}

/* Whatever comes of it: patient_decode() sees to it that no wrong byte is committed, and nothing else changed. */
static void damage_beyond_the_code_never_yields_a_wrong_byte(void **state)
{
    (void)state;
    uint64_t random = SEED;
    unsigned failed = 0;
    for (unsigned round = 0; round < BEYOND; round++) {
        unsigned m = 2 + 2 * (round % 4);
        struct ecc_code *code = make_code(20 + random_below(&random, 100), m, (uint32_t)next_random(&random));
        struct patient p;
        struct ecc_decoded out;
        patient_admit(&p, code, 64, &random);
        lose_some(&p, random_below(&random, m + 2), &random);
        for (unsigned lost_sums = random_below(&random, 6); lost_sums > 0; lost_sums--)
            damage_sum(&p, random_below(&random, p.n));
        damage_flips(&p, 0, p.n, 0.01 * (1 + random_below(&random, 4)), &random);
        for (unsigned i = 0; i < p.n; i++) {
            if (p.state[i] == ECC_MISSING)
                memset(p.work.block[i], 0xdb, p.len);
        }
        patient_examine(&p);
        failed += patient_decode(&p, fastest(), &out) != 0;
        patient_fini(&p);
        ecc_code_destroy(code);
    }
    assert_in_range(failed, BEYOND / 2, BEYOND - 1);
}

/* One flip in every block, each in a column of its own, so that all are suspects. */
static void damage_each_block_once(struct patient *p, uint64_t *random)
{
    for (unsigned i = 0; i < p->n; i++)
        damage_byte(p, i, 100 + i, random);
}

static void two_columns_with_more_than_R_errors_each_are_decoded(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned R = 1; R <= 4; R++) {
        struct ecc_code *code = make_code(50, 2 * R, 21);
        struct patient p;
        struct ecc_decoded out;
        patient_admit(&p, code, 256, &random);
        damage_each_block_once(&p, &random);
        for (unsigned e = 0; e <= R; e++) {
            damage_byte(&p, 2 * e, 30, &random);
            damage_byte(&p, 3 + 5 * e, 31, &random);
        }
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, fastest(), &out), 0);
        assert_int_equal(out.corrected_bytes, p.n + 2 * (R + 1));
        patient_fini(&p);
        ecc_code_destroy(code);
    }
}

/* A column with more than R errors that is decoded all the same, as R or fewer others. */
static void damage_column_mistakenly(struct patient *p, size_t column, unsigned errors, uint64_t *random)
{
    unsigned m = ecc_code_m(p->code), first = ecc_code_seed(p->code) % FIELD_ORDER, at[ECC_M_MAX];
    struct column_suspects all = { .n = p->n };
    struct column_error found[ECC_R_MAX];
    uint8_t sums[ECC_M_MAX], value[ECC_M_MAX];
    for (unsigned i = 0; i < p->n; i++) {
        all.may_err[i] = true;
        all.member[i] = (uint8_t)i;
    }
    do {
        choose(at, errors, p->n, random);
        memset(sums, 0, m);
        for (unsigned e = 0; e < errors; e++) {
            value[e] = (uint8_t)(1 + random_below(random, 255));
            for (unsigned j = 0; j < m; j++)
                sums[j] ^= field_mul(value[e], field_exp(at[e] * (first + j)));
        }
    } while (column_decode(sums, m, &all, found) == 0);
    for (unsigned e = 0; e < errors; e++)
        p->work.block[at[e]][column] ^= value[e];
}

static void columns_mistaken_for_another_codeword_are_undone(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned round = 0; round < 12; round++) {
        struct ecc_code *code = make_code(64, round % 2 ? 6 : 4, round);
        struct patient p;
        struct ecc_decoded out;
        patient_admit(&p, code, 256, &random);
        damage_each_block_once(&p, &random);
        unsigned errors = ecc_code_m(code) / 2 + 1;
        damage_column_mistakenly(&p, 7, errors, &random);
        damage_column_mistakenly(&p, 60, errors, &random);
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, fastest(), &out), 0);
        patient_fini(&p);
        ecc_code_destroy(code);
    }
}

/* Once the victims of the mistake have their bytes back, the members that are wrong are few enough to be erasures. */
static void victims_of_a_mistake_are_cleared_first(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned round = 0; round < 8; round++) {
        struct ecc_code *code = make_code(64, 4, round);
        struct patient p;
        struct ecc_decoded out;
        patient_admit(&p, code, 256, &random);
        damage_each_block_once(&p, &random);
        damage_column_mistakenly(&p, 7, 4, &random);
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, fastest(), &out), 0);
        assert_in_range(p.asked, p.n - 4, p.n + 80);
        patient_fini(&p);
        ecc_code_destroy(code);
    }
}

static void blocks_wrong_in_two_undecoded_columns_are_found(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 4, 1);
    struct patient p;
    struct ecc_decoded out;
    patient_admit(&p, code, 256, &random);
    for (unsigned i = 0; i < 6; i++) {
        damage_byte(&p, 9 * i, i < 3 ? 10 : 80, &random);
        damage_byte(&p, 9 * i, i < 3 ? 33 : 90, &random);
    }
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), 0);
    patient_fini(&p);
    ecc_code_destroy(code);
}

/* With four lost, two sums are left, and three errors have any number of explanations: only trying helps. */
static void more_errors_than_sums_are_found_by_trying(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 1);
    struct patient p;
    struct ecc_decoded out;
    patient_admit(&p, code, 256, &random);
    for (unsigned i = 0; i < 4; i++)
        damage_lose(&p, 16 * i);
    for (unsigned i = 1; i <= 3; i++)
        damage_byte(&p, 20 * i, 200, &random);
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), 0);
    patient_fini(&p);
    ecc_code_destroy(code);
}

/* m − 2 blocks of garbage or zeros that were read without an error, and a flip in every other block. */
static void ruined_blocks_cost_no_more_than_missing_ones(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned m = 4; m <= ECC_M_MAX; m += 2) {
        struct ecc_code *code = make_code(70, m, 5 * m);
        struct patient p;
        struct ecc_decoded out;
        unsigned at[ECC_M_MAX];
        patient_admit(&p, code, 1024, &random);
        damage_each_block_once(&p, &random);
        choose(at, m - 2, p.n, &random);
        for (unsigned i = 0; i < m - 2; i++) {
            if (i % 2)
                memset(p.work.block[at[i]], 0, p.len);
            else
                fill_random(p.work.block[at[i]], p.len, &random);
        }
        patient_examine(&p);
        assert_int_equal(patient_decode(&p, fastest(), &out), 0);
        assert_int_equal(out.passes, 1);
        patient_fini(&p);
        ecc_code_destroy(code);
    }
}

/* The checksum of a member is damaged, and looks sound: it stays as it was, and so does what has no checksum at all. */
static void a_member_that_its_checksum_refuses_is_left_alone(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(20, 6, 9);
    struct patient p;
    struct ecc_decoded out;
    patient_admit(&p, code, 256, &random);
    p.sum[3] ^= 1;
    damage_sum(&p, 11);
    damage_lose(&p, 15);
    for (unsigned i = 0; i < 14; i++)
        damage_byte(&p, i, 5 * i, &random);
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), -HOLO_EPARITY);
    assert_int_equal(p.state[3], ECC_WRONG);
    assert_int_equal(p.state[11], ECC_UNSURE);
    assert_int_equal(out.repaired, 13);
    patient_fini(&p);
    ecc_code_destroy(code);
}

static void what_cannot_be_decoded_is_given_up_soon(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 1);
    struct patient p;
    struct ecc_decoded out;
    patient_admit(&p, code, 4096, &random);
    for (unsigned i = 0; i < 5; i++)
        damage_lose(&p, i);
    damage_flips(&p, 5, p.n, 1e-3, &random);
    patient_examine(&p);
    assert_int_equal(patient_decode(&p, fastest(), &out), -HOLO_EPARITY);
    assert_in_range(p.asked, 1, (1 << 18) + 100);
    patient_fini(&p);
    ecc_code_destroy(code);
}

static void nothing_damaged_asks_for_nothing(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct ecc_code *code = make_code(64, 6, 77);
    struct patient p;
    struct ecc_decoded out;
    patient_admit(&p, code, 4096, &random);
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
    patient_admit(&p, code, 4096, &random);
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
    patient_admit(&p, code, 4096, &random);
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
        patient_admit(&p, code, 256, &random);
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
        patient_admit(&p, code, 64 * (1 + random_below(&random, 16)), &random);
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
        cmocka_unit_test(every_place_of_errors_and_erasures_in_small_codes_is_decoded),
        cmocka_unit_test(two_columns_with_more_than_R_errors_each_are_decoded),
        cmocka_unit_test(columns_mistaken_for_another_codeword_are_undone),
        cmocka_unit_test(victims_of_a_mistake_are_cleared_first),
        cmocka_unit_test(blocks_wrong_in_two_undecoded_columns_are_found),
        cmocka_unit_test(more_errors_than_sums_are_found_by_trying),
        cmocka_unit_test(ruined_blocks_cost_no_more_than_missing_ones),
        cmocka_unit_test(a_member_that_its_checksum_refuses_is_left_alone),
        cmocka_unit_test(what_cannot_be_decoded_is_given_up_soon),
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
