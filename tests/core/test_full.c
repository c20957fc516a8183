/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_full.c: a disk that fills up: -ENOSPC, nothing synced is lost, deleting works and frees. Needs root for a small tmpfs. */
#include "tests/core/rig.h"

#include <sched.h>
#include <sys/mount.h>

enum { MIB = 1 << 20, FILES_MAX = 200, FILE_BYTES = 700000 };

struct full {
    struct rig r;
    bool mounted;
};

/* A store on a tmpfs of that size; false if there may be none. */
static bool full_start(struct full *x, unsigned mib, uint64_t limit)
{
    char size[32];
    struct holofs_geometry g = rig_geometry();
    *x = (struct full){ .mounted = false };
    rig_init(&x->r);
    x->r.opt.compress = HOLOFS_COMPRESS_OFF;
    g.size_limit_bytes = limit;
    if (mib) {
        snprintf(size, sizeof(size), "size=%uM", mib);
        if (mount("holofs-test", x->r.dir, "tmpfs", 0, size)) {
            rmdir(x->r.dir);
            return false;
        }
        x->mounted = true;
    }
    rig_format(&x->r, &g);
    rig_open(&x->r);
    return true;
}

static void full_stop(struct full *x)
{
    if (x->r.fs)
        holofs_close(x->r.fs);
    if (x->mounted)
        umount2(x->r.dir, MNT_DETACH);
    rig_remove_tree(x->r.dir);
}

static void file_name(int i, char out[16])
{
    snprintf(out, 16, "file%d", i);
}

/* Write and sync files, from number `first` on, until there is no room. Returns how many are there whole and synced. */
static int fill_up(struct full *x, int first, int *error)
{
    uint8_t *p = malloc(FILE_BYTES);
    int synced = 0;
    *error = 0;
    for (int i = first; i < first + FILES_MAX && !*error; i++) {
        struct holofs_cred cred = { .umask = 0 };
        struct holofs_attr a;
        char name[16];
        file_name(i, name);
        rig_fill((uint64_t)i, p, FILE_BYTES);
        int e = holofs_create(x->r.fs, &cred, RIG_ROOT, name, S_IFREG | 0644, 0, NULL, &a);
        if (!e)
            holofs_forget(x->r.fs, a.ino, 1);
        ssize_t n = e ? e : holofs_write(x->r.fs, a.ino, 0, p, FILE_BYTES, false);
        *error = n < 0 ? (int)n : n < FILE_BYTES ? -ENOSPC : 0;
        if (*error)
            break;
        *error = holofs_fsync(x->r.fs, a.ino);
        synced += !*error;
    }
    free(p);
    return synced;
}

static void expect_files(struct full *x, int n)
{
    for (int i = 0; i < n; i++) {
        char name[16];
        file_name(i, name);
        rig_expect_file(&x->r, name, (uint64_t)i, FILE_BYTES);
    }
}

static uint64_t free_bytes(struct full *x)
{
    struct holofs_space s;
    assert_int_equal(holofs_statfs(x->r.fs, &s), 0);
    return s.free_bytes;
}

/* Delete every other file, wait for the room, write again. */
static void room_returns(struct full *x, int n)
{
    uint64_t before = free_bytes(x);
    char name[16];
    for (int i = 0; i < n; i++) {
        file_name(i, name);
        assert_int_equal(holofs_unlink(x->r.fs, RIG_ROOT, name), 0);
    }
    assert_int_equal(holofs_fsync(x->r.fs, 0), 0);
    for (int i = 0; i < 100 && free_bytes(x) < before + 4 * MIB; i++)
        rig_sleep_ms(100);
    assert_true(free_bytes(x) >= before + 4 * MIB);
    rig_file(&x->r, "again", 5, 2 * MIB);
    rig_do(&x->r, "sync");
    rig_reopen(&x->r);
    rig_expect_file(&x->r, "again", 5, 2 * MIB);
}

static void fills_and_empties(unsigned mib, uint64_t limit)
{
    struct full x;
    int error;
    alarm(120);
    if (!full_start(&x, mib, limit))
        skip();
    int n = fill_up(&x, 0, &error);
    print_message("%d files of %d bytes, then: %s\n", n, FILE_BYTES, holo_strerror(error));
    assert_int_equal(holo_errno(error), ENOSPC);
    assert_true(n >= 8);
    expect_files(&x, n);
    rig_reopen(&x.r);
    expect_files(&x, n);
    assert_true(fill_up(&x, 1000, &error) < n); /* once more against the wall */
    assert_int_equal(holo_errno(error), ENOSPC);
    expect_files(&x, n);
    rig_reopen(&x.r);
    expect_files(&x, n);
    room_returns(&x, n);
    full_stop(&x);
    alarm(0);
}

static void a_full_disk_loses_nothing_and_frees(void **state)
{
    (void)state;
    fills_and_empties(40, 0);
}

static void a_full_store_loses_nothing_and_frees(void **state)
{
    (void)state;
    fills_and_empties(0, 40 * MIB);
}

/* ---- what statfs says ---- */

/* Write a file of random bytes in pieces of `piece` until there is no room. Returns how many bytes went in. */
static uint64_t write_all(struct full *x, const char *name, size_t piece)
{
    uint8_t *p = malloc(piece);
    uint64_t at = 0, ino = rig_create(&x->r, name);
    ssize_t n = 1;
    while (n > 0) {
        rig_fill(at + 1, p, piece);
        n = holofs_write(x->r.fs, ino, at, p, piece, false);
        at += n > 0 ? (uint64_t)n : 0;
    }
    assert_int_equal(n, -ENOSPC);
    free(p);
    return at;
}

