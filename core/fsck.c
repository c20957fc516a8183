/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck.c: the order of the phases of holofsck, what is told of problems, and what is decided about them. */
#include "core/fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/fsck_private.h"

#define FSCK_PROBLEM_ROW(number, name, text_name, kind, text) [PR_##name] = { number, text_name, text, PROBLEM_##kind },
static const struct fsck_problem problems[PR_COUNT] = { FSCK_PROBLEMS(FSCK_PROBLEM_ROW) };

const struct fsck_problem *fsck_problem_of(enum fsck_problem_id id)
{
    return &problems[id];
}

/* ---- problems ---- */

bool fsck_wants(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w)
{
    enum problem_kind kind = problems[id].kind;
    if (f->muted || kind == PROBLEM_NOTE || kind == PROBLEM_LOST)
        return false;
    switch (f->mode) {
    case FSCK_LOOK:
        return false;
    case FSCK_PREEN:
        return kind == PROBLEM_SAFE;
    case FSCK_ALL:
        return true;
    case FSCK_ASK:
        return f->o->talk.ask && f->o->talk.ask(f->o->talk.arg, &problems[id], w);
    }
    return false;
}

static void count(struct fsck_result *r, enum fsck_outcome outcome)
{
    r->found += outcome != FSCK_NOTED;
    r->repaired += outcome == FSCK_REPAIRED;
    r->left += outcome == FSCK_REPAIRABLE || outcome == FSCK_UNREPAIRED;
    r->lost += outcome == FSCK_LOST;
}

/* Can making the index anew help? What is on the medium stays as it is. */
static bool is_of_index(enum fsck_problem_id id)
{
    unsigned n = problems[id].number;
    return problems[id].kind != PROBLEM_NOTE && ((n >= 320 && n < 500) || id == PR_CONTAINER_STRANGE);
}

static void see(struct fsck *f, enum fsck_problem_id id, enum fsck_outcome outcome)
{
    f->told += f->muted;
    f->seen[id] += outcome != FSCK_NOTED && outcome != FSCK_REPAIRED;
    if (!is_of_index(id) || outcome == FSCK_NOTED)
        return;
    f->seen_of_index++;
    f->last_of_index = id;
}

void fsck_tell(struct fsck *f, enum fsck_problem_id id, enum fsck_outcome outcome, const struct fsck_where *w)
{
    static const struct fsck_where nowhere = { 0 };
    see(f, id, outcome);
    if (f->muted)
        return;
    count(f->r, outcome);
    struct fsck_seen s = { .problem = &problems[id], .outcome = outcome, .phase = f->phase, .where = w ? *w : nowhere };
    if (f->o->talk.problem)
        f->o->talk.problem(f->o->talk.arg, &s);
}

enum fsck_outcome fsck_not_now(const struct fsck *f, enum fsck_problem_id id)
{
    switch (problems[id].kind) {
    case PROBLEM_NOTE:
        return FSCK_NOTED;
    case PROBLEM_LOST:
        return FSCK_LOST;
    default:
        return f->mode == FSCK_LOOK ? FSCK_REPAIRABLE : FSCK_UNREPAIRED;
    }
}

bool fsck_found(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w)
{
    if (f->writable && fsck_wants(f, id, w))
        return true;
    fsck_tell(f, id, fsck_not_now(f, id), w);
    return false;
}

static char *copy_of(const char *s)
{
    return s ? strdup(s) : NULL;
}

int fsck_pend(struct fsck_pending **list, struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w)
{
    struct fsck_pending *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->id = id;
    p->phase = f->phase;
    p->where = *w;
    p->where.path = copy_of(w->path);
    p->where.detail = copy_of(w->detail);
    while (*list)
        list = &(*list)->next;
    *list = p;
    return 0;
}

void fsck_settle(struct fsck *f, struct fsck_pending **list, enum fsck_outcome outcome, const char *detail)
{
    enum fsck_phase phase = f->phase;
    while (*list) {
        struct fsck_pending *p = *list;
        *list = p->next;
        char *own[2] = { (char *)(uintptr_t)p->where.path, (char *)(uintptr_t)p->where.detail };
        if (detail && !p->where.detail)
            p->where.detail = detail;
        f->phase = p->phase;
        fsck_tell(f, p->id, outcome, &p->where);
        free(own[0]);
        free(own[1]);
        free(p);
    }
    f->phase = phase;
}

int fsck_found_before_opening(struct fsck *f, enum fsck_problem_id id, const struct fsck_where *w)
{
    if (fsck_wants(f, id, w))
        return fsck_pend(&f->opening, f, id, w);
    f->refused |= problems[id].kind == PROBLEM_SAFE || problems[id].kind == PROBLEM_TREE;
    fsck_tell(f, id, fsck_not_now(f, id), w);
    return 0;
}

