/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sum.c: XXH3-64, compiled inline with the widest instructions the function's target allows. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/sum.h"
#include "base/bytes.h"

uint64_t sum64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
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
