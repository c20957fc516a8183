/* SPDX-License-Identifier: GPL-2.0-or-later */
/* identity.h: whole containers by a GPU, real or simulated, against the scalar engine: every byte it may write and none besides. */
#ifndef TESTS_CUDA_IDENTITY_H
#define TESTS_CUDA_IDENTITY_H

#include "cuda/gpu.h"
#include "tests/ecc/helper.h"

enum { IDENTITY_GUARD = 64, IDENTITY_MAX = 200 };

typedef int identity_fn(void *arg, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                        unsigned n);

/* Containers twice: what the device wrote, and what is right. */
struct identity {
    const struct ecc_code *code;
    size_t block;
    unsigned n;
    struct ecc_container got[IDENTITY_MAX], right[IDENTITY_MAX];
};

static inline void *identity_bytes(size_t len, int fill)
{
    uint8_t *p = malloc(len + IDENTITY_GUARD);
    assert_non_null(p);
    memset(p, fill, len + IDENTITY_GUARD);
    return p;
}

static inline size_t identity_rows(const struct identity *t, unsigned i)
{
    return (size_t)ecc_code_m(t->code) * t->got[i].layout.D * t->block;
}

/* Random data and right parity, some stripes then damaged; container i of D stripes, of which `used` blocks are stored. */
static inline void identity_add(struct identity *t, uint32_t D, uint32_t used, uint64_t *random)
{
    unsigned i = t->n++;
    const struct ecc_layout l = { .used = used, .D = D };
    size_t data = used * t->block, rows = (size_t)ecc_code_m(t->code) * D * t->block;
    uint8_t *stored = identity_bytes(data + rows, 0);
    fill_random(stored, data, random);
    struct ecc_container c = { .layout = l, .stored = stored, .out = stored + data };
    assert_int_equal(scalar()->containers(ECC_ENCODE, t->code, t->block, &c, 1), 0);
    for (unsigned hits = random_below(random, 3); hits > 0; hits--)
        stored[(next_random(random) >> 8) % (data + rows)] ^= (uint8_t)(1 + random_below(random, 255));
    t->got[i] = t->right[i] = c;
    t->got[i].out = identity_bytes(rows, 0xc3);
    t->right[i].out = identity_bytes(rows, 0xc3);
    t->got[i].dirty = identity_bytes(D, 0xc3);
    t->right[i].dirty = identity_bytes(D, 0xc3);
}

static inline void identity_forget_waves(struct ecc_container *c)
{
    free(c->out);
    c->out = NULL;
}

static inline void identity_assert_same(const struct identity *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (t->got[i].out)
            assert_memory_equal(t->got[i].out, t->right[i].out, identity_rows(t, i) + IDENTITY_GUARD);
        assert_memory_equal(t->got[i].dirty, t->right[i].dirty, t->got[i].layout.D + IDENTITY_GUARD);
    }
}

static inline void identity_fini(struct identity *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        free((void *)(uintptr_t)t->got[i].stored);
        free(t->got[i].out);
        free(t->right[i].out);
        free(t->got[i].dirty);
        free(t->right[i].dirty);
    }
    t->n = 0;
}

static inline void identity_run(struct identity *t, enum ecc_work work, identity_fn *device, void *arg)
{
    assert_int_equal(scalar()->containers(work, t->code, t->block, t->right, t->n), 0);
    assert_int_equal(device(arg, work, t->code, t->block, t->got, t->n), 0);
    identity_assert_same(t);
}

/* Encode, waves with flags, flags alone: n containers of up to D_max stripes, filled by chance; the first is full, the last empty. */
static inline void identity_check(identity_fn *device, void *arg, unsigned k, unsigned m, uint32_t seed, size_t block, unsigned n,
                                  uint32_t D_max, uint64_t *random)
{
    struct ecc_code *code = make_code(k, m, seed);
    struct identity *t = calloc(1, sizeof(*t));
    t->code = code;
    t->block = block;
    for (unsigned i = 0; i < n; i++) {
        uint32_t D = 1 + random_below(random, D_max);
        identity_add(t, D, i == 0 ? k * D : i + 1 == n ? 0 : random_below(random, k * D + 1), random);
    }
    identity_run(t, ECC_ENCODE, device, arg);
    identity_run(t, ECC_SYNDROME, device, arg);
    for (unsigned i = 0; i < n; i++) {
        identity_forget_waves(&t->got[i]);
        identity_forget_waves(&t->right[i]);
        memset(t->got[i].dirty, 0xc3, t->got[i].layout.D);
    }
    identity_run(t, ECC_SYNDROME, device, arg);
    identity_fini(t);
    free(t);
    ecc_code_destroy(code);
}

/* Every R, widths from one member to all that fit; seed 0, and another one, which may be 0 modulo 255. */
static inline void identity_check_all(identity_fn *device, void *arg, uint64_t *random)
{
    static const unsigned widths[] = { 1, 2, 3, 17, 64, 101, ECC_N_MAX };
    static const uint32_t seeds[] = { 255, 1, 100, 254, UINT32_MAX - 3 };
    static const size_t blocks[] = { 64, 128, 192, 320, 704 };
    unsigned turn = 0;
    for (unsigned m = 2; m <= ECC_M_MAX; m += 2) {
        for (unsigned w = 0; w < sizeof(widths) / sizeof(widths[0]); w++, turn++) {
            unsigned k = widths[w] + m > ECC_N_MAX ? ECC_N_MAX - m : widths[w];
            identity_check(device, arg, k, m, 0, blocks[turn % 5], 3, 4, random);
            identity_check(device, arg, k, m, seeds[turn % 5], blocks[(turn + turn / 5) % 5], 3, 4, random);
        }
    }
}

#endif
