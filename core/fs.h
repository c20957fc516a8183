/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fs.h: the inside of libholofs: the parts, what they own, and their locks.
 *
 * Locks, in the order in which they are taken (docs/DESIGN.md, «Locking»):
 *   COMMIT < MIRROR < NS < INODE (several, only under NS) < CACHE < HEAD < CTAB < LOG < INDEXER < READER, SCRATCH, EVENTS, SCRUB, WAKE, BIG, CLEAN (leaves)
 */
#ifndef HOLO_CORE_FS_H
#define HOLO_CORE_FS_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hist.h"
#include "base/lock.h"
#include "core/holofs.h"
#include "core/krefs.h"
#include "cuda/cuda.h"
#include "ecc/plan.h"
#include "meta/meta.h"
#include "remap/remap.h"
#include "store/backing.h"
#include "store/chead.h"
#include "store/codec.h"
#include "store/extent.h"
#include "store/frame.h"
#include "store/record.h"
#include "store/ring.h"
#include "store/super.h"

enum lock_rank {
    RANK_DUMP = 2,
    RANK_SUPER = 3,
    RANK_COMMIT = 5,
    RANK_MIRROR = 6,
    RANK_NS = 10,
    RANK_INODE = 20 | LOCK_SAME_RANK_OK,
    RANK_CACHE = 30,
    RANK_REPAIR = 35,
    RANK_REMAPPER = 37,
    RANK_HEAD = 40,
    RANK_CTAB = 45,
    RANK_LOG = 50,
    RANK_INDEXER = 55,
    RANK_READER = 60,
    RANK_SCRATCH = 61,
    RANK_EVENTS = 62,
    RANK_SCRUB = 63,
    RANK_WAKE = 64,
    RANK_BIG = 65,
    RANK_CLEAN = 66,
};

struct inode;
struct container;
struct head;
struct fs_hooks; /* core/open.h */

/* Counters that only ever grow; relaxed atomics, read by the stats. */
struct counters_live {
    _Atomic uint64_t bytes_read, bytes_written, bytes_stored, bytes_compressed_in, bytes_compressed_out;
    _Atomic uint64_t chunks_raw, chunks_zstd;
    _Atomic uint64_t checksum_failures, read_errors, repaired_blocks, lost_blocks, remapped_blocks, eio_reads;
    _Atomic uint64_t encode_ops, encode_bytes, parity_bytes, encode_ns, last_encode_ns;
    _Atomic uint64_t decode_ops, decode_bytes, decode_ns, last_decode_ns, errors_detected, corrected_bytes, decode_success, decode_fail;
    _Atomic uint64_t commits, commit_bytes, containers_sealed, containers_deleted, dumps, scrubs, scrubbed_blocks;
    _Atomic uint64_t table_blocks_repaired, headers_repaired, ring_blocks_repaired, super_copies_repaired;
    _Atomic uint64_t container_bytes_written, parity_disagrees, containers_unreadable;
    _Atomic uint64_t troubles, ring_copies_restored, disk_gone, unexplained_reads;
    struct hist commit_ns, read_ns, write_ns, seal_ns;
};

/* ---- scratch: buffers and codec of one operation (scratch.c) ---- */
struct scratch {
    struct scratch *next;
    struct codec_ctx *codec;
    uint8_t *blocks; /* SCRATCH_BLOCKS · BLOCK_SIZE, aligned */
    uint8_t *piece;  /* CHUNK_SIZE, for expanded or compressed bytes */
};
enum { SCRATCH_BLOCKS = WINDOW_SIZE / BLOCK_SIZE + 2 };
struct scratch *scratch_get(struct holofs *fs); /* NULL when memory is short */
void scratch_put(struct holofs *fs, struct scratch *s);
void scratch_fini(struct holofs *fs);

/* ---- the log: the open txg (log.c) and its commit (commit.c) ---- */
struct txg {
    uint64_t number;
    struct buf records;
    struct ring_segment *seg;
    size_t n_seg, cap_seg;
    uint32_t n_records;
    uint64_t opened_ns; /* 0: empty */
};

/* A committed txg on its way into the index. */
struct txg_done {
    struct txg_done *next;
    uint64_t epoch, txg, chain, bytes;
    int64_t time_ns;
    uint32_t n_records;
    struct buf records;
};

