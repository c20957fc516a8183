/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kit.h: what the tests of the format share: a uuid, seeded numbers, and bytes written as hexadecimal digits. */
#ifndef HOLO_TESTS_STORE_KIT_H
#define HOLO_TESTS_STORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t kit_uuid[16] = { 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f };

static inline uint64_t kit_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

static inline void kit_fill(uint64_t seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t v = seed ^ seed >> 29;
        memcpy(out + i, &v, len - i < 8 ? len - i : 8);
    }
}

/* Flip about `per_mille` of a thousand bytes. */
static inline void kit_flip(uint64_t *seed, uint8_t *p, size_t len, unsigned per_mille)
{
    for (size_t i = 0; i < len; i++) {
        if (kit_random(seed) % 1000 < per_mille)
            p[i] ^= (uint8_t)(1 + kit_random(seed) % 255);
    }
}

/* Do the bytes say what the digits say? */
static inline void kit_expect_hex(const uint8_t *got, const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *text = malloc(2 * n + 1);
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", got[i]);
    assert_string_equal(text, hex);
    free(text);
}

/* A copy that ends where its bytes end, so that a sanitizer sees a read behind them. */
static inline uint8_t *kit_exact(const uint8_t *p, size_t len)
{
    uint8_t *q = malloc(len ? len : 1);
    if (len)
        memcpy(q, p, len);
    return q;
}

#endif
