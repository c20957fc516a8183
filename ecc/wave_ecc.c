/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wave_ecc.c: parity of byte strings: encode, and decode what was damaged.
 *
 * Both end in the same function: write_parity() makes the parity string from data, a batch of stripes at a time, while the
 * blocks are in the cache. The decoder calls it with data that the root confirmed; so success means that the parity string is
 * what the encoder made, and how it was damaged does not matter.
 *
 * Invariants of the decoder:
 * - Nothing of the caller's is changed before the root of all data is right. Until then repairs are patches: a list of what
 *   is to be changed, so that memory grows with the damage and not with the string.
 * - No allocation stands between the first changed byte and the return.
 *
 * Two ways to repair, in this order: stripes by ecc_decode(), guided by the checksums of the index; then, should that not
 * give the root, every column by itself. The second helps where the index is lost. In short strings, where a damaged block can
 * happen to have the right checksum of 16 bits, each block in turn is doubted after that.
 */
#include "ecc/wave_ecc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "ecc/decode.h"
#include "ecc/wave_string.h"

_Static_assert((int)WAVE_ECC_REDUNDANCY_MIN == ECC_R_MIN && (int)WAVE_ECC_REDUNDANCY_MAX == ECC_R_MAX, "the same range");

enum { BATCH_BYTES = 512 << 10 };

struct work {
    struct wave_shape shape;
    const struct ecc_engine *engine;
    struct ecc_code *code;
    struct ecc_code *header_code;
    struct wave_index index;
    uint8_t *sums;        /* of the data blocks, WAVE_SUM bytes each */
    uint32_t batch;       /* stripes at once */
    size_t batch_bytes;   /* of each member in a batch */
    uint8_t *copies;      /* blocks that the caller's data does not hold as kernels need them: short or padded ones */
    unsigned n_copies;
    uint8_t *slots;       /* parity of a batch */
};

/* The list is in ascending order of speed. */
static const struct ecc_engine *best_engine(void)
{
    const struct ecc_engine *best = NULL;
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if ((*e)->supported())
            best = *e;
    }
    return best;
}

static void work_fini(struct work *w)
{
    if (w->index.code)
        wave_index_destroy(&w->index);
    ecc_code_destroy(w->code);
    ecc_code_destroy(w->header_code);
    free(w->sums);
    free(w->copies);
    free(w->slots);
}

static int work_init(struct work *w, const struct wave_shape *shape, const struct ecc_engine *engine)
{
    const struct wave_shape *s = &w->shape;
    *w = (struct work){ .shape = *shape, .engine = engine };
    uint32_t fit = (uint32_t)(BATCH_BYTES / (s->k * s->padded));
    w->batch = fit < 1 ? 1 : fit < s->layout.D ? fit : s->layout.D;
    w->batch_bytes = w->batch * s->padded;
    w->n_copies = s->padded == s->block ? 1 : s->k;
    w->sums = malloc((size_t)s->layout.used * WAVE_SUM);
    w->copies = aligned_alloc(ECC_ALIGN, w->n_copies * w->batch_bytes);
    w->slots = aligned_alloc(ECC_ALIGN, s->m * w->batch_bytes);
    int rc = !w->sums || !w->copies || !w->slots ? -ENOMEM : 0;
    if (rc == 0)
        rc = ecc_code_create(s->k, s->m, s->seed_base, &w->code);
    if (rc == 0)
        rc = wave_header_code(&w->header_code);
    if (rc == 0)
        rc = wave_index_create(s, w->engine, &w->index);
    if (rc < 0)
        work_fini(w);
    return rc;
}

