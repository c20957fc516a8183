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
#include "base/log.h"
#include "core/apply.h"
#include "core/container.h"
#include "core/log.h"
#include "core/recover.h"

struct id_list {
    uint32_t *v;
    size_t n, cap;
};

static int id_add(struct id_list *l, uint32_t id)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        uint32_t *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = id;
    return 0;
}

struct listing {
    struct holofs *fs;
    struct id_list *ids;
};

static int list_file(void *arg, const char *name)
{
    uint32_t id;
    return container_name_parse(name, &id) ? id_add(((struct listing *)arg)->ids, id) : 0;
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
    struct id_list ids = { 0 };
    struct listing l = { fs, &ids };
    int e = fs->backing->ops->list(fs->backing, "containers", list_folder, &l);
    if (ids.n)
        qsort(ids.v, ids.n, sizeof(*ids.v), by_id);
    for (size_t i = 0; i < ids.n && !e; i++)
        e = cb(arg, ids.v[i]);
    free(ids.v);
    return e;
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
    uint32_t seen_parts;
    bool inside;      /* a txg whose frames go on */
};

static int note_file(void *arg, uint32_t id)
{
    struct rebuild *b = arg;
    struct copen *o;
    unsigned bad;
    int e = copen_file(b->fs, id, false, &o, &bad);
    if (e) {
        event_add(b->fs, "container_unreadable", "s:i, s:s", "container", (int)id, "error", holo_strerror(e));
        return e == -ENOMEM ? e : 0;
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

static int read_content(struct rebuild *b, const struct meta_file *m)
{
    struct scratch *s = scratch_get(b->fs);
    int e = s ? 0 : -ENOMEM;
    for (uint64_t off = 0; off < m->content && !e; off += WINDOW_SIZE) {
        const uint8_t *data;
        size_t len = m->content - off < WINDOW_SIZE ? (size_t)(m->content - off) : WINDOW_SIZE;
        e = container_read(b->fs, m->id, off, len, s->blocks, &data, NULL);
        if (!e)
            memcpy(b->content + off, data, len);
    }
    if (s)
        scratch_put(b->fs, s);
    if (e && e != -ENOMEM) {
        event_add(b->fs, "metadata_lost", "s:i, s:s", "container", (int)m->id, "error", holo_strerror(e));
        return 0;
    }
    return e;
}

/* Call cb for each frame of a container; one that is damaged ends it. */
static int each_frame(struct rebuild *b, const struct meta_file *m, int (*cb)(struct rebuild *b, const struct frame *f))
{
    memset(b->content, 0, b->fs->sb.nmax * (size_t)BLOCK_SIZE);
    int e = read_content(b, m);
    struct rd stream = rd_init(b->content, (size_t)m->content);
    struct frame f;
    int r;
    while (!e && (r = frame_next(&stream, b->fs->sb.uuid, &f)) != 0) {
        if (r < 0) {
            event_add(b->fs, "metadata_lost", "s:i, s:s", "container", (int)m->id, "error", holo_strerror(r));
            return 0;
        }
        e = cb(b, &f);
    }
    return e;
}

/* Follow the parts of dumps; the newest of which the last part comes in its turn is whole. */
static int count_parts(struct rebuild *b, const struct frame *f)
{
    if (f->kind != FRAME_DUMP)
        return 0;
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

static void advance(struct rebuild *b, const struct frame *f)
{
    struct meta_state *s = &b->fs->state;
    s->txg = f->txg;
    s->epoch = f->epoch;
    s->txg_hash = f->chain;
}

static int apply_dump_frame(struct rebuild *b, const struct frame *f)
{
    if (f->kind != FRAME_DUMP || f->txg != b->dump_txg)
        return 0;
    int e = apply_records(b->a, f->txg, f->records, f->len);
    advance(b, f);
    b->fs->state.dump_txg = b->dump_txg;
    return e;
}

/* Frames of one txg follow each other; one already applied is skipped, a gap is told and passed over. */
static int apply_log_frame(struct rebuild *b, const struct frame *f)
{
    struct meta_state *s = &b->fs->state;
    if (f->kind != FRAME_LOG || f->txg < s->txg || (f->txg == s->txg && (f->part == 0 || !b->inside)))
        return 0;
    if (f->txg > s->txg + 1)
        event_add(b->fs, "metadata_lost", "s:I, s:I", "from_txg", (json_int_t)(s->txg + 1), "to_txg", (json_int_t)(f->txg - 1));
    int e = apply_records(b->a, f->txg, f->records, f->len);
    advance(b, f);
    b->inside = !(f->flags & FRAME_LAST);
    return e;
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
        e = meta_commit(b->fs->index, &b->fs->state);
    if (e)
        meta_rollback(b->fs->index);
    return e;
}

static int each_of_class(struct rebuild *b, uint32_t cls, int (*work)(struct rebuild *b, const struct meta_file *m))
{
    int e = 0;
    for (size_t i = 0; i < b->n && !e; i++) {
        if (b->file[i].cls == cls)
            e = work(b, &b->file[i]);
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
    log_info("rebuilding the index: metadata up to txg %llu", (unsigned long long)m->last_txg);
    return m->last_txg > b->fs->state.txg ? apply_file(b, m, apply_log_frame) : 0;
}

static int run(struct rebuild *b)
{
    int e = each_container_file(b->fs, note_file, b);
    if (e)
        return e;
    if (b->n)
        qsort(b->file, b->n, sizeof(*b->file), by_txg);
    e = each_of_class(b, CLASS_META_DUMP, find_dumps);
    if (!e)
        e = each_of_class(b, CLASS_META_DUMP, apply_dump);
    return e ? e : each_of_class(b, CLASS_META_LOG, apply_log);
}

int rebuild_index(struct holofs *fs, const char *index_path)
{
    struct rebuild b = { .fs = fs };
    fs->state = (struct meta_state){ .next_ino = INO_ROOT + 1, .next_cookie = 3, .next_seq = 1, .next_container = 1 };
    memcpy(fs->state.uuid, fs->sb.uuid, 16);
    int e = meta_create(index_path, fs->sb.uuid, &fs->index);
    if (e)
        return e;
    b.a = applier_create(fs);
    b.content = malloc(fs->sb.nmax * (size_t)BLOCK_SIZE);
    e = b.a && b.content ? run(&b) : -ENOMEM;
    applier_destroy(b.a);
    free(b.content);
    free(b.file);
    if (e) {
        meta_close(fs->index);
        fs->index = NULL;
    }
    return e;
}
