/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_remap.c: remaps are kept, found, moved and dropped; copies and spares may fail in every way. */
#include "tests/remap/rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "remap/entry.h"

enum { BLK = REMAP_BLOCK_SIZE, HEADERS = 2 * BLK, ENTRY = 64 };

static const char *const copy_name[REMAP_COPIES] = { "remap.0", "remap.1", "remap.2", "remap.3", "remap.4" };

static void rule(struct rig *r, unsigned ops, enum fault_kind kind, const char *name, uint64_t after, uint64_t count)
{
    backing_fault_add(r->fault, &(struct fault_rule){ .ops = ops, .kind = kind, .err = EIO, .name = name, .after = after, .count = count });
}

static void remaps_are_found_and_read_also_after_reopening(void **state)
{
    (void)state;
    struct rig *r = rig_new(16);
    rig_expect_none(r, 1, 2);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    assert_int_equal(rig_add(r, UINT32_MAX, UINT32_MAX, 0), 0);
    assert_int_equal(rig_add(r, 0, 0, 0), 0);
    for (int i = 0; i < 2; i++) {
        rig_expect(r, 1, 2, 0);
        rig_expect(r, UINT32_MAX, UINT32_MAX, 0);
        rig_expect(r, 0, 0, 0);
        rig_expect_none(r, 2, 1);
        rig_expect_none(r, 1, 3);
        assert_int_equal(rig_stats(r).remaps, 3);
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        rig_reopen(r);
    }
    rig_free(r);
}

static void a_new_remap_after_reopening_leaves_the_old_spares_alone(void **state)
{
    (void)state;
    struct rig *r = rig_new(64);
    for (uint32_t i = 0; i < 60; i++) {
        assert_int_equal(rig_add(r, 5, i, 0), 0);
        rig_reopen(r);
    }
    for (uint32_t i = 0; i < 60; i++)
        rig_expect(r, 5, i, 0);
    rig_free(r);
}

static void a_block_remapped_again_moves_to_another_spare(void **state)
{
    (void)state;
    struct rig *r = rig_new(4);
    for (uint32_t v = 0; v < 4; v++) {
        assert_int_equal(rig_add(r, 1, 1, v), 0);
        rig_expect(r, 1, 1, v);
    }
    assert_int_equal(rig_add(r, 1, 1, 4), -HOLO_EREMAPFULL);
    rig_reopen(r);
    rig_expect(r, 1, 1, 3);
    assert_int_equal(rig_stats(r).spare_bad, 3);
    rig_free(r);
}

