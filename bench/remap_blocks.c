/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remap_blocks.c: send blocks of a store that is not mounted to spare blocks, as if the disk had not kept them, until COUNT are.
 * Usage: remap_blocks STORE COUNT SEED. The blocks are data, chosen evenly over all data containers; their bytes are what is there, and
 * what is in the container is overwritten afterwards: who reads there all the same is found out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "remap/remap.h"
#include "store/backing.h"
#include "store/chead.h"
#include "store/super.h"

struct place {
    uint32_t container, file_block;
    char name[CONTAINER_NAME_MAX];
};

struct store {
    struct backing *b;
    struct superblock sb;
    struct remap_table *table;
    struct place *places;
    size_t n, cap;
    char folder[CONTAINER_NAME_MAX];
    uint64_t random;
};

static void die(const char *what, int e)
{
    fprintf(stderr, "remap_blocks: %s%s%s\n", what, e ? ": " : "", e ? holo_strerror(e) : "");
    exit(1);
}

static uint64_t next(struct store *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

/* ---- which blocks there are ---- */

static void add_places(struct store *s, const struct container_header *h, const char *name)
{
    if (s->n + h->used > s->cap) {
        s->cap = 2 * (s->n + h->used);
        s->places = realloc(s->places, s->cap * sizeof(*s->places));
        if (!s->places)
            die("memory", -ENOMEM);
    }
    for (uint32_t x = 0; x < h->used; x++) {
        struct place *p = &s->places[s->n++];
        *p = (struct place){ .container = h->id, .file_block = chead_file_block(h, x) };
        strcpy(p->name, name);
    }
}

static int one_container(void *arg, const char *base)
{
    struct store *s = arg;
    struct container_header h;
    uint8_t block[BLOCK_SIZE];
    char name[2 * CONTAINER_NAME_MAX];
    struct bfile *f;
    bool intact;
    snprintf(name, sizeof(name), "%s/%s", s->folder, base);
    if (strlen(name) >= CONTAINER_NAME_MAX || s->b->ops->open(s->b, name, BACKING_READ, &f))
        return 0;
    int e = f->ops->pread(f, block, sizeof(block), 0);
    f->ops->close(f);
    if (!e && !chead_decode_any(block, &h) && h.cls == CLASS_DATA && !chead_decode(block, s->sb.uuid, h.id, &h, &intact))
        add_places(s, &h, name);
    return 0;
}

static int one_folder(void *arg, const char *base)
{
    struct store *s = arg;
    snprintf(s->folder, sizeof(s->folder), "containers/%.20s", base);
    s->b->ops->list(s->b, s->folder, one_container, s);
    return 0;
}

/* ---- one remap ---- */

static void remap_one(struct store *s, const struct place *p)
{
    uint8_t block[BLOCK_SIZE];
    struct bfile *f;
    uint64_t off = (uint64_t)p->file_block * BLOCK_SIZE;
    int e = s->b->ops->open(s->b, p->name, BACKING_WRITE, &f);
    if (e)
        die(p->name, e);
    e = f->ops->pread(f, block, sizeof(block), off);
    if (!e)
        e = remap_add(s->table, p->container, p->file_block, block);
    if (e)
        die("remap", e);
    memset(block, 0xee, sizeof(block));
    const struct iovec v = { block, sizeof(block) };
    e = f->ops->pwritev(f, &v, 1, off);
    f->ops->close(f);
    if (e)
        die(p->name, e);
}

static uint64_t remaps(struct store *s)
{
    struct remap_stats st;
    remap_stats(s->table, &st);
    return st.remaps;
}

static void remap_until(struct store *s, uint64_t count)
{
    if (count > s->n)
        die("the store has fewer blocks than that", 0);
    while (remaps(s) < count) {
        size_t i = (size_t)(next(s) % s->n);
        if (!remap_lookup(s->table, s->places[i].container, s->places[i].file_block))
            remap_one(s, &s->places[i]);
    }
}

static int hold(const char *store)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s/lock", store);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
        die("the store cannot be locked", -errno);
    return fd;
}

int main(int argc, char **argv)
{
    struct store s = { 0 };
    struct super_vote vote;
    if (argc != 4) {
        fprintf(stderr, "usage: remap_blocks STORE COUNT SEED\n");
        return 16;
    }
    s.random = strtoull(argv[3], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    int fd = hold(argv[1]), e = backing_posix_open(argv[1], false, &s.b);
    if (!e)
        e = super_read(s.b, &s.sb, &vote);
    if (!e)
        e = super_check_features(&s.sb);
    if (!e)
        e = remap_open(s.b, s.sb.uuid, false, &s.table);
    if (!e)
        e = s.b->ops->list(s.b, "containers", one_folder, &s);
    if (e)
        die(argv[1], e);
    remap_until(&s, strtoull(argv[2], NULL, 10));
    printf("%llu\n", (unsigned long long)remaps(&s));
    remap_close(s.table);
    s.b->ops->close(s.b);
    free(s.places);
    close(fd);
    return 0;
}
