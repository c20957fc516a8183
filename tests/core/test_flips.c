/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_flips.c: one flipped byte in a thousand all over a container file, headers and tables included: every byte comes
 * back, and the file is again what it was.
 *
 * FLIPS_CONTAINERS says how many containers of 64 MiB are tried (one), SEED which flips.
 */
#include "tests/core/victim.h"

#include <math.h>

#include "base/clock.h"

enum { SMALL_NMAX = 512, SMALL_BYTES = 470 * RIG_BLOCK, LARGE_NMAX = 16384, LARGE_BYTES = 62 << 20, FLIPS_IN_A_MILLION = 1000 };

static uint64_t seed_or(uint64_t otherwise)
{
    const char *s = getenv("SEED");
    uint64_t seed = s ? strtoull(s, NULL, 0) : otherwise;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

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

static uint64_t distance_to_next(uint64_t *seed, uint32_t in_a_million)
{
    double u = ((double)(rig_random(seed) & 0xffffffff) + 1.0) / 4294967297.0;
    return 1 + (uint64_t)(log(u) / log(1.0 - in_a_million / 1e6));
}

/* Flip bytes here and there in [from, to) of the victim's file, which holds its good bytes. Returns how many. */
static uint64_t flip(struct victim *v, uint64_t seed, size_t from, size_t to, uint32_t in_a_million)
{
    uint64_t n = 0;
    uint8_t *now = malloc(v->len);
    memcpy(now, v->good, v->len);
    for (size_t at = from + distance_to_next(&seed, in_a_million) - 1; at < to; at += distance_to_next(&seed, in_a_million), n++)
        now[at] ^= (uint8_t)(1 + rig_random(&seed) % 255);
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
    for (uint64_t round = 0; round < 12; round++) {
        uint64_t n = flip(&v, seed + round, 0, v.len, FLIPS_IN_A_MILLION);
        assert_true(n > v.len / 1100 && n < v.len / 900);
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
                      (size_t)chead_file_block(&v.h, chead_positions(&v.h)) * RIG_BLOCK, FLIPS_IN_A_MILLION);
    rig_open(&v.r);
    scrub_and_wait(&v.r);
    assert_true(rig_stat(&v.r, "wave_ecc_metrics/corrected_bytes") == n);
    assert_true(rig_stat(&v.r, "wave_ecc_metrics/decode_fail") == 0);
    assert_true(rig_stat(&v.r, "lost_blocks") == 0);
    assert_true(rig_stat(&v.r, "repaired_blocks") > chead_positions(&v.h) * 9 / 10);
    rig_expect_file(&v.r, "large", 1, SMALL_BYTES);
    rig_close(&v.r);
    expect_file_as_written(&v);
    victim_stop(&v);
}

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
        flip(&v, seed + (uint64_t)round, 0, v.len, FLIPS_IN_A_MILLION);
        uint64_t t0 = clock_mono_ns();
        rig_open(&v.r);
        if (round % 2) {
            scrub_and_wait(&v.r);
            rig_expect_file(&v.r, "large", 1, LARGE_BYTES);
        } else {
            rig_expect_file(&v.r, "large", 1, LARGE_BYTES);
            scrub_and_wait(&v.r);
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
        cmocka_unit_test(flips_all_over_containers_of_64_mib_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
