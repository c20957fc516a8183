/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scrub_tell.c: what .holo/scrub and .holo/stats say of scrubs: how far, how long, and how long ago containers were verified. */
#include <stdlib.h>
#include <time.h>

#include "core/clean.h"
#include "core/container.h"
#include "core/scrubber.h"

enum { RECENT_DAYS = 30 };

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
    uint64_t recent_bytes; /* of files that were verified in the last 30 days */
    uint32_t now_s;
};

static int look_at_age(void *arg, uint32_t id)
{
    struct ages *x = arg;
    struct container *c = ctab_find(x->fs, id);
    if (!c || c->state != CONTAINER_SEALED)
        return 0;
    uint32_t at = scrub_verified_s(c, x->now_s);
    x->watched += scrub_is_watched(c, x->now_s);
    x->never += !at;
    x->recent_bytes += at && x->now_s - at < RECENT_DAYS * SCRUB_DAY_S ? space_of_container(x->fs, c->r, c->used) : UINT64_C(0);
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
    *x = (struct ages){ .fs = fs, .now_s = scrub_now_s(), .cap = fs->n_containers };
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
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state", run_name(s),
                          "passes", (json_int_t)s->passes, "started_s", (json_int_t)s->started_s, "finished_s", (json_int_t)s->finished_s,
                          "containers_done", (json_int_t)s->containers_done, "containers_total", (json_int_t)s->containers_total,
                          "bytes_done", (json_int_t)s->bytes_done, "bytes_total", (json_int_t)s->bytes_total, "seconds_left",
                          (json_int_t)seconds_left(s), "rate", (json_int_t)s->rate, "bad", (json_int_t)s->bad, "repaired",
                          (json_int_t)s->repaired, "lost", (json_int_t)s->lost, "parity_disagrees", (json_int_t)s->parity_disagrees,
                          "never_verified", (json_int_t)x.never, "watched", (json_int_t)x.watched,
                          "verified_30d_bytes", (json_int_t)x.recent_bytes);
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

static int choice_text(struct scrub_state *s, struct buf *out)
{
    struct scrub_choice c = scrub_choice_of(s);
    int e = buf_printf(out, "selection: %u %%%s%s", c.percent ? c.percent : 100, c.watched_only ? ", only with damage in the last 30 days" : "",
                       c.trust_parity ? ", checksums alone" : "");
    if (!e && c.older_s)
        e = buf_printf(out, ", not verified for %u days", c.older_s / SCRUB_DAY_S);
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
        e = buf_printf(out, "oldest: %.1f days\nmedian: %.1f days\n", (double)age_of(&x, 0) / SCRUB_DAY_S, (double)age_of(&x, x.n / 2) / SCRUB_DAY_S);
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
