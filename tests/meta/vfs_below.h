/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfs_below.h: a VFS of sqlite's between that of the index and the default one, for tests that make calls fail.
 *
 * A test writes the methods that fail, and takes the others from here: each passes its call on.
 */
#ifndef HOLO_TESTS_META_VFS_BELOW_H
#define HOLO_TESTS_META_VFS_BELOW_H

#include <sqlite3.h>

struct below_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *below_real, below_vfs; /* sqlite's VFS takes no context of ours */

static inline sqlite3_file *below_of(sqlite3_file *f)
{
    return ((struct below_file *)(void *)f)->real;
}

#define PASS(f, method, ...) below_of(f)->pMethods->method(below_of(f), ##__VA_ARGS__)

static inline int pass_close(sqlite3_file *f) { return PASS(f, xClose); }
static inline int pass_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off) { return PASS(f, xRead, p, n, off); }
static inline int pass_size(sqlite3_file *f, sqlite3_int64 *n) { return PASS(f, xFileSize, n); }
static inline int pass_lock(sqlite3_file *f, int level) { return PASS(f, xLock, level); }
static inline int pass_unlock(sqlite3_file *f, int level) { return PASS(f, xUnlock, level); }
static inline int pass_reserved(sqlite3_file *f, int *out) { return PASS(f, xCheckReservedLock, out); }
static inline int pass_control(sqlite3_file *f, int op, void *arg) { return PASS(f, xFileControl, op, arg); }
static inline int pass_sector(sqlite3_file *f) { return PASS(f, xSectorSize); }
static inline int pass_device(sqlite3_file *f) { return PASS(f, xDeviceCharacteristics); }
static inline int pass_map(sqlite3_file *f, int i, int n, int extend, void volatile **p) { return PASS(f, xShmMap, i, n, extend, p); }
static inline int pass_shm_lock(sqlite3_file *f, int off, int n, int flags) { return PASS(f, xShmLock, off, n, flags); }
static inline void pass_barrier(sqlite3_file *f) { PASS(f, xShmBarrier); }
static inline int pass_unmap(sqlite3_file *f, int del) { return PASS(f, xShmUnmap, del); }

/* The rest of an xOpen: `fails` says that it shall fail. */
static inline int below_open(sqlite3_file *file, const char *name, int flags, int *out, const sqlite3_io_methods *methods, int fails)
{
    struct below_file *f = (struct below_file *)(void *)file;
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(void *)(f + 1);
    if (fails)
        return SQLITE_CANTOPEN;
    int rc = below_real->xOpen(below_real, name, f->real, flags, out);
    if (rc == SQLITE_OK)
        f->base.pMethods = methods;
    return rc;
}

/* Before the first use of sqlite: the VFS of the index is laid over the one that is the default then. 0, or -1. */
static inline int below_install(int (*open)(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out))
{
    if (sqlite3_initialize() != SQLITE_OK)
        return -1;
    below_real = sqlite3_vfs_find(NULL);
    below_vfs = *below_real;
    below_vfs.zName = "faulty";
    below_vfs.szOsFile += (int)sizeof(struct below_file);
    below_vfs.xOpen = open;
    return sqlite3_vfs_register(&below_vfs, 1) == SQLITE_OK ? 0 : -1;
}

#endif
