/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_dir.c: positions in a directory stay valid while entries come and go. */
#include "tests/core/rig.h"

enum { MANY = 50000, FEW = 3000 };

/* What a listing has to show: names made before it began and not removed meanwhile, once; others at most once. */
struct listing {
    struct rig *r;
    uint64_t dir;
    uint8_t *seen;    /* how often, by number */
    uint8_t *stays;   /* was there from before until after */
    uint8_t *present;
    size_t n, cap;
};

static void numbered(size_t i, char out[32])
{
    snprintf(out, 32, "entry-%zu", i);
}

static void add(struct listing *l, size_t i)
{
    char name[32];
    numbered(i, name);
    rig_make(l->r, l->dir, name, S_IFREG | 0644);
    l->present[i] = 1;
}

static void drop(struct listing *l, size_t i)
{
    char name[32];
    numbered(i, name);
    assert_int_equal(holofs_unlink(l->r->fs, l->dir, name), 0);
    l->present[i] = l->stays[i] = 0;
}

static void begin(struct listing *l, struct rig *r, size_t n, size_t cap)
{
    *l = (struct listing){ .r = r, .n = n, .cap = cap, .seen = calloc(cap, 1), .stays = calloc(cap, 1), .present = calloc(cap, 1) };
    l->dir = rig_make(r, RIG_ROOT, "many", S_IFDIR | 0755);
    for (size_t i = 0; i < n; i++)
        add(l, i);
}

static void finish(struct listing *l)
{
    free(l->seen);
    free(l->stays);
    free(l->present);
}

static void note(struct listing *l, const struct holofs_dirent *e)
{
    size_t i;
    if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
        return;
    assert_int_equal(sscanf(e->name, "entry-%zu", &i), 1);
    assert_true(i < l->cap);
    l->seen[i]++;
}

static void expect_all_once(const struct listing *l)
{
    for (size_t i = 0; i < l->cap; i++) {
        if (l->seen[i] > 1 || (l->stays[i] && l->seen[i] != 1))
            fail_msg("entry-%zu was seen %u times", i, l->seen[i]);
    }
}

/* One pass; `between` runs after every `every` entries; each `fresh` entries another handle goes on at the offset. */
static void pass(struct listing *l, size_t every, void (*between)(struct listing *l, uint64_t *seed), size_t fresh, uint64_t *seed)
{
    struct holofs_dir *d;
    struct holofs_dirent e;
    uint64_t off = 0;
    memset(l->seen, 0, l->cap);
    memcpy(l->stays, l->present, l->cap);
    assert_int_equal(holofs_opendir(l->r->fs, l->dir, &d), 0);
    for (size_t i = 1; holofs_readdir(d, off, &e) == 1; i++) {
        note(l, &e);
        assert_true(e.next > off);
        off = e.next;
        if (between && i % every == 0)
            between(l, seed);
        if (fresh && i % fresh == 0) {
            holofs_closedir(d);
            assert_int_equal(holofs_opendir(l->r->fs, l->dir, &d), 0);
        }
    }
    holofs_closedir(d);
    expect_all_once(l);
}

static void fifty_thousand_entries_are_listed_once(void **state)
{
    (void)state;
    struct rig r;
    struct listing l;
    struct holofs_attr a;
    rig_start(&r);
    begin(&l, &r, MANY, MANY);
    pass(&l, 0, NULL, 0, NULL); /* partly only in memory */
    rig_do(&r, "sync");
    pass(&l, 0, NULL, 0, NULL);
    pass(&l, 0, NULL, 777, NULL);
    rig_reopen(&r);
    pass(&l, 0, NULL, 0, NULL);
    assert_int_equal(holofs_rmdir(r.fs, RIG_ROOT, "many"), -ENOTEMPTY);
    for (size_t i = 0; i < MANY; i++)
        drop(&l, i);
    pass(&l, 0, NULL, 0, NULL);
    assert_int_equal(holofs_getattr(r.fs, l.dir, &a), 0);
    assert_int_equal(holofs_rmdir(r.fs, RIG_ROOT, "many"), 0);
    finish(&l);
    rig_stop(&r);
}

/* Some entries go, others come, some are renamed to new names. */
static void change(struct listing *l, uint64_t *seed)
{
    for (int k = 0; k < 20; k++) {
        size_t i = rig_random(seed) % l->cap;
        if (l->present[i])
            drop(l, i);
        else
            add(l, i);
    }
    size_t i = rig_random(seed) % l->cap, j = rig_random(seed) % l->cap;
    if (l->present[i] && !l->present[j]) {
        char from[32], to[32];
        numbered(i, from);
        numbered(j, to);
        assert_int_equal(holofs_rename(l->r->fs, l->dir, from, l->dir, to, 0), 0);
        l->present[i] = l->stays[i] = 0;
        l->present[j] = 1;
    }
}

static void change_and_sync(struct listing *l, uint64_t *seed)
{
    change(l, seed);
    if (rig_random(seed) % 4 == 0)
        rig_do(l->r, "sync");
}

