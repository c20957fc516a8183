/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * posix.h: what the parts of the posix test share. Every part is one function per behaviour; it starts in an
 * empty directory of its own on the file system under test and names each thing it checks.
 */
#ifndef HOLO_TESTS_POSIX_H
#define HOLO_TESTS_POSIX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct posix_case {
    const char *name;
    void (*run)(void);
};

/* Tables that end with a NULL name. */
extern const struct posix_case posix_open_cases[];
extern const struct posix_case posix_data_cases[];
extern const struct posix_case posix_name_cases[];
extern const struct posix_case posix_attr_cases[];
extern const struct posix_case posix_share_cases[];

/* Count one check; a failure prints its name, place and errno. Returns ok. */
bool posix_check(bool ok, const char *name, const char *file, int line);

/* Count one check that is not possible here. */
void posix_skip(const char *name);

#define OK(cond, name) posix_check((cond), (name), __FILE__, __LINE__)
/* The call returns −1 with this errno. */
#define FAILS(call, err, name) posix_check((errno = 0, (call)) == -1 && errno == (err), (name), __FILE__, __LINE__)

enum { USER_A = 54321, USER_B = 54322, GROUP_A = 54331, GROUP_B = 54332 };

/* Run fn in a child as this user and group without privileges. Returns what fn returned (0 … 255), −1 when it died. */
int posix_as(uid_t uid, gid_t gid, int (*fn)(void));

/* Create (or truncate) a file with len bytes of text, 0644. Returns 0 or −1. */
int posix_put(const char *path, const char *text);

/* Does the file hold exactly this text? */
bool posix_holds(const char *path, const char *text);

/* Bytes that depend on the seed and the position alone. */
void posix_pattern(uint8_t *buf, size_t len, uint64_t seed);

#endif
