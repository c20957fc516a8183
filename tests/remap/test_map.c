/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_map.c: the table in memory against a plain array, and how long a lookup takes. */
#include "tests/remap/rig.h"

#include "base/clock.h"
#include "remap/map.h"

enum { CONTAINERS = 5, BLOCKS = 40, SPARES = 150 };

static struct remap_map *map_new(uint32_t blocks)
{
    struct remap_header h = { .first = 1, .n_spares = 2,
                              .spare = { { .blocks = blocks / 2 }, { .number = 7, .blocks = blocks - blocks / 2 } } };
    struct remap_map *m;
    assert_int_equal(remap_map_create(&h, &m), 0);
    return m;
}

static int add(struct remap_map *m, uint32_t container, uint32_t block, uint64_t sum)
{
    struct remap_place p;
    assert_int_equal(remap_map_reserve(m), 0);
    if (!remap_map_next_free(m, &p))
        return -1;
    remap_map_apply(m, &(struct remap_entry){
        .kind = REMAP_ADD, .container = container, .file_block = block, .spare = p.spare ? 7 : 0, .spare_block = p.block, .sum = sum });
    return 0;
}

/* sum 0: not remapped. The ids collide in the filter on purpose. */
static uint32_t container_id(size_t c)
{
    return (uint32_t)(c * 16384 + 3);
}

static void assert_same(struct remap_map *m, uint64_t model[CONTAINERS][BLOCKS])
{
    bool used[2][SPARES] = { 0 };
    uint64_t count = 0;
    for (size_t c = 0; c < CONTAINERS; c++)
        for (uint32_t b = 0; b < BLOCKS; b++) {
            struct remap_place p;
            bool found = remap_map_find(m, container_id(c), b, &p);
            assert_int_equal(found, model[c][b] != 0);
            if (!found)
                continue;
            assert_true(p.sum == model[c][b]);
            assert_false(used[p.spare][p.block]);
            used[p.spare][p.block] = true;
            count++;
        }
    struct remap_counts n;
    remap_map_counts(m, &n);
    assert_int_equal(n.remaps, count);
    assert_int_equal(n.used, count);
    assert_true(n.used + n.bad <= n.blocks);
}

static void random_changes_agree_with_a_plain_array(void **state)
{
    (void)state;
    uint64_t seed = rig_seed, model[CONTAINERS][BLOCKS] = { 0 };
    struct remap_map *m = map_new(SPARES);
    for (unsigned i = 0; i < 20000; i++) {
        size_t c = rig_random(&seed) % CONTAINERS;
        uint32_t b = (uint32_t)(rig_random(&seed) % BLOCKS);
        uint64_t what = rig_random(&seed) % 100;
        if (what < 60 && !model[c][b]) {
            if (add(m, container_id(c), b, i + 1) == 0)
                model[c][b] = i + 1;
        } else if (what < 98) {
            remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_DROP_BLOCK, .container = container_id(c), .file_block = b });
            model[c][b] = 0;
        } else {
            assert_int_equal(remap_map_has(m, container_id(c)), memcmp(model[c], (uint64_t[BLOCKS]){ 0 }, sizeof(model[c])) != 0);
            remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_DROP_CONTAINER, .container = container_id(c) });
            memset(model[c], 0, sizeof(model[c]));
        }
        if (i % 50 == 0)
            assert_same(m, model);
    }
    assert_same(m, model);
    remap_map_destroy(m);
}

static void a_block_remapped_again_leaves_its_old_spare_bad(void **state)
{
    (void)state;
    struct remap_map *m = map_new(4);
    struct remap_counts n;
    for (uint64_t v = 1; v <= 4; v++) {
        assert_int_equal(add(m, 1, 1, v), 0);
        remap_map_counts(m, &n);
        assert_int_equal(n.remaps, 1);
        assert_int_equal(n.bad, v - 1);
    }
    assert_int_equal(add(m, 1, 2, 9), -1);
    remap_map_destroy(m);
}

static void the_later_of_two_remaps_to_one_spare_block_wins(void **state)
{
    (void)state;
    struct remap_map *m = map_new(4);
    for (uint32_t c = 1; c <= 2; c++)
        remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_ADD, .container = c, .file_block = 1, .spare = 7, .spare_block = 1, .sum = c });
    assert_false(remap_map_find(m, 1, 1, NULL));
    assert_true(remap_map_find(m, 2, 1, NULL));
    remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_SPARE_BAD, .spare = 7, .spare_block = 1 });
    assert_false(remap_map_find(m, 2, 1, NULL));
    remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_ADD, .container = 3, .spare = 7, .spare_block = 2 });
    remap_map_apply(m, &(struct remap_entry){ .kind = REMAP_ADD, .container = 3, .spare = 9, .spare_block = 0 });
    struct remap_counts n;
    remap_map_counts(m, &n);
    assert_int_equal(n.remaps, 0);
    assert_int_equal(n.bad, 1);
    remap_map_destroy(m);
}

static void the_snapshot_makes_the_same_table(void **state)
{
    (void)state;
    struct remap_map *m = map_new(3000), *copy = map_new(3000);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(add(m, i % 17, i % 900, i + 1), 0);
    struct remap_entry *e;
    size_t n;
    assert_int_equal(remap_map_entries(m, &e, &n), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(remap_map_reserve(copy), 0);
        remap_map_apply(copy, &e[i]);
    }
    free(e);
    struct remap_counts a, b;
    remap_map_counts(m, &a);
    remap_map_counts(copy, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    for (uint32_t i = 0; i < 1000; i++) {
        struct remap_place p, q;
        assert_true(remap_map_find(m, i % 17, i % 900, &p) && remap_map_find(copy, i % 17, i % 900, &q));
        assert_memory_equal(&p, &q, sizeof(p));
    }
    remap_map_destroy(m);
    remap_map_destroy(copy);
}

static double lookup_ns(struct remap_map *m, uint32_t containers, uint32_t blocks)
{
    enum { N = 2000000 };
    uint64_t seed = rig_seed, from = clock_mono_ns();
    unsigned found = 0;
    for (unsigned i = 0; i < N; i++) {
        uint64_t x = rig_random(&seed);
        found += remap_map_find(m, (uint32_t)(x >> 20) % containers, (uint32_t)x % blocks, NULL);
    }
    double ns = (double)(clock_mono_ns() - from) / N;
    assert_true(found <= N);
    return ns;
}

static void lookups_stay_cheap_with_100000_remaps(void **state)
{
    (void)state;
    struct remap_map *m = map_new(200000);
    print_message("lookup, empty table: %.1f ns\n", lookup_ns(m, 160000, 16384));
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(add(m, i % 1000, i / 1000, i + 1), 0);
    print_message("lookup, 100000 remaps, found: %.1f ns; not found in a container with some: %.1f ns; in one without: %.1f ns\n",
                  lookup_ns(m, 1000, 100), lookup_ns(m, 1000, 16384), lookup_ns(m, 16384, 16384));
    remap_map_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_plain_array),
        cmocka_unit_test(a_block_remapped_again_leaves_its_old_spare_bad),
        cmocka_unit_test(the_later_of_two_remaps_to_one_spare_block_wins),
        cmocka_unit_test(the_snapshot_makes_the_same_table),
        cmocka_unit_test(lookups_stay_cheap_with_100000_remaps),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
