/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_ring.c: what is appended is found and read, lap after lap; damage in one copy heals, in both is counted. */
#include "tests/store/ring_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/sum.h"
#include "store/flips.h"

static const uint64_t SEED = 0x51d6;

/* By an independent program, from docs/FORMAT.md. */
static const char golden_head[] =
    "686f6c6f52494e4709000000000000002202000000000000000000000000000000000000000000000000000000000000"
    "05002a36fe9c9717020000000000000003000000010000008813000000000000b80b000000000000501f000000000000"
    "08000000000000002102000000000000efcdab000000000000000000000000003da741c4940ea607";
static const uint64_t golden_chain = 0xf42683aaf050f764, golden_entry = 0x9c3a6be250c9a67d;

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    struct rig *g = rig_new(512, SEED);
    uint8_t records[5000], data[3000];
    for (int i = 0; i < 5000; i++)
        records[i] = (uint8_t)(i * 13 + 1);
    for (int i = 0; i < 3000; i++)
        data[i] = (uint8_t)(i * 29 + 3);
    struct ring_data d = { { 0x2a, 3000, 0x12345 }, data };
    struct ring_txg t = { .epoch = 9, .txg = 0x222, .base_epoch = 8, .base_txg = 0x221, .base_chain = 0xabcdef,
                          .time_ns = 1700000000000000005, .flags = RING_EPOCH_FIRST };
    assert_int_equal(ring_append(g->r, &t, &d, 1, records, sizeof(records)), 0);
    assert_int_equal(t.blocks, 2);
    assert_true(t.chain == golden_chain);
    uint8_t *image = rig_image(g, 0);
    kit_expect_hex(image, golden_head);
    assert_true(sum64(image, 2 * BLOCK_SIZE, 0) == golden_entry);
    free(image);
    rig_free(g);
}

static void sizes_around_every_boundary_come_back(void **state)
{
    (void)state;
    struct rig *g = rig_new(2048, SEED);
    struct ring_scan_result s;
    enum { FIRST = 4088 - 128, FULL = 4088 - 2168 + 255 * 4096 };
    static const uint64_t edges[] = { 0, FIRST, FIRST + 4088, FIRST + 2 * 4088, 65536, FULL, FULL + FIRST, 2 * FULL };
    for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
        for (uint64_t size = edges[i] < 3 ? 0 : edges[i] - 3; size <= edges[i] + 3; size++) {
            uint64_t before = ring_end(g->r);
            rig_tail(g, before);
            assert_int_equal(rig_append(g, size), 0);
            const struct ring_txg *t = &g->sent[g->last].t;
            assert_true(t->lsn == before && ring_end(g->r) == before + t->blocks);
            assert_true(t->blocks == ring_blocks_for(t->n_segments, t->records_len, t->data_len));
            assert_true(t->blocks * BLOCK_SIZE < size + t->blocks * 8 + (size / FULL + 1) * 136 + BLOCK_SIZE + 16 * RIG_DATA_MAX);
            rig_expect_txg(g, t);
        }
    }
    rig_restart(g, &s);
    assert_int_equal(s.n, 1);
    free(s.txgs);
    rig_free(g);
}

