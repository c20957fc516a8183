/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_name.c: names and directories. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "fuse/fuse.h"

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct holofs_attr a;
    struct fuse_entry_param e = { .ino = virtual_lookup(parent, name) };
    if (e.ino) {
        virtual_stat(mnt_of(req), e.ino, &e.attr);
        e.entry_timeout = KEEP_SECONDS;
        fuse_reply_entry(req, &e);
        return;
    }
    int r = virtual_is(parent) ? -ENOENT : holofs_lookup(mnt_of(req)->fs, parent, name, &a);
    if (r == -ENOENT && !virtual_is(parent)) { /* a negative entry: the kernel may keep it */
        e.entry_timeout = KEEP_SECONDS;
        fuse_reply_entry(req, &e);
        return;
    }
    reply_entry(req, r, &a);
}

static void forget(struct mnt *m, uint64_t ino, uint64_t n)
{
    if (!virtual_is(ino) && ino != FUSE_ROOT_ID)
        holofs_forget(m->fs, ino, n);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    forget(mnt_of(req), ino, n);
    fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget(mnt_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

/* Names in .holo, and .holo itself, are not for users to change. */
static bool forbidden(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (!virtual_is(parent) && (!name || !virtual_lookup(parent, name)))
        return false;
    fuse_reply_err(req, EPERM);
    return true;
}

static struct holofs_cred cred_of(fuse_req_t req)
{
    const struct fuse_ctx *c = fuse_req_ctx(req);
    return (struct holofs_cred){ .uid = c->uid, .gid = c->gid, .umask = c->umask };
}

static int make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev, const char *target, struct holofs_attr *a)
{
    struct holofs_cred cred = cred_of(req);
    return holofs_create(mnt_of(req)->fs, &cred, parent, name, mode, (uint32_t)rdev, target, a);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct holofs_attr a;
    if (!forbidden(req, parent, name))
        reply_entry(req, make(req, parent, name, mode, rdev, NULL, &a), &a);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct holofs_attr a;
    if (!forbidden(req, parent, name))
        reply_entry(req, make(req, parent, name, S_IFDIR | mode, 0, NULL, &a), &a);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct holofs_attr a;
    if (!forbidden(req, parent, name))
        reply_entry(req, make(req, parent, name, S_IFLNK | 0777, 0, target, &a), &a);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct holofs_attr a;
    struct fuse_entry_param e;
    name = session_creates_unnamed() ? NULL : name;
    if (forbidden(req, parent, name))
        return;
    int r = make(req, parent, name, S_IFREG | (mode & 07777), 0, NULL, &a);
    if (!r) {
        r = holofs_open_file(mnt_of(req)->fs, a.ino, true, false, false);
        if (r)
            holofs_forget(mnt_of(req)->fs, a.ino, 1);
    }
    if (r) {
        reply_code(req, r);
        return;
    }
    fill_entry(&a, &e);
    fi->keep_cache = 1;
    fi->fh = open_kind(fi);
    if (fuse_reply_create(req, &e, fi) == -ENOENT) {
        holofs_release_file(mnt_of(req)->fs, a.ino, true);
        holofs_forget(mnt_of(req)->fs, a.ino, 1);
    }
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct holofs_attr a;
    if (!forbidden(req, parent, name))
        reply_entry(req, virtual_is(ino) ? -EPERM : holofs_link(mnt_of(req)->fs, ino, parent, name, &a), &a);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (!forbidden(req, parent, name))
        reply_code(req, holofs_unlink(mnt_of(req)->fs, parent, name));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (!forbidden(req, parent, name))
        reply_code(req, holofs_rmdir(mnt_of(req)->fs, parent, name));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name, unsigned flags)
{
    if (!forbidden(req, parent, name) && !forbidden(req, to, to_name))
        reply_code(req, holofs_rename(mnt_of(req)->fs, parent, name, to, to_name, flags));
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[4097];
    int n = virtual_is(ino) ? -EINVAL : holofs_readlink(mnt_of(req)->fs, ino, target, sizeof(target));
    if (n < 0)
        reply_code(req, n);
    else
        fuse_reply_readlink(req, target);
}

/* ---- directories ---- */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = calloc(1, sizeof(*h));
    int e = h ? 0 : -ENOMEM;
    if (h)
        h->virtual_index = virtual_is(ino) ? 0 : -1;
    if (!e && h->virtual_index < 0)
        e = holofs_opendir(mnt_of(req)->fs, ino, &h->dir);
    if (e) {
        free(h);
        reply_code(req, e);
        return;
    }
    fi->fh = (uintptr_t)h;
    fi->cache_readdir = h->virtual_index < 0;
    fi->keep_cache = 0;
    if (fuse_reply_open(req, fi) == -ENOENT)
        op_releasedir(NULL, ino, fi);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    (void)ino;
    if (h->dir)
        holofs_closedir(h->dir);
    free(h);
    if (req)
        fuse_reply_err(req, 0);
}

