/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engines.c: whole containers of any code and shape: every engine gives the bytes of the scalar one; what is lost comes back.
 *
 * Input: k, m, seed, stripes, blocks in use, block size and contents, then stored positions that are lost and one byte that is flipped.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "ecc/ecc.h"

enum { D_MAX = 9, BLOCK_MAX = 192, LOST_MAX = 64 };

struct box {
    struct ecc_code *code;
    unsigned k, m;
    size_t block;
    struct ecc_layout layout;
    uint32_t positions;
    uint8_t *stored, *parity;
};

static void make(struct fuzz_in *in, struct box *b)
{
    b->m = 2 * (1 + in_below(in, ECC_R_MAX));
    b->k = 1 + in_u8(in) % (ECC_N_MAX - b->m);
    b->block = ECC_ALIGN * (1 + in_below(in, BLOCK_MAX / ECC_ALIGN));
    b->layout.D = ecc_layout_stripes((1 + in_u8(in) % D_MAX) * b->k, b->k);
    b->layout.used = in_u16(in) % (b->k * b->layout.D + 1);
    b->positions = b->layout.used + b->m * b->layout.D;
    FUZZ_CHECK(b->layout.D % 2 == 1 && ecc_code_create(b->k, b->m, in_u32(in), &b->code) == 0);
    b->stored = malloc(b->positions * b->block);
    b->parity = malloc(b->m * b->layout.D * b->block);
    FUZZ_CHECK(b->stored && b->parity);
    fuzz_fill(in_u8(in), b->stored, b->layout.used * b->block);
}

/* Stripe and member of each position are different, and lead back to it. */
static void expect_layout(const struct box *b)
{
    for (uint32_t x = 0; x < b->positions; x++) {
        uint32_t stripe;
        unsigned member;
        ecc_layout_locate(&b->layout, b->k, x, &stripe, &member);
        FUZZ_CHECK(stripe < b->layout.D && member < b->k + b->m && (member < b->k) == (x < b->layout.used));
        FUZZ_CHECK(ecc_layout_position(&b->layout, b->k, stripe, member) == x);
    }
}

static void encode(struct box *b)
{
    size_t len = b->m * b->layout.D * b->block;
    uint8_t *first = b->stored + b->layout.used * b->block;
    bool done = false;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (!(*e)->supported())
            continue;
        struct ecc_container c = { .layout = b->layout, .stored = b->stored, .out = done ? b->parity : first };
        memset(c.out, 0x5a, len);
        FUZZ_CHECK((*e)->containers(ECC_ENCODE, b->code, b->block, &c, 1) == 0);
        FUZZ_CHECK(!done || memcmp(b->parity, first, len) == 0);
        done = true;
    }
}

/* Only the stripe of the byte that was flipped is dirty; stripe < 0: none is. */
static void expect_dirty(const struct box *b, const uint8_t *stored, int64_t stripe)
{
    uint8_t *dirty = malloc(b->layout.D);
    FUZZ_CHECK(dirty);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (!(*e)->supported())
            continue;
        struct ecc_container c = { .layout = b->layout, .stored = stored, .dirty = dirty };
        memset(dirty, 7, b->layout.D);
        FUZZ_CHECK((*e)->containers(ECC_SYNDROME, b->code, b->block, &c, 1) == 0);
        for (uint32_t d = 0; d < b->layout.D; d++)
            FUZZ_CHECK(dirty[d] == (d == stripe));
    }
    free(dirty);
}

static void flip(struct fuzz_in *in, const struct box *b)
{
    size_t at = in_u32(in) % (b->positions * b->block);
    uint8_t change = in_u8(in);
    uint32_t stripe;
    unsigned member;
    ecc_layout_locate(&b->layout, b->k, (uint32_t)(at / b->block), &stripe, &member);
    b->stored[at] ^= change;
    expect_dirty(b, b->stored, change ? (int64_t)stripe : -1);
    b->stored[at] ^= change;
}

/* Rebuild what is lost of one stripe and compare. Returns false if that is more than m blocks. */
static bool rebuild(const struct box *b, const struct ecc_engine *engine, uint8_t *hurt, const bool *lost, uint32_t stripe)
{
    uint8_t *blocks[ECC_N_MAX] = { NULL };
    unsigned erased[ECC_N_MAX] = { 0 }, n = 0;
    for (unsigned i = 0; i < b->k + b->m; i++) {
        uint32_t x = ecc_layout_position(&b->layout, b->k, stripe, i);
        blocks[i] = x == UINT32_MAX ? NULL : hurt + x * b->block;
        if (x != UINT32_MAX && lost[x])
            erased[n++] = i;
    }
    int e = ecc_rebuild(engine, b->code, blocks, erased, n, b->block);
    FUZZ_CHECK(e == (n > b->m ? -HOLO_EPARITY : 0));
    for (unsigned i = 0; i < n && e == 0; i++) {
        size_t off = (size_t)(blocks[erased[i]] - hurt);
        FUZZ_CHECK(memcmp(blocks[erased[i]], b->stored + off, b->block) == 0);
    }
    return e == 0;
}

static void lose(struct fuzz_in *in, const struct box *b)
{
    bool *lost = calloc(b->positions, sizeof(*lost));
    size_t len = b->positions * b->block;
    uint8_t *hurt = fuzz_exact(b->stored, len), *again = malloc(len);
    FUZZ_CHECK(lost && again);
    uint32_t burst = in_u16(in) % b->positions, burst_len = in_u8(in) % 3 ? 0 : b->m * b->layout.D;
    for (uint32_t x = burst; x < burst + burst_len && x < b->positions; x++)
        lost[x] = true;
    for (unsigned i = 0; i < LOST_MAX && in->left > 0; i++)
        lost[in_u16(in) % b->positions] = true;
    for (uint32_t x = 0; x < b->positions; x++) {
        if (lost[x])
            memset(hurt + x * b->block, 0x33, b->block);
    }
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        bool whole = true;
        memcpy(again, hurt, len);
        for (uint32_t d = 0; d < b->layout.D && (*e)->supported(); d++)
            whole &= rebuild(b, *e, again, lost, d);
        if (whole && (*e)->supported())
            FUZZ_CHECK(memcmp(again, b->stored, len) == 0);
    }
    free(again);
    free(hurt);
    free(lost);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    struct box b = { 0 };
    make(&in, &b);
    expect_layout(&b);
    encode(&b);
    expect_dirty(&b, b.stored, -1);
    flip(&in, &b);
    lose(&in, &b);
    free(b.stored);
    free(b.parity);
    ecc_code_destroy(b.code);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    if (i > 4 || cap < 64)
        return 0;
    const uint8_t bytes[] = { (uint8_t)(2 * i), 0, (uint8_t)(20 * i + 3), (uint8_t)i, 0, (uint8_t)(i + 1), (uint8_t)(40 * i), 0, 9, 1, 0, 0, 55, 7, 1, 0, 0,
                              (uint8_t)i, 2, 0, (uint8_t)i, 1, 0, 9, 0, 30, 0, 31, 0 };
    memcpy(out, bytes, sizeof(bytes));
    return sizeof(bytes);
}
