/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c: verify a store that is not mounted: superblocks, ring, containers. */
#include "core/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/container.h"
#include "core/open.h"
#include "core/recover.h"
#include "core/scrub.h"

struct checking {
    struct holofs *fs;
    bool repair;
    holofs_check_progress progress;
    void *arg;
    struct holofs_check *out;
};

static int check_container(void *arg, uint32_t id)
{
    struct checking *c = arg;
    struct verify_result r;
    struct container *k = ctab_find(c->fs, id);
    if (c->repair && (!k || k->state != CONTAINER_SEALED))
        return 0;
    int e = container_scrub(c->fs, id, c->repair, &r);
    c->out->containers++;
    if (e == -ENOMEM)
        return e;
    c->out->missing += e != 0;
    c->out->blocks += r.blocks;
    c->out->bad += r.bad;
    c->out->repaired += r.repaired;
    c->out->lost += r.lost;
    c->out->parity_disagrees += r.parity_disagrees;
    if (c->progress && c->progress(c->arg, c->out->containers, c->fs->n_containers))
        return -ECANCELED;
    return 0;
}

/* Look only: files are taken as they lie there; one that no commit names is not looked for. */
static int look(struct checking *c, const char *path, char *why, size_t cap)
{
    struct ring_scan_result scan;
    int e = fs_open_parts_only(path, &c->fs, why, cap);
    if (e)
        return e;
    c->out->superblocks_bad = SUPER_COPIES - c->fs->vote.agreeing;
    c->out->unclean = !(c->fs->sb.flags & SUPER_CLEAN);
    e = ring_scan(c->fs->ring, &scan);
    if (!e) {
        c->out->ring_bad = scan.repairable_blocks;
        c->out->ring_lost = scan.lost_txgs + (scan.n == 0);
        free(scan.txgs);
        e = each_container_file(c->fs, check_container, c);
    }
    if (e)
        snprintf(why, cap, "%s: %s", path, holo_strerror(e));
    fs_release(c->fs);
    return e;
}

static int repair(struct checking *c, const char *path, struct buf *events, char *why, size_t cap)
{
    struct holofs_options o;
    holofs_options_init(&o);
    o.check_all = o.accept_loss = true;
    int e = holofs_open(path, &o, &c->fs, why, cap);
    if (e)
        return e;
    struct holofs *fs = c->fs;
    c->out->superblocks_bad = (unsigned)fs->count.super_copies_repaired;
    c->out->unclean = fs->unclean;
    c->out->index_rebuilt = fs->index_rebuilt;
    c->out->ring_bad = fs->count.ring_blocks_repaired;
    c->out->ring_lost = fs->loss.records + fs->loss.n;
    e = ctab_each(fs, check_container, c);
    uint64_t repaired = fs->count.repaired_blocks; /* opening and the scrubber have repaired what they met */
    c->out->bad += repaired - c->out->repaired;
    c->out->repaired = repaired;
    holofs_events_text(fs, events);
    int r = holofs_close(fs);
    e = e ? e : r;
    if (e)
        snprintf(why, cap, "%s: %s", path, holo_strerror(e));
    return e;
}

int holofs_check(const char *path, bool do_repair, holofs_check_progress progress, void *arg, struct holofs_check *out, struct buf *events,
                 char *why, size_t why_cap)
{
    struct checking c = { .repair = do_repair, .progress = progress, .arg = arg, .out = out };
    *out = (struct holofs_check){ 0 };
    return do_repair ? repair(&c, path, events, why, why_cap) : look(&c, path, why, why_cap);
}
