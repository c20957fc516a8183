/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_undo.c: repairs that keep what they change, cut at every n-th change of store and undo file, and taken back: every name, size and byte
 * of the store is as it was. Then taking back is cut in the same way, and done again.
 *
 * Store and undo file are in one directory, which trace.c follows: a crash point finds both as they may be together.
 *
 * UNDO_SEED, UNDO_SEEDS: the first seed, and how many; UNDO_POINTS: crash points of a scene; UNDO_SCENES: their names. What fails is kept.
 */
#include "core/undo_apply.h"
#include "tests/fsck/same_bytes.h"
#include "tests/fsck/seen.h"
#include "tests/fsck/tree_harm.h"
#include "tests/power/trace.h"

#ifdef __SANITIZE_THREAD__
enum { EVERY = 3, POINTS = 10 };
#else
enum { EVERY = 1, POINTS = 40 };
#endif
enum { LARGE = 150000, SMALL = 7000 };

static uint64_t luck;

/* ---- the place: DIR/store, DIR/undo ---- */

static void store_of(const char *place, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/store", place);
}

static void undo_of(const char *place, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/undo", place);
}

/* ---- harm ---- */

static void drop(struct rig *r, const char *file)
{
    char name[PATH_MAX];
    rig_name(r, file, name);
    assert_int_equal(remove(name), 0);
}

static void ruin(struct rig *r, const char *file, uint64_t block, unsigned n)
{
    char name[PATH_MAX];
    uint8_t p[RIG_BLOCK];
    rig_name(r, file, name);
    int fd = open(name, O_RDWR);
    for (unsigned i = 0; i < n; i++) {
        rig_fill(block + i, p, sizeof(p));
        assert_true(fd >= 0 && pwrite(fd, p, sizeof(p), (off_t)((block + i) * RIG_BLOCK)) == (ssize_t)sizeof(p));
    }
    close(fd);
}

/* Every container loses something. */
static void harm_containers(struct rig *r)
{
    for (unsigned id = 1, n = 0; id < 60; id++) {
        char name[64], path[PATH_MAX];
        struct stat st;
        snprintf(name, sizeof(name), "containers/000/%08x.hc", id);
        rig_name(r, name, path);
        if (stat(path, &st))
            continue;
        ruin(r, name, 2 + luck % 3, 2);
        if (n++ % 2)
            rig_flip_file(r, name, luck + id);
    }
}

static void make_whole(struct rig *r)
{
    rig_open(r);
    rig_file(r, "large", 1, LARGE);
    rig_do(r, "seal");
    rig_do(r, "dump");
    rig_file(r, "small", 2, SMALL);
    rig_do(r, "sync");
    rig_close(r);
}

static void make_with_bad_blocks(struct rig *r)
{
    make_whole(r);
    harm_containers(r);
}

static void make_with_bad_copies(struct rig *r)
{
    make_whole(r);
    drop(r, "superblock.1");
    ruin(r, "superblock.3", 0, 1);
    drop(r, "remap.0");
    ruin(r, "remap.4", 0, 1);
    drop(r, luck % 2 ? "journal.0" : "journal.1");
    drop(r, "reserve");
    drop(r, "lock");
    ruin(r, "index.db", luck % 5, 1);
}

static void make_without_superblocks(struct rig *r)
{
    make_whole(r);
    for (int i = 0; i < 5; i++)
        ruin(r, (const char *[]){ "superblock.0", "superblock.1", "superblock.2", "superblock.3", "superblock.4" }[i], 0, 1);
}

static void make_with_a_bad_tree(struct rig *r)
{
    struct tree t;
    rig_open(r);
    tree_make(r, &t);
    rig_do(r, "seal");
    tree_kinds[luck % TREE_KINDS].make(r, &t);
    rig_close(r);
}

static void make_without_spares(struct rig *r)
{
    make_with_bad_blocks(r);
    drop(r, "spare/0000.spare");
    drop(r, "spare");
    drop(r, "index.db");
    drop(r, "index.db-sum0");
}

/* Places that take no new bytes: blocks go to spares, a superblock copy to a new file. */
static void stick(void)
{
    trace_bad_block("store/containers/000/00000001.hc", 2 * RIG_BLOCK);
    trace_bad_block("store/containers/000/00000001.hc", 3 * RIG_BLOCK);
    trace_bad_block("store/superblock.1", 0);
}

static const struct scene {
    const char *name;
    void (*make)(struct rig *r);
    void (*recorded)(void); /* more harm, when the trace has begun */
} scenes[] = {
    { "bad blocks", make_with_bad_blocks, NULL },
    { "stuck blocks", make_with_bad_blocks, stick },
    { "bad copies", make_with_bad_copies, NULL },
    { "superblocks gone", make_without_superblocks, NULL },
    { "a bad tree", make_with_a_bad_tree, NULL },
    { "no index, no spares", make_without_spares, NULL },
};
enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

/* ---- there and back ---- */

