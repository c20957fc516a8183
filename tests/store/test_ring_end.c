/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ring_end.c: damage to what only journal.0 has, the mirror not having followed: committed txgs that are gone are missed, as long as
 * anything is left that a crash would not have left; and what a crash or healed damage leaves is not taken for it.
 */
#include "tests/store/ring_rig.h"

static const uint64_t SEED = 0xe4d5;

enum { MIRRORED = 20, ALONE = 6 };

/*
 * A log of which the mirror has all but the last ALONE txgs. Lapped: it went round the ring before; with the mirror following, or not, so that
 * old bytes differ.
 */
enum laps { FIRST_LAP, LAPPED, LAPPED_ALONE };

static struct rig *rig_with_end(uint64_t seed, enum laps laps)
{
    struct rig *g = rig_new(256, seed);
    for (int i = 0; i < (laps ? 8 : 1) * MIRRORED; i++) {
        assert_int_equal(rig_append(g, 1000 + kit_random(&seed) % 30000), 0);
        if (g->last > 10)
            rig_tail(g, g->sent[g->last - 10].t.lsn);
        assert_true(laps == LAPPED_ALONE || ring_mirror(g->r) > 0);
    }
    assert_true(ring_mirror(g->r) >= 0);
    for (int i = 0; i < ALONE; i++)
        assert_int_equal(rig_append(g, 1000 + kit_random(&seed) % 30000), 0);
    return g;
}

/* Txgs from this one on are not expected any more. */
static void give_up(struct rig *g, uint64_t from)
{
    for (uint64_t n = from; n <= g->last; n++)
        g->sent[n].acked = false;
}

/* Flip a byte in a block, behind the fields of a header. */
static void flip(struct rig *g, int copy, uint64_t lsn)
{
    uint8_t *image = rig_image(g, copy);
    image[lsn % g->blocks * BLOCK_SIZE + 1000] ^= 0x40;
    rig_put(g, copy, image, lsn, 1);
    free(image);
}

/* What the next look says, and the one after it: healing and filling up hide nothing. A commit ends it. */
static void expect_end(struct rig *g, uint64_t newest, uint64_t missing_to, bool unknown)
{
    struct ring_scan_result s;
    for (int look = 0; look < 3; look++) {
        rig_restart(g, &s);
        assert_int_equal(g->last, newest);
        assert_int_equal(s.missing_to, missing_to);
        assert_int_equal(s.end_unknown, unknown);
        assert_int_equal(s.lost_txgs, 0);
        free(s.txgs);
    }
    assert_int_equal(rig_append(g, 5000), 0);
    for (int look = 0; look < 2; look++) {
        rig_restart(g, &s);
        assert_int_equal(g->last, newest + 1);
        assert_true(s.missing_to == 0 && !s.end_unknown);
        free(s.txgs);
    }
    rig_free(g);
}

static void txgs_that_are_gone_are_missed_when_a_later_one_was_begun(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct rig *g = rig_with_end(SEED + (uint64_t)how, how % 2 ? LAPPED_ALONE : FIRST_LAP);
        uint64_t last = g->last, gone = last - 3;
        for (uint64_t n = gone; n <= last; n++) {
            if (how < 2 && n < last)
                rig_damage(g, 0, g->sent[n].t.lsn); /* the first blocks are junk, but for that of the last one */
            else
                flip(g, 0, g->sent[n].t.lsn); /* they look like what they are, and their checksums are wrong */
        }
        give_up(g, gone);
        expect_end(g, gone - 1, last - 1, false);
    }
}

static void a_txg_that_the_mirror_had_was_durable(void **state)
{
    (void)state;
    struct rig *g = rig_with_end(SEED, LAPPED);
    assert_int_equal(rig_append(g, 50000), 0);
    assert_true(ring_mirror(g->r) > 0);
    uint64_t last = g->last;
    for (int c = 0; c < RING_COPIES; c++)
        rig_damage(g, c, g->sent[last].t.lsn + g->sent[last].t.blocks - 1);
    give_up(g, last);
    expect_end(g, last - 1, last, false);
}

static void without_journal_0_nobody_knows_what_came_last(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct rig *g = rig_with_end(SEED, how == 1 ? LAPPED : FIRST_LAP);
        uint64_t newest = g->last - (how == 3 ? 2 : ALONE), end = g->sent[newest].t.lsn + g->sent[newest].t.blocks;
        struct bfile *f = rig_file(g, 0);
        if (how)
            assert_int_equal(f->ops->truncate(f, end % g->blocks * BLOCK_SIZE + (how < 2 ? 0 : how == 2 ? 1000 : BLOCK_SIZE + 1000)), 0);
        f->ops->close(f);
        if (!how)
            assert_int_equal(g->memory->ops->unlink(g->memory, "journal.0"), 0);
        give_up(g, newest + 1);
        expect_end(g, newest, 0, true);
    }
}

static void a_place_that_cannot_be_read_may_have_been_a_commit(void **state)
{
    (void)state;
    struct rig *g = rig_with_end(SEED, LAPPED);
    struct ring_scan_result s;
    uint64_t at = ring_end(g->r) % g->blocks * BLOCK_SIZE;
    rig_close(g);
    rig_open(g);
    backing_fault_add(g->fault, &(struct fault_rule){ FAULT_READ, FAULT_ERROR, EIO, "journal.0", at, at + BLOCK_SIZE, 0, 0 });
    assert_int_equal(ring_scan(g->r, 0, &s), 0);
    rig_expect_all(g, &s);
    assert_true(s.end_unknown);
    free(s.txgs);
    rig_close(g);
    rig_open(g);
    assert_int_equal(ring_scan(g->r, g->last, &s), 0); /* but a clean stop knows that there was none */
    assert_true(!s.end_unknown && s.missing_to == 0);
    free(s.txgs);
    expect_end(g, g->last, 0, true);
}

