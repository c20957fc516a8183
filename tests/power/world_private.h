/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world_private.h: what world.c and harm.c share. */
#ifndef HOLO_TESTS_POWER_WORLD_PRIVATE_H
#define HOLO_TESTS_POWER_WORLD_PRIVATE_H

#include "tests/power/world.h"

/* ---- world.c ---- */
uint64_t world_draw(struct world *w, uint64_t n);
int world_dir_of(int slot);
void world_slot_name(int slot, char out[16]);
uint64_t world_dir_ino(struct rig *r, int d);
uint64_t world_slot_ino(struct rig *r, int slot);
int world_any_slot(struct world *w);
int world_any_file(struct world *w);
struct thing *world_thing_new(struct world *w, int slot, bool is_symlink);
void world_drop_all(struct world *w);

/* Around an operation that makes one state; its things are marked in between. */
void world_begin(struct world *w);
void world_changed(struct world *w, struct thing *t);
void world_end(struct world *w);
void world_push(struct world *w);
/* That state, or a later one, is acknowledged. */
void world_promise(struct world *w, uint64_t state);
int world_difference(const struct state *a, const struct state *b);
void world_ok(int e, const char *what);

void world_write(struct world *w, int slot, size_t off, size_t len);
void world_fsync(struct world *w, int slot);
void world_control(struct world *w, const char *command, bool promises);

/* ---- harm.c ---- */
void world_do_kill(struct world *w);
void world_do_rot(struct world *w, bool stuck);
void world_fail_ring(struct world *w);
void world_unnamed(struct world *w);

#endif
