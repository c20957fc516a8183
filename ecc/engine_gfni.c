/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine_gfni.c: AVX-512 with GFNI. One vgf2p8affineqb multiplies 64 bytes by a constant (gf2p8mulb is made for another
 * polynomial, 0x11b); all accumulators stay in registers, two vectors for each row.
 */
#ifdef __x86_64__
#include <immintrin.h>

#include "ecc/field.h"
#include "ecc/sweep.h"

#define INLINE static inline __attribute__((always_inline))

enum { VECTOR = 64, ROWS = 12 /* two vectors each: 24 accumulators, 4 inputs, 2 matrices, 2 products: all 32 registers */ };

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

/* Where a kernel works: columns off … off + 64·W, rows first … first + R of all. matrix[c·all + r] belongs to member c and row r. */
struct spot {
    size_t off;
    unsigned first, all;
    const uint64_t *matrix;
};

/*
 * Add the N members from c on to acc: R rows, W vectors each. Two at a time when possible, because one vpternlogq adds both
 * products (in cache at 64 + 6: 31 → 35 GB/s, at 64 + 20: 8 → 11).
 */
INLINE void add_members(const struct sweep *s, const struct spot *at, unsigned c, unsigned N, __m512i *acc, unsigned R, unsigned W)
{
    __m512i in[2 * 2];
    SWEEP_UNROLL for (unsigned i = 0; i < N * W; i++)
        in[i] = _mm512_loadu_si512(s->src[c + i / W] + at->off + i % W * VECTOR);
    const uint64_t *matrix = at->matrix + c * at->all + at->first;
    SWEEP_UNROLL for (unsigned r = 0; r < R; r++) {
        __m512i first = all_lanes(matrix[r]), second = N == 2 ? all_lanes(matrix[at->all + r]) : first;
        SWEEP_UNROLL for (unsigned w = 0; w < W; w++) {
            __m512i *sum = &acc[r * W + w], product = _mm512_gf2p8affine_epi64_epi8(in[w], first, 0);
            if (N == 2)
                *sum = _mm512_ternarylogic_epi64(*sum, product, _mm512_gf2p8affine_epi64_epi8(in[W + w], second, 0), 0x96);
            else
                *sum = _mm512_xor_si512(*sum, product);
        }
    }
}

/* All members: a constant number of them, or (N = 0) as many as there are. */
INLINE void add_columns(const struct sweep *s, const struct spot *at, unsigned N, unsigned R, unsigned W)
{
    __m512i acc[2 * ROWS];
    uint8_t *const *dst = s->dst + at->first;
    SWEEP_UNROLL for (unsigned i = 0; i < R * W; i++)
        acc[i] = s->add ? _mm512_loadu_si512(dst[i / W] + at->off + i % W * VECTOR) : _mm512_setzero_si512();
    SWEEP_UNROLL for (unsigned c = 0; c < N; c += 2)
        add_members(s, at, c, 2, acc, R, W);
    for (unsigned c = 0; N == 0 && c < s->members; c += 2) {
        if (c + 1 < s->members)
            add_members(s, at, c, 2, acc, R, W);
        else
            add_members(s, at, c, 1, acc, R, W);
    }
    SWEEP_UNROLL for (unsigned i = 0; i < R * W; i++)
        _mm512_storeu_si512(dst[i / W] + at->off + i % W * VECTOR, acc[i]);
}

INLINE void fetch_ahead(const struct sweep *s, size_t off, unsigned W)
{
    const char *p = (const char *)sweep_ahead(s, off);
    SWEEP_UNROLL for (unsigned i = 0; i < SWEEP_AHEAD_RATE * W; i++)
        _mm_prefetch(p + i * VECTOR, _MM_HINT_T1);
}

/* All R rows of columns off … off + 64·W, in two goes where there are not registers enough for one. */
INLINE void add_rows(const struct sweep *s, const uint64_t *matrix, size_t off, unsigned N, unsigned R, unsigned W)
{
    unsigned go = R <= ROWS ? R : R / 2;
    struct spot at = { .off = off, .first = 0, .all = R, .matrix = matrix };
    fetch_ahead(s, off, W);
    add_columns(s, &at, N, go, W);
    at.first = go;
    if (go < R)
        add_columns(s, &at, N, R - go, W);
}

INLINE void sweep_rows(const struct sweep *s, const uint64_t *matrix, unsigned N, unsigned R)
{
    size_t off = s->begin;
    for (; s->end - off >= 2 * VECTOR; off += 2 * VECTOR)
        add_rows(s, matrix, off, N, R, 2);
    if (off < s->end)
        add_rows(s, matrix, off, N, R, 1);
}

/* One kernel for each number of rows: constants make the accumulators registers. A full sweep is worth one of its own. */
#define KERNEL(R) \
    static void sweep_##R(const struct sweep *s, const uint64_t *matrix) \
    { \
        if (s->members == SWEEP_MEMBERS) \
            sweep_rows(s, matrix, SWEEP_MEMBERS, R); \
        else \
            sweep_rows(s, matrix, 0, R); \
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
            matrix[c * s->rows + r] = field_matrix[s->coef[c][r * s->stride]];
    }
    kernel[s->rows](s, matrix);
}

SWEEP_ENGINE(gfni, gfni_sweep, ecc_cpu_gfni);
#endif
