/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_clean.c: the cleaner: what is alive moves and stays as it was, what is dead goes, writers get room, nothing bad is blessed. */
#include "tests/core/rig.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "store/backing.h"
#include "store/chead.h"

#ifdef __SANITIZE_THREAD__
enum { TIMES = 2, STRIDE = 17 }; /* eight times slower */
#else
enum { TIMES = 10, STRIDE = 5 };
#endif
enum { MIB = 1 << 20, BLOCKS_MAX = 65536 };

/* A file of blocks, each of which has a version that names its bytes; 0: a hole. */
struct blocks {
    struct rig r;
    uint64_t ino, seed;
    uint32_t n;
    uint32_t version[BLOCKS_MAX];
};

static void block_bytes(const struct blocks *b, uint32_t i, uint8_t *out)
{
    if (b->version[i])
        rig_fill(((uint64_t)i << 32 | b->version[i]) + b->seed, out, RIG_BLOCK);
    else
        memset(out, 0, RIG_BLOCK);
}

/* Containers of 256 KiB with 40 KiB of parity. */
static struct holofs_geometry small_geometry(uint64_t limit)
{
    return (struct holofs_geometry){ .k = 16, .r = 1, .meta_r = 1, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 65536,
                                     .spare_bytes = 65536, .size_limit_bytes = limit };
}

static void start(struct blocks *b, const struct holofs_geometry *g)
{
    memset(b, 0, sizeof(*b));
    b->seed = 7;
    rig_init(&b->r);
    b->r.opt.compress = HOLOFS_COMPRESS_OFF;
    b->r.opt.clean_rate = 0;
    rig_format(&b->r, g);
    rig_open(&b->r);
    b->ino = rig_create(&b->r, "blocks");
}

static void write_blocks(struct blocks *b, uint32_t first, uint32_t n)
{
    uint8_t *p = malloc((size_t)n * RIG_BLOCK);
    for (uint32_t i = 0; i < n; i++) {
        b->version[first + i]++;
        block_bytes(b, first + i, p + (size_t)i * RIG_BLOCK);
    }
    rig_write(&b->r, b->ino, (uint64_t)first * RIG_BLOCK, p, (size_t)n * RIG_BLOCK);
    b->n = b->n > first + n ? b->n : first + n;
    free(p);
}

static void fill(struct blocks *b, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += 32)
        write_blocks(b, at, n - at < 32 ? n - at : 32);
}

static void expect_blocks(struct blocks *b)
{
    uint8_t want[32 * RIG_BLOCK];
    for (uint32_t at = 0; at < b->n; at += 32) {
        uint32_t n = b->n - at < 32 ? b->n - at : 32;
        for (uint32_t i = 0; i < n; i++)
            block_bytes(b, at + i, want + (size_t)i * RIG_BLOCK);
        rig_expect(&b->r, b->ino, (uint64_t)at * RIG_BLOCK, want, (size_t)n * RIG_BLOCK);
    }
}

static void clean(struct rig *r)
{
    uint64_t runs = rig_stat(r, "cleaner/runs");
    rig_do(r, "clean");
    for (int i = 0; i < 6000 && rig_stat(r, "cleaner/runs") == runs; i++)
        rig_sleep_ms(10);
    assert_true(rig_stat(r, "cleaner/runs") > runs);
}

static void stop(struct blocks *b)
{
    rig_stop(&b->r);
}

static void reopen(struct blocks *b)
{
    rig_reopen(&b->r);
    b->ino = rig_find(&b->r, RIG_ROOT, "blocks");
}

/* Overwrite every other block, so that each container is half dead. */
static void make_holes(struct blocks *b, uint32_t n)
{
    fill(b, n);
    rig_do(&b->r, "seal");
    for (uint32_t i = 0; i < n; i += 2)
        write_blocks(b, i, 1);
    rig_do(&b->r, "seal");
}

