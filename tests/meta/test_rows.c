/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rows.c: every kind of row is written, read, replaced and deleted. */
#include "tests/meta/fixture.h"

static struct meta_inode sample_inode(struct fixture *f, uint64_t ino)
{
    return (struct meta_inode){
        .ino = ino,
        .size = rnd(f) >> 1,
        .stored_bytes = rnd(f) >> 1,
        .parent = rnd(f) >> 25,
        .gen = (uint32_t)rnd(f),
        .mode = (uint32_t)rnd(f),
        .uid = (uint32_t)rnd(f),
        .gid = UINT32_MAX,
        .nlink = (uint32_t)rnd(f),
        .rdev = (uint32_t)rnd(f),
        .flags = (uint32_t)rnd(f),
        .atime_ns = (int64_t)rnd(f),
        .mtime_ns = INT64_MIN,
        .ctime_ns = INT64_MAX,
        .btime_ns = -1,
    };
}

/* Field by field: the structs have padding. */
static void assert_same_inode(const struct meta_inode *a, const struct meta_inode *b)
{
    assert_true(a->ino == b->ino && a->size == b->size && a->stored_bytes == b->stored_bytes && a->parent == b->parent);
    assert_true(a->gen == b->gen && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid);
    assert_true(a->nlink == b->nlink && a->rdev == b->rdev && a->flags == b->flags);
    assert_true(a->atime_ns == b->atime_ns && a->mtime_ns == b->mtime_ns);
    assert_true(a->ctime_ns == b->ctime_ns && a->btime_ns == b->btime_ns);
}

static void assert_same_container(const struct meta_container *a, const struct meta_container *b)
{
    assert_true(a->id == b->id && a->cls == b->cls && a->state == b->state && a->r == b->r && a->used == b->used);
    assert_true(a->live_bytes == b->live_bytes && a->sealed_txg == b->sealed_txg);
    assert_true(a->sealed_ns == b->sealed_ns && a->flags == b->flags);
}

static void inodes_keep_every_field_and_are_replaced(void **state)
{
    struct fixture *f = *state;
    struct meta_inode a = sample_inode(f, 7), got;
    begin(f);
    assert_int_equal(meta_inode_put(f->idx, &a), 0);
    assert_int_equal(meta_inode_get(f->idx, 7, &got), 0);
    assert_same_inode(&a, &got);
    assert_int_equal(meta_inode_get(f->idx, 8, &got), -ENOENT);
    assert_int_equal(meta_read_inode(f->r, 7, &got), -ENOENT);
    commit(f);
    assert_int_equal(meta_read_inode(f->r, 7, &got), 0);
    assert_same_inode(&a, &got);
    a = sample_inode(f, 7);
    begin(f);
    assert_int_equal(meta_inode_put(f->idx, &a), 0);
    commit(f);
    assert_int_equal(meta_read_inode(f->r, 7, &got), 0);
    assert_same_inode(&a, &got);
    uint64_t n;
    assert_int_equal(meta_count_inodes(f->r, &n), 0);
    assert_int_equal(n, 1);
}

static int count_any_xattr(void *arg, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len)
{
    (void)ino;
    (void)name;
    (void)name_len;
    (void)value;
    (void)len;
    ++*(int *)arg;
    return 0;
}

static int count_symlink(void *arg, uint64_t ino, const char *target, size_t len)
{
    (void)ino;
    (void)target;
    (void)len;
    ++*(int *)arg;
    return 0;
}

static void a_deleted_inode_takes_its_xattrs_and_target_along(void **state)
{
    struct fixture *f = *state;
    struct meta_inode a = sample_inode(f, 9), got;
    int xattrs = 0, targets = 0;
    begin(f);
    assert_int_equal(meta_inode_put(f->idx, &a), 0);
    assert_int_equal(meta_symlink_put(f->idx, 9, "x", 1), 0);
    assert_int_equal(meta_xattr_put(f->idx, 9, "user.a", 6, "v", 1), 0);
    assert_int_equal(meta_xattr_put(f->idx, 9, "user.b", 6, "w", 1), 0);
    assert_int_equal(meta_xattr_put(f->idx, 10, "user.b", 6, "w", 1), 0);
    assert_int_equal(meta_inode_del(f->idx, 9), 0);
    assert_int_equal(meta_inode_del(f->idx, 9), 0);
    commit(f);
    assert_int_equal(meta_read_inode(f->r, 9, &got), -ENOENT);
    assert_int_equal(meta_each_xattr(f->r, count_any_xattr, &xattrs), 0);
    assert_int_equal(meta_each_symlink(f->r, count_symlink, &targets), 0);
    assert_int_equal(xattrs, 1);
    assert_int_equal(targets, 0);
}

