/* SPDX-License-Identifier: GPL-2.0-or-later */
/* container.c: erased blocks of a whole container from its waves. */
#include "ecc/container.h"

#include <assert.h>
#include <string.h>

#include "ecc/code.h"
#include "ecc/field.h"

enum { PIECE = 2048 };

/* Members that are erased or suspected, and what gives them back: m × m. */
struct solution {
    unsigned n;
    uint8_t gone[ECC_M_MAX];
    uint8_t coef[ECC_M_MAX * ECC_M_MAX]; /* gone blocks from waves; then, for the other m − n rows, sums of waves that must be 0 */
};

struct rebuild {
    struct ecc_plan *plan;
    const struct ecc_code *code;
    size_t block_size;
    struct ecc_layout layout;
    uint8_t *stored, *waves, *verdict, *suspect;
    const uint8_t *erased;
    struct solution last; /* used again when the next stripe lost the same members, as in a burst */
};

/* p ← p·(x + root); p has `degree` + 1 coefficients, lowest first, and room for one more. */
static void multiply(uint8_t *p, unsigned degree, uint8_t root)
{
    p[degree + 1] = p[degree];
    for (unsigned i = degree; i > 0; i--)
        p[i] = p[i - 1] ^ field_mul(p[i], root);
    p[0] = field_mul(p[0], root);
}

/* Λ(x) = Π (x + X_i) with X = α^member makes Σ_i Λ_i·S_(s+j+i) vanish for every j. */
static void fill_checks(const struct ecc_code *code, struct solution *s)
{
    uint8_t locator[ECC_M_MAX + 1] = { 1 };
    unsigned m = code->m;
    for (unsigned i = 0; i < s->n; i++)
        multiply(locator, i, field_exp(s->gone[i]));
    memset(s->coef + s->n * m, 0, (m - s->n) * m);
    for (unsigned r = s->n; r < m; r++)
        memcpy(s->coef + r * m + (r - s->n), locator, s->n + 1);
}

/*
 * Block e is Σ_j a_j·S_(s+j) where a(x) = X^(−s)·Π (x + X_i) / (X + X_i) over the other gone i, because a(X_i) is 0 for
 * those.
 */
static void fill_blocks(const struct ecc_code *code, struct solution *s)
{
    for (unsigned e = 0; e < s->n; e++) {
        uint8_t a[ECC_M_MAX + 1] = { 1 }, *row = s->coef + e * code->m;
        unsigned degree = 0, divisor = s->gone[e] * code->s;
        for (unsigned i = 0; i < s->n; i++) {
            if (i == e)
                continue;
            multiply(a, degree++, field_exp(s->gone[i]));
            divisor += field_log(field_exp(s->gone[e]) ^ field_exp(s->gone[i]));
        }
        uint8_t scale = field_exp(FIELD_ORDER - divisor % FIELD_ORDER);
        for (unsigned j = 0; j < code->m; j++)
            row[j] = j < s->n ? field_mul(a[j], scale) : 0;
    }
}

static bool all_zero(const uint8_t *p, size_t len)
{
    static const uint8_t zeros[PIECE];
    return memcmp(p, zeros, len) == 0;
}

static size_t piece(size_t off, size_t len)
{
    return len - off < PIECE ? len - off : PIECE;
}

/* Do all waves agree with the members of s, and no others, being wrong? */
static bool explains(const struct ecc_engine *engine, const struct ecc_code *code, const struct solution *s, const uint8_t *const *waves,
                     size_t len)
{
    uint8_t scratch[ECC_M_MAX][PIECE], *dst[ECC_M_MAX];
    const uint8_t *src[ECC_M_MAX];
    unsigned m = code->m, checks = m - s->n;
    for (size_t off = 0; off < len; off += PIECE) {
        for (unsigned j = 0; j < m; j++) {
            src[j] = waves[j] + off;
            dst[j] = scratch[j];
        }
        engine->apply(s->coef + s->n * m, checks, m, src, dst, piece(off, len));
        for (unsigned j = 0; j < checks; j++) {
            if (!all_zero(scratch[j], piece(off, len)))
                return false;
        }
    }
    return true;
}

int ecc_suspect(const struct ecc_engine *engine, const struct ecc_code *code, const uint8_t *const *waves, size_t len,
                const uint8_t *erased, unsigned n_erased)
{
    struct solution s = { .n = n_erased + 1 };
    if (n_erased + 2 > code->m)
        return -1;
    for (unsigned i = 0; i < n_erased; i++)
        s.gone[i] = erased[i];
    for (unsigned i = 0; i < code->n; i++) {
        if (memchr(s.gone, (int)i, n_erased))
            continue;
        s.gone[n_erased] = (uint8_t)i;
        fill_checks(code, &s);
        if (explains(engine, code, &s, waves, len))
            return (int)i;
    }
    return -1;
}