static void data_without_records_is_a_txg_too(void **state)
{
    (void)state;
    struct rig *g = rig_new(512, SEED);
    struct ring_scan_result s;
    struct buf got = { 0 };
    uint8_t data[6000];
    kit_fill(SEED, data, sizeof(data));
    struct ring_data d[] = { { { 1, 0, 5 }, NULL }, { { 2, sizeof(data), 6 }, data }, { { 3, 0, 7 }, NULL } };
    struct ring_txg t = { .epoch = 1, .txg = 1 };
    assert_int_equal(ring_append(g->r, &t, d, 3, NULL, 0), 0);
    assert_int_equal(ring_scan(g->r, 0, &s), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(ring_read(g->r, &s.txgs[0], &got), 0);
    assert_int_equal(got.len, 3 * RING_SEGMENT_BYTES + sizeof(data));
    assert_memory_equal(got.p + 3 * RING_SEGMENT_BYTES, data, sizeof(data));
    for (uint32_t i = 0; i < 3; i++) {
        struct ring_segment seg;
        ring_segment_get(got.p, i, &seg);
        assert_true(seg.container == i + 1 && seg.len == d[i].seg.len && seg.off == i + 5);
    }
    buf_fini(&got);
    free(s.txgs);
    rig_free(g);
}

static void txgs_of_many_entries_come_back(void **state)
{
    (void)state;
    struct rig *g = rig_new(2400, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(rig_append(g, (uint64_t)3 << 20), 0);
        assert_true(g->sent[g->last].t.blocks > 3 * RING_ENTRY_BLOCKS);
        rig_tail(g, g->sent[g->last].t.lsn);
    }
    rig_restart(g, &s);
    assert_int_equal(s.lost_txgs, 0);
    assert_false(s.torn);
    free(s.txgs);
    rig_free(g);
}

/* The oldest txg that is kept, so that at most `keep` blocks are in use. */
static void follow_with_tail(struct rig *g, uint64_t keep)
{
    uint64_t lsn = g->tail;
    for (uint64_t n = 1; n <= g->last && ring_end(g->r) - lsn > keep; n++) {
        const struct ring_txg *t = &g->sent[n].t;
        if (g->sent[n].acked && t->lsn + t->blocks > lsn)
            lsn = t->lsn + t->blocks;
    }
    rig_tail(g, lsn);
}

static void many_laps_with_a_moving_tail(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    struct rig *g = rig_new(97, SEED);
    print_message("seed %llx\n", (unsigned long long)SEED);
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(rig_append(g, kit_random(&seed) % (kit_random(&seed) % 4 ? 9000 : 120000)), 0);
        follow_with_tail(g, kit_random(&seed) % 60);
        if (kit_random(&seed) % 4 == 0)
            assert_true(ring_mirror(g->r) >= 0);
        if (i % 25)
            continue;
        struct ring_scan_result s;
        rig_restart(g, &s);
        assert_int_equal(s.lost_txgs, 0);
        assert_int_equal(s.repairable_blocks, 0);
        assert_false(s.torn);
        assert_true(s.end == ring_end(g->r) && s.tail == ring_tail(g->r));
        free(s.txgs);
    }
    assert_true(ring_end(g->r) > 50 * g->blocks);
    rig_free(g);
}

static void a_full_ring_refuses_and_writes_nothing(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    struct ring_scan_result s;
    while (ring_free_blocks(g->r) > 4)
        assert_int_equal(rig_append(g, 12001), 0);
    uint64_t writes = backing_fault_writes(g->fault), bytes = ring_bytes_written(g->r);
    uint8_t *before = rig_image(g, 0);
    assert_int_equal(rig_append(g, 40001), -HOLO_ERINGFULL);
    assert_true(writes == backing_fault_writes(g->fault) && bytes == ring_bytes_written(g->r));
    uint8_t *after = rig_image(g, 0);
    assert_memory_equal(before, after, 64 * BLOCK_SIZE);
    uint64_t fits = 4088 - 128 + (ring_free_blocks(g->r) - 1) * 4088;
    assert_int_equal(rig_append(g, (fits | 1) + 2), -HOLO_ERINGFULL);
    assert_int_equal(rig_append(g, (fits - 1) | 1), 0);
    assert_int_equal(ring_free_blocks(g->r), 0);
    assert_int_equal(rig_append(g, 0), -HOLO_ERINGFULL);
    rig_tail(g, g->sent[2].t.lsn);
    assert_int_equal(rig_append(g, 1), -HOLO_ERINGFULL); /* no txg on the medium says that tail */
    rig_restart(g, &s);
    assert_int_equal(s.n, g->last);
    free(s.txgs);
    free(before);
    free(after);
    rig_free(g);
}

static void an_empty_ring_of_noise_gives_nothing(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    struct ring_scan_result s;
    for (uint64_t lsn = 0; lsn < 64; lsn++)
        rig_damage(g, 0, lsn), rig_damage(g, 1, lsn);
    assert_int_equal(ring_scan(g->r, 0, &s), 0);
    assert_int_equal(s.n, 0);
    free(s.txgs);
    rig_free(g);
}

static void entries_of_another_store_are_not_believed(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    struct ring_scan_result s;
    struct ring *strange;
    uint8_t other[16] = { 1 };
    rig_append(g, 5000);
    assert_int_equal(ring_open(g->memory, other, 64, true, &strange), 0);
    assert_int_equal(ring_scan(strange, 0, &s), 0);
    assert_int_equal(s.n, 0);
    ring_close(strange);
    free(s.txgs);
    rig_free(g);
}

