/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_names.c: phase 4: the tree: every name leads to an inode, every inode has its names, every directory hangs below the root.
 *
 * One pass over inodes, one over names, both in order of their keys; what is wrong with single names is kept, the rest follows
 * from the table. Takes 56 bytes of memory an inode.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "core/fsck_tree.h"
#include "core/log.h"

enum { MARK_NONE, MARK_PATH, MARK_ROOTED };

static void *grown(void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return v;
    size_t more = *cap ? 2 * *cap : 256;
    void *p = realloc(v, more * size);
    if (p)
        *cap = more;
    return p;
}

static size_t place_of(const struct fsck_tree *t, uint64_t ino)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->node[mid].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct fsck_node *fsck_node(struct fsck_tree *t, uint64_t ino)
{
    size_t at = place_of(t, ino);
    return at < t->n && t->node[at].ino == ino ? &t->node[at] : NULL;
}

struct fsck_node *fsck_node_add(struct fsck_tree *t, uint64_t ino)
{
    struct fsck_node *v = grown(t->node, t->n, &t->cap, sizeof(*v));
    if (!v)
        return NULL;
    t->node = v;
    size_t at = place_of(t, ino);
    memmove(v + at + 1, v + at, (t->n - at) * sizeof(*v));
    t->n++;
    v[at] = (struct fsck_node){ .ino = ino };
    return &v[at];
}

uint32_t fsck_links(const struct fsck_node *n)
{
    return S_ISDIR(n->mode) ? 2 + n->subdirs : n->names;
}

/* ---- gathering ---- */

static int add_inode(void *arg, const struct meta_inode *i)
{
    struct fsck_tree *t = arg;
    struct fsck_node *n = fsck_node_add(t, i->ino);
    if (!n)
        return -ENOMEM;
    n->parent = i->parent;
    n->mode = i->mode;
    n->nlink = i->nlink;
    return t->n % 65536 ? 0 : fsck_progress(t->f, t->n, 0);
}

static int add_orphan(void *arg, uint64_t ino)
{
    struct fsck_node *n = fsck_node(arg, ino);
    if (n)
        n->orphan = true;
    return 0;
}

static int keep_name(struct fsck_tree *t, const struct meta_dent *d, enum fsck_problem_id problem)
{
    struct fsck_name *v = grown(t->name, t->n_names, &t->cap_names, sizeof(*v));
    if (!v)
        return -ENOMEM;
    t->name = v;
    v += t->n_names++;
    *v = (struct fsck_name){ .parent = d->parent, .ino = d->ino, .cookie = d->cookie, .type = d->type, .problem = problem };
    v->len = d->name_len < META_NAME_MAX ? d->name_len : META_NAME_MAX;
    memcpy(v->name, d->name, v->len);
    return 0;
}

static int keep_gone(struct fsck_tree *t, uint64_t parent)
{
    if (t->n_gone && t->gone[t->n_gone - 1] == parent)
        return 0;
    uint64_t *v = grown(t->gone, t->n_gone, &t->cap_gone, sizeof(*v));
    if (!v)
        return -ENOMEM;
    t->gone = v;
    v[t->n_gone++] = parent;
    return 0;
}

/* A name that counts: of a directory only the first one does. */
static int count_name(struct fsck_tree *t, const struct meta_dent *d, struct fsck_node *child)
{
    struct fsck_node *up = fsck_node(t, d->parent);
    if (S_ISDIR(child->mode)) {
        if (child->up || child->ino == INO_ROOT)
            return keep_name(t, d, PR_DIRECTORY_NAMES);
        child->up = d->parent;
        if (up)
            up->subdirs++;
    }
    child->names++;
    return 0;
}

static int add_name(void *arg, const struct meta_dent *d)
{
    struct fsck_tree *t = arg;
    struct fsck_node *child = fsck_node(t, d->ino), *up = fsck_node(t, d->parent);
    t->max_cookie = d->cookie > t->max_cookie ? d->cookie : t->max_cookie;
    int e = up ? 0 : keep_gone(t, d->parent);
    if (e)
        return e;
    if (!child)
        return keep_name(t, d, PR_ENTRY_DANGLING);
    if (up && !S_ISDIR(up->mode))
        return keep_name(t, d, PR_NOT_A_DIRECTORY);
    if (d->type != IFTODT(child->mode))
        e = keep_name(t, d, PR_ENTRY_TYPE);
    return e ? e : count_name(t, d, child);
}

