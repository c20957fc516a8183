/* SPDX-License-Identifier: GPL-2.0-or-later */
/* victim.h: a store with a sealed container that a test damages, and the bytes it must have again afterwards. */
#ifndef HOLO_TESTS_CORE_VICTIM_H
#define HOLO_TESTS_CORE_VICTIM_H

#include "tests/core/rig.h"

#include "ecc/ecc.h"
#include "store/chead.h"

enum { FILE_BYTES = 180 * RIG_BLOCK, OTHER_BYTES = 50000, ROOM_MAX = 100 << 20 };

/* A sealed data container with one large file, and another container with another file. */
struct victim {
    struct rig r;
    char path[PATH_MAX];
    struct container_header h;
    uint8_t *good; /* the file of the container */
    size_t len;
};

static inline uint8_t *slurp(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size <= ROOM_MAX);
    uint8_t *p = malloc((size_t)st.st_size + 1);
    assert_true(read(fd, p, (size_t)st.st_size) == st.st_size);
    close(fd);
    *len = (size_t)st.st_size;
    return p;
}

/* The container file of that class with the lowest number. */
static inline void find_container(struct victim *v, uint32_t cls)
{
    for (uint32_t id = 1; id < 100; id++) {
        char name[CONTAINER_NAME_MAX];
        container_name(id, name);
        rig_name(&v->r, name, v->path);
        if (access(v->path, R_OK) != 0)
            continue;
        v->good = slurp(v->path, &v->len);
        assert_int_equal(chead_decode_any(v->good, &v->h), 0);
        if (v->h.cls == cls)
            return;
        free(v->good);
    }
    fail_msg("no container of class %u", cls);
}

static inline void victim_start_with(struct victim *v, const struct holofs_geometry *g, size_t bytes)
{
    rig_init(&v->r);
    v->r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&v->r, g);
    rig_open(&v->r);
    rig_file(&v->r, "large", 1, bytes);
    rig_do(&v->r, "seal");
    rig_file(&v->r, "other", 2, OTHER_BYTES);
    rig_do(&v->r, "seal");
    rig_close(&v->r);
    find_container(v, CLASS_DATA);
}

static inline void victim_start(struct victim *v)
{
    struct holofs_geometry g = rig_geometry();
    victim_start_with(v, &g, FILE_BYTES);
}

static inline void victim_stop(struct victim *v)
{
    free(v->good);
    rig_stop(&v->r);
}

/* Put other bytes over n blocks of the container's file. */
static inline void ruin(struct victim *v, uint32_t block, uint32_t n, uint64_t seed)
{
    uint8_t *junk = malloc((size_t)n * RIG_BLOCK);
    rig_fill(seed + 99, junk, (size_t)n * RIG_BLOCK);
    int fd = open(v->path, O_WRONLY);
    assert_true(pwrite(fd, junk, (size_t)n * RIG_BLOCK, (off_t)block * RIG_BLOCK) == (ssize_t)n * RIG_BLOCK);
    close(fd);
    free(junk);
}

static inline void expect_file_as_written(struct victim *v)
{
    size_t len;
    uint8_t *now = slurp(v->path, &len);
    assert_true(len == v->len);
    for (size_t i = 0; i < len; i++) {
        if (now[i] != v->good[i])
            fail_msg("block %zu of the container was not healed", i / RIG_BLOCK);
    }
    free(now);
}

/* Open, read everything, scrub: the same contents, and the medium as it was. */
static inline void expect_healed(struct victim *v, size_t bytes)
{
    rig_open(&v->r);
    rig_expect_file(&v->r, "large", 1, bytes);
    rig_expect_file(&v->r, "other", 2, OTHER_BYTES);
    rig_scrub(&v->r);
    assert_true(rig_stat(&v->r, "lost_blocks") == 0);
    rig_close(&v->r);
    expect_file_as_written(v);
}

/* The block of the file that holds member i of a stripe; 0 if that member is not stored. */
static inline uint32_t member_block(const struct victim *v, uint32_t stripe, unsigned i)
{
    struct ecc_layout l = { .used = v->h.used, .D = v->h.D };
    uint32_t x = ecc_layout_position(&l, v->h.k, stripe, i);
    return x == UINT32_MAX ? 0 : chead_file_block(&v->h, x);
}

#endif
