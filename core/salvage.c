/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * salvage.c: what the log has lost: find it, name it, and make it part of the log.
 *
 * Invariants:
 *  1. No byte is made up: what a head does not know, and what lies beyond the end that a file had before records were lost and is in no
 *     extent, becomes an extent that says «lost» in the same txg that lets the store go on.
 *  2. A container is taken back only if the last epoch sealed it, or no log is left: an older one may be garbage that could not be deleted.
 *  3. Nothing is written by a store that is open for reading only.
 */
#include "core/salvage.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/apply.h"
#include "core/container.h"
#include "core/log.h"
#include "core/recover.h"

/* Bytes of a head's content that a bit stands for: pieces start at multiples of it. */
enum { GRAIN = 8, EXTENTS_A_RECORD = 1000, TOLD_MAX = 1000 };

/* More marks than that are not written: a sparse file of terabytes that lost records. */
enum { MARKS_MAX = 4 << 20 };

/* ---- what a head knows ---- */

int head_forget(struct head *h)
{
    free(h->known);
    h->known = calloc((size_t)(h->cap_bytes / GRAIN / 8 + 1), 1);
    return h->known ? 0 : -ENOMEM;
}

void head_learn(struct head *h, uint64_t off, uint64_t end, bool whole)
{
    uint64_t first = (off + GRAIN - 1) / GRAIN, last = whole ? (end + GRAIN - 1) / GRAIN : end / GRAIN;
    for (uint64_t g = first; h->known && g < last; g++)
        h->known[g / 8] |= (uint8_t)(1u << (g % 8));
}

bool head_knows(const struct head *h, uint64_t off, uint64_t end)
{
    for (uint64_t g = off / GRAIN; h->known && g < (end + GRAIN - 1) / GRAIN; g++) {
        if (!(h->known[g / 8] & 1u << (g % 8)))
            return false;
    }
    return true;
}

/* ---- notes ---- */

void loss_note_txgs(struct holofs *fs, uint64_t from, uint64_t to, int64_t after_ns, int64_t before_ns)
{
    fs->loss.records = true;
    if (to)
        event_add(fs, "metadata_lost", "s:I, s:I, s:I, s:I", "from_txg", (json_int_t)from, "to_txg", (json_int_t)to, "after_ns",
                  (json_int_t)after_ns, "before_ns", (json_int_t)before_ns);
    else
        event_add(fs, "metadata_lost", "s:I, s:s", "from_txg", (json_int_t)from, "to_txg", "unknown");
}

static int by_touched_ino(const void *pa, const void *pb)
{
    const struct loss_touched *a = pa, *b = pb;
    return a->ino < b->ino ? -1 : a->ino > b->ino;
}

int loss_note_touched(struct holofs *fs, uint64_t ino, uint64_t size_before)
{
    struct loss *l = &fs->loss;
    for (size_t i = l->n_touched; i-- > 0 && l->n_touched - i < 64;) {
        if (l->touched[i].ino == ino)
            return 0;
    }
    if (l->n_touched == l->cap_touched) {
        size_t cap = l->cap_touched ? 2 * l->cap_touched : 64;
        struct loss_touched *v = realloc(l->touched, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->touched = v;
        l->cap_touched = cap;
    }
    l->touched[l->n_touched] = (struct loss_touched){ ino, size_before, l->n_touched };
    l->n_touched++;
    return 0;
}

static int add_range(struct loss *l, uint64_t ino, uint64_t off, uint64_t len)
{
    struct loss_range *last = l->n ? &l->v[l->n - 1] : NULL;
    if (len == 0)
        return 0;
    if (last && last->ino == ino && last->off + last->len == off) {
        last->len += len;
        return 0;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct loss_range *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct loss_range){ ino, off, len };
    return 0;
}

void loss_fini(struct holofs *fs)
{
    free(fs->loss.v);
    free(fs->loss.touched);
    free(fs->loss.adopted);
    fs->loss = (struct loss){ 0 };
}

/* ---- what records that are lost have written ---- */

/* What of a touched file lies beyond its old end and in no extent. */
struct gaps {
    struct loss *found;
    uint64_t ino, at, end;
};

static int gap_window(void *arg, uint32_t window, const void *blob, size_t len)
{
    struct gaps *g = arg;
    struct window w = { 0 };
    int e = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n && !e && g->at < g->end; i++) {
        uint64_t begin = w.e[i].off < g->end ? w.e[i].off : g->end, end = w.e[i].off + w.e[i].len;
        if (begin > g->at)
            e = add_range(g->found, g->ino, g->at, begin - g->at);
        g->at = end > g->at ? end : g->at;
    }
    window_fini(&w);
    return e;
}

