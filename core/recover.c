/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recover.c: bring ring, index, container table and heads together when a store is opened.
 *
 *   ring scan ─▶ index usable? ──yes──▶ apply the txgs it lacks ─▶ container table ─▶ heads from the ring
 *                    └──no──▶ rebuild from containers ──▲
 *
 * The index may be behind the ring (then the ring has what it lacks) or ahead of it (then the ring lost what the index has), but not of
 * another history. What is lost is judged at the end (salvage.c).
 */
#include "core/recover.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/head.h"
#include "core/log.h"
#include "core/open.h"
#include "core/salvage.h"

/* What the ring has, damaged txgs among the others in their order. */
struct log_txg {
    struct ring_txg t;
    bool damaged;
};

struct ring_log {
    struct ring_scan_result scan;
    struct log_txg *v;
    size_t n;
};

static int by_number(const void *pa, const void *pb)
{
    const struct log_txg *a = pa, *b = pb;
    return a->t.txg < b->t.txg ? -1 : a->t.txg > b->t.txg;
}

static int merge_damaged(struct ring_log *l)
{
    l->n = 0;
    l->v = malloc((l->scan.n + l->scan.n_damaged + 1) * sizeof(*l->v));
    if (!l->v)
        return -ENOMEM;
    for (size_t i = 0; i < l->scan.n; i++)
        l->v[l->n++] = (struct log_txg){ l->scan.txgs[i], false };
    for (size_t i = 0; i < l->scan.n_damaged; i++)
        l->v[l->n++] = (struct log_txg){ l->scan.damaged[i], true };
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_number);
    return 0;
}

/* Is the newest txg not the one that a clean stop has noted? */
static bool newest_is_missing(const struct holofs *fs, const struct ring_scan_result *scan)
{
    return scan->n == 0 || ((fs->sb.flags & SUPER_CLEAN) && scan->txgs[scan->n - 1].txg != fs->sb.hint_txg);
}

static int scan_ring(struct holofs *fs, struct ring_log *l)
{
    struct ring_scan_result *scan = &l->scan;
    int e = -HOLO_ESTALE;
    if ((fs->sb.flags & SUPER_CLEAN) && !fs->opt.check_all)
        e = ring_scan_clean(fs->ring, fs->sb.hint_tail, fs->sb.hint_end, fs->sb.hint_txg, scan);
    if (e == -HOLO_ESTALE) {
        e = ring_scan(fs->ring, fs->sb.flags & SUPER_CLEAN ? fs->sb.hint_txg : 0, scan);
        fs->unclean = !(fs->sb.flags & SUPER_CLEAN) || (!e && newest_is_missing(fs, scan));
    }
    if (!e)
        e = merge_damaged(l);
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
    fs->loss.any = scan->lost_txgs || scan->missing_to || scan->end_unknown || newest_is_missing(fs, scan);
    fs->loss.last_epoch = scan->n ? scan->txgs[scan->n - 1].epoch : UINT64_MAX;
    return 0;
}

bool ring_voids(uint64_t epoch, uint64_t txg, uint64_t hash, const struct ring_txg *t)
{
    if (epoch >= t->epoch || t->base_epoch == 0)
        return false;
    return epoch > t->base_epoch || txg > t->base_txg || (txg == t->base_txg && (epoch != t->base_epoch || hash != t->base_chain));
}

/* The chain value of a txg that was damaged when it was read is not known: 0. */
static bool same_chain(uint64_t a, uint64_t b)
{
    return a == b || !a || !b;
}

/* May t be applied to what the index has, or has it been? */
static bool follows(const struct meta_state *s, const struct ring_txg *t)
{
    if (t->txg == s->txg)
        return t->epoch == s->epoch && same_chain(t->chain, s->txg_hash);
    return t->txg < s->txg || (t->epoch >= s->epoch && !ring_voids(s->epoch, s->txg, s->txg_hash, t));
}

static bool all_follow(const struct meta_state *s, const struct ring_log *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!follows(s, &l->v[i].t))
            return false;
    }
    return true;
}

/*
 * The index, which is whole or was made anew from the containers, has applied what the ring does not have: the ring lost it, is an old
 * copy, or is of another history, as when a copy of the store was mounted elsewhere and files of both were put together. Of the ring counts
 * what the index has applied as well. What a ring of another history says beyond that is lost, and told.
 */
