/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * undo_apply.c: take back what a repair has changed: the undo file onto the store.
 *
 * Steps, of which each may be interrupted and all may be done again:
 *
 *   read and verify the whole undo file ─▶ lock ─▶ is it this store, in a state that the repair made? ─▶ the undo file says «applying»
 *   ─▶ superblocks get the feature «undo», with which nothing mounts ─▶ what the repair made is deleted, files get their old
 *   bytes and sizes, all is synced ─▶ the superblocks get their old bytes, one after another ─▶ «applied»
 */
#include "core/undo_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "core/open.h"
#include "core/remake.h"
#include "store/super.h"
#include "store/undo.h"

struct undone {
    char *name;
    enum undo_kind kind; /* FILE, ABSENT or DIR_ABSENT */
    uint64_t size;
    struct undo_owner owner;
    bool whole, super;
    bool made; /* by this run */
};

struct undo_run {
    const char *path;
    struct undo_apply_result *r;
    struct undo_file u;
    struct backing *b;
    int lock_fd, dir_fd;
    bool lock_made; /* by locking it */
    struct undone *item;
    size_t n, cap;
    uint64_t *state; /* sums of superblocks, that the repair left or found */
    size_t n_states;
    struct bfile *file; /* the one that is written now */
    uint32_t of;
    bool supers; /* they are written now, else the others */
};

static int refuse(struct undo_run *a, int e, const char *what, const char *why)
{
    snprintf(a->r->why, sizeof(a->r->why), "%.300s: %s", what, why);
    return e;
}

/* ---- what the undo file says ---- */

/* A path inside the store. */
static bool name_ok(const char *name, size_t len)
{
    if (len == 0 || len > 200 || memchr(name, 0, len) || name[0] == '/' || name[len - 1] == '/')
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((i == 0 || name[i - 1] == '/') && (name[i] == '.' || name[i] == '/')) /* no name of a store begins with a dot */
            return false;
    }
    return true;
}

static int add_item(struct undo_run *a, const struct undo_record *r, const uint8_t *p)
{
    size_t head = r->kind == UNDO_FILE ? UNDO_OWNER_BYTES : 0;
    if (r->file != a->n || r->len < head || !name_ok((const char *)p + head, r->len - head) || r->size_or_sum > HOLO_FILE_SIZE_MAX)
        return -HOLO_ECORRUPT;
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        struct undone *v = realloc(a->item, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        a->item = v;
        a->cap = cap;
    }
    struct undone i = { .name = strndup((const char *)p + head, r->len - head), .kind = r->kind, .size = r->size_or_sum };
    if (!i.name)
        return -ENOMEM;
    if (head)
        i.owner = (struct undo_owner){ le32_get(p), le32_get(p + 4), le32_get(p + 8) };
    i.super = strlen(i.name) == 12 && strncmp(i.name, "superblock.", 11) == 0;
    a->item[a->n++] = i;
    return 0;
}

