/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_container.c: whole containers come back from bursts and scattered losses, and what disagrees is never called right. */
#include "ecc/container.h"
#include "tests/ecc/helper.h"

/* A container with its parity, and the original. */
struct box {
    struct ecc_code *code;
    struct ecc_plan *plan;
    struct ecc_layout l;
    unsigned k, m;
    size_t block, stored_bytes;
    uint32_t positions;
    uint8_t *good, *stored, *erased, *waves, *verdict, *suspect;
};

static void box_init(struct box *b, unsigned k, unsigned m, uint32_t seed, uint32_t used, uint32_t D, size_t block,
                     const struct ecc_engine *cpu, uint64_t *random)
{
    *b = (struct box){ .code = make_code(k, m, seed), .l = { used, D }, .k = k, .m = m, .block = block };
    const struct ecc_plan_options o = { .code = b->code, .block_size = block, .full = { k * D, D }, .cpu = cpu };
    assert_int_equal(ecc_plan_create(&o, &b->plan), 0);
    b->positions = used + m * D;
    b->stored_bytes = b->positions * block;
    b->good = malloc(b->stored_bytes);
    b->stored = malloc(b->stored_bytes);
    b->erased = calloc(b->positions, 1);
    b->waves = malloc(m * D * block);
    b->verdict = malloc(D);
    b->suspect = malloc(D);
    fill_random(b->good, used * block, random);
    const struct ecc_container c = { .layout = b->l, .stored = b->good, .out = b->good + used * block };
    assert_int_equal(scalar()->containers(ECC_ENCODE, b->code, block, &c, 1), 0);
    memcpy(b->stored, b->good, b->stored_bytes);
}

static void box_fini(struct box *b)
{
    ecc_plan_destroy(b->plan);
    ecc_code_destroy(b->code);
    free(b->good);
    free(b->stored);
    free(b->erased);
    free(b->waves);
    free(b->verdict);
    free(b->suspect);
}

static void box_reset(struct box *b)
{
    memcpy(b->stored, b->good, b->stored_bytes);
    memset(b->erased, 0, b->positions);
}

static void lose(struct box *b, uint32_t x)
{
    b->erased[x] = 1;
    memset(b->stored + x * b->block, 0x6b, b->block);
}

static void rebuild(struct box *b)
{
    memset(b->verdict, 0xff, b->l.D);
    assert_int_equal(ecc_rebuild_container(b->plan, b->code, b->block, &b->l, b->stored, b->erased, b->waves, b->verdict,
                                           b->suspect),
                     0);
}

static unsigned lost_of(const struct box *b, uint32_t stripe)
{
    unsigned n = 0;
    for (uint32_t x = stripe; x < b->positions; x += b->l.D)
        n += b->erased[x];
    return n;
}

static void expect_all_back(struct box *b)
{
    assert_memory_equal(b->stored, b->good, b->stored_bytes);
    for (uint32_t t = 0; t < b->l.D; t++)
        assert_int_equal(b->verdict[t], lost_of(b, t) ? ECC_REBUILT : ECC_AGREES);
}

static void every_burst_of_m_times_D_blocks_comes_back(void **state)
{
    (void)state;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        uint64_t random = SEED;
        struct box b;
        if (!(*e)->supported())
            continue;
        box_init(&b, 6, 4, 254, 27, 5, 192, *e, &random);
        for (uint32_t first = 0; first <= b.l.used; first++) {
            box_reset(&b);
            for (uint32_t x = first; x < first + b.m * b.l.D; x++)
                lose(&b, x);
            rebuild(&b);
            expect_all_back(&b);
        }
        box_fini(&b);
    }
}

/* Up to m of each stripe, anywhere; every R, many seeds and fills. */
static void scattered_losses_of_every_redundancy_come_back(void **state)
{
    (void)state;
    uint64_t random = SEED;
    for (unsigned m = 2; m <= ECC_M_MAX; m += 2) {
        for (unsigned round = 0; round < 6; round++) {
            unsigned k = 1 + random_below(&random, 40), D = 1 + 2 * random_below(&random, 6);
            struct box b;
            box_init(&b, k, m, (uint32_t)next_random(&random), random_below(&random, k * D + 1), D, 64 * (1 + random_below(&random, 40)),
                     NULL, &random);
            for (unsigned tries = 0; tries < 4; tries++) {
                box_reset(&b);
                for (uint32_t i = random_below(&random, b.positions + 1); i > 0; i--) {
                    uint32_t x = random_below(&random, b.positions);
                    if (lost_of(&b, x % D) < m)
                        lose(&b, x);
                }
                rebuild(&b);
                expect_all_back(&b);
            }
            box_fini(&b);
        }
    }
}

