/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_damage.c: the bytes of a subject of holo bench ecc, and what happens to them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_ecc.h"

const struct ecc_engine *bench_best_engine(void)
{
    const struct ecc_engine *best = NULL;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        best = (*e)->supported() ? *e : best;
    return best;
}

uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* A state that is never 0, and differs for neighbouring seeds. */
static uint64_t random_start(uint64_t seed)
{
    return (seed + 1) * 0x9e3779b97f4a7c15u | 1;
}

static void fill(uint8_t *p, uint64_t len, uint64_t seed)
{
    uint64_t state = random_start(seed);
    for (uint64_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t v = bench_random(&state);
        memcpy(p + i, &v, len - i < sizeof(v) ? len - i : sizeof(v));
    }
}

int bench_subject_init(struct bench_subject *s, uint64_t seed)
{
    uint64_t room = (s->stored_len + 4095) / 4096 * 4096;
    s->original = aligned_alloc(4096, room);
    s->work = aligned_alloc(4096, room);
    if (!s->original || !s->work)
        return -ENOMEM;
    memset(s->original, 0, room);
    memset(s->work, 0, room);
    fill(s->original, s->data_len, seed);
    memcpy(s->work, s->original, s->data_len);
    return 0;
}

void bench_subject_fini(struct bench_subject *s)
{
    free(s->original);
    free(s->work);
}

/* Gaps between the bytes that are hit are geometric. */
void bench_flip(struct bench_subject *s, uint64_t seed, double chance)
{
    uint64_t state = random_start(seed);
    double log_spared = log1p(-chance);
    for (uint64_t at = 0;; at++) {
        double u = ((double)(bench_random(&state) >> 11) + 1) / 0x1p53, gap = floor(log(u) / log_spared);
        if (gap >= (double)(s->stored_len - at))
            return;
        at += (uint64_t)gap;
        s->work[at] ^= (uint8_t)(1 + (bench_random(&state) >> 32) % 255);
    }
}

void bench_lose(struct bench_subject *s, uint64_t seed)
{
    uint64_t state = random_start(seed), len = s->burst_len < s->burst_room ? s->burst_len : s->burst_room;
    uint64_t places = (s->burst_room - len) / s->burst_unit + 1;
    s->lost_len = len;
    s->lost_from = bench_random(&state) % places * s->burst_unit;
    fill(s->work + s->lost_from, s->lost_len, seed);
}
