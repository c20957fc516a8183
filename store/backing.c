/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backing.c: what is the same for every backing. */
#include "store/backing.h"

#include <errno.h>

int bfile_pwrite(struct bfile *f, const void *buf, size_t len, uint64_t off)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    return f->ops->pwritev(f, &iov, 1, off);
}

int backing_write_durably(struct backing *b, struct backing_write *w, size_t n, void (*beside)(void *arg), void *arg)
{
    bool wrote[n + 1], begun = b->ops->write_durably && b->ops->write_durably(b, w, n, beside, arg);
    for (size_t i = 0; i < n; i++) {
        wrote[i] = !begun || w[i].rc == -EAGAIN;
        if (wrote[i])
            w[i].rc = bfile_pwrite(w[i].f, w[i].buf, w[i].len, w[i].off);
    }
    if (beside && !begun)
        beside(arg);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        if (wrote[i] && w[i].rc == 0)
            w[i].rc = w[i].f->ops->datasync(w[i].f);
        rc = rc ? rc : w[i].rc;
    }
    return rc;
}
