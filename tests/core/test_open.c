/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_open.c: what is no store, or not one for this program, is refused with one line and stays as it is. */
#include "tests/core/rig.h"

#include "base/bytes.h"
#include "base/sum.h"
#include "store/super.h"
#include "tests/fsck/seen.h"

static uint64_t tree_sum;

static uint64_t mix_file(const char *path, const struct stat *st)
{
    uint64_t h = sum64(path, strlen(path), (uint64_t)st->st_size ^ (uint64_t)st->st_mode << 40);
    if (S_ISREG(st->st_mode)) {
        uint8_t *p = malloc((size_t)st->st_size + 1);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0 && read(fd, p, (size_t)st->st_size) == st->st_size);
        close(fd);
        h = sum64(p, (size_t)st->st_size, h);
        free(p);
    }
    return h;
}

static int add_to_sum(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)type;
    (void)f;
    tree_sum += mix_file(path, st);
    return 0;
}

/* Of all names, modes and contents below. */
static uint64_t sum_of(const struct rig *r)
{
    tree_sum = 0;
    nftw(r->dir, add_to_sum, 16, FTW_PHYS);
    return tree_sum;
}

static void expect_one_line(const char *why)
{
    assert_true(strlen(why) > 5);
    assert_null(strchr(why, '\n'));
}

/* Open fails with this errno, says why in one line, and changes nothing. */
static void refused(struct rig *r, int error)
{
    uint64_t before = sum_of(r);
    r->why[0] = 0;
    r->fs = NULL;
    int e = rig_try_open(r);
    if (holo_errno(e) != error)
        fail_msg("open: %d (%s), wanted errno %d", e, r->why, error);
    assert_null(r->fs);
    expect_one_line(r->why);
    if (sum_of(r) != before)
        fail_msg("«%s», but the directory changed", r->why);
}

static void change_super(struct rig *r, void (*change)(struct superblock *sb, uint8_t *block), unsigned copies)
{
    for (unsigned i = 0; i < copies; i++) {
        char file[32], name[PATH_MAX];
        uint8_t block[BLOCK_SIZE];
        struct superblock sb;
        snprintf(file, sizeof(file), "superblock.%u", i);
        rig_name(r, file, name);
        int fd = open(name, O_RDWR);
        assert_int_equal(pread(fd, block, sizeof(block), 0), sizeof(block));
        assert_int_equal(super_decode(block, &sb), 0);
        change(&sb, NULL);
        super_encode(&sb, block);
        change(&sb, block);
        le64_put(block + 4088, sum64(block, 4088, sum_seed(block + 40, SUM_ID_SUPER, 0)));
        assert_int_equal(pwrite(fd, block, sizeof(block), 0), sizeof(block));
        close(fd);
    }
}

static void newer_version(struct superblock *sb, uint8_t *block)
{
    (void)sb;
    if (block)
        le32_put(block + 8, 2);
}

static void incompatible(struct superblock *sb, uint8_t *block)
{
    (void)block;
    sb->incompat = 1u << 5;
}

static void impossible(struct superblock *sb, uint8_t *block)
{
    (void)sb;
    if (block)
        le32_put(block + 128, 300);
}

static void only_readable(struct superblock *sb, uint8_t *block)
{
    (void)block;
    sb->ro_compat = 2;
}

static void harmless(struct superblock *sb, uint8_t *block)
{
    (void)block;
    sb->compat = UINT64_C(1) << 40;
}

static void a_directory_without_a_store_is_refused(void **state)
{
    (void)state;
    struct rig r;
    char name[PATH_MAX];
    rig_init(&r);
    refused(&r, EINVAL);
    rig_name(&r, "superblock.0", name);
    FILE *f = fopen(name, "w");
    fputs("no superblock at all", f);
    fclose(f);
    refused(&r, EINVAL);
    rig_remove_tree(r.dir);
    r.why[0] = 0;
    assert_int_equal(rig_try_open(&r), -ENOENT);
    expect_one_line(r.why);
}

static void a_file_in_place_of_a_store_is_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_int_equal(rmdir(r.dir), 0);
    FILE *f = fopen(r.dir, "w");
    fclose(f);
    assert_true(rig_try_open(&r) < 0);
    expect_one_line(r.why);
    unlink(r.dir);
}

