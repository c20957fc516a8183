/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_chead.c: container headers with their sixteen copies, tables, directory entries, names. */
#include "tests/store/kit.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/chead.h"

static const uint64_t SEED = 0xc4ead;

/* By an independent program, from docs/FORMAT.md. */
static const char golden_record[] =
    "686f6c6f66734843010000002a000000101112131415161718191a1b1c1d1e1f02000000030000004000000006000000"
    "010100000040000064000000040000000500000003000000e09304000000000000d00400000000000900000000000000"
    "0000000000000000000000000000000029000000002000000300000005000000000000000001000003002a36fe9c9717"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000059d8ad1c5c5f7638";
static const char golden_piece[] =
    "4d000000000000000000000002000000393000000000000000200000881300000000020001000000d2996d6cb47b200c";
static const uint64_t golden_header_block = 0xea09cf0145727c08, golden_table_sum = 0x14d3cd526b0cb085,
                      golden_table_block = 0x2cc63162faf479d0, golden_block_sum = 0xbd5133529a7a5529;

static struct container_header sample(void)
{
    struct container_header h = { .id = 0x2a, .cls = CLASS_DATA, .r = 3, .k = 64, .m = 6, .D = 257, .nmax = 16384, .used = 100,
                                  .table_blocks = 4, .seed_base = 5, .pieces = 3, .content_bytes = 300000, .dir_off = 77 * BLOCK_SIZE,
                                  .epoch = 9, .previous = 41, .sb_ring_blocks = 8192, .sb_r = 3, .sb_meta_r = 5,
                                  .sb_size_limit = UINT64_C(1) << 40, .sealed_ns = 1700000000000000003 };
    memcpy(h.uuid, kit_uuid, 16);
    return h;
}

static void expect_same(const struct container_header *a, const struct container_header *b)
{
    uint8_t x[BLOCK_SIZE], y[BLOCK_SIZE];
    chead_encode(a, x);
    chead_encode(b, y);
    assert_memory_equal(x, y, BLOCK_SIZE);
}

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct container_header h = sample();
    memset(block, 0xee, sizeof(block));
    chead_encode(&h, block);
    for (int i = 0; i < CHEAD_COPIES; i++)
        kit_expect_hex(block + i * CHEAD_BYTES, golden_record);
    assert_true(sum64(block, BLOCK_SIZE, 0) == golden_header_block);
}

static void a_header_comes_back(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct container_header h = sample(), back;
    bool intact = false;
    chead_encode(&h, block);
    assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, &intact), 0);
    assert_true(intact);
    expect_same(&h, &back);
    h.cls = CLASS_META_LOG;
    h.first_txg = 1234567890123;
    h.last_txg = UINT64_MAX;
    chead_encode(&h, block);
    assert_int_equal(chead_decode_any(block, &back), 0);
    expect_same(&h, &back);
    assert_true(back.first_txg == h.first_txg && back.last_txg == h.last_txg);
}

static void one_copy_of_sixteen_is_enough(void **state)
{
    (void)state;
    struct container_header h = sample(), back;
    uint8_t good[BLOCK_SIZE], block[BLOCK_SIZE];
    chead_encode(&h, good);
    for (int survivor = 0; survivor < CHEAD_COPIES; survivor++) {
        bool intact = true;
        kit_fill((uint64_t)survivor, block, BLOCK_SIZE);
        memcpy(block + survivor * CHEAD_BYTES, good + survivor * CHEAD_BYTES, CHEAD_BYTES);
        assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, &intact), 0);
        assert_false(intact);
        expect_same(&h, &back);
    }
}

/* At three flips in a hundred bytes one in 2000 of the copies is intact. */
static void sixteen_flipped_copies_are_enough(void **state)
{
    (void)state;
    struct container_header h = sample(), back;
    uint8_t block[BLOCK_SIZE];
    uint64_t seed = 0x5ead;
    for (int round = 0; round < 300; round++) {
        chead_encode(&h, block);
        kit_flip(&seed, block, BLOCK_SIZE, 30);
        assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, NULL), 0);
        expect_same(&h, &back);
    }
}

