/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_wave_ecc.c: byte strings come back as they were, or nothing is changed and the code says why.
 *
 * WAVE_ECC_SOAK=N in the environment takes N rounds of what is random, with a new seed (printed; WAVE_ECC_SEED repeats
 * it), and a string of 1 GiB.
 */
#include "ecc/wave_ecc.h"

#include <errno.h>
#include <pthread.h>

#include "base/sum.h"
#include "tests/ecc/helper.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = 16 };
#else
enum { SLOW = 1 };
#endif

enum { HEADER = 60, SEED_BASE = 77 };

static uint64_t first_seed = SEED;
static unsigned long soak;

/* A string, its parity string, and what both were. Buffers have exactly their size: sanitizers watch their ends. */
struct string {
    size_t len, parity_len;
    unsigned R;
    uint32_t seed_base;
    uint8_t *data, *parity, *data_before, *parity_before;
};

static void string_init(struct string *s, size_t len, unsigned R, uint32_t seed_base, uint64_t *random)
{
    *s = (struct string){ .len = len, .parity_len = wave_ecc_parity_len(len, R), .R = R, .seed_base = seed_base };
    s->data = malloc(len);
    s->data_before = malloc(len);
    s->parity = malloc(s->parity_len);
    s->parity_before = malloc(s->parity_len);
    assert_true(s->data && s->data_before && s->parity && s->parity_before);
    fill_random(s->data, len, random);
    memcpy(s->data_before, s->data, len);
    memset(s->parity, 0xee, s->parity_len);
    assert_int_equal(wave_ecc_encode(s->data, len, R, seed_base, s->parity), 0);
    assert_memory_equal(s->data, s->data_before, len);
    memcpy(s->parity_before, s->parity, s->parity_len);
}

static void string_fini(struct string *s)
{
    free(s->data);
    free(s->data_before);
    free(s->parity);
    free(s->parity_before);
}

static void string_restore(struct string *s)
{
    memcpy(s->data, s->data_before, s->len);
    memcpy(s->parity, s->parity_before, s->parity_len);
}

/* Data and parity as one string. */
static uint8_t *byte_at(struct string *s, uint64_t at)
{
    return at < s->len ? &s->data[at] : &s->parity[at - s->len];
}

static uint64_t total(const struct string *s)
{
    return s->len + s->parity_len;
}

static void flip(struct string *s, uint64_t at, uint64_t *random)
{
    *byte_at(s, at) ^= (uint8_t)(1 + random_below(random, 255));
}

static uint64_t random_place(uint64_t *random, uint64_t begin, uint64_t end)
{
    return begin + (next_random(random) >> 8) % (end - begin);
}

/* Every byte of [begin, end) is changed with the probability rate. */
static void flip_at_rate(struct string *s, uint64_t begin, uint64_t end, double rate, uint64_t *random)
{
    for (uint64_t at = begin; at < end; at++) {
        if ((double)(next_random(random) >> 11) * 0x1p-53 < rate)
            flip(s, at, random);
    }
}

static void wipe(struct string *s, uint64_t begin, uint64_t end, uint64_t *random)
{
    for (uint64_t at = begin; at < end && at < total(s); at++)
        *byte_at(s, at) = (uint8_t)next_random(random);
}

