/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_storm.c: many threads in one small tree while containers are sealed, scrubbed, cleaned, dumped and deleted beside them.
 *
 * Every unit of a file says whose it is, where, and which version, and the rest of it follows from that: a torn unit, one of
 * another file, place or time is seen. Boards are files whose units have one writer each, so that a reader knows between which
 * versions it must be. Names that nobody touches are listed exactly once, and so are names that are replaced all the time.
 *
 * STORM_SEED, STORM_OPS (of each working thread), STORM_ROUNDS, STORM_MIB (of the store that has hardly any room).
 */
#include "tests/core/storm_tree.h"
#include "tests/fsck/seen.h"

#include <pthread.h>
#include <stdatomic.h>

enum { BOARDS = 4, WRITERS = 3, OWN = 32, CELLS = WRITERS * OWN, SPAN = 24, READERS = 2 };
enum { DIRS = 3, NAMES = 10, NAMERS = 4, FILE_UNITS = 60, QUIET = 90, REPLACED = 6, REPLACERS = 2, WATCHERS = 2, LISTERS = 2 };
enum { ZERO_EVERY = 8 };

/* Versions of one unit of a board: at least `done`, at most `begun`. */
struct cell {
    _Atomic uint64_t begun, done;
};

struct storm {
    struct rig r;
    uint64_t seed;
    unsigned ops;
    bool tight; /* there may be no room now and then */
    _Atomic uint64_t refused;
    _Atomic unsigned working;
    _Atomic uint64_t version, progress, listings, reads; /* progress: operations of those who work */
    pthread_mutex_t lock;
    _Atomic bool failed;
    char what[300];
    uint64_t board[BOARDS];
    struct cell cell[BOARDS][CELLS];
    uint64_t dir[DIRS], busy; /* busy: the folder of quiet and replaced names */
};

struct worker {
    struct storm *s;
    pthread_t thread;
    unsigned n;
    uint64_t seed, looked;
    uint8_t *buf;
};

/* The first failure counts; everybody stops. */
__attribute__((format(printf, 2, 3))) static void wrong(struct storm *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&s->lock);
    if (!s->failed)
        vsnprintf(s->what, sizeof(s->what), fmt, ap);
    s->failed = true;
    pthread_mutex_unlock(&s->lock);
    va_end(ap);
}

static uint64_t any(struct worker *w, uint64_t below)
{
    return rig_random(&w->seed) % below;
}

/* Those who look do so `often` times for every hundred operations, and no more: else they would take the time of those who work. */
static bool look_again(struct worker *w, unsigned often)
{
    struct storm *s = w->s;
    for (w->looked++; s->working && !s->failed && w->looked * 100 > (s->progress + 100) * often;)
        rig_sleep_ms(1);
    return s->working && !s->failed;
}

/* ---- units ---- */

static bool put_units(struct worker *w, uint64_t ino, uint64_t first, uint64_t n, uint64_t version)
{
    size_t size = unit_of(ino);
    for (uint64_t k = 0; k < n; k++)
        unit_make(ino, first + k, version, w->buf + k * size);
    ssize_t got = holofs_write(w->s->r.fs, ino, first * size, w->buf, n * size, false);
    if (w->s->tight && (got == -ENOSPC || (got > 0 && got < (ssize_t)(n * size)))) {
        w->s->refused++;
        return false;
    }
    if (got != (ssize_t)(n * size))
        wrong(w->s, "write of inode %llu: %zd (%s)", (unsigned long long)ino, got, got < 0 ? holo_strerror((int)got) : "short");
    return got == (ssize_t)(n * size);
}

/* Units [first, first + n) as far as the file goes, into w->buf: how many, or -1. */
static int64_t get_units(struct worker *w, uint64_t ino, uint64_t first, uint64_t n)
{
    size_t size = unit_of(ino);
    ssize_t got = holofs_read(w->s->r.fs, ino, first * size, w->buf, n * size);
    w->s->reads++;
    if (got >= 0 && (size_t)got % size == 0)
        return got / (ssize_t)size;
    wrong(w->s, "read of inode %llu at %llu: %zd (%s)", (unsigned long long)ino, (unsigned long long)(first * size), got,
          got < 0 ? holo_strerror((int)got) : "ends within a unit");
    return -1;
}