static void the_living_half_moves_and_the_rest_goes(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    struct holofs_attr before, after;
    start(&b, &g);
    make_holes(&b, 2048);
    assert_int_equal(holofs_getattr(b.r.fs, b.ino, &before), 0);
    uint64_t files = rig_stat(&b.r, "containers/file_bytes");
    clean(&b.r);
    expect_blocks(&b);
    uint64_t now = rig_stat(&b.r, "containers/file_bytes"), moved = rig_stat(&b.r, "cleaner/moved_bytes");
    print_message("files %llu before, %llu after; moved %llu\n", (unsigned long long)files, (unsigned long long)now, (unsigned long long)moved);
    assert_true(now < files * 3 / 4);
    assert_true(moved >= 1024 * RIG_BLOCK && moved < 1100 * RIG_BLOCK); /* some of a short container besides */
    assert_int_equal(holofs_getattr(b.r.fs, b.ino, &after), 0);
    assert_true(after.size == before.size && after.stored == before.stored);
    assert_true(after.mtime_ns == before.mtime_ns && after.ctime_ns == before.ctime_ns && after.atime_ns == before.atime_ns);
    reopen(&b);
    expect_blocks(&b);
    clean(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/moved_bytes") == 0); /* nothing is left to do */
    stop(&b);
}

/* ---- overwriting ten times over at 70 % ---- */

static uint64_t room(struct rig *r, uint64_t *total)
{
    struct holofs_space s;
    assert_int_equal(holofs_statfs(r->fs, &s), 0);
    *total = s.total_bytes;
    return s.free_bytes;
}

static double overwrite(bool at_random, unsigned mib, unsigned times)
{
    struct blocks b;
    uint64_t total, seed = 11, limit = (uint64_t)mib * MIB;
    struct holofs_geometry g = small_geometry(limit);
    start(&b, &g);
    room(&b.r, &total);
    uint32_t n = (uint32_t)(total / 10 * 7 / RIG_BLOCK);
    assert_true(n < BLOCKS_MAX);
    fill(&b, n);
    uint64_t before = rig_stat(&b.r, "cleaner/moved_bytes");
    for (uint32_t i = 0; i < times * n; i++) {
        write_blocks(&b, at_random ? (uint32_t)(rig_random(&seed) % n) : i % n, 1);
        if (i % 4096 == 4095)
            rig_do(&b.r, "sync");
    }
    rig_do(&b.r, "sync");
    uint64_t moved = rig_stat(&b.r, "cleaner/moved_bytes") - before, written = (uint64_t)times * n * RIG_BLOCK;
    double factor = (double)moved / (double)written;
    print_message("%u MiB, %u blocks, %s: %.3f bytes moved for each written; %llu lost moves, longest stall %llu ms, stalls %llu\n", mib, n,
                  at_random ? "random" : "in order", factor, (unsigned long long)rig_stat(&b.r, "cleaner/lost_moves"),
                  (unsigned long long)rig_stat(&b.r, "cleaner/longest_stall_ms"), (unsigned long long)rig_stat(&b.r, "cleaner/stalls"));
    if (at_random)
        assert_true(rig_stat(&b.r, "cleaner/stalls") > 0 && rig_stat(&b.r, "cleaner/longest_stall_ms") > 0);
    expect_blocks(&b);
    clean(&b.r);
    uint64_t files = rig_stat(&b.r, "containers/file_bytes"), live = rig_stat(&b.r, "containers/live_bytes");
    uint64_t needed = live / 64 * (64 + 8 + 4); /* parity, tables and headers of full containers */
    print_message("cleaned: %llu bytes in files for %llu alive, which need %llu\n", (unsigned long long)files, (unsigned long long)live,
                  (unsigned long long)needed);
    assert_true(files <= needed / 100 * 115);
    expect_blocks(&b);
    reopen(&b);
    expect_blocks(&b);
    stop(&b);
    return factor;
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *s = getenv(name);
    return s ? (unsigned)atoi(s) : otherwise;
}

static void random_overwriting_moves_little(void **state)
{
    (void)state;
    assert_true(overwrite(true, number("CLEAN_MIB", 32), number("CLEAN_TIMES", TIMES)) <= 1.2);
}

static void overwriting_in_order_moves_next_to_nothing(void **state)
{
    (void)state;
    assert_true(overwrite(false, number("CLEAN_MIB", 32), number("CLEAN_TIMES", TIMES)) <= 0.3);
}

/* ---- how fast, and at whose cost ---- */

/* Threads of this process whose I/O is done when nobody else has any. */
static unsigned idle_threads(void)
{
    enum { WHO_PROCESS = 1, CLASS_SHIFT = 13, CLASS_IDLE = 3 };
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) {
        long prio = e->d_name[0] == '.' ? -1 : syscall(SYS_ioprio_get, WHO_PROCESS, atoi(e->d_name));
        n += prio >= 0 && prio >> CLASS_SHIFT == CLASS_IDLE && getpriority(PRIO_PROCESS, (id_t)atoi(e->d_name)) == 19;
    }
    if (d)
        closedir(d);
    return n;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Never more than the rate allows since the run began, and at the lowest priority there is; a new rate counts at once. */
static void a_run_keeps_its_rate_and_is_in_nobodys_way(void **state)
{
    (void)state;
    enum { RATE = 2 << 20 };
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    alarm(300);
    start(&b, &g);
    make_holes(&b, 1024);
    assert_int_equal(idle_threads(), 0);
    rig_do(&b.r, "clean-rate 2097152");
    uint64_t begin = now_ns(), moved = 0, idle = 0;
    rig_do(&b.r, "clean");
    while (moved < RATE / 8) {
        rig_sleep_ms(5);
        moved = rig_stat(&b.r, "cleaner/moved_bytes");
        uint64_t may = (now_ns() - begin) * RATE / 1000000000;
        assert_true(moved <= may + RATE / 25 + 2 * 131072); /* what it may fall behind, and a piece before and after */
        idle += idle_threads();
    }
    assert_true(idle > 0);
    rig_do(&b.r, "clean-rate 1"); /* a year */
    rig_do(&b.r, "clean-rate 0");
    for (int i = 0; i < 6000 && rig_stat(&b.r, "cleaner/runs") == 0; i++)
        rig_sleep_ms(5);
    assert_true(rig_stat(&b.r, "cleaner/runs") == 1);
    assert_int_equal(idle_threads(), 0);
    make_holes(&b, 1024);
    moved = rig_stat(&b.r, "cleaner/moved_bytes");
    rig_do(&b.r, "clean-rate 1");
    rig_do(&b.r, "clean");
    while (rig_stat(&b.r, "cleaner/moved_bytes") == moved)
        rig_sleep_ms(1);
    reopen(&b); /* nor does the end of a mount wait for a run */
    expect_blocks(&b);
    stop(&b);
    alarm(0);
}

/* They do not wait for the end of a run that takes days, and get no error for it. */
static void writers_without_room_come_before_a_run(void **state)
{
    (void)state;
    struct blocks b;
    uint64_t total, seed = 5;
    struct holofs_geometry g = small_geometry(24 * MIB);
    alarm(300);
    start(&b, &g);
    room(&b.r, &total);
    uint32_t n = (uint32_t)(total / 10 * 7 / RIG_BLOCK);
    fill(&b, n);
    for (uint32_t i = 0; i < n; i += 2)
        write_blocks(&b, i, 1);
    rig_do(&b.r, "clean-rate 1");
    rig_do(&b.r, "clean");
    for (uint32_t i = 0; i < n; i++)
        write_blocks(&b, (uint32_t)(rig_random(&seed) % n), 1);
    assert_true(rig_stat(&b.r, "cleaner/stalls") > 0);
    rig_do(&b.r, "clean-rate 0");
    expect_blocks(&b);
    stop(&b);
    alarm(0);
}

/* ---- killed at any point ---- */

struct cut {
    struct backing *posix, *fault;
};

static void start_on(struct blocks *b, const struct holofs_geometry *g, struct cut *c)
{
    start(b, g);
    rig_close(&b->r);
    assert_int_equal(backing_posix_open(b->r.dir, false, &c->posix), 0);
    assert_int_equal(backing_fault_create(c->posix, 1, &c->fault), 0);
    b->r.opt.backing = c->fault;
    rig_open(&b->r);
    b->ino = rig_find(&b->r, RIG_ROOT, "blocks");
}

/* Nothing is written any more from here on; what is there is what a kill would leave. */
static void die(struct blocks *b, struct cut *c)
{
    backing_fault_cut_after(c->fault, backing_fault_writes(c->fault));
    holofs_close(b->r.fs);
    c->fault->ops->close(c->fault);
    c->posix->ops->close(c->posix);
    b->r.opt.backing = NULL;
    rig_open(&b->r);
    b->ino = rig_find(&b->r, RIG_ROOT, "blocks");
}

/* A run that is cut after n calls that change something. Was it? */
static bool cut_after(uint64_t n)
{
    struct blocks b;
    struct cut c;
    struct holofs_geometry g = small_geometry(0);
    start_on(&b, &g, &c);
    make_holes(&b, 384);
    rig_do(&b.r, "sync");
    uint64_t begin = backing_fault_writes(c.fault);
    backing_fault_cut_after(c.fault, begin + n);
    clean(&b.r);
    bool cut = backing_fault_writes(c.fault) >= begin + n; /* calls behind the cut are not counted */
    die(&b, &c);
    expect_blocks(&b);
    clean(&b.r);
    expect_blocks(&b);
    assert_true(rig_stat(&b.r, "lost_blocks") == 0);
    reopen(&b);
    expect_blocks(&b);
    stop(&b);
    return cut;
}

static void killed_at_any_point_it_loses_nothing(void **state)
{
    (void)state;
    uint64_t stride = number("CLEAN_STRIDE", STRIDE), n = 0;
    alarm(300);
    while (cut_after(n))
        n += stride;
    print_message("every %llu. of %llu crash points\n", (unsigned long long)stride, (unsigned long long)n);
    assert_true(n > 10);
    alarm(0);
}

/* Files of containers that are there, and that the store knows. */
static void count_files(struct blocks *b, unsigned *files, uint64_t *known)
{
    char dir[PATH_MAX];
    rig_name(&b->r, "containers/000", dir);
    DIR *d = opendir(dir);
    assert_non_null(d);
    *files = 0;
    for (struct dirent *e; (e = readdir(d));)
        *files += e->d_name[0] != '.';
    closedir(d);
    *known = rig_stat(&b->r, "containers/sealed");
}

/* Not even a crash is needed to leave files behind: a disk that refuses to delete them is enough. */
static void what_cannot_be_deleted_goes_with_the_next_mount(void **state)
{
    (void)state;
    struct blocks b;
    struct cut c;
    unsigned files;
    uint64_t known;
    struct holofs_geometry g = small_geometry(0);
    start_on(&b, &g, &c);
    make_holes(&b, 512);
    backing_fault_add(c.fault, &(struct fault_rule){ .ops = FAULT_UNLINK, .kind = FAULT_ERROR, .err = EIO, .name = "containers/*" });
    clean(&b.r);
    reopen(&b);
    count_files(&b, &files, &known);
    assert_true(files > known + 4);
    backing_fault_clear(c.fault);
    reopen(&b);
    count_files(&b, &files, &known);
    assert_int_equal(files, known);
    expect_blocks(&b);
    stop(&b);
    c.fault->ops->close(c.fault);
    c.posix->ops->close(c.posix);
}

/* An older program must not open a store with moves: the superblocks say so before there are any, however often that takes. */
static void nothing_is_moved_before_the_superblocks_tell_of_moves(void **state)
{
    (void)state;
    struct blocks b;
    struct cut c;
    struct holofs_geometry g = small_geometry(0);
    start_on(&b, &g, &c);
    make_holes(&b, 384);
    backing_fault_add(c.fault, &(struct fault_rule){ .ops = FAULT_WRITE, .kind = FAULT_ERROR, .err = EIO, .name = "superblock.*" });
    clean(&b.r);
    clean(&b.r);
    assert_int_equal(rig_stat(&b.r, "containers/deleted_since_mount"), 0);
    backing_fault_clear(c.fault);
    clean(&b.r);
    assert_true(rig_stat(&b.r, "containers/deleted_since_mount") > 0);
    expect_blocks(&b);
    die(&b, &c);
    expect_blocks(&b);
    stop(&b);
}

static void drop_index(struct blocks *b)
{
    static const char *const names[] = { "index.db", "index.db-wal", "index.db-shm" };
    char path[PATH_MAX];
    for (int i = 0; i < 3; i++) {
        rig_name(&b->r, names[i], path);
        unlink(path);
    }
}

/* Writes behind the moves count in replay, and when everything is rebuilt from containers. */
static void moves_lose_against_later_writes_in_replay_and_rebuild(void **state)
{
    (void)state;
    struct blocks b;
    struct cut c;
    struct holofs_geometry g = small_geometry(0);
    start_on(&b, &g, &c);
    make_holes(&b, 1024);
    clean(&b.r);
    for (uint32_t i = 1; i < 1024; i += 4)
        write_blocks(&b, i, 1);
    rig_do(&b.r, "sync");
    die(&b, &c);
    expect_blocks(&b);
    rig_do(&b.r, "seal");
    rig_close(&b.r);
    drop_index(&b);
    rig_open(&b.r);
    b.ino = rig_find(&b.r, RIG_ROOT, "blocks");
    expect_blocks(&b);
    stop(&b);
}

/* ---- at the same time ---- */

struct racer {
    struct blocks *b;
    uint64_t ino, seed;
    uint32_t version[256];
    _Atomic bool *stop;
    int error;
};

/* Overwrite, read back, truncate: this thread alone knows what must be there. */
static void *race(void *arg)
{
    struct racer *r = arg;
    uint8_t want[RIG_BLOCK], *got = rig_buffer(RIG_BLOCK);
    struct blocks mine = { .seed = r->seed };
    while (!*r->stop && !r->error) {
        uint32_t i = (uint32_t)(rig_random(&r->seed) % 256);
        mine.version[i]++;
        block_bytes(&mine, i, want);
        ssize_t n = holofs_write(r->b->r.fs, r->ino, (uint64_t)i * RIG_BLOCK, want, RIG_BLOCK, false);
        r->error = n == RIG_BLOCK ? 0 : 1;
        i = (uint32_t)(rig_random(&r->seed) % 256);
        block_bytes(&mine, i, want);
        n = mine.version[i] ? holofs_read(r->b->r.fs, r->ino, (uint64_t)i * RIG_BLOCK, got, RIG_BLOCK) : 0;
        if (mine.version[i] && (n != RIG_BLOCK || memcmp(got, want, RIG_BLOCK) != 0))
            r->error = 2;
        if (rig_random(&r->seed) % 512 == 0) {
            struct holofs_attr a;
            struct holofs_setattr s = { .set = HOLOFS_SET_SIZE };
            r->error = r->error ? r->error : holofs_setattr(r->b->r.fs, r->ino, &s, &a) ? 3 : 0;
            memset(mine.version, 0, sizeof(mine.version));
        }
    }
    memcpy(r->version, mine.version, sizeof(r->version));
    free(got);
    return NULL;
}

static void races_with_writers_and_truncations_are_lost(void **state)
{
    (void)state;
    enum { RACERS = 3 };
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    struct racer r[RACERS];
    pthread_t t[RACERS];
    _Atomic bool stop_it = false;
    alarm(300);
    start(&b, &g);
    make_holes(&b, 768);
    for (int i = 0; i < RACERS; i++) {
        char name[] = { 'r', (char)('0' + i), 0 };
        r[i] = (struct racer){ .b = &b, .ino = rig_create(&b.r, name), .seed = 100 + (uint64_t)i, .stop = &stop_it };
        assert_int_equal(pthread_create(&t[i], NULL, race, &r[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        rig_do(&b.r, "seal");
        clean(&b.r);
    }
    stop_it = true;
    for (int i = 0; i < RACERS; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(r[i].error, 0);
    }
    print_message("%llu bytes moved, %llu moves lost\n", (unsigned long long)rig_stat(&b.r, "cleaner/moved_bytes"),
                  (unsigned long long)rig_stat(&b.r, "cleaner/lost_moves"));
    expect_blocks(&b);
    reopen(&b);
    expect_blocks(&b);
    assert_true(rig_stat(&b.r, "damage/eio_reads") == 0);
    stop(&b);
    alarm(0);
}

/* ---- damage ---- */

static int open_container(struct blocks *b, uint32_t id)
{
    char name[CONTAINER_NAME_MAX], path[PATH_MAX];
    container_name(id, name);
    rig_name(&b->r, name, path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static void ruin_container(struct blocks *b, uint32_t id, uint32_t first, uint32_t n)
{
    uint8_t junk[RIG_BLOCK];
    int fd = open_container(b, id);
    for (uint32_t i = 0; i < n; i++) {
        rig_fill(i + 3, junk, sizeof(junk));
        assert_true(pwrite(fd, junk, sizeof(junk), (off_t)(first + i) * RIG_BLOCK) == (ssize_t)sizeof(junk));
    }
    close(fd);
}

static void a_bad_block_is_repaired_on_the_way(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    start(&b, &g);
    make_holes(&b, 512);
    ruin_container(&b, 1, 4, 3);
    clean(&b.r);
    expect_blocks(&b);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 0 && rig_stat(&b.r, "lost_blocks") == 0);
    assert_true(rig_stat(&b.r, "repaired_blocks") > 0);
    stop(&b);
}

/* Over mounts, without the index, and when the record is in no log any more but in a dump. */
static void stays_in_quarantine(struct blocks *b)
{
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3 && i == 2; k++)
            rig_do(&b->r, "dump");
        rig_close(&b->r);
        if (i > 0)
            drop_index(b);
        rig_open(&b->r);
        b->ino = rig_find(&b->r, RIG_ROOT, "blocks");
        assert_true(rig_stat(&b->r, "cleaner/quarantined") == 1);
        clean(&b->r);
        assert_true(rig_stat(&b->r, "cleaner/quarantined") == 1);
        assert_false(rig_event(&b->r, "container_quarantined", "container")); /* nobody tried */
    }
}

/* The living bytes of that container stay where they are, lost as they are; none of them gets a new checksum. */
static void what_cannot_be_read_is_quarantined_and_never_blessed(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    uint8_t want[RIG_BLOCK], *got = rig_buffer(RIG_BLOCK);
    unsigned lost = 0;
    start(&b, &g);
    make_holes(&b, 512);
    ruin_container(&b, 1, 2, 60);
    clean(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 1);
    assert_true(rig_event(&b.r, "container_quarantined", "blocks"));
    clean(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 1); /* not chosen again */
    for (uint32_t i = 0; i < 512; i++) {
        ssize_t n = holofs_read(b.r.fs, b.ino, (uint64_t)i * RIG_BLOCK, got, RIG_BLOCK);
        block_bytes(&b, i, want);
        if (n < 0)
            lost++;
        else
            assert_memory_equal(got, want, RIG_BLOCK);
    }
    assert_true(lost > 0 && lost <= 32);
    free(got);
    stays_in_quarantine(&b);
    for (uint32_t i = 0; i < 512; i += 32)
        write_blocks(&b, i, 32);
    rig_do(&b.r, "sync");
    for (int i = 0; i < 1000 && rig_stat(&b.r, "cleaner/quarantined"); i++)
        rig_sleep_ms(10);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 0); /* nothing of it is alive: it is gone */
    expect_blocks(&b);
    stop(&b);
}

static void what_a_scrub_finds_right_again_leaves_quarantine(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    static uint8_t kept[40 * RIG_BLOCK];
    start(&b, &g);
    make_holes(&b, 512);
    int fd = open_container(&b, 1);
    assert_true(pread(fd, kept, sizeof(kept), 2 * RIG_BLOCK) == (ssize_t)sizeof(kept));
    ruin_container(&b, 1, 2, 40);
    clean(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 1);
    rig_scrub(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 1);
    assert_true(pwrite(fd, kept, sizeof(kept), 2 * RIG_BLOCK) == (ssize_t)sizeof(kept));
    close(fd);
    rig_scrub(&b.r);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 0);
    reopen(&b);
    assert_true(rig_stat(&b.r, "cleaner/quarantined") == 0);
    clean(&b.r);
    expect_blocks(&b);
    assert_true(rig_stat(&b.r, "cleaner/cleaned_containers") > 0);
    stop(&b);
}

/* Without its directory a container is searched for in the index. */
static void a_container_without_directory_is_cleaned_all_the_same(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    struct container_header h;
    uint8_t block[RIG_BLOCK];
    char name[CONTAINER_NAME_MAX], path[PATH_MAX];
    start(&b, &g);
    make_holes(&b, 512);
    container_name(1, name);
    rig_name(&b.r, name, path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block));
    close(fd);
    assert_int_equal(chead_decode_any(block, &h), 0);
    /* Wipe the directory's block and all members of its stripe but one: it is lost. */
    uint32_t x = (uint32_t)(h.dir_off / RIG_BLOCK), D = h.D;
    ruin_container(&b, 1, chead_file_block(&h, x), 1);
    for (uint32_t q = h.used; q < chead_positions(&h); q++) {
        if (q % D == x % D)
            ruin_container(&b, 1, chead_file_block(&h, q), 1);
    }
    clean(&b.r);
    expect_blocks(&b);
    assert_true(rig_event(&b.r, "container_searched", "bytes"));
    assert_true(access(path, F_OK) != 0);
    stop(&b);
}

