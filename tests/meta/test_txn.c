/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_txn.c: what a commit, a rollback, a snapshot, a reopening, a kill and a full disk leave behind. */
#include "tests/meta/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void put_inode(struct fixture *f, uint64_t ino, uint64_t size)
{
    struct meta_inode i = { .ino = ino, .size = size };
    assert_int_equal(meta_inode_put(f->idx, &i), 0);
}

static uint64_t size_of(struct meta_reader *r, uint64_t ino)
{
    struct meta_inode i;
    int rc = meta_read_inode(r, ino, &i);
    assert_true(rc == 0 || rc == -ENOENT);
    return rc ? 0 : i.size;
}

static off_t file_size(struct fixture *f, const char *suffix)
{
    char name[96];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", f->path, suffix);
    return stat(name, &st) ? -1 : st.st_size;
}

static void the_state_survives_close_and_open(void **state)
{
    struct fixture *f = *state;
    struct meta_state st = { .epoch = 3, .txg = 9, .txg_hash = UINT64_MAX - 5, .next_ino = 100, .next_cookie = 200,
                             .next_seq = 300, .next_container = UINT32_MAX, .dump_txg = 8 };
    struct meta_state got;
    memcpy(st.uuid, test_uuid, sizeof(test_uuid));
    begin(f);
    put_inode(f, 4, 44);
    assert_int_equal(meta_commit(f->idx, &st), 0);
    assert_true(file_size(f, "-wal") > 0);
    assert_int_equal(file_size(f, "-shm"), -1); /* no page of it is mapped from a disk that may be full */
    close_all(f);
    assert_int_equal(file_size(f, "-wal"), -1);
    assert_int_equal(file_size(f, "-shm"), -1);
    open_again(f);
    assert_int_equal(meta_state_get(f->idx, &got), 0);
    assert_true(got.epoch == 3 && got.txg == 9 && got.txg_hash == UINT64_MAX - 5 && got.next_ino == 100);
    assert_true(got.next_cookie == 200 && got.next_seq == 300 && got.next_container == UINT32_MAX && got.dump_txg == 8);
    assert_memory_equal(got.uuid, test_uuid, 16);
    assert_int_equal(size_of(f->r, 4), 44);
    assert_int_equal(meta_verify(f->idx), 0);
}

static void a_rollback_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct meta_inode i;
    begin(f);
    put_inode(f, 4, 44);
    meta_rollback(f->idx);
    meta_rollback(f->idx);
    assert_int_equal(meta_inode_get(f->idx, 4, &i), -ENOENT);
    begin(f);
    put_inode(f, 5, 55);
    commit(f);
    assert_int_equal(size_of(f->r, 4), 0);
    assert_int_equal(size_of(f->r, 5), 55);
}

static void another_store_is_refused(void **state)
{
    struct fixture *f = *state;
    struct meta_index *other;
    uint8_t uuid[16];
    memcpy(uuid, test_uuid, sizeof(uuid));
    uuid[15] ^= 1;
    close_all(f);
    assert_int_equal(meta_open(f->path, uuid, &other), -HOLO_ESTALE);
    open_again(f);
    assert_int_equal(meta_verify(f->idx), 0);
}

static void an_absent_index_is_enoent(void **state)
{
    struct fixture *f = *state;
    struct meta_index *other;
    close_all(f);
    assert_int_equal(meta_remove(f->path), 0);
    assert_int_equal(meta_remove(f->path), 0);
    assert_int_equal(meta_open(f->path, test_uuid, &other), -ENOENT);
    assert_int_equal(file_size(f, ""), -1);
}

