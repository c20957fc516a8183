/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_remap.c: the five copies of the remap table, made of any headers and entries, with right checksums or without.
 *
 * Input: a script of operations (enum step) that lay bytes into the five files. Then they are loaded twice: as they are, and by
 * remap_open(), which writes them anew. Both must have the same table, and after that all five copies hold it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sum.h"
#include "remap/load.h"

enum step { STEP_HEADER, STEP_ENTRY, STEP_RAW_ENTRY, STEP_BYTES, STEP_CUT, STEP_RAW_HEADER, STEPS };
enum { STEPS_MAX = 200, SLOTS = 128, FILE_LEN = REMAP_SLOTS_OFFSET + SLOTS * REMAP_ENTRY_SIZE, SPARE_BLOCKS = 32 };

#define SUM_ID_REMAP UINT64_C(0x72656d6170)

struct files {
    uint8_t *p[REMAP_COPIES];
    size_t len[REMAP_COPIES];
};

/* The copies that a step touches: bits. */
static uint8_t take_copies(struct fuzz_in *in)
{
    uint8_t c = in_u8(in) & 31;
    return c ? c : 31;
}

static void put(struct files *f, uint8_t copies, size_t at, const uint8_t *bytes, size_t n)
{
    for (unsigned i = 0; i < REMAP_COPIES; i++) {
        if (copies & 1u << i)
            memcpy(f->p[i] + at, bytes, n);
    }
}

static void step_header(struct fuzz_in *in, struct files *f, bool raw)
{
    uint8_t copies = take_copies(in), block[REMAP_HEADER_SIZE];
    struct remap_header h = { .first = 1 + in_u8(in), .snapshot = in_u8(in) % 16, .n_spares = 1 + in_u8(in) % 3u };
    for (uint32_t i = 0; i < h.n_spares; i++)
        h.spare[i] = (struct remap_spare){ .number = i, .blocks = SPARE_BLOCKS };
    remap_header_encode(&h, fuzz_uuid, block);
    if (raw) {
        in_bytes(in, block + 32, 64);
        for (size_t i = 1088; i < 4088; i += 2) /* directories that are nowhere, should a spare file ask for one */
            memcpy(block + i, "/%", 2);
        le32_put(block + 12, in_u8(in));
        le64_put(block + 4088, sum64(block, 4088, sum_seed(fuzz_uuid, SUM_ID_REMAP, 0)));
    }
    put(f, copies, 0, block, sizeof(block));
    put(f, copies, REMAP_HEADER_SIZE, block, sizeof(block));
}

static void step_entry(struct fuzz_in *in, struct files *f, bool raw)
{
    uint8_t copies = take_copies(in), bytes[REMAP_ENTRY_SIZE];
    uint32_t slot = in_below(in, SLOTS);
    struct remap_entry e = { .sequence = le64_get(f->p[0] + 32) + slot, .kind = REMAP_ADD + in_u8(in) % 4, .container = in_u8(in) % 4u,
                             .file_block = in_u8(in) % 8u, .spare = in_u8(in) % 4u, .spare_block = in_u8(in) % (SPARE_BLOCKS + 1) };
    remap_entry_encode(&e, fuzz_uuid, bytes);
    if (raw) {
        in_bytes(in, bytes, 56);
        le64_put(bytes + 56, sum64(bytes, 56, sum_seed(fuzz_uuid, SUM_ID_REMAP, le64_get(bytes))));
    }
    put(f, copies, remap_slot_offset(slot), bytes, sizeof(bytes));
}

static void step(struct fuzz_in *in, struct files *f)
{
    switch ((enum step)(in_u8(in) % STEPS)) {
    case STEP_HEADER:
        step_header(in, f, false);
        break;
    case STEP_RAW_HEADER:
        step_header(in, f, true);
        break;
    case STEP_ENTRY:
        step_entry(in, f, false);
        break;
    case STEP_RAW_ENTRY:
        step_entry(in, f, true);
        break;
    case STEP_BYTES: {
        uint8_t copies = take_copies(in), bytes[8];
        uint32_t at = in_below(in, FILE_LEN - 8);
        in_bytes(in, bytes, sizeof(bytes));
        put(f, copies, at, bytes, sizeof(bytes));
        break;
    }
    case STEP_CUT:
        f->len[in_u8(in) % REMAP_COPIES] = in_below(in, FILE_LEN + 1);
        break;
    case STEPS:
        break;
    }
}

static void put_file(struct backing *b, const char *name, const uint8_t *p, size_t len)
{
    struct bfile *f;
    FUZZ_CHECK(b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE, &f) == 0);
    FUZZ_CHECK(len == 0 || bfile_pwrite(f, p, len, 0) == 0);
    f->ops->close(f);
}