int fsck_progress(struct fsck *f, uint64_t done, uint64_t total)
{
    if (f->o->talk.progress && f->o->talk.progress(f->o->talk.arg, f->phase, done, total))
        return -ECANCELED;
    if (f->deadline_ns && clock_mono_ns() > f->deadline_ns) {
        f->r->timed_out = true;
        return -ECANCELED;
    }
    return 0;
}

const char *fsck_path(struct fsck *f, uint64_t ino, char *buf, size_t cap)
{
    int n = -ENOENT;
    mutex_lock(&f->fs->reader_lock);
    if (f->fs->reader && ino)
        n = meta_path_of(f->fs->reader, ino, buf, cap);
    mutex_unlock(&f->fs->reader_lock);
    return n > 0 ? buf : NULL;
}

/* ---- the whole ---- */

typedef int (*phase_fn)(struct fsck *f);

static int run_phase(struct fsck *f, enum fsck_phase phase, phase_fn run)
{
    f->phase = phase;
    int e = fsck_progress(f, 0, 0);
    return e ? e : run(f);
}

static int extents_and_names(struct fsck *f)
{
    int e = run_phase(f, FSCK_PHASE_INDEX, fsck_extents);
    return e ? e : run_phase(f, FSCK_PHASE_NAMES, fsck_names);
}

/*
 * The index is a cache: when it contradicts itself, the containers or the tree, it is made anew from the log first, and only
 * what is wrong after that is a problem of the store.
 */
static int muted_pass(struct fsck *f, uint64_t *seen)
{
    uint32_t kept[PR_COUNT];
    memcpy(kept, f->seen, sizeof(kept));
    f->muted = true;
    f->seen_of_index = f->told = 0;
    int e = extents_and_names(f);
    f->muted = false;
    memcpy(f->seen, kept, sizeof(kept));
    *seen = f->seen_of_index;
    return e;
}

static int index_and_names(struct fsck *f)
{
    uint64_t before = 0, after = 0;
    if (f->index_is_new || !f->log_whole)
        return extents_and_names(f);
    int e = muted_pass(f, &before);
    if (e || !before)
        return e || !f->told ? e : extents_and_names(f);
    struct fsck_where w = { .path = "index.db", .detail = problems[f->last_of_index].name };
    f->phase = FSCK_PHASE_INDEX;
    bool wanted = f->writable && fsck_wants(f, PR_INDEX_WRONG, &w);
    if (wanted || !f->writable) {
        e = fsck_reopen_rebuilt(f);
        if (!e)
            e = muted_pass(f, &after);
        f->phase = FSCK_PHASE_INDEX;
        if (!e && after < before) /* it was the index */
            fsck_tell(f, PR_INDEX_WRONG, wanted ? FSCK_REPAIRED : fsck_not_now(f, PR_INDEX_WRONG), &w);
    }
    return e ? e : extents_and_names(f);
}

static int check_open(struct fsck *f)
{
    f->phase = FSCK_PHASE_INDEX;
    int e = fsck_log(f);
    if (!e)
        e = run_phase(f, FSCK_PHASE_INDEX, fsck_containers);
    if (!e)
        e = index_and_names(f);
    if (!e)
        e = run_phase(f, FSCK_PHASE_REMAP, fsck_remap);
    if (!e)
        e = fsck_scope(f);
    if (!e)
        e = run_phase(f, FSCK_PHASE_SUMS, fsck_sums);
    if (!e)
        e = run_phase(f, FSCK_PHASE_PARITY, fsck_parity);
    if (!e)
        e = run_phase(f, FSCK_PHASE_REPAIR, fsck_repair);
    return e;
}

static int take_position(struct fsck *f)
{
    const struct fsck_position *p = f->o->resume;
    memcpy(f->r->stopped.uuid, f->sb.uuid, sizeof(f->sb.uuid));
    if (!p || f->muted)
        return 0;
    if (memcmp(p->uuid, f->sb.uuid, sizeof(f->sb.uuid)) != 0) {
        snprintf(f->r->why, sizeof(f->r->why), "the check to go on with was of another store than %.400s", f->path);
        return -EINVAL;
    }
    f->resume_from = p->next;
    return 0;
}

static int before_opening(struct fsck *f)
{
    int e = run_phase(f, FSCK_PHASE_SUPER, fsck_super);
    if (!e)
        e = take_position(f);
    if (!e)
        e = run_phase(f, FSCK_PHASE_RING, fsck_ring);
    f->phase = FSCK_PHASE_REMAP;
    return e ? e : fsck_remap_copies(f);
}

