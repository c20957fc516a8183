/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_data.c: open files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fuse/fuse.h"

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

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (virtual_is(ino)) {
        open_virtual(req, ino, fi);
        return;
    }
    int e = holofs_open_file(mnt_of(req)->fs, ino, writes(fi), (fi->flags & O_TRUNC) != 0);
    if (e) {
        reply_code(req, e);
        return;
    }
    fi->fh = 0;
    fi->keep_cache = 1; /* nothing changes below the kernel */
    if (fuse_reply_open(req, fi) == -ENOENT)
        holofs_release_file(mnt_of(req)->fs, ino, writes(fi));
}

/* Sizes on disk that the kernel keeps have changed: it asks again. */
static void refresh_attr(struct mnt *m, uint64_t ino)
{
    if (holofs_attr_stale(m->fs, ino))
        fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
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
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
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

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    bool kill = session_write_kills_priv() && !fi->writepage;
    ssize_t n = virtual_is(ino) ? virtual_write(mnt_of(req), ino, buf, size)
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
    (void)fi;
    reply_code(req, virtual_is(ino) ? -EPERM : holofs_fallocate(mnt_of(req)->fs, ino, mode, (uint64_t)off, (uint64_t)len));
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
    ssize_t n = flags || virtual_is(in) || virtual_is(out)
                    ? -EINVAL
                    : holofs_copy(mnt_of(req)->fs, in, (uint64_t)off_in, out, (uint64_t)off_out, len);
    if (n < 0)
        reply_code(req, (int)n);
    else
        fuse_reply_write(req, (size_t)n);
}
