/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz.h: what the fuzz targets share: values taken from the input, checks that end the process, exact copies.
 *
 * A target is LLVMFuzzerTestOneInput() and fuzz_seed(). Linked with libFuzzer it is a fuzzer; linked with main.c it runs files and
 * random inputs, so that it is compiled and tried where there is no libFuzzer. Input that ends early reads as zeros: every
 * input means something.
 */
#ifndef HOLO_TESTS_FUZZ_FUZZ_H
#define HOLO_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Input i of the corpus to start from, at most cap bytes. Returns its length, 0 if there is no such one. */
size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap);

/* What must hold for every input. Not assert(): it may not vanish. */
#define FUZZ_CHECK(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: %s: does not hold: %s\n", __FILE__, __LINE__, __func__, #cond); \
            abort(); \
        } \
    } while (0)

static const uint8_t fuzz_uuid[16] = { 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f };

struct fuzz_in {
    const uint8_t *p;
    size_t left;
};

/* Copy the next n bytes; what the input lacks becomes zeros. Returns how many it had. */
static inline size_t in_bytes(struct fuzz_in *in, void *out, size_t n)
{
    size_t now = in->left < n ? in->left : n;
    if (now)
        memcpy(out, in->p, now);
    if (n > now)
        memset((uint8_t *)out + now, 0, n - now);
    in->p += now;
    in->left -= now;
    return now;
}

static inline uint8_t in_u8(struct fuzz_in *in)
{
    uint8_t v;
    in_bytes(in, &v, 1);
    return v;
}

static inline uint32_t in_u16(struct fuzz_in *in)
{
    uint8_t v[2];
    in_bytes(in, v, sizeof(v));
    return (uint32_t)v[0] | (uint32_t)v[1] << 8;
}

static inline uint32_t in_u32(struct fuzz_in *in)
{
    uint32_t low = in_u16(in);
    return low | in_u16(in) << 16;
}

static inline uint64_t in_u64(struct fuzz_in *in)
{
    uint64_t low = in_u32(in);
    return low | (uint64_t)in_u32(in) << 32;
}

/* A value from 0 to below n (n > 0). */
static inline uint32_t in_below(struct fuzz_in *in, uint32_t n)
{
    return in_u16(in) % n;
}

/* A copy that ends where its bytes end, so that a sanitizer sees a read behind them. */
static inline uint8_t *fuzz_exact(const uint8_t *p, size_t len)
{
    uint8_t *q = malloc(len ? len : 1);
    FUZZ_CHECK(q);
    if (len)
        memcpy(q, p, len);
    return q;
}

/* Bytes that follow from a seed. */
static inline void fuzz_fill(uint64_t seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t v = seed ^ seed >> 29;
        memcpy(out + i, &v, len - i < 8 ? len - i : 8);
    }
}

#endif
