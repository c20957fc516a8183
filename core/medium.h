/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * medium.h: where blocks of a store lie on the device below, as the filesystem there says (FIEMAP), and how many bytes of that device may
 * vanish at once.
 */
#ifndef HOLO_CORE_MEDIUM_H
#define HOLO_CORE_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sealed container, and what is known of it. */
struct medium_container {
    uint32_t id, k, m, D, used, tables;
    uint8_t *state;  /* of each block of its file: enum block_state */
    uint8_t *wanted; /* of each stripe: does it count? */
};

/* Blocks of the file, and the losses that parity still carries in a stripe: below zero, it is too many already. */
uint32_t medium_file_blocks(const struct medium_container *c);
int medium_margin(const struct medium_container *c, uint32_t stripe);

/*
 * The longest run of whole 4 KiB blocks of the device, in bytes, that may vanish wherever it lies, so that no wanted stripe loses more than
 * parity carries (less what is bad already), no header and no block of a checksum table both its copies, and with `ring` no block
 * of the ring both its copies. UINT64_MAX: there is no such place. Stripes that have lost too much already do not count.
 * @store: the store's directory, which may be in use
 * Returns 1, 0 if it cannot be known here (then `why` says why), or a negative code.
 */
int medium_burst(const char *store, const struct medium_container *const *c, size_t n, bool ring, uint64_t *burst, char *why, size_t why_cap);

#endif