static void symlink_targets_are_bytes_up_to_their_limit(void **state)
{
    struct fixture *f = *state;
    char target[META_SYMLINK_MAX + 1], got[META_SYMLINK_MAX];
    size_t len;
    for (size_t i = 0; i < sizeof(target); i++)
        target[i] = (char)(rnd(f) % 255 + 1);
    begin(f);
    assert_int_equal(meta_symlink_put(f->idx, 3, target, META_SYMLINK_MAX), 0);
    assert_int_equal(meta_symlink_put(f->idx, 4, target, META_SYMLINK_MAX + 1), -ENAMETOOLONG);
    commit(f);
    assert_int_equal(meta_read_symlink(f->r, 3, got, sizeof(got), &len), 0);
    assert_int_equal(len, META_SYMLINK_MAX);
    assert_memory_equal(got, target, len);
    len = 0;
    assert_int_equal(meta_read_symlink(f->r, 3, got, 10, &len), -ERANGE);
    assert_int_equal(len, META_SYMLINK_MAX);
    assert_int_equal(meta_read_symlink(f->r, 4, got, sizeof(got), &len), -ENOENT);
}

struct xattr_list {
    int n;
    char names[8][16];
    size_t lens[8];
    uint8_t first[8];
};

static int list_xattr(void *arg, const char *name, size_t name_len, const void *value, size_t len)
{
    struct xattr_list *l = arg;
    assert_true(l->n < 8 && name_len < 16);
    memcpy(l->names[l->n], name, name_len);
    l->lens[l->n] = len;
    l->first[l->n] = len ? *(const uint8_t *)value : 0;
    l->n++;
    return 0;
}

static void xattrs_are_listed_by_name_empty_and_large_ones_too(void **state)
{
    struct fixture *f = *state;
    struct xattr_list l = { 0 };
    uint8_t *big = malloc(META_XATTR_SIZE_MAX + 1);
    memset(big, 0xa5, META_XATTR_SIZE_MAX + 1);
    begin(f);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.\xff", 6, big, META_XATTR_SIZE_MAX), 0);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.empty", 10, NULL, 0), 0);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.a", 6, "old", 3), 0);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.a", 6, "new!", 4), 0);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.gone", 9, "x", 1), 0);
    assert_int_equal(meta_xattr_del(f->idx, 5, "user.gone", 9), 0);
    assert_int_equal(meta_xattr_put(f->idx, 6, "user.other", 10, "x", 1), 0);
    assert_int_equal(meta_xattr_put(f->idx, 5, "user.big", 8, big, META_XATTR_SIZE_MAX + 1), -E2BIG);
    assert_int_equal(meta_xattr_put(f->idx, 5, "", 0, "x", 1), -ERANGE);
    commit(f);
    assert_int_equal(meta_read_xattrs(f->r, 5, list_xattr, &l), 0);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.names[0], "user.a");
    assert_int_equal(l.lens[0], 4);
    assert_int_equal(l.first[0], 'n');
    assert_string_equal(l.names[1], "user.empty");
    assert_int_equal(l.lens[1], 0);
    assert_string_equal(l.names[2], "user.\xff");
    assert_int_equal(l.lens[2], META_XATTR_SIZE_MAX);
    assert_int_equal(l.first[2], 0xa5);
    free(big);
}

struct window_list {
    int n;
    uint64_t inos[16];
    uint32_t windows[16];
    size_t lens[16];
};

static int list_window(void *arg, uint32_t window, const void *blob, size_t len)
{
    struct window_list *l = arg;
    assert_true(l->n < 16);
    assert_int_equal(*(const uint8_t *)blob, (uint8_t)window);
    l->windows[l->n] = window;
    l->lens[l->n++] = len;
    return 0;
}

