/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_stale.c: contents that were right once: pages whose last write was lost, WALs and sums of another time or another database.
 * Rows are those of one commit, as a whole, or damage is reported.
 */
#include "tests/meta/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "meta/vfs.h"

enum { ROWS = 400, FILES = 5 };
static const char *const suffix[FILES] = { "", "-sum0", "-sum1", "-wal", "-shm" };

/* The files of an index as they are now. */
struct snap {
    uint8_t *p[FILES];
    size_t len[FILES];
};

static void name_of(const struct fixture *f, int i, char out[96])
{
    snprintf(out, 96, "%s%s", f->path, suffix[i]);
}

static struct snap take(const struct fixture *f)
{
    struct snap s = { 0 };
    for (int i = 0; i < FILES; i++) {
        char name[96];
        struct stat st;
        name_of(f, i, name);
        int fd = open(name, O_RDONLY);
        if (fd < 0)
            continue;
        assert_int_equal(fstat(fd, &st), 0);
        s.len[i] = (size_t)st.st_size;
        s.p[i] = malloc(s.len[i] + 1);
        assert_int_equal(pread(fd, s.p[i], s.len[i], 0), (ssize_t)s.len[i]);
        close(fd);
    }
    return s;
}

static void put_one(const struct fixture *f, const struct snap *s, int i)
{
    char name[96];
    name_of(f, i, name);
    unlink(name);
    if (!s->p[i])
        return;
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, s->p[i], s->len[i]), (ssize_t)s->len[i]);
    close(fd);
}

static void put(const struct fixture *f, const struct snap *s)
{
    for (int i = 0; i < FILES; i++)
        put_one(f, s, i);
}

static void drop(struct snap *s)
{
    for (int i = 0; i < FILES; i++)
        free(s->p[i]);
}

/* Everything says which commit it is from: every row of round n has n in it. */
static void round_of(struct fixture *f, uint64_t n)
{
    uint8_t blob[400];
    memset(blob, (int)n, sizeof(blob));
    begin(f);
    for (uint64_t ino = 1; ino <= ROWS; ino++) {
        char name[32];
        struct meta_inode i = { .ino = ino, .size = n };
        int len = snprintf(name, sizeof(name), "name%llu", (unsigned long long)ino);
        struct meta_dent d = { .parent = 1 + ino % 7, .ino = ino, .cookie = n * ROWS + ino, .type = 8, .name = name, .name_len = (uint32_t)len };
        assert_int_equal(meta_inode_put(f->idx, &i), 0);
        assert_int_equal(meta_dent_put(f->idx, &d), 0);
        assert_int_equal(meta_window_put(f->idx, ino, 0, blob, sizeof(blob)), 0);
    }
    commit(f);
    assert_int_equal(f->st.txg, n);
}

struct seen {
    uint64_t n, rows;
};

static int see_inode(void *arg, const struct meta_inode *i)
{
    struct seen *s = arg;
    assert_int_equal(i->size, s->n);
    s->rows++;
    return 0;
}

static int see_dent(void *arg, const struct meta_dent *d)
{
    struct seen *s = arg;
    assert_int_equal((d->cookie - 1) / ROWS, s->n);
    s->rows++;
    return 0;
}

static int see_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct seen *s = arg;
    (void)ino;
    (void)window;
    assert_int_equal(len, 400);
    assert_int_equal(((const uint8_t *)blob)[0], s->n);
    s->rows++;
    return 0;
}

static bool is_damage(int rc)
{
    return rc == -HOLO_ESUM || rc == -HOLO_ECORRUPT || rc == -HOLO_ESTALE;
}

/* Open and read it all: the txg it stands for, and its rows are of that; or 0, damage was reported. */
static uint64_t txg_of(struct fixture *f)
{
    struct meta_state st;
    struct meta_index *idx;
    struct meta_reader *r;
    int rc = meta_open(f->path, test_uuid, &idx);
    if (rc) {
        assert_true(is_damage(rc));
        return 0;
    }
    assert_int_equal(meta_reader_open(idx, &r), 0);
    rc = meta_state_get(idx, &st);
    uint64_t n = rc ? 0 : st.txg;
    for (int table = 0; table < 4 && n; table++) {
        struct seen s = { .n = n };
        rc = table == 0 ? meta_each_inode(r, see_inode, &s) : table == 1 ? meta_each_dent(r, see_dent, &s)
           : table == 2 ? meta_each_window(r, see_window, &s) : 0;
        assert_true(rc == 0 || is_damage(rc));
        if (table < 3 && rc == 0)
            assert_int_equal(s.rows, ROWS);
        n = rc ? 0 : n;
    }
    meta_reader_close(r);
    rc = meta_verify(idx);
    assert_true(rc == 0 || is_damage(rc));
    assert_true(rc == 0 || n == 0 || n == st.txg);
    meta_close(idx);
    return rc ? 0 : n;
}

