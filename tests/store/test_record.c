/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_record.c: every item there and back, and what damaged streams of records may do: end early, never reach outside. */
#include "tests/store/kit.h"

#include "base/err.h"
#include "base/sum.h"
#include "store/record.h"

/* By an independent program, from docs/FORMAT.md. */
static const char golden_record[] =
    "f80000000a0003000807060504030201fbffffffffffffff01000000700000004d000000000000000000500000000000"
    "001000000000000001000000000000006500000000000000660000000000000067000000000000006800000000000000"
    "09000000a4810000e8030000e90300000100000000000000060000000000000000000000000000000000000000000000"
    "030000002500000001000000000000004d000000000000008813000000000000080000000500000068c3a46c6c000000"
    "0a0000002c0000004d000000000000006400500000000000a00f0000600000000700000039300000b80b000000000240"
    "efbeadde00000000";

/* A record of only a «times» item: inode 77, mtime -2, ctime 1700000000000000003. */
static const char golden_times[] =
    "380000000a0001000807060504030201fbffffffffffffff10000000180000004d00000000000000feffffffffffffff03002a36fe9c9717";

static const struct inode_image inode = { .ino = 77, .size = 5 << 20, .stored = 4096, .parent = 1, .atime = 101, .mtime = 102,
                                          .ctime = 103, .btime = 104, .gen = 9, .mode = 0100644, .uid = 1000, .gid = 1001, .nlink = 1,
                                          .rdev = 0, .flags = 6 };
static const struct extent extent = { .off = (5 << 20) + 100, .len = 4000, .skip = 96, .container = 7, .coff = 12345, .stored = 3000,
                                      .raw = 131072, .tag = 0xdeadbeef, .codec = EXTENT_ZSTD };
static const struct container_info container = { .id = 42, .cls = CLASS_DATA, .state = CONTAINER_SEALED, .r = 3, .used = 16384,
                                                 .first_txg = UINT64_C(1) << 40, .last_txg = UINT64_MAX };
static const struct counters counters = { .next_ino = 1001, .next_cookie = UINT64_C(1) << 50, .next_seq = 3, .next_container = 4 };
static const char name[] = "h\xc3\xa4ll", target[] = "../somewhere/else";
static const uint8_t value[] = { 0, 1, 2, 0, 255 }, blob[EXTENT_BYTES] = { 9, 8, 7 };

enum { SPACE = 8192 };

/* A record with one item of every type. */
static size_t every_item(uint8_t *space)
{
    struct rec r;
    rec_begin(&r, space, SPACE, REC_RENAME, -123456789);
    rec_inode(&r, &inode);
    rec_inode_gone(&r, 78);
    rec_entry(&r, 1, 77, 5000, 8, name, 5);
    rec_entry_gone(&r, 2, "gone", 4);
    rec_symlink(&r, 79, target, sizeof(target) - 1);
    rec_xattr(&r, 80, "user.x", 6, value, sizeof(value));
    rec_xattr_gone(&r, 81, "user.yz", 7);
    rec_orphan(&r, 82, false);
    rec_orphan(&r, 83, true);
    rec_extent(&r, 84, &extent);
    rec_range_gone(&r, 85, 4096, UINT64_C(1) << 43);
    rec_container(&r, &container);
    rec_counters(&r, &counters);
    rec_window(&r, 86, 5, blob, sizeof(blob));
    rec_dump_complete(&r, 12345, 6, 7);
    rec_times(&r, 87, -88, 89);
    rec_move(&r, 88, &extent, &(struct extent_place){ 5, 67890, 12 });
    size_t len = rec_end(&r);
    assert_true(len > 0 && len % 8 == 0);
    rec_set_seq(space, 0x1122334455667788);
    return len;
}

static void next_is(struct rec_view *v, struct item *it, enum item_type type, uint64_t ino)
{
    assert_int_equal(rec_next_item(v, it), 1);
    assert_int_equal(it->type, type);
    assert_true(it->ino == ino);
}

static void expect_text(const void *got, size_t got_len, const void *want, size_t len)
{
    assert_int_equal(got_len, len);
    assert_memory_equal(got, want, len);
}

static void expect_inode(const struct inode_image *i)
{
    assert_true(i->ino == inode.ino && i->size == inode.size && i->stored == inode.stored && i->parent == inode.parent);
    assert_true(i->atime == inode.atime && i->mtime == inode.mtime && i->ctime == inode.ctime && i->btime == inode.btime);
    assert_true(i->gen == inode.gen && i->mode == inode.mode && i->uid == inode.uid && i->gid == inode.gid);
    assert_true(i->nlink == inode.nlink && i->rdev == inode.rdev && i->flags == inode.flags);
}

