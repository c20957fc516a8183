/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuse.h: what the files of fuse/ share. This layer translates requests, calls libholofs and replies exactly
 * once; it keeps no state of files but open handles.
 */
#ifndef HOLO_FUSE_FUSE_H
#define HOLO_FUSE_FUSE_H

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdbool.h>

#include "core/holofs.h"

/* Attributes and names change only through this mount: the kernel may keep them. */
#define KEEP_SECONDS 86400.0
/* … but for what files take on disk while they are open */
#define OPEN_SECONDS 1.0

/* One mount. */
struct mnt {
    struct holofs *fs;
    struct fuse_session *session;
    bool killpriv_v2, setxattr_ext; /* the kernel offers them */
    bool read_only;
    unsigned threads;
    _Atomic unsigned busy; /* requests that workers have or will get */
    int answering; /* pipe to the starting process, told when the mount answers; -1 */
    const char *target; /* absolute */
    dev_t dev;          /* of its files; 0: not known */
    int stop_fd;        /* requests to end (stop.c) */
    unsigned reads;     /* the receiver's */
    bool draining;      /* it answers what is left before the end */
};

struct mount_options {
    struct holofs_options store;
    const char *source, *target; /* as given */
    bool foreground, debug, clear_stale;
    unsigned threads;
    char fuse_opts[1024];        /* for fuse_session_mount, comma-separated */
    char engine[32], spare[PATH_MAX];
};

/*
 * Parse the command line (docs/man/holofs.8). Returns 0, or the exit code after one line on standard error
 * (16: usage), or -1 when help or version was asked for and printed.
 */
int mount_options_parse(int argc, char **argv, struct mount_options *out);

/* Serve requests until unmounted or asked to end (loop.c). Returns 0 or a negative errno. */
int loop_run(struct mnt *m);
/* Read the next request from the kernel, as read(2). */
ssize_t loop_read(struct mnt *m, int fd, void *buf, size_t len);

/* What the hook saw in a request, to travel with it to the thread that answers. */
struct request_notes {
    bool kills_priv;
    bool resizes; /* truncates or grows a file */
    bool unnamed; /* a create without a name */
    bool unsure;  /* lseek: the kernel may have bytes that are not known here */
    bool acl_clears_sgid; /* the setter of an access ACL may not keep set-gid */
    uint32_t opcode;
    uint64_t started_ns;
};
void session_get_notes(struct request_notes *out);
void session_set_notes(const struct request_notes *n);

/* Negotiate features (INIT); hooks the reply for what libfuse does not know yet. */
int session_hook(struct mnt *m);
void session_init(void *userdata, struct fuse_conn_info *conn);

/* Did the kernel ask that the write, truncation or change of owner in hand drops privileges? Valid in the thread that handles it. */
bool session_kills_priv(void);
/* Does the access ACL in hand come from someone who may not keep the file's set-group-id bit? */
bool session_acl_clears_sgid(void);
/* Is the create in hand one without a name (O_TMPFILE)? */
bool session_creates_unnamed(void);
/* Could it not be had what the kernel knows of this file (lseek)? */
bool session_unsure(void);

/* ---- what is mounted where (mounts.c) ---- */
struct mount_point {
    unsigned id, major, minor;
    char type[64], source[PATH_MAX];
};

/* How many mounts lie over each other at exactly this absolute path, and the topmost. */
unsigned mounts_at(const char *target, struct mount_point *top);

/* realpath for a mount point, also when a dead mount there does not answer. 0 or a negative errno. */
int mounts_resolve(const char *given, char target[PATH_MAX]);

/*
 * May something be mounted there? -ENOTCONN: a dead FUSE mount is in the way; -EBUSY: holofs is mounted there and answers. `why`
 * then says in one line what it is and how to clear it. With `clear`, dead mounts of holofs are no obstacle. *dead: there is a dead one.
 */
int mounts_check(const char *target, bool clear, bool *dead, char *why, size_t cap);

/* Take dead mounts of holofs away, and nothing else; errors as above. */
int mounts_clear(const char *target, char *why, size_t cap);

/* ---- signals (stop.c) ---- */

/* Signals that would end or stop the process by accident do nothing from here on. */
void stop_ignore_accidents(void);
/* SIGTERM, SIGINT and SIGHUP ask for the end from here on: the descriptor that says so (it lasts as long as the process), or a negative errno. */
int stop_init(void);
void stop_request(int fd);
/* Requests since the last call. */
unsigned stop_requests(int fd);

/* ---- what the kernel has and we do not (flush.c); for a thread that answers nobody ---- */

/* Give this thread a table of files of its own with nothing in it but keep_fd and what is below 3. */
int flush_prepare(int keep_fd);
/* Have one file's dirty pages written, or those of all. 0 or a negative errno. */
int flush_file(const struct mnt *m, uint64_t ino, uint32_t gen);
int flush_all(const struct mnt *m);

/* The operations, and which of them are timed under what name. */
const struct fuse_lowlevel_ops *mount_ops(void);

/* Replies that translate codes. */
static inline struct mnt *mnt_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}
void reply_code(fuse_req_t req, int code);
void reply_entry(fuse_req_t req, int code, const struct holofs_attr *a);
void fill_entry(const struct holofs_attr *a, struct fuse_entry_param *out);
static inline double keep_seconds(const struct holofs_attr *a)
{
    return a->settled ? KEEP_SECONDS : OPEN_SECONDS;
}
void fill_stat(const struct holofs_attr *a, struct stat *st);

/* A buffer of this thread for a read of size bytes, as holofs_read wants it; valid until the next call. */
uint8_t *read_buffer(size_t size);

/* What an open file or directory handle points to. */
struct handle {
    struct holofs_dir *dir; /* a directory */
    struct buf text;        /* a virtual file: its contents as of open, or what is written */
    int virtual_index;      /* -1: not virtual */
};

/* What an ordinary file is opened as: its handle is no pointer. */
enum { OPEN_READS = 0, OPEN_ONLY_WRITES = 1 };
static inline uint64_t open_kind(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) == O_WRONLY ? OPEN_ONLY_WRITES : OPEN_READS;
}

/* ---- .holo (virtual.c) ---- */
bool virtual_is(uint64_t ino);
/* Does opening it take more than memory? */
bool virtual_is_slow(uint64_t ino);
/* Inode of a name in the root or in .holo; 0 if it is none of ours. */
uint64_t virtual_lookup(uint64_t parent, const char *name);
void virtual_stat(struct mnt *m, uint64_t ino, struct stat *st);
/* Fill a handle; 0 or an errno. */
int virtual_open(struct mnt *m, uint64_t ino, struct handle *h, int flags);
/* Names in .holo by index; NULL behind the last. */
const char *virtual_name(unsigned i, uint64_t *ino);
/* A write to control or scrub; 0 or a negative code. */
int virtual_write(struct mnt *m, uint64_t ino, const char *text, size_t len);

/* Operations by file. */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name, unsigned flags);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in,
              size_t in_size, size_t out_size);
void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t out, off_t off_out,
                        struct fuse_file_info *fi_out, size_t len, int flags);

#endif
