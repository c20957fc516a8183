/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsck_position.c: where a check stopped, as a line of JSON: the store's uuid, and the next container. */
#include "tools/fsck_position.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool take_uuid(const char *text, uint8_t out[16])
{
    int used = 0;
    if (!text || strlen(text) != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        unsigned v;
        if (sscanf(text + 2 * i, "%2x%n", &v, &used) != 1 || used != 2)
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

int fsck_position_load(const char *file, struct fsck_position *out)
{
    if (access(file, R_OK))
        return -errno;
    json_t *o = json_load_file(file, 0, NULL);
    json_t *next = json_object_get(o, "next_container");
    bool right = json_is_integer(next) && json_integer_value(next) > 0 && json_integer_value(next) <= UINT32_MAX &&
                 take_uuid(json_string_value(json_object_get(o, "uuid")), out->uuid);
    out->next = (uint32_t)json_integer_value(next);
    json_decref(o);
    return right ? 0 : -EINVAL;
}

int fsck_position_save(const char *file, const struct fsck_position *p)
{
    char uuid[33];
    if (!p->next)
        return unlink(file) && errno != ENOENT ? -errno : 0;
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", p->uuid[i]);
    FILE *f = fopen(file, "we");
    if (!f)
        return -errno;
    fprintf(f, "{\"uuid\":\"%s\",\"next_container\":%u}\n", uuid, (unsigned)p->next);
    int bad = ferror(f);
    return fclose(f) || bad ? -EIO : 0;
}