static uint64_t bytes_differ(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

static int decode(struct string *s, uint64_t *corrected)
{
    *corrected = UINT64_MAX;
    return wave_ecc_decode(s->data, s->len, s->parity, s->R, s->seed_base, corrected);
}

static void check_as_before(const struct string *s)
{
    assert_memory_equal(s->data, s->data_before, s->len);
    assert_memory_equal(s->parity, s->parity_before, s->parity_len);
}

/* The damage that is there is repaired and counted. */
static void check_comes_back(struct string *s)
{
    uint64_t corrected;
    uint64_t damage = bytes_differ(s->data, s->data_before, s->len) + bytes_differ(s->parity, s->parity_before, s->parity_len);
    int rc = decode(s, &corrected);
    if (rc != 0)
        fail_msg("len %zu R %u seed %u: %s", s->len, s->R, s->seed_base, wave_ecc_strerror(rc));
    check_as_before(s);
    assert_int_equal(corrected, damage);
}

/* Right bytes, or an error and nothing changed. Returns whether they are right. */
static bool check_right_or_untouched(struct string *s)
{
    uint64_t corrected;
    uint8_t *data = malloc(s->len), *parity = malloc(s->parity_len);
    assert_true(data && parity);
    memcpy(data, s->data, s->len);
    memcpy(parity, s->parity, s->parity_len);
    int rc = decode(s, &corrected);
    if (rc == 0) {
        check_as_before(s);
    } else {
        assert_int_equal(corrected, 0);
        assert_memory_equal(s->data, data, s->len);
        assert_memory_equal(s->parity, parity, s->parity_len);
    }
    free(data);
    free(parity);
    return rc == 0;
}

/* Any R bytes, wherever they are: fewer than each part of the string can do with. */
static void flip_any(struct string *s, uint64_t *random)
{
    for (unsigned i = 0; i < s->R; i++)
        flip(s, random_place(random, 0, total(s)), random);
}

static void check_length(size_t len, unsigned R, uint32_t seed_base, uint64_t *random)
{
    struct string s;
    string_init(&s, len, R, seed_base, random);
    check_comes_back(&s);
    flip_any(&s, random);
    check_comes_back(&s);
    string_fini(&s);
}

static void every_short_length_comes_back_clean_and_with_any_r_bytes_wrong(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    static const unsigned redundancies[] = { 1, 2, 3, 5, 10 };
    for (size_t len = 1; len <= 2100; len += len < 20 ? 1 : 1 + random_below(&random, 2 * SLOW - 1)) {
        for (unsigned i = 0; i < 5; i++)
            check_length(len, redundancies[i], (uint32_t)next_random(&random), &random);
    }
}

static void lengths_around_changes_of_shape_come_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    static const size_t edges[] = { 512, 1024, 4096, 65536, 61440, 262144, 524288, 786432, 7 << 18, 8 << 18, 9 << 18 };
    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        for (int off = -1; off <= 1; off++)
            check_length(edges[i] + (size_t)off, 1 + random_below(&random, 10), (uint32_t)next_random(&random), &random);
    }
}

static void every_redundancy_and_any_seed_comes_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    static const uint32_t seeds[] = { 0, 1, 254, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX };
    for (unsigned R = WAVE_ECC_REDUNDANCY_MIN; R <= WAVE_ECC_REDUNDANCY_MAX; R++) {
        for (unsigned i = 0; i < 8; i++)
            check_length(1 + random_below(&random, 20000), R, seeds[i], &random);
    }
}

/* 1e-3 over everything. */
static void check_rate(size_t len, unsigned R, double rate, unsigned long rounds, uint64_t *random)
{
    struct string s;
    unsigned long lost = 0;
    string_init(&s, len, R, SEED_BASE, random);
    for (unsigned long i = 0; i < rounds; i++) {
        flip_at_rate(&s, 0, total(&s), rate, random);
        lost += !check_right_or_untouched(&s);
        string_restore(&s);
    }
    string_fini(&s);
    printf("len %zu R %u, flips at %g: %lu of %lu lost\n", len, R, rate, lost, rounds);
    assert_int_equal(lost, 0);
}

static void flips_at_one_in_a_thousand_come_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    unsigned long rounds = soak ? soak : 64 / SLOW;
    check_rate(262144, 3, 1e-3, rounds, &random);
    check_rate(262144, 5, 1e-3, rounds, &random);
    check_rate(100000, 3, 1e-3, rounds, &random);
    check_rate(10000, 3, 1e-3, 4 * rounds, &random);
    check_rate(1000, 3, 1e-3, 16 * rounds, &random);
    check_rate(1, 3, 1e-3, 16 * rounds, &random);
    check_rate(1 << 20, 3, 1e-3, rounds / 4, &random);
}

