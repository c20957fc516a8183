/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_crash.c: whole stores, cut at every n-th change of the directory they live in, and opened again.
 *
 * A workload runs on a store while trace.c keeps the log of all changes. For each crash point the directory is made as it
 * may be found (kill -9; nothing unsynced; each unsynced sector, size and name by chance), opened, and compared with the
 * states that were possible. Then something more is written and synced, the store is closed, and opened again. Now and
 * then the index is taken away first. After a sweep one of the crash images is the store that the next round goes on
 * with: there the opening is recorded as well, so that recovery is cut like everything else, and crashes follow crashes.
 *
 * POWER_SEED, POWER_SEEDS: the first seed, and how many; POWER_ROUNDS, POWER_OPS: of each; POWER_POINTS: crash points of a round;
 * POWER_LOADS: names of workloads; POWER_VERBOSE: with the program's messages. What fails is kept, and the message says where.
 */
#include "tests/power/world.h"

#include <dirent.h>

static const struct workload workloads[] = {
    { "append", "AAAAaSTTFKC" },
    { "overwrite", "oooooawffST" },
    { "replace", "pppppcST" },
    { "names", "ccdDRrreluuSFFTw" },
    { "holes", "wwtthhzzofST" },
    { "attrs", "cxxxXmmlsurfST" },
    { "unlinked", "OOOawST" },
    { "database", "QQQQaT" },
    { "seal", "wwwwLLTaf" },
    { "dump", "cwwrUUdlxsSTLC" },
    { "refill", "wwwGGTUc" },
    { "clean", "oowwtLLLggUuf" },
    { "rot", "wwwbBfT" },
    { "kill", "wwcprKKfSTL" },
    { "tmpfile", "IIIIawufFST" },
    { "ring", "JwwfAAsTS" },
    { "mixed", "cawothzrelusxXmdDRpOIQfFSLUTCKbJg" },
};
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

#ifdef __SANITIZE_THREAD__
enum { ROUNDS = 1, OPS = 15, POINTS = 1 }; /* eight times slower */
#else
enum { ROUNDS = 2, OPS = 25, POINTS = 1 };
#endif

struct totals {
    uint64_t changes, points, images, operations, rebuilt, rounds;
};

/* ---- one crash image ---- */

struct place {
    const struct world *w;
    const char *base;         /* a directory for images */
    const char *load;
    uint64_t seed, point, low, high;
    struct choice choice;
    bool without_index, thorough;
};

static const char *survival_name(const struct choice *c)
{
    return c->what == SURVIVES_ALL ? "all survives" : c->what == SURVIVES_NONE ? "nothing unsynced survives" : "some survives";
}

/* The image as it was before anybody opened it. */
static void keep(const struct place *p, const struct disk *d, const char *why)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%.80s-failed", p->base);
    rig_remove_tree(dir);
    disk_image(d, &p->choice, dir);
    fail_msg("%s: workload %s, seed %llu, change %llu, %s (%u, %llu)%s: %s", why, p->load, (unsigned long long)p->seed,
             (unsigned long long)p->point, survival_name(&p->choice), p->choice.percent, (unsigned long long)p->choice.seed,
             p->without_index ? ", without index" : "", dir);
}

static void drop_index(const struct rig *r)
{
    DIR *d = opendir(r->dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_MAX];
        rig_name(r, e->d_name, path);
        if (strncmp(e->d_name, "index.db", 8) == 0)
            unlink(path);
    }
    closedir(d);
}

static const char *go_on(struct rig *r, const struct place *p, uint64_t k)
{
    rig_file(r, "after", p->seed + p->point, 9000);
    if (holofs_fsync(r->fs, rig_find(r, RIG_ROOT, "after")))
        return "fsync after the crash";
    if (p->thorough)
        rig_do(r, "seal");
    rig_close(r);
    rig_open(r);
    rig_expect_file(r, "after", p->seed + p->point, 9000);
    return world_match(p->w, r, k, k) < 0 ? "not the same after a clean stop" : NULL;
}

static const char *try_image(struct rig *r, const struct place *p)
{
    const char *why = NULL;
    int e = rig_try_open(r);
    if (e) {
        print_message("%s (%d)\n", r->why, e);
        return "does not open";
    }
    int64_t k = world_match(p->w, r, p->low, p->high);
    if (k < 0)
        why = "no state that is possible";
    else if (p->thorough)
        why = go_on(r, p, (uint64_t)k);
    rig_close(r);
    return why;
}

static void one_image(const struct place *p, const struct disk *d, struct totals *t)
{
    struct rig r = *p->w->r;
    snprintf(r.dir, sizeof(r.dir), "%.80s-image", p->base);
    r.fs = NULL;
    disk_image(d, &p->choice, r.dir);
    if (p->without_index)
        drop_index(&r);
    const char *why = try_image(&r, p);
    if (why)
        keep(p, d, why);
    rig_remove_tree(r.dir);
    t->images++;
    t->rebuilt += p->without_index;
}

