/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_extent.c: windows of extents against a model that knows each byte of the file by itself.
 *
 * A cell of the model says which byte of which piece a unit of the file is. Whatever is inserted and punched, the
 * window must say the same, keep its invariants, and account for the live bytes that the cells add up to.
 */
#include "tests/store/kit.h"

#include "base/err.h"
#include "store/extent.h"

enum { WIN = 5, CONTAINERS = 4, CELLS_MAX = 2048 };
static const uint64_t BASE = (uint64_t)WIN * WINDOW_SIZE;
static const char golden_extent[] = "6400500000000000a00f0000600000000700000039300000b80b000000000240efbeadde";

/* ---- the model ---- */

struct cell {
    bool used;
    uint8_t codec;
    uint32_t container, coff, stored, raw; /* of a run only the container counts */
    uint64_t pos;                          /* in the piece; of a run: in the container */
};

struct model {
    uint32_t unit, n; /* bytes of a cell; cells */
    struct cell cell[CELLS_MAX];
    struct window w;
    int64_t stored, live[CONTAINERS]; /* as the window reports it */
    uint32_t next_coff;
    uint64_t seed;
};

static uint32_t tag_of(uint32_t container, uint32_t coff)
{
    return (container * 2654435761u) ^ coff;
}

static void live_changed(void *arg, uint32_t container, int64_t delta)
{
    struct model *m = arg;
    assert_true(container < CONTAINERS);
    m->live[container] += delta;
}

static struct cell cell_of(const struct extent *e, uint64_t off)
{
    uint64_t pos = e->skip + (off - e->off);
    struct cell c = { .used = true, .codec = e->codec, .container = e->container, .pos = pos };
    if (e->codec == EXTENT_RUN) {
        c.pos += e->coff;
    } else {
        c.coff = e->coff;
        c.stored = e->stored;
        c.raw = e->raw;
    }
    return c;
}

static bool cell_equal(const struct cell *a, const struct cell *b)
{
    return a->used == b->used && a->codec == b->codec && a->container == b->container && a->coff == b->coff && a->stored == b->stored &&
           a->raw == b->raw && a->pos == b->pos;
}

static void model_insert(struct model *m, const struct extent *e)
{
    int64_t delta = 77;
    for (uint64_t off = e->off; off < e->off + e->len; off += m->unit)
        m->cell[(off - BASE) / m->unit] = cell_of(e, off);
    assert_int_equal(window_insert(&m->w, e, &delta, live_changed, m), 0);
    m->stored += delta;
}

static void model_punch(struct model *m, uint64_t off, uint64_t len)
{
    int64_t delta = 77;
    for (uint64_t at = off; at < off + len; at += m->unit)
        m->cell[(at - BASE) / m->unit] = (struct cell){ 0 };
    assert_int_equal(window_punch(&m->w, off, len, &delta, live_changed, m), 0);
    m->stored += delta;
}

/* ---- what must hold ---- */

static bool continue_each_other(const struct extent *a, const struct extent *b)
{
    return a->codec == EXTENT_RUN && b->codec == EXTENT_RUN && a->container == b->container && a->off + a->len == b->off &&
           (uint64_t)a->coff + a->skip + a->len == (uint64_t)b->coff + b->skip;
}

static void expect_invariants(const struct window *w)
{
    uint64_t at = BASE;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct extent *e = &w->e[i];
        assert_true(e->len > 0 && e->off >= at);
        at = e->off + e->len;
        assert_true(at <= BASE + WINDOW_SIZE);
        assert_true((uint64_t)e->skip + e->len <= e->raw);
        assert_int_equal(e->tag, tag_of(e->container, e->coff));
        if (e->codec == EXTENT_RUN)
            assert_true(e->raw == e->skip + e->len && e->stored == e->raw && e->coff % BLOCK_SIZE == 0);
        if (i > 0)
            assert_false(continue_each_other(&w->e[i - 1], e));
    }
}

