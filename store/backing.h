/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backing.h: the directory a store lives in, and the files in it, behind two small vtables.
 *
 * Three implementations stand below everything: a POSIX directory, one in memory, and a layer over either
 * that injects faults (seeded). Names are relative paths such as "containers/000/0000002a.hc".
 * All methods are thread-safe unless said otherwise. Errors are negative codes.
 */
#ifndef HOLO_STORE_BACKING_H
#define HOLO_STORE_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct bfile;
struct backing;

enum {
    BACKING_READ = 0,
    BACKING_WRITE = 1,   /* read and write */
    BACKING_CREATE = 2,  /* create if missing */
    BACKING_EXCL = 4,    /* with CREATE: -EEXIST if it exists */
    BACKING_TRUNC = 8,
    BACKING_DIRECT = 16, /* past the page cache (O_DIRECT): offsets, lengths and buffers are multiples of 4096 */
};

struct bfile_ops {
    /* Read exactly len bytes, or return a negative code; a file that ends earlier is -HOLO_ETRUNC. */
    int (*pread)(struct bfile *f, void *buf, size_t len, uint64_t off);
    /* Write all of it; a short write is retried, then an error. The file grows as needed. */
    int (*pwritev)(struct bfile *f, const struct iovec *iov, int n, uint64_t off);
    int (*datasync)(struct bfile *f);
    int (*size)(struct bfile *f, uint64_t *out_bytes);
    int (*truncate)(struct bfile *f, uint64_t size_bytes);
    /* Allocate and zero-fill [0, size) so that later writes need no new space. */
    int (*preallocate)(struct bfile *f, uint64_t size_bytes);
    void (*close)(struct bfile *f);
};

struct bfile {
    const struct bfile_ops *ops;
};

/* One of several writes, each durable when rc is 0. */
struct backing_write {
    struct bfile *f;
    const void *buf;
    size_t len;
    uint64_t off;
    int rc;
};

struct backing_space {
    uint64_t total_bytes, free_bytes; /* free: for an ordinary user */
};

struct backing_ops {
    int (*open)(struct backing *b, const char *name, int flags, struct bfile **out);
    int (*unlink)(struct backing *b, const char *name);
    int (*rename)(struct backing *b, const char *from, const char *to); /* replaces */
    int (*mkdir)(struct backing *b, const char *name);                  /* 0 also if it exists */
    int (*sync_dir)(struct backing *b, const char *name);               /* "" is the store itself */
    /* Call cb for every name in a directory, in any order; cb returns 0 to go on. */
    int (*list)(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg);
    int (*space)(struct backing *b, struct backing_space *out);
    /* For backing_write_durably(). False: nothing was done. Else what has rc -EAGAIN is to be written in the ordinary way. May be NULL. */
    bool (*write_durably)(struct backing *b, struct backing_write *w, size_t n, void (*beside)(void *arg), void *arg);
    void (*close)(struct backing *b);
};

struct backing {
    const struct backing_ops *ops;
};

/* Convenience: one buffer. */
int bfile_pwrite(struct bfile *f, const void *buf, size_t len, uint64_t off);

/*
 * Write all of it and make each durable, at the same time where that is possible and no file grows, so in any order. Files are b's, opened with DIRECT, and buffers
 * aligned for that. beside, unless it is NULL, is called meanwhile in the caller's thread, always. Returns the first error among them.
 */
int backing_write_durably(struct backing *b, struct backing_write *w, size_t n, void (*beside)(void *arg), void *arg);

/* A directory that exists. With DIRECT refused by its filesystem, files opened with it drop their pages first instead. */
int backing_posix_open(const char *path, bool read_only, struct backing **out);

/* The descriptor of the directory, for locking and paths; -1 if it is not a POSIX one. */
int backing_posix_fd(const struct backing *b);

/* An empty directory in memory; total_bytes bounds what it takes (then -ENOSPC). */
int backing_memory_create(uint64_t total_bytes, struct backing **out);

/*
 * Faults over another backing, which stays the caller's. Rules are checked in order for every call; the
 * first that matches acts. A rule with count 0 acts for ever, else it is used up after count hits.
 */
enum fault_op { FAULT_READ = 1, FAULT_WRITE = 2, FAULT_SYNC = 4, FAULT_OPEN = 8, FAULT_UNLINK = 16, FAULT_CREATE = 32 /* opens for writing, mkdir */ };
enum fault_kind {
    FAULT_ERROR,      /* return -err, do nothing */
    FAULT_FLIP,       /* flip one seeded bit in the data read or written */
    FAULT_TORN,       /* write only a seeded prefix, report success */
    FAULT_DROP,       /* write nothing, report success */
    FAULT_MISDIRECT,  /* write 4096 bytes further, report success */
    FAULT_SHORT,      /* write only a seeded prefix and fail with -err */
    FAULT_SYNC_FORGET /* fail the sync with -err and drop what was written since the last one */
};

struct fault_rule {
    unsigned ops;          /* fault_op bits */
    enum fault_kind kind;
    int err;               /* positive errno */
    const char *name;      /* fnmatch pattern; NULL = any file */
    uint64_t from, to;     /* only calls that touch bytes [from, to) of the file; 0, 0 = any */
    uint64_t after, count; /* skip the first `after` matches; then act `count` times */
};

int backing_fault_create(struct backing *lower, uint64_t seed, struct backing **out);
void backing_fault_add(struct backing *fault, const struct fault_rule *rule); /* copied; strings must live on */
void backing_fault_clear(struct backing *fault);
/* Calls that a rule has acted on so far. */
uint64_t backing_fault_hits(const struct backing *fault);
/* Calls seen so far that change something (writes, syncs, unlinks, renames). */
uint64_t backing_fault_writes(const struct backing *fault);
/* After this many changing calls everything fails with -EIO and changes nothing: a crash point. */
void backing_fault_cut_after(struct backing *fault, uint64_t writes);

/*
 * A power cut: track() from the start, so that each write saves what it overwrites; then lose() takes back a
 * seeded subset of the 4 KiB sectors written since each file's last sync, also when everything is cut already.
 * Names are kept: creations, renames and unlinks count as durable at once. Nothing may run beside lose().
 */
void backing_fault_track(struct backing *fault);
void backing_fault_lose(struct backing *fault);

#endif
