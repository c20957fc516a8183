/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_remap.h: holo bench remap. */
#ifndef HOLO_TOOLS_BENCH_REMAP_H
#define HOLO_TOOLS_BENCH_REMAP_H

/* argv[0] is "remap". An exit code: 1 when a remapped block did not read as it was given. */
int holo_bench_remap(int argc, char **argv);

#endif
