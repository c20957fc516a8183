/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfs.h: the sqlite VFS "holofs": the system's own, with a checksum at the end of every database page and beside the database. */
#ifndef HOLO_META_VFS_H
#define HOLO_META_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/sums.h"

#define META_VFS_NAME "holofs"
#define META_VFS_IMMUTABLE "holofs-immutable" /* for databases that nobody writes: no locks, and no file is made beside them */

enum {
    META_PAGE_SIZE = 4096,
    META_PAGE_RESERVED = 8,     /* bytes at the end of a page that sqlite must leave to the checksum */
    META_LOCK_PAGE_OFF = 1 << 30, /* sqlite's lock bytes are here: this page is never written */
    META_FCNTL_STORE = 0x686f6c, /* file control: const struct meta_vfs_store *, before the first read */
    META_FCNTL_WAL_FITS,         /* file control: bool *, does the WAL that was found belong to the database? */
};

/* What the pages of a database belong to. The sums stay the caller's; without them (NULL) a page of yesterday passes. */
struct meta_vfs_store {
    const uint8_t *uuid; /* 16 bytes */
    struct page_sums *sums;
};

/* Make both known to sqlite. Returns 0 or -EIO. Thread-safe; the first call does it. */
int meta_vfs_register(void);

#endif
