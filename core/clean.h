/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clean.h: the cleaner: survivors of partly dead and short containers move into containers of their own, and the old ones go.
 *
 * A move is a compare-and-swap (store/extent.h): it loses against whatever was written since. Order of a flush, so that it may
 * stop anywhere: the new container is whole and durable; its record and the moves are committed; the index has them; only then are
 * the old ones, to which nothing refers any more, logged as dead, committed, and unlinked (reclaim.c).
 *
 * The cleaner holds no room in the heads of writers and no lock while it reads, writes or waits: nobody waits for it but writers
 * that found no room, and those for CLEAN_STALL_MAX_NS at most.
 */
#ifndef HOLO_CORE_CLEAN_H
#define HOLO_CORE_CLEAN_H

#include "core/container.h"

#define CLEAN_STALL_MAX_NS UINT64_C(30000000000)

/* ---- one batch: victims into one container after another (clean_copy.c); the cleaner's thread alone ---- */

struct clean_move {
    uint64_t ino;
    struct extent to;
    struct extent_place from;
};

struct clean_batch {
    struct holofs *fs;
    struct head *out; /* being filled; NULL before the first piece */
    struct clean_move *move;
    size_t n_moves, cap_moves;
    uint32_t *victim; /* copied into out, or into one before it, and not deleted yet */
    size_t n_victims, cap_victims;
    uint64_t victim_bytes;       /* of their files */
    uint64_t age_sum, age_bytes; /* when the data in out was written, weighted */
    uint8_t *tmp;                /* a chunk and two blocks */
    void (*pause)(struct holofs *fs, uint64_t bytes); /* after each piece of so many bytes: keeps the rate */
};

/*
 * Copy everything alive of a container; flushes whenever a container is full. What cannot be read puts the container into
 * quarantine, which is told, and is no error. -EINTR when the store is being closed, -ENOMEM, or what a flush returns.
 */
int clean_victim(struct clean_batch *b, uint32_t id);

/* Seal what was copied, log the moves, commit, delete what is dead then. Nothing to do is 0. */
int clean_flush(struct clean_batch *b);

/* The same at the end: victims that still have living bytes are searched for in the whole index. */
int clean_finish(struct clean_batch *b);

/* The cleaner leaves the container alone, over mounts, until a scrub finds all of it right. Nothing is done if it is being deleted. */
void clean_set_quarantine(struct holofs *fs, struct container *c, bool on);

/* Commit what there is, and wait until the index has it: then the counts of living bytes are true. */
int clean_settle(struct holofs *fs);

/* Forget what was copied and not flushed. Frees the batch's memory. */
void clean_drop(struct clean_batch *b);

/* The file of what is in `out` now, in bytes; 0 if there is none. */
uint64_t clean_out_bytes(const struct clean_batch *b);

/* ---- the thread (clean.c) ---- */
void *cleaner_main(void *fs);
void clean_init(struct holofs *fs);
void clean_wake(struct holofs *fs);

/* The thread's own priority: low while it copies and nobody waits, and not while it holds what others wait for. */
void clean_set_idle(struct holofs *fs, bool idle);

/* Ask for a whole run. -EALREADY if one is on its way. */
int clean_start(struct holofs *fs);
/* Bytes a second from a text; -EINVAL. */
int clean_set_rate(struct holofs *fs, const char *text, size_t len);

/*
 * For a writer that found no room and holds nothing: wait until the cleaner made some. 0: try again; -ENOSPC: there is nothing to
 * gain, or it took too long since *since_ns (0 on the first call).
 */
int clean_wait_for_room(struct holofs *fs, uint64_t *since_ns);
/* Such a writer goes on. */
void clean_waited(struct holofs *fs, uint64_t since_ns);

/* ---- room (space.c) ---- */

/* Bytes that containers may take besides those that are promised a place (HEAD held). */
int space_room(struct holofs *fs, unsigned r, uint64_t *bytes);
/* -ENOSPC if there is no room for one more container (HEAD held). */
int space_check(struct holofs *fs, unsigned r);
/*
 * What has to be free before metadata may grow: the index, the metadata containers that are due and the records that delete all there
 * is, or a dump of it, still need it.
 */
uint64_t space_of_growth(const struct holofs *fs, const struct backing_space *s);
/* Is hardly more free than that? */
bool space_is_short(const struct holofs *fs, const struct backing_space *s);
/* May a dump be taken? It frees nothing before its end, and the log and the index go on meanwhile. */
bool space_for_dump(struct holofs *fs, const struct backing_space *s);
/* Look again how much a dump would take. */
void space_note_index(struct holofs *fs);
/* The size of a container's file. */
uint64_t space_of_container(const struct holofs *fs, uint32_t r, uint32_t used);
/* Files of metadata containers: those of the log behind the newest dump, and all. */
void space_of_metadata(struct holofs *fs, uint64_t *log_bytes, uint64_t *all_bytes, uint64_t *dump_bytes);

#endif
