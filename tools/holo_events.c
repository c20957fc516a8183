/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * holo_events.c: holo events: what happened to a mounted store, in words or as the JSON lines of .holo/events.
 *
 * With --follow the file is read again every second. An event about damage may still grow while it is the newest one; whatever of the
 * lines seen last is still there says where the new ones begin.
 */
#include "tools/holo_events.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/holo_mount.h"

static const struct {
    const char *event, *words;
} kinds[] = {
    { "repaired", "bad blocks were made right" },
    { "lost", "blocks could not be made right: their bytes are lost" },
    { "remapped", "a block that the disk does not keep moved to a spare" },
    { "spare_added", "there is one more spare file" },
    { "spare_add_failed", "a spare file that an option asks for cannot be made" },
    { "spare_removed", "a spare file was emptied and taken away" },
    { "spare_away", "a spare file is not there; what is in it is read through parity" },
    { "spare_failing", "a spare file takes no blocks; they go to others" },
    { "spare_back", "a spare file is there again" },
    { "spare_block_bad", "a spare block is bad; it is rebuilt elsewhere" },
    { "spares_full", "a bad block found no spare block; it is read through parity" },
    { "remap_copies_repaired", "copies of the remap table were written anew" },
    { "remap_copies_bad", "copies of the remap table are bad and cannot be written" },
    { "heal_failed", "right bytes could not be written back" },
    { "read_failed", "a read failed" },
    { "data_lost", "the log lost bytes of a file; they read as an error until they are written again" },
    { "metadata_lost", "the log lost records" },
    { "records_skipped", "records about inodes that there are not were passed over" },
    { "loss_accepted", "the loss was accepted" },
    { "parity_disagrees", "parity contradicts data that checksums confirm; the data are as they were written" },
    { "disk_gone", "the disk does not answer; nothing is lost by that" },
    { "disk_back", "the disk answers again" },
    { "container_unreadable", "a container could not be read at all" },
    { "container_quarantined", "the cleaner leaves a container alone, since not all of it can be read" },
    { "container_searched", "the directory of a container is damaged; the whole index was searched" },
    { "container_taken_back", "a container that the log lost was taken back" },
    { "scrub_finished", "a scrub came to its end" },
    { "scrub_book_lost", "what earlier scrubs verified is not known any more" },
    { "scrub_book_not_written", "how far the scrub is could not be written" },
    { "write_trouble", "writing fails for now, and is tried again" },
    { "write_recovered", "writing works again" },
    { "store_failed", "nothing is written any more" },
    { "reserve_used", "the disk is full; a part of the reserve was given up" },
    { "reserve_filled", "the reserve is whole again" },
    { "ring_copy_failed", "a copy of the ring cannot be written" },
    { "ring_copy_restored", "a copy of the ring has a new file" },
    { "ring_repaired", "blocks of the ring were made right from its mirror" },
    { "ring_lost", "both copies of the ring are damaged: transactions are lost" },
    { "ring_behind", "the index knows more than the ring; it counts" },
    { "ring_foreign", "ring and index are of two histories" },
    { "unclean_stop", "the last mount ended without unmounting; the log was replayed" },
    { "index_rebuilt", "the index was made anew from the log" },
    { "index_damaged", "the index is damaged; the next mount verifies and rebuilds it" },
    { "index_retired", "a sync of the index failed; the next mount builds it anew" },
    { "index_mismatch", "the index and a container do not agree" },
    { "superblock_copies", "copies of the superblock are damaged or old" },
    { "superblock_remade", "the superblock was made again" },
    { "superblock_write", "copies of the superblock could not be written" },
    { "part_missing", "a part of the store is missing" },
    { "part_remade", "a part of the store was made again" },
    { "read_only", "the store is open for reading only" },
    { "engine_fallback", "the GPU failed; the CPU did its work" },
    { "dump", "the metadata was written anew" },
    { "dump_failed", "the metadata could not be written anew" },
};

struct options {
    bool json, follow;
    double since;
};

