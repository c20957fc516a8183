/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernel.h: what one GPU thread does, in plain C: compiled by nvcc into the kernels and by any compiler for the tests, which
 * run it for every thread of a grid and compare with the scalar engine.
 *
 * A thread takes 32 columns (bytes) of a stripe as eight words of every member and turns them into bit planes: bit b of all
 * 32 bytes is one word. On planes, multiplication by a constant is a few exclusive ors (programs.h). The waves come from
 * Horner's rule over the members, one accumulator of eight planes for each frequency f = 0 … m−1:
 *
 *   syndrome  members n−1 … 0:  acc_f = acc_f·α^f + c_i       ends as S_f = Σ c_i·α^(if)
 *   encode    members 0 … k−1:  acc_f = acc_f·α^−f + c_i      once more ·α^−f, T_f = Σ c_i·α^((i−k)f): waves as seen from member k
 *
 * Parity has to make the waves vanish: Σ_r p_r·α^(rf) = T_f. That is a Vandermonde system which depends on m alone, not on k, so
 * it is solved with constants as well (gpu_solve). Seeds: see job.h.
 */
#ifndef HOLO_CUDA_KERNEL_H
#define HOLO_CUDA_KERNEL_H

#include <stdbool.h>
#include <string.h>

#include "cuda/job.h"

#ifdef __CUDACC__
#define GPU_FN static __device__ __forceinline__
#define GPU_CONSTEXPR static constexpr __device__
#define GPU_UNROLL _Pragma("unroll")
#define GPU_ROLLED _Pragma("unroll 1")
#else
#define GPU_FN static inline
#define GPU_CONSTEXPR static inline
#define GPU_UNROLL
#define GPU_ROLLED
#endif

/* ---- the field, for constants ---- */

GPU_CONSTEXPR uint8_t gpu_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned v = a, bits = b; bits; bits >>= 1) {
        product ^= bits & 1 ? v : 0;
        v = v << 1 ^ (v & 0x80 ? 0x11d : 0);
    }
    return (uint8_t)product;
}

/* α^e */
GPU_CONSTEXPR uint8_t gpu_alpha(unsigned e)
{
    uint8_t v = 1;
    for (unsigned i = 0; i < e; i++)
        v = gpu_mul(v, 2);
    return v;
}

/* 1/v, v ≠ 0: v^254 */
GPU_CONSTEXPR uint8_t gpu_inverse(uint8_t v)
{
    uint8_t square = v, product = 1;
    for (unsigned i = 0; i < 7; i++) {
        square = gpu_mul(square, square);
        product = gpu_mul(product, square);
    }
    return product;
}

struct gpu_diagonal {
    uint8_t v[GPU_M_MAX];
};

/* 1 / Π_{j<i} (α^i + α^j) for i < m: what gpu_solve() divides by. */
GPU_CONSTEXPR struct gpu_diagonal gpu_diagonal_of(unsigned m)
{
    struct gpu_diagonal d = { { 0 } };
    for (unsigned i = 0; i < m; i++) {
        uint8_t product = 1;
        for (unsigned j = 0; j < i; j++)
            product = gpu_mul(product, (uint8_t)(gpu_alpha(i) ^ gpu_alpha(j)));
        d.v[i] = gpu_inverse(product);
    }
    return d;
}

/* ---- words and planes ---- */

/* Bit b of 32 bytes is b[b]. The same 32 bytes as words, before and after: which byte is which bit does not matter in between. */
struct gpu_planes {
    uint32_t b[8];
};


/* LOP3 takes its function as a table of results; the function applied to these three is that table. */
enum { LUT_A = 0xf0, LUT_B = 0xcc, LUT_C = 0xaa };

GPU_FN uint32_t gpu_xor3(uint32_t a, uint32_t b, uint32_t c)
{
#ifdef __CUDA_ARCH__
    uint32_t d;
    asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(a), "r"(b), "r"(c), "n"(LUT_A ^ LUT_B ^ LUT_C));
    return d;
#else
    return a ^ b ^ c;
#endif
}

/* The bits of a where mask is 1, those of b where it is 0. The compiler makes two operations of the formula, it is one. */
GPU_FN uint32_t gpu_pick(uint32_t a, uint32_t b, uint32_t mask)
{
#ifdef __CUDA_ARCH__
    uint32_t d;
    asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(a), "r"(b), "r"(mask), "n"((LUT_A & LUT_C) | (LUT_B & ~LUT_C & 0xff)));
    return d;
#else
    return (a & mask) | (b & ~mask);
#endif
}

/* The upper bits of each group of *a against the lower ones of *b. */
GPU_FN void gpu_exchange(uint32_t *a, uint32_t *b, unsigned shift, uint32_t lower)
{
    uint32_t x = *a, y = *b;
    *a = gpu_pick(x, y << shift, lower);
    *b = gpu_pick(x >> shift, y, lower);
}

