/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.h: monotonic and real time in nanoseconds. */
#ifndef HOLO_BASE_CLOCK_H
#define HOLO_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);

/* Nanoseconds since 1970, may be negative before. */
int64_t clock_real_ns(void);

#endif
