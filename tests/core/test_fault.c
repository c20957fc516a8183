/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_fault.c: a store at work while the n-th call to its directory fails, for n after n, in every way there is. No acknowledged byte
 * is lost; what is asked for and cannot be done is an error; and once the disk works again, so does the store, without a remount.
 *
 * FAULT_STRIDE takes every so many-th call (all: 1), FAULT_SEED says where it begins.
 */
#include "tests/core/work.h"

struct way {
    const char *name;
    unsigned ops;
    enum fault_kind kind;
    int err;
    uint64_t count; /* 0: until the disk is mended */
};

enum { ANY = FAULT_WRITE | FAULT_SYNC | FAULT_CREATE | FAULT_UNLINK }; /* reading goes on */

/* One run: true if there was an n-th call. */
static bool run(const struct way *way, uint64_t n, bool mend)
{
    struct work w;
    work_start(&w);
    struct fault_rule rule = { .ops = way->ops, .kind = way->kind, .err = way->err, .after = n, .count = way->count };
    backing_fault_add(w.fault, &rule);
    live(&w);
    bool hit = backing_fault_hits(w.fault) > 0;
    expect_now(&w);
    if (way->count == 1 && w.errors)
        fail_msg("%s, call %llu: one failed call was seen by %u operations", way->name, (unsigned long long)n, w.errors);
    if (mend)
        recovers(&w);
    int e = holofs_close(w.r.fs);
    w.r.fs = NULL;
    if (mend)
        assert_int_equal(e, 0);
    backing_fault_clear(w.fault);
    work_open(&w);
    if (mend)
        expect_now(&w);
    else
        expect_acknowledged(&w);
    assert_false(health_is(&w, "failed"));
    assert_false(health_is(&w, "data lost"));
    rig_do(&w.r, "sync");
    work_stop(&w);
    return hit;
}

static void sweep(const struct way *way, uint64_t stride, bool mend)
{
    const char *every = getenv("FAULT_STRIDE"), *where = getenv("FAULT_SEED");
    uint64_t seed = (uint64_t)(where ? atol(where) : getpid()), runs = 0;
    stride = every ? (uint64_t)atol(every) : stride;
    print_message("%s: FAULT_SEED=%llu\n", way->name, (unsigned long long)seed);
    uint64_t n = rig_random(&seed) % stride;
    print_message("%s: from call %llu, every %llu\n", way->name, (unsigned long long)n, (unsigned long long)stride);
    alarm(3000);
    for (; run(way, n, mend); n += stride)
        runs++;
    alarm(0);
    print_message("%s: %llu runs, %llu calls\n", way->name, (unsigned long long)runs, (unsigned long long)n);
}

static void one_call_that_fails_is_seen_by_nobody(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO once", ANY, FAULT_ERROR, EIO, 1 }, { "ENOSPC once", ANY, FAULT_ERROR, ENOSPC, 1 },
                                      { "EDQUOT once", ANY, FAULT_ERROR, EDQUOT, 1 }, { "short write once", FAULT_WRITE, FAULT_SHORT, EIO, 1 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], 101, true);
}

static void a_sync_that_fails_and_forgets_loses_nothing(void **state)
{
    (void)state;
    const struct way once = { "forgetful sync once", FAULT_SYNC, FAULT_SYNC_FORGET, EIO, 1 };
    const struct way some = { "forgetful syncs, 9 in a row", FAULT_SYNC, FAULT_SYNC_FORGET, EIO, 9 };
    sweep(&once, 41, true);
    sweep(&some, 41, true);
}

static void a_disk_that_is_full_or_fails_for_a_while_loses_nothing(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO for a while", ANY, FAULT_ERROR, EIO, 0 }, { "ENOSPC for a while", ANY, FAULT_ERROR, ENOSPC, 0 },
                                      { "EDQUOT for a while", ANY, FAULT_ERROR, EDQUOT, 0 },
                                      { "EIO 30 times", ANY, FAULT_ERROR, EIO, 30 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], 101, true);
}

static void a_disk_that_fails_for_good_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO for good", ANY, FAULT_ERROR, EIO, 0 }, { "ENOSPC for good", ANY, FAULT_ERROR, ENOSPC, 0 },
                                      { "forgetful syncs for good", FAULT_SYNC, FAULT_SYNC_FORGET, EIO, 0 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], 101, false);
}

/* ---- a disk that does not answer when the store is opened ---- */

enum { MOUNT_FILES = 12, MOUNT_BYTES = 150000 };

static void expect_files(struct rig *r)
{
    for (unsigned i = 0; i < MOUNT_FILES; i++) {
        char name[16];
        slot_name(i, name);
        rig_expect_file(r, name, i, MOUNT_BYTES);
    }
}

/* Half in containers, half in the ring; kept: the bytes of a store that nothing may change while it cannot be read. */
static void mount_start(struct work *w)
{
    work_start(w);
    for (unsigned i = 0; i < MOUNT_FILES; i++) {
        char name[16];
        slot_name(i, name);
        rig_file(&w->r, name, i, MOUNT_BYTES);
        if (i == MOUNT_FILES / 2)
            rig_do(&w->r, "seal");
    }
    rig_do(&w->r, "sync");
    rig_close(&w->r);
}

/* Opened while reads of some files fail, for good or from the n-th on: whatever came of that, afterwards all is there. */
static bool mount_run(struct work *w, const char *name, unsigned ops, uint64_t after)
{
    const struct fault_rule rule = { ops, FAULT_ERROR, EIO, name, 0, 0, after, 0 };
    const uint64_t hits = backing_fault_hits(w->fault);
    backing_fault_add(w->fault, &rule);
    if (rig_try_open(&w->r) == 0)
        (void)holofs_close(w->r.fs); /* with what it could read */
    else if (strstr(w->r.why, "holofsck -y"))
        fail_msg("%s cannot be read: «%s»", name ? name : "all", w->r.why);
    w->r.fs = NULL;
    bool hit = backing_fault_hits(w->fault) > hits;
    backing_fault_clear(w->fault);
    rig_open(&w->r);
    expect_files(&w->r);
    rig_close(&w->r);
    return hit;
}

static void a_disk_that_does_not_answer_at_mount_has_lost_nothing(void **state)
{
    (void)state;
    static const char *const name[] = { NULL, "superblock.*", "journal.0", "journal.1", "journal.*", "remap.*", "containers/*", "spare/*", "reserve" };
    struct work w;
    mount_start(&w);
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        mount_run(&w, name[i], FAULT_READ, 0);
        mount_run(&w, name[i], FAULT_READ | FAULT_OPEN, 0);
    }
    uint64_t n = 0, runs = 0; /* most reads are of the ring, and much alike */
    for (; mount_run(&w, NULL, FAULT_READ | FAULT_OPEN, n); n += 1 + n / 8)
        runs++;
    print_message("%llu runs, %llu calls\n", (unsigned long long)runs, (unsigned long long)n);
    rig_open(&w.r);
    work_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_does_not_answer_at_mount_has_lost_nothing),
        cmocka_unit_test(one_call_that_fails_is_seen_by_nobody),
        cmocka_unit_test(a_sync_that_fails_and_forgets_loses_nothing),
        cmocka_unit_test(a_disk_that_is_full_or_fails_for_a_while_loses_nothing),
        cmocka_unit_test(a_disk_that_fails_for_good_keeps_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
