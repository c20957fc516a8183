/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clean_copy.c: what is alive of a container, copied into another one, and the moves that make it count.
 *
 * What is alive is found from the container's own directory of pieces, each looked up in the windows of its inode; if bytes are
 * still alive after all that was moved (an entry of the directory is damaged), from the whole index.
 *
 * Invariants:
 *  1. Nothing is copied that a reader would not get: checksums, repair and tags are those of reads. So no bad byte gets a new checksum.
 *  2. A new container is durable before any record names it, and until its last move is logged its sealed_txg is UINT64_MAX, so that
 *     nobody takes it for dead.
 *  3. Pieces keep the sequence number of the write that made them: to salvage, a copy is as old as its bytes.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"
#include "core/clean.h"
#include "core/dump.h"
#include "core/lost.h"
#include "core/open.h"
#include "core/read.h"
#include "core/scrubber.h"

enum { MOVES_AT_ONCE = 64, WHOLE_OF_16 = 15, COMPRESS_MIN = 512, DIR_PIECES = 4096 };

/* A part of a file that is alive in the victim. */
struct living {
    uint64_t ino, seq;
    struct extent x;
};

struct list {
    struct living *v;
    size_t n, cap;
};

static int list_add(struct list *l, const struct living *one)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct living *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *one;
    return 0;
}

/* ---- what is alive ---- */

static int by_file(const void *pa, const void *pb)
{
    const struct piece *a = pa, *b = pb;
    if (a->ino != b->ino)
        return a->ino < b->ino ? -1 : 1;
    return a->off < b->off ? -1 : a->off > b->off;
}

/* The intact entries of a container's directory, sorted by file. What cannot be read is left out. */
static int read_directory(struct holofs *fs, uint32_t id, struct piece **out, size_t *n_out)
{
    struct copen *o;
    struct scratch *s = scratch_get(fs);
    int e = s ? copen_get(fs, id, &o) : -ENOMEM;
    if (e)
        goto put;
    struct piece *v = malloc((o->h.pieces + 1) * sizeof(*v));
    size_t n = 0;
    e = v ? 0 : -ENOMEM;
    for (uint32_t at = 0; at < o->h.pieces && !e; at += DIR_PIECES) {
        const uint8_t *data;
        uint32_t some = o->h.pieces - at < DIR_PIECES ? o->h.pieces - at : DIR_PIECES;
        int r = container_read(fs, id, o->h.dir_off + (uint64_t)at * PIECE_BYTES, (size_t)some * PIECE_BYTES, s->blocks, &data, NULL);
        e = r == -ENOMEM ? r : 0;
        for (uint32_t i = 0; i < some && !r; i++)
            n += piece_decode(data + (size_t)i * PIECE_BYTES, fs->sb.uuid, id, &v[n]);
    }
    copen_put(fs, o);
    if (e) {
        free(v);
    } else {
        qsort(v, n, sizeof(*v), by_file);
        *out = v;
        *n_out = n;
    }
put:
    if (s)
        scratch_put(fs, s);
    return e;
}

/* What one window still has of a piece (inode lock held). */
static int living_in(struct holofs *fs, struct inode *i, uint32_t win, uint32_t id, const struct piece *p, struct list *l)
{
    struct iwin *w;
    int e = inode_window(fs, i, win, &w);
    struct extent whole = { .off = p->off, .len = p->raw };
    struct extent_place place = { .container = id, .coff = p->coff };
    const struct extent *x;
    uint64_t from, to = p->off;
    while (!e && (x = window_next_at(&w->w, &whole, &place, to, &from, &to))) {
        struct living one = { .ino = i->ino, .seq = p->seq, .x = extent_part(x, from, to) };
        e = list_add(l, &one);
    }
    return e;
}

