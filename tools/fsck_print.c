/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_print.c: what holofsck says, for people or as JSON lines. */
#include "tools/fsck_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

enum { PROGRESS_NS = 100000000 };

static const char *const phase_names[FSCK_PHASES + 1] = {
    [FSCK_PHASE_SUPER] = "superblocks and lock",
    [FSCK_PHASE_RING] = "ring",
    [FSCK_PHASE_INDEX] = "index against containers",
    [FSCK_PHASE_NAMES] = "names",
    [FSCK_PHASE_REMAP] = "remap table and spares",
    [FSCK_PHASE_SUMS] = "checksums",
    [FSCK_PHASE_PARITY] = "parity",
    [FSCK_PHASE_REPAIR] = "repair",
    [FSCK_PHASE_VERIFY] = "verify again",
};

static const char *const outcome_names[] = {
    [FSCK_NOTED] = "noted", [FSCK_REPAIRABLE] = "repairable", [FSCK_REPAIRED] = "repaired", [FSCK_UNREPAIRED] = "left", [FSCK_LOST] = "lost",
};

static void clear_line(struct fsck_print *p)
{
    if (p->line_open)
        fprintf(stderr, "\r%60s\r", "");
    p->line_open = false;
}

/* ---- for people ---- */

static void print_where(FILE *to, const struct fsck_where *w)
{
    if (w->path)
        fprintf(to, "%s", w->path);
    if (w->ino)
        fprintf(to, w->path ? " (inode %" PRIu64 ")" : "inode %" PRIu64, w->ino);
    if (w->len)
        fprintf(to, ", bytes %" PRIu64 " to %" PRIu64, w->off, w->off + w->len - 1);
    if (w->container)
        fprintf(to, "%scontainer %08x", w->path || w->ino ? ", " : "", (unsigned)w->container);
    if (w->container && w->blocks > 1)
        fprintf(to, " blocks %u to %u", (unsigned)w->block, (unsigned)(w->block + w->blocks - 1));
    else if (w->container && (w->blocks || w->block))
        fprintf(to, " block %u", (unsigned)w->block);
}

static void print_problem(FILE *to, const struct fsck_problem *p, const struct fsck_where *w)
{
    print_where(to, w);
    fprintf(to, "%s%s", w->path || w->ino || w->container ? ": " : "", p->text);
    if (w->detail)
        fprintf(to, ": %s", w->detail);
}

static void say_text(struct fsck_print *p, const struct fsck_seen *s)
{
    if (s->outcome == FSCK_NOTED && !p->verbose)
        return;
    clear_line(p);
    printf("%u %s: ", s->problem->number, outcome_names[s->outcome]);
    print_problem(stdout, s->problem, &s->where);
    putchar('\n');
}

/* ---- for programs ---- */

static void set(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

static void set_number(json_t *o, const char *key, uint64_t value)
{
    set(o, key, json_integer((json_int_t)value));
}

/* A path need not be UTF-8: then its bytes are given in hexadecimal. */
static void set_path(json_t *o, const char *path)
{
    char hex[2 * 4096 + 1] = "";
    json_t *s = json_string(path);
    if (s) {
        set(o, "path", s);
        return;
    }
    for (size_t i = 0; path[i] && i < 4096; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)path[i]);
    set(o, "path_hex", json_string(hex));
}

