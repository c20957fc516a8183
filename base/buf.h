/* SPDX-License-Identifier: GPL-2.0-or-later */
/* buf.h: a growable byte buffer. */
#ifndef HOLO_BASE_BUF_H
#define HOLO_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *p;
    size_t len, cap;
};

/* Make room for n more bytes and return where they go; len is not changed. NULL when memory is short. */
uint8_t *buf_room(struct buf *b, size_t n);

/* Append n bytes. Returns 0 or -ENOMEM. */
int buf_add(struct buf *b, const void *data, size_t n);

/* printf at the end, without the final zero in len (one is always there). Returns 0 or -ENOMEM. */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void buf_fini(struct buf *b);

#endif
