/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_containers.c: work on whole containers equals the work on each of their stripes, and the definition. */
#include "tests/ecc/helper.h"

enum { GUARD_BYTE = 0xc3 };

/* One container: data, parity behind it, and room for waves and flags. */
struct box {
    struct ecc_layout l;
    unsigned k, m;
    size_t block, stored_bytes, row_bytes; /* row: one wave of every stripe, or one row of parity */
    uint8_t *stored, *waves, *dirty;
};

static void box_init(struct box *b, const struct ecc_code *code, uint32_t used, uint32_t D, size_t block, uint64_t *random)
{
    *b = (struct box){ .l = { used, D }, .k = ecc_code_k(code), .m = ecc_code_m(code), .block = block, .row_bytes = D * block };
    b->stored_bytes = used * block + b->m * b->row_bytes;
    b->stored = malloc(b->stored_bytes);
    b->waves = malloc(b->m * b->row_bytes);
    b->dirty = malloc(D + 1);
    assert_true(b->stored && b->waves && b->dirty);
    fill_random(b->stored, b->stored_bytes, random);
    memset(b->waves, GUARD_BYTE, b->m * b->row_bytes);
    memset(b->dirty, GUARD_BYTE, D + 1);
}

static void box_fini(struct box *b)
{
    free(b->stored);
    free(b->waves);
    free(b->dirty);
}

static uint8_t *parity_of(const struct box *b)
{
    return b->stored + b->l.used * b->block;
}

static void box_encode(const struct ecc_engine *engine, const struct ecc_code *code, struct box *b)
{
    const struct ecc_container c = { .layout = b->l, .stored = b->stored, .out = parity_of(b) };
    assert_int_equal(engine->containers(ECC_ENCODE, code, b->block, &c, 1), 0);
}

/* The members of one stripe, where the layout says they are. */
static void gather(const struct box *b, uint32_t stripe, uint8_t **out)
{
    for (unsigned i = 0; i < b->k + b->m; i++) {
        uint32_t x = ecc_layout_position(&b->l, b->k, stripe, i);
        out[i] = x == UINT32_MAX ? NULL : b->stored + x * b->block;
    }
}

static void check_parity(const struct ecc_engine *engine, const struct ecc_code *code, uint32_t used, uint32_t D, size_t block)
{
    uint64_t random = SEED + used;
    uint8_t *member[ECC_N_MAX], *expected[ECC_M_MAX];
    struct box b;
    box_init(&b, code, used, D, block, &random);
    uint8_t *data = malloc(used * block + 1);
    memcpy(data, b.stored, used * block);
    box_encode(engine, code, &b);
    assert_memory_equal(b.stored, data, used * block);
    for (unsigned r = 0; r < b.m; r++)
        expected[r] = b.waves + r * block;
    for (uint32_t stripe = 0; stripe < D; stripe++) {
        gather(&b, stripe, member);
        scalar()->encode(code, (const uint8_t *const *)member, expected, block);
        for (unsigned r = 0; r < b.m; r++)
            assert_memory_equal(expected[r], member[b.k + r], block);
    }
    free(data);
    box_fini(&b);
}

/* Waves and flags of random bytes, against the waves of each stripe by itself. */
static void check_waves(const struct ecc_engine *engine, const struct ecc_code *code, uint32_t used, uint32_t D, size_t block)
{
    uint64_t random = SEED + 2 * used;
    uint8_t *member[ECC_N_MAX], *expected[ECC_M_MAX];
    struct box b;
    box_init(&b, code, used, D, block, &random);
    uint8_t *row = malloc(b.m * block);
    const struct ecc_container c = { .layout = b.l, .stored = b.stored, .out = b.waves, .dirty = b.dirty };
    assert_int_equal(engine->containers(ECC_SYNDROME, code, block, &c, 1), 0);
    for (unsigned j = 0; j < b.m; j++)
        expected[j] = row + j * block;
    for (uint32_t stripe = 0; stripe < D; stripe++) {
        gather(&b, stripe, member);
        scalar()->syndrome(code, (const uint8_t *const *)member, expected, block);
        for (unsigned j = 0; j < b.m; j++)
            assert_memory_equal(expected[j], b.waves + j * b.row_bytes + stripe * block, block);
        assert_int_equal(b.dirty[stripe], 1);
    }
    assert_int_equal(b.dirty[D], GUARD_BYTE);
    free(row);
    box_fini(&b);
}

