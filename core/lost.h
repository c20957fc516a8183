/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lost.h: does the disk answer, and what is lost now: health depends on both. */
#ifndef HOLO_CORE_LOST_H
#define HOLO_CORE_LOST_H

#include "core/container.h"

/*
 * Can anything of the store be read from the disk now? An error says something of a block only between two times at which it can.
 * If not, that is told, once; the scrubber asks again every second until it can. Any locks but the leaves may be held.
 */
bool disk_answers(struct holofs *fs);

/* The scrubber's: is it away? Asks, if it was, and tells when it is back. */
bool disk_is_away(struct holofs *fs);

/* Position x cannot be made right (REPAIR held): counts it, once. Returns whether that is news. */
bool lost_add(struct holofs *fs, struct container *c, uint32_t x);
/* Is it known to be lost (REPAIR held)? */
bool lost_known(const struct container *c, uint32_t x);
/* It is right, after all (REPAIR held). */
void lost_remove(struct holofs *fs, struct container *c, uint32_t x);
/* A whole container cannot be read, or can: told and counted when it changes. */
void lost_container(struct holofs *fs, struct container *c, int error);
/* It is deleted, and nobody reads it. */
void lost_forget(struct holofs *fs, struct container *c);

#endif
