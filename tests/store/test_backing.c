/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_backing.c: the three backings, one contract; then what each fault does to the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/backing.h"

enum { MIB = 1 << 20, BLK = 4096 };
static const uint64_t SEED = 0x5eed0001;

/* What a test of the contract runs on. */
struct env {
    struct backing *b, *lower;
    char dir[64];
};

static int memory_setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    assert_int_equal(backing_memory_create(64 * MIB, &e->b), 0);
    *state = e;
    return 0;
}

static int posix_setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    strcpy(e->dir, "/tmp/holo-backing-XXXXXX");
    assert_non_null(mkdtemp(e->dir));
    assert_int_equal(backing_posix_open(e->dir, false, &e->b), 0);
    *state = e;
    return 0;
}

static int fault_setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    assert_int_equal(backing_memory_create(64 * MIB, &e->lower), 0);
    assert_int_equal(backing_fault_create(e->lower, SEED, &e->b), 0);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    e->b->ops->close(e->b);
    if (e->lower)
        e->lower->ops->close(e->lower);
    if (e->dir[0]) {
        char cmd[96];
        snprintf(cmd, sizeof(cmd), "rm -rf %s", e->dir);
        assert_int_equal(system(cmd), 0);
    }
    free(e);
    return 0;
}

static struct bfile *file_open(struct backing *b, const char *name, int flags)
{
    struct bfile *f;
    assert_int_equal(b->ops->open(b, name, flags, &f), 0);
    return f;
}

static struct bfile *file_make(struct backing *b, const char *name)
{
    return file_open(b, name, BACKING_WRITE | BACKING_CREATE);
}

/* Aligned bytes that depend on the seed. */
static uint8_t *bytes_new(size_t len, uint64_t seed)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, BLK, len), 0);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)p)[i] = (uint8_t)(seed >> 56);
    }
    return p;
}

static void assert_reads(struct bfile *f, const void *want, size_t len, uint64_t off)
{
    void *got = NULL;
    assert_int_equal(posix_memalign(&got, BLK, len), 0);
    assert_int_equal(f->ops->pread(f, got, len, off), 0);
    assert_memory_equal(got, want, len);
    free(got);
}

static uint64_t size_of(struct bfile *f)
{
    uint64_t size;
    assert_int_equal(f->ops->size(f, &size), 0);
    return size;
}

static void a_vector_longer_than_the_kernel_takes_is_written_whole(void **state)
{
    struct env *e = *state;
    enum { N = 1500, LEN = 1001 };
    struct bfile *f = file_make(e->b, "long");
    uint8_t *data = bytes_new((size_t)N * LEN, SEED);
    struct iovec *iov = calloc(N, sizeof(*iov));
    for (size_t i = 0; i < N; i++)
        iov[i] = (struct iovec){ data + i * LEN, i % 7 == 3 ? 0 : LEN };
    assert_int_equal(f->ops->pwritev(f, iov, N, 333), 0);
    assert_int_equal(f->ops->datasync(f), 0);
    uint64_t off = 333;
    for (size_t i = 0; i < N; off += iov[i].iov_len, i++)
        if (iov[i].iov_len)
            assert_reads(f, iov[i].iov_base, LEN, off);
    assert_int_equal(size_of(f), off);
    f->ops->close(f);
    free(iov);
    free(data);
}

static void a_read_past_the_end_is_truncated_input(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "short");
    uint8_t *data = bytes_new(2 * BLK, SEED);
    assert_int_equal(bfile_pwrite(f, data, BLK + 5, 0), 0);
    uint8_t got[2 * BLK];
    assert_int_equal(f->ops->pread(f, got, BLK, 6), -HOLO_ETRUNC);
    assert_int_equal(f->ops->pread(f, got, 1, 1 << 30), -HOLO_ETRUNC);
    assert_reads(f, data + 5, BLK, 5);
    f->ops->close(f);
    free(data);
}

