/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_dirs.c: directory entries, listings that go on while entries come and go, and paths of inodes. */
#include "tests/meta/fixture.h"

enum { ENTRIES = 100000, STEP = 777 };

static void put_named(struct fixture *f, uint64_t parent, const char *name, uint64_t ino, uint64_t cookie)
{
    struct meta_dent d = { .parent = parent, .ino = ino, .cookie = cookie, .type = 8, .name = name, .name_len = (uint32_t)strlen(name) };
    assert_int_equal(meta_dent_put(f->idx, &d), 0);
}

static void put_numbered(struct fixture *f, uint64_t parent, uint64_t n)
{
    char name[32];
    snprintf(name, sizeof(name), "%llx-%llu", (unsigned long long)(n * UINT64_C(0x9e3779b97f4a7c15)), (unsigned long long)n);
    put_named(f, parent, name, n + 1000, n);
}

static void del_numbered(struct fixture *f, uint64_t parent, uint64_t n)
{
    char name[32];
    snprintf(name, sizeof(name), "%llx-%llu", (unsigned long long)(n * UINT64_C(0x9e3779b97f4a7c15)), (unsigned long long)n);
    assert_int_equal(meta_dent_del(f->idx, parent, name, strlen(name)), 0);
}

static void entries_are_found_replaced_and_deleted_by_bytes(void **state)
{
    struct fixture *f = *state;
    struct meta_dent d;
    char longest[META_NAME_MAX + 1];
    memset(longest, 0xfe, sizeof(longest));
    struct meta_dent l = { .parent = 5, .ino = 3, .cookie = 4, .type = 4, .name = longest, .name_len = META_NAME_MAX };
    begin(f);
    put_named(f, 5, "a", 10, 1);
    put_named(f, 5, "A", 11, 2);
    put_named(f, 6, "a", 12, 3);
    assert_int_equal(meta_dent_put(f->idx, &l), 0);
    l.name_len++;
    assert_int_equal(meta_dent_put(f->idx, &l), -ENAMETOOLONG);
    l.name_len = 0;
    assert_int_equal(meta_dent_put(f->idx, &l), -EINVAL);
    put_named(f, 5, "a", 20, 9);
    commit(f);
    assert_int_equal(meta_read_dent(f->r, 5, "a", 1, &d), 0);
    assert_int_equal(d.ino, 20);
    assert_int_equal(d.cookie, 9);
    assert_int_equal(meta_read_dent(f->r, 5, "A", 1, &d), 0);
    assert_int_equal(d.ino, 11);
    assert_int_equal(meta_read_dent(f->r, 5, longest, META_NAME_MAX, &d), 0);
    assert_int_equal(d.type, 4);
    assert_int_equal(d.parent, 5);
    assert_int_equal(meta_read_dent(f->r, 5, "b", 1, &d), -ENOENT);
    begin(f);
    assert_int_equal(meta_dent_del(f->idx, 5, "a", 1), 0);
    assert_int_equal(meta_dent_del(f->idx, 5, "a", 1), 0);
    commit(f);
    assert_int_equal(meta_read_dent(f->r, 5, "a", 1, &d), -ENOENT);
    assert_int_equal(meta_read_dent(f->r, 6, "a", 1, &d), 0);
}

struct listing {
    uint64_t last; /* cookie of the last entry seen */
    int left;      /* entries to take in this step */
    uint8_t *seen; /* how often, by cookie */
};

static int take(void *arg, const struct meta_dent *d)
{
    struct listing *l = arg;
    char suffix[24];
    if (l->left-- == 0)
        return 1;
    assert_true(d->cookie > l->last);
    assert_int_equal(d->ino, d->cookie + 1000);
    int n = snprintf(suffix, sizeof(suffix), "-%llu", (unsigned long long)d->cookie);
    assert_memory_equal(d->name + d->name_len - n, suffix, (size_t)n);
    l->last = d->cookie;
    l->seen[d->cookie]++;
    return 0;
}

static void fill(struct fixture *f)
{
    begin(f);
    for (uint64_t n = 1; n <= ENTRIES; n++)
        put_numbered(f, 5, n);
    put_named(f, 4, "before", 1, 50);
    put_named(f, 6, "behind", 1, 51);
    commit(f);
}

static void a_large_directory_is_listed_once_in_steps(void **state)
{
    struct fixture *f = *state;
    struct listing l = { .seen = calloc(ENTRIES + 1, 1) };
    fill(f);
    int rc;
    do {
        l.left = STEP;
        rc = meta_read_dir(f->r, 5, l.last, take, &l);
    } while (rc == 1);
    assert_int_equal(rc, 0);
    for (int n = 1; n <= ENTRIES; n++)
        assert_int_equal(l.seen[n], 1);
    free(l.seen);
}

