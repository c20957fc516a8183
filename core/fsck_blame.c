/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_blame.c: whose are the bad blocks? Told by file where an extent needs them, else by container.
 *
 * The index leads from files to blocks only, so bad blocks are gathered and looked for in one pass over all extents.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/fsck_private.h"

struct blame {
    struct fsck *f;
    /* what is told next, unless the next extent goes on with it */
    uint64_t ino, off, len;
    struct fsck_run run; /* block, n: those of the file */
};

static int by_place(const void *pa, const void *pb)
{
    const struct fsck_run *a = pa, *b = pb;
    if (a->container != b->container)
        return a->container < b->container ? -1 : 1;
    return a->block < b->block ? -1 : a->block > b->block;
}

static enum fsck_problem_id problem_of(const struct fsck_run *r)
{
    if (r->what == RUN_TABLE)
        return PR_TABLE_BAD;
    if (r->what == RUN_HEADER)
        return PR_HEADER_BAD;
    if (r->fate == RUN_LOST)
        return PR_BLOCK_LOST;
    return r->what == RUN_PARITY ? PR_PARITY_BAD : PR_BLOCK_BAD;
}

static enum fsck_outcome outcome_of(struct fsck *f, const struct fsck_run *r)
{
    if (r->fate == RUN_REPAIRED)
        return FSCK_REPAIRED;
    return r->fate == RUN_LOST ? FSCK_LOST : f->mode == FSCK_LOOK ? FSCK_REPAIRABLE : FSCK_UNREPAIRED;
}

static void tell_file(struct blame *b)
{
    char path[4096];
    if (!b->len)
        return;
    struct fsck_where w = { .ino = b->ino, .off = b->off, .len = b->len, .container = b->run.container, .block = b->run.block,
                            .blocks = b->run.n };
    w.path = fsck_path(b->f, b->ino, path, sizeof(path));
    b->f->phase = FSCK_PHASE_SUMS;
    fsck_tell(b->f, b->run.fate == RUN_LOST ? PR_FILE_LOST : PR_BLOCK_BAD, outcome_of(b->f, &b->run), &w);
    b->len = 0;
}

static void add_file(struct blame *b, uint64_t ino, uint64_t off, uint64_t len, const struct fsck_run *r, uint32_t block, uint32_t n)
{
    bool same = b->len && b->ino == ino && b->run.fate == r->fate && b->run.container == r->container && b->off + b->len >= off;
    if (!same) {
        tell_file(b);
        b->ino = ino;
        b->off = off;
        b->len = len;
        b->run = *r;
        b->run.block = block;
        b->run.n = n;
        return;
    }
    uint64_t end = off + len > b->off + b->len ? off + len : b->off + b->len;
    uint32_t last = block + n > b->run.block + b->run.n ? block + n : b->run.block + b->run.n;
    b->len = end - b->off;
    b->run.block = block < b->run.block ? block : b->run.block;
    b->run.n = last - b->run.block;
}

/* The first run that ends behind a block. */
static size_t first_run(const struct fsck_runs *l, uint32_t container, uint32_t block)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct fsck_run *r = &l->v[mid];
        if (r->container < container || (r->container == container && r->block + r->n <= block))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The part of a run of raw blocks that is bad; a compressed piece is bad as a whole. */
static void blame_extent(struct blame *b, uint64_t ino, const struct extent *e, struct fsck_run *r, uint32_t base)
{
    uint64_t from = (uint64_t)(r->block - base) * BLOCK_SIZE, to = from + (uint64_t)r->n * BLOCK_SIZE;
    uint64_t first = (uint64_t)e->coff + e->skip, off = e->off, len = e->len;
    if (e->codec == EXTENT_RUN) {
        uint64_t lo = from > first ? from : first, hi = to < first + e->len ? to : first + e->len;
        if (lo >= hi)
            return;
        off = e->off + (lo - first);
        len = hi - lo;
    }
    uint32_t bl = (uint32_t)(e->coff / BLOCK_SIZE), bh = (uint32_t)((e->coff + (uint64_t)e->stored + BLOCK_SIZE - 1) / BLOCK_SIZE);
    uint32_t lo = r->block > base + bl ? r->block : base + bl, hi = r->block + r->n < base + bh ? r->block + r->n : base + bh;
    r->named = true;
    add_file(b, ino, off, len, r, lo, hi - lo);
}

static void look_at_extent(struct blame *b, uint64_t ino, const struct extent *e)
{
    struct container *c = ctab_find(b->f->fs, e->container);
    if (!c || c->head)
        return;
    struct copen *o;
    if (b->f->runs.n == 0 || first_run(&b->f->runs, e->container, 0) == b->f->runs.n ||
        b->f->runs.v[first_run(&b->f->runs, e->container, 0)].container != e->container || copen_get(b->f->fs, e->container, &o))
        return;
    uint32_t base = chead_file_block(&o->h, 0);
    copen_put(b->f->fs, o);
    uint32_t first = base + e->coff / BLOCK_SIZE, end = base + (uint32_t)((e->coff + (uint64_t)e->stored + BLOCK_SIZE - 1) / BLOCK_SIZE);
    for (size_t i = first_run(&b->f->runs, e->container, first); i < b->f->runs.n; i++) {
        struct fsck_run *r = &b->f->runs.v[i];
        if (r->container != e->container || r->block >= end)
            break;
        if (r->what == RUN_CONTENT)
            blame_extent(b, ino, e, r, base);
    }
}

static int look_at_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct blame *b = arg;
    struct window w = { 0 };
    int e = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n; i++)
        look_at_extent(b, ino, &w.e[i]);
    window_fini(&w);
    return e == -ENOMEM ? e : 0;
}

/* Lost blocks of metadata come back from the index. */
static int tell_metadata(struct fsck *f, const struct fsck_run *r)
{
    struct fsck_where w = { .container = r->container, .block = r->block, .blocks = r->n };
    if (!fsck_found(f, PR_METADATA_BLOCK, &w))
        return 0;
    f->want_dump = true;
    return fsck_pend(&f->dumping, f, PR_METADATA_BLOCK, &w);
}

static int tell_rest(struct fsck *f)
{
    int e = 0;
    for (size_t i = 0; i < f->runs.n && !e; i++) {
        const struct fsck_run *r = &f->runs.v[i];
        struct container *c = ctab_find(f->fs, r->container);
        f->phase = r->what == RUN_PARITY ? FSCK_PHASE_PARITY : FSCK_PHASE_SUMS;
        if (r->named)
            continue;
        if (r->fate == RUN_LOST && c && c->cls != CLASS_DATA)
            e = tell_metadata(f, r);
        else
            fsck_tell(f, problem_of(r), outcome_of(f, r),
                      &(struct fsck_where){ .container = r->container, .block = r->block, .blocks = r->n });
    }
    return e;
}

int fsck_blame(struct fsck *f)
{
    struct blame b = { .f = f };
    enum fsck_phase phase = f->phase;
    if (f->runs.n == 0)
        return 0;
    qsort(f->runs.v, f->runs.n, sizeof(*f->runs.v), by_place);
    int e = meta_each_window(f->scan, look_at_window, &b);
    tell_file(&b);
    int rest = tell_rest(f);
    f->runs.n = 0;
    f->phase = phase;
    return e ? e : rest;
}
