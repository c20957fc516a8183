/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seen.h: run a check on a rig's store and keep what it told. */
#ifndef HOLO_TESTS_FSCK_SEEN_H
#define HOLO_TESTS_FSCK_SEEN_H

#include "core/fsck.h"
#include "tests/core/rig.h"

enum { SEEN_MAX = 400 };

struct seen {
    struct fsck_result r;
    int result, code;
    size_t n;
    struct {
        unsigned number;
        enum fsck_outcome outcome;
        char path[120];
    } v[SEEN_MAX];
    unsigned asked, yes_to; /* yes_to: the answer is yes to this number alone; 0: to all */
};

static void seen_problem(void *arg, const struct fsck_seen *p)
{
    struct seen *s = arg;
    if (getenv("VERBOSE"))
        print_message("  %u %d %s: %s (%s)\n", p->problem->number, (int)p->outcome, p->where.path ? p->where.path : "",
                      p->problem->text, p->where.detail ? p->where.detail : "");
    if (s->n == SEEN_MAX)
        return;
    s->v[s->n].number = p->problem->number;
    s->v[s->n].outcome = p->outcome;
    snprintf(s->v[s->n++].path, sizeof(s->v[0].path), "%s", p->where.path ? p->where.path : "");
}

static bool seen_ask(void *arg, const struct fsck_problem *p, const struct fsck_where *w)
{
    struct seen *s = arg;
    (void)w;
    s->asked++;
    return !s->yes_to || s->yes_to == p->number;
}

static inline bool seen_has(const struct seen *s, unsigned number, enum fsck_outcome outcome)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].number == number && s->v[i].outcome == outcome)
            return true;
    }
    return false;
}

/* The first number told with this outcome, 0 if none. */
static inline unsigned seen_any(const struct seen *s, enum fsck_outcome outcome)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].outcome == outcome)
            return s->v[i].number;
    }
    return 0;
}

/* Options with a talk that fills *s. */
static inline struct fsck_options seen_options(struct seen *s, enum fsck_mode mode)
{
    memset(s, 0, sizeof(*s));
    return (struct fsck_options){ .mode = mode, .engine = "scalar", .tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL,
                                  .talk = { .arg = s, .problem = seen_problem, .ask = seen_ask } };
}

static inline void seen_run(const char *store, const struct fsck_options *o, struct seen *s)
{
    s->result = holofs_fsck(store, o, &s->r);
    s->code = fsck_exit_code(s->result, &s->r);
    if (getenv("VERBOSE"))
        print_message("  mode %d: exit %d %s\n", (int)o->mode, s->code, s->r.why);
}

static inline void seen_check(const char *store, enum fsck_mode mode, struct seen *s)
{
    struct fsck_options o = seen_options(s, mode);
    seen_run(store, &o, s);
}

#endif
