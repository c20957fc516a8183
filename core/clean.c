/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clean.c: which containers are cleaned, and when.
 *
 *   pressed   room is short, or a writer waits for it: the emptiest containers, one new container at a time, at once
 *   run       asked for («clean»): all that are worth it, short ones merged, at the rate allowed
 *   idle      nothing was read or written for IDLE_NS: those that are mostly dead, at the rate allowed
 *
 * A container's share is the part of its file that its living bytes, with their parity, would need in a full container: so short
 * containers, which have the parity of full ones, count as partly empty and are merged by the same rule. The lowest share goes first;
 * of two alike the older one, whose bytes will not die soon by themselves.
 */
#include "core/clean.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/err.h"
#include "core/dump.h"
#include "core/head.h"
#include "core/log.h"

#define IDLE_NS UINT64_C(10000000000)
#define LEAVE_NS UINT64_C(3000000000)
static const double share_run = 0.94, share_idle = 0.50, share_pressed = 31.0 / 32;
enum { IOPRIO_PROCESS = 1, IOPRIO_SHIFT = 13, IOPRIO_BEST_EFFORT = 2, IOPRIO_IDLE = 3, NICE_IDLE = 19, RUN_PASSES = 3 };

struct candidate {
    uint32_t id, r;
    uint64_t file, needed, age;
    double cost;
};

struct plan {
    struct candidate *v;
    size_t n;
};

/* ---- how it runs ---- */

/* Nobody waits for the cleaner while it reads and writes containers; they may wait for it while it holds locks and commits. */
void clean_set_idle(struct holofs *fs, bool idle)
{
    struct clean_state *c = &fs->clean;
    if (idle == c->is_idle)
        return;
    c->is_idle = idle;
    syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, (idle ? IOPRIO_IDLE : IOPRIO_BEST_EFFORT) << IOPRIO_SHIFT | (idle ? 7 : 4));
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), idle ? NICE_IDLE : 0); /* back only where that is allowed */
}

static bool must_hurry(struct clean_state *c)
{
    return c->waiting || c->pressed;
}

/* After so many bytes: sleep as long as the rate asks for, or until somebody is in a hurry. */
static void keep_rate(struct holofs *fs, uint64_t bytes)
{
    struct clean_state *c = &fs->clean;
    if (must_hurry(c))
        clean_set_idle(fs, false);
    mutex_lock(&c->lock); /* who changes any of this wakes with it held */
    c->debt_ns += c->rate ? bytes * 1000000000 / c->rate : 0;
    if (c->debt_ns > 20000000 && !must_hurry(c) && !fs->stopping) {
        uint64_t t0 = clock_mono_ns();
        mutex_timedwait(&c->lock, &c->wake, c->debt_ns);
        uint64_t slept = clock_mono_ns() - t0;
        c->debt_ns -= slept < c->debt_ns ? slept : c->debt_ns;
    } else if (must_hurry(c)) {
        c->debt_ns = 0;
    }
    mutex_unlock(&c->lock);
}

void clean_init(struct holofs *fs)
{
    struct clean_state *c = &fs->clean;
    mutex_init(&c->lock, RANK_CLEAN);
    cond_init(&c->wake);
    cond_init(&c->round);
    c->rate = fs->opt.clean_rate;
    c->barren_seq = UINT64_MAX;
    c->state = "idle";
}

void clean_wake(struct holofs *fs)
{
    struct clean_state *c = &fs->clean;
    mutex_lock(&c->lock);
    pthread_cond_broadcast(&c->wake);
    pthread_cond_broadcast(&c->round);
    mutex_unlock(&c->lock);
}

int clean_start(struct holofs *fs)
{
    struct clean_state *c = &fs->clean;
    int e = log_writable(fs);
    if (e)
        return e;
    mutex_lock(&c->lock);
    e = c->run_wanted ? -EALREADY : 0;
    c->run_wanted = true;
    pthread_cond_broadcast(&c->wake);
    mutex_unlock(&c->lock);
    return e;
}

int clean_set_rate(struct holofs *fs, const char *text, size_t len)
{
    uint64_t v;
    if (!decimal_parse(text, len, UINT64_MAX / 10, &v))
        return -EINVAL;
    struct clean_state *c = &fs->clean;
    mutex_lock(&c->lock);
    c->rate = v;
    c->debt_ns = 0; /* of another rate */
    mutex_unlock(&c->lock);
    clean_wake(fs);
    return 0;
}

/* ---- writers that found no room ---- */

static uint64_t log_position(struct holofs *fs)
{
    mutex_lock(&fs->log_lock);
    uint64_t seq = fs->next_seq;
    mutex_unlock(&fs->log_lock);
    return seq;
}