static void expect_cells(const struct model *m)
{
    uint32_t i = 0;
    for (uint32_t c = 0; c < m->n; c++) {
        uint64_t off = BASE + (uint64_t)c * m->unit;
        while (i < m->w.n && m->w.e[i].off + m->w.e[i].len <= off)
            i++;
        assert_int_equal(window_find(&m->w, off), i);
        struct cell got = { 0 };
        if (i < m->w.n && m->w.e[i].off <= off)
            got = cell_of(&m->w.e[i], off);
        assert_true(cell_equal(&got, &m->cell[c]));
    }
}

/* Raw bytes count as themselves, compressed ones by their visible share of the piece, each fragment rounded up. */
static void expect_accounts(const struct model *m)
{
    int64_t live[CONTAINERS] = { 0 }, all = 0;
    for (uint32_t c = 0; c < m->n;) {
        const struct cell *first = &m->cell[c];
        uint64_t len = 0;
        struct cell want = *first;
        do {
            len += m->unit;
            want.pos += m->unit;
            c++;
        } while (c < m->n && first->used && cell_equal(&m->cell[c], &want));
        if (first->used)
            live[first->container] += (int64_t)(first->codec == EXTENT_ZSTD ? (first->stored * len + first->raw - 1) / first->raw : len);
    }
    for (int i = 0; i < CONTAINERS; i++) {
        assert_true(live[i] == m->live[i]);
        all += live[i];
    }
    assert_true(all == m->stored);
}

static void expect_round_trip(const struct model *m)
{
    size_t len = (size_t)m->w.n * EXTENT_BYTES;
    uint8_t *packed = malloc(len + 1);
    struct window back = { 0 };
    window_encode(&m->w, packed);
    assert_int_equal(window_decode(&back, WIN, packed, len), 0);
    assert_int_equal(back.n, m->w.n);
    uint8_t *again = malloc(len + 1);
    window_encode(&back, again);
    assert_memory_equal(packed, again, len);
    if (len)
        assert_int_equal(window_decode(&back, WIN + 1, packed, len), -HOLO_ECORRUPT);
    window_fini(&back);
    free(packed);
    free(again);
}

/* ---- random operations ---- */

static uint32_t below(struct model *m, uint32_t n)
{
    return (uint32_t)(kit_random(&m->seed) % n);
}

static uint32_t round_up(uint32_t n)
{
    return (n + BLOCK_SIZE - 1) & ~(uint32_t)(BLOCK_SIZE - 1);
}

static void pick_range(struct model *m, uint64_t *off, uint32_t *len)
{
    uint32_t from = below(m, m->n), n = 1 + below(m, below(m, 4) ? 16 : m->n);
    n = n < m->n - from ? n : m->n - from;
    *off = BASE + (uint64_t)from * m->unit;
    *len = n * m->unit;
}

/* A new piece somewhere, of which the middle may be all that is visible. */
static struct extent new_piece(struct model *m)
{
    struct extent e = { .container = below(m, CONTAINERS), .codec = (uint8_t)below(m, 3), .coff = round_up(m->next_coff) };
    pick_range(m, &e.off, &e.len);
    e.skip = below(m, 3) ? 0 : below(m, 8) * m->unit;
    e.raw = e.skip + e.len + (e.codec == EXTENT_RUN || below(m, 2) ? 0 : below(m, 8) * m->unit);
    if (e.raw > WINDOW_SIZE)
        e.raw = (e.skip = 0) + e.len;
    e.stored = e.codec == EXTENT_ZSTD ? 1 + below(m, e.raw) : e.raw;
    e.tag = tag_of(e.container, e.coff);
    m->next_coff = e.coff + e.raw;
    return e;
}

/* A run that goes on where one of the window ends, in the file and in the container. */
static bool next_of_a_run(struct model *m, struct extent *e)
{
    if (m->w.n == 0)
        return false;
    const struct extent *a = &m->w.e[below(m, m->w.n)];
    uint64_t end = a->off + a->len, last = BASE + (uint64_t)m->n * m->unit;
    uint32_t coff = a->coff + a->skip + a->len, len = (1 + below(m, 8)) * m->unit;
    if (a->codec != EXTENT_RUN || coff % BLOCK_SIZE || end >= last)
        return false;
    len = len < last - end ? len : (uint32_t)(last - end);
    *e = (struct extent){ .off = end, .len = len, .container = a->container, .coff = coff, .stored = len, .raw = len,
                          .tag = tag_of(a->container, coff), .codec = EXTENT_RUN };
    return true;
}