static void print_words(json_t *o)
{
    char date[40];
    const char *key, *event = json_string_value(json_object_get(o, "event")), *words = "";
    json_t *v;
    for (size_t i = 0; event && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(event, kinds[i].event) == 0)
            words = kinds[i].words;
    }
    printf("%s %s", holo_date(json_number_value(json_object_get(o, "time")), date), event ? event : "?");
    printf(*words ? ": %s" : "%s", words);
    const char *between = " (";
    json_object_foreach(o, key, v) {
        if (strcmp(key, "time") == 0 || strcmp(key, "event") == 0)
            continue;
        char *value = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY);
        printf("%s%s %s", between, key, value ? value : json_string_value(v));
        free(value);
        between = ", ";
    }
    puts(*between == ',' ? ")" : "");
}

static void print_line(const struct options *opt, const char *line)
{
    json_t *o = json_loads(line, 0, NULL);
    if (o && json_number_value(json_object_get(o, "time")) >= opt->since) {
        if (opt->json)
            puts(line);
        else
            print_words(o);
    }
    json_decref(o);
}

struct lines {
    char **v;
    size_t n;
};

static void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct lines){ 0 };
}

/* 0 or an exit code. */
static int read_lines(const char *mnt, struct lines *out)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    FILE *f = holo_open(mnt, "events");
    *out = (struct lines){ 0 };
    if (!f)
        return EXIT_OPERATION;
    while ((len = getline(&line, &cap, f)) > 0) {
        char **v = realloc(out->v, (out->n + 1) * sizeof(*v));
        if (!v)
            break;
        line[len - (line[len - 1] == '\n')] = 0;
        out->v = v;
        out->v[out->n++] = line;
        line = NULL;
        cap = 0;
    }
    free(line);
    fclose(f);
    return 0;
}

/* Where in `now` the lines begin that come behind those of `before`. */
static size_t first_new(const struct lines *before, const struct lines *now)
{
    for (size_t b = before->n; b-- > 0;) {
        for (size_t i = now->n; i-- > 0;) {
            if (strcmp(before->v[b], now->v[i]) == 0)
                return i + 1;
        }
    }
    return 0;
}

static int show(const char *mnt, const struct options *opt)
{
    const struct timespec pause = { 1, 0 };
    struct lines before = { 0 }, now;
    int e;
    while ((e = read_lines(mnt, &now)) == 0) {
        for (size_t i = first_new(&before, &now); i < now.n; i++)
            print_line(opt, now.v[i]);
        lines_free(&before);
        before = now;
        if (!opt->follow || fflush(stdout))
            break;
        nanosleep(&pause, NULL);
    }
    lines_free(&before);
    return e;
}

/* "2026-11-21", "2026-11-21 10:30[:00]" (local time), seconds since 1970, or so long ago: 90s, 15m, 12h, 7d. */
static bool parse_time(const char *text, double *out)
{
    static const char *const formats[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d" };
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = { .tm_isdst = -1 };
        const char *end = strptime(text, formats[i], &tm);
        if (end && !*end) {
            *out = (double)mktime(&tm);
            return true;
        }
    }
    static const char units[] = "smhd";
    static const double seconds[] = { 1, 60, 3600, 86400 };
    char *end;
    double v = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (end == text || v < 0 || (*end && (!unit || end[1])))
        return false;
    *out = unit ? (double)time(NULL) - v * seconds[unit - units] : v;
    return true;
}

int holo_events(int argc, char **argv)
{
    static const struct option options[] = { { "follow", no_argument, NULL, 'f' }, { "since", required_argument, NULL, 's' },
                                             { "json", no_argument, NULL, 'j' }, { 0 } };
    struct options opt = { 0 };
    int c;
    bool right = true;
    while ((c = getopt_long(argc, argv, "f", options, NULL)) != -1) {
        opt.follow |= c == 'f';
        opt.json |= c == 'j';
        right &= c != '?' && (c != 's' || parse_time(optarg, &opt.since));
    }
    if (right && argc - optind == 1)
        return show(argv[optind], &opt);
    fprintf(stderr, "holo: usage: holo events [--follow] [--since TIME] [--json] MNT; TIME: 2026-11-21, '2026-11-21 10:30', or 90s, 15m, 12h, 7d ago\n");
    return EXIT_USAGE;
}
