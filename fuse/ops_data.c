/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_data.c: open files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/protect.h"
#include "fuse/fuse.h"

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return fi->fh == OPEN_ONLY_WRITES ? NULL : (struct handle *)(uintptr_t)fi->fh;
}

static void open_virtual(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = calloc(1, sizeof(*h));
    int e = h ? virtual_open(mnt_of(req), ino, h, fi->flags) : ENOMEM;
    if (e) {
        free(h);
        fuse_reply_err(req, e);
        return;
    }
    fi->fh = (uintptr_t)h;
    fi->direct_io = 1;
    fuse_reply_open(req, fi);
}

static bool writes(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/* What the kernel keeps of its attributes (the size on disk, set-id bits) has changed: it asks again. */
static void refresh_attr(struct mnt *m, uint64_t ino)
{
    if (holofs_attr_stale(m->fs, ino))
        fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (virtual_is(ino)) {
        open_virtual(req, ino, fi);
        return;
    }
    int e = holofs_open_file(mnt_of(req)->fs, ino, writes(fi), (fi->flags & O_TRUNC) != 0, session_kills_priv());
    if (e) {
        reply_code(req, e);
        return;
    }
    refresh_attr(mnt_of(req), ino);
    fi->fh = open_kind(fi);
    fi->keep_cache = 1; /* nothing changes below the kernel */
    if (fuse_reply_open(req, fi) == -ENOENT)
        holofs_release_file(mnt_of(req)->fs, ino, writes(fi));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = handle_of(fi);
    if (h) {
        buf_fini(&h->text);
        free(h);
    } else {
        refresh_attr(mnt_of(req), ino);
        holofs_release_file(mnt_of(req)->fs, ino, writes(fi));
    }
    fuse_reply_err(req, 0);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct handle *h = handle_of(fi);
    if (h) {
        size_t at = (uint64_t)off < h->text.len ? (size_t)off : h->text.len;
        size_t n = h->text.len - at < size ? h->text.len - at : size;
        fuse_reply_buf(req, (const char *)h->text.p + at, n);
        return;
    }
    uint8_t *buf = read_buffer(size);
    ssize_t n = buf ? holofs_read(mnt_of(req)->fs, ino, (uint64_t)off, buf, size) : -ENOMEM;
    if (n >= 0 && !(fi->flags & O_NOATIME))
        holofs_accessed(mnt_of(req)->fs, ino);
    if (n < 0)
        reply_code(req, (int)n);
    else
        fuse_reply_buf(req, (const char *)buf, (size_t)n);
}

/*
 * All of it, or what it came to before an error. The kernel takes a short answer to what it writes back for the whole, and an fsync would
 * know nothing of what is missing: there it is the error.
 */
static ssize_t write_all(struct holofs *fs, uint64_t ino, const char *buf, size_t size, uint64_t off, bool kill, bool written_back)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = holofs_write(fs, ino, off + done, buf + done, size - done, kill);
        if (n < 0)
            return done && !written_back ? (ssize_t)done : n;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static bool in_group(fuse_req_t req, uint32_t gid)
{
    gid_t list[256];
    int n = fuse_req_ctx(req)->gid == gid ? 0 : fuse_req_getgroups(req, 256, list);
    for (int k = 0; k < n && k < 256; k++)
        if (list[k] == gid)
            return true;
    return fuse_req_ctx(req)->gid == gid;
}

/*
 * Set-id bits go before others than root change the contents; set-group-id that is not for execution only where they are not of the
 * group: so do other filesystems. Of writes the kernel says that it leaves that to us; of fallocate and copies it says nothing. It
 * keeps the file locked meanwhile, and the old mode in its cache until it is told.
 */
static int drop_set_id(fuse_req_t req, uint64_t ino)
{
    struct holofs *fs = mnt_of(req)->fs;
    struct holofs_attr a;
    int e = holofs_getattr(fs, ino, &a);
    if (e || !(a.mode & (S_ISUID | S_ISGID)))
        return e;
    bool keeps = (a.mode & (S_ISGID | S_IXGRP)) == S_ISGID && in_group(req, a.gid);
    uint32_t mode = a.mode & ~(uint32_t)(S_ISUID | (keeps ? 0 : S_ISGID));
    struct holofs_setattr s = { .set = HOLOFS_SET_MODE, .mode = mode };
    if (mode == a.mode)
        return 0;
    e = holofs_setattr(fs, ino, &s, &a);
    if (!e)
        fuse_lowlevel_notify_inval_inode(mnt_of(req)->session, ino, -1, 0);
    return e;
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    bool kill = session_kills_priv() && !fi->writepage;
    ssize_t n = kill && !virtual_is(ino) ? drop_set_id(req, ino) : 0;
    if (n == 0)
        n = virtual_is(ino) ? virtual_write(mnt_of(req), ino, buf, size)
                            : write_all(mnt_of(req)->fs, ino, buf, size, (uint64_t)off, kill, fi->writepage);
    if (n < 0)
        reply_code(req, (int)n);
    else
        fuse_reply_write(req, virtual_is(ino) ? size : (size_t)n);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    if (!virtual_is(ino))
        refresh_attr(mnt_of(req), ino);
    reply_code(req, virtual_is(ino) ? 0 : holofs_fsync(mnt_of(req)->fs, ino));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    int e = virtual_is(ino) ? -EPERM : fuse_req_ctx(req)->uid ? drop_set_id(req, ino) : 0;
    (void)fi;
    reply_code(req, e ? e : holofs_fallocate(mnt_of(req)->fs, ino, mode, (uint64_t)off, (uint64_t)len));
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    uint64_t out = 0;
    (void)fi;
    /* Rather no answer than a hole where the kernel has data: programs then take all of it for data. */
    int e = virtual_is(ino) || session_unsure() ? -EINVAL : holofs_seek(mnt_of(req)->fs, ino, (uint64_t)off, whence, &out);
    if (e)
        reply_code(req, e);
    else
        fuse_reply_lseek(req, (off_t)out);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t out, off_t off_out,
                        struct fuse_file_info *fi_out, size_t len, int flags)
{
    (void)fi_in;
    (void)fi_out;
    ssize_t n = flags || virtual_is(in) || virtual_is(out) ? -EINVAL : fuse_req_ctx(req)->uid ? drop_set_id(req, out) : 0;
    if (n == 0)
        n = holofs_copy(mnt_of(req)->fs, in, (uint64_t)off_in, out, (uint64_t)off_out, len);
    if (n < 0)
        reply_code(req, (int)n);
    else
        fuse_reply_write(req, (size_t)n);
}

/* Questions of holo protect. What they tell is for those who may read the file. */
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in,
              size_t in_size, size_t out_size)
{
    union {
        struct places places;
        struct judged judged;
    } *q;
    size_t size = cmd == HOLOFS_IOC_PLACES ? sizeof(q->places) : cmd == HOLOFS_IOC_JUDGE ? sizeof(q->judged) : 0;
    (void)arg;
    if (!size || virtual_is(ino) || (flags & FUSE_IOCTL_DIR) || in_size != size || out_size != size) {
        fuse_reply_err(req, ENOTTY);
        return;
    }
    q = malloc(sizeof(*q));
    int e = !q ? -ENOMEM : fi->fh == OPEN_ONLY_WRITES ? -EBADF : 0;
    if (q)
        memcpy(q, in, size);
    if (!e)
        e = cmd == HOLOFS_IOC_PLACES ? holofs_places(mnt_of(req)->fs, ino, &q->places) : holofs_judge(mnt_of(req)->fs, ino, &q->judged);
    if (e)
        reply_code(req, e);
    else
        fuse_reply_ioctl(req, 0, q, size);
    free(q);
}