/* ---- damage ---- */

/* Forty txgs, mirrored, with the tail somewhere in the first lap's end. */
static struct rig *rig_with_log(uint64_t seed)
{
    struct rig *g = rig_new(256, seed);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(rig_append(g, kit_random(&seed) % (i % 5 ? 6000 : 60000)), 0);
        follow_with_tail(g, 200);
    }
    assert_true(ring_unmirrored_blocks(g->r) > 0);
    assert_true(ring_mirror(g->r) > 0);
    assert_int_equal(ring_unmirrored_blocks(g->r), 0);
    return g;
}

static void journal_0_heals_from_the_mirror_and_counts(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 40; round++) {
        uint64_t seed = SEED + round, n = 0;
        struct rig *g = rig_with_log(seed);
        struct ring_scan_result s, again;
        uint64_t tail = ring_tail(g->r), end = ring_end(g->r), durable = g->sent[g->last].t.lsn;
        for (uint64_t lsn = tail; lsn < end; lsn++) {
            bool hit = kit_random(&seed) % 40 < round || (round == 0 && lsn == durable) || (round == 1 && lsn == end - 1);
            n += hit;
            if (hit)
                rig_damage(g, 0, lsn);
        }
        rig_restart(g, &s);
        assert_int_equal(s.repairable_blocks, n);
        assert_int_equal(s.lost_txgs, 0);
        assert_false(s.torn);
        uint8_t *a = rig_image(g, 0), *b = rig_image(g, 1);
        for (uint64_t lsn = s.tail; lsn < s.end; lsn++)
            assert_memory_equal(a + lsn % 256 * BLOCK_SIZE, b + lsn % 256 * BLOCK_SIZE, BLOCK_SIZE);
        free(a);
        free(b);
        rig_restart(g, &again);
        assert_int_equal(again.repairable_blocks, 0);
        free(s.txgs);
        free(again.txgs);
        rig_free(g);
    }
}

static void a_damaged_mirror_is_made_whole_again(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    for (uint64_t lsn = ring_tail(g->r); lsn < ring_end(g->r); lsn++)
        rig_damage(g, 1, lsn);
    rig_restart(g, &s);
    for (uint64_t lsn = s.tail; lsn < s.end; lsn++)
        rig_damage(g, 0, lsn);
    free(s.txgs);
    rig_restart(g, &s);
    assert_int_equal(s.repairable_blocks, s.end - s.tail);
    free(s.txgs);
    rig_free(g);
}

static void looking_only_writes_nothing(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    struct ring *r;
    uint64_t n = 0;
    for (uint64_t lsn = ring_tail(g->r); lsn < ring_end(g->r); lsn += 3, n++)
        rig_damage(g, 0, lsn);
    uint8_t *before = rig_image(g, 0);
    assert_int_equal(ring_open(g->memory, kit_uuid, g->blocks, true, &r), 0);
    assert_int_equal(ring_scan(r, 0, &s), 0);
    assert_int_equal(s.repairable_blocks, n);
    struct ring *writer = g->r;
    g->r = r;
    rig_expect_all(g, &s);
    g->r = writer;
    uint8_t *after = rig_image(g, 0);
    assert_memory_equal(before, after, (size_t)g->blocks * BLOCK_SIZE);
    free(before);
    free(after);
    free(s.txgs);
    ring_close(r);
    rig_free(g);
}

static void unreadable_sectors_heal_like_wrong_ones(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    rig_close(g);
    rig_open(g);
    backing_fault_add(g->fault, &(struct fault_rule){ FAULT_READ, FAULT_ERROR, EIO, "journal.0", 100 * BLOCK_SIZE, 140 * BLOCK_SIZE, 0, 0 });
    assert_int_equal(ring_scan(g->r, 0, &s), 0);
    rig_expect_all(g, &s);
    assert_int_equal(s.lost_txgs, 0);
    assert_true(s.repairable_blocks > 0 && s.repairable_blocks <= 40);
    free(s.txgs);
    rig_free(g);
}

