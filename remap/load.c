/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load.c: read the five copies of the remap log and make one table of them.
 *
 * Copies whose headers name the same first sequence number F are one log, and slot i of it may come from any of
 * them, or from a copy without a right header: an entry's checksum ties it to F + i, and no other log has used that. Several logs exist only after a crash or damage while the log was written anew; they are replayed
 * in ascending order of F, and a complete snapshot makes everything before it moot.
 */
#include "remap/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "store/vote.h"

enum { BLOCK = REMAP_BLOCK_SIZE, PER_BLOCK = BLOCK / REMAP_ENTRY_SIZE, PIECE = 1 << 20 };

struct copy {
    struct remap_image img; /* p is NULL if nothing could be read */
    struct remap_header h;
    bool valid;    /* h is its header */
    int error;     /* why not all of it could be read, 0: it was, or it is not there */
    bool end_read; /* its last block could be */
};

/* What the copies of one log have together. */
struct extent {
    uint64_t slots, holes; /* slots up to the last one found, and how many of them are in no copy */
    bool complete;         /* the snapshot has no hole */
};

struct loader {
    const uint8_t *uuid;
    struct copy copy[REMAP_COPIES];
    uint8_t *guard[REMAP_GUARDS]; /* a block; NULL: it cannot be read */
    struct remap_map *map;
};

void remap_guard_name(unsigned i, char out[REMAP_NAME_MAX])
{
    snprintf(out, REMAP_NAME_MAX, "remap.guard.%u", i);
}

/* What cannot be read or is not there guards nothing. */
static int guard_read(struct backing *b, unsigned i, uint8_t **out)
{
    char name[REMAP_NAME_MAX];
    struct bfile *f;
    void *p;
    remap_guard_name(i, name);
    if (b->ops->open(b, name, BACKING_READ | BACKING_DIRECT, &f))
        return 0;
    bool memory = posix_memalign(&p, BLOCK, BLOCK) == 0;
    if (memory && f->ops->pread(f, p, BLOCK, 0) == 0)
        *out = p;
    else if (memory)
        free(p);
    f->ops->close(f);
    return memory ? 0 : -ENOMEM;
}

/* A bad block costs its own entries only. */
static void read_by_blocks(struct bfile *f, uint8_t *p, size_t len, uint64_t off, struct copy *c)
{
    for (size_t i = 0; i < len; i += BLOCK) {
        int rc = f->ops->pread(f, p + i, BLOCK, off + i);
        c->end_read = rc == 0;
        if (rc) {
            memset(p + i, 0, BLOCK);
            c->error = rc;
        }
    }
}

static int image_read(struct bfile *f, struct copy *c)
{
    uint64_t size;
    int rc = f->ops->size(f, &size);
    if (rc)
        return rc;
    size -= size % BLOCK;
    size = size < REMAP_LOG_MAX ? size : REMAP_LOG_MAX;
    if (size < REMAP_SLOTS_OFFSET)
        return -HOLO_ETRUNC;
    void *p;
    if (posix_memalign(&p, BLOCK, (size_t)size) != 0)
        return -ENOMEM;
    for (uint64_t off = 0; off < size; off += PIECE) {
        size_t len = size - off < PIECE ? (size_t)(size - off) : PIECE;
        c->end_read = f->ops->pread(f, (uint8_t *)p + off, len, off) == 0;
        if (!c->end_read)
            read_by_blocks(f, (uint8_t *)p + off, len, off, c);
    }
    c->img = (struct remap_image){ .p = p, .len = (size_t)size };
    return 0;
}

/* -HOLO_EVERSION is the only thing wrong with a copy that is not just damage. */
static int copy_read(struct backing *b, unsigned i, const uint8_t uuid[16], struct copy *c)
{
    char name[16];
    snprintf(name, sizeof(name), "remap.%u", i);
    struct bfile *f;
    int rc = b->ops->open(b, name, BACKING_READ | BACKING_DIRECT, &f);
    if (rc) {
        c->error = rc == -ENOENT ? 0 : rc;
        return 0;
    }
    rc = image_read(f, c);
    f->ops->close(f);
    if (rc && rc != -HOLO_ETRUNC)
        c->error = rc;
    for (size_t k = 0; k < REMAP_HEADERS && rc == 0 && !c->valid; k++) {
        int bad = remap_header_decode(c->img.p + k * REMAP_HEADER_SIZE, uuid, &c->h);
        if (bad == -HOLO_EVERSION)
            return bad;
        c->valid = bad == 0;
    }
    return rc == -ENOMEM ? rc : 0;
}

/* May this copy hold entries of log F? */
static bool is_copy_of(const struct copy *c, uint64_t first)
{
    return c->img.p && (!c->valid || c->h.first == first);
}