static void drop_backing(struct fsck *f)
{
    if (f->b)
        f->b->ops->close(f->b);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    f->b = NULL;
    f->lock_fd = -1;
}

/* Containers that were repaired, past the page cache; what is known to be lost may still be. */
static int look_again_at_containers(struct fsck *f, const struct ids *ids)
{
    int e = 0;
    for (size_t i = 0; i < ids->n && !e; i++) {
        struct verify_result r;
        struct container *c = ctab_find(f->fs, ids->v[i]);
        if (!c || c->state != CONTAINER_SEALED)
            continue;
        e = container_scrub(f->fs, ids->v[i], &(struct scrub_how){ 0 }, &r);
        e = e == -ENOMEM ? e : 0;
        if (!e && r.bad > r.lost)
            fsck_tell(f, PR_BLOCK_BAD, FSCK_REPAIRABLE, NULL);
        if (!e)
            e = fsck_progress(f, i + 1, ids->n);
    }
    return e;
}

/* Another check that only looks, of what this one changed. What was not left must be gone. */
static int verify(struct fsck *f)
{
    struct fsck_result r = { 0 };
    struct fsck again = { .path = f->path, .o = f->o, .r = &r, .mode = FSCK_LOOK, .lock_fd = -1, .muted = true,
                          .deadline_ns = f->deadline_ns };
    f->phase = FSCK_PHASE_VERIFY;
    int e = fsck_progress(f, 0, 0);
    if (!e)
        e = before_opening(&again);
    drop_backing(&again);
    again.muted = false; /* what opening itself finds is told by its caller */
    if (!e)
        e = fsck_open_look(&again, false);
    again.muted = true;
    again.phase = FSCK_PHASE_VERIFY;
    if (!e)
        e = fsck_log(&again);
    if (!e)
        e = fsck_containers(&again);
    if (!e)
        e = fsck_extents(&again);
    if (!e)
        e = fsck_names(&again);
    if (!e)
        e = look_again_at_containers(&again, &f->touched);
    for (unsigned id = 0; id < PR_COUNT && !e; id++) {
        if (again.seen[id] && !f->seen[id])
            fsck_tell(f, PR_STILL_THERE, FSCK_LOST, &(struct fsck_where){ .detail = problems[id].name });
    }
    fsck_close(&again);
    fsck_drop_private(&again);
    free(again.touched.v);
    free(again.runs.v);
    return e;
}

static int whole_check(struct fsck *f)
{
    int e = before_opening(f);
    drop_backing(f);
    if (!e) {
        f->phase = FSCK_PHASE_INDEX;
        e = fsck_open(f);
    }
    if (!e)
        e = check_open(f);
    f->r->stopped.next = e ? f->resume_from : 0;
    int blamed = f->fs ? fsck_blame(f) : 0;
    fsck_settle(f, &f->opening, FSCK_UNREPAIRED, NULL);
    fsck_settle(f, &f->dumping, fsck_not_now(f, PR_LOG_GAP), NULL);
    bool changed = f->writable && (f->changed || f->r->repaired);
    int closed = fsck_close(f);
    int kept = fsck_undo_end(f);
    e = kept ? kept : e ? e : blamed ? blamed : closed;
    return e || !changed ? e : verify(f);
}

static void fini(struct fsck *f)
{
    drop_backing(f);
    fsck_drop_private(f);
    free(f->runs.v);
    free(f->touched.v);
    free(f->disagree.v);
    free(f->disagree_stripes);
    free(f->only.v);
}

int holofs_fsck(const char *path, const struct fsck_options *o, struct fsck_result *out)
{
    struct fsck f = { .path = path, .o = o, .r = out, .mode = o->mode, .lock_fd = -1 };
    *out = (struct fsck_result){ 0 };
    if (o->max_seconds)
        f.deadline_ns = clock_mono_ns() + (uint64_t)o->max_seconds * 1000000000u;
    int e = fsck_undo_check(&f);
    if (!e)
        e = whole_check(&f);
    if (e && e != -ECANCELED && !out->why[0])
        snprintf(out->why, sizeof(out->why), "%s: %s", path, holo_strerror(e));
    fini(&f);
    return e;
}

int fsck_exit_code(int result, const struct fsck_result *r)
{
    int code = (r->repaired ? FSCK_EXIT_REPAIRED : 0) | (r->left || r->lost ? FSCK_EXIT_LEFT : 0);
    if (result == -ECANCELED)
        return code | FSCK_EXIT_CANCELLED;
    return result ? code | FSCK_EXIT_ERROR : code;
}
