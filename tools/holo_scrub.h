/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_scrub.h: holo scrub. */
#ifndef HOLO_TOOLS_HOLO_SCRUB_H
#define HOLO_TOOLS_HOLO_SCRUB_H

/* argv[0] is "scrub". An exit code. */
int holo_scrub(int argc, char **argv);

#endif
