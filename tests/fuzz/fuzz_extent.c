/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_extent.c: a packed window of any bytes, then any inserts and punches, against a model that remembers operations.
 *
 * Input: a byte that says how many extents of the window follow, those (36 bytes each), then operations of 37 bytes: a byte, and an
 * extent to insert (FIX: made possible), or whose range becomes a hole. The model asks, for any byte of the file, which operation
 * touched it last.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "store/extent.h"

enum { WIN = 3, OPS_MAX = 48, INITIAL_MAX = 64, PUNCH = 1, FIX = 2 };
static const uint64_t BASE = (uint64_t)WIN * WINDOW_SIZE;

struct op {
    bool hole;
    struct extent e; /* a hole: off and len */
};

struct model {
    struct op op[INITIAL_MAX + OPS_MAX];
    unsigned n;
    int64_t live, reported;
};

static void reported(void *arg, uint32_t container, int64_t delta)
{
    struct model *m = arg;
    (void)container;
    m->reported += delta;
}

/* Which byte of which piece a byte of the file is; of runs it counts only where that is in the container. */
struct place {
    bool used;
    uint8_t codec;
    uint32_t container, coff, stored, raw;
    uint64_t pos;
};

static struct place place_in(const struct extent *e, uint64_t off)
{
    struct place p = { .used = true, .codec = e->codec, .container = e->container, .pos = e->skip + (off - e->off) };
    if (e->codec == EXTENT_RUN) {
        p.pos += e->coff;
    } else {
        p.coff = e->coff;
        p.stored = e->stored;
        p.raw = e->raw;
    }
    return p;
}

static struct place place_by_model(const struct model *m, uint64_t off)
{
    for (unsigned i = m->n; i-- > 0;) {
        const struct op *op = &m->op[i];
        if (off >= op->e.off && off < op->e.off + op->e.len)
            return op->hole ? (struct place){ 0 } : place_in(&op->e, off);
    }
    return (struct place){ 0 };
}

static struct place place_by_window(const struct window *w, uint64_t off)
{
    uint32_t i = window_find(w, off);
    return i < w->n && w->e[i].off <= off ? place_in(&w->e[i], off) : (struct place){ 0 };
}

static void expect_byte(const struct model *m, const struct window *w, uint64_t off)
{
    if (off < BASE || off >= BASE + WINDOW_SIZE)
        return;
    struct place a = place_by_model(m, off), b = place_by_window(w, off);
    FUZZ_CHECK(a.used == b.used && a.codec == b.codec && a.container == b.container && a.pos == b.pos);
    FUZZ_CHECK(a.coff == b.coff && a.stored == b.stored && a.raw == b.raw);
}

/* What the window says at every place where something may change. */
static void expect_bytes(const struct model *m, const struct window *w)
{
    for (unsigned i = 0; i < m->n; i++) {
        uint64_t from = m->op[i].e.off, to = from + m->op[i].e.len;
        expect_byte(m, w, from - 1);
        expect_byte(m, w, from);
        expect_byte(m, w, to - 1);
        expect_byte(m, w, to);
    }
}

/* Ascending, inside the window, and the same again after packing and unpacking. */
static void expect_packs(const struct window *w)
{
    size_t len = (size_t)w->n * EXTENT_BYTES;
    uint8_t *a = malloc(len + 1), *b = malloc(len + 1);
    struct window back = { 0 };
    FUZZ_CHECK(a && b);
    window_encode(w, a);
    FUZZ_CHECK(window_decode(&back, WIN, a, len) == 0 && back.n == w->n);
    window_encode(&back, b);
    FUZZ_CHECK(memcmp(a, b, len) == 0);
    window_fini(&back);
    free(a);
    free(b);
}

static void expect_accounts(const struct model *m, const struct window *w)
{
    int64_t live = 0;
    for (uint32_t i = 0; i < w->n; i++)
        live += extent_live(&w->e[i]);
    FUZZ_CHECK(live == m->live && m->reported == m->live);
}

/* Turn any numbers into an extent of this window. */
static void make_possible(struct extent *e)
{
    e->off = BASE + e->off % WINDOW_SIZE;
    e->len = 1 + e->len % (uint32_t)(BASE + WINDOW_SIZE - e->off);
    e->codec %= EXTENT_RUN + 1;
    e->skip %= WINDOW_SIZE - e->len + 1;
    e->raw = e->skip + e->len + (e->codec == EXTENT_RUN ? 0 : e->raw % (WINDOW_SIZE - e->len - e->skip + 1));
    e->stored = e->codec == EXTENT_ZSTD ? 1 + e->stored % WINDOW_SIZE : e->raw;
    e->coff %= 1u << 26;
    if (e->codec == EXTENT_RUN)
        e->coff &= ~(uint32_t)(BLOCK_SIZE - 1);
}

