/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_layout.c: which stripe and member a stored position is. */
#include "tests/ecc/helper.h"

static void stripes_are_enough_and_odd(void **state)
{
    (void)state;
    assert_int_equal(ecc_layout_stripes(16384, 64), 257);
    assert_int_equal(ecc_layout_stripes(16320, 64), 255);
    assert_int_equal(ecc_layout_stripes(1, 64), 1);
    for (uint32_t nmax = 1; nmax < 3000; nmax += 7) {
        for (unsigned k = 1; k < 250; k += 13) {
            uint32_t d = ecc_layout_stripes(nmax, k);
            assert_int_equal(d % 2, 1);
            assert_true((uint64_t)d * k >= nmax);
            assert_true(d <= nmax / k + 2);
        }
    }
}

typedef void layout_fn(const struct ecc_layout *l, unsigned k, unsigned m);

/* Containers from empty to full, with rests of every kind. */
static void with_layouts(layout_fn *check)
{
    static const struct { unsigned k, m; uint32_t D; } shape[] = { { 1, 2, 1 }, { 4, 2, 5 }, { 7, 6, 3 }, { 64, 6, 9 }, { 5, 20, 13 } };
    for (unsigned t = 0; t < sizeof(shape) / sizeof(shape[0]); t++) {
        uint32_t all = shape[t].k * shape[t].D;
        for (uint32_t used = 0; used <= all; used++) {
            const struct ecc_layout l = { .used = used, .D = shape[t].D };
            check(&l, shape[t].k, shape[t].m);
        }
    }
}

static void check_inverse(const struct ecc_layout *l, unsigned k, unsigned m)
{
    uint32_t found = 0;
    for (uint32_t x = 0; x < l->used + m * l->D; x++) {
        uint32_t stripe;
        unsigned member;
        ecc_layout_locate(l, k, x, &stripe, &member);
        assert_true(stripe < l->D && member < k + m);
        assert_int_equal(member < k, x < l->used);
        assert_int_equal(ecc_layout_position(l, k, stripe, member), x);
    }
    for (uint32_t stripe = 0; stripe < l->D; stripe++) {
        for (unsigned member = 0; member < k + m; member++)
            found += ecc_layout_position(l, k, stripe, member) != UINT32_MAX;
    }
    assert_int_equal(found, l->used + m * l->D);
}

static void position_and_stripe_are_inverse(void **state)
{
    (void)state;
    with_layouts(check_inverse);
}

static void check_bursts(const struct ecc_layout *l, unsigned k, unsigned m)
{
    for (uint32_t first = 0; first <= l->used; first++) {
        unsigned hits[16] = { 0 };
        for (uint32_t x = first; x < first + m * l->D; x++) {
            uint32_t stripe;
            unsigned member;
            ecc_layout_locate(l, k, x, &stripe, &member);
            hits[stripe]++;
        }
        for (uint32_t stripe = 0; stripe < l->D; stripe++)
            assert_int_equal(hits[stripe], m);
    }
}

static void any_burst_of_m_times_D_hits_each_stripe_exactly_m_times(void **state)
{
    (void)state;
    with_layouts(check_bursts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stripes_are_enough_and_odd),
        cmocka_unit_test(position_and_stripe_are_inverse),
        cmocka_unit_test(any_burst_of_m_times_D_hits_each_stripe_exactly_m_times),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
