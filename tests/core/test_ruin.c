/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ruin.c: damage all over a store at once. Whatever is damaged, each block of each file is the one that was written or EIO, a name
 * is there or the loss of records is told, and the store goes on. Only what journal.0 had alone when a process was killed may be gone unseen,
 * if nothing that a crash would not leave is left of it. Damage that copies and parity carry costs nothing at all.
 *
 * RUIN_ROUNDS rounds of each kind (4), from SEED on.
 */
#include "tests/core/victim.h"

#include "base/bytes.h"

#include <signal.h>
#include <sys/wait.h>

enum { FILES = 14, BURST_MAX = 2 * 2 * 17 }; /* m · D blocks of the rig's containers: k = 16, R = 2, 256 data blocks */

/* ---- the store ---- */

struct ruin {
    struct rig r;
    uint64_t base, seed; /* what the store is made from; what comes next */
    size_t len[FILES];
    bool superblocks, told; /* all superblocks were hit; a loss of records was told */
    bool killed;            /* before the mirror has followed */
    uint8_t *ring, *ruin;   /* journal.0 before and after the damage; NULL: not there */
    size_t ring_len, ruin_len;
    unsigned lost_blocks, lost_names;
};

static void file_name(unsigned i, char out[16])
{
    snprintf(out, 16, "file%u", i);
}

static uint64_t content_seed(const struct ruin *u, unsigned i)
{
    return u->base * 1000 + i;
}

static void write_files(struct ruin *u)
{
    char name[16];
    for (unsigned i = 0; i < FILES; i++) {
        file_name(i, name);
        rig_file(&u->r, name, content_seed(u, i), u->len[i]);
        unsigned then = (unsigned)(rig_random(&u->seed) % 8);
        rig_do(&u->r, then == 0 ? "seal" : "sync");
        if (then == 1)
            rig_do(&u->r, "dump");
    }
    rig_do(&u->r, "sync");
}