static void refuse_changed(void (*change)(struct superblock *sb, uint8_t *block), int error)
{
    struct rig r;
    rig_start(&r);
    rig_file(&r, "file", 1, 100000);
    rig_close(&r);
    change_super(&r, change, SUPER_COPIES);
    refused(&r, error);
    rig_remove_tree(r.dir);
}

static void newer_and_impossible_superblocks_are_refused(void **state)
{
    (void)state;
    refuse_changed(newer_version, EPROTONOSUPPORT);
    refuse_changed(incompatible, EPROTONOSUPPORT);
    refuse_changed(impossible, EUCLEAN);
}

static void with_features(struct rig *r, void (*change)(struct superblock *sb, uint8_t *block))
{
    rig_start(r);
    rig_file(r, "file", 1, 100000);
    rig_close(r);
    change_super(r, change, SUPER_COPIES);
}

/* For mounts, reading or writing. */
static void an_unknown_incompat_feature_is_refused(void **state)
{
    (void)state;
    struct rig r;
    with_features(&r, incompatible);
    refused(&r, EPROTONOSUPPORT);
    r.opt.read_only = true;
    refused(&r, EPROTONOSUPPORT);
    uint64_t before = sum_of(&r);
    assert_int_equal(holofs_probe(r.dir, r.why, sizeof(r.why)), -HOLO_EFEATURE);
    assert_true(sum_of(&r) == before);
    rig_remove_tree(r.dir);
}

static void features_that_allow_reading_only_open_read_only(void **state)
{
    (void)state;
    struct rig r;
    with_features(&r, only_readable);
    refused(&r, EROFS);
    uint64_t before = sum_of(&r);
    r.opt.read_only = true;
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    rig_close(&r);
    assert_true(sum_of(&r) == before);
    rig_stop(&r);
}

static void expect_compat(struct rig *r, uint64_t want)
{
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        char file[32], name[PATH_MAX];
        uint8_t block[BLOCK_SIZE];
        struct superblock sb;
        snprintf(file, sizeof(file), "superblock.%u", i);
        rig_name(r, file, name);
        int fd = open(name, O_RDONLY);
        assert_int_equal(pread(fd, block, sizeof(block), 0), sizeof(block));
        close(fd);
        assert_int_equal(super_decode(block, &sb), 0);
        assert_true(sb.compat == want);
    }
}

static void an_unknown_compat_feature_is_ignored_and_kept(void **state)
{
    (void)state;
    struct rig r;
    with_features(&r, harmless);
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    rig_file(&r, "other", 2, 50000);
    rig_reopen(&r);
    rig_expect_file(&r, "other", 2, 50000);
    rig_close(&r);
    expect_compat(&r, UINT64_C(1) << 40);
    rig_stop(&r);
}

static void format_over(void (*change)(struct superblock *sb, uint8_t *block))
{
    struct rig r;
    struct holofs_geometry g = rig_geometry();
    with_features(&r, change);
    uint64_t before = sum_of(&r);
    assert_int_equal(holofs_format(r.dir, &g, r.why, sizeof(r.why)), -ENOTEMPTY);
    expect_one_line(r.why);
    assert_true(sum_of(&r) == before);
    g.force = true;
    rig_format(&r, &g);
    expect_compat(&r, SUPER_COMPAT_KNOWN);
    rig_open(&r);
    assert_int_equal(rig_find(&r, RIG_ROOT, "file"), 0);
    rig_stop(&r);
}

/* mkfs sets what it knows only, also where a store with more was before. Without force it touches none. */
static void a_new_store_has_known_features_only(void **state)
{
    (void)state;
    format_over(harmless);
    format_over(only_readable);
    format_over(incompatible);
}

/* A check ends with that exit code and one line, and changes nothing. */
static void check_refused(struct rig *r, enum fsck_mode mode)
{
    struct seen s;
    uint64_t before = sum_of(r);
    seen_check(r->dir, mode, &s);
    assert_int_equal(s.code, FSCK_EXIT_LEFT | FSCK_EXIT_ERROR);
    assert_int_equal(holo_errno(s.result), EPROTONOSUPPORT);
    assert_int_equal(s.n, 1);
    assert_true(seen_has(&s, 103, FSCK_LOST));
    expect_one_line(s.r.why);
    if (sum_of(r) != before)
        fail_msg("mode %d: «%s», but the directory changed", (int)mode, s.r.why);
}

