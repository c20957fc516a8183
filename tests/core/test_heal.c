/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_heal.c: right bytes are written back; what the medium does not keep goes to a spare block, and nothing else does. */
#include "tests/core/rig.h"

#include "core/container.h"
#include "core/log.h"
#include "core/remapper.h"

enum { ID = 7, FILE_BLOCKS = 300, SPARES = 8, BROKEN = 40 };

/* As much of a store as healing needs, on a backing with faults. */
struct small {
    struct holofs fs;
    struct backing *memory, *fault;
    uint8_t *want;
    struct heal heal[FILE_BLOCKS];
};

static void small_start(struct small *s)
{
    char name[CONTAINER_NAME_MAX], dir[CONTAINER_NAME_MAX];
    uint8_t old[BLOCK_SIZE] = { 1 };
    struct bfile *f;
    memset(s, 0, sizeof(*s));
    log_set_level(LOG_LEVEL_ERR);
    assert_int_equal(backing_memory_create(16 << 20, &s->memory), 0);
    assert_int_equal(backing_fault_create(s->memory, 1, &s->fault), 0);
    assert_int_equal(remap_format(s->memory, s->fs.sb.uuid, SPARES), 0);
    assert_int_equal(remap_open(s->memory, s->fs.sb.uuid, false, &s->fs.remap), 0);
    s->fs.backing = s->fault;
    events_init(&s->fs.events);
    container_name(ID, name);
    container_dir(ID, dir);
    assert_int_equal(s->memory->ops->mkdir(s->memory, "containers"), 0);
    assert_int_equal(s->memory->ops->mkdir(s->memory, dir), 0);
    assert_int_equal(s->memory->ops->open(s->memory, name, BACKING_WRITE | BACKING_CREATE, &f), 0);
    for (uint64_t i = 0; i < FILE_BLOCKS; i++)
        assert_int_equal(bfile_pwrite(f, old, BLOCK_SIZE, i * BLOCK_SIZE), 0);
    f->ops->close(f);
    assert_int_equal(s->memory->ops->open(s->memory, "superblock.0", BACKING_WRITE | BACKING_CREATE, &f), 0);
    assert_int_equal(bfile_pwrite(f, old, BLOCK_SIZE, 0), 0); /* who asks whether the disk answers reads it */
    f->ops->close(f);
    s->want = malloc((size_t)FILE_BLOCKS * BLOCK_SIZE);
    rig_fill(3, s->want, (size_t)FILE_BLOCKS * BLOCK_SIZE);
    for (uint32_t i = 0; i < FILE_BLOCKS; i++)
        s->heal[i] = (struct heal){ .file_block = i, .block = s->want + (size_t)i * BLOCK_SIZE };
}

static void small_stop(struct small *s)
{
    remap_close(s->fs.remap);
    events_fini(&s->fs.events);
    s->fault->ops->close(s->fault);
    s->memory->ops->close(s->memory);
    free(s->want);
}

/* Every block gives the bytes that were to be healed, where it is read from now. */
static void expect_right_but(struct small *s, uint32_t from, uint32_t to)
{
    char name[CONTAINER_NAME_MAX];
    uint8_t got[BLOCK_SIZE];
    struct bfile *f;
    container_name(ID, name);
    assert_int_equal(s->memory->ops->open(s->memory, name, BACKING_READ, &f), 0);
    for (uint32_t i = 0; i < FILE_BLOCKS; i++) {
        bool spare = remap_lookup(s->fs.remap, ID, i);
        assert_int_equal(spare ? remap_read(s->fs.remap, ID, i, got) : f->ops->pread(f, got, BLOCK_SIZE, (uint64_t)i * BLOCK_SIZE), 0);
        assert_int_equal(memcmp(got, s->want + (size_t)i * BLOCK_SIZE, BLOCK_SIZE) != 0, i >= from && i < to);
    }
    f->ops->close(f);
}

static void expect_remapped(struct small *s, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < FILE_BLOCKS; i++)
        assert_int_equal(remap_lookup(s->fs.remap, ID, i), i >= from && i < to);
    assert_true(s->fs.count.remapped_blocks == to - from);
}

