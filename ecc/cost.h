/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cost.h: how long an engine is expected to take for a batch: fixed + bytes · per byte, corrected by what batches took.
 *
 * Other work on the machine makes a batch slower, never faster, so the correction is the least one of the last few
 * batches: one fast batch is believed at once, a slow one only when all of them were.
 */
#ifndef HOLO_ECC_COST_H
#define HOLO_ECC_COST_H

#include <stdbool.h>

enum { COST_SEEN = 4 };

struct cost {
    double fixed_ns, ns_per_byte;
    double seen[COST_SEEN]; /* of the last batches: time taken / time of the two numbers above */
    unsigned next;
};

/* From the times of a small and a large batch; equal sizes give a cost without a fixed part. */
void cost_fit(struct cost *c, double small_bytes, double small_ns, double large_bytes, double large_ns);

/* The same engine with `factor` times the work for each byte. */
void cost_scale(const struct cost *c, double factor, struct cost *out);

double cost_estimate_ns(const struct cost *c, double bytes);
void cost_observe(struct cost *c, double bytes, double ns);

/* The estimate's parts now. */
double cost_fixed_ns(const struct cost *c);
double cost_ns_per_byte(const struct cost *c);

/* From how many bytes on `c` is cheaper than `than`; negative: never. */
double cost_wins_from(const struct cost *c, const struct cost *than);

#endif