static void holes_and_regrown_files_read_as_zeros(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "holes");
    uint8_t *data = bytes_new(BLK, SEED);
    static const uint8_t zeros[300000];
    assert_int_equal(bfile_pwrite(f, data, BLK, 300000), 0);
    assert_reads(f, zeros, 300000, 0);
    assert_int_equal(f->ops->truncate(f, 300100), 0);
    assert_int_equal(f->ops->truncate(f, 300000 + BLK), 0);
    assert_reads(f, data, 100, 300000);
    assert_reads(f, zeros, BLK - 100, 300100);
    f->ops->close(f);
    free(data);
}

static void preallocation_zeroes_what_was_there(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "pre");
    uint8_t *data = bytes_new(BLK, SEED), *zeros = calloc(1, 3 * MIB + 100);
    assert_int_equal(bfile_pwrite(f, data, BLK, 70000), 0);
    assert_int_equal(f->ops->preallocate(f, 3 * MIB + 100), 0);
    assert_int_equal(size_of(f), 3 * MIB + 100);
    assert_reads(f, zeros, 3 * MIB + 100, 0);
    f->ops->close(f);
    free(data);
    free(zeros);
}

static void open_flags_do_what_they_say(void **state)
{
    struct env *e = *state;
    struct bfile *f;
    assert_int_equal(e->b->ops->open(e->b, "a", BACKING_WRITE, &f), -ENOENT);
    f = file_open(e->b, "a", BACKING_WRITE | BACKING_CREATE | BACKING_EXCL);
    assert_int_equal(bfile_pwrite(f, "abc", 3, 0), 0);
    f->ops->close(f);
    assert_int_equal(e->b->ops->open(e->b, "a", BACKING_WRITE | BACKING_CREATE | BACKING_EXCL, &f), -EEXIST);
    f = file_open(e->b, "a", BACKING_READ);
    assert_reads(f, "abc", 3, 0);
    assert_int_equal(bfile_pwrite(f, "x", 1, 0), -EBADF);
    f->ops->close(f);
    f = file_open(e->b, "a", BACKING_WRITE | BACKING_TRUNC);
    assert_int_equal(size_of(f), 0);
    f->ops->close(f);
}

static void direct_files_read_back_what_was_written(void **state)
{
    struct env *e = *state;
    uint8_t *data = bytes_new(64 * BLK, SEED);
    struct bfile *f = file_open(e->b, "d", BACKING_WRITE | BACKING_CREATE | BACKING_EXCL | BACKING_DIRECT);
    assert_int_equal(bfile_pwrite(f, data, 64 * BLK, BLK), 0);
    assert_int_equal(f->ops->datasync(f), 0);
    assert_reads(f, data, 64 * BLK, BLK);
    void *got = NULL;
    assert_int_equal(posix_memalign(&got, BLK, 2 * BLK), 0);
    assert_int_equal(f->ops->pread(f, got, 2 * BLK, 64 * BLK), -HOLO_ETRUNC);
    f->ops->close(f);
    free(got);
    free(data);
}

