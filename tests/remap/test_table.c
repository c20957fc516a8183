/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_table.c: the copies of a table in use: damage below it is found and made good from memory; numbering comes to its end. */
#include "tests/remap/rig.h"

#include "remap/entry.h"

enum { BLK = REMAP_BLOCK_SIZE, N = 150 };

static const char *const copy_name[REMAP_COPIES] = { "remap.0", "remap.1", "remap.2", "remap.3", "remap.4" };

struct bytes {
    uint8_t *p;
    uint64_t len;
};

static struct bytes file_bytes(struct rig *r, const char *name)
{
    struct bytes b = { 0 };
    struct bfile *f = rig_file(r, name);
    assert_int_equal(f->ops->size(f, &b.len), 0);
    b.p = malloc(b.len);
    assert_int_equal(f->ops->pread(f, b.p, b.len, 0), 0);
    f->ops->close(f);
    return b;
}

static void assert_whole(struct rig *r, uint32_t n)
{
    struct bytes first = file_bytes(r, copy_name[0]);
    for (size_t i = 1; i < REMAP_COPIES; i++) {
        struct bytes b = file_bytes(r, copy_name[i]);
        assert_int_equal(b.len, first.len);
        assert_memory_equal(b.p, first.p, b.len);
        free(b.p);
    }
    free(first.p);
    for (uint32_t i = 0; i < n; i++)
        rig_expect(r, 1, i, 0);
}

static void fill(struct rig *r, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
}

static void check_finds(struct rig *r, unsigned want_bad)
{
    unsigned bad;
    assert_int_equal(remap_check(r->t, &bad), 0);
    assert_int_equal(bad, want_bad);
}

static void a_sound_table_is_left_alone(void **state)
{
    (void)state;
    struct rig *r = rig_new(4 * N);
    check_finds(r, 0);
    for (uint32_t i = 0; i < N; i++) {
        fill(r, i, i + 1);
        check_finds(r, 0);
    }
    assert_int_equal(rig_stats(r).sequence, N);
    assert_int_equal(remap_drop_container(r->t, 1), 0);
    check_finds(r, 0);
    rig_reopen(r);
    check_finds(r, 0);
    assert_int_equal(rig_stats(r).sequence, N + 1);
    assert_int_equal(rig_stats(r).copies_repaired, 0);
    rig_free(r);
}

enum harm { GONE, SHORT, EMPTY, LONGER, HEADER, ENTRY, TAIL, STALE, HARMS };

static void harm(struct rig *r, const char *name, enum harm how, const struct bytes *old)
{
    if (how == GONE) {
        assert_int_equal(r->memory->ops->unlink(r->memory, name), 0);
        return;
    }
    struct bfile *f = rig_file(r, name);
    uint64_t size;
    assert_int_equal(f->ops->size(f, &size), 0);
    if (how == SHORT || how == EMPTY)
        assert_int_equal(f->ops->truncate(f, how == SHORT ? size - BLK : 0), 0);
    if (how == LONGER)
        assert_int_equal(f->ops->truncate(f, size + BLK), 0);
    if (how == HEADER || how == ENTRY || how == TAIL)
        assert_int_equal(bfile_pwrite(f, "x", 1, how == HEADER ? BLK + 4000 : how == ENTRY ? 2 * BLK + 77 : size - 1), 0);
    if (how == STALE) {
        assert_int_equal(f->ops->truncate(f, 0), 0);
        assert_int_equal(bfile_pwrite(f, old->p, old->len, 0), 0);
    }
    f->ops->close(f);
}

/* One to five of them, in every way; what is right is known from memory, so that even five bad ones cost nothing. */
static void copies_that_were_damaged_meanwhile_are_written_anew(void **state)
{
    (void)state;
    for (enum harm how = 0; how < HARMS; how++) {
        for (unsigned n = 1; n <= REMAP_COPIES; n++) {
            struct rig *r = rig_new(2 * N);
            unsigned want = 0;
            fill(r, 0, 20);
            struct bytes old = file_bytes(r, copy_name[0]);
            fill(r, 20, N);
            for (unsigned i = 0; i < n; i++) {
                want |= 1u << (4 - i);
                harm(r, copy_name[4 - i], how, &old);
            }
            check_finds(r, want);
            assert_whole(r, N);
            assert_int_equal(rig_stats(r).copies_repaired, n);
            check_finds(r, 0);
            fill(r, N, N + 3);
            rig_reopen(r);
            assert_int_equal(rig_stats(r).copies_repaired, 0);
            assert_whole(r, N + 3);
            free(old.p);
            rig_free(r);
        }
    }
}

static void a_table_for_reading_only_is_judged_and_not_touched(void **state)
{
    (void)state;
    struct rig *r = rig_new(2 * N);
    fill(r, 0, N);
    remap_close(r->t);
    harm(r, "remap.1", HEADER, NULL);
    assert_int_equal(remap_open(r->fault, rig_uuid, true, &r->t), 0);
    uint64_t writes = backing_fault_writes(r->fault);
    check_finds(r, 2);
    check_finds(r, 2);
    assert_int_equal(backing_fault_writes(r->fault), writes);
    rig_free(r);
}

