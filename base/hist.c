/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hist.c: a lock-free latency histogram. */
#include "base/hist.h"

static unsigned bucket_of(uint64_t v)
{
    if (v < 16)
        return (unsigned)v;
    unsigned top = 63u - (unsigned)__builtin_clzll(v);
    unsigned b = (top - 3) * 16 + (unsigned)((v >> (top - 4)) & 15);
    return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

static uint64_t bucket_end(unsigned b)
{
    if (b < 16)
        return b;
    unsigned top = b / 16 + 3;
    return ((uint64_t)(16 + b % 16 + 1) << (top - 4)) - 1;
}

void hist_add(struct hist *h, uint64_t value)
{
    atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->total, value, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->bucket[bucket_of(value)], 1, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&h->max, memory_order_relaxed);
    while (value > seen && !atomic_compare_exchange_weak(&h->max, &seen, value))
        ;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t n = atomic_load_explicit(&h->count, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    uint64_t want = (uint64_t)(q * (double)n);
    uint64_t seen = 0;
    for (unsigned b = 0; b < HIST_BUCKETS && n; b++) {
        seen += atomic_load_explicit(&h->bucket[b], memory_order_relaxed);
        if (seen > want || seen == n)
            return bucket_end(b) < max ? bucket_end(b) : max;
    }
    return 0;
}