static void a_check_refuses_an_unknown_incompat_feature(void **state)
{
    (void)state;
    struct rig r;
    with_features(&r, incompatible);
    for (int mode = FSCK_LOOK; mode <= FSCK_ASK; mode++)
        check_refused(&r, (enum fsck_mode)mode);
    change_super(&r, newer_version, SUPER_COPIES);
    for (int mode = FSCK_LOOK; mode <= FSCK_ASK; mode++)
        check_refused(&r, (enum fsck_mode)mode);
    rig_remove_tree(r.dir);
}

/* To look is to read: that is allowed. To repair is not. */
static void a_check_only_looks_where_features_allow_reading_only(void **state)
{
    (void)state;
    struct rig r;
    struct seen s;
    with_features(&r, only_readable);
    uint64_t before = sum_of(&r);
    seen_check(r.dir, FSCK_LOOK, &s);
    assert_int_equal(s.code, 0);
    assert_int_equal(s.n, 0);
    assert_true(sum_of(&r) == before);
    for (int mode = FSCK_PREEN; mode <= FSCK_ASK; mode++)
        check_refused(&r, (enum fsck_mode)mode);
    rig_remove_tree(r.dir);
}

static void a_check_keeps_an_unknown_compat_feature(void **state)
{
    (void)state;
    struct rig r;
    struct seen s;
    with_features(&r, harmless);
    seen_check(r.dir, FSCK_ALL, &s);
    assert_int_equal(s.code, 0);
    expect_compat(&r, UINT64_C(1) << 40);
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    rig_stop(&r);
}

static void put_junk(const struct rig *r, const char *file)
{
    char name[PATH_MAX];
    rig_name(r, file, name);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs("left behind", f);
    fclose(f);
}

/* FORMAT.md, «Names that come and go». */
static void what_a_crash_left_behind_is_cleared_away(void **state)
{
    (void)state;
    static const char *const names[] = { "journal.0.new", "journal.1.new", "remap.0.new", "remap.1.new", "remap.2.new", "remap.3.new",
                                         "remap.4.new", "remap.guard.0.new", "remap.guard.1.new", "index.db.old", "index.db.old-wal", "index.db.old-shm" };
    enum { NAMES = sizeof(names) / sizeof(names[0]) };
    struct rig r;
    struct seen s;
    char name[PATH_MAX];
    rig_start(&r);
    rig_file(&r, "file", 1, 100000);
    rig_close(&r);
    for (size_t i = 0; i < NAMES; i++)
        put_junk(&r, names[i]);
    uint64_t before = sum_of(&r);
    r.opt.read_only = true;
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    rig_close(&r);
    seen_check(r.dir, FSCK_LOOK, &s);
    assert_int_equal(s.code, 0);
    assert_true(sum_of(&r) == before);
    r.opt.read_only = false;
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    for (size_t i = 0; i < NAMES; i++) {
        rig_name(&r, names[i], name);
        if (access(name, F_OK) == 0)
            fail_msg("%s is still there", names[i]);
    }
    rig_stop(&r);
}

static void reading_only_changes_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    struct holofs_cred cred = { .umask = 0 };
    rig_start(&r);
    uint64_t ino = rig_file(&r, "file", 1, 100000);
    rig_close(&r);
    uint64_t before = sum_of(&r);
    r.opt.read_only = true;
    rig_open(&r);
    rig_expect_file(&r, "file", 1, 100000);
    assert_int_equal(holofs_create(r.fs, &cred, RIG_ROOT, "new", S_IFREG | 0644, 0, NULL, &a), -EROFS);
    assert_int_equal(holofs_write(r.fs, ino, 0, "x", 1, false), -EROFS);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "file"), -EROFS);
    assert_int_equal(holofs_setxattr(r.fs, ino, "user.x", "y", 1, 0), -EROFS);
    assert_int_equal(rig_control(&r, "seal"), -EROFS);
    assert_int_equal(rig_control(&r, "dump"), -EROFS);
    rig_close(&r);
    assert_true(sum_of(&r) == before);
    rig_stop(&r);
}

static void a_store_in_use_is_refused(void **state)
{
    (void)state;
    struct rig r, second;
    rig_start(&r);
    second = r;
    second.fs = NULL;
    int e = rig_try_open(&second);
    assert_int_equal(holo_errno(e), EBUSY);
    expect_one_line(second.why);
    rig_file(&r, "file", 1, 1000);
    rig_stop(&r);
}

