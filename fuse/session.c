/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.c: talk to the kernel: features, and a hook under libfuse's I/O.
 *
 * The hook exists for what libfuse 3.14 does not know. HANDLE_KILLPRIV_V2: without it the kernel asks for
 * security.capability before every write. The INIT reply gets the flag when the kernel offered it, and
 * requests that say «drop privileges» are remembered for the thread that handles them (linux/fuse.h). TMPFILE:
 * O_TMPFILE. SETXATTR_EXT: an ACL set by someone outside the file's group takes its set-group-id bit.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fuse/fuse.h"

/* What the request in hand said that libfuse drops. One request at a time per thread. */
static _Thread_local struct request_notes current;

void session_get_notes(struct request_notes *out)
{
    *out = current;
}

void session_set_notes(const struct request_notes *n)
{
    current = *n;
}

bool session_kills_priv(void)
{
    return current.kills_priv;
}

bool session_creates_unnamed(void)
{
    return current.unnamed;
}

bool session_acl_clears_sgid(void)
{
    return current.acl_clears_sgid;
}

bool session_unsure(void)
{
    return current.unsure;
}

static const char *op_name(uint32_t opcode)
{
    static const char *const names[HOLOFS_OPS_MAX] = {
        [FUSE_LOOKUP] = "lookup", [FUSE_FORGET] = "forget", [FUSE_GETATTR] = "getattr", [FUSE_SETATTR] = "setattr",
        [FUSE_READLINK] = "readlink", [FUSE_SYMLINK] = "symlink", [FUSE_MKNOD] = "mknod", [FUSE_MKDIR] = "mkdir",
        [FUSE_UNLINK] = "unlink", [FUSE_RMDIR] = "rmdir", [FUSE_RENAME] = "rename", [FUSE_LINK] = "link", [FUSE_OPEN] = "open",
        [FUSE_READ] = "read", [FUSE_WRITE] = "write", [FUSE_STATFS] = "statfs", [FUSE_RELEASE] = "release", [FUSE_FSYNC] = "fsync",
        [FUSE_SETXATTR] = "setxattr", [FUSE_GETXATTR] = "getxattr", [FUSE_LISTXATTR] = "listxattr", [FUSE_REMOVEXATTR] = "removexattr",
        [FUSE_FLUSH] = "flush", [FUSE_OPENDIR] = "opendir", [FUSE_READDIR] = "readdir", [FUSE_RELEASEDIR] = "releasedir",
        [FUSE_FSYNCDIR] = "fsyncdir", [FUSE_CREATE] = "create", [FUSE_FALLOCATE] = "fallocate", [FUSE_READDIRPLUS] = "readdirplus",
        [FUSE_RENAME2] = "rename2", [FUSE_LSEEK] = "lseek", [FUSE_IOCTL] = "ioctl", [FUSE_COPY_FILE_RANGE] = "copy_file_range",
    };
    return opcode < HOLOFS_OPS_MAX ? names[opcode] : NULL;
}

/* O_TMPFILE, which libfuse 3.14 does not know, is a create whose name does not count: its body is the same. */
static void rename_tmpfile(struct fuse_in_header *h)
{
    current.unnamed = h->opcode == FUSE_TMPFILE;
    if (current.unnamed)
        h->opcode = FUSE_CREATE;
}

static void note_request(struct mnt *m, void *buf, size_t len)
{
    struct fuse_in_header *h = buf;
    const char *body = (const char *)buf + sizeof(*h);
    size_t n = len - sizeof(*h);
    rename_tmpfile(h);
    current.kills_priv = current.resizes = current.unsure = current.acl_clears_sgid = false;
    current.opcode = h->opcode;
    current.started_ns = clock_mono_ns();
    if (h->opcode == FUSE_WRITE && n >= sizeof(struct fuse_write_in)) {
        struct fuse_write_in w;
        memcpy(&w, body, sizeof(w));
        current.kills_priv = w.write_flags & FUSE_WRITE_KILL_SUIDGID;
    } else if (h->opcode == FUSE_SETATTR && n >= sizeof(struct fuse_setattr_in)) {
        struct fuse_setattr_in s;
        memcpy(&s, body, sizeof(s));
        current.kills_priv = s.valid & FATTR_KILL_SUIDGID;
        current.resizes = s.valid & FATTR_SIZE;
    } else if (h->opcode == FUSE_OPEN && n >= sizeof(struct fuse_open_in)) {
        struct fuse_open_in o;
        memcpy(&o, body, sizeof(o));
        current.resizes = o.flags & O_TRUNC;
        current.kills_priv = !m->killpriv_v2 || (o.open_flags & FUSE_OPEN_KILL_SUIDGID);
    } else if (h->opcode == FUSE_INIT && n >= 4 * sizeof(uint32_t)) {
        struct fuse_init_in i = { 0 };
        memcpy(&i, body, n < sizeof(i) ? n : sizeof(i));
        m->killpriv_v2 = i.flags & FUSE_HANDLE_KILLPRIV_V2;
        m->setxattr_ext = i.flags & FUSE_SETXATTR_EXT;
    }
}

