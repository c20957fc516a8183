/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_success.c: how often groups of 64 data blocks of 4 KiB come back when every byte of data and parity may be flipped.
 *
 * HOLO_SOAK_GROUPS chooses the number of groups of each case. A group that does not come back prints the seed that repeats
 * it: SEED=… HOLO_SOAK_GROUPS=1. Every case prints its counts and the time the decoder took.
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
    const char *name;
    unsigned R;
    double chance;           /* of a flip, each byte */
    unsigned missing;        /* blocks that cannot be read */
    unsigned ruined;         /* blocks of random bytes */
    unsigned unsure;         /* blocks without a checksum */
    unsigned lost_per_10000; /* groups that may stay damaged */
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

static void check_odds(const struct odds *odds)
{
    unsigned groups = number_from("HOLO_SOAK_GROUPS", GROUPS), seed = number_from("SEED", SEED), failed = 0;
    struct ecc_code *code = make_code(K, 2 * odds->R, 12345);
    struct patient p;
    uint64_t ns = 0, longest = 0, data = SEED;
    patient_init(&p, code, LEN);
    for (unsigned g = 0; g < groups; g++) {
        uint64_t random = (seed + g) * 0x9e3779b97f4a7c15u;
        struct ecc_decoded out;
        if (g % 100 == 0)
            patient_fill(&p, &data);
        damage_group(&p, odds, &random);
        patient_examine(&p);
        if (patient_decode(&p, fastest(), &out)) {
            failed++;
            printf("  not decoded: SEED=%u (%s)\n", seed + g, odds->name);
        }
        ns += p.ns;
        longest = p.ns > longest ? p.ns : longest;
    }
    printf("%-44s %u of %u groups came back; mean %.0f µs, longest %.0f µs\n", odds->name, groups - failed, groups,
           (double)ns / groups / 1e3, (double)longest / 1e3);
    patient_fini(&p);
    ecc_code_destroy(code);
    assert_true(failed * 10000ull <= (uint64_t)groups * odds->lost_per_10000);
}

static void flips_at_1e3_leave_R2_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .name = "R = 2, flips 1e-3", .R = 2, .chance = 1e-3, .lost_per_10000 = 50 });
}

static void flips_at_1e3_leave_R3_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-3", .R = 3, .chance = 1e-3 });
}

static void flips_at_2e3_leave_R5_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .name = "R = 5, flips 2e-3", .R = 5, .chance = 2e-3 });
}

static void lost_blocks_and_flips_together_leave_R3_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-3, 2 missing", .R = 3, .chance = 1e-3, .missing = 2 });
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-4, 4 missing", .R = 3, .chance = 1e-4, .missing = 4 });
    check_odds(&(struct odds){ .name = "R = 3, 6 missing", .R = 3, .missing = 6 });
}

static void ruined_blocks_and_flips_together_leave_R3_whole(void **state)
{
    (void)state;
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-3, 2 ruined", .R = 3, .chance = 1e-3, .ruined = 2 });
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-4, 4 ruined", .R = 3, .chance = 1e-4, .ruined = 4 });
    check_odds(&(struct odds){ .name = "R = 3, flips 1e-3, 1 missing, 1 ruined, 4 without checksum", .R = 3, .chance = 1e-3, .missing = 1,
                              .ruined = 1, .unsure = 4 });
    check_odds(&(struct odds){ .name = "R = 3, 6 ruined", .R = 3, .ruined = 6 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_at_1e3_leave_R2_whole),
        cmocka_unit_test(flips_at_1e3_leave_R3_whole),
        cmocka_unit_test(flips_at_2e3_leave_R5_whole),
        cmocka_unit_test(lost_blocks_and_flips_together_leave_R3_whole),
        cmocka_unit_test(ruined_blocks_and_flips_together_leave_R3_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
