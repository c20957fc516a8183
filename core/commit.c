/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit.c: make the open txg durable: one write to the ring, one sync.
 *
 * Steps, under COMMIT: close the txg; containers that are being sealed and hold some of its data are waited
 * for (then they are durable); data in open heads goes into the ring; a last record names every container
 * sealed since the last commit and the counters; append; then the records flow into the metadata head and to
 * the index.
 *
 * A closed txg that the disk refuses stays as it is in fs->pending and is what the next commit begins with. Whoever waits for
 * it gets the error; who did not ask loses nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/container.h"
#include "core/head.h"
#include "core/log.h"
#include "core/lost.h"

enum { SEAL_LOOK_NS = 100000000 }; /* a store that fails wakes nobody who waits for the sealer */

/* Data of open heads that goes into the ring. */
struct gather {
    struct ring_data *data;
    struct head **head; /* where each comes from, referenced */
    uint32_t n;
    uint64_t bytes;
};

/* A closed txg on its way into the ring; once framed its bytes do not change, however often it is written. */
struct pending_txg {
    struct txg t;
    uint32_t flags;
    struct gather g;
    struct head *named;
    struct ring_txg r;
    bool framed;
};

static void gather_fini(struct holofs *fs, struct gather *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        head_unref(fs, g->head[i]);
    free(g->data);
    free(g->head);
    *g = (struct gather){ 0 };
}

/* 1: the segment's bytes are in a head that is not sealed and now held; 0: they are in a sealed container. */
static int hold_segment(struct holofs *fs, const struct ring_segment *s, struct head **out)
{
    for (;;) {
        bool sealing = false;
        mutex_lock(&fs->head_lock);
        mutex_lock(&fs->ctab_lock);
        struct container *c = s->container < fs->ctab_cap ? fs->ctab[s->container] : NULL;
        struct head *h = c ? c->head : NULL;
        if (h && (h->state == HEAD_OPEN || (h->state == HEAD_SEALING && trouble_now(fs, TROUBLE_SEAL)))) {
            h->refs++;
            *out = h;
        } else {
            sealing = h && h->state == HEAD_SEALING;
        }
        bool open = h && !sealing && *out;
        mutex_unlock(&fs->ctab_lock);
        mutex_unlock(&fs->head_lock);
        if (open)
            return 1;
        if (!sealing)
            return c ? 0 : -EIO;
        int e = head_wait_sealed(fs, s->container);
        if (e)
            return e;
    }
}

static int gather_data(struct holofs *fs, const struct txg *t, struct gather *g)
{
    gather_fini(fs, g);
    if (t->n_seg == 0)
        return 0;
    g->data = malloc(t->n_seg * sizeof(*g->data));
    g->head = malloc(t->n_seg * sizeof(*g->head));
    if (!g->data || !g->head)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_seg; i++) {
        struct head *h = NULL;
        int r = hold_segment(fs, &t->seg[i], &h);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        g->data[g->n] = (struct ring_data){ .seg = t->seg[i], .bytes = h->buf + t->seg[i].off };
        g->head[g->n++] = h;
        g->bytes += t->seg[i].len;
    }
    return 0;
}

/* Append the heads that are sealed and not named yet to a list; those opened before this txg was closed (COMMIT held). */
static void take_sealed(struct holofs *fs, const struct txg *t, struct head **named)
{
    struct head **last = named;
    while (*last)
        last = &(*last)->next;
    mutex_lock(&fs->head_lock);
    struct head **link = &fs->sealing;
    while (*link) {
        struct head *h = *link;
        if (h->state != HEAD_SEALED || h->open_txg > t->number) { /* opened, filled and sealed since this txg was closed */
            link = &h->next;
            continue;
        }
        *link = h->next;
        h->next = NULL;
        *last = h;
        last = &h->next;
    }
    fs->sealing_last = link;
    mutex_unlock(&fs->head_lock);
}

