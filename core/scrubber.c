/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrubber.c: which containers are verified, when, and how fast.
 *
 *   queue   damage was met in it: at once, whatever else goes on
 *           what lies within 10 MiB of it as well
 *   pass    on demand: all that the choice takes; those on watch first, then in order of id, which is about the order on the medium
 *
 * A container of a pass is marked due until it is verified, so that a pass goes on where it was after a pause, an unmount or a crash
 * (scrub_book.c). While users read or write, the scrubber takes at most a fifth of the time, and never more than its rate.
 */
#include "core/scrubber.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/err.h"
#include "core/big.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/log.h"
#include "core/lost.h"
#include "core/scrub.h"

enum { WATCH_S = 30 * SCRUB_DAY_S, BUSY_SHARE = 5, NEAR_BLOCKS = (10 << 20) / BLOCK_SIZE, JUST_NOW_S = 60 };
#define SAVE_NS UINT64_C(30000000000)
#define WAIT_MAX_NS UINT64_C(200000000)
#define AWAY_RETRY_NS UINT64_C(1000000000)

uint32_t scrub_now_s(void)
{
    int64_t s = clock_real_ns() / 1000000000;
    return s > 0 && s < UINT32_MAX ? (uint32_t)s : 1;
}

uint32_t scrub_verified_s(const struct container *c, uint32_t now)
{
    uint32_t s = c->verified_s;
    return s <= now || s - now <= SCRUB_DAY_S ? s : 0;
}

bool scrub_is_watched(const struct container *c, uint32_t now)
{
    uint32_t until = c->watched_s;
    return until > now && until - now <= WATCH_S + SCRUB_DAY_S;
}

/* ---- damage ---- */

void scrub_queue(struct holofs *fs, uint32_t id)
{
    struct scrub_state *s = &fs->scrub;
    mutex_lock(&s->lock);
    bool there = false;
    for (size_t i = 0; i < s->n_queue; i++)
        there |= s->queue[i] == id;
    if (!there && s->n_queue == s->cap_queue) {
        size_t cap = s->cap_queue ? 2 * s->cap_queue : 16;
        uint32_t *q = realloc(s->queue, cap * sizeof(*q));
        if (q) {
            s->queue = q;
            s->cap_queue = cap;
        }
    }
    if (!there && s->n_queue < s->cap_queue)
        s->queue[s->n_queue++] = id;
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
}

/*
 * Those whose files begin within `blocks` of this one, below it or above: in order of id, which is about the order on the medium. Not those
 * that were verified just now.
 */
static void queue_neighbours(struct holofs *fs, uint32_t id, int step, uint64_t blocks)
{
    uint32_t now = scrub_now_s();
    for (uint64_t seen = 0; seen < blocks;) {
        id += (uint32_t)step;
        if (id == 0 || id >= fs->ctab_cap)
            return;
        struct container *c = ctab_find(fs, id);
        if (!c || c->state != CONTAINER_SEALED)
            continue;
        uint32_t at = scrub_verified_s(c, now);
        if (now - at >= JUST_NOW_S)
            scrub_queue(fs, id);
        seen += space_of_container(fs, c->r, c->used) / BLOCK_SIZE;
    }
}

/* Damage between two blocks of the file: what lies within NEAR_BLOCKS of it is in the container itself or in its neighbours. */
static void queue_near(struct holofs *fs, const struct container *c, uint32_t first, uint32_t last)
{
    uint64_t all = space_of_container(fs, c->r, c->used) / BLOCK_SIZE;
    if (first < NEAR_BLOCKS)
        queue_neighbours(fs, c->id, -1, NEAR_BLOCKS - first);
    if (last + NEAR_BLOCKS > all)
        queue_neighbours(fs, c->id, 1, last + NEAR_BLOCKS - all);
}

static void watch(struct holofs *fs, struct container *c)
{
    c->watched_s = scrub_now_s() + WATCH_S;
    fs->scrub.changed = true;
}

