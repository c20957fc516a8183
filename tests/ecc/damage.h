/* SPDX-License-Identifier: GPL-2.0-or-later */
/* damage.h: a stripe that is damaged at random and decoded, always compared with the bytes that were there. */
#ifndef TESTS_ECC_DAMAGE_H
#define TESTS_ECC_DAMAGE_H

#include <math.h>

#include "base/clock.h"
#include "base/sum.h"
#include "ecc/decode.h"
#include "tests/ecc/helper.h"

/* good is what was written, work what is left of it, held what the decoder was given. */
struct patient {
    const struct ecc_code *code;
    struct ecc_decoder *decoder;
    unsigned n;
    size_t len;
    struct stripe good, work, held;
    uint64_t sum[ECC_N_MAX];
    bool sum_lost[ECC_N_MAX];
    uint8_t before[ECC_N_MAX], state[ECC_N_MAX];
    uint64_t asked, ns; /* by the last decoding */
};

static inline void patient_init(struct patient *p, const struct ecc_code *code, size_t len)
{
    *p = (struct patient){ .code = code, .n = ecc_code_k(code) + ecc_code_m(code), .len = len };
    stripe_init(&p->good, p->n, len);
    stripe_init(&p->work, p->n, len);
    stripe_init(&p->held, p->n, len);
    assert_int_equal(ecc_decoder_create(p->n, len, &p->decoder), 0);
}

static inline void patient_fini(struct patient *p)
{
    stripe_fini(&p->good);
    stripe_fini(&p->work);
    stripe_fini(&p->held);
    ecc_decoder_destroy(p->decoder);
}

static inline const struct ecc_engine *fastest(void)
{
    const struct ecc_engine *best = NULL;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        best = (*e)->supported() ? *e : best;
    return best;
}

/* New random data and its checksums; nothing damaged. */
static inline void patient_fill(struct patient *p, uint64_t *random)
{
    for (size_t i = 0; i < ecc_code_k(p->code) * p->len; i += 8)
        memcpy(p->good.bytes + i, &(uint64_t){ next_random(random) }, 8);
    fastest()->encode(p->code, blocks_of(&p->good), p->good.block + ecc_code_k(p->code), p->len);
    for (unsigned i = 0; i < p->n; i++)
        p->sum[i] = sum64(p->good.block[i], p->len, i);
}

/* Everything as it was written. */
static inline void patient_restore(struct patient *p)
{
    memcpy(p->work.bytes, p->good.bytes, p->n * p->len);
    memset(p->state, ECC_RIGHT, p->n);
    memset(p->sum_lost, 0, sizeof(p->sum_lost));
}

static inline void patient_admit(struct patient *p, const struct ecc_code *code, size_t len, uint64_t *random)
{
    patient_init(p, code, len);
    patient_fill(p, random);
    patient_restore(p);
}

static inline void damage_byte(struct patient *p, unsigned member, size_t column, uint64_t *random)
{
    p->work.block[member][column] ^= (uint8_t)(1 + random_below(random, 255));
}

/* Every byte of the members first … end−1 with this chance: the gaps between flips are geometric. */
static inline void damage_flips(struct patient *p, unsigned first, unsigned end, double chance, uint64_t *random)
{
    for (size_t i = first * p->len; chance > 0; i++) {
        double u = ((double)(next_random(random) >> 11) + 1) / 0x1p53;
        double gap = floor(log(u) / log1p(-chance));
        if (gap >= (double)(end * p->len - i))
            break;
        i += (size_t)gap;
        damage_byte(p, (unsigned)(i / p->len), i % p->len, random);
    }
}

static inline void damage_lose(struct patient *p, unsigned member)
{
    memset(p->work.block[member], 0xdb, p->len);
    p->state[member] = ECC_MISSING;
}

static inline void damage_sum(struct patient *p, unsigned member)
{
    p->sum_lost[member] = true;
}

static inline int patient_confirm(void *arg, unsigned member, const uint8_t *block)
{
    struct patient *p = arg;
    p->asked++;
    return p->sum_lost[member] ? -ENOENT : sum64(block, p->len, member) == p->sum[member];
}

/* The states, as a caller would find them out. */
static inline void patient_examine(struct patient *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->state[i] == ECC_MISSING)
            continue;
        int right = patient_confirm(p, i, p->work.block[i]);
        p->state[i] = right < 0 ? ECC_UNSURE : right ? ECC_RIGHT : ECC_WRONG;
    }
    p->asked = 0;
}

static inline uint64_t damaged_bytes(const struct patient *p, unsigned member)
{
    uint64_t n = 0;
    for (size_t c = 0; c < p->len; c++)
        n += p->before[member] == ECC_MISSING || p->held.block[member][c] != p->good.block[member][c];
    return n;
}

/* Decode, and check every law that holds whatever the damage is. Returns what ecc_decode did. */
static inline int patient_decode(struct patient *p, const struct ecc_engine *engine, struct ecc_decoded *out)
{
    struct ecc_damage damage = { engine, p->code, p->work.block, p->state, p->len, patient_confirm, p };
    memcpy(p->held.bytes, p->work.bytes, p->n * p->len);
    memcpy(p->before, p->state, p->n);
    uint64_t begin = clock_mono_ns();
    int e = ecc_decode(p->decoder, &damage, out);
    p->ns = clock_mono_ns() - begin;
    unsigned became = 0, left = 0;
    uint64_t corrected = 0;
    for (unsigned i = 0; i < p->n; i++) {
        const struct stripe *expected = p->state[i] == ECC_RIGHT ? &p->good : &p->held;
        if (p->state[i] != ECC_MISSING)
            assert_memory_equal(p->work.block[i], expected->block[i], p->len);
        if (p->state[i] == ECC_RIGHT && p->before[i] != ECC_RIGHT) {
            became++;
            corrected += damaged_bytes(p, i);
        }
        left += p->state[i] != ECC_RIGHT;
        assert_true(p->state[i] == p->before[i] || p->state[i] == ECC_RIGHT);
    }
    assert_int_equal(out->repaired, became);
    assert_int_equal(out->corrected_bytes, corrected);
    assert_int_equal(e == 0, left == 0);
    return e;
}

#endif
