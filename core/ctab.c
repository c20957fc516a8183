/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctab.c: the table of containers and their open files, the least recently used of which are closed. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/container.h"
#include "core/lost.h"
#include "core/scrubber.h"

struct container *ctab_find(struct holofs *fs, uint32_t id)
{
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    mutex_unlock(&fs->ctab_lock);
    return c;
}

static int grow(struct holofs *fs, uint32_t id)
{
    if (id < fs->ctab_cap)
        return 0;
    size_t cap = fs->ctab_cap ? fs->ctab_cap : 256;
    while (cap <= id)
        cap *= 2;
    struct container **t = realloc(fs->ctab, cap * sizeof(*t));
    if (!t)
        return -ENOMEM;
    for (size_t i = fs->ctab_cap; i < cap; i++)
        t[i] = NULL;
    fs->ctab = t;
    fs->ctab_cap = cap;
    return 0;
}

int ctab_set(struct holofs *fs, const struct container_info *info, uint64_t sealed_txg, struct head *head)
{
    int e = 0;
    mutex_lock(&fs->ctab_lock);
    struct container *c = info->id < fs->ctab_cap ? fs->ctab[info->id] : NULL;
    if (!c) {
        e = grow(fs, info->id);
        c = e ? NULL : calloc(1, sizeof(*c));
        if (c) {
            fs->ctab[info->id] = c;
            fs->n_containers++;
        }
    }
    if (c) {
        c->id = info->id;
        c->cls = info->cls;
        c->r = info->r;
        c->used = info->used;
        c->head = head;
        if (!c->data_txg && sealed_txg != UINT64_MAX)
            c->data_txg = sealed_txg;
        c->sealed_txg = sealed_txg; /* before the state: who sees it sealed must see since when */
        c->state = info->state;
    }
    mutex_unlock(&fs->ctab_lock);
    return c ? 0 : -ENOMEM;
}

void ctab_add_live(struct holofs *fs, uint32_t id, int64_t delta)
{
    struct container *c = ctab_find(fs, id);
    if (c)
        c->live += delta;
}

int ctab_each(struct holofs *fs, int (*cb)(void *arg, uint32_t id), void *arg)
{
    for (uint32_t id = 0;; id++) {
        mutex_lock(&fs->ctab_lock);
        while (id < fs->ctab_cap && !fs->ctab[id])
            id++;
        bool end = id >= fs->ctab_cap;
        mutex_unlock(&fs->ctab_lock);
        if (end)
            return 0;
        int r = cb(arg, id);
        if (r)
            return r;
    }
}

void copen_free(struct copen *o)
{
    for (uint32_t t = 0; o->table && t < o->h.table_blocks; t++)
        ctable_free(o->table[t]);
    free(o->table);
    free(o->pieces);
    if (o->f)
        o->f->ops->close(o->f);
    free(o);
}

bool container_header_fits(struct holofs *fs, const struct container_header *h)
{
    const struct container *c = ctab_find(fs, h->id);
    return !c || c->state != CONTAINER_SEALED || !c->used || (h->cls == c->cls && h->r == c->r && h->used == c->used);
}

static int read_header(struct holofs *fs, uint32_t id, const struct copen *o, uint64_t fb, uint8_t *block, struct container_header *h,
                       bool *intact)
{
    *intact = false;
    int e = copen_read_block(fs, id, o, fb, block);
    return e ? e : chead_decode(block, fs->sb.uuid, id, h, intact);
}

/* Block of header B, by the size of the file; 0 if it is too short. */
static uint64_t last_block(const struct copen *o)
{
    uint64_t size = 0;
    int e = o->f->ops->size(o->f, &size);
    return e || size < 2 * BLOCK_SIZE ? 0 : size / BLOCK_SIZE - 1;
}

enum { DIRECTORY_PERIOD = 3 }; /* so many blocks are a whole number of entries */

/* Entries of a directory verify themselves, and of its blocks the first and every third behind it begin with one. */
static void find_directory(struct holofs *fs, uint32_t id, const struct copen *o, uint8_t *block, struct container_header *h)
{
    struct piece p;
    uint32_t first = h->used;
    for (uint32_t x = h->used; x-- > 0 && first - x <= DIRECTORY_PERIOD;) {
        if (copen_read_block(fs, id, o, chead_file_block(h, x), block) == 0 && piece_decode(block, fs->sb.uuid, id, &p))
            first = x;
    }
    size_t room = (size_t)(h->used - first) * BLOCK_SIZE;
    uint8_t *all = room ? aligned_alloc(BLOCK_SIZE, room) : NULL;
    for (uint32_t x = first; all && x < h->used; x++) {
        if (copen_read_block(fs, id, o, chead_file_block(h, x), all + (size_t)(x - first) * BLOCK_SIZE))
            memset(all + (size_t)(x - first) * BLOCK_SIZE, 0, BLOCK_SIZE);
    }
    for (uint32_t i = 0; all && i < room / PIECE_BYTES; i++) {
        if (piece_decode(all + (size_t)i * PIECE_BYTES, fs->sb.uuid, id, &p))
            h->pieces = i + 1;
    }
    free(all);
    h->content_bytes = h->dir_off = (uint64_t)first * BLOCK_SIZE;
}

