/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wave_string.h: the parts of a parity string, as FORMAT.md, «Byte strings», has them: shape, header, index; and the calls of
 * wave_ecc.h with a choice of engine.
 *
 * Errors are negative codes as in wave_ecc.h.
 */
#ifndef HOLO_ECC_WAVE_STRING_H
#define HOLO_ECC_WAVE_STRING_H

#include "ecc/ecc.h"
#include "ecc/wave_ecc.h"

/* wave_ecc_encode() and wave_ecc_decode_erasures() with this engine instead of the fastest of the machine. */
int wave_encode_with(const struct ecc_engine *engine, const void *data, size_t len, unsigned redundancy, uint32_t seed_base,
                     void *parity);
int wave_decode_with(const struct ecc_engine *engine, void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base,
                     const struct wave_ecc_range *lost, size_t n_lost, uint64_t *corrected);

enum {
    WAVE_VERSION = 1,
    WAVE_SUM = 16,         /* bytes of a whole checksum */
    WAVE_ROWS = 20,        /* of header and index, and rows of the index's parity */
    WAVE_HEADER_ROW = 2,   /* bytes */
    WAVE_HEADER_CHECKS = 10,
    WAVE_HEADER_BYTES = (WAVE_ROWS + WAVE_HEADER_CHECKS) * WAVE_HEADER_ROW,
};

/* Where everything is: a function of len and R alone. */
struct wave_shape {
    uint64_t len;
    unsigned R, m, k;
    uint32_t seed_base;
    struct ecc_layout layout;
    uint32_t positions;      /* blocks of data and parity */
    size_t block;            /* bytes of a block in the string */
    size_t padded;           /* and in the kernels: the next multiple of ECC_ALIGN */
    unsigned sum_bytes;      /* of a checksum, in the index */
    size_t row;              /* bytes of a row of the index */
    uint64_t slots;          /* offset of the parity blocks in the parity string */
    uint64_t back;           /* and of the second half of the index */
    uint64_t parity_len;
};

/* Returns 0 or -EINVAL. */
int wave_shape_init(struct wave_shape *s, uint64_t len, unsigned redundancy, uint32_t seed_base);

/* Checksum of a block (s->block bytes, the last one of the data padded with zeros). */
void wave_block_sum(const struct wave_shape *s, uint32_t position, const uint8_t *block, uint8_t out[WAVE_SUM]);

/* Checksum of the checksums of all data blocks, one behind another. */
void wave_root(const struct wave_shape *s, const uint8_t *sums, uint8_t out[WAVE_SUM]);

struct wave_header {
    uint64_t len;
    unsigned R;
    uint32_t seed_base;
    uint8_t root[WAVE_SUM];
    uint32_t index_sum;
};

/* The code of headers. Returns 0 or -ENOMEM. */
int wave_header_code(struct ecc_code **out);

void wave_header_write(const struct ecc_engine *engine, const struct ecc_code *header_code, const struct wave_header *h,
                       uint8_t out[WAVE_HEADER_BYTES]);

/* From either copy, or pieced together; @back may be NULL. Returns 0, -WAVE_ECC_EFORMAT, -WAVE_ECC_EVERSION or -ENOMEM. */
int wave_header_read(const struct ecc_engine *engine, const uint8_t *front, const uint8_t *back, struct wave_header *out);

/*
 * The index: a checksum for every position. Where its own checksum does not confirm it, there are several candidates
 * for its first half, and an entry may be right in any of them.
 */
struct wave_index {
    const struct wave_shape *shape;
    const struct ecc_engine *engine;
    struct ecc_code *code;
    size_t padded;                  /* bytes of a row here */
    uint8_t *rows[2 * WAVE_ROWS];   /* in the kernels' form */
    uint8_t *table[3];              /* candidates, in the form of the string: WAVE_ROWS · row bytes */
    unsigned n_tables;
};

/* shape and engine stay the caller's. Returns 0 or -ENOMEM. */
int wave_index_create(const struct wave_shape *s, const struct ecc_engine *engine, struct wave_index *out);
void wave_index_destroy(struct wave_index *x);

/* The place of an entry in table[0], to fill it in. */
uint8_t *wave_index_entry(const struct wave_index *x, uint32_t position);

/* From table[0]: its checksum, and its parity into the last WAVE_ROWS rows. */
uint32_t wave_index_finish(struct wave_index *x);

/*
 * Read it from a parity string, as well as that can be done, once; the checksum is the header's. n_tables is 1 if it is
 * confirmed. Returns 0 or -ENOMEM.
 */
int wave_index_read(struct wave_index *x, const uint8_t *parity, uint32_t index_sum);

/* Does the index know a block by this checksum? 1 yes, 0 no, -1 it cannot tell. */
int wave_index_confirms(const struct wave_index *x, uint32_t position, const uint8_t sum[WAVE_SUM]);

/*
 * Correct up to m / 2 errors in each column of a stripe, at any of its k + m rows. What is found is not confirmed by anything.
 * @len: a multiple of ECC_ALIGN; @scratch: m · len bytes
 */
void wave_correct_columns(const struct ecc_engine *engine, const struct ecc_code *code, uint8_t *const *rows, size_t len,
                          uint8_t *scratch);

#endif