/* Every unit there is must be zeros or its own. */
static void check_file(struct worker *w, uint64_t ino)
{
    int64_t n = get_units(w, ino, 0, FILE_UNITS);
    for (int64_t k = 0; k < n; k++) {
        if (unit_version(ino, (uint64_t)k, w->buf + (uint64_t)k * unit_of(ino)) == UINT64_MAX)
            wrong(w->s, "inode %llu: unit %lld is torn or not its own", (unsigned long long)ino, (long long)k);
    }
}

static void punch(struct worker *w, uint64_t ino, uint64_t first, uint64_t n)
{
    size_t size = unit_of(ino);
    int e = holofs_fallocate(w->s->r.fs, ino, HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE, first * size, n * size);
    if (e)
        wrong(w->s, "hole in inode %llu: %s", (unsigned long long)ino, holo_strerror(e));
}

static void sync_file(struct worker *w, uint64_t ino)
{
    int e = holofs_fsync(w->s->r.fs, ino);
    if (e)
        wrong(w->s, "fsync of inode %llu: %s", (unsigned long long)ino, holo_strerror(e));
}

/* ---- boards ---- */

static void *board_writer(void *arg)
{
    struct worker *w = arg;
    struct storm *s = w->s;
    for (uint64_t v = 1; v <= s->ops && !s->failed; v++) {
        uint64_t b = any(w, BOARDS), n = 1 + any(w, SPAN), first = w->n * OWN + any(w, OWN - n + 1);
        for (uint64_t k = first; k < first + n; k++)
            s->cell[b][k].begun = v;
        if (v % ZERO_EVERY == 0)
            punch(w, s->board[b], first, n);
        else if (!put_units(w, s->board[b], first, n, v))
            continue;
        for (uint64_t k = first; k < first + n; k++)
            s->cell[b][k].done = v;
        if (any(w, 20) == 0)
            sync_file(w, s->board[b]);
        s->progress++;
    }
    s->working--;
    return NULL;
}

/* Zeros are right if one of the versions lo to hi, or none, is a hole. */
static bool is_possible(uint64_t v, uint64_t lo, uint64_t hi)
{
    return v ? v >= lo && v <= hi : hi / ZERO_EVERY * ZERO_EVERY >= lo;
}

static void *board_reader(void *arg)
{
    struct worker *w = arg;
    struct storm *s = w->s;
    uint64_t lo[SPAN];
    while (look_again(w, 150)) {
        uint64_t b = any(w, BOARDS), n = 1 + any(w, SPAN), first = any(w, CELLS - n + 1), ino = s->board[b];
        for (uint64_t k = 0; k < n; k++)
            lo[k] = s->cell[b][first + k].done;
        int64_t got = get_units(w, ino, first, n);
        if (got != (int64_t)n)
            wrong(s, "board %llu is shorter than it ever was", (unsigned long long)b);
        for (uint64_t k = 0; k < n && got == (int64_t)n; k++) {
            uint64_t hi = s->cell[b][first + k].begun, v = unit_version(ino, first + k, w->buf + k * unit_of(ino));
            if (!is_possible(v, lo[k], hi))
                wrong(s, "inode %llu, unit %llu: version %lld, should be %llu to %llu", (unsigned long long)ino,
                      (unsigned long long)(first + k), (long long)v, (unsigned long long)lo[k], (unsigned long long)hi);
        }
    }
    return NULL;
}

/* ---- names ---- */

static void expect_code(struct storm *s, const char *what, int e)
{
    static const int usual[] = { 0, -ENOENT, -EEXIST, -ENOTEMPTY, -EISDIR, -ENOTDIR, -EINVAL, -EPERM, -ENODATA };
    for (size_t k = 0; k < sizeof(usual) / sizeof(usual[0]); k++) {
        if (e == usual[k])
            return;
    }
    if (e == -ENOSPC && s->tight)
        s->refused++;
    else
        wrong(s, "%s: %s (%d)", what, holo_strerror(e), e);
}

