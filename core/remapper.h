/* SPDX-License-Identifier: GPL-2.0-or-later */
/* remapper.h: what a mount does with its remap table besides remapping: it is checked, tested and told of; spare files come and go. */
#ifndef HOLO_CORE_REMAPPER_H
#define HOLO_CORE_REMAPPER_H

#include "core/fs.h"

/* What opening found wrong with the copies of the table and the spare files is told. */
void remapper_begin(struct holofs *fs);

/* Have a spare file in the directory that an option names, unless there is one. What fails is told; the mount goes on. */
void remapper_wanted_spare(struct holofs *fs);

/* Check the copies of the table now, try spare files again that were not there, and tell what is found. */
void remapper_check(struct holofs *fs);

/* The same if the last time is long enough ago. The housekeeper's. */
void remapper_check_if_due(struct holofs *fs);

/* Something was remapped, or could not be: tell what became of spare files. REPAIR may be held, and what is below it. */
void remapper_note(struct holofs *fs);

/*
 * "test", "check", "spare add SIZE [DIR]" (0: as large as mkfs would make it), "spare remove NUMBER". -EINVAL if it is none of these. Why it was
 * refused is in .holo/remap, under "said". -EIO from test: spare blocks are bad, or copies of the table.
 */
int remapper_command(struct holofs *fs, const char *text, size_t len);

/* Did a block find no spare block, and is there still none? */
bool remapper_is_full(const struct holofs *fs);

#endif
