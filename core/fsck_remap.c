/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_remap.c: phase 5: the five copies of the remap table, what it says, and the spare files.
 *
 * The bytes in spare blocks are looked at with the container they belong to (phase 6).
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/fsck_private.h"
#include "remap/load.h"
#include "remap/spare.h"

/* Elsewhere the file says itself whose it is. What is not there is not lost for ever: its disk may come back. */
static void check_elsewhere(struct fsck *f, const struct remap_spare *s, const char *path)
{
    const struct spare_place at = { .uuid = f->sb.uuid };
    struct spare_file file;
    char detail[160];
    int e = spare_file_open(&at, s, path, true, &file);
    spare_file_close(&file);
    snprintf(detail, sizeof(detail), "spare %u: %s; what is in it comes back from parity, or with its disk", (unsigned)s->number, holo_strerror(e));
    if (e)
        fsck_tell(f, PR_SPARE_FILE, FSCK_NOTED, &(struct fsck_where){ .path = path, .detail = detail });
}

static int check_spare(struct fsck *f, const struct remap_header *h, const struct remap_spare *s)
{
    const uint32_t number = s->number, blocks = s->blocks;
    char name[32], path[REMAP_PATHS_MAX + 1];
    struct bfile *file;
    uint64_t size = 0;
    remap_header_path(h, s, path);
    if (*path) {
        check_elsewhere(f, s, path);
        return 0;
    }
    snprintf(name, sizeof(name), "spare/%04u.spare", (unsigned)number);
    int e = f->b->ops->open(f->b, name, BACKING_READ, &file);
    if (!e) {
        e = file->ops->size(file, &size);
        file->ops->close(file);
    }
    if (e || size < (uint64_t)blocks * BLOCK_SIZE)
        fsck_tell(f, PR_SPARE_FILE, FSCK_NOTED, &(struct fsck_where){ .path = name, .detail = e ? holo_strerror(e) : "too short" });
    return 0;
}

static int check_loaded(struct fsck *f, const struct remap_loaded *ld)
{
    char name[16], detail[48];
    int e = 0;
    for (unsigned i = 0; i < REMAP_COPIES && !e; i++) {
        snprintf(name, sizeof(name), "remap.%u", i);
        if (!ld->equal[i])
            e = fsck_found_before_opening(f, PR_REMAP_COPY, &(struct fsck_where){ .path = name });
    }
    if (ld->lost) {
        snprintf(detail, sizeof(detail), "%llu entries", (unsigned long long)ld->lost);
        fsck_tell(f, PR_REMAP_LOST, FSCK_NOTED, &(struct fsck_where){ .detail = detail });
    }
    for (uint32_t i = 0; i < ld->header.n_spares && !e; i++)
        e = check_spare(f, &ld->header, &ld->header.spare[i]);
    return e;
}

int fsck_remap_copies(struct fsck *f)
{
    struct remap_loaded ld;
    struct remap_map *map;
    int e = remap_log_load(f->b, f->sb.uuid, &ld, &map);
    if (e == -ENOMEM)
        return e;
    if (e) {
        fsck_tell(f, PR_REMAP_NONE, FSCK_LOST, &(struct fsck_where){ .detail = holo_strerror(e) });
        return 0;
    }
    e = check_loaded(f, &ld);
    remap_loaded_fini(&ld);
    remap_map_destroy(map);
    return e;
}

/* ---- what it says ---- */

/* Told by a header that the log agrees with: another one would not say where its container ends. */
static void check_outside(struct fsck *f, uint32_t container, uint32_t file_block)
{
    struct fsck_where w = { .container = container, .block = file_block };
    struct copen *o;
    unsigned bad;
    if (copen_file(f->fs, container, false, &o, &bad))
        return; /* told already */
    bool outside = file_block >= chead_file_blocks(&o->h) && container_header_fits(f->fs, &o->h);
    copen_free(o);
    if (!outside || !fsck_found(f, PR_REMAP_OUTSIDE, &w))
        return;
    int e = remap_drop_block(f->fs->remap, container, file_block);
    fsck_tell(f, PR_REMAP_OUTSIDE, e ? FSCK_UNREPAIRED : FSCK_REPAIRED, &w);
    f->changed = true;
}

static int check_remap(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct fsck *f = arg;
    struct container *c = ctab_find(f->fs, container);
    struct fsck_where w = { .container = container, .block = file_block };
    (void)spare;
    (void)spare_block;
    if (c && c->state == CONTAINER_SEALED) {
        check_outside(f, container, file_block);
        return 0;
    }
    if (!fsck_found(f, PR_REMAP_STALE, &w))
        return 0;
    if (!ids_has(&f->touched, container)) { /* all of its blocks at once */
        int e = remap_drop_container(f->fs->remap, container);
        fsck_tell(f, PR_REMAP_STALE, e ? FSCK_UNREPAIRED : FSCK_REPAIRED, &w);
        f->changed = true;
        return ids_add(&f->touched, container);
    }
    return 0;
}

int fsck_remap(struct fsck *f)
{
    int e = remap_each(f->fs->remap, check_remap, f);
    f->touched.n = 0;
    return e;
}
