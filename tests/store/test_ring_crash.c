/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ring_crash.c: a ring that stops after each of its writes, with and without losing unsynced sectors, whose
 * copies fail one by one, or whose hints are wrong: what was acknowledged is there, and nothing that was torn.
 */
#include "tests/store/ring_rig.h"

static const uint64_t SEED = 0xc4a54;

/* ---- power cuts ---- */

struct plan {
    uint32_t blocks;   /* of the ring */
    uint64_t biggest;  /* txg in bytes */
    uint64_t keep;     /* blocks that the tail stays behind, at most */
    int txgs, mirror_every;
    bool lose;         /* unsynced sectors */
};

static void follow_with_tail(struct rig *g, uint64_t keep)
{
    for (uint64_t n = 1; n <= g->last && ring_end(g->r) - g->tail > keep; n++) {
        const struct ring_txg *t = &g->sent[n].t;
        if (g->sent[n].acked && t->lsn + t->blocks > g->tail)
            rig_tail(g, t->lsn + t->blocks);
    }
}

/* Commit until something fails. Returns whether all went through. */
static bool run_until_cut(struct rig *g, const struct plan *p, uint64_t seed)
{
    for (int i = 0; i < p->txgs; i++) {
        uint64_t biggest = kit_random(&seed) % 4 ? p->biggest / 8 : p->biggest;
        uint64_t size = kit_random(&seed) % biggest;
        follow_with_tail(g, kit_random(&seed) % p->keep);
        int e = rig_append(g, size);
        if (e == -HOLO_ERINGFULL)
            rig_tail(g, ring_end(g->r));
        else if (e)
            return false;
        if (p->mirror_every && i % p->mirror_every == 0 && ring_mirror(g->r) < 0)
            return false;
    }
    return true;
}

/* What was torn may be found whole, if all its blocks were written: then it is the last. */
static void expect_after_cut(struct rig *g, const struct plan *p, const struct ring_scan_result *s)
{
    rig_expect_all(g, s);
    for (size_t k = 0; k + 1 < s->n; k++)
        assert_true(g->sent[s->txgs[k].txg].acked);
    assert_true(s->missing_to == 0 && !s->end_unknown); /* a crash is not damage */
    if (!p->lose)
        assert_int_equal(s->lost_txgs, 0);
    if (s->lost_txgs) /* the header that told the tail was lost, what it had written over the released part was not */
        assert_true(s->tail < g->tail);
}

static uint64_t cut_everywhere(const struct plan *p, uint64_t seed)
{
    bool finished = false;
    uint64_t n = 0;
    for (; !finished; n++) {
        struct rig *g = rig_new(p->blocks, seed + n);
        struct ring_scan_result s;
        if (p->lose)
            backing_fault_track(g->fault);
        backing_fault_cut_after(g->fault, backing_fault_writes(g->fault) + n);
        finished = run_until_cut(g, p, seed);
        uint64_t tail = g->tail;
        if (p->lose)
            backing_fault_lose(g->fault);
        rig_close(g);
        rig_open(g);
        assert_int_equal(ring_scan(g->r, 0, &s), 0);
        expect_after_cut(g, p, &s);
        free(s.txgs);
        rig_restart(g, &s); /* looking again, after what the first look has healed */
        assert_true(s.tail <= tail || s.n == 1);
        free(s.txgs);
        assert_true(run_until_cut(g, &(struct plan){ p->blocks, p->biggest, p->keep, 5, 0, false }, seed + 99));
        assert_int_equal(rig_append(g, 1000), 0); /* the others may all have been too large */
        rig_restart(g, &s);
        assert_false(s.torn);
        free(s.txgs);
        rig_free(g);
    }
    return n;
}

static void sweep(const struct plan *p)
{
    uint64_t cuts = 0;
    for (uint64_t seed = SEED; seed < SEED + 2; seed++)
        cuts += cut_everywhere(p, seed);
    print_message("seed %llx: %llu cuts\n", (unsigned long long)SEED, (unsigned long long)cuts);
    assert_true(cuts > 100);
}