/*
 * No header is right. Of file data all that is needed follows from the log's record of the container and the superblock, and a table that is
 * right where it must be then, its checksum being of this container, confirms it. What only the header said, when it was sealed, is lost.
 */
static bool make_header(struct holofs *fs, uint32_t id, const struct copen *o, uint8_t *block, struct container_header *h)
{
    const struct container *c = ctab_find(fs, id);
    if (!c || c->state != CONTAINER_SEALED || c->cls != CLASS_DATA || !c->used || c->used > fs->sb.nmax)
        return false;
    *h = (struct container_header){ .id = id, .cls = c->cls, .r = c->r, .k = fs->sb.k, .m = 2 * c->r, .nmax = fs->sb.nmax, .used = c->used,
                                    .D = ecc_layout_stripes(fs->sb.nmax, fs->sb.k), .seed_base = fs->sb.seed_base,
                                    .sb_ring_blocks = fs->sb.ring_blocks, .sb_r = fs->sb.r, .sb_meta_r = fs->sb.meta_r,
                                    .sb_size_limit = fs->sb.size_limit_bytes };
    memcpy(h->uuid, fs->sb.uuid, sizeof(h->uuid));
    h->table_blocks = chead_table_blocks_for(chead_positions(h));
    bool confirmed = false;
    for (unsigned copy = 0; copy < 2 && !confirmed; copy++)
        confirmed = copen_read_block(fs, id, o, chead_table_block(h, copy, 0), block) == 0 && ctable_intact(fs->sb.uuid, id, 0, block);
    if (confirmed)
        find_directory(fs, id, o, block, h);
    return confirmed;
}

/*
 * The header, from A or B, which is found from A, or else from the size of the file. Where both are right and contradict each other, the one
 * that fits the log counts; A, if both do or none.
 */
static int read_headers(struct holofs *fs, uint32_t id, struct copen *o, unsigned *bad)
{
    struct container_header b = { 0 };
    bool intact_a, intact_b = false;
    uint8_t *block = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    if (!block)
        return -ENOMEM;
    int e = read_header(fs, id, o, 0, block, &o->h, &intact_a), eb = -HOLO_ETRUNC;
    bool fits = e == 0 && container_header_fits(fs, &o->h);
    uint64_t last = fits ? chead_file_blocks(&o->h) - 1 : last_block(o);
    if (last)
        eb = read_header(fs, id, o, last, block, &b, &intact_b);
    *bad = (intact_a ? 0u : 1u) | (intact_b ? 0u : 2u);
    if (eb == 0 && !fits && (e || container_header_fits(fs, &b))) {
        o->h = b;
        *bad |= 1;
        e = 0;
    }
    if (e && e != -ENOMEM && e != -HOLO_EVERSION && eb && eb != -HOLO_EVERSION && make_header(fs, id, o, block, &o->h))
        e = 0;
    free(block);
    return e;
}

int copen_file(struct holofs *fs, uint32_t id, bool direct, struct copen **out, unsigned *bad_headers)
{
    char name[CONTAINER_NAME_MAX];
    struct copen *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    container_name(id, name);
    o->direct = direct;
    int e = fs->backing->ops->open(fs->backing, name, BACKING_READ | (direct ? BACKING_DIRECT : 0), &o->f);
    if (!e)
        e = read_headers(fs, id, o, bad_headers);
    if (!e) {
        o->table = calloc(o->h.table_blocks, sizeof(*o->table));
        e = o->table ? 0 : -ENOMEM;
    }
    if (e) {
        copen_free(o);
        return e;
    }
    o->refs = 1;
    *out = o;
    return 0;
}

int container_unlink(struct holofs *fs, uint32_t id)
{
    char name[CONTAINER_NAME_MAX];
    container_name(id, name);
    int e = fs->backing->ops->unlink(fs->backing, name);
    if (e == -ENOENT)
        return 0;
    if (e)
        fs->garbage = true;
    return e;
}

static void lru_unlink(struct holofs *fs, struct container *c)
{
    *(c->lru_prev ? &c->lru_prev->lru_next : &fs->lru_first) = c->lru_next;
    *(c->lru_next ? &c->lru_next->lru_prev : &fs->lru_last) = c->lru_prev;
    c->lru_next = c->lru_prev = NULL;
}

