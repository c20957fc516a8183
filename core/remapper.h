/* SPDX-License-Identifier: GPL-2.0-or-later */
/* remapper.h: what a mount does with its remap table besides remapping: its copies are checked, now and then and when asked. */
#ifndef HOLO_CORE_REMAPPER_H
#define HOLO_CORE_REMAPPER_H

#include "core/fs.h"

/* What opening found wrong with the copies of the table is told. */
void remapper_begin(struct holofs *fs);

/* Check the copies of the table now, and tell what is found. The housekeeper's. */
void remapper_check(struct holofs *fs);

/* The same if the last time is long enough ago. */
void remapper_check_if_due(struct holofs *fs);

/* Did a block find no spare block, and is there still none? */
bool remapper_is_full(const struct holofs *fs);

#endif