static int add_state(struct undo_run *a, uint64_t sum)
{
    uint64_t *v = realloc(a->state, (a->n_states + 1) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    a->state = v;
    v[a->n_states++] = sum;
    return 0;
}

static int collect(void *arg, const struct undo_record *r, const uint8_t *p)
{
    struct undo_run *a = arg;
    if (r->kind == UNDO_FILE || r->kind == UNDO_ABSENT || r->kind == UNDO_DIR_ABSENT)
        return add_item(a, r, p);
    if (r->file >= a->n || r->kind < UNDO_IMAGE || r->kind > UNDO_STATE)
        return -HOLO_ECORRUPT;
    struct undone *i = &a->item[r->file];
    if (r->kind == UNDO_STATE)
        return add_state(a, r->size_or_sum);
    uint64_t blocks = (i->size + BLOCK_SIZE - 1) / BLOCK_SIZE;
    if (i->kind != UNDO_FILE || r->block > blocks || r->blocks > blocks - r->block ||
        (r->kind == UNDO_IMAGE && r->len != (uint64_t)r->blocks * BLOCK_SIZE))
        return -HOLO_ECORRUPT;
    i->whole |= r->kind == UNDO_WHOLE;
    a->r->unreadable += r->kind == UNDO_UNREADABLE ? r->blocks : 0;
    return i->super && r->kind == UNDO_IMAGE && r->block == 0 ? add_state(a, sum64(p, BLOCK_SIZE, 0)) : 0;
}

static int read_undo_file(struct undo_run *a, const char *file)
{
    int e = undo_open(file, false, &a->u);
    switch (e) {
    case 0:
        break;
    case -HOLO_EFORMAT:
        return refuse(a, e, file, "not a file that --undo has written");
    case -HOLO_ESUM:
        return refuse(a, e, file, "it is damaged (checksum mismatch): nothing was changed");
    case -HOLO_ETRUNC:
        return refuse(a, e, file, "its end is missing: nothing was changed");
    default:
        return refuse(a, e, file, holo_strerror(e));
    }
    a->r->unfinished = a->u.state == UNDO_OPEN || a->u.state == UNDO_APPLYING;
    e = undo_each(&a->u, collect, a);
    return e ? refuse(a, e, file, e == -HOLO_ECORRUPT ? "what it says makes no sense: nothing was changed" : holo_strerror(e)) : 0;
}

/* ---- is it this store, as the repair left it? ---- */

static int lock(struct undo_run *a)
{
    a->lock_made = faccessat(a->dir_fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int e = store_lock(a->path, false, &a->lock_fd);
    return e ? refuse(a, e, a->path, holo_strerror(e)) : 0;
}

/* Superblock copy i, without the feature «undo». 0, or why there is none. */
static int read_super(struct undo_run *a, unsigned i, uint8_t block[BLOCK_SIZE], struct superblock *sb)
{
    char name[32];
    struct bfile *f;
    snprintf(name, sizeof(name), "superblock.%u", i);
    int e = a->b->ops->open(a->b, name, BACKING_READ, &f);
    if (e)
        return e;
    e = f->ops->pread(f, block, BLOCK_SIZE, 0);
    f->ops->close(f);
    if (!e)
        e = super_decode(block, sb);
    if (!e && sb->incompat & SUPER_INCOMPAT_UNDO) {
        sb->incompat &= ~SUPER_INCOMPAT_UNDO;
        super_encode(sb, block);
    }
    return e;
}

/* The lock file that locking has made goes again, unless the store had one. */
static void drop_lock(struct undo_run *a)
{
    bool had = false;
    for (size_t i = 0; i < a->n; i++)
        had |= a->item[i].kind == UNDO_FILE && strcmp(a->item[i].name, "lock") == 0;
    if (a->lock_made && a->lock_fd >= 0 && !had)
        unlinkat(a->dir_fd, "lock", 0);
}

/* All superblocks are kept before anything is changed. */
static bool repair_began(const struct undo_run *a)
{
    unsigned kept = 0;
    for (size_t i = 0; i < a->n; i++)
        kept += a->item[i].super && (a->item[i].whole || a->item[i].kind == UNDO_ABSENT);
    return kept == SUPER_COPIES;
}

static bool known_state(const struct undo_run *a, const uint8_t block[BLOCK_SIZE])
{
    uint64_t sum = sum64(block, BLOCK_SIZE, 0);
    for (size_t i = 0; i < a->n_states; i++) {
        if (a->state[i] == sum)
            return true;
    }
    return false;
}

static int check_store(struct undo_run *a, bool force)
{
    uint8_t block[BLOCK_SIZE];
    struct superblock sb;
    bool found = false, changed = false;
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        if (read_super(a, i, block, &sb))
            continue;
        found = true;
        if (memcmp(sb.uuid, a->u.uuid, sizeof(sb.uuid)) != 0)
            return refuse(a, -HOLO_ESTALE, a->path, "it is another store than the one that was repaired");
        changed |= repair_began(a) && !known_state(a, block);
    }
    if (!found && remake_super(a->b, &sb) == 0) {
        found = true;
        if (memcmp(sb.uuid, a->u.uuid, sizeof(sb.uuid)) != 0)
            return refuse(a, -HOLO_ESTALE, a->path, "it is another store than the one that was repaired");
    }
    if (!found && !force)
        return refuse(a, -HOLO_EFORMAT, a->path, "no superblock can be read, so it may be another store; --force applies it all the same");
    if (changed && !force)
        return refuse(a, -HOLO_ESTALE, a->path, "it was changed since the repair; --force applies it all the same, and what was written since is lost");
    return 0;
}

/* ---- putting back ---- */

/* From now on nobody mounts it: it is neither what it was nor what the repair made of it. */
static int mark_supers(struct undo_run *a)
{
    uint8_t block[BLOCK_SIZE];
    struct superblock sb;
    int e = 0;
    for (unsigned i = 0; i < SUPER_COPIES && !e; i++) {
        char name[32];
        struct bfile *f;
        if (read_super(a, i, block, &sb))
            continue;
        sb.incompat |= SUPER_INCOMPAT_UNDO;
        super_encode(&sb, block);
        snprintf(name, sizeof(name), "superblock.%u", i);
        e = a->b->ops->open(a->b, name, BACKING_WRITE, &f);
        if (e)
            break;
        e = bfile_pwrite(f, block, sizeof(block), 0);
        if (!e)
            e = f->ops->datasync(f);
        f->ops->close(f);
    }
    return e;
}

static void let_go(struct undo_run *a)
{
    if (a->file)
        a->file->ops->close(a->file);
    a->file = NULL;
}

static int sync_parent(struct undo_run *a, const char *name)
{
    char dir[256];
    const char *slash = strrchr(name, '/');
    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - name) : 0, name);
    return a->b->ops->sync_dir(a->b, dir);
}