/* The bytes of a slot of log F in a guard, or NULL: there it has the same place in the block. */
static const uint8_t *guarded_bytes(const struct loader *ld, uint64_t first, uint64_t slot, struct remap_entry *e)
{
    for (size_t i = 0; i < REMAP_GUARDS; i++) {
        const uint8_t *p = ld->guard[i] ? ld->guard[i] + slot % PER_BLOCK * REMAP_ENTRY_SIZE : NULL;
        if (p && remap_entry_decode(p, ld->uuid, first + slot, e))
            return p;
    }
    return NULL;
}

/* The bytes of a slot of log F in the first copy, or else guard, where they verify, or NULL. */
static const uint8_t *slot_bytes(const struct loader *ld, uint64_t first, uint64_t slot, struct remap_entry *e)
{
    uint64_t off = remap_slot_offset(slot);
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct copy *c = &ld->copy[i];
        if (!is_copy_of(c, first) || off + REMAP_ENTRY_SIZE > c->img.len)
            continue;
        if (remap_entry_decode(c->img.p + off, ld->uuid, first + slot, e))
            return c->img.p + off;
    }
    return guarded_bytes(ld, first, slot, e);
}

static struct extent extent_of(const struct loader *ld, const struct remap_header *h)
{
    uint64_t most = 0, found = 0;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct copy *c = &ld->copy[i];
        if (is_copy_of(c, h->first) && c->img.len > most)
            most = c->img.len;
    }
    struct extent x = { .slots = 0 };
    struct remap_entry e;
    uint64_t in_snapshot = 0;
    for (uint64_t slot = 0; remap_slot_offset(slot) < most; slot++) {
        if (!slot_bytes(ld, h->first, slot, &e))
            continue;
        found++;
        in_snapshot += slot < h->snapshot;
        x.slots = slot + 1;
    }
    x.slots = x.slots > h->snapshot ? x.slots : h->snapshot;
    x.holes = x.slots - found;
    x.complete = in_snapshot == h->snapshot;
    return x;
}

static int replay(struct loader *ld, const struct remap_header *h, const struct extent *x, uint64_t *lost)
{
    if (x->complete) {
        remap_map_clear(ld->map);
        *lost = 0;
    }
    *lost += x->holes;
    for (uint64_t slot = 0; slot < x->slots; slot++) {
        struct remap_entry e;
        if (!slot_bytes(ld, h->first, slot, &e))
            continue;
        int rc = remap_map_reserve(ld->map);
        if (rc)
            return rc;
        remap_map_apply(ld->map, &e);
    }
    return 0;
}

/* The header with the lowest F above `above`, or NULL. */
static const struct remap_header *header_above(const struct loader *ld, uint64_t above)
{
    const struct remap_header *h = NULL;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct copy *c = &ld->copy[i];
        if (c->valid && c->h.first > above && (!h || c->h.first < h->first))
            h = &c->h;
    }
    return h;
}

static const struct remap_header *header_newest(const struct loader *ld)
{
    const struct remap_header *newest = NULL;
    for (const struct remap_header *h = header_above(ld, 0); h; h = header_above(ld, h->first))
        newest = h;
    return newest;
}

static int merge(const struct loader *ld, const struct extent *x, struct remap_loaded *out)
{
    int rc = remap_image_create(&out->header, ld->uuid, x->slots, &out->image);
    if (rc)
        return rc;
    for (uint64_t slot = 0; slot < x->slots; slot++) {
        struct remap_entry e;
        const uint8_t *p = slot_bytes(ld, out->header.first, slot, &e);
        if (p)
            memcpy(out->image.p + remap_slot_offset(slot), p, REMAP_ENTRY_SIZE);
    }
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct remap_image *img = &ld->copy[i].img;
        out->equal[i] = img->p && img->len == out->image.len && memcmp(img->p, out->image.p, img->len) == 0;
    }
    return 0;
}

/* No header is right: what most of them say may be. Returns whether it is; then the first copy has it. */
static bool vote_header(struct loader *ld)
{
    const uint8_t *headers[REMAP_COPIES * REMAP_HEADERS];
    uint8_t voted[REMAP_HEADER_SIZE];
    unsigned n = 0;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        for (size_t k = 0; k < REMAP_HEADERS && ld->copy[i].img.p; k++)
            headers[n++] = ld->copy[i].img.p + k * REMAP_HEADER_SIZE;
    }
    if (n == 0)
        return false;
    vote_bytes(headers, n, REMAP_HEADER_SIZE, voted);
    ld->copy[0].valid = remap_header_decode(voted, ld->uuid, &ld->copy[0].h) == 0;
    return ld->copy[0].valid;
}

/* Is a right header of another store among them? Then it is not damage. */
static bool is_foreign(const struct loader *ld)
{
    struct remap_header h;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        for (size_t k = 0; k < REMAP_HEADERS && ld->copy[i].img.p; k++) {
            const uint8_t *p = ld->copy[i].img.p + k * REMAP_HEADER_SIZE;
            if (remap_header_decode(p, p + 16, &h) == 0)
                return true;
        }
    }
    return false;
}

