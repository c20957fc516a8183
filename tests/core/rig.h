/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rig.h: a small store in a directory of its own, and the calls of libholofs that most tests make.
 *
 * Containers of 1 MiB and a ring of 4 MiB, so that a few megabytes reach every state. The directory is in
 * /dev/shm where there is one.
 */
#ifndef HOLO_TESTS_CORE_RIG_H
#define HOLO_TESTS_CORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "core/holofs.h"

#ifdef __SANITIZE_THREAD__
/* Children of these tests start threads of their own. */
__attribute__((weak)) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

enum { RIG_BLOCK = 4096, RIG_NMAX = 256, RIG_RING = 1024, RIG_ROOT = 1 };

struct rig {
    char dir[96];
    char why[256];
    struct holofs_options opt;
    struct holofs *fs;
};

/* ---- numbers and bytes from a seed ---- */

static inline uint64_t rig_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *seed ^ *seed >> 33;
    return x * 0xff51afd7ed558ccdu >> 20;
}

static inline void rig_fill(uint64_t seed, void *out, size_t len)
{
    uint8_t *p = out;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rig_random(&seed) * 0x9e3779b97f4a7c15u;
        memcpy(p + i, &v, len - i < 8 ? len - i : 8);
    }
}

/* Change n bytes of p somewhere: at most n, for one may be met twice. */
static inline void rig_flip(uint64_t seed, uint8_t *p, size_t len, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[rig_random(&seed) % len] ^= (uint8_t)(1 + rig_random(&seed) % 255);
}

/* ---- the directory ---- */

