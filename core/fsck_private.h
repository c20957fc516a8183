/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_private.h: what the phases of holofsck share.
 *
 * A check goes through these states:
 *
 *   phases 1, 2 over `b` ─▶ fsck_open: `fs`, for writing if every repair so far is wanted, else a look with a private index
 *                        ─▶ phases 3 … 8 over `fs` ─▶ fsck_close ─▶ phase 9: 1 … 5 again as a look, muted
 *
 * What opening for writing puts right (superblocks, ring, remap table, index) is decided before and told after (`pending`).
 */
#ifndef HOLO_CORE_FSCK_PRIVATE_H
#define HOLO_CORE_FSCK_PRIVATE_H

#include <limits.h>

#include "base/ids.h"
#include "core/container.h"
#include "core/fsck.h"
#include "core/open.h"
#include "core/scrub.h"

/* A problem that was decided upon and is told when the outcome is known. */
struct fsck_pending {
    struct fsck_pending *next;
    enum fsck_problem_id id;
    enum fsck_phase phase;
    struct fsck_where where; /* strings are its own */
};

/* Blocks of a container that are not as they should be. */
struct fsck_run {
    uint32_t container, block, n;
    enum fsck_fate { RUN_REPAIRED, RUN_BAD, RUN_LOST } fate; /* BAD: the right bytes are known */
    enum fsck_what { RUN_CONTENT, RUN_PARITY, RUN_TABLE, RUN_HEADER } what;
    bool named; /* told with the file it belongs to */
};

struct fsck_runs {
    struct fsck_run *v;
    size_t n, cap;
};

struct fsck {
    const char *path;
    const struct fsck_options *o;
    struct fsck_result *r;
    enum fsck_mode mode;
    enum fsck_phase phase;
    bool refused;      /* a repair that opening would do is not wanted: look only */
    bool muted;        /* problems are counted in `seen`, and neither told nor repaired */
    uint32_t seen[PR_COUNT];  /* how often each was told, or would have been */
    uint64_t seen_of_index;   /* of them, those that may go away with a new index */
    enum fsck_problem_id last_of_index;
    uint64_t told;            /* while muted, notes too */
    uint64_t deadline_ns; /* 0: none */

    /* phases 1 and 2 */
    struct backing *b;
    struct undo_keeper *undo; /* once something may be written; NULL without the option */
    int undo_failed;          /* why what will change could not be kept: then nothing is changed any more */
    char undo_why[400];
    int lock_fd;
    struct superblock sb;
    struct super_vote vote;
    uint64_t ring_first; /* txg; 0: none */
    bool ring_hole;      /* txgs of the ring are lost */

    /* from opening on */
    struct holofs *fs;
    struct fs_hooks hooks;
    pthread_t thread;     /* the one that checks */
    struct meta_reader *scan; /* of its index, for whole tables; fs->reader finds paths meanwhile */
    bool writable, accept_loss;
    char private_dir[PATH_MAX], private_index[PATH_MAX]; /* "" while there is none */
    bool index_is_new;    /* rebuilt by this run */
    bool metadata_lost;   /* while it was rebuilt */
    bool log_whole;       /* the index could be rebuilt without loss */

    struct fsck_pending *opening, *dumping; /* told after opening; after the metadata was written anew */
    struct fsck_runs runs;
    struct ids touched;  /* containers that were repaired: verified again */
    struct ids disagree; /* containers with parity that contradicts data */
    uint64_t *disagree_stripes;
    bool want_dump, changed;  /* changed: something was repaired that phase 9 looks at */
    uint32_t resume_from;     /* containers below are done */
    struct ids only;          /* with only_path: the containers of phase 6 */
};

/* ---- problems (fsck.c) ---- */

/* Is a repair wanted? Asks, if that is the mode. */
bool fsck_wants(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w);

/* Tell and count. */
void fsck_tell(struct fsck *f, enum fsck_problem_id id, enum fsck_outcome outcome, const struct fsck_where *w);

/* Found: told at once, unless a repair is wanted: then true, and fsck_tell with its outcome follows. */
bool fsck_found(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w);

/* The outcome of what cannot or shall not be repaired in this run. */
enum fsck_outcome fsck_not_now(const struct fsck *f, enum fsck_problem_id id);

/* Keep for later. -ENOMEM. */
int fsck_pend(struct fsck_pending **list, struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w);
void fsck_settle(struct fsck *f, struct fsck_pending **list, enum fsck_outcome outcome, const char *detail);

/* Found, and put right by opening for writing. */
int fsck_found_before_opening(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w);

/* Progress; -ECANCELED when the check shall stop, also because its time is up (then timed_out is set). */
int fsck_progress(struct fsck *f, uint64_t done, uint64_t total);


/* ---- opening (fsck_open.c) ---- */
int fsck_backing(struct fsck *f, bool read_only, struct backing **out); /* with what the options put between */
int fsck_open(struct fsck *f);
int fsck_open_look(struct fsck *f, bool rebuild);
int fsck_reopen_rebuilt(struct fsck *f); /* the index made anew; f->fs is another one afterwards, or NULL on failure */
int fsck_close(struct fsck *f);
void fsck_drop_private(struct fsck *f);

/* ---- keeping what is changed (fsck_undo.c) ---- */
int fsck_undo_check(struct fsck *f); /* is the file fit for it? -EINVAL, explained */
int fsck_undo_begin(struct fsck *f); /* before the store is opened for writing */
int fsck_undo_index(void *f); /* the hook write_index */
int fsck_undo_end(struct fsck *f); /* 0, or why something was not kept, explained */

/* ---- phases; 0, -ECANCELED, or why the check cannot go on ---- */
int fsck_super(struct fsck *f);  /* 1 */
int fsck_ring(struct fsck *f);   /* 2 */
int fsck_containers(struct fsck *f); /* 3 */
int fsck_extents(struct fsck *f);    /* 3 */
int fsck_names(struct fsck *f);  /* 4 */
int fsck_remap(struct fsck *f);  /* 5 */
int fsck_remap_copies(struct fsck *f); /* its part before opening */
int fsck_sums(struct fsck *f);   /* 6 */
int fsck_parity(struct fsck *f); /* 7 */
int fsck_repair(struct fsck *f); /* 8 */

/* Find the containers of only_path, if that is set. -ENOENT, explained. */
int fsck_scope(struct fsck *f);

/* Could the index be rebuilt from containers and ring without loss? Tells LOG_GAP if not. */
int fsck_log(struct fsck *f);

/* Tell the bad blocks found so far, by file where one needs them (fsck_blame.c). */
int fsck_blame(struct fsck *f);
int fsck_run_add(struct fsck *f, const struct fsck_run *r);

/* The path of an inode, or NULL; buf is the caller's. */
const char *fsck_path(struct fsck *f, uint64_t ino, char *buf, size_t cap);

#endif