static void full_spares_say_so_and_a_dropped_container_frees_its_own(void **state)
{
    (void)state;
    struct rig *r = rig_new(10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(rig_add(r, 1 + i % 2, i, 0), 0);
    assert_int_equal(rig_add(r, 3, 0, 0), -HOLO_EREMAPFULL);
    assert_int_equal(remap_drop_container(r->t, 9), 0);
    assert_int_equal(remap_drop_container(r->t, 1), 0);
    rig_expect_none(r, 1, 0);
    assert_int_equal(rig_stats(r).spare_used, 5);
    rig_reopen(r);
    rig_expect_none(r, 1, 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(rig_add(r, 3, i, 0), 0);
    assert_int_equal(rig_add(r, 3, 5, 0), -HOLO_EREMAPFULL);
    for (uint32_t i = 0; i < 5; i++) {
        rig_expect(r, 2, 1 + 2 * i, 0);
        rig_expect(r, 3, i, 0);
    }
    rig_free(r);
}

static void a_store_without_spares_remaps_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new(0);
    assert_int_equal(rig_add(r, 1, 1, 0), -HOLO_EREMAPFULL);
    rig_reopen(r);
    rig_expect_none(r, 1, 1);
    rig_free(r);
}

static int collect(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    assert_int_equal(container, 4);
    assert_int_equal(spare, 0);
    assert_true(spare_block < 16);
    *(uint64_t *)arg |= UINT64_C(1) << file_block;
    return file_block == 60 ? 5 : 0;
}

static void each_shows_every_remap(void **state)
{
    (void)state;
    struct rig *r = rig_new(16);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(rig_add(r, 4, i, 0), 0);
    assert_int_equal(remap_each(r->t, collect, &seen), 0);
    assert_int_equal(seen, 1023);
    assert_int_equal(rig_add(r, 4, 60, 0), 0);
    assert_int_equal(remap_each(r->t, collect, &seen), 5);
    rig_free(r);
}

static void wrong_bytes_on_a_spare_are_never_returned(void **state)
{
    (void)state;
    struct rig *r = rig_new(4);
    uint8_t got[BLK];
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    rule(r, FAULT_READ, FAULT_FLIP, "spare/*", 0, 1);
    rule(r, FAULT_READ, FAULT_ERROR, "spare/*", 0, 1);
    assert_int_equal(remap_read(r->t, 1, 1, got), -EIO);
    assert_int_equal(remap_read(r->t, 1, 1, got), -EIO);
    rig_expect(r, 1, 1, 0);
    struct bfile *f = rig_file(r, "spare/0000.spare"); /* the two blocks change places */
    uint8_t two[2][BLK];
    assert_int_equal(f->ops->pread(f, two, sizeof(two), 0), 0);
    assert_int_equal(bfile_pwrite(f, two[1], BLK, 0), 0);
    assert_int_equal(bfile_pwrite(f, two[0], BLK, BLK), 0);
    f->ops->close(f);
    assert_int_equal(remap_read(r->t, 1, 1, got), -EIO);
    assert_int_equal(remap_read(r->t, 1, 2, got), -EIO);
    rig_free(r);
}

/* Damage of one kind in one copy. */
static void copy_spoil(struct rig *r, unsigned i, unsigned how, uint64_t *seed)
{
    if (how == 0) {
        assert_int_equal(r->memory->ops->unlink(r->memory, copy_name[i]), 0);
        return;
    }
    struct bfile *f = rig_file(r, copy_name[i]);
    uint64_t size;
    uint8_t block[BLK];
    assert_int_equal(f->ops->size(f, &size), 0);
    if (size < BLK) {
        f->ops->close(f);
        return;
    }
    if (how == 1)
        assert_int_equal(f->ops->truncate(f, rig_random(seed) % size), 0);
    for (uint64_t n = 0; how == 2 && n < 3 + size / 2048; n++) {
        uint64_t at = rig_random(seed) % size;
        assert_int_equal(f->ops->pread(f, block, 1, at), 0);
        block[0] ^= (uint8_t)(1 + rig_random(seed) % 255);
        assert_int_equal(bfile_pwrite(f, block, 1, at), 0);
    }
    for (size_t k = 0; k < BLK; k++)
        block[k] = (uint8_t)rig_random(seed);
    if (how == 3)
        assert_int_equal(bfile_pwrite(f, block, BLK, rig_random(seed) % (size / BLK) * BLK), 0);
    f->ops->close(f);
}

static void assert_copies_equal(struct rig *r)
{
    uint8_t *first = NULL, *other = NULL;
    uint64_t size = 0;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        struct bfile *f = rig_file(r, copy_name[i]);
        uint64_t s;
        assert_int_equal(f->ops->size(f, &s), 0);
        other = malloc(s);
        assert_int_equal(f->ops->pread(f, other, s, 0), 0);
        f->ops->close(f);
        if (first) {
            assert_int_equal(s, size);
            assert_memory_equal(first, other, s);
            free(other);
        } else {
            first = other;
            size = s;
        }
    }
    free(first);
}

