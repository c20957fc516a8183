/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_history.c: parts of a store that come from another time, or from another machine that had a copy of it, are put beside the others,
 * mostly after kill -9. Whatever that costs, two histories are not mixed: all files are as they were at one moment of one of them, or EIO.
 * Where records are lost, and told, they are of one history all the same, with one exception (expect_one_history).
 *
 * Files are replaced whole, one transaction group each; which bytes a file has says who wrote it when. HISTORY_SEED, HISTORY_SEEDS: the first
 * seed (2), and how many (1); epochs are random, so that a seed does not repeat everything. HISTORY_SCENES: a part of their names.
 */
#include "tests/core/rig.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "core/fsck.h"
#include "core/log.h"

enum { FILES = 6, OPS = 40, LEN = 6000, HISTORIES = 2 };

/* ---- what was written ---- */

struct history {
    uint32_t made[OPS][FILES]; /* after each operation, which number made each file what it is; 0: it is not there */
    unsigned n, base;          /* operations; of those, this many are common to all histories */
};

static void fill_file(uint32_t number, uint8_t *p)
{
    rig_fill(number * 7919u, p, LEN);
    memcpy(p, &number, sizeof(number));
}

static void write_file(struct rig *r, unsigned f, uint32_t number)
{
    char name[16];
    uint8_t p[LEN];
    snprintf(name, sizeof(name), "file%u", f);
    uint64_t ino = rig_find(r, RIG_ROOT, name);
    fill_file(number, p);
    rig_write(r, ino ? ino : rig_create(r, name), 0, p, LEN);
}

/* n operations behind what h has; r may be NULL: only the history goes on. */
static void work(struct rig *r, struct history *h, unsigned n, uint32_t who, uint64_t seed)
{
    for (unsigned i = 0; i < n; i++, h->n++) {
        unsigned f = (unsigned)(rig_random(&seed) % FILES), then = (unsigned)(rig_random(&seed) % 8);
        uint32_t number = who * 1000 + h->n + 1;
        if (h->n)
            memcpy(h->made[h->n], h->made[h->n - 1], sizeof(h->made[0]));
        h->made[h->n][f] = number;
        if (!r)
            continue;
        write_file(r, f, number);
        rig_do(r, then == 0 ? "seal" : then == 1 ? "dump" : "sync");
        rig_do(r, "sync");
        if (then > 5) { /* the mirror follows */
            commit_wake(r->fs);
            rig_sleep_ms(3);
        }
    }
}

/* ---- what is there ---- */

enum { GONE = 0, LOST = UINT32_MAX, STRANGE = UINT32_MAX - 1 };

static uint32_t read_file(struct rig *r, unsigned f)
{
    char name[16];
    uint8_t want[LEN];
    uint32_t number;
    struct holofs_attr a;
    snprintf(name, sizeof(name), "file%u", f);
    uint64_t ino = rig_find(r, RIG_ROOT, name);
    if (!ino)
        return GONE;
    uint8_t *got = rig_buffer(LEN);
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    ssize_t n = holofs_read(r->fs, ino, 0, got, LEN);
    memcpy(&number, got, sizeof(number));
    fill_file(number, want);
    uint32_t result = n < 0 && holo_errno((int)n) == EIO ? LOST : n == LEN && a.size == LEN && memcmp(got, want, LEN) == 0 ? number : STRANGE;
    if (result == STRANGE)
        print_message("%s: size %llu, read %zd, number %u\n", name, (unsigned long long)a.size, n, n > 4 ? number : 0);
    free(got);
    return result;
}

struct view {
    uint32_t file[FILES];
    unsigned lost;
};

static void look(struct rig *r, struct view *v)
{
    v->lost = 0;
    for (unsigned f = 0; f < FILES; f++) {
        v->file[f] = read_file(r, f);
        v->lost += v->file[f] == LOST;
    }
}

