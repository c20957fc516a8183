/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_clock.c: a system clock that jumps, back by decades too, between mounts and during one: what was done last counts.
 *
 * This program has a clock_gettime of its own, which stands before that of the C library for all that it links.
 */
#include "tests/fsck/seen.h"

#include <stdatomic.h>
#include <sys/syscall.h>

static const int64_t year = INT64_C(365) * 86400;
static _Atomic int64_t offset_s; /* of the real clock */

int clock_gettime(clockid_t id, struct timespec *t)
{
    long r = syscall(SYS_clock_gettime, id, t);
    if (r == 0 && id == CLOCK_REALTIME)
        t->tv_sec += offset_s;
    return (int)r;
}

static void set_year(int y)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    offset_s = (y - 1970) * year - t.tv_sec;
}

/* Times are those of the clock when something happened, whatever it said before; as on ext4. */
static void expect_year(struct rig *r, uint64_t ino, int mtime, int ctime)
{
    struct holofs_attr a;
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    assert_int_equal(a.mtime_ns / 1000000000 / year, mtime - 1970);
    assert_int_equal(a.ctime_ns / 1000000000 / year, ctime - 1970);
}

struct world {
    struct rig r;
    uint64_t seed; /* of what the file has now */
    uint64_t ino;
    char name[32];
};

enum { LEN = 300000 };

/* In that year: other bytes, another name, a file more and one less. */
static void change(struct world *w, int y)
{
    uint8_t *p = malloc(LEN);
    char name[32];
    set_year(y);
    rig_fill(++w->seed, p, LEN);
    rig_write(&w->r, w->ino, 0, p, LEN);
    free(p);
    expect_year(&w->r, w->ino, y, y);
    snprintf(name, sizeof(name), "name-%llu", (unsigned long long)w->seed);
    assert_int_equal(holofs_rename(w->r.fs, RIG_ROOT, w->name, RIG_ROOT, name, 0), 0);
    snprintf(w->name, sizeof(w->name), "%s", name);
    snprintf(name, sizeof(name), "gone-%llu", (unsigned long long)w->seed - 1);
    if (w->seed > 1)
        assert_int_equal(holofs_unlink(w->r.fs, RIG_ROOT, name), 0);
    snprintf(name, sizeof(name), "gone-%llu", (unsigned long long)w->seed);
    rig_create(&w->r, name);
    expect_year(&w->r, RIG_ROOT, y, y);
    assert_int_equal(holofs_fsync(w->r.fs, w->ino), 0);
}

static void expect_world(struct world *w, int mtime)
{
    char name[32];
    rig_expect_file(&w->r, w->name, w->seed, LEN);
    expect_year(&w->r, w->ino, mtime, mtime);
    for (uint64_t s = 0; s <= w->seed; s++) {
        snprintf(name, sizeof(name), "gone-%llu", (unsigned long long)s);
        assert_int_equal(rig_find(&w->r, RIG_ROOT, name) != 0, s == w->seed);
        snprintf(name, sizeof(name), "name-%llu", (unsigned long long)s);
        assert_int_equal(rig_find(&w->r, RIG_ROOT, name) != 0, s == w->seed);
    }
}

static void begin(struct world *w)
{
    memset(w, 0, sizeof(*w));
    set_year(2030);
    rig_start(&w->r);
    snprintf(w->name, sizeof(w->name), "name-0");
    w->ino = rig_file(&w->r, w->name, 0, LEN);
}

static void shell(const char *fmt, const char *a, const char *b)
{
    char cmd[3 * PATH_MAX];
    snprintf(cmd, sizeof(cmd), fmt, a, b);
    assert_int_equal(system(cmd), 0);
}

/* What is there now, as after kill -9, with and without its index. */
static void expect_after_a_crash(struct world *w, int mtime)
{
    struct world copy = *w;
    for (int without = 0; without < 2; without++) {
        snprintf(copy.r.dir, sizeof(copy.r.dir), "%.80s-crash", w->r.dir);
        shell("cp -a '%s' '%s'", w->r.dir, copy.r.dir);
        if (without)
            shell("rm '%s'/index.db*%s", copy.r.dir, "");
        rig_open(&copy.r);
        expect_world(&copy, mtime);
        rig_stop(&copy.r);
    }
}