static void damage_across_the_end_is_seen(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct rig *g = rig_with_end(SEED, how % 2 ? LAPPED_ALONE : FIRST_LAP);
        uint64_t newest = g->last - ALONE, end = g->sent[newest].t.lsn + g->sent[newest].t.blocks;
        uint8_t *zeros = calloc(g->blocks, BLOCK_SIZE);
        for (uint64_t lsn = end - 1; lsn < ring_end(g->r); lsn++) {
            if (how < 2)
                rig_damage(g, 0, lsn);
            else
                rig_put(g, 0, zeros, lsn, 1);
        }
        free(zeros);
        give_up(g, newest + 1);
        expect_end(g, newest, 0, true);
    }
}

/* The last commit alone, if what is around it is flipped as well. */
static void flips_all_over_hide_no_last_commit(void **state)
{
    (void)state;
    for (enum laps laps = FIRST_LAP; laps <= LAPPED_ALONE; laps++) {
        struct rig *g = rig_with_end(SEED, laps);
        assert_true(ring_mirror(g->r) > 0);
        assert_int_equal(rig_append(g, 20000), 0);
        for (uint64_t lsn = 0; lsn < g->blocks; lsn++)
            flip(g, 0, lsn);
        give_up(g, g->last);
        expect_end(g, g->last - 1, 0, true);
    }
}

/* All that was committed is there: in the mirror, and healed. */
static void damage_that_costs_nothing_is_not_told_as_loss(void **state)
{
    (void)state;
    for (enum laps laps = FIRST_LAP; laps <= LAPPED; laps++) {
        for (int all = 0; all < 2; all++) {
            struct rig *g = rig_with_end(SEED, laps);
            assert_true(ring_mirror(g->r) > 0);
            uint64_t end = ring_end(g->r);
            for (uint64_t lsn = all ? g->tail : end - 1; lsn < end; lsn++)
                rig_damage(g, 0, lsn);
            expect_end(g, g->last, 0, false);
        }
    }
    for (enum laps laps = FIRST_LAP; laps <= LAPPED_ALONE; laps++) {
        struct rig *g = rig_with_end(SEED, laps);
        assert_true(ring_mirror(g->r) > 0);
        for (uint64_t lsn = 0; lsn < g->blocks; lsn++)
            flip(g, 0, lsn);
        expect_end(g, g->last, 0, false);
    }
}

/* journal.0 fails, the mirror goes on alone: it is what tells, and journal.0 says nothing. */
static void when_the_mirror_went_on_alone_its_end_counts(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost <= 2; lost++) {
        struct rig *g = rig_with_end(SEED, LAPPED);
        backing_fault_add(g->fault, &(struct fault_rule){ FAULT_WRITE, FAULT_ERROR, EIO, "journal.0", 0, 0, 0, 0 });
        for (int i = 0; i < 4; i++)
            assert_int_equal(rig_append(g, 9001), 0);
        assert_int_equal(ring_failed_copies(g->r), 1);
        uint64_t newest = g->last - lost;
        if (lost)
            rig_damage(g, 1, g->sent[newest + 1].t.lsn);
        if (lost == 2)
            rig_damage(g, 1, g->sent[g->last].t.lsn + g->sent[g->last].t.blocks - 1);
        give_up(g, newest + 1);
        expect_end(g, newest, lost == 2 ? newest + 1 : 0, false); /* a last one alone is like one that was torn */
    }
}

/* Where there was no room for another txg none was begun, and the next place is the oldest one that is needed. */
static void a_full_ring_has_no_place_for_a_mark(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct rig *g = rig_new(64, SEED);
        struct ring_scan_result s;
        while (ring_free_blocks(g->r) > 0)
            assert_int_equal(rig_append(g, 1001), 0);
        assert_true(ring_mirror(g->r) > 0);
        uint64_t last = g->sent[g->last].t.lsn;
        for (uint64_t lsn = how ? g->tail : last; lsn <= last; lsn++)
            rig_damage(g, how == 2, lsn);
        for (int look = 0; look < 2; look++) {
            rig_restart(g, &s);
            assert_true(s.n == 64 && s.missing_to == 0 && !s.end_unknown && s.lost_txgs == 0);
            free(s.txgs);
        }
        for (uint64_t lsn = g->tail; lsn <= last; lsn++)
            rig_damage(g, 0, lsn); /* journal.1 has them all */
        rig_restart(g, &s);
        assert_true(s.n == 64 && s.lost_txgs == 0);
        free(s.txgs);
        rig_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(txgs_that_are_gone_are_missed_when_a_later_one_was_begun),
        cmocka_unit_test(a_txg_that_the_mirror_had_was_durable),
        cmocka_unit_test(without_journal_0_nobody_knows_what_came_last),
        cmocka_unit_test(a_place_that_cannot_be_read_may_have_been_a_commit),
        cmocka_unit_test(damage_across_the_end_is_seen),
        cmocka_unit_test(flips_all_over_hide_no_last_commit),
        cmocka_unit_test(damage_that_costs_nothing_is_not_told_as_loss),
        cmocka_unit_test(when_the_mirror_went_on_alone_its_end_counts),
        cmocka_unit_test(a_full_ring_has_no_place_for_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
