/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_damage.c: what a burst, a stripe, tables, headers, the ring or superblocks lose comes back, or is told exactly. */
#include "tests/core/victim.h"

#include <signal.h>
#include <sys/wait.h>

static void any_m_blocks_of_a_stripe_come_back(void **state)
{
    (void)state;
    struct victim v;
    uint64_t seed = 0x51;
    print_message("seed %llx\n", (unsigned long long)seed);
    victim_start(&v);
    for (int round = 0; round < 6; round++) {
        for (uint32_t s = 0; s < v.h.D; s++) {
            unsigned hit = 0, n = v.h.k + v.h.m;
            for (unsigned i = (unsigned)(rig_random(&seed) % n); hit < v.h.m; i = (i + 1 + (unsigned)(rig_random(&seed) % 3)) % n) {
                uint32_t b = member_block(&v, s, i);
                hit++;
                if (b)
                    ruin(&v, b, 1, rig_random(&seed));
            }
        }
        expect_healed(&v, FILE_BYTES);
    }
    rig_open(&v.r);
    assert_true(rig_stat(&v.r, "repaired_blocks") >= 100);
    victim_stop(&v);
}

static void a_burst_of_m_times_d_blocks_comes_back(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    uint32_t burst = v.h.m * v.h.D, all = chead_positions(&v.h);
    for (uint32_t at = 0; at + burst <= all; at += 41) {
        ruin(&v, chead_file_block(&v.h, at), burst, at);
        expect_healed(&v, FILE_BYTES);
    }
    victim_stop(&v);
}

static void one_copy_of_headers_and_tables_is_enough(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    uint32_t t = v.h.table_blocks, last = chead_file_blocks(&v.h) - 1;
    const struct {
        uint32_t block, n;
    } harm[] = { { 0, 1 }, { 1, t }, { 0, 1 + t }, { last, 1 }, { last - t, t }, { last - t, t + 1 } };
    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        ruin(&v, harm[i].block, harm[i].n, i);
        expect_healed(&v, FILE_BYTES);
    }
    ruin(&v, 0, 1, 70); /* header A, table B, m blocks of a stripe */
    ruin(&v, last - t, t, 71);
    for (unsigned i = 0; i < v.h.m; i++)
        ruin(&v, member_block(&v, 3, i), 1, 72 + i);
    expect_healed(&v, FILE_BYTES);
    victim_stop(&v);
}

/* It is made again from the log's record: read, healed, the same but for times, also where a table and a stripe are hit as well. */
static void a_container_without_headers_comes_back(void **state)
{
    (void)state;
    struct victim v;
    for (int more = 0; more < 3; more++) {
        struct container_header h;
        size_t len;
        victim_start(&v);
        uint32_t last = chead_file_blocks(&v.h) - 1;
        ruin(&v, 0, more ? 1 + v.h.table_blocks : 1, 1); /* with table A */
        ruin(&v, last, 1, 2);
        for (unsigned i = 0; more == 2 && i < v.h.m; i++)
            ruin(&v, member_block(&v, 1, i), 1, 3 + i);
        rig_open(&v.r);
        rig_expect_file(&v.r, "large", 1, FILE_BYTES);
        rig_expect_file(&v.r, "other", 2, OTHER_BYTES);
        rig_scrub(&v.r);
        assert_true(rig_stat(&v.r, "lost_blocks") == 0);
        rig_close(&v.r);
        uint8_t *now = slurp(v.path, &len);
        assert_true(len == v.len);
        assert_memory_equal(now + RIG_BLOCK, v.good + RIG_BLOCK, len - 2 * RIG_BLOCK);
        assert_memory_equal(now, now + len - RIG_BLOCK, RIG_BLOCK);
        assert_int_equal(chead_decode_any(now, &h), 0);
        assert_true(h.used == v.h.used && h.D == v.h.D && h.pieces == v.h.pieces && h.dir_off == v.h.dir_off);
        free(now);
        victim_stop(&v);
    }
}

/* Of a file of runs, exactly the blocks named fail. */
static void expect_lost(struct victim *v, const bool *lost)
{
    uint8_t *want = malloc(FILE_BYTES), *got = rig_buffer(RIG_BLOCK);
    uint64_t ino = rig_find(&v->r, RIG_ROOT, "large");
    rig_fill(1, want, FILE_BYTES);
    for (uint32_t b = 0; b < FILE_BYTES / RIG_BLOCK; b++) {
        ssize_t n = holofs_read(v->r.fs, ino, (uint64_t)b * RIG_BLOCK, got, RIG_BLOCK);
        if (lost[b]) {
            assert_true(n < 0);
            assert_int_equal(holo_errno((int)n), EIO);
        } else {
            assert_int_equal(n, RIG_BLOCK);
            assert_memory_equal(got, want + (size_t)b * RIG_BLOCK, RIG_BLOCK);
        }
    }
    free(want);
    free(got);
}