static void expect_names(struct rec_view *v)
{
    struct item it;
    next_is(v, &it, ITEM_ENTRY, 77);
    assert_true(it.parent == 1 && it.cookie == 5000 && it.dtype == 8);
    expect_text(it.name, it.name_len, name, 5);
    next_is(v, &it, ITEM_ENTRY_GONE, 0);
    assert_true(it.parent == 2);
    expect_text(it.name, it.name_len, "gone", 4);
    next_is(v, &it, ITEM_SYMLINK, 79);
    expect_text(it.value, it.value_len, target, sizeof(target) - 1);
    next_is(v, &it, ITEM_XATTR, 80);
    expect_text(it.name, it.name_len, "user.x", 6);
    expect_text(it.value, it.value_len, value, sizeof(value));
    next_is(v, &it, ITEM_XATTR_GONE, 81);
    expect_text(it.name, it.name_len, "user.yz", 7);
    next_is(v, &it, ITEM_ORPHAN, 82);
    next_is(v, &it, ITEM_ORPHAN_GONE, 83);
}

static void expect_places(struct rec_view *v)
{
    struct item it;
    next_is(v, &it, ITEM_EXTENT, 84);
    assert_true(it.extent.off == extent.off && it.extent.len == extent.len && it.extent.skip == extent.skip);
    assert_true(it.extent.container == 7 && it.extent.coff == 12345 && it.extent.stored == 3000 && it.extent.raw == 131072);
    assert_true(it.extent.tag == 0xdeadbeef && it.extent.codec == EXTENT_ZSTD);
    next_is(v, &it, ITEM_RANGE_GONE, 85);
    assert_true(it.off == 4096 && it.len == UINT64_C(1) << 43);
    next_is(v, &it, ITEM_CONTAINER, 0);
    assert_true(it.container.id == 42 && it.container.cls == CLASS_DATA && it.container.state == CONTAINER_SEALED);
    assert_true(it.container.r == 3 && it.container.used == 16384);
    assert_true(it.container.first_txg == container.first_txg && it.container.last_txg == container.last_txg);
    next_is(v, &it, ITEM_COUNTERS, 0);
    assert_true(it.counters.next_ino == 1001 && it.counters.next_cookie == counters.next_cookie);
    assert_true(it.counters.next_seq == 3 && it.counters.next_container == 4);
    next_is(v, &it, ITEM_WINDOW, 86);
    assert_int_equal(it.window, 5);
    expect_text(it.value, it.value_len, blob, sizeof(blob));
    next_is(v, &it, ITEM_DUMP_COMPLETE, 0);
    assert_true(it.txg == 12345 && it.first_container == 6 && it.last_container == 7);
    next_is(v, &it, ITEM_TIMES, 87);
    assert_true(it.mtime == -88 && it.ctime == 89);
    next_is(v, &it, ITEM_MOVE, 88);
    assert_true(it.extent.off == extent.off && it.extent.container == 7 && it.extent.tag == 0xdeadbeef);
    assert_true(it.place.container == 5 && it.place.coff == 67890 && it.place.skip == 12);
}

static void every_item_comes_back(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    struct rec_view v;
    struct item it;
    struct rd stream = rd_init(space, every_item(space));
    assert_int_equal(rec_next(&stream, &v), 1);
    assert_int_equal(v.kind, REC_RENAME);
    assert_int_equal(v.items, 17);
    assert_true(v.seq == 0x1122334455667788 && v.time_ns == -123456789);
    next_is(&v, &it, ITEM_INODE, 77);
    expect_inode(&it.inode);
    next_is(&v, &it, ITEM_INODE_GONE, 78);
    expect_names(&v);
    expect_places(&v);
    assert_int_equal(rec_next_item(&v, &it), 0);
    assert_int_equal(rec_next(&stream, &v), 0);
}

static void the_bytes_of_format_1_do_not_drift(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    struct rec r;
    memset(space, 0xee, sizeof(space));
    rec_begin(&r, space, SPACE, REC_WRITE, -5);
    rec_inode(&r, &inode);
    rec_entry(&r, 1, 77, 5000, 8, name, 5);
    rec_extent(&r, 77, &extent);
    assert_int_equal(rec_end(&r), strlen(golden_record) / 2);
    rec_set_seq(space, 0x0102030405060708);
    kit_expect_hex(space, golden_record);
    rec_begin(&r, space, SPACE, REC_WRITE, -5);
    rec_times(&r, 77, -2, 1700000000000000003);
    assert_int_equal(rec_end(&r), strlen(golden_times) / 2);
    rec_set_seq(space, 0x0102030405060708);
    kit_expect_hex(space, golden_times);
}