static void every_flipped_byte_is_survived_and_told(void **state)
{
    (void)state;
    struct container_header h = sample(), back;
    uint8_t block[BLOCK_SIZE];
    chead_encode(&h, block);
    for (size_t i = 0; i < BLOCK_SIZE; i++) {
        bool intact = true;
        block[i] ^= 0x40;
        assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, &intact), 0);
        assert_false(intact);
        expect_same(&h, &back);
        block[i] ^= 0x40;
    }
}

/* At a thousandth of all bytes flipped, some copy of 256 bytes is nearly always whole; what is decoded is never wrong. */
static void heavy_flips_never_give_a_wrong_header(void **state)
{
    (void)state;
    struct container_header h = sample(), back;
    uint8_t block[BLOCK_SIZE];
    uint64_t seed = SEED;
    int found = 0;
    for (int round = 0; round < 2000; round++) {
        chead_encode(&h, block);
        for (int flips = 0; flips < (round % 100) * 4; flips++)
            block[kit_random(&seed) % BLOCK_SIZE] ^= (uint8_t)(1 + kit_random(&seed) % 255);
        if (chead_decode(block, kit_uuid, 0x2a, &back, NULL))
            continue;
        found++;
        expect_same(&h, &back);
    }
    print_message("seed %llx: %d of 2000 found\n", (unsigned long long)SEED, found);
    assert_true(found > 200);
}

static void a_header_of_another_store_or_container_is_refused(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE], other[16];
    struct container_header h = sample(), back;
    chead_encode(&h, block);
    memcpy(other, kit_uuid, 16);
    other[15] ^= 1;
    assert_int_equal(chead_decode(block, other, 0x2a, &back, NULL), -HOLO_ESUM);
    assert_int_equal(chead_decode(block, kit_uuid, 0x2b, &back, NULL), -HOLO_ESUM);
}

/* A sector of another container's header was written here. */
static void strange_copies_do_not_hide_the_right_ones(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE], strange[BLOCK_SIZE];
    struct container_header h = sample(), back;
    bool intact = true;
    chead_encode(&h, block);
    h.id = 0x99;
    chead_encode(&h, strange);
    memcpy(block, strange, 512);
    assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, &intact), 0);
    assert_int_equal(back.id, 0x2a);
    assert_false(intact);
}

static void zeros_noise_and_newer_versions_have_their_names(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE] = { 0 };
    struct container_header h = sample(), back;
    assert_int_equal(chead_decode_any(block, &back), -HOLO_EFORMAT);
    kit_fill(SEED, block, BLOCK_SIZE);
    assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, NULL), -HOLO_EFORMAT);
    chead_encode(&h, block);
    for (int i = 0; i < CHEAD_COPIES; i++)
        block[i * CHEAD_BYTES + 100] ^= 1;
    assert_int_equal(chead_decode_any(block, &back), -HOLO_ESUM);
    chead_encode(&h, block);
    le32_put(block + 8, 2);
    le64_put(block + 248, sum64(block, 248, sum_seed(block + 16, SUM_ID_HEADER, 0x2a)));
    for (int i = 1; i < CHEAD_COPIES; i++)
        memcpy(block + i * CHEAD_BYTES, block, CHEAD_BYTES);
    assert_int_equal(chead_decode(block, kit_uuid, 0x2a, &back, NULL), -HOLO_EVERSION);
}

static int decode_of(const struct container_header *h)
{
    uint8_t block[BLOCK_SIZE];
    struct container_header back;
    chead_encode(h, block);
    return chead_decode_any(block, &back);
}

#define REFUSED(...)                                          \
    do {                                                      \
        struct container_header h = sample();                 \
        __VA_ARGS__;                                          \
        assert_int_equal(decode_of(&h), -HOLO_ECORRUPT);      \
    } while (0)

