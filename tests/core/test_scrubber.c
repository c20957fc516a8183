/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_scrubber.c: passes over all containers: chosen, paused, resumed, remembered; damage is healed and watched. */
#include "tests/core/rig.h"

enum { FILES = 6, FILE_BYTES = 900000 };

static void start(struct rig *r)
{
    rig_start(r);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    rig_reopen(r);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_file(r, name, (uint64_t)i + 1, FILE_BYTES);
    }
    rig_do(r, "seal");
    rig_reopen(r); /* from here on nothing is sealed in the background */
}

static void expect_files(struct rig *r)
{
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_expect_file(r, name, (uint64_t)i + 1, FILE_BYTES);
    }
}

static bool state_is(struct rig *r, const char *want)
{
    struct buf b = { 0 };
    char line[40];
    assert_int_equal(holofs_scrub_text(r->fs, &b), 0);
    snprintf(line, sizeof(line), "state: %s\n", want);
    bool it = b.len >= strlen(line) && memcmp(b.p, line, strlen(line)) == 0;
    buf_fini(&b);
    return it;
}

static void wait_until(struct rig *r, const char *state)
{
    for (int i = 0; i < 3000 && !state_is(r, state); i++)
        rig_sleep_ms(10);
    assert_true(state_is(r, state));
}

static bool has_book(const struct rig *r)
{
    char path[PATH_MAX];
    rig_name(r, "scrub", path);
    return access(path, F_OK) == 0;
}

static void a_pass_verifies_everything_and_it_is_remembered(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    uint64_t n = rig_stat(&r, "containers/sealed");
    assert_true(n >= FILES);
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), n);
    assert_false(has_book(&r));
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), n);
    assert_int_equal(rig_stat(&r, "scrub/bytes_done"), rig_stat(&r, "scrub/bytes_total"));
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), 0);
    assert_true(rig_event(&r, "scrub_finished", "\"bad\":0"));
    rig_reopen(&r);
    assert_true(has_book(&r));
    assert_int_equal(rig_stat(&r, "scrub/passes"), 1);
    assert_true(rig_stat(&r, "scrub/never_verified") <= 2); /* what closing has sealed */
    assert_true(rig_stat(&r, "scrub/oldest_age_s") < 3600 && rig_stat(&r, "scrub/median_age_s") <= rig_stat(&r, "scrub/oldest_age_s"));
    expect_files(&r);
    rig_stop(&r);
}

/* One byte a second: it stands in the middle of the first container. */
static void begin_slowly(struct rig *r)
{
    rig_do(r, "scrub start rate=1");
    for (int i = 0; i < 3000 && rig_stat(r, "scrub/bytes_done") == 0; i++)
        rig_sleep_ms(10);
    assert_true(rig_stat(r, "scrub/bytes_done") > 0);
}

static void a_pass_goes_on_after_a_pause_and_a_remount(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    begin_slowly(&r);
    uint64_t n = rig_stat(&r, "scrub/containers_total");
    assert_int_equal(rig_control(&r, "scrub start"), -EALREADY);
    rig_do(&r, "scrub pause");
    assert_int_equal(rig_control(&r, "scrub pause"), -EALREADY);
    rig_reopen(&r);
    assert_true(state_is(&r, "paused"));
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), 0);
    rig_do(&r, "scrub rate=0");
    rig_do(&r, "scrub resume");
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), n);
    assert_int_equal(rig_stat(&r, "scrub/passes"), 1);
    rig_stop(&r);
}

static void a_running_pass_goes_on_by_itself_after_a_remount(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    begin_slowly(&r);
    uint64_t n = rig_stat(&r, "scrub/containers_total");
    rig_reopen(&r); /* closing does not wait for it */
    assert_true(state_is(&r, "running"));
    rig_do(&r, "scrub rate=0"); /* ends a pause at once */
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), n);
    rig_stop(&r);
}

static void a_cancelled_pass_is_over(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    begin_slowly(&r);
    rig_do(&r, "scrub cancel");
    assert_int_equal(rig_control(&r, "scrub cancel"), -ESRCH);
    rig_reopen(&r);
    assert_true(state_is(&r, "idle"));
    assert_int_equal(rig_stat(&r, "scrub/passes"), 0);
    assert_int_equal(rig_control(&r, "scrub resume"), -ESRCH);
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), 0);
    rig_stop(&r);
}

static void one_that_is_cancelled_and_begun_anew_begins_anew(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    uint64_t n = rig_stat(&r, "containers/sealed");
    for (int i = 0; i < 5; i++) {
        begin_slowly(&r);
        rig_do(&r, "scrub cancel");
        rig_do(&r, "scrub start percent=50"); /* perhaps before the cancelled one has noticed */
        wait_until(&r, "idle");
        assert_int_equal(rig_stat(&r, "scrub/containers_total"), (n + 1) / 2);
        assert_int_equal(rig_stat(&r, "scrub/containers_done"), (n + 1) / 2);
        assert_int_equal(rig_stat(&r, "scrub/passes"), i + 1);
    }
    rig_stop(&r);
}

