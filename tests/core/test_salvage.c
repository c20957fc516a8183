/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_salvage.c: a log that has really lost something: what is lost is named and EIO, the rest is there, and the store goes on. */
#include "tests/core/victim.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/bytes.h"

enum { BIG = 40 * RIG_BLOCK, SMALL = 5000 };

/* ---- damage by txg ---- */

/* The first block of a txg in journal.0, UINT32_MAX if it is not there; *blocks: of its first entry. */
static uint32_t find_txg(struct rig *r, uint64_t txg, uint32_t *blocks)
{
    char name[PATH_MAX];
    size_t len;
    uint32_t found = UINT32_MAX;
    rig_name(r, "journal.0", name);
    uint8_t *p = slurp(name, &len);
    for (size_t at = 0; at < len / RIG_BLOCK; at++) {
        const uint8_t *b = p + at * RIG_BLOCK;
        if (memcmp(b, "holoRING", 8) == 0 && le64_get(b + 16) == txg && le32_get(b + 60) == 0) {
            found = (uint32_t)at;
            *blocks = le32_get(b + 56);
        }
    }
    free(p);
    return found;
}

/* The highest number of a txg in journal.0. */
static uint64_t last_found(struct rig *r)
{
    char name[PATH_MAX];
    size_t len;
    uint64_t txg = 0;
    rig_name(r, "journal.0", name);
    uint8_t *p = slurp(name, &len);
    for (const uint8_t *b = p; b < p + len; b += RIG_BLOCK) {
        if (memcmp(b, "holoRING", 8) == 0 && le64_get(b + 16) > txg)
            txg = le64_get(b + 16);
    }
    free(p);
    return txg;
}

static void ruin_blocks(struct rig *r, const char *file, uint32_t at, uint32_t n)
{
    char name[PATH_MAX];
    uint8_t *junk = malloc((size_t)n * RIG_BLOCK);
    rig_name(r, file, name);
    rig_fill(at + (uint64_t)file[8], junk, (size_t)n * RIG_BLOCK);
    int fd = open(name, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, junk, (size_t)n * RIG_BLOCK, (off_t)at * RIG_BLOCK) == (ssize_t)n * RIG_BLOCK);
    close(fd);
    free(junk);
}

/* Lose blocks [first, first+n) of a txg in both copies; n = 0: all of its first entry. */
static void lose(struct rig *r, uint64_t txg, uint32_t first, uint32_t n)
{
    uint32_t blocks = 0, at = find_txg(r, txg, &blocks);
    assert_true(at != UINT32_MAX);
    n = n ? n : blocks;
    ruin_blocks(r, "journal.0", at + first, n);
    ruin_blocks(r, "journal.1", at + first, n);
}

static void drop(struct rig *r, const char *file)
{
    char name[PATH_MAX];
    rig_name(r, file, name);
    assert_int_equal(unlink(name), 0);
}

/* ---- files that are written txg by txg ---- */

static uint64_t last_txg(struct rig *r)
{
    return rig_stat(r, "ring/committed_txg");
}

static uint64_t synced_file(struct rig *r, const char *name, uint64_t seed, size_t len)
{
    rig_file(r, name, seed, len);
    rig_do(r, "sync");
    return last_txg(r);
}

static bool is_lost(struct rig *r, const char *name, uint64_t off, size_t len)
{
    uint8_t *got = rig_buffer(len);
    ssize_t n = holofs_read(r->fs, rig_find(r, RIG_ROOT, name), off, got, len);
    free(got);
    return n < 0 && holo_errno((int)n) == EIO;
}

static void expect_range(struct rig *r, const char *name, uint64_t seed, size_t whole, uint64_t off, size_t len)
{
    uint8_t *p = malloc(whole);
    rig_fill(seed, p, whole);
    rig_expect(r, rig_find(r, RIG_ROOT, name), off, p + off, len);
    free(p);
}

static bool writable(struct rig *r)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    int e = holofs_create(r->fs, &cred, RIG_ROOT, "new", S_IFREG | 0644, 0, NULL, &a);
    if (e == 0) {
        holofs_forget(r->fs, a.ino, 1);
        assert_int_equal(holofs_unlink(r->fs, RIG_ROOT, "new"), 0);
    }
    return e == 0;
}

