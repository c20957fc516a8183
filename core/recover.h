/* SPDX-License-Identifier: GPL-2.0-or-later */
/* recover.h: from what is on the medium to a running store: ring, index, heads. */
#ifndef HOLO_CORE_RECOVER_H
#define HOLO_CORE_RECOVER_H

#include "core/fs.h"

/*
 * Scan the ring, bring the index up to it (rebuilding it from containers where it cannot be used), load the
 * container table and fill the heads again with what is not sealed. Single-threaded.
 */
int recover(struct holofs *fs, char *why, size_t why_cap);

/* A new index from metadata containers: the last complete dump and the log behind it. Leaves it at that txg. */
int rebuild_index(struct holofs *fs, const char *index_path);

/* Delete container files that no commit names (after an unclean stop). */
void remove_garbage(struct holofs *fs);

/* Call cb for the id of every container file there is, ascending. */
int each_container_file(struct holofs *fs, int (*cb)(void *arg, uint32_t id), void *arg);

#endif