static void a_page_whose_last_write_was_lost_is_noticed(void **state)
{
    struct fixture *f = *state;
    size_t differ = 0;
    round_of(f, 1);
    close_all(f);
    struct snap a = take(f);
    open_again(f);
    round_of(f, 2);
    close_all(f);
    struct snap b = take(f);
    for (size_t at = 0; at < a.len[0] && at < b.len[0]; at += META_PAGE_SIZE) {
        uint8_t page[META_PAGE_SIZE];
        if (memcmp(a.p[0] + at, b.p[0] + at, META_PAGE_SIZE) == 0)
            continue;
        memcpy(page, b.p[0] + at, META_PAGE_SIZE);
        memcpy(b.p[0] + at, a.p[0] + at, META_PAGE_SIZE);
        put(f, &b);
        assert_int_equal(txg_of(f), 0);
        memcpy(b.p[0] + at, page, META_PAGE_SIZE);
        differ++;
    }
    assert_true(differ > 30); /* leaves and inner pages of every table, and that of the state */
    put(f, &b);
    assert_int_equal(txg_of(f), 2);
    put(f, &a); /* all of an older time is no damage */
    assert_int_equal(txg_of(f), 1);
    drop(&a);
    drop(&b);
    open_again(f);
}

static void a_damaged_copy_of_the_sums_never_makes_an_old_page_right(void **state)
{
    struct fixture *f = *state;
    unsigned used = 0;
    round_of(f, 1);
    round_of(f, 2);
    close_all(f);
    struct snap b = take(f);
    for (int i = 1; i <= 2; i++) {
        for (int kind = 0; kind < 40; kind++) {
            struct snap bad = b;
            uint8_t *copy = malloc(b.len[i]);
            memcpy(copy, b.p[i], b.len[i]);
            bad.p[i] = kind == 0 ? NULL : copy;
            bad.len[i] = kind == 1 ? 0 : kind == 2 ? b.len[i] / 2 : b.len[i];
            if (kind > 2)
                copy[rnd(f) % (kind < 20 ? 72 : b.len[i])] ^= (uint8_t)(1 + rnd(f) % 255);
            put(f, &bad);
            uint64_t n = txg_of(f); /* the other copy is newer, or older and then does not fit */
            assert_true(n == 0 || n == 2);
            used += n == 2;
            free(copy);
        }
    }
    assert_true(used >= 39); /* one of the two was not needed */
    struct snap none = b;
    none.p[1] = none.p[2] = NULL;
    put(f, &none);
    assert_int_equal(meta_open(f->path, test_uuid, &f->idx), -HOLO_ESUM);
    put(f, &b);
    assert_int_equal(txg_of(f), 2);
    drop(&b);
    open_again(f);
}

/* A process that was killed: a WAL with rounds 3 and 4 over a database with round 2. */
static struct snap killed(struct fixture *f)
{
    round_of(f, 1);
    round_of(f, 2);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    round_of(f, 3);
    round_of(f, 4);
    return take(f);
}

static void without_its_wal_an_index_is_as_at_the_last_checkpoint(void **state)
{
    struct fixture *f = *state;
    struct snap s = killed(f);
    close_all(f);
    struct snap bad = s;
    bad.p[3] = NULL;
    put(f, &bad);
    assert_int_equal(txg_of(f), 2);
    for (int kind = 0; kind < 30; kind++) {
        uint8_t *wal = malloc(s.len[3]);
        memcpy(wal, s.p[3], s.len[3]);
        for (size_t i = 0; i < s.len[3] && kind == 0; i++)
            wal[i] = (uint8_t)rnd(f);
        if (kind > 0)
            wal[rnd(f) % s.len[3]] ^= 0x40;
        bad.p[3] = wal;
        put(f, &bad);
        uint64_t n = txg_of(f);
        assert_true(n == 2 || n == 3 || (kind && n == 4));
        free(wal);
    }
    for (int kind = 0; kind < 3; kind++) { /* the WAL-index is made anew by whoever comes first */
        uint8_t noise[65536];
        bad = s;
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = kind == 0 ? 0 : (uint8_t)rnd(f);
        bad.p[4] = noise;
        bad.len[4] = kind == 2 ? 100 : 32768;
        put(f, &bad);
        assert_int_equal(txg_of(f), 4);
    }
    drop(&s);
    open_again(f);
}

