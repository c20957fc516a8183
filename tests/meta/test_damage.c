/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_damage.c: flipped, swapped, zeroed, cut and foreign bytes are reported, and never read as rows. */
#include "tests/meta/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/sum.h"
#include "meta/conn.h"
#include "meta/vfs.h"

enum { FILES = 300, BLOB = 3000 };

/* Everything that one walk over the tables has seen, row by row, in order. */
struct digest {
    uint64_t rows, sum;
};

static void add(struct digest *d, const void *p, size_t len)
{
    d->sum = sum64(p, len, d->sum + 1);
    d->rows++;
}

static int add_inode(void *arg, const struct meta_inode *i)
{
    uint64_t v[3] = { i->ino, i->size, (uint64_t)i->mtime_ns };
    add(arg, v, sizeof(v));
    return 0;
}

static int add_dent(void *arg, const struct meta_dent *d)
{
    uint64_t v[3] = { d->parent, d->ino, d->cookie };
    add(arg, d->name, d->name_len);
    add(arg, v, sizeof(v));
    return 0;
}

static int add_bytes(void *arg, uint64_t ino, const char *target, size_t len)
{
    add(arg, &ino, sizeof(ino));
    add(arg, target, len);
    return 0;
}

static int add_xattr(void *arg, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len)
{
    add(arg, &ino, sizeof(ino));
    add(arg, name, name_len);
    add(arg, value, len);
    return 0;
}

static int add_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    uint64_t v[2] = { ino, window };
    add(arg, v, sizeof(v));
    add(arg, blob, len);
    return 0;
}

enum { TABLES = 7 };

/* Walk table by table; a table that could not be read to its end has rc[t] < 0. */
static void walk(struct meta_reader *r, struct digest d[TABLES], int rc[TABLES])
{
    memset(d, 0, TABLES * sizeof(*d));
    rc[0] = meta_each_inode(r, add_inode, &d[0]);
    rc[1] = meta_each_dent(r, add_dent, &d[1]);
    rc[2] = meta_each_symlink(r, add_bytes, &d[2]);
    rc[3] = meta_each_xattr(r, add_xattr, &d[3]);
    rc[4] = meta_each_window(r, add_window, &d[4]);
    rc[5] = meta_read_dir(r, 5, 0, add_dent, &d[5]);
    rc[6] = meta_count_inodes(r, &d[6].rows);
}

static void fill(struct fixture *f)
{
    uint8_t blob[BLOB];
    char name[64];
    begin(f);
    for (uint64_t ino = 10; ino < 10 + FILES; ino++) {
        struct meta_inode i = { .ino = ino, .size = rnd(f) >> 1, .mtime_ns = (int64_t)rnd(f) };
        int n = snprintf(name, sizeof(name), "%016llx-a-name", (unsigned long long)rnd(f));
        struct meta_dent d = { .parent = 5, .ino = ino, .cookie = ino, .type = 8, .name = name, .name_len = (uint32_t)n };
        memset(blob, (int)(ino & 0xff), sizeof(blob));
        assert_int_equal(meta_inode_put(f->idx, &i), 0);
        assert_int_equal(meta_dent_put(f->idx, &d), 0);
        assert_int_equal(meta_window_put(f->idx, ino, 0, blob, ino % 4 ? 60 : BLOB), 0);
        if (ino % 5 == 0)
            assert_int_equal(meta_symlink_put(f->idx, ino, (const char *)blob, 500), 0);
        if (ino % 20 == 0)
            assert_int_equal(meta_xattr_put(f->idx, ino, "user.x", 6, blob, BLOB), 0);
    }
    commit(f);
}

static uint8_t *slurp(struct fixture *f, const char *suffix, size_t *len)
{
    char name[96];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", f->path, suffix);
    int fd = open(name, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *len = (size_t)st.st_size;
    uint8_t *p = malloc(*len);
    assert_int_equal(pread(fd, p, *len, 0), (ssize_t)*len);
    close(fd);
    return p;
}

static void put_file(struct fixture *f, const char *suffix, const uint8_t *p, size_t len)
{
    char name[96];
    snprintf(name, sizeof(name), "%s%s", f->path, suffix);
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, len), (ssize_t)len);
    close(fd);
}

/* An index at rest: a clean close leaves no WAL. */
struct files {
    uint8_t *bytes, *sum[2];
    size_t len, sum_len[2];
};

static const char *const sum_suffix[2] = { "-sum0", "-sum1" };

static struct files take_files(struct fixture *f)
{
    struct files o;
    o.bytes = slurp(f, "", &o.len);
    for (int i = 0; i < 2; i++)
        o.sum[i] = slurp(f, sum_suffix[i], &o.sum_len[i]);
    return o;
}

