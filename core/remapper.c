/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remapper.c: what a mount does with its remap table besides remapping.
 *
 * The copies are read once an hour, by default: damage that nobody would meet before the next mount is found while the table is in
 * memory, where it is right whatever happened to all five. What is known to be wrong, spare files that are away too, is tried again every
 * ten seconds. What is found is told once, and once more when it is good again.
 */
#include "core/remapper.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/err.h"
#include "base/ids.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/log.h"
#include "core/lost.h"
#include "core/open.h"
#include "core/scrub.h"
#include "core/scrubber.h"

enum { SPARE_BYTES = 8 << 20, PATHS_TOLD = 1000, EVENTS_MAX = 100 };
#define RETRY_NS UINT64_C(10000000000)

/* ---- telling ---- */

static void tell_state(struct holofs *fs, const struct remap_spare_info *s)
{
    static const char *const event[] = { [REMAP_SPARE_OK] = "spare_back", [REMAP_SPARE_FAILING] = "spare_failing" };
    const char *dir = s->directory ? s->directory : "";
    if (s->state == REMAP_SPARE_LEAVING)
        return;
    if (s->state == REMAP_SPARE_AWAY)
        event_add(fs, "spare_away", "s:I, s:I, s:s, s:s", "spare", (json_int_t)s->number, "blocks", (json_int_t)s->used, "directory", dir, "error",
                  holo_strerror(s->error));
    else
        event_add(fs, event[s->state], "s:I, s:s", "spare", (json_int_t)s->number, "directory", dir);
}

/* What was told of a spare file last; OK if nothing was. */
static enum remap_spare_state told_of(const struct remapper_state *r, uint32_t number)
{
    for (size_t i = 0; i < r->n_told; i++) {
        if (r->told[i].number == number)
            return (enum remap_spare_state)r->told[i].state;
    }
    return REMAP_SPARE_OK;
}

static void note_locked(struct holofs *fs, const struct remap_spare_info *v, size_t n)
{
    struct remapper_state *r = &fs->remapper;
    for (size_t i = 0; i < n; i++) {
        if (v[i].state != told_of(r, v[i].number))
            tell_state(fs, &v[i]);
    }
    r->n_told = n;
    for (size_t i = 0; i < n; i++) {
        r->told[i].number = v[i].number;
        r->told[i].state = v[i].state;
    }
}

static void note_all(struct holofs *fs)
{
    struct remap_spare_info *v;
    struct remap_stats s;
    size_t n;
    remap_stats(fs->remap, &s);
    fs->remapper.unusable = (unsigned)(s.spares_away + s.spares_failing);
    mutex_lock(&fs->remapper.lock);
    if (remap_spares(fs->remap, &v, &n) == 0) {
        note_locked(fs, v, n);
        remap_spares_free(v, n);
    }
    mutex_unlock(&fs->remapper.lock);
}

void remapper_note(struct holofs *fs)
{
    struct remap_stats s;
    remap_stats(fs->remap, &s);
    if (s.spares_away + s.spares_failing != fs->remapper.unusable)
        note_all(fs);
}

void remapper_begin(struct holofs *fs)
{
    struct remap_stats s;
    remap_stats(fs->remap, &s);
    fs->remapper.checked_ns = clock_mono_ns();
    if (s.copies_repaired)
        event_add(fs, "remap_copies_repaired", "s:I", "copies", (json_int_t)s.copies_repaired);
    if (s.broken) {
        fs->remapper.trouble = -EIO;
        event_add(fs, "remap_copies_bad", "s:s", "error", "a copy cannot be written");
    }
    note_all(fs);
}

/* All of it, or only what is known to be wrong: is it good again? */
static int check(struct holofs *fs, bool all, unsigned *bad)
{
    struct remap_stats before, after;
    remap_stats(fs->remap, &before);
    int e = all ? remap_check(fs->remap, bad) : remap_retry(fs->remap);
    remap_stats(fs->remap, &after);
    bool was = atomic_exchange(&fs->remapper.trouble, e) != 0;
    if (after.copies_repaired != before.copies_repaired || (was && !e))
        event_add(fs, "remap_copies_repaired", "s:I", "copies", (json_int_t)(after.copies_repaired - before.copies_repaired));
    if (e && !was)
        event_add(fs, "remap_copies_bad", "s:i, s:s", "copies", __builtin_popcount(*bad), "error", holo_strerror(e));
    note_all(fs);
    return e;
}

void remapper_check(struct holofs *fs)
{
    unsigned bad = 0;
    check(fs, true, &bad);
}