/* Where a txg that may still be needed lies in the ring; ascending. */
struct ring_place {
    uint64_t txg, lsn;
};

/* The damage that the newest event is about; strings are literals. */
struct damage {
    const char *event, *what;
    uint32_t container;
    uint64_t ino, off, blocks;
    size_t slot;
};

struct event_log {
    struct mutex lock;
    struct damage last;
    char **line; /* ring of EVENTS_KEPT lines */
    size_t next, n;
    _Atomic uint64_t total;
};
enum { EVENTS_KEPT = 4096 };

struct op_stats {
    const char *_Atomic name;
    _Atomic uint64_t failed;
    struct hist ns;
};

/* Which containers a scrub verifies, and how. */
struct scrub_choice {
    unsigned percent;     /* of all containers, those verified longest ago first; 100: all */
    uint32_t older_s;     /* only those not verified for so long */
    bool watched_only;    /* only those in which damage was met during the last 30 days */
    bool trust_parity;    /* checksums alone */
};

/* The scrubber: containers that showed damage first, then passes on demand (scrubber.c). What of it outlives a mount: scrub_book.c. */
enum scrub_run { SCRUB_IDLE, SCRUB_RUNNING, SCRUB_PAUSED };
struct scrub_state {
    struct mutex lock; /* a leaf */
    pthread_cond_t wake;
    uint32_t *queue;
    size_t n_queue, cap_queue;
    _Atomic enum scrub_run run;
    struct scrub_choice choice;  /* as asked; under lock */
    _Atomic uint64_t rate;       /* bytes a second, 0: no limit */
    _Atomic uint64_t passes, containers_done, containers_total, bytes_done, bytes_total, blocks, bad, repaired, lost, parity_disagrees;
    _Atomic uint64_t active_ns;  /* that this pass has taken, pauses and other mounts left out */
    _Atomic int64_t started_s, finished_s; /* s since 1970: of the last pass; of the last that came to its end */
    _Atomic bool changed;        /* the book is behind */
    _Atomic bool fresh;          /* a pass whose containers are not chosen yet */
    /* the scrubber's own */
    struct scrub_choice now;
    struct container *current;
    uint64_t piece_ns, traffic, saved_ns;
    uint32_t bad_first, bad_last; /* blocks of its file: the first and the last that were not right */
    bool in_pass, save_failed;
};

/* What the log has lost (salvage.h). */
struct loss {
    bool any;     /* of the log: what heads know has to be found out */
    bool records; /* records that nothing else has */
    bool hold;    /* not accepted: the index keeps saying `held`, so that the next mount finds the loss again */
    struct meta_state held;
    uint64_t last_epoch; /* the newest that wrote to the log; UINT64_MAX: there is no log */
    uint64_t skipped;    /* items about inodes that there are not */
    struct loss_range {
        uint64_t ino, off, len;
    } *v; /* file data that nothing has */
    size_t n, cap;
    struct loss_touched {
        uint64_t ino, size_before, order;
    } *touched;
    size_t n_touched, cap_touched;
    struct container_info *adopted;
    size_t n_adopted;
};

/* Work that must be written and cannot be at the moment; it is tried again, and nothing waits for it meanwhile (trouble.c). */
enum trouble { TROUBLE_COMMIT, TROUBLE_SEAL, TROUBLE_INDEX, TROUBLES };
/* The cleaner (clean.c): what it is asked for, and what it did since the mount. */
struct clean_state {
    struct mutex lock; /* a leaf */
    pthread_cond_t wake, round; /* the cleaner's; of writers that wait for room */
    bool run_wanted;            /* a whole run */
    _Atomic int run_error;      /* how the last one ended */
    _Atomic unsigned waiting;   /* writers without room */
    uint64_t rounds_wanted, rounds_begun, rounds_done;
    bool gained;                /* the last round made room */
    uint64_t debt_ns;           /* of the rate */
    bool is_idle;               /* its priority; the cleaner's */
    uint64_t barren_seq;        /* nothing can be gained until the log goes on from here */
    _Atomic uint64_t rate;      /* bytes a second, 0: no limit */
    const char *_Atomic state;
    _Atomic bool pressed;       /* room is short: writers may have to wait */
    _Atomic uint64_t moved_bytes, containers, deleted_bytes, made_bytes, lost_moves, runs, stalls, longest_stall_ns;
    _Atomic uint64_t run_containers, run_total, run_moved_bytes, run_freed_bytes;
};

