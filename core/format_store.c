/* SPDX-License-Identifier: GPL-2.0-or-later */
/* format_store.c: make a new store: geometry, files, root directory. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/fs.h"
#include "core/log.h"

enum { MIB = 1 << 20 };

static int fail(char *why, size_t cap, const char *what, int e)
{
    snprintf(why, cap, "%s: %s", what, holo_strerror(e));
    return e;
}

/* Sizes that were not given, from the space there is. */
static int choose(struct superblock *sb, const struct holofs_geometry *g, uint64_t space, uint64_t *spare, char *why, size_t cap)
{
    uint64_t total = g->size_limit_bytes && g->size_limit_bytes < space ? g->size_limit_bytes : space;
    sb->k = g->k ? g->k : 64;
    sb->r = g->r ? g->r : 3;
    sb->meta_r = g->meta_r ? g->meta_r : sb->r > 5 ? sb->r : 5;
    sb->seed_base = g->seed_base;
    uint64_t container = g->nmax ? (uint64_t)g->nmax * BLOCK_SIZE : 64u * MIB;
    while (!g->nmax && container > MIB && container * 64 > total)
        container /= 2;
    sb->nmax = (uint32_t)(container / BLOCK_SIZE);
    uint64_t ring = g->ring_blocks ? (uint64_t)g->ring_blocks * BLOCK_SIZE : 2 * container + (container < 32u * MIB ? container : 32u * MIB);
    if (!g->ring_blocks && ring < 8u * MIB)
        ring = 8u * MIB;
    sb->ring_blocks = (uint32_t)(ring / BLOCK_SIZE);
    /* What is being sealed when others fill the disk, and the index: so that everything can still be deleted. */
    uint64_t finish = 3 * (container + container / 4) + 8u * MIB;
    sb->reserve_bytes = g->reserve_bytes ? g->reserve_bytes : (total / 8 < finish ? total / 8 : finish) / BLOCK_SIZE * BLOCK_SIZE;
    *spare = g->spare_bytes != UINT64_MAX ? g->spare_bytes : total / 500 < 8u * MIB ? total / 500 : 8u * MIB;
    uint64_t fixed = 2 * ring + sb->reserve_bytes + *spare, room = 6 * (container + container / 4);
    if (fixed + room <= total)
        return 0;
    snprintf(why, cap, "too little space: %llu MiB, at least %llu MiB are needed with these sizes", (unsigned long long)(total / MIB),
             (unsigned long long)((fixed + room) / MIB + 1));
    return -ENOSPC;
}

static int check_geometry(const struct superblock *sb, char *why, size_t cap)
{
    const char *bad = NULL;
    if (sb->r < 1 || sb->r > ECC_R_MAX)
        bad = "redundancy must be 1 to 10";
    else if (sb->k < 2 || sb->k + 2 * ECC_R_MAX > ECC_N_MAX)
        bad = "stripe width must be 2 to 235";
    else if (sb->nmax < 64 || sb->nmax > (1u << 20))
        bad = "container size must be 256 KiB to 4 GiB";
    else if (sb->ring_blocks < 2 * RING_ENTRY_BLOCKS || (uint64_t)sb->ring_blocks < (uint64_t)sb->nmax)
        bad = "the ring must hold at least 2 MiB and one container";
    if (!bad)
        return 0;
    snprintf(why, cap, "%s", bad);
    return -EINVAL;
}

static bool is_empty_dir(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return false;
    struct dirent *e;
    int n = 0;
    while ((e = readdir(d)))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "lost+found") != 0;
    closedir(d);
    return n == 0;
}

static int drop_name(void *arg, const char *name)
{
    void **a = arg;
    struct backing *b = a[0];
    char path[600];
    snprintf(path, sizeof(path), "%s%s%s", (const char *)a[1], *(const char *)a[1] ? "/" : "", name);
    int e = b->ops->unlink(b, path);
    return e == -EISDIR || e == -EPERM || e == -ENOENT ? 0 : e;
}