static void start_raw(struct rig *r)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    r->opt.commit_seconds = 600;
    rig_format(r, &g);
    rig_open(r);
}

/* Blocks 10 and 11 of the first file are in the ring only, and lost there. */
static void lose_two_blocks(struct rig *r)
{
    start_raw(r);
    uint64_t txg = synced_file(r, "big", 1, BIG);
    synced_file(r, "small", 2, SMALL);
    rig_close(r);
    uint32_t blocks, at = find_txg(r, txg, &blocks);
    assert_true(at != UINT32_MAX && blocks > 20);
    lose(r, txg, 11, 1);
}

/* ---- what is lost is data ---- */

static void lost_head_data_is_an_io_error_where_it_was_and_nowhere_else(void **state)
{
    (void)state;
    struct rig r;
    lose_two_blocks(&r);
    for (int i = 0; i < 3; i++) {
        rig_open(&r);
        assert_true(writable(&r));
        rig_expect_file(&r, "small", 2, SMALL);
        unsigned lost = 0;
        for (unsigned b = 0; b < BIG / RIG_BLOCK; b++) {
            if (is_lost(&r, "big", b * RIG_BLOCK, RIG_BLOCK))
                lost++;
            else
                expect_range(&r, "big", 1, BIG, b * RIG_BLOCK, RIG_BLOCK);
        }
        assert_true(lost >= 1 && lost <= 2); /* a block of the ring covers parts of two */
        if (i == 0)
            assert_true(rig_event(&r, "data_lost", "\"path\":\"/big\"") && rig_event(&r, "ring_lost", "txgs"));
        else
            assert_false(rig_event(&r, "ring_lost", "txgs") || rig_event(&r, "data_lost", "path"));
        if (i == 1)
            rig_do(&r, "seal");
        rig_close(&r);
    }
    rig_stop(&r);
}

static void lost_data_is_counted_once(void **state)
{
    (void)state;
    struct rig r;
    lose_two_blocks(&r);
    rig_open(&r);
    uint64_t lost = rig_stat(&r, "lost_blocks");
    assert_true(lost >= 1 && lost <= 2);
    for (int i = 0; i < 5; i++)
        for (unsigned b = 0; b < BIG / RIG_BLOCK; b++)
            is_lost(&r, "big", b * RIG_BLOCK, RIG_BLOCK);
    assert_int_equal(rig_stat(&r, "lost_blocks"), lost);
    rig_stop(&r);
}

static void lost_data_can_be_written_again(void **state)
{
    (void)state;
    struct rig r;
    lose_two_blocks(&r);
    rig_open(&r);
    uint64_t ino = rig_find(&r, RIG_ROOT, "big");
    uint8_t *p = malloc(BIG);
    rig_fill(7, p, BIG);
    rig_write(&r, ino, 0, p, BIG);
    rig_expect(&r, ino, 0, p, BIG);
    rig_do(&r, "seal");
    rig_reopen(&r);
    rig_expect_file(&r, "big", 7, BIG);
    free(p);
    rig_stop(&r);
}

/* Without the index as well: the records of the damaged txg are whole. */
static void records_of_a_damaged_txg_are_used(void **state)
{
    (void)state;
    struct rig r;
    lose_two_blocks(&r);
    drop(&r, "index.db");
    rig_open(&r);
    assert_true(writable(&r));
    rig_expect_file(&r, "small", 2, SMALL);
    expect_range(&r, "big", 1, BIG, 20 * RIG_BLOCK, 20 * RIG_BLOCK);
    assert_true(is_lost(&r, "big", 0, BIG));
    assert_true(rig_event(&r, "data_lost", "\"path\":\"/big\""));
    rig_stop(&r);
}

static void reading_only_names_the_loss_and_writes_nothing(void **state)
{
    (void)state;
    struct rig r;
    lose_two_blocks(&r);
    r.opt.read_only = true;
    rig_open(&r);
    rig_expect_file(&r, "small", 2, SMALL);
    assert_true(is_lost(&r, "big", 0, BIG));
    assert_true(rig_event(&r, "data_lost", "\"path\":\"/big\""));
    rig_close(&r);
    r.opt.read_only = false;
    rig_open(&r);
    assert_true(rig_event(&r, "data_lost", "\"path\":\"/big\""));
    rig_stop(&r);
}

