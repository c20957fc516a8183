/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * search.c: when a pass confirms nobody: other explanations of the columns, tried against the checksums.
 *
 * A column with more errors than checks / 2 is not decoded, or mistaken for another codeword. But its errors are at suspects,
 * and these are few by now. If L errors are allowed and g = 2L − checks of them are guessed to be at certain suspects, the
 * guessed ones are lost members, and L − g others are within what is left: checks − g = 2·(L − g).
 *
 * So for one suspect x at a time: it is guessed wrong in every open column, with every choice of g − 1 others; each guess
 * that decodes gives a value for the byte of x. These are the options of x, besides taking back what the pass did there. x is asked
 * with each of them, then with each two of different columns. Then one more error is allowed. What a mistaken column did
 * to a suspect is undone in the same way.
 *
 * What even `checks` errors do not explain is tried without algebra, if only few columns are wrong: all 255 values.
 *
 * Open are the columns that may have another explanation with at most L errors: those not decoded, and those with at least
 * checks + 1 − L errors found (two explanations differ in more than `checks` places).
 */
#include <string.h>

#include "ecc/decode_private.h"

enum { PAIRS_UP_TO = 400 /* options, or asking two at a time takes too long */ };

/* One open column and suspect x in it. */
struct question {
    const struct ecc_decoder *d;
    unsigned x;
    uint8_t other[ECC_M_MAX];   /* guessed besides x */
    unsigned n_others;
    uint64_t seen[256 / 64];    /* values that are options already */
    uint8_t before;             /* what the pass changed */
};

static uint8_t distance(unsigned i, unsigned j)
{
    return field_exp(i) ^ field_exp(j);
}

static bool guessed(const struct question *q, unsigned i)
{
    bool among = i == q->x;
    for (unsigned o = 0; o < q->n_others; o++)
        among |= q->other[o] == i;
    return among;
}

/*
 * What to change in the byte of x, if it and the others guessed are wrong. sums: without the others, so one more than are
 * left without x too. 0 if the column does not decode like that.
 */
static uint8_t change_of(const struct question *q, const uint8_t *sums, unsigned checks)
{
    struct column_error errors[ECC_R_MAX];
    uint8_t without[ECC_M_MAX], any = 0, value = sums[0];
    unsigned found = 0;
    memcpy(without, sums, checks);
    column_erase(without, checks, q->x);
    for (unsigned j = 0; j + 1 < checks; j++)
        any |= without[j];
    if (any) {
        found = column_decode(without, checks - 1, &q->d->suspects, errors);
        if (found == 0)
            return 0;
    }
    for (unsigned e = 0; e < found; e++) {
        if (guessed(q, errors[e].member))
            return 0;
        value ^= field_div(errors[e].value, distance(errors[e].member, q->x));
    }
    for (unsigned o = 0; o < q->n_others; o++)
        value = field_div(value, distance(q->x, q->other[o]));
    return field_div(value, field_exp(q->d->weight[q->x]));
}

static void add_option(struct ecc_decoder *d, struct question *q, uint32_t column, uint8_t change)
{
    if (d->n_options == SEARCH_OPTIONS || (q->seen[change / 64] >> change % 64 & 1))
        return;
    q->seen[change / 64] |= 1ull << change % 64;
    int8_t bytes = (int8_t)((change != 0) - (q->before != 0));
    d->option[d->n_options++] = (struct option){ column, change ^ q->before, bytes };
}

/* Every choice of `left` more suspects from number `from` on; the sums are without those chosen. */
static void guess(struct ecc_decoder *d, struct question *q, uint32_t column, const uint8_t *sums, unsigned checks, unsigned left,
                  unsigned from)
{
    if (left == 0) {
        d->guesses_left -= d->guesses_left > 0;
        uint8_t change = change_of(q, sums, checks);
        if (change)
            add_option(d, q, column, change);
        return;
    }
    for (unsigned i = from; i + left <= d->suspects.n && d->guesses_left; i++) {
        uint8_t without[ECC_M_MAX];
        unsigned y = d->suspects.member[i];
        if (y == q->x)
            continue;
        memcpy(without, sums, checks);
        column_erase(without, checks, y);
        q->other[q->n_others++] = (uint8_t)y;
        guess(d, q, column, without, checks - 1, left - 1, i + 1);
        q->n_others--;
    }
}