static void the_last_change_counts_whatever_the_clock_says(void **state)
{
    (void)state;
    static const int years[] = { 2031, 1999, 2040, 1971, 1998, 2026 };
    struct world w;
    begin(&w);
    for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        change(&w, years[i]);
        if (i % 3 == 0)
            rig_do(&w.r, "seal");
        expect_world(&w, years[i]);
        expect_after_a_crash(&w, years[i]);
    }
    rig_stop(&w.r);
}

static void mounts_in_years_before_the_last_one_go_on_from_it(void **state)
{
    (void)state;
    static const int years[] = { 2035, 1990, 2010, 1975, 2037 };
    struct world w;
    begin(&w);
    for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        change(&w, years[i]);
        set_year(years[i] - 4);
        if (i == 2)
            rig_do(&w.r, "dump");
        rig_reopen(&w.r);
        expect_world(&w, years[i]);
        rig_close(&w.r);
        shell("rm '%s'/index.db*%s", w.r.dir, "");
        rig_open(&w.r);
        expect_world(&w, years[i]);
        rig_scrub(&w.r);
        assert_int_equal(rig_stat(&w.r, "lost_blocks"), 0);
    }
    rig_stop(&w.r);
}

/* relatime: an access time of the future is not moved, but for one that is older than the last change. */
static void access_times_of_the_future_stay(void **state)
{
    (void)state;
    struct world w;
    struct holofs_attr a;
    begin(&w);
    set_year(2039);
    assert_int_equal(holofs_getattr(w.r.fs, w.ino, &a), 0);
    holofs_accessed(w.r.fs, w.ino);
    set_year(2032);
    holofs_accessed(w.r.fs, w.ino);
    assert_int_equal(holofs_getattr(w.r.fs, w.ino, &a), 0);
    assert_int_equal(a.atime_ns / 1000000000 / year, 2039 - 1970);
    change(&w, 2041);
    set_year(2000);
    holofs_accessed(w.r.fs, w.ino);
    assert_int_equal(holofs_getattr(w.r.fs, w.ino, &a), 0);
    assert_int_equal(a.atime_ns / 1000000000 / year, 2000 - 1970);
    rig_stop(&w.r);
}

static void superblocks_made_again_are_newer_than_those_of_any_clock(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    begin(&w);
    change(&w, 2090);
    rig_do(&w.r, "seal");
    rig_close(&w.r);
    shell("rm '%s'/superblock.*%s", w.r.dir, "");
    set_year(1960);
    seen_check(w.r.dir, FSCK_ALL, &s);
    assert_int_equal(s.code, FSCK_EXIT_REPAIRED);
    for (int k = 0; k < 3; k++) {
        rig_open(&w.r);
        expect_world(&w, 2090);
        rig_close(&w.r);
    }
    rig_remove_tree(w.r.dir);
}

static void what_was_verified_in_the_future_is_not_verified(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    rig_do(&w.r, "seal");
    rig_reopen(&w.r);
    set_year(2080);
    rig_scrub(&w.r);
    assert_int_equal(rig_stat(&w.r, "scrub/never_verified"), 0);
    set_year(2030);
    rig_reopen(&w.r);
    uint64_t n = rig_stat(&w.r, "containers/sealed");
    assert_int_equal(rig_stat(&w.r, "scrub/never_verified"), n);
    rig_do(&w.r, "scrub start older=7");
    rig_wait_for_scrub(&w.r);
    assert_int_equal(rig_stat(&w.r, "scrub/containers_done"), n);
    rig_stop(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_change_counts_whatever_the_clock_says),
        cmocka_unit_test(mounts_in_years_before_the_last_one_go_on_from_it),
        cmocka_unit_test(access_times_of_the_future_stay),
        cmocka_unit_test(superblocks_made_again_are_newer_than_those_of_any_clock),
        cmocka_unit_test(what_was_verified_in_the_future_is_not_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