/* What a mount knows of its remap table and spare files (remapper.c). */
struct remapper_state {
    uint64_t checked_ns, retried_ns; /* the housekeeper's: when the copies were last read; when what is wrong was last tried again */
    _Atomic int trouble;   /* negative code: copies of the table cannot be made good; 0 */
    _Atomic bool full;     /* a block found no spare block; told once, until one does */
    _Atomic unsigned unusable; /* spare files that are away or failing, as told */
    _Atomic uint64_t tested, bad;
    _Atomic int64_t tested_s;  /* s since 1970, 0: never */
    struct mutex lock;     /* behind REPAIR; what follows */
    struct {
        uint32_t number, state;
    } told[REMAP_SPARE_FILES_MAX];
    size_t n_told;
    char said[PATH_MAX + 128]; /* of the last command */
};

enum { HEADS = ECC_R_MAX + 1, SEALING_MAX = 2, DUMPS_KEPT = 2 };

struct holofs {
    struct holofs_options opt;
    const struct fs_hooks *hooks; /* of a check; NULL for a mount */
    struct backing *backing;
    char *path;
    int lock_fd;
    struct superblock sb;
    struct super_vote vote;
    bool read_only;
    bool times_from_above; /* mtime and ctime of regular files come with setattr */
    _Atomic int failed; /* negative code after which nothing is written any more; 0 */
    _Atomic int trouble[TROUBLES]; /* negative code; 0: none */
    _Atomic bool restore_now;      /* copies of the ring that failed may come back at once */
    _Atomic int away;              /* why nothing can be read from the disk now; 0: it can (lost.c) */
    _Atomic uint64_t lost_now, unreadable_now; /* blocks that are lost, containers that cannot be read, of those that there are */

    struct ring *ring;
    struct meta_index *index;
    char *private_index; /* the folder of an index that this mount made for itself; NULL */
    struct meta_reader *reader;
    struct mutex reader_lock;
    struct remap_table *remap;
    struct remapper_state remapper;
    struct ecc_plan *plan;           /* whole containers */
    const struct ecc_engine *engine; /* single stripes: the plan's CPU engine */
    char engine_why[400];
    _Atomic uint64_t engine_fallbacks_told;
    struct ecc_code *code[HEADS]; /* by R */

    /* log: LOG */
    struct mutex log_lock;
    struct txg open;
    uint64_t epoch, next_seq;
    _Atomic uint64_t next_cookie, next_ino;
    _Atomic unsigned grown; /* operations that asked for room */
    _Atomic bool tight;     /* there was none when the last one looked */

    /* commit: COMMIT, but for the atomics */
    struct mutex commit_lock;
    _Atomic uint64_t committed_txg;
    uint64_t chain;
    bool epoch_begun, unclean, index_rebuilt;
    _Atomic bool index_retired; /* a sync of it failed: it has no name any more, and the next mount builds another */
    _Atomic bool index_damaged; /* a read of it failed: this mount does not end clean, so that the next one verifies it */
    bool damaged_ring; /* records are lost and nobody has accepted that: reading only */
    struct loss loss;
    uint64_t base_epoch, base_txg, base_chain;
    struct ring_place *place;
    size_t n_place, cap_place;
    struct pending_txg *pending; /* a closed txg that could not be written yet */
    struct mutex mirror_lock;    /* journal.1, and with COMMIT the files of the ring */

    /* indexer: INDEXER */
    struct mutex indexer_lock;
    pthread_cond_t indexer_wake, applied_cond;
    struct txg_done *done_first, **done_last;
    _Atomic uint64_t done_bytes;
    _Atomic uint64_t index_sum_bytes;
    _Atomic uint64_t checkpoint_txg; /* up to here a checkpoint is asked for */
    bool indexer_stop;
    _Atomic uint64_t applied_txg, index_durable_txg;
    struct meta_state state; /* the indexer's; others after it stopped */

    /* heads: HEAD */
    struct mutex head_lock;
    pthread_cond_t head_cond;
    struct head *heads[HEADS];       /* file data by R */
    struct head *metalog;            /* frames of committed txgs; COMMIT */
    struct head *sealing, **sealing_last; /* queue of the sealer, being sealed, or sealed and not committed yet */
    _Atomic unsigned n_sealing;      /* of them, not sealed yet */
    uint64_t seals_begun, seals_ended; /* HEAD; the sealer's attempts */
    uint32_t next_container;
    bool sealer_stop;
    _Atomic uint32_t previous_meta;  /* newest sealed metadata log container */

