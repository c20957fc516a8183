/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck.h: check a store that is not mounted, and put it right.
 *
 * Phases, each in its own file: superblocks and lock; ring; index against containers, both ways; names; remap table and
 * spares; checksums; parity; repair; verify again. Looking writes nothing to the store: the index is read from a copy in a
 * folder for temporary files, brought up to the ring there, or rebuilt there.
 */
#ifndef HOLO_CORE_FSCK_H
#define HOLO_CORE_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/problem.h"

struct holofs;
struct backing;
struct rescue_map;

enum fsck_mode {
    FSCK_LOOK,  /* -n: nothing is written */
    FSCK_PREEN, /* -p: what is certain */
    FSCK_ALL,   /* -y */
    FSCK_ASK,   /* each problem is asked about */
};

enum fsck_phase {
    FSCK_PHASE_SUPER = 1, FSCK_PHASE_RING, FSCK_PHASE_INDEX, FSCK_PHASE_NAMES, FSCK_PHASE_REMAP, FSCK_PHASE_SUMS, FSCK_PHASE_PARITY,
    FSCK_PHASE_REPAIR, FSCK_PHASE_VERIFY, FSCK_PHASES = FSCK_PHASE_VERIFY,
};

/* What became of a problem. */
enum fsck_outcome {
    FSCK_NOTED,      /* it is none */
    FSCK_REPAIRABLE, /* nothing was done about it, and something can be */
    FSCK_REPAIRED,
    FSCK_UNREPAIRED, /* a repair failed, or was not wanted */
    FSCK_LOST,
};

/* Where a problem is. What is not known or does not apply is 0 or NULL. */
struct fsck_where {
    uint32_t container, block, blocks; /* blocks of the container file, from block on */
    uint64_t ino, off, len;            /* bytes [off, off + len) of the file; len 0: not of a range */
    const char *path;                  /* bytes, need not be UTF-8 */
    const char *detail;
};

struct fsck_seen {
    const struct fsck_problem *problem;
    enum fsck_outcome outcome;
    enum fsck_phase phase;
    struct fsck_where where;
};

/* Whom the check talks to; called by the thread that checks. Any may be NULL. */
struct fsck_talk {
    void *arg;
    void (*problem)(void *arg, const struct fsck_seen *s);
    bool (*ask)(void *arg, const struct fsck_problem *p, const struct fsck_where *w); /* FSCK_ASK: repair it? */
    int (*progress)(void *arg, enum fsck_phase phase, uint64_t done, uint64_t total); /* not 0: stop as soon as it is safe */
};

/* How far phase 6 is, of which store. next 0: at its end, or not begun. */
struct fsck_position {
    uint8_t uuid[16];
    uint32_t next;
};

struct fsck_options {
    enum fsck_mode mode;
    const char *engine;       /* as in holofs_options */
    bool rebuild_index;       /* whatever the index says */
    unsigned max_seconds;     /* stop after so long; 0: never */
    const char *only_path;    /* phase 6 reads the containers that hold bytes of it, or of what is below it; NULL: all */
    const struct fsck_position *resume; /* where an earlier check stopped, or NULL */
    const char *undo;         /* keep in this file, outside of the store, what is changed (undo_apply.h); NULL: nowhere. Not with LOOK */
    struct rescue_map *map;   /* places of the disk that count as unreadable (fsck_map.h), or NULL */
    const char *tmp;          /* folder for the private index; NULL: $TMPDIR or /var/tmp */
    struct fsck_talk talk;
    int (*wrap)(void *arg, struct backing *lower, struct backing **out); /* tests: what stands between; NULL: nothing */
    void *wrap_arg;
};

struct fsck_result {
    uint64_t found, repaired, left, lost; /* problems: of those found, what became of them */
    uint64_t containers, blocks;          /* looked at */
    bool unclean, index_rebuilt, timed_out;
    struct fsck_position stopped;         /* for `resume` of another check */
    char why[512];                        /* one line when the check failed */
};

/*
 * Check the store at path. 0 when the check ran to its end (see *out), -ECANCELED when progress stopped it, -HOLO_EBUSYSTORE and
 * others when it cannot be checked.
 */
int holofs_fsck(const char *path, const struct fsck_options *o, struct fsck_result *out);

/*
 * Open for reading only, with a private index, whatever state the store is in: what can be read is read. Nothing is written to the
 * store. holofs_fsck_view_close gives everything back.
 */
struct fsck_view;
int holofs_fsck_view(const char *path, const struct fsck_options *o, struct fsck_view **out, struct holofs **fs, char *why, size_t why_cap);
void holofs_fsck_view_close(struct fsck_view *v);

/* Exit bits of fsck(8) for what a check found. */
enum { FSCK_EXIT_OK = 0, FSCK_EXIT_REPAIRED = 1, FSCK_EXIT_LEFT = 4, FSCK_EXIT_ERROR = 8, FSCK_EXIT_USAGE = 16, FSCK_EXIT_CANCELLED = 32 };
int fsck_exit_code(int result, const struct fsck_result *r);

#endif
