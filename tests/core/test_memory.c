/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_memory.c: what is kept in memory stays within its bounds, and what was evicted is as it was. */
#include "tests/core/rig.h"

#include <sys/xattr.h>

enum { MIB = 1 << 20, FILES = 6000, WINDOWS = 1500 };

static void start_small(struct rig *r)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    r->opt.cache_bytes = MIB; /* 512 inodes, 1024 names, 256 KiB of windows and xattrs */
    rig_format(r, &g);
    rig_open(r);
    holofs_forgets_come(r->fs);
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
    assert_true(rig_stat(&r, "memory/window_and_xattr_bytes") < MIB);
    rig_stop(&r);
}

static void inodes_that_the_kernel_refers_to_do_not_stay(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    char name[32], value[200];
    memset(value, 'v', sizeof(value));
    start_small(&r);
    for (uint64_t i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)i);
        uint64_t ino = rig_create(&r, name);
        assert_int_equal(holofs_setxattr(r.fs, ino, "user.x", value, sizeof(value), 0), 0);
    }
    wait_applied(&r);
    for (uint64_t i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)i);
        assert_int_equal(holofs_lookup(r.fs, RIG_ROOT, name, &a), 0); /* and no forget */
        assert_int_equal(holofs_getxattr(r.fs, a.ino, "user.x", value, sizeof(value)), sizeof(value));
    }
    assert_true(rig_stat(&r, "memory/inodes") <= 1100);
    assert_true(rig_stat(&r, "memory/names") <= 2100);
    assert_true(rig_stat(&r, "memory/window_and_xattr_bytes") <= 600000);
    rig_stop(&r);
}

static uint64_t look_up(struct rig *r, const char *name, int times)
{
    struct holofs_attr a;
    for (int i = 0; i < times; i++)
        assert_int_equal(holofs_lookup(r->fs, RIG_ROOT, name, &a), 0);
    return a.ino;
}

/* Evict what nobody uses: the index has it, and others take its place. */
static void use_others(struct rig *r, uint64_t n, bool make)
{
    char name[32];
    for (uint64_t i = 0; i < n && make; i++) {
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)i);
        rig_create(r, name);
    }
    wait_applied(r);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)i);
        look_up(r, name, 1);
    }
}

static void expect_victim(struct rig *r, uint64_t ino)
{
    uint8_t *want = malloc(100000);
    rig_fill(5, want, 100000);
    rig_expect(r, ino, 0, want, 100000);
    free(want);
}

/* References that were counted before an inode was evicted still keep it once it has lost its name, each of them. */
static void an_unlinked_file_stays_until_the_kernel_forgets_it(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    start_small(&r);
    rig_file(&r, "victim", 5, 100000);
    uint64_t ino = look_up(&r, "victim", 3), files;
    use_others(&r, 3000, true);
    holofs_forget(r.fs, ino, 1); /* not in memory now */
    look_up(&r, "victim", 1);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "victim"), 0);
    files = rig_stat(&r, "files");
    holofs_forget(r.fs, ino, 1);
    expect_victim(&r, ino);
    use_others(&r, 3000, false);
    holofs_forget(r.fs, ino, 1);
    expect_victim(&r, ino);
    assert_true(rig_stat(&r, "files") == files);
    holofs_forget(r.fs, ino, 1);
    assert_true(rig_stat(&r, "files") == files - 1);
    assert_int_equal(holofs_getattr(r.fs, ino, &a), -ESTALE);
    rig_stop(&r);
}

/* More inodes than the table of references takes: then a forget that has all that is known is taken for the last one. */
static void unlinked_files_go_also_when_references_are_not_known_any_more(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    struct holofs_geometry g = rig_geometry();
    rig_init(&r);
    r.opt.cache_bytes = 64 << 10; /* 32 inodes, and 768 references */
    rig_format(&r, &g);
    rig_open(&r);
    holofs_forgets_come(r.fs);
    rig_file(&r, "victim", 5, 100000);
    use_others(&r, 3000, true);
    look_up(&r, "victim", 2);
    use_others(&r, 3000, false);
    uint64_t ino = look_up(&r, "victim", 2), files = rig_stat(&r, "files");
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "victim"), 0);
    holofs_forget(r.fs, ino, 1); /* one of two that are known */
    expect_victim(&r, ino);
    assert_true(rig_stat(&r, "files") == files);
    holofs_forget(r.fs, ino, 3); /* two more than known */
    assert_true(rig_stat(&r, "files") == files - 1);
    assert_int_equal(holofs_getattr(r.fs, ino, &a), -ESTALE);
    rig_stop(&r);
}

static void many_small_holes_take_what_they_cover(void **state)
{
    (void)state;
    struct rig r;
    const int hole = HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE;
    start_small(&r);
    uint64_t ino = scattered_file(&r, "a");
    for (uint64_t again = 0; again < 2; again++) {
        for (uint64_t w = again; w < WINDOWS; w += 4)
            assert_int_equal(holofs_fallocate(r.fs, ino, hole, w * MIB, 100), 0);
        for (uint64_t w = 0; w < WINDOWS; w++) {
            uint64_t v = w % 4 <= again ? 0 : w * 1000003 + 1;
            rig_expect(&r, ino, w * MIB, &v, sizeof(v));
        }
        rig_reopen(&r);
    }
    rig_stop(&r);
}

static void what_a_crash_left_without_a_name_goes_at_the_next_mount(void **state)
{
    (void)state;
    struct rig r;
    start_small(&r);
    rig_file(&r, "victim", 5, 100000);
    look_up(&r, "victim", 1);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "victim"), 0);
    uint64_t files = rig_stat(&r, "files");
    rig_reopen(&r);
    assert_true(rig_stat(&r, "files") == files - 1);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_cut_off_very_many_windows_never_comes_back),
        cmocka_unit_test(a_hole_over_very_many_windows_takes_no_more_and_no_less),
        cmocka_unit_test(inodes_that_the_kernel_refers_to_do_not_stay),
        cmocka_unit_test(many_small_holes_take_what_they_cover),
        cmocka_unit_test(an_unlinked_file_stays_until_the_kernel_forgets_it),
        cmocka_unit_test(unlinked_files_go_also_when_references_are_not_known_any_more),
        cmocka_unit_test(what_a_crash_left_without_a_name_goes_at_the_next_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