static uint8_t *sum_of(const struct work *w, uint32_t position)
{
    return w->sums + (size_t)position * WAVE_SUM;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * Member i of `stripes` neighbouring stripes from t on, one block behind another: in data itself, or as a copy with zeros
 * where data ends. NULL if none of it is stored.
 */
static const uint8_t *member(const struct work *w, const uint8_t *data, unsigned i, uint32_t t, uint32_t stripes, uint8_t *copy)
{
    const struct wave_shape *s = &w->shape;
    uint64_t begin = ((uint64_t)i * s->layout.D + t) * s->block, bytes = (uint64_t)stripes * s->block;
    if (begin >= s->len)
        return NULL;
    if (s->padded == s->block && bytes <= s->len - begin)
        return data + begin;
    memset(copy, 0, stripes * s->padded);
    memcpy(copy, data + begin, min_u64(bytes, s->len - begin));
    return copy;
}

static void sum_members(struct work *w, unsigned i, uint32_t t, uint32_t stripes, const uint8_t *blocks)
{
    uint64_t first = (uint64_t)i * w->shape.layout.D + t;
    for (uint32_t b = 0; b < stripes && first + b < w->shape.layout.used; b++)
        wave_block_sum(&w->shape, (uint32_t)(first + b), blocks + b * w->shape.padded, sum_of(w, (uint32_t)(first + b)));
}

/* A member of a batch; only one of them is a copy, unless all are. */
static const uint8_t *batch_member(const struct work *w, const uint8_t *data, unsigned i, uint32_t t, uint32_t stripes)
{
    return member(w, data, i, t, stripes, w->copies + (w->n_copies == 1 ? 0 : i) * w->batch_bytes);
}

/* Where bytes of the parity string go, and how many of them were others before. */
struct sink {
    uint8_t *parity;
    bool count;
    uint64_t changed;
};

static void put(struct sink *to, uint64_t off, const uint8_t *bytes, size_t len)
{
    uint8_t *p = to->parity + off;
    if (to->count) {
        if (memcmp(p, bytes, len) == 0)
            return;
        for (size_t i = 0; i < len; i++)
            to->changed += p[i] != bytes[i];
    }
    memcpy(p, bytes, len);
}

/* Parity blocks of a batch to their slots, their checksums to the index. */
static void put_slots(struct work *w, uint32_t t, uint32_t stripes, struct sink *to)
{
    const struct wave_shape *s = &w->shape;
    uint8_t sum[WAVE_SUM];
    for (unsigned r = 0; r < s->m; r++) {
        for (uint32_t b = 0; b < stripes; b++) {
            const uint8_t *block = w->slots + r * w->batch_bytes + b * s->padded;
            uint32_t position = ecc_layout_position(&s->layout, s->k, t + b, s->k + r);
            wave_block_sum(s, position, block, sum);
            memcpy(wave_index_entry(&w->index, position), sum, s->sum_bytes);
            put(to, s->slots + (uint64_t)(position - s->layout.used) * s->block, block, s->block);
        }
    }
}

static void put_batch(struct work *w, const uint8_t *data, bool with_sums, uint32_t t, uint32_t stripes, struct sink *to)
{
    const struct wave_shape *s = &w->shape;
    const uint8_t *src[ECC_N_MAX];
    uint8_t *dst[ECC_M_MAX];
    for (unsigned i = 0; i < s->k; i++) {
        src[i] = batch_member(w, data, i, t, stripes);
        if (src[i] && with_sums)
            sum_members(w, i, t, stripes, src[i]);
    }
    for (unsigned r = 0; r < s->m; r++)
        dst[r] = w->slots + r * w->batch_bytes;
    w->engine->encode(w->code, src, dst, stripes * s->padded);
    put_slots(w, t, stripes, to);
}

static void put_index(struct work *w, uint32_t *index_sum, struct sink *to)
{
    const struct wave_shape *s = &w->shape;
    for (uint32_t x = 0; x < s->layout.used; x++)
        memcpy(wave_index_entry(&w->index, x), sum_of(w, x), s->sum_bytes);
    *index_sum = wave_index_finish(&w->index);
    put(to, WAVE_HEADER_BYTES, w->index.table[0], WAVE_ROWS * s->row);
    for (unsigned i = 0; i < WAVE_ROWS; i++)
        put(to, s->back + i * s->row, w->index.rows[WAVE_ROWS + i], s->row);
}

static void put_header(struct work *w, uint32_t index_sum, struct sink *to)
{
    const struct wave_shape *s = &w->shape;
    struct wave_header h = { .len = s->len, .R = s->R, .seed_base = s->seed_base, .index_sum = index_sum };
    uint8_t bytes[WAVE_HEADER_BYTES];
    wave_root(s, w->sums, h.root);
    wave_header_write(w->engine, w->header_code, &h, bytes);
    put(to, 0, bytes, sizeof(bytes));
    put(to, s->parity_len - sizeof(bytes), bytes, sizeof(bytes));
}

/* The whole parity string; with_sums: the checksums of data are not known yet. */
static void write_parity(struct work *w, const uint8_t *data, bool with_sums, struct sink *to)
{
    uint32_t index_sum, D = w->shape.layout.D;
    memset(w->index.table[0], 0, WAVE_ROWS * w->shape.row);
    for (uint32_t t = 0; t < D; t += w->batch)
        put_batch(w, data, with_sums, t, w->batch < D - t ? w->batch : D - t, to);
    put_index(w, &index_sum, to);
    put_header(w, index_sum, to);
}

static int check(const void *data, size_t len, unsigned redundancy, uint32_t seed_base, const void *parity, struct wave_shape *s)
{
    return data && parity ? wave_shape_init(s, len, redundancy, seed_base) : -EINVAL;
}

size_t wave_ecc_parity_len(size_t len, unsigned redundancy)
{
    struct wave_shape s;
    return wave_shape_init(&s, len, redundancy, 0) < 0 ? 0 : (size_t)s.parity_len;
}

int wave_encode_with(const struct ecc_engine *engine, const void *data, size_t len, unsigned redundancy, uint32_t seed_base,
                     void *parity)
{
    struct wave_shape s;
    struct work w;
    int rc = check(data, len, redundancy, seed_base, parity, &s);
    if (rc == 0)
        rc = work_init(&w, &s, engine);
    if (rc < 0)
        return rc;
    struct sink to = { .parity = parity };
    write_parity(&w, data, true, &to);
    work_fini(&w);
    return 0;
}

int wave_ecc_encode(const void *data, size_t len, unsigned redundancy, uint32_t seed_base, void *parity)
{
    return wave_encode_with(best_engine(), data, len, redundancy, seed_base, parity);
}

/* What the decoder has while it looks for the right bytes. */
struct search {
    struct work *w;
    const uint8_t *data, *parity;
    struct wave_header header;
    bool *lost;                  /* of each position; NULL: nothing is known to be lost */
    struct buf patches;          /* of data: u64 offset, u32 length, bytes */
    uint32_t doubted;            /* position that is not believed though its checksum is right; UINT32_MAX: none */

    /* The stripe at hand, in the kernels' form. */
    uint32_t stripe;
    struct ecc_decoder *decoder;
    uint8_t *memory;
    uint8_t *scratch;            /* m blocks */
    uint8_t *blocks[ECC_N_MAX];  /* NULL: not stored */
    uint8_t state[ECC_N_MAX];
};

enum {
    PATCH_HEAD = 12,
    ASKS_SHORT = 512, /* a checksum of 16 bits errs once in 128 of such searches */
    ASKS_DOUBTING = 16,
};

static void search_fini(struct search *q)
{
    ecc_decoder_destroy(q->decoder);
    buf_fini(&q->patches);
    free(q->memory);
    free(q->lost);
}

/* Blocks that [begin, end) of a string of blocks touches. */
static void mark_blocks(bool *lost, uint64_t begin, uint64_t end, size_t block)
{
    for (uint64_t b = begin / block; b * block < end; b++)
        lost[b] = true;
}

static void mark_lost(struct search *q, const struct wave_ecc_range *r)
{
    const struct wave_shape *s = &q->w->shape;
    uint64_t begin = r->offset, end = begin + min_u64(r->length, UINT64_MAX - begin);
    uint64_t slots = s->len + s->slots, slots_end = s->len + s->back;
    if (begin < min_u64(end, s->len))
        mark_blocks(q->lost, begin, min_u64(end, s->len), s->block);
    if (begin < slots)
        begin = slots;
    if (begin < min_u64(end, slots_end))
        mark_blocks(q->lost + s->layout.used, begin - slots, min_u64(end, slots_end) - slots, s->block);
}

static int search_init(struct search *q, struct work *w, const struct wave_ecc_range *lost, size_t n_lost)
{
    const struct wave_shape *s = &w->shape;
    unsigned n = s->k + s->m;
    q->w = w;
    q->memory = aligned_alloc(ECC_ALIGN, (n + s->m) * s->padded);
    q->lost = n_lost > 0 ? calloc(s->positions, sizeof(*q->lost)) : NULL;
    if (!q->memory || (n_lost > 0 && !q->lost)) {
        search_fini(q);
        return -ENOMEM;
    }
    q->scratch = q->memory + n * s->padded;
    for (size_t i = 0; i < n_lost; i++)
        mark_lost(q, &lost[i]);
    return 0;
}

static uint32_t position_of(const struct search *q, unsigned i)
{
    return ecc_layout_position(&q->w->shape.layout, q->w->shape.k, q->stripe, i);
}

static uint8_t state_of(const struct search *q, uint32_t position, const uint8_t sum[WAVE_SUM])
{
    int confirmed = wave_index_confirms(&q->w->index, position, sum);
    if (position == q->doubted)
        return ECC_WRONG;
    if (confirmed > 0)
        return ECC_RIGHT;
    if (q->lost && q->lost[position])
        return ECC_MISSING;
    return confirmed == 0 ? ECC_WRONG : ECC_UNSURE;
}

static bool data_is_right(struct search *q)
{
    bool right = true;
    for (unsigned i = 0; i < q->w->shape.k; i++) {
        uint32_t position = position_of(q, i);
        q->state[i] = position == UINT32_MAX ? ECC_RIGHT : state_of(q, position, sum_of(q->w, position));
        right = right && q->state[i] == ECC_RIGHT;
    }
    return right;
}

/* Blocks of the stripe, and the state of those of parity. */
static void load_stripe(struct search *q)
{
    const struct wave_shape *s = &q->w->shape;
    uint8_t sum[WAVE_SUM];
    for (unsigned i = 0; i < s->k; i++) {
        uint8_t *place = q->memory + i * s->padded;
        const uint8_t *block = member(q->w, q->data, i, q->stripe, 1, place);
        if (block && block != place)
            memcpy(place, block, s->padded);
        q->blocks[i] = block ? place : NULL;
    }
    for (unsigned i = s->k; i < s->k + s->m; i++) {
        uint32_t position = position_of(q, i);
        q->blocks[i] = q->memory + i * s->padded;
        memset(q->blocks[i], 0, s->padded);
        memcpy(q->blocks[i], q->parity + s->slots + (uint64_t)(position - s->layout.used) * s->block, s->block);
        wave_block_sum(s, position, q->blocks[i], sum);
        q->state[i] = state_of(q, position, sum);
    }
}

/* One patch for each run of bytes that differ. */
static int note_changes(struct search *q, uint64_t off, const uint8_t *now, size_t len)
{
    const uint8_t *before = q->data + off;
    if (memcmp(now, before, len) == 0)
        return 0;
    for (size_t i = 0, run; i < len; i += run + 1) {
        for (run = 0; i + run < len && now[i + run] != before[i + run];)
            run++;
        if (run == 0)
            continue;
        uint8_t *p = buf_room(&q->patches, PATCH_HEAD + run);
        if (!p)
            return -ENOMEM;
        le64_put(p, off + i);
        le32_put(p + 8, (uint32_t)run);
        memcpy(p + PATCH_HEAD, now + i, run);
        q->patches.len += PATCH_HEAD + run;
    }
    return 0;
}

/* Patches and checksums for the data members of the stripe, as they are now. */
static int note_stripe(struct search *q)
{
    const struct wave_shape *s = &q->w->shape;
    for (unsigned i = 0; i < s->k; i++) {
        uint32_t position = position_of(q, i);
        if (position == UINT32_MAX)
            continue;
        uint64_t off = (uint64_t)position * s->block;
        int rc = note_changes(q, off, q->blocks[i], (size_t)min_u64(s->block, s->len - off));
        if (rc < 0)
            return rc;
        wave_block_sum(s, position, q->blocks[i], sum_of(q->w, position));
    }
    return 0;
}

static int confirm(void *arg, unsigned i, const uint8_t *block)
{
    const struct search *q = arg;
    uint8_t sum[WAVE_SUM];
    uint32_t position = position_of(q, i);
    wave_block_sum(&q->w->shape, position, block, sum);
    return wave_index_confirms(&q->w->index, position, sum);
}

static int repair_columns(struct search *q)
{
    load_stripe(q);
    wave_correct_columns(q->w->engine, q->w->code, q->blocks, q->w->shape.padded, q->scratch);
    return note_stripe(q);
}

/* Are its checksums so short that chance meets them? */
static bool index_is_short(const struct search *q)
{
    return q->w->shape.sum_bytes == 2;
}

/* Is its verdict final? */
static bool index_is_final(const struct search *q)
{
    return q->w->index.n_tables == 1 && !index_is_short(q);
}

static int repair_guided(struct search *q)
{
    struct ecc_damage damage = { .engine = q->w->engine, .code = q->w->code, .blocks = q->blocks, .state = q->state,
                                 .len = q->w->shape.padded, .confirm = confirm, .confirm_arg = q };
    struct ecc_decoded decoded;
    if (data_is_right(q))
        return 0;
    load_stripe(q);
    ecc_decode(q->decoder, &damage, &decoded);
    for (unsigned i = 0; i < q->w->shape.k; i++) {
        if (q->state[i] == ECC_WRONG || q->state[i] == ECC_MISSING)
            return index_is_final(q) ? -WAVE_ECC_ELOST : repair_columns(q);
    }
    return note_stripe(q);
}

static bool root_is_right(const struct search *q)
{
    uint8_t root[WAVE_SUM];
    wave_root(&q->w->shape, q->w->sums, root);
    return memcmp(root, q->header.root, WAVE_SUM) == 0;
}

/* Repair every stripe in one of the two ways. 0 if that gives the root. */
static int attempt(struct search *q, int (*repair)(struct search *q))
{
    q->patches.len = 0;
    for (q->stripe = 0; q->stripe < q->w->shape.layout.D; q->stripe++) {
        int rc = repair(q);
        if (rc < 0)
            return rc;
    }
    return root_is_right(q) ? 0 : -WAVE_ECC_ELOST;
}

/* Checksums of the data as it is. */
static void sum_data(struct search *q)
{
    const struct wave_shape *s = &q->w->shape;
    for (uint32_t x = 0; x < s->layout.used; x++) {
        const uint8_t *block = member(q->w, q->data, x / s->layout.D, x % s->layout.D, 1, q->memory);
        wave_block_sum(s, x, block, sum_of(q->w, x));
    }
}

/* Short checksums fit a wrong block now and then: perhaps it is this one? Such strings are small, one stripe. */
static int doubt_each(struct search *q)
{
    int rc = -WAVE_ECC_ELOST;
    ecc_decoder_limit(q->decoder, ASKS_DOUBTING);
    for (q->doubted = 0; rc == -WAVE_ECC_ELOST && q->doubted < q->w->shape.positions; q->doubted++) {
        sum_data(q);
        rc = attempt(q, repair_guided);
    }
    return rc;
}

/* 0: the patches, if any, make data what it was. */
static int find_data(struct search *q)
{
    sum_data(q);
    if (root_is_right(q))
        return 0;
    int rc = wave_index_read(&q->w->index, q->parity, q->header.index_sum);
    if (rc == 0)
        rc = ecc_decoder_create(q->w->shape.k + q->w->shape.m, q->w->shape.padded, &q->decoder);
    if (rc == 0 && index_is_short(q))
        ecc_decoder_limit(q->decoder, ASKS_SHORT);
    if (rc == 0)
        rc = attempt(q, repair_guided);
    if (rc == -WAVE_ECC_ELOST && !index_is_final(q))
        rc = attempt(q, repair_columns);
    if (rc == -WAVE_ECC_ELOST && index_is_short(q))
        rc = doubt_each(q);
    return rc;
}

static uint64_t apply_patches(const struct buf *patches, uint8_t *data)
{
    uint64_t changed = 0;
    struct rd r = rd_init(patches->p, patches->len);
    while (rd_left(&r) > 0) {
        uint64_t off = rd_u64(&r);
        uint32_t len = rd_u32(&r);
        memcpy(data + off, rd_bytes(&r, len), len);
        changed += len;
    }
    return changed;
}

/* The header first: only it tells whether the rest of the parity string is there, and is where these parameters put it. */
static int read_header(const struct ecc_engine *engine, const struct wave_shape *s, const uint8_t *parity, struct wave_header *out)
{
    int rc = wave_header_read(engine, parity, NULL, out);
    if (rc == -WAVE_ECC_EFORMAT)
        rc = wave_header_read(engine, parity, parity + s->parity_len - WAVE_HEADER_BYTES, out);
    if (rc < 0)
        return rc;
    return out->len == s->len && out->R == s->R && out->seed_base == s->seed_base ? 0 : -WAVE_ECC_EMISMATCH;
}

int wave_decode_with(const struct ecc_engine *engine, void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base,
                     const struct wave_ecc_range *lost, size_t n_lost, uint64_t *corrected)
{
    struct wave_shape s;
    struct work w;
    struct search q = { .data = data, .parity = parity, .doubted = UINT32_MAX };
    uint64_t changed = 0;
    int rc = !lost && n_lost > 0 ? -EINVAL : check(data, len, redundancy, seed_base, parity, &s);
    if (corrected)
        *corrected = 0;
    if (rc == 0)
        rc = read_header(engine, &s, parity, &q.header);
    if (rc == 0)
        rc = work_init(&w, &s, engine);
    if (rc < 0)
        return rc;
    rc = search_init(&q, &w, lost, n_lost);
    if (rc < 0)
        goto out_work;
    rc = find_data(&q);
    if (rc == 0) {
        struct sink to = { .parity = parity, .count = true };
        changed = apply_patches(&q.patches, data);
        write_parity(&w, data, false, &to);
        if (corrected)
            *corrected = changed + to.changed;
    }
    search_fini(&q);
out_work:
    work_fini(&w);
    return rc;
}

int wave_ecc_decode_erasures(void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base,
                             const struct wave_ecc_range *lost, size_t n_lost, uint64_t *corrected)
{
    return wave_decode_with(best_engine(), data, len, parity, redundancy, seed_base, lost, n_lost, corrected);
}

int wave_ecc_decode(void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base, uint64_t *corrected)
{
    return wave_ecc_decode_erasures(data, len, parity, redundancy, seed_base, NULL, 0, corrected);
}

int wave_ecc_inspect(const void *parity, size_t parity_len, struct wave_ecc_info *info)
{
    struct wave_header h;
    if (!parity || !info)
        return -EINVAL;
    if (parity_len < 2 * WAVE_HEADER_BYTES)
        return -WAVE_ECC_EFORMAT;
    const uint8_t *p = parity;
    int rc = wave_header_read(best_engine(), p, p + parity_len - WAVE_HEADER_BYTES, &h);
    if (rc == 0)
        *info = (struct wave_ecc_info){ .len = h.len, .redundancy = h.R, .seed_base = h.seed_base };
    return rc;
}

const char *wave_ecc_strerror(int code)
{
    switch (code < 0 ? -(unsigned)code : (unsigned)code) {
    case 0: return "success";
    case EINVAL: return "invalid argument: a pointer is NULL, or length or redundancy is out of range";
    case ENOMEM: return "out of memory";
    case WAVE_ECC_EFORMAT: return "not a parity string, or both of its headers are destroyed";
    case WAVE_ECC_EVERSION: return "parity string of a newer version";
    case WAVE_ECC_EMISMATCH: return "parity string was made with another length, redundancy or seed";
    case WAVE_ECC_ELOST: return "more is damaged than the parity can repair";
    default: return "unknown error";
    }
}
