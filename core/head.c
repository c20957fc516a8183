/* SPDX-License-Identifier: GPL-2.0-or-later */
/* head.c: fill heads: reserve room, checksum what was put there, queue what is full. */
#include "core/head.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/big.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/log.h"

uint64_t container_full_size(const struct holofs *fs, unsigned r)
{
    return space_of_container(fs, r, fs->sb.nmax);
}

void head_drop_buffer(struct holofs *fs, struct head *h)
{
    big_put(fs, h->buf);
    h->buf = NULL;
    free(h->known);
    h->known = NULL;
    free(h->pieces);
    free(h->sums);
    free(h->summed);
    h->pieces = NULL;
    h->sums = NULL;
    h->summed = NULL;
}

static void destroy(struct holofs *fs, struct head *h)
{
    head_drop_buffer(fs, h);
    free(h);
}

void head_unref(struct holofs *fs, struct head *h)
{
    mutex_lock(&fs->ctab_lock);
    bool last = --h->refs == 0;
    mutex_unlock(&fs->ctab_lock);
    if (!last)
        return;
    mutex_lock(&fs->head_lock);
    destroy(fs, h);
    mutex_unlock(&fs->head_lock);
}

struct head *head_create(struct holofs *fs, uint32_t id, uint32_t cls, uint32_t r)
{
    struct head *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->id = id;
    h->cls = cls;
    h->r = r;
    h->cap_bytes = (uint64_t)fs->sb.nmax * BLOCK_SIZE;
    h->refs = 1;
    h->first_lsn = UINT64_MAX;
    h->buf = big_get(fs, h->cap_bytes);
    h->sums = malloc(fs->sb.nmax * sizeof(*h->sums));
    h->summed = calloc(fs->sb.nmax, 1);
    if (h->buf && h->sums && h->summed)
        return h;
    destroy(fs, h);
    return NULL;
}

