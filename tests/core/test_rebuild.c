/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rebuild.c: the whole tree comes back when index.db is gone, old, cut, or damaged. */
#include "tests/core/rig.h"

#include <dirent.h>
#include <sys/xattr.h>

enum { TREE_MAX = 64, DEEP = 3 };

/* ---- everything a tree is, as text ---- */

struct text {
    char *p;
    size_t len, cap;
};

static void say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    if (t->cap - t->len < 4096) {
        t->cap = 2 * t->cap + 8192;
        t->p = realloc(t->p, t->cap);
    }
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->p + t->len, t->cap - t->len, fmt, ap);
    va_end(ap);
}

static uint64_t hash(uint64_t h, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t content_hash(struct rig *r, uint64_t ino, uint64_t size)
{
    uint8_t *p = rig_buffer(1 << 20);
    uint64_t h = 0xcbf29ce484222325u;
    for (uint64_t off = 0; off < size; off += 1 << 20) {
        ssize_t n = holofs_read(r->fs, ino, off, p, 1 << 20);
        assert_true(n > 0);
        h = hash(h, p, (size_t)n);
    }
    free(p);
    return h;
}

static void say_xattrs(struct rig *r, uint64_t ino, struct text *t)
{
    char list[4096];
    uint8_t value[4096];
    uint64_t sum = 0; /* in any order */
    ssize_t n = holofs_listxattr(r->fs, ino, list, sizeof(list));
    assert_true(n >= 0);
    for (char *p = list; p < list + n; p += strlen(p) + 1) {
        ssize_t len = holofs_getxattr(r->fs, ino, p, value, sizeof(value));
        assert_true(len >= 0);
        sum += hash(hash(1, (uint8_t *)p, strlen(p)), value, (size_t)len);
    }
    say(t, " xattrs %zd %llx", n, (unsigned long long)sum);
}

static void say_inode(struct rig *r, uint64_t ino, const char *path, struct text *t)
{
    struct holofs_attr a;
    char target[PATH_MAX];
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    say(t, "%s ino %llu size %llu stored %llu gen %u mode %o links %u %u:%u dev %u times %lld %lld %lld", path, (unsigned long long)a.ino,
        (unsigned long long)a.size, (unsigned long long)a.stored, a.gen, a.mode, a.nlink, a.uid, a.gid, a.rdev, (long long)a.mtime_ns,
        (long long)a.ctime_ns, (long long)a.btime_ns);
    if (S_ISLNK(a.mode)) {
        assert_true(holofs_readlink(r->fs, ino, target, sizeof(target)) >= 0);
        say(t, " to %s", target);
    }
    if (S_ISREG(a.mode))
        say(t, " content %llx", (unsigned long long)content_hash(r, ino, a.size));
    say_xattrs(r, ino, t);
    say(t, "\n");
}

static void say_tree(struct rig *r, uint64_t ino, const char *path, struct text *t)
{
    struct holofs_dir *d;
    struct holofs_dirent e;
    uint64_t off = 0;
    say_inode(r, ino, path, t);
    assert_int_equal(holofs_opendir(r->fs, ino, &d), 0);
    while (holofs_readdir(d, off, &e) == 1) {
        char below[PATH_MAX];
        off = e.next;
        if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%.2000s/%s", path, e.name);
        if (e.type == DT_DIR)
            say_tree(r, e.ino, below, t);
        else
            say_inode(r, e.ino, below, t);
    }
    holofs_closedir(d);
}

static char *tree_of(struct rig *r)
{
    struct text t = { 0 };
    say_tree(r, RIG_ROOT, "", &t);
    return t.p;
}

static void expect_tree(struct rig *r, const char *want)
{
    char *got = tree_of(r);
    size_t i = 0;
    while (got[i] && got[i] == want[i])
        i++;
    if (got[i] != want[i]) {
        while (i > 0 && want[i - 1] != '\n')
            i--;
        fail_msg("trees differ:\n  want %.*s\n  got  %.*s", (int)strcspn(want + i, "\n"), want + i, (int)strcspn(got + i, "\n"), got + i);
    }
    free(got);
}

/* ---- a tree with one of everything ---- */

static void set_attributes(struct rig *r, uint64_t ino, uint64_t n)
{
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_UID | HOLOFS_SET_MODE | HOLOFS_SET_MTIME | HOLOFS_SET_ATIME, .mode = 0600 | (uint32_t)(n & 077),
                                .uid = (uint32_t)n, .mtime_ns = (int64_t)n * 1000003, .atime_ns = (int64_t)n * 7 };
    uint8_t value[300];
    rig_fill(n, value, sizeof(value));
    assert_int_equal(holofs_setattr(r->fs, ino, &s, &a), 0);
    assert_int_equal(holofs_setxattr(r->fs, ino, "user.first", value, n % sizeof(value), 0), 0);
    assert_int_equal(holofs_setxattr(r->fs, ino, "user.second", "x", 1, 0), 0);
    if (n % 2)
        assert_int_equal(holofs_removexattr(r->fs, ino, "user.second"), 0);
}

