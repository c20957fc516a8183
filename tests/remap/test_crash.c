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

/* ---- a crash that spoils what it meets ---- */

enum { SPOIL_JUNK, SPOIL_ZERO, SPOIL_UNREADABLE, SPOILS };
static const char *const guard_name[2] = { "remap.guard.0", "remap.guard.1" };

static void spoil(struct rig *r, const char *name, uint64_t off, unsigned how)
{
    uint8_t block[REMAP_BLOCK_SIZE];
    struct bfile *f = rig_file(r, name);
    memset(block, how == SPOIL_JUNK ? 0xa5 : 0, sizeof(block));
    if (how != SPOIL_UNREADABLE)
        assert_int_equal(bfile_pwrite(f, block, sizeof(block), off), 0);
    else
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_READ, .err = EIO, .name = name, .from = off, .to = off + 1 });
    f->ops->close(f);
}

static void read_guard(struct rig *r, unsigned g, uint8_t block[REMAP_BLOCK_SIZE])
{
    struct bfile *f = rig_file(r, guard_name[g]);
    assert_int_equal(f->ops->pread(f, block, REMAP_BLOCK_SIZE, 0), 0);
    f->ops->close(f);
}

/* The guard that the next append writes: that whose entries are older, or that has none. */
static unsigned next_guard(struct rig *r)
{
    uint64_t newest[2] = { 0 };
    for (unsigned g = 0; g < 2; g++) {
        uint8_t block[REMAP_BLOCK_SIZE];
        read_guard(r, g, block);
        for (size_t i = 0; i < sizeof(block); i += 64) {
            bool entry = block[i + 8] >= 1 && block[i + 8] <= 4;
            newest[g] = entry && le64_get(block + i) > newest[g] ? le64_get(block + i) : newest[g];
        }
    }
    return newest[0] > newest[1];
}

/* Entry i; the guard that holds what counted before is not touched. */
static void add_guarded(struct rig *r, uint32_t i)
{
    uint8_t before[REMAP_BLOCK_SIZE], after[REMAP_BLOCK_SIZE];
    unsigned keeps = !next_guard(r);
    read_guard(r, keeps, before);
    assert_int_equal(rig_add(r, 1, i, 0), 0);
    read_guard(r, keeps, after);
    if (i % 64)
        assert_memory_equal(before, after, sizeof(before));
}

/*
 * While entry n + 1 was appended, its block went bad in all five copies and in the guard that was written with them: the n entries before it
 * count, and are there, and so they are when that happens once more.
 */
static void a_crash_that_spoils_all_that_is_being_written_costs_nothing(void **state)
{
    (void)state;
    static const char *const copy_name[REMAP_COPIES] = { "remap.0", "remap.1", "remap.2", "remap.3", "remap.4" };
    for (uint32_t n = 1; n < 140; n += n % 64 < 4 || n % 64 > 60 ? 1 : 7) {
        for (unsigned how = 0; how < SPOILS && n % 64; how++) { /* a block that is begun holds nothing that counts */
            struct rig *r = rig_new(300);
            for (uint32_t i = 0; i < n; i++)
                add_guarded(r, i);
            for (unsigned again = 0; again < 2; again++) {
                remap_close(r->t);
                spoil(r, guard_name[next_guard(r)], 0, how == SPOIL_UNREADABLE ? SPOIL_JUNK : how);
                for (size_t i = 0; i < REMAP_COPIES; i++)
                    spoil(r, copy_name[i], (2 + n / 64) * (uint64_t)REMAP_BLOCK_SIZE, how);
                assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
                backing_fault_clear(r->fault);
                for (uint32_t i = 0; i < n; i++)
                    rig_expect(r, 1, i, 0);
                assert_int_equal(rig_stats(r).remaps, n);
                rig_reopen(r);
                assert_int_equal(rig_stats(r).copies_repaired, 0);
            }
            for (uint32_t i = n; i < n + 70; i++)
                add_guarded(r, i);
            rig_reopen(r);
            for (uint32_t i = 0; i < n + 70; i++)
                rig_expect(r, 1, i, 0);
            rig_free(r);
        }
    }
}

/* Guards that are gone, or cannot be written, cost nothing but that: they are there again before anything is overwritten. */
static void guards_that_are_gone_or_old_are_made_anew(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct rig *r = rig_new(100);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(rig_add(r, 1, i, 0), 0);
        remap_close(r->t);
        for (unsigned g = 0; g < 2; g++) {
            if (how == 0)
                assert_int_equal(r->memory->ops->unlink(r->memory, guard_name[g]), 0);
            else
                spoil(r, guard_name[g], 0, how - 1);
        }
        assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
        backing_fault_add(r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = ENOSPC, .name = "remap.guard.1.new" });
        assert_int_equal(rig_add(r, 1, 10, 0), -ENOSPC);
        rig_expect_none(r, 1, 10);
        backing_fault_clear(r->fault);
        assert_int_equal(rig_add(r, 1, 10, 0), 0);
        spoil(r, guard_name[next_guard(r)], 0, SPOIL_JUNK);
        rig_reopen(r);
        for (uint32_t i = 0; i <= 10; i++)
            rig_expect(r, 1, i, 0);
        assert_int_equal(rig_stats(r).copies_repaired, 0);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_keeps_what_was_acknowledged),
        cmocka_unit_test(every_cut_while_a_failed_log_is_written_anew_does_too),
        cmocka_unit_test(every_power_cut_keeps_what_was_acknowledged),
        cmocka_unit_test(a_log_just_written_anew_survives_power_cuts),
        cmocka_unit_test(every_torn_write_is_outvoted_or_noticed),
        cmocka_unit_test(a_crash_that_spoils_all_that_is_being_written_costs_nothing),
        cmocka_unit_test(guards_that_are_gone_or_old_are_made_anew),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
