/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine_gfni.c: AVX-512 with GFNI. One vgf2p8affineqb multiplies 64 bytes by a constant (gf2p8mulb is made for another
 * polynomial, 0x11b); all accumulators stay in registers, two vectors for each row while they fit.
 */
#ifdef __x86_64__
#include <immintrin.h>

#include "ecc/field.h"
#include "ecc/sweep.h"

#define INLINE static inline __attribute__((always_inline))

enum { VECTOR = 64, ROWS_TWICE = 12 /* 24 accumulators, 4 inputs, 2 matrices, 2 products: all 32 registers */ };

/*
 * clang before 20 writes a wrong displacement when it folds the load of a matrix into vgf2p8affineqb (LLVM pull request
 * 120340), so the matrix is made a register that it may not look into.
 */
INLINE __m512i all_lanes(uint64_t matrix)
{
    __m512i v = _mm512_set1_epi64((long long)matrix);
#if defined(__clang__) && __clang_major__ < 20
    __asm__("" : "+v"(v));
#endif
    return v;
}

/*
 * Add the N members from c on to acc: R rows, W vectors each. Two at a time when possible, because one vpternlogq adds both
 * products (in cache at 64 + 6: 31 → 35 GB/s, at 64 + 20: 8 → 11). matrix[c·R + r] belongs to member c and row r.
 */
INLINE void add_members(const struct sweep *s, unsigned c, unsigned N, const uint64_t *matrix, size_t off, __m512i *acc, unsigned R,
                        unsigned W)
{
    __m512i in[2 * 2];
    SWEEP_UNROLL for (unsigned i = 0; i < N * W; i++)
        in[i] = _mm512_loadu_si512(s->src[c + i / W] + off + i % W * VECTOR);
    matrix += c * R;
    SWEEP_UNROLL for (unsigned r = 0; r < R; r++) {
        __m512i first = all_lanes(matrix[r]), second = N == 2 ? all_lanes(matrix[R + r]) : first;
        SWEEP_UNROLL for (unsigned w = 0; w < W; w++) {
            __m512i *sum = &acc[r * W + w], product = _mm512_gf2p8affine_epi64_epi8(in[w], first, 0);
            if (N == 2)
                *sum = _mm512_ternarylogic_epi64(*sum, product, _mm512_gf2p8affine_epi64_epi8(in[W + w], second, 0), 0x96);
            else
                *sum = _mm512_xor_si512(*sum, product);
        }
    }
}

INLINE void fetch_next(const struct sweep *s, unsigned c, size_t off, unsigned W)
{
    uintptr_t p = (uintptr_t)s->next[c] + s->next_begin + (off - s->begin);
    SWEEP_UNROLL for (unsigned w = 0; w < W; w++)
        _mm_prefetch((const char *)(p + w * VECTOR), _MM_HINT_T1);
}

/* Columns off … off + 64·W of the sweep. matrix[c·R + r] belongs to member c and row r. */
INLINE void add_columns(const struct sweep *s, const uint64_t *matrix, size_t off, unsigned R, unsigned W)
{
    __m512i acc[2 * ROWS_TWICE];
    SWEEP_UNROLL for (unsigned i = 0; i < R * W; i++)
        acc[i] = s->add ? _mm512_loadu_si512(s->dst[i / W] + off + i % W * VECTOR) : _mm512_setzero_si512();
    for (unsigned c = 0; c < s->members; c++) {
        fetch_next(s, c, off, W);
        if (c + 1 < s->members && s->src[c] && s->src[c + 1]) {
            add_members(s, c, 2, matrix, off, acc, R, W);
            fetch_next(s, ++c, off, W);
        } else if (s->src[c]) {
            add_members(s, c, 1, matrix, off, acc, R, W);
        }
    }
    SWEEP_UNROLL for (unsigned i = 0; i < R * W; i++)
        _mm512_storeu_si512(s->dst[i / W] + off + i % W * VECTOR, acc[i]);
}

INLINE void sweep_rows(const struct sweep *s, const uint64_t *matrix, unsigned R, unsigned W)
{
    size_t off = s->begin;
    for (; s->end - off >= W * VECTOR; off += W * VECTOR)
        add_columns(s, matrix, off, R, W);
    if (off < s->end)
        add_columns(s, matrix, off, R, 1);
}

/* One kernel for each number of rows: constants make the accumulators registers. */
#define KERNEL(R) \
    static void sweep_##R(const struct sweep *s, const uint64_t *matrix) \
    { \
        sweep_rows(s, matrix, R, R <= ROWS_TWICE ? 2 : 1); \
    }

KERNEL(1) KERNEL(2) KERNEL(3) KERNEL(4) KERNEL(5) KERNEL(6) KERNEL(7) KERNEL(8) KERNEL(9) KERNEL(10)
KERNEL(11) KERNEL(12) KERNEL(13) KERNEL(14) KERNEL(15) KERNEL(16) KERNEL(17) KERNEL(18) KERNEL(19) KERNEL(20)

static void gfni_sweep(const struct sweep *s)
{
    static void (*const kernel[ECC_M_MAX + 1])(const struct sweep *, const uint64_t *) = {
        NULL,     sweep_1,  sweep_2,  sweep_3,  sweep_4,  sweep_5,  sweep_6,  sweep_7,  sweep_8,  sweep_9,  sweep_10,
        sweep_11, sweep_12, sweep_13, sweep_14, sweep_15, sweep_16, sweep_17, sweep_18, sweep_19, sweep_20,
    };
    uint64_t matrix[SWEEP_MEMBERS * ECC_M_MAX];
    for (unsigned c = 0; c < s->members; c++) {
        for (unsigned r = 0; r < s->rows; r++)
            matrix[c * s->rows + r] = field_matrix[s->coef[r * s->stride + c]];
    }
    kernel[s->rows](s, matrix);
}

SWEEP_ENGINE(gfni, gfni_sweep, ecc_cpu_gfni);
#endif
