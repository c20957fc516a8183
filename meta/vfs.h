/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfs.h: the sqlite VFS "holofs": the system's own, with a checksum at the end of every database page. */
#ifndef HOLO_META_VFS_H
#define HOLO_META_VFS_H

#define META_VFS_NAME "holofs"

enum {
    META_PAGE_SIZE = 4096,
    META_PAGE_RESERVED = 8,     /* bytes at the end of a page that sqlite must leave to the checksum */
    META_LOCK_PAGE_OFF = 1 << 30, /* sqlite's lock bytes are here: this page is never written */
    META_FCNTL_UUID = 0x686f6c, /* file control: const uint8_t[16], the store's uuid, before the first read */
};

/* Make the VFS known to sqlite. Returns 0 or -EIO. Thread-safe; the first call does it. */
int meta_vfs_register(void);

#endif