static int check_symlink(void *arg, const struct meta_inode *i)
{
    struct fsck_tree *t = arg;
    char target[META_SYMLINK_MAX + 1], path[4096];
    size_t len;
    if (!S_ISLNK(i->mode))
        return 0;
    int e = meta_read_symlink(t->f->scan, i->ino, target, sizeof(target), &len);
    if (e == -ENOENT)
        fsck_tell(t->f, PR_SYMLINK_EMPTY, FSCK_LOST,
                  &(struct fsck_where){ .ino = i->ino, .path = t->f->muted ? NULL : fsck_path(t->f, i->ino, path, sizeof(path)) });
    return e == -ENOENT ? 0 : e;
}

static int gather(struct fsck_tree *t)
{
    struct meta_reader *r = t->f->scan;
    int e = meta_each_inode(r, add_inode, t);
    if (!e)
        e = meta_each_orphan(r, add_orphan, t);
    if (!e)
        e = meta_each_dent(r, add_name, t);
    return e ? e : meta_each_inode(r, check_symlink, t);
}

/* ---- judging ---- */

/* Tell, and mend if that is wanted. What fails is told as left, and the check goes on. */
static int settle(struct fsck_tree *t, enum fsck_problem_id id, const struct fsck_where *w, int failed)
{
    struct fsck_where at = *w;
    if (failed)
        at.detail = holo_strerror(failed);
    fsck_tell(t->f, id, failed ? FSCK_UNREPAIRED : FSCK_REPAIRED, &at);
    t->f->changed = true;
    return failed == -ENOMEM ? failed : 0;
}

/* The path of a name. */
static const char *path_of_name(struct fsck_tree *t, const struct fsck_name *d, char *buf, size_t cap)
{
    if (t->f->muted)
        return NULL;
    const char *dir = fsck_path(t->f, d->parent, buf, cap);
    size_t len = dir ? strlen(dir) : 0;
    len = len == 1 ? 0 : len; /* the root */
    if (!dir)
        len = (size_t)snprintf(buf, cap, "inode %" PRIu64, d->parent);
    snprintf(buf + len, cap - len, "/%s", d->name);
    return buf;
}

static int judge_name(struct fsck_tree *t, const struct fsck_name *d)
{
    char path[4096];
    struct fsck_node *child = fsck_node(t, d->ino);
    struct fsck_where w = { .ino = d->ino, .path = path_of_name(t, d, path, sizeof(path)) };
    if (d->problem == PR_ENTRY_DANGLING && !fsck_node(t, d->parent))
        w.detail = "its directory does not exist either";
    if (!fsck_found(t->f, d->problem, &w)) {
        if (child && d->problem == PR_NOT_A_DIRECTORY)
            child->told = true;
        return 0;
    }
    if (d->problem == PR_NOT_A_DIRECTORY)
        return settle(t, d->problem, &w, fsck_mend_attach(t, d->ino, d));
    return settle(t, d->problem, &w, d->problem == PR_ENTRY_TYPE ? fsck_mend_type(t, d, child->mode) : fsck_mend_remove(t, d));
}

static int judge_root(struct fsck_tree *t)
{
    struct fsck_node *root = fsck_node(t, INO_ROOT);
    if (root && S_ISDIR(root->mode))
        return 0;
    if (!fsck_found(t->f, PR_ROOT_MISSING, NULL))
        return 0;
    return settle(t, PR_ROOT_MISSING, &(struct fsck_where){ .path = "/" }, fsck_mend_root(t));
}

static int judge_gone(struct fsck_tree *t, uint64_t ino)
{
    struct fsck_where w = { .ino = ino };
    if (ino == INO_ROOT || fsck_node(t, ino) || !fsck_found(t->f, PR_DIRECTORY_GONE, &w))
        return 0;
    return settle(t, PR_DIRECTORY_GONE, &w, fsck_mend_directory(t, ino));
}

static int judge_unnamed(struct fsck_tree *t, uint64_t ino)
{
    struct fsck_node *n = fsck_node(t, ino);
    struct fsck_where w = { .ino = ino };
    if (ino == INO_ROOT || n->names || n->told)
        return 0;
    if (n->orphan) {
        fsck_tell(t->f, PR_ORPHAN, FSCK_NOTED, &w);
        return 0;
    }
    n->told = true;
    if (!fsck_found(t->f, PR_INODE_UNNAMED, &w))
        return 0;
    return settle(t, PR_INODE_UNNAMED, &w, fsck_mend_attach(t, ino, NULL));
}

/* Does the way up from a directory end at the root, or somewhere that was told already? If not, where it closes. */
static uint64_t cycle_from(struct fsck_tree *t, struct fsck_node *from)
{
    struct fsck_node *n = from;
    while (n && n->mark == MARK_NONE && n->ino != INO_ROOT && n->up) {
        n->mark = MARK_PATH;
        n = fsck_node(t, n->up);
    }
    uint64_t closes = n && n->mark == MARK_PATH ? n->ino : 0;
    for (n = from; n && n->mark == MARK_PATH; n = fsck_node(t, n->up))
        n->mark = MARK_ROOTED;
    return closes;
}

