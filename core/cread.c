/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cread.c: read content of containers; every block that is touched is verified. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/container.h"
#include "core/lost.h"
#include "core/salvage.h"
#include "core/scrubber.h"

/* Past the page cache, which may refuse a block because of another one: it reads and keeps several as one. */
static int read_from_disk(struct holofs *fs, uint32_t id, uint64_t fb, uint8_t *block)
{
    char name[CONTAINER_NAME_MAX];
    struct bfile *f;
    uint8_t *aligned = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    container_name(id, name);
    int e = aligned ? fs->backing->ops->open(fs->backing, name, BACKING_READ | BACKING_DIRECT, &f) : -ENOMEM;
    if (!e) {
        e = f->ops->pread(f, aligned, BLOCK_SIZE, fb * BLOCK_SIZE);
        f->ops->close(f);
    }
    if (!e)
        memcpy(block, aligned, BLOCK_SIZE);
    free(aligned);
    return e;
}

int copen_read_block(struct holofs *fs, uint32_t id, const struct copen *o, uint64_t fb, uint8_t *block)
{
    if (fb <= UINT32_MAX && remap_lookup(fs->remap, id, (uint32_t)fb))
        return remap_read(fs->remap, id, (uint32_t)fb, block);
    int e = o->f->ops->pread(o->f, block, BLOCK_SIZE, fb * BLOCK_SIZE);
    return e == -EIO && !o->direct ? read_from_disk(fs, id, fb, block) : e;
}

int container_read_file_block(struct holofs *fs, struct copen *o, uint32_t fb, uint8_t *block)
{
    return copen_read_block(fs, o->h.id, o, fb, block);
}

/* ---- the checksum table ---- */

/*
 * A block of the checksum table, kept with the open container. If neither copy is right as a whole, both are kept as they
 * were read, for their single entries.
 */
struct ctable {
    bool intact; /* a is right */
    uint8_t *a;  /* NULL: neither copy could be read */
    uint8_t *b;  /* NULL: a is all there is */
    _Atomic uint64_t retry_ns; /* if neither copy could be read: when to try again */
    struct ctable *older;      /* what this one took the place of; readers may look at it */
};

/* A disk that is away for a while has not lost them. */
enum { TABLE_RETRY_NS = 1000000000 };

/* Entries of damaged copies that differ in more bytes than that are no copies of each other. */
enum { ENTRY_FLIPS_MAX = 4 };

void ctable_free(struct ctable *c)
{
    while (c) {
        struct ctable *older = c->older;
        free(c->a);
        free(c->b);
        free(c);
        c = older;
    }
}

/* One copy of table block t in memory of its own: 0, -HOLO_ESUM (it is damaged), or why there is none. */
static int load_copy(struct holofs *fs, struct copen *o, uint32_t t, unsigned copy, uint8_t **out)
{
    uint8_t *b = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    int e = b ? container_read_file_block(fs, o, chead_table_block(&o->h, copy, t), b) : -ENOMEM;
    if (e) {
        free(b);
        return e;
    }
    *out = b;
    return ctable_intact(fs->sb.uuid, o->h.id, t, b) ? 0 : -HOLO_ESUM;
}

static int load_table(struct holofs *fs, struct copen *o, uint32_t t, struct ctable *c)
{
    int e = load_copy(fs, o, t, 0, &c->a);
    if (e && e != -ENOMEM) {
        COUNT(fs, checksum_failures, 1);
        if (o->cached && (e == -HOLO_ESUM || disk_answers(fs)))
            scrub_damage(fs, o->h.id, chead_table_block(&o->h, 0, t));
        e = load_copy(fs, o, t, 1, &c->b);
        if (!e || !c->a) {
            free(c->a);
            c->a = c->b;
            c->b = NULL;
        }
    }
    c->intact = e == 0;
    c->retry_ns = c->a ? 0 : clock_mono_ns() + TABLE_RETRY_NS;
    return e == -ENOMEM ? e : 0;
}

/* The table block for position x, read once and kept. */
static int table_block(struct holofs *fs, struct copen *o, uint32_t x, const struct ctable **out)
{
    uint32_t t = x / TABLE_ENTRIES;
    struct ctable *now = o->table[t], *c;
    if (now && (now->a || clock_mono_ns() < now->retry_ns)) {
        *out = now;
        return 0;
    }
    c = calloc(1, sizeof(*c));
    int e = c ? load_table(fs, o, t, c) : -ENOMEM;
    if (e) {
        ctable_free(c);
        return e;
    }
    if (now && !c->a) {
        now->retry_ns = c->retry_ns;
        ctable_free(c);
        *out = now;
        return 0;
    }
    c->older = now;
    if (!atomic_compare_exchange_strong(&o->table[t], &now, c)) {
        c->older = NULL;
        ctable_free(c);
        c = now;
    }
    *out = c;
    return 0;
}

bool container_retry_tables(struct copen *o)
{
    bool any = false;
    for (uint32_t t = 0; t < o->h.table_blocks; t++) {
        struct ctable *c = o->table[t];
        if (c && !c->a) {
            c->retry_ns = 0;
            any = true;
        }
    }
    return any;
}

bool container_table_intact(struct holofs *fs, struct copen *o, uint32_t x)
{
    const struct ctable *c;
    return table_block(fs, o, x, &c) == 0 && c->intact;
}

/*
 * Two copies of an entry, of which some bytes were flipped: whatever the right one is, each byte of it is in one of them.
 * Even of entries that differ in all bytes a wrong block would pass with a chance of 2^-56 only.
 */