static void one_whole_copy_is_enough_whatever_happened_to_the_others(void **state)
{
    (void)state;
    uint64_t seed = rig_seed;
    for (unsigned round = 0; round < 5 * 4 * 4; round++) {
        struct rig *r = rig_new(300);
        for (uint32_t i = 0; i < 200; i++)
            assert_int_equal(rig_add(r, 1, i, 0), 0);
        remap_close(r->t);
        unsigned bad = 1 + round % 4, how = round / 4 % 4, whole = round / 16;
        for (unsigned i = 1; i <= bad; i++)
            copy_spoil(r, (whole + i) % 5, how, &seed);
        assert_int_equal(remap_open(r->fault, rig_uuid, true, &r->t), 0);
        for (uint32_t i = 0; i < 200; i++)
            rig_expect(r, 1, i, 0);
        assert_int_equal(rig_add(r, 1, 200, 0), -EROFS);
        assert_int_equal(remap_drop_container(r->t, 1), -EROFS);
        rig_reopen(r);
        assert_true(rig_stats(r).copies_repaired > 0 && rig_stats(r).copies_repaired <= bad);
        assert_copies_equal(r);
        assert_int_equal(rig_add(r, 1, 200, 0), 0);
        rig_reopen(r);
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        for (uint32_t i = 0; i <= 200; i++)
            rig_expect(r, 1, i, 0);
        rig_free(r);
    }
}

/* Each copy loses other blocks, all of them some: together they are whole. */
static void five_damaged_copies_make_one_whole_table(void **state)
{
    (void)state;
    struct rig *r = rig_new(700);
    for (uint32_t i = 0; i < 640; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    remap_close(r->t);
    uint8_t junk[BLK];
    memset(junk, 0xa5, sizeof(junk));
    for (uint64_t i = 0; i < 12; i++) {
        struct bfile *f = rig_file(r, copy_name[i % 5]);
        assert_int_equal(bfile_pwrite(f, junk, BLK, i * BLK), 0);
        f->ops->close(f);
    }
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    assert_int_equal(rig_stats(r).copies_repaired, 5);
    for (uint32_t i = 0; i < 640; i++)
        rig_expect(r, 1, i, 0);
    assert_copies_equal(r);
    rig_free(r);
}

/* One byte in a thousand, in all copies: hardly a header is right, and every copy has lost entries. */
static void flips_all_over_five_copies_cost_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new(700);
    for (uint32_t i = 0; i < 640; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    for (uint64_t round = 0, seed = rig_seed; round < 10; round++) {
        remap_close(r->t);
        for (size_t i = 0; i < REMAP_COPIES; i++) {
            uint8_t b[BLK];
            uint64_t size;
            struct bfile *f = rig_file(r, copy_name[i]);
            assert_int_equal(f->ops->size(f, &size), 0);
            for (uint64_t off = 0; off < size; off += BLK) {
                assert_int_equal(f->ops->pread(f, b, BLK, off), 0);
                for (size_t k = 0; k < BLK; k++)
                    b[k] ^= rig_random(&seed) % 1000 == 0 ? 1 + (uint8_t)(rig_random(&seed) % 255) : 0;
                b[80 + i] ^= off < 2 * BLK; /* no header is right */
                assert_int_equal(bfile_pwrite(f, b, BLK, off), 0);
            }
            f->ops->close(f);
        }
        assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
        assert_int_equal(rig_stats(r).copies_repaired, 5);
        for (uint32_t i = 0; i < 640; i++)
            rig_expect(r, 1, i, 0);
        assert_copies_equal(r);
    }
    rig_free(r);
}

/* The disk stops to answer when `from` bytes of each copy are read, before the last block, or at once; when it is back, so is the table. */
static void a_disk_that_does_not_answer_leaves_the_table_as_it_is(void **state)
{
    (void)state;
    struct rig *r = rig_new(300);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    remap_close(r->t);
    r->t = NULL;
    for (uint64_t from = 0; from < 5 * BLK; from += BLK) {
        struct remap_table *t = NULL;
        uint64_t writes = backing_fault_writes(r->fault);
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_READ, .err = EIO, .name = "remap.*", .from = from, .to = 1 << 30 });
        assert_int_equal(remap_open(r->fault, rig_uuid, false, &t), -EIO);
        assert_int_equal(backing_fault_writes(r->fault), writes);
        backing_fault_clear(r->fault);
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_OPEN, .err = EIO, .name = "remap.*" });
        assert_int_equal(remap_open(r->fault, rig_uuid, false, &t), -EIO);
        backing_fault_clear(r->fault);
    }
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    for (uint32_t i = 0; i < 200; i++)
        rig_expect(r, 1, i, 0);
    rig_free(r);
}

