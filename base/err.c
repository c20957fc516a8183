/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err.c: texts and errno values of holofs error codes. */
#include "base/err.h"

#include <stddef.h>
#include <string.h>

struct reason {
    int code;
    int err;
    const char *text;
};

#define HOLO_ERROR_ROW(name, number, err, text) { (number), (err), (text) },
static const struct reason reasons[] = { HOLO_ERRORS(HOLO_ERROR_ROW) };
#undef HOLO_ERROR_ROW

static const struct reason *find(int code)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].code == code)
            return &reasons[i];
    }
    return NULL;
}

const char *holo_strerror(int code)
{
    int c = code < 0 ? -code : code;
    if (c == 0)
        return "success";
    if (c < HOLO_EBASE) {
        const char *s = strerrordesc_np(c);
        return s ? s : "unknown error";
    }
    const struct reason *r = find(c);
    return r ? r->text : "unknown holofs error";
}

int holo_errno(int code)
{
    if (code >= 0)
        return 0;
    if (-code < HOLO_EBASE)
        return -code;
    const struct reason *r = find(-code);
    return r ? r->err : EIO;
}