static void more_than_m_blocks_are_lost_exactly_and_told(void **state)
{
    (void)state;
    struct victim v;
    bool lost[FILE_BYTES / RIG_BLOCK] = { false };
    victim_start(&v);
    for (unsigned i = 0; i < v.h.m + 1; i++) {
        uint32_t b = member_block(&v, 5, i);
        assert_true(b > 0);
        ruin(&v, b, 1, i);
        lost[b - chead_file_block(&v.h, 0)] = true; /* the file is the first in its container */
    }
    rig_open(&v.r);
    expect_lost(&v, lost);
    rig_expect_file(&v.r, "other", 2, OTHER_BYTES);
    assert_true(rig_stat(&v.r, "lost_blocks") == v.h.m + 1); /* each once, however often it is read */
    expect_lost(&v, lost);
    assert_true(rig_stat(&v.r, "lost_blocks") == v.h.m + 1);
    assert_true(rig_event(&v.r, "\"lost\"", "/large"));
    assert_true(rig_stat(&v.r, "damage/eio_reads") == 2 * (v.h.m + 1));
    rig_scrub(&v.r);
    expect_lost(&v, lost);
    assert_true(rig_stat(&v.r, "lost_blocks") == v.h.m + 1);
    rig_reopen(&v.r);
    expect_lost(&v, lost);
    assert_true(rig_stat(&v.r, "lost_blocks") >= v.h.m + 1);
    victim_stop(&v);
}

/* To the reader it is EIO, as whatever cannot be read, and the store does not call itself healthy. */
static void a_container_that_is_gone_or_empty_is_an_io_error_and_told(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct victim v;
        struct buf health = { 0 };
        bool lost[FILE_BYTES / RIG_BLOCK];
        memset(lost, true, sizeof(lost));
        victim_start(&v);
        assert_int_equal(gone ? unlink(v.path) : truncate(v.path, 0), 0);
        rig_open(&v.r);
        expect_lost(&v, lost);
        assert_int_equal(holofs_health_text(v.r.fs, &health), 0);
        assert_memory_not_equal(health.p, "healthy\n", 8);
        rig_scrub(&v.r);
        health.len = 0;
        assert_int_equal(holofs_health_text(v.r.fs, &health), 0);
        assert_memory_equal(health.p, "data lost\n", 10);
        assert_true(rig_event(&v.r, "container_unreadable", "error"));
        buf_fini(&health);
        victim_stop(&v);
    }
}

/* Flips here and there in both copies: each entry is right in one of them. */
static void tables_with_flips_in_both_copies_still_verify(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    int fd = open(v.path, O_RDWR);
    for (unsigned copy = 0; copy < 2; copy++) {
        for (uint32_t at = copy * 40; at < 2600; at += 80) {
            uint8_t b;
            off_t where = (off_t)chead_table_block(&v.h, copy, 0) * RIG_BLOCK + at;
            assert_int_equal(pread(fd, &b, 1, where), 1);
            b ^= 0x81;
            assert_int_equal(pwrite(fd, &b, 1, where), 1);
        }
    }
    close(fd);
    expect_healed(&v, FILE_BYTES);
    victim_stop(&v);
}

/* 511 checksums are gone; of each stripe that concerns two blocks, which the rest of the stripe confirms. */
static void a_table_block_lost_in_both_copies_is_made_again(void **state)
{
    (void)state;
    struct victim v;
    struct holofs_geometry g = rig_geometry();
    const size_t bytes = 3000 * RIG_BLOCK;
    g.nmax = 4096;
    g.ring_blocks = 8192;
    victim_start_with(&v, &g, bytes);
    assert_true(v.h.table_blocks > 4);
    for (uint32_t t = 0; t < v.h.table_blocks; t += 3) {
        ruin(&v, chead_table_block(&v.h, 0, t), 1, t);
        ruin(&v, chead_table_block(&v.h, 1, t), 1, t + 50);
        expect_healed(&v, bytes);
    }
    victim_stop(&v);
}

static void the_only_table_block_lost_in_both_copies_is_made_again(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    assert_int_equal(v.h.table_blocks, 1);
    ruin(&v, chead_table_block(&v.h, 0, 0), 1, 1);
    ruin(&v, chead_table_block(&v.h, 1, 0), 1, 2);
    expect_healed(&v, FILE_BYTES);
    victim_stop(&v);
}

/* ---- what is not sealed yet, and the superblocks ---- */

static void ruin_file(struct rig *r, const char *file, size_t len)
{
    char name[PATH_MAX];
    uint8_t *junk = malloc(len);
    rig_name(r, file, name);
    rig_fill(12, junk, len);
    int fd = open(name, O_WRONLY);
    assert_true(pwrite(fd, junk, len, 0) == (ssize_t)len);
    close(fd);
    free(junk);
}