typedef void check_fn(const struct ecc_engine *engine, const struct ecc_code *code, uint32_t used, uint32_t D, size_t block);

static void with_every_engine(check_fn *check)
{
    static const uint32_t big[] = { 1, 15 * 64 - 7, 15 * 64 };
    struct ecc_code *small = make_code(7, 6, 77), *usual = make_code(64, 6, 1234567), *most = make_code(ECC_K_MAX, ECC_M_MAX, 3);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (!(*e)->supported())
            continue;
        for (uint32_t used = 0; used <= 35; used++)
            check(*e, small, used, 5, 192);
        for (unsigned t = 0; t < sizeof(big) / sizeof(big[0]); t++)
            check(*e, usual, big[t], 15, 4096);
        check(*e, most, ECC_K_MAX * 3 - 1, 3, 2112);
    }
    ecc_code_destroy(small);
    ecc_code_destroy(usual);
    ecc_code_destroy(most);
}

static void container_parity_equals_the_parity_of_each_stripe(void **state)
{
    (void)state;
    with_every_engine(check_parity);
}

static void container_waves_equal_the_waves_of_each_stripe(void **state)
{
    (void)state;
    with_every_engine(check_waves);
}

/* S_f = Σ c_i·α^(i·f) with slow products, members placed by the sentence in ecc.h: no code of ecc/ is asked. */
static void container_waves_are_what_the_definition_says(void **state)
{
    (void)state;
    enum { K = 5, M = 4, D = 3, BLOCK = 64, WAVES = M * D * BLOCK };
    static const uint32_t s = 253;
    struct ecc_code *code = make_code(K, M, s);
    uint64_t random = SEED;
    for (uint32_t used = 0; used <= K * D; used++) {
        uint8_t definition[WAVES] = { 0 };
        struct box b;
        box_init(&b, code, used, D, BLOCK, &random);
        for (uint32_t x = 0; x < used + M * D; x++) {
            uint32_t stripe = x % D, member = x < used ? x / D : K + (x - used) / D;
            for (unsigned j = 0; j < M; j++) {
                uint8_t alpha = slow_alpha((uint64_t)member * (s + j)), *wave = definition + (j * D + stripe) * BLOCK;
                for (unsigned i = 0; i < BLOCK; i++)
                    wave[i] ^= slow_mul(b.stored[x * BLOCK + i], alpha);
            }
        }
        const struct ecc_container c = { .layout = b.l, .stored = b.stored, .out = b.waves };
        assert_int_equal(scalar()->containers(ECC_SYNDROME, code, BLOCK, &c, 1), 0);
        assert_memory_equal(b.waves, definition, WAVES);
        box_fini(&b);
    }
    ecc_code_destroy(code);
}

/* Flip one byte of some stripes: exactly those are flagged, whether the waves are asked for or not. */
static void check_flags(const struct ecc_engine *engine, const struct ecc_code *code, uint32_t used, uint32_t D, size_t block)
{
    uint64_t random = SEED + 3 * used;
    struct box b;
    box_init(&b, code, used, D, block, &random);
    box_encode(engine, code, &b);
    for (uint32_t bad = 0; bad <= D && bad < 8; bad += 1 + bad) {
        uint8_t expected[64] = { 0 };
        uint8_t *copy = malloc(b.stored_bytes);
        memcpy(copy, b.stored, b.stored_bytes);
        for (uint32_t i = 0; i < bad; i++) {
            size_t at = (size_t)(next_random(&random) % b.stored_bytes);
            copy[at] = b.stored[at] ^ (uint8_t)(1 + random_below(&random, 255));
            expected[at / block % D] = 1;
        }
        for (unsigned with_out = 0; with_out < 2; with_out++) {
            memset(b.dirty, GUARD_BYTE, D);
            const struct ecc_container c = { .layout = b.l, .stored = copy, .out = with_out ? b.waves : NULL, .dirty = b.dirty };
            assert_int_equal(engine->containers(ECC_SYNDROME, code, block, &c, 1), 0);
            assert_memory_equal(b.dirty, expected, D);
        }
        free(copy);
    }
    assert_int_equal(b.dirty[D], GUARD_BYTE);
    box_fini(&b);
}