void remapper_check_if_due(struct holofs *fs)
{
    struct remapper_state *r = &fs->remapper;
    uint64_t now = clock_mono_ns();
    unsigned bad = 0;
    bool due = now - r->checked_ns >= (uint64_t)fs->opt.remap_check_ms * 1000000;
    if (!due && ((!r->trouble && !r->unusable) || now - r->retried_ns < RETRY_NS))
        return;
    r->retried_ns = now;
    if (!disk_answers(fs)) /* nothing is concluded */
        return;
    check(fs, due, &bad);
    if (due)
        r->checked_ns = clock_mono_ns();
}

bool remapper_is_full(const struct holofs *fs)
{
    struct remap_stats s;
    if (!fs->remapper.full)
        return false;
    remap_stats(fs->remap, &s);
    return s.spare_used + s.spare_bad >= s.spare_blocks;
}

/* ---- commands ---- */

__attribute__((format(printf, 2, 3))) static void say(struct holofs *fs, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    mutex_lock(&fs->remapper.lock);
    vsnprintf(fs->remapper.said, sizeof(fs->remapper.said), fmt, ap);
    mutex_unlock(&fs->remapper.lock);
    va_end(ap);
}

static int note_bad(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct holofs *fs = arg;
    if (fs->remapper.bad++ < EVENTS_MAX)
        event_add(fs, "spare_block_bad", "s:I, s:I, s:I, s:I", "container", (json_int_t)container, "file_block", (json_int_t)file_block,
                  "spare", (json_int_t)spare, "spare_block", (json_int_t)spare_block);
    scrub_queue(fs, container); /* which rebuilds it elsewhere */
    return fs->stopping ? -EINTR : 0;
}

static int test(struct holofs *fs)
{
    uint64_t tested;
    unsigned bad_copies = 0;
    fs->remapper.bad = 0;
    int e = check(fs, true, &bad_copies);
    int e2 = remap_test(fs->remap, note_bad, fs, &tested);
    fs->remapper.tested = tested;
    fs->remapper.tested_s = scrub_now_s();
    say(fs, "%" PRIu64 " spare blocks tested, %" PRIu64 " bad; %d copies of the table were bad%s", tested, (uint64_t)fs->remapper.bad,
        __builtin_popcount(bad_copies), !bad_copies ? "" : e || fs->read_only ? " and are" : " and were written anew");
    return e2 ? e2 : e || bad_copies || fs->remapper.bad ? -EIO : 0;
}

/* Programs that do not know such directories must not open this store for writing: they would make the files anew. */
static int note_feature(struct holofs *fs)
{
    if (fs->sb.incompat & SUPER_INCOMPAT_SPARES)
        return 0;
    mutex_lock(&fs->super_lock);
    fs->sb.incompat |= SUPER_INCOMPAT_SPARES;
    mutex_unlock(&fs->super_lock);
    int e = super_update(fs, false);
    if (e) {
        mutex_lock(&fs->super_lock);
        fs->sb.incompat &= ~SUPER_INCOMPAT_SPARES;
        mutex_unlock(&fs->super_lock);
    }
    return e;
}

static bool is_below(const char *path, const char *top)
{
    size_t n = strlen(top);
    return strncmp(path, top, n) == 0 && (path[n] == 0 || path[n] == '/' || n == 1);
}

/* A directory elsewhere as the table names it: neither in the store nor in its own tree, where it would wait for itself. */
static int place_of(struct holofs *fs, const char *given, char out[PATH_MAX])
{
    if (given[0] != '/' || !realpath(given, out)) {
        int e = given[0] != '/' ? EINVAL : errno;
        say(fs, "%s: %s", given, e == EINVAL ? "an absolute path is needed" : strerror(e));
        return -e;
    }
    json_t *text = json_string(out);
    json_decref(text);
    if (!text) {
        say(fs, "the name of that directory is not UTF-8");
        return -EINVAL;
    }
    if (!is_below(out, fs->path) && (!fs->opt.mountpoint || !is_below(out, fs->opt.mountpoint)))
        return 0;
    say(fs, "%s: is in the store or in its own tree; a spare file elsewhere is to be on another disk", out);
    return -EINVAL;
}

/* In its own folder a spare file takes room that containers were promised. */
static int room_for(struct holofs *fs, uint64_t bytes)
{
    uint64_t room;
    int e = space_room(fs, fs->sb.r, &room);
    return e ? e : room < bytes + container_full_size(fs, fs->sb.r) ? -ENOSPC : 0;
}