static void a_cut_after_each_write_tears_nothing(void **state)
{
    (void)state;
    sweep(&(struct plan){ .blocks = 64, .biggest = 120000, .keep = 40, .txgs = 60, .mirror_every = 3 });
}

static void a_cut_without_a_mirror_tears_nothing(void **state)
{
    (void)state;
    sweep(&(struct plan){ .blocks = 48, .biggest = 150000, .keep = 40, .txgs = 60 });
}

static void lost_sectors_take_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    sweep(&(struct plan){ .blocks = 64, .biggest = 120000, .keep = 40, .txgs = 60, .mirror_every = 3, .lose = true });
}

static void lost_sectors_of_txgs_of_many_entries(void **state)
{
    (void)state;
    sweep(&(struct plan){ .blocks = 1100, .biggest = 4000000, .keep = 600, .txgs = 30, .mirror_every = 4, .lose = true });
}

/* The tail moved on, but the txg that says so is torn: what it would have given up is needed, and is there. */
static void what_only_a_torn_txg_gives_up_is_still_there(void **state)
{
    (void)state;
    struct rig *g = rig_new(600, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 20; i++)
        assert_int_equal(rig_append(g, 50001), 0);
    rig_tail(g, g->sent[19].t.lsn);
    g->tail = 0;
    assert_int_equal(rig_append(g, 2000001), -HOLO_ERINGFULL);
    backing_fault_cut_after(g->fault, backing_fault_writes(g->fault) + 1);
    assert_int_not_equal(rig_append(g, 1200001), 0);
    rig_restart(g, &s);
    assert_true(s.torn);
    assert_int_equal(s.lost_txgs, 0);
    assert_int_equal(s.n, 20);
    assert_true(s.tail == 0);
    free(s.txgs);
    rig_free(g);
}

static void a_first_commit_that_is_torn_is_told(void **state)
{
    (void)state;
    for (uint64_t before = 0; before < 2; before++) {
        struct rig *g = rig_new(600, SEED);
        struct ring_scan_result s;
        if (before) {
            assert_int_equal(rig_append(g, 100), 0);
            rig_restart(g, &s);
            free(s.txgs);
        }
        backing_fault_cut_after(g->fault, backing_fault_writes(g->fault) + 1);
        assert_int_not_equal(rig_append(g, 2000001), 0);
        rig_restart(g, &s);
        assert_true(s.torn);
        assert_int_equal(s.n, before);
        free(s.txgs);
        rig_free(g);
    }
}

/* ---- two epochs ---- */

static void the_rest_of_a_torn_txg_stays_out_of_the_next_epoch(void **state)
{
    (void)state;
    struct rig *g = rig_new(1024, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_append(g, 9000), 0);
    backing_fault_cut_after(g->fault, backing_fault_writes(g->fault) + 2);
    assert_int_not_equal(rig_append(g, 2500000), 0);
    rig_restart(g, &s);
    assert_true(s.torn);
    assert_int_equal(s.n, 5);
    free(s.txgs);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rig_append(g, 3001), 0);
        rig_restart(g, &s);
        assert_int_equal(s.n, 6 + i);
        assert_false(s.torn);
        free(s.txgs);
    }
    rig_free(g);
}