static int find_gaps(struct holofs *fs, const struct loss_touched *t, struct loss *found)
{
    struct meta_inode m;
    int e = meta_inode_get(fs->index, t->ino, &m);
    if (e == -ENOENT || (!e && (!S_ISREG(m.mode) || m.size <= t->size_before)))
        return 0;
    struct gaps g = { .found = found, .ino = t->ino, .at = t->size_before, .end = m.size };
    if (!e)
        e = meta_windows_each(fs->index, t->ino, (uint32_t)(g.at / WINDOW_SIZE), gap_window, &g);
    if (!e && g.at < g.end)
        e = add_range(found, t->ino, g.at, g.end - g.at);
    return e;
}

/* The end of the part of a range that lies in one window. */
static uint64_t window_end(uint64_t at, uint64_t end)
{
    uint64_t next = (at / WINDOW_SIZE + 1) * WINDOW_SIZE;
    return next < end ? next : end;
}

static int mark_in_index(struct applier *a, const struct loss *found)
{
    uint64_t marks = 0;
    int e = 0;
    for (size_t i = 0; i < found->n && !e; i++) {
        const struct loss_range *g = &found->v[i];
        for (uint64_t at = g->off, end = g->off + g->len; at < end && !e; at = window_end(at, end)) {
            struct extent x = extent_lost(at, (uint32_t)(window_end(at, end) - at));
            e = ++marks > MARKS_MAX ? -EFBIG : apply_lost(a, g->ino, &x);
        }
    }
    return e;
}

static int add_stored(void *arg, uint32_t window, const void *blob, size_t len)
{
    uint64_t *sum = arg;
    struct window w = { 0 };
    int e = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n && !e; i++)
        *sum += extent_live(&w.e[i]);
    window_fini(&w);
    return e;
}

/*
 * An index that holds an older state has rows of these records from the mount before: applied once more, extents that are there already
 * add nothing to what the image set.
 */
static int recount_stored(struct holofs *fs, uint64_t ino)
{
    struct meta_inode m;
    uint64_t sum = 0;
    int e = meta_inode_get(fs->index, ino, &m);
    if (e)
        return e == -ENOENT ? 0 : e;
    e = meta_windows_each(fs->index, ino, 0, add_stored, &sum);
    if (e || m.stored_bytes == sum)
        return e;
    m.stored_bytes = sum;
    return meta_inode_put(fs->index, &m);
}

static int recount_touched(struct holofs *fs)
{
    const struct loss *l = &fs->loss;
    int e = 0;
    for (size_t i = 0; i < l->n_touched && !e; i++) {
        if (i == 0 || l->touched[i].ino != l->touched[i - 1].ino)
            e = recount_stored(fs, l->touched[i].ino);
    }
    return e;
}

int loss_mark_touched(struct holofs *fs, struct applier *a)
{
    struct loss *l = &fs->loss, found = { 0 };
    int e = l->n_touched ? apply_flush(a) : 0;
    if (l->n_touched)
        qsort(l->touched, l->n_touched, sizeof(*l->touched), by_touched_ino);
    for (size_t i = 0, n; i < l->n_touched && !e; i += n) {
        struct loss_touched first = l->touched[i];
        for (n = 1; i + n < l->n_touched && l->touched[i + n].ino == first.ino; n++) {
            if (l->touched[i + n].order < first.order)
                first = l->touched[i + n];
        }
        e = find_gaps(fs, &first, &found);
    }
    if (!e)
        e = mark_in_index(a, &found);
    free(found.v);
    if (!e && l->n_touched) {
        e = apply_flush(a);
        apply_reset(a);
        e = e ? e : recount_touched(fs);
    }
    l->n_touched = 0;
    return e ? e : apply_flush(a);
}

/* ---- judging ---- */

struct judge {
    struct holofs *fs;
    bool ask_files; /* first pass: which containers would have to come from their files? */
    uint32_t *ids;
    size_t n_ids, cap_ids;
    int64_t *live;  /* by container */
};

static struct head *head_of(struct holofs *fs, uint32_t id)
{
    struct container *c = ctab_find(fs, id);
    return c ? c->head : NULL;
}

