/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.c: the remap table in memory.
 *
 * Open addressing with linear probing and backward-shift deletion (Knuth, vol. 3, 6.4, algorithm R): no tombstones,
 * at most half full. In front of it stands a filter of counters by container id: a lookup in a container without
 * remaps, which is nearly every lookup, ends at one relaxed load.
 *
 * Invariants:
 * 1. filter[s] is the number of remaps of the containers with id % FILTER = s.
 * 2. A spare block is USED exactly if one remap leads to it, and owner[] of its spare file is that remap's key.
 * 3. used and bad count the states, of each spare file.
 * 4. The index of a spare file stays the same while it is there.
 */
#include "remap/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { FILTER = 16384, SLOTS_MIN = 64 };
#define NO_SPARE UINT32_MAX

enum spare_state { SPARE_FREE, SPARE_USED, SPARE_BAD };

struct spare {
    bool there;
    bool closed; /* nothing new goes there */
    uint32_t number, blocks, used, bad;
    uint8_t *state;
    uint64_t *owner;
};

struct slot {
    uint64_t key;
    struct remap_place place; /* spare = NO_SPARE: empty */
};

struct remap_map {
    _Atomic uint32_t filter[FILTER];
    pthread_rwlock_t lock; /* guards everything below against lookups */
    struct slot *slot;
    uint64_t n_slots;
    _Atomic uint64_t count;
    unsigned shift; /* 64 - log2(n_slots) */
    struct spare spare[REMAP_SPARES_MAX];
    struct remap_place cursor; /* where the search for a free block goes on */
};

static uint64_t key_of(uint32_t container, uint32_t file_block)
{
    return (uint64_t)container << 32 | file_block;
}

/* Fibonacci hashing (Knuth, vol. 3, 6.4): neighbouring blocks are spread evenly. */
static uint64_t home_of(const struct remap_map *m, uint64_t key)
{
    return (key * 0x9e3779b97f4a7c15u) >> m->shift;
}

static bool slot_empty(const struct slot *s)
{
    return s->place.spare == NO_SPARE;
}

/* The slot of a key, or the empty one where it would go. */
static struct slot *slot_find(const struct remap_map *m, uint64_t key)
{
    uint64_t i = home_of(m, key);
    while (!slot_empty(&m->slot[i]) && m->slot[i].key != key)
        i = (i + 1) & (m->n_slots - 1);
    return &m->slot[i];
}

static int slots_create(uint64_t n, struct slot **out)
{
    struct slot *s = malloc(n * sizeof(*s));
    if (!s)
        return -ENOMEM;
    for (uint64_t i = 0; i < n; i++)
        s[i] = (struct slot){ .place.spare = NO_SPARE };
    *out = s;
    return 0;
}

static void filter_add(struct remap_map *m, uint64_t key, bool add)
{
    _Atomic uint32_t *f = &m->filter[(key >> 32) % FILTER];
    if (add)
        atomic_fetch_add_explicit(f, 1, memory_order_release);
    else
        atomic_fetch_sub_explicit(f, 1, memory_order_release);
}

static int spare_init(struct spare *s, uint32_t number, uint32_t blocks)
{
    uint8_t *state = calloc(blocks ? blocks : 1, sizeof(*state));
    uint64_t *owner = calloc(blocks ? blocks : 1, sizeof(*owner));
    if (!state || !owner) {
        free(state);
        free(owner);
        return -ENOMEM;
    }
    *s = (struct spare){ .there = true, .number = number, .blocks = blocks, .state = state, .owner = owner };
    return 0;
}

static void spare_fini(struct spare *s)
{
    free(s->state);
    free(s->owner);
    *s = (struct spare){ 0 };
}

static void map_free(struct remap_map *m)
{
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++)
        spare_fini(&m->spare[i]);
    free(m->slot);
    free(m);
}

