/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_print.h: what holofsck says: problems, questions, progress and the summary, for people or as JSON lines. */
#ifndef HOLO_TOOLS_FSCK_PRINT_H
#define HOLO_TOOLS_FSCK_PRINT_H

#include "core/fsck.h"
#include "core/undo_apply.h"

struct fsck_print {
    const char *store;
    bool json, verbose, terminal; /* terminal: progress on standard error */
    bool look;                    /* nothing is repaired */
    int progress_fd;              /* -1: none */
    /* kept by the functions below */
    enum fsck_phase phase;
    uint64_t told_ns;
    bool line_open, all_safe;
    bool (*stop)(void);
};

/* Fill in whom the check talks to. */
void fsck_print_init(struct fsck_print *p, struct fsck_talk *talk);

/* What taking a repair back did, or why it did not. */
void fsck_print_undo(const struct fsck_print *p, const struct undo_apply_result *r, int result);

/* The last words; the command to run next is among them. */
void fsck_print_summary(struct fsck_print *p, const struct fsck_result *r, int result, int code);

#endif
