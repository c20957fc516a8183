/* SPDX-License-Identifier: GPL-2.0-or-later */
/* remake.c: superblocks from headers, folders and the reserve; what a crash left behind. Nothing that is there is overwritten. */
#include "core/remake.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/container.h"
#include "core/log.h"
#include "remap/entry.h"

enum { CANDIDATES = 8 };

/* What headers say a superblock was, and how many of them. */
struct candidate {
    struct superblock sb;
    uint64_t headers;
};

struct remake {
    struct backing *b;
    uint8_t *block;
    struct candidate c[CANDIDATES];
    size_t n;
    bool newer;
    char dir[300];
};

static bool same_store(const struct superblock *a, const struct superblock *b)
{
    return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 && a->k == b->k && a->seed_base == b->seed_base && a->nmax == b->nmax &&
           a->ring_blocks == b->ring_blocks && a->r == b->r && a->meta_r == b->meta_r;
}

static void count_header(struct remake *m, const struct container_header *h)
{
    struct superblock sb = { .version = HOLO_FORMAT_VERSION, .k = h->k, .r = h->sb_r, .meta_r = h->sb_meta_r, .seed_base = h->seed_base,
                             .incompat = SUPER_INCOMPAT_MOVES | SUPER_INCOMPAT_SPARES, /* headers do not say */
                             .nmax = h->nmax, .ring_blocks = h->sb_ring_blocks, .size_limit_bytes = h->sb_size_limit, .epoch = h->epoch,
                             .created_ns = h->sealed_ns };
    memcpy(sb.uuid, h->uuid, sizeof(sb.uuid));
    for (size_t i = 0; i < m->n; i++) {
        struct superblock *s = &m->c[i].sb;
        if (!same_store(s, &sb))
            continue;
        s->epoch = sb.epoch > s->epoch ? sb.epoch : s->epoch;
        s->created_ns = sb.created_ns < s->created_ns ? sb.created_ns : s->created_ns;
        m->c[i].headers++;
        return;
    }
    if (m->n < CANDIDATES)
        m->c[m->n++] = (struct candidate){ sb, 1 };
}

/* A header from the first block of a container file, or from its last. */
static int look_at_file(void *arg, const char *name)
{
    struct remake *m = arg;
    char path[600];
    uint32_t id;
    uint64_t size = 0;
    struct bfile *f;
    struct container_header h;
    if (!container_name_parse(name, &id))
        return 0;
    snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    if (m->b->ops->open(m->b, path, BACKING_READ, &f))
        return 0;
    int e = f->ops->pread(f, m->block, BLOCK_SIZE, 0);
    e = e ? e : chead_decode_any(m->block, &h);
    if (e && f->ops->size(f, &size) == 0 && size >= 2 * BLOCK_SIZE) {
        e = f->ops->pread(f, m->block, BLOCK_SIZE, size / BLOCK_SIZE * BLOCK_SIZE - BLOCK_SIZE);
        e = e ? e : chead_decode_any(m->block, &h);
    }
    f->ops->close(f);
    m->newer |= e == -HOLO_EVERSION;
    if (!e && h.id == id)
        count_header(m, &h);
    return 0;
}

static int look_at_folder(void *arg, const char *name)
{
    struct remake *m = arg;
    snprintf(m->dir, sizeof(m->dir), "containers/%.200s", name);
    int e = m->b->ops->list(m->b, m->dir, look_at_file, m);
    return e == -ENOTDIR ? 0 : e;
}

static uint64_t size_of(struct backing *b, const char *name)
{
    struct bfile *f;
    uint64_t size = 0;
    if (b->ops->open(b, name, BACKING_READ, &f))
        return 0;
    if (f->ops->size(f, &size))
        size = 0;
    f->ops->close(f);
    return size;
}

/* The uuid of any remap header that is right. */
static bool find_uuid(struct remake *m, uint8_t uuid[16])
{
    struct remap_header h;
    bool found = false;
    for (unsigned i = 0; i < REMAP_COPIES && !found; i++) {
        char name[16];
        struct bfile *f;
        snprintf(name, sizeof(name), "remap.%u", i);
        if (m->b->ops->open(m->b, name, BACKING_READ, &f))
            continue;
        for (uint64_t k = 0; k < REMAP_HEADERS && !found; k++) {
            found = f->ops->pread(f, m->block, BLOCK_SIZE, k * BLOCK_SIZE) == 0 && remap_header_decode(m->block, m->block + 16, &h) == 0;
            if (found)
                memcpy(uuid, m->block + 16, 16);
        }
        f->ops->close(f);
    }
    return found;
}

