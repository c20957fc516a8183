/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_mend.c: the records with which phase 4 mends the tree, in the log like those of any operation.
 *
 * A record is whole or not there. A name in lost+found and the image that counts it are one record; link counts of directories
 * that follow from several steps are written once, at the end.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/apply.h"
#include "core/fsck_tree.h"
#include "core/log.h"

enum { SPACE = 4096 };

struct mend {
    struct rec r;
    uint8_t space[SPACE];
};

static void begin(struct mend *m, enum record_kind kind)
{
    rec_begin(&m->r, m->space, sizeof(m->space), kind, clock_real_ns());
}

static int end(struct fsck *f, struct mend *m)
{
    return log_append(f->fs, m->space, rec_end(&m->r), NULL, 0, NULL, NULL);
}

/* The image that the index has, which has everything that was committed before this phase. */
static int image_of(struct fsck *f, uint64_t ino, struct inode_image *img)
{
    struct meta_inode row;
    int e = meta_read_inode(f->scan, ino, &row);
    if (!e)
        meta_to_inode_image(&row, img);
    return e;
}

static struct inode_image new_directory(uint64_t ino, uint64_t parent, uint32_t mode)
{
    int64_t now = clock_real_ns();
    return (struct inode_image){ .ino = ino, .parent = parent, .mode = S_IFDIR | mode, .nlink = 2, .atime = now, .mtime = now, .ctime = now,
                                 .btime = now, .gen = 1 };
}

int fsck_mend_remove(struct fsck_tree *t, const struct fsck_name *d)
{
    struct mend m;
    begin(&m, REC_UNLINK);
    rec_entry_gone(&m.r, d->parent, d->name, d->len);
    return end(t->f, &m);
}

int fsck_mend_type(struct fsck_tree *t, const struct fsck_name *d, uint32_t mode)
{
    struct mend m;
    begin(&m, REC_RENAME);
    rec_entry(&m.r, d->parent, d->ino, d->cookie, IFTODT(mode), d->name, d->len);
    return end(t->f, &m);
}

/* Of a directory that did not exist, and that some have as theirs. */
static void count_subdirs(const struct fsck_tree *t, struct fsck_node *n)
{
    n->subdirs = 0;
    for (size_t i = 0; i < t->n; i++)
        n->subdirs += S_ISDIR(t->node[i].mode) && t->node[i].up == n->ino;
}

int fsck_mend_root(struct fsck_tree *t)
{
    struct mend m;
    struct inode_image img = new_directory(INO_ROOT, INO_ROOT, 0755);
    struct fsck_node *n = fsck_node(t, INO_ROOT);
    begin(&m, REC_MKDIR);
    rec_inode(&m.r, &img);
    int e = end(t->f, &m);
    n = e || n ? n : fsck_node_add(t, INO_ROOT);
    if (e || !n)
        return e ? e : -ENOMEM;
    n->mode = img.mode;
    n->nlink = img.nlink;
    n->parent = INO_ROOT;
    n->made = true;
    count_subdirs(t, n);
    return 0;
}

/* ---- lost+found ---- */

static int find_lost_found(struct fsck_tree *t)
{
    static const char name[] = "lost+found";
    struct meta_dent d;
    int e = meta_read_dent(t->f->scan, INO_ROOT, name, sizeof(name) - 1, &d);
    struct fsck_node *n = e ? NULL : fsck_node(t, d.ino);
    if (n && S_ISDIR(n->mode)) {
        t->lost_found = d.ino;
        return 0;
    }
    return e && e != -ENOENT ? e : -ENOENT;
}

static int make_lost_found(struct fsck_tree *t)
{
    struct mend m;
    struct inode_image img = new_directory(t->f->fs->next_ino++, INO_ROOT, 0700);
    struct meta_dent taken;
    const char *name = "lost+found";
    if (meta_read_dent(t->f->scan, INO_ROOT, name, strlen(name), &taken) == 0)
        name = "lost+found.holofsck"; /* a file has that name */
    begin(&m, REC_MKDIR);
    rec_inode(&m.r, &img);
    rec_entry(&m.r, INO_ROOT, img.ino, t->f->fs->next_cookie++, DT_DIR, name, strlen(name));
    int e = end(t->f, &m);
    struct fsck_node *n = e ? NULL : fsck_node_add(t, img.ino);
    if (e || !n)
        return e ? e : -ENOMEM;
    *n = (struct fsck_node){ .ino = img.ino, .parent = INO_ROOT, .up = INO_ROOT, .mode = img.mode, .nlink = 2, .names = 1, .made = true };
    struct fsck_node *root = fsck_node(t, INO_ROOT);
    if (root) {
        root->subdirs++;
        root->told = true;
    }
    t->lost_found = img.ino;
    return 0;
}

