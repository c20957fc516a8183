/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wave_string.c: shape, header and index of a parity string. Offsets are those of FORMAT.md, «Byte strings». */
#include "ecc/wave_string.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sum.h"
#include "ecc/code.h"
#include "ecc/column.h"
#include "ecc/wave_ecc.h"

enum {
    BLOCK_MAX = 4096,
    STRIPE_BLOCKS = 64,
    GROUP_BYTES = BLOCK_MAX * STRIPE_BLOCKS,
    GROUPS_LARGE = 8, /* from here on blocks are as large as sectors, and an odd number of stripes keeps members in different cache sets */
    BLOCK_STEP = 8,   /* of blocks up to ECC_ALIGN; above they are multiples of ECC_ALIGN */
    SUM_ID = 0x77617665,
};

#define LEN_MAX (UINT64_C(1) << 43)
#define POSITION_ROOT UINT64_MAX
#define POSITION_INDEX (UINT64_MAX - 1)

/* Fields of the header. */
enum {
    H_MAGIC = 0,
    H_VERSION = 2,
    H_R = 3,
    H_SEED = 4,
    H_LEN = 8,
    H_ROOT = 16,
    H_INDEX_SUM = 32,
    H_SUM = 36,
    H_END = 40,
};
_Static_assert(H_END == WAVE_ROWS * WAVE_HEADER_ROW, "the header fills its rows");

static const uint8_t magic[2] = { 'W', 'e' };

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static uint64_t round_up(uint64_t a, uint64_t unit)
{
    return ceil_div(a, unit) * unit;
}

static void choose_blocks(struct wave_shape *s)
{
    uint64_t groups = ceil_div(s->len, GROUP_BYTES);
    s->layout.D = (uint32_t)(groups < GROUPS_LARGE ? groups : groups | 1);
    s->block = BLOCK_MAX;
    if (groups < GROUPS_LARGE) {
        uint64_t least = ceil_div(s->len, STRIPE_BLOCKS * groups);
        s->block = round_up(least, least <= ECC_ALIGN ? BLOCK_STEP : ECC_ALIGN);
    }
    s->padded = round_up(s->block, ECC_ALIGN);
}

int wave_shape_init(struct wave_shape *s, uint64_t len, unsigned redundancy, uint32_t seed_base)
{
    if (len < 1 || len > LEN_MAX || redundancy < ECC_R_MIN || redundancy > ECC_R_MAX)
        return -EINVAL;
    *s = (struct wave_shape){ .len = len, .R = redundancy, .m = 2 * redundancy, .seed_base = seed_base };
    choose_blocks(s);
    s->layout.used = (uint32_t)ceil_div(len, s->block);
    s->k = (unsigned)ceil_div(s->layout.used, s->layout.D);
    s->positions = s->layout.used + s->m * s->layout.D;
    s->sum_bytes = s->block < 64 ? 2 : s->block < 1024 ? 4 : 8;
    s->row = ceil_div((uint64_t)s->positions * s->sum_bytes, WAVE_ROWS);
    s->slots = WAVE_HEADER_BYTES + WAVE_ROWS * s->row;
    s->back = s->slots + (uint64_t)s->m * s->layout.D * s->block;
    s->parity_len = s->back + WAVE_ROWS * s->row + WAVE_HEADER_BYTES;
    return s->parity_len <= SIZE_MAX ? 0 : -EINVAL;
}

/* Bytes that were made with other parameters, or belong to another place, fail. */
static uint64_t seed_at(const struct wave_shape *s, uint64_t position)
{
    uint8_t parameters[16];
    le64_put(parameters, s->len);
    le32_put(parameters + 8, s->seed_base);
    le32_put(parameters + 12, s->R);
    return sum_seed(parameters, SUM_ID, position);
}

void wave_block_sum(const struct wave_shape *s, uint32_t position, const uint8_t *block, uint8_t out[WAVE_SUM])
{
    sum128(block, s->block, seed_at(s, position), out);
}