/* ---- compressed pieces, small files ---- */

static void a_sliver_of_a_compressed_piece_keeps_its_bytes(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    uint8_t *p = malloc(131072), *junk = malloc(131072);
    start(&b, &g);
    rig_close(&b.r);
    b.r.opt.compress = HOLOFS_COMPRESS_AUTO;
    rig_open(&b.r);
    uint64_t ino = rig_create(&b.r, "text");
    for (uint32_t chunk = 0; chunk < 8; chunk++) {
        memset(p, 'a' + (int)chunk, 131072);
        rig_write(&b.r, ino, chunk * 131072u, p, 131072);
    }
    rig_do(&b.r, "seal");
    rig_fill(5, junk, 131072);
    for (uint32_t chunk = 0; chunk < 8; chunk++)
        rig_write(&b.r, ino, chunk * 131072u + 1000, junk, 131072 - 1010);
    rig_do(&b.r, "seal");
    for (int round = 0; round < 2; round++) {
        clean(&b.r);
        for (uint32_t chunk = 0; chunk < 8; chunk++) {
            memset(p, 'a' + (int)chunk, 131072);
            memcpy(p + 1000, junk, 131072 - 1010);
            rig_expect(&b.r, ino, chunk * 131072u, p, 131072);
        }
        rig_reopen(&b.r);
        ino = rig_find(&b.r, RIG_ROOT, "text");
    }
    free(p);
    free(junk);
    stop(&b);
}

