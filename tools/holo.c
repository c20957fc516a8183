/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo.c: holo COMMAND: look at a mounted store and tell it what to do, through MNT/.holo. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench_ecc.h"
#include "tools/bench_remap.h"
#include "tools/holo_clean.h"
#include "tools/holo_dump.h"
#include "tools/holo_events.h"
#include "tools/holo_mount.h"
#include "tools/holo_protect.h"
#include "tools/holo_remap.h"
#include "tools/holo_scrub.h"
#include "tools/holo_status.h"

static int usage(void)
{
    fprintf(stderr, "holo: usage: holo status [MNT] [--json] | scrub COMMAND [OPTIONS] MNT | remap COMMAND [OPTIONS] MNT | clean [--wait] MNT | "
                    "seal MNT | sync MNT | events [OPTIONS] MNT | protect [OPTIONS] PATH | dump WHAT FILE [OPTIONS] | bench ecc|remap [OPTIONS]\n");
    return EXIT_USAGE;
}

/* Is this word among the arguments? Then it is taken out. */
static bool take_word(int *argc, char **argv, const char *word)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], word) == 0) {
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
            --*argc;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "ecc") == 0)
        return holo_bench_ecc(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "bench") == 0 && strcmp(argv[2], "remap") == 0)
        return holo_bench_remap(argc - 2, argv + 2);
    if (argc > 2 && strcmp(argv[1], "scrub") == 0)
        return holo_scrub(argc - 1, argv + 1);
    if (argc > 2 && strcmp(argv[1], "remap") == 0)
        return holo_remap(argc - 1, argv + 1);
    if (argc > 2 && strcmp(argv[1], "events") == 0)
        return holo_events(argc - 1, argv + 1);
    if (argc > 2 && strcmp(argv[1], "protect") == 0)
        return holo_protect(argc - 1, argv + 1);
    if (argc > 2 && strcmp(argv[1], "dump") == 0)
        return holo_dump(argc - 1, argv + 1);
    bool json = take_word(&argc, argv, "--json");
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("holo %s\n", HOLOFS_VERSION);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "status") == 0)
        return holo_status(argv[2], json);
    if (argc == 2 && strcmp(argv[1], "status") == 0)
        return holo_status_all(json);
    if (json)
        return usage();
    if (argc == 3 && strcmp(argv[1], "clean") == 0)
        return holo_clean(argv[2], false);
    if (argc == 4 && strcmp(argv[1], "clean") == 0 && strcmp(argv[2], "--wait") == 0)
        return holo_clean(argv[3], true);
    if (argc == 3 && (strcmp(argv[1], "seal") == 0 || strcmp(argv[1], "sync") == 0))
        return holo_control(argv[2], argv[1]);
    return usage();
}
