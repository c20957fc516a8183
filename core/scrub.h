/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scrub.h: verify whole containers, headers, tables, data and parity, and heal what is bad. */
#ifndef HOLO_CORE_SCRUB_H
#define HOLO_CORE_SCRUB_H

#include "core/fs.h"

struct verify_result {
    uint64_t blocks, bad, repaired, lost;
    uint64_t parity_disagrees; /* stripes of which every checksum is right, and whose parity contradicts the data (whole.h) */
};

/* Blocks of the container file that are not as they should be, and what became of them. BAD: right bytes are known, but not written. */
enum scrub_what { SCRUB_DATA, SCRUB_PARITY, SCRUB_TABLE, SCRUB_HEADER };
enum scrub_fate { SCRUB_REPAIRED, SCRUB_BAD, SCRUB_LOST };

struct scrub_how {
    bool heal;         /* put right what can be; not in a store that is open for reading only */
    bool trust_parity; /* where all checksums are right, do not ask whether parity agrees */
    void *arg;
    int (*step)(void *arg, uint64_t bytes); /* after each piece that was read; not 0 ends the check with that. May be NULL */
    void (*blocks)(void *arg, enum scrub_what what, uint32_t file_block, uint32_t n, enum scrub_fate fate); /* each bad block. May be NULL */
};

/*
 * Verify one sealed container past the page cache. Takes the memory of one container, for reading only one at a time. Returns 0 also
 * when something is bad or lost (see *out); -HOLO_ELOST if no header is readable, -EAGAIN if the disk does not answer so that what is lost
 * is not known, other codes if it cannot be read.
 */
int container_scrub(struct holofs *fs, uint32_t id, const struct scrub_how *how, struct verify_result *out);

#endif