static void grow_folder(struct rig *r, uint64_t dir, uint64_t seed)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    uint8_t *p = malloc(1 << 20);
    for (uint64_t i = 0; i < 12; i++) {
        char name[32], other[32];
        snprintf(name, sizeof(name), "f%llu", (unsigned long long)(seed * 100 + i));
        uint64_t ino = rig_make(r, dir, name, S_IFREG | 0644);
        size_t len = 1 + (size_t)(i * i * 4099 % 600000);
        rig_fill(seed * 31 + i, p, len);
        if (i % 3 == 0)
            memset(p, 'z', len); /* compressible */
        rig_write(r, ino, i * 1000, p, len);
        set_attributes(r, ino, seed + i);
        snprintf(other, sizeof(other), "g%llu", (unsigned long long)(seed * 100 + i));
        if (i % 4 == 1) {
            assert_int_equal(holofs_link(r->fs, ino, RIG_ROOT, other, &a), 0);
            holofs_forget(r->fs, ino, 1);
        } else if (i % 4 == 2) {
            assert_int_equal(holofs_rename(r->fs, dir, name, dir, other, 0), 0);
        } else if (i % 4 == 3) {
            struct holofs_setattr s = { .set = HOLOFS_SET_SIZE, .size = len / 2 };
            assert_int_equal(holofs_setattr(r->fs, ino, &s, &a), 0);
        }
        if (i == 5)
            assert_int_equal(holofs_unlink(r->fs, dir, name), 0);
        if (i == 8)
            assert_int_equal(holofs_fallocate(r->fs, ino, HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE, 5000, 9000), 0);
    }
    assert_int_equal(holofs_create(r->fs, &cred, dir, "link", S_IFLNK | 0777, 0, "to/some\xffwhere", &a), 0);
    holofs_forget(r->fs, a.ino, 1);
    assert_int_equal(holofs_create(r->fs, &cred, dir, "fifo", S_IFIFO | 0640, 0, NULL, &a), 0);
    holofs_forget(r->fs, a.ino, 1);
    free(p);
}

static void grow_tree(struct rig *r, uint64_t seed)
{
    uint64_t dir = RIG_ROOT;
    for (uint64_t depth = 0; depth < DEEP; depth++) {
        char name[32];
        snprintf(name, sizeof(name), "d%llu", (unsigned long long)(seed * 10 + depth));
        dir = rig_make(r, dir, name, S_IFDIR | 0755);
        grow_folder(r, dir, seed * 10 + depth);
        rig_do(r, depth % 2 ? "sync" : "seal");
    }
}

static void unlink_index(struct rig *r)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-shm" };
    for (size_t i = 0; i < 3; i++) {
        char name[PATH_MAX];
        rig_name(r, files[i], name);
        unlink(name);
    }
}

static void copy_file(const char *from, const char *to)
{
    char cmd[2 * PATH_MAX + 16];
    snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", from, to);
    assert_int_equal(system(cmd), 0);
}

/* Close, do something to the index, open: the same tree, before and after one more change. */
static void survives(struct rig *r, void (*harm)(struct rig *r))
{
    char *want = tree_of(r);
    rig_close(r);
    harm(r);
    rig_open(r);
    expect_tree(r, want);
    free(want);
    rig_create(r, "one more");
    want = tree_of(r);
    rig_reopen(r);
    expect_tree(r, want);
    assert_int_equal(holofs_unlink(r->fs, RIG_ROOT, "one more"), 0);
    free(want);
}