/* Words to planes and planes to words: four 8×8 bit matrices are transposed, one in each byte lane. Its own inverse. */
GPU_FN struct gpu_planes gpu_transpose(struct gpu_planes x)
{
    GPU_UNROLL for (unsigned i = 0; i < 4; i++)
        gpu_exchange(&x.b[i], &x.b[i + 4], 4, 0x0f0f0f0fu);
    GPU_UNROLL for (unsigned i = 0; i < 4; i++)
        gpu_exchange(&x.b[i / 2 * 4 + i % 2], &x.b[i / 2 * 4 + i % 2 + 2], 2, 0x33333333u);
    GPU_UNROLL for (unsigned i = 0; i < 4; i++)
        gpu_exchange(&x.b[2 * i], &x.b[2 * i + 1], 1, 0x55555555u);
    return x;
}

GPU_FN struct gpu_planes gpu_zero(void)
{
    struct gpu_planes x = { { 0, 0, 0, 0, 0, 0, 0, 0 } };
    return x;
}

/* A thread's 32 bytes are 16 at p and 16 at p + 32, so that two neighbours together read whole sectors of 32. */
GPU_FN struct gpu_planes gpu_load(const uint8_t *p)
{
    struct gpu_planes x;
#ifdef __CUDA_ARCH__
    const uint4 v = __ldg((const uint4 *)p), w = __ldg((const uint4 *)(p + 32));
    x.b[0] = v.x, x.b[1] = v.y, x.b[2] = v.z, x.b[3] = v.w, x.b[4] = w.x, x.b[5] = w.y, x.b[6] = w.z, x.b[7] = w.w;
#else
    memcpy(x.b, p, 16);
    memcpy(x.b + 4, p + 32, 16);
#endif
    return x;
}

GPU_FN void gpu_store(uint8_t *p, struct gpu_planes x)
{
#ifdef __CUDA_ARCH__
    *(uint4 *)p = make_uint4(x.b[0], x.b[1], x.b[2], x.b[3]);
    *(uint4 *)(p + 32) = make_uint4(x.b[4], x.b[5], x.b[6], x.b[7]);
#else
    memcpy(p, x.b, 16);
    memcpy(p + 32, x.b + 4, 16);
#endif
}

#include "cuda/programs.h"

/* x·coef. Every term is behind a mask that is the same for all threads; where the compiler knows coef, half of the terms vanish. */
GPU_FN struct gpu_planes gpu_times(struct gpu_planes x, uint32_t coef)
{
    struct gpu_planes y = gpu_zero();
    GPU_UNROLL for (unsigned a = 0; a < 8; a++) {
        GPU_UNROLL for (unsigned b = 0; b < 8; b++)
            y.b[b] ^= x.b[a] & (0u - (coef >> b & 1));
        coef = coef << 1 ^ (coef >> 7) * 0x11d;
    }
    return y;
}

/*
 * Solve Σ_r p_r·α^(rf) = t_f for f < m, in place: t becomes p. The matrix V = (α^(rf)) is symmetric. Let A be the steps of Newton's
 * interpolation, t_i += α^k·t_{i−1}: then A·V is upper triangular with the diagonal d_i = Π_{j<i} (α^i + α^j), so A·V·A' is upper
 * triangular and symmetric, that is diagonal, and the inverse of V is A'·(1/d)·A. The first part is that of Björck and Pereyra,
 * «Solution of Vandermonde systems of equations», Mathematics of Computation 24, 1970.
 */
GPU_FN void gpu_solve(struct gpu_planes t[GPU_M_MAX], unsigned m, const uint8_t *diagonal)
{
/* Spelled out for each k: an unroller that meets 380 products with a power it does not know yet gives up. */
#define DOWN(k) \
    GPU_UNROLL for (unsigned i = m - 1; i > (k); i--) \
        t[i] = gpu_times_alpha(t[i - 1], k, t[i]);
#define UP(k) \
    GPU_UNROLL for (unsigned i = (k) + 1; i < m; i++) \
        t[i - 1] = gpu_times_alpha(t[i], k, t[i - 1]);
    DOWN(0) DOWN(1) DOWN(2) DOWN(3) DOWN(4) DOWN(5) DOWN(6) DOWN(7) DOWN(8) DOWN(9)
    DOWN(10) DOWN(11) DOWN(12) DOWN(13) DOWN(14) DOWN(15) DOWN(16) DOWN(17) DOWN(18)
    GPU_UNROLL for (unsigned i = 0; i < m; i++)
        t[i] = gpu_times(t[i], diagonal[i]);
    UP(18) UP(17) UP(16) UP(15) UP(14) UP(13) UP(12) UP(11) UP(10)
    UP(9) UP(8) UP(7) UP(6) UP(5) UP(4) UP(3) UP(2) UP(1) UP(0)
#undef DOWN
#undef UP
}

/* ---- a thread ---- */

