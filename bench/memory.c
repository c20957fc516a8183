/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.c: pages for the benches, and the reader that measures bandwidth. */
#include "bench/memory.h"

#include <string.h>
#include <sys/mman.h>

enum { STREAMS = 4, STREAM = 4096, AHEAD = 2048 };

uint8_t *memory_alloc(size_t len, bool huge)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(p, 0, len);
    return p;
}

void memory_free(uint8_t *p, size_t len)
{
    if (p)
        munmap(p, len);
}

#ifdef __x86_64__
#include <immintrin.h>

#define READ(NAME, TARGET, VECTOR, LOAD, XOR, ZERO) \
    __attribute__((target(TARGET))) static uint64_t NAME(const uint8_t *p, size_t len) \
    { \
        VECTOR sum[STREAMS] = { ZERO, ZERO, ZERO, ZERO }; \
        for (const uint8_t *end = p + len; p < end; p += STREAMS * STREAM) { \
            for (size_t off = 0; off < STREAM; off += 64) { \
                for (unsigned s = 0; s < STREAMS; s++) { \
                    const uint8_t *at = p + s * STREAM + off; \
                    _mm_prefetch((const char *)(at + (off < STREAM - AHEAD ? AHEAD : STREAMS * STREAM - STREAM + AHEAD)), _MM_HINT_T0); \
                    for (size_t i = 0; i < 64; i += sizeof(VECTOR)) \
                        sum[s] = XOR(sum[s], LOAD((const void *)(at + i))); \
                } \
            } \
        } \
        uint64_t words[STREAMS * sizeof(VECTOR) / 8], all = 0; \
        memcpy(words, sum, sizeof(words)); \
        for (unsigned i = 0; i < sizeof(words) / 8; i++) \
            all ^= words[i]; \
        return all; \
    }

READ(read_avx512, "avx512f", __m512i, _mm512_loadu_si512, _mm512_xor_si512, _mm512_setzero_si512())
READ(read_avx2, "avx2", __m256i, _mm256_loadu_si256, _mm256_xor_si256, _mm256_setzero_si256())
READ(read_sse2, "sse2", __m128i, _mm_loadu_si128, _mm_xor_si128, _mm_setzero_si128())

uint64_t memory_read(const uint8_t *p, size_t len)
{
    if (__builtin_cpu_supports("avx512f"))
        return read_avx512(p, len);
    return __builtin_cpu_supports("avx2") ? read_avx2(p, len) : read_sse2(p, len);
}
#else
uint64_t memory_read(const uint8_t *p, size_t len)
{
    uint64_t all = 0, word;
    for (size_t i = 0; i < len; i += 8) {
        memcpy(&word, p + i, 8);
        all ^= word;
    }
    return all;
}
#endif