int remap_map_create(const struct remap_header *h, struct remap_map **out)
{
    struct remap_map *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->n_slots = SLOTS_MIN;
    m->shift = 64 - 6;
    int rc = slots_create(m->n_slots, &m->slot);
    for (uint32_t i = 0; i < h->n_spares && rc == 0; i++)
        rc = spare_init(&m->spare[i], h->spare[i].number, h->spare[i].blocks);
    if (rc) {
        map_free(m);
        return rc;
    }
    pthread_rwlock_init(&m->lock, NULL);
    *out = m;
    return 0;
}

void remap_map_destroy(struct remap_map *m)
{
    if (!m)
        return;
    pthread_rwlock_destroy(&m->lock);
    map_free(m);
}

void remap_map_clear(struct remap_map *m)
{
    pthread_rwlock_wrlock(&m->lock);
    for (uint64_t i = 0; i < m->n_slots; i++)
        m->slot[i].place.spare = NO_SPARE;
    for (size_t i = 0; i < FILTER; i++)
        atomic_store(&m->filter[i], 0);
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++) {
        struct spare *s = &m->spare[i];
        if (s->there)
            memset(s->state, SPARE_FREE, s->blocks);
        s->used = s->bad = 0;
    }
    m->count = 0;
    m->cursor = (struct remap_place){ 0 };
    pthread_rwlock_unlock(&m->lock);
}

static void slots_move(struct remap_map *m, struct slot *to, uint64_t n)
{
    struct slot *from = m->slot;
    uint64_t n_from = m->n_slots;
    m->slot = to;
    m->n_slots = n;
    m->shift--;
    for (uint64_t i = 0; i < n_from; i++)
        if (!slot_empty(&from[i]))
            *slot_find(m, from[i].key) = from[i];
    free(from);
}

int remap_map_reserve(struct remap_map *m)
{
    if ((m->count + 1) * 2 <= m->n_slots)
        return 0;
    struct slot *more;
    int rc = slots_create(m->n_slots * 2, &more);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&m->lock);
    slots_move(m, more, m->n_slots * 2);
    pthread_rwlock_unlock(&m->lock);
    return 0;
}

static void state_set_locked(struct remap_map *m, const struct remap_place *p, enum spare_state state)
{
    struct spare *s = &m->spare[p->spare];
    s->used -= s->state[p->block] == SPARE_USED;
    s->bad -= s->state[p->block] == SPARE_BAD;
    s->state[p->block] = (uint8_t)state;
    s->used += state == SPARE_USED;
    s->bad += state == SPARE_BAD;
}

/* Close the gap that a removed slot leaves in its run. */
static void slot_remove_locked(struct remap_map *m, struct slot *s)
{
    uint64_t mask = m->n_slots - 1, gap = (uint64_t)(s - m->slot);
    filter_add(m, s->key, false);
    m->count--;
    for (uint64_t i = (gap + 1) & mask; !slot_empty(&m->slot[i]); i = (i + 1) & mask) {
        uint64_t home = home_of(m, m->slot[i].key);
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        m->slot[gap] = m->slot[i];
        gap = i;
    }
    m->slot[gap].place.spare = NO_SPARE;
}

static void drop_locked(struct remap_map *m, uint64_t key, enum spare_state left)
{
    struct slot *s = slot_find(m, key);
    if (slot_empty(s))
        return;
    state_set_locked(m, &s->place, left);
    slot_remove_locked(m, s);
}

/* Two keys on one spare block mean that a drop was lost: the later remap is the true one. */
static void add_locked(struct remap_map *m, uint64_t key, const struct remap_place *p)
{
    struct spare *s = &m->spare[p->spare];
    if (s->state[p->block] == SPARE_USED)
        drop_locked(m, s->owner[p->block], SPARE_FREE);
    drop_locked(m, key, SPARE_BAD);
    *slot_find(m, key) = (struct slot){ .key = key, .place = *p };
    m->count++;
    filter_add(m, key, true);
    state_set_locked(m, p, SPARE_USED);
    s->owner[p->block] = key;
    m->cursor = (struct remap_place){ .spare = p->spare, .block = p->block + 1 };
}