static void follow_index(struct holofs *fs, struct ring_log *l)
{
    const struct meta_state *s = &fs->state;
    const struct ring_txg *newest = l->scan.n ? &l->scan.txgs[l->scan.n - 1] : NULL;
    bool foreign = !all_follow(s, l);
    size_t n = 0;
    if (newest && newest->txg >= s->txg && newest->epoch >= s->epoch && !foreign)
        return;
    event_add(fs, foreign ? "ring_foreign" : "ring_behind", "s:I, s:I", "ring_txg", (json_int_t)(newest ? newest->txg : 0), "index_txg",
              (json_int_t)s->txg);
    for (size_t i = 0; i < l->n; i++) {
        uint64_t epoch, hash;
        const struct ring_txg *t = &l->v[i].t;
        if (t->txg <= s->txg && meta_txg_get(fs->index, t->txg, &epoch, &hash) == 0 && epoch == t->epoch && same_chain(hash, t->chain))
            l->v[n++] = l->v[i];
    }
    l->n = n;
    fs->loss.any = true;
    if (newest)
        fs->loss.last_epoch = s->epoch;
    if (newest && foreign && newest->txg > s->txg)
        note_gap(fs, s->txg + 1, newest->txg, 0, newest->time_ns);
    else if (fs->index_rebuilt && newest) /* containers lag behind the log: what came last was in the ring that is gone */
        note_gap(fs, s->txg + 1, 0, newest->time_ns, 0);
    if (fs->loss.hold) /* its rows are of what the containers say; on an older state the ring could be applied, of another history */
        fs->loss.held.txg = fs->loss.held.epoch = fs->loss.held.txg_hash = 0;
}

/* The txg's stream, split. Of a damaged one the parts that are right as a whole are told apart; holes are those of the data. */
struct txg_stream {
    struct buf raw;
    const uint8_t *records, *data;
    struct ring_holes holes;
    bool segments_right, records_right;
};

static void txg_stream_fini(struct txg_stream *s)
{
    buf_fini(&s->raw);
    ring_holes_fini(&s->holes);
}

static bool has_hole(const struct ring_holes *h, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->v[i].off < to && h->v[i].off + h->v[i].len > from)
            return true;
    }
    return false;
}

static int read_stream(struct holofs *fs, const struct log_txg *l, struct txg_stream *s)
{
    const struct ring_txg *t = &l->t;
    uint64_t table = (uint64_t)t->n_segments * RING_SEGMENT_BYTES;
    s->holes.n = 0;
    int e = l->damaged ? ring_read_damaged(fs->ring, t, &s->raw, &s->holes) : ring_read(fs->ring, t, &s->raw);
    if (e)
        return e;
    s->records = s->raw.p + table;
    s->data = s->records + t->records_len;
    s->segments_right = !has_hole(&s->holes, 0, table);
    s->records_right = !has_hole(&s->holes, table, table + t->records_len);
    return 0;
}

/* From here on records are missing. Unless that is accepted, the index keeps the state before it, so that it is found again. */
void note_gap(struct holofs *fs, uint64_t from, uint64_t to, int64_t after_ns, int64_t before_ns)
{
    if (!fs->loss.records && !fs->opt.accept_loss) {
        fs->loss.hold = true;
        fs->loss.held = fs->state;
    }
    fs->loss.any = true;
    loss_note_txgs(fs, from, to, after_ns, before_ns);
}

const struct meta_state *state_to_keep(const struct holofs *fs)
{
    return fs->loss.hold ? &fs->loss.held : &fs->state;
}

void opening_progress(struct holofs *fs, const char *what, uint64_t done, uint64_t of)
{
    char line[160];
    uint64_t now = clock_mono_ns();
    if (now - (fs->opening.told_ns ? fs->opening.told_ns : fs->mounted_ns) < fs->opt.progress_ms * UINT64_C(1000000))
        return;
    fs->opening.told_ns = now;
    snprintf(line, sizeof(line), "%s: %llu of %llu, %llu s", what, (unsigned long long)done, (unsigned long long)of,
             (unsigned long long)((now - fs->mounted_ns) / 1000000000));
    log_info("%s", line);
    if (fs->opt.progress)
        fs->opt.progress(fs->opt.progress_arg, line);
}

static int apply_one(struct holofs *fs, struct applier *a, const struct ring_txg *t, struct txg_stream *s)
{
    int e = apply_records(a, t->txg, s->records, t->records_len);
    if (!e)
        e = meta_txg_put(fs->index, t->txg, t->epoch, t->chain, t->time_ns, 0, t->blocks * BLOCK_SIZE);
    fs->state.txg = t->txg;
    fs->state.epoch = t->epoch;
    fs->state.txg_hash = t->chain;
    fs->opening.ring_txgs++;
    fs->opening.ring_bytes += t->records_len;
    return e;
}

