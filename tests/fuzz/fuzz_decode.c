/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_decode.c: one stripe of any code with any damage, decoded.
 *
 * Input: k, m, seed, length and contents of a stripe, then damage (enum harm), one piece after the other. Whatever it is, what
 * became RIGHT is the original, and the rest is untouched. Within the power of the code (2·errors + missing ≤ m in each column)
 * everything comes back. Another engine, and a decoder that was used before, do the same.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "base/sum.h"
#include "ecc/decode.h"

enum harm { HARM_FLIP, HARM_LOSE, HARM_NO_SUM, HARM_RUIN, HARM_COLUMN, HARMS };
enum { LEN_MAX = 256, HARMS_MAX = 400 };

struct stripe {
    struct ecc_code *code;
    unsigned k, m, n, engine;
    size_t len;
    uint8_t *original[ECC_N_MAX], *damaged[ECC_N_MAX], *block[ECC_N_MAX];
    uint8_t known[ECC_N_MAX], state[ECC_N_MAX];
    uint64_t sum[ECC_N_MAX];
    bool no_sum[ECC_N_MAX], not_stored[ECC_N_MAX];
};

static int confirm(void *arg, unsigned member, const uint8_t *block)
{
    const struct stripe *s = arg;
    FUZZ_CHECK(member < s->n);
    if (s->no_sum[member])
        return -1;
    return sum64(block, s->len, member) == s->sum[member];
}

static void encode(struct stripe *s)
{
    const uint8_t *data[ECC_N_MAX];
    for (unsigned i = 0; i < s->k; i++)
        data[i] = s->original[i];
    ecc_engine_find("scalar")->encode(s->code, data, s->original + s->k, s->len);
    for (unsigned i = 0; i < s->n; i++)
        s->sum[i] = sum64(s->original[i], s->len, i);
}

static bool make(struct fuzz_in *in, struct stripe *s)
{
    s->m = 2 * (1 + in_below(in, ECC_R_MAX));
    s->k = 1 + in_u8(in) % (ECC_N_MAX - s->m);
    s->n = s->k + s->m;
    s->len = ECC_ALIGN * (1 + in_below(in, LEN_MAX / ECC_ALIGN));
    uint8_t missing_data = in_u8(in), contents = in_u8(in);
    if (ecc_code_create(s->k, s->m, in_u32(in), &s->code) != 0)
        return false;
    s->engine = in_u8(in);
    for (unsigned i = 0; i < s->n; i++) {
        s->original[i] = aligned_alloc(ECC_ALIGN, s->len);
        s->damaged[i] = aligned_alloc(ECC_ALIGN, s->len);
        s->block[i] = aligned_alloc(ECC_ALIGN, s->len);
        FUZZ_CHECK(s->original[i] && s->damaged[i] && s->block[i]);
        s->not_stored[i] = i < s->k && i + missing_data % s->k >= s->k;
        fuzz_fill(contents * 1000u + i, s->original[i], s->len);
        if (s->not_stored[i] || contents == 0)
            memset(s->original[i], 0, s->len);
    }
    encode(s);
    return true;
}

static void harm(struct fuzz_in *in, struct stripe *s)
{
    enum harm how = (enum harm)(in_u8(in) % HARMS);
    unsigned i = in_u8(in) % s->n;
    if (s->not_stored[i])
        return;
    if (how == HARM_LOSE)
        s->known[i] = ECC_MISSING;
    if (how == HARM_NO_SUM)
        s->no_sum[i] = true;
    if (how == HARM_RUIN)
        fuzz_fill(in_u8(in), s->damaged[i], s->len);
    if (how == HARM_FLIP)
        s->damaged[i][in_u16(in) % s->len] ^= in_u8(in);
    if (how == HARM_COLUMN) {
        size_t column = in_u16(in) % s->len;
        for (unsigned n = 1 + in_u8(in) % s->m; n > 0; n--, i = (i + 1) % s->n) {
            if (!s->not_stored[i])
                s->damaged[i][column] ^= (uint8_t)(1 + in_u8(in) % 255);
        }
    }
}

/* What its checksum says of each member, before. */
static void examine(struct stripe *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (s->known[i] == ECC_MISSING)
            fuzz_fill(i, s->damaged[i], s->len);
        else if (s->no_sum[i])
            s->known[i] = ECC_UNSURE;
        else
            s->known[i] = memcmp(s->damaged[i], s->original[i], s->len) == 0 ? ECC_RIGHT : ECC_WRONG;
    }
}

/* Must this come back? What has no checksum in the end is determined by k others, so there may be m of that. */
static bool within_power(const struct stripe *s)
{
    unsigned missing = 0, unsure = 0;
    for (unsigned i = 0; i < s->n; i++) {
        missing += s->known[i] == ECC_MISSING;
        unsure += s->known[i] == ECC_UNSURE;
    }
    for (size_t c = 0; c < s->len; c++) {
        unsigned errors = 0;
        for (unsigned i = 0; i < s->n; i++)
            errors += s->known[i] != ECC_MISSING && s->damaged[i][c] != s->original[i][c];
        if (2 * errors + missing > s->m)
            return false;
    }
    return missing + unsure <= s->m;
}

