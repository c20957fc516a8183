/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_cost.c: the line through two measurements, and how it follows what batches take. */
#include "ecc/cost.h"
#include "tests/ecc/helper.h"

#include <math.h>

static void assert_near(double a, double b)
{
    if (fabs(a - b) > 1e-6 * (1 + fabs(b)))
        fail_msg("%g is not %g", a, b);
}

static void a_line_goes_through_both_measurements(void **state)
{
    (void)state;
    struct cost c;
    cost_fit(&c, 1000, 700, 11000, 2700);
    assert_near(cost_fixed_ns(&c), 500);
    assert_near(cost_ns_per_byte(&c), 0.2);
    assert_near(cost_estimate_ns(&c, 1000), 700);
    assert_near(cost_estimate_ns(&c, 11000), 2700);
}

static void noise_makes_neither_part_negative(void **state)
{
    (void)state;
    struct cost c;
    cost_fit(&c, 1000, 3000, 11000, 2700); /* the small one was disturbed: all is fixed */
    assert_near(cost_fixed_ns(&c), 2700);
    assert_near(cost_ns_per_byte(&c), 0);
    cost_fit(&c, 1000, 10, 11000, 2700); /* the large one was: nothing is */
    assert_near(cost_fixed_ns(&c), 0);
    assert_near(cost_estimate_ns(&c, 11000), 2700);
}

static void one_size_alone_has_no_fixed_part(void **state)
{
    (void)state;
    struct cost c;
    cost_fit(&c, 5000, 100, 5000, 100);
    assert_near(cost_fixed_ns(&c), 0);
    assert_near(cost_estimate_ns(&c, 10000), 200);
}

static void one_fast_batch_is_believed_at_once(void **state)
{
    (void)state;
    struct cost c;
    cost_fit(&c, 1000, 700, 11000, 2700);
    cost_observe(&c, 1000, 70);
    assert_near(cost_estimate_ns(&c, 11000), 270);
}

static void slow_batches_are_believed_when_all_of_the_last_were(void **state)
{
    (void)state;
    struct cost c;
    cost_fit(&c, 1000, 700, 11000, 2700);
    for (unsigned i = 0; i + 1 < COST_SEEN; i++) {
        cost_observe(&c, 1000, 7000);
        assert_near(cost_estimate_ns(&c, 1000), 700);
    }
    cost_observe(&c, 1000, 3500);
    assert_near(cost_estimate_ns(&c, 1000), 3500);
}

static void other_redundancies_scale_the_part_per_byte(void **state)
{
    (void)state;
    struct cost c, twice;
    cost_fit(&c, 1000, 700, 11000, 2700);
    cost_scale(&c, 2, &twice);
    assert_near(cost_fixed_ns(&twice), 500);
    assert_near(cost_ns_per_byte(&twice), 0.4);
}

static void the_break_even_is_where_both_cost_the_same(void **state)
{
    (void)state;
    struct cost device, cpu;
    cost_fit(&device, 1000, 700, 11000, 2700);
    cost_fit(&cpu, 1000, 1000, 1000, 1000);
    double from = cost_wins_from(&device, &cpu);
    assert_near(cost_estimate_ns(&device, from), cost_estimate_ns(&cpu, from));
    assert_true(cost_wins_from(&cpu, &device) < 0);
    cost_observe(&device, 1000, 7);
    assert_true(cost_wins_from(&device, &cpu) < from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_through_both_measurements),
        cmocka_unit_test(noise_makes_neither_part_negative),
        cmocka_unit_test(one_size_alone_has_no_fixed_part),
        cmocka_unit_test(one_fast_batch_is_believed_at_once),
        cmocka_unit_test(slow_batches_are_believed_when_all_of_the_last_were),
        cmocka_unit_test(other_redundancies_scale_the_part_per_byte),
        cmocka_unit_test(the_break_even_is_where_both_cost_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
