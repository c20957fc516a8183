/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_index.c: phase 3: the index against the containers, both ways.
 *
 * From the index: each container that is named has a file whose header agrees; each extent lies inside a container that exists,
 * that container's table has the checksum which the extent repeats, and its directory names no other file for those bytes; counts add up. From the containers: each file is named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/fsck_tree.h"
#include "core/log.h"
#include "core/recover.h"

/* ---- containers ---- */

struct look {
    struct fsck *f;
    uint64_t done;
    uint64_t *live; /* by id, what extents refer to */
    size_t n_live;
};

static void tell_container(struct fsck *f, enum fsck_problem_id id, uint32_t container, const char *detail)
{
    fsck_tell(f, id, fsck_not_now(f, id), &(struct fsck_where){ .container = container, .detail = detail });
}

/* Metadata whose container is gone comes back from the index, if that is whole. */
static int metadata_gone(struct fsck *f, uint32_t id, const char *detail)
{
    struct fsck_where w = { .container = id, .detail = detail };
    if (!fsck_found(f, PR_METADATA_GONE, &w))
        return 0;
    f->want_dump = true;
    return fsck_pend(&f->dumping, f, PR_METADATA_GONE, &w);
}

static int check_header(struct fsck *f, const struct container *c, const struct copen *o)
{
    uint64_t size = 0;
    int e = o->f->ops->size(o->f, &size);
    uint64_t want = (uint64_t)chead_file_blocks(&o->h) * BLOCK_SIZE;
    if (o->h.cls != c->cls || o->h.r != c->r || o->h.used != c->used)
        tell_container(f, PR_CONTAINER_STRANGE, c->id, "class, redundancy or size");
    else if (!e && size > want && fsck_found(f, PR_CONTAINER_SHORT, &(struct fsck_where){ .container = c->id, .detail = "too long" })) {
        char name[CONTAINER_NAME_MAX];
        struct bfile *file;
        container_name(c->id, name);
        e = f->fs->backing->ops->open(f->fs->backing, name, BACKING_WRITE, &file);
        if (!e) {
            e = file->ops->truncate(file, want);
            file->ops->close(file);
        }
        fsck_tell(f, PR_CONTAINER_SHORT, e ? FSCK_UNREPAIRED : FSCK_REPAIRED,
                  &(struct fsck_where){ .container = c->id, .detail = e ? holo_strerror(e) : "too long" });
        f->changed = true;
    }
    return 0;
}

static int check_container(void *arg, uint32_t id)
{
    struct look *l = arg;
    struct container *c = ctab_find(l->f->fs, id);
    struct copen *o;
    unsigned bad;
    if (!c || c->state != CONTAINER_SEALED || c->sealed_txg == UINT64_MAX)
        return 0;
    int e = copen_file(l->f->fs, id, false, &o, &bad);
    if (e == -ENOMEM)
        return e;
    if (e && !ctab_find(l->f->fs, id)) /* deleted meanwhile */
        return 0;
    if (e && c->cls != CLASS_DATA)
        return metadata_gone(l->f, id, holo_strerror(e));
    if (e) {
        tell_container(l->f, e == -ENOENT ? PR_CONTAINER_MISSING : PR_CONTAINER_UNREADABLE, id, holo_strerror(e));
        return 0;
    }
    e = check_header(l->f, c, o);
    copen_free(o);
    return e ? e : fsck_progress(l->f, ++l->done, l->f->fs->n_containers);
}

/* ---- files that are not named ---- */

static int check_file(void *arg, uint32_t id)
{
    struct look *l = arg;
    struct container *c = ctab_find(l->f->fs, id);
    if (c && c->state == CONTAINER_SEALED)
        return 0;
    tell_container(l->f, PR_CONTAINER_UNNAMED, id, c ? "it is still being filled" : NULL);
    return 0;
}

/* ---- extents ---- */

struct extents {
    struct fsck *f;
    struct look *l;
    struct meta_inode inode;
    bool have;         /* inode is the one whose windows come */
    uint64_t ino, stored;
    uint64_t windows;
};

