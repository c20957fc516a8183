/* SPDX-License-Identifier: GPL-2.0-or-later */
/* buf.c: a growable byte buffer. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t *buf_room(struct buf *b, size_t n)
{
    if (!b->p || n > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap - b->len < n) {
            if (cap > SIZE_MAX / 2)
                return NULL;
            cap *= 2;
        }
        uint8_t *p = realloc(b->p, cap);
        if (!p)
            return NULL;
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

int buf_add(struct buf *b, const void *data, size_t n)
{
    uint8_t *q = buf_room(b, n);
    if (!q)
        return -ENOMEM;
    if (n)
        memcpy(q, data, n);
    b->len += n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -EINVAL;
    uint8_t *q = buf_room(b, (size_t)n + 1);
    if (!q)
        return -ENOMEM;
    va_start(ap, fmt);
    vsnprintf((char *)q, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ 0 };
}
