/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtual.c: MNT/.holo: reachable, not listed in the root. Texts are made when a file is opened, so that one
 * reader sees one moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "fuse/fuse.h"

#define VIRTUAL_DIR UINT64_C(0xffffffffffff0000)

static int no_text(struct holofs *fs, struct buf *out)
{
    (void)fs;
    (void)out;
    return 0;
}

static const struct {
    const char *name;
    mode_t mode;
    int (*text)(struct holofs *fs, struct buf *out);
} files[] = {
    { "stats", 0444, holofs_stats_json }, { "metrics", 0444, holofs_metrics_text }, { "health", 0444, holofs_health_text },
    { "events", 0444, holofs_events_text }, { "config", 0444, holofs_config_json }, { "scrub", 0644, holofs_scrub_text },
    { "remap", 0444, holofs_remap_json },     { "control", 0600, no_text },
};
enum { N_FILES = sizeof(files) / sizeof(files[0]) };

bool virtual_is(uint64_t ino)
{
    return ino >= VIRTUAL_DIR;
}

bool virtual_is_slow(uint64_t ino)
{
    return ino > VIRTUAL_DIR && ino - VIRTUAL_DIR - 1 < N_FILES && files[ino - VIRTUAL_DIR - 1].text == holofs_remap_json;
}

uint64_t virtual_lookup(uint64_t parent, const char *name)
{
    if (parent == FUSE_ROOT_ID && strcmp(name, ".holo") == 0)
        return VIRTUAL_DIR;
    if (parent != VIRTUAL_DIR)
        return 0;
    for (unsigned i = 0; i < N_FILES; i++) {
        if (strcmp(name, files[i].name) == 0)
            return VIRTUAL_DIR + 1 + i;
    }
    return 0;
}

const char *virtual_name(unsigned i, uint64_t *ino)
{
    *ino = VIRTUAL_DIR + 1 + i;
    return i < N_FILES ? files[i].name : NULL;
}

void virtual_stat(struct mnt *m, uint64_t ino, struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    (void)m;
    *st = (struct stat){ .st_ino = ino, .st_mode = S_IFDIR | 0555, .st_nlink = 2, .st_uid = getuid(), .st_gid = getgid(),
                         .st_blksize = 4096, .st_atim = now, .st_mtim = now, .st_ctim = now };
    if (ino > VIRTUAL_DIR && ino - VIRTUAL_DIR - 1 < N_FILES) {
        st->st_mode = S_IFREG | files[ino - VIRTUAL_DIR - 1].mode;
        st->st_nlink = 1;
    }
}

int virtual_open(struct mnt *m, uint64_t ino, struct handle *h, int flags)
{
    uint64_t i = ino - VIRTUAL_DIR - 1;
    if (ino == VIRTUAL_DIR || i >= N_FILES)
        return EISDIR;
    if ((flags & O_ACCMODE) != O_RDONLY && !(files[i].mode & 0200))
        return EACCES;
    h->virtual_index = (int)i;
    return holo_errno(files[i].text(m->fs, &h->text));
}

int virtual_write(struct mnt *m, uint64_t ino, const char *text, size_t len)
{
    uint64_t i = ino - VIRTUAL_DIR - 1;
    if (strcmp(files[i].name, "control") == 0)
        return holofs_control(m->fs, text, len);
    char command[256];
    int n = snprintf(command, sizeof(command), "scrub %.*s", (int)(len < 240 ? len : 240), text);
    if (strcmp(files[i].name, "scrub") == 0 && len < 240)
        return holofs_control(m->fs, command, (size_t)n);
    return -EINVAL;
}
