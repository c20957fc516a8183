/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_device.c: the GPU of this machine gives the scalar engine's bytes, in everything that the simulated one is tested with, and in
 * batches of real size. Exits with 77, which ctest counts as skipped, where there is no GPU. With `quick` as its argument the real
 * sizes are left out: a simulated device would take minutes.
 */
#include "tests/cuda/identity.h"

#include <string.h>

enum { EXIT_SKIPPED = 77 };

static int by_engine(void *arg, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                     unsigned n)
{
    const struct ecc_engine *engine = arg;
    return engine->containers(work, code, block_size, c, n);
}

static void the_device_gives_the_scalar_engines_bytes_for_every_code(void **state)
{
    uint64_t random = SEED;
    identity_check_all(by_engine, *state, &random);
}

static void whole_containers_are_right(void **state)
{
    uint64_t random = SEED + 1;
    identity_check(by_engine, *state, 64, 6, 0, 4096, 3, 257, &random);
    identity_check(by_engine, *state, 64, 10, 12345, 4096, 2, 257, &random);
    identity_check(by_engine, *state, 235, 20, 0, 4096, 2, 17, &random);
}

static void many_containers_are_right(void **state)
{
    uint64_t random = SEED + 2;
    identity_check(by_engine, *state, 64, 6, 0, 4096, IDENTITY_MAX, 5, &random);
}

static void page_locked_memory_is_as_good(void **state)
{
    const struct ecc_engine *engine = *state;
    uint64_t random = SEED + 3;
    struct ecc_code *code = make_code(64, 6, 0);
    const struct ecc_layout l = { .used = 64 * 33, .D = 33 };
    size_t data = (size_t)l.used * 4096, parity = (size_t)6 * l.D * 4096, len = data + 2 * parity;
    uint8_t *bytes = aligned_alloc(4096, len);
    assert_non_null(bytes);
    fill_random(bytes, data, &random);
    const struct ecc_container got = { .layout = l, .stored = bytes, .out = bytes + data };
    const struct ecc_container right = { .layout = l, .stored = bytes, .out = bytes + data + parity };
    assert_int_equal(engine->pin(bytes, len), 0);
    assert_int_equal(engine->containers(ECC_ENCODE, code, 4096, &got, 1), 0);
    assert_int_equal(scalar()->containers(ECC_ENCODE, code, 4096, &right, 1), 0);
    assert_memory_equal(got.out, right.out, parity);
    engine->unpin(bytes, len);
    free(bytes);
    ecc_code_destroy(code);
}

int main(int argc, char **argv)
{
    char why[128];
    bool quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    const struct ecc_engine *engine = cuda_engine_get(why, sizeof(why));
    if (!engine) {
        printf("skipped: %s\n", why);
        return EXIT_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_device_gives_the_scalar_engines_bytes_for_every_code, (void *)(uintptr_t)engine),
    };
    const struct CMUnitTest real_sizes[] = {
        cmocka_unit_test_prestate(whole_containers_are_right, (void *)(uintptr_t)engine),
        cmocka_unit_test_prestate(many_containers_are_right, (void *)(uintptr_t)engine),
        cmocka_unit_test_prestate(page_locked_memory_is_as_good, (void *)(uintptr_t)engine),
    };
    printf("seed %d\n", SEED);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (quick ? 0 : cmocka_run_group_tests(real_sizes, NULL, NULL));
}