void scrub_damage(struct holofs *fs, uint32_t id, uint32_t file_block)
{
    struct container *c = ctab_find(fs, id);
    scrub_queue(fs, id);
    if (!c)
        return;
    watch(fs, c);
    queue_near(fs, c, file_block, file_block);
}

/* One look at a container repairs what it finds: what it queued by that is done. */
static void unqueue(struct scrub_state *s, uint32_t id)
{
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_queue; i++) {
        if (s->queue[i] == id)
            s->queue[i--] = s->queue[--s->n_queue];
    }
    mutex_unlock(&s->lock);
}

static bool take_queued(struct scrub_state *s, uint32_t *id)
{
    mutex_lock(&s->lock);
    bool any = s->n_queue > 0;
    if (any)
        *id = s->queue[0];
    mutex_unlock(&s->lock);
    return any;
}

/* ---- how fast ---- */

static uint64_t traffic(const struct holofs *fs)
{
    uint64_t n = user_bytes(fs);
    for (unsigned i = 0; i < HOLOFS_OPS_MAX; i++)
        n += fs->ops[i].ns.total;
    return n;
}

/* Not paused, cancelled, or cancelled and begun anew. */
static bool goes_on(const struct scrub_state *s)
{
    return s->run == SCRUB_RUNNING && !s->fresh;
}

/* Who deletes a container waits until it is let go. */
static bool must_stop(const struct holofs *fs)
{
    const struct scrub_state *s = &fs->scrub;
    return fs->stopping || (s->in_pass && !goes_on(s)) || s->current->state != CONTAINER_SEALED;
}

/* Users came since the last piece: it and the pause after it together take five times as long. */
static uint64_t polite_end(struct holofs *fs, uint64_t now)
{
    struct scrub_state *s = &fs->scrub;
    uint64_t seen = traffic(fs);
    bool busy = seen != s->traffic;
    s->traffic = seen;
    return busy ? s->piece_ns + BUSY_SHARE * (now - s->piece_ns) : now;
}

static uint64_t rated_end(const struct scrub_state *s, uint64_t bytes)
{
    uint64_t rate = s->rate;
    return rate ? s->piece_ns + (uint64_t)((double)bytes / (double)rate * 1e9) : 0;
}

/* After each piece that was read. */
static int keep_pace(void *arg, uint64_t bytes)
{
    struct holofs *fs = arg;
    struct scrub_state *s = &fs->scrub;
    uint64_t now = clock_mono_ns(), polite = polite_end(fs, now);
    s->bytes_done += s->in_pass ? bytes : 0;
    mutex_lock(&s->lock);
    for (;;) {
        uint64_t rated = rated_end(s, bytes), end = rated > polite ? rated : polite;
        if (now >= end || must_stop(fs))
            break;
        mutex_timedwait(&s->lock, &s->wake, end - now < WAIT_MAX_NS ? end - now : WAIT_MAX_NS);
        now = clock_mono_ns();
    }
    mutex_unlock(&s->lock);
    s->active_ns += s->in_pass ? now - s->piece_ns : 0;
    s->piece_ns = now;
    return must_stop(fs) ? -ECANCELED : 0;
}

/* ---- one container ---- */

static void count(struct scrub_state *s, const struct verify_result *r)
{
    s->blocks += r->blocks;
    s->bad += r->bad;
    s->repaired += r->repaired;
    s->lost += r->lost;
    s->parity_disagrees += r->parity_disagrees;
}

static void settle(struct holofs *fs, struct container *c, const struct verify_result *r, int e)
{
    struct scrub_state *s = &fs->scrub;
    bool right = !e && r->bad == r->repaired && !r->lost && !r->parity_disagrees;
    c->due = false;
    if (!e && !r->lost && c->quarantined && !log_writable(fs))
        clean_set_quarantine(fs, c, false);
    c->verified_s = right ? scrub_now_s() : 0;
    s->changed = true;
    if (e || r->bad || r->parity_disagrees)
        watch(fs, c);
    if (r->bad)
        queue_near(fs, c, s->bad_first, s->bad_last);
    s->lost += s->in_pass && e;
    lost_container(fs, c, e);
    copen_drop(fs, c->id); /* tables were perhaps healed: read them again */
}

