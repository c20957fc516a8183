/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_write.c: many writers at once, readers while containers are sealed and deleted below them. */
#include "tests/core/rig.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MIB = 1 << 20, WRITERS = 4, WRITES = 6, VERSION_BYTES = 300000 };

struct writer {
    struct rig *r;
    pthread_t thread;
    uint64_t ino, seed;
    int error;
};

static void *write_mebibytes(void *arg)
{
    struct writer *w = arg;
    uint8_t *p = malloc(MIB);
    for (uint64_t i = 0; i < WRITES && !w->error; i++) {
        rig_fill(w->seed + i, p, MIB);
        ssize_t n = holofs_write(w->r->fs, w->ino, i * MIB, p, MIB, false);
        w->error = n == MIB ? 0 : n < 0 ? (int)n : -EIO;
    }
    free(p);
    return NULL;
}

/* A piece of each writer may be in the head that is full: nobody may wait for the sealer with one in his hand. */
static void write_of_many_pieces_by_many_threads_never_deadlocks(void **state)
{
    (void)state;
    struct rig r;
    struct writer w[WRITERS];
    uint8_t *want = malloc(MIB);
    alarm(120);
    rig_start(&r);
    r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_reopen(&r);
    for (uint64_t i = 0; i < WRITERS; i++) {
        char name[] = { 'f', (char)('0' + i), 0 };
        w[i] = (struct writer){ .r = &r, .ino = rig_create(&r, name), .seed = 1000 * i };
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_mebibytes, &w[i]), 0);
    }
    for (uint64_t i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].error, 0);
    }
    rig_reopen(&r);
    for (uint64_t i = 0; i < WRITERS; i++) {
        for (uint64_t k = 0; k < WRITES; k++) {
            rig_fill(w[i].seed + k, want, MIB);
            rig_expect(&r, w[i].ino, k * MIB, want, MIB);
        }
    }
    free(want);
    rig_stop(&r);
    alarm(0);
}

/* ---- readers below which everything moves ---- */

/* Version v of a file: its number in every block, and bytes that only this version has. */
static void make_version(uint64_t v, uint8_t *p)
{
    rig_fill(v * 77 + 1, p, VERSION_BYTES);
    for (size_t at = 0; at + 8 <= VERSION_BYTES; at += RIG_BLOCK)
        memcpy(p + at, &v, 8);
}

struct reader {
    struct rig *r;
    pthread_t thread;
    uint64_t ino;
    _Atomic uint64_t *written, *begun; /* versions that are whole, and that may be there in part */
    _Atomic bool *stop;
    uint64_t reads, errors, wrong;
};

/* Each block must be as some version between those known before and begun after the read made it. */
static bool blocks_are_of(const uint8_t *got, uint64_t from, uint64_t to, uint8_t *want)
{
    bool right[VERSION_BYTES / RIG_BLOCK + 1] = { false };
    for (uint64_t v = from; v <= to; v++) {
        make_version(v, want);
        for (size_t b = 0; b <= VERSION_BYTES / RIG_BLOCK; b++) {
            size_t at = b * RIG_BLOCK, n = VERSION_BYTES - at < RIG_BLOCK ? VERSION_BYTES - at : RIG_BLOCK;
            right[b] |= memcmp(got + at, want + at, n) == 0;
        }
    }
    for (size_t b = 0; b <= VERSION_BYTES / RIG_BLOCK; b++) {
        if (!right[b])
            return false;
    }
    return true;
}

static void *read_versions(void *arg)
{
    struct reader *x = arg;
    uint8_t *got = rig_buffer(VERSION_BYTES), *want = malloc(VERSION_BYTES);
    while (!*x->stop) {
        uint64_t from = *x->written;
        ssize_t n = holofs_read(x->r->fs, x->ino, 0, got, VERSION_BYTES);
        uint64_t to = *x->begun;
        x->reads++;
        x->errors += n != VERSION_BYTES;
        if (n == VERSION_BYTES && to - from < 8)
            x->wrong += !blocks_are_of(got, from, to, want);
    }
    free(got);
    free(want);
    return NULL;
}

