/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect_private.h: what the files of inspect share. */
#ifndef HOLO_CORE_INSPECT_PRIVATE_H
#define HOLO_CORE_INSPECT_PRIVATE_H

#include "core/inspect.h"
#include "store/chead.h"
#include "store/super.h"

/* Emit an object; -ENOMEM for NULL. */
int inspect_emit(struct inspect *in, json_t *o);

/* Tell of something wrong: where it is (a number with a name), and why. */
int inspect_wrong(struct inspect *in, const char *where, uint64_t at, const char *why);

/* The store's superblock, as its copies say together, for a file in the directory `up` levels above it. A negative code if there is none. */
int inspect_super(const struct inspect *in, const char *file, unsigned up, struct superblock *sb);

/* Read len bytes; blocks that cannot be read, or that the file does not have, become zeros and are told. */
int inspect_read(struct inspect *in, int fd, uint64_t off, uint8_t *out, size_t len);

/* A container's header; which: where it is. 0 or a negative code. */
int inspect_header(int fd, struct container_header *h);

/* Bytes that are text, mostly: what is no UTF-8 becomes \xNN. */
json_t *inspect_text(const void *p, size_t len);

/* A 64-bit number that is no count: as hex digits. */
json_t *inspect_hex(uint64_t v);

/* The records in these bytes, which are of that txg. */
int inspect_stream(struct inspect *in, const uint8_t *p, size_t len, uint64_t txg);

#endif