static int list_all_windows(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct window_list *l = arg;
    l->inos[l->n] = ino;
    return list_window(arg, window, blob, len);
}

static void put_window(struct fixture *f, uint64_t ino, uint32_t window, size_t len)
{
    uint8_t blob[9000];
    assert_true(len <= sizeof(blob));
    memset(blob, (int)(window & 0xff), sizeof(blob));
    assert_int_equal(meta_window_put(f->idx, ino, window, blob, len), 0);
}

static void windows_of_a_file_are_one_ordered_range(void **state)
{
    struct fixture *f = *state;
    const uint64_t top = (UINT64_C(1) << 39) - 1;
    const uint32_t last = (1u << 24) - 1;
    struct window_list l = { 0 };
    uint32_t next;
    begin(f);
    put_window(f, 20, 5, 10);
    put_window(f, 20, 0, 9000);
    put_window(f, 20, last, 30);
    put_window(f, 19, last, 1);
    put_window(f, 21, 0, 1);
    put_window(f, top, last, 1);
    assert_int_equal(meta_window_put(f->idx, top + 1, 0, "x", 1), -EFBIG);
    assert_int_equal(meta_window_put(f->idx, 1, last + 1, "x", 1), -EFBIG);
    assert_int_equal(meta_windows_each(f->idx, 20, 1, list_window, &l), 0);
    commit(f);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.windows[0], 5);
    assert_int_equal(l.windows[1], last);
    assert_int_equal(meta_read_next_window(f->r, 20, 0, &next), 0);
    assert_int_equal(next, 0);
    assert_int_equal(meta_read_next_window(f->r, 20, 6, &next), 0);
    assert_int_equal(next, last);
    assert_int_equal(meta_read_next_window(f->r, 21, 1, &next), -ENOENT);
    assert_int_equal(meta_read_next_window(f->r, 18, 0, &next), -ENOENT);
    memset(&l, 0, sizeof(l));
    assert_int_equal(meta_each_window(f->r, list_all_windows, &l), 0);
    assert_int_equal(l.n, 6);
    assert_int_equal(l.inos[0], 19);
    assert_int_equal(l.inos[4], 21);
    assert_true(l.inos[5] == top);
    assert_int_equal(l.windows[5], last);
}

static void windows_are_replaced_deleted_one_by_one_and_from_a_point_on(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[9000];
    size_t len;
    struct window_list l = { 0 };
    begin(f);
    for (uint32_t w = 0; w < 10; w++)
        put_window(f, 2, w, 100);
    put_window(f, 3, 0, 100);
    put_window(f, 2, 4, 5000);
    assert_int_equal(meta_window_get(f->idx, 2, 4, buf, sizeof(buf), &len), 0);
    assert_int_equal(len, 5000);
    assert_int_equal(meta_window_get(f->idx, 2, 4, buf, 99, &len), -ERANGE);
    assert_int_equal(len, 5000);
    assert_int_equal(meta_window_put(f->idx, 2, 1, NULL, 0), 0);
    assert_int_equal(meta_windows_del(f->idx, 2, 8), 0);
    commit(f);
    assert_int_equal(meta_read_window(f->r, 2, 4, buf, sizeof(buf), &len), 0);
    assert_int_equal(len, 5000);
    assert_int_equal(meta_read_window(f->r, 2, 1, buf, sizeof(buf), &len), -ENOENT);
    assert_int_equal(meta_read_window(f->r, 2, 8, buf, sizeof(buf), &len), -ENOENT);
    assert_int_equal(meta_each_window(f->r, list_all_windows, &l), 0);
    assert_int_equal(l.n, 8);
    assert_int_equal(l.inos[7], 3);
}

static int list_container(void *arg, const struct meta_container *c)
{
    uint32_t *ids = arg;
    ids[++ids[0]] = c->id;
    return 0;
}

