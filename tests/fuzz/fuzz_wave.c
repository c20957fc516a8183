/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_wave.c: a byte string and its parity string with any damage, decoded; and any bytes taken for a parity string.
 *
 * Input: flags, redundancy, seed_base, length and contents, then damage (enum harm). Success must mean the bytes that were
 * encoded, of both strings; failure that neither was changed. At most R wrong bytes, or one lost range of the data as long as the header
 * of the library promises, must come back. STRANGE: the rest of the input is the parity string instead.
 */
#include "tests/fuzz/fuzz.h"

#include "ecc/wave_ecc.h"

enum harm { HARM_FLIP, HARM_FLIP_PARITY, HARM_LOSE, HARM_LOSE_UNTOLD, HARM_SWAP, HARM_ZERO_PARITY, HARMS };
enum { STRANGE = 1, OTHER_R = 2, OTHER_SEED = 4, OTHER_LEN = 8, MAY_MISMATCH = 16, LEN_MAX = 6000, HARMS_MAX = 60, RANGES_MAX = 8 };

struct string {
    unsigned R;
    uint32_t seed_base;
    size_t len, parity_len;
    uint8_t *data, *parity, *original, *original_parity;
    struct wave_ecc_range lost[RANGES_MAX];
    size_t n_lost;
};

static void make(struct fuzz_in *in, struct string *s)
{
    s->R = WAVE_ECC_REDUNDANCY_MIN + in_below(in, WAVE_ECC_REDUNDANCY_MAX);
    s->seed_base = in_u16(in);
    s->len = 1 + in_below(in, LEN_MAX);
    s->parity_len = wave_ecc_parity_len(s->len, s->R);
    FUZZ_CHECK(s->parity_len > 0 && (s->len < 1024 || s->R > 5 || s->parity_len * 10 <= s->len * 6));
    s->data = malloc(s->len);
    s->parity = malloc(s->parity_len);
    FUZZ_CHECK(s->data && s->parity);
    uint8_t contents = in_u8(in);
    fuzz_fill(contents, s->data, s->len);
    if (contents == 0)
        memset(s->data, 0, s->len);
    FUZZ_CHECK(wave_ecc_encode(s->data, s->len, s->R, s->seed_base, s->parity) == 0);
    s->original = fuzz_exact(s->data, s->len);
    s->original_parity = fuzz_exact(s->parity, s->parity_len);
}

static void lose(struct fuzz_in *in, struct string *s, bool tell)
{
    uint64_t from = in_below(in, (uint32_t)(s->len + s->parity_len)), n = in_below(in, (uint32_t)(1 + s->len / 8));
    uint64_t end = from + n < s->len + s->parity_len ? from + n : s->len + s->parity_len;
    for (uint64_t i = from; i < end; i++)
        *(i < s->len ? s->data + i : s->parity + (i - s->len)) = (uint8_t)(i * 31);
    if (tell && s->n_lost < RANGES_MAX)
        s->lost[s->n_lost++] = (struct wave_ecc_range){ from, n + (in_u8(in) & 1 ? UINT32_MAX : 0) * (uint64_t)(end == s->len + s->parity_len) };
}

static void harm(struct fuzz_in *in, struct string *s)
{
    switch ((enum harm)(in_u8(in) % HARMS)) {
    case HARM_FLIP:
        s->data[in_u16(in) % s->len] ^= in_u8(in);
        break;
    case HARM_FLIP_PARITY:
        s->parity[in_u16(in) % s->parity_len] ^= in_u8(in);
        break;
    case HARM_LOSE:
        lose(in, s, true);
        break;
    case HARM_LOSE_UNTOLD:
        lose(in, s, false);
        break;
    case HARM_SWAP: {
        size_t a = in_u16(in) % s->len, b = in_u16(in) % s->len;
        uint8_t t = s->data[a];
        s->data[a] = s->data[b];
        s->data[b] = t;
        break;
    }
    case HARM_ZERO_PARITY: {
        size_t from = in_u16(in) % s->parity_len, n = in_u8(in);
        memset(s->parity + from, 0, n < s->parity_len - from ? n : s->parity_len - from);
        break;
    }
    case HARMS:
        break;
    }
}

