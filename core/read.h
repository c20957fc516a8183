/* SPDX-License-Identifier: GPL-2.0-or-later */
/* read.h: the bytes behind one extent, verified and repaired on the way; what the cleaner shares with readers. */
#ifndef HOLO_CORE_READ_H
#define HOLO_CORE_READ_H

#include "core/container.h"

/*
 * Bytes [from, to) of the file, all within a run; out may take up to a block more than asked when `room` allows. -HOLO_ESTALE if the
 * container has other bytes there than the extent says.
 */
int read_run(struct holofs *fs, const struct extent *e, uint64_t from, uint64_t to, uint8_t *out, size_t room, struct scratch *s,
             const struct whose *w);

/* The stored bytes of a piece that is no run, in the scratch; read_expanded decompresses them (e->raw bytes). */
int read_stored(struct holofs *fs, const struct extent *e, struct scratch *s, const struct whose *w, const uint8_t **data);
int read_expanded(struct holofs *fs, const struct extent *e, struct scratch *s, const struct whose *w, const uint8_t **data);

#endif
