/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scrubber.h: the thread that verifies containers: those that showed damage, and passes over all of them that can be paused. */
#ifndef HOLO_CORE_SCRUBBER_H
#define HOLO_CORE_SCRUBBER_H

#include <jansson.h>

#include "core/container.h"

/* Check this container soon. Any locks but the leaves may be held, in both. */
void scrub_queue(struct holofs *fs, uint32_t id);
/* Damage was met in a block of its file: check it soon, and first in every pass of the next 30 days; and what lies within 10 MiB of it. */
void scrub_damage(struct holofs *fs, uint32_t id, uint32_t file_block);

/*
 * "start [percent=N] [older=DAYS] [watched] [trust-parity] [rate=BYTES]", "pause", "resume", "cancel", "rate=BYTES". -EINVAL if it is
 * none of these, -EALREADY if that is so already, -ESRCH if there is no scrub for it; then nothing happens.
 */
int scrub_command(struct holofs *fs, const char *text, size_t len);

/* What .holo/stats has of it. NULL without memory. */
json_t *scrub_json(struct holofs *fs);

enum { SCRUB_DAY_S = 86400 };

/* Seconds since 1970, at least 1. */
uint32_t scrub_now_s(void);

/* When all of it was last verified, and whether it is watched. A time of the future is of a clock that went wrong: it counts as none. */
uint32_t scrub_verified_s(const struct container *c, uint32_t now_s);
bool scrub_is_watched(const struct container *c, uint32_t now_s);

/* What was asked for last. */
struct scrub_choice scrub_choice_of(struct scrub_state *s);

void *scrubber_main(void *fs);

/* ---- what outlives a mount (scrub_book.c): docs/FORMAT.md, «Scrub book» ---- */

/* Take what the book says of containers that are there. A book that is gone or damaged is told, and says nothing. */
void scrub_book_load(struct holofs *fs);

/* Write it anew if it changed. What fails is told once and tried again at the next call. The scrubber's, or when that has ended. */
void scrub_book_save(struct holofs *fs);

#endif
