/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_container.c: what a container file says of itself: header records, checksum tables, directory entries, its name.
 *
 * Input: a byte that chooses the structure and whether its checksum is made right, then its bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/chead.h"

enum { FIX = 1, HEADER = 0, TABLE = 2, PIECE = 4, NAME = 6, KINDS = 6, ID = 0x2a, RECORD_SUM = 248, RECORD_FIELDS = 144 };

static struct container_header plain(void)
{
    struct container_header h = { .id = ID, .cls = CLASS_DATA, .r = 3, .k = 64, .m = 6, .D = 257, .nmax = 16384, .used = 1000, .seed_base = 7,
                                  .pieces = 12, .content_bytes = 3000000, .dir_off = 733 * BLOCK_SIZE, .epoch = 4, .sb_r = 3, .sb_meta_r = 5 };
    memcpy(h.uuid, fuzz_uuid, 16);
    h.table_blocks = chead_table_blocks_for(chead_positions(&h));
    return h;
}

static void fix_record(uint8_t *rec)
{
    le64_put(rec + RECORD_SUM, sum64(rec, RECORD_SUM, sum_seed(rec + 16, SUM_ID_HEADER, le32_get(rec + 12))));
}

/* Does another byte stand at the place of one of these in more of the records? */
static bool outvoted(const uint8_t *block, const uint8_t *record)
{
    for (unsigned at = 0; at < RECORD_FIELDS; at++) {
        unsigned votes[256] = { 0 };
        for (unsigned i = 0; i < CHEAD_COPIES; i++)
            votes[block[i * CHEAD_BYTES + at]]++;
        for (unsigned v = 0; v < 256; v++) {
            if (votes[v] > votes[record[at]])
                return true;
        }
    }
    return false;
}

/* Is this decoded header one that a record of the block carries, with its checksum? If none is intact: what most of them say? */
static bool stands_in(const uint8_t *block, const struct container_header *h)
{
    uint8_t again[BLOCK_SIZE];
    bool any = false;
    chead_encode(h, again);
    for (int i = 0; i < CHEAD_COPIES; i++) {
        uint8_t rec[CHEAD_BYTES];
        memcpy(rec, block + i * CHEAD_BYTES, CHEAD_BYTES);
        uint64_t sum = le64_get(rec + RECORD_SUM);
        fix_record(rec);
        bool intact = sum == le64_get(rec + RECORD_SUM);
        if (intact && memcmp(rec, again, RECORD_FIELDS) == 0)
            return true;
        any |= intact && le32_get(rec + 12) == h->id && memcmp(rec + 16, h->uuid, 16) == 0 && memcmp(rec, again, 12) == 0;
    }
    return !any && !outvoted(block, again);
}

/* Nothing that is computed from a header that was accepted may leave the file or overflow. */
static void expect_possible(const struct container_header *h)
{
    uint64_t positions = (uint64_t)h->used + (uint64_t)h->m * h->D, room = (uint64_t)h->used * BLOCK_SIZE;
    FUZZ_CHECK(chead_positions(h) == positions && (uint64_t)h->k * h->D >= h->used && h->D % 2 == 1);
    FUZZ_CHECK(chead_file_blocks(h) == 2 + 2 * (uint64_t)h->table_blocks + positions);
    FUZZ_CHECK((uint64_t)h->table_blocks * TABLE_ENTRIES >= positions);
    FUZZ_CHECK(h->content_bytes <= room && h->dir_off <= room && (uint64_t)h->pieces * PIECE_BYTES <= room - h->dir_off);
    FUZZ_CHECK(h->m == 2 * h->r && h->k + h->m <= 255);
}

/* A byte says which of the sixteen records get the bytes that follow; the others stay as they were encoded, or empty. */
static void header(struct fuzz_in *in, bool fixed)
{
    uint8_t *block = calloc(1, BLOCK_SIZE);
    FUZZ_CHECK(block);
    struct container_header h = plain(), any;
    uint8_t how = in_u8(in);
    if (how & 0x80)
        chead_encode(&h, block);
    for (unsigned i = 0; i < CHEAD_COPIES && in->left; i += 1 + how % 16) {
        in_bytes(in, block + i * CHEAD_BYTES, CHEAD_BYTES);
        if (fixed)
            fix_record(block + i * CHEAD_BYTES);
    }
    bool intact = false;
    int e = chead_decode(block, fuzz_uuid, ID, &h, &intact);
    FUZZ_CHECK(e == 0 || e == -HOLO_EFORMAT || e == -HOLO_ESUM || e == -HOLO_EVERSION || e == -HOLO_ECORRUPT);
    if (e == 0) {
        FUZZ_CHECK(h.id == ID && memcmp(h.uuid, fuzz_uuid, 16) == 0 && stands_in(block, &h));
        FUZZ_CHECK(intact == (memcmp(block, block + CHEAD_BYTES, BLOCK_SIZE - CHEAD_BYTES) == 0));
        expect_possible(&h);
    }
    if (chead_decode_any(block, &any) == 0) {
        FUZZ_CHECK(stands_in(block, &any));
        expect_possible(&any);
    } else {
        FUZZ_CHECK(e != 0);
    }
    free(block);
}