/* An epoch of eight; then, as if the last three had never been, one that builds on the fifth. */
static struct rig *rig_with_void(struct ring_txg old[3])
{
    struct rig *g = rig_new(256, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 8; i++)
        assert_int_equal(rig_append(g, 9000), 0);
    assert_true(ring_mirror(g->r) > 0);
    uint8_t *image = rig_image(g, 0);
    for (uint64_t n = 6; n <= 8; n++) {
        old[n - 6] = g->sent[n].t;
        for (int c = 0; c < RING_COPIES; c++)
            rig_damage(g, c, g->sent[n].t.lsn);
        g->sent[n].acked = false;
    }
    rig_restart(g, &s);
    assert_int_equal(s.n, 5);
    free(s.txgs);
    assert_int_equal(rig_append(g, 3001), 0);
    for (int c = 0; c < RING_COPIES; c++)
        rig_put(g, c, image, old[1].lsn, old[1].blocks + old[2].blocks);
    free(image);
    return g;
}

static void whole_txgs_of_an_older_epoch_behind_a_newer_one_are_void(void **state)
{
    (void)state;
    struct ring_txg old[3];
    struct rig *g = rig_with_void(old);
    struct ring_scan_result s;
    rig_restart(g, &s);
    assert_int_equal(s.n, 6);
    assert_int_equal(s.txgs[5].epoch, 2);
    assert_int_equal(s.txgs[5].base_txg, 5);
    assert_true(s.txgs[5].base_chain == s.txgs[4].chain);
    assert_int_equal(s.lost_txgs, 0);
    assert_false(s.torn);
    free(s.txgs);
    rig_free(g);
}

/* The old 7 stands in the mirror where the new 7 is lost, and the same for the first of the epoch. */
static void damage_does_not_let_the_older_epoch_in(void **state)
{
    (void)state;
    for (uint64_t lost = 6; lost <= 7; lost++) {
        struct rig *g = rig_new(256, SEED);
        struct ring_scan_result s;
        for (int i = 0; i < 8; i++)
            assert_int_equal(rig_append(g, 3001), 0);
        assert_true(ring_mirror(g->r) > 0);
        uint8_t *image = rig_image(g, 1);
        for (uint64_t n = 6; n <= 8; n++) {
            rig_damage(g, 0, g->sent[n].t.lsn);
            rig_damage(g, 1, g->sent[n].t.lsn);
            g->sent[n].acked = false;
        }
        rig_restart(g, &s);
        free(s.txgs);
        for (int i = 0; i < 4; i++)
            assert_int_equal(rig_append(g, 3001), 0);
        assert_true(ring_mirror(g->r) > 0);
        rig_put(g, 1, image, g->sent[lost].t.lsn, 1);
        rig_damage(g, 0, g->sent[lost].t.lsn);
        g->sent[lost].acked = false;
        rig_restart(g, &s);
        assert_int_equal(s.n, 8);
        assert_int_equal(s.lost_txgs, 1);
        assert_int_equal(g->last, 9);
        free(image);
        free(s.txgs);
        rig_free(g);
    }
}

/* Two txgs of the new epoch are lost, its first among them, and the old one that it is not built on is there again: void. */
static void a_gap_is_not_filled_with_what_its_epoch_does_not_build_on(void **state)
{
    (void)state;
    struct rig *g = rig_new(256, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 8; i++)
        assert_int_equal(rig_append(g, 3001), 0);
    assert_true(ring_mirror(g->r) > 0);
    uint8_t *image = rig_image(g, 1);
    for (int c = 0; c < 2; c++)
        rig_damage(g, c, g->sent[7].t.lsn), rig_damage(g, c, g->sent[8].t.lsn);
    g->sent[7].acked = g->sent[8].acked = false;
    rig_restart(g, &s);
    free(s.txgs);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_append(g, 3001), 0);
    assert_true(ring_mirror(g->r) > 0);
    for (int c = 0; c < 2; c++)
        rig_damage(g, c, g->sent[7].t.lsn), rig_damage(g, c, g->sent[8].t.lsn);
    rig_put(g, 1, image, g->sent[7].t.lsn, 1);
    g->sent[7].acked = g->sent[8].acked = false;
    rig_restart(g, &s);
    assert_int_equal(s.n, 8);
    assert_int_equal(s.txgs[6].txg, 9);
    assert_int_equal(s.lost_txgs, 2);
    assert_int_equal(s.n_damaged, 0);
    free(image);
    free(s.txgs);
    rig_free(g);
}

