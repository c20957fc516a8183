/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_super.c: one superblock of any bytes, and the vote of five.
 *
 * Input: a byte of flags, then bytes laid over an empty block. FIX gives them a right checksum. VOTE: the five copies follow
 * from the first bytes instead, and the outcome is compared with what was meant to be in them.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/super.h"

enum { FIX = 1, VOTE = 2, OFF_SUM = 4088, OFF_UUID = 40, OFF_LABEL = 56, OFF_RESERVED = 220, FIELDS_END = 248 };

static struct superblock plain(void)
{
    struct superblock sb = { .version = HOLO_FORMAT_VERSION, .k = 64, .r = 3, .meta_r = 5, .nmax = 16384, .ring_blocks = 40960,
                             .seed_base = 77, .sequence = 9, .epoch = 3, .label = "photos", .reserve_bytes = 16 << 20 };
    memcpy(sb.uuid, fuzz_uuid, 16);
    return sb;
}

static void fix(uint8_t *block)
{
    le64_put(block + OFF_SUM, sum64(block, OFF_SUM, sum_seed(block + OFF_UUID, SUM_ID_SUPER, 0)));
}

static bool geometry_possible(const struct superblock *sb)
{
    return sb->k >= 1 && sb->r >= 1 && sb->r <= 10 && sb->meta_r >= 1 && sb->meta_r <= 10 && sb->k + 2 * sb->r <= 255 &&
           sb->k + 2 * sb->meta_r <= 255 && sb->nmax > 0 && sb->ring_blocks > 0;
}

/* Every field comes back; what is reserved is not kept, nor label bytes behind the first zero. */
static void expect_same_fields(const uint8_t *block, const struct superblock *sb)
{
    uint8_t again[BLOCK_SIZE];
    super_encode(sb, again);
    FUZZ_CHECK(memcmp(block, again, 12) == 0);
    FUZZ_CHECK(memcmp(block + 16, again + 16, OFF_LABEL - 16) == 0);
    FUZZ_CHECK(strncmp((const char *)block + OFF_LABEL, (const char *)again + OFF_LABEL, SUPER_LABEL_MAX) == 0);
    FUZZ_CHECK(memcmp(block + OFF_LABEL + SUPER_LABEL_MAX, again + OFF_LABEL + SUPER_LABEL_MAX, OFF_RESERVED - OFF_LABEL - SUPER_LABEL_MAX) == 0);
    FUZZ_CHECK(memcmp(block + OFF_RESERVED + 4, again + OFF_RESERVED + 4, FIELDS_END - OFF_RESERVED - 4) == 0);
    struct superblock back;
    uint8_t third[BLOCK_SIZE];
    FUZZ_CHECK(super_decode(again, &back) == 0);
    super_encode(&back, third);
    FUZZ_CHECK(memcmp(again, third, BLOCK_SIZE) == 0);
}

static void one_block(struct fuzz_in *in, bool fixed)
{
    uint8_t *block = malloc(BLOCK_SIZE);
    FUZZ_CHECK(block);
    in_bytes(in, block, BLOCK_SIZE);
    if (fixed)
        fix(block);
    struct superblock sb;
    int e = super_decode(block, &sb);
    FUZZ_CHECK(e == 0 || e == -HOLO_EFORMAT || e == -HOLO_ESUM || e == -HOLO_EVERSION || e == -HOLO_ECORRUPT);
    if (fixed)
        FUZZ_CHECK(e != -HOLO_ESUM);
    if (e == 0) {
        FUZZ_CHECK(geometry_possible(&sb) && memchr(sb.label, 0, sizeof(sb.label)));
        expect_same_fields(block, &sb);
        if (super_check_features(&sb) == 0)
            FUZZ_CHECK(!(sb.incompat & ~SUPER_INCOMPAT_KNOWN) && !(sb.ro_compat & ~SUPER_RO_COMPAT_KNOWN));
    }
    free(block);
}

/* What a vote must give: the index of a winning copy, or -1. */
static int winner(uint8_t block[SUPER_COPIES][BLOCK_SIZE])
{
    int best = -1;
    unsigned best_votes = 0;
    uint64_t best_sequence = 0;
    for (int i = 0; i < SUPER_COPIES; i++) {
        struct superblock sb;
        unsigned votes = 0;
        if (super_decode(block[i], &sb) != 0)
            continue;
        for (int j = 0; j < SUPER_COPIES; j++)
            votes += memcmp(block[i], block[j], BLOCK_SIZE) == 0;
        if (votes > best_votes || (votes == best_votes && sb.sequence > best_sequence)) {
            best = i;
            best_votes = votes;
            best_sequence = sb.sequence;
        }
    }
    return best;
}

