/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_once.c: whose error it is. While the disk fails in one way or another, the file that is synced gets the error of each attempt that
 * fails, and no other file hears of it; once the disk works again nobody does, all bytes are there, and a power cut takes none of them.
 */
#include "tests/core/rig.h"

#include "store/backing.h"

enum { LEN = 200000, PIECE = 128 << 10, PIECES_MAX = 1000 };
enum { ANY = FAULT_WRITE | FAULT_SYNC | FAULT_CREATE | FAULT_UNLINK };

struct way {
    const char *name;
    unsigned ops;
    enum fault_kind kind;
    int err;
};

static const struct way ways[] = {
    { "EIO", ANY, FAULT_ERROR, EIO },
    { "ENOSPC", ANY, FAULT_ERROR, ENOSPC },
    { "EDQUOT", ANY, FAULT_ERROR, EDQUOT },
    { "writes fail", FAULT_WRITE, FAULT_ERROR, EIO },
    { "short writes", FAULT_WRITE, FAULT_SHORT, EIO },
    { "short writes, disk full", FAULT_WRITE, FAULT_SHORT, ENOSPC },
    { "syncs fail", FAULT_SYNC, FAULT_ERROR, EIO },
    { "syncs fail and forget", FAULT_SYNC, FAULT_SYNC_FORGET, EIO },
};

struct disk {
    struct rig r;
    struct backing *posix, *fault;
    uint64_t a, b, c;
};

static void disk_open(struct disk *d)
{
    assert_int_equal(backing_posix_open(d->r.dir, false, &d->posix), 0);
    assert_int_equal(backing_fault_create(d->posix, 1, &d->fault), 0);
    backing_fault_track(d->fault);
    d->r.opt.backing = d->fault;
    rig_open(&d->r);
}

static void disk_close(struct disk *d)
{
    d->fault->ops->close(d->fault);
    d->posix->ops->close(d->posix);
}

static void start(struct disk *d)
{
    struct holofs_geometry g = rig_geometry();
    g.ring_blocks = 512;
    memset(d, 0, sizeof(*d));
    rig_init(&d->r);
    log_set_level((enum log_level)-1);
    d->r.opt.compress = HOLOFS_COMPRESS_OFF;
    d->r.opt.commit_seconds = 3600;
    rig_format(&d->r, &g);
    disk_open(d);
    d->a = rig_file(&d->r, "a", 1, LEN);
    d->b = rig_file(&d->r, "b", 2, LEN);
    d->c = rig_file(&d->r, "c", 3, LEN);
    rig_do(&d->r, "sync");
}

static void fail_from_now_on(struct disk *d, const struct way *w)
{
    backing_fault_add(d->fault, &(struct fault_rule){ .ops = w->ops, .kind = w->kind, .err = w->err });
}

static void expect_its_error(const struct way *w, int e)
{
    int err = holo_errno(e);
    if (err != w->err && err != EIO && err != ENOSPC) /* EIO: both copies of the ring had failed before; ENOSPC: the same of the ring's space */
        fail_msg("%s: %s", w->name, e ? holo_strerror(e) : "no error");
}

/* The store dies and the disk loses what was not synced. */
static void power_cut(struct disk *d)
{
    backing_fault_cut_after(d->fault, backing_fault_writes(d->fault));
    holofs_close(d->r.fs);
    d->r.fs = NULL;
    backing_fault_lose(d->fault);
    disk_close(d);
    disk_open(d);
}

static void stop(struct disk *d)
{
    rig_stop(&d->r);
    disk_close(d);
}

static void overwrite(struct disk *d, uint64_t ino, uint64_t seed)
{
    uint8_t *p = malloc(LEN);
    rig_fill(seed, p, LEN);
    rig_write(&d->r, ino, 0, p, LEN);
    free(p);
}

