/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sum_avx2.c: XXH3 again, compiled for AVX2: 42 GB/s of 4 KiB blocks in cache instead of 21, 30 from memory instead of 20.
 *
 * gcc 12 leaves the upper halves of the registers in use here; then the next SSE instruction of the caller costs 130 ns.
 */
#ifdef __x86_64__
#include <immintrin.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/sum_avx2.h"

uint64_t sum64_avx2(const void *data, size_t len, uint64_t seed)
{
    uint64_t sum = XXH3_64bits_withSeed(data, len, seed);
    _mm256_zeroupper();
    return sum;
}

void sum128_avx2(const void *data, size_t len, uint64_t seed, uint64_t low_high[2])
{
    XXH128_hash_t h = XXH3_128bits_withSeed(data, len, seed);
    low_high[0] = h.low64;
    low_high[1] = h.high64;
    _mm256_zeroupper();
}
#endif
