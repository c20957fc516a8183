/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_sectors.c: 10, 100 and 1000 bad sectors at once below a store that is read by several readers and scrubbed. Each is remapped, no
 * other block is, every byte is right, it costs no memory that grows with it but the table, and the next mount finds nothing to do.
 *
 * SECTORS_SEED chooses the places. With ThreadSanitizer it is a quarter of it all.
 */
#include "tests/core/rig.h"

#include <malloc.h>
#include <pthread.h>

#include "core/fsck.h"
#include "ecc/ecc.h"
#include "store/chead.h"
#include "tests/core/bad_disk.h"

#ifdef __SANITIZE_THREAD__
enum { STEP = 4 };
#else
enum { STEP = 1 };
#endif
enum { PASSES = 3, FILES = 12 / STEP, MOST = 1000 / STEP, FEW = 2, FILE_BYTES = 500 * RIG_BLOCK, READERS = 3, MANY = 8, CONTAINERS_MAX = 64, STRIPES_MAX = 64 };

struct one {
    struct container_header h;
    char name[CONTAINER_NAME_MAX];
    unsigned bad[STRIPES_MAX]; /* of each stripe */
    bool header, *table, *is_bad;
    unsigned room; /* no more fit */
};

struct scene {
    struct rig r;
    struct backing *posix;
    struct bad_disk *disk;
    struct one c[CONTAINERS_MAX];
    unsigned n, files, sectors, kinds[4]; /* data, parity, tables, headers */
    uint64_t seed;
    _Atomic bool enough;
    pthread_barrier_t barrier;
};

