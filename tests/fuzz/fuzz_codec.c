/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_codec.c: compressed pieces of any bytes, and whether what is compressed comes back.
 *
 * Input: a byte of flags, a byte for the level, two for the length to expand to, then bytes. EXPAND takes them for a compressed piece;
 * else they are compressed, damaged if DAMAGE says so, and expanded.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "store/codec.h"

enum { EXPAND = 1, DAMAGE = 2, SHORT = 4, CANARY = 64, LEN_MAX = 65535, LEVELS = 12 };

/* Expand into exactly raw_len bytes; zstd carries no instrumentation, so its writes are watched by hand. */
static int expand(struct codec_ctx *ctx, const uint8_t *src, size_t len, uint8_t *dst, size_t raw_len)
{
    memset(dst, 0x5c, raw_len + CANARY);
    int e = codec_expand(ctx, src, len, dst, raw_len);
    FUZZ_CHECK(e == 0 || e == -HOLO_ECODEC);
    for (size_t i = 0; i < CANARY; i++)
        FUZZ_CHECK(dst[raw_len + i] == 0x5c);
    return e;
}

static void any_bytes(struct codec_ctx *ctx, struct fuzz_in *in, size_t raw_len)
{
    uint8_t *dst = malloc(raw_len + CANARY), *src = fuzz_exact(in->p, in->left);
    FUZZ_CHECK(dst);
    expand(ctx, src, in->left, dst, raw_len);
    free(src);
    free(dst);
}

static void round_trip(struct codec_ctx *ctx, struct fuzz_in *in, uint8_t flags, int level)
{
    uint32_t at = in_u16(in);
    size_t len = in->left, cap = flags & SHORT ? len : len + len / 2 + 1024;
    uint8_t *src = fuzz_exact(in->p, len), *packed = malloc(cap + CANARY), *back = malloc(len + 1 + CANARY);
    FUZZ_CHECK(packed && back);
    memset(packed, 0x5c, cap + CANARY);
    size_t n = codec_compress(ctx, level, src, len, packed, cap);
    FUZZ_CHECK(n <= cap && packed[cap] == 0x5c);
    FUZZ_CHECK(n > 0 || (flags & SHORT));
    if (n > 0) {
        uint8_t *exact = fuzz_exact(packed, n);
        FUZZ_CHECK(expand(ctx, exact, n, back, len) == 0 && memcmp(back, src, len) == 0);
        FUZZ_CHECK(expand(ctx, exact, n - 1, back, len) != 0);
        FUZZ_CHECK(expand(ctx, exact, n, back, len + 1) != 0);
        if (len > 0)
            FUZZ_CHECK(expand(ctx, exact, n, back, len - 1) != 0);
        exact[at % n] ^= (uint8_t)(1 + at % 255);
        if (flags & DAMAGE)
            expand(ctx, exact, n, back, len);
        free(exact);
    }
    codec_looks_incompressible(src, len);
    free(back);
    free(packed);
    free(src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    struct codec_ctx *ctx;
    uint8_t flags = in_u8(&in), level = in_u8(&in);
    FUZZ_CHECK(codec_ctx_create(&ctx) == 0);
    if (flags & EXPAND)
        any_bytes(ctx, &in, in_u16(&in));
    else
        round_trip(ctx, &in, flags, level % LEVELS - 6);
    codec_ctx_destroy(ctx);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    enum { TEXT = 600 };
    static const char words[] = "a piece of text that shrinks, ";
    struct codec_ctx *ctx;
    uint8_t text[TEXT];
    if (i > 3 || cap < 2 * TEXT)
        return 0;
    for (size_t k = 0; k < TEXT; k++)
        text[k] = (uint8_t)words[k % (sizeof(words) - 1)];
    if (i % 2)
        fuzz_fill(i, text + 100, 300);
    out[0] = i < 2 ? EXPAND : DAMAGE;
    out[1] = (uint8_t)i;
    out[2] = TEXT & 0xff;
    out[3] = TEXT >> 8;
    if (i >= 2) {
        memcpy(out + 4, text, TEXT);
        return 4 + TEXT;
    }
    FUZZ_CHECK(codec_ctx_create(&ctx) == 0);
    size_t n = codec_compress(ctx, 3, text, TEXT, out + 4, cap - 4);
    codec_ctx_destroy(ctx);
    return 4 + n;
}
