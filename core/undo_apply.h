/* SPDX-License-Identifier: GPL-2.0-or-later */
/* undo_apply.h: take back what a repair has changed in a store. */
#ifndef HOLO_CORE_UNDO_APPLY_H
#define HOLO_CORE_UNDO_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backing;

struct undo_apply_options {
    bool force; /* even if the store was changed since the repair */
    int (*wrap)(void *arg, struct backing *lower, struct backing **out); /* tests: what stands between; NULL: nothing */
    void *wrap_arg;
};

struct undo_apply_result {
    uint64_t files;      /* put back, as a whole or some of their blocks */
    uint64_t removed;    /* that the repair had made */
    uint64_t blocks;     /* written */
    uint64_t unreadable; /* blocks that could not be read before the repair, so that nothing is known to put there */
    bool unfinished;     /* the repair was killed, or taking it back was once */
    char why[512];
};

/*
 * Make the store at `path` what it was before the repair that wrote `file`: names, sizes and bytes. May be killed and done again, which
 * no mount comes between: until it is at its end the superblocks say so. Nothing is changed when it is refused: -HOLO_EBUSYSTORE, -HOLO_ESUM
 * (`file` is damaged), -HOLO_ETRUNC (it was cut off), -HOLO_EFORMAT, -HOLO_EVERSION (it is none), -HOLO_ESTALE (another store, or changed
 * since), -HOLO_ECORRUPT (what it says makes no sense); why says it in a line.
 */
int holofs_undo_apply(const char *path, const char *file, const struct undo_apply_options *o, struct undo_apply_result *out);

#endif
