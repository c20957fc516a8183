/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stripe.c: judge the blocks of a stripe and decode it, with and without checksums to ask. */
#include "core/stripe.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/sum.h"

void stripe_place(const struct copen *o, uint32_t number, uint8_t *mem, size_t step, struct stripe *s)
{
    const struct ecc_layout l = { .used = o->h.used, .D = o->h.D };
    s->n = o->h.k + o->h.m;
    for (unsigned i = 0; i < s->n; i++) {
        s->pos[i] = ecc_layout_position(&l, o->h.k, number, i);
        s->block[i] = s->pos[i] == UINT32_MAX ? NULL : mem + i * step;
        s->state[i] = ECC_RIGHT;
        s->changed[i] = false;
    }
}

int stripe_judge(struct holofs *fs, struct copen *o, struct stripe *s, unsigned i, bool readable)
{
    s->state[i] = ECC_MISSING;
    s->sum[i] = 0;
    if (!readable)
        return 0;
    s->sum[i] = chead_block_sum(fs->sb.uuid, o->h.id, s->pos[i], s->block[i]);
    int verdict = container_judge(fs, o, s->pos[i], s->sum[i]);
    if (verdict < 0)
        return verdict;
    s->state[i] = verdict == BLOCK_RIGHT ? ECC_RIGHT : verdict == BLOCK_WRONG ? ECC_WRONG : ECC_UNSURE;
    if (verdict == BLOCK_WRONG)
        COUNT(fs, checksum_failures, 1);
    return 0;
}

uint64_t stripe_digest(struct holofs *fs, struct copen *o, const struct stripe *s)
{
    struct {
        uint64_t sum;
        uint8_t state, sure, zero[6];
    } member[ECC_N_MAX] = { { 0 } };
    for (unsigned i = 0; i < s->n; i++) {
        if (!s->block[i])
            continue;
        member[i].sum = s->sum[i];
        member[i].state = s->state[i];
        member[i].sure = container_table_intact(fs, o, s->pos[i]);
    }
    return sum64(member, s->n * sizeof(member[0]), 0);
}

/* What the decoder asks with. */
struct asking {
    struct holofs *fs;
    struct copen *o;
    struct stripe *s;
    bool doubt; /* entries of damaged table blocks may say yes, but not no */
};

static int confirm(void *arg, unsigned member, const uint8_t *block)
{
    const struct asking *a = arg;
    uint32_t x = a->s->pos[member];
    int verdict = container_judge(a->fs, a->o, x, chead_block_sum(a->fs->sb.uuid, a->o->h.id, x, block));
    if (verdict == BLOCK_RIGHT)
        return 1;
    return verdict == BLOCK_WRONG && !(a->doubt && !container_table_intact(a->fs, a->o, x)) ? 0 : -1;
}

/* Entries may be wrong as well: blocks that fail doubtful ones become unsure. Returns whether any is unsure now. */
static bool doubt_entries(struct asking *a)
{
    struct stripe *s = a->s;
    bool any = false;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->state[i] == ECC_WRONG && !container_table_intact(a->fs, a->o, s->pos[i]))
            s->state[i] = ECC_UNSURE;
        any |= s->state[i] == ECC_UNSURE;
    }
    a->doubt = true;
    return any;
}

static bool all_zero(const struct stripe *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        const uint8_t *b = s->block[i];
        if (b && (b[0] || memcmp(b, b + 1, BLOCK_SIZE - 1) != 0))
            return false;
    }
    return true;
}

/*
 * Take the blocks without a checksum as they are and rebuild the others that are not right. They are right if parity that
 * is left over agrees; the rebuilt ones have checksums to ask besides.
 */
static bool trust_agreement(struct asking *a, const struct ecc_code *code)
{
    struct stripe *s = a->s;
    unsigned bad[ECC_N_MAX], n = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->state[i] == ECC_WRONG || s->state[i] == ECC_MISSING)
            bad[n++] = i;
    }
    if (n >= a->o->h.m || all_zero(s))
        return false;
    if (ecc_rebuild(a->fs->engine, code, s->block, bad, n, BLOCK_SIZE) ||
        !ecc_parity_agrees(a->fs->engine, code, (const uint8_t *const *)s->block, a->fs->repair_sums, BLOCK_SIZE))
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (confirm(a, bad[i], s->block[bad[i]]) == 0)
            return false;
    }
    memset(s->state, ECC_RIGHT, s->n);
    return true;
}

static int decode(struct asking *a, const struct ecc_code *code, struct ecc_decoded *out)
{
    struct stripe *s = a->s;
    const struct ecc_damage damage = { .engine = a->fs->engine, .code = code, .blocks = s->block, .state = s->state, .len = BLOCK_SIZE,
                                       .confirm = confirm, .confirm_arg = a };
    struct ecc_decoded more;
    int e = ecc_decode(a->fs->decoder, &damage, out);
    if (!e || !doubt_entries(a))
        return e;
    e = ecc_decode(a->fs->decoder, &damage, &more);
    out->repaired += more.repaired;
    out->corrected_bytes += more.corrected_bytes;
    return !e || trust_agreement(a, code) ? 0 : e;
}

int stripe_code(struct holofs *fs, const struct copen *o, struct ecc_code **own, const struct ecc_code **out)
{
    *own = NULL;
    *out = fs->code[o->h.r];
    if (*out && o->h.k == fs->sb.k && o->h.seed_base == fs->sb.seed_base)
        return 0;
    int e = ecc_code_create(o->h.k, o->h.m, o->h.seed_base, own);
    *out = *own;
    return e;
}

static void count_decode(struct holofs *fs, const struct copen *o, unsigned errors, const struct ecc_decoded *d, uint64_t ns, bool good)
{
    COUNT(fs, decode_ops, 1);
    COUNT(fs, decode_bytes, (uint64_t)o->h.k * BLOCK_SIZE);
    COUNT(fs, decode_ns, ns);
    fs->count.last_decode_ns = ns;
    COUNT(fs, errors_detected, errors);
    COUNT(fs, corrected_bytes, d->corrected_bytes);
    if (good)
        COUNT(fs, decode_success, 1);
    else
        COUNT(fs, decode_fail, 1);
}

/* Blocks that were not right and are now have another checksum than before, unless they were only unsure. */
static void note_changes(struct holofs *fs, const struct copen *o, struct stripe *s, const uint8_t *was)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (was[i] == ECC_RIGHT || s->state[i] != ECC_RIGHT)
            continue;
        uint64_t sum = chead_block_sum(fs->sb.uuid, o->h.id, s->pos[i], s->block[i]);
        s->changed[i] = was[i] == ECC_MISSING || sum != s->sum[i];
        s->sum[i] = sum;
    }
}

int stripe_decode(struct holofs *fs, struct copen *o, struct stripe *s)
{
    uint8_t was[ECC_N_MAX];
    struct asking a = { .fs = fs, .o = o, .s = s };
    struct ecc_decoded d = { 0 };
    struct ecc_code *own;
    const struct ecc_code *code;
    unsigned errors = 0;
    memcpy(was, s->state, s->n);
    for (unsigned i = 0; i < s->n; i++)
        errors += was[i] != ECC_RIGHT;
    if (errors == 0)
        return 0;
    int e = stripe_code(fs, o, &own, &code);
    if (e)
        return e;
    uint64_t t0 = clock_mono_ns();
    e = decode(&a, code, &d);
    count_decode(fs, o, errors, &d, clock_mono_ns() - t0, e == 0);
    note_changes(fs, o, s, was);
    ecc_code_destroy(own);
    return e;
}
