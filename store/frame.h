/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frame.h: metadata frames: records on their way into metadata containers (docs/FORMAT.md, «Metadata frames»). */
#ifndef HOLO_STORE_FRAME_H
#define HOLO_STORE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { FRAME_HEADER = 64, FRAME_LAST = 1, FRAME_LOG = 1, FRAME_DUMP = 2, FRAME_RECORDS_MAX = 1 << 20 };

struct frame {
    uint32_t kind, part, flags;
    uint64_t epoch, txg, chain;
    int64_t time_ns;
    const uint8_t *records;
    uint32_t len;
};

/* Bytes a frame with len bytes of records takes (a multiple of 8). */
static inline size_t frame_size(size_t len)
{
    return FRAME_HEADER + ((len + 7) & ~(size_t)7);
}

/* Write it at out, which has frame_size(f->len) bytes. */
void frame_encode(const struct frame *f, const uint8_t uuid[16], uint8_t *out);

/* The next frame of a stream: 1 and *f, 0 at its end, -HOLO_ESUM or -HOLO_ECORRUPT. */
int frame_next(struct rd *stream, const uint8_t uuid[16], struct frame *f);

#endif
