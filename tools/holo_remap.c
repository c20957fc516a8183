/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_remap.c: holo remap list|test|stats|spare: blocks that were moved to spare blocks, and the spare files. */
#include "tools/holo_remap.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/holo_mount.h"
#include "tools/size.h"

static int wrong_use(void)
{
    fputs("holo: usage: holo remap list|stats [--json] MNT | remap test MNT | remap spare add [--size SIZE] [DIR] MNT | "
          "remap spare remove ID MNT\n", stderr);
    return EXIT_USAGE;
}

static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_json(json_t *o)
{
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
}

static void print_list(json_t *list)
{
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o)
        printf("container %08llx block %-6lld %-8s -> spare %04lld block %-6lld %s\n", holo_count(o, "container"), holo_count(o, "file_block"),
               text_of(o, "what"), holo_count(o, "spare"), holo_count(o, "spare_block"), text_of(o, "path"));
}

static void print_stats(json_t *o)
{
    size_t i;
    json_t *s, *t = json_object_get(o, "test");
    char date[40];
    printf("remaps     %lld\n", holo_count(o, "remaps"));
    printf("spare      %lld blocks, %lld used, %lld bad\n", holo_count(o, "spare_blocks"), holo_count(o, "spare_used"),
           holo_count(o, "spare_bad"));
    json_array_foreach(json_object_get(o, "spares"), i, s)
        printf("  %04lld     %lld blocks, %lld used, %lld bad, %s%s%s%s%s\n", holo_count(s, "spare"), holo_count(s, "blocks"),
               holo_count(s, "used"), holo_count(s, "bad"), text_of(s, "state"), *text_of(s, "directory") ? ", in " : "", text_of(s, "directory"),
               *text_of(s, "error") ? ": " : "", text_of(s, "error"));
    printf("table      %lld copies written anew since the mount, sequence number %lld\n", holo_count(o, "copies_repaired"),
           holo_count(o, "sequence"));
    if (holo_count(t, "time"))
        printf("tested     %s: %lld blocks, %lld bad\n", holo_date((double)holo_count(t, "time"), date), holo_count(t, "tested"),
               holo_count(t, "bad"));
    else
        printf("tested     not since the mount\n");
}

static int show(const char *mnt, bool list, bool json)
{
    json_t *o = holo_json(mnt, "remap");
    if (!o)
        return EXIT_OPERATION;
    if (list && json)
        print_json(json_object_get(o, "list"));
    else if (list)
        print_list(json_object_get(o, "list"));
    else if (json) {
        json_object_del(o, "list");
        print_json(o);
    } else {
        print_stats(o);
    }
    json_decref(o);
    return 0;
}

/* Give a command; what the store says of it is told: on standard output if it was done, else on standard error. */
static int command(const char *mnt, const char *text, int failed)
{
    int e = holo_control_code(mnt, text);
    if (e == EINVAL || e == EIO || e == ENOSPC || e == ENOENT || e == EBUSY || e == EFBIG || e == E2BIG || e == EROFS || !e) {
        json_t *o = holo_json(mnt, "remap");
        if (!o)
            return EXIT_OPERATION;
        fprintf(e ? stderr : stdout, "%s%s%s%s\n", e ? "holo: " : "", e ? mnt : "", e ? ": " : "", text_of(o, "said"));
        json_decref(o);
        return e ? failed : 0;
    }
    fprintf(stderr, "holo: %s: %s: %s\n", mnt, text, strerror(e));
    return EXIT_OPERATION;
}

/* DIR as an absolute path, if it is neither in the mounted tree nor a file. */
static bool absolute(const char *dir, const char *mnt, char out[PATH_MAX])
{
    struct stat a, b;
    if (!realpath(dir, out) || stat(out, &a) || stat(mnt, &b)) {
        fprintf(stderr, "holo: %s: %s\n", dir, strerror(errno));
        return false;
    }
    if (S_ISDIR(a.st_mode) && a.st_dev != b.st_dev)
        return true;
    fprintf(stderr, "holo: %s: %s\n", dir, S_ISDIR(a.st_mode) ? "is in the mounted tree itself" : "not a directory");
    return false;
}

static int spare_add(int argc, char **argv)
{
    static const struct option options[] = { { "size", required_argument, NULL, 's' }, { 0 } };
    char words[PATH_MAX + 64], dir[PATH_MAX] = "";
    uint64_t bytes = 0;
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c != 's' || !parse_size(optarg, &bytes) || bytes < 4096)
            return wrong_use();
    }
    int n = argc - optind;
    if (n != 1 && n != 2)
        return wrong_use();
    const char *mnt = argv[argc - 1];
    if (n == 2 && !absolute(argv[optind], mnt, dir))
        return EXIT_OPERATION;
    snprintf(words, sizeof(words), "remap spare add %" PRIu64 "%s%s", bytes, n == 2 ? " " : "", dir);
    return command(mnt, words, EXIT_OPERATION);
}

static int spare_remove(const char *id, const char *mnt)
{
    char words[64];
    unsigned long n;
    if (!parse_number(id, 0, UINT32_MAX, &n))
        return wrong_use();
    snprintf(words, sizeof(words), "remap spare remove %lu", n);
    return command(mnt, words, EXIT_OPERATION);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

int holo_remap(int argc, char **argv)
{
    bool json = false;
    if (argc > 3 && is(argv[1], "spare") && is(argv[2], "add"))
        return spare_add(argc - 2, argv + 2);
    for (int i = 2; i < argc && !json; i++) {
        json = is(argv[i], "--json");
        if (json) {
            memmove(&argv[i], &argv[i + 1], (size_t)(argc - i) * sizeof(*argv));
            argc--;
        }
    }
    if (argc == 3 && (is(argv[1], "list") || is(argv[1], "stats")))
        return show(argv[2], is(argv[1], "list"), json);
    if (argc == 3 && is(argv[1], "test") && !json)
        return command(argv[2], "remap test", EXIT_UNHEALTHY);
    if (argc == 5 && is(argv[1], "spare") && is(argv[2], "remove") && !json)
        return spare_remove(argv[3], argv[4]);
    return wrong_use();
}
