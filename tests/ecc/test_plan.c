/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_plan.c: a plan gives the right bytes whatever its device does, and follows what was measured.
 *
 * The device and the CPU engine of these tests compute with a CPU engine; how long that takes, by the plan's clock, is
 * what a test says, so that nothing depends on the machine.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/log.h"
#include "ecc/plan.h"
#include "tests/ecc/helper.h"

enum { K = 4, M = 4, D = 33, BLOCK = 128, USED = K * D - 5, STORED = (USED + M * D) * BLOCK, BULK = 64 };

static struct {
    _Atomic uint64_t now_ns;
    _Atomic unsigned cpu_us, device_us; /* how long a call takes */
    _Atomic unsigned cpu_ns_per_byte;   /* of data, besides */
    _Atomic unsigned device_calls;
    _Atomic unsigned fails_after;       /* calls that succeed before all others fail */
    _Atomic unsigned fails_every;       /* each n-th call fails; 0: none */
    _Atomic unsigned wrong_after;       /* calls that are right before one byte in each stripe is wrong */
    _Atomic int pinned;
} fake;

static uint64_t fake_now(void)
{
    return fake.now_ns;
}

/* The last engine that runs here. */
static const struct ecc_engine *real(void)
{
    const struct ecc_engine *best = NULL;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        best = (*e)->supported() ? *e : best;
    return best;
}

static int fake_cpu(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    fake.now_ns += 1000ull * fake.cpu_us + (uint64_t)fake.cpu_ns_per_byte * c->layout.used * block_size;
    return real()->containers(work, code, block_size, c, n);
}

static void spoil(enum ecc_work work, const struct ecc_container *c, size_t block_size)
{
    for (uint32_t t = 0; t < c->layout.D; t++) {
        if (work == ECC_SYNDROME && c->dirty)
            c->dirty[t] ^= 1;
        if (c->out)
            c->out[t * block_size + 77] ^= 1;
    }
}

static int fake_device(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    unsigned call = fake.device_calls++;
    fake.now_ns += 1000ull * fake.device_us;
    if (call >= fake.fails_after || (fake.fails_every && (call + 1) % fake.fails_every == 0)) {
        for (unsigned i = 0; i < n; i++) {
            if (c[i].out)
                memset(c[i].out, 0xdd, M * c[i].layout.D * block_size);
        }
        return -EIO;
    }
    int e = real()->containers(work, code, block_size, c, n);
    for (unsigned i = 0; i < n && call >= fake.wrong_after; i++)
        spoil(work, &c[i], block_size);
    return e;
}

static int fake_pin(void *p, size_t len)
{
    (void)p;
    (void)len;
    fake.pinned++;
    return 0;
}

static void fake_unpin(void *p, size_t len)
{
    (void)p;
    (void)len;
    fake.pinned--;
}

/* A plan over the fakes, one container with its right parity, and room for answers. */
struct rig {
    struct ecc_engine cpu, device;
    struct ecc_code *code;
    struct ecc_plan *plan;
    uint8_t stored[STORED], out[M * D * BLOCK], waves[M * D * BLOCK], dirty[D];
};

static void rig_init(struct rig *r, bool always)
{
    uint64_t random = SEED;
    r->cpu = *real();
    r->device = *real();
    r->cpu.containers = fake_cpu;
    r->device.name = "fake";
    r->device.containers = fake_device;
    r->device.pin = fake_pin;
    r->device.unpin = fake_unpin;
    r->code = make_code(K, M, 250);
    fake.device_calls = 0;
    const struct ecc_container c = { .layout = { USED, D }, .stored = r->stored, .out = r->stored + USED * BLOCK };
    fill_random(r->stored, sizeof(r->stored), &random);
    assert_int_equal(scalar()->containers(ECC_ENCODE, r->code, BLOCK, &c, 1), 0);
    struct ecc_plan_options o = { .code = r->code, .block_size = BLOCK, .full = { K * D, D }, .cpu = &r->cpu, .device = &r->device };
    o.now_ns = fake_now;
    o.device_always = always;
    assert_int_equal(ecc_plan_create(&o, &r->plan), 0);
    assert_int_equal(fake.pinned, 0);
}

static void rig_fini(struct rig *r)
{
    ecc_plan_destroy(r->plan);
    ecc_code_destroy(r->code);
}