static void one_point(struct place *p, const struct disk *d, uint64_t *luck, struct totals *t)
{
    static const struct choice choices[] = { { SURVIVES_ALL, 0, 0 }, { SURVIVES_NONE, 0, 0 }, { SURVIVES_SOME, 50, 0 }, { SURVIVES_SOME, 90, 0 },
                                             { SURVIVES_SOME, 10, 0 } };
    disk_promise(d, &p->low, &p->high);
    t->points++;
    unsigned some = 2 + (unsigned)(rig_random(luck) % 3);
    for (unsigned i = 0; i < 3; i++) {
        p->choice = choices[i < 2 ? i : some];
        p->choice.seed = rig_random(luck);
        p->without_index = rig_random(luck) % 4 == 0;
        p->thorough = rig_random(luck) % 4 == 0;
        one_image(p, d, t);
        if (!disk_is_dirty(d))
            return;
    }
}

/* Cut the log at about `points` places, and find one image for the next round. */
static void sweep(const struct world *w, const char *base, const char *load, uint64_t seed, uint64_t points, const char *next, uint64_t *next_low,
                  uint64_t *next_high, struct totals *t)
{
    uint64_t luck = seed * 77 + 5;
    size_t first, n = trace_events(&first);
    struct disk *d = disk_create();
    struct place p = { .w = w, .base = base, .load = load, .seed = seed };
    size_t stride = (n - first) / points + 1, at = first + rig_random(&luck) % stride, last = first + 1 + rig_random(&luck) % (n - first); /* behind the first mark */
    t->changes += n - first;
    disk_advance(d, first);
    while (at < n) {
        if (at > last && next) {
            disk_advance(d, last);
            disk_promise(d, next_low, next_high);
            disk_image(d, &(struct choice){ SURVIVES_SOME, 50, luck }, next);
            next = NULL;
        }
        disk_advance(d, at + 1);
        p.point = at;
        one_point(&p, d, &luck, t);
        at += 1 + rig_random(&luck) % (2 * stride - 1);
    }
    if (next) {
        disk_advance(d, n);
        disk_promise(d, next_low, next_high);
        disk_image(d, &(struct choice){ SURVIVES_NONE, 0, luck }, next);
    }
    disk_destroy(d);
}

/* ---- a history: rounds of work, each ended by a crash ---- */

static struct holofs_geometry small(void)
{
    return (struct holofs_geometry){ .k = 8, .r = 2, .meta_r = 2, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192, .spare_bytes = 65536 };
}

static void history(const struct workload *l, uint64_t seed, struct totals *t)
{
    struct rig r;
    struct world w;
    struct holofs_geometry g = small();
    char base[96], next[128];
    uint64_t rounds = rig_number("POWER_ROUNDS", ROUNDS), ops = rig_number("POWER_OPS", OPS), points = rig_number("POWER_POINTS", POINTS), low = 0, high = 0;
    rig_init(&r);
    if (!getenv("POWER_VERBOSE"))
        log_set_level((enum log_level)-1); /* a process that is cut off complains */
    r.opt.commit_seconds = seed % 3 == 0 ? 0 : 3600;
    if (seed % 2)
        r.opt.cache_bytes = 1 << 20;
    snprintf(base, sizeof(base), "%.80s", r.dir);
    rig_format(&r, &g);
    trace_start(r.dir);
    rig_open(&r);
    world_init(&w, &r, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < ops; i++)
            world_step(&w, l);
        t->operations += w.n;
        t->rounds++;
        world_kill(&r);
        snprintf(next, sizeof(next), "%.80s-%llu", base, (unsigned long long)round);
        sweep(&w, base, l->name, seed + round, points, next, &low, &high, t);
        trace_stop();
        rig_remove_tree(r.dir);
        snprintf(r.dir, sizeof(r.dir), "%.95s", next);
        trace_start(r.dir);
        w.low = low;
        trace_mark(low, high);
        rig_open(&r);
        int64_t k = world_match(&w, &r, low, high);
        if (k < 0)
            fail_msg("workload %s, seed %llu, round %llu: no state that is possible", l->name, (unsigned long long)seed, (unsigned long long)round);
        w.n = high + 1 < w.n ? high + 1 : w.n; /* what was not begun then has not happened */
        world_resume(&w, (uint64_t)k);
    }
    rig_close(&r);
    trace_stop();
    world_fini(&w);
    rig_remove_tree(r.dir);
}

static bool is_wanted(const char *name)
{
    const char *only = getenv("POWER_LOADS");
    return !only || strstr(only, name);
}

static void what_was_promised_survives_every_cut(void **state)
{
    struct totals t = { 0 };
    (void)state;
    uint64_t first = rig_number("POWER_SEED", 1), seeds = rig_number("POWER_SEEDS", 1);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        for (int i = 0; i < WORKLOADS; i++) {
            if (!is_wanted(workloads[i].name))
                continue;
            struct totals before = t;
            history(&workloads[i], seed * 1000 + (uint64_t)i, &t);
            print_message("seed %llu, %s: %llu operations, %llu changes, cut at %llu, %llu images, %llu without index\n", (unsigned long long)seed,
                          workloads[i].name, (unsigned long long)(t.operations - before.operations), (unsigned long long)(t.changes - before.changes),
                          (unsigned long long)(t.points - before.points), (unsigned long long)(t.images - before.images),
                          (unsigned long long)(t.rebuilt - before.rebuilt));
        }
    }
    print_message("%llu operations, %llu changes, cut at %llu, %llu images, %llu without index\n", (unsigned long long)t.operations,
                  (unsigned long long)t.changes, (unsigned long long)t.points, (unsigned long long)t.images, (unsigned long long)t.rebuilt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_promised_survives_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