static int want_file(struct judge *j, uint32_t id)
{
    for (size_t i = 0; i < j->n_ids; i++) {
        if (j->ids[i] == id)
            return 0;
    }
    if (j->n_ids == j->cap_ids) {
        size_t cap = j->cap_ids ? 2 * j->cap_ids : 16;
        uint32_t *v = realloc(j->ids, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        j->ids = v;
        j->cap_ids = cap;
    }
    j->ids[j->n_ids++] = id;
    return 0;
}

/* The parts of a run that its head does not know, block by block. */
static int judge_run(struct judge *j, const struct head *h, uint64_t ino, const struct extent *e)
{
    uint64_t at = (uint64_t)e->coff + e->skip, end = at + e->len, origin = e->off - at;
    int err = 0;
    while (at < end && !err) {
        uint64_t next = (at / BLOCK_SIZE + 1) * BLOCK_SIZE;
        next = next < end ? next : end;
        if (!head_knows(h, at, next))
            err = add_range(&j->fs->loss, ino, origin + at, next - at);
        at = next;
    }
    return err;
}

static int judge_extent(struct judge *j, uint64_t ino, const struct extent *e)
{
    struct container *c = ctab_find(j->fs, e->container);
    const struct head *h = c ? c->head : NULL;
    bool known = h ? head_knows(h, e->codec == EXTENT_RUN ? e->coff + e->skip : e->coff, (uint64_t)e->coff + e->stored) : c != NULL;
    if (extent_is_lost(e)) /* of this loss, unless the log has it already: again does no harm */
        return j->fs->loss.records && !j->ask_files ? add_range(&j->fs->loss, ino, e->off, e->len) : 0;
    if (known)
        return 0;
    if (j->ask_files)
        return want_file(j, e->container);
    return h && e->codec == EXTENT_RUN ? judge_run(j, h, ino, e) : add_range(&j->fs->loss, ino, e->off, e->len);
}

static int judge_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct judge *j = arg;
    struct window w = { 0 };
    int e = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n && !e; i++) {
        e = judge_extent(j, ino, &w.e[i]);
        if (j->live && w.e[i].container < j->fs->ctab_cap)
            j->live[w.e[i].container] += extent_live(&w.e[i]);
    }
    window_fini(&w);
    return e;
}