static void one_operation(struct model *m)
{
    struct extent e;
    uint64_t off;
    uint32_t len;
    switch (below(m, 8)) {
    case 0:
    case 1:
        pick_range(m, &off, &len);
        model_punch(m, off, len);
        break;
    case 2:
    case 3:
    case 4:
        if (next_of_a_run(m, &e)) {
            model_insert(m, &e);
            break;
        } /* fall through */
    default:
        e = new_piece(m);
        model_insert(m, &e);
    }
}

static void run_seed(uint64_t seed, uint32_t unit, uint32_t cells, int operations)
{
    struct model *m = calloc(1, sizeof(*m));
    m->unit = unit;
    m->n = cells;
    m->seed = seed;
    for (int i = 0; i < operations; i++) {
        one_operation(m);
        expect_invariants(&m->w);
        expect_cells(m);
        expect_accounts(m);
        if (i % 50 == 0)
            expect_round_trip(m);
    }
    model_punch(m, BASE, (uint64_t)cells * unit);
    assert_int_equal(m->w.n, 0);
    expect_accounts(m);
    window_fini(&m->w);
    free(m);
}

static void random_operations_follow_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed, 1, 600, 4000);
        run_seed(seed, 512, 2048, 2000);
        run_seed(seed, BLOCK_SIZE, 256, 4000);
    }
}

/* ---- by hand ---- */

static struct extent run_at(uint64_t off, uint32_t len, uint32_t container, uint32_t coff)
{
    return (struct extent){ .off = BASE + off, .len = len, .container = container, .coff = coff, .stored = len, .raw = len,
                            .tag = tag_of(container, coff), .codec = EXTENT_RUN };
}

static void insert(struct window *w, struct extent e)
{
    int64_t delta;
    assert_int_equal(window_insert(w, &e, &delta, NULL, NULL), 0);
}

static void a_sequential_file_is_one_run(void **state)
{
    (void)state;
    struct window w = { 0 };
    for (uint32_t i = 0; i < 256; i++)
        insert(&w, run_at(i * 4096, 4096, 1, 8192 + i * 4096));
    assert_int_equal(w.n, 1);
    assert_int_equal(w.e[0].len, WINDOW_SIZE);
    assert_int_equal(w.e[0].coff, 8192);
    expect_invariants(&w);
    window_fini(&w);
}

static void a_hole_that_gets_its_bytes_back_joins_both_sides(void **state)
{
    (void)state;
    struct window w = { 0 };
    int64_t delta;
    insert(&w, run_at(0, 65536, 1, 0));
    assert_int_equal(window_punch(&w, BASE + 8192, 4096, &delta, NULL, NULL), 0);
    assert_int_equal(delta, -4096);
    assert_int_equal(w.n, 2);
    insert(&w, run_at(8192, 4096, 1, 8192));
    assert_int_equal(w.n, 1);
    assert_int_equal(w.e[0].len, 65536);
    window_fini(&w);
}

static void runs_of_other_places_stay_apart(void **state)
{
    (void)state;
    struct window w = { 0 };
    insert(&w, run_at(0, 4096, 1, 0));
    insert(&w, run_at(4096, 4096, 2, 4096));
    insert(&w, run_at(8192, 4096, 2, 0));
    assert_int_equal(w.n, 3);
    window_fini(&w);
    insert(&w, run_at(0, 4096, 1, UINT32_MAX - 4095)); /* the last block a container can have, then the first */
    insert(&w, run_at(4096, 4096, 1, 0));
    assert_int_equal(w.n, 2);
    window_fini(&w);
}

