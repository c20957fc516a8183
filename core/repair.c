/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * repair.c: make a bad block right with its stripe (stripe.c), heal what was bad in it (heal.c), tell whose it was.
 *
 * One repair runs at a time (REPAIR): of several readers of the same bad place the first repairs, the others find it good.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/container.h"
#include "core/log.h"
#include "core/lost.h"
#include "core/scrubber.h"
#include "core/stripe.h"

void path_for_message(struct holofs *fs, uint64_t ino, char *out, size_t cap)
{
    int n = -ENOENT;
    if (ino) {
        mutex_lock(&fs->reader_lock);
        n = fs->reader ? meta_path_of(fs->reader, ino, out, cap) : -ENOENT;
        mutex_unlock(&fs->reader_lock);
    }
    if (n < 0)
        snprintf(out, cap, ino ? "inode %llu" : "?", (unsigned long long)ino);
}

static int by_coff(const void *pa, const void *pb)
{
    const struct piece *a = pa, *b = pb;
    return a->coff < b->coff ? -1 : a->coff > b->coff;
}

/* Read the container's directory once, without repairing anything: it is for messages and checks (REPAIR held). */
static void load_pieces(struct holofs *fs, struct copen *o)
{
    uint32_t first = (uint32_t)(o->h.dir_off / BLOCK_SIZE), n = o->h.used - first;
    if (o->pieces || o->h.cls != CLASS_DATA || o->h.pieces == 0)
        return;
    uint8_t *raw = aligned_alloc(BLOCK_SIZE, (size_t)n * BLOCK_SIZE);
    o->pieces = malloc(o->h.pieces * sizeof(*o->pieces));
    if (raw)
        container_read_positions(fs, o, first, n, raw, NULL);
    for (uint32_t i = 0; raw && o->pieces && i < o->h.pieces; i++)
        o->n_pieces += piece_decode(raw + (size_t)i * PIECE_BYTES, fs->sb.uuid, o->h.id, &o->pieces[o->n_pieces]);
    if (o->n_pieces) {
        qsort(o->pieces, o->n_pieces, sizeof(*o->pieces), by_coff);
    } else { /* perhaps it can be read later */
        free(o->pieces);
        o->pieces = NULL;
    }
    free(raw);
}

size_t container_pieces(struct holofs *fs, struct copen *o, const struct piece **out)
{
    mutex_lock(&fs->repair_lock);
    load_pieces(fs, o);
    mutex_unlock(&fs->repair_lock);
    *out = o->pieces;
    return o->n_pieces;
}

/* Which file does data position x belong to, by the container's own directory? 0 if unknown (REPAIR held). */
static uint64_t owner(struct holofs *fs, struct copen *o, uint32_t x, uint64_t *off)
{
    uint64_t at = (uint64_t)x * BLOCK_SIZE;
    load_pieces(fs, o);
    size_t lo = 0, hi = o->n_pieces;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (o->pieces[mid].coff < at + BLOCK_SIZE)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || (uint64_t)o->pieces[lo - 1].coff + o->pieces[lo - 1].stored <= at)
        return 0;
    const struct piece *p = &o->pieces[lo - 1];
    *off = p->off + (at > p->coff && p->codec == EXTENT_RUN ? at - p->coff : 0);
    return p->ino;
}

static const char *kind_of(const struct copen *o, uint32_t x)
{
    if (x >= o->h.used)
        return "parity";
    return o->h.cls == CLASS_DATA ? "data" : "metadata";
}

void tell_damage(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, const struct whose *w, const char *event)
{
    char path[1024];
    struct whose who = w ? *w : (struct whose){ 0 }, next = { 0 };
    if (who.ino == 0 && x < o->h.used)
        who.ino = owner(fs, o, x, &who.off);
    for (uint32_t i = 0, same = 1; i < n; i += same, same = 1, who = next) {
        for (; i + same < n; same++) {
            uint32_t y = x + i + same;
            next = (struct whose){ 0 };
            if (y < o->h.used)
                next.ino = owner(fs, o, y, &next.off);
            if (next.ino != who.ino || (y < o->h.used) != (x + i < o->h.used))
                break;
        }
        path_for_message(fs, who.ino, path, sizeof(path));
        event_damage(fs, event, o->h.id, kind_of(o, x + i), who.ino, path, who.off, same);
    }
}

void container_owner(struct holofs *fs, uint32_t id, uint32_t x, char *path, size_t cap)
{
    struct container *c = ctab_hold(fs, id);
    struct copen *o;
    uint64_t ino, off;
    *path = 0;
    if (c && copen_get(fs, id, &o) == 0) {
        mutex_lock(&fs->repair_lock);
        ino = x < o->h.used ? owner(fs, o, x, &off) : 0;
        mutex_unlock(&fs->repair_lock);
        if (ino)
            path_for_message(fs, ino, path, cap);
        copen_put(fs, o);
    }
    if (c)
        ctab_release(fs, c);
}

int repair_pool(struct holofs *fs)
{
    int e = fs->decoder ? 0 : ecc_decoder_create(ECC_N_MAX, BLOCK_SIZE, &fs->decoder);
    if (!e && !fs->repair_blocks)
        fs->repair_blocks = aligned_alloc(BLOCK_SIZE, (size_t)REPAIR_BLOCKS * BLOCK_SIZE);
    if (!e && !fs->repair_sums)
        fs->repair_sums = aligned_alloc(BLOCK_SIZE, (size_t)ECC_M_MAX * BLOCK_SIZE);
    return e ? e : fs->repair_blocks && fs->repair_sums ? 0 : -ENOMEM;
}

