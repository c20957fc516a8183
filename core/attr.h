/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attr.h: what changes an inode's attributes besides setattr. */
#ifndef HOLO_CORE_ATTR_H
#define HOLO_CORE_ATTR_H

#include "core/cache.h"

/* A read happened: raise atime where the rules say so. Never fails the read. No lock held. */
void touch_atime(struct holofs *fs, struct inode *i);

/* What a write, a truncation or a change of owner leaves of the mode; directories keep all of it. */
uint32_t killed_mode(uint32_t mode);

/* Log an image as the only item of a record, and take it over (lock held). */
int log_image(struct holofs *fs, struct inode *i, const struct inode_image *img, enum record_kind kind);

#endif