static void punching_nothing_changes_nothing(void **state)
{
    (void)state;
    struct window w = { 0 };
    int64_t delta = 5;
    struct extent z = { .off = BASE, .len = 1000, .container = 1, .stored = 333, .raw = 1000, .codec = EXTENT_ZSTD };
    insert(&w, z);
    assert_int_equal(window_punch(&w, BASE + 500, 0, &delta, NULL, NULL), 0);
    assert_int_equal(delta, 0);
    assert_int_equal(w.n, 1);
    assert_int_equal(extent_live(&w.e[0]), 333);
    assert_int_equal(window_punch(&w, BASE + 1000, 5000, &delta, NULL, NULL), 0);
    assert_int_equal(delta, 0);
    window_fini(&w);
    assert_int_equal(window_punch(&w, BASE, 4096, &delta, NULL, NULL), 0);
    window_fini(&w);
}

static void a_share_of_a_compressed_piece_is_live(void **state)
{
    (void)state;
    struct extent e = { .len = WINDOW_SIZE, .stored = WINDOW_SIZE, .raw = WINDOW_SIZE, .codec = EXTENT_ZSTD };
    assert_int_equal(extent_live(&e), WINDOW_SIZE);
    e.len = 1;
    assert_int_equal(extent_live(&e), 1);
    e.stored = 3;
    e.len = WINDOW_SIZE / 2;
    assert_int_equal(extent_live(&e), 2);
    e.len = 1;
    assert_int_equal(extent_live(&e), 1); /* never 0: its container would count as dead */
    e.codec = EXTENT_RAW;
    e.len = WINDOW_SIZE / 2;
    assert_int_equal(extent_live(&e), WINDOW_SIZE / 2);
}

/* ---- moves ---- */

static uint32_t move(struct window *w, struct extent to, struct extent_place from)
{
    uint32_t moved;
    int64_t delta, stored = 0, now = 0;
    for (uint32_t i = 0; i < w->n; i++)
        stored += extent_live(&w->e[i]);
    assert_int_equal(window_move(w, &to, &from, &moved, &delta, NULL, NULL), 0);
    for (uint32_t i = 0; i < w->n; i++)
        now += extent_live(&w->e[i]);
    assert_true(now == stored + delta);
    return moved;
}

static struct extent run(uint64_t off, uint32_t len, uint32_t container, uint32_t coff)
{
    return (struct extent){ .off = off, .len = len, .container = container, .coff = coff, .stored = len, .raw = len, .codec = EXTENT_RUN };
}

static void a_move_takes_what_is_still_where_it_was(void **state)
{
    (void)state;
    struct window w = { 0 };
    int64_t delta;
    struct extent a = run(BASE, 32768, 1, 8192), over = run(BASE + 8192, 4096, 2, 0);
    insert(&w, a);
    insert(&w, over);
    assert_int_equal(window_punch(&w, BASE + 20480, 4096, &delta, NULL, NULL), 0);
    assert_int_equal(move(&w, run(BASE, 32768, 9, 40960), (struct extent_place){ 1, 8192, 0 }), 32768 - 8192);
    assert_int_equal(w.n, 4);
    for (uint32_t i = 0; i < w.n; i++) {
        const struct extent *e = &w.e[i];
        bool written = e->off == BASE + 8192;
        assert_int_equal(e->container, written ? 2 : 9);
        assert_true(written || e->coff + e->skip == 40960 + (e->off - BASE));
        assert_true(e->raw == e->skip + e->len && e->stored == e->raw);
    }
    assert_int_equal(move(&w, run(BASE, 32768, 10, 0), (struct extent_place){ 1, 8192, 0 }), 0); /* nothing is there any more */
    window_fini(&w);
}

/* Runs that were merged are found by what coff and skip add up to; a move of a part ends where it ends. */
static void a_part_of_a_merged_run_moves(void **state)
{
    (void)state;
    struct window w = { 0 };
    insert(&w, run(BASE, 8192, 1, 0));
    insert(&w, run(BASE + 8192, 8192, 1, 8192));
    assert_int_equal(w.n, 1);
    assert_int_equal(move(&w, run(BASE + 8192, 4096, 9, 0), (struct extent_place){ 1, 8192, 0 }), 4096);
    assert_int_equal(w.n, 3);
    assert_int_equal(w.e[0].container, 1);
    assert_int_equal(w.e[1].container, 9);
    assert_int_equal(w.e[2].container, 1);
    assert_int_equal(w.e[2].coff + w.e[2].skip, 12288);
    window_fini(&w);
}