/* Names that come and go are seen at most twice: another entry of the same name is another entry. */
static void what_stays_is_never_missed_while_others_come_and_go(void **state)
{
    (void)state;
    for (uint64_t first = 1; first <= 8; first++) {
        struct rig r;
        struct listing l;
        uint64_t seed = first;
        print_message("seed %llu\n", (unsigned long long)first);
        rig_start(&r);
        begin(&l, &r, FEW, 2 * FEW);
        for (int i = 0; i < 4; i++) {
            uint64_t s = seed * 100 + (uint64_t)i;
            struct holofs_dir *d;
            struct holofs_dirent e;
            uint64_t off = 0;
            memset(l.seen, 0, l.cap);
            memcpy(l.stays, l.present, l.cap);
            assert_int_equal(holofs_opendir(r.fs, l.dir, &d), 0);
            for (size_t n = 1; holofs_readdir(d, off, &e) == 1; n++) {
                note(&l, &e);
                assert_true(e.next > off);
                off = e.next;
                if (n % 100 == 0 && n < 3 * FEW)
                    (i % 2 ? change : change_and_sync)(&l, &s);
            }
            holofs_closedir(d);
            for (size_t k = 0; k < l.cap; k++) {
                if (l.stays[k] && l.seen[k] != 1)
                    fail_msg("entry-%zu stayed and was seen %u times", k, l.seen[k]);
            }
            if (i == 1)
                rig_reopen(&r);
            pass(&l, 0, NULL, 100, NULL);
        }
        finish(&l);
        rig_stop(&r);
    }
}

/* As rm -r does: list a few, remove them, go on. */
static void drop_one(struct listing *l, uint64_t *seed)
{
    for (size_t i = 0; i < l->cap; i++) {
        if (l->present[i] && l->seen[i]) {
            drop(l, i);
            break;
        }
    }
    if (rig_random(seed) % 200 == 0)
        rig_do(l->r, "sync");
}

static void removing_while_listing_reaches_everything(void **state)
{
    (void)state;
    struct rig r;
    struct listing l;
    uint64_t seed = 9;
    rig_start(&r);
    begin(&l, &r, FEW, FEW);
    pass(&l, 1, drop_one, 50, &seed);
    for (size_t i = 0; i < FEW; i++)
        assert_int_equal(l.seen[i], 1);
    assert_int_equal(holofs_rmdir(r.fs, RIG_ROOT, "many"), 0);
    finish(&l);
    rig_stop(&r);
}

/* A cache above keeps what was listed: an entry that went after the listing began must not be given out as there. */
static void what_is_listed_is_there(void **state)
{
    (void)state;
    struct rig r;
    struct listing l;
    struct holofs_dir *d;
    struct holofs_dirent e;
    uint64_t seed = 10, off = 2;
    rig_start(&r);
    begin(&l, &r, FEW, 2 * FEW);
    rig_do(&r, "sync");
    assert_int_equal(holofs_opendir(r.fs, l.dir, &d), 0);
    for (size_t n = 1; n < 3 * FEW && holofs_readdir(d, off, &e) == 1; n++) {
        uint64_t ino = rig_find(&r, l.dir, e.name);
        if (ino != e.ino)
            fail_msg("%s is inode %llu and was listed as %llu", e.name, (unsigned long long)ino, (unsigned long long)e.ino);
        off = e.next;
        if (n % 50 == 0)
            change(&l, &seed);
    }
    holofs_closedir(d);
    finish(&l);
    rig_stop(&r);
}

/* Another file takes the place of many names, and some pairs change places. */
static void replace_some(struct listing *l, uint64_t *seed)
{
    char name[32], other[32];
    for (int k = 0; k < 30; k++) {
        numbered(rig_random(seed) % l->cap, name);
        numbered(rig_random(seed) % l->cap, other);
        if (k % 3 == 0) {
            assert_int_equal(holofs_rename(l->r->fs, l->dir, name, l->dir, other, RENAME_EXCHANGE), 0);
            continue;
        }
        rig_create(l->r, "beside");
        assert_int_equal(holofs_rename(l->r->fs, RIG_ROOT, "beside", l->dir, name, 0), 0);
    }
    if (rig_random(seed) % 16 == 0)
        rig_do(l->r, "sync");
}

static void names_that_lead_elsewhere_stay_in_their_places(void **state)
{
    (void)state;
    struct rig r;
    struct listing l;
    uint64_t seed = 11;
    rig_start(&r);
    begin(&l, &r, FEW, FEW);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 100 * i; k++) /* more of them than are fetched at once */
            replace_some(&l, &seed);
        pass(&l, 0, NULL, 0, NULL);
        pass(&l, 40, replace_some, i ? 300 : 0, &seed);
        rig_reopen(&r);
        pass(&l, 0, NULL, 0, NULL);
    }
    assert_int_equal(holofs_rmdir(r.fs, RIG_ROOT, "many"), -ENOTEMPTY);
    for (size_t i = 0; i < FEW; i++)
        drop(&l, i);
    assert_int_equal(holofs_rmdir(r.fs, RIG_ROOT, "many"), 0);
    finish(&l);
    rig_stop(&r);
}

static void renaming_all_that_is_listed_comes_to_an_end(void **state)
{
    (void)state;
    struct rig r;
    struct listing l;
    struct holofs_dir *d;
    struct holofs_dirent e;
    uint64_t off = 0;
    size_t n = 0;
    rig_start(&r);
    begin(&l, &r, FEW, FEW);
    assert_int_equal(holofs_opendir(r.fs, l.dir, &d), 0);
    while (holofs_readdir(d, off, &e) == 1 && n <= 2 * FEW) {
        char name[32], to[64];
        off = e.next;
        if (e.name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s", e.name);
        snprintf(to, sizeof(to), "%s-%zu", name, n++);
        assert_int_equal(holofs_rename(r.fs, l.dir, name, l.dir, to, 0), 0);
    }
    assert_int_equal(n, FEW);
    holofs_closedir(d);
    finish(&l);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_thousand_entries_are_listed_once),
        cmocka_unit_test(what_stays_is_never_missed_while_others_come_and_go),
        cmocka_unit_test(removing_while_listing_reaches_everything),
        cmocka_unit_test(what_is_listed_is_there),
        cmocka_unit_test(names_that_lead_elsewhere_stay_in_their_places),
        cmocka_unit_test(renaming_all_that_is_listed_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