static void containers_keep_every_field_and_count_live_bytes(void **state)
{
    struct fixture *f = *state;
    struct meta_container c = { .id = UINT32_MAX, .cls = 2, .state = 3, .r = 5, .used = 16384, .live_bytes = 1000,
                                .sealed_txg = 77, .sealed_ns = -5, .flags = 1 };
    struct meta_container got, d = { .id = 4 };
    uint32_t ids[4] = { 0 };
    begin(f);
    assert_int_equal(meta_container_put(f->idx, &c), 0);
    assert_int_equal(meta_container_put(f->idx, &d), 0);
    assert_int_equal(meta_container_get(f->idx, c.id, &got), 0);
    assert_same_container(&c, &got);
    assert_int_equal(meta_container_add_live(f->idx, c.id, -600), 0);
    assert_int_equal(meta_container_add_live(f->idx, c.id, 50), 0);
    assert_int_equal(meta_container_add_live(f->idx, 123, 50), 0);
    assert_int_equal(meta_container_get(f->idx, c.id, &got), 0);
    assert_int_equal(got.live_bytes, 450);
    assert_int_equal(meta_container_get(f->idx, 123, &got), -ENOENT);
    commit(f);
    assert_int_equal(meta_each_container(f->r, list_container, ids), 0);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 4);
    assert_true(ids[2] == UINT32_MAX);
    begin(f);
    assert_int_equal(meta_container_del(f->idx, 4), 0);
    assert_int_equal(meta_container_get(f->idx, 4, &got), -ENOENT);
    commit(f);
}

static int list_orphan(void *arg, uint64_t ino)
{
    uint64_t *inos = arg;
    inos[++inos[0]] = ino;
    return 0;
}

static void orphans_are_a_set(void **state)
{
    struct fixture *f = *state;
    uint64_t inos[8] = { 0 };
    begin(f);
    assert_int_equal(meta_orphan_put(f->idx, 30), 0);
    assert_int_equal(meta_orphan_put(f->idx, 10), 0);
    assert_int_equal(meta_orphan_put(f->idx, 30), 0);
    assert_int_equal(meta_orphan_put(f->idx, 20), 0);
    assert_int_equal(meta_orphan_del(f->idx, 20), 0);
    commit(f);
    assert_int_equal(meta_each_orphan(f->r, list_orphan, inos), 0);
    assert_int_equal(inos[0], 2);
    assert_int_equal(inos[1], 10);
    assert_int_equal(inos[2], 30);
}

static int stop_at_20(void *arg, uint64_t ino)
{
    ++*(int *)arg;
    return ino == 20 ? 42 : 0;
}

static void callbacks_stop_a_walk_with_their_own_value(void **state)
{
    struct fixture *f = *state;
    int calls = 0;
    begin(f);
    for (uint64_t ino = 10; ino <= 50; ino += 10)
        assert_int_equal(meta_orphan_put(f->idx, ino), 0);
    commit(f);
    assert_int_equal(meta_each_orphan(f->r, stop_at_20, &calls), 42);
    assert_int_equal(calls, 2);
    assert_int_equal(meta_each_orphan(f->r, stop_at_20, &calls), 42);
}

static void recent_txgs_are_kept_and_old_ones_dropped(void **state)
{
    struct fixture *f = *state;
    begin(f);
    for (uint64_t t = 1; t <= 5000; t++)
        assert_int_equal(meta_txg_put(f->idx, t, 1, rnd(f), -1, 3, 4096), 0);
    commit(f);
    close_all(f);
    char cmd[200], out[64] = "";
    snprintf(cmd, sizeof(cmd), "sqlite3 %s 'SELECT count(*), min(txg), max(txg) FROM txg' 2>/dev/null", f->path);
    FILE *p = popen(cmd, "r");
    size_t n = fread(out, 1, sizeof(out) - 1, p);
    if (pclose(p) == 0 && n)
        assert_string_equal(out, "4096|905|5000\n");
    open_again(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(inodes_keep_every_field_and_are_replaced),
        TEST(a_deleted_inode_takes_its_xattrs_and_target_along),
        TEST(symlink_targets_are_bytes_up_to_their_limit),
        TEST(xattrs_are_listed_by_name_empty_and_large_ones_too),
        TEST(windows_of_a_file_are_one_ordered_range),
        TEST(windows_are_replaced_deleted_one_by_one_and_from_a_point_on),
        TEST(containers_keep_every_field_and_count_live_bytes),
        TEST(orphans_are_a_set),
        TEST(callbacks_stop_a_walk_with_their_own_value),
        TEST(recent_txgs_are_kept_and_old_ones_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
