/* SPDX-License-Identifier: GPL-2.0-or-later */
/* extent.c: windows of extents: insert, punch, pack and unpack. */
#include "store/extent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct extent extent_lost(uint64_t off, uint32_t len)
{
    uint32_t at = (uint32_t)(off % WINDOW_SIZE), skip = at % BLOCK_SIZE;
    return (struct extent){ .off = off, .len = len, .skip = skip, .container = CONTAINER_NONE, .coff = at - skip, .stored = skip + len,
                            .raw = skip + len, .codec = EXTENT_RUN };
}

uint32_t extent_live(const struct extent *e)
{
    return e->codec != EXTENT_ZSTD ? e->len : (uint32_t)(((uint64_t)e->stored * e->len + e->raw - 1) / e->raw);
}

static uint64_t extent_end(const struct extent *e)
{
    return e->off + e->len;
}

void extent_encode(struct wr *w, const struct extent *e)
{
    wr_u64(w, e->off);
    wr_u32(w, e->len);
    wr_u32(w, e->skip);
    wr_u32(w, e->container);
    wr_u32(w, e->coff);
    wr_u32(w, e->stored);
    wr_u32(w, e->raw | (uint32_t)e->codec << 30);
    wr_u32(w, e->tag);
}

bool extent_decode(struct rd *r, struct extent *e)
{
    e->off = rd_u64(r);
    e->len = rd_u32(r);
    e->skip = rd_u32(r);
    e->container = rd_u32(r);
    e->coff = rd_u32(r);
    e->stored = rd_u32(r);
    uint32_t raw = rd_u32(r);
    e->raw = raw & 0x3fffffff;
    e->codec = (uint8_t)(raw >> 30);
    e->tag = rd_u32(r);
    if (r->bad || !e->len || !e->raw || !e->stored || e->codec > EXTENT_RUN || e->raw > WINDOW_SIZE || e->stored > WINDOW_SIZE)
        return false;
    if (e->skip > e->raw || e->len > e->raw - e->skip || e->off >= HOLO_FILE_SIZE_MAX)
        return false;
    if ((uint64_t)e->coff + e->stored > UINT64_C(1) << 32)
        return false;
    if (e->codec != EXTENT_ZSTD && e->stored != e->raw)
        return false;
    if (e->codec == EXTENT_RUN && (e->raw != e->skip + e->len || e->coff % BLOCK_SIZE))
        return false;
    return e->off / WINDOW_SIZE == (extent_end(e) - 1) / WINDOW_SIZE;
}

