/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_fault.c: a store at work while the n-th call to its directory fails, for n after n, in every way there is. No acknowledged byte
 * is lost; what is asked for and cannot be done is an error; and once the disk works again, so does the store, without a remount.
 *
 * FAULT_STRIDE takes every so many-th call (all: 1), FAULT_SEED says where it begins.
 */
#include "tests/core/rig.h"

#include "base/clock.h"
#include "store/backing.h"

enum { SLOTS = 5, ROUNDS = 24, BLOCKS = 12, BLOCK_BYTES = 16384, LARGE = 300000, WAIT_MS = 20000 };

/* A thing that has versions: what it must be is the last one acknowledged, or one tried since. */
struct thing {
    uint32_t now;   /* as the program that runs sees it */
    uint32_t acked; /* durable */
    bool doubtful;  /* the last change failed: now, or as it was */
    uint32_t before;
};

struct work {
    struct rig r;
    struct backing *posix, *fault;
    struct thing slot[SLOTS], block[BLOCKS]; /* version 0: nothing there */
    uint64_t blocks_ino;
    uint32_t version;
    unsigned errors; /* that operations returned */
};

static size_t bytes_of(uint32_t version)
{
    return version % 3 == 0 ? LARGE : 500 + version * 97 % 40000;
}

static void slot_name(unsigned i, char out[16])
{
    snprintf(out, 16, "slot%u", i);
}

static void work_open(struct work *w)
{
    if (!w->posix)
        assert_int_equal(backing_posix_open(w->r.dir, false, &w->posix), 0);
    if (!w->fault)
        assert_int_equal(backing_fault_create(w->posix, 1, &w->fault), 0);
    w->r.opt.backing = w->fault;
    rig_open(&w->r);
}

static void backing_drop(struct work *w)
{
    w->fault->ops->close(w->fault);
    w->posix->ops->close(w->posix);
    w->fault = w->posix = NULL;
}

static void work_start(struct work *w)
{
    struct holofs_geometry g = rig_geometry();
    g.ring_blocks = 512;
    memset(w, 0, sizeof(*w));
    rig_init(&w->r);
    w->r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&w->r, &g);
    work_open(w);
    w->blocks_ino = rig_file(&w->r, "blocks", 0, BLOCKS * BLOCK_BYTES);
    rig_do(&w->r, "sync");
}

static void work_stop(struct work *w)
{
    rig_stop(&w->r);
    backing_drop(w);
}

static void expect_error(struct work *w, int e)
{
    int err = holo_errno(e);
    w->errors++;
    if (err != EIO && err != ENOSPC && err != EDQUOT)
        fail_msg("an error that nothing injected: %s", holo_strerror(e));
}

/* What all have become is durable. */
static void acknowledge(struct thing *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!t[i].doubtful)
            t[i].acked = t[i].now;
    }
}

static bool sync_all(struct work *w)
{
    int e = holofs_fsync(w->r.fs, 0);
    if (e) {
        expect_error(w, e);
        return false;
    }
    acknowledge(w->slot, SLOTS);
    acknowledge(w->block, BLOCKS);
    return true;
}

static void set(struct thing *t, uint32_t version, int e)
{
    t->before = t->doubtful ? t->before : t->now;
    t->now = version;
    t->doubtful = e != 0;
}

/* A new file takes the place of the slot's. */
static void replace(struct work *w, unsigned i)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    char name[16];
    uint32_t v = ++w->version;
    size_t len = bytes_of(v);
    int e = holofs_create(w->r.fs, &cred, RIG_ROOT, "fresh", S_IFREG | 0644, 0, NULL, &a);
    if (e == -EEXIST)
        e = holofs_unlink(w->r.fs, RIG_ROOT, "fresh");
    if (e) {
        expect_error(w, e);
        return;
    }
    if (holofs_lookup(w->r.fs, RIG_ROOT, "fresh", &a))
        return; /* what was left of one that failed is gone now */
    uint8_t *p = malloc(len);
    rig_fill(v, p, len);
    ssize_t n = holofs_write(w->r.fs, a.ino, 0, p, len, false);
    free(p);
    holofs_forget(w->r.fs, a.ino, 1);
    slot_name(i, name);
    if (n == (ssize_t)len) {
        e = holofs_fsync(w->r.fs, a.ino);
        if (e)
            expect_error(w, e);
        e = holofs_rename(w->r.fs, RIG_ROOT, "fresh", RIG_ROOT, name, 0);
        set(&w->slot[i], e ? w->slot[i].now : v, 0);
    } else {
        e = n < 0 ? (int)n : -ENOSPC;
        holofs_unlink(w->r.fs, RIG_ROOT, "fresh");
    }
    if (e)
        expect_error(w, e);
}

static void delete(struct work *w, unsigned i)
{
    char name[16];
    slot_name(i, name);
    if (!w->slot[i].now)
        return;
    int e = holofs_unlink(w->r.fs, RIG_ROOT, name);
    if (e)
        expect_error(w, e);
    else
        set(&w->slot[i], 0, 0);
}