static void name_of(struct worker *w, char out[16])
{
    snprintf(out, 16, "n%u", (unsigned)any(w, NAMES));
}

/* One of the folders, or one in it; with a reference. */
static uint64_t take_dir(struct worker *w)
{
    struct holofs *fs = w->s->r.fs;
    struct holofs_attr a;
    char name[16];
    uint64_t top = w->s->dir[any(w, DIRS)];
    name_of(w, name);
    if (any(w, 3) == 0 && holofs_lookup(fs, top, name, &a) == 0) {
        if (S_ISDIR(a.mode))
            return a.ino;
        holofs_forget(fs, a.ino, 1);
    }
    expect_code(w->s, "lookup of a folder", holofs_get(fs, top, &a));
    return top;
}

/* Change or look at a file that has a name, or had one a moment ago. */
static void use_file(struct worker *w, uint64_t ino)
{
    struct holofs *fs = w->s->r.fs;
    struct holofs_attr a;
    uint64_t first = any(w, FILE_UNITS / 2), n = 1 + any(w, FILE_UNITS / 2);
    struct holofs_setattr size = { .set = HOLOFS_SET_SIZE, .size = any(w, FILE_UNITS) * unit_of(ino) };
    struct holofs_setattr mode = { .set = HOLOFS_SET_MODE, .mode = (uint32_t)any(w, 01000) };
    switch (any(w, 9)) {
    case 0:
    case 1:
        put_units(w, ino, first, n, ++w->s->version);
        break;
    case 2:
        punch(w, ino, first, n);
        break;
    case 3:
        expect_code(w->s, "truncate", holofs_setattr(fs, ino, &size, &a));
        break;
    case 4:
        expect_code(w->s, "chmod", holofs_setattr(fs, ino, &mode, &a));
        break;
    case 5:
        sync_file(w, ino);
        break;
    default:
        check_file(w, ino);
    }
}

/* A value repeats its inode and its length, and its last byte. */
static void use_xattr(struct worker *w, uint64_t ino)
{
    struct holofs *fs = w->s->r.fs;
    uint8_t v[VALUE_MAX];
    uint64_t head[2] = { ino, sizeof(head) + any(w, VALUE_MAX - sizeof(head)) };
    ssize_t n;
    switch (any(w, 4)) {
    case 0:
        memset(v, (int)any(w, 256), sizeof(v));
        memcpy(v, head, sizeof(head));
        expect_code(w->s, "setxattr", holofs_setxattr(fs, ino, "user.storm", v, head[1], 0));
        return;
    case 1:
        expect_code(w->s, "removexattr", holofs_removexattr(fs, ino, "user.storm"));
        return;
    case 2:
        n = holofs_listxattr(fs, ino, (char *)v, sizeof(v));
        if (n && (n != 11 || memcmp(v, "user.storm", 11) != 0))
            wrong(w->s, "listxattr of inode %llu: %zd", (unsigned long long)ino, n);
        return;
    default:
        n = holofs_getxattr(fs, ino, "user.storm", v, sizeof(v));
        memcpy(head, v, sizeof(head));
        if (n != -ENODATA && (n < (ssize_t)sizeof(head) || head[0] != ino || head[1] != (uint64_t)n))
            wrong(w->s, "getxattr of inode %llu: %zd", (unsigned long long)ino, n);
        for (ssize_t k = sizeof(head); k < n; k++) {
            if (v[k] != v[n - 1])
                wrong(w->s, "the value of inode %llu is torn", (unsigned long long)ino);
        }
    }
}