/* The block and the number of stripes, as FORMAT.md has them. */
static void shape_of(size_t len, size_t *block, size_t *D)
{
    size_t groups = (len + 262143) / 262144;
    *D = groups < 8 ? groups : groups | 1;
    size_t least = (len + 64 * *D - 1) / (64 * *D), step = least <= 64 ? 8 : 64;
    *block = groups < 8 ? (least + step - 1) / step * step : 4096;
}

/* The longest range that touches at most m·D blocks wherever it begins. */
static uint64_t longest_burst(const struct string *s)
{
    size_t block, D;
    shape_of(s->len, &block, &D);
    return (uint64_t)(2 * s->R * D - 1) * block + 1;
}

static void a_lost_range_anywhere_comes_back_though_nobody_says_where_it_is(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    for (unsigned i = 0; i < 400 / SLOW; i++) {
        struct string s;
        size_t len = i % 8 ? 1 + random_below(&random, 1u << random_below(&random, 17)) : 1000000 + random_below(&random, 3000000);
        string_init(&s, len, 1 + random_below(&random, 10), (uint32_t)next_random(&random), &random);
        uint64_t begin = random_place(&random, 0, total(&s));
        wipe(&s, begin, begin + longest_burst(&s), &random);
        check_comes_back(&s);
        string_fini(&s);
    }
}

static void a_longer_lost_range_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    for (unsigned R = 1; R <= 10; R++) {
        struct string s;
        string_init(&s, 50000, R, SEED_BASE, &random);
        wipe(&s, 1000, 1000 + longest_burst(&s) + 2 * 832, &random);
        assert_false(check_right_or_untouched(&s));
        string_fini(&s);
    }
}

static void parity_alone_can_be_damaged_in_any_way_that_leaves_a_header(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    struct string s;
    string_init(&s, 30000, 2, SEED_BASE, &random);
    wipe(&s, s.len + HEADER, total(&s), &random);
    check_comes_back(&s);
    wipe(&s, s.len, total(&s) - HEADER, &random);
    check_comes_back(&s);
    flip_at_rate(&s, s.len + HEADER, total(&s) - HEADER, 0.5, &random);
    check_comes_back(&s);
    string_fini(&s);
}

static void headers_come_back_with_five_wrong_rows_in_each_copy(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    struct string s;
    string_init(&s, 3000, 3, SEED_BASE, &random);
    for (unsigned round = 0; round < 300 / SLOW; round++) {
        unsigned rows[5];
        for (unsigned copy = 0; copy < 2; copy++) {
            choose(rows, 5, 30, &random);
            for (unsigned i = 0; i < 5; i++) {
                uint64_t at = s.len + (copy ? s.parity_len - HEADER : 0) + 2 * rows[i];
                wipe(&s, at, at + 2, &random);
            }
        }
        check_comes_back(&s);
    }
    string_fini(&s);
}

static void both_headers_gone_is_a_clear_error(void **state)
{
    (void)state;
    uint64_t random = first_seed, corrected;
    struct string s;
    string_init(&s, 3000, 3, SEED_BASE, &random);
    wipe(&s, s.len, s.len + HEADER, &random);
    wipe(&s, total(&s) - HEADER, total(&s), &random);
    assert_false(check_right_or_untouched(&s));
    assert_int_equal(decode(&s, &corrected), -WAVE_ECC_EFORMAT);
    string_fini(&s);
}

