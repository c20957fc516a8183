/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_dump.h: holo dump WHAT FILE: files of a store, decoded. */
#ifndef HOLO_TOOLS_HOLO_DUMP_H
#define HOLO_TOOLS_HOLO_DUMP_H

/* argv[0] is "dump". 0, 1 if something is wrong with the file, or 16. */
int holo_dump(int argc, char **argv);

#endif
