/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_position.h: the file of holofsck --resume. */
#ifndef HOLO_TOOLS_FSCK_POSITION_H
#define HOLO_TOOLS_FSCK_POSITION_H

#include "core/fsck.h"

/* Where an earlier check stopped. 0; -ENOENT if there is no such file; -EINVAL if it is something else. */
int fsck_position_load(const char *file, struct fsck_position *out);

/* Keep where this one stopped; at its end there is nothing to go on with, and the file goes. 0 or the errno. */
int fsck_position_save(const char *file, const struct fsck_position *p);

#endif