/* The record that closes a txg: containers that became durable, and the counters (COMMIT held). */
static int closing_record(struct holofs *fs, struct txg *t, struct head *list)
{
    size_t n = 0;
    struct counters c;
    for (struct head *h = list; h; h = h->next)
        n++;
    mutex_lock(&fs->head_lock);
    c.next_container = fs->next_container;
    mutex_unlock(&fs->head_lock);
    size_t cap = 256 + n * 64;
    uint8_t *space = malloc(cap);
    if (!space)
        return -ENOMEM;
    struct rec rec;
    rec_begin(&rec, space, cap, REC_COMMIT, clock_real_ns());
    for (struct head *h = list; h; h = h->next) {
        struct container_info info = { .id = h->id, .cls = h->cls, .state = CONTAINER_SEALED, .r = h->r, .used = h->used,
                                       .first_txg = h->first_txg, .last_txg = h->last_txg };
        rec_container(&rec, &info);
    }
    mutex_lock(&fs->log_lock);
    uint64_t seq = fs->next_seq++;
    mutex_unlock(&fs->log_lock);
    c.next_seq = seq + 1;
    c.next_ino = fs->next_ino;
    c.next_cookie = fs->next_cookie;
    rec_counters(&rec, &c);
    size_t len = rec_end(&rec);
    rec_set_seq(space, seq);
    int e = len ? buf_add(&t->records, space, len) : -EOVERFLOW;
    t->n_records++;
    free(space);
    return e;
}

/* Oldest lsn that some head, the metadata head or the index still needs. */
static uint64_t needed_lsn(struct holofs *fs)
{
    uint64_t lsn = ring_end(fs->ring);
    mutex_lock(&fs->head_lock);
    for (unsigned r = 0; r < HEADS; r++) {
        if (fs->heads[r] && fs->heads[r]->first_lsn < lsn)
            lsn = fs->heads[r]->first_lsn;
    }
    for (struct head *h = fs->sealing; h; h = h->next)
        lsn = h->first_lsn < lsn ? h->first_lsn : lsn;
    mutex_unlock(&fs->head_lock);
    if (fs->metalog && fs->metalog->first_lsn < lsn)
        lsn = fs->metalog->first_lsn;
    uint64_t durable = fs->index_durable_txg;
    for (size_t i = 0; i < fs->n_place; i++) {
        if (fs->place[i].txg > durable)
            return fs->place[i].lsn < lsn ? fs->place[i].lsn : lsn;
    }
    return lsn;
}

void commit_advance_tail(struct holofs *fs)
{
    ring_set_tail(fs->ring, needed_lsn(fs));
    size_t drop = 0;
    while (drop + 1 < fs->n_place && fs->place[drop + 1].lsn <= ring_tail(fs->ring))
        drop++;
    if (!drop)
        return;
    memmove(fs->place, fs->place + drop, (fs->n_place - drop) * sizeof(*fs->place));
    fs->n_place -= drop;
}

/* Ask for everything that holds ring space older than lsn to be sealed (COMMIT held). */
static int push_out(struct holofs *fs, uint64_t lsn)
{
    heads_seal_before(fs, lsn);
    if (fs->metalog && fs->metalog->first_lsn < lsn)
        return metalog_seal(fs);
    return 0;
}

/* Wait for the sealer's queue (COMMIT may be held). Only an attempt that began since then says that it cannot be written. */
static int wait_sealing(struct holofs *fs)
{
    mutex_lock(&fs->head_lock);
    uint64_t want = fs->seals_begun + 1;
    pthread_cond_broadcast(&fs->head_cond); /* the sealer may be resting after one */
    while (fs->n_sealing && !fs->failed && (!trouble_now(fs, TROUBLE_SEAL) || fs->seals_ended < want))
        mutex_timedwait(&fs->head_lock, &fs->head_cond, SEAL_LOOK_NS);
    int e = fs->n_sealing ? trouble_now(fs, TROUBLE_SEAL) : fs->failed;
    mutex_unlock(&fs->head_lock);
    return e;
}

/* Blocks kept free so that a commit of records alone always fits: it is what frees the others. */
static uint64_t slack(const struct holofs *fs)
{
    return fs->sb.ring_blocks / 4;
}

/*
 * Space that the tail gives up is free from the next commit on. So before the last eighth all that holds space is sealed: this
 * commit still fits, and gives it up.
 */
static int clear_ring(struct holofs *fs)
{
    int e = push_out(fs, ring_end(fs->ring));
    if (!e)
        e = wait_sealing(fs);
    if (!e)
        indexer_wait(fs, fs->committed_txg, true);
    return e;
}