static void take_extent(struct fuzz_in *in, struct extent *e)
{
    e->off = in_u64(in);
    e->len = in_u32(in);
    e->skip = in_u32(in);
    e->container = in_u32(in);
    e->coff = in_u32(in);
    e->stored = in_u32(in);
    uint32_t raw = in_u32(in);
    e->raw = raw & 0x3fffffff;
    e->codec = (uint8_t)(raw >> 30);
    e->tag = in_u32(in);
}

static bool can_be_inserted(const struct extent *e)
{
    uint8_t bytes[EXTENT_BYTES];
    struct extent back;
    if (e->codec > EXTENT_RUN)
        return false;
    struct wr w = wr_init(bytes, sizeof(bytes));
    extent_encode(&w, e);
    struct rd r = rd_init(bytes, sizeof(bytes));
    return extent_decode(&r, &back) && back.off / WINDOW_SIZE == WIN;
}

static void change(struct fuzz_in *in, struct model *m, struct window *w)
{
    uint8_t how = in_u8(in);
    struct op op = { .hole = how & PUNCH };
    int64_t delta = 0;
    take_extent(in, &op.e);
    if (how & FIX)
        make_possible(&op.e);
    if (op.hole && (op.e.off < BASE || op.e.off >= BASE + WINDOW_SIZE || op.e.len > BASE + WINDOW_SIZE - op.e.off))
        return;
    if (!op.hole && !can_be_inserted(&op.e))
        return;
    m->op[m->n++] = op;
    if (op.hole)
        FUZZ_CHECK(window_punch(w, op.e.off, op.e.len, &delta, reported, m) == 0);
    else
        FUZZ_CHECK(window_insert(w, &op.e, &delta, reported, m) == 0);
    m->live += delta;
    expect_accounts(m, w);
    expect_bytes(m, w);
    expect_packs(w);
}

static bool start(struct fuzz_in *in, struct model *m, struct window *w)
{
    size_t len = (size_t)(in_u8(in) % INITIAL_MAX) * EXTENT_BYTES;
    uint8_t *bytes = malloc(len + 1), *again = malloc(len + 1);
    FUZZ_CHECK(bytes && again);
    in_bytes(in, bytes, len);
    uint8_t *packed = fuzz_exact(bytes, len);
    int e = window_decode(w, WIN, packed, len);
    FUZZ_CHECK(e == 0 || (e == -HOLO_ECORRUPT && w->n == 0));
    if (e == 0) {
        window_encode(w, again);
        FUZZ_CHECK((size_t)w->n * EXTENT_BYTES == len && memcmp(packed, again, len) == 0);
    }
    for (uint32_t i = 0; i < w->n; i++) {
        m->op[m->n++] = (struct op){ .e = w->e[i] };
        m->live += extent_live(&w->e[i]);
    }
    m->reported = m->live;
    free(packed);
    free(again);
    free(bytes);
    return e == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    struct window w = { 0 };
    struct model *m = calloc(1, sizeof(*m));
    FUZZ_CHECK(m);
    start(&in, m, &w);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++)
        change(&in, m, &w);
    window_fini(&w);
    free(m);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    if (i > 5 || cap < 1 + 2 * EXTENT_BYTES + 24 * (1 + EXTENT_BYTES))
        return 0;
    struct extent e = { .off = BASE, .len = 8192, .container = 1, .coff = 4096, .stored = 8192, .raw = 8192, .tag = 1, .codec = EXTENT_RUN };
    struct wr w = wr_init(out, cap);
    wr_u8(&w, 2);
    extent_encode(&w, &e);
    e.off += 16384;
    e.codec = (uint8_t)(i % 3);
    extent_encode(&w, &e);
    for (unsigned n = 0; n < 4 * i; n++) {
        wr_u8(&w, (uint8_t)(FIX | (n % 3 == 2 ? PUNCH : 0)));
        e.off += (i + 1) * 4096;
        e.coff += (i + 1) * 4096;
        e.codec = (uint8_t)((n + i) % 3);
        extent_encode(&w, &e);
    }
    return w.off;
}