static void what_makes_no_sense_is_refused_and_changes_nothing(void **state)
{
    static const char *const wrong[] = { "scrub", "scrub ", "scrub go", "scrub start percent=0", "scrub start percent=101", "scrub start percent=",
                                         "scrub start rate=-1", "scrub start older=99999999999", "scrub rate=", "scrub start percent=5 x",
                                         "scrub start rate=99999999999999999999999" };
    (void)state;
    struct rig r;
    start(&r);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (rig_control(&r, wrong[i]) != -EINVAL)
            fail_msg("taken: %s", wrong[i]);
    }
    assert_true(state_is(&r, "idle"));
    rig_reopen(&r);
    assert_false(has_book(&r));
    rig_stop(&r);
}

static void parts_add_up_to_the_whole_the_oldest_first(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    uint64_t n = rig_stat(&r, "containers/sealed");
    rig_do(&r, "scrub start percent=50");
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), (n + 1) / 2);
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), n - (n + 1) / 2);
    rig_do(&r, "scrub start percent=50");
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), 0);
    rig_do(&r, "scrub start older=1"); /* nothing is so old */
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/containers_total"), 0);
    rig_stop(&r);
}

/* A block in the middle of a container that holds a file. */
static void damage(struct rig *r)
{
    char path[PATH_MAX];
    uint8_t noise[RIG_BLOCK];
    rig_fill(4711, noise, sizeof(noise));
    rig_close(r);
    rig_name(r, "containers/000/00000003.hc", path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, noise, sizeof(noise), 20 * RIG_BLOCK) == sizeof(noise));
    close(fd);
    rig_open(r);
}

static void a_damaged_container_is_healed_and_watched(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "scrub/watched"), 0);
    damage(&r);
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "scrub/bad"), 1);
    assert_int_equal(rig_stat(&r, "scrub/repaired"), 1);
    assert_int_equal(rig_stat(&r, "scrub/watched"), 1);
    rig_reopen(&r);
    rig_do(&r, "scrub start watched");
    wait_until(&r, "idle");
    assert_int_equal(rig_stat(&r, "scrub/containers_done"), 1);
    assert_int_equal(rig_stat(&r, "scrub/bad"), 0);
    expect_files(&r);
    rig_stop(&r);
}

static void a_damaged_book_only_means_that_nothing_counts_as_verified(void **state)
{
    (void)state;
    struct rig r;
    struct stat st;
    char path[PATH_MAX];
    start(&r);
    rig_scrub(&r);
    rig_close(&r);
    rig_name(&r, "scrub", path);
    assert_int_equal(stat(path, &st), 0);
    for (off_t at = 0; at <= st.st_size; at += 37) { /* a changed byte anywhere, and at last a missing one */
        uint8_t was, now;
        int fd = open(path, O_RDWR);
        if (at + 37 <= st.st_size) {
            assert_int_equal(pread(fd, &was, 1, at), 1);
            now = was ^ 0x10;
            assert_int_equal(pwrite(fd, &now, 1, at), 1);
        } else {
            assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
        }
        r.opt.read_only = true;
        rig_open(&r);
        assert_true(rig_event(&r, "scrub_book_lost", "verified"));
        assert_int_equal(rig_stat(&r, "scrub/never_verified"), rig_stat(&r, "containers/sealed"));
        rig_close(&r);
        if (at + 37 <= st.st_size)
            assert_int_equal(pwrite(fd, &was, 1, at), 1);
        close(fd);
    }
    r.opt.read_only = false;
    rig_open(&r);
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "scrub/never_verified"), 0);
    expect_files(&r);
    rig_reopen(&r);
    assert_false(rig_event(&r, "scrub_book_lost", "verified"));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_verifies_everything_and_it_is_remembered),
        cmocka_unit_test(a_pass_goes_on_after_a_pause_and_a_remount),
        cmocka_unit_test(a_running_pass_goes_on_by_itself_after_a_remount),
        cmocka_unit_test(a_cancelled_pass_is_over),
        cmocka_unit_test(one_that_is_cancelled_and_begun_anew_begins_anew),
        cmocka_unit_test(what_makes_no_sense_is_refused_and_changes_nothing),
        cmocka_unit_test(parts_add_up_to_the_whole_the_oldest_first),
        cmocka_unit_test(a_damaged_container_is_healed_and_watched),
        cmocka_unit_test(a_damaged_book_only_means_that_nothing_counts_as_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
