/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.h: verify a store that is not mounted. */
#ifndef HOLO_CORE_CHECK_H
#define HOLO_CORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct holofs_check {
    unsigned superblocks_bad;      /* copies that do not carry the winner */
    bool unclean;                  /* not cleanly closed: the ring had to be read */
    bool index_rebuilt;
    uint64_t ring_bad, ring_lost;  /* blocks not right in both copies; txgs right in none */
    uint64_t containers, missing;  /* sealed ones; those without a readable file */
    uint64_t blocks, bad, repaired, lost;
    uint64_t parity_disagrees;     /* stripes without protection (core/whole.h) */
};

/* Called after each container; total is an estimate. Anything but 0 stops the check with -ECANCELED. */
typedef int (*holofs_check_progress)(void *arg, uint64_t done, uint64_t total);

/*
 * Verify superblocks, ring and every block of every container. With repair, the store is opened (log replayed,
 * index rebuilt if need be), whatever parity and copies can put right is put right, and the events, which name
 * lost files by path, are appended to *events; without it, nothing at all is written and the index is not
 * looked at. Returns 0 when the check ran to its end, else a negative code and one line in `why`.
 */
int holofs_check(const char *path, bool repair, holofs_check_progress progress, void *arg, struct holofs_check *out, struct buf *events,
                 char *why, size_t why_cap);

#endif
