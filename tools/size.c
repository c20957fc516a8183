/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.c: numbers on command lines. */
#include "tools/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_size(const char *s, uint64_t *out_bytes)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || errno)
        return false;
    unsigned shift = 0;
    if (*end) {
        static const char units[] = "KMGTP";
        const char *u = strchr(units, *end & ~0x20);
        if (!u || !*u)
            return false;
        shift = 10 * (unsigned)(u - units + 1);
        end++;
        if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
            end += strlen(end);
    }
    if (*end || v > (UINT64_MAX >> 1) >> shift)
        return false;
    *out_bytes = (uint64_t)v << shift;
    return true;
}

bool parse_number(const char *s, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    *out = strtoul(s, &end, 10);
    return *s >= '0' && *s <= '9' && !*end && !errno && *out >= min && *out <= max;
}
