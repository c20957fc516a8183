/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_dump.c: holo dump: superblocks and container headers, decoded. */
#include "tools/holo_dump.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/inspect.h"

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

int holo_dump(const char *what, const char *file, bool json)
{
    struct buf text = { 0 };
    int e;
    if (strcmp(what, "container") == 0) {
        e = holofs_inspect_container(file, &text);
    } else if (strcmp(what, "superblock") == 0) {
        e = holofs_inspect_superblock(file, &text);
    } else {
        fprintf(stderr, "holo: dump knows container and superblock, not '%s'\n", what);
        return 16;
    }
    if (e)
        fprintf(stderr, "holo: %s: %s\n", file, holo_strerror(e));
    else if (json)
        puts((const char *)text.p);
    else
        print_plain((const char *)text.p);
    buf_fini(&text);
    return e ? 1 : 0;
}
