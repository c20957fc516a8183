/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_parity.c: parity that contradicts data is told and never believed; bursts come back from the waves of whole containers. */
#include "tests/core/rig.h"

#include <stdatomic.h>
#include <sys/wait.h>

#include "core/fsck.h"
#include "ecc/ecc.h"
#include "store/chead.h"

enum { FILE_BYTES = 180 * RIG_BLOCK };

/* One sealed data container, and its file as it should be. */
struct victim {
    struct rig r;
    char path[PATH_MAX];
    struct container_header h;
    uint8_t *file;
    size_t len;
};

static void load(struct victim *v)
{
    struct stat st;
    int fd = open(v->path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    v->len = (size_t)st.st_size;
    v->file = malloc(v->len);
    assert_true(pread(fd, v->file, v->len, 0) == st.st_size);
    close(fd);
}

static void store(const struct victim *v)
{
    int fd = open(v->path, O_WRONLY);
    assert_true(pwrite(fd, v->file, v->len, 0) == (ssize_t)v->len);
    close(fd);
}

static void victim_start(struct victim *v)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(&v->r);
    v->r.opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(&v->r, &g);
    rig_open(&v->r);
    rig_file(&v->r, "file", 1, FILE_BYTES);
    rig_do(&v->r, "seal");
    rig_close(&v->r);
    for (uint32_t id = 1; id < 10; id++) {
        char name[CONTAINER_NAME_MAX];
        container_name(id, name);
        rig_name(&v->r, name, v->path);
        if (access(v->path, R_OK) != 0)
            continue;
        load(v);
        assert_int_equal(chead_decode_any(v->file, &v->h), 0);
        if (v->h.cls == CLASS_DATA)
            return;
        free(v->file);
    }
    fail_msg("no data container");
}

static void victim_stop(struct victim *v)
{
    free(v->file);
    rig_stop(&v->r);
}

static uint8_t *position(struct victim *v, uint32_t x)
{
    return v->file + (size_t)chead_file_block(&v->h, x) * RIG_BLOCK;
}

/* Other bytes at a stored position, with the checksum that they would have had. */
static void forge(struct victim *v, uint32_t x)
{
    uint32_t n = chead_positions(&v->h), t = x / TABLE_ENTRIES;
    uint64_t *sums = calloc(n, sizeof(*sums));
    uint8_t *a = v->file + (size_t)chead_table_block(&v->h, 0, t) * RIG_BLOCK, *b = v->file + (size_t)chead_table_block(&v->h, 1, t) * RIG_BLOCK;
    for (uint32_t y = t * TABLE_ENTRIES; y < n && y < (t + 1) * TABLE_ENTRIES; y++)
        sums[y] = ctable_entry(a, y);
    rig_fill(x, position(v, x), RIG_BLOCK);
    sums[x] = chead_block_sum(v->h.uuid, v->h.id, x, position(v, x));
    ctable_encode(v->h.uuid, v->h.id, t, sums, n, a);
    memcpy(b, a, RIG_BLOCK);
    free(sums);
}

static void ruin(struct victim *v, uint32_t x)
{
    memset(position(v, x), 0x3d, RIG_BLOCK);
}

static uint32_t at(const struct victim *v, uint32_t stripe, unsigned member)
{
    const struct ecc_layout l = { .used = v->h.used, .D = v->h.D };
    return ecc_layout_position(&l, v->h.k, stripe, member);
}

static void expect_on_medium(struct victim *v, const uint8_t *want)
{
    uint8_t *file = v->file;
    load(v);
    for (size_t i = 0; i < v->len; i++) {
        if (v->file[i] != want[i])
            fail_msg("block %zu of the container differs", i / RIG_BLOCK);
    }
    free(v->file);
    v->file = file;
}

static bool health_says(struct rig *r, const char *text)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(r->fs, &b), 0);
    assert_int_equal(buf_add(&b, "", 1), 0);
    bool it = strstr((const char *)b.p, text);
    buf_fini(&b);
    return it;
}

static void parity_of_other_data_is_told_counted_and_left_alone(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    forge(&v, at(&v, 5, v.h.k + 1));
    forge(&v, at(&v, 6, v.h.k + 1));
    forge(&v, at(&v, 9, v.h.k));
    store(&v);
    rig_open(&v.r);
    rig_scrub(&v.r);
    assert_int_equal(rig_stat(&v.r, "damage/parity_disagrees"), 3);
    assert_int_equal(rig_stat(&v.r, "lost_blocks"), 0);
    assert_int_equal(rig_stat(&v.r, "repaired_blocks"), 0);
    assert_true(rig_event(&v.r, "parity_disagrees", "\"stripe\":5,\"stripes\":2,\"suspect\":\"parity\""));
    assert_true(rig_event(&v.r, "parity_disagrees", "\"stripe\":9,\"stripes\":1,\"suspect\":\"parity\""));
    assert_true(health_says(&v.r, "degraded") && health_says(&v.r, "contradicted"));
    rig_expect_file(&v.r, "file", 1, FILE_BYTES);
    rig_close(&v.r);
    expect_on_medium(&v, v.file);
    victim_stop(&v);
}