void wave_root(const struct wave_shape *s, const uint8_t *sums, uint8_t out[WAVE_SUM])
{
    sum128(sums, (size_t)s->layout.used * WAVE_SUM, seed_at(s, POSITION_ROOT), out);
}

/* The change is value / α^(member·s): see column.h. */
static void correct_column(const struct ecc_code *code, uint8_t *const *rows, size_t at, const struct column_error *e)
{
    unsigned weight = e->member * code->s % FIELD_ORDER;
    rows[e->member][at] ^= field_exp(field_log(e->value) + FIELD_ORDER - weight);
}

void wave_correct_columns(const struct ecc_engine *engine, const struct ecc_code *code, uint8_t *const *rows, size_t len,
                          uint8_t *scratch)
{
    struct column_suspects all = { .n = 0 };
    struct column_error errors[ECC_R_MAX];
    const uint8_t *src[ECC_N_MAX];
    uint8_t *syn[ECC_M_MAX], sums[ECC_M_MAX];
    for (unsigned i = 0; i < code->n; i++) {
        src[i] = rows[i];
        all.may_err[i] = rows[i] != NULL;
        if (rows[i])
            all.member[all.n++] = (uint8_t)i;
    }
    for (unsigned j = 0; j < code->m; j++)
        syn[j] = scratch + j * len;
    engine->syndrome(code, src, syn, len);
    for (size_t at = 0; at < len; at++) {
        uint8_t any = 0;
        for (unsigned j = 0; j < code->m; j++)
            any |= sums[j] = syn[j][at];
        unsigned n = any ? column_decode(sums, code->m, &all, errors) : 0;
        for (unsigned e = 0; e < n; e++)
            correct_column(code, rows, at, &errors[e]);
    }
}

static uint32_t header_sum(const uint8_t *header)
{
    return (uint32_t)sum64(header, H_SUM, SUM_ID);
}

enum { HEADER_MEMBERS = WAVE_ROWS + WAVE_HEADER_CHECKS };

/* A copy of the header in the kernels' form: rows of ECC_ALIGN bytes. */
struct header_rows {
    uint8_t bytes[HEADER_MEMBERS][ECC_ALIGN];
    uint8_t *row[HEADER_MEMBERS];
};

static void header_load(struct header_rows *h, const uint8_t *from, unsigned rows)
{
    memset(h->bytes, 0, sizeof(h->bytes));
    for (unsigned i = 0; i < HEADER_MEMBERS; i++) {
        h->row[i] = h->bytes[i];
        if (i < rows)
            memcpy(h->row[i], from + i * WAVE_HEADER_ROW, WAVE_HEADER_ROW);
    }
}

int wave_header_code(struct ecc_code **out)
{
    return ecc_code_create(WAVE_ROWS, WAVE_HEADER_CHECKS, 0, out);
}

void wave_header_write(const struct ecc_engine *engine, const struct ecc_code *header_code, const struct wave_header *h,
                       uint8_t out[WAVE_HEADER_BYTES])
{
    struct header_rows rows;
    memcpy(out + H_MAGIC, magic, sizeof(magic));
    out[H_VERSION] = WAVE_VERSION;
    out[H_R] = (uint8_t)h->R;
    le32_put(out + H_SEED, h->seed_base);
    le64_put(out + H_LEN, h->len);
    memcpy(out + H_ROOT, h->root, WAVE_SUM);
    le32_put(out + H_INDEX_SUM, h->index_sum);
    le32_put(out + H_SUM, header_sum(out));
    header_load(&rows, out, WAVE_ROWS);
    engine->encode(header_code, (const uint8_t *const *)rows.row, rows.row + WAVE_ROWS, ECC_ALIGN);
    for (unsigned i = WAVE_ROWS; i < HEADER_MEMBERS; i++)
        memcpy(out + i * WAVE_HEADER_ROW, rows.row[i], WAVE_HEADER_ROW);
}

