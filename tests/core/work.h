/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work.h: a store at work over a backing that injects faults, and a model of it: what was acknowledged, what was tried.
 *
 * A few files that are replaced, deleted and overwritten in blocks, with syncs, seals, a dump and runs of the cleaner in between.
 */
#ifndef HOLO_TESTS_CORE_WORK_H
#define HOLO_TESTS_CORE_WORK_H

#include "tests/core/rig.h"

#include "base/clock.h"
#include "store/backing.h"

enum { SLOTS = 5, ROUNDS = 24, BLOCKS = 12, BLOCK_BYTES = 16384, LARGE = 300000, WAIT_MS = 20000 };

/* A thing that has versions: what it must be is the last one acknowledged, or one tried since. */
struct thing {
    uint32_t now;   /* as the program that runs sees it */
    uint32_t acked; /* durable */
    bool doubtful;  /* the last change failed: now, or as it was */
    uint32_t before;
};

struct work {
    struct rig r;
    struct backing *posix, *fault;
    struct thing slot[SLOTS], block[BLOCKS]; /* version 0: nothing there */
    uint64_t blocks_ino;
    uint32_t version;
    unsigned errors;   /* that operations returned */
    unsigned commands; /* of those, commands */
};

static inline size_t bytes_of(uint32_t version)
{
    return version % 3 == 0 ? LARGE : 500 + version * 97 % 40000;
}

static inline void slot_name(unsigned i, char out[16])
{
    snprintf(out, 16, "slot%u", i);
}

static inline void work_open(struct work *w)
{
    if (!w->posix)
        assert_int_equal(backing_posix_open(w->r.dir, false, &w->posix), 0);
    if (!w->fault)
        assert_int_equal(backing_fault_create(w->posix, 1, &w->fault), 0);
    w->r.opt.backing = w->fault;
    rig_open(&w->r);
}

static inline void backing_drop(struct work *w)
{
    w->fault->ops->close(w->fault);
    w->posix->ops->close(w->posix);
    w->fault = w->posix = NULL;
}

static inline void work_start(struct work *w)
{
    struct holofs_geometry g = rig_geometry();
    g.ring_blocks = 512;
    memset(w, 0, sizeof(*w));
    rig_init(&w->r);
    w->r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&w->r, &g);
    work_open(w);
    w->blocks_ino = rig_file(&w->r, "blocks", 0, BLOCKS * BLOCK_BYTES);
    rig_do(&w->r, "sync");
}

static inline void work_stop(struct work *w)
{
    rig_stop(&w->r);
    backing_drop(w);
}

static inline void expect_error(struct work *w, int e)
{
    int err = holo_errno(e);
    w->errors++;
    if (err != EIO && err != ENOSPC && err != EDQUOT)
        fail_msg("an error that nothing injected: %s", holo_strerror(e));
}

/* What all have become is durable. */
static inline void acknowledge(struct thing *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!t[i].doubtful)
            t[i].acked = t[i].now;
    }
}

static inline bool sync_all(struct work *w)
{
    int e = holofs_fsync(w->r.fs, 0);
    if (e) {
        expect_error(w, e);
        return false;
    }
    acknowledge(w->slot, SLOTS);
    acknowledge(w->block, BLOCKS);
    return true;
}

static inline void set(struct thing *t, uint32_t version, int e)
{
    t->before = t->doubtful ? t->before : t->now;
    t->now = version;
    t->doubtful = e != 0;
}

/* A new file takes the place of the slot's. */
static inline void replace(struct work *w, unsigned i)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    char name[16];
    uint32_t v = ++w->version;
    size_t len = bytes_of(v);
    int e = holofs_create(w->r.fs, &cred, RIG_ROOT, "fresh", S_IFREG | 0644, 0, NULL, &a);
    if (e == -EEXIST)
        e = holofs_unlink(w->r.fs, RIG_ROOT, "fresh");
    if (e) {
        expect_error(w, e);
        return;
    }
    if (holofs_lookup(w->r.fs, RIG_ROOT, "fresh", &a))
        return; /* what was left of one that failed is gone now */
    uint8_t *p = malloc(len);
    rig_fill(v, p, len);
    ssize_t n = holofs_write(w->r.fs, a.ino, 0, p, len, false);
    free(p);
    holofs_forget(w->r.fs, a.ino, 1);
    slot_name(i, name);
    if (n == (ssize_t)len) {
        e = holofs_fsync(w->r.fs, a.ino);
        if (e)
            expect_error(w, e);
        e = holofs_rename(w->r.fs, RIG_ROOT, "fresh", RIG_ROOT, name, 0);
        set(&w->slot[i], e ? w->slot[i].now : v, 0);
    } else {
        e = n < 0 ? (int)n : -ENOSPC;
        holofs_unlink(w->r.fs, RIG_ROOT, "fresh");
    }
    if (e)
        expect_error(w, e);
}

static inline void delete(struct work *w, unsigned i)
{
    char name[16];
    slot_name(i, name);
    if (!w->slot[i].now)
        return;
    int e = holofs_unlink(w->r.fs, RIG_ROOT, name);
    if (e)
        expect_error(w, e);
    else
        set(&w->slot[i], 0, 0);
}

