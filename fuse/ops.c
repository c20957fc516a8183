/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops.c: attributes, xattrs, statfs; replies; the table of operations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "core/holofs.h"
#include "fuse/fuse.h"

static struct timespec to_timespec(int64_t ns)
{
    struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    return t;
}

/* Times beyond what 64-bit nanoseconds reach are clamped. */
static int64_t to_ns(struct timespec t)
{
    if (t.tv_sec > INT64_C(9223372035))
        return INT64_C(9223372035999999999);
    if (t.tv_sec < -INT64_C(9223372035))
        return -INT64_C(9223372035000000000);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fill_stat(const struct holofs_attr *a, struct stat *st)
{
    *st = (struct stat){ .st_ino = a->ino, .st_mode = a->mode, .st_nlink = a->nlink, .st_uid = a->uid, .st_gid = a->gid,
                         .st_rdev = a->rdev, .st_size = (off_t)a->size, .st_blksize = 131072,
                         .st_blocks = (blkcnt_t)((a->stored + 511) / 512), .st_atim = to_timespec(a->atime_ns),
                         .st_mtim = to_timespec(a->mtime_ns), .st_ctim = to_timespec(a->ctime_ns) };
}

void fill_entry(const struct holofs_attr *a, struct fuse_entry_param *out)
{
    *out = (struct fuse_entry_param){ .ino = a->ino, .generation = a->gen, .attr_timeout = keep_seconds(a), .entry_timeout = KEEP_SECONDS };
    fill_stat(a, &out->attr);
}

void reply_code(fuse_req_t req, int code)
{
    fuse_reply_err(req, holo_errno(code));
}

void reply_entry(fuse_req_t req, int code, const struct holofs_attr *a)
{
    struct fuse_entry_param e;
    if (code) {
        reply_code(req, code);
        return;
    }
    fill_entry(a, &e);
    if (fuse_reply_entry(req, &e) == -ENOENT)
        holofs_forget(mnt_of(req)->fs, a->ino, 1);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct holofs_attr a;
    struct stat st;
    (void)fi;
    if (virtual_is(ino)) {
        virtual_stat(mnt_of(req), ino, &st);
        fuse_reply_attr(req, &st, 0);
        return;
    }
    int e = holofs_getattr(mnt_of(req)->fs, ino, &a);
    if (e) {
        reply_code(req, e);
        return;
    }
    fill_stat(&a, &st);
    fuse_reply_attr(req, &st, keep_seconds(&a));
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *in, int set, struct fuse_file_info *fi)
{
    static const struct {
        int fuse;
        unsigned ours;
    } bits[] = { { FUSE_SET_ATTR_MODE, HOLOFS_SET_MODE }, { FUSE_SET_ATTR_UID, HOLOFS_SET_UID }, { FUSE_SET_ATTR_GID, HOLOFS_SET_GID },
                 { FUSE_SET_ATTR_SIZE, HOLOFS_SET_SIZE }, { FUSE_SET_ATTR_ATIME, HOLOFS_SET_ATIME },
                 { FUSE_SET_ATTR_MTIME, HOLOFS_SET_MTIME }, { FUSE_SET_ATTR_CTIME, HOLOFS_SET_CTIME },
                 { FUSE_SET_ATTR_ATIME_NOW, HOLOFS_SET_ATIME_NOW }, { FUSE_SET_ATTR_MTIME_NOW, HOLOFS_SET_MTIME_NOW } };
    struct holofs_setattr s = { .mode = in->st_mode, .uid = in->st_uid, .gid = in->st_gid, .size = (uint64_t)in->st_size,
                                .atime_ns = to_ns(in->st_atim), .mtime_ns = to_ns(in->st_mtim), .ctime_ns = to_ns(in->st_ctim) };
    struct holofs_attr a;
    struct stat st;
    (void)fi;
    if (virtual_is(ino)) { /* O_TRUNC on control */
        virtual_stat(mnt_of(req), ino, &st);
        if (set & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME | FUSE_SET_ATTR_MTIME_NOW))
            fuse_reply_err(req, EPERM);
        else
            fuse_reply_attr(req, &st, 0);
        return;
    }
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        s.set |= set & bits[i].fuse ? bits[i].ours : 0;
    if (session_kills_priv())
        s.set |= HOLOFS_SET_KILL_PRIV;
    int e = holofs_setattr(mnt_of(req)->fs, ino, &s, &a);
    if (e) {
        reply_code(req, e);
        return;
    }
    fill_stat(&a, &st);
    fuse_reply_attr(req, &st, keep_seconds(&a));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct holofs_space s;
    (void)ino;
    int e = holofs_statfs(mnt_of(req)->fs, &s);
    if (e) {
        reply_code(req, e);
        return;
    }
    struct statvfs v = { .f_bsize = 131072, .f_frsize = 4096, .f_blocks = s.total_bytes / 4096, .f_bfree = s.free_bytes / 4096,
                         .f_bavail = s.avail_bytes / 4096, .f_files = s.files, .f_ffree = s.free_files, .f_favail = s.free_files,
                         .f_namemax = 255 };
    fuse_reply_statfs(req, &v);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    if (session_acl_clears_sgid())
        flags |= HOLOFS_XATTR_CLEAR_SGID;
    reply_code(req, virtual_is(ino) ? -EPERM : holofs_setxattr(mnt_of(req)->fs, ino, name, value ? value : "", size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    reply_code(req, virtual_is(ino) ? -EPERM : holofs_removexattr(mnt_of(req)->fs, ino, name));
}

/* Values and lists: size 0 asks how long it is. */
static void reply_sized(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
    if (n < 0)
        reply_code(req, (int)n);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else
        fuse_reply_buf(req, buf, (size_t)n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    char *buf = size ? malloc(size) : NULL;
    ssize_t n = size && !buf ? -ENOMEM : virtual_is(ino) ? -ENODATA : holofs_getxattr(mnt_of(req)->fs, ino, name, buf, size);
    reply_sized(req, n, buf, size);
    free(buf);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    char *buf = size ? malloc(size) : NULL;
    ssize_t n = size && !buf ? -ENOMEM : virtual_is(ino) ? 0 : holofs_listxattr(mnt_of(req)->fs, ino, buf, size);
    reply_sized(req, n, buf, size);
    free(buf);
}

/* No flush: writes have told their errors, and without it the kernel saves a request at every close. */
const struct fuse_lowlevel_ops *mount_ops(void)
{
    static const struct fuse_lowlevel_ops ops = {
        .init = session_init, .lookup = op_lookup, .forget = op_forget, .forget_multi = op_forget_multi, .getattr = op_getattr,
        .setattr = op_setattr, .readlink = op_readlink, .mknod = op_mknod, .mkdir = op_mkdir, .unlink = op_unlink, .rmdir = op_rmdir,
        .symlink = op_symlink, .rename = op_rename, .link = op_link, .open = op_open, .read = op_read, .write = op_write,
        .release = op_release, .fsync = op_fsync, .opendir = op_opendir, .readdir = op_readdir,
        .readdirplus = op_readdirplus, .releasedir = op_releasedir, .fsyncdir = op_fsyncdir, .statfs = op_statfs,
        .setxattr = op_setxattr, .getxattr = op_getxattr, .listxattr = op_listxattr, .removexattr = op_removexattr,
        .create = op_create, .fallocate = op_fallocate, .lseek = op_lseek, .copy_file_range = op_copy_file_range,
        .ioctl = op_ioctl,
    };
    return &ops;
}
