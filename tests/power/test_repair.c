/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_repair.c: stores that are put right by holofsck or by a mount, cut at every n-th change of that, and put right again.
 *
 * A scene makes a store and harms it. Putting it right is recorded by trace.c; for each crash point the directory is made as it may be found,
 * the same is done again, to its end, and the store must be what it is without a crash: the same tree, and a look finds what it finds there:
 * nothing, unless something is lost for ever.
 *
 * REPAIR_SEED, REPAIR_SEEDS: the first seed, and how many; REPAIR_POINTS: crash points of a scene; REPAIR_SCENES: their names;
 * REPAIR_TREES: how many of the kinds of harmed trees, POWER_VERBOSE: with the program's messages. What fails is kept, and the message says where.
 */
#include <dirent.h>

#include "base/bytes.h"
#include "base/sum.h"
#include "store/format.h"
#include "store/record.h"
#include "tests/fsck/seen.h"
#include "tests/fsck/tree_harm.h"
#include "tests/power/world.h"

#ifdef __SANITIZE_THREAD__
enum { EVERY = 3, TREES = 1 }; /* eight times slower: one scene in three */
#else
enum { EVERY = 1, TREES = 4 };
#endif
enum { LARGE = 200000, SMALL = 7000, LINES_MAX = 200 };

/* ---- a tree as text: no numbers of inodes, no times ---- */

struct text {
    char *line[LINES_MAX];
    size_t n;
};

static void text_fini(struct text *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->line[i]);
    t->n = 0;
}

static int by_line(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Contents block by block: what is lost, and a sum of the rest. */
static uint64_t content_of(struct rig *r, uint64_t ino, uint64_t size, unsigned *lost)
{
    uint8_t *p = rig_buffer(RIG_BLOCK);
    uint64_t h = size;
    for (uint64_t off = 0; off < size; off += RIG_BLOCK) {
        ssize_t n = holofs_read(r->fs, ino, off, p, RIG_BLOCK);
        assert_true(n > 0 || holo_errno((int)n) == EIO);
        h = n > 0 ? sum64(p, (size_t)n, h) : h;
        *lost += n < 0;
    }
    free(p);
    return h;
}

static void say(struct rig *r, uint64_t ino, const char *path, struct text *t)
{
    struct holofs_attr a;
    char target[256] = "", line[1500];
    unsigned lost = 0;
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    if (S_ISLNK(a.mode))
        assert_true(holofs_readlink(r->fs, ino, target, sizeof(target)) >= 0);
    uint64_t sum = S_ISREG(a.mode) ? content_of(r, ino, a.size, &lost) : 0;
    snprintf(line, sizeof(line), "%.1000s mode %o links %u size %llu sum %llx lost %u %s", path, a.mode, a.nlink,
             S_ISREG(a.mode) ? (unsigned long long)a.size : 0, (unsigned long long)sum, lost, target);
    assert_true(t->n < LINES_MAX);
    t->line[t->n++] = strdup(line);
}

static void say_all(struct rig *r, uint64_t dir, const char *path, struct text *t)
{
    struct holofs_dir *d;
    struct holofs_dirent e;
    say(r, dir, path, t);
    assert_int_equal(holofs_opendir(r->fs, dir, &d), 0);
    for (uint64_t off = 0; holofs_readdir(d, off, &e) == 1; off = e.next) {
        char below[1000];
        if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%.700s/%s", path, e.name);
        if (e.type == DT_DIR)
            say_all(r, e.ino, below, t);
        else
            say(r, e.ino, below, t);
    }
    holofs_closedir(d);
}

static void read_tree(struct rig *r, struct text *t)
{
    r->opt.read_only = true;
    rig_open(r);
    say_all(r, RIG_ROOT, "", t);
    rig_close(r);
    r->opt.read_only = false;
    qsort(t->line, t->n, sizeof(*t->line), by_line);
}

static const char *tree_differs(const struct text *want, const struct text *got)
{
    for (size_t i = 0; i < want->n || i < got->n; i++) {
        if (i < want->n && i < got->n && strcmp(want->line[i], got->line[i]) == 0)
            continue;
        print_message("want %s\ngot  %s\n", i < want->n ? want->line[i] : "nothing", i < got->n ? got->line[i] : "nothing");
        return "another tree";
    }
    return NULL;
}

/* ---- harm ---- */

static void drop(struct rig *r, const char *file)
{
    char name[PATH_MAX];
    rig_name(r, file, name);
    assert_int_equal(remove(name), 0);
}

static void drop_index(struct rig *r)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-sum0", "index.db-sum1" };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char name[PATH_MAX];
        rig_name(r, files[i], name);
        remove(name);
    }
}