/* The sums of `o`, and these bytes as the database. */
static void spew(struct fixture *f, const struct files *o, const uint8_t *p, size_t len)
{
    meta_remove(f->path);
    put_file(f, "", p, len);
    for (int i = 0; i < 2; i++)
        put_file(f, sum_suffix[i], o->sum[i], o->sum_len[i]);
}

static void free_files(struct files *o)
{
    free(o->bytes);
    free(o->sum[0]);
    free(o->sum[1]);
}

static bool is_damage(int rc)
{
    return rc == -HOLO_ESUM || rc == -HOLO_ECORRUPT;
}

struct original {
    struct files at_rest;
    uint8_t *bytes; /* of the database */
    size_t len;
    struct digest d[TABLES];
};

static struct original make_original(struct fixture *f)
{
    struct original o;
    int rc[TABLES];
    fill(f);
    walk(f->r, o.d, rc);
    for (int t = 0; t < TABLES; t++)
        assert_int_equal(rc[t], 0);
    close_all(f);
    o.at_rest = take_files(f);
    o.bytes = o.at_rest.bytes;
    o.len = o.at_rest.len;
    assert_true(o.len > 100 * META_PAGE_SIZE);
    return o;
}

/* Put bad bytes in place of the index: opening or verifying says so, and no table is read wrongly. */
static void assert_noticed(struct fixture *f, const struct original *o, const uint8_t *bad, size_t len)
{
    struct digest d[TABLES];
    int rc[TABLES];
    spew(f, &o->at_rest, bad, len);
    int opened = meta_open(f->path, test_uuid, &f->idx);
    if (opened) {
        assert_true(is_damage(opened));
        return;
    }
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    walk(f->r, d, rc);
    for (int t = 0; t < TABLES; t++) {
        assert_true(rc[t] == 0 || is_damage(rc[t]));
        if (rc[t] == 0)
            assert_memory_equal(&d[t], &o->d[t], sizeof(d[t]));
    }
    assert_true(is_damage(meta_verify(f->idx)));
    close_all(f);
}

static void restore(struct fixture *f, struct original *o)
{
    spew(f, &o->at_rest, o->bytes, o->len);
    open_again(f);
    assert_int_equal(meta_verify(f->idx), 0);
    free_files(&o->at_rest);
}

static void a_flipped_byte_in_any_page_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    for (size_t page = 0; page < o.len; page += META_PAGE_SIZE) {
        size_t at = page + rnd(f) % META_PAGE_SIZE;
        uint8_t flip = (uint8_t)(rnd(f) % 255 + 1);
        o.bytes[at] ^= flip;
        assert_noticed(f, &o, o.bytes, o.len);
        o.bytes[at] ^= flip;
    }
    restore(f, &o);
}

static void every_byte_of_the_header_is_guarded(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    for (size_t at = 0; at < 110; at++) {
        uint8_t flip = (uint8_t)(rnd(f) % 255 + 1);
        o.bytes[at] ^= flip;
        assert_noticed(f, &o, o.bytes, o.len);
        o.bytes[at] ^= flip;
    }
    restore(f, &o);
}

static void swapped_and_zeroed_pages_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    uint8_t *bad = malloc(o.len);
    size_t pages = o.len / META_PAGE_SIZE;
    for (int i = 0; i < 20; i++) {
        size_t a = rnd(f) % pages, b = rnd(f) % pages;
        if (a == b)
            continue;
        memcpy(bad, o.bytes, o.len);
        memcpy(bad + a * META_PAGE_SIZE, o.bytes + b * META_PAGE_SIZE, META_PAGE_SIZE);
        memcpy(bad + b * META_PAGE_SIZE, o.bytes + a * META_PAGE_SIZE, META_PAGE_SIZE);
        assert_noticed(f, &o, bad, o.len);
        memcpy(bad, o.bytes, o.len);
        memset(bad + a * META_PAGE_SIZE, 0, META_PAGE_SIZE);
        assert_noticed(f, &o, bad, o.len);
    }
    free(bad);
    restore(f, &o);
}

static void a_page_of_another_store_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    uint8_t uuid[16] = { 99 };
    size_t len;
    assert_int_equal(meta_create(f->path, uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
    fill(f);
    close_all(f);
    uint8_t *foreign = slurp(f, "", &len), *bad = malloc(o.len);
    for (size_t page = META_PAGE_SIZE; page < len && page < o.len; page += 7 * META_PAGE_SIZE) {
        memcpy(bad, o.bytes, o.len);
        memcpy(bad + page, foreign + page, META_PAGE_SIZE);
        assert_noticed(f, &o, bad, o.len);
    }
    free(foreign);
    free(bad);
    restore(f, &o);
}

static void cut_files_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    const size_t lens[] = { 0, 1, 99, 100, 511, 4095, 4096, 4097, 8192, o.len / 2, o.len - META_PAGE_SIZE, o.len - 1 };
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        assert_noticed(f, &o, o.bytes, lens[i]);
    restore(f, &o);
}

