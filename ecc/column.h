/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * column.h: the errors of one byte column from its check sums, for the files of ecc/ only.
 *
 * A column with errors e_i at unknown members has the sums
 *
 *     T_j = Σ_i e_i·w_i·X_i^j,   j = 0 … checks−1,   X_i = α^i.
 *
 * With all m waves as sums w_i = α^(i·s), which is what the parity of ecc.h gives. A member x that is lost is taken out
 * by T'_j = T_{j+1} + X_x·T_j: one sum fewer, x in none of them, and the weights w'_i = w_i·(X_i + X_x). So erasures only
 * change the weights, and what is left to decode knows nothing of them (the «Forney syndromes»: Blahut 2003, ch. 7.8).
 */
#ifndef HOLO_ECC_COLUMN_H
#define HOLO_ECC_COLUMN_H

#include "ecc/ecc.h"
#include "ecc/field.h"

struct column_error {
    uint8_t member;
    uint8_t value; /* e_i·w_i: never 0 */
};

/* Members that may be wrong: indexed by every power of α, so a locator needs no test of its range. */
struct column_suspects {
    bool may_err[FIELD_ORDER];
    uint8_t member[ECC_N_MAX]; /* the same as a list */
    unsigned n;
};

/*
 * Find the errors that explain the sums: at most checks / 2, all at suspects. There is at most one such set.
 * @sums: checks ≤ ECC_M_MAX bytes, not all 0; @out: room for ECC_R_MAX
 * Returns how many, or 0 if no such set exists. More errors than that may be mistaken for fewer: verify what comes of it.
 * One error: constant ratio of the sums. Others: Berlekamp and Massey, Chien, Forney (Blahut 2003, ch. 7).
 */
unsigned column_decode(const uint8_t *sums, unsigned checks, const struct column_suspects *suspects, struct column_error *out);

/* Take member x out of the sums, in place: one fewer is left. */
static inline void column_erase(uint8_t *sums, unsigned checks, unsigned x)
{
    for (unsigned j = 0; j + 1 < checks; j++)
        sums[j] = sums[j + 1] ^ field_mul(sums[j], field_exp(x));
}

#endif