static void make_name(struct worker *w, uint64_t dir, const char *name)
{
    static const char target[] = "somewhere/else";
    struct holofs *fs = w->s->r.fs;
    struct holofs_cred cred = { .uid = 0 };
    struct holofs_attr a;
    uint64_t kind = any(w, 8);
    uint32_t mode = kind == 0 ? S_IFLNK | 0777 : kind < 3 ? S_IFDIR | 0755 : S_IFREG | 0644;
    char got[64];
    int e = holofs_create(fs, &cred, dir, name, mode, 0, kind == 0 ? target : NULL, &a);
    expect_code(w->s, "create", e);
    if (e)
        return;
    if (S_ISREG(mode) && any(w, 2))
        put_units(w, a.ino, 0, 1 + any(w, FILE_UNITS), ++w->s->version);
    if (S_ISLNK(mode) && (holofs_readlink(fs, a.ino, got, sizeof(got)) < 0 || strcmp(got, target) != 0))
        wrong(w->s, "a symlink leads elsewhere");
    holofs_forget(fs, a.ino, 1);
}

static void use_name(struct worker *w, uint64_t dir, const char *name)
{
    struct holofs *fs = w->s->r.fs;
    struct holofs_attr a;
    int e = holofs_lookup(fs, dir, name, &a);
    expect_code(w->s, "lookup", e);
    if (e)
        return;
    if (S_ISREG(a.mode) && any(w, 4))
        use_file(w, a.ino);
    else
        use_xattr(w, a.ino);
    holofs_forget(fs, a.ino, 1);
}

static void link_name(struct worker *w, uint64_t dir, const char *name, uint64_t to_dir, const char *to)
{
    struct holofs *fs = w->s->r.fs;
    struct holofs_attr a, b;
    if (holofs_lookup(fs, dir, name, &a))
        return;
    int e = holofs_link(fs, a.ino, to_dir, to, &b);
    expect_code(w->s, "link", e);
    if (!e)
        holofs_forget(fs, b.ino, 1);
    if (!e && b.ino != a.ino)
        wrong(w->s, "link: another inode");
    holofs_forget(fs, a.ino, 1);
}

static void *namer(void *arg)
{
    static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE };
    struct worker *w = arg;
    struct storm *s = w->s;
    struct holofs *fs = s->r.fs;
    for (unsigned n = 0; n < s->ops * 2 && !s->failed; n++) {
        char name[16], to[16];
        uint64_t dir = take_dir(w), to_dir = take_dir(w), kind = any(w, 16);
        name_of(w, name);
        name_of(w, to);
        if (kind < 4)
            make_name(w, dir, name);
        else if (kind < 5)
            link_name(w, dir, name, to_dir, to);
        else if (kind < 6)
            expect_code(s, "unlink", holofs_unlink(fs, dir, name));
        else if (kind < 7)
            expect_code(s, "rmdir", holofs_rmdir(fs, dir, name));
        else if (kind < 11)
            expect_code(s, "rename", holofs_rename(fs, dir, name, to_dir, to, flags[any(w, 6)]));
        else
            use_name(w, dir, name);
        holofs_forget(fs, dir, 1);
        holofs_forget(fs, to_dir, 1);
        s->progress++;
    }
    s->working--;
    return NULL;
}

/* ---- names that are replaced, and looked at meanwhile ---- */

static void replaced_name(unsigned k, char out[16])
{
    snprintf(out, 16, "replaced%u", k);
}

/* Write a file beside, and rename it over the name, or exchange them. */
static void replace(struct worker *w, unsigned k, bool exchange)
{
    struct storm *s = w->s;
    struct holofs *fs = s->r.fs;
    struct holofs_cred cred = { .uid = 0 };
    struct holofs_attr a;
    char name[16], beside[24];
    replaced_name(k, name);
    snprintf(beside, sizeof(beside), "%s.new", name);
    int e = holofs_create(fs, &cred, s->busy, beside, S_IFREG | 0644, 0, NULL, &a);
    if (!e && !put_units(w, a.ino, 0, 1 + any(w, 8), ++s->version)) {
        expect_code(s, "unlink", holofs_unlink(fs, s->busy, beside));
        holofs_forget(fs, a.ino, 1);
        return;
    }
    if (!e && any(w, 6) == 0)
        sync_file(w, a.ino);
    if (!e)
        e = holofs_rename(fs, s->busy, beside, s->busy, name, exchange ? RENAME_EXCHANGE : 0);
    if (!e && exchange)
        e = holofs_unlink(fs, s->busy, beside);
    if (e)
        wrong(s, "%s: %s", name, holo_strerror(e));
    else
        holofs_forget(fs, a.ino, 1);
}