static void table(struct fuzz_in *in, bool fixed)
{
    uint32_t t = in_u16(in);
    uint8_t *block = malloc(BLOCK_SIZE), again[BLOCK_SIZE];
    uint64_t sums[TABLE_ENTRIES];
    FUZZ_CHECK(block);
    in_bytes(in, block, BLOCK_SIZE);
    if (fixed)
        le64_put(block, sum64(block + 8, BLOCK_SIZE - 8, sum_seed(fuzz_uuid, SUM_ID_TABLE, (uint64_t)ID << 20 | t)));
    bool intact = ctable_intact(fuzz_uuid, ID, t, block);
    FUZZ_CHECK(intact || !fixed);
    for (uint32_t e = 0; e < TABLE_ENTRIES; e++)
        sums[e] = ctable_entry(block, t * TABLE_ENTRIES + e);
    ctable_encode(fuzz_uuid, ID, 0, sums, TABLE_ENTRIES, again);
    FUZZ_CHECK(memcmp(again + 8, block + 8, BLOCK_SIZE - 8) == 0);
    FUZZ_CHECK(ctable_intact(fuzz_uuid, ID, 0, again));
    if (intact && t == 0)
        FUZZ_CHECK(memcmp(again, block, BLOCK_SIZE) == 0);
    free(block);
}

static void piece(struct fuzz_in *in, bool fixed)
{
    uint8_t *bytes = malloc(PIECE_BYTES), again[PIECE_BYTES];
    struct piece p;
    FUZZ_CHECK(bytes);
    in_bytes(in, bytes, PIECE_BYTES);
    if (fixed)
        le64_put(bytes + 40, sum64(bytes, 40, sum_seed(fuzz_uuid, ID, le32_get(bytes + 24))));
    bool good = piece_decode(bytes, fuzz_uuid, ID, &p);
    FUZZ_CHECK(good || !fixed);
    if (good) {
        piece_encode(&p, fuzz_uuid, ID, again);
        FUZZ_CHECK(memcmp(bytes, again, PIECE_BYTES) == 0);
    }
    free(bytes);
}

static void name(struct fuzz_in *in)
{
    char *text = calloc(1, in->left + 1), back[CONTAINER_NAME_MAX];
    uint32_t id;
    FUZZ_CHECK(text);
    in_bytes(in, text, in->left);
    if (container_name_parse(text, &id)) {
        container_name(id, back);
        FUZZ_CHECK(strcmp(strrchr(back, '/') + 1, text) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    uint8_t flags = in_u8(&in);
    switch (flags & KINDS) {
    case HEADER:
        header(&in, flags & FIX);
        break;
    case TABLE:
        table(&in, flags & FIX);
        break;
    case PIECE:
        piece(&in, flags & FIX);
        break;
    case NAME:
        name(&in);
        break;
    }
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    struct container_header h = plain();
    uint8_t block[BLOCK_SIZE];
    if (cap < 2 + BLOCK_SIZE)
        return 0;
    chead_encode(&h, block);
    memset(out, 0, 3 + PIECE_BYTES);
    switch (i) {
    case 0: /* one right record among empty ones */
        out[0] = HEADER | FIX;
        memcpy(out + 2, block, CHEAD_BYTES);
        return 2 + CHEAD_BYTES;
    case 1: /* strange records among right ones */
        out[0] = HEADER;
        out[1] = 0x83;
        memcpy(out + 2, block, 2 * CHEAD_BYTES);
        out[9] ^= 1;
        return 2 + 2 * CHEAD_BYTES;
    case 5: /* no record is intact, all of them together are */
        out[0] = HEADER;
        out[1] = 0x80;
        for (unsigned n = 0; n < CHEAD_COPIES; n++)
            block[n * CHEAD_BYTES + 9 * n] ^= 0x40;
        memcpy(out + 2, block, BLOCK_SIZE);
        return 2 + BLOCK_SIZE;
    case 2:
        out[0] = TABLE | FIX;
        fuzz_fill(i, out + 3, 512);
        return 515;
    case 3:
        out[0] = PIECE | FIX;
        fuzz_fill(i, out + 1, 40);
        return 1 + PIECE_BYTES;
    case 4:
        out[0] = NAME;
        memcpy(out + 1, "0000002a.hc", 11);
        return 12;
    default:
        return 0;
    }
}
