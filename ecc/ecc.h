/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ecc.h: wave parity: Reed–Solomon over GF(2^8) in its spectral form.
 *
 * Field: polynomial 0x11d, generator α = 2. A stripe has n = k + m ≤ 255 blocks c_0 … c_{n-1} of equal
 * length: k data blocks, then m = 2R parity blocks. For every byte column the wave at frequency f is
 * S_f = Σ c_i·α^(i·f). Parity is chosen so that the m waves at the frequencies s, s+1, …, s+m−1 (mod 255)
 * vanish; s = seed_base mod 255. Rows are Vandermonde times a diagonal, so any m columns are invertible for
 * every s: the code is MDS. Blahut, «Algebraic Codes for Data Transmission», 2003, ch. 6 and 7.
 *
 * Engines are bit-identical; the scalar one is the oracle. All functions are thread-safe; a struct ecc_code
 * is immutable after its creation.
 */
#ifndef HOLO_ECC_ECC_H
#define HOLO_ECC_ECC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ECC_R_MIN = 1,
    ECC_R_MAX = 10,
    ECC_M_MAX = 2 * ECC_R_MAX,
    ECC_N_MAX = 255,
    ECC_K_MAX = ECC_N_MAX - ECC_M_MAX,
    ECC_ALIGN = 64, /* lengths are multiples of this; pointers need not be aligned, aligned ones are faster */
};

struct ecc_code; /* one (k, m, seed): its tables */

/* Returns 0, -EINVAL (k, m outside 1 … 255 together, or m odd or above ECC_M_MAX) or -ENOMEM. */
int ecc_code_create(unsigned k, unsigned m, uint32_t seed_base, struct ecc_code **out);
void ecc_code_destroy(struct ecc_code *code);
unsigned ecc_code_k(const struct ecc_code *code);
unsigned ecc_code_m(const struct ecc_code *code);
uint32_t ecc_code_seed(const struct ecc_code *code);

/*
 * The container layout: stored positions 0 … used−1 are data, used … used+m·D−1 parity, without a gap.
 * Stored position x belongs to stripe x mod D; a data position is member x / D of it, a parity position is
 * member k + (x − used) / D. Data members that are not stored are zeros. So any m·D consecutive stored
 * positions hold exactly m blocks of every stripe.
 */
struct ecc_layout {
    uint32_t used;  /* data blocks that are stored, at most k·D */
    uint32_t D;     /* stripes */
};

/* D for containers of nmax data blocks: ceil(nmax / k), made odd. */
uint32_t ecc_layout_stripes(uint32_t nmax, unsigned k);

/* Stripe and member (0 … k+m−1) of stored position x < used + m·D. */
void ecc_layout_locate(const struct ecc_layout *l, unsigned k, uint32_t x, uint32_t *stripe, unsigned *member);

/* Stored position of a member of a stripe; UINT32_MAX for a data member that is not stored (zeros). */
uint32_t ecc_layout_position(const struct ecc_layout *l, unsigned k, uint32_t stripe, unsigned member);

/* Work on whole containers, and what it reads and writes: see struct ecc_container. */
enum ecc_work {
    ECC_ENCODE,   /* parity from data */
    ECC_SYNDROME, /* waves, or only which stripes have one, from data and parity */
};
enum { ECC_WORKS = 2 };

/*
 * One container in the layout above. Blocks outside of what is named are neither read nor written.
 *
 *            | stored                    | out                                                     | dirty
 *   ---------+---------------------------+---------------------------------------------------------+----------------------
 *   ENCODE   | used data blocks          | m·D parity blocks: slot q is stored position used + q   | not looked at
 *   SYNDROME | used data, then m·D parity| m·D blocks: wave s + j of stripe t is block j·D + t, or | D flags: 1 where any
 *            | blocks, without a gap     | NULL: the waves are not wanted                          | wave is not 0, or NULL
 */
struct ecc_container {
    struct ecc_layout layout;
    const uint8_t *stored;
    uint8_t *out;   /* overlaps nothing that is read */
    uint8_t *dirty;
};

/*
 * One implementation. Pointers to inputs may be NULL: a block of zeros. Outputs never overlap inputs.
 * len is in bytes, a multiple of ECC_ALIGN.
 */
struct ecc_engine {
    const char *name;       /* "scalar", "avx2", "gfni", "cuda" */
    bool (*supported)(void); /* does this machine run it? */

    /* parity[0 … m−1] of data[0 … k−1]. */
    void (*encode)(const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len);

    /* syn[j] = wave at frequency s + j of blocks[0 … k+m−1]; all zero for an intact stripe. */
    void (*syndrome)(const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len);

    /* dst[r] = Σ_c coef[r·cols + c]·src[c] for r < rows; any matrix over the field, rows ≤ ECC_M_MAX. */
    void (*apply)(const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst, size_t len);

    /*
     * Work on n whole containers of one code; block_size is a multiple of ECC_ALIGN. Syndromes without `out` need no memory
     * but the flags. Returns 0, or a negative code: a device that failed (outputs then hold anything, and the caller asks
     * another engine); CPU engines never fail.
     */
    int (*containers)(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n);

    /*
     * Make memory reachable for the device without a copy (page-locked, for a GPU), until unpin with the same range. NULL in
     * engines that have no use for it. 0 or a negative code: then the memory is as good as before, only slower.
     */
    int (*pin)(void *p, size_t len);
    void (*unpin)(void *p, size_t len);
};

/* NULL-terminated list of the engines compiled in, slowest first. The CUDA engine is not in it (see cuda/cuda.h). */
const struct ecc_engine *const *ecc_engines(void);

/* By name. NULL if it is not compiled in, or if this machine does not support it. */
const struct ecc_engine *ecc_engine_find(const char *name);

/* One thread, from cache: 10^9 bytes of data a second. */
struct ecc_speed {
    const char *name;
    double encode_gb_s, syndrome_gb_s;
};

struct ecc_calibration {
    const struct ecc_engine *best;
    struct ecc_speed row[8];
    unsigned n, best_row;
};

/* Time every supported engine for about two milliseconds with this code; the best is the fastest one at encoding. */
void ecc_calibrate(const struct ecc_code *code, struct ecc_calibration *out);
/* The same for one engine alone. */
void ecc_calibrate_one(const struct ecc_engine *engine, const struct ecc_code *code, struct ecc_calibration *out);

/*
 * Rebuild the erased blocks of one stripe in place.
 * @blocks: k+m pointers, len bytes each, no overlap; NULL = a data block of zeros that is not stored
 * @erased: ascending members, data first, then parity; their buffers are outputs and never NULL
 * Intact blocks are trusted: verify their checksums first. Only as many survivors as needed are read.
 * Returns 0, or -HOLO_EPARITY if n_erased > m (nothing is written). Blahut 2003, ch. 7.
 */
int ecc_rebuild(const struct ecc_engine *engine, const struct ecc_code *code, uint8_t *const *blocks, const unsigned *erased,
                unsigned n_erased, size_t len);

/* Do the parity blocks agree with the data? blocks as above; scratch is m·len bytes. */
bool ecc_parity_agrees(const struct ecc_engine *engine, const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *scratch,
                       size_t len);

#endif
