/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_open.c: open the store for a check: for writing, as a mount does, or to look only.
 *
 * A look reads the index from a copy outside the store, with its log of sqlite's, and brings that copy up to the ring or makes it
 * anew: the store has no side files and no changed times afterwards. What the store tells of itself while it is opened becomes
 * problems here.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "core/fsck_map.h"
#include "core/fsck_private.h"
#include "store/undo.h"

int fsck_backing(struct fsck *f, bool read_only, struct backing **out)
{
    struct backing *b;
    int e = backing_posix_open(f->path, read_only, &b);
    if (!e && f->undo && !read_only) {
        struct backing *lower = b;
        e = backing_undo(f->undo, lower, &b);
        if (e)
            lower->ops->close(lower);
    }
    if (!e && f->o->map) {
        struct backing *lower = b;
        e = rescue_backing(f->path, lower, f->o->map, &b);
        if (e)
            lower->ops->close(lower);
    }
    if (!e && f->o->wrap) {
        struct backing *lower = b;
        e = f->o->wrap(f->o->wrap_arg, lower, &b);
        if (e)
            lower->ops->close(lower);
    }
    if (!e)
        *out = b;
    return e;
}

static int hook_backing(void *arg, bool read_only, struct backing **out)
{
    return fsck_backing(arg, read_only, out);
}

/* ---- what the store tells ---- */