static void put_copy(struct backing *b, unsigned i, const uint8_t *block)
{
    char name[32];
    struct bfile *f;
    snprintf(name, sizeof(name), "superblock.%u", i);
    FUZZ_CHECK(b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE, &f) == 0);
    FUZZ_CHECK(bfile_pwrite(f, block, BLOCK_SIZE, 0) == 0);
    f->ops->close(f);
}

/* A copy, and what was meant to be in it: the same without flips. */
static void make_copy(struct fuzz_in *in, uint8_t *block, uint8_t *meant)
{
    struct superblock sb = plain();
    uint8_t how = in_u8(in);
    sb.sequence += how & 3;
    if (how & 4)
        sb.epoch = in_u8(in);
    super_encode(&sb, block);
    memcpy(meant, block, BLOCK_SIZE);
    if ((how & 0x18) == 0x08) {
        uint32_t at = in_below(in, OFF_SUM);
        block[at] ^= in_u8(in);
        if (how & 0x20) {
            fix(block);
            memcpy(meant, block, BLOCK_SIZE);
        }
    }
    if ((how & 0x18) == 0x10) {
        memset(block, 0, BLOCK_SIZE);
        memset(meant, 0, BLOCK_SIZE);
    }
}

/* How many copies were meant to carry this superblock. */
static unsigned carriers(uint8_t meant[SUPER_COPIES][BLOCK_SIZE], const struct superblock *sb)
{
    unsigned n = 0;
    uint8_t want[BLOCK_SIZE], have[BLOCK_SIZE];
    super_encode(sb, want);
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        struct superblock m;
        if (super_decode(meant[i], &m) != 0)
            continue;
        super_encode(&m, have);
        n += memcmp(want, have, BLOCK_SIZE) == 0;
    }
    return n;
}

/* Three intact copies decide. Else it is what three copies were meant to carry, or what the intact ones say. */
static void expect_outcome(uint8_t block[SUPER_COPIES][BLOCK_SIZE], uint8_t meant[SUPER_COPIES][BLOCK_SIZE], const struct superblock *sb)
{
    struct superblock right;
    int want = winner(block);
    unsigned votes = 0;
    for (int i = 0; i < SUPER_COPIES && want >= 0; i++)
        votes += memcmp(block[i], block[want], BLOCK_SIZE) == 0;
    FUZZ_CHECK(carriers(meant, sb) >= 1);
    if (want >= 0 && (votes >= 3 || carriers(meant, sb) < 3))
        FUZZ_CHECK(super_decode(block[want], &right) == 0 && sb->sequence == right.sequence);
    if (votes >= 3) {
        uint8_t got_bytes[BLOCK_SIZE], want_bytes[BLOCK_SIZE];
        super_encode(sb, got_bytes);
        super_encode(&right, want_bytes);
        FUZZ_CHECK(memcmp(got_bytes, want_bytes, BLOCK_SIZE) == 0);
    }
    if (want < 0)
        FUZZ_CHECK(carriers(meant, sb) >= 3);
}

static void vote(struct fuzz_in *in)
{
    uint8_t block[SUPER_COPIES][BLOCK_SIZE], meant[SUPER_COPIES][BLOCK_SIZE];
    struct backing *b;
    FUZZ_CHECK(backing_memory_create(1 << 20, &b) == 0);
    unsigned newer = 0, valid = 0;
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        struct superblock sb;
        make_copy(in, block[i], meant[i]);
        put_copy(b, i, block[i]);
        int e = super_decode(block[i], &sb);
        newer += e == -HOLO_EVERSION;
        valid += e == 0;
    }
    struct superblock sb;
    struct super_vote v;
    int e = super_read(b, &sb, &v);
    FUZZ_CHECK(v.valid == valid);
    if (newer > valid)
        FUZZ_CHECK(e == -HOLO_EVERSION);
    else if (e == 0)
        expect_outcome(block, meant, &sb);
    else
        FUZZ_CHECK(valid == 0 && (e == -HOLO_EVOTE || e == -HOLO_EFORMAT));
    b->ops->close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    uint8_t flags = in_u8(&in);
    if (flags & VOTE)
        vote(&in);
    else
        one_block(&in, flags & FIX);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    static const uint8_t votes[] = { VOTE, 0, 0, 1, 1, 1, 0x08, 17, 0x55 };
    struct superblock sb = plain();
    uint8_t block[BLOCK_SIZE];
    if (i > 3 || cap < 1 + BLOCK_SIZE)
        return 0;
    if (i == 3) {
        memcpy(out, votes, sizeof(votes));
        return sizeof(votes);
    }
    if (i == 1)
        sb.incompat = 4;
    super_encode(&sb, block);
    out[0] = i == 2 ? 0 : FIX;
    memcpy(out + 1, block, BLOCK_SIZE);
    return 1 + (i == 2 ? (size_t)BLOCK_SIZE : FIELDS_END);
}