/* ---- a copy that fails ---- */

static void commits_go_to_the_mirror_when_journal_0_fails(void **state)
{
    (void)state;
    static const struct fault_rule rules[] = {
        { FAULT_WRITE, FAULT_ERROR, EIO, "journal.0", 0, 0, 7, 0 },
        { FAULT_WRITE, FAULT_ERROR, ENOSPC, "journal.0", 0, 0, 7, 1 },
        { FAULT_SYNC, FAULT_ERROR, EIO, "journal.0", 0, 0, 7, 1 },
        { FAULT_SYNC, FAULT_SYNC_FORGET, EIO, "journal.0", 0, 0, 7, 1 },
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        uint64_t seed = SEED + i;
        struct rig *g = rig_new(1200, seed);
        struct ring_scan_result s;
        backing_fault_add(g->fault, &rules[i]);
        for (int k = 0; k < 60; k++) {
            assert_int_equal(rig_append(g, kit_random(&seed) % 1500000), 0);
            assert_true(ring_mirror(g->r) >= 0);
            follow_with_tail(g, 150);
        }
        assert_int_equal(ring_failed_copies(g->r), 1);
        assert_true(ring_end(g->r) > 5 * g->blocks);
        rig_restart(g, &s);
        assert_int_equal(s.lost_txgs, 0);
        assert_int_equal(s.repairable_blocks, s.end - s.tail);
        free(s.txgs);
        rig_free(g);
    }
}

/* What journal.0 had alone when it failed is in the mirror afterwards. */
static void the_mirror_takes_over_with_all_that_was_committed(void **state)
{
    (void)state;
    struct rig *g = rig_new(600, SEED);
    struct ring_scan_result s;
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_append(g, 90000), 0);
    backing_fault_add(g->fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "journal.0", 0, 0, 0, 0 });
    assert_int_equal(rig_append(g, 5000), 0);
    assert_int_equal(ring_failed_copies(g->r), 1);
    for (uint64_t lsn = 0; lsn < ring_end(g->r); lsn++)
        rig_damage(g, 0, lsn);
    rig_restart(g, &s);
    assert_int_equal(s.n, 6);
    assert_int_equal(s.lost_txgs, 0);
    free(s.txgs);
    rig_free(g);
}

