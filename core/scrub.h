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
struct scrub_watch {
    void *arg;
    void (*blocks)(void *arg, enum scrub_what what, uint32_t file_block, uint32_t n, enum scrub_fate fate);
};

/*
 * Verify one sealed container past the page cache; with `heal` put right what can be. Takes the memory of
 * one container, for reading only one at a time. Returns 0 also when something is bad or lost (see *out); -HOLO_ELOST if no header is readable, other codes if it cannot be read.
 */
int container_scrub(struct holofs *fs, uint32_t id, bool heal, struct verify_result *out);

/* The same, and each bad block is told to watch. */
int container_scrub_watched(struct holofs *fs, uint32_t id, bool heal, const struct scrub_watch *watch, struct verify_result *out);

/* Check this container soon: damage was met in it. Any locks but the leaves may be held. */
void scrub_queue(struct holofs *fs, uint32_t id);

/* Verify every container once. -EALREADY if that is going on. */
int scrub_start(struct holofs *fs);

void *scrubber_main(void *fs);

#endif
