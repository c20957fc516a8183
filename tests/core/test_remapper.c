/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_remapper.c: what a mounted store does with its remap table: copies checked, told and made good. */
#include "tests/core/rig.h"

#include "core/remapper.h"

enum { LEN = 900000 };

static void spoil(struct rig *r, const char *file)
{
    char name[PATH_MAX];
    rig_name(r, file, name);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0 && pwrite(fd, "spoiled", 7, 4090) == 7);
    close(fd);
}

static uint64_t copies_repaired(struct rig *r)
{
    return rig_stat(r, "remap/copies_repaired");
}

static bool is_healthy(struct rig *r)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(r->fs, &b), 0);
    bool yes = b.len == 8 && memcmp(b.p, "healthy\n", 8) == 0;
    buf_fini(&b);
    return yes;
}

static void copies_that_a_mount_repairs_are_told(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    rig_file(&r, "a", 1, LEN);
    rig_close(&r);
    spoil(&r, "remap.1");
    spoil(&r, "remap.4");
    rig_open(&r);
    assert_true(rig_event(&r, "remap_copies_repaired", "\"copies\":2"));
    assert_true(is_healthy(&r));
    rig_reopen(&r);
    assert_false(rig_event(&r, "remap_copies", ""));
    rig_stop(&r);
}

static void copies_damaged_meanwhile_are_found_by_the_clock(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    rig_close(&r);
    r.opt.remap_check_ms = 1;
    rig_open(&r);
    spoil(&r, "remap.0");
    spoil(&r, "remap.1");
    spoil(&r, "remap.2");
    spoil(&r, "remap.3");
    spoil(&r, "remap.4");
    for (int i = 0; i < 1500 && copies_repaired(&r) < 5; i++)
        rig_sleep_ms(20);
    assert_true(copies_repaired(&r) >= 5);
    assert_true(rig_event(&r, "remap_copies_repaired", ""));
    rig_stop(&r);
}

/* A folder in the way keeps the copy from being written. */
static void copies_that_cannot_be_repaired_are_told_once_and_health_says_so(void **state)
{
    (void)state;
    struct rig r;
    char name[PATH_MAX];
    rig_start(&r);
    rig_name(&r, "remap.2.new", name);
    assert_int_equal(mkdir(name, 0700), 0);
    spoil(&r, "remap.2");
    for (int i = 0; i < 2; i++)
        remapper_check(r.fs);
    assert_true(rig_event(&r, "remap_copies_bad", "\"copies\":1"));
    assert_int_equal(rig_stat(&r, "damage/events"), 1);
    assert_false(is_healthy(&r));
    assert_int_equal(rmdir(name), 0);
    for (int i = 0; i < 2; i++)
        remapper_check(r.fs);
    assert_true(rig_event(&r, "remap_copies_repaired", ""));
    assert_int_equal(rig_stat(&r, "damage/events"), 2);
    assert_true(is_healthy(&r));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_that_a_mount_repairs_are_told),
        cmocka_unit_test(copies_damaged_meanwhile_are_found_by_the_clock),
        cmocka_unit_test(copies_that_cannot_be_repaired_are_told_once_and_health_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
