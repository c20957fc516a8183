/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open.h: the steps of opening that checks use by themselves. */
#ifndef HOLO_CORE_OPEN_H
#define HOLO_CORE_OPEN_H

#include "core/fs.h"

/* Lock, superblocks, engine, remap table and ring, for reading only; no index, no threads. */
int fs_open_parts_only(const char *path, struct holofs **out, char *why, size_t why_cap);

/* Write the superblocks: counters, epoch, and with `clean` the ring's hints. */
int super_update(struct holofs *fs, bool clean);

/* Free everything that opening made; threads have ended. */
void fs_release(struct holofs *fs);

#endif
