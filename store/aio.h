/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aio.h: durable writes to several files at the same time, by the kernel's asynchronous I/O; of backing_posix.c only. */
#ifndef HOLO_STORE_AIO_H
#define HOLO_STORE_AIO_H

#include <stddef.h>

#include "store/backing.h"

struct aio;

/* 0, or why there is none: -ENOSYS, -EAGAIN (fs.aio-max-nr) and the like. Not usable in a child process. */
int aio_create(struct aio **out);
/* NULL is nothing. */
void aio_destroy(struct aio *a);

/*
 * Begin to write w[i] to fd[i], durably, call beside (unless it is NULL), and wait. What the kernel did not take, or could not do this way, has
 * rc = -EAGAIN: it is to be written in the ordinary way. n ≤ AIO_MAX. Not thread-safe.
 */
enum { AIO_MAX = 16 };
void aio_write_durably(struct aio *a, const int *fd, struct backing_write *w, size_t n, void (*beside)(void *arg), void *arg);

#endif