uint32_t window_find(const struct window *w, uint64_t off)
{
    uint32_t lo = 0, hi = w->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (extent_end(&w->e[mid]) > off)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static int reserve(struct window *w, uint32_t n)
{
    if (n <= w->cap)
        return 0;
    uint32_t cap = w->cap ? w->cap * 2 : 1;
    while (cap < n)
        cap *= 2;
    struct extent *e = realloc(w->e, cap * sizeof(*e));
    if (!e)
        return -ENOMEM;
    w->e = e;
    w->cap = cap;
    return 0;
}

struct account {
    int64_t *delta;
    extent_live_fn live;
    void *arg;
};

static void count(const struct account *a, const struct extent *e, int sign)
{
    int64_t n = sign * (int64_t)extent_live(e);
    *a->delta += n;
    if (a->live)
        a->live(a->arg, e->container, n);
}

/* A run ends where its last visible byte does: nothing behind it is ever read. */
static void clamp_run(struct extent *e)
{
    if (e->codec == EXTENT_RUN)
        e->raw = e->stored = e->skip + e->len;
}

/* Remove [off, end) from the window; room for one more extent is there. Returns where [off, end) belongs. */
static uint32_t cut(struct window *w, uint64_t off, uint64_t end, const struct account *a)
{
    uint32_t i = window_find(w, off);
    if (i < w->n && w->e[i].off < off) {
        struct extent *e = &w->e[i];
        struct extent tail = *e;
        bool split = extent_end(e) > end;
        count(a, e, -1);
        e->len = (uint32_t)(off - e->off);
        clamp_run(e);
        count(a, e, 1);
        i++;
        if (split) {
            tail.skip += (uint32_t)(end - tail.off);
            tail.len = (uint32_t)(extent_end(&tail) - end);
            tail.off = end;
            memmove(&w->e[i + 1], &w->e[i], (w->n - i) * sizeof(tail));
            w->e[i] = tail;
            w->n++;
            count(a, &tail, 1);
            return i;
        }
    }
    uint32_t j = i;
    while (j < w->n && extent_end(&w->e[j]) <= end)
        count(a, &w->e[j++], -1);
    if (j < w->n && w->e[j].off < end) {
        struct extent *e = &w->e[j];
        uint32_t n = (uint32_t)(end - e->off);
        count(a, e, -1);
        e->off += n;
        e->skip += n;
        e->len -= n;
        count(a, e, 1);
    }
    memmove(&w->e[i], &w->e[j], (w->n - j) * sizeof(*w->e));
    w->n -= j - i;
    return i;
}

static bool continues(const struct extent *a, const struct extent *b)
{
    return a->codec == EXTENT_RUN && b->codec == EXTENT_RUN && a->container == b->container && extent_end(a) == b->off &&
           (uint64_t)a->coff + a->skip + a->len == (uint64_t)b->coff + b->skip &&
           a->off / WINDOW_SIZE == b->off / WINDOW_SIZE && (uint64_t)a->skip + a->len + b->len <= WINDOW_SIZE;
}

static void merge_with_next(struct window *w, uint32_t i)
{
    if (i + 1 >= w->n || !continues(&w->e[i], &w->e[i + 1]))
        return;
    w->e[i].len += w->e[i + 1].len;
    clamp_run(&w->e[i]);
    memmove(&w->e[i + 1], &w->e[i + 2], (w->n - i - 2) * sizeof(*w->e));
    w->n--;
}

int window_insert(struct window *w, const struct extent *e, int64_t *delta, extent_live_fn live, void *arg)
{
    *delta = 0;
    struct account a = { delta, live, arg };
    int r = reserve(w, w->n + 2);
    if (r)
        return r;
    uint32_t i = cut(w, e->off, extent_end(e), &a);
    memmove(&w->e[i + 1], &w->e[i], (w->n - i) * sizeof(*e));
    w->e[i] = *e;
    w->n++;
    count(&a, e, 1);
    merge_with_next(w, i);
    if (i > 0)
        merge_with_next(w, i - 1);
    return 0;
}

int window_punch(struct window *w, uint64_t off, uint64_t len, int64_t *delta, extent_live_fn live, void *arg)
{
    *delta = 0;
    struct account a = { delta, live, arg };
    int r = len ? reserve(w, w->n + 1) : 0;
    if (r || !len)
        return r;
    cut(w, off, off + len, &a);
    return 0;
}

/* Is byte `at` of the file, which x has, where the place says? */
static bool is_at(const struct extent *x, const struct extent *e, const struct extent_place *place, uint64_t at)
{
    uint64_t have = x->skip + (at - x->off), want = place->skip + (at - e->off);
    if (x->container != place->container)
        return false;
    return x->codec == EXTENT_RUN ? x->coff + have == place->coff + want : x->coff == place->coff && have == want;
}

const struct extent *window_next_at(const struct window *w, const struct extent *e, const struct extent_place *place, uint64_t at,
                                    uint64_t *from, uint64_t *to)
{
    uint64_t end = extent_end(e);
    at = at > e->off ? at : e->off;
    for (uint32_t i = window_find(w, at); at < end && i < w->n && w->e[i].off < end; i++) {
        const struct extent *x = &w->e[i];
        uint64_t a = x->off > at ? x->off : at;
        if (!is_at(x, e, place, a))
            continue;
        *from = a;
        *to = extent_end(x) < end ? extent_end(x) : end;
        return x;
    }
    return NULL;
}

struct extent extent_part(const struct extent *e, uint64_t from, uint64_t to)
{
    struct extent p = *e;
    p.skip += (uint32_t)(from - e->off);
    p.off = from;
    p.len = (uint32_t)(to - from);
    clamp_run(&p);
    return p;
}

int window_move(struct window *w, const struct extent *e, const struct extent_place *place, uint32_t *moved, int64_t *delta,
                extent_live_fn live, void *arg)
{
    uint64_t from, to = e->off;
    uint32_t parts = 0;
    *moved = 0;
    *delta = 0;
    while (window_next_at(w, e, place, to, &from, &to))
        parts++;
    int r = parts ? reserve(w, w->n + 2 * parts) : 0; /* so that no insert fails half way */
    for (to = e->off; !r && window_next_at(w, e, place, to, &from, &to);) {
        struct extent p = extent_part(e, from, to);
        int64_t d;
        r = window_insert(w, &p, &d, live, arg);
        *moved += p.len;
        *delta += d;
    }
    return r;
}

void window_encode(const struct window *w, uint8_t *out)
{
    struct wr wr = wr_init(out, (size_t)w->n * EXTENT_BYTES);
    for (uint32_t i = 0; i < w->n; i++)
        extent_encode(&wr, &w->e[i]);
}

int window_decode(struct window *w, uint32_t win, const void *data, size_t len)
{
    w->n = 0;
    if (len % EXTENT_BYTES != 0 || len / EXTENT_BYTES > WINDOW_EXTENTS_MAX)
        return -HOLO_ECORRUPT;
    uint32_t n = (uint32_t)(len / EXTENT_BYTES);
    int r = reserve(w, n);
    if (r)
        return r;
    struct rd rd = rd_init(data, len);
    uint64_t at = (uint64_t)win * WINDOW_SIZE;
    for (uint32_t i = 0; i < n; i++) {
        struct extent *e = &w->e[i];
        if (!extent_decode(&rd, e) || e->off < at || e->off / WINDOW_SIZE != win)
            return -HOLO_ECORRUPT;
        at = extent_end(e);
    }
    w->n = n;
    return 0;
}

void window_fini(struct window *w)
{
    free(w->e);
    *w = (struct window){ 0 };
}
