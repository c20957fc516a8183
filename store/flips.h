/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flips.h: one right block out of two copies that both have flipped bytes.
 *
 * Flips hit the two copies at different bytes, so where the copies are alike both are right, and where they differ one
 * of them is: the few differing bytes are tried until the checksum fits. Copies that differ in more than FLIPS_MAX bytes
 * are not two copies of one block, and are refused after a glance.
 *
 * Two flips at the same byte are rarer, but at a thousand flips in a million bytes they happen in every 250th block. They
 * are found as well where that is cheap: one differing byte takes every value, while the others are tried as before.
 *
 * What is accepted is what a 64-bit checksum confirms. At most 2^FLIPS_TRIES_LOG + 2^FLIPS_MAX candidates are asked, so a
 * block that is beyond recovery is taken for another one with a chance below 2^-39.
 */
#ifndef HOLO_STORE_FLIPS_H
#define HOLO_STORE_FLIPS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/format.h"

enum { FLIPS_MAX = 20, FLIPS_TRIES_LOG = 24 };

/* Does the checksum confirm this candidate? Called up to millions of times. */
typedef bool flips_right_fn(void *arg, const uint8_t *block);

/*
 * Make `block` right, which holds one copy; `other` is the second. True: it holds what `right` has confirmed. False: it
 * holds what it held. A millisecond as a rule at a flip in a thousand bytes, some seconds at most.
 */
bool flips_settle(uint8_t block[BLOCK_SIZE], const uint8_t other[BLOCK_SIZE], flips_right_fn *right, void *arg);

#endif
