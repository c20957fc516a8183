/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * medium.c: how long a burst on the device below may be.
 *
 * Blocks that may not be lost together are a group: the members of a stripe, the two copies of a header, of a table block, of a block
 * of the ring. A group carries some losses, and dies of the next. So the shortest burst that kills it reaches from one member to the one so many
 * members further on the device; the shortest of all groups decides. A block in two pieces counts once.
 */
#include "core/medium.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#undef BLOCK_SIZE /* of linux/fs.h */

#include "core/protect.h"
#include "ecc/ecc.h"
#include "remap/remap.h"
#include "store/chead.h"
#include "store/super.h"

enum { EXTENTS_AT_ONCE = 256 };

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* ---- where the bytes of a file are on its device ---- */

struct run {
    uint64_t off, phys, len;
};

struct map {
    struct run *v; /* ascending by offset */
    size_t n, cap;
    uint64_t dev;
};

/* Why a file's place on the device is not known. */
struct unknown {
    char *why;
    size_t cap;
};

static int unknown(struct unknown *u, const char *path, const char *why)
{
    snprintf(u->why, u->cap, "%s: %s", path, why);
    return 0;
}

/* Filesystems whose FIEMAP tells places on the device. */
static bool tells_places(long type)
{
    return type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC || type == F2FS_SUPER_MAGIC;
}

static int add_run(struct map *m, const struct fiemap_extent *x)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 16;
        struct run *v = realloc(m->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        m->v = v;
        m->cap = cap;
    }
    m->v[m->n++] = (struct run){ x->fe_logical, x->fe_physical, x->fe_length };
    return 0;
}

/* 1, 0 if it is not known, or a negative code. */
static int read_map(int fd, const char *path, struct map *m, struct unknown *u)
{
    const uint32_t no_place = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_NOT_ALIGNED |
                              FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL;
    struct fiemap *f = calloc(1, sizeof(*f) + EXTENTS_AT_ONCE * sizeof(f->fm_extents[0]));
    bool last = false;
    int e = f ? 1 : -ENOMEM;
    uint64_t off = 0;
    while (e > 0 && !last) {
        f->fm_start = off;
        f->fm_length = FIEMAP_MAX_OFFSET - off;
        f->fm_extent_count = EXTENTS_AT_ONCE;
        f->fm_mapped_extents = 0;
        if (ioctl(fd, FS_IOC_FIEMAP, f))
            e = unknown(u, path, errno == EOPNOTSUPP ? "the filesystem below does not say where files are (no FIEMAP)" : strerror(errno));
        last = e <= 0 || f->fm_mapped_extents == 0;
        for (uint32_t i = 0; e > 0 && i < f->fm_mapped_extents; i++) {
            const struct fiemap_extent *x = &f->fm_extents[i];
            if (x->fe_flags & no_place)
                e = unknown(u, path, "the filesystem below does not say where all of it is");
            else if (add_run(m, x))
                e = -ENOMEM;
            off = x->fe_logical + x->fe_length;
            last |= (x->fe_flags & FIEMAP_EXTENT_LAST) != 0;
        }
    }
    free(f);
    return e;
}

static int map_file(const char *store, const char *name, struct map *m, struct unknown *u)
{
    char path[4200];
    struct stat st;
    struct statfs fs;
    *m = (struct map){ 0 };
    snprintf(path, sizeof(path), "%s/%s", store, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return unknown(u, path, errno == EACCES || errno == EPERM ? "only root, or who owns the store, can ask where it is" : strerror(errno));
    int e = fstat(fd, &st) || fstatfs(fd, &fs) ? unknown(u, path, strerror(errno))
            : !tells_places(fs.f_type) ? unknown(u, path, "not known on this kind of filesystem (it is on ext4, xfs and f2fs)")
                                       : read_map(fd, path, m, u);
    m->dev = st.st_dev;
    close(fd);
    return e;
}

/* ---- groups ---- */

/* A piece of a block on a device. */
struct item {
    uint32_t group, member;
    uint64_t dev, start, end;
};

struct items {
    struct item *v;
    size_t n, cap;
};

static int add_item(struct items *l, const struct item *it)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4096;
        struct item *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *it;
    return 0;
}

/* The first run that ends behind off. */
static size_t find_run(const struct map *m, uint64_t off)
{
    size_t a = 0, b = m->n;
    while (a < b) {
        size_t mid = (a + b) / 2;
        if (m->v[mid].off + m->v[mid].len <= off)
            a = mid + 1;
        else
            b = mid;
    }
    return a;
}

