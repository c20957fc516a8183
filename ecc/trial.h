/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trial.h: try a device out: does it give the CPU's bytes, and how long do real batches take? For ecc/plan.c only. */
#ifndef HOLO_ECC_TRIAL_H
#define HOLO_ECC_TRIAL_H

#include "ecc/cost.h"
#include "ecc/plan.h"

struct ecc_trial; /* memory for one full container, reachable for the device where it has a use for that */

/* 0 or -ENOMEM. */
int ecc_trial_create(const struct ecc_plan_options *o, struct ecc_trial **out);
void ecc_trial_destroy(struct ecc_trial *t);

/*
 * Parity, waves and flags of a small container that is not full, by the device and by the CPU. False and one line in *why
 * (static storage) if the device fails or gives other bytes.
 */
bool ecc_trial_agrees(struct ecc_trial *t, const char **why);

/*
 * The best of a few runs with a sixteenth of a full container, and with a full one. 0 or the engine's code. The first run
 * of each kind of work is not counted: devices load their programs in it.
 */
int ecc_trial_measure(struct ecc_trial *t, const struct ecc_engine *engine, enum ecc_work work, struct cost *out);

#endif
