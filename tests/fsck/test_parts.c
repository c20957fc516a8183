/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_parts.c: checks that stop and go on, and checks of a part of the tree. */
#include "tests/fsck/seen.h"

enum { FILES = 8, FILE_BYTES = 700000 };

static void start(struct rig *r)
{
    rig_start(r);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    rig_reopen(r);
    for (int i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_file(r, name, (uint64_t)i + 1, FILE_BYTES);
        rig_do(r, "seal");
    }
    rig_close(r);
}

struct stopper {
    struct seen seen;
    unsigned left; /* containers until it stops */
};

static int stop_soon(void *arg, enum fsck_phase phase, uint64_t done, uint64_t total)
{
    struct stopper *s = arg;
    (void)total;
    return phase == FSCK_PHASE_SUMS && done && s->left-- <= 1;
}

static void a_check_that_stops_again_and_again_reads_each_container_once(void **state)
{
    (void)state;
    struct rig r;
    struct stopper s;
    struct fsck_position at = { { 0 }, 0 };
    start(&r);
    struct fsck_options o = seen_options(&s.seen, FSCK_LOOK);
    seen_run(r.dir, &o, &s.seen);
    uint64_t all = s.seen.r.containers, sum = 0;
    unsigned runs = 0;
    assert_true(all >= FILES);
    assert_int_equal(s.seen.r.stopped.next, 0);
    do {
        o = seen_options(&s.seen, FSCK_LOOK);
        o.talk.arg = &s;
        o.talk.progress = stop_soon;
        o.resume = at.next ? &at : NULL;
        s.left = 3;
        seen_run(r.dir, &o, &s.seen);
        at = s.seen.r.stopped;
        sum += s.seen.r.containers;
        assert_int_equal(s.seen.code, at.next ? FSCK_EXIT_CANCELLED : 0);
    } while (at.next && ++runs < 100);
    assert_true(runs >= all / 3 - 1);
    assert_int_equal(sum, all);
    at = (struct fsck_position){ { 1, 2, 3 }, 4 };
    o = seen_options(&s.seen, FSCK_LOOK);
    o.resume = &at;
    seen_run(r.dir, &o, &s.seen);
    assert_int_equal(s.seen.code, FSCK_EXIT_ERROR);
    assert_non_null(strstr(s.seen.r.why, "another store"));
    rig_remove_tree(r.dir);
}

static void a_check_of_one_file_reads_its_containers(void **state)
{
    (void)state;
    struct rig r;
    struct seen s;
    start(&r);
    struct fsck_options o = seen_options(&s, FSCK_LOOK);
    seen_run(r.dir, &o, &s);
    uint64_t all = s.r.containers;
    o = seen_options(&s, FSCK_LOOK);
    o.only_path = "/f3";
    seen_run(r.dir, &o, &s);
    assert_int_equal(s.code, 0);
    assert_true(s.r.containers >= 1 && s.r.containers <= 2);
    o = seen_options(&s, FSCK_LOOK);
    o.only_path = "/";
    seen_run(r.dir, &o, &s);
    assert_true(s.r.containers >= FILES && s.r.containers <= all); /* not those of metadata */
    o = seen_options(&s, FSCK_LOOK);
    o.only_path = "/f3/none";
    seen_run(r.dir, &o, &s);
    assert_int_equal(s.code, FSCK_EXIT_ERROR);
    rig_remove_tree(r.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_that_stops_again_and_again_reads_each_container_once),
        cmocka_unit_test(a_check_of_one_file_reads_its_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