static void unreadable_blocks_of_a_copy_cost_nothing_else(void **state)
{
    (void)state;
    struct rig *r = rig_new(300);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    remap_close(r->t);
    for (size_t i = 0; i < REMAP_COPIES; i++)
        backing_fault_add(r->fault, &(struct fault_rule){
            .ops = FAULT_READ, .err = EIO, .name = copy_name[i], .from = i * BLK, .to = i * BLK + 1 });
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    assert_int_equal(rig_stats(r).copies_repaired, 5);
    for (uint32_t i = 0; i < 200; i++)
        rig_expect(r, 1, i, 0);
    rig_free(r);
}

static void an_entry_lost_in_every_copy_costs_only_itself(void **state)
{
    (void)state;
    struct rig *r = rig_new(300);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    remap_close(r->t);
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        struct bfile *f = rig_file(r, copy_name[i]);
        assert_int_equal(bfile_pwrite(f, "?", 1, HEADERS + 77 * ENTRY + 13), 0);
        f->ops->close(f);
    }
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    for (unsigned again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < 200; i++)
            if (i == 77)
                rig_expect_none(r, 1, i);
            else
                rig_expect(r, 1, i, 0);
        rig_reopen(r);
    }
    assert_int_equal(rig_stats(r).copies_repaired, 0);
    for (uint32_t i = 200; i < 300; i++)
        assert_int_equal(rig_add(r, 1, i, 0), 0);
    for (uint32_t i = 0; i < 300; i++)
        if (i != 77)
            rig_expect(r, 1, i, 0);
    rig_free(r);
}

static void any_damage_of_all_copies_gives_right_bytes_or_none(void **state)
{
    (void)state;
    uint64_t seed = rig_seed;
    for (unsigned round = 0; round < 200; round++) {
        struct rig *r = rig_new(40);
        for (uint32_t i = 0; i < 30; i++)
            assert_int_equal(rig_add(r, i % 3, i, 0), 0);
        remap_close(r->t);
        r->t = NULL;
        for (unsigned i = 0; i < REMAP_COPIES; i++)
            for (uint64_t n = rig_random(&seed) % 4; n < 4; n++)
                copy_spoil(r, i, 1 + (unsigned)(rig_random(&seed) % 3), &seed);
        int rc = remap_open(r->fault, rig_uuid, false, &r->t);
        assert_int_equal(rc, 0);
        for (uint32_t i = 0; i < 30; i++)
            if (remap_lookup(r->t, i % 3, i))
                rig_expect(r, i % 3, i, 0);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(rig_add(r, 5, i, 0), 0);
        rig_free(r);
    }
}

static void headers_of_others_and_of_the_future_are_refused(void **state)
{
    (void)state;
    struct rig *r = rig_new(4);
    struct remap_table *t;
    uint8_t other[16] = { 1 };
    assert_int_equal(remap_open(r->memory, other, false, &t), -HOLO_ECORRUPT);
    rig_free(r);
}

static void spoil_headers(struct rig *r)
{
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        struct bfile *f = rig_file(r, copy_name[i]);
        assert_int_equal(bfile_pwrite(f, "x", 1, 100), 0);
        assert_int_equal(bfile_pwrite(f, "x", 1, BLK + 100), 0);
        f->ops->close(f);
    }
}

