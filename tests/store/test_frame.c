/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_frame.c: metadata frames there and back, and every byte of one protected. */
#include "tests/store/kit.h"

#include "base/err.h"
#include "store/frame.h"

/* By an independent program, from docs/FORMAT.md. */
static const char golden_frame[] =
    "686f46520100000009000000000000002202000000000000f0debc9a7856341202000000010000000d00000000000000"
    "04002a36fe9c9717902a8bc082d0d2cf746869727465656e6279746573000000";
static const uint8_t records[] = "thirteenbytes";

static struct frame sample(void)
{
    return (struct frame){ .kind = FRAME_LOG, .part = 2, .flags = FRAME_LAST, .epoch = 9, .txg = 0x222, .chain = 0x123456789abcdef0,
                           .time_ns = 1700000000000000004, .records = records, .len = 13 };
}

static void expect_same(const struct frame *a, const struct frame *b)
{
    assert_true(a->kind == b->kind && a->part == b->part && a->flags == b->flags && a->epoch == b->epoch && a->txg == b->txg);
    assert_true(a->chain == b->chain && a->time_ns == b->time_ns && a->len == b->len);
    assert_memory_equal(a->records, b->records, a->len);
}

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    uint8_t bytes[80];
    struct frame f = sample();
    assert_int_equal(frame_size(13), sizeof(bytes));
    memset(bytes, 0xee, sizeof(bytes));
    frame_encode(&f, kit_uuid, bytes);
    kit_expect_hex(bytes, golden_frame);
}

static void frames_follow_each_other_at_multiples_of_eight(void **state)
{
    (void)state;
    enum { N = 40 };
    uint8_t data[N], *bytes = malloc(N * (FRAME_HEADER + N + 8));
    size_t at = 0;
    kit_fill(1, data, N);
    for (uint32_t i = 0; i < N; i++) {
        struct frame f = sample();
        f.kind = i % 2 ? FRAME_LOG : FRAME_DUMP;
        f.txg = i;
        f.records = data;
        f.len = i;
        frame_encode(&f, kit_uuid, bytes + at);
        at += frame_size(i);
        assert_int_equal(at % 8, 0);
    }
    struct rd stream = rd_init(bytes, at);
    struct frame want = sample(), got;
    want.records = data;
    for (uint32_t i = 0; i < N; i++) {
        want.kind = i % 2 ? FRAME_LOG : FRAME_DUMP;
        want.txg = want.len = i;
        assert_int_equal(frame_next(&stream, kit_uuid, &got), 1);
        expect_same(&want, &got);
    }
    assert_int_equal(frame_next(&stream, kit_uuid, &got), 0);
    free(bytes);
}

static int decode(const uint8_t *p, size_t len, const uint8_t uuid[16])
{
    struct rd stream = rd_init(p, len);
    struct frame f;
    return frame_next(&stream, uuid, &f);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[80];
    struct frame f = sample();
    frame_encode(&f, kit_uuid, bytes);
    assert_int_equal(decode(bytes, sizeof(bytes), kit_uuid), 1);
    for (size_t bit = 0; bit < (FRAME_HEADER + 13) * 8; bit++) {
        uint8_t *exact = kit_exact(bytes, sizeof(bytes));
        exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = decode(exact, sizeof(bytes), kit_uuid);
        assert_true(r == -HOLO_ESUM || r == -HOLO_ECORRUPT);
        free(exact);
    }
}

static void a_frame_cut_anywhere_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[80];
    struct frame f = sample();
    frame_encode(&f, kit_uuid, bytes);
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        uint8_t *exact = kit_exact(bytes, cut);
        assert_int_equal(decode(exact, cut, kit_uuid), cut < FRAME_HEADER ? 0 : -HOLO_ECORRUPT);
        free(exact);
    }
}

static void a_frame_of_another_store_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[80], other[16] = { 0 };
    struct frame f = sample();
    frame_encode(&f, kit_uuid, bytes);
    assert_int_equal(decode(bytes, sizeof(bytes), other), -HOLO_ESUM);
}

/* Containers end in zeros. */
static void zeros_and_noise_are_no_frames(void **state)
{
    (void)state;
    uint8_t bytes[4096] = { 0 };
    assert_int_equal(decode(bytes, sizeof(bytes), kit_uuid), -HOLO_ECORRUPT);
    kit_fill(3, bytes, sizeof(bytes));
    assert_int_equal(decode(bytes, sizeof(bytes), kit_uuid), -HOLO_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(frames_follow_each_other_at_multiples_of_eight),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_frame_cut_anywhere_is_refused),
        cmocka_unit_test(a_frame_of_another_store_is_refused),
        cmocka_unit_test(zeros_and_noise_are_no_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