/* The index is rows of w bytes in two halves; its damage must not matter while the data can be found without it. */
static void data_comes_back_when_the_index_is_destroyed(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    for (unsigned i = 0; i < 40 / (SLOW > 1 ? 4 : 1); i++) {
        struct string s;
        size_t block, D;
        string_init(&s, 1 + random_below(&random, i % 4 ? 10000 : 2000000), 1 + random_below(&random, 10), SEED_BASE, &random);
        shape_of(s.len, &block, &D);
        uint64_t half = (s.parity_len - 2 * HEADER - 2 * s.R * D * block) / 2;
        wipe(&s, s.len + HEADER, s.len + HEADER + half, &random);
        wipe(&s, total(&s) - HEADER - half, total(&s) - HEADER, &random);
        for (unsigned e = 0; e < s.R; e++)
            flip(&s, random_place(&random, 0, s.len), &random);
        check_comes_back(&s);
        string_fini(&s);
    }
}

static void half_an_index_and_flips_in_the_other_half_still_guide(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    for (unsigned i = 0; i < 40 / (SLOW > 1 ? 4 : 1); i++) {
        struct string s;
        size_t block, D;
        string_init(&s, 100000 + random_below(&random, 2000000), 3, SEED_BASE, &random);
        shape_of(s.len, &block, &D);
        uint64_t half = (s.parity_len - 2 * HEADER - 2 * s.R * D * block) / 2;
        uint64_t halves[2] = { s.len + HEADER, total(&s) - HEADER - half };
        wipe(&s, halves[i % 2], halves[i % 2] + half, &random);
        flip(&s, random_place(&random, halves[1 - i % 2], halves[1 - i % 2] + half), &random);
        wipe(&s, 5000, 5000 + (2 * s.R - 1) * block - 200, &random);
        check_comes_back(&s);
        string_fini(&s);
    }
}

static void noise_of_any_strength_gives_right_bytes_or_an_error(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    unsigned long right = 0, rounds = soak ? 10 * soak : 400 / SLOW;
    for (unsigned long i = 0; i < rounds; i++) {
        struct string s;
        size_t len = 1 + random_below(&random, 1u << random_below(&random, 15));
        string_init(&s, len, 1 + random_below(&random, 10), (uint32_t)next_random(&random), &random);
        double rate = 0.3 / (double)(1u << random_below(&random, 10));
        flip_at_rate(&s, 0, total(&s), rate, &random);
        for (unsigned bursts = random_below(&random, 3); bursts > 0; bursts--) {
            uint64_t begin = random_place(&random, 0, total(&s));
            wipe(&s, begin, begin + random_below(&random, (unsigned)longest_burst(&s)), &random);
        }
        right += check_right_or_untouched(&s);
        string_fini(&s);
    }
    printf("noise: %lu of %lu came back\n", right, rounds);
    assert_true(right > rounds / 4 && right < rounds);
}

/* Four blocks of each stripe at most, and the last part of index and header, with flips all over. */
static void known_losses_and_flips_elsewhere_come_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    for (unsigned i = 0; i < 60 / (SLOW > 1 ? 4 : 1); i++) {
        struct string s;
        uint64_t corrected;
        string_init(&s, 262144, 3, SEED_BASE, &random);
        struct wave_ecc_range lost[] = { { random_place(&random, 0, s.len - 12288), 8193 }, { total(&s) - 4000, UINT64_MAX }, { 0, 0 } };
        flip_at_rate(&s, 0, total(&s), 1e-4, &random);
        wipe(&s, lost[0].offset, lost[0].offset + lost[0].length, &random);
        wipe(&s, lost[1].offset, total(&s), &random);
        assert_int_equal(wave_ecc_decode_erasures(s.data, s.len, s.parity, s.R, s.seed_base, lost, 3, &corrected), 0);
        check_as_before(&s);
        string_fini(&s);
    }
}