void repair_pool_fini(struct holofs *fs)
{
    ecc_decoder_destroy(fs->decoder);
    free(fs->repair_blocks);
    free(fs->repair_sums);
}

/* *in_vain: something of it could not be read. */
static int read_stripe(struct holofs *fs, struct copen *o, uint32_t x, struct stripe *s, bool *in_vain)
{
    int e = repair_pool(fs);
    if (e)
        return e;
    stripe_place(o, x % o->h.D, fs->repair_blocks, BLOCK_SIZE, s);
    for (unsigned i = 0; i < s->n && !e; i++) {
        bool unreadable;
        if (!s->block[i])
            continue;
        container_read_positions(fs, o, s->pos[i], 1, s->block[i], &unreadable);
        *in_vain |= unreadable;
        e = stripe_judge(fs, o, s, i, !unreadable);
    }
    return e;
}

static void tell_and_heal(struct holofs *fs, struct copen *o, const struct stripe *s, uint32_t x, const struct whose *w)
{
    struct heal heal[ECC_N_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (!s->changed[i])
            continue;
        tell_damage(fs, o, s->pos[i], 1, s->pos[i] == x ? w : NULL, "repaired");
        heal[n++] = (struct heal){ .file_block = chead_file_block(&o->h, s->pos[i]), .block = s->block[i] };
    }
    if (n && !fs->read_only)
        container_heal_blocks(fs, o->h.id, heal, n);
}

/* Where the digest of a stripe that was decoded in vain is kept; NULL if nowhere. */
static uint64_t *hopeless(struct holofs *fs, const struct copen *o, uint32_t stripe)
{
    struct container *c = ctab_find(fs, o->h.id);
    if (c && !c->hopeless)
        c->hopeless = calloc(o->h.D, sizeof(*c->hopeless));
    return c && c->hopeless ? &c->hopeless[stripe] : NULL;
}

static unsigned count_right(const struct stripe *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++)
        n += s->state[i] == ECC_RIGHT;
    return n;
}

/* Decode, unless the same was tried already and changed nothing: that can take long, and lost blocks may be read often. */
static int decode_once(struct holofs *fs, struct copen *o, uint32_t stripe, struct stripe *s, bool *tried)
{
    uint64_t digest = stripe_digest(fs, o, s), *in_vain = hopeless(fs, o, stripe);
    unsigned right = count_right(s);
    *tried = !in_vain || *in_vain != digest;
    if (!*tried)
        return -HOLO_EPARITY;
    int e = stripe_decode(fs, o, s);
    if (in_vain && e == -HOLO_EPARITY && count_right(s) == right)
        *in_vain = digest;
    return e;
}

/* What one look at a stripe came to. */
struct look {
    bool found;   /* the block */
    bool tried;   /* something was found out about the container */
    bool in_vain; /* something could not be read */
};

static int look_at_stripe(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w, struct look *l)
{
    struct stripe s;
    struct container *c = ctab_find(fs, o->h.id);
    bool tried;
    int e = read_stripe(fs, o, x, &s, &l->in_vain);
    if (!e)
        e = decode_once(fs, o, x % o->h.D, &s, &tried);
    if (e && e != -HOLO_EPARITY)
        return e;
    l->tried |= tried;
    for (unsigned i = 0; i < s.n; i++) {
        if (!s.block[i] || s.state[i] != ECC_RIGHT)
            continue;
        lost_remove(fs, c, s.pos[i]);
        if (s.pos[i] == x) {
            memcpy(block, s.block[i], BLOCK_SIZE);
            l->found = true;
        }
    }
    tell_and_heal(fs, o, &s, x, w);
    return e;
}

/* Nothing is called lost because the disk is away: it must answer before and after the stripe was read in vain. */
static int repair_locked(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w, struct look *l)
{
    bool unreadable;
    container_read_positions(fs, o, x, 1, block, &unreadable);
    if (!unreadable && container_verify(fs, o, x, block) == BLOCK_RIGHT)
        return 0;
    for (unsigned round = 0;; round++) {
        *l = (struct look){ .tried = l->tried };
        int e = look_at_stripe(fs, o, x, block, w, l);
        if (l->found || e != -HOLO_EPARITY)
            return l->found ? 0 : e;
        l->in_vain |= container_retry_tables(o);
        if (!l->in_vain || (!l->tried && lost_known(ctab_find(fs, o->h.id), x)))
            break;
        if (!disk_answers(fs))
            return -EIO;
        if (round)
            break;
    }
    if (lost_add(fs, ctab_find(fs, o->h.id), x))
        tell_damage(fs, o, x, 1, w, "lost");
    return -HOLO_EPARITY;
}

int repair_position(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w)
{
    struct look l = { 0 };
    mutex_lock(&fs->repair_lock);
    int e = repair_locked(fs, o, x, block, w, &l);
    mutex_unlock(&fs->repair_lock);
    if (e == -EIO)
        scrub_queue(fs, o->h.id);
    else if (l.tried)
        scrub_damage(fs, o->h.id, chead_file_block(&o->h, x));
    return e;
}
