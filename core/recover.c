/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recover.c: bring ring, index, container table and heads together when a store is opened.
 *
 *   ring scan ─▶ index usable? ──yes──▶ apply the txgs it lacks ─▶ container table ─▶ heads from the ring
 *                    └──no──▶ rebuild from containers ──▲
 *
 * The index may be behind the ring (then the ring has what it lacks), never ahead of it or of another history.
 */
#include "core/recover.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/container.h"
#include "core/head.h"
#include "core/log.h"

static int scan_ring(struct holofs *fs, struct ring_scan_result *scan)
{
    int e = -HOLO_ESTALE;
    if ((fs->sb.flags & SUPER_CLEAN) && !fs->opt.check_all)
        e = ring_scan_clean(fs->ring, fs->sb.hint_tail, fs->sb.hint_end, fs->sb.hint_txg, scan);
    if (e == -HOLO_ESTALE) {
        e = ring_scan(fs->ring, scan);
        fs->unclean = !(fs->sb.flags & SUPER_CLEAN) || (!e && (scan->n == 0 || scan->txgs[scan->n - 1].txg != fs->sb.hint_txg));
    }
    if (e)
        return e;
    if (scan->repairable_blocks) {
        COUNT(fs, ring_blocks_repaired, scan->repairable_blocks);
        event_add(fs, "ring_repaired", "s:I", "blocks", (json_int_t)scan->repairable_blocks);
    }
    if (scan->lost_txgs)
        event_add(fs, "ring_lost", "s:I", "txgs", (json_int_t)scan->lost_txgs);
    if (fs->unclean && scan->n)
        event_add(fs, "unclean_stop", "s:I, s:b", "txg", (json_int_t)scan->txgs[scan->n - 1].txg, "torn_tail", scan->torn);
    return 0;
}

/* The store was closed cleanly at a txg that the ring does not have any more, but the index does: damage. */
static bool ring_is_cut(const struct holofs *fs, const struct ring_scan_result *scan)
{
    uint64_t newest = scan->n ? scan->txgs[scan->n - 1].txg : 0;
    return (fs->sb.flags & SUPER_CLEAN) && fs->sb.hint_txg > newest && fs->state.txg == fs->sb.hint_txg;
}

/* Does what the index has applied fit the ring? NULL, or why not. */
static const char *index_misfit(const struct holofs *fs, const struct ring_scan_result *scan)
{
    const struct meta_state *s = &fs->state;
    uint64_t newest = scan->n ? scan->txgs[scan->n - 1].txg : 0;
    if (s->txg > newest && !ring_is_cut(fs, scan))
        return "the index is ahead of the ring";
    if (scan->n == 0)
        return NULL;
    if (s->txg + 1 < scan->txgs[0].txg)
        return "the index is older than the ring";
    for (size_t i = 0; i < scan->n; i++) {
        if (scan->txgs[i].txg == s->txg && (scan->txgs[i].chain != s->txg_hash || scan->txgs[i].epoch != s->epoch))
            return "the index follows another history";
    }
    return NULL;
}

static int open_index(struct holofs *fs, const struct ring_scan_result *scan)
{
    char path[4200];
    const char *why = NULL;
    snprintf(path, sizeof(path), "%s/index.db", fs->path);
    int e = meta_open(path, fs->sb.uuid, &fs->index);
    if (!e)
        e = meta_state_get(fs->index, &fs->state);
    if (!e && (fs->unclean || fs->opt.check_all))
        e = meta_verify(fs->index);
    if (!e)
        why = index_misfit(fs, scan);
    if (!e && !why)
        return 0;
    if (fs->index)
        meta_close(fs->index);
    fs->index = NULL;
    if (e == -ENOMEM || e == -ENOSPC)
        return e;
    if (fs->read_only)
        return e ? e : -HOLO_ESTALE;
    fs->index_rebuilt = fs->sb.sequence > 1; /* a store just formatted has none yet */
    if (fs->index_rebuilt)
        event_add(fs, "index_rebuilt", "s:s", "why", e == -ENOENT ? "there is none" : e ? holo_strerror(e) : why);
    return rebuild_index(fs, path);
}

/* The txg's stream, split. */
struct txg_stream {
    struct buf raw;
    const uint8_t *records, *data;
};

static int read_stream(struct holofs *fs, const struct ring_txg *t, struct txg_stream *s)
{
    int e = ring_read(fs->ring, t, &s->raw);
    if (e)
        return e;
    s->records = s->raw.p + (size_t)t->n_segments * RING_SEGMENT_BYTES;
    s->data = s->records + t->records_len;
    return 0;
}

