/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remapper.c: what a mount does with its remap table besides remapping.
 *
 * The copies are read once an hour, by default: damage that nobody would meet before the next mount is found while the table is in memory, where
 * it is right whatever happened to all five. What is found is told once, and once more when it is good again.
 */
#include <errno.h>
#include <jansson.h>

#include "core/remapper.h"

#include "base/clock.h"
#include "base/err.h"
#include "core/log.h"

void remapper_begin(struct holofs *fs)
{
    struct remap_stats s;
    remap_stats(fs->remap, &s);
    fs->remap_checked_ns = clock_mono_ns();
    if (s.copies_repaired)
        event_add(fs, "remap_copies_repaired", "s:I", "copies", (json_int_t)s.copies_repaired);
    if (s.broken) {
        fs->remap_trouble = -EIO;
        event_add(fs, "remap_copies_bad", "s:s", "error", "a copy cannot be written");
    }
}

void remapper_check(struct holofs *fs)
{
    struct remap_stats before, after;
    unsigned bad = 0;
    remap_stats(fs->remap, &before);
    int e = remap_check(fs->remap, &bad);
    remap_stats(fs->remap, &after);
    bool was = fs->remap_trouble != 0;
    fs->remap_trouble = e;
    if (after.copies_repaired != before.copies_repaired || (was && !e))
        event_add(fs, "remap_copies_repaired", "s:I", "copies", (json_int_t)(after.copies_repaired - before.copies_repaired));
    if (e && !was)
        event_add(fs, "remap_copies_bad", "s:i, s:s", "copies", __builtin_popcount(bad), "error", holo_strerror(e));
}

void remapper_check_if_due(struct holofs *fs)
{
    if (clock_mono_ns() - fs->remap_checked_ns < (uint64_t)fs->opt.remap_check_ms * 1000000)
        return;
    remapper_check(fs);
    fs->remap_checked_ns = clock_mono_ns();
}

bool remapper_is_full(const struct holofs *fs)
{
    struct remap_stats s;
    if (!fs->spares_full)
        return false;
    remap_stats(fs->remap, &s);
    return s.spare_used + s.spare_bad >= s.spare_blocks;
}