static int spare_add(struct holofs *fs, uint64_t bytes, const char *given)
{
    char path[PATH_MAX] = "";
    uint32_t number, blocks;
    bytes = bytes ? bytes : SPARE_BYTES;
    int e = log_writable(fs);
    if (!e && bytes / BLOCK_SIZE > UINT32_MAX)
        e = -EFBIG;
    if (!e && *given) {
        e = place_of(fs, given, path);
        if (e)
            return e;
        e = note_feature(fs);
    } else if (!e) {
        e = room_for(fs, bytes);
    }
    blocks = (uint32_t)(bytes / BLOCK_SIZE);
    if (!e)
        e = remap_spare_add(fs->remap, *path ? path : NULL, blocks, &number);
    if (e) {
        say(fs, "no spare file of %" PRIu64 " bytes in %s: %s", bytes, *given ? given : "the store", holo_strerror(e));
        return e;
    }
    say(fs, "spare %u: %u blocks", (unsigned)number, (unsigned)blocks);
    event_add(fs, "spare_added", "s:I, s:I, s:s", "spare", (json_int_t)number, "blocks", (json_int_t)blocks, "directory", path);
    note_all(fs);
    return 0;
}

struct remapped {
    struct ids ids;
    uint32_t spare;
};

static int add_container(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct remapped *r = arg;
    (void)file_block;
    (void)spare_block;
    return spare != r->spare || ids_has(&r->ids, container) ? 0 : ids_add(&r->ids, container);
}

/* What a spare file has lost comes back from parity, and goes elsewhere when it is healed. */
static int rebuild_from(struct holofs *fs, uint32_t spare)
{
    const struct scrub_how how = { .heal = true, .trust_parity = true };
    struct remapped r = { .spare = spare };
    struct verify_result v;
    int e = remap_each(fs->remap, add_container, &r);
    for (size_t i = 0; i < r.ids.n && !e && !fs->stopping; i++) {
        struct container *c = ctab_hold(fs, r.ids.v[i]);
        if (c) {
            e = container_scrub(fs, r.ids.v[i], &how, &v);
            ctab_release(fs, c);
        }
    }
    free(r.ids.v);
    return e;
}

static int spare_remove(struct holofs *fs, uint32_t number)
{
    uint64_t left = 0;
    int e = log_writable(fs);
    if (!e)
        e = remap_spare_empty(fs->remap, number, &left);
    if (!e && left)
        e = rebuild_from(fs, number);
    if (!e && left)
        e = remap_spare_empty(fs->remap, number, &left);
    if (!e)
        e = remap_spare_remove(fs->remap, number);
    if (!e) {
        say(fs, "spare %u is not used any more", (unsigned)number);
        event_add(fs, "spare_removed", "s:I", "spare", (json_int_t)number);
        note_all(fs);
        return 0;
    }
    remap_spare_keep(fs->remap, number);
    if (e == -HOLO_EREMAPFULL)
        say(fs, "spare %u is in use, and the others have no room for what is in it: add one first", (unsigned)number);
    else if (left)
        say(fs, "spare %u stays: %" PRIu64 " blocks of it can neither be read nor rebuilt", (unsigned)number, left);
    else
        say(fs, "spare %u: %s", (unsigned)number, e == -ENOENT ? "there is no such spare file" : holo_strerror(e));
    return e;
}

/* A number at the start of p; behind it and one space, or NULL. */
static const char *number_at(const char *p, uint64_t *out)
{
    char *end;
    if (*p < '0' || *p > '9')
        return NULL;
    errno = 0;
    *out = strtoull(p, &end, 10);
    return errno || (*end && *end != ' ') ? NULL : *end ? end + 1 : end;
}

int remapper_command(struct holofs *fs, const char *text, size_t len)
{
    char words[PATH_MAX + 64];
    const char *rest;
    uint64_t n;
    if (len >= sizeof(words) || memchr(text, 0, len))
        return -EINVAL;
    memcpy(words, text, len);
    words[len] = 0;
    if (strcmp(words, "test") == 0)
        return test(fs);
    if (strcmp(words, "check") == 0) {
        unsigned bad = 0;
        return check(fs, true, &bad);
    }
    if (strncmp(words, "spare add ", 10) == 0 && (rest = number_at(words + 10, &n)))
        return spare_add(fs, n, rest);
    if (strncmp(words, "spare remove ", 13) == 0 && (rest = number_at(words + 13, &n)) && !*rest && n <= UINT32_MAX)
        return spare_remove(fs, (uint32_t)n);
    return -EINVAL;
}