int clean_wait_for_room(struct holofs *fs, uint64_t *since_ns)
{
    struct clean_state *c = &fs->clean;
    uint64_t seq = log_position(fs), now = clock_mono_ns();
    *since_ns = *since_ns ? *since_ns : now;
    mutex_lock(&c->lock);
    uint64_t want = c->rounds_begun + 1, until = *since_ns + CLEAN_STALL_MAX_NS;
    c->rounds_wanted = want;
    bool barren = c->barren_seq == seq || !fs->threads; /* nothing happened since a round that gained nothing */
    c->waiting++;
    pthread_cond_broadcast(&c->wake);
    while (!barren && c->rounds_done < want && now < until && !fs->stopping && !fs->failed) {
        mutex_timedwait(&c->lock, &c->round, until - now < 100000000 ? until - now : 100000000);
        now = clock_mono_ns();
    }
    c->waiting--;
    bool gained = !barren && c->rounds_done >= want && c->gained;
    mutex_unlock(&c->lock);
    return fs->failed ? fs->failed : gained && now < until ? 0 : -ENOSPC;
}

void clean_waited(struct holofs *fs, uint64_t since_ns)
{
    struct clean_state *c = &fs->clean;
    uint64_t ns = clock_mono_ns() - since_ns, longest = c->longest_stall_ns;
    c->stalls++;
    while (ns > longest && !atomic_compare_exchange_weak(&c->longest_stall_ns, &longest, ns))
        continue;
}

/* ---- what is worth it ---- */

static bool is_candidate(struct holofs *fs, const struct container *c)
{
    return c && c->cls == CLASS_DATA && c->state == CONTAINER_SEALED && !c->head && c->live > 0 && !c->quarantined && !c->cleaning &&
           !c->deleting && is_applied(fs, c->sealed_txg);
}

static int by_cost(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    if (a->r != b->r)
        return a->r < b->r ? -1 : 1;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return a->age > b->age ? -1 : a->age < b->age;
}

/* All containers of a share below max, the cheapest first, those of one R together. */
static int make_plan(struct holofs *fs, double max, struct plan *p)
{
    size_t cap = 0;
    uint64_t now = fs->committed_txg;
    *p = (struct plan){ 0 };
    int e = 0;
    mutex_lock(&fs->ctab_lock);
    for (size_t id = 0; id < fs->ctab_cap && !e; id++) {
        const struct container *c = fs->ctab[id];
        if (!is_candidate(fs, c))
            continue;
        double whole = (double)container_full_size(fs, c->r) / ((double)fs->sb.nmax * BLOCK_SIZE);
        struct candidate x = { .id = c->id, .r = c->r, .file = space_of_container(fs, c->r, c->used) };
        x.needed = (uint64_t)((double)c->live * whole);
        x.age = now > c->data_txg ? now - c->data_txg : 0;
        x.cost = (double)x.needed / (double)x.file;
        if (x.cost >= max)
            continue;
        if (p->n == cap) {
            cap = cap ? 2 * cap : 64;
            struct candidate *v = realloc(p->v, cap * sizeof(*v));
            e = v ? 0 : -ENOMEM;
            p->v = v ? v : p->v;
        }
        if (!e)
            p->v[p->n++] = x;
    }
    mutex_unlock(&fs->ctab_lock);
    if (p->n)
        qsort(p->v, p->n, sizeof(*p->v), by_cost);
    return e;
}

/* Bytes of disk that moving these containers of one R into as few as possible gives back. */
static uint64_t gain_of(struct holofs *fs, const struct candidate *v, size_t n)
{
    uint64_t file = 0, needed = 0, full = n ? container_full_size(fs, v->r) : 1;
    for (size_t i = 0; i < n; i++) {
        file += v[i].file;
        needed += v[i].needed;
    }
    uint64_t rest = needed % full, empty = n ? space_of_container(fs, v->r, 0) : 0;
    uint64_t out = needed / full * full + (rest ? empty + (uint64_t)((double)rest * (double)(full - empty) / (double)full) : 0);
    return file > out ? file - out : 0;
}

/* How many from v on are of one R. */
static size_t same_r(const struct candidate *v, size_t n)
{
    size_t k = 0;
    while (k < n && v[k].r == v[0].r)
        k++;
    return k;
}

/* Bytes of container files that were deleted, less those the cleaner made: what cleaning has given back. */
static int64_t given_back(const struct holofs *fs)
{
    return (int64_t)(fs->clean.deleted_bytes - fs->clean.made_bytes);
}

/* Everything that is dead is known to be, and gone if nothing else is in its container. */
static int catch_up(struct holofs *fs)
{
    int e = clean_settle(fs);
    return e ? e : reclaim_run(fs);
}