static void exactly_the_stripes_that_disagree_are_flagged(void **state)
{
    (void)state;
    with_every_engine(check_flags);
}

/* Containers of different fill in one call: each gets what it gets alone. */
static void several_containers_in_one_call_equal_each_alone(void **state)
{
    (void)state;
    enum { N = 4, D = 7, BLOCK = 128 };
    struct ecc_code *code = make_code(9, 2, 40);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        struct box alone[N], together[N];
        struct ecc_container encode[N], check[N];
        uint64_t random = SEED, same = SEED;
        for (unsigned i = 0; (*e)->supported() && i < N; i++) {
            uint32_t used = 63 - 20 * i;
            box_init(&alone[i], code, used, D, BLOCK, &random);
            box_init(&together[i], code, used, D, BLOCK, &same);
            box_encode(scalar(), code, &alone[i]);
            struct box *t = &together[i];
            encode[i] = (struct ecc_container){ .layout = t->l, .stored = t->stored, .out = parity_of(t) };
            check[i] = (struct ecc_container){ .layout = t->l, .stored = t->stored, .dirty = t->dirty };
        }
        if (!(*e)->supported())
            continue;
        assert_int_equal((*e)->containers(ECC_ENCODE, code, BLOCK, encode, N), 0);
        together[2].stored[BLOCK * D + 1] ^= 1; /* of stripe 0 */
        assert_int_equal((*e)->containers(ECC_SYNDROME, code, BLOCK, check, N), 0);
        together[2].stored[BLOCK * D + 1] ^= 1;
        for (unsigned i = 0; i < N; i++) {
            assert_memory_equal(together[i].stored, alone[i].stored, alone[i].stored_bytes);
            for (uint32_t t = 0; t < D; t++)
                assert_int_equal(together[i].dirty[t], i == 2 && t == 0);
            box_fini(&alone[i]);
            box_fini(&together[i]);
        }
    }
    ecc_code_destroy(code);
}

/* The law: any burst of m·D blocks, data or parity or both, comes back. */
static void any_burst_of_m_times_D_blocks_of_a_container_comes_back(void **state)
{
    (void)state;
    enum { K = 6, M = 4, D = 5, BLOCK = 64, USED = 27 };
    struct ecc_code *code = make_code(K, M, 254);
    uint64_t random = SEED;
    struct box b;
    box_init(&b, code, USED, D, BLOCK, &random);
    box_encode(scalar(), code, &b);
    uint8_t *whole = malloc(b.stored_bytes), *members[K + M];
    memcpy(whole, b.stored, b.stored_bytes);
    for (uint32_t first = 0; first <= USED; first++) {
        memset(b.stored + first * BLOCK, 0xee, M * D * BLOCK);
        for (uint32_t stripe = 0; stripe < D; stripe++) {
            unsigned erased[M], n = 0;
            gather(&b, stripe, members);
            for (unsigned i = 0; i < K + M; i++) {
                uint32_t x = ecc_layout_position(&b.l, K, stripe, i);
                if (x != UINT32_MAX && x >= first && x < first + M * D)
                    erased[n++] = i;
            }
            assert_int_equal(n, M);
            assert_int_equal(ecc_rebuild(scalar(), code, members, erased, n, BLOCK), 0);
        }
        assert_memory_equal(b.stored, whole, b.stored_bytes);
    }
    free(whole);
    box_fini(&b);
    ecc_code_destroy(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(container_parity_equals_the_parity_of_each_stripe),
        cmocka_unit_test(container_waves_equal_the_waves_of_each_stripe),
        cmocka_unit_test(container_waves_are_what_the_definition_says),
        cmocka_unit_test(exactly_the_stripes_that_disagree_are_flagged),
        cmocka_unit_test(several_containers_in_one_call_equal_each_alone),
        cmocka_unit_test(any_burst_of_m_times_D_blocks_of_a_container_comes_back),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
