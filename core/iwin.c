/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iwin.c: the windows of an inode in memory, and holes (the inode's lock is held throughout).
 *
 * Invariants:
 * 1. A window with a change that the index does not have stays; any other may go at any time between two calls.
 * 2. A hole over many windows is punched in those that are in memory; the others get it when they are loaded, for as long as the
 *    index may not have it. A window that changed after that is in memory as long, so nothing newer is ever punched.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/cache.h"

enum { DROP_FROM = 256, SMALL_HOLE = 16 /* windows that are loaded for it */ };

/* Keep the count of bytes right after the window changed. */
void window_charge(struct holofs *fs, struct iwin *w)
{
    uint32_t bytes = (uint32_t)(sizeof(*w) + w->w.cap * sizeof(*w->w.e));
    fs->loaded_bytes += (uint64_t)bytes - w->charged;
    w->charged = bytes;
}

static void free_window(struct holofs *fs, struct inode *i, struct iwin *w)
{
    fs->loaded_bytes -= w->charged;
    fs->n_windows--;
    i->n_win--;
    window_fini(&w->w);
    free(w);
}

/* Forget holes that the index has. */
static void trim_holes(struct holofs *fs, struct inode *i, bool all)
{
    struct hole **p = &i->holes;
    while (*p) {
        struct hole *h = *p;
        if (!all && !is_applied(fs, h->txg)) {
            p = &h->next;
            continue;
        }
        *p = h->next;
        fs->loaded_bytes -= sizeof(*h);
        free(h);
    }
}

void windows_free(struct holofs *fs, struct inode *i)
{
    for (uint32_t b = 0; b < i->wtab_size; b++) {
        while (i->wtab[b]) {
            struct iwin *w = i->wtab[b];
            i->wtab[b] = w->next;
            free_window(fs, i, w);
        }
    }
    free(i->wtab);
    i->wtab = NULL;
    i->wtab_size = i->n_win = 0;
    trim_holes(fs, i, true);
}

void windows_drop_clean(struct holofs *fs, struct inode *i)
{
    for (uint32_t b = 0; b < i->wtab_size; b++) {
        struct iwin **p = &i->wtab[b];
        while (*p) {
            struct iwin *w = *p;
            if (!is_applied(fs, w->dirty_txg)) {
                p = &w->next;
                continue;
            }
            *p = w->next;
            free_window(fs, i, w);
        }
    }
    trim_holes(fs, i, false);
    i->drop_at = i->n_win + i->n_win / 2 + DROP_FROM;
}

static struct iwin *window_in_memory(const struct inode *i, uint32_t win)
{
    struct iwin *w = i->wtab_size ? i->wtab[win & (i->wtab_size - 1)] : NULL;
    while (w && w->win != win)
        w = w->next;
    return w;
}

static int grow_windows(struct inode *i)
{
    uint32_t size = i->wtab_size ? i->wtab_size * 2 : 4;
    struct iwin **tab = calloc(size, sizeof(*tab));
    if (!tab)
        return -ENOMEM;
    for (uint32_t b = 0; b < i->wtab_size; b++) {
        while (i->wtab[b]) {
            struct iwin *w = i->wtab[b];
            i->wtab[b] = w->next;
            w->next = tab[w->win & (size - 1)];
            tab[w->win & (size - 1)] = w;
        }
    }
    free(i->wtab);
    i->wtab = tab;
    i->wtab_size = size;
    return 0;
}

static int read_window(struct holofs *fs, uint64_t ino, uint32_t win, struct window *out)
{
    size_t cap = 4096, len = 0;
    uint8_t stack[4096], *blob = stack;
    mutex_lock(&fs->reader_lock);
    int e = meta_read_window(fs->reader, ino, win, blob, cap, &len);
    while (e == -ERANGE) {
        cap = len;
        if (blob != stack)
            free(blob);
        blob = malloc(cap);
        e = blob ? meta_read_window(fs->reader, ino, win, blob, cap, &len) : -ENOMEM;
    }
    e = reader_unlock(fs, e);
    if (!e)
        e = window_decode(out, win, blob, len);
    else if (e == -ENOENT)
        e = 0;
    if (blob != stack)
        free(blob);
    return e;
}

/* As the index has it, with the holes that it may not have yet. Behind the end of the file there is nothing. */
static int load_window(struct holofs *fs, struct inode *i, uint32_t win, struct window *out)
{
    int64_t delta;
    if ((uint64_t)win * WINDOW_SIZE >= i->img.size)
        return 0;
    uint64_t applied = fs->applied_txg; /* before: what is applied while it is read is punched once more, for nothing */
    int e = read_window(fs, i->ino, win, out);
    for (const struct hole *h = i->holes; h && !e && out->n; h = h->next) {
        if (h->txg > applied)
            e = window_punch(out, h->off, h->end - h->off, &delta, NULL, NULL);
    }
    return e;
}

int inode_window(struct holofs *fs, struct inode *i, uint32_t win, struct iwin **out)
{
    struct iwin *w = window_in_memory(i, win);
    if (w) {
        *out = w;
        return 0;
    }
    if (i->n_win >= i->drop_at && fs->loaded_bytes > fs->loaded_max / 2)
        windows_drop_clean(fs, i);
    if (i->n_win >= i->wtab_size) {
        int e = grow_windows(i);
        if (e)
            return e;
    }
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->win = win;
    int e = load_window(fs, i, win, &w->w);
    if (e) {
        window_fini(&w->w);
        free(w);
        return e;
    }
    struct iwin **p = &i->wtab[win & (i->wtab_size - 1)];
    w->next = *p;
    *p = w;
    i->n_win++;
    fs->n_windows++;
    window_charge(fs, w);
    *out = w;
    return 0;
}

/* The first window >= first of which the index has extents: 1 and *win, 0 if none. */
static int next_in_index(struct holofs *fs, const struct inode *i, uint32_t first, uint32_t *win)
{
    if ((uint64_t)first * WINDOW_SIZE >= i->img.size)
        return 0;
    mutex_lock(&fs->reader_lock);
    int e = meta_read_next_window(fs->reader, i->ino, first, win);
    e = reader_unlock(fs, e);
    return e == -ENOENT ? 0 : e ? e : 1;
}

int inode_next_window(struct holofs *fs, struct inode *i, uint32_t first, uint32_t *win)
{
    uint32_t best = UINT32_MAX, in_index;
    for (uint32_t b = 0; b < i->wtab_size; b++) {
        for (struct iwin *w = i->wtab[b]; w; w = w->next) {
            if (w->win >= first && w->win < best)
                best = w->win;
        }
    }
    if (best > first) {
        int r = next_in_index(fs, i, first, &in_index);
        if (r < 0)
            return r;
        if (r && in_index < best)
            best = in_index;
    }
    *win = best;
    return best != UINT32_MAX;
}

/* ---- holes ---- */

/* What a hole takes of a window that stays where it is, in the index. */
static int stored_below(struct holofs *fs, struct inode *i, uint32_t win, const struct punch *p, int64_t *sum)
{
    struct window w = { 0 };
    int64_t delta = 0;
    int e = load_window(fs, i, win, &w);
    if (!e && w.n)
        e = window_punch(&w, p->off, p->end - p->off, &delta, NULL, NULL);
    window_fini(&w);
    *sum += delta;
    return e;
}

/* The windows of a punch that are in memory: by number or, if those are more than there are windows, by place. */
struct each {
    uint32_t first, last, at;
    struct iwin *w;
};

static struct each each_of(const struct punch *p)
{
    return (struct each){ .first = (uint32_t)(p->off / WINDOW_SIZE), .last = (uint32_t)((p->end - 1) / WINDOW_SIZE) };
}

static struct iwin *each_next(const struct inode *i, struct each *x)
{
    uint32_t n = x->last - x->first + 1;
    if (i->wtab_size == 0)
        return NULL;
    if (n < i->wtab_size) {
        while (x->at < n) {
            struct iwin *w = window_in_memory(i, x->first + x->at++);
            if (w)
                return w;
        }
        return NULL;
    }
    for (;;) {
        x->w = x->w ? x->w->next : NULL;
        while (!x->w && x->at < i->wtab_size)
            x->w = i->wtab[x->at++];
        if (!x->w || (x->w->win >= x->first && x->w->win <= x->last))
            return x->w;
    }
}

static void punch_cancel(struct inode *i, struct punch *p)
{
    restamp_windows(i, i->dirty_txg);
    free(p->hole);
    p->hole = NULL;
}

int punch_prepare(struct holofs *fs, struct inode *i, struct punch *p)
{
    uint32_t win = (uint32_t)(p->off / WINDOW_SIZE), last = (uint32_t)((p->end - 1) / WINDOW_SIZE);
    int e = 0, r;
    p->hole = NULL;
    p->delta = 0;
    if (p->end <= p->off)
        return 0;
    if (i->holes && is_applied(fs, i->holes->txg)) /* the newest is, so all are */
        trim_holes(fs, i, true);
    if (last - win >= SMALL_HOLE) {
        p->hole = malloc(sizeof(*p->hole));
        if (!p->hole)
            return -ENOMEM;
    }
    struct iwin *w;
    for (struct each x = each_of(p); (w = each_next(i, &x));)
        w->dirty_txg = UINT64_MAX; /* stays until it is punched */
    for (; !e && (r = next_in_index(fs, i, win, &win)) != 0; win++) {
        if (r < 0 || win > last) {
            e = r < 0 ? r : 0;
            break;
        }
        if (window_in_memory(i, win))
            continue;
        if (p->hole) {
            e = stored_below(fs, i, win, p, &p->delta);
            continue;
        }
        e = inode_window(fs, i, win, &w);
        if (!e)
            w->dirty_txg = UINT64_MAX;
    }
    if (e)
        punch_cancel(i, p);
    return e;
}

int punch_windows(struct holofs *fs, struct inode *i, struct punch *p)
{
    struct iwin *w;
    if (p->end <= p->off)
        return 0;
    for (struct each x = each_of(p); (w = each_next(i, &x));) {
        int64_t d = 0;
        int e = w->w.n ? window_punch(&w->w, p->off, p->end - p->off, &d, NULL, NULL) : 0;
        if (e) {
            punch_cancel(i, p);
            return e;
        }
        window_charge(fs, w);
        p->delta += d;
    }
    if (p->hole) {
        *p->hole = (struct hole){ .next = i->holes, .off = p->off, .end = p->end, .txg = UINT64_MAX };
        i->holes = p->hole;
        p->hole = NULL;
        fs->loaded_bytes += sizeof(*i->holes);
    }
    return 0;
}

void punch_logged(struct inode *i, const struct punch *p, uint64_t txg)
{
    struct iwin *w;
    if (p->end <= p->off)
        return;
    for (struct each x = each_of(p); (w = each_next(i, &x));)
        w->dirty_txg = txg;
    if (i->holes && i->holes->txg == UINT64_MAX)
        i->holes->txg = txg;
}

void restamp_windows(struct inode *i, uint64_t txg)
{
    for (uint32_t b = 0; b < i->wtab_size; b++) {
        for (struct iwin *w = i->wtab[b]; w; w = w->next) {
            if (w->dirty_txg == UINT64_MAX)
                w->dirty_txg = txg;
        }
    }
}