static void readers_see_whole_versions_while_containers_are_sealed_and_deleted(void **state)
{
    (void)state;
    struct rig r;
    struct reader x[2];
    _Atomic uint64_t written = 1, begun = 1;
    _Atomic bool stop = false;
    uint8_t *p = malloc(VERSION_BYTES);
    alarm(300);
    rig_start(&r);
    uint64_t ino = rig_create(&r, "file");
    make_version(1, p);
    rig_write(&r, ino, 0, p, VERSION_BYTES);
    for (int i = 0; i < 2; i++) {
        x[i] = (struct reader){ .r = &r, .ino = ino, .written = &written, .begun = &begun, .stop = &stop };
        assert_int_equal(pthread_create(&x[i].thread, NULL, read_versions, &x[i]), 0);
    }
    uint64_t v = 2, deleted = 0;
    for (time_t end = time(NULL) + 30; (v < 60 || deleted < 5) && time(NULL) < end; v++) {
        make_version(v, p);
        begun = v;
        rig_write(&r, ino, 0, p, VERSION_BYTES);
        written = v;
        if (v % 3 == 0)
            rig_do(&r, v % 2 ? "seal" : "sync");
        deleted = rig_stat(&r, "containers/deleted_since_mount");
    }
    stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(x[i].thread, NULL);
        assert_true(x[i].reads > 0);
        assert_int_equal(x[i].errors, 0);
        assert_int_equal(x[i].wrong, 0);
    }
    assert_true(deleted >= 5);
    free(p);
    rig_stop(&r);
    alarm(0);
}

static uint64_t free_bytes(struct rig *r)
{
    struct holofs_space s;
    assert_int_equal(holofs_statfs(r->fs, &s), 0);
    return s.free_bytes;
}

static void space_returns_when_files_go(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_geometry g = rig_geometry();
    g.size_limit_bytes = 64 * MIB;
    rig_init(&r);
    rig_format(&r, &g);
    rig_open(&r);
    uint64_t before = free_bytes(&r);
    for (int i = 0; i < 8; i++) {
        char name[] = { 'f', (char)('0' + i), 0 };
        rig_file(&r, name, (uint64_t)i, 2 * MIB);
    }
    rig_do(&r, "seal");
    uint64_t full = free_bytes(&r);
    assert_true(full + 16 * MIB <= before);
    for (int i = 0; i < 8; i++) {
        char name[] = { 'f', (char)('0' + i), 0 };
        assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, name), 0);
    }
    rig_do(&r, "sync");
    for (int i = 0; i < 100 && free_bytes(&r) < full + 14 * MIB; i++)
        rig_sleep_ms(100);
    assert_true(free_bytes(&r) >= full + 14 * MIB);
    for (int i = 0; i < 100 && rig_stat(&r, "containers/data") > 3; i++)
        rig_sleep_ms(100);
    assert_true(rig_stat(&r, "containers/data") <= 3);
    rig_stop(&r);
}

struct syncer {
    struct rig *r;
    atomic_bool stop;
};

static void *sync_all_the_time(void *arg)
{
    struct syncer *s = arg;
    while (!s->stop)
        holofs_fsync(s->r->fs, 0);
    return NULL;
}

/*
 * A container may be opened, filled and sealed while a commit is under way: the record that names it must not stand before the one
 * that opens it. Small containers and many commits, several times, since it takes a race.
 */
static void containers_that_fill_up_during_a_commit_are_there_after_a_remount(void **state)
{
    (void)state;
    enum { ROUNDS = 12, BLOCKS = 512 };
    static const struct holofs_geometry g = { .k = 16, .r = 1, .meta_r = 1, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 65536,
                                              .spare_bytes = 65536 };
    struct rig r;
    uint8_t *p = malloc(BLOCKS * RIG_BLOCK);
    rig_init(&r);
    r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&r, &g);
    rig_open(&r);
    uint64_t ino = rig_create(&r, "file");
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct syncer s = { .r = &r };
        pthread_t t;
        rig_fill(round, p, BLOCKS * RIG_BLOCK);
        assert_int_equal(pthread_create(&t, NULL, sync_all_the_time, &s), 0);
        for (size_t i = 0; i < BLOCKS; i++)
            rig_write(&r, ino, i * RIG_BLOCK, p + i * RIG_BLOCK, RIG_BLOCK);
        s.stop = true;
        pthread_join(t, NULL);
        rig_reopen(&r);
        ino = rig_find(&r, RIG_ROOT, "file");
        rig_expect(&r, ino, 0, p, BLOCKS * RIG_BLOCK);
    }
    free(p);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_of_many_pieces_by_many_threads_never_deadlocks),
        cmocka_unit_test(readers_see_whole_versions_while_containers_are_sealed_and_deleted),
        cmocka_unit_test(space_returns_when_files_go),
        cmocka_unit_test(containers_that_fill_up_during_a_commit_are_there_after_a_remount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