    /* containers: CTAB */
    struct mutex ctab_lock;
    struct container **ctab; /* by id */
    _Atomic size_t ctab_cap;
    pthread_cond_t ctab_cond; /* nobody reads a dead container any more */
    struct container *ctab_deleted; /* linked by lru_next */
    _Atomic uint64_t n_containers;
    _Atomic bool garbage; /* files that no commit names may be there */
    uint64_t container_file_bytes;          /* HEAD */
    _Atomic uint64_t meta_file_bytes;       /* of those, metadata's; changes with HEAD held */
    _Atomic uint64_t meta_open_bytes;       /* records in the metadata head */
    struct container *lru_first, *lru_last; /* open files */
    _Atomic unsigned n_open;
    unsigned open_max;

    /* repair: REPAIR; made by the first one and kept */
    struct mutex repair_lock;
    struct ecc_decoder *decoder;
    uint8_t *repair_blocks; /* REPAIR_BLOCKS */
    uint8_t *repair_sums;   /* ECC_M_MAX blocks */

    /* inodes and names: CACHE (tables), NS (namespace) */
    struct mutex ns_lock, cache_lock;
    struct inode **itab;
    _Atomic size_t itab_size;
    _Atomic size_t n_inodes;
    struct inode *ilru_first, *ilru_last;
    struct dentry **dtab;
    _Atomic size_t dtab_size;
    _Atomic size_t n_dentries;
    struct dentry *dlru_first, *dlru_last;
    size_t inode_max, dentry_max;
    _Atomic size_t n_windows;
    _Atomic uint64_t loaded_bytes; /* windows and xattrs */
    uint64_t loaded_max;
    size_t sweep_at;        /* CACHE */
    _Atomic size_t pinned;  /* objects that could not be evicted the last time */
    bool forgets_come;      /* CACHE */
    struct krefs krefs;     /* CACHE */
    _Atomic uint64_t n_files;
    _Atomic uint64_t changes; /* grows with every change of a name, and when an inode is loaded */

    struct mutex big_lock;
    struct big *big;
    _Atomic uint64_t big_bytes, big_bytes_max;

    struct mutex scratch_lock;
    struct scratch *scratch;
    _Atomic uint64_t scratch_made;

    struct counters_live count;
    struct {
        uint64_t repaired, remapped, lost;
    } before; /* this mount: the counts that last for ever */
    struct mutex super_lock;
    struct op_stats ops[HOLOFS_OPS_MAX];
    struct event_log events;
    struct scrub_state scrub;
    struct clean_state clean;
    uint64_t mounted_ns;
    struct {
        uint64_t ns;                     /* how long opening took */
        uint64_t told_ns;                /* when progress was told last */
        uint64_t ring_txgs, ring_bytes;  /* applied from the ring: txgs, bytes of their records */
        uint64_t frames, frame_bytes;    /* applied from metadata containers */
    } opening;
    _Atomic bool reserve_used;
    _Atomic uint64_t reserve_left;

    /* dump: DUMP */
    struct mutex dump_lock;
    _Atomic uint64_t dump_bytes; /* that the next one may take (space.c) */
    uint64_t dump_retry_ns; /* not before, after one that failed */
    _Atomic bool dump_wanted;

    pthread_t committer, indexer, sealer, mirror, housekeeper, scrubber, cleaner;
    bool threads;
    _Atomic bool stopping;
    struct mutex wake_lock; /* committer and mirror sleep on it: leaf */
    pthread_cond_t wake_cond;
    bool commit_wanted;
};

/* flock STORE/lock; -HOLO_EBUSYSTORE if another process has it. */
int store_lock(const char *path, bool read_only, int *fd);

#define COUNT(fs, field, n) atomic_fetch_add_explicit(&(fs)->count.field, (uint64_t)(n), memory_order_relaxed)

/* Bytes that users have read and written: it changes while they are at work. */
static inline uint64_t user_bytes(const struct holofs *fs)
{
    return fs->count.bytes_read + fs->count.bytes_written;
}

#endif