/* The columns of one thread: a place within the row of members that lie side by side, of D blocks. */
struct gpu_place {
    uint32_t at, row;  /* bytes: of the row */
    uint32_t stripe;
    uint32_t data;     /* data members of the stripe that are stored */
};

/*
 * The columns of the i-th member that Horner's rule asks for; zeros for one that is not stored. Whether data or parity, the j-th
 * stored member of a stripe lies j rows behind the first.
 */
GPU_FN struct gpu_planes gpu_fetch(const struct gpu_job *job, const uint8_t *stored, const struct gpu_place *at, unsigned i, unsigned m,
                                   int work)
{
    unsigned member = work == GPU_ENCODE ? i : job->k + m - 1 - i;
    bool there = member < at->data || (work == GPU_SYNDROME && member >= job->k);
    uint32_t rows = member < job->k ? member : at->data + (member - job->k);
    return there ? gpu_load(stored + (uint64_t)rows * at->row + at->at) : gpu_zero();
}

/* acc[f] for f < m, from all members. The next member is on its way while one is worked on. */
GPU_FN void gpu_waves(struct gpu_planes acc[GPU_M_MAX], const struct gpu_job *job, const uint8_t *stored, const struct gpu_place *at,
                      unsigned m, int work, bool scaled)
{
    unsigned members = work == GPU_ENCODE ? job->k : job->k + m;
    struct gpu_planes next = gpu_fetch(job, stored, at, 0, m, work);
    GPU_UNROLL for (unsigned f = 0; f < m; f++)
        acc[f] = gpu_zero();
    GPU_ROLLED for (unsigned i = 0; i < members; i++) {
        struct gpu_planes c = next;
        if (i + 1 < members)
            next = gpu_fetch(job, stored, at, i + 1, m, work);
        c = gpu_transpose(c);
        if (scaled)
            c = gpu_times(c, job->scale[work == GPU_ENCODE ? i : members - 1 - i]);
        GPU_UNROLL for (unsigned f = 0; f < m; f++)
            acc[f] = gpu_times_alpha(acc[f], work == GPU_ENCODE ? -(int)f : (int)f, c);
    }
}

/* Parity slot q is stored position used + q: the rows of parity begin where data ends (ecc/layout.c). */
GPU_FN void gpu_put_parity(const struct gpu_job *job, const struct gpu_part *part, const struct gpu_place *at,
                           const struct gpu_planes parity[GPU_M_MAX], unsigned m, bool scaled)
{
    uint32_t rest = part->used % part->D, in_row = at->stripe + (at->stripe < rest ? part->D : 0) - rest;
    uint8_t *out = part->out + (uint64_t)in_row * job->block_size + (at->at - at->stripe * job->block_size);
    GPU_UNROLL for (unsigned r = 0; r < m; r++)
        gpu_store(out + (uint64_t)r * at->row, gpu_transpose(scaled ? gpu_times(parity[r], job->unscale[r]) : parity[r]));
}

GPU_FN void gpu_put_waves(const struct gpu_part *part, const struct gpu_place *at, const struct gpu_planes waves[GPU_M_MAX], unsigned m)
{
    uint32_t any = 0;
    GPU_UNROLL for (unsigned f = 0; f < m; f++) {
        GPU_UNROLL for (unsigned b = 0; b < 8; b++)
            any |= waves[f].b[b];
    }
    if (any && part->dirty)
        part->dirty[at->stripe] = 1; /* several threads may, with the same value */
    if (!part->out)
        return;
    GPU_UNROLL for (unsigned f = 0; f < m; f++)
        gpu_store(part->out + (uint64_t)f * at->row + at->at, gpu_transpose(waves[f]));
}

/*
 * Thread `index` of those of one part: 32 columns of each of its members. m, work and scaled equal the job's; the kernels pass them as
 * constants. @diagonal: gpu_diagonal_of(m).
 */
GPU_FN void gpu_thread(const struct gpu_job *job, uint32_t part_index, uint32_t index, unsigned m, int work, bool scaled,
                       const uint8_t *diagonal)
{
    const struct gpu_part *part = &job->part[part_index];
    struct gpu_planes acc[GPU_M_MAX];
    struct gpu_place at;
    at.row = part->D * job->block_size;
    at.at = index / 2 * 64 + index % 2 * 16;
    if (index >= at.row / GPU_THREAD_COLUMNS)
        return;
    at.stripe = at.at / job->block_size;
    at.data = part->used / part->D + (at.stripe < part->used % part->D);
    gpu_waves(acc, job, part->stored, &at, m, work, scaled);
    if (work == GPU_SYNDROME) {
        gpu_put_waves(part, &at, acc, m);
        return;
    }
    GPU_UNROLL for (unsigned f = 0; f < m; f++)
        acc[f] = gpu_times_alpha(acc[f], -(int)f, gpu_zero());
    gpu_solve(acc, m, diagonal);
    gpu_put_parity(job, part, &at, acc, m, scaled);
}

#endif