static uint64_t seed_given(void)
{
    const char *s = getenv("SECTORS_SEED");
    uint64_t seed = (uint64_t)(s ? atol(s) : getpid());
    print_message("SECTORS_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void file_name(unsigned i, char out[16])
{
    snprintf(out, 16, "file%u", i);
}

static void expect_files(struct scene *s)
{
    char name[16];
    for (unsigned i = 0; i < s->files; i++) {
        file_name(i, name);
        rig_expect_file(&s->r, name, i, FILE_BYTES);
    }
}

/* ---- where sectors go bad ---- */

static void take_container(struct scene *s, uint32_t id)
{
    char path[PATH_MAX];
    uint8_t block[RIG_BLOCK];
    struct one *c = &s->c[s->n];
    container_name(id, c->name);
    rig_name(&s->r, c->name, path);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return;
    assert_true(pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
    close(fd);
    assert_int_equal(chead_decode_any(block, &c->h), 0);
    assert_true(c->h.D <= STRIPES_MAX && s->n < CONTAINERS_MAX);
    c->table = calloc(c->h.table_blocks, sizeof(*c->table));
    c->is_bad = calloc(chead_file_blocks(&c->h), sizeof(*c->is_bad));
    s->n++;
}

/* May this block of the file go bad beside those that are, so that all of it can be rebuilt? Kind, or -1. */
static int may_be_bad(struct one *c, uint32_t fb)
{
    uint32_t first = chead_file_block(&c->h, 0), n = chead_positions(&c->h), last = chead_file_blocks(&c->h) - 1;
    if (c->is_bad[fb])
        return -1;
    if (fb >= first && fb < first + n)
        return c->bad[(fb - first) % c->h.D] < c->h.m ? (fb - first < c->h.used ? 0 : 1) : -1;
    if (fb == 0 || fb == last)
        return c->header ? -1 : 3;
    return c->table[fb < first ? fb - 1 : fb - first - n] ? -1 : 2;
}

static void make_bad(struct scene *s, struct one *c, uint32_t fb, int kind)
{
    uint32_t first = chead_file_block(&c->h, 0), n = chead_positions(&c->h);
    c->is_bad[fb] = true;
    if (kind < 2)
        c->bad[(fb - first) % c->h.D]++;
    else if (kind == 2)
        c->table[fb < first ? fb - 1 : fb - first - n] = true;
    else
        c->header = true;
    bad_disk_sector(s->disk, c->name, fb);
    s->kinds[kind]++;
    s->sectors++;
}

/* One that every reader meets; then every tenth in a header or a table, as long as there is room for that. */
static void break_sectors(struct scene *s, unsigned count)
{
    make_bad(s, &s->c[0], chead_file_block(&s->c[0].h, 3), 0);
    for (unsigned tries = 0; s->sectors < count; tries++) {
        struct one *c = &s->c[rig_random(&s->seed) % s->n];
        uint32_t all = chead_file_blocks(&c->h), fb = (uint32_t)(rig_random(&s->seed) % all);
        if (s->sectors % 10 == 4 && tries % 8)
            fb = 0;
        if (s->sectors % 10 == 9 && tries % 8)
            fb = chead_table_block(&c->h, (unsigned)tries & 1, 0);
        int kind = may_be_bad(c, fb);
        if (kind >= 0)
            make_bad(s, c, fb, kind);
        assert_true(tries < 1000 * count);
    }
}

/* Blocks of the ring that one of its copies has; two superblocks of five; a copy of the remap table. */
static void break_copies(struct scene *s)
{
    for (unsigned i = 0; i < 16; i++)
        bad_disk_sector(s->disk, i & 1 ? "journal.1" : "journal.0", i * (RIG_RING / 16) + (uint32_t)(rig_random(&s->seed) % (RIG_RING / 16)));
    bad_disk_sector(s->disk, "superblock.1", 0);
    bad_disk_sector(s->disk, "superblock.3", 0);
    bad_disk_sector(s->disk, "remap.2", 0);
}

/* ---- a store, readers ---- */

static void scene_start(struct scene *s, unsigned files, unsigned r, bool late)
{
    struct holofs_geometry g = rig_geometry();
    char name[16];
    memset(s, 0, sizeof(*s));
    s->files = files;
    rig_init(&s->r);
    s->seed = seed_given();
    s->r.opt.compress = HOLOFS_COMPRESS_OFF;
    s->r.opt.engine = NULL;
    g.r = r;
    g.meta_r = r;
    g.spare_bytes = 1100 * RIG_BLOCK;
    rig_format(&s->r, &g);
    rig_open(&s->r);
    for (unsigned i = 0; i < files; i++) {
        file_name(i, name);
        rig_file(&s->r, name, i, FILE_BYTES);
    }
    rig_do(&s->r, "seal");
    rig_do(&s->r, "dump");
    rig_close(&s->r);
    for (uint32_t id = 1; id < CONTAINERS_MAX; id++)
        take_container(s, id);
    assert_int_equal(backing_posix_open(s->r.dir, false, &s->posix), 0);
    s->disk = bad_disk_create(s->posix, late);
    s->r.opt.backing = &s->disk->b;
}

static void scene_stop(struct scene *s)
{
    rig_stop(&s->r);
    s->disk->b.ops->close(&s->disk->b);
    s->posix->ops->close(s->posix);
    for (unsigned i = 0; i < s->n; i++) {
        free(s->c[i].table);
        free(s->c[i].is_bad);
    }
}

static void *reader(void *arg)
{
    struct scene *s = arg;
    for (unsigned i = 0; i < PASSES && !s->enough; i++)
        expect_files(s);
    return NULL;
}

static void read_and_scrub(struct scene *s)
{
    pthread_t t[READERS];
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, reader, s), 0);
    expect_files(s);
    rig_scrub(&s->r);
    s->enough = true;
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
    rig_scrub(&s->r);
}

/* All that there is to do was done, once. */
static void expect_remapped(struct scene *s, unsigned since_mount)
{
    assert_int_equal(rig_stat(&s->r, "remap/remaps"), s->sectors);
    assert_int_equal(rig_stat(&s->r, "remap/spare_used"), s->sectors);
    assert_int_equal(rig_stat(&s->r, "since_mount/remapped_blocks"), since_mount);
    assert_int_equal(rig_stat(&s->r, "since_mount/repaired_blocks"), since_mount);
    assert_int_equal(rig_stat(&s->r, "lost_blocks"), 0);
    assert_int_equal(rig_stat(&s->r, "scrub/bad"), 0); /* the last scrub */
}

/* Soon: copies of the ring that failed come back when their thread looks. */
static void expect_healthy(struct rig *r)
{
    struct buf b = { 0 };
    for (unsigned ms = 0;; ms += 10) {
        b.len = 0;
        assert_int_equal(holofs_health_text(r->fs, &b), 0);
        assert_int_equal(buf_add(&b, "", 1), 0);
        if (strcmp((const char *)b.p, "healthy\n") == 0)
            break;
        if (ms > 20000)
            fail_msg("%s", (const char *)b.p);
        rig_sleep_ms(10);
    }
    buf_fini(&b);
}

static int wrap(void *arg, struct backing *lower, struct backing **out)
{
    struct bad_disk *d = arg;
    lower->ops->close(lower); /* the same directory, which the disk has already */
    *out = &d->b;
    return 0;
}

static void print_problem(void *arg, const struct fsck_seen *p)
{
    (void)arg;
    print_message("holofsck: %s, container %u, block %u: %s\n", p->problem->name, p->where.container, p->where.block, p->where.detail);
}

static uint64_t check(struct scene *s, enum fsck_mode mode, uint64_t *left)
{
    struct fsck_options o = { .mode = mode, .engine = "scalar", .talk.problem = print_problem, .wrap = wrap, .wrap_arg = s->disk };
    struct fsck_result res = { 0 };
    s->disk->kept = true;
    assert_int_equal(holofs_fsck(s->r.dir, &o, &res), 0);
    s->disk->kept = false;
    *left = res.left + res.lost;
    return res.found;
}

/* Sectors of the ring that nobody has needed so far may be found by the check. */
static void expect_clean(struct scene *s)
{
    uint64_t left;
    check(s, FSCK_ALL, &left);
    assert_int_equal(left, 0);
    assert_int_equal(check(s, FSCK_LOOK, &left), 0);
}

static long heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return (long)(m.uordblks + m.hblkhd);
}

