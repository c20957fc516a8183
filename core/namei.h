/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei.h: what operations that give and take names share. */
#ifndef HOLO_CORE_NAMEI_H
#define HOLO_CORE_NAMEI_H

#include "core/cache.h"

/* A directory that can take names, with a reference (NS held). -ENOENT when it was removed, -ENOTDIR. */
int get_dir(struct holofs *fs, uint64_t ino, struct inode **out);

/* The image of a directory whose names change, `links` subdirectories more (lock held). */
struct inode_image changed_dir(const struct inode *dir, int64_t now, int links);

/* A logged image becomes the inode's (lock held). */
void inode_take(struct inode *i, const struct inode_image *img, uint64_t txg);

#endif