/* Bytes of the same container at another place of the file, or another piece, are not meant. */
static void a_move_is_of_one_place_only(void **state)
{
    (void)state;
    struct window w = { 0 };
    struct extent z = { .off = BASE, .len = 1000, .container = 1, .coff = 64, .stored = 333, .raw = 1000, .codec = EXTENT_ZSTD };
    struct extent to = z;
    to.container = 9;
    to.coff = 8;
    insert(&w, z);
    assert_int_equal(move(&w, to, (struct extent_place){ 1, 72, 0 }), 0);
    assert_int_equal(move(&w, to, (struct extent_place){ 2, 64, 0 }), 0);
    assert_int_equal(move(&w, to, (struct extent_place){ 1, 64, 8 }), 0);
    assert_int_equal(move(&w, to, (struct extent_place){ 1, 64, 0 }), 1000);
    assert_int_equal(w.e[0].container, 9);
    insert(&w, run(BASE + 4096, 8192, 1, 4096));
    assert_int_equal(move(&w, run(BASE + 4096, 8192, 9, 4096), (struct extent_place){ 1, 0, 0 }), 0);
    window_fini(&w);
}

/* Two living ends of a compressed piece become pieces of their own. */
static void parts_of_a_piece_move_to_different_places(void **state)
{
    (void)state;
    struct window w = { 0 };
    int64_t delta;
    struct extent z = { .off = BASE, .len = 10000, .container = 1, .coff = 64, .stored = 5000, .raw = 10000, .codec = EXTENT_ZSTD };
    struct extent head = { .off = BASE, .len = 100, .container = 9, .coff = 0, .stored = 100, .raw = 100 };
    struct extent tail = { .off = BASE + 9900, .len = 100, .container = 9, .coff = 104, .stored = 100, .raw = 100 };
    insert(&w, z);
    assert_int_equal(window_punch(&w, BASE + 100, 9800, &delta, NULL, NULL), 0);
    assert_int_equal(move(&w, head, (struct extent_place){ 1, 64, 0 }), 100);
    assert_int_equal(move(&w, tail, (struct extent_place){ 1, 64, 9900 }), 100);
    assert_int_equal(w.n, 2);
    assert_true(w.e[0].container == 9 && w.e[0].coff == 0 && w.e[0].skip == 0);
    assert_true(w.e[1].container == 9 && w.e[1].coff == 104 && w.e[1].skip == 0);
    window_fini(&w);
}

/* ---- bytes ---- */

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    struct extent e = { .off = (5 << 20) + 100, .len = 4000, .skip = 96, .container = 7, .coff = 12345, .stored = 3000, .raw = 131072,
                        .tag = 0xdeadbeef, .codec = EXTENT_ZSTD }, back;
    uint8_t bytes[EXTENT_BYTES];
    struct wr w = wr_init(bytes, sizeof(bytes));
    extent_encode(&w, &e);
    assert_false(w.bad);
    kit_expect_hex(bytes, golden_extent);
    struct rd r = rd_init(bytes, sizeof(bytes));
    assert_true(extent_decode(&r, &back));
    assert_true(back.off == e.off && back.len == e.len && back.skip == e.skip && back.container == e.container && back.coff == e.coff &&
                back.stored == e.stored && back.raw == e.raw && back.tag == e.tag && back.codec == e.codec);
}

static bool decodes(const struct extent *e)
{
    uint8_t bytes[EXTENT_BYTES];
    struct extent back;
    struct wr w = wr_init(bytes, sizeof(bytes));
    extent_encode(&w, e);
    struct rd r = rd_init(bytes, sizeof(bytes));
    return extent_decode(&r, &back);
}

#define REFUSED(...)                                \
    do {                                            \
        struct extent e = good;                     \
        __VA_ARGS__;                                \
        assert_false(decodes(&e));                  \
    } while (0)

