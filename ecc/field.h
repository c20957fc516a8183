/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * field.h: arithmetic in GF(2^8) with polynomial 0x11d and generator α = 2, byte by byte.
 *
 * Multiplication by a constant is linear over bits. That is what the engines build on: as an 8×8 bit matrix (GFNI) or
 * as the exclusive or of two table entries, one for each half of the byte (byte shuffles).
 */
#ifndef HOLO_ECC_FIELD_H
#define HOLO_ECC_FIELD_H

#include <stdint.h>

enum { FIELD_ORDER = 255 }; /* α^255 = 1 */

extern const uint8_t field_exp_table[FIELD_ORDER]; /* α^i */
extern const uint8_t field_log_table[256];         /* the inverse; entry 0 means nothing */

static inline uint8_t field_exp(unsigned i)
{
    return field_exp_table[i % FIELD_ORDER];
}

/* v must not be 0. */
static inline unsigned field_log(uint8_t v)
{
    return field_log_table[v];
}

static inline uint8_t field_mul(uint8_t a, uint8_t b)
{
    return a && b ? field_exp(field_log(a) + field_log(b)) : 0;
}

/* b must not be 0. */
static inline uint8_t field_div(uint8_t a, uint8_t b)
{
    return a ? field_exp(field_log(a) + FIELD_ORDER - field_log(b)) : 0;
}

/* c times every low half 0x00 … 0x0f, then c times every high half 0x00 … 0xf0. */
extern const uint8_t field_halves[256][32];

/* Multiplication by c as the operand of vgf2p8affineqb: byte 7 − i is the row for output bit i. */
extern const uint64_t field_matrix[256];

#endif
