/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.h: numbers on command lines. */
#ifndef HOLO_TOOLS_SIZE_H
#define HOLO_TOOLS_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* "4096", "64K", "1M", "2G", "10T" (powers of 1024, also with iB). false if it is none, or over 2^63. */
bool parse_size(const char *s, uint64_t *out_bytes);

/* A decimal number from min to max. */
bool parse_number(const char *s, unsigned long min, unsigned long max, unsigned long *out);

#endif