/* A removal may pull a later slot into its place, so the same place is looked at again. */
static void drop_container_locked(struct remap_map *m, uint32_t container)
{
    for (uint64_t i = 0; i < m->n_slots;) {
        struct slot *s = &m->slot[i];
        if (slot_empty(s) || s->key >> 32 != container) {
            i++;
            continue;
        }
        state_set_locked(m, &s->place, SPARE_FREE);
        slot_remove_locked(m, s);
    }
}

static bool place_of(const struct remap_map *m, const struct remap_entry *e, struct remap_place *out)
{
    for (uint32_t i = 0; i < REMAP_SPARES_MAX; i++)
        if (m->spare[i].there && m->spare[i].number == e->spare && e->spare_block < m->spare[i].blocks) {
            *out = (struct remap_place){ .spare = i, .block = e->spare_block, .sum = e->sum };
            return true;
        }
    return false;
}

static void bad_locked(struct remap_map *m, const struct remap_place *p)
{
    const struct spare *s = &m->spare[p->spare];
    if (s->state[p->block] == SPARE_USED)
        drop_locked(m, s->owner[p->block], SPARE_BAD);
    state_set_locked(m, p, SPARE_BAD);
}

void remap_map_apply(struct remap_map *m, const struct remap_entry *e)
{
    struct remap_place p;
    bool known = place_of(m, e, &p);
    uint64_t key = key_of(e->container, e->file_block);
    pthread_rwlock_wrlock(&m->lock);
    switch (e->kind) {
    case REMAP_ADD:
        if (known)
            add_locked(m, key, &p);
        else
            drop_locked(m, key, SPARE_BAD);
        break;
    case REMAP_DROP_BLOCK:
        drop_locked(m, key, SPARE_FREE);
        break;
    case REMAP_DROP_CONTAINER:
        drop_container_locked(m, e->container);
        break;
    case REMAP_SPARE_BAD:
        if (known)
            bad_locked(m, &p);
        break;
    }
    pthread_rwlock_unlock(&m->lock);
}

bool remap_map_find(struct remap_map *m, uint32_t container, uint32_t file_block, struct remap_place *out)
{
    if (atomic_load_explicit(&m->filter[container % FILTER], memory_order_acquire) == 0)
        return false;
    pthread_rwlock_rdlock(&m->lock);
    const struct slot *s = slot_find(m, key_of(container, file_block));
    bool found = !slot_empty(s);
    if (found && out)
        *out = s->place;
    pthread_rwlock_unlock(&m->lock);
    return found;
}

bool remap_map_has(struct remap_map *m, uint32_t container)
{
    if (atomic_load_explicit(&m->filter[container % FILTER], memory_order_acquire) == 0)
        return false;
    bool found = false;
    pthread_rwlock_rdlock(&m->lock);
    for (uint64_t i = 0; i < m->n_slots && !found; i++)
        found = !slot_empty(&m->slot[i]) && m->slot[i].key >> 32 == container;
    pthread_rwlock_unlock(&m->lock);
    return found;
}

/* The next free block of one spare file from `from` on. */
static bool free_in(const struct spare *s, uint32_t from, uint32_t *block)
{
    if (!s->there || s->closed || s->used + s->bad == s->blocks)
        return false;
    for (uint32_t i = from; i < s->blocks; i++)
        if (s->state[i] == SPARE_FREE) {
            *block = i;
            return true;
        }
    return false;
}

bool remap_map_next_free(struct remap_map *m, struct remap_place *out)
{
    for (uint32_t n = 0; n <= REMAP_SPARES_MAX; n++) {
        uint32_t i = (m->cursor.spare + n) % REMAP_SPARES_MAX, block;
        if (!free_in(&m->spare[i], n == 0 ? m->cursor.block : 0, &block))
            continue;
        *out = (struct remap_place){ .spare = i, .block = block };
        m->cursor = (struct remap_place){ .spare = i, .block = block + 1 };
        return true;
    }
    return false;
}

bool remap_map_any(const struct remap_map *m)
{
    return atomic_load_explicit(&m->count, memory_order_relaxed) != 0;
}