static void ruin(struct rig *r, const char *file, uint64_t block, uint64_t n, uint64_t seed)
{
    char name[PATH_MAX];
    uint8_t junk[RIG_BLOCK];
    rig_name(r, file, name);
    int fd = open(name, O_WRONLY);
    assert_true(fd >= 0);
    for (uint64_t i = 0; i < n; i++) {
        rig_fill(seed + i, junk, sizeof(junk));
        assert_int_equal(pwrite(fd, junk, sizeof(junk), (off_t)((block + i) * RIG_BLOCK)), sizeof(junk));
    }
    close(fd);
}

/* The first entry of a txg in journal.0, both copies. */
static void lose_txg(struct rig *r, uint64_t txg)
{
    char name[PATH_MAX];
    uint8_t b[RIG_BLOCK];
    rig_name(r, "journal.0", name);
    int fd = open(name, O_RDONLY);
    for (uint64_t at = 0; pread(fd, b, sizeof(b), (off_t)(at * RIG_BLOCK)) == sizeof(b); at++) {
        if (memcmp(b, "holoRING", 8) == 0 && le64_get(b + 16) == txg && le32_get(b + 60) == 0) {
            ruin(r, "journal.0", at, le32_get(b + 56), txg);
            ruin(r, "journal.1", at, le32_get(b + 56), txg + 1000);
        }
    }
    close(fd);
}

static void each_container(struct rig *r, uint32_t cls, void (*harm)(struct rig *r, const char *file, uint64_t blocks))
{
    for (uint32_t id = 1; id < 40; id++) {
        char file[CONTAINER_NAME_MAX], name[PATH_MAX];
        uint8_t b[RIG_BLOCK];
        struct stat st;
        struct container_header h;
        container_name(id, file);
        rig_name(r, file, name);
        int fd = open(name, O_RDONLY);
        if (fd < 0)
            continue;
        assert_true(fstat(fd, &st) == 0 && pread(fd, b, sizeof(b), 0) == sizeof(b));
        close(fd);
        if (chead_decode_any(b, &h) == 0 && h.cls == cls)
            harm(r, file, (uint64_t)st.st_size / RIG_BLOCK);
    }
}

/* ---- scenes ---- */

static uint64_t luck;

static void files(struct rig *r)
{
    rig_make(r, RIG_ROOT, "dir", S_IFDIR | 0755);
    rig_file(r, "large", 1, LARGE);
    rig_file(r, "small", 2, SMALL);
    rig_do(r, "seal");
    rig_file(r, "second", 3, LARGE / 2);
    rig_do(r, "dump");
    rig_do(r, "seal");
}

static void later(struct rig *r)
{
    rig_file(r, "later", 4, SMALL);
    rig_do(r, "sync");
    rig_file(r, "last", 5, SMALL);
    rig_do(r, "sync");
}

static void make_whole(struct rig *r)
{
    rig_open(r);
    files(r);
    later(r);
    rig_close(r);
}

/* Killed, so that the ring is replayed; journal.1 may be behind. */
static void make_killed(struct rig *r)
{
    trace_start(r->dir);
    rig_open(r);
    files(r);
    later(r);
    world_kill(r);
    trace_cut(false);
    trace_stop();
}