static void create_replaces_what_was_there(void **state)
{
    struct fixture *f = *state;
    char name[96];
    begin(f);
    put_inode(f, 4, 44);
    commit(f);
    close_all(f);
    snprintf(name, sizeof(name), "%s-wal", f->path);
    FILE *p = fopen(name, "w");
    fputs("garbage", p);
    fclose(p);
    assert_int_equal(meta_create(f->path, test_uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    assert_int_equal(size_of(f->r, 4), 0);
}

static void snapshots_hold_while_commits_go_on(void **state)
{
    struct fixture *f = *state;
    struct meta_state st;
    struct meta_reader *late;
    uint64_t n;
    begin(f);
    put_inode(f, 1, 10);
    commit(f);
    assert_int_equal(meta_snapshot_begin(f->r, &st), 0);
    assert_true(st.txg == f->st.txg);
    begin(f);
    for (uint64_t ino = 1; ino < 1000; ino++)
        put_inode(f, ino, 20);
    commit(f);
    assert_int_equal(meta_reader_open(f->idx, &late), 0);
    assert_int_equal(size_of(late, 1), 20);
    assert_int_equal(size_of(f->r, 1), 10);
    assert_int_equal(meta_count_inodes(f->r, &n), 0);
    assert_int_equal(n, 1);
    meta_snapshot_end(f->r);
    assert_int_equal(size_of(f->r, 1), 20);
    meta_reader_close(late);
}

static void a_checkpoint_does_not_wait_for_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct meta_state st;
    begin(f);
    put_inode(f, 1, 10);
    commit(f);
    assert_int_equal(meta_snapshot_begin(f->r, &st), 0);
    begin(f);
    put_inode(f, 1, 20);
    commit(f);
    uint64_t before = clock_mono_ns();
    assert_int_equal(meta_checkpoint(f->idx), 0);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    assert_true(clock_mono_ns() - before < UINT64_C(2000000000));
    assert_int_equal(size_of(f->r, 1), 10);
    meta_snapshot_end(f->r);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    assert_int_equal(size_of(f->r, 1), 20);
}

static void the_wal_stays_bounded_by_commits_alone(void **state)
{
    struct fixture *f = *state;
    uint8_t blob[900];
    off_t largest = 0;
    memset(blob, 1, sizeof(blob));
    for (uint32_t round = 0; round < 150; round++) {
        begin(f);
        for (uint64_t ino = 1; ino <= 1000; ino++)
            assert_int_equal(meta_window_put(f->idx, ino, round % 20, blob, sizeof(blob)), 0);
        commit(f);
        if (file_size(f, "-wal") > largest)
            largest = file_size(f, "-wal");
    }
    assert_true(largest > 8 << 20);
    assert_true(largest < 48 << 20);
    assert_int_equal(meta_verify(f->idx), 0);
}

/* Every commit k sets the size of all inodes to k and the txg to k. */
static void write_until_killed(struct fixture *f, int ready)
{
    struct meta_state st = { .txg = 0 };
    char go = 1;
    for (uint64_t k = 1;; k++) {
        if (meta_begin(f->idx))
            _exit(1);
        for (uint64_t ino = 1; ino <= 200; ino++) {
            struct meta_inode i = { .ino = ino, .size = k };
            if (meta_inode_put(f->idx, &i) || meta_window_put(f->idx, ino, 0, &k, sizeof(k)))
                _exit(1);
        }
        st.txg = k;
        if (meta_commit(f->idx, &st) || (k % 50 == 0 && meta_checkpoint(f->idx)))
            _exit(1);
        if (k == 1 && write(ready, &go, 1) != 1)
            _exit(1);
    }
}

static void assert_all_at_state(struct fixture *f)
{
    struct meta_state st;
    assert_int_equal(meta_state_get(f->idx, &st), 0);
    assert_true(st.txg >= 1);
    for (uint64_t ino = 1; ino <= 200; ino++) {
        uint64_t k;
        size_t len;
        assert_true(size_of(f->r, ino) == st.txg);
        assert_int_equal(meta_read_window(f->r, ino, 0, &k, sizeof(k), &len), 0);
        assert_true(k == st.txg);
    }
}

static void a_killed_writer_leaves_whole_commits(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    for (int round = 0; round < 15; round++) {
        int fds[2];
        char go;
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (meta_open(f->path, test_uuid, &f->idx))
                _exit(1);
            write_until_killed(f, fds[1]);
        }
        close(fds[1]);
        assert_int_equal(read(fds[0], &go, 1), 1);
        close(fds[0]);
        usleep((useconds_t)(rnd(f) % 60000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        open_again(f);
        assert_all_at_state(f);
        assert_int_equal(meta_verify(f->idx), 0);
        close_all(f);
    }
}

struct watch {
    struct meta_index *idx;
    atomic_bool stop;
    atomic_int wrong, reads;
};

/* All inodes have the same size in every commit: a snapshot in which they differ is torn. */
static void *watch_commits(void *arg)
{
    struct watch *w = arg;
    struct meta_reader *r;
    struct meta_state st;
    if (meta_reader_open(w->idx, &r)) {
        w->wrong++;
        return NULL;
    }
    uint64_t last = 0;
    while (!w->stop) {
        if (meta_snapshot_begin(r, &st) || st.txg < last)
            w->wrong++;
        last = st.txg;
        for (uint64_t ino = 1; ino <= 50; ino++) {
            struct meta_inode i;
            if (meta_read_inode(r, ino, &i) || i.size != st.txg)
                w->wrong++;
        }
        meta_snapshot_end(r);
        w->reads++;
    }
    meta_reader_close(r);
    return NULL;
}

static void readers_in_threads_see_whole_commits_only(void **state)
{
    struct fixture *f = *state;
    struct watch w = { .idx = f->idx };
    pthread_t threads[3];
    for (int k = 0; k < 2000; k++) {
        begin(f);
        for (uint64_t ino = 1; ino <= 50; ino++)
            put_inode(f, ino, f->st.txg + 1);
        commit(f);
        for (int t = 0; k == 0 && t < 3; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, watch_commits, &w), 0);
        if (k % 100 == 0)
            assert_int_equal(meta_checkpoint(f->idx), 0);
    }
    while (w.reads < 10 && !w.wrong)
        usleep(1000);
    w.stop = true;
    for (int t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(w.wrong, 0);
}

/*
 * Transactions larger than the cache, with rows that grow, shrink, vanish and come back: pages are spilled,
 * freed and used again before they ever reached the file, and no checksum may fail for that.
 */
static void spilled_and_reused_pages_verify(void **state)
{
    struct fixture *f = *state;
    enum { INOS = 4000, BLOB = 12000 };
    uint8_t *blob = malloc(BLOB), *got = malloc(BLOB);
    uint32_t *lens = calloc(INOS, sizeof(*lens)), *kept = calloc(INOS, sizeof(*kept));
    for (int round = 0; round < 6; round++) {
        begin(f);
        for (int i = 0; i < 8000; i++) {
            uint64_t ino = rnd(f) % INOS;
            uint32_t len = rnd(f) % 4 == 0 ? 0 : (uint32_t)(rnd(f) % BLOB);
            memset(blob, (int)(len & 0xff), len);
            assert_int_equal(meta_window_put(f->idx, ino, 0, blob, len), 0);
            lens[ino] = len;
        }
        if (rnd(f) % 3 == 0) {
            meta_rollback(f->idx);
            memcpy(lens, kept, INOS * sizeof(*lens));
        } else {
            commit(f);
            memcpy(kept, lens, INOS * sizeof(*lens));
        }
        for (uint64_t ino = 0; ino < INOS; ino++) {
            size_t len = 0;
            assert_int_equal(meta_read_window(f->r, ino, 0, got, BLOB, &len), lens[ino] ? 0 : -ENOENT);
            memset(blob, (int)(len & 0xff), len);
            assert_int_equal(len, lens[ino]);
            assert_memory_equal(got, blob, len);
        }
        assert_int_equal(meta_verify(f->idx), 0);
    }
    free(blob);
    free(got);
    free(lens);
    free(kept);
}

static void fill_disk(const char *dir, char name[96])
{
    static const char zeros[65536];
    snprintf(name, 96, "%s/filler", dir);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    size_t n = sizeof(zeros);
    while (n) {
        if (write(fd, zeros, n) <= 0)
            n /= 2;
    }
    close(fd);
}

static int put_until_error(struct fixture *f)
{
    uint8_t blob[3000] = { 1 };
    begin(f);
    for (uint64_t ino = 100; ino < 20000; ino++) {
        int rc = meta_window_put(f->idx, ino, 0, blob, sizeof(blob));
        if (rc) {
            assert_int_equal(meta_window_put(f->idx, ino, 0, blob, sizeof(blob)), rc);
            assert_int_equal(meta_commit(f->idx, &f->st), rc);
            return rc;
        }
    }
    return meta_commit(f->idx, &f->st);
}

static void a_full_disk_is_enospc_and_the_index_stays_usable(void **state)
{
    struct fixture *f = *state;
    char filler[96];
    if (geteuid() || mount("none", f->dir, "tmpfs", 0, "size=8m")) {
        skip();
        return;
    }
    meta_reader_close(f->r);
    struct meta_index *hidden = f->idx; /* its file is below the mount */
    assert_int_equal(meta_create(f->path, test_uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    begin(f);
    put_inode(f, 1, 11);
    commit(f);
    fill_disk(f->dir, filler);
    assert_int_equal(put_until_error(f), -ENOSPC);
    assert_int_equal(size_of(f->r, 1), 11);
    assert_int_equal(unlink(filler), 0);
    begin(f);
    put_inode(f, 2, 22);
    commit(f);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    assert_int_equal(size_of(f->r, 2), 22);
    assert_int_equal(meta_verify(f->idx), 0);
    close_all(f);
    open_again(f);
    assert_int_equal(size_of(f->r, 2), 22);
    close_all(f);
    assert_int_equal(umount(f->dir), 0);
    f->idx = hidden;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_state_survives_close_and_open),
        TEST(a_rollback_leaves_nothing),
        TEST(another_store_is_refused),
        TEST(an_absent_index_is_enoent),
        TEST(create_replaces_what_was_there),
        TEST(snapshots_hold_while_commits_go_on),
        TEST(a_checkpoint_does_not_wait_for_a_snapshot),
        TEST(the_wal_stays_bounded_by_commits_alone),
        TEST(a_killed_writer_leaves_whole_commits),
        TEST(readers_in_threads_see_whole_commits_only),
        TEST(spilled_and_reused_pages_verify),
        TEST(a_full_disk_is_enospc_and_the_index_stays_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
