/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_undo.c: which undo files are refused, of which stores, and that nothing changes then.
 *
 * That a repair can be taken back is shown in test_corpus.c for each kind of damage, and in tests/power/test_undo.c for crashes.
 * UNDO_FLIPS: how many flipped bytes are tried.
 */
#include "core/undo_apply.h"
#include "store/super.h"
#include "tests/fsck/same_bytes.h"
#include "tests/fsck/seen.h"

enum { LARGE = 100 * RIG_BLOCK };

struct env {
    struct rig r;
    char file[110], other[110], copy[110];
    uint64_t before, after;
};

static void run(const char *format, const char *a, const char *b)
{
    char command[400];
    snprintf(command, sizeof(command), format, a, b);
    assert_int_equal(system(command), 0);
}

static int repair(struct env *e, const char *file, enum fsck_mode mode, struct seen *s)
{
    struct fsck_options o = seen_options(s, mode);
    o.undo = file;
    seen_run(e->r.dir, &o, s);
    return s->code;
}

/* A store, harmed and repaired, the undo file beside it, and a copy of it as repaired. */
static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    struct seen s;
    rig_start(&e->r);
    rig_file(&e->r, "large", 1, LARGE);
    rig_do(&e->r, "seal");
    rig_close(&e->r);
    snprintf(e->file, sizeof(e->file), "%s.undo", e->r.dir);
    snprintf(e->other, sizeof(e->other), "%s.undo2", e->r.dir);
    snprintf(e->copy, sizeof(e->copy), "%s.copy", e->r.dir);
    rig_flip_file(&e->r, "containers/000/00000001.hc", 5);
    run("rm '%s/superblock.2' '%s/lock'", e->r.dir, e->r.dir);
    e->before = bytes_of(e->r.dir);
    assert_int_equal(repair(e, e->file, FSCK_ALL, &s), FSCK_EXIT_REPAIRED);
    e->after = bytes_of(e->r.dir);
    run("cp -a '%s' '%s'", e->r.dir, e->copy);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    unlink(e->file);
    unlink(e->other);
    rig_remove_tree(e->copy);
    rig_stop(&e->r);
    free(e);
    return 0;
}

static int apply_to(const char *store, const char *file, bool force, struct undo_apply_result *u)
{
    int rc = holofs_undo_apply(store, file, &(struct undo_apply_options){ .force = force }, u);
    assert_true(!rc == !u->why[0]);
    assert_null(strchr(u->why, '\n'));
    return rc;
}

static void assert_refused(struct env *e, const char *file, int want, const char *says)
{
    struct undo_apply_result u;
    assert_int_equal(apply_to(e->r.dir, file, false, &u), want);
    if (!strstr(u.why, says))
        fail_msg("%s", u.why);
    assert_true(bytes_of(e->r.dir) == e->after);
}

static void taking_back_twice_is_taking_back(void **state)
{
    struct env *e = *state;
    struct undo_apply_result u;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(apply_to(e->r.dir, e->file, false, &u), 0);
        assert_true(bytes_of(e->r.dir) == e->before);
        assert_false(u.unfinished);
        assert_int_equal(u.unreadable, 0);
    }
}

/* Of a few bytes nothing depends: those of the progress blocks. */
static void a_flipped_byte_is_refused_or_harmless(void **state)
{
    struct env *e = *state;
    struct stat st;
    uint64_t seed = 4711, refused = 0, flips = getenv("UNDO_FLIPS") ? strtoull(getenv("UNDO_FLIPS"), NULL, 0) : 150;
    print_message("seed %llu\n", (unsigned long long)seed);
    assert_int_equal(stat(e->file, &st), 0);
    for (uint64_t i = 0; i < flips; i++) {
        struct undo_apply_result u;
        off_t at = (off_t)(rig_random(&seed) % (i % 2 ? 5 * RIG_BLOCK : (uint64_t)st.st_size));
        uint8_t c;
        run("cp '%s' '%s'", e->file, e->other);
        int fd = open(e->other, O_RDWR);
        assert_true(pread(fd, &c, 1, at) == 1);
        c ^= (uint8_t)(1 + rig_random(&seed) % 255);
        assert_true(pwrite(fd, &c, 1, at) == 1);
        close(fd);
        int rc = apply_to(e->r.dir, e->other, false, &u);
        assert_true(bytes_of(e->r.dir) == (rc ? e->after : e->before));
        refused += rc != 0;
        if (rc == 0) {
            assert_in_range(at, RIG_BLOCK, 3 * RIG_BLOCK - 1);
        run("rm -r '%s'", e->r.dir, "");
            run("cp -a '%s' '%s'", e->copy, e->r.dir);
        }
    }
    assert_true(refused > flips / 2);
}

static void a_file_without_its_end_is_refused(void **state)
{
    struct env *e = *state;
    struct stat st;
    assert_int_equal(stat(e->file, &st), 0);
    for (off_t size = st.st_size - 1; size > 0; size -= 1 + st.st_size / 40) {
        run("cp '%s' '%s'", e->file, e->other);
        assert_int_equal(truncate(e->other, size), 0);
        assert_refused(e, e->other, size < RIG_BLOCK ? -HOLO_EFORMAT : -HOLO_ETRUNC, size < RIG_BLOCK ? "not a file" : "end is missing");
    }
    run("cp '%s' '%s'", e->file, e->other);
    run("echo more >> '%s'", e->other, "");
    assert_refused(e, e->other, -HOLO_ESUM, "damaged");
    assert_refused(e, "/dev/null", -HOLO_ECORRUPT, "damaged");
    assert_refused(e, "/nowhere/undo", -ENOENT, "/nowhere/undo");
}