static void set_fakes(unsigned cpu_us, unsigned device_us)
{
    fake.cpu_us = cpu_us;
    fake.cpu_ns_per_byte = 0;
    fake.device_us = device_us;
    fake.fails_after = fake.wrong_after = UINT32_MAX;
    fake.fails_every = 0;
}

/* One encode through the plan: the bytes are right. */
static void encode_once(struct rig *r)
{
    memset(r->out, 0, sizeof(r->out));
    const struct ecc_container c = { .layout = { USED, D }, .stored = r->stored, .out = r->out };
    assert_int_equal(ecc_plan_containers(r->plan, ECC_ENCODE, r->code, BLOCK, &c, 1), 0);
    assert_memory_equal(r->out, r->stored + USED * BLOCK, sizeof(r->out));
}

/* One syndrome through the plan, with one stripe damaged: flags (and waves) say so. */
static void syndrome_once(struct rig *r, uint32_t stripe, bool with_waves)
{
    const struct ecc_container c = { .layout = { USED, D }, .stored = r->stored, .out = with_waves ? r->waves : NULL, .dirty = r->dirty };
    r->stored[stripe * BLOCK + 9] ^= 4;
    memset(r->dirty, 7, D);
    assert_int_equal(ecc_plan_containers(r->plan, ECC_SYNDROME, r->code, BLOCK, &c, 1), 0);
    r->stored[stripe * BLOCK + 9] ^= 4;
    for (uint32_t t = 0; t < D; t++) {
        assert_int_equal(r->dirty[t], t == stripe);
        if (with_waves)
            assert_int_equal(r->waves[t * BLOCK + 9] != 0, t == stripe);
    }
}

static struct ecc_plan_stats stats_of(struct rig *r)
{
    struct ecc_plan_stats s;
    ecc_plan_get_stats(r->plan, &s);
    return s;
}

static void without_a_device_the_cpu_does_everything(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(0, 0);
    rig_init(&r, false);
    ecc_plan_destroy(r.plan);
    const struct ecc_plan_options o = { .code = r.code, .block_size = BLOCK, .full = { K * D, D } };
    assert_int_equal(ecc_plan_create(&o, &r.plan), 0);
    encode_once(&r);
    syndrome_once(&r, 3, true);
    struct ecc_plan_stats s = stats_of(&r);
    assert_null(s.device);
    assert_int_equal(s.done_cpu[ECC_ENCODE].batches, 1);
    assert_int_equal(s.done_cpu[ECC_ENCODE].bytes, USED * BLOCK);
    assert_int_equal(s.done_cpu[ECC_SYNDROME].batches, 1);
    assert_true(s.engines.n >= 1 && s.engines.row[0].encode_gb_s > 0 && s.engines.row[0].syndrome_gb_s > 0);
    assert_string_equal(s.cpu, ecc_plan_cpu(r.plan)->name);
    assert_false(ecc_plan_prefers_device(r.plan, ECC_ENCODE));
    assert_false(ecc_plan_pin(r.plan, r.stored, sizeof(r.stored)));
    rig_fini(&r);
}

static void a_faster_device_gets_the_work(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(2000, 20);
    rig_init(&r, false);
    assert_true(ecc_plan_prefers_device(r.plan, ECC_ENCODE));
    for (unsigned i = 0; i < 10; i++) {
        encode_once(&r);
        syndrome_once(&r, i, i % 2);
    }
    struct ecc_plan_stats s = stats_of(&r);
    assert_int_equal(s.done_device[ECC_ENCODE].batches, 10);
    assert_int_equal(s.done_device[ECC_SYNDROME].batches, 10);
    assert_int_equal(s.done_device[ECC_ENCODE].ns, 10 * 20000);
    assert_int_equal(s.checked_stripes, 20);
    assert_int_equal(s.fallbacks, 0);
    assert_string_equal(s.last_failure, "");
    assert_true(s.cost[ECC_ENCODE].cpu_gb_s > 0);
    assert_int_equal((int)s.cost[ECC_ENCODE].device_latency_us, 20);
    assert_true(s.cost[ECC_ENCODE].wins_from_bytes < K * D * BLOCK / 90); /* 20 us of 2000 for a full one */
    rig_fini(&r);
}

