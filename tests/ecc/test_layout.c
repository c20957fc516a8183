/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_layout.c: which stripe a stored position is in, and the parity of whole containers. */
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

/* The blocks of one stripe, where the layout says they are. */
static void gather(const struct ecc_layout *l, unsigned k, unsigned m, uint32_t stripe, size_t block, uint8_t *data, uint8_t *parity,
                   uint8_t **out)
{
    for (unsigned i = 0; i < k + m; i++) {
        uint32_t x = ecc_layout_position(l, k, stripe, i);
        out[i] = x == UINT32_MAX ? NULL : x < l->used ? data + x * block : parity + (x - l->used) * block;
    }
}

static void check_container(const struct ecc_engine *engine, const struct ecc_code *code, const struct ecc_layout *l, size_t block)
{
    unsigned k = ecc_code_k(code), m = ecc_code_m(code);
    uint64_t random = SEED + l->used;
    uint8_t *data = malloc(l->used * block + 1), *parity = malloc(m * l->D * block), *expected = malloc(m * block);
    uint8_t *blocks[ECC_N_MAX], *out[ECC_M_MAX];
    fill_random(data, l->used * block, &random);
    fill_random(parity, m * l->D * block, &random);
    assert_int_equal(engine->encode_container(code, l, block, data, parity), 0);
    for (unsigned r = 0; r < m; r++)
        out[r] = expected + r * block;
    for (uint32_t stripe = 0; stripe < l->D; stripe++) {
        gather(l, k, m, stripe, block, data, parity, blocks);
        scalar()->encode(code, (const uint8_t *const *)blocks, out, block);
        for (unsigned r = 0; r < m; r++)
            assert_memory_equal(out[r], blocks[k + r], block);
    }
    free(data);
    free(parity);
    free(expected);
}

static void container_parity_equals_the_parity_of_each_stripe(void **state)
{
    (void)state;
    struct ecc_code *code = make_code(7, 6, 77);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        for (uint32_t used = 0; (*e)->supported() && used <= 35; used++) {
            const struct ecc_layout l = { .used = used, .D = 5 };
            check_container(*e, code, &l, 192);
        }
    }
    ecc_code_destroy(code);
}

static void container_parity_of_the_default_shape_is_right(void **state)
{
    (void)state;
    struct ecc_code *code = make_code(64, 6, 1234567);
    static const uint32_t used[] = { 1, 31 * 64 - 17, 31 * 64 };
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        for (unsigned t = 0; (*e)->supported() && t < 3; t++) {
            const struct ecc_layout l = { .used = used[t], .D = 31 };
            check_container(*e, code, &l, 4096);
        }
    }
    ecc_code_destroy(code);
}

/* The law: any burst of m·D blocks, data or parity or both, comes back. */
static void any_burst_of_m_times_D_blocks_of_a_container_comes_back(void **state)
{
    (void)state;
    enum { K = 6, M = 4, D = 5, BLOCK = 64, USED = 27 };
    const struct ecc_layout l = { .used = USED, .D = D };
    struct ecc_code *code = make_code(K, M, 254);
    uint8_t whole[(USED + M * D) * BLOCK], copy[sizeof(whole)], *blocks[K + M];
    uint64_t random = SEED;
    fill_random(whole, USED * BLOCK, &random);
    assert_int_equal(scalar()->encode_container(code, &l, BLOCK, whole, whole + USED * BLOCK), 0);
    for (uint32_t first = 0; first <= USED; first++) {
        memcpy(copy, whole, sizeof(whole));
        memset(copy + first * BLOCK, 0xee, M * D * BLOCK);
        for (uint32_t stripe = 0; stripe < D; stripe++) {
            unsigned erased[M], n = 0;
            gather(&l, K, M, stripe, BLOCK, copy, copy + USED * BLOCK, blocks);
            for (unsigned i = 0; i < K + M; i++) {
                uint32_t x = ecc_layout_position(&l, K, stripe, i);
                if (x != UINT32_MAX && x >= first && x < first + M * D)
                    erased[n++] = i;
            }
            assert_int_equal(n, M);
            assert_int_equal(ecc_rebuild(scalar(), code, blocks, erased, n, BLOCK), 0);
        }
        assert_memory_equal(copy, whole, sizeof(whole));
    }
    ecc_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stripes_are_enough_and_odd),
        cmocka_unit_test(position_and_stripe_are_inverse),
        cmocka_unit_test(any_burst_of_m_times_D_hits_each_stripe_exactly_m_times),
        cmocka_unit_test(container_parity_equals_the_parity_of_each_stripe),
        cmocka_unit_test(container_parity_of_the_default_shape_is_right),
        cmocka_unit_test(any_burst_of_m_times_D_blocks_of_a_container_comes_back),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
