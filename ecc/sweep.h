/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep.h: what the CPU engines share, for the files of ecc/ only.
 *
 * Everything an engine does is one thing: outputs = matrix · blocks. An engine brings a sweep: the step that adds up to
 * SWEEP_MEMBERS blocks, over a piece of at most SWEEP_PIECE bytes of each, into all outputs. The rest is here.
 *
 * What bounds it is how the blocks come from memory. Processors fetch ahead by themselves along a few streams and never
 * across the end of a page, so a sweep reads few members, a page of each, one page after the other; what it cannot know,
 * the beginnings of the pages after these, it is told to fetch (into the second level: in a container the same columns of
 * all members fall into few sets of the first). The sums wait in the outputs meanwhile, which stay in cache.
 * Measured at 64 + 6, GFNI, members 257 pages apart, one core that reads 16 GB/s from memory; GB/s from memory / from cache:
 *   all 64 members at a time, pieces of 2 KiB: nothing fetched 4.9 / 36, the same columns of the next piece 7.1 / 36, its
 *   lines one after the other 9.8 / 36;
 *   32, 16, 8, 4 members, pages, nothing fetched: 5.2, 11.1, 12.4, 11.4 / 37; pieces of 2 KiB of 8 members 9.2;
 *   8 members, pages, with the first 256, 512, 1024, 2048, 4096 bytes of the next pages: 12.7, 13.4, 13.6, 12.8, 11.7 / 37.
 * Rejected: sums in memory of their own instead of the outputs (the same), outputs stored past the caches (7 % faster, but
 * who asked reads them next), Horner over the waves and a final m × m matrix (as much work a member, m² more a column).
 */
#ifndef HOLO_ECC_SWEEP_H
#define HOLO_ECC_SWEEP_H

#include "ecc/ecc.h"

enum { SWEEP_MEMBERS = 8, SWEEP_PIECE = 4096, SWEEP_AHEAD = 1024 };

struct sweep {
    const uint8_t *src[SWEEP_MEMBERS];  /* none is NULL */
    const uint8_t *coef[SWEEP_MEMBERS]; /* of row r and member c: coef[c][r·stride] */
    size_t stride;
    unsigned rows, members;
    uint8_t *const *dst;                 /* rows pointers */
    size_t begin, end;                   /* bytes of src and dst */
    bool add;                            /* to what dst holds; otherwise dst is overwritten */
    const uint8_t *next[SWEEP_MEMBERS]; /* SWEEP_AHEAD bytes at each will be read soon */
};

typedef void sweep_fn(const struct sweep *s);

/*
 * While byte off of the members is worked on: where to fetch SWEEP_AHEAD_RATE bytes for each byte of one member. One block after the
 * other, evenly spread over a full piece.
 */
enum { SWEEP_AHEAD_RATE = SWEEP_MEMBERS * SWEEP_AHEAD / SWEEP_PIECE };
static inline const uint8_t *sweep_ahead(const struct sweep *s, size_t off)
{
    size_t at = (off - s->begin) * SWEEP_AHEAD_RATE;
    return s->next[at / SWEEP_AHEAD] + at % SWEEP_AHEAD;
}

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
