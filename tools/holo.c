/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo.c: holo COMMAND: look at a mounted store and tell it what to do, through MNT/.holo. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench_ecc.h"
#include "tools/bench_remap.h"
#include "tools/holo_clean.h"
#include "tools/holo_dump.h"
#include "tools/holo_mount.h"
#include "tools/holo_scrub.h"

static int usage(void)
{
    fprintf(stderr, "holo: usage: holo status MNT [--json] | scrub COMMAND [OPTIONS] MNT | clean [--wait] MNT | seal MNT | sync MNT | "
                    "events MNT | dump container|superblock FILE [--json] | bench ecc|remap [OPTIONS]\n");
    return EXIT_USAGE;
}

/* The exit code tells health: 0 healthy, 1 not. */
static int status(const char *mnt, bool json)
{
    json_t *o = holo_stats(mnt);
    if (!o)
        return EXIT_OPERATION;
    const char *health = json_string_value(json_object_get(o, "health"));
    if (json) {
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else {
        printf("health     %s\n", health);
        printf("files      %lld\n", holo_count(o, "files"));
        printf("live       %.1f MiB in %lld containers, %.1f MiB not sealed yet\n", holo_mib(o, "containers", "live_bytes"),
               (long long)json_integer_value(json_object_get(json_object_get(o, "containers"), "sealed")), holo_mib(o, "exposed_bytes", NULL));
        printf("damage     %lld blocks repaired, %lld remapped, %lld lost since mkfs\n", holo_count(o, "repaired_blocks"),
               holo_count(o, "remapped_blocks"), holo_count(o, "lost_blocks"));
        printf("parity     %s\n", json_string_value(json_object_get(json_object_get(o, "engine"), "name")));
    }
    int e = health && strcmp(health, "healthy") == 0 ? 0 : EXIT_UNHEALTHY;
    json_decref(o);
    return e;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "ecc") == 0)
        return holo_bench_ecc(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "remap") == 0)
        return holo_bench_remap(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "scrub") == 0)
        return holo_scrub(argc - 1, argv + 1);
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
    if (argc == 3 && strcmp(argv[1], "events") == 0)
        return holo_print_file(argv[2], "events");
    if (argc == 3 && strcmp(argv[1], "clean") == 0)
        return holo_clean(argv[2], false);
    if (argc == 4 && strcmp(argv[1], "clean") == 0 && strcmp(argv[2], "--wait") == 0)
        return holo_clean(argv[3], true);
    if (argc == 3 && (strcmp(argv[1], "seal") == 0 || strcmp(argv[1], "sync") == 0))
        return holo_control(argv[2], argv[1]);
    return usage();
}
