/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dump.c: write a dump: frames of kind 2 with records that recreate the index as of one txg.
 *
 * The dump is taken from one read transaction while the world goes on. It counts from the commit that carries
 * its «dump complete» item on, together with the containers it names.
 */
#include "core/dump.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ids.h"
#include "core/apply.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/head.h"
#include "core/log.h"

#define RETRY_NS UINT64_C(60000000000)
enum { SHORT_LOGS = 2 /* full containers of log, on a disk that fills up: a dump and what it seals take as much */ };
enum { DUMP_FRAME_BYTES = 256 << 10, RECORD_SPACE = RECORD_MAX + 4096, WINDOW_BLOB_MAX = 64 << 10, EXTENTS_A_RECORD = 1000 };

struct dumper {
    struct holofs *fs;
    struct meta_state state;
    struct meta_reader *reader;
    struct head *head;
    struct buf records;     /* of the next frame */
    uint8_t *space;         /* RECORD_SPACE: one record */
    uint32_t part;
    struct container_info *done;
    size_t n_done, cap_done;
    uint64_t bytes;
    bool announced;         /* a record names its containers: they must stay */
};

static int seal_head(struct dumper *d)
{
    struct head *h = d->head;
    if (!h)
        return 0;
    if (d->n_done == d->cap_done) {
        size_t cap = d->cap_done ? 2 * d->cap_done : 8;
        struct container_info *v = realloc(d->done, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        d->done = v;
        d->cap_done = cap;
    }
    mutex_lock(&d->fs->head_lock);
    h->id = d->fs->next_container++;
    mutex_unlock(&d->fs->head_lock);
    int e = seal_write(d->fs, &h, 1, NULL);
    if (e)
        return e;
    d->done[d->n_done++] = (struct container_info){ .id = h->id, .cls = CLASS_META_DUMP, .state = CONTAINER_SEALED, .r = h->r,
                                                    .used = h->used, .first_txg = d->state.txg, .last_txg = d->state.txg };
    d->bytes += h->fill;
    head_unref(d->fs, h);
    d->head = NULL;
    return 0;
}

static int need_head(struct dumper *d)
{
    if (d->head)
        return 0;
    mutex_lock(&d->fs->head_lock);
    d->head = head_create(d->fs, 0, CLASS_META_DUMP, d->fs->sb.meta_r);
    mutex_unlock(&d->fs->head_lock);
    if (!d->head)
        return -ENOMEM;
    d->head->first_txg = d->head->last_txg = d->state.txg;
    return 0;
}

static int flush_frame(struct dumper *d, bool last)
{
    size_t need = frame_size(d->records.len);
    if (d->records.len == 0 && !last)
        return 0;
    int e = 0;
    if (d->head && d->head->cap_bytes - d->head->fill < need)
        e = seal_head(d);
    if (!e)
        e = need_head(d);
    if (!e && d->head->cap_bytes < need)
        e = -EOVERFLOW;
    if (e)
        return e;
    struct frame f = { .kind = FRAME_DUMP, .epoch = d->state.epoch, .txg = d->state.txg, .chain = d->state.txg_hash,
                       .time_ns = clock_real_ns(), .part = d->part++, .flags = last ? FRAME_LAST : 0, .records = d->records.p,
                       .len = (uint32_t)d->records.len };
    frame_encode(&f, d->fs->sb.uuid, d->head->buf + d->head->fill);
    d->head->fill += need;
    d->records.len = 0;
    return 0;
}

static void begin(struct dumper *d, struct rec *r)
{
    rec_begin(r, d->space, RECORD_SPACE, REC_DUMP, 0);
}

static int end(struct dumper *d, struct rec *r)
{
    size_t len = rec_end(r);
    if (len == 0)
        return -EOVERFLOW;
    if (d->fs->stopping)
        return -EINTR;
    size_t limit = d->fs->sb.nmax * (size_t)BLOCK_SIZE / 4;
    if (d->records.len && d->records.len + len > (limit < DUMP_FRAME_BYTES ? limit : DUMP_FRAME_BYTES)) {
        int e = flush_frame(d, false);
        if (e)
            return e;
    }
    return buf_add(&d->records, d->space, len);
}

static int dump_inode(void *arg, const struct meta_inode *m)
{
    struct rec r;
    struct inode_image i;
    meta_to_inode_image(m, &i);
    begin(arg, &r);
    rec_inode(&r, &i);
    return end(arg, &r);
}

static int dump_dent(void *arg, const struct meta_dent *t)
{
    struct rec r;
    begin(arg, &r);
    rec_entry(&r, t->parent, t->ino, t->cookie, t->type, t->name, t->name_len);
    return end(arg, &r);
}

static int dump_symlink(void *arg, uint64_t ino, const char *target, size_t len)
{
    struct rec r;
    begin(arg, &r);
    rec_symlink(&r, ino, target, len);
    return end(arg, &r);
}

static int dump_xattr(void *arg, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len)
{
    struct rec r;
    begin(arg, &r);
    rec_xattr(&r, ino, name, name_len, value, len);
    return end(arg, &r);
}

/*
 * A window that is large for a record goes as single extents. They move size and stored bytes of the inode, so
 * its image follows once more.
 */
static int dump_extents(struct dumper *d, uint64_t ino, const uint8_t *blob, size_t len)
{
    struct meta_inode m;
    struct rd in = rd_init(blob, len);
    int e = 0;
    while (rd_left(&in) && !e) {
        struct rec r;
        struct extent x;
        begin(d, &r);
        for (int i = 0; i < EXTENTS_A_RECORD && rd_left(&in); i++) {
            if (!extent_decode(&in, &x))
                return -HOLO_ECORRUPT;
            rec_extent(&r, ino, &x);
        }
        e = end(d, &r);
    }
    if (!e)
        e = meta_read_inode(d->reader, ino, &m);
    return e ? e : dump_inode(d, &m);
}

static int dump_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct rec r;
    if (len > WINDOW_BLOB_MAX)
        return dump_extents(arg, ino, blob, len);
    begin(arg, &r);
    rec_window(&r, ino, window, blob, len);
    return end(arg, &r);
}

