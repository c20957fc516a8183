/* SPDX-License-Identifier: GPL-2.0-or-later */
/* helper.h: what the tests of ecc/ share: random bytes, stripes, and the definition of the code, slowly. */
#ifndef TESTS_ECC_HELPER_H
#define TESTS_ECC_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ecc/ecc.h"

enum { SEED = 20240607 };

/* xorshift64*; the state is the caller's. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static inline unsigned random_below(uint64_t *state, unsigned bound)
{
    return (unsigned)((next_random(state) >> 32) % bound);
}

static inline void fill_random(uint8_t *p, size_t len, uint64_t *state)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(next_random(state) >> 56);
}

/* Multiplication of polynomials over GF(2), then division by 0x11d: no table, no code of ecc/. */
static inline uint8_t slow_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        if (b >> bit & 1)
            product ^= (unsigned)a << bit;
    }
    for (unsigned bit = 14; bit >= 8; bit--) {
        if (product >> bit & 1)
            product ^= 0x11du << (bit - 8);
    }
    return (uint8_t)product;
}

static inline uint8_t slow_alpha(uint64_t exponent)
{
    uint8_t v = 1;
    for (uint64_t i = 0; i < exponent % 255; i++)
        v = slow_mul(v, 2);
    return v;
}

/* n blocks of len bytes with pointers to them; NULL pointers are up to the test. */
struct stripe {
    unsigned n;
    size_t len;
    uint8_t *bytes;
    uint8_t *block[ECC_N_MAX];
};

static inline void stripe_init(struct stripe *s, unsigned n, size_t len)
{
    s->n = n;
    s->len = len;
    s->bytes = calloc(n, len);
    assert_non_null(s->bytes);
    for (unsigned i = 0; i < n; i++)
        s->block[i] = s->bytes + i * len;
}

static inline void stripe_fini(struct stripe *s)
{
    free(s->bytes);
}

static inline const uint8_t *const *blocks_of(const struct stripe *s)
{
    return (const uint8_t *const *)s->block;
}

/* Random data and its parity. */
static inline void stripe_fill(struct stripe *s, const struct ecc_engine *engine, const struct ecc_code *code, uint64_t *state)
{
    unsigned k = ecc_code_k(code);
    fill_random(s->bytes, k * s->len, state);
    engine->encode(code, blocks_of(s), s->block + k, s->len);
}

static inline struct ecc_code *make_code(unsigned k, unsigned m, uint32_t seed)
{
    struct ecc_code *code = NULL;
    assert_int_equal(ecc_code_create(k, m, seed, &code), 0);
    return code;
}

static inline const struct ecc_engine *scalar(void)
{
    return ecc_engine_find("scalar");
}

/* count different numbers below n, ascending. */
static inline void choose(unsigned *out, unsigned count, unsigned n, uint64_t *state)
{
    unsigned got = 0;
    for (unsigned i = 0; i < n && got < count; i++) {
        if (random_below(state, n - i) < count - got)
            out[got++] = i;
    }
}

#endif
