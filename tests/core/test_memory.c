/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_memory.c: what leaves memory is as it was, or as it has become. */
#include "tests/core/rig.h"

enum { MIB = 1 << 20, WINDOWS = 1500 };

static void start_small(struct rig *r)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    r->opt.cache_bytes = MIB;
    rig_format(r, &g);
    rig_open(r);
}

static void wait_applied(struct rig *r)
{
    rig_do(r, "sync");
    while (rig_stat(r, "ring/applied_txg") < rig_stat(r, "ring/committed_txg"))
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* A byte at the start of each MiB, so that every window has an extent. */
static uint64_t scattered_file(struct rig *r, const char *name)
{
    uint64_t ino = rig_create(r, name);
    for (uint64_t w = 0; w < WINDOWS; w++) {
        uint64_t v = w * 1000003 + 1;
        rig_write(r, ino, w * MIB, &v, sizeof(v));
    }
    return ino;
}

static void set_size(struct rig *r, uint64_t ino, uint64_t size)
{
    struct holofs_setattr s = { .set = HOLOFS_SET_SIZE, .size = size };
    struct holofs_attr a;
    assert_int_equal(holofs_setattr(r->fs, ino, &s, &a), 0);
    assert_true(a.size == size);
}

/* [first, end) of the windows read as zeros, the others as they were written. */
static void expect_hole(struct rig *r, uint64_t ino, uint64_t first, uint64_t end)
{
    for (uint64_t w = 0; w < WINDOWS; w++) {
        uint64_t v = w >= first && w < end ? 0 : w * 1000003 + 1;
        rig_expect(r, ino, w * MIB, &v, sizeof(v));
    }
}

static uint64_t stored(struct rig *r, uint64_t ino)
{
    struct holofs_attr a;
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    return a.stored;
}

static void what_was_cut_off_very_many_windows_never_comes_back(void **state)
{
    (void)state;
    struct rig r;
    start_small(&r);
    for (int again = 0; again < 2; again++) {
        uint64_t ino = scattered_file(&r, again ? "b" : "a");
        uint64_t all = stored(&r, ino);
        wait_applied(&r);
        if (again)
            rig_reopen(&r); /* nothing in memory */
        set_size(&r, ino, 20 * (uint64_t)MIB);
        set_size(&r, ino, WINDOWS * (uint64_t)MIB);
        assert_true(stored(&r, ino) < all / 50);
        expect_hole(&r, ino, 20, WINDOWS);
        uint64_t v = 700 * 1000003 + 1;
        rig_write(&r, ino, 700 * (uint64_t)MIB, &v, sizeof(v)); /* behind the cut, before the index has it */
        set_size(&r, ino, WINDOWS * (uint64_t)MIB);
        rig_expect(&r, ino, 700 * (uint64_t)MIB, &v, sizeof(v));
        wait_applied(&r);
        rig_expect(&r, ino, 700 * (uint64_t)MIB, &v, sizeof(v));
        uint64_t before = stored(&r, ino);
        rig_reopen(&r);
        assert_true(stored(&r, ino) == before);
        rig_expect(&r, ino, 700 * (uint64_t)MIB, &v, sizeof(v));
        v = 0;
        rig_write(&r, ino, 700 * (uint64_t)MIB, &v, sizeof(v));
        expect_hole(&r, ino, 20, WINDOWS);
    }
    rig_stop(&r);
}

static void a_hole_over_very_many_windows_takes_no_more_and_no_less(void **state)
{
    (void)state;
    struct rig r;
    start_small(&r);
    uint64_t ino = scattered_file(&r, "a");
    wait_applied(&r);
    rig_reopen(&r);
    uint64_t all = stored(&r, ino);
    assert_int_equal(holofs_fallocate(r.fs, ino, HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE, 100 * (uint64_t)MIB, 1300 * (uint64_t)MIB), 0);
    assert_true(stored(&r, ino) == all - all / WINDOWS * 1300);
    expect_hole(&r, ino, 100, 1400);
    wait_applied(&r);
    expect_hole(&r, ino, 100, 1400);
    rig_reopen(&r);
    assert_true(stored(&r, ino) == all - all / WINDOWS * 1300);
    expect_hole(&r, ino, 100, 1400);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_cut_off_very_many_windows_never_comes_back),
        cmocka_unit_test(a_hole_over_very_many_windows_takes_no_more_and_no_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
