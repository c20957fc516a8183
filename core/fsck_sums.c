/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_sums.c: phase 6: every block of every container past the page cache: headers, tables, data, parity.
 *
 * One reading serves phases 6 and 7: a container is in memory whole (core/scrub.c), and what parity says of it is kept for phase
 * 7. With repair, what can be made right is written back there and then; when each problem is asked about, a container is read
 * once to know, and again to repair.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/fsck_private.h"

enum { RUNS_KEPT = 200000 };

int fsck_run_add(struct fsck *f, const struct fsck_run *r)
{
    struct fsck_runs *l = &f->runs;
    struct fsck_run *last = l->n ? &l->v[l->n - 1] : NULL;
    if (last && last->container == r->container && last->fate == r->fate && last->what == r->what && last->block + last->n == r->block) {
        last->n += r->n;
        return 0;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct fsck_run *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *r;
    return 0;
}

struct watching {
    struct fsck *f;
    uint32_t id;
    int error;
};

static void on_blocks(void *arg, enum scrub_what what, uint32_t block, uint32_t n, enum scrub_fate fate)
{
    static const enum fsck_what of[] = { [SCRUB_DATA] = RUN_CONTENT, [SCRUB_PARITY] = RUN_PARITY, [SCRUB_TABLE] = RUN_TABLE,
                                         [SCRUB_HEADER] = RUN_HEADER };
    static const enum fsck_fate fates[] = { [SCRUB_REPAIRED] = RUN_REPAIRED, [SCRUB_BAD] = RUN_BAD, [SCRUB_LOST] = RUN_LOST };
    struct watching *w = arg;
    struct fsck_run r = { .container = w->id, .block = block, .n = n, .fate = fates[fate], .what = of[what] };
    int e = fsck_run_add(w->f, &r);
    w->error = w->error ? w->error : e;
}

static int scrub(struct fsck *f, uint32_t id, bool heal, struct verify_result *r)
{
    struct watching w = { .f = f, .id = id };
    struct scrub_how how = { .heal = heal, .arg = &w, .blocks = on_blocks };
    int e = container_scrub(f->fs, id, &how, r);
    return e ? e : w.error;
}

/* Heal at once, or after a question. */
static int check_blocks(struct fsck *f, uint32_t id, struct verify_result *r)
{
    struct fsck_where w = { .container = id, .detail = "damaged blocks" };
    bool ask = f->writable && f->mode == FSCK_ASK;
    bool heal = f->writable && !ask && fsck_wants(f, PR_BLOCK_BAD, &w);
    size_t before = f->runs.n, contradictions = f->disagree.n;
    int e = scrub(f, id, heal, r);
    if (e || !ask || r->bad <= r->lost || !fsck_wants(f, PR_BLOCK_BAD, &w))
        return e;
    f->runs.n = before;
    f->disagree.n = contradictions;
    return scrub(f, id, true, r);
}

static bool is_out_of_scope(const struct fsck *f, uint32_t id)
{
    return f->o->only_path && !ids_has(&f->only, id);
}

static int check_one(void *arg, uint32_t id)
{
    struct fsck *f = arg;
    struct verify_result r;
    struct container *c = ctab_find(f->fs, id);
    if (!c || c->state != CONTAINER_SEALED || c->sealed_txg == UINT64_MAX || id < f->resume_from || is_out_of_scope(f, id))
        return 0;
    int e = check_blocks(f, id, &r);
    if (e == -ENOMEM)
        return e;
    f->r->containers++;
    f->r->blocks += r.blocks;
    if (e && e != -HOLO_ELOST && e != -ENOENT && ctab_find(f->fs, id)) /* those were told in phase 3 */
        fsck_tell(f, PR_CHECK_FAILED, FSCK_LOST, &(struct fsck_where){ .container = id, .detail = holo_strerror(e) });
    if (r.repaired) {
        copen_drop(f->fs, id); /* tables were perhaps healed: read them again */
        f->changed = true;
        e = ids_add(&f->touched, id);
        if (e)
            return e;
    }
    f->resume_from = id + 1;
    e = f->runs.n > RUNS_KEPT ? fsck_blame(f) : 0;
    return e ? e : fsck_progress(f, f->r->containers, f->fs->n_containers);
}

int fsck_sums(struct fsck *f)
{
    int e = ctab_each(f->fs, check_one, f);
    int blamed = fsck_blame(f);
    return e ? e : blamed;
}
