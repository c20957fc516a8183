/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec.c: zstd with memory of its own.
 *
 * zstd's heap contexts shrink and grow their workspace as the sizes of inputs change. A static workspace, made for
 * the worst input up to CODEC_LEN_MAX, never does.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "store/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"

enum { SAMPLE_PIECE = 256, SAMPLE_PIECES = 16, SAMPLE_MIN = 1024 };

struct codec_ctx {
    ZSTD_DCtx *d;
    ZSTD_CCtx *c; /* inside work */
    void *work;
    int work_level;
};

int codec_ctx_create(struct codec_ctx **out)
{
    struct codec_ctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return -ENOMEM;
    ctx->d = ZSTD_createDCtx();
    if (!ctx->d) {
        free(ctx);
        return -ENOMEM;
    }
    *out = ctx;
    return 0;
}

void codec_ctx_destroy(struct codec_ctx *ctx)
{
    if (!ctx)
        return;
    ZSTD_freeDCtx(ctx->d);
    free(ctx->work);
    free(ctx);
}

/* zstd takes its parameters from one of four tables by input size, and within a table they grow with it. */
static size_t work_size(int level)
{
    static const size_t top[] = { 16 << 10, 128 << 10, 256 << 10, CODEC_LEN_MAX };
    size_t most = 0;
    for (size_t i = 0; i < sizeof(top) / sizeof(*top); i++) {
        size_t need = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(level, top[i], 0));
        most = need > most ? need : most;
    }
    return most;
}

/* A context that serves every level up to this one. */
static int work_grow(struct codec_ctx *ctx, int level)
{
    size_t size = work_size(-1); /* negative levels share one table */
    for (int l = 1; l <= level; l++) {
        size_t need = work_size(l);
        size = need > size ? need : size;
    }
    void *work = malloc(size);
    if (!work)
        return -ENOMEM;
    free(ctx->work);
    ctx->work = work;
    ctx->work_level = level;
    ctx->c = ZSTD_initStaticCCtx(work, size);
    return ctx->c ? 0 : -ENOMEM;
}

static int level_known(int level)
{
    if (level == 0)
        return ZSTD_CLEVEL_DEFAULT;
    return level < CODEC_LEVEL_MIN ? CODEC_LEVEL_MIN : level > CODEC_LEVEL_MAX ? CODEC_LEVEL_MAX : level;
}

size_t codec_compress(struct codec_ctx *ctx, int level, const void *src, size_t len, void *dst, size_t cap)
{
    if (len > CODEC_LEN_MAX)
        return 0;
    level = level_known(level);
    if ((!ctx->c || level > ctx->work_level) && work_grow(ctx, level) != 0)
        return 0;
    size_t n = ZSTD_compressCCtx(ctx->c, dst, cap, src, len, level);
    return ZSTD_isError(n) ? 0 : n;
}

int codec_expand(struct codec_ctx *ctx, const void *src, size_t len, void *dst, size_t raw_len)
{
    size_t n = ZSTD_decompressDCtx(ctx->d, dst, raw_len, src, len);
    return n == raw_len ? 0 : -HOLO_ECODEC;
}

/* Four histograms, so that equal neighbours do not wait for each other's increment. */
static void count_bytes(const uint8_t *p, size_t len, uint16_t count[4][256])
{
    for (; len >= 4; p += 4, len -= 4) {
        count[0][p[0]]++;
        count[1][p[1]]++;
        count[2][p[2]]++;
        count[3][p[3]]++;
    }
    while (len--)
        count[0][*p++]++;
}

/*
 * The chance that two bytes of the sample are equal, in 256ths: 1 for random bytes, 1.1 at 7.9 bits of entropy,
 * 3 and more for programs, 10 for text. Collisions instead of logarithms: no tables, and unbiased for short samples.
 */
static double collisions(uint16_t count[4][256], size_t n)
{
    uint64_t pairs = 0;
    for (size_t i = 0; i < 256; i++) {
        uint64_t c = (uint64_t)count[0][i] + count[1][i] + count[2][i] + count[3][i];
        pairs += c * (c - (c > 0));
    }
    return 256.0 * (double)pairs / ((double)n * (double)(n - 1));
}

bool codec_looks_incompressible(const void *src, size_t len)
{
    if (len < SAMPLE_MIN)
        return false;
    uint16_t count[4][256] = { 0 };
    const uint8_t *p = src;
    size_t n = SAMPLE_PIECE * SAMPLE_PIECES;
    if (len <= n) {
        count_bytes(p, len, count);
        n = len;
    } else {
        size_t step = (len - SAMPLE_PIECE) / (SAMPLE_PIECES - 1);
        for (size_t i = 0; i < SAMPLE_PIECES; i++)
            count_bytes(p + i * step, SAMPLE_PIECE, count);
    }
    return collisions(count, n) < 1.15;
}
