/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_engine.c: a store with a GPU engine, good or bad, holds the right parity and says who did what. */
#include "tests/core/rig.h"

#include <stdatomic.h>

#include "ecc/ecc.h"
#include "store/chead.h"

enum { FILES = 6, FILE_BYTES = 900 * 1024 };

/* What the engine «cuda» of these tests does. */
static struct {
    _Atomic int good_calls;    /* before it is bad */
    _Atomic bool wrong;        /* bad: wrong bytes; else an error */
    _Atomic int pinned, pins;
} gpu;

static int gpu_containers(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    bool good = gpu.good_calls-- > 0;
    if (!good && !gpu.wrong)
        return -EIO;
    int e = ecc_engine_find("scalar")->containers(work, code, block_size, c, n);
    for (unsigned i = 0; i < n && !good; i++) {
        for (uint32_t t = 0; t < c[i].layout.D && c[i].out; t++)
            c[i].out[t * block_size] ^= 1;
    }
    return e;
}

static int gpu_pin(void *p, size_t len)
{
    (void)p;
    (void)len;
    gpu.pinned++;
    gpu.pins++;
    return 0;
}

static void gpu_unpin(void *p, size_t len)
{
    (void)p;
    (void)len;
    gpu.pinned--;
}

static struct ecc_engine fake_gpu(int good_calls, bool wrong)
{
    struct ecc_engine e = *ecc_engine_find("scalar");
    gpu.good_calls = good_calls;
    gpu.wrong = wrong;
    gpu.pinned = gpu.pins = 0;
    e.name = "cuda";
    e.containers = gpu_containers;
    e.pin = gpu_pin;
    e.unpin = gpu_unpin;
    return e;
}

/* A formatted store that is opened with this engine, by name. */
static void start_with(struct rig *r, const struct ecc_engine *device)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    r->opt.engine = "cuda";
    r->opt.device = device;
    rig_format(r, &g);
    rig_open(r);
}

static void write_and_seal(struct rig *r)
{
    char name[16];
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file%u", i);
        rig_file(r, name, i + 1, FILE_BYTES);
    }
    rig_do(r, "seal");
}

/* Take m·D blocks in a row from every data container: what is there then is what parity gives back. */
static void ruin_containers(const struct rig *r)
{
    uint8_t header[RIG_BLOCK], junk[RIG_BLOCK];
    unsigned found = 0;
    memset(junk, 0xbd, sizeof(junk));
    for (uint32_t id = 1; id < 60; id++) {
        char name[CONTAINER_NAME_MAX], path[PATH_MAX];
        struct container_header h;
        container_name(id, name);
        rig_name(r, name, path);
        int fd = open(path, O_RDWR);
        if (fd < 0)
            continue;
        assert_true(pread(fd, header, RIG_BLOCK, 0) == RIG_BLOCK && chead_decode_any(header, &h) == 0);
        found += h.cls == CLASS_DATA;
        for (uint32_t i = 0; i < h.m * h.D && h.cls == CLASS_DATA; i++)
            assert_true(pwrite(fd, junk, RIG_BLOCK, (off_t)(chead_file_block(&h, h.used / 4) + i) * RIG_BLOCK) == RIG_BLOCK);
        close(fd);
    }
    assert_true(found >= 4);
}

/* Closed, damaged, opened with CPU engines alone: everything comes back. */
static void expect_right_parity(struct rig *r)
{
    char name[16];
    rig_close(r);
    assert_int_equal(gpu.pinned, 0);
    ruin_containers(r);
    r->opt.engine = "scalar";
    r->opt.device = NULL;
    rig_open(r);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file%u", i);
        rig_expect_file(r, name, i + 1, FILE_BYTES);
    }
    assert_int_equal(rig_stat(r, "lost_blocks"), 0);
    rig_stop(r);
}

