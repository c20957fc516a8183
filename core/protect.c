/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect.c: where the bytes of a file are, and which blocks of its containers are right now. Looks only: a scrub heals. */
#include "core/protect.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/cache.h"
#include "core/container.h"

enum { LOOKUPS_MAX = 8, RUN_BLOCKS = 256 };

/* ---- places ---- */

/* The extents from off on, at most PLACES_MAX; *next is where the rest begins (inode's lock held). */
static int copy_extents(struct holofs *fs, struct inode *i, uint64_t off, struct extent *v, uint32_t *n, uint64_t *next)
{
    uint32_t win = (uint32_t)(off / WINDOW_SIZE);
    *n = 0;
    while (off < i->img.size) {
        struct iwin *w;
        int r = inode_next_window(fs, i, win, &win);
        if (r <= 0 || (uint64_t)win * WINDOW_SIZE >= i->img.size) {
            *next = UINT64_MAX;
            return r < 0 ? r : 0;
        }
        r = inode_window(fs, i, win, &w);
        if (r)
            return r;
        for (uint32_t k = window_find(&w->w, off); k < w->w.n; k++) {
            if (*n == PLACES_MAX) {
                *next = w->w.e[k].off;
                return 0;
            }
            v[(*n)++] = w->w.e[k];
        }
        if (win == UINT32_MAX)
            break;
        off = (uint64_t)++win * WINDOW_SIZE;
    }
    *next = UINT64_MAX;
    return 0;
}

/* The stored positions that reading this extent touches. */
static void set_positions(const struct extent *e, struct place *p)
{
    uint64_t from = e->coff, to = from + e->stored;
    if (e->codec == EXTENT_RUN) {
        from += e->skip;
        to = from + e->len;
    }
    p->first = (uint32_t)(from / BLOCK_SIZE);
    p->n = (uint32_t)((to + BLOCK_SIZE - 1) / BLOCK_SIZE) - p->first;
}

/* -HOLO_ELOST: its container is gone, look again. */
static int fill_place(struct holofs *fs, const struct extent *e, struct place *p)
{
    struct copen *o;
    *p = (struct place){ .off = e->off, .len = e->len, .container = e->container, .state = PLACE_LOST };
    if (extent_is_lost(e))
        return 0;
    struct container *c = ctab_hold(fs, e->container);
    if (!c)
        return -HOLO_ELOST;
    int r = 0;
    if (c->state != CONTAINER_SEALED) {
        p->state = c->state == CONTAINER_OPEN ? PLACE_UNSEALED : PLACE_LOST;
    } else if ((r = copen_get(fs, e->container, &o)) == 0) {
        const struct container_header *h = &o->h;
        p->state = PLACE_SEALED;
        set_positions(e, p);
        p->k = h->k;
        p->m = h->m;
        p->D = h->D;
        p->used = h->used;
        p->tables = h->table_blocks;
        copen_put(fs, o);
    }
    ctab_release(fs, c);
    return r;
}

int holofs_places(struct holofs *fs, uint64_t ino, struct places *p)
{
    struct extent *v = malloc(PLACES_MAX * sizeof(*v));
    struct inode *i = NULL;
    uint64_t off = p->off;
    int e = v ? inode_get(fs, ino, &i) : -ENOMEM;
    if (!e && !S_ISREG(i->type))
        e = -EINVAL;
    for (int tries = 0; !e; tries++) {
        mutex_lock(&i->lock);
        p->size = i->img.size;
        e = copy_extents(fs, i, off, v, &p->n, &p->off);
        mutex_unlock(&i->lock);
        for (uint32_t k = 0; k < p->n && !e; k++)
            e = fill_place(fs, &v[k], &p->v[k]);
        if ((e != -HOLO_ELOST && e != -ENOENT) || tries == LOOKUPS_MAX)
            break;
        e = 0;
    }
    if (i)
        inode_put(fs, i);
    free(v);
    return e;
}

/* ---- blocks ---- */