/* If the txg's data does not fit into the ring, seal it (and all that holds ring space) instead. */
static int fit_data(struct holofs *fs, const struct txg *t, struct gather *g)
{
    uint64_t need = ring_blocks_for(g->n, t->records.len, g->bytes), left = ring_free_blocks(fs->ring);
    if (left < need + fs->sb.ring_blocks / 8) {
        int e = clear_ring(fs); /* records alone go on a little when it cannot be done: deleting is what makes room */
        if (e && (fs->failed || g->n || left < need + fs->sb.ring_blocks * 3 / 32))
            return e;
    }
    if (g->n == 0 || left >= need + slack(fs))
        return 0;
    gather_fini(fs, g);
    int e = heads_seal(fs, 1, false);
    if (!e)
        e = push_out(fs, ring_end(fs->ring));
    if (!e)
        e = wait_sealing(fs);
    return e ? e : gather_data(fs, t, g);
}

/* The records must fit; the commits before have seen to it. The tail that this one names may be behind containers that it names. */
static int fit_records(struct holofs *fs, const struct txg *t, const struct gather *g)
{
    commit_advance_tail(fs);
    return ring_free_blocks(fs->ring) >= ring_blocks_for(g->n, t->records.len, g->bytes) ? 0 : -HOLO_ERINGFULL;
}

int note_ring_place(struct holofs *fs, const struct ring_txg *t)
{
    if (fs->n_place == fs->cap_place) {
        size_t cap = fs->cap_place ? 2 * fs->cap_place : 256;
        struct ring_place *p = realloc(fs->place, cap * sizeof(*p));
        if (!p)
            return -ENOMEM;
        fs->place = p;
        fs->cap_place = cap;
    }
    fs->place[fs->n_place++] = (struct ring_place){ t->txg, t->lsn };
    return 0;
}

/* What the heads and the ring know of each other after a commit. */
static int note_committed(struct holofs *fs, const struct ring_txg *t, const struct gather *g, struct head *named)
{
    mutex_lock(&fs->head_lock);
    for (uint32_t i = 0; i < g->n; i++) {
        if (g->head[i]->first_lsn > t->lsn)
            g->head[i]->first_lsn = t->lsn;
    }
    mutex_unlock(&fs->head_lock);
    while (named) {
        struct head *h = named;
        named = h->next;
        struct container *c = ctab_find(fs, h->id);
        if (c) {
            c->data_txg = t->txg;
            c->sealed_txg = h->used_txg > t->txg ? h->used_txg : t->txg; /* records that refer to it may be in a later txg than this one */
        }
        if (h->cls == CLASS_META_LOG)
            fs->previous_meta = h->id;
        head_unref(fs, h);
    }
    return note_ring_place(fs, t);
}

static struct ring_txg describe(struct holofs *fs, const struct txg *t, uint32_t flags)
{
    return (struct ring_txg){ .epoch = fs->epoch, .txg = t->number, .time_ns = clock_real_ns(),
                              .flags = (flags & ~(uint32_t)RING_EPOCH_FIRST) | (fs->epoch_begun ? 0 : RING_EPOCH_FIRST), .base_epoch = fs->base_epoch,
                              .base_txg = fs->base_txg, .base_chain = fs->base_chain };
}

/* What a closed txg consists of: data that is not in a container yet, and a last record (COMMIT held). */
static int frame(struct holofs *fs, struct pending_txg *p)
{
    int e = gather_data(fs, &p->t, &p->g);
    if (!e)
        e = fit_data(fs, &p->t, &p->g);
    if (e)
        return e;
    take_sealed(fs, &p->t, &p->named);
    e = closing_record(fs, &p->t, p->named);
    p->r = describe(fs, &p->t, p->flags);
    p->framed = !e;
    return e;
}

/* A txg is in the ring: hand its records on (COMMIT held). What fails here cannot be tried again. */
static int hand_on(struct holofs *fs, struct pending_txg *p)
{
    fs->epoch_begun = true;
    fs->chain = p->r.chain;
    COUNT(fs, commits, 1);
    COUNT(fs, commit_bytes, p->r.blocks * BLOCK_SIZE);
    struct head *named = p->named;
    p->named = NULL;
    int e = note_committed(fs, &p->r, &p->g, named);
    if (!e)
        e = metalog_append(fs, &p->r, p->t.records.p, p->t.records.len);
    fs->committed_txg = p->t.number;
    return e ? e : indexer_enqueue(fs, &p->r, &p->t.records, p->t.n_records);
}