static void the_tree_comes_back_from_the_log_alone(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    grow_tree(&r, 1);
    survives(&r, unlink_index);
    assert_true(rig_find(&r, RIG_ROOT, "d10"));
    rig_do(&r, "seal");
    survives(&r, unlink_index);
    rig_stop(&r);
}

static void the_tree_comes_back_from_dumps_and_the_log_behind(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    grow_tree(&r, 1);
    rig_do(&r, "dump");
    survives(&r, unlink_index);
    grow_tree(&r, 2);
    rig_do(&r, "dump");
    rig_do(&r, "seal");
    survives(&r, unlink_index);
    grow_tree(&r, 3);
    rig_do(&r, "dump");
    rig_do(&r, "dump");
    grow_tree(&r, 4);
    rig_do(&r, "seal");
    survives(&r, unlink_index);
    assert_true(rig_stat(&r, "containers/metadata_dump") >= 2);
    rig_stop(&r);
}

static int flip_container(const char *path, const struct stat *st, int type, struct FTW *f)
{
    const struct rig top = { .dir = "/" };
    (void)f;
    if (type == FTW_F)
        rig_flip_file(&top, path, (uint64_t)st->st_size);
    return 0;
}

static void flip_containers_and_unlink_index(struct rig *r)
{
    char dir[PATH_MAX];
    rig_name(r, "containers", dir);
    nftw(dir, flip_container, 16, FTW_PHYS);
    unlink_index(r);
}

/* Dumps, log and data, one byte in a thousand of each container's file. */
static void the_tree_comes_back_from_containers_full_of_flips(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_geometry g = rig_geometry();
    g.k = 64;
    g.r = g.meta_r = 3;
    rig_init(&r);
    rig_format(&r, &g);
    rig_open(&r);
    grow_tree(&r, 1);
    rig_do(&r, "dump");
    grow_tree(&r, 2);
    rig_do(&r, "seal");
    survives(&r, flip_containers_and_unlink_index);
    assert_true(rig_stat(&r, "containers/metadata_log") >= 1);
    assert_true(rig_stat(&r, "containers/metadata_dump") >= 1);
    assert_true(rig_stat(&r, "repaired_blocks") > 100);
    assert_true(rig_stat(&r, "lost_blocks") == 0);
    rig_stop(&r);
}

/* Between two copies of the index lie dumps, so that the log the old one would need is gone. */
static void an_older_index_is_brought_up_or_rebuilt(void **state)
{
    (void)state;
    struct rig r;
    char index[PATH_MAX], old[PATH_MAX];
    for (int dumps = 0; dumps < 4; dumps++) {
        rig_start(&r);
        rig_name(&r, "index.db", index);
        rig_name(&r, "old", old);
        grow_tree(&r, 1);
        rig_close(&r);
        copy_file(index, old);
        rig_open(&r);
        grow_tree(&r, 2);
        for (int i = 0; i < dumps; i++) {
            rig_do(&r, "dump");
            rig_do(&r, "seal");
        }
        rig_make(&r, RIG_ROOT, "last", S_IFDIR | 0755);
        char *want = tree_of(&r);
        rig_close(&r);
        unlink_index(&r);
        assert_int_equal(rename(old, index), 0);
        rig_open(&r);
        expect_tree(&r, want);
        free(want);
        rig_stop(&r);
    }
}

static void cut_index(struct rig *r)
{
    char name[PATH_MAX];
    struct stat st;
    rig_name(r, "index.db", name);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(truncate(name, st.st_size / 2), 0);
}

static void empty_index(struct rig *r)
{
    char name[PATH_MAX];
    rig_name(r, "index.db", name);
    assert_int_equal(truncate(name, 0), 0);
}

/* One byte in each page. */
static void flip_index(struct rig *r)
{
    char name[PATH_MAX];
    struct stat st;
    uint64_t seed = 5;
    rig_name(r, "index.db", name);
    assert_int_equal(stat(name, &st), 0);
    int fd = open(name, O_RDWR);
    for (off_t at = 0; at < st.st_size; at += 4096) {
        uint8_t b;
        off_t where = at + (off_t)(rig_random(&seed) % 4096);
        assert_int_equal(pread(fd, &b, 1, where), 1);
        b ^= 0x10;
        assert_int_equal(pwrite(fd, &b, 1, where), 1);
    }
    close(fd);
}