static void a_slower_device_gets_no_work_but_to_be_asked_again(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(100, 3000);
    rig_init(&r, false);
    assert_false(ecc_plan_prefers_device(r.plan, ECC_ENCODE));
    for (unsigned i = 0; i < 1000; i++)
        encode_once(&r);
    struct ecc_plan_stats s = stats_of(&r);
    assert_int_equal(s.done_device[ECC_ENCODE].batches, 2); /* 3 ms each, of a sixteenth of 100 ms */
    assert_true(s.cost[ECC_ENCODE].wins_from_bytes > K * D * BLOCK * 28); /* thirty full ones would take the CPU 3 ms */
    rig_fini(&r);
}

static void a_device_that_becomes_fast_gets_the_work_then(void **state)
{
    (void)state;
    struct rig r;
    unsigned calls = 0;
    set_fakes(300, 1500);
    rig_init(&r, false);
    assert_false(ecc_plan_prefers_device(r.plan, ECC_ENCODE));
    fake.device_us = 10;
    while (!ecc_plan_prefers_device(r.plan, ECC_ENCODE) && calls < 2000) {
        encode_once(&r);
        calls++;
    }
    printf("found out after %u batches\n", calls);
    assert_true(calls < 2000);
    rig_fini(&r);
}

static void a_device_that_becomes_slow_loses_the_work(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(500, 10);
    rig_init(&r, false);
    assert_true(ecc_plan_prefers_device(r.plan, ECC_ENCODE));
    fake.device_us = 10000;
    unsigned calls = 0;
    while (ecc_plan_prefers_device(r.plan, ECC_ENCODE) && calls < 2000) {
        encode_once(&r);
        calls++;
    }
    printf("found out after %u batches\n", calls);
    assert_true(calls < 2000);
    rig_fini(&r);
}

/* The device takes a millisecond for whatever size, the CPU 6 ms for a full container and next to nothing for one stripe. */
static void the_size_of_the_batch_decides(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(0, 1000);
    fake.cpu_ns_per_byte = 400;
    rig_init(&r, false);
    struct ecc_plan_cost cost = stats_of(&r).cost[ECC_ENCODE];
    printf("from %llu bytes of %u\n", (unsigned long long)cost.wins_from_bytes, USED * BLOCK);
    assert_true(cost.device_latency_us > 500);
    assert_true(cost.wins_from_bytes > K * BLOCK && cost.wins_from_bytes < USED * BLOCK);
    const struct ecc_container stripe = { .layout = { K, 1 }, .stored = r.stored, .out = r.out };
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(ecc_plan_containers(r.plan, ECC_ENCODE, r.code, BLOCK, &stripe, 1), 0);
    assert_int_equal(stats_of(&r).done_cpu[ECC_ENCODE].batches, 20);
    encode_once(&r);
    assert_int_equal(stats_of(&r).done_device[ECC_ENCODE].batches, 1);
    rig_fini(&r);
}

static void asked_for_by_name_the_device_does_everything_it_can(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(10, 1000);
    rig_init(&r, true);
    assert_true(ecc_plan_prefers_device(r.plan, ECC_SYNDROME));
    for (unsigned i = 0; i < 5; i++)
        encode_once(&r);
    struct ecc_plan_stats s = stats_of(&r);
    assert_true(s.device_always);
    assert_int_equal(s.done_device[ECC_ENCODE].batches, 5);
    rig_fini(&r);
}

static void a_device_that_always_fails_is_given_up_before_it_is_used(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(1000, 10);
    fake.fails_after = 0;
    rig_init(&r, true);
    unsigned calls = fake.device_calls;
    encode_once(&r);
    syndrome_once(&r, 0, true);
    struct ecc_plan_stats s = stats_of(&r);
    assert_true(s.given_up);
    assert_int_equal(s.fallbacks, 0);
    assert_int_equal(fake.device_calls, calls);
    assert_non_null(strstr(s.last_failure, holo_strerror(-EIO)));
    assert_false(ecc_plan_pin(r.plan, r.stored, sizeof(r.stored)));
    rig_fini(&r);
}

static void a_device_that_fails_later_is_fallen_back_from_and_then_given_up(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(1000, 10);
    rig_init(&r, true);
    fake.fails_after = fake.device_calls + 4;
    for (unsigned i = 0; i < 20; i++) {
        encode_once(&r);
        syndrome_once(&r, i, i % 2);
    }
    struct ecc_plan_stats s = stats_of(&r);
    assert_true(s.given_up);
    assert_int_equal(s.fallbacks, 3);
    assert_int_equal(s.done_device[0].batches + s.done_device[1].batches, 4);
    assert_int_equal(s.done_cpu[0].batches + s.done_cpu[1].batches, 36);
    assert_true(strstr(s.last_failure, "encode: ") || strstr(s.last_failure, "syndrome: "));
    rig_fini(&r);
}

