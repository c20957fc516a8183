/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_repair.c: phase 8: what is repaired once everything is known: the whole metadata written anew.
 *
 * Of two new dumps the older makes everything before it superfluous: it is deleted, with all that is lost in it. The index must be
 * right by then, and was checked in phases 3 and 4.
 */
#include "base/err.h"
#include "core/dump.h"
#include "core/fsck_private.h"
#include "core/log.h"

int fsck_repair(struct fsck *f)
{
    int e = 0;
    if (!f->writable || !f->want_dump)
        return 0;
    for (int i = 0; i < 2 && !e; i++) {
        e = fsck_progress(f, (uint64_t)i, 2);
        if (!e)
            e = commit_all(f->fs, 0);
        if (!e)
            e = dump_run(f->fs);
    }
    if (e == -ECANCELED)
        return e;
    fsck_settle(f, &f->dumping, e ? FSCK_UNREPAIRED : FSCK_REPAIRED, e ? holo_strerror(e) : NULL);
    f->want_dump = false;
    f->changed = true;
    return 0;
}