static void a_damaged_index_is_rebuilt(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    r.opt.check_all = true;
    grow_tree(&r, 1);
    rig_do(&r, "dump");
    grow_tree(&r, 2);
    survives(&r, cut_index);
    survives(&r, empty_index);
    survives(&r, flip_index);
    rig_stop(&r);
}

static void flip_byte(const char *path, off_t at)
{
    uint8_t b;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

/* One byte of each page in turn, after a clean stop. */
static void one_damaged_page_of_the_index_is_met_by_the_mount(void **state)
{
    (void)state;
    struct rig r;
    char index[PATH_MAX];
    struct stat st;
    rig_start(&r);
    rig_name(&r, "index.db", index);
    grow_tree(&r, 1);
    char *want = tree_of(&r);
    rig_reopen(&r);
    for (off_t page = 0;; page++) {
        rig_close(&r);
        assert_int_equal(stat(index, &st), 0);
        if (page * 4096 >= st.st_size)
            break;
        flip_byte(index, page * 4096 + 2000);
        rig_open(&r);
        assert_true(rig_event(&r, "index_rebuilt", "why"));
        assert_false(rig_event(&r, "index_damaged", "error"));
        expect_tree(&r, want);
    }
    free(want);
    rig_open(&r);
    rig_stop(&r);
}

/* ---- a mount that must not write ---- */

static void copy_store(const struct rig *r, char to[PATH_MAX])
{
    char cmd[3 * PATH_MAX];
    snprintf(to, PATH_MAX, "%s.copy", r->dir);
    snprintf(cmd, sizeof(cmd), "cp -a '%s' '%s'", r->dir, to);
    assert_int_equal(system(cmd), 0);
}

static void no_byte_has_changed(const struct rig *r, const char *copy)
{
    char cmd[3 * PATH_MAX];
    snprintf(cmd, sizeof(cmd), "diff -r '%s' '%s'", r->dir, copy);
    assert_int_equal(system(cmd), 0);
}

/* The tree is served from a private index where the store's cannot be used; the store stays as it is. */
static void a_mount_for_reading_serves_whatever_became_of_the_index(void **state)
{
    (void)state;
    static void (*const harm[])(struct rig *r) = { NULL, unlink_index, cut_index, flip_index };
    struct rig r;
    char copy[PATH_MAX];
    rig_start(&r);
    grow_tree(&r, 1);
    rig_do(&r, "dump");
    grow_tree(&r, 2);
    char *want = tree_of(&r);
    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        rig_close(&r);
        if (harm[i])
            harm[i](&r);
        copy_store(&r, copy);
        r.opt.read_only = true;
        r.opt.check_all = harm[i] == flip_index;
        rig_open(&r);
        expect_tree(&r, want);
        assert_true(rig_event(&r, "index_rebuilt", "why") == (harm[i] != NULL));
        rig_close(&r);
        no_byte_has_changed(&r, copy);
        rig_remove_tree(copy);
        r.opt.read_only = r.opt.check_all = false;
        rig_open(&r);
        expect_tree(&r, want);
    }
    free(want);
    rig_stop(&r);
}

static void an_index_that_is_no_file_is_told_in_one_line(void **state)
{
    (void)state;
    struct rig r;
    char index[PATH_MAX], away[PATH_MAX];
    rig_start(&r);
    grow_tree(&r, 1);
    char *want = tree_of(&r);
    rig_close(&r);
    rig_name(&r, "index.db", index);
    rig_name(&r, "away", away);
    assert_int_equal(rename(index, away), 0);
    assert_int_equal(mkdir(index, 0700), 0);
    assert_int_equal(rig_try_open(&r), -EISDIR);
    assert_non_null(strstr(r.why, "index.db"));
    assert_int_equal(rmdir(index), 0);
    assert_int_equal(symlink(away, index), 0);
    assert_int_equal(rig_try_open(&r), -ELOOP);
    assert_non_null(strstr(r.why, "index.db"));
    assert_int_equal(unlink(index), 0);
    assert_int_equal(unlink(away), 0);
    rig_open(&r);
    expect_tree(&r, want);
    assert_true(rig_event(&r, "index_rebuilt", "there is none"));
    free(want);
    rig_stop(&r);
}