/* What the pass changed in x at a column; *f runs through the fixes, which are in the order of columns too. */
static uint8_t changed_by_pass(const struct ecc_decoder *d, unsigned x, uint32_t column, size_t *f)
{
    for (; *f < d->n_fixes && d->fixes[*f].column <= column; ++*f) {
        if (d->fixes[*f].column == column && d->fixes[*f].member == x)
            return d->fixes[*f].change;
    }
    return 0;
}

/* With more errors than checks the sums tell nothing of the byte of x. */
static void add_all_values(struct ecc_decoder *d, struct question *q, uint32_t column)
{
    for (unsigned v = 1; v < 256; v++)
        add_option(d, q, column, (uint8_t)v);
}

static bool is_open(const struct ecc_decoder *d, const struct dirty_column *dirty, unsigned errors)
{
    if (errors > d->checks && d->n_dirty > SEARCH_OPTIONS / 256)
        return dirty->errors == 0;
    return dirty->errors == 0 || dirty->errors + errors > d->checks;
}

static void find_options(struct ecc_decoder *d, unsigned x, unsigned errors)
{
    size_t f = 0;
    d->n_options = 0;
    for (size_t c = 0; c < d->n_dirty; c++) {
        const struct dirty_column *dirty = &d->dirty[c];
        if (!is_open(d, dirty, errors))
            continue;
        struct question q = { .d = d, .x = x };
        uint8_t sums[ECC_M_MAX];
        q.before = changed_by_pass(d, x, dirty->column, &f);
        q.seen[q.before / 64] |= 1ull << q.before % 64;
        add_option(d, &q, dirty->column, 0);
        decode_sums(d, dirty->column, sums);
        if (errors > d->checks)
            add_all_values(d, &q, dirty->column);
        else
            guess(d, &q, dirty->column, sums, d->checks, 2 * errors - d->checks - 1, 0);
    }
}

static bool asked_right(struct ecc_decoder *d, unsigned x)
{
    if (d->asks_left == 0)
        return false;
    d->asks_left--;
    return decode_ask(d, x, d->damage->blocks[x]) > 0;
}

/* One option; if it is not enough and deep is set, each later one in another column with it. */
static bool try_option(struct ecc_decoder *d, unsigned x, unsigned i, bool deep, int bytes)
{
    uint8_t *block = d->damage->blocks[x];
    const struct option *o = &d->option[i];
    block[o->column] ^= o->change;
    bytes += o->bytes;
    if (!deep && asked_right(d, x)) {
        decode_accept(d, x, (uint64_t)bytes);
        return true;
    }
    for (unsigned j = i + 1; deep && j < d->n_options && d->asks_left; j++) {
        if (d->option[j].column != o->column && try_option(d, x, j, false, bytes))
            return true;
    }
    block[o->column] ^= o->change;
    return false;
}

static void apply_fixes(struct ecc_decoder *d, unsigned x)
{
    for (size_t f = 0; f < d->n_fixes; f++) {
        if (d->fixes[f].member == x)
            d->damage->blocks[x][d->fixes[f].column] ^= d->fixes[f].change;
    }
}

/* Is x right with one of its options, or with two of them? */
static bool search_member(struct ecc_decoder *d, unsigned x, unsigned errors, bool deep)
{
    find_options(d, x, errors);
    if (deep && d->n_options > PAIRS_UP_TO)
        return false;
    apply_fixes(d, x);
    for (unsigned i = 0; i < d->n_options && d->asks_left; i++) {
        if (try_option(d, x, i, deep, (int)d->n_fixed[x]))
            return true;
    }
    apply_fixes(d, x);
    return false;
}

/* Those without a checksum to ask are suspects like others, but cannot be found in this way. */
static bool search_all(struct ecc_decoder *d, unsigned errors, bool deep)
{
    bool found = false;
    for (unsigned i = 0; i < d->suspects.n; i++) {
        unsigned x = d->suspects.member[i];
        found |= d->damage->state[x] != ECC_UNSURE && search_member(d, x, errors, deep);
    }
    return found;
}

bool decode_search(struct ecc_decoder *d)
{
    if (d->n_dirty > SEARCH_DIRTY)
        return false;
    for (unsigned errors = d->checks / 2 + 1; errors <= d->checks + 1 && d->asks_left; errors++) {
        if (search_all(d, errors, false) || search_all(d, errors, true))
            return true;
    }
    return false;
}