/* Take out of a setxattr what SETXATTR_EXT put into it: libfuse gets the request as it was before. Returns its new length. */
static size_t shorten_setxattr(struct fuse_in_header *h, size_t len)
{
    struct fuse_setxattr_in x;
    char *body = (char *)(h + 1);
    if (len < sizeof(*h) + sizeof(x))
        return len;
    memcpy(&x, body, sizeof(x));
    current.acl_clears_sgid = x.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
    memmove(body + FUSE_COMPAT_SETXATTR_IN_SIZE, body + sizeof(x), len - sizeof(*h) - sizeof(x));
    len -= sizeof(x) - FUSE_COMPAT_SETXATTR_IN_SIZE;
    h->len = (uint32_t)len;
    return len;
}

static ssize_t hook_read(int fd, void *buf, size_t len, void *userdata)
{
    ssize_t n = loop_read(userdata, fd, buf, len);
    struct mnt *m = userdata;
    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return n;
    note_request(m, buf, (size_t)n);
    return m->setxattr_ext && current.opcode == FUSE_SETXATTR ? (ssize_t)shorten_setxattr(buf, (size_t)n) : n;
}

static void count_reply(struct mnt *m, const struct iovec *iov)
{
    struct fuse_out_header h;
    const char *name = op_name(current.opcode);
    if (!name || !m->fs || iov[0].iov_len < sizeof(h))
        return;
    memcpy(&h, iov[0].iov_base, sizeof(h));
    if (h.unique) /* else the kernel is told something besides */
        holofs_count_op(m->fs, current.opcode, name, clock_mono_ns() - current.started_ns, h.error != 0);
}

static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct mnt *m = userdata;
    if (current.opcode == FUSE_INIT && count >= 2 && iov[1].iov_len >= 24) {
        struct fuse_init_out *out = iov[1].iov_base;
        out->flags |= (m->killpriv_v2 ? FUSE_HANDLE_KILLPRIV_V2 : 0) | (m->setxattr_ext ? FUSE_SETXATTR_EXT : 0);
    }
    count_reply(m, iov);
    return writev(fd, iov, count);
}

int session_hook(struct mnt *m)
{
    static const struct fuse_custom_io io = { .writev = hook_writev, .read = hook_read };
    return fuse_session_custom_io(m->session, &io, fuse_session_fd(m->session));
}

void session_init(void *userdata, struct fuse_conn_info *conn)
{
    struct mnt *m = userdata;
    /*
     * ASYNC_DIO only where nobody writes: Linux 6.18 drops cached pages after a direct write only if that is synchronous; a
     * buffered read beside an asynchronous one would leave old bytes in the page cache for good (docs/adr/0010).
     */
    static const unsigned wanted[] = { FUSE_CAP_ASYNC_READ, FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_EXPORT_SUPPORT, FUSE_CAP_DONT_MASK,
                                       FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_WRITEBACK_CACHE,
                                       FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_POSIX_ACL, FUSE_CAP_CACHE_SYMLINKS };
    conn->want = 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        conn->want |= conn->capable & wanted[i];
    if (m->read_only)
        conn->want |= conn->capable & FUSE_CAP_ASYNC_DIO;
    if (conn->want & FUSE_CAP_WRITEBACK_CACHE)
        holofs_times_from_above(m->fs);
    holofs_forgets_come(m->fs);
    conn->max_write = 1u << 20;
    conn->max_background = 16;
    conn->congestion_threshold = 12;
    conn->time_gran = 1;
    if (m->answering >= 0) { /* the mount answers from here on */
        if (write(m->answering, "", 1) != 1)
            log_warn("the starting process is gone");
        close(m->answering);
        m->answering = -1;
    }
}

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    pthread_key_create(&buffer_key, free);
}

uint8_t *read_buffer(size_t size)
{
    pthread_once(&buffer_once, make_key);
    size_t need = (size + 4095) / 4096 * 4096 + 4096, cap = need + 4096;
    size_t *old = pthread_getspecific(buffer_key);
    if (!old || *old < cap) {
        free(old);
        pthread_setspecific(buffer_key, NULL);
        old = aligned_alloc(4096, cap);
        if (!old)
            return NULL;
        *old = cap; /* the first page holds the size */
        pthread_setspecific(buffer_key, old);
    }
    return (uint8_t *)old + 4096;
}