/* ---- a page that goes bad while the store is open ---- */

static void flip_all_but_first(const struct rig *r)
{
    char name[PATH_MAX];
    struct stat st;
    rig_name(r, "index.db", name);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t at = 4096; at < st.st_size; at += 4096) {
        uint8_t b;
        assert_int_equal(pread(fd, &b, 1, at + 100), 1);
        b ^= 0x10;
        assert_int_equal(pwrite(fd, &b, 1, at + 100), 1);
    }
    close(fd);
}

/* Reads of what is not in memory fail, and are told; what can be written is as durable as ever; the next mount makes it good. */
static void a_page_that_goes_bad_under_a_reader_costs_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    struct buf text = { 0 };
    rig_start(&r);
    grow_tree(&r, 1);
    char *want = tree_of(&r);
    rig_reopen(&r);
    flip_all_but_first(&r);
    int e = holofs_lookup(r.fs, RIG_ROOT, "d10", &a);
    assert_int_equal(holo_errno(e), EIO);
    assert_true(rig_event(&r, "index_damaged", "error"));
    assert_int_equal(holofs_health_text(r.fs, &text), 0);
    assert_int_equal(buf_add(&text, "", 1), 0);
    assert_non_null(strstr((char *)text.p, "the index is damaged; unmount and mount again: it is verified and rebuilt"));
    buf_fini(&text);
    holofs_close(r.fs);
    rig_open(&r);
    assert_true(rig_event(&r, "index_rebuilt", "why"));
    expect_tree(&r, want);
    free(want);
    rig_stop(&r);
}

/* The indexer meets it: what the ring takes is acknowledged, what it does not is an error, and nothing that was acknowledged is lost. */
static void a_page_that_goes_bad_under_the_indexer_loses_nothing_acknowledged(void **state)
{
    (void)state;
    enum { BLOCKS = 400 };
    struct rig r;
    uint8_t block[RIG_BLOCK];
    uint64_t acked = 0;
    rig_start(&r);
    grow_tree(&r, 1);
    rig_create(&r, "file");
    rig_reopen(&r);
    uint64_t ino = rig_find(&r, RIG_ROOT, "file");
    assert_int_equal(holofs_open_file(r.fs, ino, true, false, false), 0);
    while (rig_stat(&r, "ring/applied_txg") < rig_stat(&r, "ring/committed_txg"))
        rig_sleep_ms(1);
    flip_all_but_first(&r);
    int e = 0;
    for (; acked < BLOCKS && !e; acked += !e) {
        rig_fill(acked, block, sizeof(block));
        ssize_t n = holofs_write(r.fs, ino, acked * RIG_BLOCK, block, sizeof(block), false);
        e = n < 0 ? (int)n : holofs_fsync(r.fs, ino);
        rig_sleep_ms(acked > 20 ? 5 : 0);
    }
    print_message("%llu blocks acknowledged\n", (unsigned long long)acked);
    assert_true(acked > 0 && (acked == BLOCKS || holo_errno(e) == EIO));
    assert_true(rig_event(&r, "write_trouble", "index") || rig_event(&r, "store_failed", "index"));
    assert_int_not_equal(holofs_close(r.fs), 0);
    rig_open(&r);
    assert_true(rig_event(&r, "index_rebuilt", "why"));
    for (uint64_t i = 0; i < acked; i++) {
        rig_fill(i, block, sizeof(block));
        rig_expect(&r, ino, i * RIG_BLOCK, block, sizeof(block));
    }
    rig_file(&r, "goes on", 1, 10000);
    rig_reopen(&r);
    rig_expect_file(&r, "goes on", 1, 10000);
    rig_stop(&r);
}

/* ---- how much is replayed ---- */

static void move_much(struct rig *r, unsigned times)
{
    char name[2][256];
    for (int k = 0; k < 2; k++) {
        memset(name[k], 'a' + k, 200);
        name[k][200] = 0;
    }
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(holofs_rename(r->fs, RIG_ROOT, name[i % 2], RIG_ROOT, name[!(i % 2)], 0), 0);
}

