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
 * 3. If most columns are wrong, a few members may be wrong all over: these count as lost in the pass (ruined.c).
 * 4. If a pass confirms nobody, other explanations of its columns are tried, one suspect at a time (search.c).
 *
 * Invariants:
 * - A member's bytes differ from what the caller gave only while a pass works; what no checksum confirmed is taken back at
 *   the end of the pass, from the list of fixes.
 * - state only ever changes to ECC_RIGHT, in decode_accept().
 */
#include "ecc/decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ecc/code.h"
#include "ecc/decode_private.h"

/* What the search may cost a stripe that cannot be decoded: about 25 ms each. */
enum { SEARCH_ASKS = 1 << 18, SEARCH_ASKED_BYTES = 1 << 30, SEARCH_GUESSES = 1 << 17 };

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
    struct dirty_column *dirty = malloc(len * sizeof(*dirty));
    if (!d || !rows || !fixes || !dirty) {
        free(d);
        free(rows);
        free(fixes);
        free(dirty);
        return -ENOMEM;
    }
    for (unsigned r = 0; r < ECC_M_MAX; r++)
        d->rows[r] = rows + r * len;
    d->any = (uint64_t *)(void *)(rows + ECC_M_MAX * len);
    d->fixes = fixes;
    d->dirty = dirty;
    d->n_max = n;
    d->len_max = len;
    d->asks_max = SEARCH_ASKS;
    *out = d;
    return 0;
}

void ecc_decoder_limit(struct ecc_decoder *d, unsigned asks)
{
    d->asks_max = asks < SEARCH_ASKS ? asks : SEARCH_ASKS;
}

void ecc_decoder_destroy(struct ecc_decoder *d)
{
    if (!d)
        return;
    free(d->rows[0]);
    free(d->fixes);
    free(d->dirty);
    free(d);
}

