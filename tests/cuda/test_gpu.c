/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_gpu.c: the GPU engine on a simulated device: every byte right, every failure survived, nothing leaked. */
#include "tests/cuda/identity.h"
#include "tests/cuda/sim.h"

struct rig {
    struct sim sim;
    struct gpu *gpu;
};

static void rig_init(struct rig *r)
{
    char why[128];
    sim_init(&r->sim);
    assert_int_equal(gpu_create(&r->sim.rt, &r->gpu, why, sizeof(why)), 0);
}

static void rig_fini(struct rig *r)
{
    gpu_destroy(r->gpu);
    assert_int_equal(r->sim.allocations, 0);
    assert_int_equal(r->sim.pins, 0);
    assert_false(r->sim.is_open);
    for (unsigned i = 0; i < GPU_STREAMS; i++)
        assert_int_equal(r->sim.queued[i], 0);
}

static int by_gpu(void *arg, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    struct rig *r = arg;
    return gpu_containers(r->gpu, work, code, block_size, c, n);
}

static void containers_equal_the_scalar_engines_for_every_code(void **state)
{
    (void)state;
    uint64_t random = SEED;
    struct rig r;
    rig_init(&r);
    identity_check_all(by_gpu, &r, &random);
    rig_fini(&r);
}

static void real_blocks_and_stripes_are_right(void **state)
{
    (void)state;
    uint64_t random = SEED + 1;
    struct rig r;
    rig_init(&r);
    identity_check(by_gpu, &r, 8, 6, 0, 4096, 2, 9, &random);
    identity_check(by_gpu, &r, 5, 4, 77, 5120, 3, 5, &random);
    rig_fini(&r);
}

/* More containers than a launch takes; and more bytes than all slots hold, in containers of all sizes. */
static void many_containers_go_in_several_launches(void **state)
{
    (void)state;
    uint64_t random = SEED + 2;
    struct cuda_status status;
    struct rig r;
    rig_init(&r);
    identity_check(by_gpu, &r, 3, 2, 0, 64, IDENTITY_MAX, 3, &random);
    gpu_status(r.gpu, &status);
    assert_true(status.launches >= 3 * ((IDENTITY_MAX + GPU_PARTS - 1) / GPU_PARTS));
    assert_int_equal(status.launches, r.sim.launches);
    assert_int_equal(status.containers, 3 * IDENTITY_MAX);
    assert_true(status.bytes_in > 0 && status.bytes_out > 0);
    assert_int_equal(status.memory_held_bytes, r.sim.memory_used);
    identity_check(by_gpu, &r, 20, 2, 0, 4096, 40, 9, &random);
    rig_fini(&r);
}

static void memory_is_kept_for_the_next_call(void **state)
{
    (void)state;
    uint64_t random = SEED + 3;
    struct rig r;
    rig_init(&r);
    identity_check(by_gpu, &r, 16, 4, 0, 4096, 8, 9, &random);
    unsigned calls = r.sim.allocations;
    size_t used = r.sim.memory_used;
    identity_check(by_gpu, &r, 4, 2, 0, 64, 8, 3, &random);
    assert_int_equal(r.sim.allocations, calls);
    assert_int_equal(r.sim.memory_used, used);
    rig_fini(&r);
}

static void one_slot_is_enough_when_the_device_is_small(void **state)
{
    (void)state;
    uint64_t random = SEED + 4;
    struct rig r;
    rig_init(&r);
    r.sim.memory_limit = 1 << 20;
    identity_check(by_gpu, &r, 3, 2, 0, 64, 150, 3, &random);
    assert_int_equal(r.sim.allocations, 1);
    rig_fini(&r);
}

/* A larger container takes the memory of all slots before it is refused. */
static void slots_are_given_up_for_a_larger_container(void **state)
{
    (void)state;
    uint64_t random = SEED + 5;
    struct rig r;
    rig_init(&r);
    r.sim.memory_limit = 3 << 20;
    identity_check(by_gpu, &r, 3, 2, 0, 64, 150, 3, &random);
    assert_int_equal(r.sim.allocations, 3);
    identity_check(by_gpu, &r, 60, 2, 0, 4096, 1, 9, &random);
    rig_fini(&r);
}

/* ---- failures ---- */

enum { FAULT_CONTAINERS = 100 };

/* Containers of one call, and what they should become. */
static void fault_setup(struct identity *t, const struct ecc_code *code)
{
    uint64_t random = SEED + 6;
    t->code = code;
    t->block = 64;
    for (unsigned i = 0; i < FAULT_CONTAINERS; i++)
        identity_add(t, 1 + i % 3, i % 4, &random);
    assert_int_equal(scalar()->containers(ECC_SYNDROME, code, t->block, t->right, t->n), 0);
}

/* The n-th call of the runtime fails: the engine says so, or gives right bytes; then it works again, unless the device is lost. */
static bool fails_well(struct identity *t, unsigned at, int code)
{
    struct cuda_status before, after;
    struct rig r;
    rig_init(&r);
    r.sim.fail_at = r.sim.calls + at;
    r.sim.fail_code = code;
    int e = by_gpu(&r, ECC_SYNDROME, t->code, t->block, t->got, t->n);
    bool reached = r.sim.calls >= r.sim.fail_at;
    r.sim.fail_at = 0;
    for (unsigned i = 0; i < GPU_STREAMS; i++)
        assert_int_equal(r.sim.queued[i], 0);
    gpu_status(r.gpu, &before);
    assert_int_equal(before.fallbacks, e != 0);
    if (e)
        assert_true(e == code && strlen(before.last_error) > 0);
    else
        identity_assert_same(t);
    unsigned calls = r.sim.calls;
    e = by_gpu(&r, ECC_SYNDROME, t->code, t->block, t->got, t->n);
    gpu_status(r.gpu, &after);
    assert_int_equal(e, before.lost ? -ENODEV : 0);
    assert_int_equal(before.lost, reached && code == -ENODEV);
    assert_int_equal(after.fallbacks, before.fallbacks + (e != 0));
    if (before.lost)
        assert_int_equal(r.sim.calls, calls); /* nobody asks it again */
    else
        identity_assert_same(t);
    rig_fini(&r);
    return reached;
}

