/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.c: apply records to the index.
 *
 * Windows and the current inode are cached between items, since neighbouring items mostly concern the same
 * ones; everything is written back before another inode row or window of the slot is touched.
 */
#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ids.h"
#include "core/container.h"
#include "core/salvage.h"

enum { WINDOW_SLOTS = 256 };

struct slot_window {
    uint64_t ino;
    uint32_t win;
    bool used, dirty;
    struct window w;
};

struct applier {
    struct holofs *fs;
    uint64_t txg;
    struct slot_window slot[WINDOW_SLOTS];
    struct meta_inode inode;
    bool have_inode, inode_dirty;
    struct buf blob;
};

struct applier *applier_create(struct holofs *fs)
{
    struct applier *a = calloc(1, sizeof(*a));
    if (a)
        a->fs = fs;
    return a;
}

void apply_reset(struct applier *a)
{
    for (size_t i = 0; i < WINDOW_SLOTS; i++) {
        window_fini(&a->slot[i].w);
        a->slot[i].used = false;
    }
    a->have_inode = a->inode_dirty = false;
}

void applier_destroy(struct applier *a)
{
    if (!a)
        return;
    apply_reset(a);
    buf_fini(&a->blob);
    free(a);
}

void inode_image_to_meta(const struct inode_image *i, struct meta_inode *m)
{
    *m = (struct meta_inode){ .ino = i->ino, .size = i->size, .stored_bytes = i->stored, .parent = i->parent, .gen = i->gen,
                              .mode = i->mode, .uid = i->uid, .gid = i->gid, .nlink = i->nlink, .rdev = i->rdev, .flags = i->flags,
                              .atime_ns = i->atime, .mtime_ns = i->mtime, .ctime_ns = i->ctime, .btime_ns = i->btime };
}

void meta_to_inode_image(const struct meta_inode *m, struct inode_image *i)
{
    *i = (struct inode_image){ .ino = m->ino, .size = m->size, .stored = m->stored_bytes, .parent = m->parent, .gen = m->gen,
                               .mode = m->mode, .uid = m->uid, .gid = m->gid, .nlink = m->nlink, .rdev = m->rdev, .flags = m->flags,
                               .atime = m->atime_ns, .mtime = m->mtime_ns, .ctime = m->ctime_ns, .btime = m->btime_ns };
}

static int flush_inode(struct applier *a)
{
    if (!a->inode_dirty)
        return 0;
    a->inode_dirty = false;
    return meta_inode_put(a->fs->index, &a->inode);
}

static int flush_window(struct applier *a, struct slot_window *s)
{
    if (!s->used || !s->dirty)
        return 0;
    size_t len = (size_t)s->w.n * EXTENT_BYTES;
    a->blob.len = 0;
    uint8_t *out = buf_room(&a->blob, len + 1);
    if (!out)
        return -ENOMEM;
    window_encode(&s->w, out);
    s->dirty = false;
    return meta_window_put(a->fs->index, s->ino, s->win, out, len);
}

int apply_flush(struct applier *a)
{
    int e = flush_inode(a);
    for (size_t i = 0; i < WINDOW_SLOTS && !e; i++)
        e = flush_window(a, &a->slot[i]);
    return e;
}

/* Make ino the current inode. -ENOENT if the index does not have it. */
static int load_inode(struct applier *a, uint64_t ino)
{
    if (a->have_inode && a->inode.ino == ino)
        return 0;
    int e = flush_inode(a);
    a->have_inode = false;
    if (!e)
        e = meta_inode_get(a->fs->index, ino, &a->inode);
    a->have_inode = e == 0;
    return e;
}

static int read_blob(struct applier *a, uint64_t ino, uint32_t win, size_t *len)
{
    size_t cap = 4096;
    for (;;) {
        a->blob.len = 0;
        uint8_t *out = buf_room(&a->blob, cap);
        if (!out)
            return -ENOMEM;
        int e = meta_window_get(a->fs->index, ino, win, out, cap, len);
        if (e != -ERANGE)
            return e;
        cap = *len;
    }
}

static int load_window(struct applier *a, uint64_t ino, uint32_t win, struct slot_window **out)
{
    struct slot_window *s = &a->slot[(ino * 0x9e3779b1u + win) % WINDOW_SLOTS];
    *out = s;
    if (s->used && s->ino == ino && s->win == win)
        return 0;
    int e = flush_window(a, s);
    if (e)
        return e;
    s->used = false;
    s->w.n = 0;
    size_t len = 0;
    e = read_blob(a, ino, win, &len);
    if (e && e != -ENOENT)
        return e;
    if (!e)
        e = window_decode(&s->w, win, a->blob.p, len);
    else
        e = 0;
    if (e)
        return e;
    s->used = true;
    s->dirty = false;
    s->ino = ino;
    s->win = win;
    return 0;
}

