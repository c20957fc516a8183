/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storm_names.c: names that are replaced and exchanged while others look for them; names that come and go. */
#include "tests/mount/storm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { WORDS_MAX = 6000, NAMES = 12, DIRS = 3, INODES_MAX = 20000 };

static const char busy[] = "busy";

int names_make(struct state *s)
{
    char name[64];
    (void)s;
    if (mkdir(busy, 0755))
        return -1;
    for (unsigned k = 0; k < QUIET; k++) {
        snprintf(name, sizeof(name), "%s/quiet%u", busy, k);
        int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0)
            return -1;
        close(fd);
    }
    for (unsigned k = 0; k < DIRS; k++) {
        snprintf(name, sizeof(name), "dir%u", k);
        if (mkdir(name, 0755))
            return -1;
    }
    return 0;
}

/* A new file of one version throughout. */
static bool write_version(struct state *s, const char *name, uint64_t version, uint64_t *seed)
{
    uint64_t words[WORDS_MAX];
    size_t n = 1 + random_next(seed) % WORDS_MAX;
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 && storm_ends(s))
        return false;
    for (size_t k = 0; k < n; k++)
        words[k] = version;
    words[0] = n;
    ssize_t w = fd < 0 ? -1 : write(fd, words, n * 8);
    if (w == (ssize_t)n * 8 && random_next(seed) % 8 == 0 && fsync(fd))
        w = -1;
    bool whole = w == (ssize_t)n * 8, ended = !whole && (w < 0 ? storm_ends(s) : storm_gone(s));
    bool ok = check(s, whole || ended, "%s is not written: %zd of %zu, %s", name, w, n * 8, strerror(errno)) && whole;
    if (fd >= 0)
        close(fd);
    return ok;
}

void replacer(struct state *s, unsigned n, uint64_t seed)
{
    char name[64], beside[64];
    for (uint64_t turn = 0; !storm_ends(s); turn++) {
        unsigned k = n + 2 * (unsigned)(random_next(&seed) % (REPLACED / 2));
        unsigned flags = turn > 4 * REPLACED && random_next(&seed) % 3 == 0 ? RENAME_EXCHANGE : 0;
        snprintf(name, sizeof(name), "%s/replaced%u", busy, k);
        snprintf(beside, sizeof(beside), "%s/beside%u", turn % 2 ? busy : "dir0", n);
        if (!write_version(s, beside, ++s->version, &seed))
            return;
        int r = renameat2(AT_FDCWD, beside, AT_FDCWD, name, flags);
        if (!r && flags)
            r = unlink(beside);
        if (r && storm_ends(s))
            return;
        if (!check(s, r == 0, "%s is not replaced: %s", name, strerror(errno)))
            return;
        s->work++;
    }
}

/* The name is there, with one version throughout and not an older one than before. */
static bool watch(struct state *s, const char *name, uint64_t *newest)
{
    static uint64_t words[WORDS_MAX + 1];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && ((errno == ENOENT && *newest == 0) || storm_ends(s)))
        return true;
    if (!check(s, fd >= 0, "%s, which is replaced, does not open: %s", name, strerror(errno)))
        return false;
    ssize_t n = read(fd, words, sizeof(words));
    close(fd);
    bool whole = n >= 8 && words[0] == (uint64_t)n / 8;
    uint64_t v = n > 8 ? words[1] : *newest;
    for (ssize_t k = 2; k < n / 8; k++)
        whole &= words[k] == v;
    if (!whole && (n < 0 ? storm_ends(s) : storm_gone(s)))
        return true;
    bool ok = check(s, whole, "%s is torn: %zd bytes", name, n) &&
              check(s, v >= *newest, "%s is version %ju after %ju", name, (uintmax_t)v, (uintmax_t)*newest);
    *newest = v;
    return ok;
}

void watcher(struct state *s, unsigned n, uint64_t seed)
{
    uint64_t newest[REPLACED] = { 0 };
    char name[64];
    (void)n;
    while (!storm_ends(s)) {
        unsigned k = (unsigned)(random_next(&seed) % REPLACED);
        snprintf(name, sizeof(name), "%s/replaced%u", busy, k);
        if (!watch(s, name, &newest[k]))
            return;
    }
}

