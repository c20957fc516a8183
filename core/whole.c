/* SPDX-License-Identifier: GPL-2.0-or-later */
/* whole.c: rebuild and judge a container in memory. */
#include "core/whole.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/big.h"
#include "core/engine.h"
#include "core/log.h"
#include "core/stripe.h"

int whole_init(struct holofs *fs, struct copen *o, struct whole *w)
{
    uint32_t n = chead_positions(&o->h);
    *w = (struct whole){ .fs = fs, .o = o };
    int e = stripe_code(fs, o, &w->own, &w->code);
    if (e)
        return e;
    w->stored = big_get(fs, (size_t)n * BLOCK_SIZE);
    w->erased = calloc(n, 1);
    w->verdict = calloc(o->h.D, 1);
    w->suspect = calloc(o->h.D, 1);
    return w->stored && w->erased && w->verdict && w->suspect ? 0 : -ENOMEM;
}

void whole_fini(struct whole *w)
{
    if (!w->fs)
        return;
    big_put(w->fs, w->stored);
    free(w->erased);
    free(w->verdict);
    free(w->suspect);
    ecc_code_destroy(w->own);
}

static bool anything_erased(const struct whole *w)
{
    uint32_t n = chead_positions(&w->o->h);
    for (uint32_t x = 0; x < n; x++) {
        if (w->erased[x])
            return true;
    }
    return false;
}

int whole_solve(struct whole *w)
{
    const struct ecc_layout l = { .used = w->o->h.used, .D = w->o->h.D };
    uint8_t *waves = NULL;
    uint64_t t0 = clock_mono_ns();
    bool erased = anything_erased(w);
    if (erased) {
        waves = big_get(w->fs, (size_t)w->o->h.m * l.D * BLOCK_SIZE);
        if (!waves)
            return -ENOMEM;
        big_pin(w->fs, waves);
    }
    big_pin(w->fs, w->stored);
    int e = ecc_rebuild_container(w->fs->plan, w->code, BLOCK_SIZE, &l, w->stored, w->erased, waves, w->verdict, w->suspect);
    engine_tell(w->fs);
    big_put(w->fs, waves);
    if (erased)
        COUNT(w->fs, decode_ns, clock_mono_ns() - t0);
    return e;
}

enum { NOBODY = 255 };

/* Ask the CPU once more, with all blocks as they are now: what an engine says in passing is no ground for an accusation. */
static bool contradicts(struct whole *w, uint32_t stripe, uint8_t *scratch)
{
    const struct ecc_layout l = { .used = w->o->h.used, .D = w->o->h.D };
    unsigned k = w->o->h.k, m = w->o->h.m;
    const uint8_t *block[ECC_N_MAX];
    uint8_t *wave[ECC_M_MAX];
    bool clean = true;
    for (unsigned i = 0; i < k + m; i++) {
        uint32_t x = ecc_layout_position(&l, k, stripe, i);
        block[i] = x == UINT32_MAX ? NULL : w->stored + (size_t)x * BLOCK_SIZE;
    }
    for (unsigned j = 0; j < m; j++)
        wave[j] = scratch + (size_t)j * BLOCK_SIZE;
    w->fs->engine->syndrome(w->code, block, wave, BLOCK_SIZE);
    for (unsigned j = 0; j < m; j++)
        clean &= wave[j][0] == 0 && memcmp(wave[j], wave[j] + 1, BLOCK_SIZE - 1) == 0;
    int suspect = clean ? -1 : ecc_suspect(w->fs->engine, w->code, (const uint8_t *const *)wave, BLOCK_SIZE, NULL, 0);
    w->suspect[stripe] = suspect >= 0 && block[suspect] ? (uint8_t)suspect : NOBODY;
    return !clean;
}

static void tell(struct whole *w, uint32_t stripe, uint32_t n)
{
    unsigned suspect = w->suspect[stripe];
    const char *what = suspect == NOBODY ? "?" : suspect < w->o->h.k ? "data" : "parity";
    event_add(w->fs, "parity_disagrees", "s:i, s:i, s:i, s:s, s:i", "container", (int)w->o->h.id, "stripe", (int)stripe, "stripes", (int)n,
              "suspect", what, "member", suspect == NOBODY ? -1 : (int)suspect);
}

uint32_t whole_tell_disagreements(struct whole *w)
{
    uint32_t D = w->o->h.D, all = 0, first = 0;
    uint8_t *scratch = NULL;
    for (uint32_t t = 0; t < D; t++) {
        if (w->verdict[t] != ECC_DISAGREES && w->verdict[t] != ECC_EXPLAINED)
            continue;
        scratch = scratch ? scratch : big_get(w->fs, (size_t)w->o->h.m * BLOCK_SIZE);
        w->verdict[t] = scratch && contradicts(w, t, scratch) ? ECC_DISAGREES : ECC_AGREES;
    }
    big_put(w->fs, scratch);
    for (uint32_t t = 0; t < D; t++) { /* neighbours with one suspect together */
        bool told = w->verdict[t] == ECC_DISAGREES;
        first = t > 0 && told && w->verdict[t - 1] == ECC_DISAGREES && w->suspect[t] == w->suspect[t - 1] ? first : t;
        all += told;
        if (told && (t + 1 == D || w->verdict[t + 1] != ECC_DISAGREES || w->suspect[t + 1] != w->suspect[t]))
            tell(w, first, t + 1 - first);
    }
    COUNT(w->fs, parity_disagrees, all);
    return all;
}
