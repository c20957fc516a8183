/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_clean.h: holo clean. */
#ifndef HOLO_TOOLS_HOLO_CLEAN_H
#define HOLO_TOOLS_HOLO_CLEAN_H

#include <stdbool.h>

/* Start a run; with `wait` follow it to its end. One that is under way already is an error. An exit code. */
int holo_clean(const char *mnt, bool wait);

#endif