/* What the repair made goes: files first, then folders, the inner ones last made. The lock is held: it goes at the end. */
static int remove_made(struct undo_run *a, bool the_lock)
{
    int e = 0;
    for (size_t i = a->n; i-- > 0 && !e;) {
        const struct undone *t = &a->item[i];
        if (t->kind == UNDO_FILE || t->super != a->supers || (strcmp(t->name, "lock") == 0) != the_lock)
            continue;
        e = t->kind == UNDO_ABSENT ? a->b->ops->unlink(a->b, t->name) : 0;
        if (t->kind == UNDO_DIR_ABSENT && unlinkat(a->dir_fd, t->name, AT_REMOVEDIR) && errno != ENOENT)
            e = -errno;
        if (e == -ENOENT) {
            e = 0;
            continue;
        }
        if (!e)
            e = sync_parent(a, t->name);
        a->r->removed++;
        if (e)
            return refuse(a, e, t->name, holo_strerror(e));
    }
    return e;
}

/* The file, with its old size. One that is kept whole may have lost its name, or another has it: it is written anew. */
static int prepare(struct undo_run *a, struct undone *t)
{
    struct bfile *f;
    uint64_t size;
    t->made = faccessat(a->dir_fd, t->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int e = a->b->ops->open(a->b, t->name, BACKING_WRITE | (t->whole ? BACKING_CREATE : 0), &f);
    if (e)
        return e;
    e = f->ops->size(f, &size);
    if (!e && t->whole && !t->super)
        e = f->ops->truncate(f, 0);
    if (!e)
        e = f->ops->truncate(f, t->size);
    f->ops->close(f);
    if (!e && t->made && t->owner.mode != UNDO_NO_OWNER) {
        if (fchownat(a->dir_fd, t->name, t->owner.uid, t->owner.gid, AT_SYMLINK_NOFOLLOW) && errno != EPERM)
            e = -errno;
        if (!e && fchmodat(a->dir_fd, t->name, t->owner.mode, 0))
            e = -errno;
    }
    a->r->files++;
    return e;
}

static int put_blocks(void *arg, const struct undo_record *r, const uint8_t *p)
{
    static const uint8_t zeros[BLOCK_SIZE];
    struct undo_run *a = arg;
    if (r->kind != UNDO_IMAGE && r->kind != UNDO_ZEROS)
        return 0;
    const struct undone *t = &a->item[r->file];
    if (t->super != a->supers || (r->kind == UNDO_ZEROS && t->whole && !t->super))
        return 0;
    if (a->file && a->of != r->file)
        let_go(a);
    int e = a->file ? 0 : a->b->ops->open(a->b, t->name, BACKING_WRITE, &a->file);
    a->of = r->file;
    uint64_t off = r->block * BLOCK_SIZE, end = (r->block + r->blocks) * BLOCK_SIZE;
    end = end < t->size ? end : t->size;
    if (r->kind == UNDO_IMAGE && !e)
        e = bfile_pwrite(a->file, p, end - off, off);
    for (uint64_t at = off; r->kind == UNDO_ZEROS && at < end && !e; at += BLOCK_SIZE)
        e = bfile_pwrite(a->file, zeros, end - at < BLOCK_SIZE ? end - at : BLOCK_SIZE, at);
    a->r->blocks += r->blocks;
    return e ? refuse(a, e, t->name, holo_strerror(e)) : 0;
}

static int sync_item(struct undo_run *a, const struct undone *t)
{
    struct bfile *f;
    int e = a->b->ops->open(a->b, t->name, BACKING_WRITE, &f);
    if (e)
        return e;
    e = f->ops->datasync(f);
    f->ops->close(f);
    return !e && t->made ? sync_parent(a, t->name) : e;
}

/* All files, or all superblocks. */
static int put_back(struct undo_run *a, bool supers)
{
    a->supers = supers;
    int e = remove_made(a, false);
    for (size_t i = 0; i < a->n && !e; i++) {
        if (a->item[i].kind == UNDO_FILE && a->item[i].super == supers)
            e = prepare(a, &a->item[i]);
        if (e && !a->r->why[0])
            refuse(a, e, a->item[i].name, holo_strerror(e));
    }
    if (!e)
        e = undo_each(&a->u, put_blocks, a);
    let_go(a);
    for (size_t i = 0; i < a->n && !e; i++) {
        if (a->item[i].kind == UNDO_FILE && a->item[i].super == supers)
            e = sync_item(a, &a->item[i]);
    }
    return e;
}

static int apply(struct undo_run *a)
{
    int e = undo_set_state(&a->u, UNDO_APPLYING);
    if (!e)
        e = mark_supers(a);
    if (!e)
        e = put_back(a, false);
    if (!e)
        e = put_back(a, true);
    a->supers = false;
    if (!e)
        e = remove_made(a, true);
    if (!e)
        e = undo_set_state(&a->u, UNDO_APPLIED);
    return e;
}

static int open_store(struct undo_run *a, const struct undo_apply_options *o)
{
    struct backing *b = NULL;
    int e = backing_posix_open(a->path, false, &b);
    if (e)
        return refuse(a, e, a->path, holo_strerror(e));
    a->dir_fd = backing_posix_fd(b);
    a->b = b;
    if (!o->wrap)
        return 0;
    e = o->wrap(o->wrap_arg, b, &a->b);
    if (e) {
        a->b = NULL;
        b->ops->close(b);
    }
    return e;
}

int holofs_undo_apply(const char *path, const char *file, const struct undo_apply_options *o, struct undo_apply_result *out)
{
    struct undo_run a = { .path = path, .r = out, .lock_fd = -1, .dir_fd = -1 };
    *out = (struct undo_apply_result){ 0 };
    int e = read_undo_file(&a, file);
    if (!e)
        e = open_store(&a, o);
    if (!e)
        e = lock(&a);
    if (!e)
        e = check_store(&a, o->force);
    if (!e && repair_began(&a))
        e = apply(&a);
    drop_lock(&a);
    if (e && !out->why[0])
        refuse(&a, e, path, holo_strerror(e));
    undo_close(&a.u);
    if (a.b)
        a.b->ops->close(a.b);
    if (a.lock_fd >= 0)
        close(a.lock_fd);
    for (size_t i = 0; i < a.n; i++)
        free(a.item[i].name);
    free(a.item);
    free(a.state);
    return e;
}
