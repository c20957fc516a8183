/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrubber.c: which containers are verified, when, and how fast.
 *
 *   queue   damage was met in it: at once, whatever else goes on
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
#include "base/err.h"
#include "core/big.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/log.h"
#include "core/scrub.h"

enum { DAY_S = 86400, WATCH_S = 30 * DAY_S, BUSY_SHARE = 5 };
#define SAVE_NS UINT64_C(30000000000)
#define WAIT_MAX_NS UINT64_C(200000000)

static uint32_t now_s(void)
{
    int64_t s = clock_real_ns() / 1000000000;
    return s > 0 && s < UINT32_MAX ? (uint32_t)s : 1;
}

/* A time of the future is of a clock that went wrong: it counts as none. */
static uint32_t verified_s(const struct container *c, uint32_t now)
{
    uint32_t s = c->verified_s;
    return s <= now || s - now <= DAY_S ? s : 0;
}

static bool is_watched(const struct container *c, uint32_t now)
{
    uint32_t until = c->watched_s;
    return until > now && until - now <= WATCH_S + DAY_S;
}

/* ---- damage ---- */

void scrub_queue(struct holofs *fs, uint32_t id)
{
    struct scrub_state *s = &fs->scrub;
    struct container *c = ctab_find(fs, id);
    mutex_lock(&s->lock);
    if (c)
        c->watched_s = now_s() + WATCH_S;
    s->changed = true;
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
    uint64_t n = fs->count.bytes_read + fs->count.bytes_written;
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
    c->verified_s = right ? now_s() : 0;
    if (e || r->bad || r->parity_disagrees)
        c->watched_s = now_s() + WATCH_S;
    s->changed = true;
    if (e) {
        s->lost++;
        COUNT(fs, containers_unreadable, 1);
        event_add(fs, "container_unreadable", "s:i, s:s", "container", (int)c->id, "error", holo_strerror(e));
    } else {
        copen_drop(fs, c->id); /* tables were perhaps healed: read them again */
    }
}