static void records_follow_each_other_in_a_stream(void **state)
{
    (void)state;
    uint8_t space[20 * SPACE];
    size_t at = 0;
    for (uint64_t i = 0; i < 20; i++) {
        struct rec r;
        rec_begin(&r, space + at, SPACE, REC_UNLINK, (int64_t)i);
        for (uint64_t k = 0; k <= i; k++)
            rec_entry_gone(&r, i, "twelve bytes", k % 13);
        size_t len = rec_end(&r);
        rec_set_seq(space + at, i + 100);
        at += len;
    }
    struct rd stream = rd_init(space, at);
    struct rec_view v;
    struct item it;
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(rec_next(&stream, &v), 1);
        assert_true(v.seq == i + 100 && v.items == i + 1);
        for (uint64_t k = 0; k <= i; k++) {
            assert_int_equal(rec_next_item(&v, &it), 1);
            expect_text(it.name, it.name_len, "twelve bytes", k % 13);
        }
        assert_int_equal(rec_next_item(&v, &it), 0);
    }
    assert_int_equal(rec_next(&stream, &v), 0);
}

static void what_does_not_fit_gives_no_record(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    size_t full = every_item(space);
    for (size_t cap = 0; cap < full; cap++) {
        uint8_t *exact = malloc(cap ? cap : 1);
        struct rec r;
        rec_begin(&r, exact, cap, REC_CREATE, 0);
        rec_inode(&r, &inode);
        rec_entry(&r, 1, 77, 5000, 8, name, 5);
        rec_xattr(&r, 80, "user.x", 6, value, sizeof(value));
        rec_window(&r, 86, 5, space, cap);
        assert_int_equal(rec_end(&r), 0);
        free(exact);
    }
}

/* Read each byte; no sum of anything here is 0. */
static void touch(const void *p, size_t len)
{
    if (len)
        assert_true(sum64(p, len, 1) != 0);
}

/* Walk all there is and touch each byte of it. Returns items, or the error. */
static int walk(const uint8_t *p, size_t len)
{
    struct rd stream = rd_init(p, len);
    struct rec_view v;
    struct item it;
    int n = 0, r, q;
    while ((r = rec_next(&stream, &v)) == 1) {
        while ((q = rec_next_item(&v, &it)) == 1) {
            n++;
            touch(it.name, it.name_len);
            touch(it.value, it.value_len);
        }
        if (q < 0)
            return q;
    }
    return r < 0 ? r : n;
}

static void a_record_is_at_most_a_mebibyte(void **state)
{
    (void)state;
    size_t cap = 3 << 20;
    uint8_t *space = malloc(cap), *big = calloc(1, RECORD_MAX);
    struct rec r;
    rec_begin(&r, space, cap, REC_DUMP, 0);
    rec_window(&r, 1, 0, big, RECORD_MAX - RECORD_HEADER - ITEM_HEADER - 16);
    assert_int_equal(rec_end(&r), RECORD_MAX);
    rec_begin(&r, space, cap, REC_DUMP, 0);
    rec_window(&r, 1, 0, big, RECORD_MAX - RECORD_HEADER - ITEM_HEADER - 16 + 1);
    assert_int_equal(rec_end(&r), 0);
    rec_begin(&r, space, cap, REC_DUMP, 0);
    for (int i = 0; i < 65534; i++)
        rec_orphan(&r, 5, false);
    assert_int_equal(rec_end(&r), RECORD_HEADER + 65534 * 16);
    assert_int_equal(walk(space, RECORD_HEADER + 65534 * 16), 65534);
    rec_orphan(&r, 5, false);
    assert_int_equal(rec_end(&r), 0);
    free(space);
    free(big);
}

static void a_stream_cut_anywhere_is_refused(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    size_t len = every_item(space);
    assert_int_equal(walk(space, len), 17);
    assert_int_equal(walk(space, 0), 0);
    for (size_t cut = 1; cut < len; cut++) {
        uint8_t *exact = kit_exact(space, cut);
        assert_int_equal(walk(exact, cut), -HOLO_ECORRUPT);
        free(exact);
    }
}

static void a_record_that_ends_within_an_item_is_refused(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    size_t len = every_item(space);
    for (size_t cut = RECORD_HEADER; cut < len; cut += 8) {
        uint8_t *exact = kit_exact(space, cut);
        le32_put(exact, (uint32_t)cut);
        assert_int_equal(walk(exact, cut), -HOLO_ECORRUPT);
        free(exact);
    }
}

