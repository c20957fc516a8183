/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rebuild.c: build the index from nothing but containers.
 *
 * The last dump of which every part is there, then every log frame behind it, in order of txg. Metadata
 * containers are read like any others: verified, and repaired from parity where they are damaged.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ids.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/container.h"
#include "core/log.h"
#include "core/recover.h"
#include "core/salvage.h"

struct listing {
    struct holofs *fs;
    struct ids *ids;
};

static int list_file(void *arg, const char *name)
{
    uint32_t id;
    return container_name_parse(name, &id) ? ids_add(((struct listing *)arg)->ids, id) : 0;
}

static int list_folder(void *arg, const char *name)
{
    struct listing *l = arg;
    char dir[300];
    snprintf(dir, sizeof(dir), "containers/%s", name);
    int e = l->fs->backing->ops->list(l->fs->backing, dir, list_file, l);
    return e == -ENOTDIR ? 0 : e;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int each_container_file(struct holofs *fs, int (*cb)(void *arg, uint32_t id), void *arg)
{
    struct ids ids = { 0 };
    struct listing l = { fs, &ids };
    int e = fs->backing->ops->list(fs->backing, "containers", list_folder, &l);
    if (ids.n)
        qsort(ids.v, ids.n, sizeof(*ids.v), by_id);
    for (size_t i = 0; i < ids.n && !e; i++)
        e = cb(arg, ids.v[i]);
    free(ids.v);
    return e == -ENOENT ? 0 : e; /* no folder, no files */
}

struct meta_file {
    uint32_t id, cls;
    uint64_t first_txg, last_txg, content;
};

struct rebuild {
    struct holofs *fs;
    struct applier *a;
    struct meta_file *file;
    size_t n, cap;
    uint8_t *content; /* of the container being read */
    uint64_t dump_txg, seen_txg;
    uint64_t partial_txg; /* the newest dump of which there is anything */
    int64_t partial_ns;
    uint32_t seen_parts;
    bool inside;      /* a txg whose frames go on */
    bool anew;        /* nothing counts before all of it is done */
    struct meta_state whole; /* inside: the state before that txg */
    uint32_t next_part;
    int64_t time_ns;  /* of the last txg applied */
    size_t done, all; /* containers read, and to be read */
    uint64_t end;     /* frames from this txg on are not wanted; 0: all are */
    struct beginning {
        uint64_t epoch, txg, base_epoch;
    } *begun;         /* epochs, their first txgs, what they build on: older epochs' from there on are void, and all of those between the two */
    size_t n_begun;
};

static int note_beginning(struct rebuild *b, uint64_t epoch, uint64_t txg, uint64_t base_epoch)
{
    struct beginning *v = realloc(b->begun, (b->n_begun + 1) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    b->begun = v;
    v[b->n_begun++] = (struct beginning){ epoch, txg, base_epoch };
    return 0;
}

/* What the epochs of the ring are built on is known. */
static int note_ring(struct rebuild *b, const struct ring_txg *t, size_t n)
{
    int e = 0;
    for (size_t i = 0; i < n && !e; i++) {
        if (t[i].base_epoch && (i == 0 || t[i].epoch != t[i - 1].epoch))
            e = note_beginning(b, t[i].epoch, t[i].base_txg + 1, t[i].base_epoch);
    }
    return e;
}

static bool frame_is_void(const struct rebuild *b, const struct frame *f)
{
    for (size_t i = 0; i < b->n_begun; i++) {
        const struct beginning *g = &b->begun[i];
        if (f->epoch < g->epoch && (f->txg >= g->txg || f->epoch > g->base_epoch))
            return true;
    }
    return false;
}

static int note_file(void *arg, uint32_t id)
{
    struct rebuild *b = arg;
    struct copen *o;
    unsigned bad;
    int e = copen_file(b->fs, id, false, &o, &bad);
    if (e) {
        event_add(b->fs, "container_unreadable", "s:i, s:s", "container", (int)id, "error", holo_strerror(e));
        return e == -ENOMEM || e == -EMFILE || e == -ENFILE ? e : 0;
    }
    if (b->fs->next_container <= id)
        b->fs->next_container = id + 1;
    struct container_header h = o->h;
    copen_free(o);
    if (h.cls == CLASS_DATA)
        return 0;
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 32;
        struct meta_file *v = realloc(b->file, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        b->file = v;
        b->cap = cap;
    }
    b->file[b->n++] = (struct meta_file){ id, h.cls, h.first_txg, h.last_txg, h.content_bytes };
    struct container_info info = { .id = id, .cls = h.cls, .state = CONTAINER_SEALED, .r = h.r, .used = h.used };
    return ctab_set(b->fs, &info, h.last_txg, NULL);
}

/* The log in order of txg; containers were numbered in the order in which they were sealed. */
static int by_txg(const void *pa, const void *pb)
{
    const struct meta_file *a = pa, *b = pb;
    if (a->first_txg != b->first_txg)
        return a->first_txg < b->first_txg ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Blocks that are lost stay zeros. Returns how many. */
static unsigned read_by_blocks(struct rebuild *b, const struct meta_file *m, uint64_t from, uint64_t end, struct scratch *s)
{
    unsigned lost = 0;
    for (uint64_t off = from; off < end; off += BLOCK_SIZE) {
        const uint8_t *data;
        size_t len = end - off < BLOCK_SIZE ? (size_t)(end - off) : BLOCK_SIZE;
        if (container_read(b->fs, m->id, off, len, s->blocks, &data, NULL) == 0)
            memcpy(b->content + off, data, len);
        else
            lost++;
    }
    return lost;
}

static int read_content(struct rebuild *b, const struct meta_file *m)
{
    struct scratch *s = scratch_get(b->fs);
    unsigned lost = 0;
    int e = s ? 0 : -ENOMEM;
    for (uint64_t off = 0; off < m->content && !e; off += WINDOW_SIZE) {
        const uint8_t *data;
        size_t len = m->content - off < WINDOW_SIZE ? (size_t)(m->content - off) : WINDOW_SIZE;
        e = container_read(b->fs, m->id, off, len, s->blocks, &data, NULL);
        if (!e)
            memcpy(b->content + off, data, len);
        else if (e != -ENOMEM) {
            lost += read_by_blocks(b, m, off, off + len, s);
            e = 0;
        }
    }
    if (s)
        scratch_put(b->fs, s);
    if (lost)
        event_add(b->fs, "metadata_damaged", "s:i, s:i", "container", (int)m->id, "blocks", (int)lost);
    return e;
}

/* The next place behind `off` where a frame may begin, or the end. */
static size_t find_frame(const uint8_t *p, size_t off, size_t len)
{
    for (off = (off + 8) / 8 * 8; off + FRAME_HEADER <= len; off += 8) {
        if (memcmp(p + off, "hoFR", 4) == 0)
            return off;
    }
    return len;
}

/* Call cb for each frame of a container. One that is damaged is passed over: cb sees that by the numbers of txgs and parts. */
static int each_frame(struct rebuild *b, const struct meta_file *m, int (*cb)(struct rebuild *b, const struct frame *f))
{
    memset(b->content, 0, b->fs->sb.nmax * (size_t)BLOCK_SIZE);
    int e = read_content(b, m);
    size_t at = 0, len = (size_t)m->content;
    while (!e && at < len) {
        struct rd stream = rd_init(b->content + at, len - at);
        struct frame f;
        int r = frame_next(&stream, b->fs->sb.uuid, &f);
        if (r == 0)
            break;
        at = r < 0 ? find_frame(b->content, at, len) : at + stream.off;
        opening_progress(b->fs, "making the index anew: containers of metadata", b->done, b->all);
        if (r > 0 && !frame_is_void(b, &f))
            e = cb(b, &f);
    }
    return e;
}

/* Follow the parts of dumps; the newest of which the last part comes in its turn is whole. */
static int count_parts(struct rebuild *b, const struct frame *f)
{
    if (f->kind != FRAME_DUMP)
        return 0;
    if (f->txg >= b->partial_txg) {
        b->partial_txg = f->txg;
        b->partial_ns = f->time_ns;
    }
    if (f->part == 0) {
        b->seen_txg = f->txg;
        b->seen_parts = 0;
    }
    if (f->txg != b->seen_txg || f->part != b->seen_parts)
        return 0;
    b->seen_parts++;
    if ((f->flags & FRAME_LAST) && f->txg > b->dump_txg)
        b->dump_txg = f->txg;
    return 0;
}

/* The state is that of f from now on; recovery asks the rows whether the ring says the same. */
static int advance(struct rebuild *b, const struct frame *f)
{
    struct meta_state *s = &b->fs->state;
    b->fs->opening.frames++;
    b->fs->opening.frame_bytes += f->len;
    s->txg = f->txg;
    s->epoch = f->epoch;
    s->txg_hash = f->chain;
    return f->flags & FRAME_LAST ? meta_txg_put(b->fs->index, f->txg, f->epoch, f->chain, f->time_ns, 0, f->len) : 0;
}

static int apply_dump_frame(struct rebuild *b, const struct frame *f)
{
    if (f->kind != FRAME_DUMP || f->txg != b->dump_txg)
        return 0;
    int e = apply_records(b->a, f->txg, f->records, f->len);
    if (!e)
        e = advance(b, f);
    b->fs->state.dump_txg = b->dump_txg;
    return e;
}

/* Records between the last frame and this one are missing? The txg whose end is missing counts with them. */
static void look_for_gap(struct rebuild *b, const struct frame *f)
{
    struct meta_state *s = &b->fs->state;
    bool same = b->inside && f->txg == s->txg;
    if (b->inside && !same)
        note_gap(b->fs, s->txg, f->txg - 1, b->time_ns, f->time_ns);
    else if (same && f->part != b->next_part)
        note_gap(b->fs, s->txg, s->txg, b->time_ns, f->time_ns);
    else if (!same && (f->txg > s->txg + 1 || f->part > 0))
        note_gap(b->fs, s->txg + 1, f->part > 0 ? f->txg : f->txg - 1, b->time_ns, f->time_ns);
}

/*
 * Frames of one txg follow each other; one already applied is skipped, a gap is told and passed over. A frame of a newer epoch where
 * an older one has been applied: that was void, and all begins anew (-EAGAIN).
 */
static int apply_log_frame(struct rebuild *b, const struct frame *f)
{
    struct meta_state *s = &b->fs->state;
    if (f->kind != FRAME_LOG || (b->end && f->txg >= b->end))
        return 0;
    if (f->txg <= s->txg && f->epoch > s->epoch && !b->end) {
        int e = note_beginning(b, f->epoch, f->txg, UINT64_MAX);
        return e ? e : -EAGAIN;
    }
    if (f->txg < s->txg || (f->txg == s->txg && (f->part == 0 || !b->inside)))
        return 0;
    look_for_gap(b, f);
    if (!b->inside || f->txg != s->txg)
        b->whole = *s;
    int e = apply_records(b->a, f->txg, f->records, f->len);
    if (!e)
        e = advance(b, f);
    b->inside = !(f->flags & FRAME_LAST);
    b->next_part = f->part + 1;
    b->time_ns = f->time_ns;
    return e;
}

static void back_to_whole(const struct rebuild *b, struct meta_state *s)
{
    s->txg = b->whole.txg;
    s->epoch = b->whole.epoch;
    s->txg_hash = b->whole.txg_hash;
}

/* What the index says of itself on the way: no txg of which there are only some frames, and none at all (0) if it is built anew. */
static struct meta_state state_so_far(const struct rebuild *b)
{
    struct meta_state s = *state_to_keep(b->fs);
    if (b->inside && !b->fs->loss.hold)
        back_to_whole(b, &s);
    if (b->anew)
        s.txg = 0;
    return s;
}

/* One container's frames in one transaction. */
static int apply_file(struct rebuild *b, const struct meta_file *m, int (*cb)(struct rebuild *b, const struct frame *f))
{
    int e = meta_begin(b->fs->index);
    if (!e)
        e = each_frame(b, m, cb);
    if (!e)
        e = apply_flush(b->a);
    if (!e)
        e = loss_mark_touched(b->fs, b->a);
    const struct meta_state s = state_so_far(b);
    if (!e)
        e = meta_commit(b->fs->index, &s);
    if (e)
        apply_reset(b->a);
    if (e)
        meta_rollback(b->fs->index);
    return e;
}

static int each_of_class(struct rebuild *b, uint32_t cls, int (*work)(struct rebuild *b, const struct meta_file *m))
{
    int e = 0;
    for (size_t i = 0; i < b->n && !e; i++) {
        if (b->file[i].cls != cls)
            continue;
        e = work(b, &b->file[i]);
        b->done++;
    }
    return e;
}

static int find_dumps(struct rebuild *b, const struct meta_file *m)
{
    return each_frame(b, m, count_parts);
}

static int apply_dump(struct rebuild *b, const struct meta_file *m)
{
    return b->dump_txg && m->first_txg == b->dump_txg ? apply_file(b, m, apply_dump_frame) : 0;
}

static int apply_log(struct rebuild *b, const struct meta_file *m)
{
    return m->last_txg > b->fs->state.txg ? apply_file(b, m, apply_log_frame) : 0;
}

/* Frames of the last txg may go on in no container that is left: then the ring has it whole, or its end is lost. */
static void look_at_end(struct rebuild *b, const struct ring_txg *ring, size_t n)
{
    const struct meta_state *s = &b->fs->state;
    for (size_t i = 0; i < n && b->inside; i++) {
        if (ring[i].txg == s->txg && ring[i].epoch == s->epoch && (ring[i].chain == s->txg_hash || !s->txg_hash)) {
            back_to_whole(b, &b->fs->state);
            b->inside = false;
        }
    }
    if (b->inside)
        note_gap(b->fs, b->fs->state.txg, b->fs->state.txg, b->time_ns, 0);
}

/* No dump is whole: what there is of the newest is better than nothing, if the log does not reach back to the beginning. */
static void settle_for_partial_dump(struct rebuild *b)
{
    bool from_start = false;
    for (size_t i = 0; i < b->n; i++)
        from_start |= b->file[i].cls == CLASS_META_LOG && b->file[i].first_txg <= 1;
    if (b->dump_txg || !b->partial_txg || from_start)
        return;
    b->dump_txg = b->partial_txg;
    note_gap(b->fs, 1, b->partial_txg, 0, b->partial_ns);
}

static int list_files(struct rebuild *b)
{
    b->n = 0;
    int e = each_container_file(b->fs, note_file, b);
    b->done = 0;
    b->all = b->n;
    for (size_t i = 0; i < b->n; i++)
        b->all += b->file[i].cls == CLASS_META_DUMP; /* these twice */
    if (!e && b->n)
        qsort(b->file, b->n, sizeof(*b->file), by_txg);
    return e;
}

/* From here on it counts. */
static int finish(struct rebuild *b)
{
    int e = meta_begin(b->fs->index);
    if (!e)
        e = meta_commit(b->fs->index, state_to_keep(b->fs));
    if (e)
        meta_rollback(b->fs->index);
    return e;
}

static int run(struct rebuild *b, const struct ring_txg *ring, size_t n)
{
    int e = list_files(b);
    if (!e)
        e = each_of_class(b, CLASS_META_DUMP, find_dumps);
    if (!e) {
        settle_for_partial_dump(b);
        e = each_of_class(b, CLASS_META_DUMP, apply_dump);
    }
    if (!e)
        e = each_of_class(b, CLASS_META_LOG, apply_log);
    if (!e) {
        look_at_end(b, ring, n);
        e = finish(b);
    }
    return e;
}

static int prepare(struct rebuild *b, const struct ring_txg *ring, size_t n)
{
    b->a = applier_create(b->fs);
    b->content = malloc(b->fs->sb.nmax * (size_t)BLOCK_SIZE);
    return b->a && b->content ? note_ring(b, ring, n) : -ENOMEM;
}

static void rebuild_fini(struct rebuild *b)
{
    applier_destroy(b->a);
    free(b->content);
    free(b->file);
    free(b->begun);
}

/* An empty index, and everything applied to it. */
static int run_anew(struct rebuild *b, const char *index_path, const struct ring_txg *ring, size_t n)
{
    struct holofs *fs = b->fs;
    fs->state = (struct meta_state){ .next_ino = INO_ROOT + 1, .next_cookie = 3, .next_seq = 1, .next_container = 1 };
    memcpy(fs->state.uuid, fs->sb.uuid, 16);
    b->dump_txg = b->seen_txg = b->partial_txg = 0;
    b->inside = false;
    int e = meta_create(index_path, fs->sb.uuid, &fs->index);
    if (!e)
        e = run(b, ring, n);
    if (e && fs->index) {
        meta_close(fs->index);
        fs->index = NULL;
    }
    return e;
}

int rebuild_index(struct holofs *fs, const char *index_path, const struct ring_txg *ring, size_t n)
{
    struct rebuild b = { .fs = fs, .anew = true };
    int e = prepare(&b, ring, n);
    if (!e)
        e = run_anew(&b, index_path, ring, n);
    while (e == -EAGAIN) {
        fs->loss.records = fs->loss.hold = false;
        e = run_anew(&b, index_path, ring, n);
    }
    rebuild_fini(&b);
    return e;
}

int rebuild_between(struct holofs *fs, uint64_t end, const struct ring_txg *ring, size_t n)
{
    struct rebuild b = { .fs = fs, .end = end };
    int e = prepare(&b, ring, n);
    if (!e)
        e = list_files(&b);
    if (!e)
        e = each_of_class(&b, CLASS_META_LOG, apply_log);
    if (!e)
        look_at_end(&b, ring, n);
    rebuild_fini(&b);
    return e;
}
