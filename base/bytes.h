/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bytes.h: little-endian numbers in byte buffers, field by field.
 *
 * A struct rd reads from a bounded buffer, a struct wr writes into one. Both are sticky: once a field does
 * not fit, `bad` is set, reads give zeros and writes do nothing, so that a decoder may read all its fields
 * and check once. No struct is ever cast onto a buffer.
 */
#ifndef HOLO_BASE_BYTES_H
#define HOLO_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t le16_get(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le64_get(const uint8_t *p)
{
    return (uint64_t)le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

static inline void le16_put(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void le32_put(uint8_t *p, uint32_t v)
{
    le16_put(p, (uint16_t)v);
    le16_put(p + 2, (uint16_t)(v >> 16));
}

static inline void le64_put(uint8_t *p, uint64_t v)
{
    le32_put(p, (uint32_t)v);
    le32_put(p + 4, (uint32_t)(v >> 32));
}

struct rd {
    const uint8_t *p;
    size_t len, off;
    bool bad;
};

static inline struct rd rd_init(const void *p, size_t len)
{
    return (struct rd){ .p = p, .len = len };
}

/* The next n bytes, or NULL (and bad) if there are fewer. */
static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
    if (r->bad || n > r->len - r->off) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *q = r->p + r->off;
    r->off += n;
    return q;
}

static inline uint8_t rd_u8(struct rd *r)
{
    const uint8_t *q = rd_bytes(r, 1);
    return q ? *q : 0;
}

static inline uint16_t rd_u16(struct rd *r)
{
    const uint8_t *q = rd_bytes(r, 2);
    return q ? le16_get(q) : 0;
}

static inline uint32_t rd_u32(struct rd *r)
{
    const uint8_t *q = rd_bytes(r, 4);
    return q ? le32_get(q) : 0;
}

static inline uint64_t rd_u64(struct rd *r)
{
    const uint8_t *q = rd_bytes(r, 8);
    return q ? le64_get(q) : 0;
}

static inline size_t rd_left(const struct rd *r)
{
    return r->bad ? 0 : r->len - r->off;
}

struct wr {
    uint8_t *p;
    size_t cap, off;
    bool bad;
};

static inline struct wr wr_init(void *p, size_t cap)
{
    return (struct wr){ .p = p, .cap = cap };
}

/* Room for n bytes, which the caller fills; NULL (and bad) if there is none. */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
    if (w->bad || n > w->cap - w->off) {
        w->bad = true;
        return NULL;
    }
    uint8_t *q = w->p + w->off;
    w->off += n;
    return q;
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
    uint8_t *q = wr_room(w, 1);
    if (q)
        *q = v;
}

static inline void wr_u16(struct wr *w, uint16_t v)
{
    uint8_t *q = wr_room(w, 2);
    if (q)
        le16_put(q, v);
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
    uint8_t *q = wr_room(w, 4);
    if (q)
        le32_put(q, v);
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
    uint8_t *q = wr_room(w, 8);
    if (q)
        le64_put(q, v);
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
    uint8_t *q = wr_room(w, n);
    if (q && n)
        memcpy(q, src, n);
}

#endif
