/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stripe.h: one stripe of a sealed container in memory, judged by checksums and decoded.
 *
 * What is believed, in this order:
 *  1. A block that its checksum confirms.
 *  2. Where the checksum itself is lost or doubtful (both copies of its table block are damaged): what k blocks that are
 *     confirmed determine.
 *  3. If there are not as many: the blocks as they were read, if all parity that is left over after rebuilding the known
 *     bad ones agrees with them. Zeros agree with each other: a wiped stripe confirms nothing.
 */
#ifndef HOLO_CORE_STRIPE_H
#define HOLO_CORE_STRIPE_H

#include "core/container.h"
#include "ecc/decode.h"

struct stripe {
    unsigned n;                /* members: k + m */
    uint8_t *block[ECC_N_MAX]; /* NULL: a data block of zeros that is not stored */
    uint32_t pos[ECC_N_MAX];   /* stored position, if there is one */
    uint64_t sum[ECC_N_MAX];   /* of block */
    uint8_t state[ECC_N_MAX];  /* enum ecc_state */
    bool changed[ECC_N_MAX];   /* made right, with other bytes than were read: to be healed */
};

/* Positions of the members of stripe `number`. Member i goes to mem + i·step, unless it is not stored. */
void stripe_place(const struct copen *o, uint32_t number, uint8_t *mem, size_t step, struct stripe *s);

/* Judge member i, which was read, or not (`readable`). Returns 0 or -ENOMEM. */
int stripe_judge(struct holofs *fs, struct copen *o, struct stripe *s, unsigned i, bool readable);

/* A number for what was read and what the checksums say of it: alike, if decoding it again would end alike. */
uint64_t stripe_digest(struct holofs *fs, struct copen *o, const struct stripe *s);

/*
 * The code of this container: the store's, or one of its own if it came from another geometry, to be destroyed after use
 * (*own, else NULL). 0 or -ENOMEM.
 */
int stripe_code(struct holofs *fs, const struct copen *o, struct ecc_code **own, const struct ecc_code **out);

/*
 * Make right what can be made right (REPAIR held); counted. state tells what is, and of those `changed` what was not so on
 * the medium; a block that is not right holds anything. Returns 0 if all are right, -HOLO_EPARITY if not, -ENOMEM.
 */
int stripe_decode(struct holofs *fs, struct copen *o, struct stripe *s);

#endif
