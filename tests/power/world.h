/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * world.h: a small tree in a store, operations on it, and what they promise.
 *
 * Operations take effect in order, so after any crash the tree is as it was after some number of them: not before what was
 * acknowledged last, not behind what was begun. The state after each operation is remembered as one checksum for every
 * name: existence, kind, mode, size, links, xattr and contents. Each operation that changes something is one state.
 */
#ifndef HOLO_TESTS_POWER_WORLD_H
#define HOLO_TESTS_POWER_WORLD_H

#include "tests/core/rig.h"
#include "tests/power/trace.h"

enum {
    ROOT_NAMES = 8,
    DIRS = 3,
    DIR_NAMES = 4,
    SLOTS = ROOT_NAMES + DIRS * DIR_NAMES,
    COLUMNS = SLOTS + DIRS,
    THING_MAX = 96 << 10,
    XATTR_SPACE = 300,
};

/* A file or symbolic link; names point at it. */
struct thing {
    unsigned links;
    bool is_symlink, has_xattr;
    uint32_t mode;
    size_t size, xattr_len;
    uint64_t touched, sum; /* number of the state that changed it last; 0: sum is not known */
    uint8_t *data;         /* THING_MAX, zeros behind size */
    uint8_t xattr[XATTR_SPACE];
};

struct state {
    uint64_t column[COLUMNS]; /* 0: there is no such name */
};

struct world {
    struct rig *r;
    uint64_t seed;
    struct thing *slot[SLOTS];
    bool dir[DIRS];
    struct state *state;
    size_t n, cap; /* states so far; the last is now */
    uint64_t low;  /* this state, or a later one, is promised */
    size_t kills;
};

struct workload {
    const char *name;
    const char *ops; /* one letter an operation (do_step), drawn with equal chance */
};

/* The world as the empty store r has it; the trace has begun. */
void world_init(struct world *w, struct rig *r, uint64_t seed);
void world_fini(struct world *w);
/* One operation, drawn from the workload. */
void world_step(struct world *w, const struct workload *l);
/* Number of the state, from low to high, that an open store has; the highest if several are equal. -1 if none; then it says why. */
int64_t world_match(const struct world *w, struct rig *r, uint64_t low, uint64_t high);
/* End the process that has the store open, so to speak: nothing that it writes from now on arrives. The trace stays cut. */
void world_kill(struct rig *r);
/* The rig's store was opened again after a crash and has state k: go on from there. */
void world_resume(struct world *w, uint64_t k);

#endif