/* Take the first or last block of txgs from..to in both copies. */
static void lose_txgs(struct rig *g, uint64_t from, uint64_t to, bool head)
{
    for (uint64_t n = from; n <= to; n++) {
        const struct ring_txg *t = &g->sent[n].t;
        for (int c = 0; c < RING_COPIES; c++)
            rig_damage(g, c, head ? t->lsn : t->lsn + t->blocks - 1);
        g->sent[n].acked = false;
    }
}

static void damage_in_both_copies_costs_only_what_it_hit(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, to; /* counted from the newest */
    } holes[] = { { 5, 5 }, { 9, 5 }, { 1, 1 }, { 12, 2 } };
    for (size_t i = 0; i < 8; i++) {
        struct rig *g = rig_with_log(SEED + i);
        struct ring_scan_result s;
        uint64_t from = g->last - holes[i / 2].from, to = g->last - holes[i / 2].to;
        uint64_t newest = g->last;
        lose_txgs(g, from, to, i % 2);
        rig_restart(g, &s);
        assert_int_equal(s.lost_txgs, to - from + 1);
        assert_false(s.torn);
        assert_true(g->last == newest);
        for (size_t k = 0; k < s.n; k++)
            assert_true(s.txgs[k].txg < from || s.txgs[k].txg > to);
        free(s.txgs);
        rig_free(g);
    }
}

/* Is each byte of a damaged txg the one that was sent, or in a hole, of which there are `lost` bytes? */
static void expect_remains(struct rig *g, const struct ring_txg *t, uint64_t lost)
{
    struct buf got = { 0 };
    struct ring_holes h = { 0 };
    struct content c;
    uint64_t holes = 0;
    assert_int_equal(ring_read(g->r, t, &got), -HOLO_ELOST);
    assert_int_equal(ring_read_damaged(g->r, t, &got, &h), 0);
    content_make(&c, t->epoch, t->txg, g->sent[t->txg].size);
    assert_int_equal(got.len, c.stream.len);
    assert_true(t->lsn == g->sent[t->txg].t.lsn && t->blocks == g->sent[t->txg].t.blocks && t->n_segments == c.n_data);
    for (size_t i = 0, at = 0; i <= h.n; i++) {
        size_t end = i < h.n ? (size_t)h.v[i].off : got.len;
        assert_memory_equal(got.p + at, c.stream.p + at, end - at);
        at = end + (i < h.n ? (size_t)h.v[i].len : 0);
        holes += i < h.n ? h.v[i].len : 0;
    }
    assert_int_equal(holes, lost);
    content_fini(&c);
    buf_fini(&got);
    ring_holes_fini(&h);
}

static void damage_both(struct rig *g, uint64_t lsn)
{
    rig_damage(g, 0, lsn);
    rig_damage(g, 1, lsn);
}

static void what_is_right_of_damaged_txgs_can_be_read(void **state)
{
    (void)state;
    struct rig *g = rig_new(2400, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 6; i++)
        assert_int_equal(rig_append(g, 1500000), 0);
    assert_true(ring_mirror(g->r) > 0);
    assert_true(g->sent[2].t.blocks > RING_ENTRY_BLOCKS + 50);
    damage_both(g, g->sent[1].t.lsn);                          /* the header of the first entry */
    damage_both(g, g->sent[2].t.lsn + 7);                      /* two payload blocks */
    damage_both(g, g->sent[2].t.lsn + 8);
    damage_both(g, g->sent[4].t.lsn + RING_ENTRY_BLOCKS);      /* the header of the last entry */
    damage_both(g, g->sent[5].t.lsn);                          /* both headers */
    damage_both(g, g->sent[5].t.lsn + RING_ENTRY_BLOCKS);
    for (uint64_t n = 1; n <= 5; n++)
        g->sent[n].acked = n == 3;
    uint64_t first = 4088 - 128 - 8 * 255 + UINT64_C(255) * 4096;
    uint64_t len = g->sent[4].t.n_segments * (uint64_t)RING_SEGMENT_BYTES + 1500000;
    rig_restart(g, &s);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.lost_txgs, 4);
    assert_int_equal(s.n_damaged, 3);
    assert_true(s.damaged[0].txg == 1 && s.damaged[1].txg == 2 && s.damaged[2].txg == 4);
    expect_remains(g, &s.damaged[0], first);
    expect_remains(g, &s.damaged[1], 2 * BLOCK_SIZE);
    expect_remains(g, &s.damaged[2], len - first);
    free(s.txgs);
    rig_free(g);
}