static bool is_moment(const struct view *v, const struct history *h, unsigned k)
{
    for (unsigned f = 0; f < FILES; f++) {
        if (v->file[f] != LOST && v->file[f] != h->made[k][f])
            return false;
    }
    return true;
}

/* The newest moment of the history that the view fits; -1: none. */
static int moment(const struct view *v, const struct history *h)
{
    for (unsigned k = h->n; k-- > 0;) {
        if (is_moment(v, h, k))
            return (int)k;
    }
    return -1;
}

/* Is each file as this history had it once? */
static bool is_of(const struct view *v, const struct history *h)
{
    for (unsigned f = 0; f < FILES; f++) {
        bool found = v->file[f] == LOST || v->file[f] == GONE;
        for (unsigned k = 0; k < h->n && !found; k++)
            found = h->made[k][f] == v->file[f];
        if (!found)
            return false;
    }
    return true;
}

static void print_view(const struct view *v)
{
    for (unsigned f = 0; f < FILES; f++)
        print_message(v->file[f] == LOST ? " lost" : v->file[f] == STRANGE ? " STRANGE" : " %u", v->file[f]);
    print_message("\n");
}

/* ---- stores, and copies of them ---- */

static void copy_path(const char *from, const char *to, const char *what)
{
    char line[3 * PATH_MAX];
    snprintf(line, sizeof(line), "cd '%s' && for f in %s; do [ ! -e $f ] || { rm -rf '%s'/$f && cp -a $f '%s'/$f; }; done", from, what, to, to);
    if (system(line) != 0)
        fail_msg("%s", line);
}

static void copy_store(const struct rig *from, struct rig *to, const char *suffix)
{
    *to = *from;
    to->fs = NULL;
    snprintf(to->dir, sizeof(to->dir), "%.80s-%s", from->dir, suffix);
    assert_int_equal(mkdir(to->dir, 0700), 0);
    copy_path(from->dir, to->dir, "*");
}

static void drop_index(const struct rig *r)
{
    char line[PATH_MAX + 40];
    snprintf(line, sizeof(line), "rm -f '%s'/index.db*", r->dir);
    assert_int_equal(system(line), 0);
}

/* A life of the store in a process of its own, ended by kill -9, or by a clean stop. */
static void live(struct rig *r, struct history *h, unsigned n, uint32_t who, uint64_t seed, bool killed)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rig_open(r);
        work(r, h, n, who, seed);
        if (killed)
            kill(getpid(), SIGKILL);
        _exit(holofs_close(r->fs) ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    work(NULL, h, n, who, seed);
}

/* ---- a scene: which parts come from where ---- */

enum { EARLIER, ELSEWHERE };

static const struct scene {
    const char *name, *parts;
    int from;
    bool drop_index;
} scenes[] = {
    { "journal.0 of an earlier time", "journal.0", EARLIER, false },
    { "journal.1 of an earlier time", "journal.1", EARLIER, false },
    { "both journals of an earlier time", "journal.0 journal.1", EARLIER, false },
    { "both journals of an earlier time, no index", "journal.0 journal.1", EARLIER, true },
    { "superblocks of an earlier time", "superblock.0 superblock.1 superblock.2 superblock.3 superblock.4", EARLIER, false },
    { "three superblocks and journal.0 of an earlier time", "superblock.0 superblock.1 superblock.2 journal.0", EARLIER, false },
    { "the index of an earlier time", "index.db index.db-wal index.db-sum0 index.db-sum1", EARLIER, false },
    { "the index and journal.0 of an earlier time", "index.db index.db-wal index.db-sum0 index.db-sum1 journal.0", EARLIER, false },
    { "containers of an earlier time", "containers", EARLIER, false },
    { "remap table and spares of an earlier time", "remap.0 remap.1 remap.2 remap.3 remap.4 spare", EARLIER, false },
    { "journal.0 of another machine", "journal.0", ELSEWHERE, false },
    { "journal.0 of another machine, no index", "journal.0", ELSEWHERE, true },
    { "both journals of another machine", "journal.0 journal.1", ELSEWHERE, false },
    { "both journals of another machine, no index", "journal.0 journal.1", ELSEWHERE, true },
    { "superblocks of another machine", "superblock.0 superblock.1 superblock.2 superblock.3 superblock.4", ELSEWHERE, false },
    { "the index of another machine", "index.db index.db-wal index.db-sum0 index.db-sum1", ELSEWHERE, false },
    { "containers of another machine", "containers", ELSEWHERE, false },
    { "containers of another machine, no index", "containers", ELSEWHERE, true },
    { "superblocks and both journals of another machine", "superblock.0 superblock.1 superblock.2 superblock.3 superblock.4 journal.0 journal.1", ELSEWHERE, false },
};
enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