static bool is_erased(const struct rebuild *b, uint32_t stripe, unsigned member, uint32_t *x)
{
    *x = ecc_layout_position(&b->layout, b->code->k, stripe, member);
    return *x != UINT32_MAX && b->erased[*x];
}

/* Find the stripe's erased members; as many as there are, those beyond m uncounted in gone. */
static unsigned find_erased(const struct rebuild *b, uint32_t stripe, uint8_t gone[ECC_M_MAX])
{
    unsigned n = 0;
    uint32_t x;
    for (unsigned i = 0; i < b->code->n; i++) {
        if (!is_erased(b, stripe, i, &x))
            continue;
        if (n < b->code->m)
            gone[n] = (uint8_t)i;
        n++;
    }
    return n;
}

/* The first `write` members that s says are gone, from the stripe's waves. */
static void rebuild_members(struct rebuild *b, uint32_t stripe, const struct solution *s, unsigned write, const uint8_t *const *waves)
{
    uint8_t *dst[ECC_M_MAX];
    for (unsigned i = 0; i < write; i++)
        dst[i] = b->stored + ecc_layout_position(&b->layout, b->code->k, stripe, s->gone[i]) * b->block_size;
    ecc_plan_cpu(b->plan)->apply(s->coef, write, b->code->m, waves, dst, b->block_size);
}

/* Something is erased, and more is wrong: is it one member? */
static enum ecc_verdict blame(struct rebuild *b, uint32_t stripe, const uint8_t *const *waves)
{
    struct solution s = b->last;
    int suspect = ecc_suspect(ecc_plan_cpu(b->plan), b->code, waves, b->block_size, s.gone, s.n);
    if (suspect < 0 || ecc_layout_position(&b->layout, b->code->k, stripe, (unsigned)suspect) == UINT32_MAX)
        return ECC_DISAGREES;
    s.gone[s.n++] = (uint8_t)suspect;
    fill_blocks(b->code, &s);
    rebuild_members(b, stripe, &s, s.n - 1, waves);
    b->suspect[stripe] = (uint8_t)suspect;
    return ECC_EXPLAINED;
}

static enum ecc_verdict judge(struct rebuild *b, uint32_t stripe, bool dirty)
{
    const struct ecc_engine *cpu = ecc_plan_cpu(b->plan);
    const uint8_t *waves[ECC_M_MAX];
    uint8_t gone[ECC_M_MAX];
    unsigned n = find_erased(b, stripe, gone);
    if (n == 0)
        return dirty ? ECC_DISAGREES : ECC_AGREES;
    if (n > b->code->m)
        return ECC_TOO_MANY;
    if (n != b->last.n || memcmp(gone, b->last.gone, n) != 0) {
        b->last.n = n;
        memcpy(b->last.gone, gone, n);
        fill_blocks(b->code, &b->last);
        fill_checks(b->code, &b->last);
    }
    for (unsigned j = 0; j < b->code->m; j++)
        waves[j] = b->waves + ((size_t)j * b->layout.D + stripe) * b->block_size;
    rebuild_members(b, stripe, &b->last, n, waves);
    if (n == b->code->m || explains(cpu, b->code, &b->last, waves, b->block_size))
        return ECC_REBUILT;
    return blame(b, stripe, waves);
}

/* Zeros where something is erased that can come back. Is there anything? */
static bool clear_erased(struct rebuild *b)
{
    bool any = false;
    for (uint32_t t = 0; t < b->layout.D; t++) {
        uint8_t gone[ECC_M_MAX];
        uint32_t x;
        unsigned n = find_erased(b, t, gone);
        for (unsigned i = 0; i < n && n <= b->code->m; i++) {
            if (is_erased(b, t, gone[i], &x))
                memset(b->stored + x * b->block_size, 0, b->block_size);
            any = true;
        }
    }
    return any;
}

int ecc_rebuild_container(struct ecc_plan *plan, const struct ecc_code *code, size_t block_size, const struct ecc_layout *layout,
                          uint8_t *stored, const uint8_t *erased, uint8_t *waves, uint8_t *verdict, uint8_t *suspect)
{
    struct rebuild b = { .plan = plan, .code = code, .block_size = block_size, .layout = *layout, .stored = stored, .waves = waves,
                         .verdict = verdict, .suspect = suspect, .erased = erased };
    bool any = clear_erased(&b);
    assert(waves || !any);
    const struct ecc_container c = { .layout = *layout, .stored = stored, .out = any ? waves : NULL, .dirty = verdict };
    int e = ecc_plan_containers(plan, ECC_SYNDROME, code, block_size, &c, 1);
    for (uint32_t t = 0; t < layout->D && !e; t++)
        verdict[t] = (uint8_t)judge(&b, t, verdict[t] != 0);
    return e;
}