static int living_of_piece(struct holofs *fs, struct inode *i, uint32_t id, const struct piece *p, struct list *l)
{
    uint32_t first = (uint32_t)(p->off / WINDOW_SIZE), last = (uint32_t)((p->off + p->raw - 1) / WINDOW_SIZE);
    int e = 0;
    mutex_lock(&i->lock);
    for (uint32_t win = first; win <= last && !e && !i->gone; win++)
        e = living_in(fs, i, win, id, p, l);
    mutex_unlock(&i->lock);
    return e;
}

static int living_by_directory(struct holofs *fs, uint32_t id, struct list *l)
{
    struct piece *p = NULL;
    struct inode *i = NULL;
    size_t n = 0;
    int e = read_directory(fs, id, &p, &n);
    for (size_t k = 0; k < n && !e; k++) {
        if (p[k].raw == 0 || p[k].raw > WINDOW_SIZE || p[k].off >= HOLO_FILE_SIZE_MAX)
            continue;
        if (i && i->ino != p[k].ino) {
            inode_put(fs, i);
            i = NULL;
        }
        if (!i)
            e = inode_get(fs, p[k].ino, &i);
        if (!e)
            e = living_of_piece(fs, i, id, &p[k], l);
        else if (e == -ESTALE)
            e = 0; /* the file is gone */
        if (fs->stopping)
            e = -EINTR;
    }
    if (i)
        inode_put(fs, i);
    free(p);
    return e;
}

struct window_name {
    uint64_t ino;
    uint32_t win;
};

struct search {
    uint32_t id;
    struct holofs *fs;
    struct window_name *v;
    size_t n, cap;
};

