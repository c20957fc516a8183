/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_private.h: what decode.c, ruined.c and search.c share: the decoder's memory and the stripe at hand.
 *
 * Within a pass the sums stay those of the bytes that the members held when the pass began, and the suspects stay those
 * of that time, though some of them may have become RIGHT meanwhile: together they are one consistent picture.
 */
#ifndef HOLO_ECC_DECODE_PRIVATE_H
#define HOLO_ECC_DECODE_PRIVATE_H

#include "ecc/column.h"
#include "ecc/decode.h"

/* A byte that a pass found wrong. */
struct fix {
    uint32_t column;
    uint8_t member;
    uint8_t change; /* exclusive or, not 0 */
};

/* A column that is wrong, and how many errors a pass found in it: 0 = it has too many. */
struct dirty_column {
    uint32_t column;
    uint8_t errors;
};

/* A way to change a byte beyond what the pass did. */
struct option {
    uint32_t column;
    uint8_t change; /* exclusive or, not 0 */
    int8_t bytes;   /* how many more bytes differ from what was held, if it is right */
};

enum { SEARCH_OPTIONS = 4096, SEARCH_DIRTY = 512 };

struct ecc_decoder {
    unsigned n_max;
    size_t len_max;
    unsigned asks_max;               /* for a search */
    uint8_t *rows[ECC_M_MAX];        /* of len_max bytes each: sums of the columns, or rebuilt blocks */
    uint64_t *any;                   /* len_max bytes: the sums of each column put together by or */
    struct fix *fixes;               /* of the pass, by column; room for R a column */
    size_t n_fixes;
    struct dirty_column *dirty;      /* of the pass, by column; room for all */
    size_t n_dirty;
    struct option option[SEARCH_OPTIONS]; /* of one member, by column */
    unsigned n_options;

    /* The stripe at hand. */
    const struct ecc_damage *damage;
    struct ecc_decoded *out;
    unsigned n_suspects;             /* members that are not RIGHT */
    unsigned asks_left, guesses_left; /* for the search */

    /* The pass at hand. */
    uint8_t lost[ECC_M_MAX];         /* suspects whose bytes are not used at all */
    unsigned n_lost;
    struct column_suspects suspects; /* the others */
    unsigned checks;                 /* sums that are left for them: m − n_lost */
    uint8_t weight[ECC_N_MAX];       /* log w_i of column.h */
    unsigned n_fixed[ECC_N_MAX];     /* fixes of each member */
};

static inline bool decode_is_right(const struct ecc_decoder *d, unsigned i)
{
    return d->damage->state[i] == ECC_RIGHT;
}

static inline int decode_ask(const struct ecc_decoder *d, unsigned i, const uint8_t *block)
{
    return d->damage->confirm(d->damage->confirm_arg, i, block);
}

/* Member i holds the right bytes now, `bytes` of them different from what it held. */
static inline void decode_accept(struct ecc_decoder *d, unsigned i, uint64_t bytes)
{
    d->damage->state[i] = ECC_RIGHT;
    d->n_suspects--;
    d->out->repaired++;
    d->out->corrected_bytes += bytes;
}

static inline void decode_sums(const struct ecc_decoder *d, size_t column, uint8_t *sums)
{
    for (unsigned j = 0; j < d->checks; j++)
        sums[j] = d->rows[j][column];
}

/* Suspects with wrong bytes in most columns: ruined.c. Returns how many there are, at most checks − 1. */
unsigned decode_find_ruined(const struct ecc_decoder *d, uint8_t *member);

/* When a pass confirmed nobody: search.c. Returns true if somebody became RIGHT; the others hold what they held. */
bool decode_search(struct ecc_decoder *d);

#endif