static void lru_push(struct holofs *fs, struct container *c)
{
    c->lru_prev = fs->lru_last;
    c->lru_next = NULL;
    *(fs->lru_last ? &fs->lru_last->lru_next : &fs->lru_first) = c;
    fs->lru_last = c;
}

/* Take the table's reference away (CTAB held). Returns the file if that was the last one. */
static struct copen *detach(struct holofs *fs, struct container *c)
{
    struct copen *o = c->open;
    lru_unlink(fs, c);
    fs->n_open--;
    c->open = NULL;
    return --o->refs == 0 ? o : NULL;
}

void ctab_remove(struct holofs *fs, uint32_t id)
{
    struct copen *o = NULL;
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    if (c) {
        o = c->open ? detach(fs, c) : NULL;
        c->state = CONTAINER_DEAD;
        c->lru_next = fs->ctab_deleted;
        fs->ctab_deleted = c;
        fs->ctab[id] = NULL;
        fs->n_containers--;
        while (c->readers)
            mutex_wait(&fs->ctab_lock, &fs->ctab_cond);
        lost_forget(fs, c);
    }
    mutex_unlock(&fs->ctab_lock);
    if (o)
        copen_free(o);
}

struct container *ctab_hold(struct holofs *fs, uint32_t id)
{
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    if (c)
        c->readers++;
    mutex_unlock(&fs->ctab_lock);
    return c;
}

void ctab_release(struct holofs *fs, struct container *c)
{
    mutex_lock(&fs->ctab_lock);
    if (--c->readers == 0 && c->state == CONTAINER_DEAD)
        pthread_cond_broadcast(&fs->ctab_cond);
    mutex_unlock(&fs->ctab_lock);
}

void ctab_fini(struct holofs *fs)
{
    for (size_t id = 0; id < fs->ctab_cap; id++) {
        if (fs->ctab[id])
            ctab_remove(fs, (uint32_t)id);
    }
    while (fs->ctab_deleted) {
        struct container *c = fs->ctab_deleted;
        fs->ctab_deleted = c->lru_next;
        free(c->hopeless);
        free(c->lost);
        free(c);
    }
    free(fs->ctab);
    fs->ctab = NULL;
    fs->ctab_cap = 0;
}

static struct copen *get_cached(struct holofs *fs, uint32_t id)
{
    struct copen *o = NULL;
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    if (c && c->open) {
        o = c->open;
        o->refs++;
        lru_unlink(fs, c);
        lru_push(fs, c);
    }
    mutex_unlock(&fs->ctab_lock);
    return o;
}

/* Cache a freshly opened file; if another thread was faster, its one is used. */
static struct copen *insert(struct holofs *fs, uint32_t id, struct copen *o)
{
    struct copen *drop[2] = { NULL, NULL };
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    if (c && c->open) {
        drop[0] = o;
        o = c->open;
        o->refs++;
    } else if (c) {
        o->refs = 2;
        c->open = o;
        lru_push(fs, c);
        if (++fs->n_open > fs->open_max)
            drop[1] = detach(fs, fs->lru_first);
    }
    mutex_unlock(&fs->ctab_lock);
    for (int i = 0; i < 2; i++) {
        if (drop[i])
            copen_free(drop[i]);
    }
    return o;
}

/* Close the file that was used longest ago. false if there is none. */
static bool close_one(struct holofs *fs)
{
    mutex_lock(&fs->ctab_lock);
    bool any = fs->lru_first;
    struct copen *o = any ? detach(fs, fs->lru_first) : NULL;
    mutex_unlock(&fs->ctab_lock);
    if (o)
        copen_free(o);
    return any;
}

int copen_get(struct holofs *fs, uint32_t id, struct copen **out)
{
    unsigned bad;
    struct copen *o;
    *out = get_cached(fs, id);
    if (*out)
        return 0;
    int e = copen_file(fs, id, false, &o, &bad);
    while ((e == -EMFILE || e == -ENFILE) && close_one(fs))
        e = copen_file(fs, id, false, &o, &bad);
    if (e)
        return e;
    o->cached = true;
    *out = insert(fs, id, o);
    if (bad && disk_answers(fs))
        scrub_damage(fs, id, bad & 1 ? 0 : chead_file_blocks(&(*out)->h) - 1);
    return 0;
}

void copen_put(struct holofs *fs, struct copen *o)
{
    mutex_lock(&fs->ctab_lock);
    bool last = --o->refs == 0;
    mutex_unlock(&fs->ctab_lock);
    if (last)
        copen_free(o);
}

void copen_drop(struct holofs *fs, uint32_t id)
{
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    struct copen *o = c && c->open ? detach(fs, c) : NULL;
    mutex_unlock(&fs->ctab_lock);
    if (o)
        copen_free(o);
}
