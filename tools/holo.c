/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo.c: holo COMMAND: look at a mounted store and tell it what to do, through MNT/.holo. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_ecc.h"
#include "tools/holo_dump.h"

enum { EXIT_UNHEALTHY = 1, EXIT_OPERATION = 8, EXIT_USAGE = 16 };

static int usage(void)
{
    fprintf(stderr, "holo: usage: holo status MNT [--json] | scrub start|status MNT | clean [--wait] MNT | seal MNT | sync MNT | "
                    "events MNT | dump container|superblock FILE [--json] | bench ecc [OPTIONS]\n");
    return EXIT_USAGE;
}

static FILE *open_file(const char *mnt, const char *name, const char *mode)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/.holo/%s", mnt, name);
    FILE *f = fopen(path, mode);
    if (!f)
        fprintf(stderr, "holo: %s: %s\n", path, errno == ENOENT ? "not a mounted holofs" : strerror(errno));
    return f;
}

static int print_file(const char *mnt, const char *name)
{
    char buf[65536];
    size_t n;
    FILE *f = open_file(mnt, name, "re");
    if (!f)
        return EXIT_OPERATION;
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        fwrite(buf, 1, n, stdout);
    int e = ferror(f) ? EXIT_OPERATION : 0;
    fclose(f);
    return e;
}

static int control(const char *mnt, const char *command)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/.holo/control", mnt);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, command, strlen(command));
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        return 0;
    fprintf(stderr, "holo: %s: %s: %s\n", mnt, command, strerror(e));
    return EXIT_OPERATION;
}

static double mib(json_t *o, const char *a, const char *b)
{
    json_t *v = b ? json_object_get(json_object_get(o, a), b) : json_object_get(o, a);
    return (double)json_integer_value(v) / 1048576.0;
}

static long long count(json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* The statistics as JSON, NULL with a message. */
static json_t *load_stats(const char *mnt)
{
    json_error_t why;
    FILE *f = open_file(mnt, "stats", "re");
    if (!f)
        return NULL;
    json_t *o = json_loadf(f, 0, &why);
    fclose(f);
    if (!o)
        fprintf(stderr, "holo: %s: stats cannot be understood: %s\n", mnt, why.text);
    return o;
}

/* The exit code tells health: 0 healthy, 1 not. */
static int status(const char *mnt, bool json)
{
    json_t *o = load_stats(mnt);
    if (!o)
        return EXIT_OPERATION;
    const char *health = json_string_value(json_object_get(o, "health"));
    if (json) {
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else {
        printf("health     %s\n", health);
        printf("files      %lld\n", count(o, "files"));
        printf("live       %.1f MiB in %lld containers, %.1f MiB not sealed yet\n", mib(o, "containers", "live_bytes"),
               (long long)json_integer_value(json_object_get(json_object_get(o, "containers"), "sealed")), mib(o, "exposed_bytes", NULL));
        printf("damage     %lld blocks repaired, %lld remapped, %lld lost since mkfs\n", count(o, "repaired_blocks"),
               count(o, "remapped_blocks"), count(o, "lost_blocks"));
        printf("parity     %s\n", json_string_value(json_object_get(json_object_get(o, "engine"), "name")));
    }
    int e = health && strcmp(health, "healthy") == 0 ? 0 : EXIT_UNHEALTHY;
    json_decref(o);
    return e;
}

static int scrub(const char *what, const char *mnt)
{
    if (strcmp(what, "start") == 0)
        return control(mnt, "scrub");
    return strcmp(what, "status") == 0 ? print_file(mnt, "scrub") : usage();
}

/* How far the run is, over the same line of a terminal. */
static void show_progress(json_t *cleaner)
{
    json_t *run = json_object_get(cleaner, "run");
    printf("\r%lld of %lld containers, %.1f MiB moved, %.1f MiB freed ", count(run, "containers"), count(run, "of"),
           mib(run, "moved_bytes", NULL), mib(run, "freed_bytes", NULL));
    fflush(stdout);
}

/* Start a run; with `wait` follow it to its end. One that is under way already is an error. */
static int clean(const char *mnt, bool wait)
{
    const struct timespec pause = { 0, 100000000 };
    json_t *o = load_stats(mnt);
    if (!o)
        return EXIT_OPERATION;
    long long runs = count(json_object_get(o, "cleaner"), "runs");
    json_decref(o);
    int e = control(mnt, "clean");
    if (e || !wait)
        return e;
    for (;;) {
        o = load_stats(mnt);
        if (!o)
            return EXIT_OPERATION;
        json_t *cleaner = json_object_get(o, "cleaner");
        bool ended = count(cleaner, "runs") > runs;
        if (isatty(STDOUT_FILENO) || ended)
            show_progress(cleaner);
        if (ended) {
            long long quarantined = count(cleaner, "quarantined");
            printf("\nspace      %.1f MiB in files, %.1f MiB alive\n", mib(o, "containers", "file_bytes"), mib(o, "containers", "live_bytes"));
            if (quarantined)
                printf("quarantine %lld containers could not be read whole; .holo/events names the files\n", quarantined);
            json_decref(o);
            return quarantined ? EXIT_UNHEALTHY : 0;
        }
        json_decref(o);
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "ecc") == 0)
        return holo_bench_ecc(argc - 2, argv + 2);
    bool json = argc > 1 && strcmp(argv[argc - 1], "--json") == 0;
    argc -= json;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("holo %s\n", HOLOFS_VERSION);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "status") == 0)
        return status(argv[2], json);
    if (argc == 4 && strcmp(argv[1], "dump") == 0)
        return holo_dump(argv[2], argv[3], json);
    if (json)
        return usage();
    if (argc == 4 && strcmp(argv[1], "scrub") == 0)
        return scrub(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "events") == 0)
        return print_file(argv[2], "events");
    if (argc == 3 && strcmp(argv[1], "clean") == 0)
        return clean(argv[2], false);
    if (argc == 4 && strcmp(argv[1], "clean") == 0 && strcmp(argv[2], "--wait") == 0)
        return clean(argv[3], true);
    if (argc == 3 && (strcmp(argv[1], "seal") == 0 || strcmp(argv[1], "sync") == 0))
        return control(argv[2], argv[1]);
    return usage();
}