static void a_missing_copy_is_made_again_from_the_other(void **state)
{
    (void)state;
    static const char *const names[] = { "journal.0", "journal.1" };
    for (int c = 0; c < RING_COPIES; c++) {
        struct rig *g = rig_new(64, SEED);
        struct ring_scan_result s;
        assert_int_equal(rig_append(g, 9000), 0);
        assert_true(ring_mirror(g->r) > 0);
        assert_int_equal(g->memory->ops->unlink(g->memory, names[c]), 0);
        rig_restart(g, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(ring_failed_copies(g->r), 0);
        assert_int_equal(ring_made_copies(g->r), 1u << c);
        free(s.txgs);
        assert_int_equal(rig_append(g, 9000), 0);
        assert_true(ring_mirror(g->r) >= 0);
        assert_int_equal(g->memory->ops->unlink(g->memory, names[!c]), 0);
        rig_restart(g, &s);
        assert_int_equal(s.n, 2);
        free(s.txgs);
        rig_free(g);
    }
}

static void a_copy_cut_short_is_filled_up_again(void **state)
{
    (void)state;
    for (int c = 0; c < RING_COPIES; c++) {
        struct rig *g = rig_new(64, SEED);
        struct ring_scan_result s;
        uint64_t size = 0;
        assert_int_equal(rig_append(g, 90000), 0);
        assert_true(ring_mirror(g->r) > 0);
        struct bfile *f = rig_file(g, c);
        assert_int_equal(f->ops->truncate(f, 5 * BLOCK_SIZE + 77), 0);
        rig_restart(g, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(f->ops->size(f, &size), 0);
        assert_true(size == 64 * BLOCK_SIZE);
        f->ops->close(f);
        free(s.txgs);
        uint8_t *a = rig_image(g, 0), *b = rig_image(g, 1);
        assert_memory_equal(a, b, g->sent[1].t.blocks * BLOCK_SIZE);
        free(a);
        free(b);
        rig_free(g);
    }
}

static void when_both_copies_fail_nothing_is_acknowledged(void **state)
{
    (void)state;
    struct rig *g = rig_new(64, SEED);
    assert_int_equal(rig_append(g, 9000), 0);
    uint64_t end = ring_end(g->r);
    backing_fault_add(g->fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "journal.*", 0, 0, 0, 0 });
    assert_int_equal(rig_append(g, 9000), -EIO);
    assert_int_equal(ring_failed_copies(g->r), 3);
    assert_true(ring_end(g->r) == end);
    assert_int_equal(rig_append(g, 9000), -EIO);
    struct ring *none;
    assert_int_equal(g->memory->ops->unlink(g->memory, "journal.0"), 0);
    assert_int_equal(g->memory->ops->unlink(g->memory, "journal.1"), 0);
    assert_int_equal(ring_open(g->memory, kit_uuid, 64, false, &none), -ENOENT);
    rig_free(g);
}

/* ---- hints ---- */

struct hints {
    uint64_t tail, end, txg;
};

static struct rig *rig_stopped(struct hints *h)
{
    struct rig *g = rig_new(900, SEED);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(rig_append(g, i % 10 == 9 ? 1200000 : 9000), 0);
        follow_with_tail(g, 500);
    }
    assert_true(ring_mirror(g->r) > 0);
    *h = (struct hints){ ring_tail(g->r), ring_end(g->r), g->last };
    rig_close(g);
    rig_open(g);
    return g;
}

static int scan_clean(struct rig *g, uint64_t tail, uint64_t end, uint64_t txg)
{
    struct ring_scan_result s;
    int e = ring_scan_clean(g->r, tail, end, txg, &s);
    assert_true(e == 0 || s.n == 0);
    if (!e)
        rig_expect_all(g, &s);
    free(s.txgs);
    return e;
}

static void right_hints_lead_to_the_log(void **state)
{
    (void)state;
    struct hints h;
    struct rig *g = rig_stopped(&h);
    struct ring_scan_result s;
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), 0);
    assert_true(ring_tail(g->r) == h.tail && ring_end(g->r) == h.end);
    assert_int_equal(ring_mirror(g->r), 0);
    assert_int_equal(rig_append(g, 9000), 0);
    rig_restart(g, &s);
    assert_int_equal(s.lost_txgs, 0);
    assert_true(g->last == h.txg + 1);
    free(s.txgs);
    rig_free(g);
}

static void wrong_hints_are_refused(void **state)
{
    (void)state;
    struct hints h;
    struct rig *g = rig_stopped(&h);
    const struct ring_txg *last = &g->sent[g->last].t;
    assert_int_equal(last->txg, 30);
    assert_true(last->blocks > RING_ENTRY_BLOCKS);
    for (uint64_t d = 1; d < 600; d++) {
        assert_int_equal(scan_clean(g, h.tail, h.end + d, h.txg), -HOLO_ESTALE);
        assert_int_equal(scan_clean(g, h.tail, h.end - d, h.txg), -HOLO_ESTALE);
        assert_int_equal(scan_clean(g, h.tail, h.end, h.txg + d), -HOLO_ESTALE);
    }
    assert_int_equal(scan_clean(g, h.end, h.end, h.txg), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, h.end, h.tail, h.txg), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, 0, UINT64_MAX, h.txg), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, last->lsn + RING_ENTRY_BLOCKS, h.end, h.txg), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, h.tail + 1, h.end, h.txg), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), 0);
    rig_free(g);
}