static void a_device_that_fails_now_and_then_is_given_up_in_the_end(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(100, 10);
    rig_init(&r, true);
    fake.fails_every = 3;
    for (unsigned i = 0; i < 60; i++)
        encode_once(&r);
    struct ecc_plan_stats s = stats_of(&r);
    assert_true(s.given_up);
    assert_int_equal(s.fallbacks, 16);
    rig_fini(&r);
}

static void a_device_that_gives_wrong_bytes_never_gets_work(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(1000, 10);
    fake.wrong_after = 0;
    rig_init(&r, false);
    struct ecc_plan_stats s = stats_of(&r);
    assert_true(s.given_up);
    assert_non_null(strstr(s.last_failure, "other bytes"));
    encode_once(&r);
    rig_fini(&r);
}

static void wrong_bytes_later_on_are_noticed_done_again_and_end_its_use(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct rig r;
        set_fakes(1000, 10);
        rig_init(&r, true);
        encode_once(&r);
        fake.wrong_after = 0;
        if (kind == 0)
            encode_once(&r);
        else
            syndrome_once(&r, 5, kind == 1);
        struct ecc_plan_stats s = stats_of(&r);
        assert_true(s.given_up);
        assert_int_equal(s.fallbacks, 1);
        assert_non_null(strstr(s.last_failure, "other bytes"));
        rig_fini(&r);
    }
}

static void memory_is_pinned_through_the_device(void **state)
{
    (void)state;
    struct rig r;
    set_fakes(10, 10);
    rig_init(&r, false);
    assert_true(ecc_plan_pin(r.plan, r.stored, sizeof(r.stored)));
    assert_int_equal(fake.pinned, 1);
    ecc_plan_unpin(r.plan, r.stored, sizeof(r.stored));
    assert_int_equal(fake.pinned, 0);
    rig_fini(&r);
}

static void *encode_many(void *arg)
{
    struct rig *r = arg;
    uint8_t *out = malloc(sizeof(r->out));
    const struct ecc_container c = { .layout = { USED, D }, .stored = r->stored, .out = out };
    for (unsigned i = 0; i < BULK; i++) {
        assert_int_equal(ecc_plan_containers(r->plan, ECC_ENCODE, r->code, BLOCK, &c, 1), 0);
        assert_memory_equal(out, r->stored + USED * BLOCK, sizeof(r->out));
    }
    free(out);
    return NULL;
}

static void several_threads_share_a_plan_while_its_device_breaks(void **state)
{
    (void)state;
    struct rig r;
    pthread_t thread[4];
    set_fakes(50, 10);
    rig_init(&r, true);
    fake.fails_after = fake.device_calls + BULK;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, encode_many, &r), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    struct ecc_plan_stats s = stats_of(&r);
    assert_int_equal(s.done_cpu[0].batches + s.done_device[0].batches, 4 * BULK);
    assert_int_equal(s.done_device[0].batches, BULK);
    assert_true(s.given_up && s.fallbacks >= 3 && s.fallbacks <= 15);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_device_the_cpu_does_everything),
        cmocka_unit_test(a_faster_device_gets_the_work),
        cmocka_unit_test(a_slower_device_gets_no_work_but_to_be_asked_again),
        cmocka_unit_test(a_device_that_becomes_fast_gets_the_work_then),
        cmocka_unit_test(a_device_that_becomes_slow_loses_the_work),
        cmocka_unit_test(the_size_of_the_batch_decides),
        cmocka_unit_test(asked_for_by_name_the_device_does_everything_it_can),
        cmocka_unit_test(a_device_that_always_fails_is_given_up_before_it_is_used),
        cmocka_unit_test(a_device_that_fails_later_is_fallen_back_from_and_then_given_up),
        cmocka_unit_test(a_device_that_fails_now_and_then_is_given_up_in_the_end),
        cmocka_unit_test(a_device_that_gives_wrong_bytes_never_gets_work),
        cmocka_unit_test(wrong_bytes_later_on_are_noticed_done_again_and_end_its_use),
        cmocka_unit_test(memory_is_pinned_through_the_device),
        cmocka_unit_test(several_threads_share_a_plan_while_its_device_breaks),
    };
    printf("seed %d\n", SEED);
    log_set_level(LOG_LEVEL_ERR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