static void *replacer(void *arg)
{
    struct worker *w = arg;
    struct storm *s = w->s;
    for (unsigned n = 0; n < s->ops && !s->failed; n++, s->progress++)
        replace(w, w->n + REPLACERS * (unsigned)any(w, REPLACED / REPLACERS), n > REPLACED && any(w, 4) == 0);
    s->working--;
    return NULL;
}

/* The name is there, its file has one version throughout, and never an older one than before. */
static void watch(struct worker *w, unsigned k, uint64_t *newest)
{
    struct storm *s = w->s;
    struct holofs_attr a;
    char name[16];
    replaced_name(k, name);
    int e = holofs_lookup(s->r.fs, s->busy, name, &a);
    if (e) {
        wrong(s, "%s, which is replaced, is not there: %s", name, holo_strerror(e));
        return;
    }
    int64_t n = get_units(w, a.ino, 0, 10);
    uint64_t v = n > 0 ? unit_version(a.ino, 0, w->buf) : 0;
    for (int64_t u = 1; u < n; u++) {
        if (unit_version(a.ino, (uint64_t)u, w->buf + (uint64_t)u * unit_of(a.ino)) != v)
            wrong(s, "%s is torn at unit %lld", name, (long long)u);
    }
    if (n < 1 || v == 0 || v == UINT64_MAX || v < *newest)
        wrong(s, "%s: %lld units of version %lld after %lld", name, (long long)n, (long long)v, (long long)*newest);
    *newest = v;
    holofs_forget(s->r.fs, a.ino, 1);
}

static void *watcher(void *arg)
{
    struct worker *w = arg;
    uint64_t newest[REPLACED] = { 0 };
    while (look_again(w, 150)) {
        unsigned k = (unsigned)any(w, REPLACED);
        watch(w, k, &newest[k]);
    }
    return NULL;
}

/* One listing of the busy folder, read in one go or as a caller does who comes back with an offset. */
static void list_busy(struct worker *w)
{
    struct storm *s = w->s;
    struct holofs_dir *d;
    struct holofs_dirent ent;
    unsigned quiet[QUIET] = { 0 }, replaced[REPLACED] = { 0 }, k, n = 0;
    uint64_t at = 0;
    int r = holofs_opendir(s->r.fs, s->busy, &d);
    for (r = r ? r : 1; r > 0;) {
        r = holofs_readdir(d, at, &ent);
        if (r <= 0)
            break;
        if (ent.next <= at || n++ > 100000)
            wrong(s, "a listing does not come to an end");
        at = ent.next;
        if (sscanf(ent.name, "quiet%u", &k) == 1)
            quiet[k]++;
        else if (sscanf(ent.name, "replaced%u", &k) == 1 && !strchr(ent.name, '.'))
            replaced[k]++;
        if (any(w, 40) == 0) {
            holofs_closedir(d);
            if ((r = holofs_opendir(s->r.fs, s->busy, &d)))
                break;
            r = 1;
        }
    }
    if (r < 0) {
        wrong(s, "listing: %s", holo_strerror(r));
        return;
    }
    holofs_closedir(d);
    for (k = 0; k < QUIET; k++) {
        if (quiet[k] != 1)
            wrong(s, "quiet%u is listed %u times", k, quiet[k]);
    }
    for (k = 0; k < REPLACED; k++) {
        if (replaced[k] != 1)
            wrong(s, "replaced%u is listed %u times", k, replaced[k]);
    }
    s->listings++;
}

static void *lister(void *arg)
{
    struct worker *w = arg;
    while (look_again(w, 12))
        list_busy(w);
    return NULL;
}

/* ---- what the store does meanwhile ---- */