static uint64_t count_different(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

/*
 * Of at most m suspects, all of them: rebuilt in the rows, and committed from there. A checksum that refuses what the others
 * determine shows that something is not as we were told: then nobody is believed without one.
 */
static void rebuild_suspects(struct ecc_decoder *d)
{
    const struct ecc_damage *damage = d->damage;
    unsigned erased[ECC_M_MAX] = { 0 }, n_erased = 0;
    uint8_t *blocks[ECC_N_MAX] = { NULL };
    for (unsigned i = 0; i < damage->code->n; i++) {
        bool right = decode_is_right(d, i);
        blocks[i] = right ? damage->blocks[i] : d->rows[n_erased];
        if (!right)
            erased[n_erased++] = i;
    }
    int e = ecc_rebuild(damage->engine, damage->code, blocks, erased, n_erased, damage->len);
    assert(!e);
    (void)e;
    int answer[ECC_M_MAX];
    bool refused = false;
    for (unsigned r = 0; r < n_erased; r++) {
        answer[r] = decode_ask(d, erased[r], d->rows[r]);
        refused |= answer[r] == 0;
    }
    for (unsigned r = 0; r < n_erased; r++) {
        unsigned i = erased[r];
        if (answer[r] == 0 || (answer[r] < 0 && refused))
            continue;
        bool missing = damage->state[i] == ECC_MISSING;
        decode_accept(d, i, missing ? damage->len : count_different(damage->blocks[i], d->rows[r], damage->len));
        memcpy(damage->blocks[i], d->rows[r], damage->len);
    }
}

static void or_sums(struct ecc_decoder *d)
{
    size_t words = d->damage->len / sizeof(*d->any);
    memcpy(d->any, d->rows[0], d->damage->len);
    for (unsigned j = 1; j < d->checks; j++) {
        const uint64_t *row = (const uint64_t *)(const void *)d->rows[j];
        for (size_t w = 0; w < words; w++)
            d->any[w] |= row[w];
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
    or_sums(d);
}

static void fix_column(struct ecc_decoder *d, size_t column)
{
    struct column_error errors[ECC_R_MAX];
    uint8_t sums[ECC_M_MAX];
    decode_sums(d, column, sums);
    unsigned n = column_decode(sums, d->checks, &d->suspects, errors);
    d->dirty[d->n_dirty++] = (struct dirty_column){ (uint32_t)column, (uint8_t)n };
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
    const uint8_t *any = (const uint8_t *)d->any;
    d->n_fixes = d->n_dirty = 0;
    memset(d->n_fixed, 0, sizeof(d->n_fixed));
    for (size_t w = 0; w < d->damage->len / sizeof(*d->any); w++) {
        for (size_t c = w * sizeof(*d->any); d->any[w] && c < (w + 1) * sizeof(*d->any); c++) {
            if (any[c])
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
        if (d->n_fixed[i] && decode_ask(d, i, damage->blocks[i]) > 0) {
            decode_accept(d, i, d->n_fixed[i]);
            confirmed++;
        }
    }
    for (size_t f = 0; f < d->n_fixes; f++) {
        const struct fix *fix = &d->fixes[f];
        if (!decode_is_right(d, fix->member))
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
        if (decode_is_right(d, i))
            continue;
        if (d->damage->state[i] == ECC_MISSING) {
            if (d->n_lost + 1 == code->m)
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

/* Move a suspect to the lost. */
static void suspect_lost(struct ecc_decoder *d, unsigned i)
{
    struct column_suspects *s = &d->suspects;
    unsigned at = 0;
    while (s->member[at] != i)
        at++;
    memmove(s->member + at, s->member + at + 1, s->n - at - 1);
    s->n--;
    s->may_err[i] = false;
    d->lost[d->n_lost++] = (uint8_t)i;
}

static bool most_are_dirty(const struct ecc_decoder *d)
{
    const uint8_t *any = (const uint8_t *)d->any;
    size_t n = 0;
    for (size_t c = 0; c < d->damage->len; c++)
        n += any[c] != 0;
    return 2 * n > d->damage->len;
}

/*
 * Blocks that are wrong in most columns are worth less than their places: count them as lost. False, and nothing changed,
 * if there are none: without them most columns are clean.
 */
static bool drop_ruined(struct ecc_decoder *d)
{
    uint8_t ruined[ECC_M_MAX];
    unsigned n = most_are_dirty(d) ? decode_find_ruined(d, ruined) : 0;
    if (n == 0)
        return false;
    for (unsigned r = 0; r < n; r++)
        suspect_lost(d, ruined[r]);
    d->checks -= n;
    sum_columns(d);
    if (most_are_dirty(d)) {
        gather_suspects(d);
        sum_columns(d);
        return false;
    }
    return true;
}

static bool fix_and_commit(struct ecc_decoder *d)
{
    fix_columns(d);
    return commit_confirmed(d) > 0;
}

/*
 * One pass. False if it confirmed nobody. Blocks taken for ruined are used again if that was of no avail: in a column
 * where such a block is right by chance, its loss is one too many.
 */
static bool pass(struct ecc_decoder *d)
{
    if (!gather_suspects(d))
        return false;
    d->out->passes++;
    sum_columns(d);
    bool dropped = drop_ruined(d);
    if (fix_and_commit(d) || decode_search(d))
        return true;
    if (!dropped)
        return false;
    gather_suspects(d);
    sum_columns(d);
    return fix_and_commit(d);
}

static void start(struct ecc_decoder *d, const struct ecc_damage *damage, struct ecc_decoded *out)
{
    assert(damage->code->n <= d->n_max && damage->len <= d->len_max && damage->len % ECC_ALIGN == 0);
    *out = (struct ecc_decoded){ 0 };
    d->damage = damage;
    d->out = out;
    d->n_suspects = 0;
    unsigned fit = (unsigned)(SEARCH_ASKED_BYTES / damage->len);
    d->asks_left = fit < d->asks_max ? fit : d->asks_max;
    d->guesses_left = d->asks_max < SEARCH_GUESSES ? d->asks_max : SEARCH_GUESSES;
    for (unsigned i = 0; i < damage->code->n; i++) {
        assert(damage->blocks[i] || decode_is_right(d, i));
        d->n_suspects += !decode_is_right(d, i);
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
