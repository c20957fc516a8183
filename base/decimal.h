/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decimal.h: numbers in the texts of commands. */
#ifndef HOLO_BASE_DECIMAL_H
#define HOLO_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All len characters are digits, at least one, and the number is at most max; else false, and *out stays. */
static inline bool decimal_parse(const char *s, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (s[i] < '0' || s[i] > '9' || v > (max - (digit < max ? digit : max)) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (len && v <= max)
        *out = v;
    return len && v <= max;
}

#endif