/* Block `block` of a mapped file as a member of a group. A part of it that has no place is in no burst. */
static int add_block(struct items *l, const struct map *m, uint64_t block, uint32_t group, uint32_t member)
{
    uint64_t from = block * BLOCK_SIZE, to = from + BLOCK_SIZE;
    int e = 0;
    for (size_t i = find_run(m, from); i < m->n && m->v[i].off < to && !e; i++) {
        const struct run *r = &m->v[i];
        uint64_t a = r->off > from ? r->off : from, b = r->off + r->len < to ? r->off + r->len : to;
        struct item it = { .group = group, .member = member, .dev = m->dev, .start = r->phys + (a - r->off), .end = r->phys + (b - r->off) };
        e = add_item(l, &it);
    }
    return e;
}

static int by_place(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->dev != b->dev)
        return a->dev < b->dev ? -1 : 1;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* What a burst of whole blocks may be so that it does not reach both, when it begins in the first one's last block. */
static uint64_t between(const struct item *a, const struct item *b)
{
    uint64_t from = (a->end - 1) / BLOCK_SIZE * BLOCK_SIZE;
    return b->start > from ? (b->start - from) / BLOCK_SIZE * BLOCK_SIZE : 0;
}

/* One group on one device, in order of place, which carries `carries` losses. */
static void sweep(const struct item *v, size_t n, int carries, uint64_t *burst)
{
    uint16_t count[256] = { 0 };
    int distinct = 0;
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        distinct += count[v[i].member & 255]++ == 0;
        for (; distinct > carries; first++) {
            uint64_t b = between(&v[first], &v[i]);
            *burst = b < *burst ? b : *burst;
            distinct -= --count[v[first].member & 255] == 0;
        }
    }
}

/* All groups; carries(arg, group) below zero: it does not count. */
static void sweep_all(struct items *l, int (*carries)(const void *arg, uint32_t group), const void *arg, uint64_t *burst)
{
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), by_place);
    for (size_t i = 0, n; i < l->n; i += n) {
        for (n = 1; i + n < l->n && l->v[i + n].group == l->v[i].group && l->v[i + n].dev == l->v[i].dev; n++)
            ;
        int c = carries(arg, l->v[i].group);
        if (c >= 0)
            sweep(l->v + i, n, c, burst);
    }
}

/* ---- containers ---- */

uint32_t medium_file_blocks(const struct medium_container *c)
{
    return 2 + 2 * c->tables + c->used + c->m * c->D;
}

static bool is_bad(const struct medium_container *c, uint32_t file_block)
{
    return c->state[file_block] & BLOCK_STATE_BAD;
}

int medium_margin(const struct medium_container *c, uint32_t stripe)
{
    int margin = (int)c->m;
    for (uint32_t x = stripe; x < c->used + c->m * c->D; x += c->D)
        margin -= is_bad(c, 1 + c->tables + x);
    return margin;
}

/* Groups of a container: its stripes, then its blocks of the table, then the header. */
static int carries_of(const void *arg, uint32_t group)
{
    const struct medium_container *c = arg;
    uint32_t all = medium_file_blocks(c), t = group - c->D;
    if (group < c->D)
        return c->wanted[group] ? medium_margin(c, group) : -1;
    uint32_t a = t == c->tables ? 0 : 1 + t, b = t == c->tables ? all - 1 : all - 1 - c->tables + t;
    return 1 - is_bad(c, a) - is_bad(c, b);
}

static void locate(const struct medium_container *c, uint32_t fb, uint32_t *group, uint32_t *member)
{
    struct ecc_layout layout = { .used = c->used, .D = c->D };
    uint32_t all = medium_file_blocks(c), base = 1 + c->tables, end = base + c->used + c->m * c->D;
    unsigned at;
    if (fb >= base && fb < end) {
        ecc_layout_locate(&layout, c->k, fb - base, group, &at);
        *member = at;
        return;
    }
    *group = c->D + (fb == 0 || fb == all - 1 ? c->tables : fb < base ? fb - 1 : fb - end);
    *member = fb >= end;
}

/* Where remapped blocks are: the table as it is in the store, and the spare files that it names, once they are needed. */
struct spares {
    const char *store;
    struct unknown *u;
    struct backing *b;
    struct remap_table *table;
    struct remap_spare_info *info;
    size_t n;
    uint8_t uuid[16];
    struct map map[REMAP_SPARE_FILES_MAX]; /* of info[i], once mapped[i] */
    bool mapped[REMAP_SPARE_FILES_MAX];
};

static void spares_fini(struct spares *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->map[i].v);
    if (s->info)
        remap_spares_free(s->info, s->n);
    if (s->table)
        remap_close(s->table);
    if (s->b)
        s->b->ops->close(s->b);
}