/* Before t some txgs are missing: frames of the metadata log may have them. */
static int bridge_gap(struct holofs *fs, struct applier *a, const struct ring_log *l, const struct ring_txg *t, int64_t after_ns)
{
    int e = apply_flush(a);
    if (!e)
        e = loss_mark_touched(fs, a);
    if (!e)
        e = meta_commit(fs->index, state_to_keep(fs));
    apply_reset(a);
    if (!e)
        e = rebuild_between(fs, t->txg, l->scan.txgs, l->scan.n);
    if (!e && fs->state.txg + 1 < t->txg)
        note_gap(fs, fs->state.txg + 1, t->txg - 1, after_ns, t->time_ns);
    return e ? e : meta_begin(fs->index);
}

static int apply_each(struct holofs *fs, struct applier *a, const struct ring_log *l, struct txg_stream *s)
{
    int64_t after_ns = 0;
    int e = 0;
    for (size_t i = 0; i < l->n && !e; i++) {
        const struct ring_txg *t = &l->v[i].t;
        int64_t time_ns = t->time_ns;
        if (t->txg > fs->state.txg) {
            opening_progress(fs, "applying the journal: transaction groups", i, l->n);
            e = read_stream(fs, &l->v[i], s);
            if (!e && !s->records_right)
                continue; /* as if it were not there */
            if (!e && t->txg > fs->state.txg + 1)
                e = bridge_gap(fs, a, l, t, after_ns);
            if (!e)
                e = apply_one(fs, a, t, s);
        }
        after_ns = time_ns;
    }
    return e;
}

static int apply_ring(struct holofs *fs, const struct ring_log *l)
{
    if (l->n == 0 || l->v[l->n - 1].t.txg <= fs->state.txg)
        return 0;
    struct txg_stream s = { 0 };
    const struct meta_state before = fs->state;
    struct applier *a = applier_create(fs);
    int e = a ? meta_begin(fs->index) : -ENOMEM;
    if (!e)
        e = apply_each(fs, a, l, &s);
    if (!e)
        e = apply_flush(a);
    if (!e)
        e = loss_mark_touched(fs, a);
    if (!e)
        e = meta_commit(fs->index, state_to_keep(fs));
    if (e) {
        meta_rollback(fs->index);
        fs->state = before;
    }
    txg_stream_fini(&s);
    applier_destroy(a);
    return e;
}

/* What was committed last may be missing from ring and index: after a clean stop the superblock knows it, else what lies behind the end. */
static void judge_end(struct holofs *fs, const struct ring_log *l)
{
    bool clean = fs->sb.flags & SUPER_CLEAN;
    if (clean && fs->sb.hint_txg > fs->state.txg)
        note_gap(fs, fs->state.txg + 1, fs->sb.hint_txg, 0, fs->sb.written_ns);
    else if (l->scan.missing_to > fs->state.txg && !l->scan.end_unknown)
        note_gap(fs, fs->state.txg + 1, l->scan.missing_to, l->scan.txgs[l->scan.n - 1].time_ns, 0);
    else if ((!clean && l->scan.n == 0) || l->scan.end_unknown)
        note_gap(fs, fs->state.txg + 1, 0, 0, 0);
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
    struct container *row = ctab_find(fs, c->id);
    row->live = (int64_t)c->live_bytes;
    row->quarantined = (c->flags & CONTAINER_QUARANTINED) != 0;
    if (fs->next_container <= c->id)
        fs->next_container = c->id + 1;
    if (c->cls == CLASS_META_LOG && c->sealed_txg > l->last_meta_txg) {
        l->last_meta_txg = c->sealed_txg;
        fs->previous_meta = c->id;
    }
    if (c->state == CONTAINER_SEALED) {
        uint64_t file = space_of_container(fs, c->r, c->used);
        fs->container_file_bytes += file;
        fs->meta_file_bytes += c->cls == CLASS_DATA ? 0 : file;
    }
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
    return fs->loss.any ? head_forget(h) : 0;
}

static struct head *head_of(struct holofs *fs, uint32_t id)
{
    struct container *c = ctab_find(fs, id);
    return c ? c->head : NULL;
}

/* Bytes of a segment at p, of which some may be holes. */
static void fill_head(struct head *h, const struct ring_segment *g, const uint8_t *p, const struct txg_stream *s)
{
    uint64_t begin = (uint64_t)(p - s->raw.p), at = begin, end = begin + g->len;
    for (size_t i = 0; i <= s->holes.n && at < end; i++) {
        uint64_t hole = i < s->holes.n ? s->holes.v[i].off : end, next = i < s->holes.n ? hole + s->holes.v[i].len : end;
        hole = hole < at ? at : hole < end ? hole : end;
        memcpy(h->buf + g->off + (at - begin), s->raw.p + at, hole - at);
        head_learn(h, g->off + (at - begin), g->off + (hole - begin), hole == end);
        at = next > at ? next : at;
    }
}