/* The commit that named a sealed container is lost, and the ring has given its data up. */
static void a_container_whose_commit_is_lost_is_taken_back(void **state)
{
    (void)state;
    struct rig r;
    start_raw(&r);
    uint64_t txg = synced_file(&r, "big", 1, BIG);
    rig_do(&r, "seal");
    uint64_t named = last_txg(&r);
    synced_file(&r, "small", 2, SMALL);
    rig_close(&r);
    lose(&r, txg, 0, 0);
    for (uint64_t n = txg + 1; n <= named; n++)
        lose(&r, n, 0, 0);
    drop(&r, "index.db");
    r.opt.accept_loss = true;
    rig_open(&r);
    rig_expect_file(&r, "small", 2, SMALL);
    rig_stop(&r);
}

/* ---- what is lost is metadata ---- */

/* Three files, a txg each; all of the second's is lost, and the index. */
static void lose_a_txg(struct rig *r)
{
    start_raw(r);
    synced_file(r, "one", 1, SMALL);
    uint64_t txg = synced_file(r, "two", 2, SMALL);
    synced_file(r, "three", 3, SMALL);
    rig_close(r);
    lose(r, txg, 0, 0);
    drop(r, "index.db");
}

static void lost_records_are_told_and_open_for_reading_only(void **state)
{
    (void)state;
    struct rig r;
    struct holofs_attr a;
    lose_a_txg(&r);
    for (int i = 0; i < 3; i++) {
        rig_open(&r);
        assert_int_equal(holofs_getattr(r.fs, rig_find(&r, RIG_ROOT, "three"), &a), 0);
        assert_int_equal(a.stored, SMALL); /* counted once, however often the same records are applied */
        assert_false(writable(&r));
        assert_true(rig_event(&r, "metadata_lost", "from_txg"));
        assert_true(rig_event(&r, "read_only", "holofsck -y"));
        rig_expect_file(&r, "one", 1, SMALL);
        rig_expect_file(&r, "three", 3, SMALL);
        assert_int_equal(rig_find(&r, RIG_ROOT, "two"), 0);
        rig_close(&r);
    }
    rig_stop(&r);
}

static void an_accepted_loss_is_written_down_and_the_store_goes_on(void **state)
{
    (void)state;
    struct rig r;
    lose_a_txg(&r);
    r.opt.accept_loss = true;
    rig_open(&r);
    assert_true(writable(&r));
    assert_true(rig_event(&r, "loss_accepted", "metadata"));
    rig_close(&r);
    r.opt.accept_loss = false;
    for (int i = 0; i < 2; i++) {
        rig_open(&r);
        assert_true(writable(&r));
        assert_false(rig_event(&r, "metadata_lost", "txg"));
        rig_expect_file(&r, "one", 1, SMALL);
        rig_expect_file(&r, "three", 3, SMALL);
        rig_close(&r);
    }
    drop(&r, "index.db"); /* not even then: a dump was taken, or the log goes on behind it */
    rig_open(&r);
    rig_expect_file(&r, "one", 1, SMALL);
    rig_expect_file(&r, "three", 3, SMALL);
    rig_stop(&r);
}

/* A file grows in three txgs, and the second is lost: its bytes are no hole. */
static void what_lost_records_have_written_is_no_hole(void **state)
{
    (void)state;
    struct rig r;
    start_raw(&r);
    uint64_t ino = rig_create(&r, "log"), txg = 0;
    uint8_t *p = malloc(3 * BIG);
    rig_fill(9, p, 3 * BIG);
    for (unsigned i = 0; i < 3; i++) {
        rig_write(&r, ino, i * BIG, p + i * BIG, BIG);
        rig_do(&r, "sync");
        txg = i == 1 ? last_txg(&r) : txg;
    }
    rig_close(&r);
    lose(&r, txg, 0, 0);
    drop(&r, "index.db");
    for (int accept = 0; accept < 2; accept++) {
        r.opt.accept_loss = accept;
        rig_open(&r);
        expect_range(&r, "log", 9, 3 * BIG, 0, BIG);
        expect_range(&r, "log", 9, 3 * BIG, 2 * BIG, BIG);
        for (unsigned b = 0; b < BIG / RIG_BLOCK; b++)
            assert_true(is_lost(&r, "log", BIG + b * RIG_BLOCK, RIG_BLOCK));
        assert_true(rig_event(&r, "data_lost", "\"path\":\"/log\""));
        rig_close(&r);
    }
    free(p);
    rig_stop(&r);
}

