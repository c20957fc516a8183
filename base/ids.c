/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ids.c: a growable list of 32-bit numbers. */
#include "base/ids.h"

#include <errno.h>
#include <stdlib.h>

int ids_add(struct ids *l, uint32_t id)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        uint32_t *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = id;
    return 0;
}

bool ids_has(const struct ids *l, uint32_t id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i] == id)
            return true;
    }
    return false;
}
