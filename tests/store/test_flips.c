/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_flips.c: two copies of a block with flips in both give the block, or nothing. */
#include "tests/store/kit.h"

#include "base/sum.h"
#include "store/flips.h"

static const uint64_t SEED = 0xf11b5;

struct rig {
    uint8_t good[BLOCK_SIZE], a[BLOCK_SIZE], b[BLOCK_SIZE];
    uint64_t seed, want, asked;
};

static void rig_start(struct rig *r, uint64_t seed)
{
    r->seed = seed;
    r->asked = 0;
    kit_fill(seed, r->good, BLOCK_SIZE);
    r->want = sum64(r->good, BLOCK_SIZE, 1);
    memcpy(r->a, r->good, BLOCK_SIZE);
    memcpy(r->b, r->good, BLOCK_SIZE);
}

static bool fits(void *arg, const uint8_t *block)
{
    struct rig *r = arg;
    r->asked++;
    return sum64(block, BLOCK_SIZE, 1) == r->want;
}

/* Make n bytes of a copy wrong, at places where neither copy is wrong yet. */
static void flip(struct rig *r, uint8_t *copy, unsigned n)
{
    while (n) {
        size_t at = (size_t)(kit_random(&r->seed) % BLOCK_SIZE);
        if (r->a[at] != r->good[at] || r->b[at] != r->good[at])
            continue;
        copy[at] ^= (uint8_t)(1 + kit_random(&r->seed) % 255);
        n--;
    }
}

static bool settle(struct rig *r)
{
    uint8_t before[BLOCK_SIZE];
    memcpy(before, r->a, BLOCK_SIZE);
    bool found = flips_settle(r->a, r->b, fits, r);
    assert_memory_equal(r->a, found ? r->good : before, BLOCK_SIZE);
    return found;
}

static void flips_at_different_bytes_are_undone(void **state)
{
    (void)state;
    print_message("seed %llx\n", (unsigned long long)SEED);
    for (unsigned round = 0; round < 200; round++) {
        struct rig r;
        rig_start(&r, SEED + round);
        flip(&r, r.a, round % 7);
        flip(&r, r.b, round % 6);
        if (round % 7 || round % 6)
            assert_true(settle(&r));
        assert_true(r.asked <= 2048);
    }
}

static void as_many_as_are_allowed_are_undone_and_no_more(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, SEED);
    flip(&r, r.a, FLIPS_MAX / 2);
    flip(&r, r.b, FLIPS_MAX - FLIPS_MAX / 2);
    assert_true(settle(&r));
    rig_start(&r, SEED);
    flip(&r, r.a, 1);
    flip(&r, r.b, FLIPS_MAX);
    assert_false(settle(&r));
    assert_int_equal(r.asked, 0);
}

static void one_byte_that_both_copies_have_wrong_is_found(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        struct rig r;
        rig_start(&r, SEED + round);
        size_t at = (size_t)(kit_random(&r.seed) % BLOCK_SIZE);
        r.a[at] ^= 0x40;
        r.b[at] ^= 0x01;
        flip(&r, r.a, round / 2);
        flip(&r, r.b, (round + 1) / 2);
        assert_true(settle(&r));
    }
}

static void what_no_candidate_fits_is_left_alone(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, SEED);
    r.a[100] ^= 1; /* two bytes that both have wrong */
    r.b[100] ^= 2;
    r.a[3000] ^= 4;
    r.b[3000] ^= 8;
    flip(&r, r.a, 2);
    assert_false(settle(&r));
    rig_start(&r, SEED);
    r.a[7] = r.b[7] ^= 1; /* alike, and both wrong */
    flip(&r, r.b, 3);
    assert_false(settle(&r));
}

static void copies_that_are_alike_or_strangers_are_not_tried(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, SEED);
    r.a[5] = r.b[5] ^= 1;
    assert_false(settle(&r));
    rig_start(&r, SEED);
    kit_fill(99, r.a, BLOCK_SIZE);
    kit_fill(98, r.b, BLOCK_SIZE);
    assert_false(settle(&r));
    assert_int_equal(r.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_at_different_bytes_are_undone),
        cmocka_unit_test(as_many_as_are_allowed_are_undone_and_no_more),
        cmocka_unit_test(one_byte_that_both_copies_have_wrong_is_found),
        cmocka_unit_test(what_no_candidate_fits_is_left_alone),
        cmocka_unit_test(copies_that_are_alike_or_strangers_are_not_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
