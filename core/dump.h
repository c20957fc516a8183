/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dump.h: whole copies of the metadata in containers, and the deletion of containers nobody needs. */
#ifndef HOLO_CORE_DUMP_H
#define HOLO_CORE_DUMP_H

#include "core/fs.h"

/*
 * Write everything the index knows, as of one txg, into metadata containers, then delete what that makes
 * superfluous: dumps but the last two, and log containers older than both. -EALREADY if one is running.
 */
int dump_run(struct holofs *fs);

/*
 * The same, if enough was logged since the last one; not within a minute of one that failed. The housekeeper does that, and the
 * cleaner when room is short: the log takes room as data does.
 */
void dump_run_if_due(struct holofs *fs);

/* Delete sealed data containers without live bytes. */
int reclaim_run(struct holofs *fs);

/* Log containers as dead, commit, and unlink their files. */
int containers_delete(struct holofs *fs, const uint32_t *ids, size_t n);

/* Thread: dumps when the log has grown enough, reclaims, evicts caches. */
void *housekeeper_main(void *fs);

#endif