static void write_line(json_t *o)
{
    if (o)
        json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static void say_json(const struct fsck_seen *s)
{
    const struct fsck_where *w = &s->where;
    json_t *o = json_pack("{s:s, s:i, s:s, s:i, s:s, s:b}", "event", "problem", "number", (int)s->problem->number, "name", s->problem->name,
                          "phase", (int)s->phase, "outcome", outcome_names[s->outcome], "recoverable", s->outcome != FSCK_LOST);
    if (!o)
        return;
    if (w->path)
        set_path(o, w->path);
    if (w->ino)
        set_number(o, "inode", w->ino);
    if (w->len) {
        set_number(o, "offset", w->off);
        set_number(o, "length", w->len);
    }
    if (w->container)
        set_number(o, "container", w->container);
    if (w->container && (w->block || w->blocks)) {
        set_number(o, "block", w->block);
        set_number(o, "blocks", w->blocks ? w->blocks : 1);
    }
    set(o, "text", json_string(s->problem->text));
    if (w->detail)
        set(o, "detail", json_string(w->detail));
    write_line(o);
}

static void on_problem(void *arg, const struct fsck_seen *s)
{
    struct fsck_print *p = arg;
    p->all_safe &= s->outcome != FSCK_REPAIRABLE || s->problem->kind == PROBLEM_SAFE;
    if (p->json)
        say_json(s);
    else
        say_text(p, s);
    fflush(stdout);
}

/* ---- questions ---- */

static bool on_question(void *arg, const struct fsck_problem *problem, const struct fsck_where *w)
{
    struct fsck_print *p = arg;
    static const struct fsck_where nowhere = { 0 };
    char answer[16];
    clear_line(p);
    for (;;) {
        printf("%u ", problem->number);
        print_problem(stdout, problem, w ? w : &nowhere);
        printf("\nRepair it? [yn] ");
        fflush(stdout);
        if (!fgets(answer, sizeof(answer), stdin))
            return false;
        if (answer[0] == 'y' || answer[0] == 'Y')
            return true;
        if (answer[0] == 'n' || answer[0] == 'N')
            return false;
    }
}

/* ---- progress ---- */

static int on_progress(void *arg, enum fsck_phase phase, uint64_t done, uint64_t total)
{
    struct fsck_print *p = arg;
    uint64_t now = clock_mono_ns();
    bool begins = phase != p->phase;
    if (p->stop && p->stop())
        return 1;
    if (!begins && now - p->told_ns < PROGRESS_NS)
        return 0;
    p->phase = phase;
    p->told_ns = now;
    if (begins && p->verbose && !p->json) {
        clear_line(p);
        printf("phase %d: %s\n", (int)phase, phase_names[phase]);
    }
    total = total > done ? total : done;
    if (p->progress_fd >= 0)
        dprintf(p->progress_fd, "%d %llu %llu %s\n", (int)phase, (unsigned long long)done, (unsigned long long)total, p->store);
    else if (p->terminal && total) {
        fprintf(stderr, "\rphase %d, %s: %llu of %llu ", (int)phase, phase_names[phase], (unsigned long long)done,
                (unsigned long long)total);
        p->line_open = true;
    }
    return 0;
}

void fsck_print_init(struct fsck_print *p, struct fsck_talk *talk)
{
    p->all_safe = true;
    *talk = (struct fsck_talk){ .arg = p, .problem = on_problem, .ask = on_question, .progress = on_progress };
}

/* ---- the end ---- */

/* What to do next, or NULL if nothing has to be done. */
static const char *next_command(const struct fsck_print *p, const struct fsck_result *r, int result, char *out, size_t cap)
{
    if (result && result != -ECANCELED)
        return NULL;
    if (result == -ECANCELED)
        snprintf(out, cap, "holofsck %s %s", p->look ? "-n" : "-y", p->store);
    else if (p->look && r->left)
        snprintf(out, cap, "holofsck %s %s", p->all_safe ? "-p" : "-y", p->store);
    else if (r->left)
        snprintf(out, cap, "holofsck -y %s", p->store);
    else
        return NULL;
    return out;
}

static const char *verdict(int code)
{
    if (code & FSCK_EXIT_ERROR)
        return "could not be checked";
    if (code & FSCK_EXIT_CANCELLED)
        return "stopped before the end";
    if (code & FSCK_EXIT_LEFT)
        return "errors left";
    return code & FSCK_EXIT_REPAIRED ? "repaired" : "clean";
}

static void summary_json(struct fsck_print *p, const struct fsck_result *r, int result, int code, const char *next)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "event", "summary", "store", p->store, "verdict",
                          verdict(code), "exit", code, "found", (json_int_t)r->found, "repaired", (json_int_t)r->repaired, "left",
                          (json_int_t)r->left, "lost", (json_int_t)r->lost, "containers", (json_int_t)r->containers, "blocks",
                          (json_int_t)r->blocks, "unclean", r->unclean, "index_rebuilt", r->index_rebuilt);
    if (o && result && result != -ECANCELED)
        set(o, "error", json_string(r->why));
    if (o)
        set(o, "next", next ? json_string(next) : json_null());
    write_line(o);
}

static void summary_text(struct fsck_print *p, const struct fsck_result *r, int result, int code, const char *next)
{
    if (result && result != -ECANCELED) {
        fprintf(stderr, "holofsck: %s\n", r->why);
        return;
    }
    printf("%s: %" PRIu64 " containers, %" PRIu64 " blocks verified\n", p->store, r->containers, r->blocks);
    if (r->unclean)
        printf("%s: was not closed cleanly%s\n", p->store, p->look ? "" : ": log replayed");
    if (r->found)
        printf("%s: %" PRIu64 " problems: %" PRIu64 " repaired, %" PRIu64 " left, %" PRIu64 " cannot be repaired\n", p->store, r->found,
               r->repaired, r->left, r->lost);
    printf("%s: %s\n", p->store, verdict(code));
    if (next)
        printf("next: %s\n", next);
}

void fsck_print_undo(const struct fsck_print *p, const struct undo_apply_result *r, int result)
{
    if (p->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "event", "undo", "store", p->store, "verdict",
                              result ? "failed" : "undone", "files", (json_int_t)r->files, "removed", (json_int_t)r->removed, "blocks",
                              (json_int_t)r->blocks, "unreadable", (json_int_t)r->unreadable, "unfinished", r->unfinished);
        if (o && result)
            set(o, "error", json_string(r->why));
        write_line(o);
        return;
    }
    if (result) {
        fprintf(stderr, "holofsck: %s\n", r->why);
        return;
    }
    if (r->unfinished)
        printf("%s: the repair had not come to its end\n", p->store);
    if (r->unreadable)
        printf("%s: %" PRIu64 " blocks could not be read before the repair: they are left as it made them\n", p->store, r->unreadable);
    printf("%s: undone: %" PRIu64 " files put back (%" PRIu64 " blocks), %" PRIu64 " removed\n", p->store, r->files, r->blocks, r->removed);
}

void fsck_print_summary(struct fsck_print *p, const struct fsck_result *r, int result, int code)
{
    char next[5000];
    const char *command = next_command(p, r, result, next, sizeof(next));
    clear_line(p);
    if (p->json)
        summary_json(p, r, result, code, command);
    else
        summary_text(p, r, result, code, command);
    fflush(stdout);
}
