/* SPDX-License-Identifier: GPL-2.0-or-later */
/* remake.h: parts of a store that are gone, made again from what is left. Before anything of the store is in use. */
#ifndef HOLO_CORE_REMAKE_H
#define HOLO_CORE_REMAKE_H

#include "core/fs.h"

/*
 * A superblock from container headers, which repeat its fields; where there is no container, from the remap table's header and the size
 * of the ring. The label is lost. Writes nothing. -HOLO_EFORMAT if too little is left, -HOLO_EVERSION if containers are newer than this program.
 */
int remake_super(struct backing *b, struct superblock *sb);

/* Is no copy of the superblock right any more, of a store that is there? error: super_read's. */
bool remake_super_is_gone(struct backing *b, int error);

/*
 * Folders, and the reserve if its file is missing: a store that opens for writing has them. Names that are only there when a process was
 * killed (FORMAT.md, «Names that come and go») are cleared away. What fails is told.
 */
void remake_small_parts(struct holofs *fs);

#endif
