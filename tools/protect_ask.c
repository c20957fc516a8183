/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect_ask.c: the questions of holo protect, by ioctl; each container is read once, however many files it holds. */
#include "tools/protect_ask.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/protect.h"

enum { ASKED_MAX = 16 }; /* times, when the cleaner moves what is asked for */

static void held_free(struct held *h)
{
    if (!h)
        return;
    free(h->c.state);
    free(h->c.wanted);
    free(h->margin);
    free(h);
}

void ask_fini(struct ask *a)
{
    for (size_t i = 0; i < a->cap; i++)
        held_free(a->by_id[i]);
    free(a->by_id);
}

static struct held *held_new(const struct place *p)
{
    struct held *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->c = (struct medium_container){ .id = p->container, .k = p->k, .m = p->m, .D = p->D, .used = p->used, .tables = p->tables };
    h->c.state = calloc(medium_file_blocks(&h->c), 1);
    h->c.wanted = calloc(p->D, 1);
    h->margin = calloc(p->D, sizeof(*h->margin));
    if (h->c.state && h->c.wanted && h->margin)
        return h;
    held_free(h);
    return NULL;
}

/* Have every block of it judged. */
static int judge(struct ask *a, int fd, const struct place *p, struct held *h)
{
    struct judged *j = malloc(sizeof(*j));
    uint32_t all = medium_file_blocks(&h->c), at = 0;
    int e = j ? 0 : ENOMEM;
    while (!e && at < all) {
        *j = (struct judged){ .off = p->off, .container = p->container, .first = at };
        if (ioctl(fd, HOLOFS_IOC_JUDGE, j)) {
            e = errno;
        } else if (j->n == 0 || j->n > all - at) {
            e = EIO;
        } else {
            memcpy(h->c.state + at, j->state, j->n);
            at += j->n;
        }
    }
    free(j);
    for (uint32_t b = 0; b < all && !e; b++) {
        a->bad += (h->c.state[b] & BLOCK_STATE_BAD) != 0;
        a->remapped += (h->c.state[b] & BLOCK_STATE_REMAPPED) != 0;
        a->blocks_read++;
    }
    return e;
}

/* The container of a place, known from now on. 0 or an errno; ESTALE: the place is old. */
static int hold(struct ask *a, int fd, const struct place *p, struct held **out)
{
    if (p->container >= a->cap) {
        size_t cap = (size_t)p->container * 2 + 64;
        struct held **v = realloc(a->by_id, cap * sizeof(struct held *));
        if (!v)
            return ENOMEM;
        memset(v + a->cap, 0, (cap - a->cap) * sizeof(struct held *));
        a->by_id = v;
        a->cap = cap;
    }
    *out = a->by_id[p->container];
    if (*out)
        return 0;
    struct held *h = held_new(p);
    int e = !h ? ENOMEM : a->quick ? 0 : judge(a, fd, p, h);
    if (e) {
        held_free(h);
        return e;
    }
    for (uint32_t t = 0; t < p->D; t++)
        h->margin[t] = medium_margin(&h->c, t);
    *out = a->by_id[p->container] = h;
    a->n++;
    return 0;
}

static int take_place(struct ask *a, int fd, const struct place *p, struct file_told *out)
{
    struct held *h;
    if (p->state != PLACE_SEALED) {
        *(p->state == PLACE_LOST ? &out->lost : &out->unsealed) += p->len;
        return 0;
    }
    int e = hold(a, fd, p, &h);
    for (uint32_t x = p->first; x < p->first + p->n && !e; x++) {
        uint32_t t = x % p->D;
        h->c.wanted[t] = 1;
        if (h->margin[t] < out->margin) {
            out->margin = h->margin[t];
            out->m = p->m;
            out->container = p->container;
            out->stripe = t;
        }
    }
    out->sealed += e ? 0 : p->len;
    return e;
}

int ask_file(struct ask *a, int fd, struct file_told *out)
{
    struct places *p = malloc(sizeof(*p));
    uint64_t off = 0;
    int e = p ? 0 : ENOMEM, asked = 0;
    *out = (struct file_told){ .margin = INT_MAX };
    while (!e && off != UINT64_MAX) {
        *p = (struct places){ .off = off };
        if (ioctl(fd, HOLOFS_IOC_PLACES, p)) {
            e = errno;
            break;
        }
        out->size = p->size;
        off = p->off;
        for (uint32_t i = 0; i < p->n && i < PLACES_MAX && !e; i++) {
            e = take_place(a, fd, &p->v[i], out);
            if (e == ESTALE && ++asked < ASKED_MAX) {
                off = p->v[i].off;
                e = 0;
                break;
            }
        }
    }
    free(p);
    return e;
}

const struct medium_container **ask_containers(const struct ask *a, uint64_t *stripes)
{
    const struct medium_container **list = malloc((a->n + 1) * sizeof(*list));
    size_t n = 0;
    *stripes = 0;
    for (size_t i = 0; i < a->cap && list; i++) {
        if (!a->by_id[i])
            continue;
        list[n++] = &a->by_id[i]->c;
        for (uint32_t t = 0; t < a->by_id[i]->c.D; t++)
            *stripes += a->by_id[i]->c.wanted[t];
    }
    return list;
}
