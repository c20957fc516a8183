/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * open.c: compose a store from its parts, start and stop its threads.
 *
 * Order of opening: lock, superblocks, features, engine, remap table, ring, recovery, threads, first commit of the
 * new epoch, superblocks. Closing goes the other way; a clean stop leaves the index checkpointed, the mirror
 * complete, and the clean flag with the ring's hints in the superblocks.
 */
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/big.h"
#include "core/cache.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/dump.h"
#include "core/engine.h"
#include "core/head.h"
#include "core/log.h"
#include "core/open.h"
#include "core/recover.h"
#include "core/remake.h"
#include "core/remapper.h"
#include "core/salvage.h"
#include "core/scrubber.h"

void holofs_options_init(struct holofs_options *o)
{
    *o = (struct holofs_options){ .compress = HOLOFS_COMPRESS_AUTO, .zstd_level = 1, .cache_bytes = 64u << 20, .commit_seconds = 2,
                                   .clean_rate = 64u << 20, .progress_ms = 2000, .remap_check_ms = 3600000 };
}

static void explain(char *why, size_t cap, const char *what, int e)
{
    snprintf(why, cap, "%s: %s", what, holo_strerror(e));
}

/* ---- the lock ---- */

int store_lock(const char *path, bool read_only, int *fd)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s/lock", path);
    *fd = open(name, (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0 && errno == ENOENT && read_only) /* nobody has it open for writing: that makes the file */
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (*fd < 0)
        return -errno;
    if (flock(*fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return 0;
    int e = errno == EWOULDBLOCK ? -HOLO_EBUSYSTORE : -errno;
    close(*fd);
    *fd = -1;
    return e;
}

static void explain_super(char *why, size_t cap, const char *path)
{
    snprintf(why, cap, "%.200s: no copy of the superblock is right; it is made again by: holofsck -y %.200s", path, path);
}

int holofs_probe(const char *path, char *why, size_t why_cap)
{
    struct backing *b;
    struct superblock sb;
    struct super_vote vote;
    int fd;
    int e = backing_posix_open(path, true, &b);
    if (e) {
        explain(why, why_cap, path, e);
        return e;
    }
    e = super_read(b, &sb, &vote);
    if (remake_super_is_gone(b, e)) {
        explain_super(why, why_cap, path);
        b->ops->close(b);
        return e;
    }
    if (!e)
        e = super_check_features(&sb);
    e = e == -EROFS ? 0 : e;
    b->ops->close(b);
    if (!e) {
        e = store_lock(path, true, &fd);
        if (!e)
            close(fd);
    }
    if (e)
        explain(why, why_cap, path, e);
    return e;
}

/* ---- parts ---- */

static int open_codes(struct holofs *fs)
{
    for (unsigned r = ECC_R_MIN; r <= ECC_R_MAX; r++) {
        int e = fs->sb.k + 2 * r <= ECC_N_MAX ? ecc_code_create(fs->sb.k, 2 * r, fs->sb.seed_base, &fs->code[r]) : 0;
        if (e)
            return e;
    }
    return 0;
}

static int read_super(struct holofs *fs, char *why, size_t cap)
{
    int e = super_read(fs->backing, &fs->sb, &fs->vote);
    if (remake_super_is_gone(fs->backing, e)) {
        e = fs->opt.accept_loss ? remake_super(fs->backing, &fs->sb) : e;
        if (e) {
            explain_super(why, cap, fs->path);
            return e;
        }
        event_add(fs, "superblock_remade", "s:i, s:i", "ring_blocks", (int)fs->sb.ring_blocks, "r", (int)fs->sb.r);
    }
    if (!e)
        e = super_check_features(&fs->sb);
    if (e == -EROFS && fs->read_only)
        e = 0;
    if (e) {
        explain(why, cap, e == -EROFS ? "features of this store allow only ro" : "superblock", e);
        return e;
    }
    fs->before.repaired = fs->sb.ever_repaired;
    fs->before.remapped = fs->sb.ever_remapped;
    fs->before.lost = fs->sb.ever_lost;
    if (fs->vote.agreeing < SUPER_COPIES)
        event_add(fs, "superblock_copies", "s:i, s:i", "valid", (int)fs->vote.valid, "agreeing", (int)fs->vote.agreeing);
    return 0;
}

static void init_locks(struct holofs *fs)
{
    mutex_init(&fs->reader_lock, RANK_READER);
    mutex_init(&fs->log_lock, RANK_LOG);
    mutex_init(&fs->commit_lock, RANK_COMMIT);
    mutex_init(&fs->indexer_lock, RANK_INDEXER);
    mutex_init(&fs->head_lock, RANK_HEAD);
    mutex_init(&fs->ctab_lock, RANK_CTAB);
    mutex_init(&fs->repair_lock, RANK_REPAIR);
    mutex_init(&fs->scratch_lock, RANK_SCRATCH);
    mutex_init(&fs->big_lock, RANK_BIG);
    mutex_init(&fs->dump_lock, RANK_DUMP);
    mutex_init(&fs->super_lock, RANK_SUPER);
    mutex_init(&fs->scrub.lock, RANK_SCRUB);
    mutex_init(&fs->wake_lock, RANK_WAKE);
    mutex_init(&fs->remapper.lock, RANK_REMAPPER);
    mutex_init(&fs->mirror_lock, RANK_MIRROR);
    cond_init(&fs->indexer_wake);
    cond_init(&fs->applied_cond);
    cond_init(&fs->head_cond);
    cond_init(&fs->ctab_cond);
    cond_init(&fs->scrub.wake);
    cond_init(&fs->wake_cond);
    clean_init(fs);
    fs->done_last = &fs->done_first;
    fs->sealing_last = &fs->sealing;
}

int super_update(struct holofs *fs, bool clean)
{
    unsigned failed;
    mutex_lock(&fs->super_lock);
    fs->sb.sequence++;
    fs->sb.epoch = fs->epoch;
    fs->sb.flags = (clean ? SUPER_CLEAN : 0) | (fs->garbage ? SUPER_GARBAGE : 0);
    fs->sb.written_ns = clock_real_ns();
    fs->sb.ever_repaired = fs->before.repaired + fs->count.repaired_blocks;
    fs->sb.ever_remapped = fs->before.remapped + fs->count.remapped_blocks;
    fs->sb.ever_lost = fs->before.lost + fs->count.lost_blocks;
    if (clean) {
        fs->sb.hint_tail = ring_tail(fs->ring);
        fs->sb.hint_end = ring_end(fs->ring);
        fs->sb.hint_txg = fs->committed_txg;
    }
    int e = super_write(fs->backing, &fs->sb, &failed);
    if (failed)
        event_add(fs, "superblock_write", "s:i", "failed_copies", (int)failed);
    COUNT(fs, super_copies_repaired, e ? 0 : SUPER_COPIES - fs->vote.agreeing);
    fs->vote.agreeing = SUPER_COPIES;
    mutex_unlock(&fs->super_lock);
    return e;
}

/* ---- threads ---- */

struct worker {
    pthread_t *thread;
    void *(*main)(void *fs);
};

static size_t workers(struct holofs *fs, struct worker w[7])
{
    size_t n = 0;
    if (!fs->hooks)
        w[n++] = (struct worker){ &fs->scrubber, scrubber_main };
    if (fs->read_only)
        return n;
    w[n++] = (struct worker){ &fs->indexer, indexer_main };
    w[n++] = (struct worker){ &fs->sealer, sealer_main };
    w[n++] = (struct worker){ &fs->committer, committer_main };
    w[n++] = (struct worker){ &fs->mirror, mirror_main };
    w[n++] = (struct worker){ &fs->housekeeper, housekeeper_main };
    w[n++] = (struct worker){ &fs->cleaner, cleaner_main };
    return n;
}

static void wake_all(struct holofs *fs)
{
    mutex_lock(&fs->wake_lock);
    pthread_cond_broadcast(&fs->wake_cond);
    mutex_unlock(&fs->wake_lock);
    mutex_lock(&fs->scrub.lock);
    pthread_cond_broadcast(&fs->scrub.wake);
    mutex_unlock(&fs->scrub.lock);
    clean_wake(fs);
}

static void end_sealer(struct holofs *fs)
{
    mutex_lock(&fs->head_lock);
    fs->sealer_stop = true;
    pthread_cond_broadcast(&fs->head_cond);
    mutex_unlock(&fs->head_lock);
}

static void end_indexer(struct holofs *fs)
{
    mutex_lock(&fs->indexer_lock);
    fs->indexer_stop = true;
    pthread_cond_broadcast(&fs->indexer_wake);
    mutex_unlock(&fs->indexer_lock);
}

static void stop_sealer_and_indexer(struct holofs *fs)
{
    end_sealer(fs);
    pthread_join(fs->sealer, NULL);
    end_indexer(fs);
    pthread_join(fs->indexer, NULL);
}

/* All of them, or none: nothing was given to those that run already. */
static int start_threads(struct holofs *fs)
{
    struct worker w[7];
    size_t n = workers(fs, w), started = 0;
    int e = 0;
    while (started < n && !e) {
        e = pthread_create(w[started].thread, NULL, w[started].main, fs);
        started += !e;
    }
    if (!e) {
        fs->threads = true;
        return 0;
    }
    fs->stopping = true;
    wake_all(fs);
    end_sealer(fs);
    end_indexer(fs);
    while (started)
        pthread_join(*w[--started].thread, NULL);
    return -e;
}

/* ---- open ---- */

void fs_release(struct holofs *fs)
{
    while (fs->sealing) {
        struct head *h = fs->sealing;
        fs->sealing = h->next;
        head_unref(fs, h);
    }
    for (unsigned r = 0; r < HEADS; r++) {
        if (fs->heads[r])
            head_unref(fs, fs->heads[r]);
    }
    if (fs->metalog)
        head_unref(fs, fs->metalog);
    commit_fini(fs);
    indexer_fini(fs);
    ctab_fini(fs);
    cache_fini(fs);
    scratch_fini(fs);
    repair_pool_fini(fs);
    if (fs->reader)
        meta_reader_close(fs->reader);
    if (fs->index)
        meta_close(fs->index);
    remove_private_index(fs);
    ring_close(fs->ring);
    if (fs->remap)
        remap_close(fs->remap);
    big_fini(fs);
    ecc_plan_destroy(fs->plan);
    for (unsigned r = 0; r < HEADS; r++)
        ecc_code_destroy(fs->code[r]);
    if (fs->backing && !fs->opt.backing)
        fs->backing->ops->close(fs->backing);
    if (fs->lock_fd >= 0)
        close(fs->lock_fd);
    loss_fini(fs);
    events_fini(&fs->events);
    buf_fini(&fs->open.records);
    free(fs->open.seg);
    free(fs->place);
    free(fs->scrub.queue);
    free(fs->path);
    free(fs);
}

static int open_ring(struct holofs *fs)
{
    int e = ring_open(fs->backing, fs->sb.uuid, fs->sb.ring_blocks, fs->read_only, &fs->ring);
    if (e == -ENOENT && fs->opt.accept_loss && !fs->read_only) {
        event_add(fs, "part_remade", "s:s", "part", "both journals");
        e = ring_format(fs->backing, fs->sb.ring_blocks);
        if (!e)
            e = ring_open(fs->backing, fs->sb.uuid, fs->sb.ring_blocks, false, &fs->ring);
    }
    if (!e && ring_made_copies(fs->ring))
        event_add(fs, "part_remade", "s:s", "part", ring_made_copies(fs->ring) == 1 ? "journal.0" : "journal.1");
    return e;
}

static int open_parts(struct holofs *fs, char *why, size_t cap)
{
    int e = 0;
    if (fs->opt.backing)
        fs->backing = fs->opt.backing;
    else
        e = fs->hooks ? fs->hooks->backing(fs->hooks->arg, fs->read_only, &fs->backing)
                      : backing_posix_open(fs->path, fs->read_only, &fs->backing);
    if (e) {
        explain(why, cap, fs->path, e);
        return e;
    }
    e = read_super(fs, why, cap);
    if (e)
        return e;
    e = store_lock(fs->path, fs->read_only, &fs->lock_fd);
    if (e == -ENOENT && fs->hooks) /* a check for reading only goes on without: who has the store open made the file */
        e = 0;
    if (e) {
        explain(why, cap, fs->path, e);
        return e;
    }
    measure_reserve(fs);
    e = open_codes(fs);
    if (!e)
        e = engine_choose(fs, why, cap);
    if (e)
        return e;
    e = remap_open(fs->backing, fs->sb.uuid, fs->read_only, &fs->remap);
    if (e) {
        explain(why, cap, "remap table", e);
        return e;
    }
    remapper_begin(fs);
    e = open_ring(fs);
    if (e == -ENOENT)
        snprintf(why, cap, "ring: both journals are missing; new ones are made by: holofsck -y %.200s", fs->path);
    else if (e)
        explain(why, cap, "ring", e);
    return e;
}

/* Counters and txg numbers go on where the log ends. */
static void continue_log(struct holofs *fs)
{
    fs->open.number = fs->state.txg + 1;
    fs->committed_txg = fs->applied_txg = fs->index_durable_txg = fs->state.txg;
    fs->next_seq = fs->state.next_seq;
    fs->next_ino = fs->state.next_ino;
    fs->next_cookie = fs->state.next_cookie;
}

static int begin_epoch(struct holofs *fs)
{
    remake_small_parts(fs);
    if (fs->unclean || fs->sb.flags & SUPER_GARBAGE)
        remove_garbage(fs);
    int e = fs->loss.any ? loss_log(fs) : 0;
    if (!e)
        e = meta_checkpoint(fs->index);
    if (!e)
        e = super_update(fs, false);
    if (!e)
        e = start_threads(fs);
    if (!e && fs->loss.any)
        e = loss_settle(fs);
    if (!e)
        e = purge_orphans(fs);
    return e ? e : commit_all(fs, RING_EPOCH_FIRST);
}

/* An empty store object with its locks. */
static int make_fs(const char *path, const struct holofs_options *o, struct holofs **out, char *why, size_t cap)
{
    struct holofs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return -ENOMEM;
    fs->opt = *o;
    fs->read_only = o->read_only;
    fs->lock_fd = -1;
    fs->path = realpath(path, NULL);
    fs->mounted_ns = clock_mono_ns();
    init_locks(fs);
    events_init(&fs->events);
    int e = fs->path ? cache_init(fs) : -errno;
    if (e) {
        explain(why, cap, path, e);
        fs_release(fs);
        return e;
    }
    *out = fs;
    return 0;
}

int fs_open_parts_only(const char *path, struct holofs **out, char *why, size_t why_cap)
{
    struct holofs_options o;
    struct holofs *fs;
    holofs_options_init(&o);
    o.read_only = true;
    int e = make_fs(path, &o, &fs, why, why_cap);
    if (e)
        return e;
    e = open_parts(fs, why, why_cap);
    if (e)
        fs_release(fs);
    else
        *out = fs;
    return e;
}

static int start(struct holofs *fs, char *why, size_t cap)
{
    continue_log(fs);
    space_note_index(fs);
    int e = meta_reader_open(fs->index, &fs->reader);
    scrub_book_load(fs);
    if (!e)
        e = fs->read_only ? start_threads(fs) : begin_epoch(fs);
    if (e)
        explain(why, cap, e == -EAGAIN ? "starting threads (is there a limit on processes or memory?)" : "starting", e);
    return e;
}

int fs_open_hooked(const char *path, const struct holofs_options *o, const struct fs_hooks *hooks, struct holofs **out, char *why,
                   size_t why_cap)
{
    struct holofs *fs;
    int e = make_fs(path, o, &fs, why, why_cap);
    if (e)
        return e;
    fs->hooks = hooks;
    e = open_parts(fs, why, why_cap);
    if (!e)
        e = recover(fs, why, why_cap);
    if (!e && fs->damaged_ring && !fs->read_only) {
        log_err("%s: the log lost records: opened for reading only; to accept the loss and go on: holofsck -y %s", fs->path, fs->path);
        event_add(fs, "read_only", "s:s", "why", "the log lost records; holofsck -y accepts the loss");
        fs->read_only = true;
    }
    if (!e)
        e = start(fs, why, why_cap);
    fs->opening.ns = clock_mono_ns() - fs->mounted_ns;
    if (!e && !hooks)
        remapper_wanted_spare(fs);
    if (!e)
        *out = fs;
    else if (fs->threads)
        holofs_close(fs);
    else
        fs_release(fs);
    return e;
}

/*
 * After a clean stop a large index is taken without reading all of it; if opening meets a bad page then, once more, with everything
 * verified, so that a bad index is rebuilt.
 */
int holofs_open(const char *path, const struct holofs_options *o, struct holofs **out, char *why, size_t why_cap)
{
    struct holofs_options all = *o;
    int e = fs_open_hooked(path, o, NULL, out, why, why_cap);
    if ((e != -HOLO_ESUM && e != -HOLO_ECORRUPT) || o->check_all)
        return e;
    all.check_all = true;
    return fs_open_hooked(path, &all, NULL, out, why, why_cap);
}

/* ---- close ---- */

/* A head worth its parity is sealed; less stays in the ring, in two copies. */
static int seal_for_rest(struct holofs *fs)
{
    return heads_seal(fs, (uint64_t)fs->sb.nmax * BLOCK_SIZE / 4, true);
}

static int finish(struct holofs *fs)
{
    seal_for_rest(fs); /* what cannot be sealed stays in the ring */
    int e = commit_all(fs, RING_CLEAN);
    if (!e)
        indexer_wait(fs, fs->committed_txg, true);
    stop_sealer_and_indexer(fs);
    if (!e)
        e = trouble_now(fs, TROUBLE_INDEX);
    if (!e) {
        mutex_lock(&fs->commit_lock);
        commit_advance_tail(fs);
        mutex_unlock(&fs->commit_lock);
        int64_t n = ring_mirror(fs->ring);
        int restored = ring_failed_copies(fs->ring) ? commit_restore_ring(fs) : 0;
        e = n < 0 ? restored : 0;
    }
    return e ? e : super_update(fs, !fs->index_damaged);
}

int holofs_close(struct holofs *fs)
{
    int e = 0;
    fs->stopping = true;
    wake_all(fs);
    if (!fs->hooks)
        pthread_join(fs->scrubber, NULL);
    if (!fs->read_only) {
        pthread_join(fs->committer, NULL);
        pthread_join(fs->mirror, NULL);
        pthread_join(fs->housekeeper, NULL);
        pthread_join(fs->cleaner, NULL);
        e = finish(fs);
        scrub_book_save(fs);
    }
    if (e)
        log_err("%s: not closed cleanly: %s", fs->path, holo_strerror(e));
    fs_release(fs);
    return e;
}

/* ---- the rest of the interface ---- */

int holofs_control(struct holofs *fs, const char *command, size_t len)
{
    while (len && (command[len - 1] == '\n' || command[len - 1] == ' '))
        len--;
    if (len == 4 && memcmp(command, "sync", 4) == 0)
        return holofs_fsync(fs, 0);
    if (len == 4 && memcmp(command, "seal", 4) == 0) {
        int e = log_writable(fs);
        if (!e)
            e = heads_seal(fs, 1, true);
        if (!e) {
            mutex_lock(&fs->commit_lock);
            e = metalog_seal(fs);
            mutex_unlock(&fs->commit_lock);
        }
        return e ? e : commit_all(fs, 0);
    }
    if (len > 6 && memcmp(command, "scrub ", 6) == 0)
        return scrub_command(fs, command + 6, len - 6);
    if (len > 6 && memcmp(command, "remap ", 6) == 0)
        return remapper_command(fs, command + 6, len - 6);
    if (len == 4 && memcmp(command, "dump", 4) == 0)
        return dump_run(fs);
    if (len == 5 && memcmp(command, "clean", 5) == 0)
        return clean_start(fs);
    if (len > 11 && memcmp(command, "clean-rate ", 11) == 0)
        return clean_set_rate(fs, command + 11, len - 11);
    return -EINVAL;
}