/* ---- parts that are gone ---- */

static void drop_all(struct rig *r, const char *prefix, int n)
{
    char name[64];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s.%d", prefix, i);
        drop(r, name);
    }
}

/* Two files, one sealed, one in the ring only. */
static void two_files(struct rig *r)
{
    start_raw(r);
    synced_file(r, "sealed", 1, BIG);
    rig_do(r, "seal");
    synced_file(r, "fresh", 2, SMALL);
    rig_close(r);
}

static void expect_two_files(struct rig *r)
{
    rig_expect_file(r, "sealed", 1, BIG);
    rig_expect_file(r, "fresh", 2, SMALL);
    assert_true(writable(r));
}

static void refused_naming_holofsck(struct rig *r)
{
    assert_true(rig_try_open(r) < 0);
    assert_non_null(strstr(r->why, "holofsck -y"));
    assert_null(strchr(r->why, '\n'));
    r->opt.accept_loss = true;
    rig_open(r);
}

static void superblocks_come_back_from_containers(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct rig r;
        two_files(&r);
        char name[64];
        for (int i = 0; i < 5; i++) {
            snprintf(name, sizeof(name), "superblock.%d", i);
            if (gone)
                drop(&r, name);
            else
                ruin_blocks(&r, name, 0, 1);
        }
        refused_naming_holofsck(&r);
        assert_true(rig_event(&r, "superblock_remade", "ring_blocks"));
        expect_two_files(&r);
        rig_close(&r);
        r.opt.accept_loss = false;
        rig_open(&r);
        expect_two_files(&r);
        rig_stop(&r);
    }
}

static void superblocks_come_back_without_a_container(void **state)
{
    (void)state;
    struct rig r;
    start_raw(&r);
    synced_file(&r, "fresh", 2, SMALL);
    rig_close(&r);
    drop_all(&r, "superblock", 5);
    refused_naming_holofsck(&r);
    rig_expect_file(&r, "fresh", 2, SMALL);
    rig_reopen(&r);
    rig_expect_file(&r, "fresh", 2, SMALL);
    rig_stop(&r);
}

static void a_ring_that_is_gone_is_made_anew(void **state)
{
    (void)state;
    for (int index_too = 0; index_too < 2; index_too++) {
        struct rig r;
        two_files(&r);
        drop_all(&r, "journal", 2);
        if (index_too)
            drop(&r, "index.db");
        refused_naming_holofsck(&r);
        assert_true(rig_event(&r, "part_remade", "journals"));
        rig_expect_file(&r, "sealed", 1, BIG);
        assert_true(writable(&r));
        if (index_too) {
            assert_true(rig_event(&r, "metadata_lost", "from_txg"));
        } else {
            assert_true(is_lost(&r, "fresh", 0, SMALL));
            assert_true(rig_event(&r, "data_lost", "\"path\":\"/fresh\""));
        }
        rig_close(&r);
        r.opt.accept_loss = false;
        rig_open(&r);
        rig_expect_file(&r, "sealed", 1, BIG);
        assert_true(writable(&r));
        rig_stop(&r);
    }
}

/* Ring, index and containers: only a root is left to go on from. */
static void even_a_store_without_anything_gets_a_root_again(void **state)
{
    (void)state;
    struct rig r;
    start_raw(&r);
    synced_file(&r, "fresh", 2, SMALL);
    rig_close(&r);
    drop_all(&r, "journal", 2);
    drop(&r, "index.db");
    refused_naming_holofsck(&r);
    assert_true(writable(&r));
    rig_reopen(&r);
    assert_true(writable(&r));
    rig_stop(&r);
}

