/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lost.c: does the disk answer, and what is lost now.
 *
 * A disk that is away for a while (a cable, a stick, a server) gives an error for every block, good or bad. What it says then is
 * no reason to call anything lost, to remap it, or to leave it alone. So whoever is about to asks first whether the disk answers, looks once
 * more, and asks again.
 */
#include "core/lost.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "core/log.h"

/* Files that are always there; bad sectors may have hit some of them. */
static int read_something(struct holofs *fs)
{
    static const char *const names[] = { "superblock.0", "superblock.1", "superblock.2", "superblock.3", "superblock.4", "journal.0", "journal.1" };
    void *block = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    int e = block ? -EIO : 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && e; i++) {
        struct bfile *f;
        e = fs->backing->ops->open(fs->backing, names[i], BACKING_READ | BACKING_DIRECT, &f);
        if (e)
            continue;
        e = f->ops->pread(f, block, BLOCK_SIZE, 0);
        f->ops->close(f);
    }
    free(block);
    return e;
}

bool disk_answers(struct holofs *fs)
{
    int e = read_something(fs);
    if (e && e != -EMFILE && e != -ENFILE && !atomic_exchange(&fs->away, e)) {
        COUNT(fs, disk_gone, 1);
        event_add(fs, "disk_gone", "s:s", "error", holo_strerror(e));
        log_err("%s: nothing of the store can be read: %s; nothing is lost by that, and it is tried again every second", fs->path ? fs->path : "", holo_strerror(e));
    }
    return !e;
}

bool disk_is_away(struct holofs *fs)
{
    if (!fs->away)
        return false;
    if (read_something(fs))
        return true;
    fs->away = 0;
    event_add(fs, "disk_back", "");
    fs->restore_now = true;
    commit_wake(fs); /* and with it who looks after the copies of the ring */
    return false;
}

/* ---- blocks ---- */

bool lost_known(const struct container *c, uint32_t x)
{
    return c && c->lost && x < c->lost_cap && c->lost[x / 8] & 1u << x % 8;
}

static bool make_room(struct container *c, uint32_t x)
{
    if (x < c->lost_cap)
        return true;
    uint32_t cap = (x + 4096) / 4096 * 4096;
    uint8_t *p = calloc(cap / 8, 1);
    if (!p)
        return false;
    for (uint32_t i = 0; i < c->lost_cap / 8; i++)
        p[i] = c->lost[i];
    free(c->lost);
    c->lost = p;
    c->lost_cap = cap;
    return true;
}

bool lost_add(struct holofs *fs, struct container *c, uint32_t x)
{
    if (lost_known(c, x))
        return false;
    COUNT(fs, lost_blocks, 1);
    if (c && make_room(c, x)) {
        c->lost[x / 8] |= (uint8_t)(1u << x % 8);
        c->n_lost++;
        fs->lost_now++;
    }
    return true;
}

void lost_remove(struct holofs *fs, struct container *c, uint32_t x)
{
    if (!lost_known(c, x))
        return;
    c->lost[x / 8] &= (uint8_t)~(1u << x % 8);
    c->n_lost--;
    fs->lost_now--;
}

/* ---- containers ---- */

void lost_container(struct holofs *fs, struct container *c, int error)
{
    if (atomic_exchange(&c->unreadable, error != 0) == (error != 0))
        return;
    if (!error) {
        fs->unreadable_now--;
        return;
    }
    fs->unreadable_now++;
    COUNT(fs, containers_unreadable, 1);
    event_add(fs, "container_unreadable", "s:i, s:s", "container", (int)c->id, "error", holo_strerror(error));
}

void lost_forget(struct holofs *fs, struct container *c)
{
    fs->lost_now -= atomic_exchange(&c->n_lost, 0);
    if (atomic_exchange(&c->unreadable, false))
        fs->unreadable_now--;
}