/* A member of an event as a text; "" if there is none. */
static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static uint64_t number_of(json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void tell_metadata_lost(struct fsck *f, json_t *o)
{
    char detail[120];
    uint64_t from = number_of(o, "from_txg"), to = number_of(o, "to_txg");
    f->metadata_lost = true;
    if (to)
        snprintf(detail, sizeof(detail), "transaction groups %llu to %llu", (unsigned long long)from, (unsigned long long)to);
    else
        snprintf(detail, sizeof(detail), "transaction groups from %llu on, if there were any", (unsigned long long)from);
    fsck_tell(f, PR_METADATA_LOST, FSCK_LOST,
              &(struct fsck_where){ .container = (uint32_t)number_of(o, "container"), .detail = from ? detail : text_of(o, "error") });
}

/* A store that is opened for writing has them as extents from then on, which phase 3 finds. */
static void tell_data_lost(struct fsck *f, json_t *o)
{
    const char *path = text_of(o, "path");
    if (f->hooks.index_path && number_of(o, "length"))
        fsck_tell(f, PR_FILE_LOST, FSCK_LOST, &(struct fsck_where){ .ino = number_of(o, "inode"), .off = number_of(o, "offset"),
                                                                     .len = number_of(o, "length"), .path = *path ? path : NULL });
}

static void note_contradiction(struct fsck *f, json_t *o)
{
    uint64_t *v = realloc(f->disagree_stripes, (f->disagree.n + 1) * sizeof(*v));
    uint32_t id = (uint32_t)number_of(o, "container");
    if (v)
        f->disagree_stripes = v;
    if (v && f->disagree.n && f->disagree.v[f->disagree.n - 1] == id)
        v[f->disagree.n - 1] += number_of(o, "stripes");
    else if (v && ids_add(&f->disagree, id) == 0)
        v[f->disagree.n - 1] = number_of(o, "stripes");
}

/* Events of other threads are about what this thread tells itself, or nobody's business. */
static void hook_event(void *arg, const char *type, const char *line)
{
    struct fsck *f = arg;
    if (!pthread_equal(f->thread, pthread_self()))
        return;
    json_t *o = json_loads(line, 0, NULL);
    if (!o)
        return;
    if (strcmp(type, "metadata_lost") == 0)
        tell_metadata_lost(f, o);
    else if (strcmp(type, "data_lost") == 0)
        tell_data_lost(f, o);
    else if (strcmp(type, "container_taken_back") == 0)
        fsck_tell(f, PR_TAKEN_BACK, f->hooks.index_path ? fsck_not_now(f, PR_TAKEN_BACK) : FSCK_REPAIRED,
                  &(struct fsck_where){ .container = (uint32_t)number_of(o, "container") });
    else if (strcmp(type, "parity_disagrees") == 0)
        note_contradiction(f, o);
    json_decref(o);
}

/* Asked in the middle of opening; told afterwards. */
static bool hook_may_rebuild(void *arg, const char *why)
{
    struct fsck *f = arg;
    struct fsck_where w = { .path = "index.db", .detail = why };
    f->index_is_new = true;
    if (f->hooks.index_path) {
        fsck_tell(f, PR_INDEX_BAD, fsck_not_now(f, PR_INDEX_BAD), &w);
        return true;
    }
    f->index_is_new = fsck_wants(f, PR_INDEX_BAD, &w) && fsck_pend(&f->opening, f, PR_INDEX_BAD, &w) == 0;
    f->refused |= !f->index_is_new;
    return f->index_is_new;
}

/* ---- the private index ---- */

static int make_private_dir(struct fsck *f)
{
    const char *tmp = f->o->tmp ? f->o->tmp : getenv("TMPDIR");
    if (f->private_dir[0])
        return 0;
    int n = snprintf(f->private_dir, sizeof(f->private_dir), "%s/holofsck-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
    if (n >= (int)sizeof(f->private_dir) - 20 || !mkdtemp(f->private_dir)) {
        int e = n >= (int)sizeof(f->private_dir) - 20 ? -ENAMETOOLONG : -errno;
        f->private_dir[0] = 0;
        return e;
    }
    snprintf(f->private_index, sizeof(f->private_index), "%.*s/index.db", (int)sizeof(f->private_dir) - 20, f->private_dir);
    return 0;
}

/* An index that cannot be read whole is none: it is made again. */
static int copy_index(struct fsck *f)
{
    char from[PATH_MAX + 16];
    int e = make_private_dir(f);
    snprintf(from, sizeof(from), "%s/index.db", f->path);
    if (!e)
        e = meta_copy(from, f->private_index);
    if (e == -EIO || e == -EISDIR || e == -ENOENT || e == -ELOOP)
        e = meta_remove(f->private_index);
    if (e)
        snprintf(f->r->why, sizeof(f->r->why), "a copy of the index in %.200s: %s", f->private_dir, holo_strerror(e));
    return e;
}

void fsck_drop_private(struct fsck *f)
{
    if (!f->private_dir[0])
        return;
    meta_remove(f->private_index);
    rmdir(f->private_dir);
    f->private_dir[0] = 0;
}

/* ---- opening ---- */

static int open_hooked(struct fsck *f, bool look, bool rebuild)
{
    struct holofs_options o;
    holofs_options_init(&o);
    o.read_only = look;
    o.check_all = true;
    o.accept_loss = f->accept_loss;
    o.engine = f->o->engine;
    f->thread = pthread_self();
    f->hooks = (struct fs_hooks){ .arg = f, .backing = hook_backing, .event = hook_event, .may_rebuild = hook_may_rebuild,
                                  .write_index = fsck_undo_index,
                                  .index_path = look ? f->private_index : NULL, .rebuild_index = rebuild };
    f->index_is_new |= rebuild;
    int e = fs_open_hooked(f->path, &o, &f->hooks, &f->fs, f->r->why, sizeof(f->r->why));
    if (e)
        f->fs = NULL;
    else
        e = meta_reader_open(f->fs->index, &f->scan);
    if (!e)
        f->r->index_rebuilt |= f->fs->index_rebuilt;
    f->writable = f->fs && !f->fs->read_only;
    return e;
}

int fsck_open_look(struct fsck *f, bool rebuild)
{
    int e = rebuild ? make_private_dir(f) : copy_index(f);
    return e ? e : open_hooked(f, true, rebuild);
}

/* The log lost records: the store is for reading only, until that is accepted. */
static int accept_loss(struct fsck *f)
{
    struct fsck_where w = { 0 };
    if (!f->fs->read_only)
        return 0;
    if (!fsck_wants(f, PR_READ_ONLY, &w)) {
        fsck_tell(f, PR_READ_ONLY, FSCK_UNREPAIRED, &w);
        return 0;
    }
    f->accept_loss = true;
    int e = fsck_close(f);
    if (!e)
        e = open_hooked(f, false, false);
    if (!e)
        fsck_tell(f, PR_READ_ONLY, f->writable ? FSCK_REPAIRED : FSCK_UNREPAIRED, &w);
    return e;
}

int fsck_open(struct fsck *f)
{
    if (f->mode == FSCK_LOOK || f->refused)
        return fsck_open_look(f, f->o->rebuild_index);
    if (f->o->rebuild_index)
        fsck_tell(f, PR_INDEX_ASKED, FSCK_NOTED, NULL);
    int e = fsck_undo_begin(f);
    if (!e)
        e = open_hooked(f, false, f->o->rebuild_index);
    if (!e)
        e = accept_loss(f);
    if (e == -HOLO_EBUSYSTORE || e == -ENOMEM || f->undo_failed)
        return e;
    fsck_settle(f, &f->opening, f->writable ? FSCK_REPAIRED : FSCK_UNREPAIRED, f->writable || !e ? NULL : f->r->why);
    if (!e)
        return 0;
    if (!f->refused)
        fsck_tell(f, PR_OPEN_FAILED, FSCK_LOST, &(struct fsck_where){ .detail = f->r->why[0] ? f->r->why : holo_strerror(e) });
    f->index_is_new = false;
    f->r->why[0] = 0;
    return fsck_open_look(f, f->o->rebuild_index);
}

int fsck_close(struct fsck *f)
{
    meta_reader_close(f->scan);
    int e = f->fs ? holofs_close(f->fs) : 0;
    f->fs = NULL;
    f->scan = NULL;
    f->writable = false;
    return e;
}

int fsck_reopen_rebuilt(struct fsck *f)
{
    bool look = !f->writable;
    int e = fsck_close(f);
    if (!e)
        e = look ? make_private_dir(f) : 0;
    return e ? e : open_hooked(f, look, true);
}

/* ---- for reading only ---- */

struct fsck_view {
    struct fsck f;
    struct fsck_result r;
    struct fsck_options o;
};

int holofs_fsck_view(const char *path, const struct fsck_options *o, struct fsck_view **out, struct holofs **fs, char *why, size_t why_cap)
{
    struct fsck_view *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->o = *o;
    v->f = (struct fsck){ .path = path, .o = &v->o, .r = &v->r, .mode = FSCK_LOOK, .lock_fd = -1, .muted = true };
    int e = fsck_open_look(&v->f, o->rebuild_index);
    if (e) {
        snprintf(why, why_cap, "%s", v->r.why[0] ? v->r.why : holo_strerror(e));
        holofs_fsck_view_close(v);
        return e;
    }
    *out = v;
    *fs = v->f.fs;
    return 0;
}

void holofs_fsck_view_close(struct fsck_view *v)
{
    fsck_close(&v->f);
    fsck_drop_private(&v->f);
    free(v);
}