static int apply_one(struct holofs *fs, struct applier *a, const struct ring_txg *t, struct txg_stream *s)
{
    if (t->txg <= fs->state.txg)
        return 0;
    fs->damaged_ring |= t->txg > fs->state.txg + 1;
    if (t->txg > fs->state.txg + 1)
        event_add(fs, "metadata_lost", "s:I, s:I", "from_txg", (json_int_t)(fs->state.txg + 1), "to_txg", (json_int_t)(t->txg - 1));
    int e = read_stream(fs, t, s);
    if (!e)
        e = apply_records(a, t->txg, s->records, t->records_len);
    if (!e)
        e = meta_txg_put(fs->index, t->txg, t->epoch, t->chain, t->time_ns, 0, t->blocks * BLOCK_SIZE);
    fs->state.txg = t->txg;
    fs->state.epoch = t->epoch;
    fs->state.txg_hash = t->chain;
    return e;
}

static int apply_ring(struct holofs *fs, const struct ring_scan_result *scan)
{
    if (scan->n == 0 || scan->txgs[scan->n - 1].txg <= fs->state.txg)
        return 0;
    struct txg_stream s = { 0 };
    const struct meta_state before = fs->state;
    struct applier *a = applier_create(fs);
    int e = a ? meta_begin(fs->index) : -ENOMEM;
    for (size_t i = 0; i < scan->n && !e; i++)
        e = apply_one(fs, a, &scan->txgs[i], &s);
    if (!e)
        e = apply_flush(a);
    if (!e)
        e = meta_commit(fs->index, &fs->state);
    if (e) {
        meta_rollback(fs->index);
        fs->state = before;
    }
    buf_fini(&s.raw);
    applier_destroy(a);
    return e;
}

struct table_load {
    struct holofs *fs;
    uint64_t last_meta_txg;
    int error;
};

static int load_container(void *arg, const struct meta_container *c)
{
    struct table_load *l = arg;
    struct holofs *fs = l->fs;
    struct container_info info = { .id = c->id, .cls = c->cls, .state = c->state, .r = c->r, .used = c->used };
    int e = ctab_set(fs, &info, c->sealed_txg, NULL);
    if (e)
        return e;
    ctab_find(fs, c->id)->live = (int64_t)c->live_bytes;
    if (fs->next_container <= c->id)
        fs->next_container = c->id + 1;
    if (c->cls == CLASS_META_LOG && c->sealed_txg > l->last_meta_txg) {
        l->last_meta_txg = c->sealed_txg;
        fs->previous_meta = c->id;
    }
    if (c->state == CONTAINER_SEALED)
        fs->container_file_bytes += container_full_size(fs, c->r) - ((uint64_t)fs->sb.nmax - c->used) * BLOCK_SIZE;
    return 0;
}

/* An open data container gets its head back, in memory; its bytes follow from the ring. */
static int make_head(void *arg, uint32_t id)
{
    struct holofs *fs = arg;
    struct container *c = ctab_find(fs, id);
    if (c->state != CONTAINER_OPEN)
        return 0;
    struct head *h = head_create(fs, id, CLASS_DATA, c->r);
    if (!h)
        return -ENOMEM;
    c->head = h;
    return 0;
}

static struct head *head_of(struct holofs *fs, uint32_t id)
{
    struct container *c = ctab_find(fs, id);
    return c ? c->head : NULL;
}

static int fill_from(struct holofs *fs, const struct ring_txg *t, const struct txg_stream *s)
{
    const uint8_t *p = s->data, *end = s->data + t->data_len;
    for (uint32_t i = 0; i < t->n_segments; i++) {
        struct ring_segment g;
        ring_segment_get(s->raw.p, i, &g);
        if (g.len > (size_t)(end - p))
            return -HOLO_ECORRUPT;
        struct head *h = head_of(fs, g.container);
        if (h && g.off + g.len <= h->cap_bytes) {
            memcpy(h->buf + g.off, p, g.len);
            h->fill = h->fill > g.off + g.len ? h->fill : g.off + g.len;
            h->first_lsn = h->first_lsn < t->lsn ? h->first_lsn : t->lsn;
        }
        p += g.len;
    }
    return 0;
}

static int pieces_from(struct holofs *fs, const struct ring_txg *t, const struct txg_stream *s)
{
    struct rd stream = rd_init(s->records, t->records_len);
    struct rec_view v;
    struct item it;
    int r, e = 0;
    while ((r = rec_next(&stream, &v)) == 1 && !e) {
        while (!e && rec_next_item(&v, &it) == 1) {
            if (it.type != ITEM_EXTENT)
                continue;
            struct head *h = head_of(fs, it.extent.container);
            struct piece p = { .ino = it.ino, .off = it.extent.off - it.extent.skip, .seq = v.seq, .coff = it.extent.coff,
                               .stored = it.extent.stored, .raw = it.extent.raw, .codec = it.extent.codec };
            if (h)
                e = head_add_piece(h, &p);
        }
    }
    return e ? e : r;
}

/* Heads and the metadata head again, from every txg that is in the ring. */
static int fill_heads(struct holofs *fs, const struct ring_scan_result *scan, uint64_t last_meta_txg)
{
    struct txg_stream s = { 0 };
    int e = 0;
    for (size_t i = 0; i < scan->n && !e; i++) {
        const struct ring_txg *t = &scan->txgs[i];
        e = read_stream(fs, t, &s);
        if (!e)
            e = fill_from(fs, t, &s);
        if (!e)
            e = pieces_from(fs, t, &s);
        if (!e && t->txg > last_meta_txg && !fs->read_only)
            e = metalog_append(fs, t, s.records, t->records_len);
        if (!e)
            e = note_ring_place(fs, t);
    }
    buf_fini(&s.raw);
    return e;
}