static void names_outside_the_store_are_refused(void **state)
{
    struct env *e = *state;
    struct bfile *f;
    static const char *const bad[] = { "", "/etc/passwd", "../x", "a/../../x", ".", "a//b", "..", "a/." };
    assert_int_equal(e->b->ops->mkdir(e->b, "a"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(e->b->ops->open(e->b, bad[i], BACKING_WRITE | BACKING_CREATE, &f), -EINVAL);
    assert_int_equal(e->b->ops->open(e->b, "b/x", BACKING_WRITE | BACKING_CREATE, &f), -ENOENT);
}

static int count_names(void *arg, const char *name)
{
    unsigned *seen = arg;
    *seen += strcmp(name, "one") == 0 ? 1 : strcmp(name, "two") == 0 ? 10 : strcmp(name, "sub") == 0 ? 100 : 100000;
    return 0;
}

static int stop_at_first(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 7;
}

static void directories_list_their_own_names_only(void **state)
{
    struct env *e = *state;
    const struct backing_ops *ops = e->b->ops;
    assert_int_equal(ops->mkdir(e->b, "d"), 0);
    assert_int_equal(ops->mkdir(e->b, "d"), 0);
    assert_int_equal(ops->mkdir(e->b, "d/sub"), 0);
    assert_int_equal(ops->mkdir(e->b, "missing/sub"), -ENOENT);
    static const char *const names[] = { "d/one", "d/two", "d/sub/three", "dx" };
    for (size_t i = 0; i < 4; i++) {
        struct bfile *f = file_make(e->b, names[i]);
        f->ops->close(f);
    }
    unsigned seen = 0;
    assert_int_equal(ops->list(e->b, "d", count_names, &seen), 0);
    assert_int_equal(seen, 111);
    seen = 0;
    assert_int_equal(ops->list(e->b, "d", stop_at_first, &seen), 7);
    assert_int_equal(seen, 1);
    assert_int_equal(ops->list(e->b, "nowhere", count_names, &seen), -ENOENT);
    assert_int_equal(ops->sync_dir(e->b, "d/sub"), 0);
    assert_int_equal(ops->sync_dir(e->b, ""), 0);
    assert_int_equal(ops->sync_dir(e->b, "nowhere"), -ENOENT);
}

static void rename_replaces_and_an_open_file_outlives_its_name(void **state)
{
    struct env *e = *state;
    const struct backing_ops *ops = e->b->ops;
    struct bfile *a = file_make(e->b, "a"), *b = file_make(e->b, "b");
    assert_int_equal(bfile_pwrite(a, "aaaa", 4, 0), 0);
    assert_int_equal(bfile_pwrite(b, "bbbb", 4, 0), 0);
    assert_int_equal(ops->rename(e->b, "a", "b"), 0);
    assert_int_equal(ops->rename(e->b, "a", "b"), -ENOENT);
    assert_reads(b, "bbbb", 4, 0);
    struct bfile *again = file_open(e->b, "b", BACKING_READ);
    assert_reads(again, "aaaa", 4, 0);
    assert_int_equal(ops->unlink(e->b, "b"), 0);
    assert_int_equal(ops->unlink(e->b, "b"), -ENOENT);
    assert_int_equal(bfile_pwrite(a, "AA", 2, 1), 0);
    assert_reads(again, "aAAa", 4, 0);
    a->ops->close(a);
    b->ops->close(b);
    again->ops->close(again);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static void writes_at_the_same_time_are_all_there(void **state)
{
    struct env *e = *state;
    enum { FILES = 20 };
    uint8_t *data = bytes_new(2 * BLK, 5);
    for (size_t n = 1; n <= FILES; n += n < 4 ? 1 : 8) { /* 20 are more than go out together */
        struct backing_write w[FILES];
        int calls = 0;
        for (size_t i = 0; i < n; i++) {
            char name[16];
            snprintf(name, sizeof(name), "f%zu", i);
            w[i] = (struct backing_write){ .f = file_open(e->b, name, BACKING_WRITE | BACKING_CREATE | BACKING_DIRECT), .buf = data,
                                           .len = (1 + i % 2) * BLK, .off = i * BLK, .rc = 1 };
        }
        assert_int_equal(backing_write_durably(e->b, w, n, n % 2 ? count_call : NULL, &calls), 0); /* files grow, then do not */
        memset(data, (int)n, BLK);
        assert_int_equal(backing_write_durably(e->b, w, n, n % 2 ? count_call : NULL, &calls), 0);
        assert_int_equal(calls, n % 2 * 2);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(w[i].rc, 0);
            assert_reads(w[i].f, data, w[i].len, w[i].off);
            w[i].f->ops->close(w[i].f);
        }
    }
    free(data);
}

static void one_of_several_writes_that_fails_is_told(void **state)
{
    struct env *e = *state;
    uint8_t *data = bytes_new(2 * BLK, 6);
    int calls = 0;
    struct backing_write w[3];
    for (size_t i = 0; i < 3; i++) {
        const char name[2] = { (char)('a' + i), 0 };
        struct bfile *f = file_make(e->b, name);
        assert_int_equal(bfile_pwrite(f, data + BLK, BLK, 0), 0);
        f->ops->close(f);
        w[i] = (struct backing_write){ .f = file_open(e->b, name, i == 1 ? BACKING_READ | BACKING_DIRECT : BACKING_WRITE | BACKING_DIRECT),
                                       .buf = data, .len = BLK };
    }
    assert_true(backing_write_durably(e->b, w, 3, count_call, &calls) < 0);
    assert_int_equal(calls, 1);
    assert_true(w[0].rc == 0 && w[1].rc < 0 && w[2].rc == 0);
    assert_reads(w[2].f, data, BLK, 0);
    for (size_t i = 0; i < 3; i++)
        w[i].f->ops->close(w[i].f);
    free(data);
}

static void *hammer(void *arg)
{
    struct env *e = arg;
    for (int i = 0; i < 200; i++) {
        struct bfile *f = file_make(e->b, "shared");
        uint8_t block[512], got[512];
        memset(block, i, sizeof(block));
        assert_int_equal(bfile_pwrite(f, block, sizeof(block), 0), 0);
        assert_int_equal(f->ops->pread(f, got, sizeof(got), 0), 0);
        assert_int_equal(f->ops->datasync(f), 0);
        f->ops->close(f);
        if (i % 16 == 0)
            e->b->ops->unlink(e->b, "shared");
    }
    return NULL;
}

static void threads_share_a_backing(void **state)
{
    pthread_t t[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, *state), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static void a_read_only_directory_changes_nothing(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "x");
    f->ops->close(f);
    struct backing *ro;
    assert_int_equal(backing_posix_open(e->dir, true, &ro), 0);
    assert_int_equal(ro->ops->open(ro, "x", BACKING_WRITE, &f), -EROFS);
    assert_int_equal(ro->ops->open(ro, "y", BACKING_CREATE, &f), -EROFS);
    assert_int_equal(ro->ops->unlink(ro, "x"), -EROFS);
    assert_int_equal(ro->ops->rename(ro, "x", "y"), -EROFS);
    assert_int_equal(ro->ops->mkdir(ro, "d"), -EROFS);
    f = file_open(ro, "x", BACKING_READ);
    f->ops->close(f);
    struct backing_space sp;
    assert_int_equal(ro->ops->space(ro, &sp), 0);
    assert_true(sp.total_bytes > 0 && sp.free_bytes <= sp.total_bytes);
    assert_true(backing_posix_fd(ro) >= 0);
    ro->ops->close(ro);
}

static void links_and_fifos_in_a_store_are_not_followed(void **state)
{
    struct env *e = *state;
    char path[96];
    struct bfile *f;
    snprintf(path, sizeof(path), "%s/link", e->dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/dir", e->dir);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", e->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(e->b->ops->open(e->b, "link", BACKING_READ, &f), -ELOOP);
    assert_int_equal(e->b->ops->open(e->b, "dir/passwd", BACKING_READ, &f), -ENOTDIR);
    assert_int_equal(e->b->ops->mkdir(e->b, "dir"), -ENOTDIR);
    assert_int_equal(e->b->ops->open(e->b, "fifo", BACKING_READ, &f), -HOLO_ECORRUPT);
}

static void memory_is_full_at_its_bound_and_free_again_after_unlink(void **state)
{
    (void)state;
    struct backing *b;
    struct backing_space sp;
    assert_int_equal(backing_memory_create(MIB, &b), 0);
    assert_int_equal(backing_posix_fd(b), -1);
    struct bfile *f = file_make(b, "f");
    assert_int_equal(f->ops->preallocate(f, MIB), 0);
    assert_int_equal(bfile_pwrite(f, "x", 1, MIB), -ENOSPC);
    assert_int_equal(size_of(f), MIB);
    assert_int_equal(b->ops->space(b, &sp), 0);
    assert_int_equal(sp.free_bytes, 0);
    assert_int_equal(b->ops->unlink(b, "f"), 0);
    assert_int_equal(bfile_pwrite(f, "x", 1, 0), 0);
    f->ops->close(f);
    assert_int_equal(b->ops->space(b, &sp), 0);
    assert_int_equal(sp.free_bytes, MIB);
    b->ops->close(b);
}

static void memory_refuses_misaligned_direct_io(void **state)
{
    struct env *e = *state;
    uint8_t *data = bytes_new(2 * BLK, SEED);
    struct bfile *f = file_open(e->b, "d", BACKING_WRITE | BACKING_CREATE | BACKING_DIRECT);
    assert_int_equal(bfile_pwrite(f, data, BLK, 0), 0);
    assert_int_equal(bfile_pwrite(f, data, BLK, 512), -EINVAL);
    assert_int_equal(bfile_pwrite(f, data + 1, BLK, 0), -EINVAL);
    assert_int_equal(f->ops->pread(f, data, 100, 0), -EINVAL);
    f->ops->close(f);
    free(data);
}

static void rule(struct env *e, unsigned ops, enum fault_kind kind, const char *name, uint64_t after, uint64_t count)
{
    backing_fault_add(e->b, &(struct fault_rule){ .ops = ops, .kind = kind, .err = EIO, .name = name, .after = after, .count = count });
}

static void error_rules_count_matches_and_fall_through(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "dir.a"), *g = file_make(e->b, "other");
    rule(e, FAULT_WRITE, FAULT_ERROR, "dir.*", 1, 2);
    backing_fault_add(e->b, &(struct fault_rule){ .ops = FAULT_WRITE, .err = ENOSPC, .name = "dir.*", .after = 2 });
    static const int want[] = { 0, -EIO, -EIO, 0, -ENOSPC, -ENOSPC, -ENOSPC };
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(bfile_pwrite(f, "x", 1, i), want[i]);
        assert_int_equal(bfile_pwrite(g, "x", 1, i), 0);
    }
    assert_int_equal(size_of(f), 4);
    backing_fault_clear(e->b);
    assert_int_equal(bfile_pwrite(f, "x", 1, 0), 0);
    f->ops->close(f);
    g->ops->close(g);
}

static void a_flip_changes_one_bit_inside_the_range(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "f");
    uint8_t *data = bytes_new(4 * BLK, SEED), *got = bytes_new(4 * BLK, 0);
    assert_int_equal(bfile_pwrite(f, data, 4 * BLK, 1000), 0);
    backing_fault_add(e->b, &(struct fault_rule){ .ops = FAULT_READ, .kind = FAULT_FLIP, .from = 5000, .to = 5002 });
    for (int i = 0; i < 50; i++) {
        assert_int_equal(f->ops->pread(f, got, 4 * BLK, 1000), 0);
        unsigned diff = le16_get(got + 4000) ^ le16_get(data + 4000);
        assert_int_equal(__builtin_popcount(diff), 1);
        got[4000] = data[4000], got[4001] = data[4001];
        assert_memory_equal(got, data, 4 * BLK);
        assert_reads(f, data + 4002, BLK, 5002);
    }
    f->ops->close(f);
    free(data);
    free(got);
}