static void a_gpu_makes_the_parity_and_is_counted(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_engine device = fake_gpu(1 << 20, false);
    start_with(&r, &device);
    write_and_seal(&r);
    assert_true(rig_stat(&r, "engine/work/cuda/encode_batches") >= 1);
    assert_true(rig_stat(&r, "engine/work/cuda/encode_bytes") >= FILES * FILE_BYTES);
    assert_int_equal(rig_stat(&r, "engine/fallbacks"), 0);
    assert_true(gpu.pins >= 2 && gpu.pinned >= 2);
    expect_right_parity(&r);
}

static void a_gpu_that_fails_is_replaced_by_the_cpu_and_told(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_engine device = fake_gpu(1 << 20, false);
    start_with(&r, &device);
    gpu.good_calls = 1;
    write_and_seal(&r);
    assert_true(rig_stat(&r, "engine/fallbacks") >= 1);
    assert_true(rig_stat(&r, "gpu/fallbacks") >= 1);
    assert_true(rig_event(&r, "engine_fallback", holo_strerror(-EIO)));
    expect_right_parity(&r);
}

static void wrong_bytes_of_a_gpu_never_reach_a_container(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_engine device = fake_gpu(1 << 20, true);
    start_with(&r, &device);
    gpu.good_calls = 0;
    write_and_seal(&r);
    assert_int_equal(rig_stat(&r, "engine/fallbacks"), 1);
    assert_true(rig_event(&r, "engine_fallback", "other bytes"));
    expect_right_parity(&r);
}

static void refused(struct rig *r, const char *text)
{
    int e = rig_try_open(r);
    assert_int_equal(e, -HOLO_ENOENGINE);
    assert_non_null(strstr(r->why, "ecc=cuda: "));
    assert_non_null(strstr(r->why, text));
    assert_null(strchr(r->why, '\n'));
}

static void a_gpu_asked_for_by_name_must_pass_its_first_test(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_engine device = fake_gpu(1 << 20, false);
    start_with(&r, &device);
    rig_close(&r);
    gpu.good_calls = 0;
    refused(&r, holo_strerror(-EIO));
    gpu.wrong = true;
    refused(&r, "other bytes");
    assert_int_equal(gpu.pinned, 0);
    r.opt.engine = "auto"; /* not asked for: the store goes on without it */
    rig_open(&r);
    rig_stop(&r);
}

static json_t *engine_object(struct rig *r)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_stats_json(r->fs, &b), 0);
    json_t *root = json_loadb((const char *)b.p, b.len, 0, NULL), *engine = json_incref(json_object_get(root, "engine"));
    json_decref(root);
    buf_fini(&b);
    assert_non_null(engine);
    return engine;
}

static void the_stats_show_what_was_measured_and_what_was_chosen(void **state)
{
    (void)state;
    struct rig r;
    struct ecc_engine device = fake_gpu(1 << 20, false);
    struct holofs_geometry g = rig_geometry();
    rig_init(&r);
    r.opt.engine = "auto";
    r.opt.device = &device;
    rig_format(&r, &g);
    rig_open(&r);
    json_t *o = engine_object(&r), *rows = json_object_get(o, "measured"), *last = json_array_get(rows, json_array_size(rows) - 1);
    assert_true(json_array_size(rows) >= 2);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        assert_true(json_real_value(json_object_get(row, "encode_gb_s")) > 0);
        assert_true(json_real_value(json_object_get(row, "syndrome_gb_s")) > 0);
    }
    assert_string_equal(json_string_value(json_object_get(last, "name")), "cuda");
    assert_non_null(json_object_get(last, "encode_latency_us"));
    assert_non_null(json_object_get(last, "encode_wins_from_bytes"));
    assert_non_null(strstr(json_string_value(json_object_get(o, "why")), "cuda"));
    assert_true(json_real_value(json_object_get(o, "calibration_ms")) > 0);
    json_decref(o);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_makes_the_parity_and_is_counted),
        cmocka_unit_test(a_gpu_that_fails_is_replaced_by_the_cpu_and_told),
        cmocka_unit_test(wrong_bytes_of_a_gpu_never_reach_a_container),
        cmocka_unit_test(a_gpu_asked_for_by_name_must_pass_its_first_test),
        cmocka_unit_test(the_stats_show_what_was_measured_and_what_was_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
