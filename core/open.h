/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open.h: the steps of opening that checks use by themselves. */
#ifndef HOLO_CORE_OPEN_H
#define HOLO_CORE_OPEN_H

#include "core/fs.h"

/*
 * What a check hangs into a store that it opens. There is no scrubber thread then: the check decides what is repaired and when.
 * Callbacks may come from any thread, with leaf locks held.
 */
struct fs_hooks {
    void *arg;
    int (*backing)(void *arg, bool read_only, struct backing **out); /* instead of the plain directory */
    void (*event)(void *arg, const char *type, const char *line);    /* every event; the line is JSON */
    bool (*may_rebuild)(void *arg, const char *why);                 /* the index is not usable: rebuild it, or fail? */
    int (*write_index)(void *arg);                                   /* the store's index will be opened for writing; 0, or not */
    const char *index_path; /* an index outside the store, which may be written also for reading only; NULL: the store's */
    bool rebuild_index;     /* whatever it says */
};

/* As holofs_open, once, with hooks, which the store refers to until it is closed. */
int fs_open_hooked(const char *path, const struct holofs_options *o, const struct fs_hooks *hooks, struct holofs **out, char *why,
                   size_t why_cap);

/* Lock, superblocks, engine, remap table and ring, for reading only; no index, no threads. */
int fs_open_parts_only(const char *path, struct holofs **out, char *why, size_t why_cap);

/* Write the superblocks: counters, epoch, and with `clean` the ring's hints. */
int super_update(struct holofs *fs, bool clean);

/* Free everything that opening made; threads have ended. */
void fs_release(struct holofs *fs);

#endif
