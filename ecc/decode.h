/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h: one damaged stripe made right: blocks that are missing, blocks with flipped bytes, or both.
 *
 * Every byte column of a stripe is a codeword of its own. With `errors` wrong bytes at unknown places and `erasures` bytes
 * at places known to be lost, a column is sure to be decoded while 2·errors + erasures ≤ m. Beyond that checksums guide:
 * more is decoded than the columns alone allow, and nothing that decoding merely suggests is believed.
 *
 * A wrong byte is never committed: a member becomes RIGHT only when its checksum says so, or, where there is no checksum to
 * ask, when k other members are RIGHT by theirs: these determine it.
 */
#ifndef HOLO_ECC_DECODE_H
#define HOLO_ECC_DECODE_H

#include "ecc/ecc.h"

/* What is known of a member. */
enum ecc_state {
    ECC_RIGHT,   /* its checksum confirms it */
    ECC_WRONG,   /* bytes are there; its checksum says that some of them are wrong */
    ECC_MISSING, /* there are no bytes: what the buffer holds means nothing */
    ECC_UNSURE,  /* bytes are there, and no checksum to ask (it was lost itself) */
};

/*
 * Scratch memory for stripes of up to n members of len bytes: made once, used again; one thread at a time. About 110·len
 * bytes, of which 30·len are touched unless damage is heavy.
 */
struct ecc_decoder;

/* Returns 0, -EINVAL (n not in 1 … ECC_N_MAX, len 0 or not a multiple of ECC_ALIGN) or -ENOMEM. */
int ecc_decoder_create(unsigned n, size_t len, struct ecc_decoder **out);
void ecc_decoder_destroy(struct ecc_decoder *d);

/* How many candidates a search in one stripe may ask for, if not as many as are worth their time: short checksums err by chance. */
void ecc_decoder_limit(struct ecc_decoder *d, unsigned asks);

/*
 * The checksum of a member, asked for candidates only (never for what a member held at first): 1 right, 0 wrong,
 * negative: it cannot be told (no checksum). block is len bytes and not necessarily the member's own buffer.
 */
typedef int ecc_confirm_fn(void *arg, unsigned member, const uint8_t *block);

struct ecc_damage {
    const struct ecc_engine *engine;
    const struct ecc_code *code;
    uint8_t *const *blocks;   /* k+m pointers to len bytes, no overlap; NULL = a data member of zeros that is not stored (RIGHT) */
    uint8_t *state;           /* k+m of enum ecc_state: in what is known, out what it became */
    size_t len;               /* multiple of ECC_ALIGN, at most the decoder's */
    ecc_confirm_fn *confirm;
    void *confirm_arg;
};

struct ecc_decoded {
    unsigned repaired;        /* blocks that became RIGHT */
    uint64_t corrected_bytes; /* of them, that differ from what was held (all of a block that was MISSING) */
    unsigned passes;          /* over the columns; 0: erasures were enough */
};

/*
 * Make every member right. The blocks that are RIGHT are trusted. Nothing is allocated. A stripe of 64 + 6 blocks of 4 KiB
 * with a flip in every one takes about 30 µs; one that cannot be decoded is given up after at most about 50 ms.
 * Returns 0 if all are RIGHT now, -HOLO_EPARITY if not: then those that could be made right are (state says which), and
 * every other one holds what it held and keeps its state. *out is written in both cases.
 * The order of work is in decode.c, the algebra of a column in column.h.
 */
int ecc_decode(struct ecc_decoder *d, const struct ecc_damage *damage, struct ecc_decoded *out);

#endif
