/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * code.h: the coefficients of one code, for the files of ecc/ only.
 *
 * Where they come from: a vector h with h_i = α^(i·s)·q(α^i), deg q < m, is a check of the code, because it is a sum of
 * rows of the m waves: Σ c_i·h_i = 0 for every codeword c. Let `gone` be m members, Q(x) = Π (x + α^j) over them, and e
 * one of them. With q = Q / (x + α^e) the check touches no other member of `gone`, so it gives c_e from the k others:
 *
 *     c_e = Σ_i c_i · w_i / ((α^i + α^e)·w'_e),   w_i = α^(i·s)·Q(α^i),   w'_e = α^(e·s)·Π_{j in gone, j ≠ e} (α^e + α^j).
 *
 * No factor is 0, whatever the m members are: that is the MDS property, and no matrix has to be inverted. Encoding is
 * the case where `gone` are the parity members. (A generalized Cauchy matrix: Roth and Seroussi, «On generator matrices
 * of MDS codes», IEEE IT-31, 1985.)
 */
#ifndef HOLO_ECC_CODE_H
#define HOLO_ECC_CODE_H

#include "ecc/ecc.h"

struct ecc_code {
    unsigned k, m, n;
    uint32_t seed_base;
    unsigned s;         /* first frequency: seed_base mod 255 */
    uint8_t *encode;    /* m × k: parity from data */
    uint8_t *syndrome;  /* m × n: α^(i·(s+j)) */
    uint8_t tables[];   /* both of them */
};

/*
 * coef[r·k + c]: how much of member kept[c] is in member wanted[r].
 * @gone: m members in any order, the wanted ones among them; @kept: the k others.
 */
void ecc_code_solve(const struct ecc_code *code, const uint8_t *gone, const uint8_t *kept, const uint8_t *wanted, unsigned n_wanted,
                    uint8_t *coef);

#endif
