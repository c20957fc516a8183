/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * index_open.c: open the index, or build another where it cannot be used.
 *
 * A mount that may write puts the new one in its place. One for reading only changes no byte of the store: it reads the index where it
 * lies if that has all that the ring has, and else makes one of its own, a copy that is brought up to date or built anew, in a folder for
 * temporary files, which goes with the mount.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "core/log.h"
#include "core/open.h"
#include "core/recover.h"

/* Does what the index has applied fit the ring? NULL, or why not. */
static const char *index_misfit(const struct holofs *fs, const struct ring_scan_result *scan)
{
    const struct meta_state *s = &fs->state;
    if (s->txg == 0)
        return "it was not finished"; /* or is of a store without any txg: then it costs nothing */
    if (scan->n == 0)
        return NULL;
    const struct ring_txg *newest = &scan->txgs[scan->n - 1];
    if (s->txg > newest->txg && s->epoch < newest->epoch)
        return "the index follows another history";
    if (s->txg + 1 < scan->txgs[0].txg && scan->txgs[0].lsn == scan->tail)
        return "the index is older than the ring";
    for (size_t i = 0; i < scan->n; i++) {
        const struct ring_txg *t = &scan->txgs[i];
        if (ring_voids(s->epoch, s->txg, s->txg_hash, t) || (t->txg == s->txg && t->epoch >= s->epoch && (t->chain != s->txg_hash || t->epoch != s->epoch)))
            return "the index follows another history";
    }
    return NULL;
}

/* Of the index after a clean stop: as much as one reads gladly before a mount; it then is in the page cache. */
#define VERIFY_MAX (UINT64_C(1) << 30)

typedef int (*open_fn)(const char *path, const uint8_t uuid[16], struct meta_index **out);

/* Open and judge it: 0, or why it cannot be used: an error, or -HOLO_ESTALE with *why. Then it is closed again. */
static int try_index(struct holofs *fs, const struct ring_scan_result *scan, const char *path, open_fn how, const char **why)
{
    *why = NULL;
    int e = how(path, fs->sb.uuid, &fs->index);
    if (!e)
        e = meta_state_get(fs->index, &fs->state);
    if (!e)
        e = fs->unclean || fs->opt.check_all ? meta_verify(fs->index) : meta_verify_pages(fs->index, VERIFY_MAX);
    if (!e)
        *why = index_misfit(fs, scan);
    if (!e && !*why)
        return 0;
    meta_close(fs->index);
    fs->index = NULL;
    return e ? e : -HOLO_ESTALE;
}

/* Errors that say nothing about what the index holds, or that are not for us to mend. */
static bool is_no_damage(int e)
{
    switch (e) {
    case -ENOMEM:
    case -ENOSPC:
    case -EDQUOT:
    case -EMFILE:
    case -ENFILE:
    case -EACCES:
    case -EPERM:
    case -EROFS:
    case -EISDIR: /* whose it is and what it is for is not known */
    case -ELOOP:
    case -EINVAL:
        return true;
    }
    return false;
}

/* It cannot be used because of e, or `why`: build it anew. */
static int build(struct holofs *fs, const struct ring_scan_result *scan, const char *path, int e, const char *why)
{
    bool asked = fs->hooks && fs->hooks->rebuild_index;
    why = asked ? "asked for" : e == -ENOENT ? "there is none" : why ? why : holo_strerror(e);
    if (fs->hooks && !asked && !fs->hooks->may_rebuild(fs->hooks->arg, why))
        return -HOLO_ESTALE;
    fs->index_rebuilt = fs->sb.sequence > 1; /* a store just formatted has none yet */
    if (fs->index_rebuilt)
        event_add(fs, "index_rebuilt", "s:s", "why", why);
    return rebuild_index(fs, path, scan->txgs, scan->n);
}

static int make_private(struct holofs *fs, char path[PATH_MAX])
{
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_MAX];
    int n = snprintf(dir, sizeof(dir), "%s/holofs-index-XXXXXX", tmp && *tmp == '/' ? tmp : "/var/tmp");
    if (n >= (int)sizeof(dir))
        return -ENAMETOOLONG;
    if (!mkdtemp(dir))
        return -errno;
    fs->private_index = strdup(dir);
    if (!fs->private_index) {
        rmdir(dir);
        return -ENOMEM;
    }
    return snprintf(path, PATH_MAX, "%s/index.db", dir) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

void remove_private_index(struct holofs *fs)
{
    char path[PATH_MAX];
    if (!fs->private_index)
        return;
    if (snprintf(path, sizeof(path), "%s/index.db", fs->private_index) < (int)sizeof(path))
        meta_remove(path);
    rmdir(fs->private_index);
    free(fs->private_index);
    fs->private_index = NULL;
}

/* For reading only. */
static int open_aside(struct holofs *fs, const struct ring_scan_result *scan, const char *path, const char **step)
{
    char mine[PATH_MAX];
    const char *why;
    uint64_t newest = scan->n ? scan->txgs[scan->n - 1].txg : 0;
    int e = try_index(fs, scan, path, meta_open_immutable, &why);
    if (!e && fs->state.txg >= newest)
        return 0;
    if (!e)
        meta_close(fs->index);
    fs->index = NULL;
    *step = "an index for this mount in TMPDIR or /var/tmp";
    e = make_private(fs, mine);
    if (!e)
        e = meta_copy(path, mine);
    if (!e)
        e = try_index(fs, scan, mine, meta_open, &why);
    else if (fs->private_index && (e == -EIO || e == -EISDIR || e == -ELOOP))
        e = -HOLO_ESUM; /* what cannot be read is none */
    if (!e)
        return 0;
    return is_no_damage(e) ? e : build(fs, scan, mine, e, why);
}

int index_open(struct holofs *fs, const struct ring_scan_result *scan, const char **step)
{
    char path[PATH_MAX];
    const char *why = NULL;
    bool given = fs->hooks && fs->hooks->index_path;
    *step = "index.db";
    if (snprintf(path, sizeof(path), "%s%s", given ? fs->hooks->index_path : fs->path, given ? "" : "/index.db") >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (fs->read_only && !given)
        return open_aside(fs, scan, path, step);
    int refused = fs->hooks && !given ? fs->hooks->write_index(fs->hooks->arg) : 0;
    if (refused)
        return refused;
    int e = fs->hooks && fs->hooks->rebuild_index ? -HOLO_ESTALE : try_index(fs, scan, path, meta_open, &why);
    if (!e)
        return 0;
    if (!is_no_damage(e))
        return build(fs, scan, path, e, why);
    if (e == -EISDIR || e == -ELOOP || e == -EINVAL)
        *step = "index.db is no file of the store; moved away, it is made anew";
    return e;
}