/* Also of a log that was written anew, whose first entry is not the store's first. */
static void a_table_without_any_header_comes_back_from_its_entries(void **state)
{
    (void)state;
    for (uint32_t rounds = 1; rounds < 40; rounds += 38) {
        struct rig *r = rig_new(60);
        for (uint32_t k = 0; k < rounds; k++) {
            for (uint32_t i = 0; i < 30; i++)
                assert_int_equal(rig_add(r, 1, i, k), 0);
            if (k + 1 < rounds)
                assert_int_equal(remap_drop_container(r->t, 1), 0);
        }
        remap_close(r->t);
        r->t = NULL;
        spoil_headers(r);
        for (int twice = 0; twice < 2; twice++) {
            assert_int_equal(remap_open(r->memory, rig_uuid, false, &r->t), 0);
            for (uint32_t i = 0; i < 30; i++) {
                assert_true(remap_lookup(r->t, 1, i));
                rig_expect(r, 1, i, rounds - 1);
            }
            remap_close(r->t);
            r->t = NULL;
        }
        rig_free(r);
    }
}

static void a_table_and_spare_files_that_are_gone_are_made_anew(void **state)
{
    (void)state;
    for (int spares = 0; spares < 2; spares++) {
        struct rig *r = rig_new(8);
        struct remap_stats s;
        assert_int_equal(rig_add(r, 1, 1, 0), 0);
        remap_close(r->t);
        r->t = NULL;
        for (size_t i = 0; i < REMAP_COPIES && !spares; i++)
            assert_int_equal(r->memory->ops->unlink(r->memory, copy_name[i]), 0);
        if (spares)
            assert_int_equal(r->memory->ops->unlink(r->memory, "spare/0000.spare"), 0);
        assert_int_equal(remap_open(r->memory, rig_uuid, false, &r->t), 0);
        remap_stats(r->t, &s);
        assert_int_equal(s.spare_blocks, 8);
        assert_int_equal(s.remaps, spares);
        uint8_t block[BLK];
        if (spares)
            assert_int_equal(remap_read(r->t, 1, 1, block), -EIO); /* to be rebuilt from parity */
        assert_int_equal(rig_add(r, 1, 1, 5), 0);
        rig_expect(r, 1, 1, 5);
        rig_free(r);
    }
}

/* With right checksums: what would take all memory or time must be refused by its numbers. */
static void headers_that_ask_for_too_much_are_refused(void **state)
{
    (void)state;
    static const struct remap_header wrong[] = {
        { .first = 0, .n_spares = 1, .spare = { { .number = 0, .blocks = 4 } } },
        { .first = UINT64_MAX, .n_spares = 1, .spare = { { .number = 0, .blocks = 4 } } },
        { .first = 1, .snapshot = 5, .n_spares = 1, .spare = { { .number = 0, .blocks = 4 } } },
        { .first = 1, .snapshot = UINT64_MAX / 64, .n_spares = 1, .spare = { { .number = 0, .blocks = 4 } } },
        { .first = 1, .snapshot = REMAP_LOG_MAX / ENTRY, .n_spares = 1, .spare = { { .number = 0, .blocks = REMAP_BLOCKS_MAX } } },
        { .first = 1, .n_spares = 2, .spare = { { .number = 0, .blocks = REMAP_BLOCKS_MAX }, { .number = 1, .blocks = 1 } } },
        { .first = 1, .n_spares = 2, .spare = { { .number = 3, .blocks = 4 }, { .number = 3, .blocks = 4 } } },
    };
    uint8_t block[REMAP_HEADER_SIZE];
    struct remap_header h = { .first = 1, .snapshot = 4, .n_spares = 1, .spare = { { .number = 0, .blocks = 4 } } }, out;
    remap_header_encode(&h, rig_uuid, block);
    assert_int_equal(remap_header_decode(block, rig_uuid, &out), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        remap_header_encode(&wrong[i], rig_uuid, block);
        assert_int_equal(remap_header_decode(block, rig_uuid, &out), -HOLO_ECORRUPT);
    }
}

