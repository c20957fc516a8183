/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_export.h: copy out of a store everything that can be read, without writing to it. */
#ifndef HOLO_TOOLS_FSCK_EXPORT_H
#define HOLO_TOOLS_FSCK_EXPORT_H

#include "core/fsck.h"

/*
 * Copy the whole tree of the store into the directory `to`, which must be empty or not there. What cannot be read of a file is a hole
 * in its copy, and told with path and range on standard output (JSON lines with `json`). Owners are kept where that is allowed.
 * stop() asks whether to end early. Returns exit bits of fsck(8).
 */
int fsck_export(const char *store, const char *to, const struct fsck_options *o, bool json, bool (*stop)(void));

#endif