/* Looking for the newest txg must not make a torn one look mirrored. */
static void nothing_of_a_torn_txg_is_healed_into_the_mirror(void **state)
{
    (void)state;
    struct rig *g = rig_new(600, SEED);
    struct ring_scan_result s;
    assert_int_equal(rig_append(g, 5001), 0);
    assert_true(ring_mirror(g->r) > 0);
    assert_int_equal(rig_append(g, 100001), 0);
    rig_damage(g, 0, g->sent[2].t.lsn + 9);
    g->sent[2].acked = false;
    uint8_t *before = rig_image(g, 1);
    rig_restart(g, &s);
    uint8_t *after = rig_image(g, 1);
    assert_int_equal(s.n, 1);
    assert_memory_equal(before, after, 600 * BLOCK_SIZE);
    free(before);
    free(after);
    free(s.txgs);
    rig_free(g);
}

static void the_oldest_txg_can_be_lost_too(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    uint64_t oldest = 1;
    while (g->sent[oldest].t.lsn < g->sent[g->last - 1].t.lsn - 150)
        oldest++;
    rig_tail(g, g->sent[oldest].t.lsn);
    assert_int_equal(rig_append(g, 100), 0);
    assert_true(ring_mirror(g->r) > 0);
    lose_txgs(g, oldest, oldest, true);
    rig_restart(g, &s);
    assert_int_equal(s.lost_txgs, 1);
    assert_true(s.txgs[0].txg == oldest + 1);
    free(s.txgs);
    rig_free(g);
}

/* It cannot be told from a crash; what came before it must stand. */
static void a_newest_txg_lost_in_both_copies_is_a_torn_one(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    uint64_t newest = g->last;
    assert_int_equal(rig_append(g, 50000), 0);
    assert_true(ring_mirror(g->r) > 0);
    lose_txgs(g, newest + 1, newest + 1, false);
    rig_restart(g, &s);
    assert_true(s.torn);
    assert_int_equal(s.lost_txgs, 0);
    assert_true(g->last == newest);
    free(s.txgs);
    rig_free(g);
}

/* ---- flipped bytes in both copies ---- */

/* Flip one byte in a thousand of n blocks of a copy, whatever it holds. */
static void flip_copy(struct rig *g, int copy, uint64_t lsn, uint64_t n, uint64_t seed)
{
    uint8_t *image = rig_image(g, copy);
    for (uint64_t b = lsn; b < lsn + n; b++)
        kit_flip(&seed, image + b % g->blocks * BLOCK_SIZE, BLOCK_SIZE, 1);
    rig_put(g, copy, image, lsn, n);
    free(image);
}

/* No byte is wrong in both copies, and few enough differ: this block must come back. */
static bool must_come_back(const uint8_t *good, const uint8_t *a, const uint8_t *b)
{
    unsigned differ = 0, both = 0;
    for (size_t i = 0; i < BLOCK_SIZE; i++) {
        differ += a[i] != b[i];
        both += a[i] != good[i] && b[i] != good[i];
    }
    return memcmp(a, good, BLOCK_SIZE) == 0 || memcmp(b, good, BLOCK_SIZE) == 0 || (both == 0 && differ <= FLIPS_MAX);
}

/* Txgs of which a block may be beyond recovery count as not acknowledged. Returns how many. */
static uint64_t forgive(struct rig *g, const uint8_t *good)
{
    uint8_t *a = rig_image(g, 0), *b = rig_image(g, 1);
    uint64_t forgiven = 0;
    for (uint64_t n = 1; n <= g->last; n++) {
        const struct ring_txg *t = &g->sent[n].t;
        bool back = true;
        for (uint64_t lsn = t->lsn; lsn < t->lsn + t->blocks; lsn++) {
            size_t at = (size_t)(lsn % g->blocks) * BLOCK_SIZE;
            back &= must_come_back(good + at, a + at, b + at);
        }
        if (!back && t->lsn + g->blocks >= ring_end(g->r)) { /* what was overwritten does not count */
            g->sent[n].acked = false;
            forgiven++;
        }
    }
    free(a);
    free(b);
    return forgiven;
}

