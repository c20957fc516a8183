/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c: passes over the columns of a damaged stripe, and the order in which means are tried.
 *
 * The suspects are the members that are not RIGHT. Everything serves to make them few:
 *
 * 1. At most m suspects: they are determined by the others. One matrix, applied with the engine.
 * 2. Otherwise a pass: sums of all columns with the engine, without those members that count as lost; columns whose sums
 *    are all 0 are right; the others are decoded one by one, and the suspects changed by that are asked for their checksums.
 *    Errors are looked for at suspects only, so every pass that confirms somebody makes the next one stricter.
 *
 * Invariants:
 * - A member's bytes differ from what the caller gave only while a pass works; what no checksum confirmed is taken back at
 *   the end of the pass, from the list of fixes.
 * - state only ever changes to ECC_RIGHT, in accept().
 */
#include "ecc/decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ecc/code.h"
#include "ecc/column.h"

/* A byte changed by a pass. */
struct fix {
    uint32_t column;
    uint8_t member;
    uint8_t change; /* exclusive or */
};

struct ecc_decoder {
    unsigned n_max;
    size_t len_max;
    uint8_t *rows[ECC_M_MAX];   /* of len_max bytes each: sums of the columns, or rebuilt blocks */
    uint64_t *dirty;            /* len_max bytes: the sums of a column put together by or */
    struct fix *fixes;          /* len_max · n_max / 2, at most R a column */
    size_t n_fixes;

    /* The stripe at hand. */
    const struct ecc_damage *damage;
    struct ecc_decoded *out;
    unsigned n_suspects;
    uint8_t lost[ECC_M_MAX];    /* suspects whose bytes are not used at all */
    unsigned n_lost;
    struct column_suspects suspects; /* the others */
    unsigned checks;            /* sums that are left for them: m − n_lost */
    uint8_t weight[ECC_N_MAX];  /* log w_i of column.h */
    unsigned n_fixed[ECC_N_MAX]; /* fixes of each member */
};

static unsigned max_errors(unsigned n)
{
    return n / 2 < ECC_R_MAX ? n / 2 : ECC_R_MAX;
}

int ecc_decoder_create(unsigned n, size_t len, struct ecc_decoder **out)
{
    if (n < 1 || n > ECC_N_MAX || len == 0 || len % ECC_ALIGN != 0)
        return -EINVAL;
    struct ecc_decoder *d = calloc(1, sizeof(*d));
    uint8_t *rows = aligned_alloc(ECC_ALIGN, (ECC_M_MAX + 1) * len);
    struct fix *fixes = malloc(len * (max_errors(n) + 1) * sizeof(*fixes));
    if (!d || !rows || !fixes) {
        free(d);
        free(rows);
        free(fixes);
        return -ENOMEM;
    }
    for (unsigned r = 0; r < ECC_M_MAX; r++)
        d->rows[r] = rows + r * len;
    d->dirty = (uint64_t *)(void *)(rows + ECC_M_MAX * len);
    d->fixes = fixes;
    d->n_max = n;
    d->len_max = len;
    *out = d;
    return 0;
}

void ecc_decoder_destroy(struct ecc_decoder *d)
{
    if (!d)
        return;
    free(d->rows[0]);
    free(d->fixes);
    free(d);
}

static bool is_right(const struct ecc_decoder *d, unsigned i)
{
    return d->damage->state[i] == ECC_RIGHT;
}

static void accept(struct ecc_decoder *d, unsigned i, uint64_t bytes)
{
    d->damage->state[i] = ECC_RIGHT;
    d->n_suspects--;
    d->out->repaired++;
    d->out->corrected_bytes += bytes;
}

static int ask(const struct ecc_decoder *d, unsigned i, const uint8_t *block)
{
    return d->damage->confirm(d->damage->confirm_arg, i, block);
}