static void impossible_geometry_is_refused(void **state)
{
    (void)state;
    struct container_header good = sample();
    assert_int_equal(decode_of(&good), 0);
    REFUSED(h.cls = 0);
    REFUSED(h.cls = 4);
    REFUSED(h.r = 0, h.m = 0);
    REFUSED(h.r = 11, h.m = 22);
    REFUSED(h.m = 5);
    REFUSED(h.k = 0);
    REFUSED(h.k = 250, h.D = 67);
    REFUSED(h.k = UINT32_MAX, h.D = 1);
    REFUSED(h.k = UINT32_MAX - 5, h.D = 1);
    REFUSED(h.nmax = 0, h.used = 0, h.D = 1);
    REFUSED(h.nmax = (1u << 20) + 1, h.D = 16385);
    REFUSED(h.D = 256);
    REFUSED(h.used = 16385);
    REFUSED(h.table_blocks = 5);
    REFUSED(h.table_blocks = 3);
    REFUSED(h.content_bytes = 100 * BLOCK_SIZE + 1);
    REFUSED(h.content_bytes = UINT64_MAX);
    REFUSED(h.dir_off = 100 * BLOCK_SIZE - 2 * PIECE_BYTES);
    REFUSED(h.dir_off = UINT64_MAX - PIECE_BYTES);
    REFUSED(h.pieces = UINT32_MAX);
}

static void the_blocks_of_a_file_follow_each_other_without_gap(void **state)
{
    (void)state;
    struct container_header h = sample();
    uint32_t at = 1;
    for (uint32_t t = 0; t < h.table_blocks; t++)
        assert_int_equal(chead_table_block(&h, 0, t), at++);
    for (uint32_t x = 0; x < h.used + h.m * h.D; x++)
        assert_int_equal(chead_file_block(&h, x), at++);
    for (uint32_t t = 0; t < h.table_blocks; t++)
        assert_int_equal(chead_table_block(&h, 1, t), at++);
    assert_int_equal(chead_file_blocks(&h), at + 1);
    assert_int_equal(chead_table_blocks_for(511), 1);
    assert_int_equal(chead_table_blocks_for(512), 2);
}

/* ---- tables ---- */

static void the_bytes_of_a_table_do_not_drift(void **state)
{
    (void)state;
    uint64_t sums[600];
    uint8_t block[BLOCK_SIZE], data[BLOCK_SIZE];
    for (uint64_t p = 0; p < 600; p++)
        sums[p] = p * 0x123456789abcdef;
    memset(block, 0xee, sizeof(block));
    ctable_encode(kit_uuid, 0x2a, 1, sums, 600, block);
    assert_true(le64_get(block) == golden_table_sum);
    assert_true(sum64(block, BLOCK_SIZE, 0) == golden_table_block);
    for (int i = 0; i < BLOCK_SIZE; i++)
        data[i] = (uint8_t)(i * 7);
    assert_true(chead_block_sum(kit_uuid, 0x2a, 5, data) == golden_block_sum);
}

static void table_entries_come_back_at_their_positions(void **state)
{
    (void)state;
    enum { N = 1200 };
    uint64_t sums[N];
    uint8_t block[BLOCK_SIZE];
    kit_fill(SEED, (uint8_t *)sums, sizeof(sums));
    for (uint32_t t = 0; t < chead_table_blocks_for(N); t++) {
        ctable_encode(kit_uuid, 7, t, sums, N, block);
        assert_true(ctable_intact(kit_uuid, 7, t, block));
        assert_false(ctable_intact(kit_uuid, 7, t + 1, block));
        assert_false(ctable_intact(kit_uuid, 8, t, block));
        for (uint32_t x = t * TABLE_ENTRIES; x < (t + 1) * TABLE_ENTRIES; x++)
            assert_true(ctable_entry(block, x) == (x < N ? sums[x] : 0));
        for (size_t i = 0; i < BLOCK_SIZE; i++) {
            block[i] ^= 1;
            assert_false(ctable_intact(kit_uuid, 7, t, block));
            block[i] ^= 1;
        }
    }
}

static void a_checksum_fits_one_store_one_container_one_position(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE] = { 0 }, other[16] = { 0 };
    uint64_t sum = chead_block_sum(kit_uuid, 1, 2, block);
    assert_true(sum != chead_block_sum(kit_uuid, 1, 3, block));
    assert_true(sum != chead_block_sum(kit_uuid, 2, 2, block));
    assert_true(sum != chead_block_sum(kit_uuid, 2, 1, block));
    assert_true(sum != chead_block_sum(other, 1, 2, block));
}

