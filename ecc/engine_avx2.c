/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine_avx2.c: two byte shuffles multiply 32 bytes by a constant: they look the halves of each byte up in 16 entries
 * each (Plank, Greenan, Miller, «Screaming fast Galois field arithmetic using Intel SIMD instructions», FAST 2013).
 */
#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#include "ecc/field.h"
#include "ecc/sweep.h"

#define INLINE static inline __attribute__((always_inline))

/* Two vectors of four rows: 8 accumulators, 4 halves, 2 tables, 1 mask, 1 temporary of 16 registers. */
enum { VECTOR = 32, ROWS = 4, WIDE = 2 };

/* Add member c to acc: R rows. halves[c·R + r] belongs to member c and row r. */
INLINE void add_member(const uint8_t *src, const __m128i (*halves)[2], __m256i *acc, unsigned R)
{
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i low[WIDE], high[WIDE];
    SWEEP_UNROLL for (unsigned w = 0; w < WIDE; w++) {
        __m256i in = _mm256_loadu_si256((const __m256i *)(src + w * VECTOR));
        low[w] = _mm256_and_si256(in, mask);
        high[w] = _mm256_and_si256(_mm256_srli_epi64(in, 4), mask);
    }
    SWEEP_UNROLL for (unsigned r = 0; r < R; r++) {
        __m256i of_low = _mm256_broadcastsi128_si256(halves[r][0]), of_high = _mm256_broadcastsi128_si256(halves[r][1]);
        SWEEP_UNROLL for (unsigned w = 0; w < WIDE; w++) {
            __m256i sum = _mm256_xor_si256(_mm256_shuffle_epi8(of_low, low[w]), _mm256_shuffle_epi8(of_high, high[w]));
            acc[r * WIDE + w] = _mm256_xor_si256(acc[r * WIDE + w], sum);
        }
    }
}

/* Columns off … off + 64 of the sweep, for the rows from row on. */
INLINE void add_columns(const struct sweep *s, const __m128i (*halves)[2], unsigned row, size_t off, unsigned R)
{
    __m256i acc[ROWS * WIDE];
    SWEEP_UNROLL for (unsigned i = 0; i < R * WIDE; i++) {
        const uint8_t *dst = s->dst[row + i / WIDE] + off + i % WIDE * VECTOR;
        acc[i] = s->add ? _mm256_loadu_si256((const __m256i *)dst) : _mm256_setzero_si256();
    }
    for (unsigned c = 0; c < s->members; c++) {
        add_member(s->src[c] + off, halves + c * R, acc, R);
    }
    SWEEP_UNROLL for (unsigned i = 0; i < R * WIDE; i++)
        _mm256_storeu_si256((__m256i *)(s->dst[row + i / WIDE] + off + i % WIDE * VECTOR), acc[i]);
}

INLINE void fetch_ahead(const struct sweep *s, size_t off)
{
    const char *p = (const char *)sweep_ahead(s, off);
    SWEEP_UNROLL for (unsigned i = 0; i < SWEEP_AHEAD_RATE; i++)
        _mm_prefetch(p + i * WIDE * VECTOR, _MM_HINT_T1);
}

INLINE void sweep_rows(const struct sweep *s, unsigned row, unsigned R)
{
    __m128i halves[SWEEP_MEMBERS * ROWS][2];
    for (unsigned c = 0; c < s->members; c++) {
        for (unsigned r = 0; r < R; r++)
            memcpy(halves[c * R + r], field_halves[s->coef[c][(row + r) * s->stride]], sizeof(halves[0]));
    }
    for (size_t off = s->begin; off < s->end; off += WIDE * VECTOR) {
        if (row == 0)
            fetch_ahead(s, off);
        add_columns(s, halves, row, off, R);
    }
}

/* As few goes as possible, of nearly the same number of rows. */
static void avx2_sweep(const struct sweep *s)
{
    unsigned goes = (s->rows + ROWS - 1) / ROWS;
    for (unsigned row = 0, rows; row < s->rows; row += rows, goes--) {
        rows = (s->rows - row) / goes;
        switch (rows) {
        case 1:
            sweep_rows(s, row, 1);
            break;
        case 2:
            sweep_rows(s, row, 2);
            break;
        case 3:
            sweep_rows(s, row, 3);
            break;
        case 4:
            sweep_rows(s, row, 4);
            break;
        }
    }
}

SWEEP_ENGINE(avx2, avx2_sweep, ecc_cpu_avx2);
#endif
