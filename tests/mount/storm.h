/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm.h: many processes on one mount: what they share.
 *
 * Boards are files of cells. A cell says whose it is, where, and which version; the rest of it follows from that. Each cell has one
 * writer, which notes in the state, a file outside the mount that all processes have mapped, which version it begins, which it was
 * told is written, and which an fsync made durable.
 */
#ifndef HOLO_TESTS_MOUNT_STORM_H
#define HOLO_TESTS_MOUNT_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BOARDS = 4, WRITERS = 4, OWN = 24, CELLS = WRITERS * OWN, SPAN = 12, APPENDERS = 4, LOCKERS = 4, REPLACED = 4, QUIET = 40 };
enum { CELL_BIG = 4096, CELL_SMALL = 520, HOLE_EVERY = 8 };

/* Versions of a cell: synced <= done <= begun. */
struct cell {
    _Atomic uint64_t begun, done, synced;
};

struct state {
    _Atomic bool stop;
    _Atomic uint64_t passed, failed, work; /* work: operations that were acknowledged */
    _Atomic uint64_t version;
    _Atomic uint64_t appended[APPENDERS], locked[2]; /* records; turns with each kind of lock */
    _Atomic unsigned messages;
    struct cell cell[BOARDS][CELLS];
};

/* One process: what it is called, its number among those of its kind, its seed. */
struct role {
    const char *name;
    void (*main)(struct state *s, unsigned n, uint64_t seed);
    unsigned n;
};

uint64_t random_next(uint64_t *seed);

/* Counts a check; the first failures are printed. Returns ok. */
bool check(struct state *s, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Has everybody been told to stop, or did the mount go (errno says so)? */
bool storm_ends(struct state *s);
bool storm_gone(struct state *s);

/* ---- cells (storm_cells.c) ---- */
size_t cell_size(unsigned board);
void cell_make(unsigned board, unsigned k, uint64_t version, uint8_t *out);
/* 0: zeros; else its version; UINT64_MAX when nobody wrote that there. */
uint64_t cell_version(unsigned board, unsigned k, const uint8_t *p);
int board_open(unsigned board, int flags);
int boards_make(void);

void cell_writer(struct state *s, unsigned n, uint64_t seed);
void cell_mapper(struct state *s, unsigned n, uint64_t seed); /* writes through a mapping; the last writer's cells */
void cell_reader(struct state *s, unsigned n, uint64_t seed);
/* All cells: exactly what was written, or with `crash` at least what was synced, and what is there counts from then on. */
void cells_verify(struct state *s, bool crash);

/* ---- names (storm_names.c) ---- */
int names_make(struct state *s);
void replacer(struct state *s, unsigned n, uint64_t seed);
void watcher(struct state *s, unsigned n, uint64_t seed);
void lister(struct state *s, unsigned n, uint64_t seed);
void namer(struct state *s, unsigned n, uint64_t seed);
/* Links and names add up below the current folder. */
void names_verify(struct state *s);

/* ---- everything else (storm_share.c) ---- */
int share_make(void);
void appender(struct state *s, unsigned n, uint64_t seed);
void locker(struct state *s, unsigned n, uint64_t seed);
void signalled(struct state *s, unsigned n, uint64_t seed);
void killer(struct state *s, unsigned n, uint64_t seed);
void keeper(struct state *s, unsigned n, uint64_t seed);
void share_verify(struct state *s);

#endif
