/* SPDX-License-Identifier: GPL-2.0-or-later */
/* whole.c: rebuild and judge a container in memory. */
#include "core/whole.h"

#include <stdlib.h>

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
    return w->stored && w->erased && w->verdict ? 0 : -ENOMEM;
}

void whole_fini(struct whole *w)
{
    if (!w->fs)
        return;
    big_put(w->fs, w->stored);
    free(w->erased);
    free(w->verdict);
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
    int e = ecc_rebuild_container(w->fs->plan, w->code, BLOCK_SIZE, &l, w->stored, w->erased, waves, w->verdict);
    engine_tell(w->fs);
    big_put(w->fs, waves);
    if (erased)
        COUNT(w->fs, decode_ns, clock_mono_ns() - t0);
    return e;
}

/* Ask the CPU once more: what an engine says in passing is no ground for an accusation. */
static bool contradicts(const struct whole *w, uint32_t stripe, uint8_t *scratch)
{
    const struct ecc_layout l = { .used = w->o->h.used, .D = w->o->h.D };
    const uint8_t *block[ECC_N_MAX];
    for (unsigned i = 0; i < w->o->h.k + w->o->h.m; i++) {
        uint32_t x = ecc_layout_position(&l, w->o->h.k, stripe, i);
        block[i] = x == UINT32_MAX ? NULL : w->stored + (size_t)x * BLOCK_SIZE;
    }
    return !ecc_parity_agrees(w->fs->engine, w->code, block, scratch, BLOCK_SIZE);
}

uint32_t whole_tell_disagreements(struct whole *w)
{
    uint32_t D = w->o->h.D, all = 0;
    uint8_t *scratch = NULL;
    for (uint32_t t = 0, run = 0; t < D; t += run + 1, run = 0) {
        while (t + run < D && w->verdict[t + run] == ECC_DISAGREES) {
            scratch = scratch ? scratch : big_get(w->fs, (size_t)w->o->h.m * BLOCK_SIZE);
            if (scratch && !contradicts(w, t + run, scratch))
                break;
            run++;
        }
        if (run)
            event_add(w->fs, "parity_disagrees", "s:i, s:i, s:i", "container", (int)w->o->h.id, "stripe", (int)t, "stripes", (int)run);
        all += run;
    }
    big_put(w->fs, scratch);
    COUNT(w->fs, parity_disagrees, all);
    return all;
}