static void an_engine_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    rig_close(&r);
    r.opt.engine = "abacus";
    refused(&r, ENODEV);
    assert_non_null(strstr(r.why, "abacus"));
    rig_stop(&r);
}

/* Each file of the store replaced by noise, alone: open, or refuse; never crash, never blame without a word. */
static void noise_in_any_file_is_survived(void **state)
{
    (void)state;
    static const char *const files[] = { "superblock.0", "journal.0", "journal.1", "index.db", "remap.0", "remap.1", "remap.4" };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct rig r;
        struct stat st;
        char name[PATH_MAX];
        rig_start(&r);
        rig_file(&r, "file", 1, 300000);
        rig_do(&r, "dump");
        rig_do(&r, "seal");
        rig_close(&r);
        rig_name(&r, files[i], name);
        assert_int_equal(stat(name, &st), 0);
        uint8_t *junk = malloc((size_t)st.st_size + 1);
        rig_fill(i, junk, (size_t)st.st_size);
        int fd = open(name, O_WRONLY);
        assert_true(write(fd, junk, (size_t)st.st_size) == st.st_size);
        close(fd);
        free(junk);
        int e = rig_try_open(&r);
        if (e)
            fail_msg("%s: %s", files[i], r.why);
        rig_expect_file(&r, "file", 1, 300000);
        rig_stop(&r);
    }
}

static void bad_geometry_is_refused_before_anything_is_made(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_geometry bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = rig_geometry();
    bad[0].r = 11;
    bad[1].k = 1;
    bad[2].k = 254;
    bad[3].nmax = 10;
    bad[4].ring_blocks = 4;
    bad[5].size_limit_bytes = 1 << 20;
    rig_init(&r);
    uint64_t before = sum_of(&r);
    for (size_t i = 0; i < 6; i++) {
        r.why[0] = 0;
        assert_true(holofs_format(r.dir, &bad[i], r.why, sizeof(r.why)) < 0);
        expect_one_line(r.why);
        if (sum_of(&r) != before)
            fail_msg("«%s», but the directory changed", r.why);
    }
    rig_remove_tree(r.dir);
}

static void a_directory_that_is_not_empty_is_not_formatted(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_geometry g = rig_geometry();
    rig_start(&r);
    rig_file(&r, "file", 1, 100000);
    rig_close(&r);
    uint64_t before = sum_of(&r);
    assert_int_equal(holofs_format(r.dir, &g, r.why, sizeof(r.why)), -ENOTEMPTY);
    expect_one_line(r.why);
    assert_true(sum_of(&r) == before);
    g.force = true;
    rig_format(&r, &g);
    rig_open(&r);
    assert_true(rig_find(&r, RIG_ROOT, "file") == 0);
    rig_stop(&r);
}

static void unknown_commands_are_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    assert_int_equal(rig_control(&r, ""), -EINVAL);
    assert_int_equal(rig_control(&r, "\n"), -EINVAL);
    assert_int_equal(rig_control(&r, "synchronize"), -EINVAL);
    assert_int_equal(rig_control(&r, "sync now"), -EINVAL);
    assert_int_equal(rig_control(&r, "sync\n"), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_without_a_store_is_refused),
        cmocka_unit_test(a_file_in_place_of_a_store_is_refused),
        cmocka_unit_test(newer_and_impossible_superblocks_are_refused),
        cmocka_unit_test(an_unknown_incompat_feature_is_refused),
        cmocka_unit_test(features_that_allow_reading_only_open_read_only),
        cmocka_unit_test(an_unknown_compat_feature_is_ignored_and_kept),
        cmocka_unit_test(a_new_store_has_known_features_only),
        cmocka_unit_test(a_check_refuses_an_unknown_incompat_feature),
        cmocka_unit_test(a_check_only_looks_where_features_allow_reading_only),
        cmocka_unit_test(a_check_keeps_an_unknown_compat_feature),
        cmocka_unit_test(what_a_crash_left_behind_is_cleared_away),
        cmocka_unit_test(reading_only_changes_nothing),
        cmocka_unit_test(a_store_in_use_is_refused),
        cmocka_unit_test(an_engine_that_is_not_there_is_refused),
        cmocka_unit_test(noise_in_any_file_is_survived),
        cmocka_unit_test(bad_geometry_is_refused_before_anything_is_made),
        cmocka_unit_test(a_directory_that_is_not_empty_is_not_formatted),
        cmocka_unit_test(unknown_commands_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
