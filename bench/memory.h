/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.h: how fast one core gets through memory: the bounds that parity is measured against. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed pages of its own, with huge ones if asked for and granted. NULL if there is no memory. Freed with memory_free(). */
uint8_t *memory_alloc(size_t len, bool huge);
void memory_free(uint8_t *p, size_t len);

/*
 * Read every byte with the widest loads of this machine and return the exclusive or of all 64-bit words, so that no load can be left
 * out. len is a multiple of 16 KiB. Four streams, each fetching ahead by itself: faster than one stream left to the prefetcher.
 */
uint64_t memory_read(const uint8_t *p, size_t len);

#endif