static void ranges_that_are_not_lost_after_all_do_no_harm(void **state)
{
    (void)state;
    uint64_t random = first_seed, corrected;
    struct string s;
    string_init(&s, 70001, 2, SEED_BASE, &random);
    struct wave_ecc_range all = { 0, UINT64_MAX }, beyond = { UINT64_MAX, UINT64_MAX };
    flip(&s, 12345, &random);
    assert_int_equal(wave_ecc_decode_erasures(s.data, s.len, s.parity, s.R, s.seed_base, &all, 1, &corrected), 0);
    assert_int_equal(corrected, 1);
    check_as_before(&s);
    flip(&s, 12345, &random);
    assert_int_equal(wave_ecc_decode_erasures(s.data, s.len, s.parity, s.R, s.seed_base, &beyond, 1, &corrected), 0);
    check_as_before(&s);
    assert_int_equal(wave_ecc_decode_erasures(s.data, s.len, s.parity, s.R, s.seed_base, NULL, 1, &corrected), -EINVAL);
    string_fini(&s);
}

static void other_parameters_than_those_of_the_encoder_are_refused_and_change_nothing(void **state)
{
    (void)state;
    uint64_t random = first_seed, corrected = 9;
    struct string s;
    string_init(&s, 5000, 3, SEED_BASE, &random);
    flip_any(&s, &random);
    struct string damaged = s;
    damaged.data = malloc(s.len);
    damaged.parity = malloc(s.parity_len);
    memcpy(damaged.data, s.data, s.len);
    memcpy(damaged.parity, s.parity, s.parity_len);
    for (unsigned R = 1; R <= 10; R++) {
        if (R != s.R)
            assert_int_equal(wave_ecc_decode(s.data, s.len, s.parity, R, SEED_BASE, &corrected), -WAVE_ECC_EMISMATCH);
    }
    assert_int_equal(wave_ecc_decode(s.data, s.len, s.parity, 3, SEED_BASE + 1, &corrected), -WAVE_ECC_EMISMATCH);
    assert_int_equal(wave_ecc_decode(s.data, s.len, s.parity, 3, SEED_BASE + 255, &corrected), -WAVE_ECC_EMISMATCH);
    assert_int_equal(wave_ecc_decode(s.data, s.len - 1, s.parity, 3, SEED_BASE, &corrected), -WAVE_ECC_EMISMATCH);
    assert_int_equal(corrected, 0);
    assert_memory_equal(s.data, damaged.data, s.len);
    assert_memory_equal(s.parity, damaged.parity, s.parity_len);
    check_comes_back(&s);
    free(damaged.data);
    free(damaged.parity);
    string_fini(&s);
}

static void arguments_out_of_range_are_refused_and_change_nothing(void **state)
{
    (void)state;
    uint8_t data[100] = { 1 }, parity[600] = { 2 };
    uint64_t corrected = 9;
    static const unsigned bad[] = { 0, 11, 255, 256, UINT32_MAX };
    assert_true(wave_ecc_parity_len(100, 10) <= sizeof(parity));
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(wave_ecc_parity_len(100, bad[i]), 0);
        assert_int_equal(wave_ecc_encode(data, 100, bad[i], 0, parity), -EINVAL);
        assert_int_equal(wave_ecc_decode(data, 100, parity, bad[i], 0, &corrected), -EINVAL);
    }
    assert_int_equal(wave_ecc_parity_len(0, 3), 0);
    assert_int_equal(wave_ecc_parity_len(((size_t)1 << 43) + 1, 3), 0);
    assert_true(wave_ecc_parity_len((size_t)1 << 43, 3) > 0);
    assert_int_equal(wave_ecc_encode(data, 0, 3, 0, parity), -EINVAL);
    assert_int_equal(wave_ecc_encode(NULL, 100, 3, 0, parity), -EINVAL);
    assert_int_equal(wave_ecc_encode(data, 100, 3, 0, NULL), -EINVAL);
    assert_int_equal(wave_ecc_decode(data, 0, parity, 3, 0, &corrected), -EINVAL);
    assert_int_equal(wave_ecc_decode(NULL, 100, parity, 3, 0, &corrected), -EINVAL);
    assert_int_equal(wave_ecc_decode(data, 100, NULL, 3, 0, &corrected), -EINVAL);
    assert_int_equal(wave_ecc_decode(data, 100, parity, 3, 0, NULL), -WAVE_ECC_EFORMAT);
    assert_int_equal(corrected, 0);
    assert_int_equal(data[0], 1);
    assert_int_equal(parity[0], 2);
}

