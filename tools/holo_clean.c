/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_clean.c: holo clean: have the space of dead bytes back. */
#include "tools/holo_clean.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/holo_mount.h"

/* How far the run is, over the same line of a terminal. */
static void show_progress(json_t *cleaner)
{
    json_t *run = json_object_get(cleaner, "run");
    printf("\r%lld of %lld containers, %.1f MiB moved, %.1f MiB freed ", holo_count(run, "containers"), holo_count(run, "of"),
           holo_mib(run, "moved_bytes", NULL), holo_mib(run, "freed_bytes", NULL));
    fflush(stdout);
}

int holo_clean(const char *mnt, bool wait)
{
    const struct timespec pause = { 0, 100000000 };
    json_t *o = holo_stats(mnt);
    if (!o)
        return EXIT_OPERATION;
    long long runs = holo_count(json_object_get(o, "cleaner"), "runs");
    json_decref(o);
    int e = holo_control(mnt, "clean");
    if (e || !wait)
        return e;
    for (;;) {
        o = holo_stats(mnt);
        if (!o)
            return EXIT_OPERATION;
        json_t *cleaner = json_object_get(o, "cleaner");
        bool ended = holo_count(cleaner, "runs") > runs;
        if (isatty(STDOUT_FILENO) || ended)
            show_progress(cleaner);
        if (ended) {
            long long quarantined = holo_count(cleaner, "quarantined");
            printf("\nspace      %.1f MiB in files, %.1f MiB alive\n", holo_mib(o, "containers", "file_bytes"), holo_mib(o, "containers", "live_bytes"));
            if (quarantined)
                printf("quarantine %lld containers could not be read whole; .holo/events names the files\n", quarantined);
            const char *error = json_string_value(json_object_get(json_object_get(cleaner, "run"), "error"));
            bool failed = error && *error;
            if (failed)
                fprintf(stderr, "holo: clean: %s\n", error);
            json_decref(o);
            return failed ? EXIT_OPERATION : quarantined ? EXIT_UNHEALTHY : 0;
        }
        json_decref(o);
        nanosleep(&pause, NULL);
    }
}