static void expect_images(struct rig *g, const uint8_t *good, const struct ring_scan_result *s)
{
    for (int c = 0; c < RING_COPIES; c++) {
        uint8_t *now = rig_image(g, c);
        for (size_t k = 0; k < s->n; k++) {
            for (uint64_t lsn = s->txgs[k].lsn; lsn < s->txgs[k].lsn + s->txgs[k].blocks; lsn++)
                assert_memory_equal(now + lsn % g->blocks * BLOCK_SIZE, good + lsn % g->blocks * BLOCK_SIZE, BLOCK_SIZE);
        }
        free(now);
    }
}

static void flips_all_over_both_copies_come_back_and_are_healed(void **state)
{
    (void)state;
    uint64_t forgiven = 0, txgs = 0;
    print_message("seed %llx\n", (unsigned long long)SEED);
    for (uint64_t round = 0; round < 6; round++) {
        struct rig *g = rig_with_log(SEED + round);
        struct ring_scan_result s;
        uint64_t used = ring_end(g->r) - g->tail;
        uint8_t *good = rig_image(g, 0);
        flip_copy(g, 0, 0, g->blocks, SEED + round);
        flip_copy(g, 1, 0, g->blocks, SEED + round + 100);
        uint64_t may_fail = forgive(g, good);
        rig_restart(g, &s);
        assert_true(s.lost_txgs <= may_fail);
        assert_true(may_fail || (s.repairable_blocks > used * 9 / 10 && s.repairable_blocks <= used));
        expect_images(g, good, &s);
        forgiven += may_fail;
        txgs += s.n;
        free(good);
        free(s.txgs);
        rig_free(g);
    }
    print_message("%llu txgs, of which %llu might be lost\n", (unsigned long long)txgs, (unsigned long long)forgiven);
    assert_true(forgiven < txgs / 10);
}

/* The quick way after a clean stop needs the headers of journal.0 right; payload it reads from both copies. */
static void a_clean_ring_with_flips_in_both_copies_is_read(void **state)
{
    (void)state;
    struct rig *g = rig_with_log(SEED);
    struct ring_scan_result s;
    uint64_t n = 0, seed = SEED;
    uint8_t *good = rig_image(g, 0);
    for (uint64_t i = 1; i <= g->last; i++) {
        const struct ring_txg *t = &g->sent[i].t;
        if (t->lsn < g->tail || t->blocks == 1)
            continue;
        for (int c = 0; c < RING_COPIES; c++) {
            uint8_t *image = rig_image(g, c);
            for (int flips = 0; flips < 3; flips++)
                image[(t->lsn + 1) % g->blocks * BLOCK_SIZE + 8 * (kit_random(&seed) % 512) + (unsigned)c] ^= 0x20;
            rig_put(g, c, image, t->lsn + 1, 1);
            free(image);
        }
        n++;
    }
    rig_close(g);
    rig_open(g);
    assert_int_equal(ring_scan_clean(g->r, g->tail, g->sent[g->last].t.lsn + g->sent[g->last].t.blocks, g->last, &s), 0);
    assert_true(n > 10);
    assert_int_equal(s.repairable_blocks, n);
    rig_expect_all(g, &s);
    expect_images(g, good, &s);
    free(good);
    free(s.txgs);
    rig_free(g);
}

/* ---- the mirror ---- */

static void the_mirror_copies_what_it_lacks(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    assert_int_equal(ring_mirror(g->r), 0);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(rig_append(g, 20001), 0);
        uint64_t n = g->sent[g->last].t.blocks;
        assert_int_equal(ring_mirror(g->r), n);
        assert_int_equal(ring_mirror(g->r), 0);
        follow_with_tail(g, 20);
    }
    uint8_t *a = rig_image(g, 0), *b = rig_image(g, 1);
    assert_memory_equal(a, b, 64 * BLOCK_SIZE);
    free(a);
    free(b);
    rig_free(g);
}

