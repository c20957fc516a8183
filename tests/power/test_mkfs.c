/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_mkfs.c: a power cut at any change that mkfs makes.
 *
 * Whatever is found then is a whole store, or none is mounted: mkfs says what is there, with -f it makes one. Where -f takes the place of an older
 * store, that one or the new one is found, whole, or neither. MKFS_STRIDE takes about every so many-th change (all: 1), MKFS_SEED chooses them.
 */
#include "tests/core/rig.h"
#include "tests/power/trace.h"

enum { OLD_BYTES = 300000, STRIDE = 23, EACH = 10 /* at the beginning, where the older store goes */ };

struct sweep {
    char top[96]; /* the store's directory is made in it */
    struct rig r;
    bool older;   /* there was a store before */
    uint64_t old, fresh, none, images;
};

static struct holofs_geometry small(void)
{
    return (struct holofs_geometry){ .k = 8, .r = 2, .meta_r = 2, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192, .spare_bytes = 65536 };
}

static int format(struct rig *r, bool force)
{
    struct holofs_geometry g = small();
    g.force = force;
    r->why[0] = 0;
    return holofs_format(r->dir, &g, r->why, sizeof(r->why));
}

static void use_and_close(struct rig *r)
{
    rig_file(r, "fresh", 9, OLD_BYTES);
    rig_do(r, "sync");
    rig_reopen(r);
    rig_expect_file(r, "fresh", 9, OLD_BYTES);
    rig_close(r);
}

/* What the image at r->dir is: a store, the older one whole or the new one; or none, and mkfs makes one. */
static void look(struct sweep *s, struct rig *r)
{
    struct stat st;
    int e = rig_try_open(r);
    if (!e && s->older && rig_find(r, RIG_ROOT, "old")) {
        s->old++;
        rig_expect_file(r, "old", 5, OLD_BYTES);
        use_and_close(r);
        return;
    }
    if (!e) {
        s->fresh++;
        use_and_close(r);
        return;
    }
    s->none++;
    assert_true(strlen(r->why) > 5 && !strchr(r->why, '\n'));
    bool there = stat(r->dir, &st) == 0;
    e = format(r, false);
    if (e && e != -ENOTEMPTY)
        fail_msg("mkfs: %s", r->why);
    if (e) {
        assert_true(there && strstr(r->why, "-f"));
        e = format(r, true);
        if (e)
            fail_msg("mkfs -f: %s", r->why);
    }
    rig_open(r);
    use_and_close(r);
}

static void one_image(struct sweep *s, const struct disk *d, const struct choice *c)
{
    struct rig r = s->r;
    char top[96];
    snprintf(top, sizeof(top), "%.80s-image", s->top);
    disk_image(d, c, top);
    snprintf(r.dir, sizeof(r.dir), "%.85s/store", top);
    r.fs = NULL;
    s->images++;
    look(s, &r);
    rig_remove_tree(top);
}

static void cut_everywhere(struct sweep *s)
{
    const char *every = getenv("MKFS_STRIDE"), *where = getenv("MKFS_SEED");
    uint64_t stride = every ? strtoull(every, NULL, 0) : STRIDE, seed = (uint64_t)(where ? atoll(where) : getpid());
    size_t first, n = trace_events(&first);
    struct disk *d = disk_create();
    print_message("MKFS_SEED=%llu, %zu changes\n", (unsigned long long)seed, n - first);
    size_t each = s->older ? first + EACH : first;
    for (size_t at = first; at < n; at += at < each ? 1 : 1 + rig_random(&seed) % (2 * stride - 1)) {
        const struct choice some = { SURVIVES_SOME, 20 + (unsigned)(rig_random(&seed) % 70), rig_random(&seed) };
        disk_advance(d, at);
        one_image(s, d, &(struct choice){ SURVIVES_ALL, 0, 0 });
        one_image(s, d, &(struct choice){ SURVIVES_NONE, 0, 0 });
        one_image(s, d, &some);
    }
    disk_advance(d, n);
    uint64_t fresh = s->fresh;
    one_image(s, d, &(struct choice){ SURVIVES_NONE, 0, 0 });
    if (s->fresh != fresh + 1)
        fail_msg("what mkfs has made is gone after a power cut");
    disk_destroy(d);
    print_message("%llu images: %llu of the older store, %llu of the new one, %llu of none\n", (unsigned long long)s->images,
                  (unsigned long long)s->old, (unsigned long long)s->fresh, (unsigned long long)s->none);
}

static void begin(struct sweep *s)
{
    memset(s, 0, sizeof(*s));
    rig_init(&s->r);
    log_set_level((enum log_level)-1);
    s->r.opt.compress = HOLOFS_COMPRESS_OFF;
    snprintf(s->top, sizeof(s->top), "%.80s", s->r.dir);
    snprintf(s->r.dir, sizeof(s->r.dir), "%.85s/store", s->top);
}

static void end(struct sweep *s)
{
    trace_stop();
    rig_remove_tree(s->top);
}

static void a_cut_mkfs_leaves_a_whole_store_or_none(void **state)
{
    (void)state;
    struct sweep s;
    begin(&s);
    trace_start(s.top);
    assert_int_equal(format(&s.r, false), 0);
    cut_everywhere(&s);
    end(&s);
}

static void a_cut_mkfs_over_a_store_never_mixes_them(void **state)
{
    (void)state;
    struct sweep s;
    begin(&s);
    assert_int_equal(format(&s.r, false), 0);
    rig_open(&s.r);
    rig_file(&s.r, "old", 5, OLD_BYTES);
    rig_do(&s.r, "seal");
    rig_close(&s.r);
    s.older = true;
    trace_start(s.top);
    assert_int_equal(format(&s.r, true), 0);
    cut_everywhere(&s);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_mkfs_leaves_a_whole_store_or_none),
        cmocka_unit_test(a_cut_mkfs_over_a_store_never_mixes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