int head_add_piece(struct head *h, const struct piece *p)
{
    if (h->n_pieces == h->cap_pieces) {
        size_t cap = h->cap_pieces ? h->cap_pieces * 2 : 64;
        struct piece *v = realloc(h->pieces, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        h->pieces = v;
        h->cap_pieces = cap;
    }
    h->pieces[h->n_pieces++] = *p;
    return 0;
}

void head_queue(struct holofs *fs, struct head *h)
{
    h->state = HEAD_SEALING;
    h->next = NULL;
    *fs->sealing_last = h;
    fs->sealing_last = &h->next;
    fs->n_sealing++;
    pthread_cond_broadcast(&fs->head_cond);
}

/* Give redundancy r a new head and tell the log that the container exists (HEAD held). */
static int open_head(struct holofs *fs, unsigned r)
{
    uint8_t space[256];
    int e = space_check(fs, r);
    if (e)
        return e;
    struct head *h = head_create(fs, fs->next_container, CLASS_DATA, r);
    if (!h)
        return -ENOMEM;
    struct container_info info = { .id = h->id, .cls = CLASS_DATA, .state = CONTAINER_OPEN, .r = r };
    struct rec rec;
    rec_begin(&rec, space, sizeof(space), REC_CONTAINER, clock_real_ns());
    rec_container(&rec, &info);
    e = log_append(fs, space, rec_end(&rec), NULL, 0, &h->open_txg, NULL);
    if (!e)
        e = ctab_set(fs, &info, 0, h);
    if (e) {
        destroy(fs, h);
        return e;
    }
    fs->next_container++;
    fs->heads[r] = h;
    uint64_t room;
    if (space_room(fs, r, &room) == 0 && room < container_full_size(fs, r) && !fs->clean.pressed) {
        fs->clean.pressed = true;
        clean_wake(fs);
    }
    return 0;
}

/* Content bytes that the directory will take with one more piece. */
static uint64_t dir_bytes(const struct head *h)
{
    return (h->n_pieces + 1) * (uint64_t)PIECE_BYTES;
}

static bool fits(const struct head *h, uint64_t start, uint32_t len)
{
    uint64_t end = (start + len + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    return end + dir_bytes(h) <= h->cap_bytes;
}

static uint64_t start_of(const struct head *h, const struct piece *p)
{
    uint64_t align = p->codec == EXTENT_RUN ? BLOCK_SIZE : 8;
    return (h->fill + align - 1) / align * align;
}

/* No room for another container: wait until the sealer is done, which makes sums exact, then for the cleaner (HEAD held). */
static int wait_for_room(struct holofs *fs, uint64_t *since_ns)
{
    if (fs->n_sealing && !trouble_now(fs, TROUBLE_SEAL)) {
        mutex_timedwait(&fs->head_lock, &fs->head_cond, 100000000u); /* who fails elsewhere wakes nobody here */
        return 0;
    }
    mutex_unlock(&fs->head_lock);
    int e = clean_wait_for_room(fs, since_ns);
    mutex_lock(&fs->head_lock);
    return e;
}

/* A head with room for the piece (HEAD held; may wait for the sealer and the cleaner). */
static int head_with_room(struct holofs *fs, unsigned r, const struct piece *p, bool may_wait, uint64_t *waited, struct head **out)
{
    for (;;) {
        struct head *h = fs->heads[r];
        if (h && fits(h, start_of(h, p), p->stored)) {
            *out = h;
            return 0;
        }
        if (h) {
            fs->heads[r] = NULL;
            head_queue(fs, h);
        }
        if (fs->n_sealing >= SEALING_MAX && !may_wait)
            return -EAGAIN;
        while (fs->n_sealing >= SEALING_MAX && !trouble_now(fs, TROUBLE_SEAL))
            mutex_wait(&fs->head_lock, &fs->head_cond);
        if (fs->failed || fs->n_sealing >= SEALING_MAX)
            return trouble_now(fs, TROUBLE_SEAL);
        if (fs->heads[r])
            continue;
        int e = open_head(fs, r);
        if (e == -ENOSPC)
            e = may_wait ? wait_for_room(fs, waited) : -EAGAIN;
        if (e)
            return e;
    }
}

/* Take the room for a piece that fits (HEAD held, or the head is the caller's own). */
static int take_room(struct head *h, const struct piece *p, struct slot *out)
{
    uint64_t start = start_of(h, p);
    struct piece q = *p;
    q.coff = (uint32_t)start;
    int e = head_add_piece(h, &q);
    if (e)
        return e;
    memset(h->buf + h->fill, 0, start - h->fill);
    h->fill = start + p->stored;
    *out = (struct slot){ .head = h, .at = h->buf + start, .coff = (uint32_t)start, .piece = h->n_pieces - 1 };
    return 0;
}

int head_place(struct head *h, const struct piece *p, struct slot *out)
{
    return fits(h, start_of(h, p), p->stored) ? take_room(h, p, out) : -ENOSPC;
}

int head_reserve(struct holofs *fs, unsigned r, const struct piece *p, bool may_wait, struct slot *out)
{
    struct head *h = NULL;
    uint64_t waited = 0;
    mutex_lock(&fs->head_lock);
    int e = head_with_room(fs, r, p, may_wait, &waited, &h);
    if (e)
        goto unlock;
    e = take_room(h, p, out);
    h->writers += !e;
unlock:
    mutex_unlock(&fs->head_lock);
    if (waited)
        clean_waited(fs, waited);
    return e;
}

void head_done(struct holofs *fs, const struct slot *s, uint64_t seq, uint64_t txg)
{
    mutex_lock(&fs->head_lock);
    s->head->pieces[s->piece].seq = seq;
    s->head->used_txg = txg > s->head->used_txg ? txg : s->head->used_txg;
    if (--s->head->writers == 0 && s->head->state == HEAD_SEALING)
        pthread_cond_broadcast(&fs->head_cond);
    mutex_unlock(&fs->head_lock);
}

uint32_t head_sum_piece(struct holofs *fs, const struct slot *s, uint32_t len, unsigned codec)
{
    struct head *h = s->head;
    uint32_t first = (s->coff + BLOCK_SIZE - 1) / BLOCK_SIZE, end = (s->coff + len) / BLOCK_SIZE;
    for (uint32_t x = first; x < end; x++) {
        h->sums[x] = chead_block_sum(fs->sb.uuid, h->id, x, h->buf + (size_t)x * BLOCK_SIZE);
        h->summed[x] = 1;
    }
    if (codec == EXTENT_RUN)
        return (uint32_t)h->sums[s->coff / BLOCK_SIZE];
    return (uint32_t)sum64(s->at, len < BLOCK_SIZE ? len : BLOCK_SIZE, 0);
}

int heads_seal(struct holofs *fs, uint64_t min_bytes, bool wait)
{
    mutex_lock(&fs->head_lock);
    for (unsigned r = 0; r < HEADS; r++) {
        struct head *h = fs->heads[r];
        if (h && h->fill > 0 && h->fill >= min_bytes) {
            fs->heads[r] = NULL;
            head_queue(fs, h);
        }
    }
    if (wait && fs->trouble[TROUBLE_SEAL])
        pthread_cond_broadcast(&fs->head_cond); /* the sealer need not wait for its time to try again */
    while (wait && fs->n_sealing && !trouble_now(fs, TROUBLE_SEAL))
        mutex_wait(&fs->head_lock, &fs->head_cond);
    int e = fs->n_sealing && wait ? trouble_now(fs, TROUBLE_SEAL) : 0;
    mutex_unlock(&fs->head_lock);
    return e;
}

void heads_seal_before(struct holofs *fs, uint64_t lsn)
{
    mutex_lock(&fs->head_lock);
    for (unsigned r = 0; r < HEADS; r++) {
        struct head *h = fs->heads[r];
        if (h && h->first_lsn < lsn) {
            fs->heads[r] = NULL;
            head_queue(fs, h);
        }
    }
    mutex_unlock(&fs->head_lock);
}

int head_wait_sealed(struct holofs *fs, uint32_t id)
{
    mutex_lock(&fs->head_lock);
    for (;;) {
        bool found = false;
        for (struct head *h = fs->sealing; h; h = h->next)
            found |= h->id == id && h->state == HEAD_SEALING;
        if (!found || trouble_now(fs, TROUBLE_SEAL))
            break;
        mutex_wait(&fs->head_lock, &fs->head_cond);
    }
    mutex_unlock(&fs->head_lock);
    return fs->failed;
}

uint64_t heads_unsealed_bytes(struct holofs *fs)
{
    uint64_t n = 0;
    mutex_lock(&fs->head_lock);
    for (unsigned r = 0; r < HEADS; r++)
        n += fs->heads[r] ? fs->heads[r]->fill : 0;
    for (struct head *h = fs->sealing; h; h = h->next)
        n += h->state == HEAD_SEALING ? h->fill : 0;
    mutex_unlock(&fs->head_lock);
    return n;
}