static void make_without_superblocks(struct rig *r)
{
    make_whole(r);
    for (int i = 0; i < 5; i++)
        drop(r, (const char *[]){ "superblock.0", "superblock.1", "superblock.2", "superblock.3", "superblock.4" }[i]);
}

static void make_without_journals(struct rig *r)
{
    make_whole(r);
    drop(r, "journal.0");
    drop(r, "journal.1");
}

static void make_with_one_journal(struct rig *r)
{
    make_killed(r);
    drop(r, luck % 2 ? "journal.0" : "journal.1");
}

static void make_without_index(struct rig *r)
{
    if (luck % 2)
        make_killed(r);
    else
        make_whole(r);
    drop_index(r);
}

static void make_with_a_bad_index(struct rig *r)
{
    make_killed(r);
    ruin(r, "index.db", luck % 6, 1, 9);
}

static void make_without_small_parts(struct rig *r)
{
    make_whole(r);
    drop(r, "lock");
    drop(r, "reserve");
    drop(r, "spare/0000.spare");
    drop(r, "spare");
    for (int i = 0; i < 5; i++)
        drop(r, (const char *[]){ "remap.0", "remap.1", "remap.2", "remap.3", "remap.4" }[i]);
}

static void harm_blocks(struct rig *r, const char *file, uint64_t blocks)
{
    ruin(r, file, luck % (blocks - 8), 4, 17);
    rig_flip_file(r, file, luck);
}

static void make_with_bad_blocks(struct rig *r)
{
    make_whole(r);
    each_container(r, CLASS_DATA, harm_blocks);
    each_container(r, CLASS_META_LOG, harm_blocks);
}

static void harm_stuck_block(struct rig *r, const char *file, uint64_t blocks)
{
    uint64_t at = 2 + luck % (blocks - 4);
    ruin(r, file, at, 1, 18);
    trace_bad_block(file, at * RIG_BLOCK);
}

/* Blocks that do not take new bytes: they go to spares. */
static void stick(struct rig *r)
{
    each_container(r, CLASS_DATA, harm_stuck_block);
}

static void drop_file(struct rig *r, const char *file, uint64_t blocks)
{
    (void)blocks;
    drop(r, file);
}

/* The index is all that is left of the log. */
static void make_without_metadata(struct rig *r)
{
    make_whole(r);
    each_container(r, luck % 2 ? CLASS_META_LOG : CLASS_META_DUMP, drop_file);
}

static void make_with_lost_records(struct rig *r)
{
    rig_open(r);
    files(r);
    later(r);
    uint64_t txg = rig_stat(r, "ring/committed_txg");
    rig_file(r, "end", 6, SMALL);
    rig_do(r, "sync");
    rig_close(r);
    lose_txg(r, txg);
    drop_index(r);
}

static void make_with_lost_data(struct rig *r)
{
    char name[PATH_MAX];
    rig_open(r);
    files(r);
    rig_file(r, "later", 4, 10 * SMALL);
    rig_do(r, "sync");
    uint64_t txg = rig_stat(r, "ring/committed_txg");
    rig_file(r, "end", 6, SMALL);
    rig_do(r, "sync");
    rig_close(r);
    lose_txg(r, txg);
    rig_name(r, "index.db", name);
    assert_int_equal(access(name, F_OK), 0);
}

static void make_with_everything(struct rig *r)
{
    make_killed(r);
    drop_index(r);
    drop(r, "superblock.1");
    drop(r, "superblock.3");
    drop(r, "reserve");
    drop(r, "remap.0");
    drop(r, "remap.4");
    each_container(r, CLASS_DATA, harm_blocks);
}

enum how { MOUNT, ACCEPT, SCRUB, CHECK }; /* ACCEPT: a mount that takes losses, as a check does */

struct scene {
    const char *name;
    void (*make)(struct rig *r);
    void (*recorded)(struct rig *r); /* more harm, when the trace has begun */
    enum how how;
};