/* One entry into the buffer: the bytes it takes; more than `left` means it did not fit. */
static size_t put_entry(fuse_req_t req, char *p, size_t left, const struct holofs_dirent *d, bool plus)
{
    if (!plus) {
        struct stat st = { .st_ino = d->ino, .st_mode = DTTOIF(d->type) };
        return fuse_add_direntry(req, p, left, d->name, &st, (off_t)d->next);
    }
    struct fuse_entry_param e = { .attr = { .st_ino = d->ino, .st_mode = DTTOIF(d->type) } };
    struct holofs_attr a;
    size_t need = fuse_add_direntry_plus(req, NULL, 0, d->name, &e, (off_t)d->next);
    if (need > left)
        return need;
    bool dots = strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0;
    if (!dots && holofs_get(mnt_of(req)->fs, d->ino, &a) == 0) {
        if (a.nlink)
            fill_entry(&a, &e);
        else
            holofs_forget(mnt_of(req)->fs, d->ino, 1);
    }
    return fuse_add_direntry_plus(req, p, left, d->name, &e, (off_t)d->next);
}

/* The next entry of .holo. */
static int virtual_dirent(uint64_t off, struct holofs_dirent *d)
{
    *d = (struct holofs_dirent){ .next = off + 1, .type = 4 };
    if (off < 2) {
        d->name = off ? ".." : ".";
        d->ino = FUSE_ROOT_ID;
        return 1;
    }
    d->name = virtual_name((unsigned)off - 2, &d->ino);
    d->type = 8;
    return d->name != NULL;
}

static void list(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    struct holofs_dirent d;
    char *buf = malloc(size);
    size_t n = 0;
    int r = buf ? 1 : -ENOMEM;
    uint64_t at = (uint64_t)off;
    plus = plus && h->dir;
    while (r > 0) {
        r = h->dir ? holofs_readdir(h->dir, at, &d) : virtual_dirent(at, &d);
        if (r <= 0)
            break;
        size_t used = put_entry(req, buf + n, size - n, &d, plus);
        if (used > size - n)
            break;
        n += used;
        at = d.next;
    }
    if (r < 0 && n == 0)
        reply_code(req, r);
    else
        fuse_reply_buf(req, buf, n);
    free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)ino;
    list(req, size, off, fi, false);
}

/* .holo is listed without attributes, but in the form that was asked for. */
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    (void)ino;
    if (h->dir) {
        list(req, size, off, fi, true);
        return;
    }
    struct holofs_dirent d;
    char *buf = malloc(size);
    size_t n = 0;
    for (uint64_t at = (uint64_t)off; buf && virtual_dirent(at, &d) > 0; at = d.next) {
        struct fuse_entry_param e = { .attr = { .st_ino = d.ino, .st_mode = DTTOIF(d.type) } };
        size_t used = fuse_add_direntry_plus(req, buf + n, size - n, d.name, &e, (off_t)d.next);
        if (used > size - n)
            break;
        n += used;
    }
    fuse_reply_buf(req, buf, n);
    free(buf);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    reply_code(req, virtual_is(ino) ? 0 : holofs_fsync(mnt_of(req)->fs, 0));
}
