/* SPDX-License-Identifier: GPL-2.0-or-later */
/* column.c: decoding of one byte column: one error or two directly, others by Berlekamp and Massey, Chien, Forney. */
#include "ecc/column.h"

#include <string.h>

/* Polynomials are arrays of coefficients from x^0 on. A locator has at most checks / 2 roots, but grows before it is refused. */
enum { POLY = ECC_M_MAX + 1 };

/* One error has sums T_0·X^j. Found at 97 of 100 columns that are wrong at all when one byte in 1000 is. */
static bool single_error(const uint8_t *sums, unsigned checks, const struct column_suspects *suspects, struct column_error *out)
{
    if (sums[0] == 0 || sums[1] == 0)
        return false;
    unsigned first = field_log(sums[0]), second = field_log(sums[1]);
    unsigned ratio = second >= first ? second - first : second + FIELD_ORDER - first;
    for (unsigned j = 2; j < checks; j++) {
        second += ratio;
        second -= second >= FIELD_ORDER ? FIELD_ORDER : 0;
        if (sums[j] == 0 || field_log(sums[j]) != second)
            return false;
    }
    if (!suspects->may_err[ratio])
        return false;
    *out = (struct column_error){ (uint8_t)ratio, sums[0] };
    return true;
}

/* z with z² + z = c, or 0 if there is none; c must not be 0. What z is for each bit of c suffices: squaring is linear. */
static uint8_t solve_quadratic(uint8_t c)
{
    static const uint8_t of_bit[8] = { 0xd6, 0xe8, 0xea, 0x2c, 0xee, 0x00, 0x24, 0x50 };
    uint8_t z = 0;
    for (unsigned b = 0; b < 8; b++)
        z ^= (uint8_t)(of_bit[b] & -(c >> b & 1));
    return (field_mul(z, z) ^ z) == c ? z : 0;
}

/*
 * Two errors without a search for roots (Peterson): 12 times as fast as the general way, and enough for 97 of 100 columns that
 * single_error() leaves when one byte in 1000 is wrong. Their locator is x² + a·x + b; x = a·z turns it into z² + z = b/a²,
 * whose roots are z and z + 1.
 */
static bool two_errors(const uint8_t *sums, unsigned checks, const struct column_suspects *suspects, struct column_error *out)
{
    if (checks < 4)
        return false;
    uint8_t det = field_mul(sums[1], sums[1]) ^ field_mul(sums[0], sums[2]);
    if (det == 0)
        return false;
    uint8_t a = field_div(field_mul(sums[0], sums[3]) ^ field_mul(sums[1], sums[2]), det);
    uint8_t b = field_div(field_mul(sums[1], sums[3]) ^ field_mul(sums[2], sums[2]), det);
    if (a == 0 || b == 0)
        return false;
    for (unsigned j = 4; j < checks; j++) {
        if (sums[j] != (field_mul(a, sums[j - 1]) ^ field_mul(b, sums[j - 2])))
            return false;
    }
    uint8_t first = field_mul(a, solve_quadratic(field_div(b, field_mul(a, a)))), second = first ^ a;
    if (first == 0 || !suspects->may_err[field_log(first)] || !suspects->may_err[field_log(second)])
        return false;
    uint8_t value = field_div(sums[1] ^ field_mul(second, sums[0]), a);
    out[0] = (struct column_error){ (uint8_t)field_log(first), value };
    out[1] = (struct column_error){ (uint8_t)field_log(second), sums[0] ^ value };
    return true;
}

/* p += c·x^shift·q; the coefficients of q that would lie beyond POLY are 0. */
static void poly_add(uint8_t *p, const uint8_t *q, uint8_t c, unsigned shift)
{
    unsigned lc = field_log(c);
    for (unsigned i = 0; i + shift < POLY; i++) {
        if (q[i])
            p[i + shift] ^= field_exp(field_log(q[i]) + lc);
    }
}

/* Massey, «Shift-register synthesis and BCH decoding», IEEE IT-15, 1969. Returns the register's length. */
static unsigned locator_polynomial(const uint8_t *sums, unsigned checks, uint8_t *locator)
{
    uint8_t last[POLY] = { 1 }; /* the locator before its length changed, */
    uint8_t discrepancy = 1;    /* its discrepancy, */
    unsigned since = 1;         /* and how long ago that was */
    unsigned length = 0;
    memset(locator, 0, POLY);
    locator[0] = 1;
    for (unsigned j = 0; j < checks; j++, since++) {
        uint8_t d = sums[j];
        for (unsigned i = 1; i <= length; i++)
            d ^= field_mul(locator[i], sums[j - i]);
        if (d == 0)
            continue;
        uint8_t before[POLY], c = field_exp(field_log(d) + FIELD_ORDER - field_log(discrepancy));
        memcpy(before, locator, POLY);
        poly_add(locator, last, c, since);
        if (2 * length <= j) {
            length = j + 1 - length;
            memcpy(last, before, POLY);
            discrepancy = d;
            since = 0;
        }
    }
    return length;
}

/* Σ p_i·x^(−i·at), the odd powers only if step is 2 and p points to the coefficient of x. */
static uint8_t evaluate(const uint8_t *p, unsigned n, unsigned step, unsigned at)
{
    uint8_t sum = 0;
    unsigned back = FIELD_ORDER - at, power = 0;
    for (unsigned i = 0; i < n; i += step) {
        if (p[i])
            sum ^= field_exp(field_log(p[i]) + power);
        power = (power + step * back) % FIELD_ORDER;
    }
    return sum;
}

/* Chien's search, among suspects only: all roots must be theirs. */
static bool find_members(const uint8_t *locator, unsigned length, const struct column_suspects *suspects, struct column_error *out)
{
    unsigned found = 0;
    for (unsigned i = 0; i < suspects->n && found < length; i++) {
        if (evaluate(locator, length + 1, 1, suspects->member[i]) == 0)
            out[found++].member = suspects->member[i];
    }
    return found == length;
}

/*
 * Forney: with Ω = T·Λ mod x^length and all distinct roots, e_i·w_i = X_i·Ω(1/X_i) / Λ'(1/X_i). In this field the
 * derivative Λ' has the odd coefficients only, at even powers.
 */
static void find_values(const uint8_t *sums, const uint8_t *locator, unsigned length, struct column_error *out)
{
    uint8_t omega[ECC_R_MAX];
    for (unsigned j = 0; j < length; j++) {
        omega[j] = sums[j];
        for (unsigned i = 1; i <= j; i++)
            omega[j] ^= field_mul(locator[i], sums[j - i]);
    }
    for (unsigned e = 0; e < length; e++) {
        unsigned at = out[e].member;
        uint8_t up = evaluate(omega, length, 1, at), down = evaluate(locator + 1, length, 2, at);
        out[e].value = field_div(field_mul(up, field_exp(at)), down);
    }
}

unsigned column_decode(const uint8_t *sums, unsigned checks, const struct column_suspects *suspects, struct column_error *out)
{
    uint8_t locator[POLY];
    if (checks < 2)
        return 0;
    if (single_error(sums, checks, suspects, out))
        return 1;
    if (two_errors(sums, checks, suspects, out))
        return 2;
    unsigned length = locator_polynomial(sums, checks, locator);
    if (length < 2 || 2 * length > checks || locator[length] == 0 || !find_members(locator, length, suspects, out))
        return 0;
    find_values(sums, locator, length, out);
    return length;
}