/* ---- what is done ---- */

static int clean_one(struct clean_batch *b, uint32_t id)
{
    struct clean_state *c = &b->fs->clean;
    clean_set_idle(b->fs, !must_hurry(c));
    int e = clean_victim(b, id);
    clean_set_idle(b->fs, false);
    c->containers += !e;
    c->run_containers += !e;
    return e;
}

/* Did who makes metadata grow find no room, and is there still none? */
static bool growth_is_short(struct holofs *fs)
{
    struct backing_space s;
    return fs->tight && fs->backing->ops->space(fs->backing, &s) == 0 && s.free_bytes < space_of_growth(fs, &s);
}

static bool room_is_short(struct holofs *fs, unsigned containers)
{
    unsigned r = fs->opt.redundancy ? fs->opt.redundancy : fs->sb.r;
    uint64_t room;
    mutex_lock(&fs->head_lock);
    int e = space_room(fs, r, &room);
    mutex_unlock(&fs->head_lock);
    return (!e && room < containers * container_full_size(fs, r)) || growth_is_short(fs);
}

/*
 * One round for those who wait: the emptiest containers, until that has given something back. What was begun to be filled stays open for the
 * next round, so that containers of survivors are full ones.
 */
static int pressed_round(struct clean_batch *b, bool *gained)
{
    struct holofs *fs = b->fs;
    struct plan p = { 0 };
    int64_t before = given_back(fs);
    int e = catch_up(fs);
    if (!e && room_is_short(fs, 1))
        dump_run_if_due(fs);
    if (!e && room_is_short(fs, 1))
        e = make_plan(fs, share_pressed, &p);
    size_t n = p.n ? same_r(p.v, p.n) : 0;
    if (!gain_of(fs, p.v, n))
        n = 0;
    for (size_t i = 0; i < n && !e && given_back(fs) <= before && !fs->stopping; i++)
        e = clean_one(b, p.v[i].id);
    if (!e && given_back(fs) <= before && b->n_victims && room_is_short(fs, 1))
        e = clean_finish(b);
    free(p.v);
    *gained = given_back(fs) > before || !room_is_short(fs, 1);
    return e;
}

/* Nobody is in a hurry any more: close what the rounds left open, if that makes anything less. */
static int leave_rounds(struct clean_batch *b)
{
    uint64_t held = 0;
    for (size_t i = 0; i < b->n_victims; i++) {
        const struct container *c = ctab_find(b->fs, b->victim[i]);
        held += c ? space_of_container(b->fs, c->r, c->used) : 0;
    }
    if (held > clean_out_bytes(b))
        return clean_finish(b);
    clean_drop(b);
    return 0;
}

static bool round_is_wanted(struct clean_state *c)
{
    mutex_lock(&c->lock);
    bool wanted = c->rounds_wanted > c->rounds_done;
    mutex_unlock(&c->lock);
    return wanted;
}

static void rounds(struct clean_batch *b)
{
    struct holofs *fs = b->fs;
    struct clean_state *c = &fs->clean;
    bool gained = true;
    c->state = "pressed";
    while (!fs->stopping && !fs->failed && gained && (round_is_wanted(c) || room_is_short(fs, 1))) {
        mutex_lock(&c->lock);
        c->rounds_begun++;
        mutex_unlock(&c->lock);
        int e = pressed_round(b, &gained);
        if (e)
            clean_drop(b);
        uint64_t seq = log_position(fs);
        mutex_lock(&c->lock);
        c->rounds_done = c->rounds_begun;
        c->gained = gained && !e;
        c->barren_seq = gained || e ? UINT64_MAX : seq;
        gained &= !e;
        pthread_cond_broadcast(&c->round);
        mutex_unlock(&c->lock);
    }
    c->pressed = room_is_short(fs, 1);
}

/* ---- what is asked for, and what is done when nobody is there ---- */

/* Clean the first n of a plan, all of one R, to the end. Who waits for room comes between; the rounds take containers of the plan as well. */
static int clean_some(struct clean_batch *b, const struct candidate *v, size_t n)
{
    int e = 0;
    for (size_t i = 0; i < n && !e; i++) {
        e = clean_one(b, v[i].id);
        if (!e && round_is_wanted(&b->fs->clean)) {
            e = clean_finish(b);
            if (!e)
                rounds(b);
            b->fs->clean.state = "cleaning";
        }
    }
    return e ? e : clean_finish(b);
}