static struct backing *make_store(const struct files *f)
{
    struct backing *b;
    static const uint8_t zeros[SPARE_BLOCKS * REMAP_BLOCK_SIZE];
    FUZZ_CHECK(backing_memory_create(64 << 20, &b) == 0 && b->ops->mkdir(b, "spare") == 0);
    put_file(b, "spare/0000.spare", zeros, sizeof(zeros));
    for (unsigned i = 0; i < REMAP_COPIES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "remap.%u", i);
        put_file(b, name, f->p[i], f->len[i]);
    }
    return b;
}

struct count {
    struct remap_map *map;
    struct remap_table *table;
    uint64_t n;
};

static int count_one(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct count *c = arg;
    struct remap_place p;
    (void)spare;
    FUZZ_CHECK(remap_map_find(c->map, container, file_block, &p) && p.block == spare_block);
    FUZZ_CHECK(remap_lookup(c->table, container, file_block));
    c->n++;
    return 0;
}

/* The loader's table, and the one that remap_open() made of the same files. */
static void expect_same_table(struct remap_map *map, struct remap_table *table)
{
    struct remap_counts counts;
    struct remap_stats stats;
    struct count c = { map, table, 0 };
    remap_map_counts(map, &counts);
    remap_stats(table, &stats);
    FUZZ_CHECK(remap_each(table, count_one, &c) == 0);
    FUZZ_CHECK(c.n == counts.remaps && stats.remaps == counts.remaps && stats.spare_used == counts.used && stats.spare_bad == counts.bad);
    FUZZ_CHECK(counts.remaps == counts.used && counts.used + counts.bad <= counts.blocks);
}

/* After remap_open() all five copies are one whole log with that table. */
static void expect_written_anew(struct backing *b, struct remap_map *before)
{
    struct remap_loaded ld;
    struct remap_map *map;
    struct remap_counts was, is;
    FUZZ_CHECK(remap_log_load(b, fuzz_uuid, &ld, &map) == 0);
    for (unsigned i = 0; i < REMAP_COPIES; i++)
        FUZZ_CHECK(ld.equal[i]);
    FUZZ_CHECK(ld.lost == 0);
    remap_map_counts(before, &was);
    remap_map_counts(map, &is);
    FUZZ_CHECK(was.remaps == is.remaps && was.used == is.used && was.bad == is.bad);
    remap_loaded_fini(&ld);
    remap_map_destroy(map);
}

static void load(struct backing *b)
{
    struct remap_loaded ld;
    struct remap_map *map = NULL;
    struct remap_table *table = NULL;
    int e = remap_log_load(b, fuzz_uuid, &ld, &map);
    FUZZ_CHECK(e == 0 || e == -HOLO_ECORRUPT || e == -HOLO_EVERSION);
    int e2 = remap_open(b, fuzz_uuid, false, &table);
    FUZZ_CHECK(e2 == e);
    if (e == 0) {
        expect_same_table(map, table);
        remap_close(table);
        expect_written_anew(b, map);
        remap_map_destroy(map);
    }
    remap_loaded_fini(&ld);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    struct files f;
    log_set_level((enum log_level)-1);
    for (unsigned i = 0; i < REMAP_COPIES; i++) {
        f.p[i] = calloc(1, FILE_LEN);
        f.len[i] = FILE_LEN;
        FUZZ_CHECK(f.p[i]);
    }
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
        step(&in, &f);
    struct backing *b = make_store(&f);
    load(b);
    b->ops->close(b);
    for (unsigned i = 0; i < REMAP_COPIES; i++)
        free(f.p[i]);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    if (i > 3 || cap < 1024)
        return 0;
    size_t at = 0;
    const uint8_t header[] = { STEP_HEADER, 0, (uint8_t)(i * 10), (uint8_t)i, 1 };
    memcpy(out, header, sizeof(header));
    at += sizeof(header);
    for (uint8_t n = 0; n < 8 * (i + 1); n++) {
        const uint8_t entry[] = { STEP_ENTRY, (uint8_t)(i == 2 ? 1u << n % 5 : 0), n, 0, n % 5 == 4 ? 1 : 0, n % 4, n % 8, 0, n };
        memcpy(out + at, entry, sizeof(entry));
        at += sizeof(entry);
    }
    if (i == 3) {
        const uint8_t other[] = { STEP_HEADER, 3, 50, 2, 1, STEP_CUT, 4, 0, 9 };
        memcpy(out + at, other, sizeof(other));
        at += sizeof(other);
    }
    return at;
}
