/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_remapper.c: what a mounted store does with its remap table: copies checked, told and made good. */
#include "tests/core/rig.h"

#include "core/container.h"
#include "core/log.h"
#include "core/remapper.h"

enum { LEN = 900000, SOME = 5 };

/* Blocks 0 … n−1 of the first container go to spares, as if the disk did not keep them: there is junk in their place. */
static void move_blocks(struct rig *r, uint32_t n)
{
    char name[PATH_MAX], file[CONTAINER_NAME_MAX];
    uint8_t block[RIG_BLOCK], junk[RIG_BLOCK];
    uint32_t id = 1;
    struct copen *o;
    unsigned bad;
    for (struct container *c; !(c = ctab_find(r->fs, id)) || c->cls != CLASS_DATA; id++)
        assert_true(id < 100);
    assert_int_equal(copen_file(r->fs, id, false, &o, &bad), 0);
    container_name(id, file);
    rig_name(r, file, name);
    memset(junk, 0x77, sizeof(junk));
    int fd = open(name, O_RDWR);
    for (uint32_t x = 0; x < n; x++) {
        uint32_t fb = chead_file_block(&o->h, x);
        assert_true(pread(fd, block, RIG_BLOCK, (off_t)fb * RIG_BLOCK) == RIG_BLOCK);
        assert_int_equal(remap_add(r->fs->remap, id, fb, block), 0);
        assert_true(pwrite(fd, junk, RIG_BLOCK, (off_t)fb * RIG_BLOCK) == RIG_BLOCK);
    }
    close(fd);
    copen_free(o);
}

/* A directory beside the store. */
static void other_dir(const struct rig *r, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s-other", r->dir);
    assert_int_equal(mkdir(out, 0700), 0);
}

static int spare(struct rig *r, const char *fmt, const char *dir)
{
    char words[PATH_MAX + 64];
    snprintf(words, sizeof(words), "remap spare %s%s", fmt, dir);
    return rig_control(r, words);
}

static bool remap_text_has(struct rig *r, const char *what)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_remap_json(r->fs, &b), 0);
    json_t *o = json_loadb((const char *)b.p, b.len, 0, NULL);
    assert_non_null(o);
    json_decref(o);
    assert_int_equal(buf_add(&b, "", 1), 0);
    bool has = strstr((const char *)b.p, what) != NULL;
    buf_fini(&b);
    return has;
}

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

/* A store with one spare file elsewhere, and blocks in it. */
static void start_elsewhere(struct rig *r, char dir[PATH_MAX])
{
    rig_start(r);
    other_dir(r, dir);
    rig_file(r, "a", 1, LEN);
    rig_do(r, "seal");
    rig_reopen(r); /* the index has its name */
    assert_int_equal(spare(r, "add 65536 ", dir), 0);
    rig_do(r, "remap spare remove 0");
    move_blocks(r, SOME);
}

static void stop_elsewhere(struct rig *r, const char *dir)
{
    rig_stop(r);
    rig_remove_tree(dir);
}

static void a_disk_with_spares_may_be_away_for_a_mount(void **state)
{
    (void)state;
    struct rig r;
    char dir[PATH_MAX], away[PATH_MAX + 8];
    start_elsewhere(&r, dir);
    snprintf(away, sizeof(away), "%s-away", dir);
    assert_true(remap_text_has(&r, "\"path\":\"/a\""));
    assert_true(remap_text_has(&r, dir));
    rig_expect_file(&r, "a", 1, LEN);
    rig_do(&r, "remap test");
    rig_close(&r);
    assert_int_equal(rename(dir, away), 0);
    rig_open(&r);
    assert_true(r.fs->sb.incompat & SUPER_INCOMPAT_SPARES);
    assert_true(rig_event(&r, "spare_away", dir));
    assert_false(is_healthy(&r));
    rig_expect_file(&r, "a", 1, LEN);
    assert_int_equal(rig_stat(&r, "lost_blocks"), 0);
    assert_int_equal(rig_control(&r, "remap test"), -EIO);
    assert_true(rig_event(&r, "spare_block_bad", "\"file_block\":"));
    assert_true(access(dir, F_OK) != 0);
    rig_close(&r);
    assert_int_equal(rename(away, dir), 0);
    rig_open(&r);
    assert_true(is_healthy(&r));
    assert_int_equal(rig_stat(&r, "remap/spare_bad"), 0);
    rig_expect_file(&r, "a", 1, LEN);
    rig_do(&r, "remap test");
    stop_elsewhere(&r, dir);
}