static void tell_extent(struct extents *x, enum fsck_problem_id id, const struct extent *e, const char *detail)
{
    char path[4096];
    struct fsck_where w = { .ino = x->ino, .off = e->off, .len = e->len, .container = e->container, .block = e->coff / BLOCK_SIZE,
                            .detail = detail };
    w.path = x->f->muted ? NULL : fsck_path(x->f, x->ino, path, sizeof(path));
    fsck_tell(x->f, id, fsck_not_now(x->f, id), &w);
}

/* Content bytes that this container can hold; a head holds what the ring has brought. */
static uint64_t content_of(const struct fsck *f, const struct container *c)
{
    return c->head ? (uint64_t)f->fs->sb.nmax * BLOCK_SIZE : (uint64_t)c->used * BLOCK_SIZE;
}

/* The piece, or one of those, of which byte `at` of the container's content is: the last that begins there or before. n if there is none. */
static size_t piece_at(const struct piece *p, size_t n, uint64_t at)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p[mid].coff <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && at < (uint64_t)p[lo - 1].coff + p[lo - 1].stored ? lo - 1 : n;
}

/* Was this piece written for the bytes of the file that the extent says are at `at`? */
static bool is_of(const struct piece *p, uint64_t ino, const struct extent *e, uint64_t at)
{
    if (p->ino != ino || p->codec != e->codec)
        return false;
    if (e->codec == EXTENT_RUN)
        return p->off + (at - p->coff) == e->off + (at - e->coff - e->skip);
    return p->coff == e->coff && p->stored == e->stored && p->raw == e->raw && p->off == e->off - e->skip;
}

/*
 * A tag is of the first block alone. For whom the others were written is in the container's directory, of which an entry may be damaged or
 * lost: only one that says something else counts.
 */
static bool is_contradicted(struct extents *x, const struct extent *e)
{
    struct copen *o;
    const struct piece *p;
    bool wrong = false;
    if (copen_get(x->f->fs, e->container, &o))
        return false;
    size_t n = container_pieces(x->f->fs, o, &p);
    uint64_t at = e->codec == EXTENT_RUN ? (uint64_t)e->coff + e->skip : e->coff, end = e->codec == EXTENT_RUN ? at + e->len : at + 1;
    while (at < end && !wrong) {
        size_t i = piece_at(p, n, at), k = i;
        if (i == n) {
            at = at / BLOCK_SIZE * BLOCK_SIZE + BLOCK_SIZE;
            continue;
        }
        while (k > 0 && p[k - 1].coff == p[i].coff && !is_of(&p[k], x->ino, e, at))
            k--;
        wrong = !is_of(&p[k], x->ino, e, at);
        at = (uint64_t)p[i].coff + p[i].stored;
    }
    copen_put(x->f->fs, o);
    return wrong;
}

static void check_place(struct extents *x, const struct extent *e)
{
    uint64_t sum;
    int r = e->codec == EXTENT_RUN ? container_block_sum(x->f->fs, e->container, e->coff / BLOCK_SIZE, &sum) : -ENOENT;
    if (r == 0 && (uint32_t)sum != e->tag)
        tell_extent(x, PR_EXTENT_TAG, e, NULL);
    else if (is_contradicted(x, e))
        tell_extent(x, PR_EXTENT_TAG, e, "its directory says whose they are");
}

static void check_extent(struct extents *x, const struct extent *e)
{
    struct container *c = ctab_find(x->f->fs, e->container);
    if (c && e->container < x->l->n_live)
        x->l->live[e->container] += extent_live(e);
    x->stored += extent_live(e);
    if (extent_is_lost(e))
        tell_extent(x, PR_FILE_LOST, e, NULL);
    else if (!c || c->state == CONTAINER_DEAD || c->cls != CLASS_DATA)
        tell_extent(x, PR_EXTENT_NOWHERE, e, NULL);
    else if ((uint64_t)e->coff + e->stored > content_of(x->f, c) && !c->head)
        tell_extent(x, PR_EXTENT_OUTSIDE, e, NULL);
    else if (c->state == CONTAINER_SEALED && !c->head)
        check_place(x, e);
}

