/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect.h: decode single files of a store, for people and scripts. */
#ifndef HOLO_CORE_INSPECT_H
#define HOLO_CORE_INSPECT_H

#include "base/buf.h"

/*
 * Decode a container's header (A, or B where A cannot be read), or one superblock copy, into a JSON object with
 * one level, appended to *out with a final zero byte that is not counted. Returns 0 or a negative code.
 */
int holofs_inspect_container(const char *file, struct buf *out);
int holofs_inspect_superblock(const char *file, struct buf *out);

#endif