static void what_cannot_be_an_extent_is_refused(void **state)
{
    (void)state;
    struct extent good = run_at(8192, 8192, 1, 4096);
    assert_true(decodes(&good));
    REFUSED(e.len = 0);
    REFUSED(e.len = 8193);
    REFUSED(e.raw = 0);
    REFUSED(e.stored = 0);
    REFUSED(e.skip = 1);
    REFUSED(e.skip = UINT32_MAX);
    REFUSED(e.coff = 4097);
    REFUSED(e.stored = 8191);
    REFUSED(e.raw = e.stored = 8193);
    REFUSED(e.codec = 3);
    REFUSED(e.off = BASE + WINDOW_SIZE - 4096);
    REFUSED(e.off = HOLO_FILE_SIZE_MAX);
    REFUSED(e.off = UINT64_MAX - 4095);
    REFUSED(e.codec = EXTENT_ZSTD, e.raw = WINDOW_SIZE + 1);
    REFUSED(e.codec = EXTENT_ZSTD, e.stored = WINDOW_SIZE + 1);
    REFUSED(e.coff = UINT32_MAX - 4095);
}

static struct window some_window(void)
{
    struct window w = { 0 };
    insert(&w, run_at(0, 16384, 1, 4096));
    insert(&w, (struct extent){ .off = BASE + 20000, .len = 500, .skip = 7, .container = 2, .coff = 33, .stored = 600, .raw = 600,
                                .tag = tag_of(2, 33), .codec = EXTENT_RAW });
    insert(&w, (struct extent){ .off = BASE + 20500, .len = 100000, .skip = 7, .container = 2, .coff = 633, .stored = 600,
                                .raw = 131072, .tag = tag_of(2, 633), .codec = EXTENT_ZSTD });
    return w;
}

static void expect_sane(const struct window *w)
{
    uint64_t at = BASE;
    for (uint32_t i = 0; i < w->n; i++) {
        assert_true(w->e[i].off >= at && w->e[i].len > 0 && (uint64_t)w->e[i].skip + w->e[i].len <= w->e[i].raw);
        at = w->e[i].off + w->e[i].len;
    }
    assert_true(at <= BASE + WINDOW_SIZE);
}

static void flipped_and_cut_windows_are_refused_or_sane(void **state)
{
    (void)state;
    struct window w = some_window(), back = { 0 };
    uint8_t bytes[3 * EXTENT_BYTES];
    assert_int_equal(w.n, 3);
    window_encode(&w, bytes);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        uint8_t *exact = kit_exact(bytes, len);
        assert_int_equal(window_decode(&back, WIN, exact, len), len % EXTENT_BYTES ? -HOLO_ECORRUPT : 0);
        free(exact);
    }
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (window_decode(&back, WIN, bytes, sizeof(bytes)) == 0)
            assert_int_equal(back.n, 3);
        expect_sane(&back);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    window_fini(&back);
    window_fini(&w);
}

static void extents_out_of_order_are_refused(void **state)
{
    (void)state;
    struct window w = some_window(), back = { 0 };
    uint8_t bytes[2 * EXTENT_BYTES];
    struct extent swapped[2] = { w.e[1], w.e[0] };
    window_encode(&(struct window){ .n = 2, .e = swapped }, bytes);
    assert_int_equal(window_decode(&back, WIN, bytes, sizeof(bytes)), -HOLO_ECORRUPT);
    assert_int_equal(back.n, 0);
    window_fini(&back);
    window_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_follow_the_model),
        cmocka_unit_test(a_sequential_file_is_one_run),
        cmocka_unit_test(a_hole_that_gets_its_bytes_back_joins_both_sides),
        cmocka_unit_test(runs_of_other_places_stay_apart),
        cmocka_unit_test(punching_nothing_changes_nothing),
        cmocka_unit_test(a_share_of_a_compressed_piece_is_live),
        cmocka_unit_test(a_move_takes_what_is_still_where_it_was),
        cmocka_unit_test(a_part_of_a_merged_run_moves),
        cmocka_unit_test(a_move_is_of_one_place_only),
        cmocka_unit_test(parts_of_a_piece_move_to_different_places),
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(what_cannot_be_an_extent_is_refused),
        cmocka_unit_test(flipped_and_cut_windows_are_refused_or_sane),
        cmocka_unit_test(extents_out_of_order_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