/* -ECANCELED when it was left in between; what is wrong with a container is told, and is no error. */
static int scrub_held(struct holofs *fs, struct container *c)
{
    struct scrub_state *s = &fs->scrub;
    struct verify_result r;
    struct scrub_how how = { .heal = true, .trust_parity = s->in_pass && s->now.trust_parity, .arg = fs, .step = keep_pace };
    s->current = c;
    s->piece_ns = clock_mono_ns();
    int e = container_scrub(fs, c->id, &how, &r);
    if (c->state != CONTAINER_SEALED) /* deleted meanwhile */
        return 0;
    if (e == -ECANCELED)
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
    x->v[x->n++] = (struct chosen){ id, verified_s(c, x->now_s), is_watched(c, x->now_s) };
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
    uint32_t at = verified_s(c, x->now_s), age = x->now_s > at ? x->now_s - at : 0;
    return age >= choice->older_s && (!choice->watched_only || is_watched(c, x->now_s));
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
    struct choosing x = { .fs = fs, .now_s = now_s(), .wanted = is_chosen };
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
    s->finished_s = now_s();
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
    struct choosing x = { .fs = fs, .now_s = now_s(), .wanted = is_due };
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

void *scrubber_main(void *arg)
{
    struct holofs *fs = arg;
    struct scrub_state *s = &fs->scrub;
    while (!fs->stopping) {
        mutex_lock(&s->lock);
        if (!s->n_queue && s->run != SCRUB_RUNNING && !fs->stopping)
            mutex_timedwait(&s->lock, &s->wake, 1000000000u);
        mutex_unlock(&s->lock);
        scrub_queued(fs);
        if (s->run == SCRUB_RUNNING && !fs->stopping)
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
    uint64_t v = 0;
    if (strncmp(word, key, n) != 0 || !word[n])
        return false;
    for (const char *p = word + n; *p; p++) {
        if (*p < '0' || *p > '9' || v > max / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    *out = v;
    return v <= max;
}

static bool take_word(const char *word, struct scrub_choice *c, uint64_t *rate)
{
    uint64_t v;
    if (number_of(word, "percent=", 100, &v) && v) {
        c->percent = (unsigned)v;
    } else if (number_of(word, "older=", UINT32_MAX / DAY_S, &v)) {
        c->older_s = (uint32_t)v * DAY_S;
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
        s->started_s = now_s();
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

/* ---- what is told ---- */

static const char *const run_names[] = { [SCRUB_IDLE] = "idle", [SCRUB_RUNNING] = "running", [SCRUB_PAUSED] = "paused" };

static const char *run_name(const struct scrub_state *s)
{
    enum scrub_run run = s->run; /* gcc 12 forgets that it is atomic when it is an index */
    return run_names[run];
}

/* When containers were verified. */
struct ages {
    struct holofs *fs;
    uint32_t *v; /* when, s since 1970, sorted */
    size_t n, cap;
    uint64_t never, watched;
    uint32_t now_s;
};

static int look_at_age(void *arg, uint32_t id)
{
    struct ages *x = arg;
    struct container *c = ctab_find(x->fs, id);
    if (!c || c->state != CONTAINER_SEALED)
        return 0;
    uint32_t at = verified_s(c, x->now_s);
    x->watched += is_watched(c, x->now_s);
    x->never += !at;
    if (at && x->n < x->cap)
        x->v[x->n++] = at;
    return 0;
}

static int by_number(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static void look_at_ages(struct holofs *fs, struct ages *x)
{
    *x = (struct ages){ .fs = fs, .now_s = now_s(), .cap = fs->n_containers };
    x->v = malloc((x->cap + 1) * sizeof(*x->v));
    x->cap = x->v ? x->cap : 0;
    ctab_each(fs, look_at_age, x);
    if (x->n)
        qsort(x->v, x->n, sizeof(*x->v), by_number);
}

static uint64_t age_of(const struct ages *x, size_t i)
{
    return x->now_s > x->v[i] ? x->now_s - x->v[i] : 0;
}

/* Seconds that the pass will take at its speed so far; 0 while that is not known. */
static uint64_t seconds_left(const struct scrub_state *s)
{
    uint64_t done = s->bytes_done, total = s->bytes_total, active = s->active_ns;
    if (s->run == SCRUB_IDLE || !active || done < 1u << 20 || total <= done)
        return 0;
    return (uint64_t)((double)(total - done) / (double)done * (double)active / 1e9);
}

json_t *scrub_json(struct holofs *fs)
{
    const struct scrub_state *s = &fs->scrub;
    struct ages x;
    look_at_ages(fs, &x);
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state", run_name(s),
                          "passes", (json_int_t)s->passes, "started_s", (json_int_t)s->started_s, "finished_s", (json_int_t)s->finished_s,
                          "containers_done", (json_int_t)s->containers_done, "containers_total", (json_int_t)s->containers_total,
                          "bytes_done", (json_int_t)s->bytes_done, "bytes_total", (json_int_t)s->bytes_total, "seconds_left",
                          (json_int_t)seconds_left(s), "rate", (json_int_t)s->rate, "bad", (json_int_t)s->bad, "repaired",
                          (json_int_t)s->repaired, "lost", (json_int_t)s->lost, "parity_disagrees", (json_int_t)s->parity_disagrees,
                          "never_verified", (json_int_t)x.never, "watched", (json_int_t)x.watched);
    if (o && x.n) {
        json_object_set_new(o, "oldest_age_s", json_integer((json_int_t)age_of(&x, 0)));
        json_object_set_new(o, "median_age_s", json_integer((json_int_t)age_of(&x, x.n / 2)));
    }
    free(x.v);
    return o;
}

static int date_text(struct buf *out, const char *what, int64_t s)
{
    char text[40];
    struct tm tm;
    time_t t = (time_t)s;
    if (!s || !localtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
        return 0;
    return buf_printf(out, "%s: %s\n", what, text);
}

struct scrub_choice scrub_choice_of(struct scrub_state *s)
{
    mutex_lock(&s->lock);
    struct scrub_choice c = s->choice;
    mutex_unlock(&s->lock);
    return c;
}

static int choice_text(struct scrub_state *s, struct buf *out)
{
    struct scrub_choice c = scrub_choice_of(s);
    int e = buf_printf(out, "selection: %u %%%s%s", c.percent ? c.percent : 100, c.watched_only ? ", only with damage in the last 30 days" : "",
                       c.trust_parity ? ", checksums alone" : "");
    if (!e && c.older_s)
        e = buf_printf(out, ", not verified for %u days", c.older_s / DAY_S);
    if (!e)
        e = s->rate ? buf_printf(out, "\nrate: %llu bytes a second\n", (unsigned long long)s->rate) : buf_printf(out, "\nrate: no limit\n");
    return e;
}

static int ages_text(struct holofs *fs, struct buf *out)
{
    struct ages x;
    look_at_ages(fs, &x);
    int e = buf_printf(out, "never verified: %llu\nwatched: %llu\n", (unsigned long long)x.never, (unsigned long long)x.watched);
    if (!e && x.n)
        e = buf_printf(out, "oldest: %.1f days\nmedian: %.1f days\n", (double)age_of(&x, 0) / DAY_S, (double)age_of(&x, x.n / 2) / DAY_S);
    free(x.v);
    return e;
}

int holofs_scrub_text(struct holofs *fs, struct buf *out)
{
    struct scrub_state *s = &fs->scrub;
    int e = buf_printf(out, "state: %s\npasses: %llu\n", run_name(s), (unsigned long long)s->passes);
    if (!e)
        e = choice_text(s, out);
    if (!e)
        e = date_text(out, "started", s->started_s);
    if (!e)
        e = date_text(out, "finished", s->finished_s);
    if (!e)
        e = buf_printf(out, "containers: %llu of %llu\nbytes: %llu of %llu\n", (unsigned long long)s->containers_done,
                       (unsigned long long)s->containers_total, (unsigned long long)s->bytes_done, (unsigned long long)s->bytes_total);
    if (!e && seconds_left(s))
        e = buf_printf(out, "left: %llu s\n", (unsigned long long)seconds_left(s));
    if (!e)
        e = buf_printf(out, "blocks: %llu\nbad: %llu\nrepaired: %llu\nlost: %llu\nparity_disagrees: %llu\n", (unsigned long long)s->blocks,
                       (unsigned long long)s->bad, (unsigned long long)s->repaired, (unsigned long long)s->lost,
                       (unsigned long long)s->parity_disagrees);
    return e ? e : ages_text(fs, out);
}
