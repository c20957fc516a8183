/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sum_avx2.h: sums for machines with AVX2, for sum.c and its test only. */
#ifndef HOLO_BASE_SUM_AVX2_H
#define HOLO_BASE_SUM_AVX2_H

#include <stddef.h>
#include <stdint.h>

/* The same sums as sum64() and sum128() of sum.h, where the machine supports AVX2. Thread-safe. */
uint64_t sum64_avx2(const void *data, size_t len, uint64_t seed);
void sum128_avx2(const void *data, size_t len, uint64_t seed, uint64_t low_high[2]);

#endif
