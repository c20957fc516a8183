/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep.h: what the CPU engines share, for the files of ecc/ only.
 *
 * Everything an engine does is one thing: outputs = matrix · blocks. An engine brings a sweep: the step that adds up to
 * SWEEP_MEMBERS blocks, over a piece of at most SWEEP_PIECE bytes of each, into all outputs. The rest is here.
 *
 * In a container the members lie a multiple of the page size apart: the same column of 64 of them falls into one set of
 * an 8-way first-level cache, and 64 streams are more than the prefetcher follows. So while a sweep works, it fetches what
 * the next one needs, column by column, into the second level: that is far enough ahead, and the place for it, two
 * pieces of 64 members, is there. Measured at 64 + 6 from DRAM in that layout (AVX-512, one core that reads memory at
 * 27 GB/s): no prefetch 7, prefetch of the next 256 … 2048 bytes into the first level 14, sixteen members at a time 17, as
 * it is 24; pieces of 512 bytes 19, of 1 … 4 KiB the same, of 8 KiB 17. Rejected: Horner over the waves and a final m × m
 * matrix (as much work a member, m² more a column, and not faster).
 */
#ifndef HOLO_ECC_SWEEP_H
#define HOLO_ECC_SWEEP_H

#include "ecc/ecc.h"

enum { SWEEP_MEMBERS = 80, SWEEP_PIECE = 2048 };

struct sweep {
    const uint8_t *coef;        /* of row r and member c: coef[r·stride + c] */
    size_t stride;
    unsigned rows, members;
    const uint8_t *const *src;  /* members pointers, NULL = zeros */
    uint8_t *const *dst;        /* rows pointers */
    size_t begin, end;          /* bytes of src and dst */
    bool add;                   /* to what dst holds; otherwise dst is overwritten */
    const uint8_t *const *next; /* members pointers: needed soon, from byte next_begin on */
    size_t next_begin;
};

typedef void sweep_fn(const struct sweep *s);

/* The operations of struct ecc_engine, made of sweeps. */
void sweep_apply(sweep_fn *fn, const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst,
                 size_t len);
void sweep_encode(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len);
void sweep_syndrome(sweep_fn *fn, const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len);
int sweep_containers(sweep_fn *fn, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                     unsigned n);

/* Defines the engine ecc_engine_NAME from its sweep. */
#define SWEEP_ENGINE(NAME, FN, SUPPORTED) \
    static void NAME##_apply(const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst, \
                             size_t len) \
    { \
        sweep_apply(FN, coef, rows, cols, src, dst, len); \
    } \
    static void NAME##_encode(const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len) \
    { \
        sweep_encode(FN, code, data, parity, len); \
    } \
    static void NAME##_syndrome(const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len) \
    { \
        sweep_syndrome(FN, code, blocks, syn, len); \
    } \
    static int NAME##_containers(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, \
                                 unsigned n) \
    { \
        return sweep_containers(FN, work, code, block_size, c, n); \
    } \
    const struct ecc_engine ecc_engine_##NAME = { \
        .name = #NAME, \
        .supported = SUPPORTED, \
        .encode = NAME##_encode, \
        .syndrome = NAME##_syndrome, \
        .apply = NAME##_apply, \
        .containers = NAME##_containers, \
    }

/* The vector engines need constant loops unrolled, or their accumulators live in memory. */
#ifdef __clang__
#define SWEEP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SWEEP_UNROLL _Pragma("GCC unroll 32")
#endif

/* Engines compiled in, and what they need of the machine (engines.c: compiled for every machine). */
extern const struct ecc_engine ecc_engine_scalar, ecc_engine_avx2, ecc_engine_gfni;
bool ecc_cpu_any(void);
bool ecc_cpu_avx2(void);
bool ecc_cpu_gfni(void);

#endif