/* Even cookies stay for the whole listing; odd ones are deleted at random, new ones are added behind. */
static void entries_that_stay_are_listed_once_while_others_come_and_go(void **state)
{
    struct fixture *f = *state;
    uint64_t next = ENTRIES + 1;
    struct listing l = { .seen = calloc(4 * ENTRIES, 1) };
    fill(f);
    int rc;
    do {
        l.left = STEP;
        rc = meta_read_dir(f->r, 5, l.last, take, &l);
        begin(f);
        for (int i = 0; i < 200; i++)
            del_numbered(f, 5, (rnd(f) % ENTRIES) | 1);
        for (int i = 0; i < 20; i++)
            put_numbered(f, 5, next++);
        commit(f);
    } while (rc == 1);
    assert_int_equal(rc, 0);
    for (int n = 2; n <= ENTRIES; n += 2)
        assert_int_equal(l.seen[n], 1);
    for (int n = 1; n < 2 * ENTRIES; n += 2)
        assert_true(l.seen[n] <= 1);
    free(l.seen);
}

struct dump {
    struct meta_dent last;
    char name[META_NAME_MAX];
    int n;
};

static int in_key_order(void *arg, const struct meta_dent *d)
{
    struct dump *u = arg;
    size_t n = d->name_len < u->last.name_len ? d->name_len : u->last.name_len;
    int cmp = memcmp(u->name, d->name, n);
    assert_true(u->last.parent < d->parent || (u->last.parent == d->parent && (cmp < 0 || (cmp == 0 && u->last.name_len < d->name_len))));
    u->last = *d;
    memcpy(u->name, d->name, d->name_len);
    u->n++;
    return 0;
}

static void all_entries_come_in_key_order(void **state)
{
    struct fixture *f = *state;
    struct dump u = { 0 };
    fill(f);
    assert_int_equal(meta_each_dent(f->r, in_key_order, &u), 0);
    assert_int_equal(u.n, ENTRIES + 2);
}

static void put_inode(struct fixture *f, uint64_t ino, uint64_t parent)
{
    struct meta_inode i = { .ino = ino, .parent = parent };
    assert_int_equal(meta_inode_put(f->idx, &i), 0);
}

static void paths_lead_through_nested_directories(void **state)
{
    struct fixture *f = *state;
    char buf[4096];
    begin(f);
    put_inode(f, 1, 1);
    put_inode(f, 2, 1);
    put_inode(f, 3, 2);
    put_inode(f, 4, 3);
    put_inode(f, 5, 1);
    put_named(f, 1, "music", 2, 1);
    put_named(f, 2, "caf\xe9", 3, 2);
    put_named(f, 3, "song.ogg", 4, 3);
    put_named(f, 1, "top", 5, 4);
    commit(f);
    assert_int_equal(meta_path_of(f->r, 4, buf, sizeof(buf)), 20);
    assert_string_equal(buf, "/music/caf\xe9/song.ogg");
    assert_int_equal(meta_path_of(f->r, 5, buf, sizeof(buf)), 4);
    assert_string_equal(buf, "/top");
    assert_int_equal(meta_path_of(f->r, 1, buf, sizeof(buf)), 1);
    assert_string_equal(buf, "/");
    assert_int_equal(meta_path_of(f->r, 4, buf, 21), 20);
    assert_int_equal(meta_path_of(f->r, 4, buf, 20), -ERANGE);
    assert_int_equal(meta_path_of(f->r, 4, buf, 0), -ERANGE);
    assert_int_equal(meta_path_of(f->r, 99, buf, sizeof(buf)), -ENOENT);
}

static void a_path_is_found_when_the_parent_hint_is_wrong(void **state)
{
    struct fixture *f = *state;
    char buf[64];
    begin(f);
    put_inode(f, 2, 1);
    put_inode(f, 3, 1);
    put_inode(f, 7, 2);
    put_named(f, 1, "old", 2, 1);
    put_named(f, 1, "new", 3, 2);
    put_named(f, 2, "first", 7, 3);
    put_named(f, 3, "second", 7, 4);
    commit(f);
    assert_int_equal(meta_path_of(f->r, 7, buf, sizeof(buf)), 10);
    assert_string_equal(buf, "/old/first");
    begin(f);
    assert_int_equal(meta_dent_del(f->idx, 2, "first", 5), 0);
    commit(f);
    assert_int_equal(meta_path_of(f->r, 7, buf, sizeof(buf)), 11);
    assert_string_equal(buf, "/new/second");
    begin(f);
    assert_int_equal(meta_dent_del(f->idx, 3, "second", 6), 0);
    commit(f);
    assert_int_equal(meta_path_of(f->r, 7, buf, sizeof(buf)), -ENOENT);
}

static void a_loop_of_directories_ends_with_an_error(void **state)
{
    struct fixture *f = *state;
    char buf[4096];
    begin(f);
    put_inode(f, 2, 3);
    put_inode(f, 3, 2);
    put_named(f, 3, "a", 2, 1);
    put_named(f, 2, "b", 3, 2);
    commit(f);
    assert_int_equal(meta_path_of(f->r, 2, buf, sizeof(buf)), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_are_found_replaced_and_deleted_by_bytes),
        TEST(a_large_directory_is_listed_once_in_steps),
        TEST(entries_that_stay_are_listed_once_while_others_come_and_go),
        TEST(all_entries_come_in_key_order),
        TEST(paths_lead_through_nested_directories),
        TEST(a_path_is_found_when_the_parent_hint_is_wrong),
        TEST(a_loop_of_directories_ends_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