static void *keeper(void *arg)
{
    static const char *const commands[] = { "sync", "seal", "scrub start", "clean", "dump", "scrub pause", "sync", "seal", "scrub resume", "clean", "scrub cancel",
                                             "sync", "seal" };
    struct worker *w = arg;
    struct storm *s = w->s;
    while (s->working && !s->failed) {
        const char *c = commands[any(w, sizeof(commands) / sizeof(commands[0]))];
        struct holofs_space sp;
        struct buf b = { 0 };
        int e = holofs_control(s->r.fs, c, strlen(c));
        if (e == -EALREADY || e == -ESRCH) /* the last scrub; none is under way */
            e = 0;
        if (!e)
            e = holofs_stats_json(s->r.fs, &b);
        if (!e)
            e = holofs_health_text(s->r.fs, &b);
        if (!e)
            e = holofs_statfs(s->r.fs, &sp);
        if (e && !(s->tight && e == -ENOSPC))
            wrong(s, "%s: %s", c, holo_strerror(e));
        buf_fini(&b);
        rig_sleep_ms(1 + (unsigned)any(w, 20));
    }
    return NULL;
}

/* ---- at the end ---- */

static void remove_index(struct rig *r)
{
    static const char *const files[] = { "index.db", "index.db-wal", "index.db-shm" };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        rig_name(r, files[i], path);
        unlink(path);
    }
}

static void fsck_is_clean(struct rig *r)
{
    struct seen s;
    seen_check(r->dir, FSCK_LOOK, &s);
    if (s.code)
        fail_msg("holofsck: exit %d, %zu problems, the first is %u", s.code, s.n, s.n ? s.v[0].number : 0);
}

/* The cleaner has done what there was to do: it changes what a file takes. */
static void let_clean(struct rig *r)
{
    for (int turn = 0; turn < 2; turn++) { /* the first may be one that was asked for before */
        uint64_t runs = rig_stat(r, "cleaner/runs");
        int e = rig_control(r, "clean");
        assert_true(e == 0 || e == -EALREADY);
        for (int k = 0; k < 6000 && rig_stat(r, "cleaner/runs") == runs; k++)
            rig_sleep_ms(10);
        assert_true(rig_stat(r, "cleaner/runs") > runs);
    }
}

/* The same tree after a clean stop, from the log alone, and nothing for holofsck to say. */
static void check_tree(struct storm *s)
{
    let_clean(&s->r);
    uint64_t digest = tree_digest(&s->r);
    rig_close(&s->r);
    fsck_is_clean(&s->r);
    rig_open(&s->r);
    assert_true(tree_digest(&s->r) == digest);
    rig_close(&s->r);
    remove_index(&s->r);
    rig_open(&s->r);
    assert_true(tree_digest(&s->r) == digest);
    rig_close(&s->r);
    fsck_is_clean(&s->r);
    rig_open(&s->r);
}

/* ---- all of it ---- */

static void prepare(struct storm *s)
{
    static uint8_t zero[16];
    struct worker w = { .s = s, .seed = s->seed, .buf = rig_buffer(CELLS * UNIT_BIG) };
    char name[24];
    s->busy = rig_make(&s->r, RIG_ROOT, "busy", S_IFDIR | 0755);
    for (unsigned k = 0; k < DIRS; k++) {
        snprintf(name, sizeof(name), "dir%u", k);
        s->dir[k] = rig_make(&s->r, RIG_ROOT, name, S_IFDIR | 0755);
    }
    for (unsigned k = 0; k < BOARDS; k++) {
        struct holofs_attr a;
        snprintf(name, sizeof(name), "board%u", k);
        s->board[k] = rig_create(&s->r, name);
        struct holofs_setattr size = { .set = HOLOFS_SET_SIZE, .size = CELLS * unit_of(s->board[k]) };
        assert_int_equal(holofs_setattr(s->r.fs, s->board[k], &size, &a), 0);
    }
    for (unsigned k = 0; k < QUIET; k++) {
        snprintf(name, sizeof(name), "quiet%u", k);
        rig_write(&s->r, rig_make(&s->r, s->busy, name, S_IFREG | 0644), 0, zero, 0);
        if (k % (QUIET / REPLACED) == 0) { /* between the others */
            replaced_name(k / (QUIET / REPLACED), name);
            uint64_t ino = rig_make(&s->r, s->busy, name, S_IFREG | 0644);
            put_units(&w, ino, 0, 3, ++s->version);
        }
    }
    free(w.buf);
}