static int dump_orphan(void *arg, uint64_t ino)
{
    struct rec r;
    begin(arg, &r);
    rec_orphan(&r, ino, false);
    return end(arg, &r);
}

static int dump_container(void *arg, const struct meta_container *c)
{
    struct rec r;
    struct container_info info = { .id = c->id, .cls = c->cls, .state = c->state, .r = c->r, .used = c->used, .flags = c->flags,
                                   .first_txg = c->sealed_txg, .last_txg = c->sealed_txg };
    begin(arg, &r);
    rec_container(&r, &info);
    return end(arg, &r);
}

static int dump_counters(struct dumper *d)
{
    struct rec r;
    struct counters c = { d->state.next_ino, d->state.next_cookie, d->state.next_seq, d->state.next_container };
    begin(d, &r);
    rec_counters(&r, &c);
    return end(d, &r);
}

/* Containers come first: windows count live bytes in them. */
static int dump_tables(struct dumper *d, struct meta_reader *r)
{
    int e = meta_each_container(r, dump_container, d);
    if (!e)
        e = meta_each_inode(r, dump_inode, d);
    if (!e)
        e = meta_each_symlink(r, dump_symlink, d);
    if (!e)
        e = meta_each_dent(r, dump_dent, d);
    if (!e)
        e = meta_each_xattr(r, dump_xattr, d);
    if (!e)
        e = meta_each_orphan(r, dump_orphan, d);
    if (!e)
        e = meta_each_window(r, dump_window, d);
    if (!e)
        e = dump_counters(d);
    if (!e)
        e = flush_frame(d, true);
    return e ? e : seal_head(d);
}

/* One record that names the containers and makes the dump count. */
static int announce(struct dumper *d)
{
    struct rec r;
    uint64_t txg;
    begin(d, &r);
    for (size_t i = 0; i < d->n_done; i++) {
        int e = ctab_set(d->fs, &d->done[i], d->done[i].last_txg, NULL);
        if (e)
            return e;
        rec_container(&r, &d->done[i]);
        mutex_lock(&d->fs->head_lock);
        uint64_t file = space_of_container(d->fs, d->done[i].r, d->done[i].used);
        d->fs->container_file_bytes += file;
        d->fs->meta_file_bytes += file;
        mutex_unlock(&d->fs->head_lock);
    }
    rec_dump_complete(&r, d->state.txg, d->done[0].id, d->done[d->n_done - 1].id);
    int e = log_append(d->fs, d->space, rec_end(&r), NULL, 0, &txg, NULL);
    d->announced = !e;
    if (!e)
        e = commit_txg(d->fs, txg);
    if (!e)
        indexer_wait(d->fs, txg, false);
    return e;
}

static int run(struct holofs *fs, struct dumper *d)
{
    struct meta_reader *r;
    int e = meta_reader_open(fs->index, &r);
    if (e)
        return e;
    e = meta_snapshot_begin(r, &d->state);
    if (!e) {
        d->reader = r;
        e = dump_tables(d, r);
        meta_snapshot_end(r);
    }
    meta_reader_close(r);
    return e ? e : announce(d);
}

