/* SPDX-License-Identifier: GPL-2.0-or-later */
/* health.c: is anything wrong with the store, what, and what to do about it. Every reason is here once, in words. */
#include "core/health.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "core/log.h"
#include "core/remapper.h"

/* Who asks: the worst of all reasons, and each as a line or as an object. */
struct ask {
    enum health worst;
    struct buf *lines;
    json_t *list;
    int e;
};

__attribute__((format(printf, 4, 5))) static void reason(struct ask *a, enum health h, const char *what_to_do, const char *fmt, ...)
{
    char why[400];
    va_list ap;
    a->worst = h > a->worst ? h : a->worst;
    if (!a->lines && !a->list)
        return;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (a->lines && !a->e)
        a->e = buf_printf(a->lines, "%s; %s\n", why, what_to_do);
    if (a->list)
        json_array_append_new(a->list, json_pack("{s:s, s:s, s:s}", "health", health_name(h), "why", why, "do", what_to_do));
}

static void ask_writing(const struct holofs *fs, struct ask *a)
{
    if (fs->failed)
        reason(a, HEALTH_FAILED, "unmount, look at the disk, run holofsck", "nothing is written any more: %s", holo_strerror(fs->failed));
    for (int t = 0; t < TROUBLES && !fs->failed; t++) {
        int e = fs->trouble[t];
        if (e)
            reason(a, HEALTH_DEGRADED, "what was synced is safe, and can be read: make room or look at the disk",
                   "%s: %s: cannot be written now and is tried again", trouble_name((enum trouble)t), holo_strerror(e));
    }
    if (fs->away)
        reason(a, HEALTH_DEGRADED, "look at the disk and its cable; nothing is lost by that, and it is tried again every second",
               "the disk does not answer: %s", holo_strerror(fs->away));
    unsigned copies = ring_failed_copies(fs->ring);
    if (copies)
        reason(a, HEALTH_DEGRADED, "a new file takes its place as soon as one can be written: look at the disk", "%s cannot be written",
               copies == 3 ? "both copies of the ring" : copies == 1 ? "journal.0" : "journal.1");
    if (fs->reserve_used)
        reason(a, HEALTH_DEGRADED, "make room on the disk that holds the store", "the disk is full, and the reserve is in use");
}

static void ask_index(const struct holofs *fs, struct ask *a)
{
    if (fs->index_retired)
        reason(a, HEALTH_DEGRADED, "the next mount builds it anew", "a sync of the index failed");
    if (fs->index_damaged)
        reason(a, HEALTH_DEGRADED, "unmount and mount again: it is verified and rebuilt", "the index is damaged");
    if (fs->damaged_ring)
        reason(a, HEALTH_DATA_LOST, "look at .holo/events; holofsck -y accepts the loss", "the log lost records; nothing is written until that is accepted");
}

static void ask_remap(const struct holofs *fs, struct ask *a)
{
    if (fs->remapper.trouble)
        reason(a, HEALTH_DEGRADED, "no block is moved to a spare until they can: look at the disk", "copies of the remap table cannot be written: %s",
               holo_strerror(fs->remapper.trouble));
    if (fs->remapper.unusable)
        reason(a, HEALTH_DEGRADED, "plug in its disk, or: holo remap spare remove, which rebuilds what was in it from parity",
               "%u spare files are away or failing", (unsigned)fs->remapper.unusable);
    if (remapper_is_full(fs))
        reason(a, HEALTH_DEGRADED, "bad blocks stay where they are and are read through parity: give it more with holo remap spare add",
               "no spare block is left");
}

static void ask_data(const struct holofs *fs, struct ask *a)
{
    const struct counters_live *c = &fs->count;
    if (c->parity_disagrees)
        reason(a, HEALTH_DEGRADED, "copy its files anew, and test the memory of this machine; .holo/events names the containers",
               "%llu times a stripe's parity contradicted its data, which are as they were written", (unsigned long long)c->parity_disagrees);
    if (c->unexplained_reads)
        reason(a, HEALTH_DEGRADED, ".holo/events names the files", "%llu reads failed", (unsigned long long)c->unexplained_reads);
    if (fs->unreadable_now)
        reason(a, HEALTH_DATA_LOST, ".holo/events names them; run holofsck", "%llu containers cannot be read at all",
               (unsigned long long)fs->unreadable_now);
    if (fs->lost_now)
        reason(a, HEALTH_DATA_LOST, ".holo/events names the files: put them back from another copy", "%llu blocks could not be rebuilt",
               (unsigned long long)fs->lost_now);
}

static void ask_everything(const struct holofs *fs, struct ask *a)
{
    ask_writing(fs, a);
    ask_index(fs, a);
    ask_remap(fs, a);
    ask_data(fs, a);
}

enum health health_of(const struct holofs *fs)
{
    struct ask a = { 0 };
    ask_everything(fs, &a);
    return a.worst;
}

const char *health_name(enum health h)
{
    static const char *const names[] = { [HEALTH_HEALTHY] = "healthy", [HEALTH_DEGRADED] = "degraded", [HEALTH_DATA_LOST] = "data lost",
                                         [HEALTH_FAILED] = "failed" };
    return names[h];
}

json_t *health_json(const struct holofs *fs)
{
    struct ask a = { .list = json_array() };
    ask_everything(fs, &a);
    return a.list;
}

int holofs_health_text(struct holofs *fs, struct buf *out)
{
    struct buf lines = { 0 };
    struct ask a = { .lines = &lines };
    ask_everything(fs, &a);
    int e = a.e ? a.e : buf_printf(out, "%s\n", health_name(a.worst));
    if (!e && lines.len)
        e = buf_add(out, lines.p, lines.len);
    buf_fini(&lines);
    return e;
}