static void run(struct storm *s)
{
    static const struct {
        void *(*main)(void *);
        unsigned n;
        bool works;
    } role[] = { { board_writer, WRITERS, true }, { namer, NAMERS, true }, { replacer, REPLACERS, true }, { board_reader, READERS, false },
                 { watcher, WATCHERS, false }, { lister, LISTERS, false }, { keeper, 1, false } };
    struct worker w[WRITERS + NAMERS + REPLACERS + READERS + WATCHERS + LISTERS + 1];
    size_t n = 0;
    s->working = WRITERS + NAMERS + REPLACERS;
    for (size_t k = 0; k < sizeof(role) / sizeof(role[0]); k++) {
        for (unsigned j = 0; j < role[k].n; j++, n++) {
            w[n] = (struct worker){ .s = s, .n = j, .seed = s->seed * 100 + n, .buf = rig_buffer(CELLS * UNIT_BIG) };
            assert_int_equal(pthread_create(&w[n].thread, NULL, role[k].main, &w[n]), 0);
        }
    }
    while (n-- > 0) {
        pthread_join(w[n].thread, NULL);
        free(w[n].buf);
    }
    if (s->failed)
        fail_msg("seed %llu: %s", (unsigned long long)s->seed, s->what);
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *v = getenv(name);
    return v ? (unsigned)strtoul(v, NULL, 10) : otherwise;
}

static void storm(uint64_t seed, uint64_t cache_bytes, uint64_t size_limit_bytes)
{
    struct storm *s = calloc(1, sizeof(*s));
    struct holofs_geometry g = rig_geometry();
    assert_non_null(s);
    pthread_mutex_init(&s->lock, NULL);
    s->seed = seed;
    s->ops = setting("STORM_OPS", 250);
    rig_init(&s->r);
    s->r.opt.commit_seconds = 1;
    s->r.opt.engine = NULL; /* the fastest: parity of all these containers takes long in plain C */
    if (cache_bytes)
        s->r.opt.cache_bytes = cache_bytes;
    g.size_limit_bytes = size_limit_bytes;
    s->tight = size_limit_bytes != 0;
    rig_format(&s->r, &g);
    rig_open(&s->r);
    if (cache_bytes)
        holofs_forgets_come(s->r.fs); /* what somebody refers to is evicted as well */
    prepare(s);
    run(s);
    print_message("seed %llu: %llu containers sealed, %llu deleted, %llu listings, %llu reads, %llu times no room\n", (unsigned long long)seed,
                  (unsigned long long)rig_stat(&s->r, "containers/sealed_since_mount"),
                  (unsigned long long)rig_stat(&s->r, "containers/deleted_since_mount"), (unsigned long long)s->listings,
                  (unsigned long long)s->reads, (unsigned long long)s->refused);
    check_tree(s);
    rig_stop(&s->r);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void nothing_is_torn_lost_or_listed_twice_in_a_storm(void **state)
{
    (void)state;
    for (unsigned k = 0; k < setting("STORM_ROUNDS", 1); k++)
        storm(setting("STORM_SEED", 1) + k, 0, 0);
}

static void the_same_when_hardly_anything_stays_in_memory(void **state)
{
    (void)state;
    for (unsigned k = 0; k < setting("STORM_ROUNDS", 1); k++)
        storm(setting("STORM_SEED", 1) + 1000 + k, 128 << 10, 0);
}

static void the_same_when_there_is_hardly_any_room(void **state)
{
    (void)state;
    for (unsigned k = 0; k < setting("STORM_ROUNDS", 1); k++)
        storm(setting("STORM_SEED", 1) + 2000 + k, 0, (uint64_t)setting("STORM_MIB", 16) << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_torn_lost_or_listed_twice_in_a_storm),
        cmocka_unit_test(the_same_when_hardly_anything_stays_in_memory),
        cmocka_unit_test(the_same_when_there_is_hardly_any_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