static void rewrite(struct work *w, unsigned b)
{
    uint8_t p[BLOCK_BYTES];
    uint32_t v = ++w->version;
    rig_fill(v, p, sizeof(p));
    ssize_t n = holofs_write(w->r.fs, w->blocks_ino, (uint64_t)b * BLOCK_BYTES, p, sizeof(p), false);
    set(&w->block[b], v, n < 0 ? (int)n : 0);
    if (n < 0) {
        expect_error(w, (int)n);
        return;
    }
    assert_int_equal(n, sizeof(p));
    int e = holofs_fsync(w->r.fs, w->blocks_ino);
    if (e)
        expect_error(w, e);
    else
        acknowledge(w->block, BLOCKS);
}

static void control(struct work *w, const char *command)
{
    int e = rig_control(&w->r, command);
    if (e)
        expect_error(w, e);
}

static bool health_is(struct work *w, const char *word)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(w->r.fs, &b), 0);
    bool is = b.len > strlen(word) && memcmp(b.p, word, strlen(word)) == 0;
    buf_fini(&b);
    return is;
}

/* However the disk behaves, a run of the cleaner comes to an end. */
static void clean(struct work *w)
{
    uint64_t runs = rig_stat(&w->r, "cleaner/runs"), begin = clock_mono_ns();
    control(w, "clean");
    while (!health_is(w, "failed") && rig_stat(&w->r, "cleaner/runs") == runs) {
        if (clock_mono_ns() - begin > WAIT_MS * 1000000ull)
            fail_msg("a run of the cleaner does not end");
        rig_sleep_ms(1);
    }
}

static void live(struct work *w)
{
    for (unsigned k = 0; k < ROUNDS; k++) {
        replace(w, k % SLOTS);
        rewrite(w, k * 7 % BLOCKS);
        if (k % 4 == 3)
            delete(w, (k + 2) % SLOTS);
        if (k % 3 == 2)
            sync_all(w);
        if (k % 5 == 4)
            control(w, "seal");
        if (k == 8)
            control(w, "dump");
        if (k == 10 || k == 21)
            clean(w);
    }
    sync_all(w);
}

/* Is the slot this version, whole? */
static bool slot_is(struct work *w, unsigned i, uint32_t version)
{
    char name[16];
    struct holofs_attr a;
    slot_name(i, name);
    uint64_t ino = rig_find(&w->r, RIG_ROOT, name);
    if (!version || !ino)
        return !version && !ino;
    assert_int_equal(holofs_getattr(w->r.fs, ino, &a), 0);
    size_t len = bytes_of(version);
    uint8_t *want = malloc(len), *got = rig_buffer(len);
    rig_fill(version, want, len);
    bool same = a.size == len && holofs_read(w->r.fs, ino, 0, got, len) == (ssize_t)len && memcmp(got, want, len) == 0;
    free(want);
    free(got);
    return same;
}

static bool block_is(struct work *w, unsigned b, uint32_t version)
{
    uint8_t all[BLOCKS * BLOCK_BYTES], want[BLOCK_BYTES], *got = rig_buffer(BLOCK_BYTES);
    if (version) {
        rig_fill(version, want, sizeof(want));
    } else {
        rig_fill(0, all, sizeof(all));
        memcpy(want, all + b * BLOCK_BYTES, BLOCK_BYTES);
    }
    ssize_t n = holofs_read(w->r.fs, w->blocks_ino, (uint64_t)b * BLOCK_BYTES, got, BLOCK_BYTES);
    bool same = n == BLOCK_BYTES && memcmp(got, want, BLOCK_BYTES) == 0;
    free(got);
    return same;
}

/* Each thing is as the model has it now. */
static void expect_now(struct work *w)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!slot_is(w, i, w->slot[i].now))
            fail_msg("slot %u is not version %u", i, w->slot[i].now);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        const struct thing *t = &w->block[b];
        if (!block_is(w, b, t->now) && !(t->doubtful && block_is(w, b, t->before)))
            fail_msg("block %u is not version %u", b, t->now);
    }
}

/* After a stop under faults: the version acknowledged, or one tried after it. */
static void expect_acknowledged(struct work *w)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        bool found = slot_is(w, i, w->slot[i].now);
        for (uint32_t v = w->slot[i].acked; v <= w->version && !found; v++)
            found = slot_is(w, i, v);
        if (!found && !slot_is(w, i, 0))
            fail_msg("slot %u has lost version %u", i, w->slot[i].acked);
        if (!found && w->slot[i].now == w->slot[i].acked)
            fail_msg("slot %u is gone, version %u", i, w->slot[i].acked);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        bool found = false;
        for (uint32_t v = w->block[b].acked; v <= w->version && !found; v++)
            found = block_is(w, b, v);
        if (!found)
            fail_msg("block %u has lost version %u", b, w->block[b].acked);
    }
}

/* The disk works again: so does everything else, soon. */
static void recovers(struct work *w)
{
    static const char *const command[] = { "sync", "seal", "dump", "sync" };
    backing_fault_clear(w->fault);
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < sizeof(command) / sizeof(command[0]); i++) {
        int e;
        while ((e = rig_control(&w->r, command[i])) != 0) {
            if (clock_mono_ns() - begin > WAIT_MS * 1000000ull)
                fail_msg("%s: %s, %u ms after the disk works again", command[i], holo_strerror(e), WAIT_MS);
            rig_sleep_ms(5);
        }
    }
    assert_false(health_is(w, "failed"));
    assert_true(sync_all(w));
    expect_now(w);
}

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
