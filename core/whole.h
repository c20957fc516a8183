/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * whole.h: a sealed container in memory whole: what it lost comes back from the waves of one call, and parity is compared
 * with the data.
 *
 * When every checksum of a stripe is right and its parity disagrees all the same, then parity was computed from other bytes
 * than these, or damaged before its checksum was made: a fault of memory, of an engine, or of this program. Nothing is
 * rewritten: fresh parity would bless whatever is wrong. The data stay readable, for their checksums were made when they came
 * in; what is told and counted is that this stripe is badly protected, and which block alone would explain it. Losses in such
 * a stripe come back without the suspect's help while parity suffices, confirmed by their checksums as always.
 */
#ifndef HOLO_CORE_WHOLE_H
#define HOLO_CORE_WHOLE_H

#include "core/container.h"
#include "ecc/container.h"

struct whole {
    struct holofs *fs;
    struct copen *o;
    const struct ecc_code *code;
    struct ecc_code *own;
    uint8_t *stored;  /* all stored positions; the caller reads them */
    uint8_t *erased;  /* a flag for each: it is to be rebuilt */
    uint8_t *verdict; /* D of enum ecc_verdict */
    uint8_t *suspect; /* D members */
};

/* Room for container o, nothing marked. 0 or -ENOMEM; whole_fini follows in either case. */
int whole_init(struct holofs *fs, struct copen *o, struct whole *w);
void whole_fini(struct whole *w);

/*
 * Rebuild what is marked, in memory, and judge every stripe. Rebuilt blocks are not believed yet: ask their checksums. 0 or
 * -ENOMEM.
 */
int whole_solve(struct whole *w);

/*
 * Tell and count the stripes that contradict themselves (verdicts EXPLAINED and DISAGREES), for the CPU too; how many. Erased
 * blocks of EXPLAINED ones have been confirmed.
 */
uint32_t whole_tell_disagreements(struct whole *w);

#endif