static inline int rig_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static inline void rig_remove_tree(const char *path)
{
    nftw(path, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void rig_name(const struct rig *r, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", r->dir, name);
}

/* One byte in a thousand of a whole file of the store. */
static inline void rig_flip_file(const struct rig *r, const char *file, uint64_t seed)
{
    char name[PATH_MAX];
    struct stat st;
    rig_name(r, file, name);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *p = malloc((size_t)st.st_size);
    assert_true(pread(fd, p, (size_t)st.st_size, 0) == st.st_size);
    rig_flip(seed, p, (size_t)st.st_size, (size_t)st.st_size / 1000);
    assert_true(pwrite(fd, p, (size_t)st.st_size, 0) == st.st_size);
    close(fd);
    free(p);
}

/* ---- open and close ---- */

static inline void rig_init(struct rig *r)
{
    const char *tmp = getenv("TMPDIR");
    memset(r, 0, sizeof(*r));
    log_set_level(LOG_LEVEL_ERR);
    snprintf(r->dir, sizeof(r->dir), "%.60s/holofs-core-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(r->dir));
    holofs_options_init(&r->opt);
    r->opt.engine = "scalar"; /* no time is spent on measuring others */
}

static inline struct holofs_geometry rig_geometry(void)
{
    return (struct holofs_geometry){ .k = 16, .r = 2, .meta_r = 2, .nmax = RIG_NMAX, .ring_blocks = RIG_RING, .reserve_bytes = 65536,
                                     .spare_bytes = 65536 };
}

static inline int rig_try_open(struct rig *r)
{
    return holofs_open(r->dir, &r->opt, &r->fs, r->why, sizeof(r->why));
}

static inline void rig_open(struct rig *r)
{
    int e = rig_try_open(r);
    if (e)
        fail_msg("%s (%d)", r->why, e);
}

static inline void rig_close(struct rig *r)
{
    assert_int_equal(holofs_close(r->fs), 0);
    r->fs = NULL;
}

static inline void rig_reopen(struct rig *r)
{
    rig_close(r);
    rig_open(r);
}

static inline void rig_format(struct rig *r, const struct holofs_geometry *g)
{
    int e = holofs_format(r->dir, g, r->why, sizeof(r->why));
    if (e)
        fail_msg("%s (%d)", r->why, e);
}

/* A formatted and open store. */
static inline void rig_start(struct rig *r)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    rig_format(r, &g);
    rig_open(r);
}

static inline void rig_stop(struct rig *r)
{
    if (r->fs)
        rig_close(r);
    rig_remove_tree(r->dir);
}

/* A number from the environment: seeds, rounds. */
static inline uint64_t rig_number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

/* ---- files ---- */

static inline uint64_t rig_make(struct rig *r, uint64_t parent, const char *name, uint32_t mode)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    int e = holofs_create(r->fs, &cred, parent, name, mode, 0, NULL, &a);
    if (e)
        fail_msg("create %s: %s", name, holo_strerror(e));
    holofs_forget(r->fs, a.ino, 1);
    return a.ino;
}

static inline uint64_t rig_create(struct rig *r, const char *name)
{
    return rig_make(r, RIG_ROOT, name, S_IFREG | 0644);
}

/* The inode of a name, 0 if there is none. */
static inline uint64_t rig_find(struct rig *r, uint64_t parent, const char *name)
{
    struct holofs_attr a;
    int e = holofs_lookup(r->fs, parent, name, &a);
    if (e == -ENOENT)
        return 0;
    assert_int_equal(e, 0);
    holofs_forget(r->fs, a.ino, 1);
    return a.ino;
}

static inline void rig_write(struct rig *r, uint64_t ino, uint64_t off, const void *p, size_t len)
{
    ssize_t n = holofs_write(r->fs, ino, off, p, len, false);
    if (n != (ssize_t)len)
        fail_msg("write of %zu bytes at %llu: %zd (%s)", len, (unsigned long long)off, n, n < 0 ? holo_strerror((int)n) : "short");
}

/* A buffer that holofs_read may take for size bytes. */
static inline uint8_t *rig_buffer(size_t size)
{
    uint8_t *b = aligned_alloc(RIG_BLOCK, (size + 2 * RIG_BLOCK) / RIG_BLOCK * RIG_BLOCK + RIG_BLOCK);
    assert_non_null(b);
    return b;
}

static inline void rig_expect(struct rig *r, uint64_t ino, uint64_t off, const void *want, size_t len)
{
    uint8_t *got = rig_buffer(len);
    ssize_t n = holofs_read(r->fs, ino, off, got, len);
    if (n != (ssize_t)len)
        fail_msg("read of %zu bytes at %llu of inode %llu: %zd (%s)", len, (unsigned long long)off, (unsigned long long)ino, n,
                 n < 0 ? holo_strerror((int)n) : "short");
    for (size_t i = 0; i < len; i++) {
        if (got[i] != ((const uint8_t *)want)[i])
            fail_msg("inode %llu differs at %llu", (unsigned long long)ino, (unsigned long long)(off + i));
    }
    free(got);
}

/* A file of len bytes that a seed names, and the same again for comparing. */
static inline uint64_t rig_file(struct rig *r, const char *name, uint64_t seed, size_t len)
{
    uint8_t *p = malloc(len);
    rig_fill(seed, p, len);
    uint64_t ino = rig_create(r, name);
    rig_write(r, ino, 0, p, len);
    free(p);
    return ino;
}

static inline void rig_expect_file(struct rig *r, const char *name, uint64_t seed, size_t len)
{
    struct holofs_attr a;
    uint8_t *p = malloc(len);
    uint64_t ino = rig_find(r, RIG_ROOT, name);
    if (!ino)
        fail_msg("%s is not there", name);
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    assert_true(a.size == len);
    rig_fill(seed, p, len);
    rig_expect(r, ino, 0, p, len);
    free(p);
}

static inline int rig_control(struct rig *r, const char *command)
{
    return holofs_control(r->fs, command, strlen(command));
}

static inline void rig_do(struct rig *r, const char *command)
{
    int e = rig_control(r, command);
    if (e)
        fail_msg("%s: %s", command, holo_strerror(e));
}

/* ---- what it says of itself ---- */

/* A number of .holo/stats by its path, as "containers/deleted_since_mount". */
static inline uint64_t rig_stat(struct rig *r, const char *path)
{
    struct buf b = { 0 };
    char part[64];
    assert_int_equal(holofs_stats_json(r->fs, &b), 0);
    json_t *root = json_loadb((const char *)b.p, b.len, 0, NULL), *o = root;
    while (*path && o) {
        size_t n = strcspn(path, "/");
        snprintf(part, sizeof(part), "%.*s", (int)n, path);
        o = json_object_get(o, part);
        path += n + (path[n] == '/');
    }
    assert_true(json_is_integer(o));
    uint64_t v = (uint64_t)json_integer_value(o);
    json_decref(root);
    buf_fini(&b);
    return v;
}

/* Is there an event with both texts in its line? */
static inline bool rig_event(struct rig *r, const char *one, const char *other)
{
    struct buf b = { 0 };
    bool found = false;
    assert_int_equal(holofs_events_text(r->fs, &b), 0);
    assert_int_equal(buf_add(&b, "", 1), 0);
    for (char *line = strtok((char *)b.p, "\n"); line; line = strtok(NULL, "\n"))
        found |= strstr(line, one) && strstr(line, other);
    buf_fini(&b);
    return found;
}

static inline void rig_sleep_ms(unsigned ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* A whole scrub, to its end. */
static inline void rig_wait_for_scrub(struct rig *r)
{
    struct buf b = { 0 };
    bool running = true;
    for (int i = 0; i < 3000 && running; i++) {
        b.len = 0;
        assert_int_equal(holofs_scrub_text(r->fs, &b), 0);
        assert_int_equal(buf_add(&b, "", 1), 0);
        running = !strstr((const char *)b.p, "state: idle");
        if (running)
            rig_sleep_ms(20);
    }
    assert_false(running);
    buf_fini(&b);
}

/* One that a crash or a close has interrupted goes on by itself, and ends first. */
static inline void rig_scrub(struct rig *r)
{
    rig_wait_for_scrub(r);
    rig_do(r, "scrub start");
    rig_wait_for_scrub(r);
}

#endif
