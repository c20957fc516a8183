/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_scrub.c: holo scrub start|pause|resume|cancel|rate|status: verify what a mounted store holds. */
#include "tools/holo_scrub.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/holo_mount.h"
#include "tools/size.h"

static const char usage[] =
    "holo: usage: holo scrub start [--percent N] [--older DAYS] [--watched] [--trust-parity] [--rate SIZE] [--wait] MNT | "
    "scrub pause|resume|cancel|status MNT | scrub rate SIZE MNT\n";

static int wrong_use(void)
{
    fputs(usage, stderr);
    return EXIT_USAGE;
}

/* With words for what the codes mean here. */
static int command(const char *mnt, const char *text)
{
    char line[256];
    snprintf(line, sizeof(line), "scrub %s", text);
    int e = holo_control_code(mnt, line);
    if (!e)
        return 0;
    fprintf(stderr, "holo: %s: %s\n", mnt, e == EALREADY ? "that is so already: see holo scrub status" : e == ESRCH ? "no scrub is going on" : strerror(e));
    return EXIT_OPERATION;
}

static void show_progress(json_t *scrub)
{
    long long total = holo_count(scrub, "bytes_total"), left = holo_count(scrub, "seconds_left");
    printf("\r%lld of %lld containers, %.1f %%", holo_count(scrub, "containers_done"), holo_count(scrub, "containers_total"),
           total ? 100.0 * (double)holo_count(scrub, "bytes_done") / (double)total : 100.0);
    printf(left ? ", %lld:%02lld:%02lld left  " : "            ", left / 3600, left / 60 % 60, left % 60);
    fflush(stdout);
}

/* Until it is done, or somebody else has paused or cancelled it. */
static int wait_for_end(const char *mnt, long long passes)
{
    const struct timespec pause = { 0, 200000000 };
    for (;;) {
        json_t *o = holo_stats(mnt), *scrub = json_object_get(o, "scrub");
        if (!o)
            return EXIT_OPERATION;
        const char *state = json_string_value(json_object_get(scrub, "state"));
        bool running = state && strcmp(state, "running") == 0, ended = holo_count(scrub, "passes") > passes;
        if (isatty(STDOUT_FILENO))
            show_progress(scrub);
        if (!running) {
            long long bad = holo_count(scrub, "bad"), lost = holo_count(scrub, "lost"), repaired = holo_count(scrub, "repaired");
            long long disagrees = holo_count(scrub, "parity_disagrees");
            printf("%s%lld containers verified, %lld bad blocks, %lld repaired, %lld lost%s\n", isatty(STDOUT_FILENO) ? "\n" : "",
                   holo_count(scrub, "containers_done"), bad, repaired, lost, disagrees ? "; parity contradicts data: see events" : "");
            json_decref(o);
            if (!ended)
                fprintf(stderr, "holo: %s: the scrub was %s\n", mnt, state && strcmp(state, "paused") == 0 ? "paused" : "cancelled");
            return !ended ? EXIT_OPERATION : lost || disagrees || bad > repaired ? EXIT_UNHEALTHY : 0;
        }
        json_decref(o);
        nanosleep(&pause, NULL);
    }
}

static const struct option options[] = {
    { "percent", required_argument, NULL, 'p' }, { "older", required_argument, NULL, 'o' }, { "watched", no_argument, NULL, 'w' },
    { "trust-parity", no_argument, NULL, 't' },  { "rate", required_argument, NULL, 'r' },  { "wait", no_argument, NULL, 'W' }, { 0 },
};

/* One option as a word of the command. */
static bool add_word(int c, char *out, size_t cap)
{
    unsigned long n;
    uint64_t bytes;
    size_t len = strlen(out);
    switch (c) {
    case 'p':
        return parse_number(optarg, 1, 100, &n) && snprintf(out + len, cap - len, " percent=%lu", n);
    case 'o':
        return parse_number(optarg, 0, 40000, &n) && snprintf(out + len, cap - len, " older=%lu", n);
    case 'r':
        return parse_size(optarg, &bytes) && snprintf(out + len, cap - len, " rate=%" PRIu64, bytes);
    case 'w':
        return snprintf(out + len, cap - len, " watched");
    case 't':
        return snprintf(out + len, cap - len, " trust-parity");
    }
    return false;
}

static int start(int argc, char **argv)
{
    char words[160] = "start";
    bool wait = false;
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        wait |= c == 'W';
        if (c != 'W' && (strlen(words) > 120 || !add_word(c, words, sizeof(words))))
            return wrong_use();
    }
    if (argc - optind != 1)
        return wrong_use();
    json_t *o = wait ? holo_stats(argv[optind]) : NULL;
    long long passes = holo_count(json_object_get(o, "scrub"), "passes");
    if (wait && !o)
        return EXIT_OPERATION;
    json_decref(o);
    int e = command(argv[optind], words);
    return e || !wait ? e : wait_for_end(argv[optind], passes);
}

int holo_scrub(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char words[64];
    uint64_t rate;
    if (strcmp(what, "start") == 0)
        return start(argc - 1, argv + 1);
    if (argc == 3 && strcmp(what, "status") == 0)
        return holo_print_file(argv[2], "scrub");
    if (argc == 3 && (strcmp(what, "pause") == 0 || strcmp(what, "resume") == 0 || strcmp(what, "cancel") == 0))
        return command(argv[2], what);
    if (argc != 4 || strcmp(what, "rate") != 0 || !parse_size(argv[2], &rate))
        return wrong_use();
    snprintf(words, sizeof(words), "rate=%" PRIu64, rate);
    return command(argv[3], words);
}
