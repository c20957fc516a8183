/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layout.c: which stripe and member a stored position is.
 *
 * Data position x is member x / D of stripe x mod D. Parity goes on where data ends without a gap: slot q is stored
 * position used + q, so its stripe is (used + q) mod D, and it is parity row q / D.
 */
#include "ecc/ecc.h"

uint32_t ecc_layout_stripes(uint32_t nmax, unsigned k)
{
    uint32_t d = nmax / k + (nmax % k != 0);
    return d | 1;
}

void ecc_layout_locate(const struct ecc_layout *l, unsigned k, uint32_t x, uint32_t *stripe, unsigned *member)
{
    *stripe = x % l->D;
    *member = x < l->used ? x / l->D : k + (x - l->used) / l->D;
}

uint32_t ecc_layout_position(const struct ecc_layout *l, unsigned k, uint32_t stripe, unsigned member)
{
    if (member < k) {
        uint64_t x = (uint64_t)member * l->D + stripe;
        return x < l->used ? (uint32_t)x : UINT32_MAX;
    }
    uint32_t first = l->used % l->D;
    uint32_t in_row = stripe >= first ? stripe - first : stripe + l->D - first;
    return l->used + (member - k) * l->D + in_row;
}