static void expect_all(struct disk *d, uint64_t a, uint64_t b, uint64_t c)
{
    rig_expect_file(&d->r, "a", a, LEN);
    rig_expect_file(&d->r, "b", b, LEN);
    rig_expect_file(&d->r, "c", c, LEN);
}

static void the_file_that_is_synced_gets_the_error_and_no_other_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const struct way *w = &ways[i];
        struct disk d;
        start(&d);
        fail_from_now_on(&d, w);
        overwrite(&d, d.a, 11);
        expect_its_error(w, holofs_fsync(d.r.fs, d.a));
        assert_int_equal(holofs_fsync(d.r.fs, d.b), 0); /* what it asks for is durable */
        assert_int_equal(holofs_fsync(d.r.fs, d.c), 0);
        overwrite(&d, d.c, 13);
        expect_all(&d, 11, 2, 13);
        backing_fault_clear(d.fault);
        for (int n = 0; n < 2; n++) {
            assert_int_equal(holofs_fsync(d.r.fs, d.a), 0);
            assert_int_equal(holofs_fsync(d.r.fs, d.b), 0);
            assert_int_equal(holofs_fsync(d.r.fs, d.c), 0);
        }
        power_cut(&d);
        expect_all(&d, 11, 2, 13);
        stop(&d);
    }
}

/* Without a sync in between: nobody hears of what was made good. */
static void an_error_that_nobody_waited_for_is_nobodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct disk d;
        start(&d);
        overwrite(&d, d.a, 11);
        fail_from_now_on(&d, &ways[i]);
        expect_its_error(&ways[i], holofs_fsync(d.r.fs, 0)); /* a sync of all, by somebody */
        backing_fault_clear(d.fault);
        overwrite(&d, d.c, 13);
        assert_int_equal(holofs_fsync(d.r.fs, d.c), 0);
        assert_int_equal(holofs_fsync(d.r.fs, d.b), 0);
        assert_int_equal(holofs_fsync(d.r.fs, d.a), 0);
        power_cut(&d);
        expect_all(&d, 11, 2, 13);
        stop(&d);
    }
}

/* More than memory takes: the write is refused; what was taken is there. */
static void a_write_that_finds_no_room_is_refused_and_what_was_taken_stays(void **state)
{
    (void)state;
    uint8_t *p = malloc(PIECE);
    for (size_t i = 0; i < 4; i++) {
        struct disk d;
        uint64_t n = 0;
        ssize_t got = PIECE;
        start(&d);
        uint64_t big = rig_create(&d.r, "big");
        rig_do(&d.r, "sync");
        fail_from_now_on(&d, &ways[i]);
        alarm(120);
        for (; n < PIECES_MAX; n++) {
            rig_fill(1000 + n, p, PIECE);
            got = holofs_write(d.r.fs, big, n * PIECE, p, PIECE, false);
            if (got != PIECE)
                break;
        }
        alarm(0);
        print_message("%s: %llu pieces, then %s\n", ways[i].name, (unsigned long long)n, got < 0 ? holo_strerror((int)got) : "a short write");
        assert_true(n > 8 && n < PIECES_MAX);
        assert_int_equal(holofs_fsync(d.r.fs, d.b), 0);
        expect_all(&d, 1, 2, 3);
        backing_fault_clear(d.fault);
        assert_int_equal(holofs_fsync(d.r.fs, big), 0);
        assert_int_equal(holofs_fsync(d.r.fs, big), 0);
        power_cut(&d);
        for (uint64_t k = 0; k < n; k++) {
            rig_fill(1000 + k, p, PIECE);
            rig_expect(&d.r, rig_find(&d.r, RIG_ROOT, "big"), k * PIECE, p, PIECE);
        }
        expect_all(&d, 1, 2, 3);
        stop(&d);
    }
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_that_is_synced_gets_the_error_and_no_other_does),
        cmocka_unit_test(an_error_that_nobody_waited_for_is_nobodys),
        cmocka_unit_test(a_write_that_finds_no_room_is_refused_and_what_was_taken_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
