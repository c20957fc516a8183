/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_crash.c: a workload is cut after its n-th change, for every n; what was acknowledged is there afterwards. */
#include "tests/remap/rig.h"

enum { CONTAINERS = 4, BLOCKS = 6, OPS = 60 };
#ifdef __SANITIZE_THREAD__
enum { STEP = 17 }; /* slow */
#else
enum { STEP = 1 };
#endif

/* What is known about a block: the version acknowledged, and what the operation that was cut may have made of it. */
struct known {
    bool there, maybe_there, maybe_gone;
    uint32_t v, maybe_v;
};

struct model {
    struct known k[CONTAINERS][BLOCKS];
};

/* A spare file comes, or goes if the others have room. What it answers to that counts as done. */
static int spare_step(struct rig *r, uint64_t *seed)
{
    uint32_t number = (uint32_t)(rig_random(seed) % 4);
    uint64_t left;
    if (rig_random(seed) % 2)
        return remap_spare_add(r->t, NULL, 32, &number);
    int rc = remap_spare_empty(r->t, number, &left);
    if (rc == 0 && left == 0)
        rc = remap_spare_remove(r->t, number);
    if (rc)
        remap_spare_keep(r->t, number);
    return rc == -ENOENT || rc == -HOLO_EREMAPFULL ? 0 : rc;
}

/* One operation. Returns what it returned; the model knows what is certain and what is possible. */
static int step(struct rig *r, struct model *m, uint32_t i, uint64_t *seed)
{
    uint32_t c = (uint32_t)(rig_random(seed) % CONTAINERS), b = (uint32_t)(rig_random(seed) % BLOCKS);
    if (rig_random(seed) % 12 == 0)
        return spare_step(r, seed);
    if (rig_random(seed) % 10 < 8) {
        struct known *k = &m->k[c][b];
        int rc = rig_add(r, c, b, i);
        if (rc)
            k->maybe_there = true, k->maybe_v = i;
        else
            *k = (struct known){ .there = true, .v = i };
        return rc;
    }
    int rc = remap_drop_container(r->t, c);
    for (uint32_t x = 0; x < BLOCKS; x++) {
        if (rc)
            m->k[c][x].maybe_gone = true;
        else
            m->k[c][x] = (struct known){ 0 };
    }
    return rc;
}

static void check_block(struct rig *r, const struct known *k, uint32_t c, uint32_t b)
{
    if (!remap_lookup(r->t, c, b)) {
        assert_true(!k->there || k->maybe_gone);
        return;
    }
    assert_true(k->there || k->maybe_there);
    uint8_t got[REMAP_BLOCK_SIZE], want[REMAP_BLOCK_SIZE];
    int rc = remap_read(r->t, c, b, got);
    if (rc == -EIO && !k->there) /* the entry was durable, the spare block was not: parity has the bytes */
        return;
    assert_int_equal(rc, 0);
    rig_bytes(c, b, k->v, want);
    if (k->there && memcmp(got, want, sizeof(got)) == 0)
        return;
    assert_true(k->maybe_there);
    rig_bytes(c, b, k->maybe_v, want);
    assert_memory_equal(got, want, sizeof(got));
}

static void check(struct rig *r, const struct model *m)
{
    for (uint32_t c = 0; c < CONTAINERS; c++)
        for (uint32_t b = 0; b < BLOCKS; b++)
            check_block(r, &m->k[c][b], c, b);
}

enum how { STOP, TORN, POWER };

/* Run until the cut. Returns the changes made when nothing was cut. */
static uint64_t run_seeded(uint64_t cut, enum how how, unsigned failures, uint64_t fault_seed)
{
    struct rig *r = rig_new_seeded(64, fault_seed);
    struct model m = { 0 };
    uint64_t seed = rig_seed, before = backing_fault_writes(r->fault);
    if (how == POWER)
        backing_fault_track(r->fault);
    if (how == TORN)
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .kind = FAULT_TORN, .after = cut, .count = 1 });
    if (failures)
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_SYNC, .err = EIO, .name = "remap.3", .after = 7, .count = failures });
    backing_fault_cut_after(r->fault, how == TORN ? UINT64_MAX : before + cut);
    uint32_t i = 0;
    while (i < OPS && step(r, &m, i, &seed) == 0)
        i++;
    uint64_t changes = backing_fault_writes(r->fault) - before;
    if (how == POWER)
        backing_fault_lose(r->fault);
    backing_fault_clear(r->fault);
    backing_fault_cut_after(r->fault, UINT64_MAX);
    rig_reopen(r);
    check(r, &m);
    rig_reopen(r);
    assert_int_equal(rig_stats(r).copies_repaired, 0);
    check(r, &m);
    assert_int_equal(rig_add(r, 99, 1, 1), 0);
    check(r, &m);
    rig_expect(r, 99, 1, 1);
    rig_free(r);
    return changes;
}

static uint64_t run(uint64_t cut, enum how how, unsigned failures)
{
    return run_seeded(cut, how, failures, rig_seed + cut);
}

static void every_cut_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    uint64_t all = run(UINT64_MAX / 2, STOP, 0);
    print_message("%llu cuts\n", (unsigned long long)all);
    for (uint64_t cut = 0; cut < all; cut += STEP)
        run(cut, STOP, 0);
}

/* A copy fails on the way, so that cuts fall into logs being written anew; the second failure is reported to the caller. */
static void every_cut_while_a_failed_log_is_written_anew_does_too(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures <= 2; failures++) {
        uint64_t all = run(UINT64_MAX / 2, STOP, failures);
        print_message("%llu cuts\n", (unsigned long long)all);
        for (uint64_t cut = 0; cut < all; cut += STEP)
            run(cut, STOP, failures);
    }
}

static void every_power_cut_keeps_what_was_acknowledged(void **state)
{
    (void)state;
    for (unsigned failures = 0; failures <= 2; failures++) {
        uint64_t all = run(UINT64_MAX / 2, STOP, failures);
        for (uint64_t cut = 0; cut < all; cut += STEP)
            run(cut, POWER, failures);
    }
}

/* The first failure falls into the first 120 changes: many coins for each of them. */
static void a_log_just_written_anew_survives_power_cuts(void **state)
{
    (void)state;
    for (uint64_t cut = 60; cut < 120; cut += STEP)
        for (uint64_t k = 0; k < 40; k++)
            run_seeded(cut, POWER, 1, rig_seed + cut * 1000 + k);
}

/* A write that tears and says it succeeded hits one copy, or a spare block, which is read back. */
static void every_torn_write_is_outvoted_or_noticed(void **state)
{
    (void)state;
    uint64_t all = run(UINT64_MAX / 2, STOP, 0) / 2;
    for (uint64_t n = 0; n < all; n += STEP)
        run(n, TORN, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_keeps_what_was_acknowledged),
        cmocka_unit_test(every_cut_while_a_failed_log_is_written_anew_does_too),
        cmocka_unit_test(every_power_cut_keeps_what_was_acknowledged),
        cmocka_unit_test(a_log_just_written_anew_survives_power_cuts),
        cmocka_unit_test(every_torn_write_is_outvoted_or_noticed),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
