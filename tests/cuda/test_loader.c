/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_loader.c: a machine or build without a GPU says so, clearly. */
#include "cuda/cuda.h"
#include "tests/ecc/helper.h"

static void an_absent_gpu_engine_says_why_in_one_line(void **state)
{
    (void)state;
    char why[128] = "";
    const struct ecc_engine *engine = cuda_engine_get(why, sizeof(why));
    struct cuda_status status;
    cuda_status_get(&status);
    assert_int_equal(status.present, engine != NULL);
    if (engine) {
        assert_string_equal(engine->name, "cuda");
        return;
    }
    assert_true(strlen(why) > 0);
    assert_null(strchr(why, '\n'));
    assert_string_equal(status.why, why);
    assert_int_equal(status.memory_bytes, 0);
}

static void a_short_buffer_for_the_reason_is_not_overrun(void **state)
{
    (void)state;
    char why[8];
    memset(why, 'x', sizeof(why));
    if (!cuda_engine_get(why, 4))
        assert_true(strlen(why) <= 3);
    assert_int_equal(why[4], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_gpu_engine_says_why_in_one_line),
        cmocka_unit_test(a_short_buffer_for_the_reason_is_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
