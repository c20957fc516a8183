/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ruined.c: blocks that are there and wrong all over (misdirected writes, garbage, zeros) among blocks with a few flips.
 *
 * In a column where g ruined members are wrong and nothing else, the sums are a combination of g vectors (X_i^j)_j, one for
 * each of them. Columns share the ruined members, so the sums of a few columns span the same g dimensions, and of all
 * members it is the ruined ones, and no others, whose vectors lie in that span: any g + 1 ≤ checks vectors are independent.
 * So up to checks − 1 of them are found without decoding a column, which alone would find half as many, and become losses,
 * which cost one check each instead of two. (Joint decoding of interleaved Reed–Solomon codes: Metzner and Kapturowski,
 * «A general decoding technique applicable to replicated file disagreement location», IEEE IT-36, 1990.)
 *
 * A column with a flip in another member adds that member's dimension. So several samples are taken, and the one with the
 * fewest dimensions counts, if it went on for a few columns without growing.
 */
#include <string.h>

#include "ecc/decode_private.h"

enum { SAMPLES = 48, AGREEING = 3 };

/* Vectors in echelon form: row r is 1 at lead[r], where all later rows are 0. */
struct span {
    unsigned checks, n;
    uint8_t row[ECC_M_MAX][ECC_M_MAX];
    uint8_t lead[ECC_M_MAX];
};

/* v without its part in the span. True if nothing is left of it: then it lies within. */
static bool reduce(const struct span *s, uint8_t *v)
{
    for (unsigned r = 0; r < s->n; r++) {
        uint8_t c = v[s->lead[r]];
        for (unsigned j = 0; c && j < s->checks; j++)
            v[j] ^= field_mul(c, s->row[r][j]);
    }
    for (unsigned j = 0; j < s->checks; j++) {
        if (v[j])
            return false;
    }
    return true;
}

/* Add what reduce() left. */
static void extend(struct span *s, const uint8_t *v)
{
    unsigned lead = 0;
    while (v[lead] == 0)
        lead++;
    uint8_t inverse = field_exp(FIELD_ORDER - field_log(v[lead]));
    for (unsigned j = 0; j < s->checks; j++)
        s->row[s->n][j] = field_mul(v[j], inverse);
    s->lead[s->n++] = (uint8_t)lead;
}

static bool member_within(const struct span *s, unsigned i)
{
    uint8_t v[ECC_M_MAX];
    for (unsigned j = 0; j < s->checks; j++)
        v[j] = field_exp(i * j);
    return reduce(s, v);
}

/*
 * Add columns until some in a row bring nothing new. False if that needs limit dimensions. The columns are those of a walk
 * with an odd step, which returns to none of them for at least 64 steps: that is longer than any sample.
 */
static bool sample(const struct ecc_decoder *d, struct span *s, unsigned limit, uint32_t random)
{
    uint8_t v[ECC_M_MAX];
    size_t column = random >> 8, step = random >> 4 | 1;
    s->checks = d->checks;
    s->n = 0;
    for (unsigned agreeing = 0; agreeing < AGREEING; column += step) {
        decode_sums(d, column % d->damage->len, v);
        if (reduce(s, v)) {
            agreeing++;
            continue;
        }
        if (s->n + 1 == limit)
            return false;
        extend(s, v);
        agreeing = 0;
    }
    return true;
}

unsigned decode_find_ruined(const struct ecc_decoder *d, uint8_t *member)
{
    struct span s, best = { .n = d->checks };
    unsigned found = 0;
    for (uint32_t i = 1; i <= SAMPLES; i++) {
        if (sample(d, &s, best.n, i * 2654435769u)) /* 2^32 / golden ratio: spreads them */
            best = s;
    }
    for (unsigned i = 0; best.n < d->checks && i < d->suspects.n; i++) {
        if (found < best.n && member_within(&best, d->suspects.member[i]))
            member[found++] = d->suspects.member[i];
    }
    return found == best.n ? found : 0;
}
