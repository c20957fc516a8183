/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * salvage.h: how a store goes on when its log has lost something.
 *
 *   lost                                              then
 *   data of heads, records known                      those ranges read EIO for ever (extent_lost), everything else goes on
 *   records that nothing else has                     reading only, until holofsck -y accepts the loss (accept_loss)
 *
 * Order: the log is scanned and applied (recover.c notes what is missing), loss_judge says what that costs, loss_log and
 * loss_settle, in the first commit of a mount that writes, make it so. Single-threaded, but for loss_settle.
 */
#ifndef HOLO_CORE_SALVAGE_H
#define HOLO_CORE_SALVAGE_H

#include "core/fs.h"
#include "core/head.h"

/* Records of these txgs are lost; to = 0: nobody knows how many. Told at once. */
void loss_note_txgs(struct holofs *fs, uint64_t from, uint64_t to, int64_t after_ns, int64_t before_ns);

/* Behind a loss of records an item touches ino, which had this size before (0: it was not there). -ENOMEM. */
int loss_note_touched(struct holofs *fs, uint64_t ino, uint64_t size_before);

/*
 * What those files have beyond that and no extent explains is lost, not a hole: say so in the index. In the transaction that applies
 * what touched them, before its commit; flushes the applier.
 */
struct applier;
int loss_mark_touched(struct holofs *fs, struct applier *a);

/* From now on the head knows only what head_learn is told of. -ENOMEM. */
int head_forget(struct head *h);
/* Bytes [off, end) of its content are there; whole: they end where their segment does. */
void head_learn(struct head *h, uint64_t off, uint64_t end, bool whole);
bool head_knows(const struct head *h, uint64_t off, uint64_t end);

/*
 * Heads are filled as far as the ring goes: find out which bytes of which files are lost. Containers that the log does not name any
 * more but that are there, whole, are taken back first. Live bytes are counted again. 0, -ENOMEM, or what the index says.
 */
int loss_judge(struct holofs *fs);

/* Tell what is lost, by path and range. The index must be readable. */
void loss_tell(struct holofs *fs);

/* Put records into the open txg that make the loss part of the log. */
int loss_log(struct holofs *fs);

/* With threads running: commit that, have it applied, and empty the damaged part of the ring. */
int loss_settle(struct holofs *fs);

void loss_fini(struct holofs *fs);

#endif