static void torn_dropped_and_misdirected_writes_report_success(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "f");
    uint8_t *old = bytes_new(4 * BLK, 1), *new = bytes_new(BLK, 2);
    assert_int_equal(bfile_pwrite(f, old, 4 * BLK, 0), 0);
    rule(e, FAULT_WRITE, FAULT_DROP, NULL, 0, 1);
    rule(e, FAULT_WRITE, FAULT_MISDIRECT, NULL, 0, 1);
    rule(e, FAULT_WRITE, FAULT_TORN, NULL, 0, 1);
    assert_int_equal(bfile_pwrite(f, new, BLK, 0), 0);
    assert_reads(f, old, 4 * BLK, 0);
    assert_int_equal(bfile_pwrite(f, new, BLK, BLK), 0);
    assert_reads(f, old, 2 * BLK, 0);
    assert_reads(f, new, BLK, 2 * BLK);
    assert_int_equal(bfile_pwrite(f, new, BLK, 0), 0);
    uint8_t got[BLK];
    assert_int_equal(f->ops->pread(f, got, BLK, 0), 0);
    size_t prefix = 0;
    while (prefix < BLK && got[prefix] == new[prefix])
        prefix++;
    assert_true(prefix < BLK);
    assert_memory_equal(got + prefix, old + prefix, BLK - prefix);
    f->ops->close(f);
    free(old);
    free(new);
}