static void flipped_bytes_never_lead_outside(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    size_t len = every_item(space);
    for (size_t i = 0; i < len; i++) {
        for (unsigned x = 1; x < 256; x++) {
            uint8_t *exact = kit_exact(space, len);
            exact[i] ^= (uint8_t)x;
            int n = walk(exact, len);
            assert_true(n == -HOLO_ECORRUPT || (n >= 0 && n <= 17));
            free(exact);
        }
    }
}

static void noise_never_leads_outside(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    const uint64_t first = 0x7ec04d;
    uint64_t seed = first;
    size_t len = every_item(space);
    print_message("seed %llx\n", (unsigned long long)first);
    for (int round = 0; round < 20000; round++) {
        uint8_t *exact = kit_exact(space, len);
        for (uint64_t k = 1 + kit_random(&seed) % 8; k > 0; k--)
            exact[kit_random(&seed) % len] = (uint8_t)kit_random(&seed);
        walk(exact, len);
        free(exact);
    }
}

static uint8_t *item_payload(uint8_t *record)
{
    return record + RECORD_HEADER + ITEM_HEADER;
}

static int decode_one(uint8_t *space, struct rec *r)
{
    size_t len = rec_end(r);
    assert_true(len > 0);
    return walk(space, len);
}

static void impossible_values_are_refused(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    struct rec r;
    for (int bad = 0; bad < 4; bad++) {
        struct inode_image i = inode;
        i.ino = bad == 1 ? 0 : bad == 2 ? UINT64_C(1) << 39 : i.ino;
        i.size = bad == 3 ? HOLO_FILE_SIZE_MAX + 1 : HOLO_FILE_SIZE_MAX;
        rec_begin(&r, space, SPACE, REC_SETATTR, 0);
        rec_inode(&r, &i);
        assert_int_equal(decode_one(space, &r), bad ? -HOLO_ECORRUPT : 1);
    }
    for (uint32_t x = 0; x <= 4; x++) {
        struct container_info c = container;
        c.state = x;
        rec_begin(&r, space, SPACE, REC_CONTAINER, 0);
        rec_container(&r, &c);
        assert_int_equal(decode_one(space, &r), x >= 1 && x <= 3 ? 1 : -HOLO_ECORRUPT);
        le32_put(item_payload(space) + 8, CONTAINER_OPEN);
        le32_put(item_payload(space) + 4, x);
        assert_int_equal(decode_one(space, &r), x >= 1 && x <= 3 ? 1 : -HOLO_ECORRUPT);
    }
    for (uint64_t len = 0; len < 2; len++) {
        rec_begin(&r, space, SPACE, REC_PUNCH, 0);
        rec_range_gone(&r, 5, HOLO_FILE_SIZE_MAX, len);
        assert_int_equal(decode_one(space, &r), len ? -HOLO_ECORRUPT : 1);
    }
}

static void unknown_items_are_skipped_only_if_they_say_so(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    struct rec r;
    rec_begin(&r, space, SPACE, REC_CREATE, 0);
    rec_symlink(&r, 5, "abc", 3);
    rec_orphan(&r, 6, false);
    size_t len = rec_end(&r);
    le16_put(space + RECORD_HEADER, 0x8000 | 99);
    assert_int_equal(walk(space, len), 1);
    le16_put(space + RECORD_HEADER, 99);
    assert_int_equal(walk(space, len), -HOLO_ECORRUPT);
    le16_put(space + RECORD_HEADER, 0);
    assert_int_equal(walk(space, len), -HOLO_ECORRUPT);
}

static void names_longer_than_255_are_refused(void **state)
{
    (void)state;
    uint8_t space[SPACE];
    char longest[256];
    memset(longest, 'n', sizeof(longest));
    for (size_t len = 255; len <= 256; len++) {
        struct rec r;
        rec_begin(&r, space, SPACE, REC_CREATE, 0);
        rec_entry(&r, 1, 2, 3, 4, longest, len);
        assert_int_equal(decode_one(space, &r), len == 255 ? 1 : -HOLO_ECORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_comes_back),
        cmocka_unit_test(the_bytes_of_format_1_do_not_drift),
        cmocka_unit_test(records_follow_each_other_in_a_stream),
        cmocka_unit_test(what_does_not_fit_gives_no_record),
        cmocka_unit_test(a_record_is_at_most_a_mebibyte),
        cmocka_unit_test(a_stream_cut_anywhere_is_refused),
        cmocka_unit_test(a_record_that_ends_within_an_item_is_refused),
        cmocka_unit_test(flipped_bytes_never_lead_outside),
        cmocka_unit_test(noise_never_leads_outside),
        cmocka_unit_test(impossible_values_are_refused),
        cmocka_unit_test(unknown_items_are_skipped_only_if_they_say_so),
        cmocka_unit_test(names_longer_than_255_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