static void a_parity_string_tells_what_it_was_made_with(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    struct wave_ecc_info info = { 1, 2, 3 };
    struct string s;
    string_init(&s, 12345, 4, 0xfedcba98, &random);
    wipe(&s, s.len, s.len + 200, &random);
    assert_int_equal(wave_ecc_inspect(s.parity, s.parity_len, &info), 0);
    assert_int_equal(info.len, 12345);
    assert_int_equal(info.redundancy, 4);
    assert_int_equal(info.seed_base, 0xfedcba98);
    info.len = 1;
    assert_int_equal(wave_ecc_inspect(s.parity, 119, &info), -WAVE_ECC_EFORMAT);
    assert_int_equal(wave_ecc_inspect(s.parity, s.parity_len - 1, &info), -WAVE_ECC_EFORMAT);
    assert_int_equal(wave_ecc_inspect(NULL, 500, &info), -EINVAL);
    assert_int_equal(wave_ecc_inspect(s.parity, s.parity_len, NULL), -EINVAL);
    assert_int_equal(info.len, 1);
    string_fini(&s);
}

static void overhead_is_at_most_sixty_percent_for_r_up_to_five(void **state)
{
    (void)state;
    for (unsigned R = 1; R <= 5; R++) {
        for (size_t len = 1024; len <= 4 << 20; len += len < 65536 ? 1 : SLOW)
            assert_true(wave_ecc_parity_len(len, R) * 10 <= len * 6);
        for (size_t len = 4 << 20; len < (size_t)1 << 42; len += len / 3)
            assert_true(wave_ecc_parity_len(len, R) * 10 <= len * 2);
    }
}

static void a_mebibyte_and_ten_come_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    static const size_t lengths[] = { 1 << 20, 10 << 20 };
    for (unsigned i = 0; i < (SLOW > 1 ? 1 : 2); i++) {
        struct string s;
        string_init(&s, lengths[i], 3, SEED_BASE, &random);
        check_comes_back(&s);
        flip_at_rate(&s, 0, total(&s), 1e-3, &random);
        check_comes_back(&s);
        wipe(&s, 123456, 123456 + longest_burst(&s), &random);
        check_comes_back(&s);
        string_fini(&s);
    }
}

static void a_gibibyte_comes_back(void **state)
{
    (void)state;
    uint64_t random = first_seed;
    struct string s;
    if (!soak)
        skip();
    string_init(&s, ((size_t)1 << 30) + 12345, 3, SEED_BASE, &random);
    check_comes_back(&s);
    flip_at_rate(&s, 0, total(&s), 1e-3, &random);
    check_comes_back(&s);
    uint64_t begin = random_place(&random, 0, s.len);
    wipe(&s, begin, begin + longest_burst(&s), &random);
    check_comes_back(&s);
    string_fini(&s);
}

static void every_code_has_its_text(void **state)
{
    (void)state;
    static const int codes[] = { 0, -EINVAL, -ENOMEM, -WAVE_ECC_EFORMAT, -WAVE_ECC_EVERSION, -WAVE_ECC_EMISMATCH, -WAVE_ECC_ELOST };
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_not_equal(wave_ecc_strerror(codes[i]), wave_ecc_strerror(-1));
        assert_string_equal(wave_ecc_strerror(codes[i]), wave_ecc_strerror(-codes[i]));
    }
}