static void a_short_write_leaves_a_prefix_and_says_so(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "f");
    uint8_t *old = bytes_new(4 * BLK, 1), *new = bytes_new(3 * BLK, 2), got[3 * BLK];
    bool some = false;
    for (int i = 0; i < 20; i++) {
        size_t prefix = 0;
        assert_int_equal(bfile_pwrite(f, old, 4 * BLK, 0), 0);
        backing_fault_add(e->b, &(struct fault_rule){ .ops = FAULT_WRITE, .kind = FAULT_SHORT, .err = ENOSPC, .count = 1 });
        assert_int_equal(bfile_pwrite(f, new, 3 * BLK, 100), -ENOSPC);
        assert_int_equal(f->ops->pread(f, got, sizeof(got), 100), 0);
        while (prefix < sizeof(got) && got[prefix] == new[prefix])
            prefix++;
        some |= prefix > BLK;
        assert_true(prefix < sizeof(got));
        assert_memory_equal(got + prefix, old + 100 + prefix, sizeof(got) - prefix);
        assert_reads(f, old + 100 + 3 * BLK, BLK - 100, 100 + 3 * BLK);
        assert_int_equal(bfile_pwrite(f, new, 3 * BLK, 100), 0); /* the rule is used up */
        assert_reads(f, new, 3 * BLK, 100);
        backing_fault_clear(e->b);
    }
    assert_true(some);
    assert_int_equal(backing_fault_hits(e->b), 20);
    backing_fault_add(e->b, &(struct fault_rule){ .ops = FAULT_WRITE | FAULT_SYNC, .kind = FAULT_SHORT, .err = EIO });
    assert_int_equal(f->ops->truncate(f, 10), 0); /* what is no write of bytes passes */
    assert_int_equal(f->ops->datasync(f), 0);
    f->ops->close(f);
    free(old);
    free(new);
}