static void a_store_that_is_in_use_is_refused(void **state)
{
    struct env *e = *state;
    struct undo_apply_result u;
    rig_open(&e->r);
    assert_int_equal(apply_to(e->r.dir, e->file, false, &u), -HOLO_EBUSYSTORE);
    assert_int_equal(apply_to(e->r.dir, e->file, true, &u), -HOLO_EBUSYSTORE);
    rig_close(&e->r);
}

static void a_store_that_was_changed_since_is_refused_unless_forced(void **state)
{
    struct env *e = *state;
    struct undo_apply_result u;
    rig_open(&e->r);
    rig_file(&e->r, "new", 7, 5000);
    rig_close(&e->r);
    e->after = bytes_of(e->r.dir);
    assert_refused(e, e->file, -HOLO_ESTALE, "changed since");
    assert_int_equal(apply_to(e->r.dir, e->file, true, &u), 0);
    rig_open(&e->r); /* what was written since has left its files; the store is that of before */
    assert_int_equal(rig_find(&e->r, RIG_ROOT, "new"), 0);
    rig_close(&e->r);
}

static void another_store_is_refused_also_when_forced(void **state)
{
    struct env *e = *state;
    struct undo_apply_result u;
    struct rig other;
    rig_start(&other);
    rig_close(&other);
    uint64_t want = bytes_of(other.dir);
    for (int force = 0; force < 2; force++) {
        assert_int_equal(apply_to(other.dir, e->file, force, &u), -HOLO_ESTALE);
        assert_non_null(strstr(u.why, "another store"));
        assert_true(bytes_of(other.dir) == want);
    }
    rig_stop(&other);
}

static void repairs_are_taken_back_in_turn(void **state)
{
    struct env *e = *state;
    struct seen s;
    struct undo_apply_result u;
    rig_flip_file(&e->r, "containers/000/00000001.hc", 6);
    uint64_t between = bytes_of(e->r.dir);
    assert_int_equal(repair(e, e->other, FSCK_ALL, &s), FSCK_EXIT_REPAIRED);
    e->after = bytes_of(e->r.dir);
    assert_refused(e, e->file, -HOLO_ESTALE, "changed since");
    assert_int_equal(apply_to(e->r.dir, e->other, false, &u), 0);
    assert_true(bytes_of(e->r.dir) == between);
    assert_int_equal(apply_to(e->r.dir, e->file, false, &u), 0);
}

/* A store that is half taken back opens for nobody. */
static void nothing_opens_what_is_half_taken_back(void **state)
{
    struct env *e = *state;
    struct undo_apply_result u;
    struct seen s;
    struct backing *b;
    struct superblock sb;
    struct super_vote vote;
    assert_int_equal(backing_posix_open(e->r.dir, false, &b), 0);
    assert_int_equal(super_read(b, &sb, &vote), 0);
    sb.incompat |= SUPER_INCOMPAT_UNDO;
    assert_int_equal(super_write(b, &sb, NULL), 0);
    b->ops->close(b);
    assert_int_equal(rig_try_open(&e->r), -HOLO_EUNDO);
    assert_non_null(strstr(e->r.why, "--undo-apply"));
    seen_check(e->r.dir, FSCK_ALL, &s);
    assert_int_equal(s.code, FSCK_EXIT_ERROR);
    assert_non_null(strstr(s.r.why, "--undo-apply"));
    assert_int_equal(apply_to(e->r.dir, e->file, false, &u), 0);
    assert_true(bytes_of(e->r.dir) == e->before);
}

static void files_that_are_unfit_are_refused_before_anything_is_written(void **state)
{
    struct env *e = *state;
    struct seen s;
    char in_store[PATH_MAX], deep[PATH_MAX];
    rig_name(&e->r, "undo", in_store);
    rig_name(&e->r, "containers/000/undo", deep);
    const struct {
        const char *file, *says;
        enum fsck_mode mode;
    } bad[] = { { in_store, "in the store", FSCK_ALL }, { deep, "in the store", FSCK_ALL }, { e->file, "not empty", FSCK_PREEN },
                { e->other, "nothing is kept", FSCK_LOOK }, { "/nowhere/undo", "No such file", FSCK_ALL }, { "/dev/null", "regular", FSCK_ALL } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(repair(e, bad[i].file, bad[i].mode, &s), FSCK_EXIT_ERROR);
        if (!strstr(s.r.why, bad[i].says))
            fail_msg("%s", s.r.why);
        assert_true(bytes_of(e->r.dir) == e->after);
    }
    assert_int_not_equal(access(e->other, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taking_back_twice_is_taking_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_byte_is_refused_or_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_without_its_end_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_is_in_use_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_was_changed_since_is_refused_unless_forced, setup, teardown),
        cmocka_unit_test_setup_teardown(another_store_is_refused_also_when_forced, setup, teardown),
        cmocka_unit_test_setup_teardown(repairs_are_taken_back_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_opens_what_is_half_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_unfit_are_refused_before_anything_is_written, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
