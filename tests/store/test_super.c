/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_super.c: the superblock's bytes, what a decoder refuses, and how five copies vote. */
#include "tests/store/kit.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/super.h"

/* By an independent program, from docs/FORMAT.md. */
static const char golden_fields[] =
    "686f6c6f6673534201000000000000001100000000000000120000000000000013000000000000001011121314151617"
    "18191a1b1c1d1e1f6d79206469736b000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000070000000000000040000000030000000500000000400000"
    "0020000001000000000000000001000000000004000000000900000000000000e803000000000000d007000000000000"
    "2c0100000000000001002a36fe9c971702002a36fe9c97170500000000000000210000000000000022000000000000002300000000000000";
static const uint64_t golden_sum = 0x54b8bcfa5deee1d1, golden_block = 0x2cc4f58b4abaeda7;

static struct superblock sample(void)
{
    struct superblock sb = { .version = 1, .compat = 0x11, .ro_compat = 0x12, .incompat = 0x13, .label = "my disk", .sequence = 7,
                             .k = 64, .r = 3, .meta_r = 5, .seed_base = 5, .nmax = 16384, .ring_blocks = 8192, .flags = SUPER_CLEAN,
                             .size_limit_bytes = UINT64_C(1) << 40, .reserve_bytes = 64 << 20, .epoch = 9, .hint_tail = 1000,
                             .hint_end = 2000, .hint_txg = 300, .created_ns = 1700000000000000001, .written_ns = 1700000000000000002,
                             .ever_repaired = 0x21, .ever_remapped = 0x22, .ever_lost = 0x23 };
    memcpy(sb.uuid, kit_uuid, 16);
    return sb;
}

static void expect_same(const struct superblock *a, const struct superblock *b)
{
    uint8_t x[BLOCK_SIZE], y[BLOCK_SIZE];
    super_encode(a, x);
    super_encode(b, y);
    assert_memory_equal(x, y, BLOCK_SIZE);
    assert_string_equal(a->label, b->label);
}

/* A block whose checksum is right, whatever its fields say. */
static void seal(uint8_t block[BLOCK_SIZE])
{
    le64_put(block + 4088, sum64(block, 4088, sum_seed(block + 40, SUM_ID_SUPER, 0)));
}

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    memset(block, 0xee, sizeof(block));
    struct superblock sb = sample(), back;
    super_encode(&sb, block);
    kit_expect_hex(block, golden_fields);
    assert_true(le64_get(block + 4088) == golden_sum);
    assert_true(sum64(block, BLOCK_SIZE, 0) == golden_block);
    assert_int_equal(super_decode(block, &back), 0);
    expect_same(&sb, &back);
}

static void a_label_of_full_length_comes_back(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    memset(sb.label, 'x', SUPER_LABEL_MAX);
    super_encode(&sb, block);
    assert_int_equal(super_decode(block, &back), 0);
    assert_int_equal(strlen(back.label), SUPER_LABEL_MAX);
    expect_same(&sb, &back);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    super_encode(&sb, block);
    for (size_t bit = 0; bit < BLOCK_SIZE * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(super_decode(block, &back), bit < 64 ? -HOLO_EFORMAT : -HOLO_ESUM);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_newer_version_is_named_as_such(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    super_encode(&sb, block);
    le32_put(block + 8, 2);
    seal(block);
    assert_int_equal(super_decode(block, &back), -HOLO_EVERSION);
}

static int decode_with(size_t off, uint32_t value)
{
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    super_encode(&sb, block);
    le32_put(block + off, value);
    seal(block);
    return super_decode(block, &back);
}

static void impossible_geometry_is_refused(void **state)
{
    (void)state;
    enum { K = 128, R = 132, NMAX = 140, RING = 144, META_R = 216 };
    static const struct {
        size_t off;
        uint32_t good, bad;
    } edges[] = { { K, 1, 0 },      { K, 245, 246 }, { K, 245, UINT32_MAX }, { K, 64, UINT32_MAX - 4 }, { R, 1, 0 },        { R, 10, 11 },
                  { R, 10, 1u << 31 }, { META_R, 1, 0 }, { META_R, 10, 11 },    { META_R, 10, UINT32_MAX }, { NMAX, 64, 63 },   { NMAX, 1u << 20, (1u << 20) + 1 },
                  { RING, 512, 511 } };
    for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
        assert_int_equal(decode_with(edges[i].off, edges[i].good), 0);
        assert_int_equal(decode_with(edges[i].off, edges[i].bad), -HOLO_ECORRUPT);
    }
}

static void features_decide_between_writing_reading_and_refusing(void **state)
{
    (void)state;
    struct superblock sb = { .compat = UINT64_MAX };
    assert_int_equal(super_check_features(&sb), 0);
    sb.ro_compat = UINT64_C(1) << 63;
    assert_int_equal(super_check_features(&sb), -EROFS);
    sb.incompat = SUPER_INCOMPAT_MOVES;
    assert_int_equal(super_check_features(&sb), -EROFS);
    sb.incompat = SUPER_INCOMPAT_UNDO;
    assert_int_equal(super_check_features(&sb), -HOLO_EUNDO);
    sb.incompat = SUPER_INCOMPAT_SPARES;
    assert_int_equal(super_check_features(&sb), -EROFS);
    sb.incompat = 8;
    assert_int_equal(super_check_features(&sb), -HOLO_EFEATURE);
}

/* ---- five copies ---- */

struct env {
    struct backing *memory, *fault;
};

static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    assert_int_equal(backing_memory_create(1 << 20, &e->memory), 0);
    assert_int_equal(backing_fault_create(e->memory, 0x50be, &e->fault), 0);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    e->fault->ops->close(e->fault);
    e->memory->ops->close(e->memory);
    free(e);
    return 0;
}

