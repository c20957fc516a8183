/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hist.h: a lock-free latency histogram: 16 buckets per power of two, so percentiles are within 6 %. */
#ifndef HOLO_BASE_HIST_H
#define HOLO_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum { HIST_BUCKETS = 16 * 48 };

/* All zeros is an empty histogram. Updates are relaxed atomics: readers see each count, not one instant. */
struct hist {
    _Atomic uint64_t count, total, max, bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t value);

/* Upper bound of the bucket that holds quantile q (0 … 1), capped by the maximum; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
