/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_flips.c: one flipped byte in a thousand all over a container file, headers and tables included: every byte comes
 * back, and the file is again what it was.
 *
 * FLIPS_CONTAINERS says how many containers of 64 MiB are tried (1), FLIPS_ROUNDS how often anything is damaged (8), SEED
 * which flips.
 */
#include "tests/core/victim.h"

#include "base/clock.h"

enum { SMALL_NMAX = 512, SMALL_BYTES = 470 * RIG_BLOCK, LARGE_NMAX = 16384, LARGE_BYTES = 62 << 20 };

static uint64_t seed_or(uint64_t otherwise)
{
    const char *s = getenv("SEED");
    uint64_t seed = s ? strtoull(s, NULL, 0) : otherwise;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Rounds of any damage: hopeless stripes take their time under sanitizers. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ANY_ROUNDS = 2 };
#else
enum { ANY_ROUNDS = 8 };
#endif

/* The real shape: 64 + 6. */
static void victim_of_shape(struct victim *v, uint32_t nmax, size_t bytes)
{
    struct holofs_geometry g = rig_geometry();
    g.k = 64;
    g.r = g.meta_r = 3;
    g.nmax = nmax;
    g.ring_blocks = nmax > RIG_RING ? nmax : RIG_RING;
    victim_start_with(v, &g, bytes);
    assert_int_equal(v->h.m, 6);
}

/* Flip one byte in a thousand of [from, to) of the victim's file, all else of which becomes good. Returns how many differ. */
static uint64_t flip(struct victim *v, uint64_t seed, size_t from, size_t to)
{
    uint64_t n = 0;
    uint8_t *now = malloc(v->len);
    memcpy(now, v->good, v->len);
    rig_flip(seed, now + from, to - from, (to - from + 999) / 1000);
    for (size_t i = from; i < to; i++)
        n += now[i] != v->good[i];
    int fd = open(v->path, O_WRONLY);
    assert_true(pwrite(fd, now, v->len, 0) == (ssize_t)v->len);
    close(fd);
    free(now);
    return n;
}

static void flips_all_over_a_container_come_back(void **state)
{
    (void)state;
    struct victim v;
    uint64_t seed = seed_or(1);
    victim_of_shape(&v, SMALL_NMAX, SMALL_BYTES);
    for (uint64_t round = 0; round < 4; round++) {
        assert_true(flip(&v, seed + round, 0, v.len) > v.len / 1010);
        expect_healed(&v, SMALL_BYTES);
    }
    victim_stop(&v);
}

static void the_bytes_that_were_flipped_are_counted(void **state)
{
    (void)state;
    struct victim v;
    victim_of_shape(&v, SMALL_NMAX, SMALL_BYTES);
    uint64_t n = flip(&v, seed_or(2), (size_t)chead_file_block(&v.h, 0) * RIG_BLOCK,
                      (size_t)chead_file_block(&v.h, chead_positions(&v.h)) * RIG_BLOCK);
    rig_open(&v.r);
    rig_scrub(&v.r);
    assert_true(rig_stat(&v.r, "wave_ecc_metrics/corrected_bytes") == n);
    assert_true(rig_stat(&v.r, "wave_ecc_metrics/decode_fail") == 0);
    assert_true(rig_stat(&v.r, "lost_blocks") == 0);
    assert_true(rig_stat(&v.r, "repaired_blocks") > chead_positions(&v.h) * 9 / 10);
    rig_expect_file(&v.r, "large", 1, SMALL_BYTES);
    rig_close(&v.r);
    expect_file_as_written(&v);
    victim_stop(&v);
}

/* ---- checksums that are damaged themselves ---- */

