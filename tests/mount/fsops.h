/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsops.h: the model of fsops.c and its operations. */
#ifndef HOLO_TESTS_FSOPS_H
#define HOLO_TESTS_FSOPS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FSOPS_SLOTS = 12, FSOPS_DIRS = 3, FSOPS_MAX = 1 << 20, FSOPS_PATH = PATH_MAX };

/* What one file should hold. Bytes behind size are zeros, so that growing needs no care. */
struct fsops_file {
    uint8_t data[FSOPS_MAX];
    size_t size;
    unsigned links;
    int fd; /* open for reading and writing, or −1; outlives the last link */
};

struct fsops {
    struct fsops_file *slot[FSOPS_SLOTS]; /* names; two may be links to one file */
    uint64_t random, seed;
    unsigned n; /* operations done */
    char what[256]; /* the operation under way */
    char top[FSOPS_PATH - 64];
    uint8_t scratch[FSOPS_MAX];
    bool verbose;
};

uint64_t fsops_random(struct fsops *s, uint64_t below);
bool fsops_fail(struct fsops *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fsops_name(const struct fsops *s, unsigned slot, char *path);

/* Is the file of this slot what the model says, its absence included? */
bool fsops_compare(struct fsops *s, unsigned slot);

/* One random operation on both. False, with a message, when the file system does something else. */
bool fsops_step(struct fsops *s);

void fsops_close(struct fsops_file *f);
void fsops_put(struct fsops_file *f); /* one link less; frees the last one */

#endif