static void a_bad_spare_block_is_passed_over_and_remembered(void **state)
{
    (void)state;
    struct rig *r = rig_new(16);
    rule(r, FAULT_WRITE, FAULT_ERROR, "spare/*", 0, 1);
    rule(r, FAULT_WRITE, FAULT_FLIP, "spare/*", 0, 1);
    rule(r, FAULT_WRITE, FAULT_DROP, "spare/*", 0, 1);
    rule(r, FAULT_SYNC, FAULT_ERROR, "spare/*", 2, 1);
    rule(r, FAULT_WRITE, FAULT_TORN, "spare/*", 1, 1);
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    for (int i = 0; i < 2; i++) {
        rig_expect(r, 1, 1, 0);
        rig_expect(r, 1, 2, 0);
        assert_int_equal(rig_stats(r).spare_bad, 5);
        assert_int_equal(rig_stats(r).spare_used, 2);
        rig_reopen(r);
    }
    rig_free(r);
}

static void a_dead_spare_file_counts_nothing_and_condemns_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new(100);
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    rule(r, FAULT_WRITE, FAULT_ERROR, "spare/*", 0, 0);
    for (uint32_t i = 2; i < 10; i++)
        assert_int_equal(rig_add(r, 1, i, 0), -EIO);
    struct remap_stats s = rig_stats(r);
    assert_int_equal(s.remaps, 1);
    assert_int_equal(s.spare_bad, 0);
    rig_reopen(r);
    rig_expect(r, 1, 1, 0);
    rig_expect_none(r, 1, 2);
    backing_fault_clear(r->fault);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    rig_expect(r, 1, 2, 0);
    rig_free(r);
}

static void a_spare_file_that_was_away_has_its_remaps_again(void **state)
{
    (void)state;
    struct rig *r = rig_new(4);
    uint8_t got[BLK];
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    assert_int_equal(r->memory->ops->rename(r->memory, "spare/0000.spare", "away"), 0);
    rig_reopen(r);
    assert_true(remap_lookup(r->t, 1, 1));
    assert_int_equal(remap_read(r->t, 1, 1, got), -EIO);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    assert_int_equal(r->memory->ops->rename(r->memory, "away", "spare/0000.spare"), 0);
    rig_reopen(r);
    rig_expect(r, 1, 1, 0);
    rig_free(r);
}

static void one_failed_sync_of_a_copy_is_made_good_in_a_new_file(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = { FAULT_ERROR, FAULT_SYNC_FORGET };
    for (size_t i = 0; i < 2 * REMAP_COPIES; i++) {
        struct rig *r = rig_new(16);
        assert_int_equal(rig_add(r, 1, 1, 0), 0);
        rule(r, FAULT_SYNC, kinds[i % 2], copy_name[i / 2], 0, 1);
        assert_int_equal(rig_add(r, 1, 2, 0), 0);
        assert_copies_equal(r);
        assert_int_equal(rig_add(r, 1, 3, 0), 0);
        rig_reopen(r);
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        for (uint32_t b = 1; b <= 3; b++)
            rig_expect(r, 1, b, 0);
        rig_free(r);
    }
}

static void a_copy_that_cannot_be_made_durable_leaves_nothing_counted(void **state)
{
    (void)state;
    static const unsigned ops[] = { FAULT_SYNC, FAULT_WRITE, FAULT_UNLINK };
    for (unsigned k = 0; k < 3; k++) {
        struct rig *r = rig_new(16);
        assert_int_equal(rig_add(r, 1, 1, 0), 0);
        rule(r, FAULT_SYNC, FAULT_ERROR, "remap.3", 0, 1);
        rule(r, ops[k], FAULT_ERROR, "remap.3*", 0, 0);
        assert_int_equal(rig_add(r, 1, 2, 0), -EIO);
        rig_expect_none(r, 1, 2);
        rig_expect(r, 1, 1, 0);
        assert_int_equal(remap_drop_container(r->t, 1), -EIO);
        rig_expect(r, 1, 1, 0);
        assert_int_equal(rig_stats(r).remaps, 1);
        backing_fault_clear(r->fault);
        assert_int_equal(rig_add(r, 1, 3, 0), 0);
        for (int i = 0; i < 2; i++) {
            rig_expect(r, 1, 1, 0);
            rig_expect_none(r, 1, 2);
            rig_expect(r, 1, 3, 0);
            rig_reopen(r);
            assert_int_equal(rig_stats(r).copies_repaired, 0);
        }
        assert_copies_equal(r);
        rig_free(r);
    }
}