/* Closed cleanly, or killed after a sync, with or without the time for the mirror to follow. */
static void make_store(struct ruin *u)
{
    struct holofs_geometry g = rig_geometry();
    uint64_t seed = u->base;
    for (unsigned i = 0; i < FILES; i++)
        u->len[i] = 1 + rig_random(&seed) % (i % 3 ? 20000 : 300000);
    bool dies = u->killed = rig_random(&seed) % 2;
    rig_init(&u->r);
    u->r.opt.compress = rig_random(&seed) % 2 ? HOLOFS_COMPRESS_OFF : HOLOFS_COMPRESS_AUTO;
    rig_format(&u->r, &g);
    pid_t child = dies ? fork() : 0;
    if (child == 0) {
        rig_open(&u->r);
        write_files(u);
        if (dies)
            kill(getpid(), SIGKILL);
        rig_close(&u->r);
        return;
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- damage ---- */

static void damage(struct ruin *u, const char *file, unsigned kind)
{
    char name[PATH_MAX];
    struct stat st;
    uint8_t junk[64 * RIG_BLOCK];
    rig_name(&u->r, file, name);
    int fd = open(name, O_RDWR);
    if (fd < 0)
        return;
    assert_int_equal(fstat(fd, &st), 0);
    uint64_t blocks = (uint64_t)st.st_size / RIG_BLOCK;
    if (kind == 0 && unlink(name))
        fail();
    if (kind == 1 && ftruncate(fd, (off_t)(rig_random(&u->seed) % ((uint64_t)st.st_size + 1))))
        fail();
    if (kind == 2 && st.st_size)
        rig_flip_file(&u->r, file, rig_random(&u->seed));
    if (kind >= 3 && blocks) { /* runs: zeros or junk */
        uint64_t n = 1 + rig_random(&u->seed) % (kind == 3 ? 4 : 64), at = rig_random(&u->seed) % blocks;
        n = n < blocks - at ? n : blocks - at;
        if (kind % 2)
            memset(junk, 0, sizeof(junk));
        else
            rig_fill(u->seed, junk, sizeof(junk));
        assert_true(pwrite(fd, junk, (size_t)n * RIG_BLOCK, (off_t)(at * RIG_BLOCK)) == (ssize_t)n * RIG_BLOCK);
    }
    close(fd);
}

static const char *const parts[] = { "superblock.0", "superblock.1", "superblock.2", "superblock.3", "superblock.4", "journal.0", "journal.1",
                                     "index.db", "index.db-wal", "remap.0", "remap.1", "remap.2", "remap.3", "remap.4", "reserve", "lock",
                                     "spare/0000.spare" };
enum { PARTS = sizeof(parts) / sizeof(*parts) };

/* What one copy of everything, and m blocks of each stripe, may lose. */
static void damage_within(struct ruin *u)
{
    char name[CONTAINER_NAME_MAX];
    unsigned keep_super = (unsigned)(rig_random(&u->seed) % 5), keep_remap = (unsigned)(rig_random(&u->seed) % 5);
    for (unsigned i = 0; i < 5; i++) {
        if (i != keep_super && i != (keep_super + 1) % 5 && i != (keep_super + 2) % 5)
            damage(u, parts[i], (unsigned)(rig_random(&u->seed) % 5));
        if (i != keep_remap)
            damage(u, parts[9 + i], (unsigned)(rig_random(&u->seed) % 5));
    }
    damage(u, "index.db", (unsigned)(rig_random(&u->seed) % 5));
    damage(u, "lock", 0);
    damage(u, "reserve", 0);
    for (uint32_t id = 1; id < 60; id++) {
        container_name(id, name);
        if (rig_random(&u->seed) % 2)
            damage(u, name, rig_random(&u->seed) % 3 ? 4 : 3);
    }
}

static void damage_anything(struct ruin *u)
{
    char name[CONTAINER_NAME_MAX];
    unsigned density = 2 + (unsigned)(rig_random(&u->seed) % 6), supers = 0;
    for (unsigned i = 0; i < PARTS; i++) {
        if (rig_random(&u->seed) % density)
            continue;
        supers += i < 5;
        damage(u, parts[i], (unsigned)(rig_random(&u->seed) % 5));
    }
    u->superblocks = supers == 5;
    for (uint32_t id = 1; id < 60; id++) {
        container_name(id, name);
        for (int times = 0; times < 3; times++) {
            if (rig_random(&u->seed) % density == 0)
                damage(u, name, (unsigned)(rig_random(&u->seed) % 5));
        }
    }
}

/* ---- what must hold ---- */

/* The newest txg that the mount has found. */
static uint64_t newest_found(struct ruin *u)
{
    struct buf b = { 0 };
    uint64_t txg = 0;
    assert_int_equal(holofs_events_text(u->r.fs, &b), 0);
    assert_int_equal(buf_add(&b, "", 1), 0);
    const char *line = strstr((char *)b.p, "unclean_stop"), *at = line ? strstr(line, "\"txg\":") : NULL;
    if (at)
        txg = strtoull(at + 6, NULL, 10);
    buf_fini(&b);
    return txg;
}

/* Is something of what was committed behind `newest` left in journal.0 that a crash would not leave? */
static bool has_trace(const struct ruin *u, uint64_t newest)
{
    for (size_t at = 0; at < u->ruin_len; at += RIG_BLOCK) {
        const uint8_t *b = u->ring + at;
        if (memcmp(b, "holoRING", 8) == 0 && le64_get(b + 16) > newest + 1 && memcmp(b, u->ruin + at, 80) == 0)
            return true;
    }
    return u->ruin_len < u->ring_len;
}

/* A loss that was told, or one that nobody can tell from a crash: DESIGN.md, Limits. */
static bool may_lack(struct ruin *u)
{
    uint64_t newest = u->told || !u->killed ? 0 : newest_found(u);
    return u->told || (newest && !has_trace(u, newest) && memcmp(u->ring, u->ruin, u->ring_len) != 0);
}

static void expect_file(struct ruin *u, unsigned i)
{
    char name[16];
    struct holofs_attr a;
    file_name(i, name);
    uint64_t ino = rig_find(&u->r, RIG_ROOT, name);
    if (!ino) {
        u->lost_names++;
        return;
    }
    uint8_t *want = malloc(u->len[i] + 8), *got = rig_buffer(RIG_BLOCK);
    rig_fill(content_seed(u, i), want, u->len[i]);
    assert_int_equal(holofs_getattr(u->r.fs, ino, &a), 0);
    if (a.size != u->len[i] && !may_lack(u))
        fail_msg("%s has %llu bytes of %zu", name, (unsigned long long)a.size, u->len[i]);
    for (size_t off = 0; off < a.size; off += RIG_BLOCK) {
        size_t len = u->len[i] - off < RIG_BLOCK ? u->len[i] - off : RIG_BLOCK;
        ssize_t n = holofs_read(u->r.fs, ino, off, got, RIG_BLOCK);
        if (n < 0)
            assert_int_equal(holo_errno((int)n), EIO);
        u->lost_blocks += n < 0;
        if (n >= 0 && ((size_t)n > len || memcmp(got, want + off, (size_t)n) != 0))
            fail_msg("seed %llu: wrong bytes: %s at %zu", (unsigned long long)u->base, name, off);
    }
    free(want);
    free(got);
}

static void expect_files(struct ruin *u)
{
    u->lost_blocks = u->lost_names = 0;
    u->told |= rig_event(&u->r, "metadata_lost", "txg");
    for (unsigned i = 0; i < FILES; i++)
        expect_file(u, i);
    if (u->lost_names && !may_lack(u))
        fail_msg("seed %llu: %u names are gone, and nothing was told", (unsigned long long)u->base, u->lost_names);
}

/* As a person would: mount, and if that says so, holofsck -y. false: too little is left. */
static bool open_ruin(struct ruin *u)
{
    u->r.opt.accept_loss = false;
    int e = rig_try_open(&u->r);
    if (e == 0 && !rig_event(&u->r, "read_only", "holofsck -y"))
        return true;
    if (e == 0) {
        expect_files(u);
        rig_close(&u->r);
    } else if (!strstr(u->r.why, "holofsck -y")) {
        fail_msg("%s", u->r.why);
    }
    u->r.opt.accept_loss = true;
    e = rig_try_open(&u->r);
    if (e && !u->superblocks)
        fail_msg("even when the loss is accepted: %s", u->r.why);
    return e == 0;
}

static void goes_on(struct ruin *u)
{
    rig_file(&u->r, "new", u->seed, 50000);
    rig_do(&u->r, "seal");
    int e = holofs_close(u->r.fs); /* a bad page of the index, met now, ends the mount unclean: the next one makes the index anew */
    assert_true(e == 0 || e == -HOLO_ESUM);
    u->r.opt.accept_loss = false;
    unsigned lost = u->lost_blocks, names = u->lost_names;
    rig_open(&u->r);
    assert_false(rig_event(&u->r, "read_only", "why"));
    expect_files(u);
    assert_true(u->lost_blocks <= lost && u->lost_names == names);
    rig_expect_file(&u->r, "new", u->seed, 50000);
}

static uint8_t *slurp_if_there(struct ruin *u, size_t *len)
{
    char name[PATH_MAX];
    *len = 0;
    rig_name(&u->r, "journal.0", name);
    return access(name, R_OK) == 0 ? slurp(name, len) : NULL;
}

static void rounds(uint64_t salt, void (*hit)(struct ruin *u), bool all_comes_back)
{
    uint64_t seed = rig_number("SEED", 31) + salt, n = rig_number("RUIN_ROUNDS", 4);
    unsigned lost = 0, names = 0, beyond = 0;
    print_message("seeds %llu … %llu\n", (unsigned long long)seed, (unsigned long long)(seed + n - 1));
    for (uint64_t i = 0; i < n; i++, seed++) {
        struct ruin u = { .base = seed, .seed = seed };
        make_store(&u);
        u.ring = slurp_if_there(&u, &u.ring_len);
        hit(&u);
        u.ruin = slurp_if_there(&u, &u.ruin_len);
        if (open_ruin(&u)) {
            expect_files(&u);
            if (all_comes_back && (u.lost_blocks || u.lost_names || u.told))
                fail_msg("seed %llu: %u blocks and %u names lost", (unsigned long long)seed, u.lost_blocks, u.lost_names);
            goes_on(&u);
            lost += u.lost_blocks;
            names += u.lost_names;
        } else {
            beyond++;
        }
        rig_stop(&u.r);
        free(u.ring);
        free(u.ruin);
    }
    print_message("%u blocks and %u names lost, %u stores beyond recovery\n", lost, names, beyond);
}

static void damage_that_copies_and_parity_carry_costs_nothing(void **state)
{
    (void)state;
    rounds(0, damage_within, true);
}

static void whatever_is_damaged_nothing_wrong_is_read_and_the_store_goes_on(void **state)
{
    (void)state;
    rounds(1000, damage_anything, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_that_copies_and_parity_carry_costs_nothing),
        cmocka_unit_test(whatever_is_damaged_nothing_wrong_is_read_and_the_store_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