/* ---- pieces ---- */

static const struct piece piece = { .ino = 77, .off = UINT64_C(1) << 33, .seq = 12345, .coff = 8192, .stored = 5000, .raw = 131072, .codec = 1 };

static void a_piece_comes_back_and_its_bytes_do_not_drift(void **state)
{
    (void)state;
    uint8_t bytes[PIECE_BYTES];
    struct piece p;
    piece_encode(&piece, kit_uuid, 0x2a, bytes);
    kit_expect_hex(bytes, golden_piece);
    assert_true(piece_decode(bytes, kit_uuid, 0x2a, &p));
    assert_true(p.ino == piece.ino && p.off == piece.off && p.seq == piece.seq && p.coff == piece.coff && p.stored == piece.stored &&
                p.raw == piece.raw && p.codec == piece.codec);
}

static void a_flipped_or_strange_piece_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[PIECE_BYTES], other[16] = { 0 };
    struct piece p;
    piece_encode(&piece, kit_uuid, 0x2a, bytes);
    assert_false(piece_decode(bytes, kit_uuid, 0x2b, &p));
    assert_false(piece_decode(bytes, other, 0x2a, &p));
    for (size_t bit = 0; bit < PIECE_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(piece_decode(bytes, kit_uuid, 0x2a, &p));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- names ---- */

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void names_lead_to_ids_and_back(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *dir, *name;
    } want[] = { { 1, "containers/000", "containers/000/00000001.hc" },
                 { 0x2a, "containers/000", "containers/000/0000002a.hc" },
                 { 0xfff, "containers/000", "containers/000/00000fff.hc" },
                 { 0x1000, "containers/001", "containers/001/00001000.hc" },
                 { 0xffffffff, "containers/fffff", "containers/fffff/ffffffff.hc" } };
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        char name[CONTAINER_NAME_MAX], dir[CONTAINER_NAME_MAX];
        uint32_t id = 0;
        container_name(want[i].id, name);
        container_dir(want[i].id, dir);
        assert_string_equal(name, want[i].name);
        assert_string_equal(dir, want[i].dir);
        assert_true(container_name_parse(base_name(name), &id));
        assert_int_equal(id, want[i].id);
    }
}

static void other_names_are_no_containers(void **state)
{
    (void)state;
    static const char *const names[] = { "", ".", "..", "0000002a", "2a.hc", "0000002A.hc", "0000002a.hc~", "0000002a.hc.tmp", " 000002a.hc",
                                         "+000002a.hc", "-0000001.hc", "0x00002a.hc", "00000002a.hc", "0000002g.hc", "lost+found" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        uint32_t id;
        assert_false(container_name_parse(names[i], &id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(a_header_comes_back),
        cmocka_unit_test(one_copy_of_sixteen_is_enough),
        cmocka_unit_test(sixteen_flipped_copies_are_enough),
        cmocka_unit_test(every_flipped_byte_is_survived_and_told),
        cmocka_unit_test(heavy_flips_never_give_a_wrong_header),
        cmocka_unit_test(a_header_of_another_store_or_container_is_refused),
        cmocka_unit_test(strange_copies_do_not_hide_the_right_ones),
        cmocka_unit_test(zeros_noise_and_newer_versions_have_their_names),
        cmocka_unit_test(impossible_geometry_is_refused),
        cmocka_unit_test(the_blocks_of_a_file_follow_each_other_without_gap),
        cmocka_unit_test(the_bytes_of_a_table_do_not_drift),
        cmocka_unit_test(table_entries_come_back_at_their_positions),
        cmocka_unit_test(a_checksum_fits_one_store_one_container_one_position),
        cmocka_unit_test(a_piece_comes_back_and_its_bytes_do_not_drift),
        cmocka_unit_test(a_flipped_or_strange_piece_is_noticed),
        cmocka_unit_test(names_lead_to_ids_and_back),
        cmocka_unit_test(other_names_are_no_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