static void a_wal_of_another_database_or_time_is_refused(void **state)
{
    struct fixture *f = *state;
    struct snap s = killed(f);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    round_of(f, 5); /* begins the WAL anew */
    assert_int_equal(meta_checkpoint(f->idx), 0);
    round_of(f, 6);
    struct snap later = take(f);
    close_all(f);
    assert_true(memcmp(s.p[3] + 16, later.p[3] + 16, 8) != 0);
    struct snap bad = later;
    bad.p[3] = s.p[3];
    bad.len[3] = s.len[3];
    put(f, &bad);
    assert_int_equal(meta_open(f->path, test_uuid, &f->idx), -HOLO_ESTALE);
    assert_int_equal(meta_create(f->path, test_uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    f->st.txg = 6;
    round_of(f, 7);
    struct snap other = take(f);
    close_all(f);
    bad = later;
    bad.p[3] = other.p[3];
    bad.len[3] = other.len[3];
    put(f, &bad);
    assert_int_equal(meta_open(f->path, test_uuid, &f->idx), -HOLO_ESTALE);
    put(f, &later);
    assert_int_equal(txg_of(f), 6);
    drop(&s);
    drop(&later);
    drop(&other);
    open_again(f);
}

/* What a checkpoint has copied must not be mixed with what is left of a WAL that was cut behind it. */
static void a_cut_wal_is_never_mixed_with_what_it_was_copied_to(void **state)
{
    struct fixture *f = *state;
    struct snap s = killed(f);
    assert_int_equal(meta_checkpoint(f->idx), 0);
    struct snap done = take(f);
    close_all(f);
    size_t mixed = 0;
    for (size_t len = 32; len < done.len[3]; len += 24 + META_PAGE_SIZE) {
        struct snap bad = done;
        bad.len[3] = len;
        put(f, &bad);
        uint64_t n = txg_of(f);
        assert_true(n == 0 || n == 4);
        mixed += n == 0;
    }
    assert_true(mixed > 10);
    put(f, &done);
    assert_int_equal(txg_of(f), 4);
    drop(&s);
    drop(&done);
    open_again(f);
}

static void a_foreign_rollback_journal_changes_nothing(void **state)
{
    struct fixture *f = *state;
    char journal[96];
    round_of(f, 1);
    close_all(f);
    snprintf(journal, sizeof(journal), "%s-journal", f->path);
    int fd = open(journal, O_CREAT | O_WRONLY, 0600);
    static const uint8_t head[512] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0x10 };
    assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
    close(fd);
    assert_int_equal(txg_of(f), 1);
    assert_int_not_equal(access(journal, F_OK), 0);
    open_again(f);
}

static void what_nobody_writes_is_read_without_a_trace(void **state)
{
    struct fixture *f = *state;
    struct meta_inode i;
    round_of(f, 1);
    struct snap s = take(f);
    close_all(f);
    struct snap rest = take(f);
    put(f, &s);
    assert_int_equal(meta_open_immutable(f->path, test_uuid, &f->idx), -HOLO_ESTALE);
    put(f, &rest);
    assert_int_equal(meta_open_immutable(f->path, test_uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    assert_int_equal(meta_read_inode(f->r, 3, &i), 0);
    assert_int_equal(meta_verify(f->idx), 0);
    assert_int_equal(meta_begin(f->idx), 0);
    assert_int_equal(meta_inode_put(f->idx, &i), -EROFS);
    meta_rollback(f->idx);
    close_all(f);
    struct snap after = take(f);
    for (int n = 0; n < FILES; n++) {
        assert_int_equal(after.len[n], rest.len[n]);
        assert_memory_equal(after.p[n] ? after.p[n] : (uint8_t *)"", rest.p[n] ? rest.p[n] : (uint8_t *)"", rest.len[n]);
    }
    drop(&s);
    drop(&rest);
    drop(&after);
    open_again(f);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct meta_index *idx;
    char other[96];
    close_all(f);
    snprintf(other, sizeof(other), "%s-elsewhere", f->path);
    assert_int_equal(rename(f->path, other), 0);
    assert_int_equal(symlink(other, f->path), 0);
    assert_int_equal(meta_open(f->path, test_uuid, &idx), -ELOOP);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(meta_open(f->path, test_uuid, &idx), -EISDIR);
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(meta_open(f->path, test_uuid, &idx), -EINVAL);
    assert_int_equal(rename(other, f->path), 0);
    open_again(f);
}

/* More pages than one write of sqlite's VFS takes sums. */
static void an_index_of_many_pages_keeps_its_sums(void **state)
{
    struct fixture *f = *state;
    uint8_t blob[60000] = { 7 };
    for (uint64_t n = 1; n <= 3; n++) {
        begin(f);
        for (uint64_t ino = 1; ino <= 500; ino++)
            assert_int_equal(meta_window_put(f->idx, n * 1000 + ino, 0, blob, sizeof(blob)), 0);
        commit(f);
        assert_int_equal(meta_checkpoint(f->idx), 0);
    }
    assert_true(meta_sums_bytes(f->idx) > 150000);
    close_all(f);
    open_again(f);
    assert_int_equal(meta_verify(f->idx), 0);
    size_t len;
    assert_int_equal(meta_window_get(f->idx, 3500, 0, blob, sizeof(blob), &len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_page_whose_last_write_was_lost_is_noticed),
        TEST(a_damaged_copy_of_the_sums_never_makes_an_old_page_right),
        TEST(without_its_wal_an_index_is_as_at_the_last_checkpoint),
        TEST(a_wal_of_another_database_or_time_is_refused),
        TEST(a_cut_wal_is_never_mixed_with_what_it_was_copied_to),
        TEST(a_foreign_rollback_journal_changes_nothing),
        TEST(what_nobody_writes_is_read_without_a_trace),
        TEST(what_is_no_regular_file_is_refused),
        TEST(an_index_of_many_pages_keeps_its_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