/* The entry that failed is in copies 0 to 2 already: after a restart it may count, and then with the right bytes. */
static void a_restart_after_a_failed_add_is_consistent(void **state)
{
    (void)state;
    struct rig *r = rig_new(16);
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    rule(r, FAULT_SYNC, FAULT_ERROR, "remap.3*", 0, 0);
    assert_int_equal(rig_add(r, 1, 2, 0), -EIO);
    backing_fault_clear(r->fault);
    rig_reopen(r);
    rig_expect(r, 1, 1, 0);
    if (remap_lookup(r->t, 1, 2))
        rig_expect(r, 1, 2, 0);
    assert_copies_equal(r);
    assert_int_equal(rig_add(r, 1, 3, 0), 0);
    rig_reopen(r);
    rig_expect(r, 1, 1, 0);
    rig_expect(r, 1, 3, 0);
    if (remap_lookup(r->t, 1, 2))
        rig_expect(r, 1, 2, 0);
    rig_free(r);
}

static void a_failed_repair_does_not_hinder_opening(void **state)
{
    (void)state;
    struct rig *r = rig_new(16);
    assert_int_equal(rig_add(r, 1, 1, 0), 0);
    remap_close(r->t);
    assert_int_equal(r->memory->ops->unlink(r->memory, "remap.2"), 0);
    rule(r, FAULT_WRITE, FAULT_ERROR, "remap.2.new", 0, 1);
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    rig_expect(r, 1, 1, 0);
    assert_int_equal(rig_add(r, 1, 2, 0), 0);
    rig_reopen(r);
    assert_copies_equal(r);
    rig_expect(r, 1, 1, 0);
    rig_expect(r, 1, 2, 0);
    rig_free(r);
}

static void a_long_log_is_written_anew(void **state)
{
    (void)state;
    struct rig *r = rig_new(64);
    assert_int_equal(rig_add(r, 999999, 9, 0), 0);
    for (uint32_t i = 0; i < 6000; i++) {
        assert_int_equal(rig_add(r, i, 1, i), 0);
        if (i % 4 == 3)
            for (uint32_t k = 0; k < 4; k++)
                assert_int_equal(remap_drop_container(r->t, i - k), 0);
    }
    struct bfile *f = rig_file(r, "remap.4");
    uint64_t size;
    assert_int_equal(f->ops->size(f, &size), 0);
    f->ops->close(f);
    assert_true(size < (4096 + 200) * ENTRY + HEADERS);
    assert_true(rig_stats(r).sequence >= 12000);
    rig_reopen(r);
    rig_expect(r, 999999, 9, 0);
    assert_int_equal(rig_stats(r).remaps, 1);
    rig_free(r);
}

#ifdef __SANITIZE_THREAD__
enum { MANY = 10000 }; /* one thread only: nothing to find, and slow */
#else
enum { MANY = 100000 };
#endif

static void a_hundred_thousand_remaps_are_kept(void **state)
{
    (void)state;
    struct rig *r = rig_new(MANY + 10);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(rig_add(r, i % 1000, i / 1000 * 7, i), 0);
    rig_reopen(r);
    struct remap_stats s = rig_stats(r);
    assert_int_equal(s.remaps, MANY);
    assert_int_equal(s.spare_used, MANY);
    assert_int_equal(s.copies_repaired, 0);
    for (uint32_t i = 0; i < MANY; i++)
        rig_expect(r, i % 1000, i / 1000 * 7, i);
    rig_free(r);
}