static void live_changed(void *arg, uint32_t container, int64_t delta)
{
    struct applier *a = arg;
    ctab_add_live(a->fs, container, delta);
    meta_container_add_live(a->fs->index, container, delta);
}

static int apply_extent(struct applier *a, const struct item *it)
{
    struct slot_window *s;
    int64_t delta;
    int e = load_inode(a, it->ino);
    if (!e)
        e = load_window(a, it->ino, (uint32_t)(it->extent.off / WINDOW_SIZE), &s);
    if (!e)
        e = window_insert(&s->w, &it->extent, &delta, live_changed, a);
    if (e)
        return e;
    s->dirty = true;
    uint64_t end = it->extent.off + it->extent.len;
    a->inode.stored_bytes += (uint64_t)delta;
    if (a->inode.size < end)
        a->inode.size = end;
    a->inode_dirty = true;
    return 0;
}

int apply_lost(struct applier *a, uint64_t ino, const struct extent *x)
{
    return apply_extent(a, &(struct item){ .type = ITEM_EXTENT, .ino = ino, .extent = *x });
}

/* A move loses against whatever was written since, and against the end of the inode. */
static int apply_move(struct applier *a, const struct item *it)
{
    struct slot_window *s;
    int64_t delta;
    uint32_t moved;
    int e = load_inode(a, it->ino);
    if (e)
        return e == -ENOENT ? 0 : e;
    e = load_window(a, it->ino, (uint32_t)(it->extent.off / WINDOW_SIZE), &s);
    if (!e)
        e = window_move(&s->w, &it->extent, &it->place, &moved, &delta, live_changed, a);
    if (e || !moved)
        return e;
    s->dirty = true;
    a->inode.stored_bytes += (uint64_t)delta;
    a->inode_dirty = true;
    return 0;
}

struct window_list {
    struct ids ids;
    uint32_t last;
};

static int note_window(void *arg, uint32_t win, const void *blob, size_t len)
{
    struct window_list *l = arg;
    (void)blob;
    (void)len;
    if (win > l->last)
        return 1;
    return ids_add(&l->ids, win);
}

/* Punch [off, off+len) out of every window that exists. */
static int punch(struct applier *a, uint64_t ino, uint64_t off, uint64_t len, int64_t *total)
{
    *total = 0;
    if (len == 0)
        return 0;
    int e = apply_flush(a);
    struct window_list l = { .last = (uint32_t)((off + len - 1) / WINDOW_SIZE) };
    if (!e)
        e = meta_windows_each(a->fs->index, ino, (uint32_t)(off / WINDOW_SIZE), note_window, &l);
    e = e > 0 ? 0 : e;
    for (size_t i = 0; i < l.ids.n && !e; i++) {
        struct slot_window *s;
        int64_t delta = 0;
        e = load_window(a, ino, l.ids.v[i], &s);
        if (!e)
            e = window_punch(&s->w, off, len, &delta, live_changed, a);
        if (!e)
            s->dirty = true;
        *total += delta;
    }
    free(l.ids.v);
    return e;
}

static int apply_range_gone(struct applier *a, const struct item *it)
{
    int64_t delta;
    int e = punch(a, it->ino, it->off, it->len, &delta);
    if (!e)
        e = load_inode(a, it->ino);
    if (e)
        return e;
    a->inode.stored_bytes += (uint64_t)delta;
    a->inode_dirty = true;
    return 0;
}

static int apply_times(struct applier *a, const struct item *it)
{
    int e = load_inode(a, it->ino);
    if (e)
        return e;
    a->inode.mtime_ns = it->mtime;
    a->inode.ctime_ns = it->ctime;
    a->inode_dirty = true;
    return 0;
}

static int apply_inode_gone(struct applier *a, uint64_t ino)
{
    int64_t delta;
    int e = punch(a, ino, 0, HOLO_FILE_SIZE_MAX, &delta);
    if (!e)
        e = apply_flush(a);
    if (a->have_inode && a->inode.ino == ino)
        a->have_inode = false;
    if (!e)
        e = meta_windows_del(a->fs->index, ino, 0);
    if (!e)
        e = meta_inode_del(a->fs->index, ino);
    return e == -ENOENT ? 0 : e;
}

static int apply_inode(struct applier *a, const struct item *it)
{
    if (!a->have_inode || a->inode.ino != it->ino) {
        int e = flush_inode(a);
        if (e)
            return e;
    }
    inode_image_to_meta(&it->inode, &a->inode);
    a->have_inode = a->inode_dirty = true;
    return 0;
}

