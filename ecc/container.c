/* SPDX-License-Identifier: GPL-2.0-or-later */
/* container.c: erased blocks of a whole container from its waves. */
#include "ecc/container.h"

#include <assert.h>
#include <string.h>

#include "ecc/code.h"
#include "ecc/field.h"

enum { PIECE = 2048 };

struct rebuild {
    struct ecc_plan *plan;
    const struct ecc_code *code;
    size_t block_size;
    struct ecc_layout layout;
    uint8_t *stored, *waves, *verdict;
    const uint8_t *erased;
    /* the last stripe's, used again when the next one lost the same members, as in a burst */
    unsigned n;
    uint8_t gone[ECC_M_MAX];
    uint8_t coef[ECC_M_MAX * ECC_M_MAX]; /* m × m: erased blocks from waves, then sums of waves that must be 0 */
};

/* p ← p·(x + root); p has `degree` + 1 coefficients, lowest first, and room for one more. */
static void multiply(uint8_t *p, unsigned degree, uint8_t root)
{
    p[degree + 1] = p[degree];
    for (unsigned i = degree; i > 0; i--)
        p[i] = p[i - 1] ^ field_mul(p[i], root);
    p[0] = field_mul(p[0], root);
}

/*
 * With X = α^e: block e is Σ_j a_j·S_(s+j) where a(x) = X^(−s)·Π (x + X_i) / (X + X_i) over the other erased i, because
 * a(X_i) is 0 for those. And Λ(x) = Π (x + X_i) over all of them makes Σ_i Λ_i·S_(s+j+i) vanish for every j.
 */
static void solve(struct rebuild *b)
{
    unsigned m = b->code->m;
    uint8_t locator[ECC_M_MAX + 1] = { 1 };
    memset(b->coef, 0, sizeof(b->coef));
    for (unsigned i = 0; i < b->n; i++) {
        uint8_t a[ECC_M_MAX + 1] = { 1 };
        unsigned degree = 0, divisor = b->gone[i] * b->code->s;
        for (unsigned j = 0; j < b->n; j++) {
            if (j == i)
                continue;
            multiply(a, degree++, field_exp(b->gone[j]));
            divisor += field_log(field_exp(b->gone[i]) ^ field_exp(b->gone[j]));
        }
        uint8_t scale = field_exp(FIELD_ORDER - divisor % FIELD_ORDER);
        for (unsigned j = 0; j < b->n; j++)
            b->coef[i * m + j] = field_mul(a[j], scale);
        multiply(locator, i, field_exp(b->gone[i]));
    }
    for (unsigned r = b->n; r < m; r++)
        memcpy(b->coef + r * m + (r - b->n), locator, b->n + 1);
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

/* The erased blocks of the stripe, piece by piece. Do the waves that are left over agree? */
static bool rebuild_stripe(struct rebuild *b, uint32_t stripe)
{
    static const uint8_t zeros[PIECE];
    unsigned m = b->code->m;
    uint8_t scratch[ECC_M_MAX][PIECE], *dst[ECC_M_MAX];
    const uint8_t *src[ECC_M_MAX];
    bool agrees = true;
    for (size_t off = 0; off < b->block_size; off += PIECE) {
        size_t len = b->block_size - off < PIECE ? b->block_size - off : PIECE;
        for (unsigned j = 0; j < m; j++) {
            src[j] = b->waves + ((size_t)j * b->layout.D + stripe) * b->block_size + off;
            dst[j] = scratch[j];
        }
        for (unsigned i = 0; i < b->n; i++)
            dst[i] = b->stored + ecc_layout_position(&b->layout, b->code->k, stripe, b->gone[i]) * b->block_size + off;
        ecc_plan_cpu(b->plan)->apply(b->coef, m, m, src, dst, len);
        for (unsigned j = b->n; j < m; j++)
            agrees &= memcmp(scratch[j], zeros, len) == 0;
    }
    return agrees;
}

static enum ecc_verdict judge(struct rebuild *b, uint32_t stripe, bool dirty)
{
    uint8_t gone[ECC_M_MAX];
    unsigned n = find_erased(b, stripe, gone);
    if (n == 0)
        return dirty ? ECC_DISAGREES : ECC_AGREES;
    if (n > b->code->m)
        return ECC_TOO_MANY;
    if (n != b->n || memcmp(gone, b->gone, n) != 0) {
        b->n = n;
        memcpy(b->gone, gone, n);
        solve(b);
    }
    return rebuild_stripe(b, stripe) ? ECC_REBUILT : ECC_DISAGREES;
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
                          uint8_t *stored, const uint8_t *erased, uint8_t *waves, uint8_t *verdict)
{
    struct rebuild b = { .plan = plan, .code = code, .block_size = block_size, .layout = *layout, .stored = stored, .waves = waves,
                         .verdict = verdict, .erased = erased };
    bool any = clear_erased(&b);
    assert(waves || !any);
    const struct ecc_container c = { .layout = *layout, .stored = stored, .out = any ? waves : NULL, .dirty = verdict };
    int e = ecc_plan_containers(plan, ECC_SYNDROME, code, block_size, &c, 1);
    for (uint32_t t = 0; t < layout->D && !e; t++)
        verdict[t] = (uint8_t)judge(&b, t, verdict[t] != 0);
    return e;
}
