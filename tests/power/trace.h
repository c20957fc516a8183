/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trace.h: everything that this process changes below one directory, in one ordered log; and what a disk may hold of it.
 *
 * trace.c puts itself before the calls to the system that change files (its definitions win over libc's, for sqlite
 * as well), so nothing goes around the log. disk.c follows the log up to any point and makes the directory that a strictly
 * POSIX filesystem could show after a power cut there: what was synced is there; of everything else each 4 KiB sector, file
 * size and directory entry is there or not, as a seed chooses. fsync of a file says nothing about its name: that takes an
 * fsync of its directory. A rename is atomic. Files that no name leads to are gone. The program may have several threads;
 * every call here is made by one. mmap is not seen: sqlite's index.db-shm comes back empty, which sqlite never trusts.
 */
#ifndef HOLO_TESTS_POWER_TRACE_H
#define HOLO_TESTS_POWER_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECTOR = 4096, TRACE_NAME_MAX = 64 };

enum event_kind {
    EVENT_WRITE,  /* data at off */
    EVENT_SIZE,   /* truncated or grown to off bytes */
    EVENT_SYNC,   /* fsync or fdatasync of a file, fsync of a directory */
    EVENT_CREATE, /* entry `name` in dir leads to obj: a new file */
    EVENT_MKDIR,
    EVENT_RENAME, /* obj, from name to `to`, in one directory */
    EVENT_UNLINK,
    EVENT_ROT,    /* the medium changed: data at off, at once durable */
    EVENT_SETTLE, /* all that is there is durable */
    EVENT_MARK,   /* the program says: at least `low` is promised, at most `high` was begun */
};

struct event {
    enum event_kind kind;
    unsigned obj, dir; /* numbers of files and directories, from 1, the root; never used again */
    uint64_t off;
    size_t len;
    uint8_t *data;
    uint64_t low, high;
    char name[TRACE_NAME_MAX], to[TRACE_NAME_MAX];
};

/* Begin: what is in dir now is durable. Only one directory at a time is followed. */
void trace_start(const char *dir);
/* Forget all of it. */
void trace_stop(void);
/* Cut: from now on nothing below the directory changes any more, every try is EIO: the process is as if killed. */
void trace_cut(bool cut);
void trace_mark(uint64_t low, uint64_t high);
/* Flip bytes of a file there, as a medium would. false if there is no such file, or it ends before. */
bool trace_rot(const char *name, uint64_t off, size_t len, uint64_t seed);
/* Writes to this block of a file fail from now on; a name that is NULL: nothing fails any more. */
void trace_bad_block(const char *name, uint64_t off);
/* Syncs of a file fail from now on, and, with writes, writes as well; not those of a file that takes its name. */
void trace_bad_file(const char *name, bool writes);

/* The log so far; the first `base` events are what was there at the start. */
size_t trace_events(size_t *base);
const struct event *trace_event(size_t i);

/* ---- a disk that followed the log ---- */
struct disk;

/* What of the unsynced is there. */
enum survival {
    SURVIVES_ALL,  /* kill -9 */
    SURVIVES_NONE,
    SURVIVES_SOME, /* each with a chance of percent */
};

struct choice {
    enum survival what;
    unsigned percent;
    uint64_t seed;
};

struct disk *disk_create(void);
void disk_destroy(struct disk *d);
/* Follow the log up to event n (exclusive); only forward. */
void disk_advance(struct disk *d, size_t n);
/* What the newest mark said. */
void disk_promise(const struct disk *d, uint64_t *low, uint64_t *high);
/* Is anything unsynced? If not, all choices give the same. */
bool disk_is_dirty(const struct disk *d);
/* Make the directory `dir`, which must not exist, as it may be found. */
void disk_image(const struct disk *d, const struct choice *c, const char *dir);

#endif
