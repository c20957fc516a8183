/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_protect.h: holo protect [--quick] [--json] PATH: what a file, or everything below a folder, survives. */
#ifndef HOLO_TOOLS_HOLO_PROTECT_H
#define HOLO_TOOLS_HOLO_PROTECT_H

/* argv[0] is "protect". 0, 1 if something is lost or bad, or another exit code. */
int holo_protect(int argc, char **argv);

#endif
