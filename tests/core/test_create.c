/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_create.c: files without names get one or are gone, whatever happens in between. */
#include "tests/core/rig.h"

enum { LEN = 300000 };

/* A new file without a name, and with bytes; the caller holds a reference. */
static uint64_t unnamed(struct rig *r, uint64_t seed)
{
    struct holofs_cred cred = { .uid = 7, .gid = 8, .umask = 022 };
    struct holofs_attr a;
    uint8_t *p = malloc(LEN);
    rig_fill(seed, p, LEN);
    assert_int_equal(holofs_create(r->fs, &cred, RIG_ROOT, NULL, S_IFREG | 0666, 0, NULL, &a), 0);
    assert_int_equal(a.nlink, 0);
    assert_int_equal(a.mode, S_IFREG | 0644);
    assert_int_equal(a.uid, 7);
    rig_write(r, a.ino, 0, p, LEN);
    rig_expect(r, a.ino, 0, p, LEN);
    free(p);
    return a.ino;
}

static void name_it(struct rig *r, uint64_t ino, const char *name, int expected)
{
    struct holofs_attr a;
    int e = holofs_link(r->fs, ino, RIG_ROOT, name, &a);
    assert_int_equal(e, expected);
    if (!e)
        holofs_forget(r->fs, ino, 1);
}

static void exists(struct rig *r, uint64_t ino, bool expected)
{
    struct holofs_attr a;
    assert_int_equal(holofs_getattr(r->fs, ino, &a), expected ? 0 : -ESTALE);
}

static void without_index(struct rig *r)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-shm" };
    char path[PATH_MAX];
    rig_close(r);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        rig_name(r, files[i], path);
        unlink(path);
    }
    rig_open(r);
}

static void a_file_without_a_name_goes_with_its_last_user(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    uint64_t files = rig_stat(&r, "files"), ino = unnamed(&r, 1);
    assert_int_equal(rig_stat(&r, "files"), files + 1);
    holofs_forget(r.fs, ino, 1);
    assert_int_equal(rig_stat(&r, "files"), files);
    exists(&r, ino, false);
    rig_reopen(&r);
    exists(&r, ino, false);
    rig_stop(&r);
}

static void a_file_without_a_name_does_not_outlive_the_mount(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    uint64_t files = rig_stat(&r, "files"), ino = unnamed(&r, 2);
    rig_do(&r, "sync");
    rig_reopen(&r);
    exists(&r, ino, false);
    assert_int_equal(rig_stat(&r, "files"), files);
    ino = unnamed(&r, 3);
    without_index(&r);
    exists(&r, ino, false);
    assert_int_equal(rig_stat(&r, "files"), files);
    rig_stop(&r);
}

static void a_file_that_was_named_stays(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    uint64_t one = unnamed(&r, 4), two = unnamed(&r, 5);
    rig_do(&r, "sync");
    name_it(&r, one, "one", 0);
    name_it(&r, one, "one again", 0);
    name_it(&r, two, "two", 0);
    holofs_forget(r.fs, one, 1);
    holofs_forget(r.fs, two, 1);
    rig_expect_file(&r, "one", 4, LEN);
    rig_reopen(&r);
    rig_expect_file(&r, "one", 4, LEN);
    without_index(&r);
    rig_expect_file(&r, "one again", 4, LEN);
    rig_expect_file(&r, "two", 5, LEN);
    struct holofs_attr a;
    assert_int_equal(holofs_getattr(r.fs, one, &a), 0);
    assert_int_equal(a.nlink, 2);
    rig_stop(&r);
}

static void a_file_that_lost_its_names_gets_none_again(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    uint64_t ino = unnamed(&r, 6);
    name_it(&r, ino, "name", 0);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "name"), 0);
    name_it(&r, ino, "name", -ENOENT);
    holofs_forget(r.fs, ino, 1);
    exists(&r, ino, false);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_without_a_name_goes_with_its_last_user),
        cmocka_unit_test(a_file_without_a_name_does_not_outlive_the_mount),
        cmocka_unit_test(a_file_that_was_named_stays),
        cmocka_unit_test(a_file_that_lost_its_names_gets_none_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