/* No container yet: any geometry will do whose heads hold what is in the ring. */
static bool guess(struct remake *m, struct superblock *sb)
{
    uint64_t ring = size_of(m->b, "journal.0"), other = size_of(m->b, "journal.1");
    ring = (ring > other ? ring : other) / BLOCK_SIZE;
    *sb = (struct superblock){ .version = HOLO_FORMAT_VERSION, .k = 64, .r = 3, .meta_r = 5, .nmax = 64, .ring_blocks = (uint32_t)ring,
                               .created_ns = clock_real_ns() };
    while (sb->nmax < ring * 2 / 5 && sb->nmax < 1u << 20)
        sb->nmax *= 2;
    return ring >= 2 * RING_ENTRY_BLOCKS && ring <= UINT32_MAX && find_uuid(m, sb->uuid);
}

static int choose(struct remake *m, struct superblock *sb)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < m->n; i++) {
        if (!best || m->c[i].headers > best->headers)
            best = &m->c[i];
    }
    if (!best && m->newer)
        return -HOLO_EVERSION;
    if (!best)
        return guess(m, sb) ? 0 : -HOLO_EFORMAT;
    *sb = best->sb;
    return 0;
}

int remake_super(struct backing *b, struct superblock *sb)
{
    struct remake *m = calloc(1, sizeof(*m));
    uint8_t block[BLOCK_SIZE];
    if (!m)
        return -ENOMEM;
    m->b = b;
    m->block = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    int e = m->block ? b->ops->list(b, "containers", look_at_folder, m) : -ENOMEM;
    e = e == -ENOENT ? 0 : e;
    if (!e)
        e = choose(m, sb);
    free(m->block);
    free(m);
    if (e)
        return e;
    sb->reserve_bytes = size_of(b, "reserve");
    int64_t now = clock_real_ns() / 1000000000;
    sb->sequence = UINT64_C(1) << 40 | (now > 0 ? (uint64_t)now : 0); /* beyond that of any copy that may turn up again, whatever the clock says */
    super_encode(sb, block);
    return super_decode(block, sb); /* possible at all? */
}

static bool is_store(struct backing *b)
{
    return size_of(b, "journal.0") || size_of(b, "journal.1") || size_of(b, "remap.0");
}

bool remake_super_is_gone(struct backing *b, int error)
{
    return error == -HOLO_EVOTE || (error == -HOLO_EFORMAT && is_store(b));
}

/* Held back again, unless the disk is nearly full. */
static int make_reserve(struct holofs *fs)
{
    struct backing_space s;
    struct bfile *f;
    int e = fs->backing->ops->open(fs->backing, "reserve", BACKING_READ, &f);
    if (!e)
        f->ops->close(f);
    if (e != -ENOENT || !fs->sb.reserve_bytes)
        return 0;
    e = fs->backing->ops->space(fs->backing, &s);
    if (!e && s.free_bytes < fs->sb.reserve_bytes + 4 * container_full_size(fs, fs->sb.meta_r))
        return -ENOSPC;
    if (!e)
        e = fs->backing->ops->open(fs->backing, "reserve", BACKING_WRITE | BACKING_CREATE, &f);
    if (e)
        return e;
    e = f->ops->preallocate(f, fs->sb.reserve_bytes);
    f->ops->close(f);
    event_add(fs, "part_remade", "s:s", "part", "reserve");
    return e;
}

/* Files that were to take the place of others, or had lost theirs, when a process ended: what they hold is elsewhere, or never counted. */
static void clear_leftovers(struct holofs *fs)
{
    static const char *const names[] = { "journal.0.new", "journal.1.new", "remap.0.new", "remap.1.new", "remap.2.new", "remap.3.new",
                                         "remap.4.new", "remap.guard.0.new", "remap.guard.1.new", "index.db.old", "index.db.old-wal", "index.db.old-shm", "scrub.new",
                                         "superblock.0.new", "superblock.1.new", "superblock.2.new", "superblock.3.new", "superblock.4.new" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int e = fs->backing->ops->unlink(fs->backing, names[i]);
        if (e && e != -ENOENT)
            log_warn("%s/%s: %s", fs->path, names[i], holo_strerror(e));
        else if (!e)
            log_info("%s/%s: left behind by a crash: deleted", fs->path, names[i]);
    }
}

void remake_small_parts(struct holofs *fs)
{
    static const char *const folders[] = { "containers", "spare" };
    struct backing *b = fs->backing;
    int e = 0;
    clear_leftovers(fs);
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && !e; i++)
        e = b->ops->mkdir(b, folders[i]);
    if (!e)
        e = make_reserve(fs);
    if (!e)
        e = b->ops->sync_dir(b, "");
    if (e)
        event_add(fs, "part_missing", "s:s", "error", holo_strerror(e));
}
