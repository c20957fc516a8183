/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_mount.h: what the commands of holo share: a mounted store's .holo folder. Failures are told on standard error. */
#ifndef HOLO_TOOLS_HOLO_MOUNT_H
#define HOLO_TOOLS_HOLO_MOUNT_H

#include <jansson.h>
#include <stdio.h>

enum { EXIT_UNHEALTHY = 1, EXIT_OPERATION = 8, EXIT_USAGE = 16 };

/* Open .holo/NAME for reading; NULL with a message. */
FILE *holo_open(const char *mnt, const char *name);

/* Copy it to standard output. 0 or an exit code. */
int holo_print_file(const char *mnt, const char *name);

/* Give a command to the store; the errno, without a message. */
int holo_control_code(const char *mnt, const char *command);

/* The same with a message; 0 or an exit code. */
int holo_control(const char *mnt, const char *command);

/* The statistics; the caller's to give back. NULL with a message. */
json_t *holo_stats(const char *mnt);

/* The same of another file of .holo that is one JSON object. */
json_t *holo_json(const char *mnt, const char *name);

/* A member that is a number, 0 if there is none. */
long long holo_count(json_t *o, const char *key);

/* A number of bytes in MiB: member a, or member b of member a. */
double holo_mib(json_t *o, const char *a, const char *b);

/* "12.3 MiB". Returns text. */
const char *holo_size_text(long long bytes, char text[32]);

/* Local time of seconds since 1970. Returns text. */
const char *holo_date(double s, char text[40]);

#endif
