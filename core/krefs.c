/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * krefs.c: references of the kernel to evicted inodes.
 *
 * Invariants: a slot is number << 16 | references, and free when 0; an entry lies at its home or behind it with no free slot between; at
 * most three quarters of the slots are used.
 */
#include "core/krefs.h"

#include <stdlib.h>

enum { COUNT_BITS = 16, SIZE_MIN = 64 };

static const uint64_t count_mask = (UINT64_C(1) << COUNT_BITS) - 1;

static size_t home(const struct krefs *k, uint64_t ino)
{
    return (size_t)(ino * 0x9e3779b97f4a7c15u >> 20) & (k->size - 1);
}

/* The slot of that number, or the free one where it belongs. */
static size_t find(const struct krefs *k, uint64_t ino)
{
    size_t at = home(k, ino);
    while (k->slot[at] && k->slot[at] >> COUNT_BITS != ino)
        at = (at + 1) & (k->size - 1);
    return at;
}

static bool grow(struct krefs *k)
{
    uint64_t *old = k->slot;
    size_t old_size = k->size;
    size_t size = k->size ? 2 * k->size : SIZE_MIN;
    uint64_t *slot = size <= k->max ? calloc(size, sizeof(*slot)) : NULL;
    if (!slot)
        return false;
    k->slot = slot;
    k->size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i])
            slot[find(k, old[i] >> COUNT_BITS)] = old[i];
    }
    free(old);
    return true;
}

void krefs_keep(struct krefs *k, uint64_t ino, uint64_t n)
{
    bool fits = n <= count_mask && ino >> (64 - COUNT_BITS) == 0;
    if (!fits || (k->n >= k->size / 4 * 3 && !grow(k))) {
        k->lost = true;
        return;
    }
    k->slot[find(k, ino)] = ino << COUNT_BITS | n;
    k->n++;
}

/* Take a slot out; those behind it move up if that brings them nearer to their homes. */
static void remove_slot(struct krefs *k, size_t gap)
{
    size_t mask = k->size - 1;
    for (size_t at = (gap + 1) & mask; k->slot[at]; at = (at + 1) & mask) {
        size_t from_home = (at - home(k, k->slot[at] >> COUNT_BITS)) & mask;
        if (from_home < ((at - gap) & mask))
            continue;
        k->slot[gap] = k->slot[at];
        gap = at;
    }
    k->slot[gap] = 0;
    k->n--;
}

uint64_t krefs_take(struct krefs *k, uint64_t ino)
{
    if (k->n == 0)
        return 0;
    size_t at = find(k, ino);
    uint64_t n = k->slot[at] & count_mask;
    if (n)
        remove_slot(k, at);
    return n;
}

void krefs_drop(struct krefs *k, uint64_t ino, uint64_t n)
{
    if (k->n == 0)
        return;
    size_t at = find(k, ino);
    if ((k->slot[at] & count_mask) > n)
        k->slot[at] -= n;
    else if (k->slot[at])
        remove_slot(k, at);
}

void krefs_fini(struct krefs *k)
{
    free(k->slot);
    k->slot = NULL;
}