/* 0 if the sum is right and the version known. */
static int header_parse(const uint8_t *p, struct wave_header *out)
{
    if (memcmp(p + H_MAGIC, magic, sizeof(magic)) != 0 || le32_get(p + H_SUM) != header_sum(p))
        return -WAVE_ECC_EFORMAT;
    if (p[H_VERSION] != WAVE_VERSION)
        return -WAVE_ECC_EVERSION;
    out->R = p[H_R];
    out->seed_base = le32_get(p + H_SEED);
    out->len = le64_get(p + H_LEN);
    memcpy(out->root, p + H_ROOT, WAVE_SUM);
    out->index_sum = le32_get(p + H_INDEX_SUM);
    return 0;
}

/* Each of the two columns may be right in a different copy. */
static int header_combine(struct header_rows copies[2], unsigned n_copies, struct wave_header *out)
{
    int rc = -WAVE_ECC_EFORMAT;
    for (unsigned choice = 0; choice < n_copies * n_copies && rc == -WAVE_ECC_EFORMAT; choice++) {
        uint8_t header[H_END];
        for (unsigned i = 0; i < H_END; i++) {
            unsigned column = i % WAVE_HEADER_ROW;
            unsigned copy = column == 0 ? choice % n_copies : choice / n_copies;
            header[i] = copies[copy].row[i / WAVE_HEADER_ROW][column];
        }
        rc = header_parse(header, out);
    }
    return rc;
}

int wave_header_read(const struct ecc_engine *engine, const uint8_t *front, const uint8_t *back, struct wave_header *out)
{
    const uint8_t *from[2] = { front, back };
    struct header_rows copies[2];
    uint8_t scratch[WAVE_HEADER_CHECKS * ECC_ALIGN];
    struct ecc_code *code;
    int rc = header_parse(front, out);
    if (rc != -WAVE_ECC_EFORMAT)
        return rc;
    rc = wave_header_code(&code);
    if (rc < 0)
        return rc;
    unsigned n = back ? 2 : 1;
    for (unsigned c = 0; c < n; c++) {
        header_load(&copies[c], from[c], HEADER_MEMBERS);
        wave_correct_columns(engine, code, copies[c].row, ECC_ALIGN, scratch);
    }
    ecc_code_destroy(code);
    return header_combine(copies, n, out);
}

int wave_index_create(const struct wave_shape *s, const struct ecc_engine *engine, struct wave_index *out)
{
    *out = (struct wave_index){ .shape = s, .engine = engine, .padded = round_up(s->row, ECC_ALIGN), .n_tables = 1 };
    int rc = ecc_code_create(WAVE_ROWS, WAVE_ROWS, 0, &out->code);
    if (rc < 0)
        return rc;
    uint8_t *rows = aligned_alloc(ECC_ALIGN, 2 * WAVE_ROWS * out->padded);
    out->table[0] = calloc(WAVE_ROWS, s->row);
    if (!rows || !out->table[0]) {
        free(rows);
        free(out->table[0]);
        ecc_code_destroy(out->code);
        out->code = NULL;
        return -ENOMEM;
    }
    for (unsigned i = 0; i < 2 * WAVE_ROWS; i++)
        out->rows[i] = rows + i * out->padded;
    return 0;
}

void wave_index_destroy(struct wave_index *x)
{
    for (unsigned t = 0; t < 3; t++)
        free(x->table[t]);
    free(x->rows[0]);
    ecc_code_destroy(x->code);
}

uint8_t *wave_index_entry(const struct wave_index *x, uint32_t position)
{
    return x->table[0] + (size_t)position * x->shape->sum_bytes;
}

/* Rows first … first + 19, from where they stand one behind another. */
static void load_rows(struct wave_index *x, unsigned first, const uint8_t *from)
{
    for (unsigned i = 0; i < WAVE_ROWS; i++) {
        memcpy(x->rows[first + i], from + i * x->shape->row, x->shape->row);
        memset(x->rows[first + i] + x->shape->row, 0, x->padded - x->shape->row);
    }
}

static void store_table(struct wave_index *x, unsigned t)
{
    for (unsigned i = 0; i < WAVE_ROWS; i++)
        memcpy(x->table[t] + i * x->shape->row, x->rows[i], x->shape->row);
}

