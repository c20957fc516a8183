/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_mount.c: read and write the files of MNT/.holo. */
#include "tools/holo_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

FILE *holo_open(const char *mnt, const char *name)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/.holo/%s", mnt, name);
    FILE *f = fopen(path, "re");
    if (!f)
        fprintf(stderr, "holo: %s: %s\n", path, errno == ENOENT ? "not a mounted holofs" : strerror(errno));
    return f;
}

int holo_print_file(const char *mnt, const char *name)
{
    char buf[65536];
    size_t n;
    FILE *f = holo_open(mnt, name);
    if (!f)
        return EXIT_OPERATION;
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        fwrite(buf, 1, n, stdout);
    int e = ferror(f) ? EXIT_OPERATION : 0;
    fclose(f);
    return e;
}

int holo_control_code(const char *mnt, const char *command)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/.holo/control", mnt);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, command, strlen(command));
    int e = errno;
    if (fd >= 0)
        close(fd);
    return n >= 0 ? 0 : e;
}

int holo_control(const char *mnt, const char *command)
{
    int e = holo_control_code(mnt, command);
    if (!e)
        return 0;
    fprintf(stderr, "holo: %s: %s: %s\n", mnt, command, strerror(e));
    return EXIT_OPERATION;
}

json_t *holo_stats(const char *mnt)
{
    return holo_json(mnt, "stats");
}

json_t *holo_json(const char *mnt, const char *name)
{
    json_error_t why;
    FILE *f = holo_open(mnt, name);
    if (!f)
        return NULL;
    json_t *o = json_loadf(f, 0, &why);
    fclose(f);
    if (!o)
        fprintf(stderr, "holo: %s: %s cannot be understood: %s\n", mnt, name, why.text);
    return o;
}

long long holo_count(json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

double holo_mib(json_t *o, const char *a, const char *b)
{
    json_t *v = b ? json_object_get(json_object_get(o, a), b) : json_object_get(o, a);
    return (double)json_integer_value(v) / 1048576.0;
}

const char *holo_size_text(long long bytes, char text[32])
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
    double v = (double)bytes / 1024;
    size_t u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    if (bytes < 1024)
        snprintf(text, 32, "%lld bytes", bytes);
    else
        snprintf(text, 32, "%.1f %s", v, units[u]);
    return text;
}

const char *holo_date(double s, char text[40])
{
    struct tm tm;
    time_t t = (time_t)s;
    if (!localtime_r(&t, &tm) || !strftime(text, 40, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(text, 40, "?");
    return text;
}
