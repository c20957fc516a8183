/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_dump.c: holo dump: files of a store, decoded, for people and as JSON. */
#include "tools/holo_dump.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/inspect.h"
#include "tools/holo_mount.h"
#include "tools/size.h"

static void print_plain(const char *text)
{
    json_t *o = json_loads(text, 0, NULL), *v;
    const char *key;
    json_object_foreach(o, key, v) {
        char *value = json_dumps(v, JSON_ENCODE_ANY);
        printf("%-18s %s\n", key, value ? value : "?");
        free(value);
    }
    json_decref(o);
}

/* Superblocks and container headers are one object. */
static int dump_object(int (*inspect)(const char *file, struct buf *out), const char *file, bool json)
{
    struct buf text = { 0 };
    int e = inspect(file, &text);
    if (e)
        fprintf(stderr, "holo: %s: %s\n", file, holo_strerror(e));
    else if (json)
        puts((const char *)text.p);
    else
        print_plain((const char *)text.p);
    buf_fini(&text);
    return e ? 1 : 0;
}

/* ---- the others are many objects ---- */

static bool is_time(const char *key)
{
    size_t n = strlen(key);
    return n >= 4 && strcmp(key + n - 4, "time") == 0;
}

static void print_value(const char *key, json_t *v)
{
    char date[40];
    char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (json_is_real(v) && is_time(key))
        printf(" %s %s", key, holo_date(json_real_value(v), date));
    else if (json_is_boolean(v))
        printf(json_is_true(v) ? " %s" : " not %s", key);
    else
        printf(" %s %s", key, text ? text : json_string_value(v));
    free(text);
}

/* Most flags count only where they are set. */
static bool is_told(const char *key, json_t *v)
{
    return !json_is_array(v) && (!json_is_false(v) || strcmp(key, "whole") == 0 || strcmp(key, "right") == 0);
}

/* A line: what it is, then name and value; lists follow, a line for each of theirs. */
static void print_lines(json_t *o, int depth)
{
    const char *key, *between = ":";
    bool first = true;
    size_t i;
    json_t *v, *below;
    printf("%*s", 2 * depth, "");
    json_object_foreach(o, key, v) {
        if (!is_told(key, v))
            continue;
        if (first && json_is_string(v)) {
            printf("%s", json_string_value(v));
        } else {
            fputs(first ? "" : between, stdout);
            print_value(key, v);
            between = ",";
        }
        first = false;
    }
    putchar('\n');
    json_object_foreach(o, key, v) {
        json_array_foreach(v, i, below)
            print_lines(below, depth + 1);
    }
}

static int emit_lines(void *arg, json_t *o)
{
    (void)arg;
    print_lines(o, 0);
    json_decref(o);
    return ferror(stdout) ? -EIO : 0;
}

static int emit_json(void *arg, json_t *o)
{
    (void)arg;
    json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
    return ferror(stdout) ? -EIO : 0;
}

static int dump_list(int (*inspect)(struct inspect *in, const char *file), struct inspect *in, const char *file)
{
    int e = inspect(in, file);
    if (e)
        fprintf(stderr, "holo: %s: %s\n", file, e == -HOLO_EFORMAT ? "holds nothing of that kind" : holo_strerror(e));
    return e || in->wrong ? 1 : 0;
}

static int dump(const char *what, const char *file, struct inspect *in, bool json)
{
    static const struct {
        const char *what;
        int (*object)(const char *file, struct buf *out);
        int (*list)(struct inspect *in, const char *file);
    } kinds[] = {
        { "superblock", holofs_inspect_superblock, NULL }, { "container", holofs_inspect_container, NULL },
        { "ring", NULL, holofs_inspect_ring },             { "record", NULL, holofs_inspect_records },
        { "pieces", NULL, holofs_inspect_pieces },         { "remap", NULL, holofs_inspect_remap },
    };
    in->emit = json ? emit_json : emit_lines;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(what, kinds[i].what) == 0)
            return kinds[i].object ? dump_object(kinds[i].object, file, json) : dump_list(kinds[i].list, in, file);
    }
    fprintf(stderr, "holo: dump knows superblock, container, ring, record, pieces and remap, not '%s'\n", what);
    return EXIT_USAGE;
}

int holo_dump(int argc, char **argv)
{
    static const struct option options[] = { { "json", no_argument, NULL, 'j' },       { "records", no_argument, NULL, 'r' },
                                             { "txg", required_argument, NULL, 't' },  { "store", required_argument, NULL, 's' }, { 0 } };
    struct inspect in = { 0 };
    bool json = false, right = true;
    unsigned long n = 0;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        json |= c == 'j';
        in.records |= c == 'r';
        in.store = c == 's' ? optarg : in.store;
        in.one_txg |= c == 't';
        right &= c != '?' && (c != 't' || parse_number(optarg, 0, INT64_MAX, &n));
    }
    in.txg = n;
    in.records |= in.one_txg;
    if (right && argc - optind == 2)
        return dump(argv[optind], argv[optind + 1], &in, json);
    fprintf(stderr, "holo: usage: holo dump superblock|container|ring|record|pieces|remap FILE [--records] [--txg N] [--store DIR] [--json]\n");
    return EXIT_USAGE;
}
