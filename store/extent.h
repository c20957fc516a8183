/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent.h: where the bytes of a file are, one MiB of the file (a window) at a time.
 *
 * The same code runs for live writes and when the log is applied to the index, so that both arrive at the
 * same windows.
 *
 * Invariants of a window: extents ascend by offset and do not overlap; none crosses a multiple of 1 MiB;
 * skip + len <= raw length, and equal to it for runs; runs that continue each other in file and container
 * are one.
 */
#ifndef HOLO_STORE_EXTENT_H
#define HOLO_STORE_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/format.h"

enum { EXTENT_BYTES = 36, WINDOW_EXTENTS_MAX = 65536 };

/* How the bytes of a piece are stored. A run is raw, starts on a block and may be cut and merged at will. */
enum extent_codec { EXTENT_RAW = 0, EXTENT_ZSTD = 1, EXTENT_RUN = 2 };

struct extent {
    uint64_t off;       /* in the file */
    uint32_t len;       /* visible bytes */
    uint32_t skip;      /* bytes of the piece before the visible ones */
    uint32_t container;
    uint32_t coff;      /* where the piece starts in its container's content, bytes */
    uint32_t stored;    /* stored length of the piece */
    uint32_t raw;       /* expanded length of the piece */
    uint32_t tag;
    uint8_t codec;      /* enum extent_codec */
};

struct window {
    uint32_t n, cap;
    struct extent *e;
};

/* Bytes that are lost for ever are a run in the container that there never is: reading them fails, writing replaces them. */
enum { CONTAINER_NONE = 0 };
static inline bool extent_is_lost(const struct extent *e)
{
    return e->container == CONTAINER_NONE;
}

/* The extent that says so of [off, off+len), which does not cross a multiple of 1 MiB. Such neighbours become one. */
struct extent extent_lost(uint64_t off, uint32_t len);

/* Called for each change of the live bytes of a container. */
typedef void (*extent_live_fn)(void *arg, uint32_t container, int64_t delta_bytes);

/* Stored bytes an extent stands for: its share of the piece, rounded up: never 0, so that what is referred to counts as live. */
uint32_t extent_live(const struct extent *e);

void extent_encode(struct wr *w, const struct extent *e);

/* false if the bytes cannot be an extent. */
bool extent_decode(struct rd *r, struct extent *e);

/* Replace what the extent's range held. Returns the change in stored bytes in *delta; 0 or -ENOMEM (unchanged). */
int window_insert(struct window *w, const struct extent *e, int64_t *delta, extent_live_fn live, void *arg);

/* Make [off, off+len) a hole. Same returns. */
int window_punch(struct window *w, uint64_t off, uint64_t len, int64_t *delta, extent_live_fn live, void *arg);

/* Where a byte is: `skip` bytes into the piece at `coff` of a container; of a run only coff + skip counts. */
struct extent_place {
    uint32_t container, coff, skip;
};

/*
 * The next part [*from, *to) of e's range, at or behind `at`, that is where `place` says e's first byte is, and on from there.
 * Returns the extent that has it, or NULL.
 */
const struct extent *window_next_at(const struct window *w, const struct extent *e, const struct extent_place *place, uint64_t at,
                                    uint64_t *from, uint64_t *to);

/* The part of it that holds bytes [from, to) of the file. */
struct extent extent_part(const struct extent *e, uint64_t from, uint64_t to);

/*
 * Compare and swap: every part of e's range that is still at `place` is at e from now on; what was written or punched since stays.
 * *moved becomes how many bytes of the file that were. Same returns as window_insert.
 */
int window_move(struct window *w, const struct extent *e, const struct extent_place *place, uint32_t *moved, int64_t *delta,
                extent_live_fn live, void *arg);

/* Index of the first extent that ends behind off; w->n if none. */
uint32_t window_find(const struct window *w, uint64_t off);

/* Packed form: w->n · EXTENT_BYTES bytes. */
void window_encode(const struct window *w, uint8_t *out);

/* 0, -ENOMEM, or -HOLO_ECORRUPT if it breaks the invariants (then w is empty); win is the number of the window. */
int window_decode(struct window *w, uint32_t win, const void *data, size_t len);

void window_fini(struct window *w);

#endif
