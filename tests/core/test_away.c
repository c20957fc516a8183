/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_away.c: a disk that is away for a while under a mounted store: every call gives EIO, reads too, between two moments of its work, and
 * then all is well again. Nothing is called lost for that, nothing is remapped or put into quarantine, and no remount is needed.
 *
 * AWAY_SEED chooses the moments, AWAY_RUNS (4) how many.
 */
#include "tests/core/rig.h"

#include "base/clock.h"
#include "core/fsck.h"
#include "tests/core/bad_disk.h"

enum { FILES = 6, BYTES = 90 * RIG_BLOCK, WAIT_MS = 30000, LIVES = 3, NEW_BYTES = 70000 };

struct scene {
    struct rig r;
    struct backing *posix;
    struct bad_disk *disk;
    uint32_t acked[LIVES], now[LIVES]; /* versions of the files that are written while it goes away; 0: none */
    uint32_t version;
    uint64_t remaps;
};

static void file_name(unsigned i, char out[16])
{
    snprintf(out, 16, "file%u", i);
}

/* One of zeros, whose blocks are right by their checksums only. */
static void fill(unsigned i, uint8_t *p)
{
    if (i == 0)
        memset(p, 0, BYTES);
    else
        rig_fill(i, p, BYTES);
}

/* A bad sector of each data container before anything else: it is remapped, so that spares are read as well. */
static void scene_start(struct scene *s)
{
    struct holofs_geometry g = rig_geometry();
    uint8_t *p = malloc(BYTES);
    char name[16];
    memset(s, 0, sizeof(*s));
    rig_init(&s->r);
    s->r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&s->r, &g);
    assert_int_equal(backing_posix_open(s->r.dir, false, &s->posix), 0);
    s->disk = bad_disk_create(s->posix, false);
    s->r.opt.backing = &s->disk->b;
    rig_open(&s->r);
    for (unsigned i = 0; i < FILES; i++) {
        file_name(i, name);
        fill(i, p);
        rig_write(&s->r, rig_create(&s->r, name), 0, p, BYTES);
        if (i != FILES - 1)
            rig_do(&s->r, "seal");
    }
    free(p);
    bad_disk_sector(s->disk, "containers/000/00000001.hc", 20);
    rig_scrub(&s->r);
    s->remaps = rig_stat(&s->r, "remap/remaps");
    assert_true(s->remaps >= 1);
    rig_reopen(&s->r);
}

static void scene_stop(struct scene *s)
{
    rig_stop(&s->r);
    s->disk->b.ops->close(&s->disk->b);
    s->posix->ops->close(s->posix);
}

/* Right bytes, or EIO while the disk is away. Returns whether it could be read. */
static bool read_one(struct scene *s, unsigned i, bool must)
{
    uint8_t *want = malloc(BYTES), *got = rig_buffer(BYTES);
    struct holofs_attr a;
    char name[16];
    file_name(i, name);
    fill(i, want);
    int e = holofs_lookup(s->r.fs, RIG_ROOT, name, &a);
    ssize_t n = e ? e : holofs_read(s->r.fs, a.ino, 0, got, BYTES);
    if (!e)
        holofs_forget(s->r.fs, a.ino, 1);
    if (n == BYTES && memcmp(want, got, BYTES) != 0)
        fail_msg("%s has wrong bytes", name);
    if (n != BYTES && (must || holo_errno((int)n) != EIO))
        fail_msg("%s: %zd (%s)", name, n, n < 0 ? holo_strerror((int)n) : "short");
    free(want);
    free(got);
    return n == BYTES;
}

static void read_all(struct scene *s, bool must)
{
    for (unsigned i = 0; i < FILES; i++)
        read_one(s, i, must);
}

static void live_name(unsigned k, char out[16])
{
    snprintf(out, 16, "live%u", k);
}

/* A file is written, and synced; both may fail. */
static void write_one(struct scene *s, unsigned k)
{
    uint8_t *p = malloc(NEW_BYTES);
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    char name[16];
    live_name(k, name);
    int e = holofs_create(s->r.fs, &cred, RIG_ROOT, name, S_IFREG | 0644, 0, NULL, &a);
    if (e == -EEXIST)
        e = holofs_lookup(s->r.fs, RIG_ROOT, name, &a);
    rig_fill(++s->version, p, NEW_BYTES);
    ssize_t n = e ? e : holofs_write(s->r.fs, a.ino, 0, p, NEW_BYTES, false);
    if (n == NEW_BYTES)
        s->now[k] = s->version;
    if (n == NEW_BYTES && holofs_fsync(s->r.fs, a.ino) == 0)
        s->acked[k] = s->now[k];
    if (!e)
        holofs_forget(s->r.fs, a.ino, 1);
    free(p);
}

/* What is asked of a store in a minute, some of it in vain. */
static void live(struct scene *s)
{
    for (unsigned k = 0; k < LIVES; k++) {
        read_one(s, k, false);
        write_one(s, k);
        if (k == 0)
            rig_control(&s->r, "scrub start");
        if (k == 1)
            rig_control(&s->r, "seal");
        read_one(s, k + 3, false);
        if (k == 1)
            rig_control(&s->r, "clean");
        rig_control(&s->r, "sync");
    }
    read_all(s, false);
}