static void put_block(struct env *e, unsigned copy, const uint8_t *block, size_t len)
{
    char name[32];
    struct bfile *f;
    snprintf(name, sizeof(name), "superblock.%u", copy);
    assert_int_equal(e->memory->ops->open(e->memory, name, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f), 0);
    assert_int_equal(bfile_pwrite(f, block, len, 0), 0);
    f->ops->close(f);
}

static void put_copy(struct env *e, unsigned copy, uint64_t sequence)
{
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample();
    sb.sequence = sequence;
    super_encode(&sb, block);
    put_block(e, copy, block, BLOCK_SIZE);
}

static void put_garbage(struct env *e, unsigned copy)
{
    uint8_t block[BLOCK_SIZE];
    kit_fill(copy, block, BLOCK_SIZE);
    put_block(e, copy, block, BLOCK_SIZE);
}

/* sequences[i] = 0: copy i is garbage. */
static void expect_vote(struct env *e, const uint64_t sequences[SUPER_COPIES], uint64_t winner, unsigned valid, unsigned agreeing)
{
    struct superblock sb;
    struct super_vote vote;
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        if (sequences[i])
            put_copy(e, i, sequences[i]);
        else
            put_garbage(e, i);
    }
    assert_int_equal(super_read(e->memory, &sb, &vote), 0);
    assert_int_equal(sb.sequence, winner);
    assert_int_equal(vote.valid, valid);
    assert_int_equal(vote.agreeing, agreeing);
}

static void a_majority_beats_newer_copies(void **state)
{
    expect_vote(*state, (uint64_t[]){ 9, 9, 8, 8, 8 }, 8, 5, 3);
    expect_vote(*state, (uint64_t[]){ 9, 9, 9, 8, 8 }, 9, 5, 3);
    expect_vote(*state, (uint64_t[]){ 7, 7, 7, 7, 7 }, 7, 5, 5);
    expect_vote(*state, (uint64_t[]){ 9, 8, 7, 7, 7 }, 7, 5, 3);
}

static void without_a_majority_most_copies_win_then_the_newest(void **state)
{
    expect_vote(*state, (uint64_t[]){ 9, 9, 0, 8, 8 }, 9, 4, 2);
    expect_vote(*state, (uint64_t[]){ 9, 0, 0, 8, 8 }, 8, 3, 2);
    expect_vote(*state, (uint64_t[]){ 0, 0, 0, 0, 4 }, 4, 1, 1);
    expect_vote(*state, (uint64_t[]){ 1, 2, 3, 4, 5 }, 5, 5, 1);
    expect_vote(*state, (uint64_t[]){ 6, 2, 6, 2, 5 }, 6, 5, 2);
}

/* Not one copy is intact, and yet most of them are right at every byte. */
static void flips_in_all_copies_are_outvoted(void **state)
{
    struct env *e = *state;
    uint8_t good[BLOCK_SIZE], block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    struct super_vote vote;
    uint64_t seed = 0x5be;
    super_encode(&sb, good);
    for (int round = 0; round < 200; round++) {
        for (unsigned i = 0; i < SUPER_COPIES; i++) {
            memcpy(block, good, BLOCK_SIZE);
            kit_flip(&seed, block, BLOCK_SIZE, 1);
            block[200 + i] ^= 1;
            put_block(e, i, block, BLOCK_SIZE);
        }
        assert_int_equal(super_read(e->memory, &back, &vote), 0);
        expect_same(&sb, &back);
        assert_int_equal(vote.agreeing, 0);
    }
}

/* Two versions, two intact copies each: the third one of the old version is flipped, and still counts. */
static void a_flipped_copy_still_counts_for_its_majority(void **state)
{
    struct env *e = *state;
    uint8_t block[BLOCK_SIZE];
    struct superblock sb = sample(), back;
    struct super_vote vote;
    for (unsigned i = 0; i < SUPER_COPIES; i++)
        put_copy(e, i, i < 2 ? 9 : 8);
    sb.sequence = 8;
    super_encode(&sb, block);
    block[100] ^= 1;
    put_block(e, 3, block, BLOCK_SIZE);
    assert_int_equal(super_read(e->memory, &back, &vote), 0);
    expect_same(&sb, &back);
    assert_int_equal(vote.agreeing, 2);
}