/* Change bytes of an entry in one copy of its table block. */
static void change_entry(struct victim *v, unsigned copy, uint32_t x, unsigned byte, uint8_t change)
{
    uint8_t b;
    off_t at = (off_t)chead_table_block(&v->h, copy, x / TABLE_ENTRIES) * RIG_BLOCK + 8 + 8 * (off_t)(x % TABLE_ENTRIES) + (off_t)byte;
    int fd = open(v->path, O_RDWR);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= change;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

/* Both copies of an entry wrong at the same byte, alike or not, over a good block or a bad one. */
static void an_entry_wrong_in_both_copies_does_not_lose_its_block(void **state)
{
    (void)state;
    struct victim v;
    victim_of_shape(&v, SMALL_NMAX, SMALL_BYTES);
    for (unsigned round = 0; round < 4; round++) {
        for (uint32_t x = 5; x < 400; x += 37) {
            change_entry(&v, 0, x, x % 8, 0x11);
            change_entry(&v, 1, x, x % 8, round % 2 ? 0x11 : 0x33);
            if (round / 2)
                ruin(&v, chead_file_block(&v.h, x), 1, x);
        }
        expect_healed(&v, SMALL_BYTES);
    }
    victim_stop(&v);
}

static void ruin_tables(struct victim *v)
{
    for (unsigned copy = 0; copy < 2; copy++)
        ruin(v, chead_table_block(&v->h, copy, 0), v->h.table_blocks, 80 + copy);
}

static void write_block(struct victim *v, uint32_t file_block, const uint8_t *block)
{
    int fd = open(v->path, O_WRONLY);
    assert_true(pwrite(fd, block, RIG_BLOCK, (off_t)file_block * RIG_BLOCK) == RIG_BLOCK);
    close(fd);
}

/* Blocks of the stripe give EIO, all others what was written: nothing is guessed. */
static void expect_stripe_lost(struct victim *v, uint32_t stripe, size_t bytes)
{
    uint8_t *want = malloc(bytes), *got = rig_buffer(RIG_BLOCK);
    uint64_t ino = rig_find(&v->r, RIG_ROOT, "large");
    rig_fill(1, want, bytes);
    for (uint32_t b = 0; b < bytes / RIG_BLOCK; b++) {
        ssize_t n = holofs_read(v->r.fs, ino, (uint64_t)b * RIG_BLOCK, got, RIG_BLOCK);
        assert_true(b % v->h.D == stripe ? n < 0 && holo_errno((int)n) == EIO : n == RIG_BLOCK);
        if (n == RIG_BLOCK)
            assert_memory_equal(got, want + (size_t)b * RIG_BLOCK, RIG_BLOCK);
    }
    free(want);
    free(got);
}

static void without_any_checksum_a_flipped_byte_is_told_not_guessed(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    flip(&v, 5, (size_t)member_block(&v, 2, 3) * RIG_BLOCK, (size_t)(member_block(&v, 2, 3) + 1) * RIG_BLOCK);
    ruin_tables(&v);
    rig_open(&v.r);
    expect_stripe_lost(&v, 2, FILE_BYTES);
    assert_true(rig_event(&v.r, "\"lost\"", "/large"));
    victim_stop(&v);
}

/* Zeros agree with each other. */
static void a_wiped_stripe_without_checksums_is_not_blessed(void **state)
{
    (void)state;
    struct victim v;
    const uint8_t zeros[RIG_BLOCK] = { 0 };
    victim_start(&v);
    ruin_tables(&v);
    for (unsigned i = 0; i < v.h.k + v.h.m; i++) {
        uint32_t b = member_block(&v, 4, i);
        if (b)
            write_block(&v, b, zeros);
    }
    rig_open(&v.r);
    rig_scrub(&v.r);
    expect_stripe_lost(&v, 4, FILE_BYTES);
    victim_stop(&v);
}

/* Half of five blocks is gone, with four of parity; a sixth block is only flipped, in the other half. */
static void what_can_be_made_right_of_a_stripe_is(void **state)
{
    (void)state;
    struct victim v;
    size_t len;
    victim_start(&v);
    assert_int_equal(v.h.m, 4);
    for (unsigned i = 0; i < 6; i++) {
        uint8_t block[RIG_BLOCK];
        uint32_t b = member_block(&v, 5, i);
        memcpy(block, v.good + (size_t)b * RIG_BLOCK, RIG_BLOCK);
        if (i < 5)
            rig_fill(i, block + RIG_BLOCK / 2, RIG_BLOCK / 2);
        for (unsigned at = 100; i == 5 && at < RIG_BLOCK / 2; at += 300)
            block[at] ^= 0x40;
        write_block(&v, b, block);
    }
    rig_open(&v.r);
    rig_scrub(&v.r);
    uint64_t ino = rig_find(&v.r, RIG_ROOT, "large");
    uint8_t *got = rig_buffer(RIG_BLOCK), *want = malloc(FILE_BYTES);
    rig_fill(1, want, FILE_BYTES);
    for (unsigned i = 0; i < 6; i++) {
        uint64_t off = (uint64_t)(member_block(&v, 5, i) - chead_file_block(&v.h, 0)) * RIG_BLOCK;
        ssize_t n = holofs_read(v.r.fs, ino, off, got, RIG_BLOCK);
        assert_true(i < 5 ? n < 0 && holo_errno((int)n) == EIO : n == RIG_BLOCK);
    }
    assert_memory_equal(got, want + (size_t)(member_block(&v, 5, 5) - chead_file_block(&v.h, 0)) * RIG_BLOCK, RIG_BLOCK);
    rig_close(&v.r);
    uint8_t *now = slurp(v.path, &len);
    size_t at = (size_t)member_block(&v, 5, 5) * RIG_BLOCK;
    assert_memory_equal(now + at, v.good + at, RIG_BLOCK);
    free(now);
    free(got);
    free(want);
    victim_stop(&v);
}

/* ---- anything ---- */

/* Flips of some density, and ruined or wiped runs of blocks, in all but the headers. */
static void damage_at_random(struct victim *v, uint64_t *seed)
{
    static const uint32_t in_a_million[] = { 0, 100, 1000, 3000, 10000 };
    uint8_t *now = malloc(v->len);
    memcpy(now, v->good, v->len);
    rig_flip(rig_random(seed), now, v->len, v->len / 1000 * in_a_million[rig_random(seed) % 5] / 1000);
    uint32_t blocks = chead_file_blocks(&v->h), runs = (uint32_t)(rig_random(seed) % 6);
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t n = 1 + (uint32_t)(rig_random(seed) % (rig_random(seed) % 3 ? 8 : v->h.m * v->h.D));
        uint32_t first = 1 + (uint32_t)(rig_random(seed) % (blocks - 2));
        n = n < blocks - 1 - first ? n : blocks - 1 - first;
        if (rig_random(seed) % 2)
            memset(now + (size_t)first * RIG_BLOCK, 0, (size_t)n * RIG_BLOCK);
        else
            rig_fill(rig_random(seed), now + (size_t)first * RIG_BLOCK, (size_t)n * RIG_BLOCK);
    }
    for (unsigned copy = 0; copy < 2; copy++) { /* one time in nine no checksum is left */
        if (rig_random(seed) % 3 == 0)
            rig_fill(rig_random(seed), now + (size_t)chead_table_block(&v->h, copy, 0) * RIG_BLOCK, (size_t)v->h.table_blocks * RIG_BLOCK);
    }
    int fd = open(v->path, O_WRONLY);
    assert_true(pwrite(fd, now, v->len, 0) == (ssize_t)v->len);
    close(fd);
    free(now);
}