static int drop_folder(void *arg, const char *name)
{
    struct backing *b = arg;
    char dir[300];
    snprintf(dir, sizeof(dir), "containers/%s", name);
    void *a[2] = { b, dir };
    int e = b->ops->list(b, dir, drop_name, a);
    return e == -ENOTDIR ? 0 : e;
}

static int unlink_all(struct backing *b, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int e = b->ops->unlink(b, name[i]);
        if (e && e != -ENOENT)
            return e;
    }
    return 0;
}

/*
 * Remove the store that was here; only files that a store consists of. Its superblocks go first and for good: what a crash leaves of the
 * rest, beside parts of the new one, is no store.
 */
static int wipe(struct backing *b, const char *path)
{
    static const char *const super[] = { "superblock.0", "superblock.1", "superblock.2", "superblock.3", "superblock.4" };
    static const char *const rest[] = { "journal.0", "journal.1", "remap.0", "remap.1", "remap.2", "remap.3", "remap.4",
                                        "remap.guard.0", "remap.guard.1", "reserve" };
    char index[PATH_MAX];
    void *spare[2] = { b, (void *)(uintptr_t)"spare" };
    if (snprintf(index, sizeof(index), "%s/index.db", path) >= (int)sizeof(index))
        return -ENAMETOOLONG;
    int e = unlink_all(b, super, sizeof(super) / sizeof(super[0]));
    if (!e)
        e = b->ops->sync_dir(b, "");
    if (!e)
        e = unlink_all(b, rest, sizeof(rest) / sizeof(rest[0]));
    if (!e)
        e = meta_remove(index);
    if (!e)
        e = b->ops->list(b, "spare", drop_name, spare);
    if (e && e != -ENOENT)
        return e;
    e = b->ops->list(b, "containers", drop_folder, b);
    return e == -ENOENT ? 0 : e;
}

