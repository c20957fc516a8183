/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_tree.c: trees that contradict themselves are told, and mended without losing a file. */
#include "tests/fsck/seen.h"
#include "tests/fsck/tree_harm.h"

static void start(struct rig *r, struct tree *t)
{
    rig_start(r);
    tree_make(r, t);
}

static void fail_kind(const struct tree_kind *k, const char *what, const struct seen *s)
{
    fail_msg("%s: %s: exit %d, %zu problems, the first is %u", k->name, what, s->code, s->n, s->n ? s->v[0].number : 0);
}

static void expect_kind(const struct tree_kind *k)
{
    struct rig r;
    struct tree t;
    struct seen s;
    start(&r, &t);
    k->make(&r, &t);
    rig_close(&r);
    seen_check(r.dir, FSCK_LOOK, &s);
    if (s.code != 4 || !seen_has(&s, k->number, k->end == TREE_LOST ? FSCK_LOST : FSCK_REPAIRABLE))
        fail_kind(k, "a look", &s);
    seen_check(r.dir, FSCK_PREEN, &s);
    if (s.code != (k->end == TREE_SAFE ? 1 : s.code) || (k->end != TREE_SAFE && !(s.code & 4)))
        fail_kind(k, "-p", &s);
    seen_check(r.dir, FSCK_ALL, &s);
    if (s.code != (k->end == TREE_SAFE ? 0 : k->end == TREE_YES ? 1 : 4))
        fail_kind(k, "-y", &s);
    seen_check(r.dir, FSCK_LOOK, &s);
    if (s.code != (k->end == TREE_LOST ? 4 : 0))
        fail_kind(k, "a second look", &s);
    rig_open(&r);
    if (!tree_whole(&r, &t, k->loses_f3))
        fail_kind(k, "files", &s);
    rig_stop(&r);
}

static void every_kind_is_told_mended_and_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < TREE_KINDS; i++) {
        if (getenv("VERBOSE"))
            print_message("%s\n", tree_kinds[i].name);
        expect_kind(&tree_kinds[i]);
    }
}

static void a_whole_tree_has_no_problems(void **state)
{
    (void)state;
    struct rig r;
    struct tree t;
    struct seen s;
    start(&r, &t);
    rig_close(&r);
    seen_check(r.dir, FSCK_LOOK, &s);
    assert_int_equal(s.code, 0);
    assert_int_equal(s.n, 0);
    rig_stop(&r);
}

/* Names are kept where they are known: those in the directory, not that of the directory itself. */
static void files_of_a_lost_directory_keep_their_names(void **state)
{
    (void)state;
    struct rig r;
    struct tree t;
    struct seen s;
    char name[40];
    start(&r, &t);
    harm_directory_and_its_name_gone(&r, &t);
    rig_close(&r);
    seen_check(r.dir, FSCK_ALL, &s);
    rig_open(&r);
    uint64_t lf = rig_find(&r, RIG_ROOT, "lost+found");
    assert_true(lf);
    snprintf(name, sizeof(name), "#%llu", (unsigned long long)t.d1);
    uint64_t dir = rig_find(&r, lf, name);
    assert_true(dir == t.d1);
    assert_true(rig_find(&r, dir, "f1") == t.f1);
    uint64_t sub = rig_find(&r, dir, "sub");
    assert_true(sub == t.sub);
    assert_true(rig_find(&r, sub, "f2") == t.f2);
    rig_stop(&r);
}

/* A no keeps that problem, and nothing else. */
static void only_what_is_answered_with_yes_is_mended(void **state)
{
    (void)state;
    struct rig r;
    struct tree t;
    struct seen s;
    start(&r, &t);
    harm_links_many(&r, &t);
    harm_dangling(&r, &t);
    rig_close(&r);
    struct fsck_options o = seen_options(&s, FSCK_ASK);
    s.yes_to = 409;
    seen_run(r.dir, &o, &s);
    assert_int_equal(s.asked, 3); /* one of them: the index could be made anew */
    assert_true(seen_has(&s, 409, FSCK_REPAIRED));
    assert_true(seen_has(&s, 402, FSCK_UNREPAIRED));
    assert_int_equal(s.code, 5);
    seen_check(r.dir, FSCK_LOOK, &s);
    assert_false(seen_has(&s, 409, FSCK_REPAIRABLE));
    assert_true(seen_has(&s, 402, FSCK_REPAIRABLE));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_tree_has_no_problems),
        cmocka_unit_test(every_kind_is_told_mended_and_gone),
        cmocka_unit_test(files_of_a_lost_directory_keep_their_names),
        cmocka_unit_test(only_what_is_answered_with_yes_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
