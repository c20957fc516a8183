/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_index_fault.c: a store at work while the n-th change of a file of its index fails: EIO, ENOSPC, EDQUOT, a short write, a failed sync;
 * once, for a while, or for good. The index is never the truth: nothing is lost and no operation sees it; it is told, and made good.
 *
 * INDEX_STRIDE takes every so many-th call (all: 1), INDEX_SEED says where it begins.
 */
#include "tests/core/work.h"
#include "tests/meta/vfs_below.h"

#include <pthread.h>

enum { TOLD_AFTER = 3 };
enum kind { WRITES, SHORT_WRITES, SYNCS, CHANGES };

/* sqlite's VFS takes no context of ours, hence the static; several threads come here. */
static struct {
    pthread_mutex_t lock;
    enum kind kind;
    int err;
    uint64_t after, count, seen, hits; /* count 0: until it is mended */
    bool on;
} fault = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool fails(bool is_write, bool is_sync)
{
    bool hit = false;
    pthread_mutex_lock(&fault.lock);
    bool match = fault.on && (fault.kind == CHANGES || (is_write && fault.kind <= SHORT_WRITES) || (is_sync && fault.kind == SYNCS));
    if (match && fault.seen++ >= fault.after && (!fault.count || fault.hits < fault.count)) {
        fault.hits++;
        hit = true;
    }
    pthread_mutex_unlock(&fault.lock);
    if (hit)
        errno = fault.err;
    return hit;
}

static void arm(enum kind kind, int err, uint64_t after, uint64_t count)
{
    pthread_mutex_lock(&fault.lock);
    fault.kind = kind;
    fault.err = err;
    fault.after = after;
    fault.count = count;
    fault.seen = fault.hits = 0;
    fault.on = true;
    pthread_mutex_unlock(&fault.lock);
}

static void disarm(void)
{
    pthread_mutex_lock(&fault.lock);
    fault.on = false;
    pthread_mutex_unlock(&fault.lock);
}

static uint64_t hits(void)
{
    pthread_mutex_lock(&fault.lock);
    uint64_t n = fault.hits;
    pthread_mutex_unlock(&fault.lock);
    return n;
}

/* ---- the VFS below the index's ---- */

static int f_truncate(sqlite3_file *f, sqlite3_int64 n) { return fails(false, false) ? SQLITE_IOERR_TRUNCATE : PASS(f, xTruncate, n); }
static int f_sync(sqlite3_file *f, int flags) { return fails(false, true) ? SQLITE_IOERR_FSYNC : PASS(f, xSync, flags); }

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
    if (!fails(true, false))
        return PASS(f, xWrite, p, n, off);
    if (fault.kind == SHORT_WRITES)
        PASS(f, xWrite, p, n / 3, off);
    errno = fault.err;
    return fault.err == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    static const sqlite3_io_methods methods = { 2, pass_close, pass_read, f_write, f_truncate, f_sync, pass_size, pass_lock, pass_unlock, pass_reserved,
                                                pass_control, pass_sector, pass_device, pass_map, pass_shm_lock, pass_barrier, pass_unmap, NULL, NULL };
    (void)vfs;
    return below_open(file, name, flags, out, &methods, (flags & SQLITE_OPEN_CREATE) && fails(false, false));
}

static int install(void **state)
{
    (void)state;
    return below_install(f_open);
}

/* ---- the runs ---- */

struct way {
    const char *name;
    enum kind kind;
    int err;
    uint64_t count;
};

/* Soon after it failed again and again; sqlite lives with some single failures. */
static bool told(struct work *w)
{
    for (unsigned ms = 0; ms < WAIT_MS; ms++) {
        if (hits() < TOLD_AFTER || rig_event(&w->r, "write_trouble", "index") || rig_event(&w->r, "index_retired", ""))
            return true;
        rig_sleep_ms(1);
    }
    return false;
}

/* true if there was an n-th call. */
static bool run(const struct way *way, uint64_t n, bool mend)
{
    struct work w;
    work_start(&w);
    log_set_level((enum log_level)-1);
    arm(way->kind, way->err, n, way->count);
    live(&w);
    bool hit = hits() > 0;
    expect_now(&w);
    if (w.errors > w.commands) /* a dump needs the index */
        fail_msg("%s, call %llu: seen by %u operations", way->name, (unsigned long long)n, w.errors - w.commands);
    if (!way->count && !told(&w))
        fail_msg("%s, call %llu: nobody was told", way->name, (unsigned long long)n);
    if (mend) {
        disarm();
        recovers(&w);
    }
    int e = holofs_close(w.r.fs);
    w.r.fs = NULL;
    disarm();
    if (mend)
        assert_int_equal(e, 0);
    work_open(&w);
    expect_now(&w);
    assert_true(health_is(&w, "healthy"));
    rig_do(&w.r, "sync");
    rig_reopen(&w.r);
    expect_now(&w);
    work_stop(&w);
    return hit;
}

static void sweep(const struct way *way, uint64_t stride, bool mend)
{
    const char *every = getenv("INDEX_STRIDE"), *where = getenv("INDEX_SEED");
    uint64_t seed = (uint64_t)(where ? atol(where) : getpid()), runs = 0;
#ifdef __SANITIZE_THREAD__ /* eight times slower */
    stride *= 4;
#endif
    stride = every ? (uint64_t)atol(every) : stride;
    print_message("%s: INDEX_SEED=%llu\n", way->name, (unsigned long long)seed);
    uint64_t n = rig_random(&seed) % stride;
    alarm(3000);
    for (; run(way, n, mend); n += stride)
        runs++;
    alarm(0);
    print_message("%s: %llu runs, %llu calls\n", way->name, (unsigned long long)runs, (unsigned long long)n);
}

static void a_fault_of_the_index_is_seen_by_no_file(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO once", CHANGES, EIO, 1 },          { "ENOSPC once", CHANGES, ENOSPC, 1 },
                                      { "short write once", SHORT_WRITES, ENOSPC, 1 }, { "failed sync once", SYNCS, EIO, 1 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], way[i].kind == SYNCS ? 11 : 101, true);
}

static void an_index_that_cannot_be_written_for_a_while_loses_nothing(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO for a while", CHANGES, EIO, 0 },        { "ENOSPC for a while", WRITES, ENOSPC, 0 },
                                      { "EDQUOT for a while", CHANGES, EDQUOT, 0 }, { "short writes for a while", SHORT_WRITES, EIO, 0 },
                                      { "syncs for a while", SYNCS, EIO, 0 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], way[i].kind == SYNCS ? 17 : 101, true);
}

static void an_index_that_cannot_be_written_for_good_loses_nothing(void **state)
{
    (void)state;
    static const struct way way[] = { { "EIO for good", CHANGES, EIO, 0 }, { "ENOSPC for good", WRITES, ENOSPC, 0 }, { "syncs for good", SYNCS, EIO, 0 } };
    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
        sweep(&way[i], way[i].kind == SYNCS ? 17 : 151, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_of_the_index_is_seen_by_no_file),
        cmocka_unit_test(an_index_that_cannot_be_written_for_a_while_loses_nothing),
        cmocka_unit_test(an_index_that_cannot_be_written_for_good_loses_nothing),
    };
    return cmocka_run_group_tests(tests, install, NULL);
}
