/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fixture.h: an index in a directory of its own, for every test one; random numbers from a printed seed. */
#ifndef TESTS_META_FIXTURE_H
#define TESTS_META_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/meta.h"

static const uint8_t test_uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

struct fixture {
    char dir[64], path[80];
    struct meta_index *idx;
    struct meta_reader *r;
    struct meta_state st;
    uint64_t rng;
};

static inline uint64_t rnd(struct fixture *f)
{
    uint64_t z = f->rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline void open_again(struct fixture *f)
{
    assert_int_equal(meta_open(f->path, test_uuid, &f->idx), 0);
    assert_int_equal(meta_reader_open(f->idx, &f->r), 0);
}

static inline void close_all(struct fixture *f)
{
    meta_reader_close(f->r);
    meta_close(f->idx);
    f->r = NULL;
    f->idx = NULL;
}

static inline void begin(struct fixture *f)
{
    assert_int_equal(meta_begin(f->idx), 0);
}

static inline void commit(struct fixture *f)
{
    f->st.txg++;
    assert_int_equal(meta_commit(f->idx, &f->st), 0);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *seed = getenv("SEED");
    snprintf(f->dir, sizeof(f->dir), "/tmp/holo-meta-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/index.db", f->dir);
    f->rng = seed ? strtoull(seed, NULL, 0) : clock_mono_ns();
    print_message("seed %llu\n", (unsigned long long)f->rng);
    memcpy(f->st.uuid, test_uuid, sizeof(test_uuid));
    if (meta_create(f->path, test_uuid, &f->idx) || meta_reader_open(f->idx, &f->r))
        return -1;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    meta_remove(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
