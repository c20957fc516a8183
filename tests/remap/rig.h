/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rig.h: a remap table in memory under a fault layer, and blocks whose bytes follow from their names. */
#ifndef HOLO_TESTS_REMAP_RIG_H
#define HOLO_TESTS_REMAP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "remap/remap.h"
#include "store/backing.h"

static const uint8_t rig_uuid[16] = { 0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e };
static const uint64_t rig_seed = 0x7e3a9;

struct rig {
    struct backing *memory, *fault;
    struct remap_table *t;
};

static inline struct rig *rig_new_seeded(uint32_t spare_blocks, uint64_t seed)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_int_equal(backing_memory_create(UINT64_C(4) << 30, &r->memory), 0);
    assert_int_equal(backing_fault_create(r->memory, seed, &r->fault), 0);
    assert_int_equal(remap_format(r->memory, rig_uuid, spare_blocks), 0);
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
    return r;
}

static inline struct rig *rig_new(uint32_t spare_blocks)
{
    return rig_new_seeded(spare_blocks, rig_seed);
}

static inline void rig_free(struct rig *r)
{
    remap_close(r->t);
    r->fault->ops->close(r->fault);
    r->memory->ops->close(r->memory);
    free(r);
}

static inline void rig_reopen(struct rig *r)
{
    remap_close(r->t);
    r->t = NULL;
    assert_int_equal(remap_open(r->fault, rig_uuid, false, &r->t), 0);
}

/* What version v of a block holds. */
static inline void rig_bytes(uint32_t container, uint32_t block, uint32_t v, uint8_t out[REMAP_BLOCK_SIZE])
{
    uint64_t x = ((uint64_t)container << 32 | block) * 0x9e3779b97f4a7c15u + v;
    for (size_t i = 0; i < REMAP_BLOCK_SIZE; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        le64_put(out + i, x ^ x >> 29);
    }
}

static inline int rig_add(struct rig *r, uint32_t container, uint32_t block, uint32_t v)
{
    uint8_t buf[REMAP_BLOCK_SIZE];
    rig_bytes(container, block, v, buf);
    return remap_add(r->t, container, block, buf);
}

static inline void rig_expect(struct rig *r, uint32_t container, uint32_t block, uint32_t v)
{
    uint8_t want[REMAP_BLOCK_SIZE], got[REMAP_BLOCK_SIZE];
    rig_bytes(container, block, v, want);
    assert_true(remap_lookup(r->t, container, block));
    assert_int_equal(remap_read(r->t, container, block, got), 0);
    assert_memory_equal(got, want, REMAP_BLOCK_SIZE);
}

static inline void rig_expect_none(struct rig *r, uint32_t container, uint32_t block)
{
    uint8_t got[REMAP_BLOCK_SIZE];
    assert_false(remap_lookup(r->t, container, block));
    assert_int_equal(remap_read(r->t, container, block, got), -ENOENT);
}

static inline struct remap_stats rig_stats(struct rig *r)
{
    struct remap_stats s;
    remap_stats(r->t, &s);
    return s;
}

static inline struct bfile *rig_file(struct rig *r, const char *name)
{
    struct bfile *f;
    assert_int_equal(r->memory->ops->open(r->memory, name, BACKING_WRITE, &f), 0);
    return f;
}

static inline uint64_t rig_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

#endif