static int spares_open(struct spares *s)
{
    struct superblock sb;
    struct super_vote vote;
    int e = backing_posix_open(s->store, true, &s->b);
    if (!e)
        e = super_read(s->b, &sb, &vote);
    if (!e)
        e = remap_open(s->b, sb.uuid, true, &s->table);
    if (!e)
        e = remap_spares(s->table, &s->info, &s->n);
    if (e)
        return unknown(s->u, s->store, "its remap table cannot be read");
    memcpy(s->uuid, sb.uuid, sizeof(s->uuid));
    return 1;
}

/* FORMAT.md, «Spare files»: in a directory elsewhere the name has the uuid, and a header comes before block 0. */
static int map_spare(struct spares *s, size_t i)
{
    char name[80], uuid[33];
    const struct remap_spare_info *f = &s->info[i];
    for (int k = 0; k < 16; k++)
        snprintf(uuid + 2 * k, 3, "%02x", s->uuid[k]);
    if (f->directory)
        snprintf(name, sizeof(name), "holofs-%s-%04u.spare", uuid, (unsigned)f->number);
    else
        snprintf(name, sizeof(name), "spare/%04u.spare", (unsigned)f->number);
    int e = s->mapped[i] ? 1 : map_file(f->directory ? f->directory : s->store, name, &s->map[i], s->u);
    s->mapped[i] = e > 0;
    return e;
}

struct search {
    const struct medium_container *c;
    struct spares *s;
    struct items *items;
    int e;
};

/* A remapped block of the container: its place is the spare block's. */
static int add_remapped(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct search *q = arg;
    struct spares *s = q->s;
    uint32_t group, member;
    size_t i = 0;
    if (container != q->c->id || file_block >= medium_file_blocks(q->c) || is_bad(q->c, file_block))
        return 0;
    while (i < s->n && s->info[i].number != spare)
        i++;
    if (i == s->n)
        return 0;
    q->e = map_spare(s, i);
    if (q->e <= 0)
        return -ECANCELED;
    locate(q->c, file_block, &group, &member);
    return add_block(q->items, &s->map[i], spare_block + (s->info[i].directory ? 1 : 0), group, member);
}

/* The blocks of a container that are right, with their places. */
static int add_container_blocks(struct spares *s, const struct medium_container *c, struct items *l)
{
    char name[CONTAINER_NAME_MAX];
    struct map m;
    bool remapped = false;
    container_name(c->id, name);
    int e = map_file(s->store, name, &m, s->u);
    for (uint32_t fb = 0; fb < medium_file_blocks(c) && e > 0; fb++) {
        uint32_t group, member;
        remapped |= c->state[fb] & BLOCK_STATE_REMAPPED;
        if (c->state[fb])
            continue;
        locate(c, fb, &group, &member);
        e = add_block(l, &m, fb, group, member) ? -ENOMEM : 1;
    }
    free(m.v);
    if (e > 0 && remapped && !s->table)
        e = spares_open(s);
    if (e > 0 && remapped) {
        struct search q = { c, s, l, 1 };
        int r = remap_each(s->table, add_remapped, &q);
        e = r == -ECANCELED ? q.e : r < 0 ? r : 1;
    }
    return e;
}

/* ---- the ring ---- */

static int carries_one(const void *arg, uint32_t group)
{
    (void)arg;
    (void)group;
    return 1;
}

static int ring_burst(const char *store, struct unknown *u, uint64_t *burst)
{
    struct items l = { 0 };
    int e = 1;
    for (unsigned copy = 0; copy < RING_COPIES && e > 0; copy++) {
        char name[16];
        struct map m;
        snprintf(name, sizeof(name), "journal.%u", copy);
        e = map_file(store, name, &m, u);
        uint64_t blocks = e > 0 && m.n ? (m.v[m.n - 1].off + m.v[m.n - 1].len) / BLOCK_SIZE : 0;
        for (uint64_t b = 0; b < blocks && e > 0; b++)
            e = add_block(&l, &m, b, (uint32_t)b, copy) ? -ENOMEM : 1;
        free(m.v);
    }
    if (e > 0)
        sweep_all(&l, carries_one, NULL, burst);
    free(l.v);
    return e;
}

int medium_burst(const char *store, const struct medium_container *const *c, size_t n, bool ring, uint64_t *burst, char *why, size_t why_cap)
{
    struct unknown u = { why, why_cap };
    struct spares *s = calloc(1, sizeof(*s));
    struct items l = { 0 };
    int e = s ? 1 : -ENOMEM;
    *burst = UINT64_MAX;
    if (s) {
        s->store = store;
        s->u = &u;
    }
    for (size_t i = 0; i < n && e > 0; i++) {
        l.n = 0;
        e = add_container_blocks(s, c[i], &l);
        if (e > 0)
            sweep_all(&l, carries_of, c[i], burst);
    }
    if (e > 0 && ring)
        e = ring_burst(store, &u, burst);
    if (s)
        spares_fini(s);
    free(s);
    free(l.v);
    return e;
}