/* Computed from FORMAT.md by a separate program: XXH3-64, seed 0, of the parity strings of byte i = 31·i² + 7·i + 13·⌊i / 256⌋. */
static void parity_strings_are_those_of_the_format(void **state)
{
    (void)state;
    static const struct { size_t len; unsigned R; uint32_t seed_base; uint64_t sum; } golden[] = {
        { 1, 3, 0x0, 0x7efb47070b170278 },
        { 9, 1, 0x1, 0xa43797e62d0006be },
        { 1000, 5, 0xfe, 0x4cc6df69f6022b5f },
        { 5000, 3, 0xdeadbeef, 0x2b922a7b5c4a7d46 },
        { 70001, 10, 0xff, 0xa9999611bb50243c },
        { 300001, 2, 0x12c, 0x2c90bbb9c8c1c6c8 },
        { 2097153, 1, 0x7, 0x0d0ff3ddb27b37aa },
    };
    for (unsigned g = 0; g < sizeof(golden) / sizeof(golden[0]); g++) {
        size_t len = golden[g].len, parity_len = wave_ecc_parity_len(len, golden[g].R);
        uint8_t *data = malloc(len), *parity = malloc(parity_len);
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i * i * 31 + i * 7 + (i >> 8) * 13);
        assert_int_equal(wave_ecc_encode(data, len, golden[g].R, golden[g].seed_base, parity), 0);
        assert_int_equal(sum64(parity, parity_len, 0), golden[g].sum);
        free(data);
        free(parity);
    }
}

static void *round_trips(void *arg)
{
    uint64_t random = first_seed + *(const unsigned *)arg;
    for (unsigned i = 0; i < 20; i++)
        check_length(1 + random_below(&random, 30000), 1 + random_below(&random, 10), (uint32_t)next_random(&random), &random);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    unsigned numbers[4];
    for (unsigned i = 0; i < 4; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, round_trips, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_length_comes_back_clean_and_with_any_r_bytes_wrong),
        cmocka_unit_test(lengths_around_changes_of_shape_come_back),
        cmocka_unit_test(every_redundancy_and_any_seed_comes_back),
        cmocka_unit_test(flips_at_one_in_a_thousand_come_back),
        cmocka_unit_test(a_lost_range_anywhere_comes_back_though_nobody_says_where_it_is),
        cmocka_unit_test(a_longer_lost_range_is_an_error_and_changes_nothing),
        cmocka_unit_test(parity_alone_can_be_damaged_in_any_way_that_leaves_a_header),
        cmocka_unit_test(headers_come_back_with_five_wrong_rows_in_each_copy),
        cmocka_unit_test(both_headers_gone_is_a_clear_error),
        cmocka_unit_test(data_comes_back_when_the_index_is_destroyed),
        cmocka_unit_test(half_an_index_and_flips_in_the_other_half_still_guide),
        cmocka_unit_test(noise_of_any_strength_gives_right_bytes_or_an_error),
        cmocka_unit_test(known_losses_and_flips_elsewhere_come_back),
        cmocka_unit_test(ranges_that_are_not_lost_after_all_do_no_harm),
        cmocka_unit_test(other_parameters_than_those_of_the_encoder_are_refused_and_change_nothing),
        cmocka_unit_test(arguments_out_of_range_are_refused_and_change_nothing),
        cmocka_unit_test(a_parity_string_tells_what_it_was_made_with),
        cmocka_unit_test(overhead_is_at_most_sixty_percent_for_r_up_to_five),
        cmocka_unit_test(a_mebibyte_and_ten_come_back),
        cmocka_unit_test(a_gibibyte_comes_back),
        cmocka_unit_test(every_code_has_its_text),
        cmocka_unit_test(parity_strings_are_those_of_the_format),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    const char *rounds = getenv("WAVE_ECC_SOAK"), *seed = getenv("WAVE_ECC_SEED");
    soak = rounds ? strtoul(rounds, NULL, 10) : 0;
    if (seed)
        first_seed = strtoull(seed, NULL, 0);
    printf("seed %llu\n", (unsigned long long)first_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