/* Every block of the file is right or EIO; those that were right before still are. Returns how many are lost. */
static uint32_t read_what_is_left(struct victim *v, const uint8_t *want, bool *lost)
{
    uint8_t *got = rig_buffer(RIG_BLOCK);
    uint64_t ino = rig_find(&v->r, RIG_ROOT, "large");
    uint32_t n_lost = 0;
    for (uint32_t b = 0; b < FILE_BYTES / RIG_BLOCK; b++) {
        ssize_t n = holofs_read(v->r.fs, ino, (uint64_t)b * RIG_BLOCK, got, RIG_BLOCK);
        assert_true(n == RIG_BLOCK || (n < 0 && holo_errno((int)n) == EIO));
        if (n == RIG_BLOCK)
            assert_memory_equal(got, want + (size_t)b * RIG_BLOCK, RIG_BLOCK);
        assert_true(n == RIG_BLOCK || lost[b]);
        lost[b] = n < 0;
        n_lost += lost[b];
    }
    free(got);
    return n_lost;
}

static void whatever_is_damaged_reads_are_right_or_fail(void **state)
{
    (void)state;
    struct victim v;
    bool lost[FILE_BYTES / RIG_BLOCK];
    const char *rounds = getenv("FLIPS_ROUNDS");
    uint64_t seed = seed_or(4), whole = 0, n_lost = 0;
    uint8_t *want = malloc(FILE_BYTES);
    rig_fill(1, want, FILE_BYTES);
    victim_start(&v);
    v.r.opt.engine = NULL;
    for (int round = 0; round < (rounds ? atoi(rounds) : ANY_ROUNDS); round++) {
        damage_at_random(&v, &seed);
        memset(lost, true, sizeof(lost));
        rig_open(&v.r);
        if (round % 2)
            rig_scrub(&v.r);
        read_what_is_left(&v, want, lost);
        rig_scrub(&v.r);
        uint32_t now = read_what_is_left(&v, want, lost);
        assert_true(now == 0 || rig_stat(&v.r, "lost_blocks") >= now);
        rig_reopen(&v.r);
        assert_true(read_what_is_left(&v, want, lost) == now);
        rig_close(&v.r);
        n_lost += now;
        whole += now == 0;
    }
    print_message("%llu times everything came back; in the other rounds %llu blocks were lost\n", (unsigned long long)whole,
                  (unsigned long long)n_lost);
    free(want);
    victim_stop(&v);
}