static void what_is_no_store_and_what_is_a_broken_one_are_told_apart(void **state)
{
    struct env *e = *state;
    struct superblock sb;
    struct super_vote vote;
    uint8_t block[BLOCK_SIZE];
    assert_int_equal(super_read(e->memory, &sb, &vote), -HOLO_EFORMAT);
    for (unsigned i = 0; i < SUPER_COPIES; i++)
        put_garbage(e, i);
    assert_int_equal(super_read(e->memory, &sb, &vote), -HOLO_EFORMAT);
    struct superblock good = sample();
    super_encode(&good, block);
    put_block(e, 3, block, 1000);
    assert_int_equal(super_read(e->memory, &sb, &vote), -HOLO_EFORMAT);
    block[200] ^= 1;
    put_block(e, 3, block, BLOCK_SIZE);
    assert_int_equal(super_read(e->memory, &sb, &vote), -HOLO_EVOTE);
    le32_put(block + 8, 2);
    seal(block);
    put_block(e, 3, block, BLOCK_SIZE);
    assert_int_equal(super_read(e->memory, &sb, &vote), -HOLO_EVERSION);
    put_copy(e, 1, 5);
    assert_int_equal(super_read(e->memory, &sb, &vote), 0);
}

static void two_copies_may_fail_to_be_written(void **state)
{
    struct env *e = *state;
    struct superblock sb = sample(), back;
    struct super_vote vote;
    unsigned failed = 99;
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_WRITE, FAULT_ERROR, EIO, "superblock.1*", 0, 0, 0, 0 });
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "superblock.4*", 0, 0, 0, 0 });
    assert_int_equal(super_write(e->fault, &sb, &failed), 0);
    assert_int_equal(failed, 2);
    assert_int_equal(super_read(e->memory, &back, &vote), 0);
    expect_same(&sb, &back);
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_OPEN, FAULT_ERROR, EACCES, "superblock.0*", 0, 0, 0, 0 });
    assert_int_not_equal(super_write(e->fault, &sb, NULL), 0);
}

static void copies_that_the_disk_does_not_take_get_new_files(void **state)
{
    struct env *e = *state;
    struct superblock sb = sample(), back;
    struct super_vote vote;
    unsigned failed = 99;
    assert_int_equal(super_write(e->memory, &sb, NULL), 0);
    sb.sequence++;
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_WRITE, FAULT_ERROR, EIO, "superblock.[013]", 0, 0, 0, 0 });
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "superblock.4", 0, 0, 0, 0 });
    assert_int_equal(super_write(e->fault, &sb, &failed), 0);
    assert_int_equal(failed, 0);
    assert_int_equal(super_read(e->memory, &back, &vote), 0);
    assert_int_equal(vote.agreeing, SUPER_COPIES);
    expect_same(&sb, &back);
}

static void unreadable_copies_do_not_vote_and_are_not_called_gone(void **state)
{
    struct env *e = *state;
    struct superblock sb = sample(), back;
    struct super_vote vote;
    assert_int_equal(super_write(e->memory, &sb, NULL), 0);
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_READ, FAULT_ERROR, EIO, "superblock.[0-2]", 0, 0, 0, 0 });
    assert_int_equal(super_read(e->fault, &back, &vote), 0);
    assert_int_equal(vote.valid, 2);
    assert_int_equal(vote.agreeing, 2);
    backing_fault_clear(e->fault);
    backing_fault_add(e->fault, &(struct fault_rule){ FAULT_READ, FAULT_ERROR, EIO, "superblock.*", 0, 0, 0, 0 });
    assert_int_equal(super_read(e->fault, &back, &vote), -EIO);
}

/* Power fails after each write of an update: what is read is the old superblock or the new one, and new for ever once written. */
static void a_cut_update_leaves_the_old_or_the_new_one(void **state)
{
    (void)state;
    bool finished = false;
    for (uint64_t n = 0; !finished; n++) {
        struct env *e;
        setup((void **)&e);
        struct superblock sb = sample(), back;
        struct super_vote vote;
        assert_int_equal(super_write(e->fault, &sb, NULL), 0);
        backing_fault_track(e->fault);
        backing_fault_cut_after(e->fault, backing_fault_writes(e->fault) + n);
        sb.sequence++;
        finished = super_write(e->fault, &sb, NULL) == 0;
        backing_fault_lose(e->fault);
        assert_int_equal(super_read(e->memory, &back, &vote), 0);
        assert_true(back.sequence == sb.sequence || (!finished && back.sequence == sb.sequence - 1));
        assert_true(vote.agreeing >= 2);
        teardown((void **)&e);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(a_label_of_full_length_comes_back),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_newer_version_is_named_as_such),
        cmocka_unit_test(impossible_geometry_is_refused),
        cmocka_unit_test(features_decide_between_writing_reading_and_refusing),
        cmocka_unit_test_setup_teardown(a_majority_beats_newer_copies, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_majority_most_copies_win_then_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_store_and_what_is_a_broken_one_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(flips_in_all_copies_are_outvoted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_copy_still_counts_for_its_majority, setup, teardown),
        cmocka_unit_test_setup_teardown(two_copies_may_fail_to_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_that_the_disk_does_not_take_get_new_files, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_copies_do_not_vote_and_are_not_called_gone, setup, teardown),
        cmocka_unit_test(a_cut_update_leaves_the_old_or_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
