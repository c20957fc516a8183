/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flips.c: try the bytes in which two copies differ, in the order of a Gray code: one byte changes at a time. */
#include "store/flips.h"

#include <string.h>

struct trial {
    uint8_t *block;
    uint8_t change[FLIPS_MAX]; /* exclusive or of the two copies */
    uint16_t at[FLIPS_MAX];
    unsigned n;
    flips_right_fn *right;
    void *arg;
};

/* Find where the copies differ. false if that is nowhere, or in too many places. */
static bool compare(struct trial *t, const uint8_t *other)
{
    enum { STEP = 64 };
    for (unsigned begin = 0; begin < BLOCK_SIZE; begin += STEP) {
        if (memcmp(t->block + begin, other + begin, STEP) == 0)
            continue;
        for (unsigned i = begin; i < begin + STEP; i++) {
            if (t->block[i] == other[i])
                continue;
            if (t->n == FLIPS_MAX)
                return false;
            t->at[t->n] = (uint16_t)i;
            t->change[t->n++] = t->block[i] ^ other[i];
        }
    }
    return t->n > 0;
}

/* Every choice of copy for all differing bytes but number `skip` (t->n for none). The block is as before if none fits. */
static bool try_choices(struct trial *t, unsigned skip)
{
    unsigned place[FLIPS_MAX], n = 0;
    for (unsigned i = 0; i < t->n; i++) {
        if (i != skip)
            place[n++] = i;
    }
    for (uint32_t step = 1;; step++) {
        if (t->right(t->arg, t->block))
            return true;
        if (step >> n)
            break;
        unsigned i = place[__builtin_ctz(step)];
        t->block[t->at[i]] ^= t->change[i];
    }
    if (n) /* a Gray code ends with its last bit set and no other */
        t->block[t->at[place[n - 1]]] ^= t->change[place[n - 1]];
    return false;
}

/* One differing byte is wrong in both copies. */
static bool try_values(struct trial *t)
{
    if (((uint64_t)t->n << (t->n + 7)) > (UINT64_C(1) << FLIPS_TRIES_LOG))
        return false;
    for (unsigned i = 0; i < t->n; i++) {
        uint8_t *byte = &t->block[t->at[i]], was = *byte;
        for (unsigned value = 0; value < 256; value++) {
            *byte = (uint8_t)value;
            if (value != was && value != (was ^ t->change[i]) && try_choices(t, i))
                return true;
        }
        *byte = was;
    }
    return false;
}

bool flips_settle(uint8_t block[BLOCK_SIZE], const uint8_t other[BLOCK_SIZE], flips_right_fn *right, void *arg)
{
    struct trial t = { .block = block, .right = right, .arg = arg };
    return compare(&t, other) && (try_choices(&t, t.n) || try_values(&t));
}
