/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_container.c: a full container as a subject of holo bench ecc: 64 data blocks a stripe, 4 KiB each, in the layout of docs/FORMAT.md.
 *
 * Encoding is parity by the engine and a checksum of every block. Decoding verifies every block against its checksum, as a scrub
 * does, and gives stripes with damage to ecc_decode(). The checksums are kept apart, undamaged: of the copies of a table
 * one survives what is tried here. Nothing is read from or written to files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/sum.h"
#include "ecc/decode.h"
#include "tools/bench_ecc.h"

enum { K = 64, BLOCK = 4096, CONTAINER_ID = 1 };

static const uint8_t uuid[16] = "holo bench ecc";

struct container {
    struct bench_subject s;
    struct ecc_code *code;
    struct ecc_decoder *decoder;
    struct ecc_layout layout;
    uint32_t positions;
    uint64_t *sum;          /* of each position */
    uint8_t *state, *dirty; /* enum ecc_state of each position; a flag for each stripe */
};

static struct container *container_of(struct bench_subject *s)
{
    return (struct container *)s;
}

static uint64_t block_sum(uint32_t position, const uint8_t *block)
{
    return sum64(block, BLOCK, sum_seed(uuid, CONTAINER_ID, position));
}

static void destroy(struct bench_subject *s)
{
    struct container *c = container_of(s);
    bench_subject_fini(s);
    ecc_code_destroy(c->code);
    ecc_decoder_destroy(c->decoder);
    free(c->sum);
    free(c->state);
    free(c->dirty);
    free(c);
}

/* A GPU works on whole containers; single stripes it leaves to the CPU, which is measured already. */
static bool can(const struct bench_subject *s, const struct ecc_engine *engine, enum bench_op op)
{
    (void)s;
    return strcmp(engine->name, "cuda") != 0 || op == OP_ENCODE || op == OP_CHECK;
}

static int encode(struct bench_subject *s, const struct ecc_engine *engine)
{
    struct container *c = container_of(s);
    struct ecc_container work = { .layout = c->layout, .stored = s->work, .out = s->work + s->data_len };
    int rc = engine->containers(ECC_ENCODE, c->code, BLOCK, &work, 1);
    for (uint32_t x = 0; x < c->positions && rc == 0; x++)
        c->sum[x] = block_sum(x, s->work + (size_t)x * BLOCK);
    return rc;
}

static int check(struct bench_subject *s, const struct ecc_engine *engine)
{
    struct container *c = container_of(s);
    struct ecc_container work = { .layout = c->layout, .stored = s->work, .dirty = c->dirty };
    int rc = engine->containers(ECC_SYNDROME, c->code, BLOCK, &work, 1);
    return rc ? rc : memchr(c->dirty, 1, c->layout.D) != NULL;
}

struct asked {
    const struct container *c;
    uint32_t position[ECC_N_MAX];
};

static int confirm(void *arg, unsigned member, const uint8_t *block)
{
    const struct asked *a = arg;
    return block_sum(a->position[member], block) == a->c->sum[a->position[member]];
}

static int decode_stripe(struct container *c, const struct ecc_engine *engine, uint32_t stripe)
{
    struct asked a = { .c = c };
    uint8_t *blocks[ECC_N_MAX], state[ECC_N_MAX];
    unsigned n = K + 2 * c->s.R, wrong = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t x = ecc_layout_position(&c->layout, K, stripe, i);
        a.position[i] = x;
        blocks[i] = x == UINT32_MAX ? NULL : c->s.work + (size_t)x * BLOCK;
        state[i] = x == UINT32_MAX ? (uint8_t)ECC_RIGHT : c->state[x];
        wrong += state[i] != ECC_RIGHT;
    }
    if (wrong == 0)
        return 0;
    struct ecc_damage damage = { .engine = engine, .code = c->code, .blocks = blocks, .state = state, .len = BLOCK, .confirm = confirm,
                                 .confirm_arg = &a };
    struct ecc_decoded out;
    int rc = ecc_decode(c->decoder, &damage, &out);
    for (unsigned i = 0; i < n; i++) {
        if (blocks[i])
            c->state[a.position[i]] = state[i];
    }
    return rc;
}

static int decode(struct bench_subject *s, const struct ecc_engine *engine)
{
    struct container *c = container_of(s);
    uint64_t lost_end = s->lost_from + s->lost_len;
    for (uint32_t x = 0; x < c->positions; x++) {
        uint64_t at = (uint64_t)x * BLOCK;
        bool lost = s->lost_len && at < lost_end && at + BLOCK > s->lost_from;
        bool right = !lost && block_sum(x, s->work + at) == c->sum[x];
        c->state[x] = (uint8_t)(lost ? ECC_MISSING : right ? ECC_RIGHT : ECC_WRONG);
    }
    int failed = 0;
    for (uint32_t t = 0; t < c->layout.D; t++) {
        int rc = decode_stripe(c, engine, t);
        failed = rc ? rc : failed;
    }
    return failed;
}

/* Stripes that came back are there all the same; no block may be called right that is not. */
static bool failed_honestly(struct bench_subject *s, uint64_t seed, double flips)
{
    const struct container *c = container_of(s);
    (void)seed;
    (void)flips;
    for (uint32_t x = 0; x < c->positions; x++) {
        size_t at = (size_t)x * BLOCK;
        if (c->state[x] == ECC_RIGHT && memcmp(s->work + at, s->original + at, BLOCK) != 0)
            return false;
    }
    return true;
}

int bench_container_create(uint64_t bytes, unsigned R, uint64_t seed, struct bench_subject **out)
{
    static const struct bench_subject_ops ops = { "container", destroy, can, encode, decode, check, failed_honestly };
    struct container *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    uint32_t used = (uint32_t)(bytes / BLOCK);
    c->layout = (struct ecc_layout){ .used = used, .D = ecc_layout_stripes(used, K) };
    c->positions = used + 2 * R * c->layout.D;
    c->s = (struct bench_subject){ .ops = &ops, .R = R, .data_len = (uint64_t)used * BLOCK, .stored_len = (uint64_t)c->positions * BLOCK };
    c->s.burst_len = 2 * (uint64_t)R * c->layout.D * BLOCK;
    c->s.burst_unit = BLOCK;
    c->s.burst_room = c->s.stored_len;
    c->sum = calloc(c->positions, sizeof(*c->sum));
    c->state = calloc(c->positions, 1);
    c->dirty = calloc(c->layout.D, 1);
    int rc = c->sum && c->state && c->dirty ? bench_subject_init(&c->s, seed) : -ENOMEM;
    if (!rc)
        rc = ecc_code_create(K, 2 * R, (uint32_t)seed, &c->code);
    if (!rc)
        rc = ecc_decoder_create(K + 2 * R, BLOCK, &c->decoder);
    if (!rc)
        rc = encode(&c->s, bench_best_engine());
    if (rc) {
        destroy(&c->s);
        return rc;
    }
    memcpy(c->s.original, c->s.work, c->s.stored_len);
    *out = &c->s;
    return 0;
}