static void a_mirror_that_fails_is_left_alone(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct rig *g = rig_new(64, SEED);
        struct ring_scan_result s;
        backing_fault_add(g->fault, &(struct fault_rule){ kind ? FAULT_SYNC : FAULT_WRITE, FAULT_ERROR, EIO, "journal.1", 0, 0, 0, 1 });
        assert_int_equal(rig_append(g, 5000), 0);
        assert_true(ring_mirror(g->r) < 0);
        assert_int_equal(ring_failed_copies(g->r), 2);
        assert_int_equal(rig_append(g, 5000), 0);
        assert_int_equal(ring_mirror(g->r), 0);
        rig_restart(g, &s);
        assert_int_equal(s.n, 2);
        free(s.txgs);
        rig_free(g);
    }
}

static void journal_0_is_blamed_when_it_cannot_be_copied(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    struct ring_scan_result s;
    assert_int_equal(rig_append(g, 5000), 0);
    backing_fault_add(g->fault, &(struct fault_rule){ FAULT_READ, FAULT_ERROR, EIO, "journal.0", 0, 0, 0, 1 });
    assert_true(ring_mirror(g->r) < 0);
    assert_int_equal(ring_failed_copies(g->r), 1);
    assert_int_equal(rig_append(g, 7000), 0);
    uint8_t *b = rig_image(g, 1);
    assert_memory_equal(b + g->sent[2].t.lsn * BLOCK_SIZE, "holoRING", 8);
    free(b);
    rig_restart(g, &s);
    assert_int_equal(s.n, 2);
    free(s.txgs);
    rig_free(g);
}

struct runner {
    struct rig *g;
    _Atomic bool stop;
    int64_t error;
};

static void *mirror_runs(void *arg)
{
    struct runner *m = arg;
    while (!m->stop) {
        int64_t n = ring_mirror(m->g->r);
        if (n < 0)
            m->error = n;
    }
    return NULL;
}

static void the_mirror_runs_beside_appends(void **state)
{
    (void)state;
    struct rig *g = rig_new(128, SEED);
    struct runner m = { .g = g };
    struct ring_scan_result s;
    pthread_t thread;
    uint64_t seed = SEED;
    assert_int_equal(pthread_create(&thread, NULL, mirror_runs, &m), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rig_append(g, kit_random(&seed) % 30000), 0);
        follow_with_tail(g, 90);
    }
    m.stop = true;
    pthread_join(thread, NULL);
    assert_true(m.error == 0);
    assert_true(ring_mirror(g->r) >= 0);
    for (uint64_t lsn = ring_tail(g->r); lsn < ring_end(g->r); lsn++)
        rig_damage(g, 0, lsn);
    rig_restart(g, &s);
    assert_int_equal(s.lost_txgs, 0);
    free(s.txgs);
    rig_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(sizes_around_every_boundary_come_back),
        cmocka_unit_test(data_without_records_is_a_txg_too),
        cmocka_unit_test(txgs_of_many_entries_come_back),
        cmocka_unit_test(many_laps_with_a_moving_tail),
        cmocka_unit_test(a_full_ring_refuses_and_writes_nothing),
        cmocka_unit_test(an_empty_ring_of_noise_gives_nothing),
        cmocka_unit_test(entries_of_another_store_are_not_believed),
        cmocka_unit_test(journal_0_heals_from_the_mirror_and_counts),
        cmocka_unit_test(a_damaged_mirror_is_made_whole_again),
        cmocka_unit_test(looking_only_writes_nothing),
        cmocka_unit_test(unreadable_sectors_heal_like_wrong_ones),
        cmocka_unit_test(damage_in_both_copies_costs_only_what_it_hit),
        cmocka_unit_test(what_is_right_of_damaged_txgs_can_be_read),
        cmocka_unit_test(nothing_of_a_torn_txg_is_healed_into_the_mirror),
        cmocka_unit_test(the_oldest_txg_can_be_lost_too),
        cmocka_unit_test(a_newest_txg_lost_in_both_copies_is_a_torn_one),
        cmocka_unit_test(flips_all_over_both_copies_come_back_and_are_healed),
        cmocka_unit_test(a_clean_ring_with_flips_in_both_copies_is_read),
        cmocka_unit_test(the_mirror_copies_what_it_lacks),
        cmocka_unit_test(a_mirror_that_fails_is_left_alone),
        cmocka_unit_test(journal_0_is_blamed_when_it_cannot_be_copied),
        cmocka_unit_test(the_mirror_runs_beside_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