static int judge_entries(uint64_t a, uint64_t b, uint64_t sum)
{
    unsigned differ = 0;
    bool right = true;
    for (unsigned i = 0; i < 64; i += 8) {
        uint8_t x = (uint8_t)(a >> i), y = (uint8_t)(b >> i), s = (uint8_t)(sum >> i);
        differ += x != y;
        right &= s == x || s == y;
    }
    return right ? BLOCK_RIGHT : differ > ENTRY_FLIPS_MAX ? BLOCK_UNSURE : BLOCK_WRONG;
}

int container_judge(struct holofs *fs, struct copen *o, uint32_t x, uint64_t sum)
{
    const struct ctable *c;
    int e = table_block(fs, o, x, &c);
    if (e)
        return e;
    if (!c->a)
        return BLOCK_UNSURE;
    uint64_t entry = ctable_entry(c->a, x);
    return judge_entries(entry, c->b ? ctable_entry(c->b, x) : entry, sum);
}

int container_verify(struct holofs *fs, struct copen *o, uint32_t x, const uint8_t *block)
{
    return container_judge(fs, o, x, chead_block_sum(fs->sb.uuid, o->h.id, x, block));
}

int container_block_sum(struct holofs *fs, uint32_t id, uint32_t position, uint64_t *sum)
{
    struct copen *o;
    const struct ctable *t;
    struct container *c = ctab_hold(fs, id);
    int e = c ? copen_get(fs, id, &o) : -HOLO_ELOST;
    if (!e) {
        e = position < chead_positions(&o->h) ? table_block(fs, o, position, &t) : -HOLO_ECORRUPT;
        if (!e && t->intact)
            *sum = ctable_entry(t->a, position);
        else if (!e)
            e = -HOLO_ESUM;
        copen_put(fs, o);
    }
    if (c)
        ctab_release(fs, c);
    return e;
}

/* ---- content ---- */

/* How many blocks of the file from fb on lie in it, up to n; those that were remapped are left alone. */
static uint32_t run_in_file(struct holofs *fs, uint32_t id, uint32_t fb, uint32_t n)
{
    uint32_t run = n;
    bool any = remap_any(fs->remap);
    for (uint32_t i = 0; any && i < run; i++) {
        if (remap_lookup(fs->remap, id, fb + i))
            run = i;
    }
    return run;
}

static void read_alone(struct holofs *fs, struct copen *o, uint32_t fb, uint8_t *out, bool *unreadable)
{
    int e = container_read_file_block(fs, o, fb, out);
    if (e) {
        COUNT(fs, read_errors, 1);
        memset(out, 0, BLOCK_SIZE);
    }
    if (unreadable)
        *unreadable = e != 0;
}

void container_read_positions(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, uint8_t *out, bool *unreadable)
{
    uint32_t fb = chead_file_block(&o->h, x);
    for (uint32_t i = 0, run; i < n; i += run) {
        run = run_in_file(fs, o->h.id, fb + i, n - i);
        uint8_t *b = out + (size_t)i * BLOCK_SIZE;
        bool whole = run && o->f->ops->pread(o->f, b, (size_t)run * BLOCK_SIZE, (uint64_t)(fb + i) * BLOCK_SIZE) == 0;
        if (whole && unreadable)
            memset(unreadable + i, 0, run * sizeof(*unreadable));
        run += run == 0;
        for (uint32_t k = 0; k < run && !whole; k++)
            read_alone(fs, o, fb + i + k, b + (size_t)k * BLOCK_SIZE, unreadable ? unreadable + i + k : NULL);
    }
}

static int read_sealed(struct holofs *fs, uint32_t id, uint64_t coff, size_t len, uint8_t *blocks, const struct whose *w)
{
    struct copen *o;
    struct container *c = ctab_hold(fs, id);
    int e = c ? copen_get(fs, id, &o) : -HOLO_ELOST;
    if (e && c && c->state == CONTAINER_SEALED && e != -ENOMEM && e != -EMFILE && e != -ENFILE)
        scrub_queue(fs, id); /* it finds out whether the container is gone */
    if (e)
        goto out;
    uint32_t first = (uint32_t)(coff / BLOCK_SIZE), n = (uint32_t)((coff + len - 1) / BLOCK_SIZE) - first + 1;
    if (first + n > o->h.used)
        e = -HOLO_ECORRUPT;
    else
        container_read_positions(fs, o, first, n, blocks, NULL);
    for (uint32_t i = 0; i < n && !e; i++) {
        uint8_t *b = blocks + (size_t)i * BLOCK_SIZE;
        int ok = container_verify(fs, o, first + i, b);
        if (ok == BLOCK_RIGHT)
            continue;
        e = ok < 0 ? ok : repair_position(fs, o, first + i, b, w);
    }
    copen_put(fs, o);
out:
    if (c)
        ctab_release(fs, c);
    return e;
}

/* The head that holds a container in memory, referenced; NULL if it is sealed. */
static struct head *hold_head(struct holofs *fs, uint32_t id, int *error)
{
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    struct head *h = c ? c->head : NULL;
    if (h)
        h->refs++;
    *error = c ? 0 : -HOLO_ELOST;
    mutex_unlock(&fs->ctab_lock);
    return h;
}

int container_read(struct holofs *fs, uint32_t id, uint64_t coff, size_t len, uint8_t *blocks, const uint8_t **data, const struct whose *w)
{
    int e;
    struct head *h = hold_head(fs, id, &e);
    if (e)
        return e;
    *data = blocks + coff % BLOCK_SIZE;
    if (!h)
        return read_sealed(fs, id, coff, len, blocks, w);
    if (coff + len > h->cap_bytes)
        e = -HOLO_ECORRUPT;
    else if (h->known && !head_knows(h, coff, coff + len))
        e = -HOLO_ELOST;
    else
        memcpy(blocks + coff % BLOCK_SIZE, h->buf + coff, len);
    head_unref(fs, h);
    return e;
}