static void small_parts_that_are_gone_are_made_again(void **state)
{
    (void)state;
    struct rig r;
    struct stat st;
    char name[PATH_MAX];
    two_files(&r);
    drop_all(&r, "remap", 5);
    drop(&r, "lock");
    drop(&r, "reserve");
    drop(&r, "spare/0000.spare");
    rig_name(&r, "spare", name);
    assert_int_equal(rmdir(name), 0);
    rig_name(&r, "containers/000/notes.txt", name); /* files of others are left alone */
    close(open(name, O_WRONLY | O_CREAT, 0600));
    rig_open(&r);
    expect_two_files(&r);
    rig_close(&r);
    assert_int_equal(stat(name, &st), 0);
    rig_name(&r, "reserve", name);
    assert_true(stat(name, &st) == 0 && st.st_size == 65536);
    drop(&r, "lock");
    r.opt.read_only = true;
    rig_open(&r);
    rig_expect_file(&r, "sealed", 1, BIG);
    rig_stop(&r);
}

static void containers_that_are_all_gone_cost_their_files_only(void **state)
{
    (void)state;
    for (int index_too = 0; index_too < 2; index_too++) {
        struct rig r;
        char name[PATH_MAX];
        two_files(&r);
        rig_name(&r, "containers", name);
        rig_remove_tree(name);
        if (index_too)
            drop(&r, "index.db");
        r.opt.accept_loss = index_too;
        rig_open(&r);
        if (!index_too) {
            assert_true(is_lost(&r, "sealed", 0, BIG));
            rig_expect_file(&r, "fresh", 2, SMALL);
        }
        rig_file(&r, "again", 5, BIG);
        rig_do(&r, "seal");
        rig_reopen(&r);
        rig_expect_file(&r, "again", 5, BIG);
        rig_stop(&r);
    }
}

/* ---- killed before the mirror has followed ---- */

static void drop_index(struct rig *r)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-sum0", "index.db-sum1" };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char name[PATH_MAX];
        rig_name(r, files[i], name);
        unlink(name);
    }
}

/*
 * Three files, a txg each, then kill -9; journal.1 is as it was before them. Blocks [first, first+n) of one of the txgs are wrong in
 * journal.0, which is then the only copy.
 */
static void killed_before_the_mirror(struct rig *r, unsigned which, uint32_t first, uint32_t n)
{
    uint64_t *txg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char name[PATH_MAX];
    size_t len;
    uint32_t blocks;
    int status;
    assert_true(txg != MAP_FAILED);
    start_raw(r);
    rig_close(r);
    rig_name(r, "journal.1", name);
    uint8_t *mirror = slurp(name, &len);
    pid_t child = fork();
    if (child == 0) {
        rig_open(r);
        txg[0] = synced_file(r, "one", 1, SMALL);
        txg[1] = synced_file(r, "two", 2, BIG);
        txg[2] = synced_file(r, "three", 3, SMALL);
        kill(getpid(), SIGKILL);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    int fd = open(name, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, mirror, len, 0) == (ssize_t)len);
    close(fd);
    uint32_t at = find_txg(r, txg[which], &blocks);
    assert_true(at != UINT32_MAX);
    ruin_blocks(r, "journal.0", at + first, n);
    free(mirror);
    munmap(txg, 4096);
}

static void damage_before_the_mirror_follows_costs_the_data_it_hits_and_is_told(void **state)
{
    (void)state;
    struct rig r;
    killed_before_the_mirror(&r, 1, 12, 2);
    rig_open(&r);
    assert_true(writable(&r));
    assert_true(rig_event(&r, "data_lost", "\"path\":\"/two\""));
    assert_false(rig_event(&r, "data_lost", "/one") || rig_event(&r, "data_lost", "/three") || rig_event(&r, "metadata_lost", "txg"));
    rig_expect_file(&r, "one", 1, SMALL);
    rig_expect_file(&r, "three", 3, SMALL);
    unsigned lost = 0;
    for (unsigned b = 0; b < BIG / RIG_BLOCK; b++) {
        if (is_lost(&r, "two", b * RIG_BLOCK, RIG_BLOCK))
            lost++;
        else
            expect_range(&r, "two", 2, BIG, b * RIG_BLOCK, RIG_BLOCK);
    }
    assert_true(lost >= 2 && lost <= 3);
    rig_stop(&r);
}