/* Blocks of a spare file that is there. */
static uint32_t spare_blocks(struct backing *b, uint32_t number)
{
    char name[24];
    struct bfile *f;
    uint64_t size = 0;
    snprintf(name, sizeof(name), "spare/%04u.spare", (unsigned)number);
    if (b->ops->open(b, name, BACKING_READ, &f))
        return 0;
    if (f->ops->size(f, &size))
        size = 0;
    f->ops->close(f);
    return size / BLOCK < REMAP_BLOCKS_MAX / REMAP_SPARES_MAX ? (uint32_t)(size / BLOCK) : REMAP_BLOCKS_MAX / REMAP_SPARES_MAX;
}

/*
 * No header is left anywhere. An entry that is right says where the log begins, and the spare files say what there is; with no entry
 * either it is an empty table. A remap that is lost does no harm, nor does its spare block when it is used again.
 */
static void make_header(struct loader *ld, struct backing *b)
{
    struct remap_header h = { .first = 1 };
    struct remap_entry e;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct remap_image *img = &ld->copy[i].img;
        for (uint64_t slot = 0; img->p && remap_slot_offset(slot) + REMAP_ENTRY_SIZE <= img->len; slot++) {
            const uint8_t *p = img->p + remap_slot_offset(slot);
            uint64_t sequence = le64_get(p);
            if (sequence > slot + h.first && sequence - slot <= REMAP_FIRST_MAX && remap_entry_decode(p, ld->uuid, sequence, &e))
                h.first = sequence - slot;
        }
    }
    for (uint32_t number = 0; number < REMAP_SPARES_MAX; number++) {
        uint32_t blocks = spare_blocks(b, number);
        if (blocks)
            h.spare[h.n_spares++] = (struct remap_spare){ .number = number, .blocks = blocks };
    }
    ld->copy[0].h = h;
    ld->copy[0].valid = true;
    log_err("remap table: no header is left in any copy: made anew; blocks whose remaps are lost are rebuilt from parity when read");
}

/* Why no copy could be read whole; 0 if one could, or none is there. */
static int unread(const struct loader *ld)
{
    int error = 0;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct copy *c = &ld->copy[i];
        if (c->img.p && !c->error)
            return 0;
        error = c->error ? c->error : error;
    }
    return error;
}

/* Is it known where the log F ends? All copies of it end there; and what counts in their last block, each guard has or had just before. */
static bool end_is_known(const struct loader *ld, uint64_t first)
{
    struct remap_entry e;
    uint64_t most = REMAP_SLOTS_OFFSET + BLOCK;
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        const struct copy *c = &ld->copy[i];
        if (is_copy_of(c, first) && c->end_read)
            return true;
        if (is_copy_of(c, first) && c->img.len > most)
            most = c->img.len;
    }
    uint64_t last = (most - REMAP_SLOTS_OFFSET) / BLOCK - 1;
    return ld->guard[0] && ld->guard[1] && guarded_bytes(ld, first, last * PER_BLOCK, &e);
}

static int logs_replay(struct loader *ld, struct backing *b, struct remap_loaded *out)
{
    const struct remap_header *newest = header_newest(ld);
    const int error = unread(ld);
    if (!newest && is_foreign(ld))
        return -HOLO_ECORRUPT;
    out->made = !newest && !vote_header(ld);
    if (out->made && error)
        return error;
    if (out->made)
        make_header(ld, b);
    newest = header_newest(ld);
    int rc = remap_map_create(newest, &ld->map);
    struct extent x = { 0 };
    for (const struct remap_header *h = header_above(ld, 0); h && rc == 0; h = header_above(ld, h->first)) {
        x = extent_of(ld, h);
        rc = replay(ld, h, &x, &out->lost);
    }
    if (rc)
        return rc;
    if (error && (out->lost || !end_is_known(ld, newest->first)))
        return error;
    out->header = *newest;
    out->next = newest->first + x.slots;
    return merge(ld, &x, out);
}

int remap_log_load(struct backing *b, const uint8_t uuid[16], struct remap_loaded *out, struct remap_map **out_map)
{
    struct loader ld = { .uuid = uuid };
    *out = (struct remap_loaded){ 0 };
    int rc = 0;
    for (unsigned i = 0; i < REMAP_COPIES && rc == 0; i++)
        rc = copy_read(b, i, uuid, &ld.copy[i]);
    for (unsigned i = 0; i < REMAP_GUARDS && rc == 0; i++)
        rc = guard_read(b, i, &ld.guard[i]);
    if (rc == 0)
        rc = logs_replay(&ld, b, out);
    for (size_t i = 0; i < REMAP_COPIES; i++)
        free(ld.copy[i].img.p);
    for (size_t i = 0; i < REMAP_GUARDS; i++)
        free(ld.guard[i]);
    if (rc)
        remap_map_destroy(ld.map);
    else
        *out_map = ld.map;
    return rc;
}

void remap_loaded_fini(struct remap_loaded *ld)
{
    free(ld->image.p);
    ld->image = (struct remap_image){ 0 };
}
