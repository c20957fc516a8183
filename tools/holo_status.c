/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_status.c: holo status: how a mounted store is, for people, as JSON, and as an exit code. */
#include "tools/holo_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "tools/holo_mount.h"

enum { EXIT_DATA_LOST = 2, EXIT_FAILED = 4, FILES_TOLD = 10 };

static int exit_code(json_t *stats)
{
    static const struct {
        const char *health;
        int code;
    } codes[] = { { "healthy", 0 }, { "degraded", EXIT_UNHEALTHY }, { "data lost", EXIT_DATA_LOST }, { "failed", EXIT_FAILED } };
    const char *health = json_string_value(json_object_get(stats, "health"));
    for (size_t i = 0; health && i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(health, codes[i].health) == 0)
            return codes[i].code;
    }
    return EXIT_UNHEALTHY;
}

/* What statfs says, into the statistics' space. */
static void add_room(json_t *stats, const char *mnt)
{
    struct statvfs v;
    json_t *space = json_object_get(stats, "space");
    if (statvfs(mnt, &v))
        return;
    json_object_set_new(space, "total_bytes", json_integer((json_int_t)(v.f_blocks * v.f_frsize)));
    json_object_set_new(space, "free_bytes", json_integer((json_int_t)(v.f_bfree * v.f_frsize)));
    json_object_set_new(space, "available_bytes", json_integer((json_int_t)(v.f_bavail * v.f_frsize)));
}

/* The paths of which events say that bytes could not be had, each once. NULL if the events cannot be read. */
static json_t *files_hurt(const char *mnt)
{
    char *line = NULL;
    size_t cap = 0;
    FILE *f = holo_open(mnt, "events");
    json_t *list = f ? json_array() : NULL, *seen = json_object();
    while (f && getline(&line, &cap, f) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        const char *event = json_string_value(json_object_get(o, "event")), *path = json_string_value(json_object_get(o, "path"));
        bool hurt = event && path && (strcmp(event, "lost") == 0 || strcmp(event, "read_failed") == 0 || strcmp(event, "data_lost") == 0);
        if (hurt && *path == '/' && !json_object_get(seen, path)) {
            json_object_set_new(seen, path, json_true());
            json_array_append_new(list, json_string(path));
        }
        json_decref(o);
    }
    free(line);
    json_decref(seen);
    if (f)
        fclose(f);
    return list;
}

/* The statistics with what else status tells; NULL with a message. */
static json_t *collect(const char *mnt)
{
    json_t *o = holo_stats(mnt);
    if (!o)
        return NULL;
    add_room(o, mnt);
    json_t *hurt = files_hurt(mnt);
    if (hurt)
        json_object_set_new(o, "files_hurt", hurt);
    return o;
}

static const char *size_of(json_t *o, const char *key, char text[32])
{
    return holo_size_text(holo_count(o, key), text);
}

static void print_health(json_t *o)
{
    size_t i;
    json_t *r;
    printf("health     %s\n", json_string_value(json_object_get(o, "health")));
    json_array_foreach(json_object_get(o, "health_reasons"), i, r)
        printf("           %s;\n             %s\n", json_string_value(json_object_get(r, "why")), json_string_value(json_object_get(r, "do")));
}

static void print_space(json_t *o)
{
    char a[32], b[32], c[32];
    json_t *s = json_object_get(o, "space");
    long long used = holo_count(s, "data_bytes") + holo_count(s, "parity_bytes") + holo_count(s, "metadata_bytes") +
                     holo_count(s, "ring_bytes") + holo_count(s, "spare_bytes") + holo_count(s, "reserve_bytes");
    printf("files      %lld\n", holo_count(o, "files"));
    printf("space      %s live, %s free, %s available\n", size_of(s, "live_bytes", a), size_of(s, "free_bytes", b),
           size_of(s, "available_bytes", c));
    printf("store      %s: data %s, parity %s", holo_size_text(used, a), size_of(s, "data_bytes", b), size_of(s, "parity_bytes", c));
    printf(", metadata %s, ring %s", size_of(s, "metadata_bytes", a), size_of(s, "ring_bytes", b));
    printf(", spare %s, reserve %s; and the index\n", size_of(s, "spare_bytes", a), size_of(s, "reserve_bytes", b));
    printf("exposed    %s not sealed yet: in the ring and its mirror, without parity\n", size_of(o, "exposed_bytes", a));
}

