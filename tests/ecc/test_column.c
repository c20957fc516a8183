/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_column.c: the errors of one column come back from its sums; what is beyond them is refused or is another codeword's. */
#include "ecc/column.h"
#include "tests/ecc/helper.h"

static struct column_suspects suspect_all(unsigned n)
{
    struct column_suspects s = { .n = n };
    for (unsigned i = 0; i < n; i++) {
        s.may_err[i] = true;
        s.member[i] = (uint8_t)i;
    }
    return s;
}

/* T_j = Σ value·X^j, with multiplication that owes nothing to the tables. */
static void sums_of(const struct column_error *errors, unsigned n_errors, uint8_t *sums, unsigned checks)
{
    memset(sums, 0, checks);
    for (unsigned e = 0; e < n_errors; e++) {
        for (unsigned j = 0; j < checks; j++)
            sums[j] ^= slow_mul(errors[e].value, slow_alpha((uint64_t)errors[e].member * j));
    }
}

static void random_errors(struct column_error *out, unsigned count, unsigned n, uint64_t *random)
{
    unsigned at[ECC_N_MAX];
    choose(at, count, n, random);
    for (unsigned e = 0; e < count; e++)
        out[e] = (struct column_error){ (uint8_t)at[e], (uint8_t)(1 + random_below(random, 255)) };
}

/* The same errors in any order? */
static bool same_errors(const struct column_error *a, const struct column_error *b, unsigned n)
{
    unsigned same = 0;
    for (unsigned i = 0; i < n * n; i++)
        same += a[i / n].member == b[i % n].member && a[i / n].value == b[i % n].value;
    return same == n;
}

static void every_single_error_is_found(void **state)
{
    (void)state;
    static const unsigned checks[] = { 2, 3, 6, 20 };
    for (unsigned c = 0; c < 4; c++) {
        struct column_suspects all = suspect_all(ECC_N_MAX);
        for (unsigned member = 0; member < ECC_N_MAX; member++) {
            for (unsigned value = 1; value < 256; value += 1 + member % 7) {
                struct column_error is = { (uint8_t)member, (uint8_t)value }, found[ECC_R_MAX];
                uint8_t sums[ECC_M_MAX];
                for (unsigned j = 0; j < checks[c]; j++)
                    sums[j] = field_mul((uint8_t)value, field_exp(member * j));
                assert_int_equal(column_decode(sums, checks[c], &all, found), 1);
                assert_true(same_errors(&is, found, 1));
            }
        }
    }
}

static void every_pair_of_members_is_found(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct column_suspects all = suspect_all(ECC_N_MAX);
    for (unsigned pair = 0; pair < ECC_N_MAX * ECC_N_MAX; pair++) {
        struct column_error found[ECC_R_MAX], is[2] = { { (uint8_t)(pair / ECC_N_MAX), (uint8_t)(1 + random_below(&random, 255)) },
                                                        { (uint8_t)(pair % ECC_N_MAX), (uint8_t)(1 + random_below(&random, 255)) } };
        uint8_t sums[6];
        for (unsigned j = 0; j < 6; j++)
            sums[j] = field_mul(is[0].value, field_exp(is[0].member * j)) ^ field_mul(is[1].value, field_exp(is[1].member * j));
        if (is[0].member < is[1].member) {
            assert_int_equal(column_decode(sums, 4 + pair % 3, &all, found), 2);
            assert_true(same_errors(is, found, 2));
        }
    }
}

static void errors_up_to_half_the_checks_are_found(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned round = 0; round < 4000; round++) {
        unsigned checks = 2 + round % (ECC_M_MAX - 1), n = checks + random_below(&random, ECC_N_MAX + 1 - checks);
        unsigned count = 1 + random_below(&random, checks / 2);
        struct column_suspects all = suspect_all(n);
        struct column_error is[ECC_R_MAX], found[ECC_R_MAX];
        uint8_t sums[ECC_M_MAX];
        random_errors(is, count, n, &random);
        sums_of(is, count, sums, checks);
        assert_int_equal(column_decode(sums, checks, &all, found), count);
        assert_true(same_errors(is, found, count));
    }
}

/* Whatever is found explains the sums: with too many errors that is another explanation, or none. */
static void what_is_found_always_explains_the_sums(void **state)
{
    (void)state;
    uint64_t random = SEED;
    unsigned mistaken = 0;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned checks = 2 + random_below(&random, 8), count = checks / 2 + 1 + random_below(&random, 3);
        struct column_suspects all = suspect_all(70);
        struct column_error is[ECC_M_MAX], found[ECC_R_MAX];
        uint8_t sums[ECC_M_MAX], again[ECC_M_MAX];
        random_errors(is, count, 70, &random);
        sums_of(is, count, sums, checks);
        if (!memcmp(sums, (uint8_t[ECC_M_MAX]){ 0 }, checks))
            continue;
        unsigned n = column_decode(sums, checks, &all, found);
        assert_true(n <= checks / 2);
        sums_of(found, n, again, checks);
        if (n)
            assert_memory_equal(sums, again, checks);
        mistaken += n > 0;
    }
    assert_in_range(mistaken, 100, 10000);
}

static void errors_at_members_beyond_suspicion_are_refused(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned round = 0; round < 2000; round++) {
        unsigned checks = 2 * (1 + random_below(&random, 5)), count = 1 + random_below(&random, checks / 2);
        struct column_suspects some = suspect_all(60);
        struct column_error is[ECC_R_MAX], found[ECC_R_MAX];
        uint8_t sums[ECC_M_MAX];
        random_errors(is, count, 60, &random);
        sums_of(is, count, sums, checks);
        unsigned clear = is[random_below(&random, count)].member;
        some.may_err[clear] = false;
        memmove(some.member + clear, some.member + clear + 1, 59 - clear);
        some.n--;
        assert_int_equal(column_decode(sums, checks, &some, found), 0);
    }
}

static void an_erased_member_is_in_no_sum(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned round = 0; round < 500; round++) {
        struct column_error is[4];
        uint8_t sums[ECC_M_MAX], others[ECC_M_MAX], with[ECC_M_MAX];
        random_errors(is, 4, 100, &random);
        sums_of(is, 4, with, 12);
        sums_of(is, 3, others, 12);
        memcpy(sums, with, 12);
        column_erase(sums, 12, is[3].member);
        column_erase(others, 12, is[3].member);
        assert_memory_equal(sums, others, 11);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_single_error_is_found),
        cmocka_unit_test(every_pair_of_members_is_found),
        cmocka_unit_test(errors_up_to_half_the_checks_are_found),
        cmocka_unit_test(what_is_found_always_explains_the_sums),
        cmocka_unit_test(errors_at_members_beyond_suspicion_are_refused),
        cmocka_unit_test(an_erased_member_is_in_no_sum),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
