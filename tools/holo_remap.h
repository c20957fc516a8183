/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_remap.h: holo remap. */
#ifndef HOLO_TOOLS_HOLO_REMAP_H
#define HOLO_TOOLS_HOLO_REMAP_H

/* argv[0] is "remap". An exit code. */
int holo_remap(int argc, char **argv);

#endif
