/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * big.h: the large buffers: of heads, of parity, of a container that is being scrubbed.
 *
 * They are kept for use again, because their pages are there already and, where a GPU works, stay page-locked: that costs
 * more than the work itself. A buffer comes with whatever it held.
 */
#ifndef HOLO_CORE_BIG_H
#define HOLO_CORE_BIG_H

#include "core/fs.h"

/* The housekeeper trims what has been idle for so long: ten seconds. */
#define BIG_IDLE_NS 10000000000u

/* At least len bytes, page-aligned, or NULL. HEAD may be held. */
uint8_t *big_get(struct holofs *fs, size_t len);
/* Give it back, to be used again or trimmed; NULL is nothing. HEAD may be held. */
void big_put(struct holofs *fs, uint8_t *p);

/* Let the GPU reach a buffer without a copy, if there is one in use. Takes milliseconds the first time; hold no lock. */
void big_pin(struct holofs *fs, uint8_t *p);

/* Free what nobody has used for so long. May wait for the GPU: hold no lock. */
void big_trim(struct holofs *fs, uint64_t idle_ns);

/* All of them are given back: free everything. */
void big_fini(struct holofs *fs);

#endif