void remap_map_counts(struct remap_map *m, struct remap_counts *out)
{
    pthread_rwlock_rdlock(&m->lock);
    *out = (struct remap_counts){ .remaps = m->count };
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++) {
        const struct spare *s = &m->spare[i];
        out->blocks += s->blocks;
        out->used += s->used;
        out->bad += s->bad;
        out->free += s->closed ? 0 : s->blocks - s->used - s->bad;
    }
    pthread_rwlock_unlock(&m->lock);
}

static size_t adds_collect(const struct remap_map *m, struct remap_entry *out)
{
    size_t n = 0;
    for (uint64_t i = 0; i < m->n_slots; i++) {
        const struct slot *s = &m->slot[i];
        if (!slot_empty(s))
            out[n++] = (struct remap_entry){
                .kind = REMAP_ADD,
                .container = (uint32_t)(s->key >> 32),
                .file_block = (uint32_t)s->key,
                .spare = m->spare[s->place.spare].number,
                .spare_block = s->place.block,
                .sum = s->place.sum,
            };
    }
    return n;
}

static size_t bads_collect(const struct remap_map *m, struct remap_entry *out)
{
    size_t n = 0;
    for (uint32_t k = 0; k < REMAP_SPARES_MAX; k++) {
        const struct spare *s = &m->spare[k];
        for (uint32_t b = 0; b < s->blocks && s->bad; b++)
            if (s->state[b] == SPARE_BAD)
                out[n++] = (struct remap_entry){ .kind = REMAP_SPARE_BAD, .spare = s->number, .spare_block = b };
    }
    return n;
}

static uint64_t bads(const struct remap_map *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < REMAP_SPARES_MAX; i++)
        n += m->spare[i].bad;
    return n;
}

int remap_map_entries(struct remap_map *m, struct remap_entry **out, size_t *n)
{
    pthread_rwlock_rdlock(&m->lock);
    size_t most = (size_t)(m->count + bads(m));
    struct remap_entry *e = malloc((most ? most : 1) * sizeof(*e));
    if (e) {
        *n = adds_collect(m, e);
        *n += bads_collect(m, e + *n);
        *out = e;
    }
    pthread_rwlock_unlock(&m->lock);
    return e ? 0 : -ENOMEM;
}

/* ---- spare files that come and go ---- */

int remap_map_spare_add(struct remap_map *m, uint32_t number, uint32_t blocks, uint32_t *index)
{
    struct spare fresh;
    uint32_t i = 0;
    while (i < REMAP_SPARES_MAX && m->spare[i].there)
        i++;
    int rc = i < REMAP_SPARES_MAX ? spare_init(&fresh, number, blocks) : -ENOSPC;
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&m->lock);
    m->spare[i] = fresh;
    pthread_rwlock_unlock(&m->lock);
    *index = i;
    return 0;
}

void remap_map_spare_remove(struct remap_map *m, uint32_t index)
{
    pthread_rwlock_wrlock(&m->lock);
    spare_fini(&m->spare[index]);
    pthread_rwlock_unlock(&m->lock);
}

void remap_map_spare_close(struct remap_map *m, uint32_t index, bool closed)
{
    pthread_rwlock_wrlock(&m->lock);
    m->spare[index].closed = closed;
    pthread_rwlock_unlock(&m->lock);
}

void remap_map_spare_free(struct remap_map *m, const struct remap_place *p)
{
    pthread_rwlock_wrlock(&m->lock);
    if (m->spare[p->spare].state[p->block] == SPARE_BAD)
        state_set_locked(m, p, SPARE_FREE);
    pthread_rwlock_unlock(&m->lock);
}

bool remap_map_spare(struct remap_map *m, uint32_t index, struct remap_spare_counts *out)
{
    pthread_rwlock_rdlock(&m->lock);
    const struct spare *s = &m->spare[index];
    bool there = s->there;
    *out = (struct remap_spare_counts){ .number = s->number, .blocks = s->blocks, .used = s->used, .bad = s->bad, .closed = s->closed };
    pthread_rwlock_unlock(&m->lock);
    return there;
}
