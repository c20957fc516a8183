/* SPDX-License-Identifier: GPL-2.0-or-later */
/* harm.c: crashes, blocks that go bad, copies of the ring that fail, files without names: operations of the world beyond plain ones. */
#include "tests/power/world_private.h"

#include <dirent.h>

#include "core/log.h"

/* It would try again what is refused: as if killed, it gives up at once. */
void world_kill(struct rig *r)
{
    trace_cut(true);
    fs_fail(r->fs, -EIO, "killed");
    holofs_close(r->fs);
    r->fs = NULL;
}

/* The process dies: nothing that it writes from now on arrives; then the store is opened again. */
void world_do_kill(struct world *w)
{
    struct rig *r = w->r;
    world_kill(r);
    trace_cut(false);
    rig_open(r);
    int64_t k = world_match(w, r, w->low, w->n - 1);
    if (k < 0)
        fail_msg("killed: no state that is possible");
    world_resume(w, (uint64_t)k);
    w->kills++;
}

/* The contents of state k come from the store itself: it was compared with the sums. */
static void reload(struct world *w, int slot, uint64_t ino)
{
    struct thing *t = w->slot[slot];
    struct holofs_attr a;
    world_ok(holofs_getattr(w->r->fs, ino, &a), "getattr");
    uint8_t *p = rig_buffer(THING_MAX);
    t->mode = a.mode & 07777;
    t->size = a.size;
    t->links = a.nlink;
    t->is_symlink = S_ISLNK(a.mode);
    ssize_t n = t->is_symlink ? holofs_readlink(w->r->fs, ino, (char *)p, THING_MAX) : holofs_read(w->r->fs, ino, 0, p, THING_MAX);
    assert_true(n == (ssize_t)t->size);
    memcpy(t->data, p, t->size);
    n = t->is_symlink ? -ENODATA : holofs_getxattr(w->r->fs, ino, "user.power", t->xattr, XATTR_SPACE);
    t->has_xattr = n >= 0;
    t->xattr_len = n >= 0 ? (size_t)n : 0;
    free(p);
}

void world_resume(struct world *w, uint64_t k)
{
    uint64_t ino[SLOTS];
    world_drop_all(w);
    for (int i = 0; i < SLOTS; i++) {
        ino[i] = world_slot_ino(w->r, i);
        for (int j = 0; j < i && ino[i] && !w->slot[i]; j++)
            w->slot[i] = ino[j] == ino[i] ? w->slot[j] : NULL;
        if (ino[i] && !w->slot[i]) {
            world_thing_new(w, i, false);
            reload(w, i, ino[i]);
        }
    }
    for (int d = 0; d < DIRS; d++)
        w->dir[d] = world_dir_ino(w->r, d) != 0;
    world_push(w);
    assert_int_equal(world_difference(&w->state[k], &w->state[w->n - 1]), 0);
    world_promise(w, w->n - 1);
}

/* A container file by chance. */
static bool any_container(struct world *w, char out[TRACE_NAME_MAX], uint64_t *blocks)
{
    char path[PATH_MAX];
    struct stat st;
    int seen = 0;
    rig_name(w->r, "containers/000", path);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] != '.' && world_draw(w, (uint64_t)++seen) == 0)
            snprintf(out, TRACE_NAME_MAX, "containers/000/%.40s", e->d_name);
    }
    if (d)
        closedir(d);
    if (!seen)
        return false;
    rig_name(w->r, out, path);
    *blocks = stat(path, &st) == 0 ? (uint64_t)st.st_size / SECTOR : 0;
    return *blocks > 4;
}

/* A block of a sealed container goes bad, and does not take new bytes with `stuck`; a scrub heals or remaps it. */
void world_do_rot(struct world *w, bool stuck)
{
    char name[TRACE_NAME_MAX];
    uint64_t blocks, seed = rig_random(&w->seed);
    world_control(w, "seal", true);
    if (any_container(w, name, &blocks)) {
        uint64_t off = (2 + world_draw(w, blocks - 4)) * SECTOR;
        if (stuck)
            trace_bad_block(name, off);
        trace_rot(name, off, 100, seed);
    }
    rig_scrub(w->r);
    trace_bad_block(NULL, 0);
}

/*
 * A copy of the ring takes no writes, or no syncs, any more, until it has a new file: mostly at once, later if it failed a moment ago.
 * Nobody is told: the other copy is there.
 */
void world_fail_ring(struct world *w)
{
    struct rig *r = w->r;
    uint64_t before = rig_stat(r, "damage/ring_copies_restored");
    if (ring_failed_copies(r->fs->ring)) /* with both, an fsync may fail */
        return;
    trace_bad_file(world_draw(w, 3) ? "journal.0" : "journal.1", world_draw(w, 2));
    for (int i = 0; i < 20 && rig_stat(r, "damage/ring_copies_restored") == before; i++) {
        if (i % 10 == 0) {
            int f = world_any_file(w);
            world_write(w, f, world_draw(w, THING_MAX / 2), 1 + world_draw(w, 9000));
            world_fsync(w, f);
        }
        commit_wake(r->fs);
        rig_sleep_ms(1);
    }
    trace_bad_block(NULL, 0);
}

/* O_TMPFILE: written, perhaps synced, perhaps given a name. Without one nobody may find it after a crash. */
void world_unnamed(struct world *w)
{
    static const struct holofs_cred nobody;
    struct holofs_attr a;
    uint8_t p[20000];
    char name[16];
    int slot = world_any_slot(w);
    size_t len = 1 + world_draw(w, sizeof(p));
    if (w->slot[slot])
        return;
    world_ok(holofs_create(w->r->fs, &nobody, world_dir_ino(w->r, world_dir_of(slot)), NULL, S_IFREG | 0644, 0, NULL, &a), "create without a name");
    rig_fill(rig_random(&w->seed), p, len);
    rig_write(w->r, a.ino, 0, p, len);
    bool synced = world_draw(w, 2);
    if (synced)
        world_ok(holofs_fsync(w->r->fs, a.ino), "fsync of a file without a name");
    if (world_draw(w, 4)) {
        world_slot_name(slot, name);
        world_begin(w);
        world_ok(holofs_link(w->r->fs, a.ino, world_dir_ino(w->r, world_dir_of(slot)), name, &a), "link");
        struct thing *t = world_thing_new(w, slot, false);
        memcpy(t->data, p, len);
        t->size = len;
        world_end(w);
        holofs_forget(w->r->fs, a.ino, 1);
    }
    holofs_forget(w->r->fs, a.ino, 1);
    if (w->slot[slot] && world_draw(w, 2))
        world_fsync(w, slot);
}
