/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_frame.c: a stream of metadata frames of any bytes.
 *
 * Input: a byte of flags, then the stream. FIX gives every frame header that fits into the stream a right checksum.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "base/sum.h"
#include "store/format.h"
#include "store/frame.h"

enum { FIX = 1, OFF_TXG = 16, OFF_LEN = 40, OFF_SUM = 56 };

static void fix_all(uint8_t *p, size_t len)
{
    for (size_t at = 0; len - at >= FRAME_HEADER;) {
        size_t n = le32_get(p + at + OFF_LEN);
        if (n > len - at - FRAME_HEADER)
            return;
        uint64_t s = sum64(p + at, OFF_SUM, sum_seed(fuzz_uuid, SUM_ID_FRAME, le64_get(p + at + OFF_TXG)));
        le64_put(p + at + OFF_SUM, sum64(p + at + FRAME_HEADER, n, s));
        if (frame_size(n) > len - at)
            return;
        at += frame_size(n);
    }
}

/* It comes back from its own encoding, byte for byte and field for field. */
static void expect_round_trip(const struct frame *f)
{
    size_t size = frame_size(f->len);
    uint8_t *bytes = malloc(size);
    FUZZ_CHECK(bytes);
    frame_encode(f, fuzz_uuid, bytes);
    struct rd r = rd_init(bytes, size);
    struct frame b;
    FUZZ_CHECK(frame_next(&r, fuzz_uuid, &b) == 1 && rd_left(&r) == 0);
    FUZZ_CHECK(b.kind == f->kind && b.epoch == f->epoch && b.txg == f->txg && b.chain == f->chain && b.part == f->part);
    FUZZ_CHECK(b.flags == f->flags && b.time_ns == f->time_ns && b.len == f->len && memcmp(b.records, f->records, f->len) == 0);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    uint8_t flags = in_u8(&in);
    size_t n = in.left;
    uint8_t *stream = fuzz_exact(in.p, n);
    if (flags & FIX)
        fix_all(stream, n);
    struct rd r = rd_init(stream, n);
    struct frame f;
    size_t before = 0;
    while (frame_next(&r, fuzz_uuid, &f) == 1) {
        FUZZ_CHECK(r.off == before + frame_size(f.len) && r.off <= n);
        FUZZ_CHECK(f.records == stream + before + FRAME_HEADER);
        expect_round_trip(&f);
        before = r.off;
    }
    free(stream);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    static const uint32_t lens[] = { 0, 24, 100, 513 };
    if (i >= 4 || cap < 2048)
        return 0;
    uint8_t records[513];
    size_t at = 1;
    out[0] = i % 2 ? FIX : 0;
    for (unsigned n = 0; n <= i; n++) {
        fuzz_fill(n, records, lens[n]);
        struct frame f = { .kind = FRAME_LOG + n % 2, .part = n, .flags = n == i, .epoch = 2, .txg = 70 + n, .chain = 99, .time_ns = 1000,
                           .records = records, .len = lens[n] };
        frame_encode(&f, fuzz_uuid, out + at);
        at += frame_size(lens[n]);
    }
    return at;
}
