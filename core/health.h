/* SPDX-License-Identifier: GPL-2.0-or-later */
/* health.h: one word for how the store is, and the reasons for it. From memory only, like all statistics. */
#ifndef HOLO_CORE_HEALTH_H
#define HOLO_CORE_HEALTH_H

#include <jansson.h>

#include "core/fs.h"

/* Each is worse than the one before. DEGRADED: everything is there, something needs attention. FAILED: nothing is written any more. */
enum health { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_DATA_LOST, HEALTH_FAILED };

enum health health_of(const struct holofs *fs);
const char *health_name(enum health h);

/* An array of {"health", "why", "do"}, one for each thing that is wrong; empty when nothing is. NULL without memory. */
json_t *health_json(const struct holofs *fs);

#endif
