/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trouble.c: writing that fails for now.
 *
 * A container, a commit or a transaction of the index that the disk refuses stays in memory and in its queue, and is tried again
 * every second, written anew and not only synced again. Until then nothing that was acknowledged is missing: it is in the ring, in
 * containers, in the index as it was. So the store does not have to stop for good; who waits for the work gets the error.
 */
#include "base/err.h"
#include "base/log.h"
#include "core/log.h"

const char *trouble_name(enum trouble t)
{
    static const char *const name[TROUBLES] = { "commit", "container", "index" };
    return name[t];
}

void trouble_begin(struct holofs *fs, enum trouble t, int error)
{
    if (atomic_exchange(&fs->trouble[t], error))
        return;
    COUNT(fs, troubles, 1);
    event_add(fs, "write_trouble", "s:s, s:s", "what", trouble_name(t), "error", holo_strerror(error));
    log_err("%s: %s: cannot be written now and is tried again; what was synced is safe", trouble_name(t), holo_strerror(error));
}

void trouble_end(struct holofs *fs, enum trouble t)
{
    if (atomic_exchange(&fs->trouble[t], 0))
        event_add(fs, "write_recovered", "s:s", "what", trouble_name(t));
}