/* ---- large ---- */

/* The layout and the size that people have. */
static void flips_all_over_containers_of_64_mib_come_back(void **state)
{
    (void)state;
    struct victim v;
    const char *containers = getenv("FLIPS_CONTAINERS");
    int rounds = containers ? atoi(containers) : 1;
    uint64_t seed = seed_or(3);
    victim_of_shape(&v, LARGE_NMAX, LARGE_BYTES);
    v.r.opt.engine = NULL;
    for (int round = 0; round < rounds; round++) {
        flip(&v, seed + (uint64_t)round, 0, v.len);
        uint64_t t0 = clock_mono_ns();
        rig_open(&v.r);
        if (round % 2) {
            rig_scrub(&v.r);
            rig_expect_file(&v.r, "large", 1, LARGE_BYTES);
        } else {
            rig_expect_file(&v.r, "large", 1, LARGE_BYTES);
            rig_scrub(&v.r);
        }
        assert_true(rig_stat(&v.r, "lost_blocks") == 0);
        rig_close(&v.r);
        print_message("container %d: %s first, %.2f s\n", round, round % 2 ? "scrubbed" : "read", (double)(clock_mono_ns() - t0) / 1e9);
        expect_file_as_written(&v);
    }
    victim_stop(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_all_over_a_container_come_back),
        cmocka_unit_test(the_bytes_that_were_flipped_are_counted),
        cmocka_unit_test(an_entry_wrong_in_both_copies_does_not_lose_its_block),
        cmocka_unit_test(without_any_checksum_a_flipped_byte_is_told_not_guessed),
        cmocka_unit_test(a_wiped_stripe_without_checksums_is_not_blessed),
        cmocka_unit_test(what_can_be_made_right_of_a_stripe_is),
        cmocka_unit_test(whatever_is_damaged_reads_are_right_or_fail),
        cmocka_unit_test(flips_all_over_containers_of_64_mib_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