static uint64_t count_different(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

/* Of at most m suspects, all of them: rebuilt in the rows, and committed from there. */
static void rebuild_suspects(struct ecc_decoder *d)
{
    const struct ecc_damage *damage = d->damage;
    unsigned erased[ECC_M_MAX] = { 0 }, n_erased = 0;
    uint8_t *blocks[ECC_N_MAX] = { NULL };
    for (unsigned i = 0; i < damage->code->n; i++) {
        bool right = is_right(d, i);
        blocks[i] = right ? damage->blocks[i] : d->rows[n_erased];
        if (!right)
            erased[n_erased++] = i;
    }
    int e = ecc_rebuild(damage->engine, damage->code, blocks, erased, n_erased, damage->len);
    assert(!e);
    (void)e;
    for (unsigned r = 0; r < n_erased; r++) {
        unsigned i = erased[r];
        if (ask(d, i, d->rows[r]) == 0)
            continue;
        bool missing = damage->state[i] == ECC_MISSING;
        accept(d, i, missing ? damage->len : count_different(damage->blocks[i], d->rows[r], damage->len));
        memcpy(damage->blocks[i], d->rows[r], damage->len);
    }
}

/* The sums of column.h for all columns: the waves if nothing is lost. */
static void sum_columns(struct ecc_decoder *d)
{
    const struct ecc_damage *damage = d->damage;
    const struct ecc_code *code = damage->code;
    const uint8_t *src[ECC_N_MAX];
    uint8_t coef[ECC_M_MAX * ECC_N_MAX];
    bool lost[ECC_N_MAX] = { false };
    for (unsigned e = 0; e < d->n_lost; e++)
        lost[d->lost[e]] = true;
    for (unsigned i = 0; i < code->n; i++) {
        unsigned weight = i * code->s;
        for (unsigned e = 0; e < d->n_lost && !lost[i]; e++)
            weight += field_log(field_exp(i) ^ field_exp(d->lost[e]));
        d->weight[i] = (uint8_t)(weight % FIELD_ORDER);
        src[i] = lost[i] ? NULL : damage->blocks[i];
        for (unsigned j = 0; j < d->checks; j++)
            coef[j * code->n + i] = field_exp(weight + i * j);
    }
    damage->engine->apply(coef, d->checks, code->n, src, d->rows, damage->len);
}

static void mark_dirty(struct ecc_decoder *d)
{
    size_t words = d->damage->len / sizeof(*d->dirty);
    memcpy(d->dirty, d->rows[0], d->damage->len);
    for (unsigned j = 1; j < d->checks; j++) {
        const uint64_t *row = (const uint64_t *)(const void *)d->rows[j];
        for (size_t w = 0; w < words; w++)
            d->dirty[w] |= row[w];
    }
}

static void fix_column(struct ecc_decoder *d, size_t column)
{
    struct column_error errors[ECC_R_MAX];
    uint8_t sums[ECC_M_MAX];
    for (unsigned j = 0; j < d->checks; j++)
        sums[j] = d->rows[j][column];
    unsigned n = column_decode(sums, d->checks, &d->suspects, errors);
    for (unsigned e = 0; e < n; e++) {
        unsigned i = errors[e].member;
        uint8_t change = field_exp(field_log(errors[e].value) + FIELD_ORDER - d->weight[i]);
        d->damage->blocks[i][column] ^= change;
        d->fixes[d->n_fixes++] = (struct fix){ (uint32_t)column, (uint8_t)i, change };
        d->n_fixed[i]++;
    }
}

static void fix_columns(struct ecc_decoder *d)
{
    const uint8_t *dirty = (const uint8_t *)d->dirty;
    d->n_fixes = 0;
    memset(d->n_fixed, 0, sizeof(d->n_fixed));
    for (size_t w = 0; w < d->damage->len / sizeof(*d->dirty); w++) {
        for (size_t c = w * sizeof(*d->dirty); d->dirty[w] && c < (w + 1) * sizeof(*d->dirty); c++) {
            if (dirty[c])
                fix_column(d, c);
        }
    }
}

/* Ask the suspects that were changed, and take back what was not confirmed. Returns how many were. */
static unsigned commit_confirmed(struct ecc_decoder *d)
{
    const struct ecc_damage *damage = d->damage;
    unsigned confirmed = 0;
    for (unsigned s = 0; s < d->suspects.n; s++) {
        unsigned i = d->suspects.member[s];
        if (d->n_fixed[i] && ask(d, i, damage->blocks[i]) > 0) {
            accept(d, i, d->n_fixed[i]);
            confirmed++;
        }
    }
    for (size_t f = 0; f < d->n_fixes; f++) {
        const struct fix *fix = &d->fixes[f];
        if (!is_right(d, fix->member))
            damage->blocks[fix->member][fix->column] ^= fix->change;
    }
    return confirmed;
}

/* Who is suspected, and who is lost. False if too many are lost to decode anything. */
static bool gather_suspects(struct ecc_decoder *d)
{
    const struct ecc_code *code = d->damage->code;
    d->n_lost = 0;
    d->suspects.n = 0;
    memset(d->suspects.may_err, 0, sizeof(d->suspects.may_err));
    for (unsigned i = 0; i < code->n; i++) {
        if (is_right(d, i))
            continue;
        if (d->damage->state[i] == ECC_MISSING) {
            if (d->n_lost + 2 > code->m)
                return false;
            d->lost[d->n_lost++] = (uint8_t)i;
        } else {
            d->suspects.may_err[i] = true;
            d->suspects.member[d->suspects.n++] = (uint8_t)i;
        }
    }
    d->checks = code->m - d->n_lost;
    return true;
}

/* One pass. False if it confirmed nobody. */
static bool pass(struct ecc_decoder *d)
{
    if (!gather_suspects(d))
        return false;
    d->out->passes++;
    sum_columns(d);
    mark_dirty(d);
    fix_columns(d);
    return commit_confirmed(d) > 0;
}

static void start(struct ecc_decoder *d, const struct ecc_damage *damage, struct ecc_decoded *out)
{
    assert(damage->code->n <= d->n_max && damage->len <= d->len_max && damage->len % ECC_ALIGN == 0);
    *out = (struct ecc_decoded){ 0 };
    d->damage = damage;
    d->out = out;
    d->n_suspects = 0;
    for (unsigned i = 0; i < damage->code->n; i++) {
        assert(damage->blocks[i] || is_right(d, i));
        d->n_suspects += !is_right(d, i);
    }
}

int ecc_decode(struct ecc_decoder *d, const struct ecc_damage *damage, struct ecc_decoded *out)
{
    start(d, damage, out);
    while (d->n_suspects > damage->code->m) {
        if (!pass(d))
            return -HOLO_EPARITY;
    }
    if (d->n_suspects > 0)
        rebuild_suspects(d);
    return d->n_suspects == 0 ? 0 : -HOLO_EPARITY;
}
