/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frame.c: encode and decode metadata frames. */
#include "store/frame.h"

#include <string.h>

#include "base/err.h"
#include "base/sum.h"
#include "store/format.h"

static const char magic[4] = { 'h', 'o', 'F', 'R' };

enum { OFF_SUM = 56 };

static uint64_t frame_sum(const uint8_t *head, const uint8_t *records, size_t len, const uint8_t uuid[16], uint64_t txg)
{
    uint64_t s = sum64(head, OFF_SUM, sum_seed(uuid, SUM_ID_FRAME, txg));
    return sum64(records, len, s);
}

void frame_encode(const struct frame *f, const uint8_t uuid[16], uint8_t *out)
{
    struct wr w = wr_init(out, frame_size(f->len));
    wr_bytes(&w, magic, sizeof(magic));
    wr_u32(&w, f->kind);
    wr_u64(&w, f->epoch);
    wr_u64(&w, f->txg);
    wr_u64(&w, f->chain);
    wr_u32(&w, f->part);
    wr_u32(&w, f->flags);
    wr_u32(&w, f->len);
    wr_u32(&w, 0);
    wr_u64(&w, (uint64_t)f->time_ns);
    wr_u64(&w, frame_sum(out, f->records, f->len, uuid, f->txg));
    wr_bytes(&w, f->records, f->len);
    memset(out + w.off, 0, w.cap - w.off);
}

int frame_next(struct rd *stream, const uint8_t uuid[16], struct frame *f)
{
    if (rd_left(stream) < FRAME_HEADER)
        return 0;
    const uint8_t *head = stream->p + stream->off;
    const uint8_t *m = rd_bytes(stream, sizeof(magic));
    if (!m || memcmp(m, magic, sizeof(magic)) != 0)
        return -HOLO_ECORRUPT;
    f->kind = rd_u32(stream);
    f->epoch = rd_u64(stream);
    f->txg = rd_u64(stream);
    f->chain = rd_u64(stream);
    f->part = rd_u32(stream);
    f->flags = rd_u32(stream);
    f->len = rd_u32(stream);
    rd_u32(stream);
    f->time_ns = (int64_t)rd_u64(stream);
    uint64_t sum = rd_u64(stream);
    f->records = rd_bytes(stream, f->len);
    rd_bytes(stream, -f->len & 7);
    if (stream->bad)
        return -HOLO_ECORRUPT;
    return sum == frame_sum(head, f->records, f->len, uuid, f->txg) ? 1 : -HOLO_ESUM;
}