static void pending_destroy(struct holofs *fs, struct pending_txg *p)
{
    while (p->named) {
        struct head *h = p->named;
        p->named = h->next;
        head_unref(fs, h);
    }
    gather_fini(fs, &p->g);
    buf_fini(&p->t.records);
    free(p->t.seg);
    free(p);
}

void commit_fini(struct holofs *fs)
{
    if (fs->pending)
        pending_destroy(fs, fs->pending);
    fs->pending = NULL;
}

/* A new file for every copy of the ring that failed (COMMIT held). Returns why the last one could not be made. */
static int restore_copies(struct holofs *fs)
{
    int e = 0;
    mutex_lock(&fs->mirror_lock);
    for (int c = 0; c < RING_COPIES; c++) {
        if (!(ring_failed_copies(fs->ring) & 1u << c))
            continue;
        int r = ring_restore(fs->ring, fs->backing, c);
        e = r ? r : e;
        if (r)
            continue;
        COUNT(fs, ring_copies_restored, 1);
        event_add(fs, "ring_copy_restored", "s:i", "copy", c);
    }
    mutex_unlock(&fs->mirror_lock);
    return e;
}

static bool both_failed(const struct holofs *fs)
{
    return ring_failed_copies(fs->ring) == (1u << RING_COPIES) - 1;
}

static int append(struct holofs *fs, struct pending_txg *p)
{
    int e = both_failed(fs) ? restore_copies(fs) : 0;
    if (e && both_failed(fs))
        return e;
    return ring_append(fs->ring, &p->r, p->g.data, p->g.n, p->t.records.p, p->t.records.len);
}

/* Write the pending txg, which stays if that fails (COMMIT held). */
static int commit_pending(struct holofs *fs)
{
    struct pending_txg *p = fs->pending;
    uint64_t t0 = clock_mono_ns();
    int e = p->framed ? 0 : frame(fs, p);
    if (!e)
        e = fit_records(fs, &p->t, &p->g);
    if (!e)
        e = append(fs, p);
    if (disk_is_full(e) && e != -HOLO_ERINGFULL && release_reserve(fs)) /* a filesystem that never overwrites needs room for the ring as well */
        e = append(fs, p);
    if (e) {
        trouble_begin(fs, TROUBLE_COMMIT, e);
        return e;
    }
    trouble_end(fs, TROUBLE_COMMIT);
    fs->pending = NULL;
    e = hand_on(fs, p);
    if (e)
        fs_fail(fs, e, "commit");
    pending_destroy(fs, p);
    hist_add(&fs->count.commit_ns, clock_mono_ns() - t0);
    return e;
}

/* Keep at least half of the ring free in the background. */
static int housekeep_ring(struct holofs *fs)
{
    if (ring_used_blocks(fs->ring) < fs->sb.ring_blocks / 2)
        return 0;
    return push_out(fs, ring_end(fs->ring) - fs->sb.ring_blocks / 4);
}

/* Take the open txg away and open the next (COMMIT held). false if there is nothing in it. */
static bool close_txg(struct holofs *fs, struct txg *t, bool even_empty)
{
    mutex_lock(&fs->log_lock);
    bool any = fs->open.n_records > 0 || even_empty;
    if (any) {
        *t = fs->open;
        fs->open = (struct txg){ .number = t->number + 1 };
    }
    mutex_unlock(&fs->log_lock);
    return any;
}

static bool sealed_waiting(struct holofs *fs)
{
    bool any = false;
    mutex_lock(&fs->head_lock);
    for (struct head *h = fs->sealing; h; h = h->next)
        any |= h->state == HEAD_SEALED;
    mutex_unlock(&fs->head_lock);
    return any;
}

static int commit_locked(struct holofs *fs, uint32_t flags)
{
    int e = log_writable(fs);
    if (!e && fs->pending)
        e = commit_pending(fs);
    if (e)
        return e;
    struct pending_txg *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    if (!close_txg(fs, &p->t, flags != 0 || sealed_waiting(fs))) {
        free(p);
        return 0;
    }
    p->flags = flags;
    fs->pending = p;
    e = commit_pending(fs);
    if (!e)
        e = housekeep_ring(fs);
    return e;
}

