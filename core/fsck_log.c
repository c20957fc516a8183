/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_log.c: phase 3, first part: could the index be rebuilt without loss?
 *
 * That takes every container of the newest dump and every txg behind it, in metadata containers or in the ring. If something is
 * missing while the index is whole, then the index is what is left of it, and a dump of it makes the store whole again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/fsck_private.h"

struct span {
    uint64_t first, last; /* txgs */
};

struct log_view {
    struct fsck *f;
    struct span *v;
    size_t n, cap;
    uint64_t dump; /* txg of the newest dump, 0: none */
    uint32_t gone; /* a metadata container that is */
    int error;
};

static int add_span(struct log_view *l, uint64_t first, uint64_t last)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct span *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct span){ first, last };
    return 0;
}

static int look_at_log(void *arg, uint32_t id)
{
    struct log_view *l = arg;
    struct container *c = ctab_find(l->f->fs, id);
    struct copen *o;
    unsigned bad;
    if (!c || c->state != CONTAINER_SEALED || c->cls == CLASS_DATA || c->sealed_txg == UINT64_MAX)
        return 0;
    int e = copen_file(l->f->fs, id, false, &o, &bad);
    if (e == -ENOMEM)
        return e;
    if (e) {
        l->gone = id;
        return 0;
    }
    if (c->cls == CLASS_META_DUMP)
        l->dump = o->h.last_txg > l->dump ? o->h.last_txg : l->dump;
    else
        e = add_span(l, o->h.first_txg, o->h.last_txg);
    copen_free(o);
    return e;
}

static int by_first(const void *pa, const void *pb)
{
    const struct span *a = pa, *b = pb;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* The first txg that neither the dump nor the log has, or 0 if the ring goes on where they end. */
static uint64_t first_gap(struct log_view *l)
{
    uint64_t have = l->dump;
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_first);
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].last <= have)
            continue;
        if (l->v[i].first > have + 1)
            break;
        have = l->v[i].last;
    }
    return l->f->ring_first && have + 1 < l->f->ring_first ? have + 1 : 0;
}

int fsck_log(struct fsck *f)
{
    char detail[64];
    struct log_view l = { .f = f };
    int e = ctab_each(f->fs, look_at_log, &l);
    uint64_t gap = e ? 0 : first_gap(&l);
    free(l.v);
    f->log_whole = !e && !gap && !f->metadata_lost && !f->ring_hole;
    if (e || f->log_whole)
        return e;
    snprintf(detail, sizeof(detail), "from transaction group %llu on", (unsigned long long)gap);
    struct fsck_where w = { .container = l.gone };
    w.detail = gap ? detail : f->metadata_lost ? "what was lost when the index was made anew" : "what was lost with the ring";
    if (!fsck_found(f, PR_LOG_GAP, &w))
        return 0;
    f->want_dump = true;
    return fsck_pend(&f->dumping, f, PR_LOG_GAP, &w);
}