/* A process that writes, waits for the mirror, and is killed. */
static void die_with_unsealed_data(struct rig *r)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        rig_open(r);
        rig_file(r, "large", 1, 300000);
        rig_file(r, "other", 2, OTHER_BYTES);
        rig_do(r, "sync");
        rig_sleep_ms(2500);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void the_mirror_alone_brings_everything_back(void **state)
{
    (void)state;
    struct holofs_geometry g = rig_geometry();
    static const char *const copies[] = { "journal.0", "journal.1" };
    for (int i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r);
        rig_format(&r, &g);
        die_with_unsealed_data(&r);
        ruin_file(&r, copies[i], (size_t)RIG_RING * RIG_BLOCK);
        rig_open(&r);
        rig_expect_file(&r, "large", 1, 300000);
        rig_expect_file(&r, "other", 2, OTHER_BYTES);
        rig_sleep_ms(i ? 0 : 2500);
        rig_reopen(&r);
        rig_expect_file(&r, "large", 1, 300000);
        rig_stop(&r);
    }
}

/* The lsn of an entry of at least three blocks, by what journal.0 says. */
static uint32_t find_long_entry(struct rig *r)
{
    char name[PATH_MAX];
    size_t len;
    rig_name(r, "journal.0", name);
    uint8_t *p = slurp(name, &len);
    uint32_t at = 0;
    while (memcmp(p + (size_t)at * RIG_BLOCK, "holoRING", 8) != 0 || p[(size_t)at * RIG_BLOCK + 56] < 3)
        at++;
    assert_true((size_t)at * RIG_BLOCK < len);
    free(p);
    return at;
}

static void ruin_ring_block(struct rig *r, uint32_t at)
{
    char name[PATH_MAX];
    uint8_t junk[RIG_BLOCK];
    for (char c = '0'; c < '2'; c++) {
        rig_name(r, "journal.x", name);
        name[strlen(name) - 1] = c;
        rig_fill((uint64_t)c, junk, sizeof(junk));
        int fd = open(name, O_WRONLY);
        assert_true(pwrite(fd, junk, sizeof(junk), (off_t)at * RIG_BLOCK) == (ssize_t)sizeof(junk));
        close(fd);
    }
}

/* A file that is in the ring only, a txg each; then one block of the first is lost in both copies after a clean stop. */
static void what_both_ring_copies_lost_after_a_clean_stop_is_told_and_the_rest_read(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r);
    rig_file(&r, "large", 1, 60000);
    rig_do(&r, "sync");
    rig_file(&r, "other", 2, OTHER_BYTES);
    rig_do(&r, "sync");
    rig_close(&r);
    ruin_ring_block(&r, find_long_entry(&r) + 2);
    rig_open(&r);
    rig_expect_file(&r, "other", 2, OTHER_BYTES);
    uint8_t *got = rig_buffer(60000);
    ssize_t n = holofs_read(r.fs, rig_find(&r, RIG_ROOT, "large"), 0, got, 60000);
    assert_true(n < 0 && holo_errno((int)n) == EIO);
    assert_true(rig_event(&r, "ring_lost", "txgs"));
    free(got);
    rig_stop(&r);
}

static void two_damaged_superblocks_are_written_again(void **state)
{
    (void)state;
    struct rig r;
    char first[PATH_MAX], other[PATH_MAX];
    size_t n, m;
    rig_start(&r);
    rig_file(&r, "large", 1, 300000);
    rig_close(&r);
    ruin_file(&r, "superblock.1", RIG_BLOCK);
    ruin_file(&r, "superblock.4", 100);
    rig_open(&r);
    rig_expect_file(&r, "large", 1, 300000);
    assert_true(rig_event(&r, "superblock_copies", "\"agreeing\":3"));
    rig_close(&r);
    rig_name(&r, "superblock.0", first);
    uint8_t *want = slurp(first, &n);
    for (char i = '1'; i < '5'; i++) {
        rig_name(&r, "superblock.x", other);
        other[strlen(other) - 1] = i;
        uint8_t *got = slurp(other, &m);
        assert_true(n == m);
        assert_memory_equal(got, want, n);
        free(got);
    }
    free(want);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_m_blocks_of_a_stripe_come_back),
        cmocka_unit_test(a_burst_of_m_times_d_blocks_comes_back),
        cmocka_unit_test(one_copy_of_headers_and_tables_is_enough),
        cmocka_unit_test(a_container_without_headers_comes_back),
        cmocka_unit_test(more_than_m_blocks_are_lost_exactly_and_told),
        cmocka_unit_test(a_container_that_is_gone_or_empty_is_an_io_error_and_told),
        cmocka_unit_test(tables_with_flips_in_both_copies_still_verify),
        cmocka_unit_test(a_table_block_lost_in_both_copies_is_made_again),
        cmocka_unit_test(the_only_table_block_lost_in_both_copies_is_made_again),
        cmocka_unit_test(the_mirror_alone_brings_everything_back),
        cmocka_unit_test(what_both_ring_copies_lost_after_a_clean_stop_is_told_and_the_rest_read),
        cmocka_unit_test(two_damaged_superblocks_are_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