static int note_window(void *arg, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    struct search *s = arg;
    struct window w = { 0 };
    bool has = false;
    int e = window_decode(&w, window, blob, len);
    for (uint32_t i = 0; i < w.n && !e; i++)
        has |= w.e[i].container == s->id;
    window_fini(&w);
    if (e || !has)
        return e ? e : s->fs->stopping ? -EINTR : 0;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct window_name *v = realloc(s->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = (struct window_name){ ino, window };
    return 0;
}

static int living_in_window(struct holofs *fs, const struct window_name *name, uint32_t id, struct list *l)
{
    struct inode *i;
    struct iwin *w;
    int e = inode_get(fs, name->ino, &i);
    if (e)
        return e == -ESTALE ? 0 : e;
    mutex_lock(&i->lock);
    if (!i->gone)
        e = inode_window(fs, i, name->win, &w);
    for (uint32_t k = 0; !e && !i->gone && k < w->w.n; k++) {
        struct living one = { .ino = i->ino, .x = w->w.e[k] };
        if (one.x.container == id)
            e = list_add(l, &one);
    }
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

/* The same from the index, which has all that can refer to a sealed container. */
static int living_by_index(struct holofs *fs, uint32_t id, struct list *l)
{
    struct meta_reader *r;
    struct search s = { .id = id, .fs = fs };
    int e = meta_reader_open(fs->index, &r);
    if (e)
        return e;
    e = meta_each_window(r, note_window, &s);
    meta_reader_close(r);
    for (size_t k = 0; k < s.n && !e; k++)
        e = living_in_window(fs, &s.v[k], id, l);
    free(s.v);
    return e;
}

/* ---- copies ---- */

/* A container of one's own for redundancy r. Its number is taken now: tags depend on it. */
static int need_out(struct clean_batch *b, unsigned r)
{
    struct holofs *fs = b->fs;
    if (b->out && b->out->r != r) {
        int e = clean_flush(b);
        if (e)
            return e;
    }
    if (b->out)
        return 0;
    mutex_lock(&fs->head_lock);
    b->out = head_create(fs, fs->next_container, CLASS_DATA, r);
    fs->next_container += b->out != NULL;
    mutex_unlock(&fs->head_lock);
    return b->out ? 0 : -ENOMEM;
}

static int add_move(struct clean_batch *b, uint64_t ino, const struct extent *to, const struct extent_place *from)
{
    if (b->n_moves == b->cap_moves) {
        size_t cap = b->cap_moves ? 2 * b->cap_moves : 256;
        struct clean_move *v = realloc(b->move, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        b->move = v;
        b->cap_moves = cap;
    }
    b->move[b->n_moves++] = (struct clean_move){ ino, *to, *from };
    return 0;
}

/*
 * Put the stored bytes of a piece into the new container: `to` says all of it but the place. `skip` bytes of zeros come first where a
 * run does not start on a block.
 */
static int put(struct clean_batch *b, const struct living *l, unsigned r, struct extent to, const uint8_t *bytes,
               const struct extent_place *from)
{
    struct piece p = { .ino = l->ino, .off = to.off - to.skip, .seq = l->seq, .stored = to.stored, .raw = to.raw, .codec = to.codec };
    uint32_t zeros = to.codec == EXTENT_RUN ? to.skip : 0;
    struct slot slot;
    int e = need_out(b, r);
    if (!e)
        e = head_place(b->out, &p, &slot);
    if (e == -ENOSPC) {
        e = clean_flush(b);
        if (!e)
            e = need_out(b, r);
        if (!e)
            e = head_place(b->out, &p, &slot);
    }
    if (e)
        return e;
    memset(slot.at, 0, zeros);
    memcpy(slot.at + zeros, bytes, to.stored - zeros);
    to.container = b->out->id;
    to.coff = slot.coff;
    to.tag = head_sum_piece(b->fs, &slot, to.stored, to.codec);
    e = add_move(b, l->ino, &to, from);
    b->fs->clean.moved_bytes += to.stored;
    b->fs->clean.run_moved_bytes += to.stored;
    if (b->pause)
        b->pause(b->fs, to.stored);
    return e;
}

/* Raw bytes [from, to) of a file; `lead` is where in its block a run begins. */
static int put_raw(struct clean_batch *b, const struct living *l, unsigned r, uint64_t off, uint32_t len, uint32_t lead, const uint8_t *bytes)
{
    struct extent_place from = { l->x.container, l->x.coff, l->x.skip + (uint32_t)(off - l->x.off) };
    bool run = len >= BLOCK_SIZE;
    uint32_t skip = run ? lead : 0;
    struct extent to = { .off = off, .len = len, .skip = skip, .stored = skip + len, .raw = skip + len, .codec = run ? EXTENT_RUN : EXTENT_RAW };
    return put(b, l, r, to, bytes, &from);
}

static int copy_run(struct clean_batch *b, const struct living *l, unsigned r, struct scratch *s)
{
    const struct extent *x = &l->x;
    uint64_t end = x->off + x->len;
    int e = 0;
    for (uint64_t at = x->off, to; at < end && !e; at = to) {
        struct whose w = { l->ino, at };
        uint32_t lead = (uint32_t)((x->coff + x->skip + (at - x->off)) % BLOCK_SIZE);
        to = (at / CHUNK_SIZE + 1) * CHUNK_SIZE;
        to = to < end ? to : end;
        e = read_run(b->fs, x, at, to, b->tmp, CHUNK_SIZE + BLOCK_SIZE, s, &w);
        if (!e)
            e = put_raw(b, l, r, at, (uint32_t)(to - at), lead, b->tmp);
    }
    return e;
}

/* A living part of an expanded piece: compressed again if that pays. */
static int put_part(struct clean_batch *b, const struct living *l, unsigned r, struct scratch *s, const uint8_t *data)
{
    const struct extent *x = &l->x;
    const uint8_t *bytes = data + x->skip;
    size_t n = 0;
    if (x->codec == EXTENT_ZSTD && x->len >= COMPRESS_MIN)
        n = codec_compress(s->codec, b->fs->opt.zstd_level, bytes, x->len, b->tmp, x->len - x->len / 8);
    if (n == 0)
        return put_raw(b, l, r, x->off, x->len, 0, bytes);
    struct extent_place from = { x->container, x->coff, x->skip };
    struct extent to = { .off = x->off, .len = x->len, .stored = (uint32_t)n, .raw = x->len, .codec = EXTENT_ZSTD };
    return put(b, l, r, to, b->tmp, &from);
}

/* The n living parts of one piece that is no run: as it is while nearly all of it is alive, else only those. */
static int copy_piece(struct clean_batch *b, const struct living *l, size_t n, unsigned r, struct scratch *s)
{
    const struct extent *x = &l->x;
    struct whose w = { l->ino, x->off };
    const uint8_t *data;
    uint64_t live = 0;
    for (size_t k = 0; k < n; k++)
        live += l[k].x.len;
    if (live * 16 >= (uint64_t)x->raw * WHOLE_OF_16) {
        struct extent_place from = { x->container, x->coff, 0 };
        struct extent to = { .off = x->off - x->skip, .len = x->raw, .stored = x->stored, .raw = x->raw, .codec = x->codec };
        int e = read_stored(b->fs, x, s, &w, &data);
        return e ? e : put(b, l, r, to, data, &from);
    }
    int e = read_expanded(b->fs, x, s, &w, &data);
    for (size_t k = 0; k < n && !e; k++)
        e = put_part(b, &l[k], r, s, data);
    return e;
}

static int by_place(const void *pa, const void *pb)
{
    const struct extent *a = &((const struct living *)pa)->x, *b = &((const struct living *)pb)->x;
    uint64_t x = (uint64_t)a->coff + (a->codec == EXTENT_RUN ? a->skip : 0), y = (uint64_t)b->coff + (b->codec == EXTENT_RUN ? b->skip : 0);
    if (x != y)
        return x < y ? -1 : 1;
    return a->skip < b->skip ? -1 : a->skip > b->skip;
}

/* How many of the list from here on are parts of one piece; runs go one by one. */
static size_t same_piece(const struct list *l, size_t at)
{
    size_t n = 1;
    if (l->v[at].x.codec == EXTENT_RUN)
        return 1;
    while (at + n < l->n && l->v[at + n].x.coff == l->v[at].x.coff && l->v[at + n].ino == l->v[at].ino &&
           l->v[at + n].x.codec == l->v[at].x.codec)
        n++;
    return n;
}

/*
 * The log remembers it over mounts. Not if somebody logs the container as dead: a record behind that one would bring it back, so the
 * right to do either is taken first.
 */
void clean_set_quarantine(struct holofs *fs, struct container *c, bool on)
{
    uint8_t space[128];
    struct rec r;
    struct container_info info = { .id = c->id, .cls = c->cls, .state = CONTAINER_SEALED, .r = c->r, .used = c->used,
                                   .flags = on ? CONTAINER_QUARANTINED : 0 };
    if (atomic_exchange(&c->deleting, true))
        return;
    if (c->state == CONTAINER_SEALED) {
        c->quarantined = on;
        rec_begin(&r, space, sizeof(space), REC_CONTAINER, clock_real_ns());
        rec_container(&r, &info);
        log_append(fs, space, rec_end(&r), NULL, 0, NULL, NULL); /* if that fails the next mount finds out again */
    }
    c->deleting = false;
}

/* It vanished meanwhile, or it is told and not chosen again. `l`: what could not be read, or NULL for all of it. */
static void quarantine(struct clean_batch *b, struct container *c, const struct living *l, int e)
{
    char path[1024];
    clean_set_quarantine(b->fs, c, true);
    if (!c->quarantined)
        return;
    if (l && e == -EIO) /* the disk was away: a scrub ends it, if all of it is right */
        scrub_queue(b->fs, c->id);
    if (!l) {
        event_add(b->fs, "container_quarantined", "s:i, s:s", "container", (int)c->id, "error", holo_strerror(e));
        return;
    }
    path_for_message(b->fs, l->ino, path, sizeof(path));
    event_add(b->fs, "container_quarantined", "s:i, s:s, s:I, s:I, s:s", "container", (int)c->id, "path", path, "inode", (json_int_t)l->ino,
              "offset", (json_int_t)l->x.off, "error", holo_strerror(e));
}

/* An error of the store as a whole, not of what was read. */
static bool is_fatal(int e)
{
    return e == -ENOMEM || e == -EINTR || e == -ENOSPC || e == -EROFS;
}

static int copy_all(struct clean_batch *b, struct container *c, struct list *l)
{
    struct scratch *s = scratch_get(b->fs);
    if (!b->tmp)
        b->tmp = aligned_alloc(BLOCK_SIZE, CHUNK_SIZE + 2 * BLOCK_SIZE);
    int e = s && b->tmp ? 0 : -ENOMEM;
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_place);
    for (size_t at = 0, n; at < l->n && !e; at += n) {
        n = same_piece(l, at);
        e = l->v[at].x.codec == EXTENT_RUN ? copy_run(b, &l->v[at], c->r, s) : copy_piece(b, &l->v[at], n, c->r, s);
        if (e && !is_fatal(e) && !b->fs->failed && disk_answers(b->fs)) {
            quarantine(b, c, &l->v[at], e);
            e = 0;
            break; /* what is copied stays so; the rest is left where it is */
        }
        if (!e && b->fs->stopping)
            e = -EINTR;
    }
    if (s)
        scratch_put(b->fs, s);
    return e;
}

static int note_victim(struct clean_batch *b, struct container *c)
{
    if (b->n_victims == b->cap_victims) {
        size_t cap = b->cap_victims ? 2 * b->cap_victims : 64;
        uint32_t *v = realloc(b->victim, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        b->victim = v;
        b->cap_victims = cap;
    }
    b->victim[b->n_victims++] = c->id;
    b->victim_bytes += space_of_container(b->fs, c->r, c->used);
    c->cleaning = true;
    return 0;
}

/*
 * Nothing is held: reads hold the container while they need its file, and should it be deleted meanwhile, because what was left of it
 * died, they say so.
 */
static int copy_living(struct clean_batch *b, struct container *c, int (*find)(struct holofs *fs, uint32_t id, struct list *l))
{
    struct list l = { 0 };
    uint64_t weight = c->live > 0 ? (uint64_t)c->live / BLOCK_SIZE : 0;
    int e = find(b->fs, c->id, &l);
    if (e && !is_fatal(e) && !b->fs->failed && disk_answers(b->fs)) {
        quarantine(b, c, NULL, e);
        e = 0;
    } else if (!e) {
        b->age_sum += c->data_txg * weight;
        b->age_bytes += weight;
        e = copy_all(b, c, &l);
    }
    free(l.v);
    return e;
}

int clean_victim(struct clean_batch *b, uint32_t id)
{
    struct container *c = ctab_find(b->fs, id);
    if (!c || c->state != CONTAINER_SEALED || c->cleaning || c->quarantined || c->deleting)
        return 0; /* not since the plan was made */
    int e = note_victim(b, c);
    return e ? e : copy_living(b, c, living_by_directory);
}

/* ---- moves ---- */

static int by_inode(const void *pa, const void *pb)
{
    const struct clean_move *a = pa, *b = pb;
    if (a->ino != b->ino)
        return a->ino < b->ino ? -1 : 1;
    return a->to.off < b->to.off ? -1 : a->to.off > b->to.off;
}

/* Is any of it still where it was copied from? */
static bool still_there(const struct window *w, const struct clean_move *m)
{
    uint64_t from, to;
    return window_next_at(w, &m->to, &m->from, m->to.off, &from, &to) != NULL;
}

/* Log moves of one inode and put them into its windows (lock held). */
static int enter(struct holofs *fs, struct inode *i, const struct clean_move *m, size_t n, uint64_t *last_txg)
{
    uint8_t space[MOVES_AT_ONCE * 80 + 64];
    struct iwin *w[MOVES_AT_ONCE];
    struct rec r;
    uint64_t txg;
    bool wins[MOVES_AT_ONCE], any = false;
    int e = 0;
    rec_begin(&r, space, sizeof(space), REC_MOVE, clock_real_ns());
    for (size_t k = 0; k < n && !e; k++) {
        e = inode_window(fs, i, (uint32_t)(m[k].to.off / WINDOW_SIZE), &w[k]);
        if (e)
            break;
        wins[k] = still_there(&w[k]->w, &m[k]);
        fs->clean.lost_moves += !wins[k];
        if (!wins[k])
            continue;
        w[k]->dirty_txg = UINT64_MAX; /* not to be dropped while the next one is loaded */
        rec_move(&r, i->ino, &m[k].to, &m[k].from);
        any = true;
    }
    if (!e && any)
        e = log_append(fs, space, rec_end(&r), NULL, 0, &txg, NULL);
    if (e || !any) {
        restamp_windows(i, i->dirty_txg);
        return e;
    }
    for (size_t k = 0; k < n && !e; k++) {
        int64_t delta;
        uint32_t moved;
        if (!wins[k])
            continue;
        e = window_move(&w[k]->w, &m[k].to, &m[k].from, &moved, &delta, NULL, NULL);
        window_charge(fs, w[k]);
        w[k]->dirty_txg = txg;
        i->img.stored += (uint64_t)delta;
    }
    *last_txg = txg;
    i->stale |= i->told;
    inode_dirty(i, txg);
    if (e)
        fs_fail(fs, e, "move");
    return e;
}

static int enter_some(struct holofs *fs, const struct clean_move *m, size_t n, uint64_t *last_txg)
{
    struct inode *i;
    int e = log_throttle(fs);
    if (!e)
        e = inode_get(fs, m->ino, &i);
    if (e)
        return e == -ESTALE ? 0 : e;
    mutex_lock(&i->lock);
    if (!i->gone)
        e = enter(fs, i, m, n, last_txg);
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

static int enter_all(struct clean_batch *b, uint64_t *last_txg)
{
    int e = 0;
    if (b->n_moves)
        qsort(b->move, b->n_moves, sizeof(*b->move), by_inode);
    for (size_t at = 0, n; at < b->n_moves && !e; at += n) {
        n = 1;
        while (at + n < b->n_moves && n < MOVES_AT_ONCE && b->move[at + n].ino == b->move[at].ino)
            n++;
        e = enter_some(b->fs, &b->move[at], n, last_txg);
    }
    return e;
}

/* ---- flush ---- */

uint64_t clean_out_bytes(const struct clean_batch *b)
{
    const struct head *h = b->out;
    if (!h || !h->n_pieces)
        return 0;
    uint64_t content = (h->fill + BLOCK_SIZE - 1) / BLOCK_SIZE + (h->n_pieces * (uint64_t)PIECE_BYTES + BLOCK_SIZE - 1) / BLOCK_SIZE;
    return space_of_container(b->fs, h->r, (uint32_t)content);
}

/* Programs that do not know moves must not read this log. */
static int note_feature(struct holofs *fs)
{
    if (fs->sb.incompat & SUPER_INCOMPAT_MOVES)
        return 0;
    mutex_lock(&fs->super_lock);
    fs->sb.incompat |= SUPER_INCOMPAT_MOVES;
    mutex_unlock(&fs->super_lock);
    int e = super_update(fs, false);
    if (e) { /* it has to be asked for again */
        mutex_lock(&fs->super_lock);
        fs->sb.incompat &= ~SUPER_INCOMPAT_MOVES;
        mutex_unlock(&fs->super_lock);
    }
    return e;
}

/* The new container's file is durable: it is known from here on. */
static int announce(struct clean_batch *b, struct container_info *info, uint64_t *txg)
{
    struct holofs *fs = b->fs;
    uint8_t space[128];
    struct rec r;
    *info = (struct container_info){ .id = b->out->id, .cls = CLASS_DATA, .state = CONTAINER_SEALED, .r = b->out->r, .used = b->out->used };
    int e = ctab_set(fs, info, UINT64_MAX, NULL);
    if (e)
        return e;
    struct container *c = ctab_find(fs, info->id);
    c->data_txg = b->age_bytes ? b->age_sum / b->age_bytes : fs->committed_txg;
    rec_begin(&r, space, sizeof(space), REC_CONTAINER, clock_real_ns());
    rec_container(&r, info);
    e = log_append(fs, space, rec_end(&r), NULL, 0, txg, NULL);
    if (e) {
        ctab_remove(fs, info->id);
        return e;
    }
    mutex_lock(&fs->head_lock);
    fs->container_file_bytes += space_of_container(fs, info->r, info->used);
    mutex_unlock(&fs->head_lock);
    return 0;
}

static void forget_victims(struct clean_batch *b)
{
    for (size_t i = 0; i < b->n_victims; i++) {
        struct container *c = ctab_find(b->fs, b->victim[i]);
        if (c)
            c->cleaning = false;
    }
    b->n_victims = 0;
    b->victim_bytes = 0;
}

static void drop_out(struct clean_batch *b)
{
    if (b->out)
        head_unref(b->fs, b->out);
    b->out = NULL;
    b->n_moves = 0;
    b->age_sum = b->age_bytes = 0;
}

/* Seal the container that was filled, and log it and its moves. */
static int publish(struct clean_batch *b)
{
    struct holofs *fs = b->fs;
    struct container_info info;
    uint64_t txg;
    if (!b->out || !b->n_moves) {
        drop_out(b);
        return 0;
    }
    int e = note_feature(fs);
    if (!e)
        e = seal_write(fs, &b->out, 1, NULL);
    if (e) {
        drop_out(b);
        return e;
    }
    clean_set_idle(fs, false); /* others may wait for the locks from here on */
    e = announce(b, &info, &txg);
    if (e) {
        container_unlink(fs, b->out->id);
    } else {
        COUNT(fs, containers_sealed, 1);
        fs->clean.made_bytes += space_of_container(fs, info.r, info.used);
        e = enter_all(b, &txg);
        ctab_find(fs, info.id)->sealed_txg = txg;
    }
    drop_out(b);
    return e;
}

int clean_settle(struct holofs *fs)
{
    int e = commit_txg(fs, log_open_txg(fs));
    if (e)
        return e;
    uint64_t txg = fs->committed_txg;
    indexer_wait(fs, txg, false);
    return is_applied(fs, txg) ? fs->failed : trouble_now(fs, TROUBLE_INDEX);
}

/* Bytes of a victim that are alive although all that its directory names was moved: the index knows whose they are. */
static int look_closer(struct clean_batch *b, uint32_t id)
{
    struct container *c = ctab_find(b->fs, id);
    if (!c || c->live == 0 || c->quarantined)
        return 0;
    event_add(b->fs, "container_searched", "s:i, s:I", "container", (int)id, "bytes", (json_int_t)c->live);
    int e = copy_living(b, c, living_by_index);
    if (!e)
        e = publish(b);
    if (!e)
        e = clean_settle(b->fs);
    if (!e && c->live != 0 && !c->quarantined) {
        clean_set_quarantine(b->fs, c, true);
        event_add(b->fs, "container_quarantined", "s:i, s:s", "container", (int)id, "error", "live bytes that no file has");
    }
    return e;
}

int clean_flush(struct clean_batch *b)
{
    bool was_idle = b->fs->clean.is_idle;
    int e = publish(b);
    clean_set_idle(b->fs, false);
    if (!e)
        e = clean_settle(b->fs);
    if (!e)
        e = reclaim_run(b->fs);
    clean_set_idle(b->fs, was_idle && !b->fs->clean.waiting);
    return e;
}

int clean_finish(struct clean_batch *b)
{
    int e = clean_flush(b);
    for (size_t i = 0; i < b->n_victims && !e; i++)
        e = look_closer(b, b->victim[i]);
    if (!e)
        e = reclaim_run(b->fs);
    forget_victims(b);
    return e;
}

void clean_drop(struct clean_batch *b)
{
    drop_out(b);
    forget_victims(b);
    free(b->move);
    free(b->victim);
    free(b->tmp);
    *b = (struct clean_batch){ .fs = b->fs, .pause = b->pause };
}