/* All that is said to be available can be written, hardly more than is said to be free, and at most 5 of a hundred bytes are said to be free then,
 * or a container more, one that was being sealed when there was no room. */
static void promise(unsigned mib, uint64_t limit, size_t piece)
{
    struct full x;
    alarm(120);
    if (!full_start(&x, mib, limit))
        skip();
    for (int round = 0; round < 2; round++) {
        struct holofs_space sp;
        assert_int_equal(holofs_statfs(x.r.fs, &sp), 0);
        uint64_t before = sp.free_bytes, got = write_all(&x, round ? "second" : "first", piece), after = free_bytes(&x);
        print_message("%s, pieces of %zu: %llu bytes said to be free, %llu written (%.1f %%), %llu left\n", limit ? "a store with a size" : "a small disk",
                      piece, (unsigned long long)before, (unsigned long long)got, 100.0 * (double)got / (double)before, (unsigned long long)after);
        assert_true(got >= sp.avail_bytes && got <= before / 100 * 106 && after <= before / 20 + MIB);
        assert_int_equal(holofs_unlink(x.r.fs, RIG_ROOT, round ? "second" : "first"), 0);
        rig_do(&x.r, "sync");
        for (int i = 0; i < 100 && free_bytes(&x) < before / 10 * 9; i++)
            rig_sleep_ms(20);
    }
    full_stop(&x);
    alarm(0);
}

static void what_is_said_to_be_free_can_be_written(void **state)
{
    (void)state;
    promise(0, 48 * MIB, 131072);
    promise(64, 0, 131072);
#ifndef __SANITIZE_THREAD__ /* eight times slower */
    promise(0, 48 * MIB, 4096);
    promise(64, 0, 4096);
#endif
}

/* Small files, so that metadata meets the wall as well. */
static void names_until_it_is_full(void **state)
{
    (void)state;
    struct full x;
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    int n = 0, e = 0;
    uint8_t small[3000];
    alarm(120);
    if (!full_start(&x, 36, 0))
        skip();
    for (; n < 20000 && !e; n++) {
        char name[16];
        file_name(n, name);
        rig_fill((uint64_t)n, small, sizeof(small));
        e = holofs_create(x.r.fs, &cred, RIG_ROOT, name, S_IFREG | 0644, 0, NULL, &a);
        if (e)
            break;
        holofs_forget(x.r.fs, a.ino, 1);
        ssize_t w = holofs_write(x.r.fs, a.ino, 0, small, sizeof(small), false);
        e = w < 0 ? (int)w : 0;
        if (e)
            break;
        if (n % 100 == 99)
            e = holofs_fsync(x.r.fs, 0);
    }
    print_message("%d small files, then: %s\n", n, holo_strerror(e));
    assert_int_equal(holo_errno(e), ENOSPC);
    int whole = n / 100 * 100 - 100;
    assert_true(whole > 1000);
    rig_reopen(&x.r);
    for (int i = 0; i < whole; i++) {
        char name[16];
        file_name(i, name);
        rig_expect_file(&x.r, name, (uint64_t)i, sizeof(small));
        assert_int_equal(holofs_unlink(x.r.fs, RIG_ROOT, name), 0);
    }
    rig_reopen(&x.r);
    full_stop(&x);
    alarm(0);
}

/* Names without contents fill the index and the metadata log. */
static void names_alone_until_it_is_full(void **state)
{
    (void)state;
    struct full x;
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    char name[240];
    int n = 0, e = 0;
    alarm(120);
    if (!full_start(&x, 30, 0))
        skip();
    for (; n < 200000 && !e; n += !e) {
        snprintf(name, sizeof(name), "%0200d", n);
        e = holofs_create(x.r.fs, &cred, RIG_ROOT, name, S_IFREG | 0644, 0, NULL, &a);
        if (!e)
            holofs_forget(x.r.fs, a.ino, 1);
        if (!e && n % 1000 == 999)
            e = holofs_fsync(x.r.fs, 0);
    }
    print_message("%d names, then: %s\n", n, holo_strerror(e));
    assert_int_equal(holo_errno(e), ENOSPC);
    rig_reopen(&x.r);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%0200d", i);
        assert_true(rig_find(&x.r, RIG_ROOT, name) != 0);
    }
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%0200d", i);
        e = holofs_unlink(x.r.fs, RIG_ROOT, name);
        if (!e && i % 500 == 499)
            e = holofs_fsync(x.r.fs, 0);
        if (e)
            fail_msg("deleting name %d of %d: %s", i, n, holo_strerror(e));
    }
    rig_reopen(&x.r);
    assert_true(rig_find(&x.r, RIG_ROOT, name) == 0);
    rig_do(&x.r, "dump"); /* that lets go of the log of all those names */
    rig_create(&x.r, "again");
    rig_do(&x.r, "sync");
    full_stop(&x);
    alarm(0);
}

/* Mounts of this program are its own. */
static int own_mounts(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNS) == 0 ? mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_loses_nothing_and_frees),
        cmocka_unit_test(a_full_store_loses_nothing_and_frees),
        cmocka_unit_test(what_is_said_to_be_free_can_be_written),
        cmocka_unit_test(names_until_it_is_full),
        cmocka_unit_test(names_alone_until_it_is_full),
    };
    return cmocka_run_group_tests(tests, own_mounts, NULL);
}
