/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protect_ask.h: what holo protect finds out from a mount about files: where they are, and what is right there. */
#ifndef HOLO_TOOLS_PROTECT_ASK_H
#define HOLO_TOOLS_PROTECT_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/medium.h"

/* A container that holds bytes of the files asked for. */
struct held {
    struct medium_container c;
    int *margin; /* of each stripe */
};

/* One file. */
struct file_told {
    uint64_t size, sealed, unsealed, lost; /* bytes */
    int margin;                            /* the least of its stripes; INT_MAX: none of it is sealed */
    uint32_t m, container, stripe;         /* of that stripe */
};

struct ask {
    bool quick; /* do not read: take it that everything is right */
    struct held **by_id;
    size_t cap, n;
    uint64_t blocks_read, bad, remapped;
};

/* Everything about an open file, added to what is known. 0 or an errno. */
int ask_file(struct ask *a, int fd, struct file_told *out);

/* The stripes that count, and the containers they are in, as medium_burst wants them. The caller frees the list. */
const struct medium_container **ask_containers(const struct ask *a, uint64_t *stripes);

void ask_fini(struct ask *a);

#endif