struct run {
    const struct scene *scene;
    uint64_t seed;
    struct history h[HISTORIES];
    struct rig r;
};

static void fail_run(const struct run *u, const struct view *v, const char *why)
{
    if (u->r.fs) {
        struct buf b = { 0 };
        holofs_events_text(u->r.fs, &b);
        print_message("%.*s", (int)b.len, (const char *)b.p);
        buf_fini(&b);
    }
    print_view(v);
    for (unsigned i = 0; i < HISTORIES && i <= (unsigned)u->scene->from; i++) {
        print_message("history %u, %u of %u common:\n", i, u->h[i].base, u->h[i].n);
        for (unsigned k = 0; k < u->h[i].n; k++) {
            struct view s;
            memcpy(s.file, u->h[i].made[k], sizeof(s.file));
            print_view(&s);
        }
    }
    fail_msg("%s, seed %llu: %s: %s", u->scene->name, (unsigned long long)u->seed, why, u->r.dir);
}

/*
 * One history, and one moment of it unless records are lost, which is told. With all records between two parts lost, nobody can tell that one
 * of them comes from another machine (DESIGN.md, Limits): then, and only then, names and whole contents may be of both. Returns the history.
 */
static unsigned expect_one_history(struct run *u, const struct view *v, bool told)
{
    unsigned n = u->scene->from == ELSEWHERE ? 2 : 1;
    for (unsigned f = 0; f < FILES; f++) {
        if (v->file[f] == STRANGE)
            fail_run(u, v, "bytes that nobody wrote");
    }
    for (unsigned i = 0; i < n; i++) {
        if (moment(v, &u->h[i]) >= 0)
            return i;
    }
    for (unsigned i = 0; i < n; i++) {
        if (told && is_of(v, &u->h[i]))
            return i;
    }
    if (told && u->scene->from == ELSEWHERE)
        return 2;
    fail_run(u, v, told ? "two histories are mixed" : "no moment of any history, and nothing is told");
    return 0;
}

/* Each file that is lost, by its path. */
static bool are_told(struct rig *r, const struct view *v)
{
    for (unsigned f = 0; f < FILES; f++) {
        char path[32];
        snprintf(path, sizeof(path), "\"path\":\"/file%u\"", f);
        if (v->file[f] == LOST && !rig_event(r, "read_failed", path) && !rig_event(r, "data_lost", path))
            return false;
    }
    return true;
}

/* Accept what is lost, as holofsck -y does. */
static void accept_loss(struct run *u, const struct view *v)
{
    struct fsck_options o = { .mode = FSCK_ALL, .engine = "scalar", .tmp = "/dev/shm" };
    struct fsck_result res;
    int e = holofs_fsck(u->r.dir, &o, &res);
    if (e)
        fail_run(u, v, res.why);
}

static void expect_same(struct run *u, const struct view *before, const char *why)
{
    struct view v;
    look(&u->r, &v);
    for (unsigned f = 0; f < FILES; f++) {
        if (v.file[f] != before->file[f]) {
            print_view(before);
            fail_run(u, &v, why);
        }
    }
}

