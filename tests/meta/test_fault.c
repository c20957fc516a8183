/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_fault.c: every call to the system and every allocation of sqlite is made to fail in turn, once or from
 * then on; what was committed stays, whole, and nothing crashes.
 */
#include "tests/meta/fixture.h"
#include "tests/meta/vfs_below.h"

#include <unistd.h>

enum kind { FAULT_IO, FAULT_MEMORY };
enum { ROWS = 40, COMMITS = 4 };

/* sqlite's VFS and allocator take no context of ours that reaches every call, hence the statics. */
static struct {
    enum kind kind;
    long left; /* calls until the fault; 0: none is planned */
    bool forever, hit;
} fault;
static sqlite3_mem_methods real_memory;

static bool faulty(enum kind kind)
{
    if (kind != fault.kind || fault.left == 0)
        return false;
    if (fault.left > 1) {
        fault.left--;
        return false;
    }
    fault.hit = true;
    errno = EIO;
    if (!fault.forever)
        fault.left = 0;
    return true;
}

#define FAIL_OR_PASS(code, f, method, ...) (faulty(FAULT_IO) ? (code) : PASS(f, method, ##__VA_ARGS__))

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off) { return FAIL_OR_PASS(SQLITE_IOERR_READ, f, xRead, p, n, off); }
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off) { return FAIL_OR_PASS(SQLITE_FULL, f, xWrite, p, n, off); }
static int f_truncate(sqlite3_file *f, sqlite3_int64 size) { return FAIL_OR_PASS(SQLITE_IOERR_TRUNCATE, f, xTruncate, size); }
static int f_sync(sqlite3_file *f, int flags) { return FAIL_OR_PASS(SQLITE_IOERR_FSYNC, f, xSync, flags); }
static int f_size(sqlite3_file *f, sqlite3_int64 *size) { return FAIL_OR_PASS(SQLITE_IOERR_FSTAT, f, xFileSize, size); }
static int f_lock(sqlite3_file *f, int level) { return FAIL_OR_PASS(SQLITE_IOERR_LOCK, f, xLock, level); }
static int f_reserved(sqlite3_file *f, int *out) { return FAIL_OR_PASS(SQLITE_IOERR_CHECKRESERVEDLOCK, f, xCheckReservedLock, out); }
static int f_map(sqlite3_file *f, int i, int n, int extend, void volatile **p) { return FAIL_OR_PASS(SQLITE_IOERR_SHMMAP, f, xShmMap, i, n, extend, p); }

static int f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    static const sqlite3_io_methods methods = { 2, pass_close, f_read, f_write, f_truncate, f_sync, f_size, f_lock, pass_unlock, f_reserved,
                                                pass_control, pass_sector, pass_device, f_map, pass_shm_lock, pass_barrier, pass_unmap, NULL, NULL };
    (void)vfs;
    return below_open(file, name, flags, out, &methods, faulty(FAULT_IO));
}

static void *faulty_malloc(int n)
{
    return faulty(FAULT_MEMORY) ? NULL : real_memory.xMalloc(n);
}

static void *faulty_realloc(void *p, int n)
{
    return faulty(FAULT_MEMORY) ? NULL : real_memory.xRealloc(p, n);
}

static int install(void **state)
{
    (void)state;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods m = real_memory;
    m.xMalloc = faulty_malloc;
    m.xRealloc = faulty_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &m) == SQLITE_OK ? below_install(f_open) : -1;
}

static void assert_expected(int rc)
{
    if (rc != 0 && rc != -EIO && rc != -ENOSPC && rc != -ENOMEM)
        fail_msg("%d (%s)", rc, holo_strerror(rc));
}

struct outcome {
    bool created;
    uint64_t acked, tried;
};

static int commit_round(struct meta_index *idx, uint64_t k)
{
    struct meta_state st = { .txg = k };
    uint8_t blob[2000];
    memset(blob, (int)k, sizeof(blob));
    int rc = meta_begin(idx);
    if (rc)
        return rc;
    for (uint64_t ino = 1; ino <= ROWS && !rc; ino++) {
        struct meta_inode i = { .ino = ino, .size = k };
        rc = meta_inode_put(idx, &i);
        if (!rc)
            rc = meta_window_put(idx, ino, 0, blob, sizeof(blob));
    }
    if (!rc)
        return meta_commit(idx, &st);
    meta_rollback(idx);
    return rc;
}