/* A store of 128 MiB takes a dump once the log has grown by more than one, and by 1 MiB. */
static void dumps_bound_the_log_that_is_replayed(void **state)
{
    (void)state;
    enum { ROUNDS = 5, MOVES = 4000 };
    struct rig r;
    struct holofs_geometry g = rig_geometry();
    char name[256];
    uint64_t logged = 0;
    g.size_limit_bytes = 128 << 20;
    rig_init(&r);
    rig_format(&r, &g);
    rig_open(&r);
    grow_tree(&r, 1);
    memset(name, 'a', 200);
    name[200] = 0;
    rig_create(&r, name);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t before = rig_stat(&r, "containers/dumps_since_mount");
        move_much(&r, MOVES);
        rig_do(&r, "sync");
        for (int i = 0; i < 120 && rig_stat(&r, "containers/dumps_since_mount") == before; i++)
            rig_sleep_ms(10); /* the housekeeper looks each second; there is not one in each round */
    }
    assert_true(rig_stat(&r, "containers/dumps_since_mount") > 1);
    logged = rig_stat(&r, "ring/bytes_committed");
    move_much(&r, 100);
    char *want = tree_of(&r);
    rig_close(&r);
    unlink_index(&r);
    rig_open(&r);
    uint64_t replayed = rig_stat(&r, "opening/frame_bytes_applied") + rig_stat(&r, "opening/ring_bytes_applied");
    print_message("%llu bytes logged, %llu replayed\n", (unsigned long long)logged, (unsigned long long)replayed);
    assert_true(replayed > 0 && replayed < logged / 2); /* a round and a little, at most */
    expect_tree(&r, want);
    assert_false(rig_event(&r, "metadata_lost", "txg"));
    rig_reopen(&r); /* with its index: nothing */
    assert_int_equal(rig_stat(&r, "opening/frame_bytes_applied") + rig_stat(&r, "opening/ring_bytes_applied"), 0);
    free(want);
    rig_stop(&r);
}

/* A mount that begins where the log went over to another container in the middle of a txg keeps the rest of it. */
static void the_log_has_every_txg_whole_over_many_mounts(void **state)
{
    (void)state;
    struct rig r;
    char name[256];
    rig_start(&r);
    memset(name, 'a', 200);
    name[200] = 0;
    rig_create(&r, name);
    for (unsigned round = 0; round < 8; round++) {
        move_much(&r, 2000 + 38 * round);
        rig_reopen(&r);
    }
    move_much(&r, 3000); /* the ring has nothing of all that any more */
    rig_do(&r, "sync");
    char *want = tree_of(&r);
    rig_close(&r);
    unlink_index(&r);
    rig_open(&r);
    assert_false(rig_event(&r, "metadata_lost", "txg"));
    expect_tree(&r, want);
    free(want);
    rig_stop(&r);
}

static void count_line(void *arg, const char *line)
{
    assert_non_null(strstr(line, " of "));
    *(unsigned *)arg += 1;
}

static void rebuilding_tells_how_far_it_is(void **state)
{
    (void)state;
    struct rig r;
    unsigned lines = 0;
    rig_start(&r);
    grow_tree(&r, 1);
    rig_do(&r, "dump");
    grow_tree(&r, 2);
    rig_close(&r);
    unlink_index(&r);
    r.opt.progress = count_line;
    r.opt.progress_arg = &lines;
    r.opt.progress_ms = 0;
    rig_open(&r);
    assert_true(lines > 3);
    rig_stop(&r);
}

struct killing {
    const struct rig *r;
    unsigned lines, at; /* the store is copied at this line */
    char copy[PATH_MAX];
};

static void copy_at_line(void *arg, const char *line)
{
    struct killing *k = arg;
    (void)line;
    if (++k->lines == k->at)
        copy_store(k->r, k->copy);
}