static int apply_container(struct applier *a, const struct container_info *c)
{
    struct meta_container row = { 0 };
    struct meta_index *idx = a->fs->index;
    if (c->state == CONTAINER_DEAD) {
        int e = meta_container_del(idx, c->id);
        return e == -ENOENT ? 0 : e;
    }
    int e = meta_container_get(idx, c->id, &row);
    if (e && e != -ENOENT)
        return e;
    row.id = c->id;
    row.cls = c->cls;
    row.state = c->state;
    row.r = c->r;
    row.used = c->used;
    row.flags = c->flags;
    row.sealed_txg = c->cls == CLASS_DATA ? a->txg : c->last_txg;
    return meta_container_put(idx, &row);
}

static void raise_counters(struct meta_state *s, const struct counters *c)
{
    s->next_ino = s->next_ino > c->next_ino ? s->next_ino : c->next_ino;
    s->next_cookie = s->next_cookie > c->next_cookie ? s->next_cookie : c->next_cookie;
    s->next_seq = s->next_seq > c->next_seq ? s->next_seq : c->next_seq;
    s->next_container = s->next_container > c->next_container ? s->next_container : c->next_container;
}

/* A window of a dump: it comes whole, and its extents count as live. */
static int apply_window(struct applier *a, const struct item *it)
{
    struct window w = { 0 };
    int e = window_decode(&w, it->window, it->value, it->value_len);
    for (uint32_t i = 0; i < w.n && !e; i++)
        live_changed(a, w.e[i].container, extent_live(&w.e[i]));
    window_fini(&w);
    return e ? e : meta_window_put(a->fs->index, it->ino, it->window, it->value, it->value_len);
}

static int ignore_missing(int e)
{
    return e == -ENOENT ? 0 : e;
}

/* Records before this one may be lost: note what it touches, and pass over what has nothing to be applied to. */
static int behind_a_loss(struct applier *a, const struct item *it)
{
    struct meta_inode m = { 0 };
    if (it->type != ITEM_INODE && it->type != ITEM_EXTENT && it->type != ITEM_TIMES && it->type != ITEM_RANGE_GONE)
        return 0;
    if (a->have_inode && a->inode.ino == it->ino)
        return loss_note_touched(a->fs, it->ino, a->inode.size);
    int e = meta_inode_get(a->fs->index, it->ino, &m);
    return e && e != -ENOENT ? e : loss_note_touched(a->fs, it->ino, e ? 0 : m.size);
}

static int apply_item(struct applier *a, const struct item *it)
{
    struct meta_index *idx = a->fs->index;
    switch (it->type) {
    case ITEM_INODE:
        return apply_inode(a, it);
    case ITEM_INODE_GONE:
        return apply_inode_gone(a, it->ino);
    case ITEM_ENTRY: {
        struct meta_dent d = { .parent = it->parent, .ino = it->ino, .cookie = it->cookie, .type = it->dtype, .name_len = it->name_len,
                               .name = it->name };
        return meta_dent_put(idx, &d);
    }
    case ITEM_ENTRY_GONE:
        return ignore_missing(meta_dent_del(idx, it->parent, it->name, it->name_len));
    case ITEM_SYMLINK:
        return meta_symlink_put(idx, it->ino, (const char *)it->value, it->value_len);
    case ITEM_XATTR:
        return meta_xattr_put(idx, it->ino, it->name, it->name_len, it->value, it->value_len);
    case ITEM_XATTR_GONE:
        return ignore_missing(meta_xattr_del(idx, it->ino, it->name, it->name_len));
    case ITEM_ORPHAN:
        return meta_orphan_put(idx, it->ino);
    case ITEM_ORPHAN_GONE:
        return ignore_missing(meta_orphan_del(idx, it->ino));
    case ITEM_EXTENT:
        return apply_extent(a, it);
    case ITEM_RANGE_GONE:
        return apply_range_gone(a, it);
    case ITEM_CONTAINER:
        return apply_container(a, &it->container);
    case ITEM_COUNTERS:
        raise_counters(&a->fs->state, &it->counters);
        return 0;
    case ITEM_WINDOW:
        return apply_window(a, it);
    case ITEM_DUMP_COMPLETE:
        a->fs->state.dump_txg = it->txg;
        return 0;
    case ITEM_TIMES:
        return apply_times(a, it);
    case ITEM_MOVE:
        return apply_move(a, it);
    case ITEM_SKIPPABLE:
        break;
    }
    return -HOLO_ECORRUPT;
}

int apply_records(struct applier *a, uint64_t txg, const uint8_t *records, size_t len)
{
    struct rd stream = rd_init(records, len);
    struct rec_view v;
    int r;
    a->txg = txg;
    while ((r = rec_next(&stream, &v)) == 1) {
        struct item it;
        while ((r = rec_next_item(&v, &it)) == 1) {
            bool lossy = a->fs->loss.records;
            int e = lossy ? behind_a_loss(a, &it) : 0;
            if (!e)
                e = apply_item(a, &it);
            if (e == -ENOENT && lossy) {
                a->fs->loss.skipped++;
                e = 0;
            }
            if (e)
                return e;
        }
        if (r < 0)
            return r;
    }
    return r;
}