/* The last window of an inode has come: do its bytes add up? */
static void end_inode(struct extents *x)
{
    if (!x->ino || !x->have || x->stored == x->inode.stored_bytes)
        return;
    char detail[80];
    snprintf(detail, sizeof(detail), "%" PRIu64 " counted, %" PRIu64 " noted", x->stored, x->inode.stored_bytes);
    struct fsck_where w = { .ino = x->ino, .detail = detail };
    if (!fsck_found(x->f, PR_STORED_BYTES, &w))
        return;
    int e = fsck_mend_stored(x->f, &x->inode, x->stored);
    x->f->changed = true;
    fsck_tell(x->f, PR_STORED_BYTES, e ? FSCK_UNREPAIRED : FSCK_REPAIRED, &w);
}

static int begin_inode(struct extents *x, uint64_t ino)
{
    end_inode(x);
    int e = meta_read_inode(x->f->scan, ino, &x->inode);
    x->ino = ino;
    x->stored = 0;
    x->have = e == 0;
    if (e == -ENOENT)
        fsck_tell(x->f, PR_EXTENT_NO_INODE, fsck_not_now(x->f, PR_EXTENT_NO_INODE), &(struct fsck_where){ .ino = ino });
    return e == -ENOENT ? 0 : e;
}

static int check_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct extents *x = arg;
    struct window w = { 0 };
    int e = ino == x->ino ? 0 : begin_inode(x, ino);
    if (e)
        return e;
    e = window_decode(&w, window, blob, len);
    if (e && e != -ENOMEM) {
        struct fsck_where at = { .ino = ino, .off = (uint64_t)window * WINDOW_SIZE, .len = WINDOW_SIZE };
        fsck_tell(x->f, PR_WINDOW_BAD, fsck_not_now(x->f, PR_WINDOW_BAD), &at);
        e = 0;
    }
    for (uint32_t i = 0; i < w.n; i++)
        check_extent(x, &w.e[i]);
    window_fini(&w);
    return e ? e : ++x->windows % 256 ? 0 : fsck_progress(x->f, x->windows, 0);
}

static int check_live(void *arg, uint32_t id)
{
    struct look *l = arg;
    char detail[80];
    struct container *c = ctab_find(l->f->fs, id);
    uint64_t live = c && c->live > 0 ? (uint64_t)c->live : 0;
    if (!c || c->cls != CLASS_DATA || id >= l->n_live || live == l->live[id])
        return 0;
    snprintf(detail, sizeof(detail), "%" PRIu64 " counted, %" PRIu64 " noted", l->live[id], live);
    tell_container(l->f, PR_LIVE_BYTES, id, detail);
    return 0;
}

static int check_extents(struct look *l)
{
    struct extents x = { .f = l->f, .l = l };
    l->n_live = l->f->fs->ctab_cap;
    l->live = calloc(l->n_live + 1, sizeof(*l->live));
    if (!l->live)
        return -ENOMEM;
    int e = meta_each_window(l->f->scan, check_window, &x);
    if (!e) {
        end_inode(&x);
        e = ctab_each(l->f->fs, check_live, l);
    }
    free(l->live);
    return e;
}

/* The log stands still: everything that was committed is in the index. */
static void settle(struct fsck *f)
{
    if (f->writable && commit_all(f->fs, 0) == 0)
        indexer_wait(f->fs, f->fs->committed_txg, false);
}

int fsck_containers(struct fsck *f)
{
    struct look l = { .f = f };
    settle(f);
    int e = ctab_each(f->fs, check_container, &l);
    return e ? e : each_container_file(f->fs, check_file, &l);
}

int fsck_extents(struct fsck *f)
{
    struct look l = { .f = f };
    settle(f);
    return check_extents(&l);
}