/* With a dump of several containers: what a killed process leaves is the store as it was in the middle. */
static void a_rebuild_that_is_killed_begins_again(void **state)
{
    (void)state;
    struct rig r, killed;
    struct killing k = { .r = &r };
    char name[260];
    unsigned begun_again = 0;
    rig_start(&r);
    memset(name, 'n', 200);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name + 200, 60, "%u", i);
        rig_create(&r, name);
    }
    grow_tree(&r, 1);
    rig_do(&r, "sync");
    uint64_t all_of_it = rig_stat(&r, "ring/committed_txg");
    for (int i = 0; i < 60000 && rig_stat(&r, "ring/applied_txg") < all_of_it; i++)
        rig_sleep_ms(5);
    rig_do(&r, "dump");
    assert_true(rig_stat(&r, "containers/metadata_dump") > 1);
    rig_create(&r, "after the dump"); /* the ring goes back as far */
    char *want = tree_of(&r);
    r.opt.progress = copy_at_line;
    r.opt.progress_arg = &k;
    r.opt.progress_ms = 0;
    for (unsigned eighth = 0; eighth < 8; eighth++) {
        unsigned all = k.lines;
        rig_close(&r);
        unlink_index(&r);
        k.at = all * eighth / 8 + 1;
        k.lines = 0;
        rig_open(&r);
        assert_true(k.lines >= k.at);
        killed = r;
        snprintf(killed.dir, sizeof(killed.dir), "%.90s", k.copy);
        killed.opt.progress = NULL;
        rig_open(&killed);
        begun_again += rig_event(&killed, "index_rebuilt", "not finished");
        expect_tree(&killed, want);
        rig_stop(&killed);
    }
    assert_true(begun_again > 1);
    free(want);
    rig_stop(&r);
}

/* ---- windows that are too large for one record ---- */

enum { TINY = 30000 };

static void a_dump_takes_windows_of_very_many_extents(void **state)
{
    (void)state;
    struct rig r;
    uint8_t *want = calloc(1, 2 * TINY);
    rig_start(&r);
    uint64_t ino = rig_create(&r, "tiny");
    rig_write(&r, ino, 0, want, 1);
    for (uint64_t i = 0; i < TINY; i++) {
        want[2 * i] = (uint8_t)(i * 7 + 1);
        rig_write(&r, ino, 2 * i, &want[2 * i], 1);
    }
    struct holofs_setattr s = { .set = HOLOFS_SET_MTIME, .mtime_ns = 12345 };
    struct holofs_attr a;
    assert_int_equal(holofs_setattr(r.fs, ino, &s, &a), 0);
    rig_do(&r, "sync");
    rig_do(&r, "seal");
    rig_do(&r, "dump");
    rig_do(&r, "dump");
    survives(&r, unlink_index);
    rig_expect(&r, ino, 0, want, 2 * TINY - 1);
    assert_true(rig_stat(&r, "containers/live_bytes") >= TINY);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "tiny"), 0);
    rig_do(&r, "sync");
    for (int i = 0; i < 50 && rig_stat(&r, "containers/live_bytes"); i++)
        rig_sleep_ms(100);
    assert_true(rig_stat(&r, "containers/live_bytes") == 0);
    free(want);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_comes_back_from_the_log_alone),
        cmocka_unit_test(the_tree_comes_back_from_dumps_and_the_log_behind),
        cmocka_unit_test(the_tree_comes_back_from_containers_full_of_flips),
        cmocka_unit_test(an_older_index_is_brought_up_or_rebuilt),
        cmocka_unit_test(a_mount_for_reading_serves_whatever_became_of_the_index),
        cmocka_unit_test(an_index_that_is_no_file_is_told_in_one_line),
        cmocka_unit_test(a_damaged_index_is_rebuilt),
        cmocka_unit_test(one_damaged_page_of_the_index_is_met_by_the_mount),
        cmocka_unit_test(a_page_that_goes_bad_under_a_reader_costs_nothing),
        cmocka_unit_test(a_page_that_goes_bad_under_the_indexer_loses_nothing_acknowledged),
        cmocka_unit_test(dumps_bound_the_log_that_is_replayed),
        cmocka_unit_test(the_log_has_every_txg_whole_over_many_mounts),
        cmocka_unit_test(rebuilding_tells_how_far_it_is),
        cmocka_unit_test(a_rebuild_that_is_killed_begins_again),
        cmocka_unit_test(a_dump_takes_windows_of_very_many_extents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