static int lost_found(struct fsck_tree *t)
{
    int e = t->lost_found ? 0 : find_lost_found(t);
    return e == -ENOENT ? make_lost_found(t) : e;
}

/* A name that is free there. */
static void choose_name(struct fsck_tree *t, uint64_t ino, const struct fsck_name *old, char out[META_NAME_MAX + 1])
{
    struct meta_dent d;
    int max = META_NAME_MAX - 24;
    snprintf(out, META_NAME_MAX + 1, "#%" PRIu64, ino);
    if (old)
        snprintf(out, META_NAME_MAX + 1, "%.*s.#%" PRIu64, (int)old->len < max ? (int)old->len : max, old->name, ino);
    if (meta_read_dent(t->f->scan, t->lost_found, out, strlen(out), &d) == 0 && d.ino != ino)
        snprintf(out + strlen(out), 12, "_%u", (unsigned)d.cookie % 1000000);
}

static int put_name(struct fsck_tree *t, struct inode_image *img, const struct fsck_name *old)
{
    char name[META_NAME_MAX + 1];
    struct mend m;
    choose_name(t, img->ino, old, name);
    img->parent = t->lost_found;
    begin(&m, old ? REC_RENAME : REC_LINK);
    if (old)
        rec_entry_gone(&m.r, old->parent, old->name, old->len);
    rec_inode(&m.r, img);
    rec_entry(&m.r, t->lost_found, img->ino, t->f->fs->next_cookie++, IFTODT(img->mode), name, strlen(name));
    return end(t->f, &m);
}

static void hang(struct fsck_tree *t, struct fsck_node *n)
{
    struct fsck_node *lf = fsck_node(t, t->lost_found);
    n->names++;
    n->told = true;
    n->parent = t->lost_found;
    if (S_ISDIR(n->mode)) {
        n->up = t->lost_found;
        lf->subdirs++;
        lf->told = true;
    }
}

int fsck_mend_attach(struct fsck_tree *t, uint64_t ino, const struct fsck_name *old)
{
    struct inode_image img;
    int e = lost_found(t);
    if (!e)
        e = image_of(t->f, ino, &img);
    if (e)
        return e;
    struct fsck_node *n = fsck_node(t, ino);
    img.nlink = S_ISDIR(n->mode) ? 2 + n->subdirs : n->names + 1;
    e = put_name(t, &img, old);
    if (!e) {
        n->nlink = img.nlink;
        hang(t, n);
    }
    return e;
}

int fsck_mend_directory(struct fsck_tree *t, uint64_t ino)
{
    int e = lost_found(t);
    struct inode_image img = new_directory(ino, t->lost_found, 0700);
    if (!e)
        e = put_name(t, &img, NULL);
    struct fsck_node *n = e ? NULL : fsck_node_add(t, ino);
    if (e || !n)
        return e ? e : -ENOMEM;
    n->mode = img.mode;
    n->nlink = img.nlink;
    n->made = true;
    hang(t, n);
    count_subdirs(t, n);
    return 0;
}

int fsck_mend_links(struct fsck_tree *t, struct fsck_node *n)
{
    struct mend m;
    struct inode_image img;
    int e = image_of(t->f, n->ino, &img);
    if (e == -ENOENT && n->made) {
        img = new_directory(n->ino, n->up ? n->up : n->ino, n->ino == INO_ROOT ? 0755 : 0700);
        e = 0;
    }
    if (e)
        return e;
    img.nlink = fsck_links(n);
    if (S_ISDIR(n->mode) && n->up)
        img.parent = n->up;
    begin(&m, REC_SETATTR);
    rec_inode(&m.r, &img);
    e = end(t->f, &m);
    if (!e) {
        n->nlink = img.nlink;
        n->parent = img.parent;
    }
    return e;
}

int fsck_mend_stored(struct fsck *f, const struct meta_inode *inode, uint64_t stored)
{
    struct mend m;
    struct inode_image img;
    meta_to_inode_image(inode, &img);
    img.stored = stored;
    begin(&m, REC_SETATTR);
    rec_inode(&m.r, &img);
    return end(f, &m);
}