static int by_coff(const void *pa, const void *pb)
{
    const struct piece *a = pa, *b = pb;
    return a->coff < b->coff ? -1 : a->coff > b->coff;
}

/* The ring lost something: from here on only what the ring has of a head counts as known. */
static int distrust_head(void *arg, uint32_t id)
{
    struct head *h = head_of(arg, id);
    if (!h)
        return 0;
    if (h->n_pieces)
        qsort(h->pieces, h->n_pieces, sizeof(*h->pieces), by_coff);
    h->ring_lost = true;
    return 0;
}

/* 1 if an extent of this window needs bytes that the ring does not have any more. */
static int window_is_lost(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct holofs *fs = arg;
    struct window w = { 0 };
    int lost = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n && !lost; i++) {
        const struct extent *e = &w.e[i];
        struct head *h = head_of(fs, e->container);
        uint64_t off = e->codec == EXTENT_RUN ? e->coff + e->skip : e->coff;
        lost = h && !head_covers(h, off, e->codec == EXTENT_RUN ? off + e->len : off + e->stored);
    }
    if (lost > 0)
        event_add(fs, "data_lost", "s:I, s:I", "inode", (json_int_t)ino, "offset", (json_int_t)window * WINDOW_SIZE);
    window_fini(&w);
    return lost;
}

/* Did what the ring lost matter? Not if the index has those txgs and containers have their data. */
static int judge_loss(struct holofs *fs)
{
    struct meta_reader *r;
    int e = ctab_each(fs, distrust_head, fs);
    if (!e)
        e = meta_reader_open(fs->index, &r);
    if (e)
        return e;
    e = meta_each_window(r, window_is_lost, fs);
    meta_reader_close(r);
    fs->damaged_ring |= e != 0;
    return e < 0 ? e : 0;
}

/* The newest head of each redundancy goes on; older ones were being sealed and are sealed now. */
static int place_head(void *arg, uint32_t id)
{
    struct holofs *fs = arg;
    struct head *h = head_of(fs, id);
    if (!h)
        return 0;
    struct head *older = fs->heads[h->r];
    fs->heads[h->r] = h;
    if (older)
        head_queue(fs, older);
    return 0;
}

static int garbage(void *arg, uint32_t id)
{
    struct holofs *fs = arg;
    char name[CONTAINER_NAME_MAX];
    struct container *c = ctab_find(fs, id);
    if (fs->next_container <= id)
        fs->next_container = id + 1;
    if (c && c->state == CONTAINER_SEALED)
        return 0;
    container_name(id, name);
    log_info("container %08x: no commit names it: deleted", id);
    return fs->backing->ops->unlink(fs->backing, name);
}

void remove_garbage(struct holofs *fs)
{
    int e = each_container_file(fs, garbage, fs);
    if (e)
        log_warn("containers: %s", holo_strerror(e));
}

static int load_table(struct holofs *fs, struct table_load *l)
{
    struct meta_reader *r;
    ctab_fini(fs);
    fs->next_container = fs->next_container > fs->state.next_container ? fs->next_container : fs->state.next_container;
    int e = meta_reader_open(fs->index, &r);
    if (e)
        return e;
    e = meta_each_container(r, load_container, l);
    uint64_t files = 0;
    if (!e)
        e = meta_count_inodes(r, &files);
    fs->n_files = files;
    meta_reader_close(r);
    return e;
}

int recover(struct holofs *fs, char *why, size_t why_cap)
{
    struct ring_scan_result scan;
    struct table_load l = { .fs = fs };
    const char *step = "ring";
    int e = scan_ring(fs, &scan);
    if (!e) {
        step = "index";
        e = open_index(fs, &scan);
    }
    if (!e)
        e = apply_ring(fs, &scan);
    if (e == -ENOSPC && !fs->read_only && release_reserve(fs))
        e = apply_ring(fs, &scan);
    if (!e)
        e = load_table(fs, &l);
    if (!e) {
        step = "heads";
        e = ctab_each(fs, make_head, fs);
    }
    if (!e)
        e = fill_heads(fs, &scan, l.last_meta_txg);
    if (!e && (scan.lost_txgs || ring_is_cut(fs, &scan)))
        e = judge_loss(fs);
    if (!e)
        e = ctab_each(fs, place_head, fs);
    if (!e) {
        fs->base_epoch = fs->state.epoch;
        fs->base_txg = fs->state.txg;
        fs->base_chain = fs->chain = fs->state.txg_hash;
        fs->epoch = (fs->sb.epoch > fs->state.epoch ? fs->sb.epoch : fs->state.epoch) + 1;
    } else {
        snprintf(why, why_cap, "%s: %s", step, holo_strerror(e));
    }
    free(scan.txgs);
    return e;
}