static void every_failing_call_is_survived(void **state)
{
    (void)state;
    static const int codes[] = { -EIO, -ENOMEM, -ENODEV };
    struct ecc_code *code = make_code(3, 2, 9);
    struct identity *t = calloc(1, sizeof(*t));
    fault_setup(t, code);
    for (unsigned c = 0; c < 3; c++) {
        unsigned at = 1;
        while (fails_well(t, at, codes[c]))
            at++;
        assert_true(at > 3 * FAULT_CONTAINERS);
    }
    identity_fini(t);
    free(t);
    ecc_code_destroy(code);
}

static void a_device_that_does_not_open_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct gpu *gpu = NULL;
    struct sim sim;
    char why[128] = "";
    sim_init(&sim);
    sim.fail_at = 1;
    sim.fail_code = -ENODEV;
    assert_int_equal(gpu_create(&sim.rt, &gpu, why, sizeof(why)), -ENODEV);
    assert_null(gpu);
    assert_string_equal(why, "the simulated device is lost");
}

static void rows_beyond_32_bits_are_left_to_the_cpu(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_code *code = make_code(2, 2, 0);
    const struct ecc_container c = { .layout = { .used = 1, .D = 1u << 20 } };
    rig_init(&r);
    unsigned calls = r.sim.calls;
    assert_int_equal(gpu_containers(r.gpu, ECC_ENCODE, code, 4096, &c, 1), -E2BIG);
    assert_int_equal(r.sim.calls, calls);
    ecc_code_destroy(code);
    rig_fini(&r);
}

static void pinned_memory_is_counted(void **state)
{
    (void)state;
    struct cuda_status status;
    struct rig r;
    char bytes[64];
    rig_init(&r);
    assert_int_equal(gpu_pin(r.gpu, bytes, sizeof(bytes)), 0);
    gpu_status(r.gpu, &status);
    assert_int_equal(status.pinned_bytes, sizeof(bytes));
    gpu_unpin(r.gpu, bytes, sizeof(bytes));
    r.sim.fail_at = r.sim.calls + 1;
    r.sim.fail_code = -EIO;
    assert_int_equal(gpu_pin(r.gpu, bytes, sizeof(bytes)), -EIO);
    gpu_status(r.gpu, &status);
    assert_int_equal(status.pinned_bytes, 0);
    assert_string_equal(status.last_error, "a simulated failure");
    rig_fini(&r);
}

/* ---- status, threads ---- */

static void a_driver_that_hangs_does_not_hold_up_the_status(void **state)
{
    (void)state;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct cuda_status status;
    struct rig r;
    rig_init(&r);
    pthread_mutex_lock(&gate);
    r.sim.sample_gate = &gate;
    for (unsigned i = 0; i < 3; i++) {
        gpu_status(r.gpu, &status);
        assert_int_equal(status.temperature_c, -1);
        assert_int_equal(status.memory_free_bytes, -1);
    }
    assert_string_equal(status.name, "simulation");
    assert_int_equal(status.memory_bytes, 1 << 30);
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < 1000 && status.temperature_c < 0; i++) {
        usleep(1000);
        gpu_status(r.gpu, &status);
    }
    assert_int_equal(status.temperature_c, 41);
    assert_int_equal(status.utilization_pct, 7);
    assert_int_equal(status.power_mw, 75000);
    assert_int_equal(status.memory_free_bytes, 12345);
    rig_fini(&r);
}

/* cmocka's assertions belong to the main thread: this one only tells. */
struct worker {
    struct rig *rig;
    pthread_t thread;
    const struct ecc_code *code;
    struct identity *t;
    int e;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < 5 && !w->e; i++)
        w->e = by_gpu(w->rig, ECC_SYNDROME, w->code, w->t->block, w->t->got, w->t->n);
    return NULL;
}

static void several_threads_take_turns(void **state)
{
    (void)state;
    struct worker w[4] = { 0 };
    struct rig r;
    struct ecc_code *code = make_code(3, 2, 9);
    rig_init(&r);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){ .rig = &r, .code = code, .t = calloc(1, sizeof(struct identity)) };
        fault_setup(w[i].t, code);
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].e, 0);
        identity_assert_same(w[i].t);
        identity_fini(w[i].t);
        free(w[i].t);
    }
    ecc_code_destroy(code);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_equal_the_scalar_engines_for_every_code),
        cmocka_unit_test(real_blocks_and_stripes_are_right),
        cmocka_unit_test(many_containers_go_in_several_launches),
        cmocka_unit_test(memory_is_kept_for_the_next_call),
        cmocka_unit_test(one_slot_is_enough_when_the_device_is_small),
        cmocka_unit_test(slots_are_given_up_for_a_larger_container),
        cmocka_unit_test(every_failing_call_is_survived),
        cmocka_unit_test(a_device_that_does_not_open_is_refused_with_a_reason),
        cmocka_unit_test(rows_beyond_32_bits_are_left_to_the_cpu),
        cmocka_unit_test(pinned_memory_is_counted),
        cmocka_unit_test(a_driver_that_hangs_does_not_hold_up_the_status),
        cmocka_unit_test(several_threads_take_turns),
    };
    printf("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