static void abandon(struct dumper *d)
{
    for (size_t i = 0; i < d->n_done; i++)
        container_unlink(d->fs, d->done[i].id);
}

/* ---- what a new dump makes superfluous ---- */

struct old {
    struct holofs *fs;
    uint64_t newest, second; /* txgs of the two newest dumps */
    struct ids ids;
};

static int find_dumps(void *arg, uint32_t id)
{
    struct old *o = arg;
    struct container *c = ctab_find(o->fs, id);
    if (!c || c->cls != CLASS_META_DUMP || c->sealed_txg == o->newest)
        return 0;
    if (c->sealed_txg > o->newest) {
        o->second = o->newest;
        o->newest = c->sealed_txg;
    } else if (c->sealed_txg > o->second) {
        o->second = c->sealed_txg;
    }
    return 0;
}

static int find_old(void *arg, uint32_t id)
{
    struct old *o = arg;
    struct container *c = ctab_find(o->fs, id);
    if (!c || c->state != CONTAINER_SEALED || c->sealed_txg == UINT64_MAX || o->second == 0)
        return 0;
    bool dump = c->cls == CLASS_META_DUMP && c->sealed_txg < o->second;
    bool log = c->cls == CLASS_META_LOG && c->sealed_txg <= o->second;
    return dump || log ? ids_add(&o->ids, id) : 0;
}

static int delete_to(struct holofs *fs, struct old *o)
{
    o->ids.n = 0;
    int e = ctab_each(fs, find_old, o);
    return !e && o->ids.n ? containers_delete(fs, o->ids.v, o->ids.n) : e;
}

/* The newest dump is durable and announced. Two are kept, one when the disk is so full that it has to be. */
static int delete_old(struct holofs *fs)
{
    struct old o = { .fs = fs };
    ctab_each(fs, find_dumps, &o);
    struct backing_space s;
    int e = delete_to(fs, &o);
    if (!e && fs->backing->ops->space(fs->backing, &s) == 0 && space_is_short(fs, &s)) {
        o.second = o.newest;
        e = delete_to(fs, &o);
    }
    free(o.ids.v);
    return e;
}

/* DUMP held. */
static int take_dump(struct holofs *fs)
{
    struct dumper d = { .fs = fs };
    d.space = malloc(RECORD_SPACE);
    int e = d.space ? run(fs, &d) : -ENOMEM;
    if (e && !d.announced)
        abandon(&d);
    if (!e)
        e = delete_old(fs);
    if (!e) {
        COUNT(fs, dumps, 1);
        fs->dump_wanted = false;
        event_add(fs, "dump", "s:I, s:I, s:i", "txg", (json_int_t)d.state.txg, "bytes", (json_int_t)d.bytes, "containers", (int)d.n_done);
    } else if (e != -EINTR) {
        event_add(fs, "dump_failed", "s:s", "error", holo_strerror(e));
    }
    if (d.head)
        head_unref(fs, d.head);
    buf_fini(&d.records);
    free(d.space);
    free(d.done);
    return e;
}

int dump_run(struct holofs *fs)
{
    if (fs->read_only)
        return -EROFS;
    mutex_lock(&fs->dump_lock);
    int e = take_dump(fs);
    mutex_unlock(&fs->dump_lock);
    return e;
}

/*
 * A dump bounds the log: due once the files of the log since the last one take more than that dump does, and more than 64 MiB or
 * 1/128 of the store. On a disk that fills up it is due early, for a dump costs a container or two: what goes then is what new names need, and the deletion of all there are.
 */
static bool dump_due(struct holofs *fs)
{
    struct backing_space s;
    uint64_t log, all, dump, total = fs->sb.size_limit_bytes, limit = 64u << 20;
    if (clock_mono_ns() < fs->dump_retry_ns || fs->backing->ops->space(fs->backing, &s))
        return false;
    total = total ? total : s.total_bytes;
    limit = total / 128 < limit ? total / 128 : limit;
    space_of_metadata(fs, &log, &all, &dump);
    space_note_index(fs);
    bool due = fs->dump_wanted || log > (limit > dump ? limit : dump) ||
               (space_is_short(fs, &s) && log > SHORT_LOGS * container_full_size(fs, fs->sb.meta_r) && log > all / 8);
    return due && space_for_dump(fs, &s);
}

void dump_run_if_due(struct holofs *fs)
{
    mutex_lock(&fs->dump_lock);
    if (dump_due(fs) && take_dump(fs)) {
        fs->dump_wanted = false;
        fs->dump_retry_ns = clock_mono_ns() + RETRY_NS;
    }
    mutex_unlock(&fs->dump_lock);
}
