/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cread.c: read content of containers; every block that is touched is verified. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/container.h"
#include "core/scrub.h"

int container_read_block(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block)
{
    uint32_t fb = chead_file_block(&o->h, x);
    if (remap_lookup(fs->remap, o->h.id, fb))
        return remap_read(fs->remap, o->h.id, fb, block);
    return o->f->ops->pread(o->f, block, BLOCK_SIZE, (uint64_t)fb * BLOCK_SIZE);
}

static int load_table(struct holofs *fs, struct copen *o, uint32_t t, unsigned copy, uint8_t *block)
{
    uint32_t fb = chead_table_block(&o->h, copy, t);
    int e = remap_lookup(fs->remap, o->h.id, fb) ? remap_read(fs->remap, o->h.id, fb, block)
                                                 : o->f->ops->pread(o->f, block, BLOCK_SIZE, (uint64_t)fb * BLOCK_SIZE);
    if (e)
        return e;
    return ctable_intact(fs->sb.uuid, o->h.id, t, block) ? 0 : -HOLO_ESUM;
}

/* The table block for position x, read once and kept; -HOLO_ESUM or what the medium says if both copies are bad. */
static int table_block(struct holofs *fs, struct copen *o, uint32_t x, const uint8_t **out)
{
    uint32_t t = x / TABLE_ENTRIES;
    uint8_t *b = o->table[t];
    if (b) {
        *out = b;
        return 0;
    }
    b = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    if (!b)
        return -ENOMEM;
    int e = load_table(fs, o, t, 0, b);
    if (e) {
        COUNT(fs, checksum_failures, 1);
        scrub_queue(fs, o->h.id);
        e = load_table(fs, o, t, 1, b);
    }
    if (e) {
        free(b);
        return e;
    }
    uint8_t *none = NULL;
    if (!atomic_compare_exchange_strong(&o->table[t], &none, b)) {
        free(b);
        b = none;
    }
    *out = b;
    return 0;
}

bool container_table_readable(struct holofs *fs, struct copen *o, uint32_t x)
{
    const uint8_t *table;
    return table_block(fs, o, x, &table) == 0;
}

/* Both copies of a table block are damaged: ask their single entries. */
static int verify_by_entries(struct holofs *fs, struct copen *o, uint32_t x, uint64_t sum)
{
    uint8_t *b = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    if (!b)
        return -ENOMEM;
    int right = 0;
    for (unsigned copy = 0; copy < 2 && !right; copy++) {
        int e = load_table(fs, o, x / TABLE_ENTRIES, copy, b);
        if (e == 0 || e == -HOLO_ESUM)
            right = ctable_entry(b, x) == sum;
    }
    free(b);
    return right;
}

int container_verify(struct holofs *fs, struct copen *o, uint32_t x, const uint8_t *block)
{
    const uint8_t *table;
    uint64_t sum = chead_block_sum(fs->sb.uuid, o->h.id, x, block);
    int e = table_block(fs, o, x, &table);
    if (e == -ENOMEM)
        return e;
    if (e)
        return verify_by_entries(fs, o, x, sum);
    return ctable_entry(table, x) == sum;
}

int container_block_sum(struct holofs *fs, uint32_t id, uint32_t position, uint64_t *sum)
{
    struct copen *o;
    const uint8_t *table;
    int e = copen_get(fs, id, &o);
    if (e)
        return e;
    e = position < chead_positions(&o->h) ? table_block(fs, o, position, &table) : -HOLO_ECORRUPT;
    if (!e)
        *sum = ctable_entry(table, position);
    copen_put(fs, o);
    return e;
}

/* Read n positions from x on; blocks the medium refuses are left as they are and found bad below. */
static void read_positions(struct holofs *fs, struct copen *o, uint32_t x, uint32_t n, uint8_t *out)
{
    uint32_t fb = chead_file_block(&o->h, x);
    struct remap_stats rs;
    int e = o->f->ops->pread(o->f, out, (size_t)n * BLOCK_SIZE, (uint64_t)fb * BLOCK_SIZE);
    remap_stats(fs->remap, &rs);
    if (!e && rs.remaps == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *b = out + (size_t)i * BLOCK_SIZE;
        if (!e && !remap_lookup(fs->remap, o->h.id, fb + i))
            continue;
        if (container_read_block(fs, o, x + i, b)) {
            COUNT(fs, read_errors, 1);
            memset(b, 0, BLOCK_SIZE);
        }
    }
}

static int read_sealed(struct holofs *fs, uint32_t id, uint64_t coff, size_t len, uint8_t *blocks, const struct whose *w)
{
    struct copen *o;
    int e = copen_get(fs, id, &o);
    if (e)
        return e;
    uint32_t first = (uint32_t)(coff / BLOCK_SIZE), n = (uint32_t)((coff + len - 1) / BLOCK_SIZE) - first + 1;
    if (first + n > o->h.used) {
        copen_put(fs, o);
        return -HOLO_ECORRUPT;
    }
    read_positions(fs, o, first, n, blocks);
    for (uint32_t i = 0; i < n && !e; i++) {
        uint8_t *b = blocks + (size_t)i * BLOCK_SIZE;
        int ok = container_verify(fs, o, first + i, b);
        if (ok == 1)
            continue;
        e = ok < 0 ? ok : repair_position(fs, o, first + i, b, w);
    }
    copen_put(fs, o);
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
    else if (h->ring_lost && !head_covers(h, coff, coff + len))
        e = -EIO;
    else
        memcpy(blocks + coff % BLOCK_SIZE, h->buf + coff, len);
    head_unref(fs, h);
    return e;
}