/* The first block of an entry has the records: a whole txg is gone, and what follows it is not. */
static void damage_before_the_mirror_follows_costs_the_records_it_hits_and_is_told(void **state)
{
    (void)state;
    struct rig r;
    killed_before_the_mirror(&r, 1, 0, 1);
    drop_index(&r); /* it may have them */
    rig_open(&r);
    assert_false(writable(&r));
    assert_true(rig_event(&r, "metadata_lost", "from_txg"));
    rig_expect_file(&r, "one", 1, SMALL);
    rig_expect_file(&r, "three", 3, SMALL);
    assert_int_equal(rig_find(&r, RIG_ROOT, "two"), 0);
    rig_stop(&r);
}

/* Two commits are gone at once and the index with them, or journal.0 is: told until that is accepted, however often the store is opened. */
static void commits_gone_before_the_mirror_follows_are_told(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct rig r;
        uint32_t blocks, at;
        killed_before_the_mirror(&r, 1, 0, 1);
        at = find_txg(&r, last_found(&r), &blocks);
        assert_true(at != UINT32_MAX && blocks > 1);
        ruin_blocks(&r, "journal.0", at + blocks - 1, 1);
        drop_index(&r);
        if (all)
            drop(&r, "journal.0");
        for (int i = 0; i < 4; i++) {
            r.opt.accept_loss = i == 2;
            rig_open(&r);
            assert_int_equal(writable(&r), i >= 2);
            assert_int_equal(rig_event(&r, "metadata_lost", "from_txg"), i <= 2);
            if (!all)
                rig_expect_file(&r, "one", 1, SMALL);
            assert_int_equal(rig_find(&r, RIG_ROOT, "two") | rig_find(&r, RIG_ROOT, "three"), 0);
            rig_close(&r);
        }
        rig_stop(&r);
    }
}

/* DESIGN.md, Limits: the last commit and every copy of it destroyed together cannot be told from a crash. The index would be one. */
static void damage_of_the_last_commit_before_the_mirror_follows_looks_like_a_crash(void **state)
{
    (void)state;
    struct rig r;
    killed_before_the_mirror(&r, 2, 0, 1);
    drop_index(&r);
    rig_open(&r);
    assert_true(writable(&r));
    assert_false(rig_event(&r, "metadata_lost", "txg") || rig_event(&r, "data_lost", "path"));
    rig_expect_file(&r, "one", 1, SMALL);
    rig_expect_file(&r, "two", 2, BIG);
    assert_int_equal(rig_find(&r, RIG_ROOT, "three"), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_head_data_is_an_io_error_where_it_was_and_nowhere_else),
        cmocka_unit_test(lost_data_is_counted_once),
        cmocka_unit_test(lost_data_can_be_written_again),
        cmocka_unit_test(records_of_a_damaged_txg_are_used),
        cmocka_unit_test(reading_only_names_the_loss_and_writes_nothing),
        cmocka_unit_test(a_container_whose_commit_is_lost_is_taken_back),
        cmocka_unit_test(lost_records_are_told_and_open_for_reading_only),
        cmocka_unit_test(an_accepted_loss_is_written_down_and_the_store_goes_on),
        cmocka_unit_test(what_lost_records_have_written_is_no_hole),
        cmocka_unit_test(superblocks_come_back_from_containers),
        cmocka_unit_test(superblocks_come_back_without_a_container),
        cmocka_unit_test(a_ring_that_is_gone_is_made_anew),
        cmocka_unit_test(even_a_store_without_anything_gets_a_root_again),
        cmocka_unit_test(small_parts_that_are_gone_are_made_again),
        cmocka_unit_test(containers_that_are_all_gone_cost_their_files_only),
        cmocka_unit_test(damage_before_the_mirror_follows_costs_the_data_it_hits_and_is_told),
        cmocka_unit_test(damage_before_the_mirror_follows_costs_the_records_it_hits_and_is_told),
        cmocka_unit_test(commits_gone_before_the_mirror_follows_are_told),
        cmocka_unit_test(damage_of_the_last_commit_before_the_mirror_follows_looks_like_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