static void health_text(struct scene *s, char out[2000])
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(s->r.fs, &b), 0);
    assert_int_equal(buf_add(&b, "", 1), 0);
    snprintf(out, 2000, "%s", (const char *)b.p);
    buf_fini(&b);
}

static void expect_health(struct scene *s, const char *want, uint64_t moment)
{
    char text[2000];
    for (uint64_t begin = clock_mono_ns();; rig_sleep_ms(5)) {
        rig_control(&s->r, "sync");
        health_text(s, text);
        if (strncmp(text, want, strlen(want)) == 0 && text[strlen(want)] == '\n')
            return;
        if (clock_mono_ns() - begin > WAIT_MS * 1000000ull)
            fail_msg("away from call %llu: not %s, but %s", (unsigned long long)moment, want, text);
    }
}

static void expect_written(struct scene *s)
{
    uint8_t *want = malloc(NEW_BYTES), *got = rig_buffer(NEW_BYTES);
    char name[16];
    for (unsigned k = 0; k < LIVES; k++) {
        live_name(k, name);
        uint64_t ino = rig_find(&s->r, RIG_ROOT, name);
        if (!s->now[k])
            continue;
        assert_true(ino);
        assert_true(holofs_read(s->r.fs, ino, 0, got, NEW_BYTES) == NEW_BYTES);
        rig_fill(s->now[k], want, NEW_BYTES);
        if (memcmp(want, got, NEW_BYTES) != 0)
            fail_msg("%s is not version %u", name, s->now[k]);
    }
    free(want);
    free(got);
}

static void expect_nothing_happened(struct scene *s)
{
    assert_int_equal(rig_stat(&s->r, "since_mount/remapped_blocks"), 0);
    assert_true(rig_stat(&s->r, "remap/spare_used") <= s->remaps); /* fewer if the cleaner emptied the container */
    assert_int_equal(rig_stat(&s->r, "lost_blocks"), 0);
    assert_int_equal(rig_stat(&s->r, "cleaner/quarantined"), 0);
    static const char *const never[] = { "\"event\":\"lost\"", "container_unreadable", "index_damaged", "index_rebuilt" };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (!rig_event(&s->r, never[i], ""))
            continue;
        struct buf b = { 0 };
        assert_int_equal(holofs_events_text(s->r.fs, &b), 0);
        fail_msg("%s in\n%.*s", never[i], (int)b.len, (const char *)b.p);
    }
}

static int wrap(void *arg, struct backing *lower, struct backing **out)
{
    struct bad_disk *d = arg;
    lower->ops->close(lower);
    *out = &d->b;
    return 0;
}

static void expect_clean(struct scene *s)
{
    struct fsck_options o = { .mode = FSCK_LOOK, .engine = "scalar", .wrap = wrap, .wrap_arg = s->disk };
    struct fsck_result res = { 0 };
    s->disk->kept = true;
    assert_int_equal(holofs_fsck(s->r.dir, &o, &res), 0);
    s->disk->kept = false;
    assert_int_equal(res.found, 0);
}

/* Away from the n-th call on, for some calls or until it is brought back. Returns whether there was such a call. */
static bool run(uint64_t n, uint64_t calls)
{
    struct scene s;
    scene_start(&s);
    bad_disk_away(s.disk, n, calls);
    live(&s);
    bool was = s.disk->away_hits > 0;
    if (was && !calls)
        expect_health(&s, "degraded", n);
    bad_disk_back(s.disk);
    expect_health(&s, "healthy", n);
    read_all(&s, true);
    expect_written(&s);
    rig_wait_for_scrub(&s.r);
    rig_scrub(&s.r);
    assert_int_equal(rig_stat(&s.r, "scrub/bad"), 0);
    expect_nothing_happened(&s);
    expect_health(&s, "healthy", n);
    rig_reopen(&s.r);
    read_all(&s, true);
    expect_written(&s);
    expect_nothing_happened(&s);
    rig_close(&s.r);
    expect_clean(&s);
    scene_stop(&s);
    return was;
}

static void sweep(uint64_t calls, uint64_t most)
{
    const char *given = getenv("AWAY_SEED"), *many = getenv("AWAY_RUNS");
    uint64_t seed = (uint64_t)(given ? atol(given) : getpid()), runs = many ? (uint64_t)atol(many) : 4;
    print_message("AWAY_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t i = 0, n; i < runs; i++) {
        n = rig_random(&seed) % (i % 2 ? most : most / 10);
        if (!run(n, calls ? calls + rig_random(&seed) % calls : 0))
            print_message("no call %llu\n", (unsigned long long)n);
    }
}

static void a_disk_that_is_away_for_a_while_loses_nothing(void **state)
{
    (void)state;
    sweep(0, 400);
}

static void a_disk_that_is_away_for_some_calls_loses_nothing(void **state)
{
    (void)state;
    sweep(25, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_is_away_for_a_while_loses_nothing),
        cmocka_unit_test(a_disk_that_is_away_for_some_calls_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