/* What is near it is verified as well. */
static void note_bad(void *arg, enum scrub_what what, uint32_t file_block, uint32_t n, enum scrub_fate fate)
{
    struct scrub_state *s = &((struct holofs *)arg)->scrub;
    (void)what;
    (void)fate;
    s->bad_first = file_block < s->bad_first ? file_block : s->bad_first;
    s->bad_last = file_block + n - 1 > s->bad_last ? file_block + n - 1 : s->bad_last;
}

/* Nothing is said of a container because the disk is away. */
static int scrub_surely(struct holofs *fs, uint32_t id, const struct scrub_how *how, struct verify_result *r)
{
    int e = container_scrub(fs, id, how, r);
    if (e ? holo_errno(e) != EIO : r->bad == r->repaired)
        return e;
    if (!disk_answers(fs))
        return -EAGAIN;
    if (e) /* was it, for a moment? */
        e = container_scrub(fs, id, how, r);
    return holo_errno(e) == EIO && !disk_answers(fs) ? -EAGAIN : e;
}

/* -ECANCELED when it was left in between, -EAGAIN when the disk does not answer; what is wrong with a container is told, and is no error. */
static int scrub_held(struct holofs *fs, struct container *c)
{
    struct scrub_state *s = &fs->scrub;
    struct verify_result r;
    struct scrub_how how = { .heal = true, .trust_parity = s->in_pass && s->now.trust_parity, .arg = fs, .step = keep_pace, .blocks = note_bad };
    s->current = c;
    s->piece_ns = clock_mono_ns();
    s->bad_first = UINT32_MAX;
    s->bad_last = 0;
    int e = scrub_surely(fs, c->id, &how, &r);
    if (c->state != CONTAINER_SEALED) /* deleted meanwhile */
        return 0;
    if (e == -ECANCELED || e == -EAGAIN)
        return e;
    if (s->in_pass)
        count(s, &r);
    settle(fs, c, &r, e);
    return 0;
}

static int scrub_one(struct holofs *fs, uint32_t id)
{
    struct container *c = ctab_hold(fs, id);
    if (!c)
        return 0;
    int e = c->state == CONTAINER_SEALED ? scrub_held(fs, c) : 0;
    ctab_release(fs, c);
    return e;
}

static int scrub_queued(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    bool in_pass = s->in_pass;
    uint32_t id;
    int e = 0;
    s->in_pass = false;
    while (!e && take_queued(s, &id)) {
        e = scrub_one(fs, id);
        if (!e)
            unqueue(s, id);
    }
    s->in_pass = in_pass;
    return e;
}

/* ---- what a pass verifies ---- */

struct chosen {
    uint32_t id, verified_s;
    bool watched;
};

struct choosing {
    struct holofs *fs;
    struct chosen *v;
    size_t n, cap, sealed;
    uint32_t now_s;
    bool (*wanted)(const struct choosing *x, const struct container *c);
};

static int look(void *arg, uint32_t id)
{
    struct choosing *x = arg;
    struct container *c = ctab_find(x->fs, id);
    if (!c || c->state != CONTAINER_SEALED)
        return 0;
    x->sealed++;
    if (!x->wanted(x, c))
        return 0;
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 256;
        struct chosen *v = realloc(x->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        x->v = v;
        x->cap = cap;
    }
    x->v[x->n++] = (struct chosen){ id, scrub_verified_s(c, x->now_s), scrub_is_watched(c, x->now_s) };
    return 0;
}

static bool is_due(const struct choosing *x, const struct container *c)
{
    (void)x;
    return c->due;
}

static bool is_chosen(const struct choosing *x, const struct container *c)
{
    const struct scrub_choice *choice = &x->fs->scrub.now;
    uint32_t at = scrub_verified_s(c, x->now_s), age = x->now_s > at ? x->now_s - at : 0;
    return age >= choice->older_s && (!choice->watched_only || scrub_is_watched(c, x->now_s));
}

