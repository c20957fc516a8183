/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vote.h: bytes as most of several copies have them. What it gives is a guess: ask its checksum. */
#ifndef HOLO_STORE_VOTE_H
#define HOLO_STORE_VOTE_H

#include <stddef.h>
#include <stdint.h>

/* Each byte of out is the one that most of n copies have there; the earliest copy decides a tie. */
void vote_bytes(const uint8_t *const *copies, unsigned n, size_t len, uint8_t *out);

#endif