struct entry_search {
    struct fsck_name found;
    uint64_t ino;
};

static int match_entry(void *arg, const struct meta_dent *d)
{
    struct entry_search *s = arg;
    if (d->ino != s->ino)
        return 0;
    s->found = (struct fsck_name){ .parent = d->parent, .ino = d->ino, .cookie = d->cookie, .type = d->type, .len = d->name_len };
    memcpy(s->found.name, d->name, d->name_len);
    return 1;
}

static int judge_cycle(struct fsck_tree *t, uint64_t ino)
{
    struct entry_search s = { .ino = ino };
    struct fsck_node *n = fsck_node(t, ino);
    uint64_t up = n->up;
    int e = meta_read_dir(t->f->scan, up, 0, match_entry, &s);
    if (e < 0)
        return e;
    struct fsck_where w = { .ino = ino, .path = e ? s.found.name : NULL };
    if (!fsck_found(t->f, PR_CYCLE, &w))
        return 0;
    n->names = 0;
    n->up = 0;
    fsck_node(t, up)->subdirs--;
    return settle(t, PR_CYCLE, &w, fsck_mend_attach(t, ino, &s.found));
}

static int judge_links(struct fsck_tree *t, struct fsck_node *n)
{
    char path[4096], detail[64];
    bool dir = S_ISDIR(n->mode), links = n->nlink != fsck_links(n) && !(n->orphan && !n->names);
    bool parent = dir && n->up && n->parent != n->up;
    if ((!links && !parent) || (n->told && !t->f->writable))
        return 0;
    struct fsck_where w = { .ino = n->ino };
    snprintf(detail, sizeof(detail), "%u, and should be %u", n->nlink, fsck_links(n));
    w.detail = links ? detail : NULL;
    w.path = t->f->muted ? NULL : fsck_path(t->f, n->ino, path, sizeof(path));
    enum fsck_problem_id id = links ? PR_LINK_COUNT : PR_PARENT;
    if (n->made || n->told) { /* follows from what was mended */
        return t->f->writable && (n->names || n->ino == INO_ROOT) ? fsck_mend_links(t, n) : 0;
    }
    if (!fsck_found(t->f, id, &w))
        return 0;
    return settle(t, id, &w, fsck_mend_links(t, n));
}

/* Numbers that were given out are never given out again. */
static int judge_counters(struct fsck_tree *t)
{
    struct holofs *fs = t->f->fs;
    uint64_t ino = t->n ? t->node[t->n - 1].ino : 0;
    for (size_t i = 0; i < t->n_gone; i++) /* they may be made again */
        ino = t->gone[i] > ino ? t->gone[i] : ino;
    if (fs->next_ino > ino && fs->next_cookie > t->max_cookie)
        return 0;
    struct fsck_where w = { .ino = ino };
    if (!fsck_found(t->f, PR_COUNTER, &w))
        return 0;
    if (fs->next_ino <= ino) /* the next commit writes them */
        fs->next_ino = ino + 1;
    if (fs->next_cookie <= t->max_cookie)
        fs->next_cookie = t->max_cookie + 1;
    return settle(t, PR_COUNTER, &w, commit_all(fs, 0));
}

static int judge_cycles(struct fsck_tree *t)
{
    int e = 0;
    for (size_t i = 0; i < t->n && !e; i++) {
        uint64_t at = S_ISDIR(t->node[i].mode) ? cycle_from(t, &t->node[i]) : 0;
        if (at)
            e = judge_cycle(t, at);
    }
    return e;
}

static int judge(struct fsck_tree *t)
{
    int e = judge_root(t);
    if (!e)
        e = judge_counters(t);
    for (size_t i = 0; i < t->n_gone && !e; i++)
        e = judge_gone(t, t->gone[i]);
    for (size_t i = 0; i < t->n_names && !e; i++)
        e = judge_name(t, &t->name[i]);
    for (size_t i = 0; i < t->n && !e; i++) /* numbers, for lost+found may come in between */
        e = judge_unnamed(t, t->node[i].ino);
    if (!e)
        e = judge_cycles(t);
    for (size_t i = 0; i < t->n && !e; i++)
        e = judge_links(t, &t->node[i]);
    return e;
}

int fsck_names(struct fsck *f)
{
    struct fsck_tree t = { .f = f };
    int e = gather(&t);
    if (!e)
        e = judge(&t);
    if (!e && f->changed && f->writable)
        e = commit_all(f->fs, 0);
    if (!e && f->writable)
        indexer_wait(f->fs, f->fs->committed_txg, false);
    free(t.node);
    free(t.name);
    free(t.gone);
    return e;
}