static void sound_containers_are_not_accused(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    rig_open(&v.r);
    rig_scrub(&v.r);
    assert_int_equal(rig_stat(&v.r, "damage/parity_disagrees"), 0);
    assert_true(rig_stat(&v.r, "engine/work/scalar/syndrome_batches") >= 1);
    assert_true(health_says(&v.r, "healthy"));
    victim_stop(&v);
}

static void a_scrub_of_a_read_only_store_gives_its_memory_back(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    v.r.opt.read_only = true;
    rig_open(&v.r);
    rig_scrub(&v.r);
    assert_true(rig_stat(&v.r, "engine/work/scalar/syndrome_bytes") >= FILE_BYTES);
    assert_int_equal(rig_stat(&v.r, "pools/big_bytes"), 0);
    victim_stop(&v);
}

static int holofsck_says(struct victim *v, bool repair)
{
    char command[PATH_MAX];
    snprintf(command, sizeof(command), "%s %s %s > /dev/null 2>&1", HOLOFSCK, repair ? "-y" : "-n", v->r.dir);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_check_counts_contradictions_as_left_in_both_modes(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    forge(&v, at(&v, 3, v.h.k + 2));
    store(&v);
    for (int repair = 0; repair < 2; repair++) {
        struct fsck_options o = { .mode = repair ? FSCK_ALL : FSCK_LOOK, .engine = "scalar" };
        struct fsck_result r;
        assert_int_equal(holofs_fsck(v.r.dir, &o, &r), 0);
        assert_int_equal(r.lost, 1);
        assert_int_equal(r.found, 1);
        assert_int_equal(holofsck_says(&v, repair), 4);
    }
    expect_on_medium(&v, v.file);
    victim_stop(&v);
}

/* Wrong parity with a right checksum, and losses in the same stripe: up to m − 2 come back, and never wrong. */
static void losses_beside_wrong_parity_come_back_or_stay_lost(void **state)
{
    (void)state;
    for (unsigned lost = 1; lost <= 4; lost++) {
        struct victim v;
        victim_start(&v);
        uint8_t *good = malloc(v.len);
        memcpy(good, v.file, v.len);
        forge(&v, at(&v, 4, v.h.k));
        for (unsigned i = 0; i < lost; i++)
            ruin(&v, at(&v, 4, 2 * i));
        store(&v);
        rig_open(&v.r);
        rig_scrub(&v.r);
        uint64_t bad = rig_stat(&v.r, "lost_blocks");
        assert_int_equal(bad, lost <= 2 ? 0 : lost);
        assert_int_equal(rig_stat(&v.r, "damage/parity_disagrees"), lost <= 2);
        rig_close(&v.r);
        uint8_t *before = v.file;
        load(&v);
        for (uint32_t x = 0; x < v.h.used; x++) { /* right, or as it lay there */
            const uint8_t *now = position(&v, x);
            size_t off = (size_t)(now - v.file);
            assert_true(memcmp(now, good + off, RIG_BLOCK) == 0 || memcmp(now, before + off, RIG_BLOCK) == 0);
        }
        free(before);
        free(good);
        victim_stop(&v);
    }
}

/* ---- bursts, and engines that are wrong about them ---- */

static struct {
    _Atomic int wrong_stripe; /* of every call for waves; −1: none */
    void (*meanwhile)(void);  /* happens once, during the call for the waves of a container with so many blocks */
    uint32_t used;
} device;

static int containers(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    int e = ecc_engine_find("scalar")->containers(work, code, block_size, c, n);
    if (work == ECC_SYNDROME && device.meanwhile && c->layout.used == device.used) {
        device.meanwhile();
        device.meanwhile = NULL;
    }
    for (unsigned i = 0; i < n && work == ECC_SYNDROME && device.wrong_stripe >= 0; i++) {
        uint32_t t = (uint32_t)device.wrong_stripe % c[i].layout.D;
        if (c[i].out)
            c[i].out[t * block_size + 5] ^= 0x10;
        if (c[i].dirty)
            c[i].dirty[t] ^= 1;
    }
    return e;
}

static void burst(struct victim *v, uint32_t first)
{
    for (uint32_t x = first; x < first + v->h.m * v->h.D; x++)
        ruin(v, x);
    store(v);
}

static void a_burst_comes_back_from_one_call_for_its_waves(void **state)
{
    (void)state;
    struct victim v;
    victim_start(&v);
    uint8_t *good = malloc(v.len);
    memcpy(good, v.file, v.len);
    for (uint32_t first = 0; first <= v.h.used; first += v.h.used / 3) {
        memcpy(v.file, good, v.len);
        burst(&v, first);
        rig_open(&v.r);
        uint64_t before = rig_stat(&v.r, "repaired_blocks");
        rig_scrub(&v.r);
        assert_int_equal(rig_stat(&v.r, "repaired_blocks") - before, v.h.m * v.h.D);
        assert_int_equal(rig_stat(&v.r, "lost_blocks"), 0);
        assert_true(rig_event(&v.r, "repaired", first == 0 ? "/file" : "parity"));
        rig_close(&v.r);
        expect_on_medium(&v, good);
    }
    free(good);
    victim_stop(&v);
}

/* A victim whose whole containers go to `gpu`, which is right until the test says otherwise. Returns its file as it is now: free() it. */
static uint8_t *victim_start_on_device(struct victim *v, struct ecc_engine *gpu)
{
    victim_start(v);
    *gpu = *ecc_engine_find("scalar");
    gpu->name = "cuda";
    gpu->containers = containers;
    device.wrong_stripe = -1;
    device.meanwhile = NULL;
    v->r.opt.engine = "cuda";
    v->r.opt.device = gpu;
    uint8_t *good = malloc(v->len);
    memcpy(good, v->file, v->len);
    return good;
}

/* An engine that is wrong in one stripe, which the sample of one stripe a call does not always meet. */
static void wrong_waves_neither_spoil_a_repair_nor_accuse(void **state)
{
    (void)state;
    for (int stripe = 0; stripe < 6; stripe++) {
        struct victim v;
        struct ecc_engine gpu;
        uint8_t *good = victim_start_on_device(&v, &gpu);
        if (stripe % 2)
            burst(&v, 10);
        rig_open(&v.r);
        device.wrong_stripe = stripe;
        rig_scrub(&v.r);
        assert_int_equal(rig_stat(&v.r, "damage/parity_disagrees"), 0);
        assert_int_equal(rig_stat(&v.r, "lost_blocks"), 0);
        rig_close(&v.r);
        expect_on_medium(&v, good);
        free(good);
        victim_stop(&v);
    }
}

static struct victim *shared;
static const uint8_t *shared_good;
enum { BURST_AT = 20, MEANWHILE_FROM = 33, MEANWHILE = 9 };

/* Somebody else puts some blocks of the burst right. */
static void repair_some(void)
{
    size_t at = (size_t)chead_file_block(&shared->h, MEANWHILE_FROM) * RIG_BLOCK;
    int fd = open(shared->path, O_WRONLY);
    assert_true(pwrite(fd, shared_good + at, MEANWHILE * RIG_BLOCK, (off_t)at) == MEANWHILE * RIG_BLOCK);
    close(fd);
}

static void what_somebody_else_repaired_meanwhile_is_not_repaired_again(void **state)
{
    (void)state;
    struct victim v;
    struct ecc_engine gpu;
    uint8_t *good = victim_start_on_device(&v, &gpu);
    burst(&v, BURST_AT);
    rig_open(&v.r);
    shared = &v;
    shared_good = good;
    device.used = v.h.used;
    device.meanwhile = repair_some;
    rig_scrub(&v.r);
    assert_int_equal(rig_stat(&v.r, "repaired_blocks"), v.h.m * v.h.D - MEANWHILE);
    assert_int_equal(rig_stat(&v.r, "lost_blocks"), 0);
    rig_close(&v.r);
    expect_on_medium(&v, good);
    free(good);
    victim_stop(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_of_other_data_is_told_counted_and_left_alone),
        cmocka_unit_test(sound_containers_are_not_accused),
        cmocka_unit_test(a_scrub_of_a_read_only_store_gives_its_memory_back),
        cmocka_unit_test(the_check_counts_contradictions_as_left_in_both_modes),
        cmocka_unit_test(losses_beside_wrong_parity_come_back_or_stay_lost),
        cmocka_unit_test(a_burst_comes_back_from_one_call_for_its_waves),
        cmocka_unit_test(wrong_waves_neither_spoil_a_repair_nor_accuse),
        cmocka_unit_test(what_somebody_else_repaired_meanwhile_is_not_repaired_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
