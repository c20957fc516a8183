/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_string.c: a byte string as a subject of holo bench ecc: wave_ecc_encode() and wave_ecc_decode() with a chosen engine.
 *
 * Damage hits data and the whole parity string, its header and index included. What is lost is a range of the data: 2R blocks of
 * every stripe, or all of it if the string is short.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ecc/wave_ecc.h"
#include "ecc/wave_string.h"
#include "tools/bench_ecc.h"

struct string {
    struct bench_subject s;
    uint32_t seed_base;
};

static struct string *string_of(struct bench_subject *s)
{
    return (struct string *)s;
}

static void destroy(struct bench_subject *s)
{
    bench_subject_fini(s);
    free(string_of(s));
}

/* A GPU works on whole containers only. A string that does not agree with its parity is repaired: there is no other check. */
static bool can(const struct bench_subject *s, const struct ecc_engine *engine, enum bench_op op)
{
    (void)s;
    return op != OP_CHECK && strcmp(engine->name, "cuda") != 0;
}

static int encode(struct bench_subject *s, const struct ecc_engine *engine)
{
    return wave_encode_with(engine, s->work, s->data_len, s->R, string_of(s)->seed_base, s->work + s->data_len);
}

static int decode(struct bench_subject *s, const struct ecc_engine *engine)
{
    struct wave_ecc_range lost = { s->lost_from, s->lost_len };
    uint64_t corrected;
    return wave_decode_with(engine, s->work, s->data_len, s->work + s->data_len, s->R, string_of(s)->seed_base, &lost, s->lost_len != 0,
                            &corrected);
}

static int check(struct bench_subject *s, const struct ecc_engine *engine)
{
    (void)s;
    (void)engine;
    return -ENOTSUP;
}

/* Nothing is changed by a decode that fails: without the damage it is the original. */
static bool failed_honestly(struct bench_subject *s, uint64_t seed, double flips)
{
    if (flips > 0)
        bench_flip(s, seed, flips);
    memcpy(s->work + s->lost_from, s->original + s->lost_from, s->lost_len);
    return memcmp(s->work, s->original, s->stored_len) == 0;
}

int bench_string_create(uint64_t bytes, unsigned R, uint64_t seed, struct bench_subject **out)
{
    static const struct bench_subject_ops ops = { "string", destroy, can, encode, decode, check, failed_honestly };
    struct wave_shape shape;
    struct string *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->seed_base = (uint32_t)seed;
    int rc = wave_shape_init(&shape, bytes, R, b->seed_base);
    b->s = (struct bench_subject){ .ops = &ops, .R = R, .data_len = bytes, .stored_len = bytes + shape.parity_len };
    b->s.burst_unit = shape.block;
    b->s.burst_len = (uint64_t)shape.m * shape.layout.D * shape.block;
    b->s.burst_room = bytes;
    if (!rc)
        rc = bench_subject_init(&b->s, seed);
    if (!rc)
        rc = encode(&b->s, bench_best_engine());
    if (rc) {
        destroy(&b->s);
        return rc;
    }
    memcpy(b->s.original, b->s.work, b->s.stored_len);
    *out = &b->s;
    return 0;
}
