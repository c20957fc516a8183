/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_map.h: a map of ddrescue(1): what could not be saved of the disk below a store counts as unreadable. */
#ifndef HOLO_CORE_FSCK_MAP_H
#define HOLO_CORE_FSCK_MAP_H

#include <stdint.h>

#include "store/backing.h"

struct rescue_map;

/*
 * Read a map (GNU ddrescue manual, «Mapfile structure»): all that is not finished is bad. `offset`: where the filesystem of the store
 * begins on what was rescued, in bytes. -EINVAL with the number of the line in *line if it is no such map, or the errno of reading it.
 */
int rescue_map_load(const char *file, uint64_t offset, struct rescue_map **out, unsigned *line);
void rescue_map_free(struct rescue_map *m);
uint64_t rescue_map_bad_bytes(const struct rescue_map *m);

/*
 * The directory `path` that `lower` stands for, in which reads of bad places fail with -EIO until they are written. Where files lie comes from
 * FIEMAP; -EOPNOTSUPP, at the first open, on a filesystem that has none. Takes lower over; m stays the caller's.
 */
int rescue_backing(const char *path, struct backing *lower, struct rescue_map *m, struct backing **out);

#endif