/* A pass over all containers of a share below max. *done: how many were cleaned. */
static int clean_pass(struct clean_batch *b, double max, size_t *done)
{
    struct plan p;
    int e = make_plan(b->fs, max, &p);
    b->fs->clean.run_total += p.n;
    for (size_t at = 0, n; at < p.n && !e; at += n) {
        n = same_r(p.v + at, p.n - at);
        uint64_t file = 0;
        for (size_t i = 0; i < n; i++)
            file += p.v[at + i].file;
        if (gain_of(b->fs, p.v + at, n) < file / 32 + BLOCK_SIZE) {
            b->fs->clean.run_total -= n;
            continue;
        }
        e = clean_some(b, p.v + at, n);
        *done += n;
    }
    free(p.v);
    return e;
}

/* Metadata takes more than a twentieth of the space, most of it the log behind the last dump: dumps replace it. Two are kept. */
static void squeeze_metadata(struct holofs *fs)
{
    struct backing_space s;
    for (int i = 0; i < 2 && !fs->stopping && fs->backing->ops->space(fs->backing, &s) == 0; i++) {
        uint64_t log, all, dump;
        mutex_lock(&fs->head_lock);
        uint64_t files = fs->container_file_bytes;
        mutex_unlock(&fs->head_lock);
        space_of_metadata(fs, &log, &all, &dump);
        if (all < files / 20 || all < 3 * dump || !space_for_dump(fs, &s) || dump_run(fs))
            return;
    }
}

static int whole_run(struct clean_batch *b)
{
    struct holofs *fs = b->fs;
    struct clean_state *c = &fs->clean;
    c->run_containers = c->run_total = c->run_moved_bytes = c->run_freed_bytes = 0;
    c->state = "cleaning";
    int64_t before = given_back(fs);
    int e = catch_up(fs);
    for (int pass = 0; pass < RUN_PASSES && !e; pass++) {
        size_t done = 0;
        e = clean_pass(b, share_run, &done);
        if (!done)
            break;
    }
    if (!e)
        squeeze_metadata(fs);
    c->run_freed_bytes = given_back(fs) > before ? (uint64_t)(given_back(fs) - before) : 0;
    return e;
}

/* Wait a second for something to do; true if a whole run is wanted. */
static bool wait_for_work(struct holofs *fs)
{
    struct clean_state *c = &fs->clean;
    mutex_lock(&c->lock);
    if (!fs->stopping && !c->run_wanted && c->rounds_wanted <= c->rounds_done)
        mutex_timedwait(&c->lock, &c->wake, 1000000000);
    bool run = c->run_wanted;
    mutex_unlock(&c->lock);
    return run;
}

static void end_run(struct holofs *fs, int error)
{
    struct clean_state *c = &fs->clean;
    mutex_lock(&c->lock);
    c->run_wanted = false;
    c->run_error = error;
    c->runs++;
    mutex_unlock(&c->lock);
}

/* Nothing is written any more: nobody waits for this thread, nor does it for anything but the end. */
static void give_up(struct holofs *fs, bool run)
{
    struct clean_state *c = &fs->clean;
    if (run)
        end_run(fs, log_writable(fs));
    mutex_lock(&c->lock);
    c->rounds_done = c->rounds_wanted;
    pthread_cond_broadcast(&c->round);
    mutex_unlock(&c->lock);
}

void *cleaner_main(void *arg)
{
    struct holofs *fs = arg;
    struct clean_state *c = &fs->clean;
    struct clean_batch b = { .fs = fs, .pause = keep_rate };
    uint64_t seen = 0, seen_ns = clock_mono_ns(), rounds_ns = 0;
    bool idle_done = true;
    while (!fs->stopping) {
        bool run = wait_for_work(fs);
        int e = 0;
        if (log_writable(fs))
            give_up(fs, run);
        if (fs->stopping || log_writable(fs))
            continue;
        if (b.n_victims && !must_hurry(c) && clock_mono_ns() - rounds_ns > LEAVE_NS && leave_rounds(&b))
            clean_drop(&b);
        if (user_bytes(fs) != seen) {
            seen = user_bytes(fs);
            seen_ns = clock_mono_ns();
            idle_done = false;
        }
        if (round_is_wanted(c) || (c->pressed && log_position(fs) != c->barren_seq)) {
            rounds(&b);
            rounds_ns = clock_mono_ns();
        } else if (run) {
            e = whole_run(&b);
            end_run(fs, e);
        } else if (!idle_done && clock_mono_ns() - seen_ns > IDLE_NS) {
            size_t done = 0;
            c->state = "cleaning";
            e = clean_pass(&b, share_idle, &done);
            idle_done = true;
        }
        if (e)
            clean_drop(&b);
        c->state = "idle";
    }
    clean_drop(&b);
    return NULL;
}