static void one_that_is_back_while_mounted_is_taken(void **state)
{
    (void)state;
    struct rig r;
    char dir[PATH_MAX], away[PATH_MAX + 8];
    start_elsewhere(&r, dir);
    snprintf(away, sizeof(away), "%s-away", dir);
    rig_close(&r);
    assert_int_equal(rename(dir, away), 0);
    rig_open(&r);
    remapper_check(r.fs);
    assert_false(is_healthy(&r));
    assert_int_equal(rename(away, dir), 0);
    remapper_check(r.fs);
    assert_true(rig_event(&r, "spare_back", dir));
    assert_true(is_healthy(&r));
    rig_expect_file(&r, "a", 1, LEN);
    stop_elsewhere(&r, dir);
}

/* What was in it comes back from parity, and goes to another spare file. */
static void one_that_stays_away_is_given_up_by_removing_it(void **state)
{
    (void)state;
    struct rig r;
    char dir[PATH_MAX];
    start_elsewhere(&r, dir);
    rig_close(&r);
    rig_remove_tree(dir);
    rig_open(&r);
    assert_int_equal(rig_control(&r, "remap spare remove 1"), -HOLO_EREMAPFULL);
    assert_true(remap_text_has(&r, "no room for what is in it"));
    rig_do(&r, "remap spare add 65536");
    rig_do(&r, "remap spare remove 1");
    assert_true(is_healthy(&r));
    assert_int_equal(rig_stat(&r, "remap/remaps"), SOME);
    rig_reopen(&r);
    assert_true(is_healthy(&r));
    rig_do(&r, "remap test");
    rig_expect_file(&r, "a", 1, LEN);
    assert_int_equal(rig_stat(&r, "since_mount/repaired_blocks"), 0);
    stop_elsewhere(&r, dir);
}

/* One spare block and two places that take no bytes: what an administrator sees, and does. */
static void spares_that_are_used_up_are_told_and_more_can_be_had(void **state)
{
    (void)state;
    struct holofs_geometry g = rig_geometry();
    struct backing *b, *fault;
    struct rig r;
    char name[PATH_MAX];
    uint8_t junk[3 * RIG_BLOCK];
    rig_init(&r);
    g.spare_bytes = RIG_BLOCK;
    rig_format(&r, &g);
    assert_int_equal(backing_posix_open(r.dir, false, &b), 0);
    assert_int_equal(backing_fault_create(b, 1, &fault), 0);
    r.opt.backing = fault;
    rig_open(&r);
    rig_file(&r, "a", 1, LEN);
    rig_do(&r, "seal");
    rig_reopen(&r);
    rig_name(&r, "containers/000/00000001.hc", name);
    int fd = open(name, O_RDWR);
    memset(junk, 0x33, sizeof(junk));
    assert_true(fd >= 0 && pwrite(fd, junk, sizeof(junk), 20 * RIG_BLOCK) == sizeof(junk));
    close(fd);
    backing_fault_add(fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = EIO, .name = "containers/*", .from = 20 * RIG_BLOCK,
                                                   .to = 22 * RIG_BLOCK });
    for (int i = 0; i < 3; i++)
        rig_expect_file(&r, "a", 1, LEN);
    assert_int_equal(rig_stat(&r, "remap/remaps"), 1);
    assert_true(rig_event(&r, "spares_full", "\"file_block\":21"));
    assert_false(is_healthy(&r));
    rig_do(&r, "remap spare add 65536");
    assert_true(is_healthy(&r));
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "remap/remaps"), 2);
    assert_int_equal(rig_stat(&r, "lost_blocks"), 0);
    assert_true(is_healthy(&r));
    rig_do(&r, "remap test");
    rig_do(&r, "remap spare remove 0");
    rig_expect_file(&r, "a", 1, LEN);
    rig_close(&r);
    r.opt.backing = NULL;
    fault->ops->close(fault);
    b->ops->close(b);
    rig_open(&r);
    assert_int_equal(rig_stat(&r, "remap/remaps"), 2);
    rig_expect_file(&r, "a", 1, LEN);
    rig_do(&r, "remap test");
    rig_stop(&r);
}

