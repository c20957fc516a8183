/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_protect.c: where the bytes of a file are, which blocks are right there, and how long a burst may be. */
#include "tests/core/victim.h"

#include <sys/statfs.h>

#include "core/fs.h"
#include "core/medium.h"
#include "core/protect.h"
#include "remap/remap.h"

/* All places of a file; their bytes by state. */
static size_t all_places(struct rig *r, uint64_t ino, struct place *out, size_t cap, uint64_t bytes[3])
{
    struct places *p = malloc(sizeof(*p));
    size_t n = 0;
    memset(bytes, 0, 3 * sizeof(*bytes));
    for (uint64_t off = 0, end = 0; off != UINT64_MAX; off = p->off) {
        *p = (struct places){ .off = off };
        assert_int_equal(holofs_places(r->fs, ino, p), 0);
        for (uint32_t i = 0; i < p->n; i++) {
            assert_true(p->v[i].off >= end && p->v[i].len > 0 && p->v[i].state <= PLACE_SEALED && n < cap);
            end = p->v[i].off + p->v[i].len;
            bytes[p->v[i].state] += p->v[i].len;
            out[n++] = p->v[i];
        }
        assert_true(p->off == UINT64_MAX || p->off >= end);
    }
    free(p);
    return n;
}

static void every_byte_is_in_one_place_and_holes_in_none(void **state)
{
    struct rig r;
    struct place v[4096];
    uint64_t bytes[3];
    uint8_t piece[5000];
    (void)state;
    rig_start(&r);
    rig_fill(5, piece, sizeof(piece));
    uint64_t ino = rig_file(&r, "whole", 1, 700000), sparse = rig_create(&r, "sparse"), empty = rig_create(&r, "empty");
    for (uint64_t i = 0; i < 300; i++)
        rig_write(&r, sparse, i * 777777, piece, sizeof(piece));
    assert_true(all_places(&r, empty, v, 4096, bytes) == 0);
    for (int sealed = 0; sealed < 2; sealed++) {
        all_places(&r, ino, v, 4096, bytes);
        assert_true(bytes[PLACE_SEALED] + bytes[PLACE_UNSEALED] == 700000 && (!sealed || bytes[PLACE_UNSEALED] == 0));
        assert_true(all_places(&r, sparse, v, 4096, bytes) >= 300);
        assert_true(bytes[PLACE_SEALED] + bytes[PLACE_UNSEALED] == 300 * sizeof(piece));
        assert_true(sealed ? bytes[PLACE_UNSEALED] == 0 : bytes[PLACE_UNSEALED] > 0);
        rig_do(&r, "seal");
    }
    struct places *p = calloc(1, sizeof(*p));
    assert_int_equal(holofs_places(r.fs, RIG_ROOT, p), -EINVAL);
    p->off = UINT64_MAX - 5;
    assert_int_equal(holofs_places(r.fs, ino, p), 0);
    assert_true(p->n == 0 && p->off == UINT64_MAX);
    free(p);
    rig_stop(&r);
}

/* The states of all blocks of a container file. */
static uint8_t *judge_all(struct rig *r, uint64_t ino, uint32_t container, uint32_t *n)
{
    struct judged *j = malloc(sizeof(*j));
    uint8_t *out = NULL;
    *n = 0;
    do {
        *j = (struct judged){ .container = container, .first = *n };
        assert_int_equal(holofs_judge(r->fs, ino, j), 0);
        out = realloc(out, *n + j->n + 1);
        memcpy(out + *n, j->state, j->n);
        *n += j->n;
    } while (j->n);
    free(j);
    return out;
}

static void each_bad_block_is_told_and_none_is_repaired(void **state)
{
    struct victim v;
    uint32_t n, blocks;
    (void)state;
    victim_start(&v);
    blocks = chead_file_blocks(&v.h);
    const uint32_t spoilt[] = { 1, 2, 40, 41, blocks - 4, blocks - 1 }; /* a copy of the table, and of the header, is left */
    for (size_t k = 0; k < sizeof(spoilt) / sizeof(spoilt[0]); k++)
        ruin(&v, spoilt[k], 1, k);
    size_t len, after;
    uint8_t *damaged = slurp(v.path, &len);
    rig_open(&v.r);
    uint64_t ino = rig_find(&v.r, RIG_ROOT, "large");
    uint8_t *told = judge_all(&v.r, ino, v.h.id, &n);
    assert_true(n == blocks);
    for (uint32_t b = 0; b < n; b++) {
        bool right = memcmp(damaged + (size_t)b * RIG_BLOCK, v.good + (size_t)b * RIG_BLOCK, RIG_BLOCK) == 0;
        if (told[b] != (right ? BLOCK_STATE_RIGHT : BLOCK_STATE_BAD))
            fail_msg("block %u of %u: %u", b, blocks, told[b]);
    }
    assert_true(rig_stat(&v.r, "repaired_blocks") == 0);
    uint8_t *now = slurp(v.path, &after);
    assert_true(after == len && memcmp(now, damaged, len) == 0);
    free(now);
    free(damaged);
    free(told);
    victim_stop(&v);
}