static int fill_from(struct holofs *fs, const struct ring_txg *t, const struct txg_stream *s)
{
    const uint8_t *p = s->data, *end = s->data + t->data_len;
    for (uint32_t i = 0; i < t->n_segments && s->segments_right; i++) {
        struct ring_segment g;
        ring_segment_get(s->raw.p, i, &g);
        if (g.len > (size_t)(end - p))
            return -HOLO_ECORRUPT;
        struct head *h = head_of(fs, g.container);
        if (h && g.off <= h->cap_bytes && g.len <= h->cap_bytes - g.off) {
            fill_head(h, &g, p, s);
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
            if (h && head_knows(h, p.coff, (uint64_t)p.coff + p.stored))
                e = head_add_piece(h, &p);
        }
    }
    return e ? e : r;
}

/* Heads and the metadata head again, from every txg that is in the ring. */
static int fill_heads(struct holofs *fs, const struct ring_log *l, uint64_t last_meta_txg)
{
    struct txg_stream s = { 0 };
    int e = 0;
    for (size_t i = 0; i < l->n && !e; i++) {
        const struct ring_txg *t = &l->v[i].t;
        opening_progress(fs, "reading the journal: transaction groups", i, l->n);
        e = read_stream(fs, &l->v[i], &s);
        if (!e)
            e = fill_from(fs, t, &s);
        if (!e && s.records_right)
            e = pieces_from(fs, t, &s);
        if (!e && s.records_right && t->txg > last_meta_txg && !fs->read_only)
            e = metalog_append(fs, t, s.records, t->records_len);
        if (!e)
            e = note_ring_place(fs, t);
    }
    txg_stream_fini(&s);
    return e;
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
    struct container *c = ctab_find(fs, id);
    if (fs->next_container <= id)
        fs->next_container = id + 1;
    if (c && c->state == CONTAINER_SEALED)
        return 0;
    if (fs->loss.any) { /* the commit that names it may be what is lost */
        fs->garbage = true;
        return 0;
    }
    int e = container_unlink(fs, id);
    if (e)
        log_warn("container %08x: no commit names it: cannot be deleted: %s", id, holo_strerror(e));
    else
        log_info("container %08x: no commit names it: deleted", id);
    return 0;
}

void remove_garbage(struct holofs *fs)
{
    int e = each_container_file(fs, garbage, fs);
    if (e) {
        log_warn("containers: %s", holo_strerror(e));
        fs->garbage = true;
    }
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

/* What damage in the ring costs, and whether the store may go on writing. */
static int judge_loss(struct holofs *fs)
{
    int e = loss_judge(fs);
    if (e)
        return e;
    loss_tell(fs);
    fs->damaged_ring = fs->loss.records && !fs->opt.accept_loss;
    return 0;
}

static int recover_log(struct holofs *fs, struct ring_log *l, const char **step)
{
    struct table_load t = { .fs = fs };
    *step = "ring";
    int e = scan_ring(fs, l);
    if (e)
        return e;
    e = index_open(fs, &l->scan, step);
    if (!e)
        follow_index(fs, l);
    if (!e)
        e = apply_ring(fs, l);
    if (disk_is_full(e) && !fs->read_only && release_reserve(fs))
        e = apply_ring(fs, l);
    if (e)
        return e;
    judge_end(fs, l);
    e = load_table(fs, &t);
    if (e)
        return e;
    *step = "heads";
    e = ctab_each(fs, make_head, fs);
    if (!e)
        e = fill_heads(fs, l, t.last_meta_txg);
    if (!e && fs->loss.any)
        e = judge_loss(fs);
    return e ? e : ctab_each(fs, place_head, fs);
}

/* Random, so that two copies of a store that are mounted on two machines never use the same epoch. */
static uint64_t epoch_step(void)
{
    uint32_t n;
    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != (ssize_t)sizeof(n))
        n = (uint32_t)clock_real_ns();
    return (uint64_t)n + 1;
}

int recover(struct holofs *fs, char *why, size_t why_cap)
{
    struct ring_log l = { 0 };
    const char *step;
    int e = recover_log(fs, &l, &step);
    uint64_t epoch = fs->sb.epoch > fs->state.epoch ? fs->sb.epoch : fs->state.epoch;
    if (!e) {
        fs->base_epoch = fs->state.epoch;
        fs->base_txg = fs->state.txg;
        fs->base_chain = fs->chain = fs->state.txg_hash;
        fs->epoch = (epoch > l.scan.max_epoch ? epoch : l.scan.max_epoch) + epoch_step();
    } else {
        snprintf(why, why_cap, "%s: %s", step, holo_strerror(e));
    }
    free(l.scan.txgs);
    free(l.v);
    return e;
}
