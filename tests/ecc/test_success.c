/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_success.c: how often groups of 64 data blocks of 4 KiB come back when every byte of data and parity may be flipped.
 *
 * HOLO_SOAK_GROUPS chooses the number of groups; mixed damage has a quarter of it for each mix. A group that does not come back
 * prints the seed that repeats it: SEED=… HOLO_SOAK_GROUPS=1. Counts are printed, and the time the decoder took.
 */
#include "base/err.h"
#include "tests/ecc/damage.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { GROUPS = 100 };
#else
enum { GROUPS = 2000 };
#endif
enum { K = 64, LEN = 4096 };

struct odds {
    unsigned R;
    double chance;           /* of a flip, each byte */
    unsigned missing;        /* blocks that cannot be read */
    unsigned ruined;         /* blocks of random bytes */
    unsigned unsure;         /* blocks without a checksum */
};

static unsigned number_from(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void damage_group(struct patient *p, const struct odds *odds, uint64_t *random)
{
    unsigned at[ECC_N_MAX], count = odds->missing + odds->ruined + odds->unsure;
    patient_restore(p);
    damage_flips(p, 0, p->n, odds->chance, random);
    choose(at, count, p->n, random);
    for (unsigned i = count; i-- > 1;) {
        unsigned j = random_below(random, i + 1), other = at[j];
        at[j] = at[i];
        at[i] = other;
    }
    for (unsigned i = 0; i < count; i++) {
        if (i < odds->missing)
            damage_lose(p, at[i]);
        else if (i < odds->missing + odds->ruined)
            fill_random(p->work.block[at[i]], p->len, random);
        else
            damage_sum(p, at[i]);
    }
}

/* At most lost_per_10000 of 10,000 groups may stay damaged. */
static void check_odds(const struct odds *odds, unsigned groups, unsigned lost_per_10000)
{
    unsigned seed = number_from("SEED", SEED), failed = 0;
    struct ecc_code *code = make_code(K, 2 * odds->R, 12345);
    struct patient p;
    uint64_t ns = 0, longest = 0, data = SEED;
    patient_init(&p, code, LEN);
    printf("R = %u, flips %g, %u missing, %u ruined, %u without checksum: ", odds->R, odds->chance, odds->missing, odds->ruined,
           odds->unsure);
    for (unsigned g = 0; g < groups; g++) {
        uint64_t random = (seed + g) * 0x9e3779b97f4a7c15u;
        struct ecc_decoded out;
        if (g % 100 == 0)
            patient_fill(&p, &data);
        damage_group(&p, odds, &random);
        patient_examine(&p);
        if (patient_decode(&p, fastest(), &out)) {
            failed++;
            printf("(not decoded: SEED=%u) ", seed + g);
        }
        ns += p.ns;
        longest = p.ns > longest ? p.ns : longest;
    }
    printf("%u of %u groups came back; mean %.0f µs, longest %.0f µs\n", groups - failed, groups, (double)ns / groups / 1e3,
           (double)longest / 1e3);
    fflush(stdout);
    patient_fini(&p);
    ecc_code_destroy(code);
    assert_true(failed * 10000ull <= (uint64_t)groups * lost_per_10000);
}

static unsigned all_groups(void)
{
    return number_from("HOLO_SOAK_GROUPS", GROUPS);
}

static void flips_at_1e3_leave_R2_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .R = 2, .chance = 1e-3 }, all_groups(), 5);
}

static void flips_at_1e3_leave_R3_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .R = 3, .chance = 1e-3 }, all_groups(), 0);
}

static void flips_at_2e3_leave_R5_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .R = 5, .chance = 2e-3 }, all_groups(), 0);
}

static void blocks_that_are_lost_and_flips_in_the_others_leave_R3_whole(void **state)
{
    (void)state;
    static const struct odds mix[] = {
        { .R = 3, .chance = 1e-3, .missing = 2 },
        { .R = 3, .chance = 1e-4, .missing = 4 },
        { .R = 3, .missing = 6 },
        { .R = 3, .chance = 1e-3, .ruined = 2 },
        { .R = 3, .chance = 1e-4, .ruined = 4 },
        { .R = 3, .ruined = 6 },
        { .R = 3, .chance = 1e-3, .missing = 1, .ruined = 1, .unsure = 4 },
    };
    for (unsigned i = 0; i < sizeof(mix) / sizeof(mix[0]); i++)
        check_odds(&mix[i], (all_groups() + 3) / 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_at_1e3_leave_R2_whole),
        cmocka_unit_test(flips_at_1e3_leave_R3_whole),
        cmocka_unit_test(flips_at_2e3_leave_R5_whole),
        cmocka_unit_test(blocks_that_are_lost_and_flips_in_the_others_leave_R3_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