static void garbage_is_refused(void **state)
{
    struct fixture *f = *state;
    struct original o = make_original(f);
    uint8_t *bad = malloc(o.len);
    for (size_t i = 0; i < o.len; i++)
        bad[i] = (uint8_t)rnd(f);
    assert_noticed(f, &o, bad, o.len);
    assert_noticed(f, &o, bad, 5000);
    memset(bad, 0, o.len);
    assert_noticed(f, &o, bad, o.len);
    memcpy(bad, "SQLite format 3", 16);
    assert_noticed(f, &o, bad, o.len);
    free(bad);
    restore(f, &o);
}

static void a_database_that_is_no_index_is_refused(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db;
    close_all(f);
    meta_remove(f->path);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE inode(ino INTEGER PRIMARY KEY)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_true(is_damage(meta_open(f->path, test_uuid, &f->idx)));
}

static void a_missing_table_or_state_row_is_damage(void **state)
{
    static const char *const sql[] = { "DROP TABLE orphan", "DROP INDEX dent_order", "DELETE FROM state", "UPDATE state SET uuid = x'00'" };
    struct fixture *f = *state;
    struct original o = make_original(f);
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        struct conn c;
        spew(f, &o.at_rest, o.bytes, o.len);
        struct page_sums *sums;
        assert_int_equal(sums_load(f->path, test_uuid, &sums), 0);
        assert_int_equal(conn_open(&c, f->path, test_uuid, sums, CONN_WRITE), 0);
        assert_int_equal(conn_exec(&c, sql[i]), 0);
        conn_close(&c);
        sums_unref(sums);
        assert_int_equal(meta_open(f->path, test_uuid, &f->idx), -HOLO_ECORRUPT);
    }
    restore(f, &o);
}

static void damage_page(struct fixture *f, size_t page)
{
    uint8_t b;
    int fd = open(f->path, O_RDWR);
    off_t at = (off_t)(page * META_PAGE_SIZE + rnd(f) % META_PAGE_SIZE);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

static void a_write_that_meets_a_bad_page_fails_its_transaction(void **state)
{
    struct fixture *f = *state;
    struct meta_inode i = { .ino = 12, .size = 1 };
    struct original o = make_original(f);
    open_again(f);
    for (size_t page = 1; page < o.len / META_PAGE_SIZE; page++)
        damage_page(f, page);
    begin(f);
    assert_int_equal(meta_inode_put(f->idx, &i), -HOLO_ESUM);
    assert_int_equal(meta_orphan_put(f->idx, 3), -HOLO_ESUM);
    assert_int_equal(meta_commit(f->idx, &f->st), -HOLO_ESUM);
    assert_int_equal(meta_read_inode(f->r, 12, &i), -HOLO_ESUM);
    assert_int_equal(meta_path_of(f->r, 12, (char[50]){ 0 }, 50), -HOLO_ESUM);
    close_all(f);
    restore(f, &o);
}

/* Flip a byte in the page of every frame but leave sqlite's in-memory index of the WAL as it is. */
static void damage_wal(struct fixture *f)
{
    char name[96];
    struct stat st;
    snprintf(name, sizeof(name), "%s-wal", f->path);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t frame = 32; frame < st.st_size; frame += 24 + META_PAGE_SIZE) {
        uint8_t b;
        off_t at = frame + 24 + (off_t)(rnd(f) % META_PAGE_SIZE);
        assert_int_equal(pread(fd, &b, 1, at), 1);
        b ^= 0x04;
        assert_int_equal(pwrite(fd, &b, 1, at), 1);
    }
    close(fd);
}

static void rot_in_the_wal_is_not_blessed_by_a_checkpoint(void **state)
{
    struct fixture *f = *state;
    struct digest d[TABLES];
    int rc[TABLES];
    assert_int_equal(meta_checkpoint(f->idx), 0);
    fill(f);
    damage_wal(f);
    walk(f->r, d, rc);
    for (int t = 0; t < TABLES; t++)
        assert_int_equal(rc[t], -HOLO_ESUM);
    assert_int_equal(meta_checkpoint(f->idx), -HOLO_ESUM);
    close_all(f);
    open_again(f);
    struct meta_state st;
    assert_int_equal(meta_state_get(f->idx, &st), 0);
    assert_int_equal(st.txg, 0);
    assert_int_equal(meta_verify(f->idx), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flipped_byte_in_any_page_is_noticed),
        TEST(every_byte_of_the_header_is_guarded),
        TEST(swapped_and_zeroed_pages_are_noticed),
        TEST(a_page_of_another_store_is_noticed),
        TEST(cut_files_are_noticed),
        TEST(garbage_is_refused),
        TEST(a_database_that_is_no_index_is_refused),
        TEST(a_missing_table_or_state_row_is_damage),
        TEST(rot_in_the_wal_is_not_blessed_by_a_checkpoint),
        TEST(a_write_that_meets_a_bad_page_fails_its_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