static void short_containers_are_merged(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(0);
    start(&b, &g);
    for (uint32_t i = 0; i < 40; i++) {
        write_blocks(&b, i * 4, 4);
        rig_do(&b.r, "seal");
    }
    uint64_t before = rig_stat(&b.r, "containers/data");
    clean(&b.r);
    print_message("%llu containers before, %llu after\n", (unsigned long long)before, (unsigned long long)rig_stat(&b.r, "containers/data"));
    assert_true(before >= 40 && rig_stat(&b.r, "containers/data") <= 4);
    expect_blocks(&b);
    reopen(&b);
    expect_blocks(&b);
    stop(&b);
}

/* ---- a full store ---- */

enum { FILE_BYTES = 100000, FILES_MAX = 400 };

static int write_files(struct rig *r, int first, int n)
{
    uint8_t *p = malloc(FILE_BYTES);
    int i = first;
    for (; i < first + n; i++) {
        struct holofs_cred cred = { .umask = 0 };
        struct holofs_attr a;
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_fill((uint64_t)i, p, FILE_BYTES);
        if (holofs_create(r->fs, &cred, RIG_ROOT, name, S_IFREG | 0644, 0, NULL, &a))
            break;
        holofs_forget(r->fs, a.ino, 1);
        if (holofs_write(r->fs, a.ino, 0, p, FILE_BYTES, false) != FILE_BYTES)
            break;
    }
    free(p);
    return i - first;
}