/* Take a container back whose file is there although no commit names it any more. */
static int adopt(struct holofs *fs, uint32_t id)
{
    struct copen *o;
    unsigned bad;
    struct loss *l = &fs->loss;
    if (copen_file(fs, id, true, &o, &bad))
        return 0;
    struct container_info info = { .id = id, .cls = o->h.cls, .state = CONTAINER_SEALED, .r = o->h.r, .used = o->h.used };
    bool right = o->h.cls == CLASS_DATA && (o->h.epoch == l->last_epoch || l->last_epoch == UINT64_MAX);
    copen_free(o);
    if (!right)
        return 0;
    struct container_info *v = realloc(l->adopted, (l->n_adopted + 1) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    l->adopted = v;
    v[l->n_adopted++] = info;
    struct head *h = head_of(fs, id);
    int e = ctab_set(fs, &info, fs->state.txg, NULL);
    if (h)
        head_unref(fs, h);
    event_add(fs, "container_taken_back", "s:i", "container", (int)id);
    return e;
}

/* Live bytes as the windows have them; records that would have counted them may be among what is lost. */
static int recount(struct judge *j)
{
    struct holofs *fs = j->fs;
    int e = fs->read_only ? 0 : meta_begin(fs->index);
    for (uint32_t id = 1; id < fs->ctab_cap && !e; id++) {
        struct meta_container row;
        struct container *c = ctab_find(fs, id);
        if (!c)
            continue;
        c->live = j->live[id];
        if (fs->read_only || meta_container_get(fs->index, id, &row) || (int64_t)row.live_bytes == j->live[id])
            continue;
        row.live_bytes = (uint64_t)j->live[id];
        e = meta_container_put(fs->index, &row);
    }
    if (fs->read_only)
        return e;
    if (!e)
        e = meta_commit(fs->index, state_to_keep(fs));
    else
        meta_rollback(fs->index);
    return e;
}

static int by_place(const void *pa, const void *pb)
{
    const struct loss_range *a = pa, *b = pb;
    if (a->ino != b->ino)
        return a->ino < b->ino ? -1 : 1;
    return a->off < b->off ? -1 : a->off > b->off;
}

int loss_judge(struct holofs *fs)
{
    struct judge j = { .fs = fs, .ask_files = true };
    struct meta_reader *r;
    struct loss *l = &fs->loss;
    int e = meta_reader_open(fs->index, &r);
    if (e)
        return e;
    e = meta_each_window(r, judge_window, &j);
    for (size_t i = 0; i < j.n_ids && !e; i++)
        e = adopt(fs, j.ids[i]);
    j.ask_files = false;
    j.live = e ? NULL : calloc(fs->ctab_cap + 1, sizeof(*j.live));
    if (!e)
        e = j.live ? meta_each_window(r, judge_window, &j) : -ENOMEM;
    meta_reader_close(r);
    if (!e)
        e = recount(&j);
    if (!e && l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_place);
    free(j.ids);
    free(j.live);
    return e;
}

void loss_tell(struct holofs *fs)
{
    struct loss *l = &fs->loss;
    struct meta_reader *r;
    char path[1024];
    if (meta_reader_open(fs->index, &r))
        return;
    for (size_t i = 0; i < l->n && i < TOLD_MAX; i++) {
        if (meta_path_of(r, l->v[i].ino, path, sizeof(path)) < 0)
            snprintf(path, sizeof(path), "inode %llu", (unsigned long long)l->v[i].ino);
        event_add(fs, "data_lost", "s:s, s:I, s:I, s:I", "path", path, "inode", (json_int_t)l->v[i].ino, "offset", (json_int_t)l->v[i].off,
                  "length", (json_int_t)l->v[i].len);
    }
    if (l->n > TOLD_MAX)
        event_add(fs, "data_lost", "s:I", "more_ranges", (json_int_t)(l->n - TOLD_MAX));
    if (l->skipped)
        event_add(fs, "records_skipped", "s:I", "items", (json_int_t)l->skipped);
    meta_reader_close(r);
}

/* ---- making it so ---- */

/* Records of many items, one behind another, into the open txg. */
struct writer {
    struct holofs *fs;
    struct rec rec;
    uint8_t *space;
    unsigned items;
    uint64_t total;
};

static int flush(struct writer *w)
{
    if (w->items == 0)
        return 0;
    w->items = 0;
    return log_append(w->fs, w->space, rec_end(&w->rec), NULL, 0, NULL, NULL);
}

static int next_item(struct writer *w)
{
    int e = w->items == EXTENTS_A_RECORD ? flush(w) : 0;
    if (!e && w->items == 0)
        rec_begin(&w->rec, w->space, RECORD_MAX, REC_WRITE, clock_real_ns());
    w->items++;
    return e ? e : ++w->total > MARKS_MAX ? -EFBIG : 0;
}

static int mark_range(struct writer *w, const struct loss_range *g)
{
    int e = 0;
    for (uint64_t at = g->off, end = g->off + g->len; at < end && !e; at = window_end(at, end)) {
        struct extent x = extent_lost(at, (uint32_t)(window_end(at, end) - at));
        e = next_item(w);
        if (!e)
            rec_extent(&w->rec, g->ino, &x);
    }
    return e;
}

/* There must be a root to hang everything else on. */
static int mark_root(struct writer *w)
{
    struct meta_inode m;
    int64_t now = clock_real_ns();
    struct inode_image root = { .ino = INO_ROOT, .parent = INO_ROOT, .atime = now, .mtime = now, .ctime = now, .btime = now, .gen = 1,
                                .mode = S_IFDIR | 0755, .uid = getuid(), .gid = getgid(), .nlink = 2 };
    int e = meta_inode_get(w->fs->index, INO_ROOT, &m);
    if (e != -ENOENT)
        return e;
    e = next_item(w);
    if (!e)
        rec_inode(&w->rec, &root);
    return e;
}

int loss_log(struct holofs *fs)
{
    struct loss *l = &fs->loss;
    struct writer w = { .fs = fs, .space = malloc(RECORD_MAX) };
    int e = w.space ? mark_root(&w) : -ENOMEM;
    for (size_t i = 0; i < l->n_adopted && !e; i++) {
        e = next_item(&w);
        if (!e)
            rec_container(&w.rec, &l->adopted[i]);
    }
    for (size_t i = 0; i < l->n && !e; i++)
        e = mark_range(&w, &l->v[i]);
    if (!e)
        e = flush(&w);
    free(w.space);
    if (!e && ring_blocks_for(0, fs->open.records.len + BLOCK_SIZE, 0) > ring_free_blocks(fs->ring))
        e = -HOLO_ERINGFULL;
    return e;
}

/* Nothing refers to what a head does not know any more. */
static int head_trust(void *arg, uint32_t id)
{
    struct head *h = head_of(arg, id);
    if (h) {
        free(h->known);
        h->known = NULL;
    }
    return 0;
}

int loss_settle(struct holofs *fs)
{
    struct loss *l = &fs->loss;
    int e = commit_all(fs, RING_EPOCH_FIRST);
    if (e)
        return e;
    indexer_wait(fs, fs->committed_txg, true);
    ctab_each(fs, head_trust, fs);
    for (size_t i = 0; i < l->n; i++) {
        uint64_t blocks = (l->v[i].len + BLOCK_SIZE - 1) / BLOCK_SIZE;
        COUNT(fs, lost_blocks, blocks);
        fs->lost_now += blocks;
    }
    fs->dump_wanted = true; /* the metadata log has the same gap */
    e = heads_seal(fs, 1, true);
    if (!e) {
        mutex_lock(&fs->commit_lock);
        e = metalog_seal(fs);
        mutex_unlock(&fs->commit_lock);
    }
    if (!e)
        e = heads_seal(fs, 1, true);
    if (!e)
        e = commit_all(fs, 0);
    event_add(fs, "loss_accepted", "s:I, s:b", "ranges", (json_int_t)l->n, "metadata", l->records);
    return e;
}
