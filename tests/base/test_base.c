/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_base.c: errors, little-endian bytes, buffers, checksums, histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hist.h"
#include "base/sum.h"

static void errors_map_to_errno_and_text(void **state)
{
    (void)state;
    assert_int_equal(holo_errno(0), 0);
    assert_int_equal(holo_errno(-ENOSPC), ENOSPC);
    assert_int_equal(holo_errno(-HOLO_ESUM), EIO);
    assert_int_equal(holo_errno(-5000), EIO);
    assert_string_equal(holo_strerror(-HOLO_EPARITY), "more blocks lost than parity can rebuild");
}

static void bytes_round_trip_little_endian(void **state)
{
    (void)state;
    uint8_t b[15];
    struct wr w = wr_init(b, sizeof(b));
    wr_u8(&w, 0xab);
    wr_u16(&w, 0x1234);
    wr_u32(&w, 0xdeadbeef);
    wr_u64(&w, 0x0102030405060708u);
    assert_false(w.bad);
    assert_int_equal(w.off, 15);
    assert_int_equal(b[1], 0x34);
    assert_int_equal(b[14], 0x01);
    struct rd r = rd_init(b, sizeof(b));
    assert_int_equal(rd_u8(&r), 0xab);
    assert_int_equal(rd_u16(&r), 0x1234);
    assert_int_equal(rd_u32(&r), 0xdeadbeef);
    assert_true(rd_u64(&r) == 0x0102030405060708u);
    assert_false(r.bad);
}

static void bytes_past_the_end_are_refused(void **state)
{
    (void)state;
    uint8_t b[3] = { 1, 2, 3 };
    struct rd r = rd_init(b, sizeof(b));
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(rd_u8(&r), 0);
    assert_null(rd_bytes(&r, SIZE_MAX));
    struct wr w = wr_init(b, sizeof(b));
    wr_u32(&w, 9);
    assert_true(w.bad);
    assert_int_equal(b[0], 1);
}

static void adding_nothing_to_an_empty_buffer_succeeds(void **state)
{
    (void)state;
    struct buf b = { 0 };
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_int_equal(b.len, 0);
    assert_non_null(buf_room(&b, 0));
    buf_fini(&b);
}

static void buffers_grow_and_keep_their_bytes(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&b, "%d,", i), 0);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(b.p, "0,1,2,", 6);
    assert_memory_equal(b.p + b.len - 4, "999,", 4);
    buf_fini(&b);
}

static void sums_depend_on_bytes_and_place(void **state)
{
    (void)state;
    static const uint8_t uuid[16] = { 1 }, other[16] = { 2 };
    uint8_t block[4096] = { 0 };
    uint64_t s = sum64(block, sizeof(block), sum_seed(uuid, 7, 9));
    assert_true(s == sum64(block, sizeof(block), sum_seed(uuid, 7, 9)));
    assert_true(s != sum64(block, sizeof(block), sum_seed(uuid, 7, 10)));
    assert_true(s != sum64(block, sizeof(block), sum_seed(uuid, 8, 9)));
    assert_true(s != sum64(block, sizeof(block), sum_seed(other, 7, 9)));
    block[4095] = 1;
    assert_true(s != sum64(block, sizeof(block), sum_seed(uuid, 7, 9)));
}

/* Golden for ever: what is on disks was summed by whatever machine wrote it. */
static void sums_are_those_of_the_library_at_every_length(void **state)
{
    (void)state;
    static uint8_t bytes[8192 + 3];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    for (size_t len = 0; len <= 8192; len += len < 1300 ? 1 : 61) {
        const uint8_t *p = bytes + len % 4;
        assert_true(sum64(p, len, len * 77) == XXH3_64bits_withSeed(p, len, len * 77));
    }
    assert_true(sum64(bytes, 4096, 1) == XXH3_64bits_withSeed(bytes, 4096, 1));
    assert_true(sum64("holofs", 6, 0) == 0x82b13ef4837ed25bu);
}

static void histogram_quantiles_are_within_their_buckets(void **state)
{
    (void)state;
    static struct hist h;
    for (uint64_t v = 1; v <= 10000; v++)
        hist_add(&h, v * 1000);
    uint64_t p50 = hist_quantile(&h, 0.5), p99 = hist_quantile(&h, 0.99);
    assert_in_range(p50, 5000000, 5000000 * 107 / 100);
    assert_in_range(p99, 9900000, 10000000);
    assert_int_equal(hist_quantile(&h, 1.0), 10000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_map_to_errno_and_text),
        cmocka_unit_test(bytes_round_trip_little_endian),
        cmocka_unit_test(bytes_past_the_end_are_refused),
        cmocka_unit_test(adding_nothing_to_an_empty_buffer_succeeds),
        cmocka_unit_test(buffers_grow_and_keep_their_bytes),
        cmocka_unit_test(sums_depend_on_bytes_and_place),
        cmocka_unit_test(sums_are_those_of_the_library_at_every_length),
        cmocka_unit_test(histogram_quantiles_are_within_their_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