static int make_reserve(struct backing *b, uint64_t bytes)
{
    struct bfile *f;
    int e = b->ops->open(b, "reserve", BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (e)
        return e;
    e = bytes ? f->ops->preallocate(f, bytes) : 0;
    f->ops->close(f);
    return e;
}

/* The first txg: a root directory. */
static int make_root(struct backing *b, const struct superblock *sb)
{
    uint8_t space[512];
    struct ring *ring;
    struct rec r;
    int64_t now = clock_real_ns();
    struct inode_image root = { .ino = INO_ROOT, .parent = INO_ROOT, .atime = now, .mtime = now, .ctime = now, .btime = now, .gen = 1,
                                .mode = S_IFDIR | 0755, .uid = getuid(), .gid = getgid(), .nlink = 2 };
    struct counters c = { .next_ino = INO_ROOT + 1, .next_cookie = 3, .next_seq = 2, .next_container = 1 };
    int e = ring_open(b, sb->uuid, sb->ring_blocks, false, &ring);
    if (e)
        return e;
    rec_begin(&r, space, sizeof(space), REC_FORMAT, now);
    rec_inode(&r, &root);
    rec_counters(&r, &c);
    size_t len = rec_end(&r);
    rec_set_seq(space, 1);
    struct ring_txg t = { .epoch = 1, .txg = 1, .time_ns = now, .flags = RING_EPOCH_FIRST | RING_CLEAN };
    e = ring_append(ring, &t, NULL, 0, space, len);
    if (!e && ring_mirror(ring) < 0)
        e = -EIO;
    ring_close(ring);
    return e;
}

/* The directory has its name for good; one that nobody may list has it as far as we can tell. */
static int sync_parent(const char *path)
{
    char up[PATH_MAX];
    if (snprintf(up, sizeof(up), "%s/..", path) >= (int)sizeof(up))
        return -ENAMETOOLONG;
    int fd = open(up, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -errno;
    int e = fsync(fd) ? -errno : 0;
    close(fd);
    return e;
}

/* Superblocks come last: before them it is not a store. */
static int make_files(struct backing *b, const char *path, struct superblock *sb, uint64_t spare)
{
    int e = wipe(b, path);
    if (!e)
        e = sync_parent(path);
    if (!e)
        e = b->ops->mkdir(b, "containers");
    if (!e)
        e = b->ops->mkdir(b, "spare");
    if (!e)
        e = remap_format(b, sb->uuid, (uint32_t)(spare / BLOCK_SIZE));
    if (!e)
        e = make_reserve(b, sb->reserve_bytes);
    if (!e)
        e = ring_format(b, sb->ring_blocks);
    if (!e)
        e = make_root(b, sb);
    if (!e)
        e = b->ops->sync_dir(b, "");
    if (!e)
        e = super_write(b, sb, NULL);
    return e ? e : b->ops->sync_dir(b, "");
}

static int make_dir(const char *path, bool force, char *why, size_t cap)
{
    struct stat st;
    if (mkdir(path, 0700) && errno != EEXIST)
        return fail(why, cap, path, -errno);
    if (stat(path, &st))
        return fail(why, cap, path, -errno);
    if (!S_ISDIR(st.st_mode))
        return fail(why, cap, path, -ENOTDIR);
    if (force || is_empty_dir(path))
        return 0;
    snprintf(why, cap, "%s: is not empty; use -f to replace a store that is there", path);
    return -ENOTEMPTY;
}

/* Let the first mount find its index: open and close once. */
static int first_open(const char *path, const char *spare_dir, uint64_t spare, char *why, size_t cap)
{
    char command[PATH_MAX + 64];
    struct holofs_options o;
    struct holofs *fs;
    holofs_options_init(&o);
    int e = holofs_open(path, &o, &fs, why, cap);
    if (e)
        return e;
    if (spare_dir) {
        snprintf(command, sizeof(command), "remap spare add %llu %s", (unsigned long long)spare, spare_dir);
        e = holofs_control(fs, command, strlen(command));
        if (e)
            fail(why, cap, spare_dir, e);
    }
    int e2 = holofs_close(fs);
    return e ? e : e2;
}

int holofs_format(const char *path, const struct holofs_geometry *g, char *why, size_t why_cap)
{
    struct superblock sb = { .version = HOLO_FORMAT_VERSION, .sequence = 1, .epoch = 1, .created_ns = clock_real_ns(),
                             .flags = SUPER_CLEAN, .hint_end = 1, .hint_txg = 1 }; /* make_root writes one ring block */
    struct backing *b;
    struct backing_space space;
    uint64_t spare;
    int lock;
    int e = make_dir(path, g->force, why, why_cap);
    if (e)
        return e;
    e = store_lock(path, false, &lock);
    if (e)
        return fail(why, why_cap, path, e);
    e = backing_posix_open(path, false, &b);
    if (!e)
        e = b->ops->space(b, &space);
    if (e) {
        close(lock);
        return fail(why, why_cap, path, e);
    }
    e = choose(&sb, g, space.free_bytes, &spare, why, why_cap);
    if (!e)
        e = check_geometry(&sb, why, why_cap);
    if (e && !g->force)
        b->ops->unlink(b, "lock"); /* nothing was there before */
    sb.size_limit_bytes = g->size_limit_bytes;
    if (g->label)
        strncpy(sb.label, g->label, SUPER_LABEL_MAX);
    if (!e && getrandom(sb.uuid, sizeof(sb.uuid), 0) != (ssize_t)sizeof(sb.uuid))
        e = fail(why, why_cap, "random numbers", -EIO);
    if (!e) {
        e = chmod(path, 0700) ? -errno : make_files(b, path, &sb, spare);
        if (e)
            fail(why, why_cap, path, e);
    }
    b->ops->close(b);
    close(lock);
    return e ? e : first_open(path, g->spare_dir, spare, why, why_cap);
}
