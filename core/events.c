/* SPDX-License-Identifier: GPL-2.0-or-later */
/* events.c: what happened, as JSON lines: the last few thousand in memory, each also in the system's log. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/container.h"
#include "core/log.h"
#include "core/open.h"

void events_init(struct event_log *e)
{
    mutex_init(&e->lock, RANK_EVENTS);
    e->line = calloc(EVENTS_KEPT, sizeof(*e->line));
}

void events_fini(struct event_log *e)
{
    for (size_t i = 0; e->line && i < EVENTS_KEPT; i++)
        free(e->line[i]);
    free(e->line);
    mutex_fini(&e->lock);
}

static void keep(struct event_log *e, char *line)
{
    mutex_lock(&e->lock);
    if (e->line) {
        free(e->line[e->next]);
        e->line[e->next] = line;
        e->next = (e->next + 1) % EVENTS_KEPT;
        e->n += e->n < EVENTS_KEPT;
    } else {
        free(line);
    }
    mutex_unlock(&e->lock);
    e->total++;
}

void event_add(struct holofs *fs, const char *type, const char *fmt, ...)
{
    char members[160];
    json_error_t why;
    va_list ap;
    snprintf(members, sizeof(members), "{%s}", fmt);
    va_start(ap, fmt);
    json_t *more = json_vpack_ex(&why, 0, members, ap);
    va_end(ap);
    json_t *o = json_pack("{s:f, s:s}", "time", (double)clock_real_ns() / 1e9, "event", type);
    if (o && more)
        json_object_update(o, more);
    char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(more);
    json_decref(o);
    if (!line)
        return;
    log_warn("%s", line);
    if (fs->hooks)
        fs->hooks->event(fs->hooks->arg, type, line);
    keep(&fs->events, line);
}

static char *damage_line(const char *event, uint32_t container, const char *what, uint64_t ino, const char *path, uint64_t off,
                         uint64_t blocks)
{
    json_t *o = json_pack("{s:f, s:s, s:I, s:s, s:I, s:s%, s:I, s:I}", "time", (double)clock_real_ns() / 1e9, "event", event, "container",
                          (json_int_t)container, "what", what, "inode", (json_int_t)ino, "path", path, strlen(path), "offset",
                          (json_int_t)off, "blocks", (json_int_t)blocks);
    if (!o) /* a name that is not UTF-8 */
        o = json_pack("{s:f, s:s, s:I, s:s, s:I, s:I, s:I}", "time", (double)clock_real_ns() / 1e9, "event", event, "container",
                      (json_int_t)container, "what", what, "inode", (json_int_t)ino, "offset", (json_int_t)off, "blocks",
                      (json_int_t)blocks);
    char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return line;
}

/* The newest event if it is about the same damage, else NULL (EVENTS held). */
static struct damage *same_as_last(struct event_log *e, const char *event, uint32_t container, const char *what, uint64_t ino)
{
    struct damage *d = &e->last;
    bool same = d->blocks && d->slot == (e->next + EVENTS_KEPT - 1) % EVENTS_KEPT && d->container == container && d->ino == ino &&
                strcmp(d->event, event) == 0 && strcmp(d->what, what) == 0;
    return same ? d : NULL;
}

void event_damage(struct holofs *fs, const char *event, uint32_t container, const char *what, uint64_t ino, const char *path, uint64_t off,
                  uint64_t blocks)
{
    struct event_log *e = &fs->events;
    char *own = fs->hooks ? damage_line(event, container, what, ino, path, off, blocks) : NULL;
    if (own)
        fs->hooks->event(fs->hooks->arg, event, own);
    free(own);
    mutex_lock(&e->lock);
    struct damage *d = same_as_last(e, event, container, what, ino);
    if (d) {
        d->blocks += blocks;
        d->off = off < d->off ? off : d->off;
        char *line = damage_line(event, container, what, ino, path, d->off, d->blocks);
        if (line) {
            free(e->line[d->slot]);
            e->line[d->slot] = line;
        }
        mutex_unlock(&e->lock);
        return;
    }
    mutex_unlock(&e->lock);
    char *line = damage_line(event, container, what, ino, path, off, blocks);
    if (!line)
        return;
    log_warn("%s", line);
    keep(e, line);
    mutex_lock(&e->lock);
    e->last = (struct damage){ .event = event, .what = what, .container = container, .ino = ino, .off = off, .blocks = blocks,
                               .slot = (e->next + EVENTS_KEPT - 1) % EVENTS_KEPT };
    mutex_unlock(&e->lock);
}

int holofs_events_text(struct holofs *fs, struct buf *out)
{
    struct event_log *e = &fs->events;
    int r = 0;
    mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n && !r; i++) {
        const char *line = e->line[(e->next + EVENTS_KEPT - e->n + i) % EVENTS_KEPT];
        r = buf_printf(out, "%s\n", line);
    }
    mutex_unlock(&e->lock);
    return r;
}