void remapper_wanted_spare(struct holofs *fs)
{
    char path[PATH_MAX];
    struct remap_spare_info *v;
    size_t n;
    const char *dir = fs->opt.spare_dir;
    if (!dir || fs->read_only || remap_spares(fs->remap, &v, &n))
        return;
    bool there = false;
    if (!realpath(dir, path))
        snprintf(path, sizeof(path), "%s", dir);
    for (size_t i = 0; i < n; i++)
        there |= v[i].directory && strcmp(v[i].directory, path) == 0;
    remap_spares_free(v, n);
    if (!there && spare_add(fs, 0, dir))
        event_add(fs, "spare_add_failed", "s:s, s:s", "directory", dir, "error", fs->remapper.said);
}

/* ---- .holo/remap ---- */

/* What a block of a container file is; *x: the stored position of data and parity, else UINT32_MAX. */
static const char *kind_of(const struct holofs *fs, const struct container *c, uint32_t file_block, uint32_t *x)
{
    uint32_t positions = c->used + 2 * c->r * ecc_layout_stripes(fs->sb.nmax, fs->sb.k), t = chead_table_blocks_for(positions);
    *x = UINT32_MAX;
    if (file_block == 0 || file_block > 2 * t + positions)
        return "header";
    if (file_block <= t || file_block > t + positions)
        return "table";
    *x = file_block - 1 - t;
    return *x >= c->used ? "parity" : c->cls == CLASS_DATA ? "data" : "metadata";
}

struct listing {
    struct holofs *fs;
    struct buf *out;
    uint64_t n;
};

static int list_one(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct listing *l = arg;
    char path[1024] = "";
    uint32_t x = UINT32_MAX;
    const struct container *c = ctab_find(l->fs, container);
    const char *kind = c ? kind_of(l->fs, c, file_block, &x) : "";
    if (x != UINT32_MAX && strcmp(kind, "data") == 0 && l->n < PATHS_TOLD)
        container_owner(l->fs, container, x, path, sizeof(path));
    json_t *o = json_pack("{s:I, s:I, s:s, s:I, s:I}", "container", (json_int_t)container, "file_block", (json_int_t)file_block, "what", kind,
                          "spare", (json_int_t)spare, "spare_block", (json_int_t)spare_block);
    if (o && *path)
        json_object_set_new(o, "path", json_string(path)); /* a name that is not UTF-8 is left out */
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    int e = text ? buf_printf(l->out, "%s%s", l->n++ ? ",\n" : "\n", text) : -ENOMEM;
    free(text);
    return e;
}

static json_t *spares_json(struct holofs *fs)
{
    static const char *const state[] = { [REMAP_SPARE_OK] = "ok", [REMAP_SPARE_AWAY] = "away", [REMAP_SPARE_FAILING] = "failing",
                                         [REMAP_SPARE_LEAVING] = "leaving" };
    struct remap_spare_info *v;
    size_t n;
    json_t *a = json_array();
    if (remap_spares(fs->remap, &v, &n))
        return a;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "spare", (json_int_t)v[i].number, "blocks",
                                           (json_int_t)v[i].blocks, "used", (json_int_t)v[i].used, "bad", (json_int_t)v[i].bad, "state",
                                           state[v[i].state], "directory", v[i].directory ? v[i].directory : "", "error",
                                           v[i].error ? holo_strerror(v[i].error) : ""));
    remap_spares_free(v, n);
    return a;
}

static char *head_text(struct holofs *fs)
{
    struct remap_stats s;
    remap_stats(fs->remap, &s);
    mutex_lock(&fs->remapper.lock);
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:{s:I, s:I, s:I}}", "remaps", (json_int_t)s.remaps, "spare_blocks",
                          (json_int_t)s.spare_blocks, "spare_used", (json_int_t)s.spare_used, "spare_bad", (json_int_t)s.spare_bad,
                          "copies_repaired", (json_int_t)s.copies_repaired, "sequence", (json_int_t)s.sequence, "said", fs->remapper.said,
                          "test", "time", (json_int_t)fs->remapper.tested_s, "tested", (json_int_t)fs->remapper.tested, "bad",
                          (json_int_t)fs->remapper.bad);
    mutex_unlock(&fs->remapper.lock);
    if (o)
        json_object_set_new(o, "spares", spares_json(fs));
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    return text;
}

int holofs_remap_json(struct holofs *fs, struct buf *out)
{
    struct listing l = { .fs = fs, .out = out };
    char *head = head_text(fs);
    int e = head ? buf_add(out, head, strlen(head) - 1) : -ENOMEM; /* without its closing brace */
    free(head);
    if (!e)
        e = buf_printf(out, ",\"list\":[");
    if (!e)
        e = remap_each(fs->remap, list_one, &l);
    return e ? e : buf_printf(out, "]}\n");
}