static void read_something(struct meta_index *idx, uint64_t acked, uint64_t tried)
{
    struct meta_reader *r;
    struct meta_state st;
    struct meta_inode i;
    int rc = meta_reader_open(idx, &r);
    assert_expected(rc);
    if (rc)
        return;
    rc = meta_snapshot_begin(r, &st);
    assert_expected(rc);
    if (rc == 0) {
        assert_true(st.txg == acked || st.txg == tried);
        rc = meta_read_inode(r, 1 + st.txg % ROWS, &i);
        if (rc != -ENOENT || st.txg)
            assert_expected(rc);
        if (rc == 0)
            assert_true(i.size == st.txg);
        meta_snapshot_end(r);
    }
    meta_reader_close(r);
}

static struct outcome live(const char *path)
{
    struct outcome o = { 0 };
    struct meta_index *idx;
    int rc = meta_create(path, test_uuid, &idx);
    assert_expected(rc);
    if (rc)
        return o;
    o.created = true;
    for (uint64_t k = 1; k <= COMMITS; k++) {
        o.tried = k;
        rc = commit_round(idx, k);
        assert_expected(rc);
        if (rc == 0)
            o.acked = k;
        read_something(idx, o.acked, o.tried);
        if (k % 2 == 0)
            assert_expected(meta_checkpoint(idx));
    }
    assert_expected(meta_verify(idx));
    meta_close(idx);
    return o;
}

static void assert_whole(const char *path, const struct outcome *o)
{
    struct meta_index *idx;
    struct meta_state st;
    int rc = meta_open(path, test_uuid, &idx);
    if (rc && !o->created)
        return;
    assert_int_equal(rc, 0);
    assert_int_equal(meta_state_get(idx, &st), 0);
    assert_true(st.txg == o->acked || st.txg == o->tried);
    for (uint64_t ino = 1; ino <= ROWS && st.txg; ino++) {
        struct meta_inode i;
        uint8_t blob[2000];
        size_t len;
        assert_int_equal(meta_inode_get(idx, ino, &i), 0);
        assert_true(i.size == st.txg);
        assert_int_equal(meta_window_get(idx, ino, 0, blob, sizeof(blob), &len), 0);
        assert_int_equal(len, sizeof(blob));
        assert_int_equal(blob[len - 1], st.txg);
    }
    assert_int_equal(meta_verify(idx), 0);
    meta_close(idx);
}

/* Every stride-th call; the seed says which, STRIDE=1 takes all (a minute). */
static void sweep(struct fixture *f, enum kind kind, bool forever, long stride)
{
    if (getenv("STRIDE"))
        stride = atol(getenv("STRIDE"));
    long n = 1 + (long)(rnd(f) % (uint64_t)stride);
    close_all(f);
    do {
        fault.kind = kind;
        fault.forever = forever;
        fault.hit = false;
        fault.left = n;
        struct outcome o = live(f->path);
        fault.left = 0;
        assert_whole(f->path, &o);
        n += stride;
    } while (fault.hit);
    print_message("%ld calls\n", n);
}

static void one_failed_call_loses_nothing(void **state)
{
    sweep(*state, FAULT_IO, false, 3);
}

static void a_disk_that_dies_leaves_whole_commits(void **state)
{
    sweep(*state, FAULT_IO, true, 3);
}

static void one_failed_allocation_loses_nothing(void **state)
{
    sweep(*state, FAULT_MEMORY, false, 13);
}

static void memory_that_runs_out_leaves_whole_commits(void **state)
{
    sweep(*state, FAULT_MEMORY, true, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_failed_call_loses_nothing),
        TEST(a_disk_that_dies_leaves_whole_commits),
        TEST(one_failed_allocation_loses_nothing),
        TEST(memory_that_runs_out_leaves_whole_commits),
    };
    return cmocka_run_group_tests(tests, install, NULL);
}
