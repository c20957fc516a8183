/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_status.h: holo status: how a mounted store is. */
#ifndef HOLO_TOOLS_HOLO_STATUS_H
#define HOLO_TOOLS_HOLO_STATUS_H

#include <stdbool.h>

/* Of one mount. Exit code: 0 healthy, 1 degraded, 2 data lost, 4 failed, 8 no mount of holofs. */
int holo_status(const char *mnt, bool json);

/* A line for every holofs that is mounted; their exit codes, ored. */
int holo_status_all(bool json);

#endif
