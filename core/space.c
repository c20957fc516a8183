/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * space.c: how much room there is: for the next container, for a user.
 *
 * PROMISED containers always keep their place: the head that is open, the metadata log, and the one the cleaner fills; and so does the
 * next dump, which lets the log be deleted. So what was accepted can be sealed, and a full store can be cleaned and deleted from. Of a store with a size, 1/SLACK is not offered to users: the
 * fuller a log is, the more must be moved for each byte that is overwritten. Pieces of 4 KiB take up to a tenth of the room for their records, in the
 * log, dumps and directories: 1/RECORDS of what is free is not promised.
 */
#include "base/err.h"
#include "core/clean.h"
#include "core/head.h"
#include "core/log.h"

enum { PROMISED = 3, SLACK = 16, RECORDS = 8, INDEX_ROOM = 32 << 20 };

uint64_t space_of_container(const struct holofs *fs, uint32_t r, uint32_t used)
{
    uint32_t positions = used + 2 * r * ecc_layout_stripes(fs->sb.nmax, fs->sb.k);
    return (2 + 2 * (uint64_t)chead_table_blocks_for(positions) + positions) * BLOCK_SIZE;
}

/* What the store takes besides containers; the index is not counted. */
static uint64_t fixed_bytes(const struct holofs *fs)
{
    return (uint64_t)fs->sb.ring_blocks * BLOCK_SIZE * RING_COPIES + fs->sb.reserve_bytes;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

int space_room(struct holofs *fs, unsigned r, uint64_t *bytes)
{
    struct backing_space s;
    int e = fs->backing->ops->space(fs->backing, &s);
    if (e)
        return e;
    uint64_t promised = (fs->n_sealing + PROMISED) * container_full_size(fs, r) + fs->dump_bytes;
    *bytes = less(s.free_bytes, promised);
    if (fs->sb.size_limit_bytes) {
        uint64_t room = less(fs->sb.size_limit_bytes, fixed_bytes(fs) + fs->container_file_bytes + promised);
        *bytes = *bytes < room ? *bytes : room;
    }
    return 0;
}

int space_check(struct holofs *fs, unsigned r)
{
    uint64_t room;
    int e = space_room(fs, r, &room);
    return e ? e : room < container_full_size(fs, r) ? -ENOSPC : 0;
}

static uint64_t index_room(const struct backing_space *s)
{
    return s->total_bytes / 8 < INDEX_ROOM ? s->total_bytes / 8 : INDEX_ROOM;
}

uint64_t space_of_growth(const struct holofs *fs, const struct backing_space *s)
{
    uint64_t delete_all = (fs->meta_file_bytes + fs->meta_open_bytes) / 4 * 7; /* the index writes nearly as much besides */
    return index_room(s) + (fs->n_sealing + 2) * container_full_size(fs, fs->sb.meta_r) + delete_all;
}

bool space_is_short(const struct holofs *fs, const struct backing_space *s)
{
    return s->free_bytes < 2 * space_of_growth(fs, s);
}

bool space_for_dump(struct holofs *fs, const struct backing_space *s)
{
    return s->free_bytes >= fs->dump_bytes + index_room(s) / 2 + (fs->n_sealing + 1) * container_full_size(fs, fs->sb.meta_r);
}

/* The database has all that a dump has, and some things twice. */
void space_note_index(struct holofs *fs)
{
    struct bfile *f;
    uint64_t size = 0, full = container_full_size(fs, fs->sb.meta_r), payload = (uint64_t)fs->sb.nmax * BLOCK_SIZE;
    if (fs->backing->ops->open(fs->backing, "index.db", BACKING_READ, &f))
        return;
    if (f->ops->size(f, &size) == 0)
        fs->dump_bytes = size / payload * full + space_of_container(fs, fs->sb.meta_r, (uint32_t)(size % payload / BLOCK_SIZE) + 1);
    f->ops->close(f);
}

/* Bytes of file data that `bytes` of disk can take: parity, tables and headers are in. */
static uint64_t payload_of(const struct holofs *fs, uint64_t bytes)
{
    unsigned r = fs->opt.redundancy ? fs->opt.redundancy : fs->sb.r;
    return (uint64_t)((double)bytes * fs->sb.nmax * BLOCK_SIZE / (double)container_full_size(fs, r));
}

/* Disk that cleaning would free: of containers in which it is worth the effort. */
static uint64_t reclaimable(struct holofs *fs)
{
    uint64_t sum = 0;
    mutex_lock(&fs->ctab_lock);
    for (size_t id = 0; id < fs->ctab_cap; id++) {
        const struct container *c = fs->ctab[id];
        if (!c || c->cls != CLASS_DATA || c->state != CONTAINER_SEALED || c->quarantined || !is_applied(fs, c->sealed_txg))
            continue;
        uint64_t file = space_of_container(fs, c->r, c->used), live = c->live > 0 ? (uint64_t)c->live : 0;
        uint64_t needed = (uint64_t)((double)live * (double)container_full_size(fs, c->r) / ((double)fs->sb.nmax * BLOCK_SIZE));
        if (needed < file / 32 * 31)
            sum += file - needed;
    }
    mutex_unlock(&fs->ctab_lock);
    return sum;
}

int holofs_statfs(struct holofs *fs, struct holofs_space *out)
{
    struct backing_space s;
    unsigned r = fs->opt.redundancy ? fs->opt.redundancy : fs->sb.r;
    uint64_t room = 0, open = 0, full = container_full_size(fs, r);
    int e = fs->backing->ops->space(fs->backing, &s);
    if (e)
        return e;
    mutex_lock(&fs->head_lock);
    e = space_room(fs, r, &room);
    for (unsigned i = 0; i < HEADS; i++)
        open += fs->heads[i] ? fs->heads[i]->fill : 0;
    mutex_unlock(&fs->head_lock);
    if (e)
        return e;
    bool refused = disk_is_full(fs->trouble[TROUBLE_SEAL]) || disk_is_full(fs->trouble[TROUBLE_COMMIT]); /* by a quota, which nobody tells us */
    uint64_t total = fs->sb.size_limit_bytes ? less(fs->sb.size_limit_bytes, fixed_bytes(fs) + PROMISED * full) : s.total_bytes;
    total = total < s.total_bytes ? total : s.total_bytes; /* the limit may be beyond what the disk has */
    uint64_t slack = fs->sb.size_limit_bytes ? total / SLACK : 0;
    out->total_bytes = payload_of(fs, total - slack);
    out->free_bytes = less(payload_of(fs, less(fs->read_only ? room : room + reclaimable(fs), slack)), open);
    if (refused)
        out->free_bytes = 0;
    if (out->free_bytes > out->total_bytes)
        out->free_bytes = out->total_bytes;
    out->avail_bytes = out->free_bytes - out->free_bytes / RECORDS;
    out->files = fs->n_files + out->free_bytes / BLOCK_SIZE;
    out->free_files = out->free_bytes / BLOCK_SIZE;
    return 0;
}

void space_of_metadata(struct holofs *fs, uint64_t *log_bytes, uint64_t *all_bytes, uint64_t *dump_bytes)
{
    uint64_t newest = 0;
    *log_bytes = *all_bytes = *dump_bytes = 0;
    mutex_lock(&fs->ctab_lock);
    for (size_t id = 0; id < fs->ctab_cap; id++) {
        const struct container *c = fs->ctab[id];
        if (c && c->cls == CLASS_META_DUMP && c->state == CONTAINER_SEALED && c->sealed_txg > newest)
            newest = c->sealed_txg;
    }
    for (size_t id = 0; id < fs->ctab_cap; id++) {
        const struct container *c = fs->ctab[id];
        if (!c || c->cls == CLASS_DATA || c->state != CONTAINER_SEALED)
            continue;
        uint64_t file = space_of_container(fs, c->r, c->used);
        *all_bytes += file;
        *dump_bytes += c->cls == CLASS_META_DUMP && c->sealed_txg == newest ? file : 0;
        *log_bytes += c->cls == CLASS_META_LOG && c->sealed_txg > newest ? file : 0;
    }
    mutex_unlock(&fs->ctab_lock);
}