static void a_failed_sync_can_forget_what_was_written(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "f");
    uint8_t *old = bytes_new(4 * BLK, 1), *new = bytes_new(4 * BLK, 2);
    assert_int_equal(bfile_pwrite(f, old, 4 * BLK, 0), 0);
    rule(e, FAULT_SYNC, FAULT_SYNC_FORGET, "g", 0, 1);
    assert_int_equal(f->ops->datasync(f), 0);
    assert_int_equal(bfile_pwrite(f, new, BLK, 100), 0);
    assert_int_equal(bfile_pwrite(f, new, 3 * BLK, 2 * BLK), 0);
    assert_int_equal(f->ops->truncate(f, 200), 0);
    assert_int_equal(e->b->ops->rename(e->b, "f", "g"), 0);
    assert_int_equal(f->ops->datasync(f), -EIO);
    assert_int_equal(size_of(f), 4 * BLK);
    assert_reads(f, old, 4 * BLK, 0);
    assert_int_equal(bfile_pwrite(f, new, BLK, 0), 0);
    assert_int_equal(f->ops->datasync(f), 0);
    assert_reads(f, new, BLK, 0);
    f->ops->close(f);
    free(old);
    free(new);
}

static void names_can_fail_too(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "a");
    f->ops->close(f);
    rule(e, FAULT_OPEN, FAULT_ERROR, "b", 0, 0);
    rule(e, FAULT_UNLINK, FAULT_ERROR, "a", 0, 1);
    rule(e, FAULT_UNLINK, FAULT_ERROR, "c", 0, 1);
    rule(e, FAULT_SYNC, FAULT_ERROR, "", 0, 1);
    assert_int_equal(e->b->ops->open(e->b, "b", BACKING_WRITE | BACKING_CREATE, &f), -EIO);
    assert_int_equal(e->b->ops->unlink(e->b, "a"), -EIO);
    assert_int_equal(e->b->ops->rename(e->b, "a", "c"), -EIO);
    assert_int_equal(e->b->ops->rename(e->b, "a", "c"), 0);
    assert_int_equal(e->b->ops->sync_dir(e->b, ""), -EIO);
    assert_int_equal(e->lower->ops->open(e->lower, "b", BACKING_READ, &f), -ENOENT);
}