int commit_txg(struct holofs *fs, uint64_t want)
{
    if (fs->committed_txg >= want)
        return 0;
    mutex_lock(&fs->commit_lock);
    int e = fs->committed_txg >= want ? 0 : commit_locked(fs, 0);
    mutex_unlock(&fs->commit_lock);
    return fs->committed_txg >= want ? 0 : e;
}

int commit_all(struct holofs *fs, uint32_t flags)
{
    mutex_lock(&fs->commit_lock);
    int e = commit_locked(fs, flags);
    mutex_unlock(&fs->commit_lock);
    return e;
}

void commit_wake(struct holofs *fs)
{
    mutex_lock(&fs->wake_lock);
    fs->commit_wanted = true;
    pthread_cond_broadcast(&fs->wake_cond);
    mutex_unlock(&fs->wake_lock);
}

/* Sleep until somebody wakes us or the time is over. */
static void doze(struct holofs *fs, uint64_t ns)
{
    mutex_lock(&fs->wake_lock);
    if (!fs->stopping && !fs->commit_wanted)
        mutex_timedwait(&fs->wake_lock, &fs->wake_cond, ns);
    fs->commit_wanted = false;
    mutex_unlock(&fs->wake_lock);
}

static bool open_txg_is_due(struct holofs *fs)
{
    uint64_t limit = (uint64_t)fs->opt.commit_seconds * 1000000000u;
    mutex_lock(&fs->log_lock);
    uint64_t opened = fs->open.opened_ns;
    bool much = log_is_half_full(fs);
    mutex_unlock(&fs->log_lock);
    if (much)
        return true;
    return opened && clock_mono_ns() - opened + 50000000u >= limit;
}

void *committer_main(void *arg)
{
    struct holofs *fs = arg;
    uint64_t tried = 0;
    while (!fs->stopping) {
        doze(fs, 250000000u);
        if (fs->failed || (fs->trouble[TROUBLE_COMMIT] && clock_mono_ns() - tried < TROUBLE_RETRY_NS))
            continue;
        if (fs->trouble[TROUBLE_COMMIT] || open_txg_is_due(fs) || sealed_waiting(fs)) {
            tried = clock_mono_ns();
            commit_all(fs, 0);
        }
    }
    return NULL;
}

int commit_restore_ring(struct holofs *fs)
{
    mutex_lock(&fs->commit_lock);
    int e = restore_copies(fs);
    mutex_unlock(&fs->commit_lock);
    return e;
}

enum { RESTORE_WAIT_MAX_S = 64 };

/* Copies that failed get new files: at once, and if that fails, ever more seldom. */
static void look_after_copies(struct holofs *fs, uint64_t *next_ns, unsigned *wait_s)
{
    if (!ring_failed_copies(fs->ring)) {
        *wait_s = 0;
        return;
    }
    if (*wait_s == 0)
        event_add(fs, "ring_copy_failed", "s:i", "copies", (int)ring_failed_copies(fs->ring));
    if (*wait_s && clock_mono_ns() < *next_ns && !atomic_exchange(&fs->restore_now, false))
        return;
    if (commit_restore_ring(fs) && disk_answers(fs)) /* if not, they come back as soon as it does */
        commit_restore_ring(fs);
    *wait_s = *wait_s == 0 ? 1 : *wait_s < RESTORE_WAIT_MAX_S ? 2 * *wait_s : RESTORE_WAIT_MAX_S;
    *next_ns = clock_mono_ns() + *wait_s * 1000000000ull;
}

void *mirror_main(void *arg)
{
    struct holofs *fs = arg;
    uint64_t next_ns = 0;
    unsigned wait_s = 0;
    while (!fs->stopping) {
        mutex_lock(&fs->wake_lock);
        if (!fs->stopping)
            mutex_timedwait(&fs->wake_lock, &fs->wake_cond, 1000000000u);
        mutex_unlock(&fs->wake_lock);
        mutex_lock(&fs->mirror_lock);
        ring_mirror(fs->ring);
        mutex_unlock(&fs->mirror_lock);
        look_after_copies(fs, &next_ns, &wait_s);
    }
    return NULL;
}