static const struct scene scenes[] = {
    { "killed", make_killed, NULL, MOUNT },
    { "killed, checked", make_killed, NULL, CHECK },
    { "one journal", make_with_one_journal, NULL, MOUNT },
    { "no index", make_without_index, NULL, MOUNT },
    { "no index, checked", make_without_index, NULL, CHECK },
    { "bad index", make_with_a_bad_index, NULL, MOUNT },
    { "small parts gone", make_without_small_parts, NULL, MOUNT },
    { "small parts gone, checked", make_without_small_parts, NULL, CHECK },
    { "superblocks gone", make_without_superblocks, NULL, CHECK },
    { "journals gone", make_without_journals, NULL, CHECK },
    { "bad blocks", make_with_bad_blocks, NULL, SCRUB },
    { "bad blocks, checked", make_with_bad_blocks, NULL, CHECK },
    { "stuck blocks", make_whole, stick, SCRUB },
    { "stuck blocks, checked", make_whole, stick, CHECK },
    { "metadata gone", make_without_metadata, NULL, CHECK },
    { "lost data", make_with_lost_data, NULL, MOUNT },
    { "lost records", make_with_lost_records, NULL, CHECK },
    { "everything", make_with_everything, NULL, CHECK },
    { "everything, mounted", make_with_everything, NULL, SCRUB },
};
enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

/* ---- putting right ---- */

static const char *put_right(struct rig *r, enum how how)
{
    struct seen s;
    if (how == CHECK) {
        seen_check(r->dir, FSCK_ALL, &s);
        if (!(s.code & FSCK_EXIT_ERROR))
            return NULL;
        print_message("%s\n", s.r.why);
        return "the check fails";
    }
    r->opt.accept_loss = how == ACCEPT;
    int e = rig_try_open(r);
    r->opt.accept_loss = false;
    if (e) {
        print_message("%s (%d)\n", r->why, e);
        return "does not open";
    }
    if (how == SCRUB)
        rig_scrub(r);
    return holofs_close(r->fs) ? "does not close" : NULL;
}

/* What a look finds afterwards. */
static int look(struct rig *r)
{
    struct seen s;
    seen_check(r->dir, FSCK_LOOK, &s);
    return s.code;
}

struct run {
    const char *name;
    enum how how;
    uint64_t seed, point;
    struct choice choice;
    struct text want;
    int want_code;
    uint64_t points, images, changes;
};

static const char *one_try(struct rig *r, struct run *u)
{
    struct text got = { 0 };
    const char *why = put_right(r, u->how);
    int code = why ? 0 : look(r);
    if (!why && code != u->want_code) {
        print_message("a look ends with %d, not %d\n", code, u->want_code);
        return "it is not right";
    }
    if (!why)
        read_tree(r, &got);
    why = why ? why : tree_differs(&u->want, &got);
    text_fini(&got);
    return why;
}

static void one_image(const struct rig *like, struct run *u, const struct disk *d)
{
    struct rig r = *like;
    snprintf(r.dir, sizeof(r.dir), "%.80s-image", like->dir);
    disk_image(d, &u->choice, r.dir);
    const char *why = one_try(&r, u);
    rig_remove_tree(r.dir);
    u->images++;
    if (!why)
        return;
    disk_image(d, &u->choice, r.dir); /* as it was */
    fail_msg("%s: scene %s, seed %llu, change %llu, survival %d (%u, %llu): %s", why, u->name, (unsigned long long)u->seed,
             (unsigned long long)u->point, (int)u->choice.what, u->choice.percent, (unsigned long long)u->choice.seed, r.dir);
}