static void print_errors(json_t *o)
{
    size_t i;
    json_t *path, *m = json_object_get(o, "since_mount"), *r = json_object_get(o, "remap"), *hurt = json_object_get(o, "files_hurt");
    printf("errors     %lld blocks repaired, %lld remapped, %lld lost since mkfs; %lld, %lld, %lld since the mount\n",
           holo_count(o, "repaired_blocks"), holo_count(o, "remapped_blocks"), holo_count(o, "lost_blocks"),
           holo_count(m, "repaired_blocks"), holo_count(m, "remapped_blocks"), holo_count(m, "lost_blocks"));
    printf("spares     %lld of %lld blocks used\n", holo_count(r, "spare_used"), holo_count(r, "spare_blocks"));
    if (json_array_size(hurt))
        printf("unreadable %zu files have bytes that could not be read since the mount\n", json_array_size(hurt));
    json_array_foreach(hurt, i, path) {
        if (i < FILES_TOLD)
            printf("           %s\n", json_string_value(path));
    }
}

static void print_scrub(json_t *o)
{
    char date[40];
    json_t *s = json_object_get(o, "scrub"), *c = json_object_get(o, "containers");
    const char *state = json_string_value(json_object_get(s, "state"));
    long long total = holo_count(s, "bytes_total"), left = holo_count(s, "seconds_left"), file = holo_count(c, "file_bytes");
    long long finished = holo_count(s, "finished_s");
    if (state && strcmp(state, "idle") != 0) {
        printf("scrub      %s, %.1f %%", state, total ? 100.0 * (double)holo_count(s, "bytes_done") / (double)total : 0.0);
        if (left)
            printf(", %lld:%02lld:%02lld left", left / 3600, left / 60 % 60, left % 60);
    } else if (!finished) {
        printf("scrub      never");
    } else {
        printf("scrub      finished %s", holo_date((double)finished, date));
    }
    if (holo_count(s, "started_s"))
        printf(": %lld bad blocks, %lld repaired, %lld lost, %lld stripes whose parity contradicts data", holo_count(s, "bad"),
               holo_count(s, "repaired"), holo_count(s, "lost"), holo_count(s, "parity_disagrees"));
    printf("\nverified   %.0f %% of the containers' bytes in the last 30 days; %lld of %lld containers never",
           file ? 100.0 * (double)holo_count(s, "verified_30d_bytes") / (double)file : 100.0, holo_count(s, "never_verified"),
           holo_count(c, "sealed"));
    if (json_object_get(s, "oldest_age_s"))
        printf("; the oldest of the others %.1f days ago", (double)holo_count(s, "oldest_age_s") / 86400);
    printf("; %lld watched\n", holo_count(s, "watched"));
}

static void print_mount(json_t *o)
{
    char date[40];
    printf("mount      since %s, %s\n", holo_date(json_number_value(json_object_get(o, "mounted_s")), date),
           json_is_true(json_object_get(o, "read_only")) ? "for reading only" : "for writing");
    printf("directory  %s\n", json_string_value(json_object_get(o, "store")));
    printf("parity     %s\n", json_string_value(json_object_get(json_object_get(o, "engine"), "name")));
}

static void print_json(json_t *o)
{
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
}

int holo_status(const char *mnt, bool json)
{
    json_t *o = collect(mnt);
    if (!o)
        return EXIT_OPERATION;
    if (json) {
        print_json(o);
    } else {
        print_health(o);
        print_space(o);
        print_errors(o);
        print_scrub(o);
        print_mount(o);
    }
    int e = exit_code(o);
    json_decref(o);
    return e;
}

/* Blanks and the like are \ooo in mountinfo. */
static void unescape(char *s)
{
    char *out = s;
    while (*s) {
        unsigned c;
        if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
            *out++ = (char)c;
            s += 4;
        } else {
            *out++ = *s++;
        }
    }
    *out = 0;
}

static int one_of_all(const char *mnt, json_t *list)
{
    char a[32], b[32];
    json_t *o = collect(mnt);
    int e = o ? exit_code(o) : EXIT_OPERATION;
    json_t *s = json_object_get(o, "space");
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:o}", "mount", mnt, "status", o ? json_incref(o) : json_null()));
    else if (o)
        printf("%s: %s, %s live, %s available, store %s\n", mnt, json_string_value(json_object_get(o, "health")), size_of(s, "live_bytes", a),
               size_of(s, "available_bytes", b), json_string_value(json_object_get(o, "store")));
    json_decref(o);
    return e;
}

int holo_status_all(bool json)
{
    char *line = NULL, mnt[4097];
    size_t cap = 0;
    int e = 0, n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    json_t *list = json ? json_array() : NULL;
    while (f && getline(&line, &cap, f) > 0) {
        const char *type = strstr(line, " - ");
        if (!type || strncmp(type + 3, "fuse.holofs ", 12) != 0 || sscanf(line, "%*d %*d %*s %*s %4096s", mnt) != 1)
            continue;
        unescape(mnt);
        e |= one_of_all(mnt, list);
        n++;
    }
    free(line);
    if (f)
        fclose(f);
    if (json)
        print_json(list);
    else if (!n)
        puts("no holofs is mounted");
    json_decref(list);
    return e;
}