/* Read, scrub, mount again, check: returns what the heap holds when everything is repaired. */
static long all_are_remapped(struct scene *s)
{
    long before = heap_bytes();
    rig_open(&s->r);
    read_and_scrub(s);
    expect_remapped(s, s->sectors);
    expect_healthy(&s->r);
    long heap = heap_bytes() - before - (long)(rig_stat(&s->r, "memory/head_and_parity_bytes") + rig_stat(&s->r, "memory/scratch_bytes"));
    rig_close(&s->r);
    s->disk->bad_reads = 0;
    rig_open(&s->r);
    expect_files(s);
    rig_scrub(&s->r);
    expect_remapped(s, 0);
    expect_healthy(&s->r);
    rig_close(&s->r);
    assert_int_equal(s->disk->bad_reads, 0); /* nobody waits for a bad sector again */
    expect_clean(s);
    return heap;
}

static long run(unsigned files, unsigned r, unsigned count, bool late)
{
    struct scene s;
    scene_start(&s, files, r, late);
    break_sectors(&s, count);
    break_copies(&s);
    long heap = all_are_remapped(&s);
    print_message("R %u: %u sectors in %u containers: %u data, %u parity, %u tables, %u headers; heap %ld KiB\n", r, s.sectors, s.n, s.kinds[0],
                  s.kinds[1], s.kinds[2], s.kinds[3], heap / 1024);
    scene_stop(&s);
    return heap;
}

static void ten_hundred_and_thousand_bad_sectors_are_remapped_in_flat_memory(void **state)
{
    (void)state;
    long ten = run(FILES, 2, 10, false), hundred = run(FILES, 2, 100, true), thousand = run(FILES, 2, MOST, false);
    assert_true(hundred < ten + (512 << 10) && thousand < ten + (1 << 20));
}

static void bad_sectors_are_remapped_at_every_redundancy(void **state)
{
    (void)state;
    for (unsigned r = 1; r <= 10; r += STEP)
        run(FEW, r, 40, r & 1);
}

/* ---- one place ---- */

static void *reader_at_once(void *arg)
{
    struct scene *s = arg;
    pthread_barrier_wait(&s->barrier);
    expect_files(s);
    return NULL;
}

static void many_readers_of_a_bad_place_repair_it_once(void **state)
{
    (void)state;
    struct scene s;
    pthread_t t[MANY];
    scene_start(&s, FEW, 2, true);
    make_bad(&s, &s.c[0], chead_file_block(&s.c[0].h, 3), 0); /* the first file begins there */
    pthread_barrier_init(&s.barrier, NULL, MANY);
    rig_open(&s.r);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&t[i], NULL, reader_at_once, &s), 0);
    for (unsigned i = 0; i < MANY; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(rig_stat(&s.r, "wave_ecc_metrics/total_decode_ops"), 1);
    assert_int_equal(rig_stat(&s.r, "since_mount/repaired_blocks"), 1);
    assert_int_equal(rig_stat(&s.r, "remap/spare_used"), 1);
    rig_close(&s.r);
    pthread_barrier_destroy(&s.barrier);
    scene_stop(&s);
}

/* A reader meets one sector; the parity of the containers beside it has another each, which the check of the neighbourhood finds. */
static void what_lies_near_a_bad_sector_is_checked_at_once(void **state)
{
    (void)state;
    static const unsigned near[] = { 13, 15 }, far[] = { 1, 25 }; /* the last two are 10 MiB away from all of these */
    struct scene s;
    scene_start(&s, 12, 2, false);
    assert_true(s.n > 25 && s.c[14].h.cls == CLASS_DATA);
    make_bad(&s, &s.c[14], chead_file_block(&s.c[14].h, 9), 0);
    for (unsigned i = 0; i < 2; i++) {
        make_bad(&s, &s.c[near[i]], chead_file_block(&s.c[near[i]].h, s.c[near[i]].h.used), 1);
        make_bad(&s, &s.c[far[i]], chead_file_block(&s.c[far[i]].h, s.c[far[i]].h.used), 1);
    }
    rig_open(&s.r);
    expect_files(&s);
    rig_do(&s.r, "scrub start watched"); /* behind what is queued already */
    rig_wait_for_scrub(&s.r);
    assert_int_equal(rig_stat(&s.r, "remap/spare_used"), 3);
    rig_do(&s.r, "scrub start watched"); /* behind what those had queued */
    rig_wait_for_scrub(&s.r);
    assert_int_equal(rig_stat(&s.r, "remap/spare_used"), 3);
    assert_int_equal(rig_stat(&s.r, "scrub/watched"), 3);
    rig_scrub(&s.r);
    assert_int_equal(rig_stat(&s.r, "remap/spare_used"), 5);
    rig_close(&s.r);
    scene_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_hundred_and_thousand_bad_sectors_are_remapped_in_flat_memory),
        cmocka_unit_test(bad_sectors_are_remapped_at_every_redundancy),
        cmocka_unit_test(many_readers_of_a_bad_place_repair_it_once),
        cmocka_unit_test(what_lies_near_a_bad_sector_is_checked_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