static inline void rewrite(struct work *w, unsigned b)
{
    uint8_t p[BLOCK_BYTES];
    uint32_t v = ++w->version;
    rig_fill(v, p, sizeof(p));
    ssize_t n = holofs_write(w->r.fs, w->blocks_ino, (uint64_t)b * BLOCK_BYTES, p, sizeof(p), false);
    set(&w->block[b], v, n < 0 ? (int)n : 0);
    if (n < 0) {
        expect_error(w, (int)n);
        return;
    }
    assert_int_equal(n, sizeof(p));
    int e = holofs_fsync(w->r.fs, w->blocks_ino);
    if (e)
        expect_error(w, e);
    else
        acknowledge(w->block, BLOCKS);
}

static inline void control(struct work *w, const char *command)
{
    int e = rig_control(&w->r, command);
    if (e)
        expect_error(w, e);
    w->commands += e != 0;
}

static inline bool health_is(struct work *w, const char *word)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(w->r.fs, &b), 0);
    bool is = b.len > strlen(word) && memcmp(b.p, word, strlen(word)) == 0;
    buf_fini(&b);
    return is;
}

/* However the disk behaves, a run of the cleaner comes to an end. */
static inline void clean(struct work *w)
{
    uint64_t runs = rig_stat(&w->r, "cleaner/runs"), begin = clock_mono_ns();
    control(w, "clean");
    while (!health_is(w, "failed") && rig_stat(&w->r, "cleaner/runs") == runs) {
        if (clock_mono_ns() - begin > WAIT_MS * 1000000ull)
            fail_msg("a run of the cleaner does not end");
        rig_sleep_ms(1);
    }
}

static inline void live(struct work *w)
{
    for (unsigned k = 0; k < ROUNDS; k++) {
        replace(w, k % SLOTS);
        rewrite(w, k * 7 % BLOCKS);
        if (k % 4 == 3)
            delete(w, (k + 2) % SLOTS);
        if (k % 3 == 2)
            sync_all(w);
        if (k % 5 == 4)
            control(w, "seal");
        if (k == 8)
            control(w, "dump");
        if (k == 10 || k == 21)
            clean(w);
    }
    sync_all(w);
}

/* Is the slot this version, whole? */
static inline bool slot_is(struct work *w, unsigned i, uint32_t version)
{
    char name[16];
    struct holofs_attr a;
    slot_name(i, name);
    uint64_t ino = rig_find(&w->r, RIG_ROOT, name);
    if (!version || !ino)
        return !version && !ino;
    assert_int_equal(holofs_getattr(w->r.fs, ino, &a), 0);
    size_t len = bytes_of(version);
    uint8_t *want = malloc(len), *got = rig_buffer(len);
    rig_fill(version, want, len);
    bool same = a.size == len && holofs_read(w->r.fs, ino, 0, got, len) == (ssize_t)len && memcmp(got, want, len) == 0;
    free(want);
    free(got);
    return same;
}

static inline bool block_is(struct work *w, unsigned b, uint32_t version)
{
    uint8_t all[BLOCKS * BLOCK_BYTES], want[BLOCK_BYTES], *got = rig_buffer(BLOCK_BYTES);
    if (version) {
        rig_fill(version, want, sizeof(want));
    } else {
        rig_fill(0, all, sizeof(all));
        memcpy(want, all + b * BLOCK_BYTES, BLOCK_BYTES);
    }
    ssize_t n = holofs_read(w->r.fs, w->blocks_ino, (uint64_t)b * BLOCK_BYTES, got, BLOCK_BYTES);
    bool same = n == BLOCK_BYTES && memcmp(got, want, BLOCK_BYTES) == 0;
    free(got);
    return same;
}

/* Each thing is as the model has it now. */
static inline void expect_now(struct work *w)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!slot_is(w, i, w->slot[i].now))
            fail_msg("slot %u is not version %u", i, w->slot[i].now);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        const struct thing *t = &w->block[b];
        if (!block_is(w, b, t->now) && !(t->doubtful && block_is(w, b, t->before)))
            fail_msg("block %u is not version %u", b, t->now);
    }
}

/* After a stop under faults: the version acknowledged, or one tried after it. */
static inline void expect_acknowledged(struct work *w)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        bool found = slot_is(w, i, w->slot[i].now);
        for (uint32_t v = w->slot[i].acked; v <= w->version && !found; v++)
            found = slot_is(w, i, v);
        if (!found && !slot_is(w, i, 0))
            fail_msg("slot %u has lost version %u", i, w->slot[i].acked);
        if (!found && w->slot[i].now == w->slot[i].acked)
            fail_msg("slot %u is gone, version %u", i, w->slot[i].acked);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        bool found = false;
        for (uint32_t v = w->block[b].acked; v <= w->version && !found; v++)
            found = block_is(w, b, v);
        if (!found)
            fail_msg("block %u has lost version %u", b, w->block[b].acked);
    }
}

/* The disk works again: so does everything else, soon. */
static inline void recovers(struct work *w)
{
    static const char *const command[] = { "sync", "seal", "dump", "sync" };
    backing_fault_clear(w->fault);
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < sizeof(command) / sizeof(command[0]); i++) {
        int e;
        while ((e = rig_control(&w->r, command[i])) != 0) {
            if (clock_mono_ns() - begin > WAIT_MS * 1000000ull)
                fail_msg("%s: %s, %u ms after the disk works again", command[i], holo_strerror(e), WAIT_MS);
            rig_sleep_ms(5);
        }
    }
    assert_false(health_is(w, "failed"));
    assert_true(sync_all(w));
    expect_now(w);
}

#endif