static void only_the_container_of_the_file_is_told(void **state)
{
    struct victim v;
    struct judged *j = malloc(sizeof(*j));
    (void)state;
    victim_start(&v);
    rig_open(&v.r);
    uint64_t large = rig_find(&v.r, RIG_ROOT, "large"), other = rig_find(&v.r, RIG_ROOT, "other");
    const struct {
        uint64_t ino, off;
        uint32_t container;
        int code;
    } ask[] = { { large, 0, v.h.id, 0 },       { other, 0, v.h.id, -ESTALE },          { large, FILE_BYTES, v.h.id, -ESTALE },
                { large, 0, 0, -ESTALE },      { large, 0, UINT32_MAX, -ESTALE },      { large, UINT64_MAX, v.h.id, -EINVAL },
                { RIG_ROOT, 0, v.h.id, -EINVAL } };
    for (size_t i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
        *j = (struct judged){ .off = ask[i].off, .container = ask[i].container };
        assert_int_equal(holofs_judge(v.r.fs, ask[i].ino, j), ask[i].code);
    }
    *j = (struct judged){ .container = v.h.id, .first = UINT32_MAX };
    assert_int_equal(holofs_judge(v.r.fs, large, j), 0);
    assert_true(j->n == 0);
    free(j);
    victim_stop(&v);
}

/* Have these blocks of the container on spares, one behind the other, and garbage where they were. elsewhere: a directory, or NULL. */
static void remap_blocks(struct victim *v, const uint32_t *block, uint32_t n, const char *elsewhere)
{
    struct backing *b;
    struct remap_table *t;
    uint64_t left;
    uint32_t number;
    assert_int_equal(backing_posix_open(v->r.dir, false, &b), 0);
    assert_int_equal(remap_open(b, v->h.uuid, false, &t), 0);
    if (elsewhere) {
        assert_int_equal(remap_spare_add(t, elsewhere, 16, &number), 0);
        assert_int_equal(remap_spare_empty(t, 0, &left), 0); /* nothing new goes there */
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(remap_add(t, v->h.id, block[i], v->good + (size_t)block[i] * RIG_BLOCK), 0);
        ruin(v, block[i], 1, i);
    }
    remap_close(t);
    b->ops->close(b);
}

/* More members of a stripe than it can lose lie side by side in the spare file: that is where a burst hurts. */
static void expect_remapped_blocks_to_count(bool elsewhere)
{
    struct victim v;
    struct statfs fs;
    uint32_t n, block[ECC_M_MAX + 1];
    uint64_t burst;
    char why[4400], shm[sizeof(v.r.dir)], spares[] = "/var/tmp/holofs-core-XXXXXX";
    victim_start(&v);
    for (unsigned i = 0; i <= v.h.m; i++)
        block[i] = member_block(&v, 1, i);
    assert_non_null(mkdtemp(spares));
    remap_blocks(&v, block, v.h.m + 1, elsewhere ? spares : NULL);
    rig_open(&v.r);
    uint8_t *told = judge_all(&v.r, rig_find(&v.r, RIG_ROOT, "large"), v.h.id, &n);
    rig_close(&v.r);
    for (unsigned i = 0; i <= v.h.m; i++)
        assert_int_equal(told[block[i]], BLOCK_STATE_REMAPPED);

    /* The store as it is, on a filesystem that says where files are, if /var/tmp is on one. */
    char command[2 * PATH_MAX], dir[] = "/var/tmp/holofs-core-XXXXXX";
    uint8_t *wanted = calloc(v.h.D, 1);
    const struct medium_container c = { .id = v.h.id, .k = v.h.k, .m = v.h.m, .D = v.h.D, .used = v.h.used, .tables = v.h.table_blocks,
                                        .state = told, .wanted = wanted };
    const struct medium_container *list[] = { &c };
    snprintf(shm, sizeof(shm), "%s", v.r.dir);
    assert_non_null(mkdtemp(dir));
    snprintf(command, sizeof(command), "cp -r %s/. %s && sync -f %s", shm, dir, dir);
    assert_int_equal(system(command), 0);
    bool known = statfs(dir, &fs) == 0 && (fs.f_type == 0xef53 || fs.f_type == 0x58465342);
    wanted[0] = 1;
    assert_int_equal(medium_burst(dir, list, 1, false, &burst, why, sizeof(why)), known);
    assert_true(!known || burst >= (uint64_t)v.h.m * v.h.D * RIG_BLOCK);
    wanted[1] = 1;
    assert_int_equal(medium_burst(dir, list, 1, false, &burst, why, sizeof(why)), known);
    assert_true(!known || burst == (uint64_t)v.h.m * RIG_BLOCK);
    if (!known)
        print_message("/var/tmp does not say where files are: %s\n", why);
    rig_remove_tree(dir);
    rig_remove_tree(spares);
    free(wanted);
    free(told);
    victim_stop(&v);
}

static void remapped_blocks_count_where_they_are(void **state)
{
    (void)state;
    expect_remapped_blocks_to_count(false);
    expect_remapped_blocks_to_count(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_in_one_place_and_holes_in_none),
        cmocka_unit_test(each_bad_block_is_told_and_none_is_repaired),
        cmocka_unit_test(only_the_container_of_the_file_is_told),
        cmocka_unit_test(remapped_blocks_count_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