/* A tail within a txg of two entries, with whole txgs behind it. */
static void a_hinted_tail_within_a_txg_is_refused(void **state)
{
    (void)state;
    struct rig *g = rig_new(600, SEED);
    assert_int_equal(rig_append(g, 1200001), 0);
    assert_int_equal(rig_append(g, 101), 0);
    rig_close(g);
    rig_open(g);
    assert_int_equal(scan_clean(g, RING_ENTRY_BLOCKS, g->sent[2].t.lsn + 1, 2), -HOLO_ESTALE);
    assert_int_equal(scan_clean(g, 0, g->sent[2].t.lsn + 1, 2), 0);
    rig_free(g);
}

static void hints_older_than_the_log_are_refused(void **state)
{
    (void)state;
    struct hints h;
    struct rig *g = rig_stopped(&h);
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), 0);
    g->epoch++;
    assert_int_equal(rig_append(g, 100), 0);
    rig_close(g);
    rig_open(g);
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), -HOLO_ESTALE);
    rig_free(g);
}

static void hints_into_damage_are_refused(void **state)
{
    (void)state;
    struct hints h;
    struct rig *g = rig_stopped(&h);
    rig_damage(g, 0, g->sent[g->last - 3].t.lsn);
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), -HOLO_ESTALE);
    rig_free(g);
}

static void a_mirror_left_behind_is_caught_up_after_a_clean_stop(void **state)
{
    (void)state;
    struct hints h;
    struct rig *g = rig_stopped(&h);
    struct ring_scan_result s;
    for (uint64_t lsn = h.tail; lsn < h.end; lsn++)
        rig_damage(g, 1, lsn);
    assert_int_equal(scan_clean(g, h.tail, h.end, h.txg), 0);
    assert_int_equal(ring_mirror(g->r), h.end - h.tail);
    for (uint64_t lsn = h.tail; lsn < h.end; lsn++)
        rig_damage(g, 0, lsn);
    rig_restart(g, &s);
    assert_int_equal(s.lost_txgs, 0);
    free(s.txgs);
    rig_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_after_each_write_tears_nothing),
        cmocka_unit_test(a_cut_without_a_mirror_tears_nothing),
        cmocka_unit_test(lost_sectors_take_nothing_that_was_acknowledged),
        cmocka_unit_test(lost_sectors_of_txgs_of_many_entries),
        cmocka_unit_test(what_only_a_torn_txg_gives_up_is_still_there),
        cmocka_unit_test(a_first_commit_that_is_torn_is_told),
        cmocka_unit_test(the_rest_of_a_torn_txg_stays_out_of_the_next_epoch),
        cmocka_unit_test(whole_txgs_of_an_older_epoch_behind_a_newer_one_are_void),
        cmocka_unit_test(damage_does_not_let_the_older_epoch_in),
        cmocka_unit_test(a_gap_is_not_filled_with_what_its_epoch_does_not_build_on),
        cmocka_unit_test(commits_go_to_the_mirror_when_journal_0_fails),
        cmocka_unit_test(the_mirror_takes_over_with_all_that_was_committed),
        cmocka_unit_test(a_missing_copy_is_made_again_from_the_other),
        cmocka_unit_test(a_copy_cut_short_is_filled_up_again),
        cmocka_unit_test(when_both_copies_fail_nothing_is_acknowledged),
        cmocka_unit_test(right_hints_lead_to_the_log),
        cmocka_unit_test(wrong_hints_are_refused),
        cmocka_unit_test(a_hinted_tail_within_a_txg_is_refused),
        cmocka_unit_test(hints_older_than_the_log_are_refused),
        cmocka_unit_test(hints_into_damage_are_refused),
        cmocka_unit_test(a_mirror_left_behind_is_caught_up_after_a_clean_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
