/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine.h: the store's parity engines: chosen at mount, put to work on whole containers, shown in the stats. */
#ifndef HOLO_CORE_ENGINE_H
#define HOLO_CORE_ENGINE_H

#include <jansson.h>

#include "core/fs.h"

/*
 * Measure and decide (ecc/plan.h), as the option `ecc` says. -HOLO_ENOENGINE and one line in `why` if what was asked for by
 * name is not there, or does not compute right.
 */
int engine_choose(struct holofs *fs, char *why, size_t cap);

/* Work on n containers of one code; a GPU's failures are told as events. 0: it is done. No lock that a commit needs is held. */
int engine_run(struct holofs *fs, enum ecc_work work, const struct ecc_code *code, const struct ecc_container *c, unsigned n);

/* Tell what failed on the device since it was last told. engine_run does; others who use the plan themselves call it after. */
void engine_tell(struct holofs *fs);

/* The objects `engine` and `gpu` of the stats. */
json_t *engine_json(struct holofs *fs);
json_t *gpu_json(struct holofs *fs);

#endif
