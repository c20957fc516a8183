/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sum.c: XXH3, compiled inline; whole blocks go to the wider instructions where the machine has them. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/sum.h"
#include "base/sum_avx2.h"

/* What is shorter gains nothing. */
enum { WIDE_FROM = 512 };

uint64_t sum64(const void *data, size_t len, uint64_t seed)
{
#ifdef __x86_64__
    if (len >= WIDE_FROM && __builtin_cpu_supports("avx2"))
        return sum64_avx2(data, len, seed);
#endif
    return XXH3_64bits_withSeed(data, len, seed);
}

void sum128(const void *data, size_t len, uint64_t seed, uint8_t out[16])
{
    uint64_t low_high[2];
#ifdef __x86_64__
    if (len >= WIDE_FROM && __builtin_cpu_supports("avx2")) {
        sum128_avx2(data, len, seed, low_high);
    } else
#endif
    {
        XXH128_hash_t h = XXH3_128bits_withSeed(data, len, seed);
        low_high[0] = h.low64;
        low_high[1] = h.high64;
    }
    le64_put(out, low_high[0]);
    le64_put(out + 8, low_high[1]);
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t sum_seed(const uint8_t uuid[16], uint64_t id, uint64_t position)
{
    return mix(mix(mix(le64_get(uuid)) ^ le64_get(uuid + 8) ^ id) ^ position);
}