/* The mixed store opens, is of one history, and stays so: written to, mounted again, and without its index. */
static void expect_never_mixed(struct run *u, unsigned *history, unsigned *lost)
{
    struct view v;
    int e = rig_try_open(&u->r);
    if (e) {
        memset(&v, 0, sizeof(v));
        fail_run(u, &v, u->r.why);
    }
    look(&u->r, &v);
    bool records = rig_event(&u->r, "metadata_lost", "");
    *history = expect_one_history(u, &v, records);
    *lost = v.lost;
    if (!are_told(&u->r, &v))
        fail_run(u, &v, "lost, and not told");
    bool read_only = rig_event(&u->r, "read_only", "");
    rig_close(&u->r);
    if (read_only)
        accept_loss(u, &v);
    rig_open(&u->r);
    if (rig_event(&u->r, "read_only", ""))
        fail_run(u, &v, "for reading only after holofsck -y");
    look(&u->r, &v);
    expect_one_history(u, &v, records);
    rig_file(&u->r, "after", u->seed, 9000);
    rig_do(&u->r, "seal");
    rig_do(&u->r, "dump");
    rig_reopen(&u->r);
    expect_same(u, &v, "not the same after a clean stop");
    rig_expect_file(&u->r, "after", u->seed, 9000);
    rig_close(&u->r);
    drop_index(&u->r);
    rig_open(&u->r);
    expect_same(u, &v, "not the same without the index");
    rig_expect_file(&u->r, "after", u->seed, 9000);
    rig_close(&u->r);
}

static void one_run(struct run *u)
{
    struct rig other;
    struct holofs_geometry g = { .k = 16, .r = 1, .meta_r = 1, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192, .spare_bytes = 8192 };
    uint64_t luck = u->seed * 1000 + (uint64_t)(u->scene - scenes);
    struct history *h = &u->h[0];
    rig_init(&u->r);
    u->r.opt.commit_seconds = 3600;
    u->r.opt.compress = HOLOFS_COMPRESS_OFF;
    log_set_level((enum log_level)-1);
    rig_format(&u->r, &g);
    live(&u->r, h, 1 + (unsigned)(rig_random(&luck) % 10), 1, rig_random(&luck), rig_random(&luck) % 2);
    h->base = h->n;
    u->h[1] = *h;
    copy_store(&u->r, &other, "other");
    if (u->scene->from == ELSEWHERE) {
        live(&other, &u->h[1], 1 + (unsigned)(rig_random(&luck) % 10), 3, rig_random(&luck), rig_random(&luck) % 4);
        if (rig_random(&luck) % 2)
            live(&other, &u->h[1], 1 + (unsigned)(rig_random(&luck) % 5), 3, rig_random(&luck), true);
    }
    live(&u->r, h, 1 + (unsigned)(rig_random(&luck) % 10), 2, rig_random(&luck), true);
    if (rig_random(&luck) % 2)
        live(&u->r, h, 1 + (unsigned)(rig_random(&luck) % 5), 2, rig_random(&luck), rig_random(&luck) % 4);
    copy_path(other.dir, u->r.dir, u->scene->parts);
    if (u->scene->drop_index)
        drop_index(&u->r);
    rig_remove_tree(other.dir);
    unsigned history = 0, lost = 0;
    expect_never_mixed(u, &history, &lost);
    if (getenv("VERBOSE"))
        print_message("%s, seed %llu: history %u, %u files lost\n", u->scene->name, (unsigned long long)u->seed, history, lost);
    rig_remove_tree(u->r.dir);
}

static void parts_of_another_time_or_place_are_never_mixed_in(void **state)
{
    (void)state;
    uint64_t first = rig_number("HISTORY_SEED", 2), end = first + rig_number("HISTORY_SEEDS", 1);
    const char *only = getenv("HISTORY_SCENES");
    for (uint64_t seed = first; seed < end; seed++) {
        for (size_t i = 0; i < SCENES; i++) {
            static struct run u;
            u = (struct run){ .scene = &scenes[i], .seed = seed };
            if (!only || strstr(scenes[i].name, only))
                one_run(&u);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_another_time_or_place_are_never_mixed_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