struct readers {
    struct rig *r;
    _Atomic uint32_t added;
    _Atomic bool stop;
};

static void *reader(void *arg)
{
    struct readers *s = arg;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    while (!atomic_load(&s->stop)) {
        uint32_t n = atomic_load(&s->added);
        if (n > 0) {
            uint32_t i = (uint32_t)(rig_random(&seed) % n);
            rig_expect(s->r, 7, i, 0);
        }
        rig_expect_none(s->r, 8, 1);
        remap_lookup(s->r->t, 6, n);
        rig_stats(s->r);
    }
    return NULL;
}

static void *dropper(void *arg)
{
    struct readers *s = arg;
    while (!atomic_load(&s->stop)) {
        assert_int_equal(rig_add(s->r, 6, 1, 0), 0);
        assert_int_equal(remap_drop_container(s->r->t, 6), 0);
    }
    return NULL;
}

static void readers_run_beside_writers(void **state)
{
    (void)state;
    struct readers s = { .r = rig_new(4000) };
    pthread_t t[3];
    assert_int_equal(pthread_create(&t[0], NULL, reader, &s), 0);
    assert_int_equal(pthread_create(&t[1], NULL, reader, &s), 0);
    assert_int_equal(pthread_create(&t[2], NULL, dropper, &s), 0);
    for (uint32_t i = 0; i < 1500; i++) {
        assert_int_equal(rig_add(s.r, 7, i, 0), 0);
        atomic_store(&s.added, i + 1);
    }
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(rig_stats(s.r).remaps, 1500);
    rig_free(s.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remaps_are_found_and_read_also_after_reopening),
        cmocka_unit_test(a_new_remap_after_reopening_leaves_the_old_spares_alone),
        cmocka_unit_test(a_block_remapped_again_moves_to_another_spare),
        cmocka_unit_test(full_spares_say_so_and_a_dropped_container_frees_its_own),
        cmocka_unit_test(a_store_without_spares_remaps_nothing),
        cmocka_unit_test(each_shows_every_remap),
        cmocka_unit_test(wrong_bytes_on_a_spare_are_never_returned),
        cmocka_unit_test(one_whole_copy_is_enough_whatever_happened_to_the_others),
        cmocka_unit_test(five_damaged_copies_make_one_whole_table),
        cmocka_unit_test(flips_all_over_five_copies_cost_nothing),
        cmocka_unit_test(a_disk_that_does_not_answer_leaves_the_table_as_it_is),
        cmocka_unit_test(unreadable_blocks_of_a_copy_cost_nothing_else),
        cmocka_unit_test(an_entry_lost_in_every_copy_costs_only_itself),
        cmocka_unit_test(any_damage_of_all_copies_gives_right_bytes_or_none),
        cmocka_unit_test(headers_of_others_and_of_the_future_are_refused),
        cmocka_unit_test(a_table_without_any_header_comes_back_from_its_entries),
        cmocka_unit_test(a_table_and_spare_files_that_are_gone_are_made_anew),
        cmocka_unit_test(headers_that_ask_for_too_much_are_refused),
        cmocka_unit_test(a_bad_spare_block_is_passed_over_and_remembered),
        cmocka_unit_test(a_dead_spare_file_counts_nothing_and_condemns_nothing),
        cmocka_unit_test(a_spare_file_that_was_away_has_its_remaps_again),
        cmocka_unit_test(one_failed_sync_of_a_copy_is_made_good_in_a_new_file),
        cmocka_unit_test(a_copy_that_cannot_be_made_durable_leaves_nothing_counted),
        cmocka_unit_test(a_restart_after_a_failed_add_is_consistent),
        cmocka_unit_test(a_failed_repair_does_not_hinder_opening),
        cmocka_unit_test(a_long_log_is_written_anew),
        cmocka_unit_test(a_hundred_thousand_remaps_are_kept),
        cmocka_unit_test(readers_run_beside_writers),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
