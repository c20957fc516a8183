/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_parity.c: phase 7: stripes of which every checksum is right, and whose parity contradicts the data (core/whole.h).
 *
 * Found with the reading of phase 6. Nothing is rewritten: fresh parity would bless whatever is wrong.
 */
#include <stdio.h>

#include "core/fsck_private.h"

int fsck_parity(struct fsck *f)
{
    char detail[64];
    for (size_t i = 0; i < f->disagree.n; i++) {
        snprintf(detail, sizeof(detail), "%llu stripes", (unsigned long long)f->disagree_stripes[i]);
        fsck_tell(f, PR_PARITY_DISAGREES, FSCK_LOST, &(struct fsck_where){ .container = f->disagree.v[i], .detail = detail });
    }
    f->disagree.n = 0;
    return 0;
}
