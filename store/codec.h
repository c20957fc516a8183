/* SPDX-License-Identifier: GPL-2.0-or-later */
/* codec.h: compression of chunks: zstd (https://facebook.github.io/zstd), and a guess at what will not shrink. */
#ifndef HOLO_STORE_CODEC_H
#define HOLO_STORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

/* The numbers are on disk. */
enum codec_id { CODEC_RAW = 0, CODEC_ZSTD = 1 };

enum { CODEC_LEVEL_MIN = -50, CODEC_LEVEL_MAX = 19, CODEC_LEN_MAX = 1 << 20 };

struct codec_ctx;

/*
 * Working memory for one thread at a time. It is sized at the first compression at a level above the highest
 * so far (0.6 MiB at level 1, 1.3 at 3, 18 at 19); no other call allocates.
 */
int codec_ctx_create(struct codec_ctx **out);
void codec_ctx_destroy(struct codec_ctx *ctx);

/*
 * Compress into one ordinary zstd frame with content size and without checksum, so that people can expand it
 * with the zstd command as well.
 * @level: CODEC_LEVEL_MIN … CODEC_LEVEL_MAX, beyond that the nearest; 0 is zstd's default
 * @len: at most CODEC_LEN_MAX
 * Returns the bytes produced, or 0 if they would not fit in cap: it does not pay.
 */
size_t codec_compress(struct codec_ctx *ctx, int level, const void *src, size_t len, void *dst, size_t cap);

/*
 * Expand to exactly raw_len bytes, or return -HOLO_ECODEC; what dst holds is then undefined. Any input is
 * safe, but only a checksum tells right bytes from wrong ones.
 */
int codec_expand(struct codec_ctx *ctx, const void *src, size_t len, void *dst, size_t raw_len);

/*
 * Is it a waste of time to compress this? Judged by the byte histogram of a few KiB spread over the input:
 * a cheap yes for media, archives and random data, never for text, programs or tables. Thread-safe.
 */
bool codec_looks_incompressible(const void *src, size_t len);

#endif
