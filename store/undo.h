/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * undo.h: what a repair changes in a store, kept outside of it, so that it can be taken back (docs/FORMAT.md, «Undo file»).
 *
 * The file is a log: for each name of the store that the repair touches whether a file was there, how long it was, and the old
 * contents of the blocks that are changed. A backing over the store's writes it: nothing changes before its old state is durable.
 */
#ifndef HOLO_STORE_UNDO_H
#define HOLO_STORE_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/backing.h"

enum undo_kind {
    UNDO_FILE = 1,   /* a file of that name was there; size_or_sum is its size, the payload struct undo_owner and the name */
    UNDO_ABSENT,     /* none was; the payload is the name */
    UNDO_DIR_ABSENT, /* a directory was not there; the payload is its name */
    UNDO_IMAGE,      /* `blocks` blocks of the file from `block` on; behind its end they are zeros */
    UNDO_ZEROS,      /* the same, all of them zeros: no payload */
    UNDO_UNREADABLE, /* the same, nothing could be read there: no payload */
    UNDO_WHOLE,      /* all of the file is kept: what comes later under its name may be another one */
    UNDO_STATE,      /* the file, one block, is written next: size_or_sum is the XXH3-64 of what comes, seed 0 */
};

enum undo_state {
    UNDO_OPEN,     /* the repair goes on, or was killed */
    UNDO_FINISHED, /* it came to its end */
    UNDO_APPLYING, /* it is being taken back */
    UNDO_APPLIED,
};

enum { UNDO_PAYLOAD_MAX = 1 << 20, UNDO_OWNER_BYTES = 12, UNDO_NO_OWNER = 0xffffffff };

/* What is kept of a file beside its bytes; UNDO_NO_OWNER in all where it is not known. */
struct undo_owner {
    uint32_t mode, uid, gid;
};

struct undo_record {
    enum undo_kind kind;
    uint32_t file, blocks, len; /* file: a number, from 0, in the order of FILE, ABSENT and DIR_ABSENT records; len: of the payload */
    uint64_t block, size_or_sum;
    uint64_t at; /* where the payload is in the undo file */
};

/* ---- the file (undo.c) ---- */

struct undo_file {
    struct bfile *f;
    uint8_t uuid[16], nonce[16];
    uint64_t end;        /* where the next record goes */
    uint64_t generation; /* of the progress block */
    enum undo_state state;
    bool torn;           /* behind `end` there is something that is no record */
};

/* Make one in a file that is not there or empty; durable. -EEXIST if it is not empty. */
int undo_create(const char *path, const uint8_t uuid[16], struct undo_file *out);

/*
 * Open one, and read and verify all of it. A torn end is none of it. -HOLO_EFORMAT if it is no undo file, -HOLO_EVERSION,
 * -HOLO_ESUM if anything of it is damaged that was durable once, -HOLO_ETRUNC if something was cut off.
 */
int undo_open(const char *path, bool read_only, struct undo_file *out);

/* Append; durable with the next undo_sync. */
int undo_append(struct undo_file *u, const struct undo_record *r, const void *payload);
int undo_sync(struct undo_file *u);

/* Note how far the repair, or taking it back, is; durable. */
int undo_set_state(struct undo_file *u, enum undo_state state);

/* Each record in order, with its payload, UNDO_PAYLOAD_MAX bytes at most. cb returns 0 to go on. */
int undo_each(struct undo_file *u, int (*cb)(void *arg, const struct undo_record *r, const uint8_t *payload), void *arg);

void undo_close(struct undo_file *u);

/* ---- the backing that writes it (backing_undo.c) ---- */

struct undo_keeper;

/* Takes over what u holds. */
int undo_keeper_create(const struct undo_file *u, struct undo_keeper **out);

/* `lower`, which is taken over, with everything it changes kept first. There may be one at a time; what is known stays in the keeper. */
int backing_undo(struct undo_keeper *k, struct backing *lower, struct backing **out);

/* Keep all of a file, which others change from now on, or that there is none. Regular files only: else -EINVAL. */
int undo_keep_whole(struct undo_keeper *k, struct backing *lower, const char *name);

/* Did keeping fail, so that nothing was changed from then on? 0 or the error. */
int undo_keeper_error(const struct undo_keeper *k);

/* Note that the repair is at its end, and free. */
int undo_keeper_finish(struct undo_keeper *k);

#endif
