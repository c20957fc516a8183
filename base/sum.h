/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sum.h: the checksum of everything on disk: XXH3-64 (xxHash 0.8, https://xxhash.com), seeded.
 *
 * The seed ties bytes to the place where they belong, so that a misdirected write fails like a flipped bit.
 */
#ifndef HOLO_BASE_SUM_H
#define HOLO_BASE_SUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64 of len bytes with a seed. Thread-safe. */
uint64_t sum64(const void *data, size_t len, uint64_t seed);

/* XXH3-128 of len bytes with a seed, as two little-endian u64, the low one first. Thread-safe. */
void sum128(const void *data, size_t len, uint64_t seed, uint8_t out[16]);

/*
 * Seed for the block at @position (or any index) of object @id in the store with @uuid (16 bytes): three
 * rounds of the splitmix64 finalizer (Steele, Lea, Flood 2014) over uuid, id and position.
 */
uint64_t sum_seed(const uint8_t uuid[16], uint64_t id, uint64_t position);

#endif