static void sweep(const struct rig *r, struct run *u, uint64_t points)
{
    static const unsigned percent[] = { 10, 50, 90 };
    size_t first, n = trace_events(&first), stride = (n - first) / points + 1;
    struct disk *d = disk_create();
    u->changes += n - first;
    disk_advance(d, first);
    for (size_t at = first + rig_random(&luck) % stride; at < n; at += 1 + rig_random(&luck) % (2 * stride - 1)) {
        disk_advance(d, at + 1);
        u->point = at;
        u->points++;
        for (int i = 0; i < 3; i++) {
            u->choice = (struct choice){ (enum survival)i, percent[rig_random(&luck) % 3], rig_random(&luck) };
            one_image(r, u, d);
            if (!disk_is_dirty(d))
                break;
        }
    }
    disk_destroy(d);
}

static void start(struct rig *r)
{
    struct holofs_geometry g = { .k = 8, .r = 2, .meta_r = 2, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192, .spare_bytes = 65536 };
    trace_stop(); /* of a scene that failed */
    rig_init(r);
    r->opt.commit_seconds = 3600;
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    if (!getenv("POWER_VERBOSE"))
        log_set_level((enum log_level)-1);
    rig_format(r, &g);
}

/* The store is harmed: put it right once without a crash, then with one at many places. */
static void repair_with_cuts(struct rig *r, struct run *u, void (*recorded)(struct rig *r))
{
    trace_start(r->dir);
    if (recorded)
        recorded(r);
    const char *why = put_right(r, u->how);
    trace_bad_block(NULL, 0);
    if (why)
        fail_msg("%s, without a crash: scene %s, seed %llu: %s", why, u->name, (unsigned long long)u->seed, r->dir);
    size_t first, n = trace_events(&first);
    assert_true(n > first);
    u->want_code = look(r);
    read_tree(r, &u->want);
    sweep(r, u, rig_number("REPAIR_POINTS", 1));
    trace_stop();
    text_fini(&u->want);
}

static bool is_wanted(const char *name)
{
    const char *only = getenv("REPAIR_SCENES");
    return !only || strstr(only, name);
}

static void tell(const struct run *u)
{
    print_message("seed %llu, %s: %llu changes, cut at %llu, %llu images; a look ends with %d\n", (unsigned long long)u->seed, u->name,
                  (unsigned long long)u->changes, (unsigned long long)u->points, (unsigned long long)u->images, u->want_code);
}

static void what_is_put_right_can_be_cut_anywhere(void **state)
{
    (void)state;
    uint64_t first = rig_number("REPAIR_SEED", 1), end = first + rig_number("REPAIR_SEEDS", 1);
    for (uint64_t seed = first; seed < end; seed++) {
        for (size_t i = 0; i < SCENES; i++) {
            struct rig r;
            struct run u = { .name = scenes[i].name, .how = scenes[i].how, .seed = seed };
            if (!is_wanted(u.name) || (seed + i) % EVERY)
                continue;
            luck = seed * 100 + i;
            start(&r);
            scenes[i].make(&r);
            repair_with_cuts(&r, &u, scenes[i].recorded);
            tell(&u);
            rig_remove_tree(r.dir);
        }
    }
}

/* Trees that contradict themselves, mended by records: the kinds follow the seed. */
static void a_tree_that_is_mended_can_be_cut_anywhere(void **state)
{
    (void)state;
    uint64_t first = rig_number("REPAIR_SEED", 1), end = first + rig_number("REPAIR_SEEDS", 1), trees = rig_number("REPAIR_TREES", TREES);
    for (uint64_t seed = first; seed < end; seed++) {
        for (uint64_t i = 0; i < trees && i < TREE_KINDS; i++) {
            struct rig r;
            struct tree t;
            const struct tree_kind *k = &tree_kinds[(seed * trees + i) % TREE_KINDS];
            struct run u = { .name = k->name, .how = CHECK, .seed = seed };
            if (!is_wanted(u.name))
                continue;
            luck = seed * 100 + i;
            start(&r);
            rig_open(&r);
            tree_make(&r, &t);
            k->make(&r, &t);
            rig_close(&r);
            repair_with_cuts(&r, &u, NULL);
            tell(&u);
            rig_remove_tree(r.dir);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_right_can_be_cut_anywhere),
        cmocka_unit_test(a_tree_that_is_mended_can_be_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