static void copies_that_cannot_be_repaired_now_are_repaired_later(void **state)
{
    (void)state;
    struct rig *r = rig_new(2 * N);
    unsigned bad;
    fill(r, 0, N);
    harm(r, "remap.2", ENTRY, NULL);
    backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = ENOSPC, .name = "remap.*" });
    assert_int_equal(remap_check(r->t, &bad), -ENOSPC);
    assert_int_equal(bad, 4);
    assert_true(rig_stats(r).broken);
    rig_expect(r, 1, 0, 0);
    assert_int_equal(remap_retry(r->t), -ENOSPC);
    backing_fault_clear(r->fault);
    assert_int_equal(remap_retry(r->t), 0);
    assert_false(rig_stats(r).broken);
    assert_whole(r, N);
    check_finds(r, 0);
    rig_free(r);
}

/* As when a disk is gone: nothing is concluded that would last. */
static void copies_that_cannot_be_read_for_a_while_lose_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new(2 * N);
    unsigned bad;
    fill(r, 0, N);
    backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_READ | FAULT_WRITE | FAULT_OPEN | FAULT_CREATE, .err = EIO, .name = "remap.*" });
    assert_int_equal(remap_check(r->t, &bad), -EIO);
    assert_int_equal(bad, 31);
    backing_fault_clear(r->fault);
    assert_int_equal(remap_check(r->t, &bad), 0);
    fill(r, N, N + 1);
    rig_reopen(r);
    assert_whole(r, N + 1);
    rig_free(r);
}

/* ---- the end of the numbers ---- */

/* A table whose log begins so near the end that it cannot be written anew under a higher number. */
static struct rig *rig_near_the_end(uint64_t before)
{
    struct rig *r = rig_new(2 * N);
    struct remap_header h = { .first = REMAP_FIRST_MAX - before, .n_spares = 1, .spare = { { .number = 0, .blocks = 2 * N } } };
    uint8_t block[BLK];
    remap_close(r->t);
    r->t = NULL;
    remap_header_encode(&h, rig_uuid, block);
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        struct bfile *f = rig_file(r, copy_name[i]);
        for (uint64_t k = 0; k < REMAP_HEADERS; k++)
            assert_int_equal(bfile_pwrite(f, block, BLK, k * BLK), 0);
        f->ops->close(f);
    }
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    assert_int_equal(rig_stats(r).copies_repaired, 0);
    return r;
}

static void behind_the_last_number_a_new_log_begins_with_one(void **state)
{
    (void)state;
    for (uint64_t before = 0; before < 40; before += 13) {
        struct rig *r = rig_near_the_end(before);
        fill(r, 0, 20);
        assert_true(rig_stats(r).sequence > REMAP_FIRST_MAX - before);
        rig_reopen(r); /* entries may lie beyond the highest first number */
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        fill(r, 20, 45);
        harm(r, "remap.0", GONE, NULL);
        check_finds(r, 1);
        assert_int_equal(rig_stats(r).sequence, 45);
        fill(r, 45, 50);
        for (int i = 0; i < 2; i++) {
            assert_whole(r, 50);
            assert_int_equal(rig_stats(r).sequence, 50);
            rig_reopen(r);
            assert_int_equal(rig_stats(r).copies_repaired, 0);
        }
        rig_free(r);
    }
}

/* Copies of the old numbering beside copies of the new one say the same; whichever wins, nothing is lost. */
static void every_cut_while_numbering_begins_anew_keeps_the_table(void **state)
{
    (void)state;
    uint64_t all = UINT64_MAX;
    for (uint64_t cut = 0; cut < all; cut++) {
        struct rig *r = rig_near_the_end(5);
        unsigned bad;
        fill(r, 0, 20);
        harm(r, "remap.3", GONE, NULL);
        uint64_t before = backing_fault_writes(r->fault);
        backing_fault_cut_after(r->fault, before + cut);
        int rc = remap_check(r->t, &bad);
        if (rc == 0)
            all = cut;
        backing_fault_cut_after(r->fault, UINT64_MAX);
        if (cut % 2) /* the same mount goes on, or another one */
            assert_int_equal(remap_check(r->t, &bad), 0);
        rig_reopen(r);
        fill(r, 20, 25);
        assert_whole(r, 25);
        rig_reopen(r);
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        assert_whole(r, 25);
        rig_free(r);
    }
    print_message("%llu cuts\n", (unsigned long long)all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_table_is_left_alone),
        cmocka_unit_test(copies_that_were_damaged_meanwhile_are_written_anew),
        cmocka_unit_test(a_table_for_reading_only_is_judged_and_not_touched),
        cmocka_unit_test(copies_that_cannot_be_repaired_now_are_repaired_later),
        cmocka_unit_test(copies_that_cannot_be_read_for_a_while_lose_nothing),
        cmocka_unit_test(behind_the_last_number_a_new_log_begins_with_one),
        cmocka_unit_test(every_cut_while_numbering_begins_anew_keeps_the_table),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
