/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backing.c: what is the same for every backing. */
#include "store/backing.h"

int bfile_pwrite(struct bfile *f, const void *buf, size_t len, uint64_t off)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    return f->ops->pwritev(f, &iov, 1, off);
}