static void nothing_lost_needs_no_memory_and_changes_nothing(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct box b;
    box_init(&b, 9, 6, 7, 60, 7, 128, NULL, &random);
    free(b.waves);
    b.waves = NULL;
    rebuild(&b);
    expect_all_back(&b);
    box_fini(&b);
}

/* A stripe beyond repair keeps its bytes and spoils no other. */
static void too_many_losses_in_one_stripe_leave_it_as_it_was(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct box b;
    box_init(&b, 8, 4, 0, 40, 5, 128, NULL, &random);
    for (unsigned i = 0; i < 5; i++)
        lose(&b, 2 + 5 * i);
    lose(&b, 3);
    rebuild(&b);
    for (uint32_t t = 0; t < 5; t++)
        assert_int_equal(b.verdict[t], t == 2 ? ECC_TOO_MANY : t == 3 ? ECC_REBUILT : ECC_AGREES);
    for (uint32_t x = 0; x < b.positions; x++) {
        uint8_t kept[128];
        memset(kept, 0x6b, sizeof(kept));
        assert_memory_equal(b.stored + x * b.block, x % 5 == 2 && b.erased[x] ? kept : b.good + x * b.block, b.block);
    }
    box_fini(&b);
}

static uint32_t any_of_stripe(const struct box *b, uint32_t stripe, uint64_t *random)
{
    uint32_t x;
    do
        x = random_below(random, b->positions);
    while (x % b->l.D != stripe);
    return x;
}

static unsigned member_of(const struct box *b, uint32_t x)
{
    uint32_t stripe;
    unsigned member;
    ecc_layout_locate(&b->l, b->k, x, &stripe, &member);
    return member;
}

/* Blocks of one stripe, with `losses` erased and `wrong` of the others with some wrong bytes, in the same columns. */
static void damage_stripe(struct box *b, uint32_t stripe, unsigned losses, unsigned wrong, uint32_t *last_wrong, uint64_t *random)
{
    bool hit[256] = { false };
    box_reset(b);
    while (lost_of(b, stripe) < losses)
        lose(b, any_of_stripe(b, stripe, random));
    for (unsigned i = 0; i < wrong; i++) {
        do
            *last_wrong = any_of_stripe(b, stripe, random);
        while (b->erased[*last_wrong] || hit[member_of(b, *last_wrong)]);
        hit[member_of(b, *last_wrong)] = true;
        for (unsigned j = 0; j < 5; j++)
            b->stored[*last_wrong * b->block + 30 * j] ^= (uint8_t)(1 + random_below(random, 255));
    }
}

/* With any number of losses below m it is noticed, and in that stripe alone; with fewer than m − 1 the block is named. */
static void one_wrong_block_is_named_and_what_was_lost_comes_back(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct box b;
    box_init(&b, 10, 6, 99, 66, 7, 192, NULL, &random);
    for (unsigned losses = 0; losses < 6; losses++) {
        for (unsigned tries = 0; tries < 40; tries++) {
            uint32_t stripe = random_below(&random, 7), wrong;
            damage_stripe(&b, stripe, losses, 1, &wrong, &random);
            rebuild(&b);
            for (uint32_t t = 0; t < 7; t++) {
                bool named = losses >= 1 && losses <= 4;
                assert_int_equal(b.verdict[t], t != stripe ? ECC_AGREES : named ? ECC_EXPLAINED : ECC_DISAGREES);
                if (t == stripe && named)
                    assert_int_equal(b.suspect[t], member_of(&b, wrong));
            }
            for (uint32_t x = 0; x < b.positions && losses <= 4; x++) {
                if (x != wrong)
                    assert_memory_equal(b.stored + x * b.block, b.good + x * b.block, b.block);
            }
        }
    }
    box_fini(&b);
}

static void two_wrong_blocks_are_noticed_and_nobody_is_named(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct box b;
    box_init(&b, 10, 6, 5, 60, 7, 192, NULL, &random);
    for (unsigned losses = 0; losses < 4; losses++) {
        for (unsigned tries = 0; tries < 40; tries++) {
            uint32_t stripe = random_below(&random, 7), wrong;
            damage_stripe(&b, stripe, losses, 2, &wrong, &random);
            rebuild(&b);
            for (uint32_t t = 0; t < 7; t++)
                assert_int_equal(b.verdict[t], t == stripe ? ECC_DISAGREES : ECC_AGREES);
        }
    }
    box_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_burst_of_m_times_D_blocks_comes_back),
        cmocka_unit_test(scattered_losses_of_every_redundancy_come_back),
        cmocka_unit_test(nothing_lost_needs_no_memory_and_changes_nothing),
        cmocka_unit_test(too_many_losses_in_one_stripe_leave_it_as_it_was),
        cmocka_unit_test(one_wrong_block_is_named_and_what_was_lost_comes_back),
        cmocka_unit_test(two_wrong_blocks_are_noticed_and_nobody_is_named),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