static uint64_t different(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

static void expect_truth(const struct stripe *s, int rc, const struct ecc_decoded *out)
{
    unsigned repaired = 0, wrong = 0;
    uint64_t corrected = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->state[i] != ECC_RIGHT) {
            wrong++;
            FUZZ_CHECK(s->state[i] == s->known[i] && memcmp(s->block[i], s->damaged[i], s->len) == 0);
            continue;
        }
        FUZZ_CHECK(s->not_stored[i] || memcmp(s->block[i], s->original[i], s->len) == 0);
        if (s->known[i] == ECC_RIGHT)
            continue;
        repaired++;
        corrected += s->known[i] == ECC_MISSING ? s->len : different(s->damaged[i], s->original[i], s->len);
    }
    FUZZ_CHECK(rc == (wrong ? -HOLO_EPARITY : 0));
    FUZZ_CHECK(out->repaired == repaired && out->corrected_bytes == corrected);
}

static int decode(struct stripe *s, struct ecc_decoder *d, const struct ecc_engine *engine)
{
    uint8_t *blocks[ECC_N_MAX];
    struct ecc_decoded out;
    for (unsigned i = 0; i < s->n; i++) {
        memcpy(s->block[i], s->damaged[i], s->len);
        s->state[i] = s->known[i];
        blocks[i] = s->not_stored[i] ? NULL : s->block[i];
    }
    struct ecc_damage damage = { .engine = engine, .code = s->code, .blocks = blocks, .state = s->state, .len = s->len, .confirm = confirm,
                                 .confirm_arg = s };
    int rc = ecc_decode(d, &damage, &out);
    expect_truth(s, rc, &out);
    return rc;
}

static const struct ecc_engine *chosen(unsigned number)
{
    unsigned n = 0;
    while (ecc_engines()[n])
        n++;
    const struct ecc_engine *e = ecc_engines()[number % n];
    return e->supported() ? e : ecc_engines()[0];
}

static void decode_twice(struct stripe *s)
{
    struct ecc_decoder *d;
    FUZZ_CHECK(ecc_decoder_create(s->n, s->len, &d) == 0);
    ecc_decoder_limit(d, 500); /* a hopeless stripe takes milliseconds then, not a second with sanitizers */
    int rc = decode(s, d, chosen(s->engine));
    FUZZ_CHECK(rc == 0 || !within_power(s));
    FUZZ_CHECK(decode(s, d, chosen(s->engine + 1u)) == rc);
    ecc_decoder_destroy(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    struct stripe *s = calloc(1, sizeof(*s));
    FUZZ_CHECK(s);
    if (make(&in, s)) {
        for (unsigned i = 0; i < s->n; i++)
            memcpy(s->damaged[i], s->original[i], s->len);
        for (unsigned i = 0; i < HARMS_MAX && in.left > 0; i++)
            harm(&in, s);
        examine(s);
        decode_twice(s);
    }
    for (unsigned i = 0; i < s->n; i++) {
        free(s->original[i]);
        free(s->damaged[i]);
        free(s->block[i]);
    }
    ecc_code_destroy(s->code);
    free(s);
    return 0;
}

/* R = 1, 3, 10; flips everywhere, with losses, with columns at the limit, with checksums gone. */
size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    static const uint8_t R[] = { 1, 3, 10, 3, 5, 2 };
    if (i >= sizeof(R) || cap < 512)
        return 0;
    const uint8_t head[] = { (uint8_t)(R[i] - 1), 0, (uint8_t)(i == 0 ? 5 : 63), (uint8_t)i, 0, (uint8_t)(i == 3 ? 10 : 0), (uint8_t)(i + 1), 77, 0, 0, 0, (uint8_t)i };
    memcpy(out, head, sizeof(head));
    size_t at = sizeof(head);
    for (uint8_t n = 0; n < 40; n++) {
        const uint8_t flip[] = { HARM_FLIP, (uint8_t)(n * 7), (uint8_t)(n * 37), 0, (uint8_t)(n + 1) };
        memcpy(out + at, flip, sizeof(flip));
        at += sizeof(flip);
    }
    const uint8_t more[][5] = { { HARM_LOSE, 3, HARM_LOSE, 9, HARM_NO_SUM }, { HARM_COLUMN, 5, 9, 0, (uint8_t)(R[i] - 1) },
                                { HARM_RUIN, 8, 3, HARM_NO_SUM, 4 } };
    for (unsigned n = 0; n < i % 4; n++) {
        memcpy(out + at, more[n], sizeof(more[n]));
        at += sizeof(more[n]);
    }
    return at;
}
