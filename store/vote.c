/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vote.c: what most of several copies say, byte by byte. */
#include "store/vote.h"

static uint8_t vote(const uint8_t *const *copies, unsigned n, size_t at)
{
    unsigned best = 0, most = 0;
    for (unsigned i = 0; i < n && most <= n / 2; i++) {
        unsigned votes = 0;
        for (unsigned j = 0; j < n; j++)
            votes += copies[j][at] == copies[i][at];
        if (votes > most) {
            most = votes;
            best = i;
        }
    }
    return copies[best][at];
}

void vote_bytes(const uint8_t *const *copies, unsigned n, size_t len, uint8_t *out)
{
    for (size_t at = 0; at < len; at++)
        out[at] = vote(copies, n, at);
}