static int by_age(const void *pa, const void *pb)
{
    const struct chosen *a = pa, *b = pb;
    if (a->verified_s != b->verified_s)
        return a->verified_s < b->verified_s ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int watched_first(const void *pa, const void *pb)
{
    const struct chosen *a = pa, *b = pb;
    if (a->watched != b->watched)
        return a->watched ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int no_longer_due(void *arg, uint32_t id)
{
    struct container *c = ctab_find(arg, id);
    if (c)
        c->due = false;
    return 0;
}

/* Mark the containers of a new pass. */
static int choose(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    struct choosing x = { .fs = fs, .now_s = scrub_now_s(), .wanted = is_chosen };
    ctab_each(fs, no_longer_due, fs);
    int e = ctab_each(fs, look, &x);
    size_t most = (x.sealed * s->now.percent + 99) / 100;
    if (x.n > most) {
        qsort(x.v, x.n, sizeof(*x.v), by_age);
        x.n = most;
    }
    s->containers_total = s->bytes_total = 0;
    for (size_t i = 0; i < x.n && !e; i++) {
        struct container *c = ctab_find(fs, x.v[i].id);
        if (!c)
            continue; /* deleted since it was looked at */
        c->due = true;
        s->containers_total++;
        s->bytes_total += (uint64_t)(c->used + 2 * c->r * ecc_layout_stripes(fs->sb.nmax, fs->sb.k)) * BLOCK_SIZE;
    }
    free(x.v);
    return e;
}

/* ---- a pass ---- */

static void end_pass(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    s->finished_s = scrub_now_s();
    s->passes++;
    COUNT(fs, scrubs, 1);
    event_add(fs, "scrub_finished", "s:I, s:I, s:I, s:I, s:I, s:I", "containers", (json_int_t)s->containers_done, "blocks", (json_int_t)s->blocks,
              "bad", (json_int_t)s->bad, "repaired", (json_int_t)s->repaired, "lost", (json_int_t)s->lost, "parity_disagrees",
              (json_int_t)s->parity_disagrees);
    if (fs->read_only) /* no housekeeper */
        big_trim(fs, 0);
    mutex_lock(&s->lock);
    s->run = goes_on(s) ? SCRUB_IDLE : s->run;
    s->changed = true;
    mutex_unlock(&s->lock);
}

static void save_now_and_then(struct holofs *fs)
{
    uint64_t now = clock_mono_ns();
    if (now - fs->scrub.saved_ns < SAVE_NS)
        return;
    fs->scrub.saved_ns = now;
    scrub_book_save(fs);
}

/* Is it a new pass, whose containers are to be chosen? */
static bool take_choice(struct scrub_state *s)
{
    mutex_lock(&s->lock);
    bool fresh = s->fresh;
    s->now = s->choice;
    s->fresh = false;
    mutex_unlock(&s->lock);
    return fresh;
}

/* Verify what is due, until nothing is, or something else is wanted. */
static void go_on(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    struct choosing x = { .fs = fs, .now_s = scrub_now_s(), .wanted = is_due };
    int e = take_choice(s) ? choose(fs) : 0;
    if (!e)
        e = ctab_each(fs, look, &x);
    if (x.n)
        qsort(x.v, x.n, sizeof(*x.v), watched_first);
    s->in_pass = true;
    for (size_t i = 0; i < x.n && !e; i++) {
        e = scrub_queued(fs);
        if (!e && !goes_on(s))
            e = -ECANCELED;
        if (!e)
            e = scrub_one(fs, x.v[i].id);
        if (!e)
            s->containers_done++;
        save_now_and_then(fs);
    }
    s->in_pass = false;
    free(x.v);
    if (!e)
        end_pass(fs);
}

static void rest(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    mutex_lock(&s->lock);
    if (!fs->stopping)
        mutex_timedwait(&s->lock, &s->wake, AWAY_RETRY_NS);
    mutex_unlock(&s->lock);
}

void *scrubber_main(void *arg)
{
    struct holofs *fs = arg;
    struct scrub_state *s = &fs->scrub;
    while (!fs->stopping) {
        mutex_lock(&s->lock);
        if (!s->n_queue && s->run != SCRUB_RUNNING && !fs->stopping)
            mutex_timedwait(&s->lock, &s->wake, 1000000000u);
        mutex_unlock(&s->lock);
        if (disk_is_away(fs)) {
            rest(fs);
            continue;
        }
        int e = scrub_queued(fs);
        if (!e && s->run == SCRUB_RUNNING && !fs->stopping)
            go_on(fs);
        save_now_and_then(fs);
    }
    return NULL;
}

/* ---- commands ---- */

/* A number behind `key=`, at most max. */
static bool number_of(const char *word, const char *key, uint64_t max, uint64_t *out)
{
    size_t n = strlen(key);
    return strncmp(word, key, n) == 0 && decimal_parse(word + n, strlen(word + n), max, out);
}

static bool take_word(const char *word, struct scrub_choice *c, uint64_t *rate)
{
    uint64_t v;
    if (number_of(word, "percent=", 100, &v) && v) {
        c->percent = (unsigned)v;
    } else if (number_of(word, "older=", UINT32_MAX / SCRUB_DAY_S, &v)) {
        c->older_s = (uint32_t)v * SCRUB_DAY_S;
    } else if (strcmp(word, "watched") == 0) {
        c->watched_only = true;
    } else if (strcmp(word, "trust-parity") == 0) {
        c->trust_parity = true;
    } else {
        return number_of(word, "rate=", UINT64_MAX / 2, rate);
    }
    return true;
}

static int command_start(struct holofs *fs, char *words)
{
    struct scrub_state *s = &fs->scrub;
    struct scrub_choice c = { .percent = 100 };
    uint64_t rate = 0;
    char *save;
    for (const char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (!take_word(w, &c, &rate))
            return -EINVAL;
    }
    mutex_lock(&s->lock);
    int e = s->run == SCRUB_IDLE ? 0 : -EALREADY;
    if (!e) {
        s->choice = c;
        s->rate = rate;
        s->containers_done = s->bytes_done = s->blocks = s->bad = s->repaired = s->lost = s->parity_disagrees = s->active_ns = 0;
        s->started_s = scrub_now_s();
        s->fresh = s->changed = true;
        s->run = SCRUB_RUNNING;
    }
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
    return e;
}

static int set_run(struct holofs *fs, enum scrub_run from, enum scrub_run to)
{
    struct scrub_state *s = &fs->scrub;
    mutex_lock(&s->lock);
    int e = s->run == from ? 0 : s->run == to ? -EALREADY : -ESRCH;
    if (!e) {
        s->run = to;
        s->changed = true;
    }
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
    return e;
}

static int cancel(struct holofs *fs)
{
    int e = set_run(fs, SCRUB_RUNNING, SCRUB_IDLE);
    return e ? set_run(fs, SCRUB_PAUSED, SCRUB_IDLE) == 0 ? 0 : -ESRCH : 0;
}

static void set_rate(struct scrub_state *s, uint64_t rate)
{
    mutex_lock(&s->lock);
    s->rate = rate;
    s->changed = true;
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
}

int scrub_command(struct holofs *fs, const char *text, size_t len)
{
    char words[200];
    uint64_t rate;
    if (len >= sizeof(words) || memchr(text, 0, len))
        return -EINVAL;
    memcpy(words, text, len);
    words[len] = 0;
    if (strcmp(words, "start") == 0 || strncmp(words, "start ", 6) == 0)
        return command_start(fs, words + 5);
    if (strcmp(words, "pause") == 0)
        return set_run(fs, SCRUB_RUNNING, SCRUB_PAUSED);
    if (strcmp(words, "resume") == 0)
        return set_run(fs, SCRUB_PAUSED, SCRUB_RUNNING);
    if (strcmp(words, "cancel") == 0)
        return cancel(fs);
    if (!number_of(words, "rate=", UINT64_MAX / 2, &rate))
        return -EINVAL;
    set_rate(&fs->scrub, rate);
    return 0;
}

struct scrub_choice scrub_choice_of(struct scrub_state *s)
{
    mutex_lock(&s->lock);
    struct scrub_choice c = s->choice;
    mutex_unlock(&s->lock);
    return c;
}
