/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_dump.h: decode what is on the medium, for people and scripts. */
#ifndef HOLO_TOOLS_HOLO_DUMP_H
#define HOLO_TOOLS_HOLO_DUMP_H

#include <stdbool.h>

/* holo dump container|superblock FILE. Returns the exit code. */
int holo_dump(const char *what, const char *file, bool json);

#endif
