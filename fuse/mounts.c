/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mounts.c: what is mounted at a place, whether it is dead, and taking dead mounts of ours away.
 *
 * A FUSE mount whose program has died stays where it was: everything there fails with ENOTCONN, and it never comes to life
 * again. What is looked at and what is taken away is the same mount, held by a descriptor: a live one that comes to the same
 * place meanwhile is never hit.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/fuse.h"

enum { STACKED_MAX = 64 };

/* Undo the \ooo of the kernel's tables. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

/* One line of mountinfo, see proc_pid_mountinfo(5). */
static bool parse_line(char *line, char point[PATH_MAX], struct mount_point *m)
{
    if (sscanf(line, "%u %*d %u:%u %*s %4095s", &m->id, &m->major, &m->minor, point) != 4)
        return false;
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(rest, " - %63s %4095s", m->type, m->source) != 2)
        return false;
    unescape(point);
    unescape(m->source);
    return true;
}

unsigned mounts_at(const char *target, struct mount_point *top)
{
    struct mount_point m;
    char *line = NULL, point[PATH_MAX];
    size_t cap = 0;
    unsigned n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && getline(&line, &cap, f) > 0) {
        if (!parse_line(line, point, &m) || strcmp(point, target) != 0)
            continue;
        *top = m; /* later lines lie over earlier ones */
        n++;
    }
    free(line);
    if (f)
        fclose(f);
    return n;
}

int mounts_resolve(const char *given, char target[PATH_MAX])
{
    char copy[PATH_MAX], *slash;
    if (realpath(given, target))
        return 0;
    int e = -errno;
    size_t n = strlen(given);
    if (e != -ENOTCONN || n >= sizeof(copy))
        return e;
    memcpy(copy, given, n + 1);
    while (n > 1 && copy[n - 1] == '/') /* the mount itself does not answer: its parent does */
        copy[--n] = 0;
    slash = strrchr(copy, '/');
    const char *base = slash ? slash + 1 : copy, *dir = slash == copy ? "/" : slash ? copy : ".";
    if (slash)
        *slash = 0;
    if (!realpath(dir, target))
        return e;
    size_t len = strlen(target), more = strlen(base);
    if (len + more + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    if (target[len - 1] != '/')
        target[len++] = '/';
    memcpy(target + len, base, more + 1);
    return 0;
}

/* The number of the mount that a descriptor lies in; 0 if it cannot be told. */
static unsigned mount_of(int fd)
{
    char name[64], line[128];
    unsigned id = 0;
    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(name, "re");
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "mnt_id: %u", &id) != 1)
        ;
    if (f)
        fclose(f);
    return id;
}

/* The topmost mount of a place, held: its descriptor, or a negative errno. Another may come above it at any time. */
static int hold_top(const char *target, struct mount_point *top, unsigned *depth)
{
    for (int tries = 0; tries < 8; tries++) {
        *depth = mounts_at(target, top);
        if (!*depth)
            return -ENOENT;
        int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        if (mount_of(fd) == top->id)
            return fd;
        close(fd);
    }
    return -EBUSY;
}

/* What statfs says goes through to the program that serves the mount; attributes of its root may come from the kernel. */
static bool is_dead(int fd)
{
    struct statfs s;
    return fstatfs(fd, &s) && errno == ENOTCONN;
}

static bool is_fuse(const struct mount_point *m)
{
    return strcmp(m->type, "fuse") == 0 || strncmp(m->type, "fuse.", 5) == 0 || strcmp(m->type, "fuseblk") == 0;
}

static void describe(const struct mount_point *m, unsigned depth, const char *target, bool dead, char *why, size_t cap)
{
    bool ours = strcmp(m->type, "fuse.holofs") == 0;
    char which[64] = "";
    if (depth > 1)
        snprintf(which, sizeof(which), ", the topmost of %u mounts there", depth);
    if (!dead)
        snprintf(why, cap, "%.*s: %.*s is mounted here already (%s%s) and answers", PATH_MAX, target, PATH_MAX, m->source, m->type, which);
    else
        snprintf(why, cap, "%.*s: a dead mount of %.*s (%s%s) is in the way: clear it with fusermount3 -u or umount -l%s", PATH_MAX,
                 target, PATH_MAX, m->source, m->type, which, ours ? ", or mount with -o clear_stale" : "");
}

int mounts_check(const char *target, bool clear, bool *dead, char *why, size_t cap)
{
    struct mount_point top;
    unsigned depth;
    *dead = false;
    if (!mounts_at(target, &top) || !is_fuse(&top))
        return 0;
    int fd = hold_top(target, &top, &depth);
    if (fd < 0) /* a mount that came or went just now: mounting will tell */
        return 0;
    *dead = is_dead(fd);
    close(fd);
    bool ours = strcmp(top.type, "fuse.holofs") == 0;
    if (*dead ? ours && clear : !ours)
        return 0;
    describe(&top, depth, target, *dead, why, cap);
    return *dead ? -ENOTCONN : -EBUSY;
}

int mounts_clear(const char *target, char *why, size_t cap)
{
    for (unsigned n = 0; n < STACKED_MAX; n++) {
        struct mount_point top;
        unsigned depth;
        char name[64];
        bool dead;
        int e = mounts_check(target, true, &dead, why, cap);
        if (e || !dead)
            return e;
        int fd = hold_top(target, &top, &depth);
        if (fd < 0)
            continue;
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        if (strcmp(top.type, "fuse.holofs") == 0 && is_dead(fd) && umount2(name, MNT_DETACH) && errno != EINVAL && errno != ENOENT) {
            e = -errno; /* EINVAL: somebody else was faster */
            snprintf(why, cap, "%.*s: the dead mount of %.*s there cannot be cleared: %s", PATH_MAX, target, PATH_MAX, top.source, strerror(-e));
        }
        close(fd);
        if (e)
            return e;
    }
    snprintf(why, cap, "%.*s: too many dead mounts", PATH_MAX, target);
    return -ELOOP;
}