struct run {
    const char *scene;
    uint64_t seed, point, want; /* want: the bytes before the repair */
    struct choice choice;
    uint64_t points, images, untouched;
};

static void fail_at(const struct run *u, const char *place, const char *why)
{
    fail_msg("%s: scene %s, seed %llu, change %llu, survival %d (%u, %llu): %s", why, u->scene, (unsigned long long)u->seed,
             (unsigned long long)u->point, (int)u->choice.what, u->choice.percent, (unsigned long long)u->choice.seed, place);
}

/* A repair that never came to its first record has changed nothing, and its undo file may not be there yet. */
static const char *take_back(const char *place, struct run *u)
{
    char store[PATH_MAX], file[PATH_MAX];
    struct undo_apply_result r;
    store_of(place, store);
    undo_of(place, file);
    int e = holofs_undo_apply(store, file, &(struct undo_apply_options){ 0 }, &r);
    if (bytes_of(store) != u->want) {
        print_message("%s\n", r.why);
        return "not what it was";
    }
    u->untouched += e != 0;
    if (!e || e == -ENOENT || e == -HOLO_EFORMAT)
        return NULL;
    print_message("%s\n", r.why);
    return "refused";
}

static void repair(const char *place)
{
    char store[PATH_MAX], file[PATH_MAX];
    struct seen s;
    struct fsck_options o = seen_options(&s, FSCK_ALL);
    store_of(place, store);
    undo_of(place, file);
    o.undo = file;
    seen_run(store, &o, &s);
    if (s.code & FSCK_EXIT_ERROR)
        fail_msg("the check fails: %s", s.r.why);
}

static void sweep(const char *place, struct run *u, uint64_t points)
{
    static const unsigned percent[] = { 10, 50, 90 };
    char image[PATH_MAX];
    size_t first, n = trace_events(&first), stride = (n - first) / points + 1;
    struct disk *d = disk_create();
    snprintf(image, sizeof(image), "%s-image", place);
    disk_advance(d, first);
    for (size_t at = first + rig_random(&luck) % stride; at < n; at += 1 + rig_random(&luck) % (2 * stride - 1)) {
        disk_advance(d, at + 1);
        u->point = at;
        u->points++;
        for (int i = 0; i < 3; i++) {
            u->choice = (struct choice){ (enum survival)i, percent[rig_random(&luck) % 3], rig_random(&luck) };
            disk_image(d, &u->choice, image);
            const char *why = take_back(image, u);
            rig_remove_tree(image);
            if (why) {
                disk_image(d, &u->choice, image); /* as it was */
                fail_at(u, image, why);
            }
            u->images++;
            if (!disk_is_dirty(d))
                break;
        }
    }
    disk_destroy(d);
}

static void place_make(char place[96], struct rig *r)
{
    struct holofs_geometry g = { .k = 8, .r = 2, .meta_r = 2, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192, .spare_bytes = 65536 };
    char store[PATH_MAX];
    trace_stop();
    rig_init(r);
    snprintf(place, 96, "%.80s", r->dir);
    store_of(place, store);
    snprintf(r->dir, sizeof(r->dir), "%.90s", store);
    r->opt.commit_seconds = 3600;
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    log_set_level((enum log_level)-1);
    assert_int_equal(mkdir(r->dir, 0700), 0);
    rig_format(r, &g);
}

static void there_and_back(const struct scene *s, uint64_t seed, uint64_t points)
{
    struct rig r;
    char place[96];
    struct run u = { .scene = s->name, .seed = seed };
    place_make(place, &r);
    s->make(&r);
    u.want = bytes_of(r.dir);
    trace_start(place);
    if (s->recorded)
        s->recorded();
    repair(place);
    trace_bad_block(NULL, 0);
    sweep(place, &u, points);
    trace_stop();
    trace_start(place); /* the repair has come to its end: now its way back */
    const char *why = take_back(place, &u);
    if (why)
        fail_at(&u, place, why);
    sweep(place, &u, points);
    trace_stop();
    print_message("seed %llu, %s: cut at %llu, %llu images, %llu before the first change\n", (unsigned long long)seed, s->name,
                  (unsigned long long)u.points, (unsigned long long)u.images, (unsigned long long)u.untouched);
    rig_remove_tree(place);
}

static void what_is_cut_can_be_taken_back(void **state)
{
    (void)state;
    uint64_t first = rig_number("UNDO_SEED", 1), end = first + rig_number("UNDO_SEEDS", 1), points = rig_number("UNDO_POINTS", POINTS);
    const char *only = getenv("UNDO_SCENES");
    for (uint64_t seed = first; seed < end; seed++) {
        for (size_t i = 0; i < SCENES; i++) {
            if ((only && !strstr(only, scenes[i].name)) || (seed + i) % EVERY)
                continue;
            luck = seed * 100 + i;
            there_and_back(&scenes[i], seed, points);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_cut_can_be_taken_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