void lister(struct state *s, unsigned n, uint64_t seed)
{
    (void)n;
    (void)seed;
    bool known[REPLACED] = { false };
    while (!storm_ends(s)) {
        unsigned quiet[QUIET] = { 0 }, replaced[REPLACED] = { 0 }, k;
        DIR *d = opendir(busy);
        if (!d && storm_ends(s))
            return;
        if (!check(s, d != NULL, "%s is not listed: %s", busy, strerror(errno)))
            return;
        errno = 0;
        for (struct dirent *e; (e = readdir(d));) {
            if (sscanf(e->d_name, "quiet%u", &k) == 1)
                quiet[k]++;
            else if (sscanf(e->d_name, "replaced%u", &k) == 1)
                replaced[k]++;
        }
        bool ended = errno && storm_ends(s);
        closedir(d);
        if (ended)
            return;
        for (k = 0; k < QUIET; k++)
            check(s, quiet[k] == 1, "quiet%u is listed %u times", k, quiet[k]);
        for (k = 0; k < REPLACED; k++) {
            known[k] |= replaced[k] > 0;
            check(s, replaced[k] == known[k], "replaced%u is listed %u times", k, replaced[k]);
        }
    }
}

/* ---- names that come and go ---- */

static void usual(struct state *s, const char *what, int r)
{
    static const int ok[] = { ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL, EPERM, ENODATA, ELOOP, EBUSY };
    bool fine = r >= 0;
    for (size_t k = 0; k < sizeof(ok) / sizeof(ok[0]); k++)
        fine |= errno == ok[k];
    check(s, fine || storm_ends(s), "%s: %s", what, strerror(errno));
    s->work++;
}

static void any_path(uint64_t *seed, char out[64])
{
    unsigned d = (unsigned)(random_next(seed) % DIRS), k = (unsigned)(random_next(seed) % NAMES);
    if (random_next(seed) % 3)
        snprintf(out, 64, "dir%u/n%u", d, k);
    else
        snprintf(out, 64, "dir%u/n%u/n%u", d, k, (unsigned)(random_next(seed) % NAMES));
}

static int write_some(const char *path, uint64_t *seed)
{
    static char text[30000];
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (random_next(seed) % 4 ? 0 : O_TRUNC), 0644);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, 1 + random_next(seed) % sizeof(text));
    int e = errno;
    close(fd);
    errno = e;
    return n < 0 ? -1 : 0;
}

void namer(struct state *s, unsigned n, uint64_t seed)
{
    (void)n;
    while (!storm_ends(s)) {
        char from[64], to[64], value[300] = "value";
        any_path(&seed, from);
        any_path(&seed, to);
        switch (random_next(&seed) % 14) {
        case 0:
        case 1:
        case 2:
            usual(s, "a file", write_some(from, &seed));
            break;
        case 3:
            usual(s, "mkdir", mkdir(from, 0755));
            break;
        case 4:
            usual(s, "rmdir", rmdir(from));
            break;
        case 5:
            usual(s, "unlink", unlink(from));
            break;
        case 6:
            usual(s, "link", link(from, to));
            break;
        case 7:
            usual(s, "symlink", symlink("n1", from));
            break;
        case 8:
            usual(s, "rename", renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
            break;
        case 9:
            usual(s, "exchange", renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE));
            break;
        case 10:
            usual(s, "truncate", truncate(from, (off_t)(random_next(&seed) % 60000)));
            break;
        case 11:
            usual(s, "setxattr", lsetxattr(from, "user.storm", value, 1 + random_next(&seed) % sizeof(value), 0));
            break;
        case 12:
            usual(s, "getxattr", (int)lgetxattr(from, "user.storm", value, sizeof(value)));
            break;
        default:
            usual(s, "rename", rename(from, to));
        }
    }
}

/* ---- at the end ---- */

static struct {
    ino_t ino;
    nlink_t links, names;
    bool dir;
} seen[INODES_MAX];
static size_t n_seen;

static size_t seen_inode(ino_t ino)
{
    size_t k = 0;
    while (k < n_seen && seen[k].ino != ino)
        k++;
    if (k == n_seen && n_seen < INODES_MAX - 1)
        seen[n_seen++].ino = ino;
    return k;
}

/* A folder has two links and one for each folder in it. */
static int see(const char *path, const struct stat *st, int type, struct FTW *f)
{
    struct stat up;
    char parent[4200];
    size_t k = seen_inode(st->st_ino);
    (void)type;
    seen[k].links = st->st_nlink;
    seen[k].dir = S_ISDIR(st->st_mode);
    seen[k].names += S_ISDIR(st->st_mode) ? 2 : 1;
    if (S_ISDIR(st->st_mode) && f->level > 0) {
        snprintf(parent, sizeof(parent), "%s/..", path);
        if (stat(parent, &up))
            return -1;
        seen[seen_inode(up.st_ino)].names++;
    }
    return 0;
}

void names_verify(struct state *s)
{
    n_seen = 0;
    memset(seen, 0, sizeof(seen));
    check(s, nftw(".", see, 32, FTW_PHYS) == 0, "the tree cannot be walked: %s", strerror(errno));
    for (size_t k = 0; k < n_seen; k++)
        check(s, seen[k].links == seen[k].names, "inode %ju has %ju links and %ju names", (uintmax_t)seen[k].ino, (uintmax_t)seen[k].links,
              (uintmax_t)seen[k].names);
}
