/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wave_ecc.h: wave parity for byte strings: the public header of libwaveecc.
 *
 * A string of 1 byte to 8 TiB gets a parity string, kept wherever the caller likes. Later both are handed to the decoder,
 * which makes them what they were: flipped bytes and lost ranges, in the data, in the parity string, or in both. How
 * much may be damaged depends on the redundancy R and on nothing else that the caller has to know:
 *
 * - In every byte column of a stripe (at most 64 blocks of data and 2R of parity) R wrong bytes at unknown places, and more
 *   as long as checksums of the blocks tell which blocks are still right. The string is cut into 64 blocks or more.
 * - A lost range of a (2R / 64)th of the data: stripes are interleaved over the whole string.
 *
 * Success is told only for the bytes that were encoded: a 128-bit checksum of all of them confirms it. It is not a
 * cryptographic one: it is made for damage, not for forgers.
 *
 * All functions are thread-safe and keep no state between calls. Memory beyond the caller's buffers: about a hundredth of
 * len, 2 MiB, and, while decoding, what damaged bytes of the data take up. Nothing is read or written beyond the buffers.
 * The layout of the parity string is in FORMAT.md, «Byte strings»; the code is Reed-Solomon over GF(2^8).
 */
#ifndef WAVE_ECC_H
#define WAVE_ECC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* Redundancy: any number from 1 to 10. With 256 KiB or more the parity string takes about (3.1·R + 0.5) % of the data, up to a quarter more near 2 MiB. */
enum {
    WAVE_ECC_REDUNDANCY_MIN = 1,
    WAVE_ECC_LOW_OVERHEAD = 2,
    WAVE_ECC_BALANCED = 3,
    WAVE_ECC_HIGH_RELIABILITY = 5,
    WAVE_ECC_REDUNDANCY_MAX = 10,
};

/* What functions return, negated; besides these -EINVAL and -ENOMEM. wave_ecc_strerror() has the texts. */
enum {
    WAVE_ECC_EFORMAT = 5001,   /* no header can be read: not a parity string, or both of its ends are destroyed */
    WAVE_ECC_EVERSION = 5002,  /* a parity string of a newer version */
    WAVE_ECC_EMISMATCH = 5003, /* made with another length, redundancy or seed_base */
    WAVE_ECC_ELOST = 5004,     /* more is damaged than the parity can repair */
};

/* Bytes of the parity string for len bytes of data; 0 if len or redundancy is out of range. At most 0.6·len for len ≥ 1024 and R ≤ 5. */
size_t wave_ecc_parity_len(size_t len, unsigned redundancy);

/*
 * Make the parity string of data.
 * @seed_base: any number; the same one is needed to decode
 * @parity: room for wave_ecc_parity_len(len, redundancy) bytes that do not overlap data
 * Returns 0; -EINVAL (a NULL pointer, len or redundancy out of range) or -ENOMEM: then nothing is written.
 */
int wave_ecc_encode(const void *data, size_t len, unsigned redundancy, uint32_t seed_base, void *parity);

/*
 * Verify data and parity string and repair both in place. Arguments as they were for wave_ecc_encode().
 * @corrected: how many bytes were changed, in data and parity together; may be NULL
 * Returns 0: data and parity are, byte for byte, what they were after encoding. Otherwise neither is changed, *corrected
 * is 0, and the negative code says why: -EINVAL, -ENOMEM, -WAVE_ECC_E….
 */
int wave_ecc_decode(void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base, uint64_t *corrected);

/* Bytes that are known to be lost. Data comes first: offsets from len on are those of the parity string. */
struct wave_ecc_range {
    uint64_t offset;
    uint64_t length;
};

/*
 * wave_ecc_decode() for media that say what they could not read: what the buffers hold in these ranges is not used, unless a
 * checksum confirms it. Ranges may come in any order, overlap, and reach beyond the end.
 */
int wave_ecc_decode_erasures(void *data, size_t len, void *parity, unsigned redundancy, uint32_t seed_base,
                             const struct wave_ecc_range *lost, size_t n_lost, uint64_t *corrected);

/* What a parity string was made with. */
struct wave_ecc_info {
    uint64_t len;
    unsigned redundancy;
    uint32_t seed_base;
};

/*
 * Read it from the parity string itself, from either end of it.
 * Returns 0, -EINVAL (a NULL pointer), -WAVE_ECC_EFORMAT or -WAVE_ECC_EVERSION. *info is written only on success.
 */
int wave_ecc_inspect(const void *parity, size_t parity_len, struct wave_ecc_info *info);

/* Text for a code as returned (negative) or negated. Static storage. */
const char *wave_ecc_strerror(int code);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