static void break_blocks(struct small *s, unsigned ops, enum fault_kind kind, uint32_t from, uint32_t to)
{
    backing_fault_add(s->fault, &(struct fault_rule){ ops, kind, EIO, "containers/*", (uint64_t)from * BLOCK_SIZE,
                                                      (uint64_t)to * BLOCK_SIZE, 0, 0 });
}

static void blocks_that_are_kept_stay_where_they_are(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS);
    expect_right_but(&s, 0, 0);
    expect_remapped(&s, 0, 0);
    assert_true(s.fs.count.repaired_blocks == FILE_BLOCKS);
    small_stop(&s);
}

static void only_blocks_that_refuse_writes_are_remapped(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    break_blocks(&s, FAULT_WRITE, FAULT_ERROR, BROKEN, BROKEN + 2);
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS);
    expect_right_but(&s, 0, 0);
    expect_remapped(&s, BROKEN, BROKEN + 2);
    small_stop(&s);
}

/* The range of a run meets the rule as well: all of its blocks fail together, and are read one by one. */
static void blocks_that_cannot_be_read_back_are_remapped(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    break_blocks(&s, FAULT_READ, FAULT_ERROR, BROKEN, BROKEN + 1);
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS);
    expect_right_but(&s, 0, 0);
    expect_remapped(&s, BROKEN, BROKEN + 1);
    small_stop(&s);
}

static void writes_that_were_dropped_are_noticed(void **state)
{
    (void)state;
    struct small s;
    struct heal one;
    small_start(&s);
    one = s.heal[BROKEN];
    break_blocks(&s, FAULT_WRITE, FAULT_DROP, BROKEN, BROKEN + 1);
    assert_int_equal(container_heal_blocks(&s.fs, ID, &one, 1), 1);
    assert_true(one.healed);
    expect_remapped(&s, BROKEN, BROKEN + 1);
    small_stop(&s);
}

static void a_sync_that_fails_once_moves_nothing(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    backing_fault_add(s.fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "containers/*", 0, 0, 0, 1 });
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS);
    expect_remapped(&s, 0, 0);
    small_stop(&s);
}

static void without_a_sync_nothing_counts_as_kept(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    backing_fault_add(s.fault, &(struct fault_rule){ FAULT_SYNC, FAULT_ERROR, EIO, "containers/*", 0, 0, 0, 0 });
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, SPARES), SPARES);
    expect_remapped(&s, 0, SPARES);
    small_stop(&s);
}

static void a_remapped_block_goes_to_another_spare(void **state)
{
    (void)state;
    struct small s;
    uint8_t old[BLOCK_SIZE] = { 2 };
    small_start(&s);
    assert_int_equal(remap_add(s.fs.remap, ID, BROKEN, old), 0);
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS);
    expect_right_but(&s, 0, 0);
    expect_remapped(&s, BROKEN, BROKEN + 1);
    small_stop(&s);
}

static void what_finds_no_spare_is_not_counted(void **state)
{
    (void)state;
    struct small s;
    small_start(&s);
    break_blocks(&s, FAULT_WRITE, FAULT_ERROR, BROKEN, BROKEN + SPARES + 3);
    assert_int_equal(container_heal_blocks(&s.fs, ID, s.heal, FILE_BLOCKS), FILE_BLOCKS - 3);
    expect_right_but(&s, BROKEN + SPARES, BROKEN + SPARES + 3);
    for (uint32_t i = 0; i < FILE_BLOCKS; i++)
        assert_int_equal(!s.heal[i].healed, i >= BROKEN + SPARES && i < BROKEN + SPARES + 3);
    assert_true(s.fs.count.repaired_blocks == FILE_BLOCKS - 3);
    assert_true(remapper_is_full(&s.fs));
    assert_int_equal(remap_drop_container(s.fs.remap, ID), 0);
    assert_false(remapper_is_full(&s.fs));
    small_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_that_are_kept_stay_where_they_are),
        cmocka_unit_test(only_blocks_that_refuse_writes_are_remapped),
        cmocka_unit_test(blocks_that_cannot_be_read_back_are_remapped),
        cmocka_unit_test(writes_that_were_dropped_are_noticed),
        cmocka_unit_test(a_sync_that_fails_once_moves_nothing),
        cmocka_unit_test(without_a_sync_nothing_counts_as_kept),
        cmocka_unit_test(a_remapped_block_goes_to_another_spare),
        cmocka_unit_test(what_finds_no_spare_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