static void what_makes_no_sense_is_refused_in_one_line(void **state)
{
    (void)state;
    static const char *const wrong[] = { "remap ", "remap x", "remap spare", "remap spare add", "remap spare add x", "remap spare add 1x",
                                         "remap spare remove", "remap spare remove 1 2", "remap spare remove x", "remap testing" };
    struct rig r;
    char dir[PATH_MAX];
    rig_start(&r);
    r.fs->opt.mountpoint = "/dev";
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(rig_control(&r, wrong[i]), -EINVAL);
    assert_int_equal(spare(&r, "add 65536 ", r.dir), -EINVAL);
    assert_true(remap_text_has(&r, "is in the store"));
    rig_name(&r, "containers", dir);
    assert_int_equal(spare(&r, "add 65536 ", dir), -EINVAL);
    assert_int_equal(spare(&r, "add 65536 ", "/dev"), -EINVAL);
    assert_int_equal(spare(&r, "add 65536 ", "tmp"), -EINVAL);
    assert_int_equal(spare(&r, "add 65536 ", "/nowhere/at/all"), -ENOENT);
    assert_int_equal(rig_control(&r, "remap spare add 250000000000"), -ENOSPC);
    assert_int_equal(rig_control(&r, "remap spare add 1"), -EFBIG);
    assert_int_equal(rig_control(&r, "remap spare remove 4"), -ENOENT);
    assert_true(remap_text_has(&r, "there is no such spare file"));
    assert_int_equal(rig_stat(&r, "remap/spare_blocks"), 16);
    assert_int_equal(r.fs->sb.incompat & SUPER_INCOMPAT_SPARES, 0);
    rig_stop(&r);
}

static void an_option_has_a_spare_file_made_once(void **state)
{
    (void)state;
    struct rig r;
    char dir[PATH_MAX];
    rig_start(&r);
    other_dir(&r, dir);
    rig_close(&r);
    r.opt.spare_dir = dir;
    for (int i = 0; i < 3; i++) {
        rig_open(&r);
        assert_int_equal(rig_stat(&r, "remap/spare_blocks"), 16 + 2048);
        assert_int_equal(rig_event(&r, "spare_added", dir), i == 0);
        rig_close(&r);
    }
    r.opt.spare_dir = "/nowhere/at/all";
    rig_open(&r);
    assert_true(rig_event(&r, "spare_add_failed", "/nowhere/at/all"));
    rig_file(&r, "a", 1, LEN);
    stop_elsewhere(&r, dir);
}

static void mkfs_can_put_one_elsewhere(void **state)
{
    (void)state;
    struct holofs_geometry g = rig_geometry();
    struct rig r;
    char dir[PATH_MAX];
    rig_init(&r);
    other_dir(&r, dir);
    g.spare_dir = dir;
    rig_format(&r, &g);
    rig_open(&r);
    assert_int_equal(rig_stat(&r, "remap/spare_blocks"), 32);
    assert_true(remap_text_has(&r, dir));
    stop_elsewhere(&r, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_that_a_mount_repairs_are_told),
        cmocka_unit_test(copies_damaged_meanwhile_are_found_by_the_clock),
        cmocka_unit_test(copies_that_cannot_be_repaired_are_told_once_and_health_says_so),
        cmocka_unit_test(a_disk_with_spares_may_be_away_for_a_mount),
        cmocka_unit_test(one_that_is_back_while_mounted_is_taken),
        cmocka_unit_test(one_that_stays_away_is_given_up_by_removing_it),
        cmocka_unit_test(spares_that_are_used_up_are_told_and_more_can_be_had),
        cmocka_unit_test(what_makes_no_sense_is_refused_in_one_line),
        cmocka_unit_test(an_option_has_a_spare_file_made_once),
        cmocka_unit_test(mkfs_can_put_one_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
