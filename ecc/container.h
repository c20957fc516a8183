/* SPDX-License-Identifier: GPL-2.0-or-later */
/* container.h: check and rebuild containers that are in memory whole. */
#ifndef HOLO_ECC_CONTAINER_H
#define HOLO_ECC_CONTAINER_H

#include "ecc/plan.h"

/* What became of a stripe. */
enum ecc_verdict {
    ECC_AGREES,    /* nothing was erased, and every wave is 0 */
    ECC_REBUILT,   /* what was erased is back, and parity that was not needed for it agrees */
    ECC_EXPLAINED, /* they contradict each other, but one member that was not erased being wrong explains all: it is the suspect, it
                      holds what it held, and what was erased is back */
    ECC_DISAGREES, /* data and parity contradict each other. What was erased is not to be believed */
    ECC_TOO_MANY,  /* more than m blocks are erased: they hold what they held */
};

/*
 * Rebuild the erased blocks of a container in place, and check every stripe.
 * @stored: used data blocks, then m·D parity blocks
 * @erased: a flag for each of them; those that are not erased are trusted: verify their checksums first
 * @waves:  scratch of m·D blocks; may be NULL if nothing is erased
 * @verdict: D bytes of enum ecc_verdict
 * @suspect: D members; those of EXPLAINED stripes are set. Suspects are looked for where something is erased
 * All waves come from one call of the plan, so a GPU has a whole container to work on; what is left are small products. With
 * the erased blocks as zeros, S_f = Σ c_e·α^(e·f) over the erased e alone: as many waves as there are erasures give c_e,
 * and the others must agree. Returns 0. Blahut 2003, ch. 7.
 */
int ecc_rebuild_container(struct ecc_plan *plan, const struct ecc_code *code, size_t block_size, const struct ecc_layout *layout,
                          uint8_t *stored, const uint8_t *erased, uint8_t *waves, uint8_t *verdict, uint8_t *suspect);

/*
 * The member that, if it alone is wrong besides the erased ones, explains the waves of a stripe. There is never more than one.
 * @waves: m blocks of len bytes, not all zero, computed with zeros for the erased members
 * Negative if none does, or if too much is erased to tell (n_erased > m − 2).
 */
int ecc_suspect(const struct ecc_engine *engine, const struct ecc_code *code, const uint8_t *const *waves, size_t len,
                const uint8_t *erased, unsigned n_erased);

#endif