static uint32_t table_sum(const struct wave_index *x, unsigned t)
{
    return (uint32_t)sum64(x->table[t], WAVE_ROWS * x->shape->row, seed_at(x->shape, POSITION_INDEX));
}

uint32_t wave_index_finish(struct wave_index *x)
{
    load_rows(x, 0, x->table[0]);
    x->engine->encode(x->code, (const uint8_t *const *)x->rows, x->rows + WAVE_ROWS, x->padded);
    return table_sum(x, 0);
}

/* Keep table t alone if its checksum is the header's. */
static bool settle(struct wave_index *x, unsigned t, uint32_t index_sum)
{
    if (table_sum(x, t) != index_sum)
        return false;
    if (t != 0)
        memcpy(x->table[0], x->table[t], WAVE_ROWS * x->shape->row);
    x->n_tables = 1;
    return true;
}

/* Up to ten errors in a column, wherever they are. */
static int correct_rows(struct wave_index *x, const uint8_t *front, const uint8_t *back)
{
    uint8_t *scratch = aligned_alloc(ECC_ALIGN, WAVE_ROWS * x->padded);
    if (!scratch)
        return -ENOMEM;
    load_rows(x, 0, front);
    load_rows(x, WAVE_ROWS, back);
    wave_correct_columns(x->engine, x->code, x->rows, x->padded, scratch);
    free(scratch);
    return 0;
}

/* From the second half alone, as if nothing were left of the first. */
static void rebuild_front(struct wave_index *x, const uint8_t *back)
{
    unsigned lost[WAVE_ROWS];
    for (unsigned i = 0; i < WAVE_ROWS; i++)
        lost[i] = i;
    load_rows(x, WAVE_ROWS, back);
    ecc_rebuild(x->engine, x->code, x->rows, lost, WAVE_ROWS, x->padded);
}

int wave_index_read(struct wave_index *x, const uint8_t *parity, uint32_t index_sum)
{
    const uint8_t *front = parity + WAVE_HEADER_BYTES, *back = parity + x->shape->back;
    size_t bytes = WAVE_ROWS * x->shape->row;
    memcpy(x->table[0], front, bytes);
    if (settle(x, 0, index_sum))
        return 0;
    x->table[1] = malloc(bytes);
    x->table[2] = malloc(bytes);
    if (!x->table[1] || !x->table[2] || correct_rows(x, front, back) < 0)
        return -ENOMEM;
    store_table(x, 1);
    if (settle(x, 1, index_sum))
        return 0;
    rebuild_front(x, back);
    store_table(x, 2);
    if (!settle(x, 2, index_sum))
        x->n_tables = 3;
    return 0;
}

/*
 * How many bytes of an entry may be wrong when the index is in doubt: a flip in its first half breaks a byte of one entry, a
 * flip in the second half, when only that is left, a byte in each of twenty. With what is left a wrong block passes once in 10^6
 * times or less, and then the root notices.
 */
static unsigned tolerance(const struct wave_index *x)
{
    return x->n_tables == 1 ? 0 : x->shape->sum_bytes == 8 ? 3 : x->shape->sum_bytes == 4 ? 1 : 0;
}

static unsigned distance(const uint8_t *a, const uint8_t *b, size_t len)
{
    unsigned n = 0;
    for (size_t i = 0; i < len; i++)
        n += a[i] != b[i];
    return n;
}

int wave_index_confirms(const struct wave_index *x, uint32_t position, const uint8_t sum[WAVE_SUM])
{
    size_t at = (size_t)position * x->shape->sum_bytes, len = x->shape->sum_bytes;
    bool agree = true;
    for (unsigned t = 0; t < x->n_tables; t++) {
        if (distance(x->table[t] + at, sum, len) <= tolerance(x))
            return 1;
        agree = agree && memcmp(x->table[t] + at, x->table[0] + at, len) == 0;
    }
    return agree ? 0 : -1;
}