static void after_the_cut_nothing_works_and_nothing_changes(void **state)
{
    struct env *e = *state;
    struct bfile *f = file_make(e->b, "f"), *g;
    assert_int_equal(backing_fault_writes(e->b), 1);
    backing_fault_cut_after(e->b, 3);
    assert_int_equal(bfile_pwrite(f, "one", 3, 0), 0);
    assert_reads(f, "one", 3, 0);
    assert_int_equal(f->ops->datasync(f), 0);
    uint8_t got[3];
    uint64_t size;
    assert_int_equal(f->ops->pread(f, got, 3, 0), -EIO);
    assert_int_equal(f->ops->size(f, &size), -EIO);
    assert_int_equal(bfile_pwrite(f, "two", 3, 0), -EIO);
    assert_int_equal(f->ops->datasync(f), -EIO);
    assert_int_equal(f->ops->truncate(f, 0), -EIO);
    assert_int_equal(e->b->ops->unlink(e->b, "f"), -EIO);
    assert_int_equal(e->b->ops->open(e->b, "new", BACKING_CREATE | BACKING_WRITE, &g), -EIO);
    assert_int_equal(e->b->ops->mkdir(e->b, "d"), -EIO);
    assert_int_equal(backing_fault_writes(e->b), 3);
    f->ops->close(f);
    f = file_open(e->lower, "f", BACKING_READ);
    assert_reads(f, "one", 3, 0);
    f->ops->close(f);
}

static void a_power_cut_loses_some_sectors_of_what_was_not_synced(void **state)
{
    struct env *e = *state;
    enum { N = 64 };
    uint8_t *old = bytes_new(N * BLK, 1), *new = bytes_new(2 * N * BLK, 2), *got = bytes_new(2 * N * BLK, 3);
    backing_fault_track(e->b);
    struct bfile *synced = file_make(e->b, "synced"), *f = file_make(e->b, "f");
    assert_int_equal(bfile_pwrite(synced, new, N * BLK, 0), 0);
    assert_int_equal(synced->ops->datasync(synced), 0);
    assert_int_equal(bfile_pwrite(f, old, N * BLK, 0), 0);
    assert_int_equal(f->ops->datasync(f), 0);
    assert_int_equal(bfile_pwrite(f, new, 3 * BLK, BLK), 0);
    assert_int_equal(bfile_pwrite(f, new, 2 * N * BLK, 0), 0);
    backing_fault_cut_after(e->b, 0);
    backing_fault_lose(e->b);
    f->ops->close(f);
    f = file_open(e->lower, "f", BACKING_READ);
    uint64_t size = size_of(f);
    assert_true(size >= N * BLK && size % BLK == 0);
    assert_int_equal(f->ops->pread(f, got, size, 0), 0);
    unsigned lost = 0, kept = 0;
    static const uint8_t zeros[BLK];
    for (size_t at = 0; at < size; at += BLK) {
        bool is_new = memcmp(got + at, new + at, BLK) == 0;
        assert_true(is_new || memcmp(got + at, at < N * BLK ? old + at : zeros, BLK) == 0);
        lost += !is_new;
        kept += is_new;
    }
    assert_true(lost > N / 4 && kept > N / 4);
    f->ops->close(f);
    f = file_open(e->lower, "synced", BACKING_READ);
    assert_reads(f, new, N * BLK, 0);
    f->ops->close(f);
    synced->ops->close(synced);
    free(old), free(new), free(got);
}