static uint64_t different(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

/* Within what wave_ecc.h promises of every string. */
static bool must_come_back(const struct string *s, uint64_t wrong)
{
    return s->n_lost == 0 && wrong <= s->R;
}

static void decode(const struct string *s)
{
    uint8_t *data = fuzz_exact(s->data, s->len), *parity = fuzz_exact(s->parity, s->parity_len);
    uint64_t wrong = different(s->data, s->original, s->len) + different(s->parity, s->original_parity, s->parity_len), corrected = 77;
    int rc = wave_ecc_decode_erasures(data, s->len, parity, s->R, s->seed_base, s->lost, s->n_lost, &corrected);
    FUZZ_CHECK(wave_ecc_strerror(rc));
    if (rc == 0) {
        FUZZ_CHECK(memcmp(data, s->original, s->len) == 0 && memcmp(parity, s->original_parity, s->parity_len) == 0);
        FUZZ_CHECK(corrected == wrong);
    } else {
        FUZZ_CHECK(rc < 0 && corrected == 0 && !must_come_back(s, wrong));
        FUZZ_CHECK(memcmp(data, s->data, s->len) == 0 && memcmp(parity, s->parity, s->parity_len) == 0);
    }
    free(data);
    free(parity);
}

/* What was made with other parameters is refused, and nothing is touched. */
static void decode_mismatched(const struct string *s, uint8_t flags)
{
    unsigned R = s->R % WAVE_ECC_REDUNDANCY_MAX + (flags & OTHER_R ? 1 : 0);
    uint32_t seed_base = s->seed_base + (flags & OTHER_SEED ? 1 : 0);
    size_t len = s->len - (flags & OTHER_LEN && s->len > 1 ? 1 : 0);
    R = R ? R : 1;
    if (R == s->R && seed_base == s->seed_base && len == s->len)
        return;
    size_t parity_len = wave_ecc_parity_len(len, R), given = parity_len < s->parity_len ? parity_len : s->parity_len;
    uint8_t *data = fuzz_exact(s->original, len), *parity = calloc(1, parity_len);
    FUZZ_CHECK(parity);
    memcpy(parity, s->original_parity, given);
    uint8_t *before = fuzz_exact(parity, parity_len);
    uint64_t corrected = 77;
    FUZZ_CHECK(wave_ecc_decode(data, len, parity, R, seed_base, &corrected) < 0 && corrected == 0);
    FUZZ_CHECK(memcmp(data, s->original, len) == 0 && memcmp(parity, before, parity_len) == 0);
    free(before);
    free(parity);
    free(data);
}

/* Any bytes. A claim to be a parity string must be one that could be. */
static void strange(struct fuzz_in *in, struct string *s)
{
    struct wave_ecc_info info;
    size_t n = in->left;
    uint8_t *parity = fuzz_exact(in->p, n);
    int rc = wave_ecc_inspect(parity, n, &info);
    FUZZ_CHECK(rc <= 0);
    if (rc == 0)
        FUZZ_CHECK(info.redundancy >= 1 && info.redundancy <= WAVE_ECC_REDUNDANCY_MAX && wave_ecc_parity_len(info.len, info.redundancy) > 0);
    memset(s->parity, 0, s->parity_len);
    memcpy(s->parity, parity, n < s->parity_len ? n : s->parity_len);
    free(parity);
    uint8_t *data = fuzz_exact(s->data, s->len), *held = fuzz_exact(s->parity, s->parity_len);
    rc = wave_ecc_decode(data, s->len, held, s->R, s->seed_base, NULL);
    if (rc != 0)
        FUZZ_CHECK(memcmp(data, s->data, s->len) == 0 && memcmp(held, s->parity, s->parity_len) == 0);
    free(data);
    free(held);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct fuzz_in in = { input, len };
    struct string s = { 0 };
    uint8_t flags = in_u8(&in);
    make(&in, &s);
    struct wave_ecc_info info;
    FUZZ_CHECK(wave_ecc_inspect(s.parity, s.parity_len, &info) == 0);
    FUZZ_CHECK(info.len == s.len && info.redundancy == s.R && info.seed_base == s.seed_base);
    if (flags & STRANGE) {
        strange(&in, &s);
    } else {
        if (flags & MAY_MISMATCH)
            decode_mismatched(&s, flags);
        for (unsigned i = 0; i < HARMS_MAX && in.left > 0; i++)
            harm(&in, &s);
        decode(&s);
    }
    free(s.data);
    free(s.parity);
    free(s.original);
    free(s.original_parity);
    return 0;
}

/* Strings of 1 byte to some KiB; a few flips, lost ranges, both, a parity string as it is. */
size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    static const uint16_t lens[] = { 0, 9, 99, 1023, 2999, 5999 };
    if (i > 11 || cap < 8192)
        return 0;
    uint16_t len = lens[i % 6];
    uint8_t head[] = { i == 7 ? MAY_MISMATCH | OTHER_R : 0, (uint8_t)(i % 5), 0, 5, 0, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)i };
    memcpy(out, head, sizeof(head));
    size_t at = sizeof(head);
    for (uint8_t n = 0; n < i % 4; n++) {
        const uint8_t flip[] = { n % 2 ? HARM_FLIP_PARITY : HARM_FLIP, (uint8_t)(n * 77), n, (uint8_t)(n + 1) };
        memcpy(out + at, flip, sizeof(flip));
        at += sizeof(flip);
    }
    if (i >= 6) {
        const uint8_t range[] = { i % 2 ? HARM_LOSE : HARM_LOSE_UNTOLD, 3, 0, (uint8_t)(i * 9), 0, 0 };
        memcpy(out + at, range, sizeof(range));
        at += sizeof(range);
    }
    if (i == 11) {
        uint8_t *data = fuzz_exact(out, 10), parity[1024];
        size_t n = wave_ecc_parity_len(10, 2);
        FUZZ_CHECK(n > 0 && n <= sizeof(parity) && wave_ecc_encode(data, 10, 2, 5, parity) == 0);
        const uint8_t strange_head[] = { STRANGE, 1, 0, 5, 0, 9, 0, 3 };
        memcpy(out, strange_head, sizeof(strange_head));
        memcpy(out + sizeof(strange_head), parity, n);
        at = sizeof(strange_head) + n;
        free(data);
    }
    return at;
}
