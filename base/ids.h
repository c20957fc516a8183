/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ids.h: a growable list of 32-bit numbers. Zeroed it is empty; the caller frees v. */
#ifndef HOLO_BASE_IDS_H
#define HOLO_BASE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ids {
    uint32_t *v;
    size_t n, cap;
};

/* Append id. -ENOMEM leaves the list as it was. */
int ids_add(struct ids *l, uint32_t id);

bool ids_has(const struct ids *l, uint32_t id);

#endif