/* The same seed spoils the same bytes. */
static void faults_repeat_with_their_seed(void **state)
{
    (void)state;
    uint8_t image[2][BLK];
    for (size_t i = 0; i < 2; i++) {
        struct backing *m, *b;
        assert_int_equal(backing_memory_create(MIB, &m), 0);
        assert_int_equal(backing_fault_create(m, SEED, &b), 0);
        backing_fault_add(b, &(struct fault_rule){ .ops = FAULT_WRITE, .kind = FAULT_FLIP });
        struct bfile *f = file_make(b, "f");
        uint8_t *data = bytes_new(BLK, 3);
        for (int k = 0; k < 8; k++)
            assert_int_equal(bfile_pwrite(f, data + k * 512, 512, (uint64_t)k * 512), 0);
        assert_int_equal(f->ops->pread(f, image[i], BLK, 0), 0);
        f->ops->close(f);
        free(data);
        b->ops->close(b);
        m->ops->close(m);
    }
    assert_memory_equal(image[0], image[1], BLK);
}

#define ON(setup, test) { #test " (" #setup ")", test, setup, teardown, NULL }
#define ON_ALL(test) ON(posix_setup, test), ON(memory_setup, test), ON(fault_setup, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(a_vector_longer_than_the_kernel_takes_is_written_whole),
        ON_ALL(a_read_past_the_end_is_truncated_input),
        ON_ALL(holes_and_regrown_files_read_as_zeros),
        ON_ALL(preallocation_zeroes_what_was_there),
        ON_ALL(open_flags_do_what_they_say),
        ON_ALL(direct_files_read_back_what_was_written),
        ON_ALL(names_outside_the_store_are_refused),
        ON_ALL(directories_list_their_own_names_only),
        ON_ALL(rename_replaces_and_an_open_file_outlives_its_name),
        ON_ALL(threads_share_a_backing),
        ON_ALL(writes_at_the_same_time_are_all_there),
        ON(posix_setup, one_of_several_writes_that_fails_is_told),
        ON(posix_setup, a_read_only_directory_changes_nothing),
        ON(posix_setup, links_and_fifos_in_a_store_are_not_followed),
        cmocka_unit_test(memory_is_full_at_its_bound_and_free_again_after_unlink),
        ON(memory_setup, memory_refuses_misaligned_direct_io),
        ON(fault_setup, error_rules_count_matches_and_fall_through),
        ON(fault_setup, a_flip_changes_one_bit_inside_the_range),
        ON(fault_setup, torn_dropped_and_misdirected_writes_report_success),
        ON(fault_setup, a_short_write_leaves_a_prefix_and_says_so),
        ON(fault_setup, a_failed_sync_can_forget_what_was_written),
        ON(fault_setup, names_can_fail_too),
        ON(fault_setup, a_power_cut_loses_some_sectors_of_what_was_not_synced),
        ON(fault_setup, after_the_cut_nothing_works_and_nothing_changes),
        cmocka_unit_test(faults_repeat_with_their_seed),
    };
    print_message("seed %#llx\n", (unsigned long long)SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