static void expect_every_other(struct rig *r, int n)
{
    for (int i = 1; i < n; i += 2) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_expect_file(r, name, (uint64_t)i, FILE_BYTES);
    }
}

static void who_deletes_half_of_a_full_store_can_use_the_space(void **state)
{
    (void)state;
    struct blocks b;
    struct holofs_geometry g = small_geometry(24 * MIB);
    uint64_t total;
    alarm(300);
    start(&b, &g);
    int n = write_files(&b.r, 0, FILES_MAX);
    assert_true(n > 100 && n < FILES_MAX);
    for (int i = 0; i < n; i += 2) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(holofs_unlink(b.r.fs, RIG_ROOT, name), 0);
    }
    rig_do(&b.r, "seal");
    uint64_t free_now = room(&b.r, &total);
    for (int i = 0; i < 100 && free_now < total * 2 / 5; i++) {
        rig_sleep_ms(50);
        free_now = room(&b.r, &total);
    }
    print_message("%d files, half deleted: %llu of %llu bytes free\n", n, (unsigned long long)free_now, (unsigned long long)total);
    assert_true(free_now >= total * 2 / 5);
    int more = (int)(free_now / FILE_BYTES) * 9 / 10;
    assert_int_equal(write_files(&b.r, 1000, more), more);
    expect_every_other(&b.r, n);
    rig_reopen(&b.r);
    expect_every_other(&b.r, n);
    for (int i = 1000; i < 1000 + more; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        rig_expect_file(&b.r, name, (uint64_t)i, FILE_BYTES);
    }
    stop(&b);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_living_half_moves_and_the_rest_goes),
        cmocka_unit_test(random_overwriting_moves_little),
        cmocka_unit_test(overwriting_in_order_moves_next_to_nothing),
        cmocka_unit_test(a_run_keeps_its_rate_and_is_in_nobodys_way),
        cmocka_unit_test(writers_without_room_come_before_a_run),
        cmocka_unit_test(killed_at_any_point_it_loses_nothing),
        cmocka_unit_test(what_cannot_be_deleted_goes_with_the_next_mount),
        cmocka_unit_test(nothing_is_moved_before_the_superblocks_tell_of_moves),
        cmocka_unit_test(moves_lose_against_later_writes_in_replay_and_rebuild),
        cmocka_unit_test(races_with_writers_and_truncations_are_lost),
        cmocka_unit_test(a_bad_block_is_repaired_on_the_way),
        cmocka_unit_test(what_cannot_be_read_is_quarantined_and_never_blessed),
        cmocka_unit_test(what_a_scrub_finds_right_again_leaves_quarantine),
        cmocka_unit_test(a_container_without_directory_is_cleaned_all_the_same),
        cmocka_unit_test(a_sliver_of_a_compressed_piece_keeps_its_bytes),
        cmocka_unit_test(short_containers_are_merged),
        cmocka_unit_test(who_deletes_half_of_a_full_store_can_use_the_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
