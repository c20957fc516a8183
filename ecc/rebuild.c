/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rebuild.c: erased blocks of a stripe from k that survived, and whether parity agrees.
 *
 * The first k survivors are read: data, then the parity needed in place of what is lost. The m others, erased or not
 * needed, are the set that ecc_code_solve() does without.
 */
#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "ecc/code.h"

struct split {
    uint8_t gone[ECC_M_MAX], kept[ECC_N_MAX], wanted[ECC_M_MAX];
};

static void split_members(const struct ecc_code *code, const unsigned *erased, unsigned n_erased, struct split *out)
{
    unsigned n_gone = 0, n_kept = 0, next = 0;
    for (unsigned i = 0; i < code->n; i++) {
        bool lost = next < n_erased && erased[next] == i;
        if (lost)
            out->wanted[next++] = (uint8_t)i;
        if (!lost && n_kept < code->k)
            out->kept[n_kept++] = (uint8_t)i;
        else
            out->gone[n_gone++] = (uint8_t)i;
    }
    assert(next == n_erased);
}

int ecc_rebuild(const struct ecc_engine *engine, const struct ecc_code *code, uint8_t *const *blocks, const unsigned *erased,
                unsigned n_erased, size_t len)
{
    struct split split;
    uint8_t coef[ECC_M_MAX * ECC_N_MAX];
    const uint8_t *src[ECC_N_MAX];
    uint8_t *dst[ECC_M_MAX];

    if (n_erased > code->m)
        return -HOLO_EPARITY;
    if (n_erased == 0)
        return 0;
    split_members(code, erased, n_erased, &split);
    ecc_code_solve(code, split.gone, split.kept, split.wanted, n_erased, coef);
    for (unsigned i = 0; i < code->k; i++)
        src[i] = blocks[split.kept[i]];
    for (unsigned r = 0; r < n_erased; r++)
        dst[r] = blocks[erased[r]];
    engine->apply(coef, n_erased, code->k, src, dst, len);
    return 0;
}

bool ecc_parity_agrees(const struct ecc_engine *engine, const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *scratch,
                       size_t len)
{
    uint8_t *parity[ECC_M_MAX];
    for (unsigned r = 0; r < code->m; r++)
        parity[r] = scratch + r * len;
    engine->encode(code, blocks, parity, len);
    for (unsigned r = 0; r < code->m; r++) {
        if (memcmp(parity[r], blocks[code->k + r], len) != 0)
            return false;
    }
    return true;
}