/* Is the byte at off of the file in this container? */
static int check_is_in(struct holofs *fs, uint64_t ino, uint64_t off, uint32_t container)
{
    struct inode *i;
    struct iwin *w;
    int e = off <= HOLO_FILE_SIZE_MAX ? inode_get(fs, ino, &i) : -EINVAL;
    if (e)
        return e;
    mutex_lock(&i->lock);
    e = S_ISREG(i->type) ? inode_window(fs, i, (uint32_t)(off / WINDOW_SIZE), &w) : -EINVAL;
    if (!e) {
        uint32_t k = window_find(&w->w, off);
        bool is = k < w->w.n && w->w.e[k].off <= off && w->w.e[k].container == container;
        e = is && container != CONTAINER_NONE ? 0 : -ESTALE;
    }
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

/* A header or a block of a table. */
static bool judge_beside(struct holofs *fs, struct copen *o, uint32_t fb, uint8_t *block)
{
    const struct container_header *h = &o->h;
    uint32_t after = 1 + h->table_blocks + chead_positions(h);
    if (container_read_file_block(fs, o, fb, block))
        return false;
    if (fb == 0 || fb == chead_file_blocks(h) - 1) {
        chead_encode(h, block + BLOCK_SIZE);
        return memcmp(block, block + BLOCK_SIZE, BLOCK_SIZE) == 0;
    }
    return ctable_intact(fs->sb.uuid, h->id, fb < after ? fb - 1 : fb - after, block);
}

/* Of n stored positions from x on. */
static int judge_positions(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, uint8_t *blocks, uint8_t *state)
{
    bool unreadable[RUN_BLOCKS];
    container_read_positions(fs, o, x, n, blocks, unreadable);
    for (uint32_t i = 0; i < n; i++) {
        int verdict = unreadable[i] ? BLOCK_WRONG : container_verify(fs, o, x + i, blocks + (size_t)i * BLOCK_SIZE);
        if (verdict < 0)
            return verdict;
        state[i] = verdict == BLOCK_RIGHT ? BLOCK_STATE_RIGHT : BLOCK_STATE_BAD;
    }
    return 0;
}

static int judge_blocks(struct holofs *fs, struct copen *o, struct judged *j, uint8_t *blocks)
{
    const struct container_header *h = &o->h;
    uint32_t base = 1 + h->table_blocks, end = base + chead_positions(h), all = chead_file_blocks(h), n;
    int e = 0;
    j->n = j->first >= all ? 0 : all - j->first < BLOCKS_JUDGED_MAX ? all - j->first : BLOCKS_JUDGED_MAX;
    for (uint32_t i = 0; i < j->n && !e; i += n) {
        uint32_t fb = j->first + i;
        n = 1;
        if (fb < base || fb >= end) {
            j->state[i] = judge_beside(fs, o, fb, blocks) ? BLOCK_STATE_RIGHT : BLOCK_STATE_BAD;
            continue;
        }
        n = j->n - i < end - fb ? j->n - i : end - fb;
        n = n < RUN_BLOCKS ? n : RUN_BLOCKS;
        e = judge_positions(fs, o, fb - base, n, blocks, j->state + i);
    }
    for (uint32_t i = 0; i < j->n && !e; i++)
        j->state[i] |= remap_lookup(fs->remap, h->id, j->first + i) ? BLOCK_STATE_REMAPPED : 0;
    return e;
}

int holofs_judge(struct holofs *fs, uint64_t ino, struct judged *j)
{
    unsigned bad;
    struct copen *o;
    int e = check_is_in(fs, ino, j->off, j->container);
    struct container *c = e ? NULL : ctab_hold(fs, j->container);
    if (!c)
        return e ? e : -ESTALE;
    uint8_t *blocks = aligned_alloc(BLOCK_SIZE, (size_t)RUN_BLOCKS * BLOCK_SIZE);
    e = !blocks ? -ENOMEM : c->state == CONTAINER_SEALED ? copen_file(fs, j->container, true, &o, &bad) : -ESTALE;
    if (!e) {
        e = judge_blocks(fs, o, j, blocks);
        copen_free(o);
    }
    free(blocks);
    ctab_release(fs, c);
    return e;
}
