/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk.c: follows the log of trace.c and makes the directory that may be found after a power cut.
 *
 * A sector has all versions since the last sync of its file; so has the size of the file. Changes of directories wait, in
 * order, for a sync of that directory. A size and the sectors are chosen each by itself, as strict POSIX allows.
 */
#include "tests/power/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROOT = 1 };

struct version {
    struct version *newer;
    uint8_t byte[SECTOR];
};

/* oldest is what is durable; NULL is zeros. With several versions, all are allocated. */
struct sector {
    struct version *oldest, *newest;
};

struct object {
    bool is_dir;
    struct sector *sector;
    size_t n_sectors;
    uint64_t *size; /* all since the last sync; the first is durable */
    size_t n_sizes, cap_sizes;
};

struct entry {
    unsigned dir, obj;
    char name[TRACE_NAME_MAX];
};

struct names {
    struct entry *e;
    size_t n, cap;
};

struct disk {
    size_t at; /* events followed */
    struct object *obj;
    size_t n_obj;
    struct names durable;
    size_t *waiting; /* events that change names and are not durable */
    size_t n_waiting, cap_waiting;
    uint64_t low, high;
};

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
    abort();
}

static void *grow(void *p, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return p;
    size_t n = *cap ? *cap : 16;
    while (n < want)
        n *= 2;
    p = realloc(p, n * size);
    need(p != NULL, "memory");
    *cap = n;
    return p;
}

/* ---- names ---- */

static struct entry *names_find(const struct names *t, unsigned dir, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->e[i].dir == dir && strcmp(t->e[i].name, name) == 0)
            return &t->e[i];
    }
    return NULL;
}

static void names_set(struct names *t, unsigned dir, const char *name, unsigned obj)
{
    struct entry *e = names_find(t, dir, name);
    if (!e) {
        t->e = grow(t->e, &t->cap, t->n + 1, sizeof(*t->e));
        e = &t->e[t->n++];
        e->dir = dir;
        strcpy(e->name, name);
    }
    e->obj = obj;
}

static void names_drop(struct names *t, unsigned dir, const char *name, unsigned obj)
{
    struct entry *e = names_find(t, dir, name);
    if (e && e->obj == obj)
        *e = t->e[--t->n];
}

static void names_apply(struct names *t, const struct event *v)
{
    if (v->kind == EVENT_UNLINK || v->kind == EVENT_RENAME)
        names_drop(t, v->dir, v->name, v->obj);
    if (v->kind != EVENT_UNLINK)
        names_set(t, v->dir, v->kind == EVENT_RENAME ? v->to : v->name, v->obj);
}

/* Changes of one directory, or of all (0), are durable from now on. */
static void names_sync(struct disk *d, unsigned dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n_waiting; i++) {
        const struct event *v = trace_event(d->waiting[i]);
        if (dir && v->dir != dir)
            d->waiting[kept++] = d->waiting[i];
        else
            names_apply(&d->durable, v);
    }
    d->n_waiting = kept;
}

/* ---- contents ---- */

static uint64_t size_now(const struct object *o)
{
    return o->n_sizes ? o->size[o->n_sizes - 1] : 0;
}

static void size_push(struct object *o, uint64_t size)
{
    o->size = grow(o->size, &o->cap_sizes, o->n_sizes + 2, sizeof(*o->size));
    if (o->n_sizes == 0)
        o->size[o->n_sizes++] = 0;
    o->size[o->n_sizes++] = size;
}

static struct version *version_after(const struct version *old)
{
    struct version *v = calloc(1, sizeof(*v));
    need(v != NULL, "memory");
    if (old)
        memcpy(v->byte, old->byte, SECTOR);
    v->newer = NULL;
    return v;
}

/* A new version of sector i, a copy of the newest. */
static struct version *sector_push(struct object *o, size_t i)
{
    if (i >= o->n_sectors) {
        o->sector = realloc(o->sector, (i + 1) * sizeof(*o->sector));
        need(o->sector != NULL, "memory");
        memset(o->sector + o->n_sectors, 0, (i + 1 - o->n_sectors) * sizeof(*o->sector));
        o->n_sectors = i + 1;
    }
    struct sector *s = &o->sector[i];
    if (!s->oldest)
        s->oldest = s->newest = version_after(NULL);
    s->newest->newer = version_after(s->newest);
    s->newest = s->newest->newer;
    return s->newest;
}

static void sector_settle(struct sector *s)
{
    while (s->oldest != s->newest) {
        struct version *v = s->oldest;
        s->oldest = v->newer;
        free(v);
    }
}

static void object_settle(struct object *o)
{
    for (size_t i = 0; i < o->n_sectors; i++)
        sector_settle(&o->sector[i]);
    if (o->n_sizes) {
        o->size[0] = size_now(o);
        o->n_sizes = 1;
    }
}

static void object_write(struct object *o, const struct event *v)
{
    for (size_t done = 0; done < v->len;) {
        uint64_t at = v->off + done;
        size_t in = (size_t)(at % SECTOR), n = SECTOR - in < v->len - done ? SECTOR - in : v->len - done;
        memcpy(sector_push(o, (size_t)(at / SECTOR))->byte + in, v->data + done, n);
        if (v->kind == EVENT_ROT)
            sector_settle(&o->sector[at / SECTOR]);
        done += n;
    }
    if (v->off + v->len > size_now(o))
        size_push(o, v->off + v->len);
}

static void object_resize(struct object *o, uint64_t size)
{
    for (size_t i = (size_t)(size / SECTOR); i < o->n_sectors && size < size_now(o); i++) {
        size_t keep = i == size / SECTOR ? (size_t)(size % SECTOR) : 0;
        if (o->sector[i].oldest)
            memset(sector_push(o, i)->byte + keep, 0, SECTOR - keep);
    }
    size_push(o, size);
}

/* ---- follow ---- */

static struct object *object_at(struct disk *d, unsigned number)
{
    if (number >= d->n_obj) {
        d->obj = realloc(d->obj, (number + 1) * sizeof(*d->obj));
        need(d->obj != NULL, "memory");
        memset(d->obj + d->n_obj, 0, (number + 1 - d->n_obj) * sizeof(*d->obj));
        d->n_obj = number + 1;
    }
    return &d->obj[number];
}

static void settle_all(struct disk *d)
{
    names_sync(d, 0);
    for (size_t i = 0; i < d->n_obj; i++)
        object_settle(&d->obj[i]);
}

static void follow(struct disk *d, size_t i)
{
    const struct event *v = trace_event(i);
    struct object *o = object_at(d, v->obj);
    switch (v->kind) {
    case EVENT_WRITE:
    case EVENT_ROT: object_write(o, v); break;
    case EVENT_SIZE: object_resize(o, v->off); break;
    case EVENT_SETTLE: settle_all(d); break;
    case EVENT_SYNC:
        if (o->is_dir)
            names_sync(d, v->obj);
        else
            object_settle(o);
        break;
    case EVENT_MARK: d->low = v->low, d->high = v->high; break;
    case EVENT_CREATE:
    case EVENT_MKDIR:
    case EVENT_RENAME:
    case EVENT_UNLINK:
        if (v->kind == EVENT_MKDIR)
            o->is_dir = true;
        d->waiting = grow(d->waiting, &d->cap_waiting, d->n_waiting + 1, sizeof(*d->waiting));
        d->waiting[d->n_waiting++] = i;
        break;
    }
}

struct disk *disk_create(void)
{
    struct disk *d = calloc(1, sizeof(*d));
    need(d != NULL, "memory");
    object_at(d, ROOT)->is_dir = true;
    return d;
}

void disk_destroy(struct disk *d)
{
    for (size_t i = 0; i < d->n_obj; i++) {
        for (size_t s = 0; s < d->obj[i].n_sectors; s++) {
            sector_settle(&d->obj[i].sector[s]);
            free(d->obj[i].sector[s].oldest);
        }
        free(d->obj[i].sector);
        free(d->obj[i].size);
    }
    free(d->obj);
    free(d->durable.e);
    free(d->waiting);
    free(d);
}

void disk_advance(struct disk *d, size_t n)
{
    while (d->at < n)
        follow(d, d->at++);
}

void disk_promise(const struct disk *d, uint64_t *low, uint64_t *high)
{
    *low = d->low;
    *high = d->high;
}

bool disk_is_dirty(const struct disk *d)
{
    if (d->n_waiting)
        return true;
    for (size_t i = 0; i < d->n_obj; i++) {
        if (d->obj[i].n_sizes > 1)
            return true;
        for (size_t s = 0; s < d->obj[i].n_sectors; s++) {
            if (d->obj[i].sector[s].oldest != d->obj[i].sector[s].newest)
                return true;
        }
    }
    return false;
}

/* ---- a directory as it may be found ---- */

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *seed ^ *seed >> 33;
    return x * 0xff51afd7ed558ccdu >> 20;
}

static bool survives(const struct choice *c, uint64_t *seed)
{
    return c->what == SURVIVES_ALL || (c->what == SURVIVES_SOME && draw(seed) % 100 < c->percent);
}

/* The newest of n versions, or, if that one does not survive, any other. */
static size_t choose(const struct choice *c, uint64_t *seed, size_t n)
{
    if (n == 1)
        return 0;
    if (survives(c, seed))
        return n - 1;
    return c->what == SURVIVES_NONE ? 0 : draw(seed) % (n - 1);
}

static const struct version *sector_choose(const struct sector *s, const struct choice *c, uint64_t *seed)
{
    size_t n = 0;
    for (const struct version *v = s->oldest; v; v = v->newer)
        n++;
    if (n == 0)
        return NULL;
    const struct version *v = s->oldest;
    for (size_t k = choose(c, seed, n); k > 0; k--)
        v = v->newer;
    return v;
}

static bool all_zero(const uint8_t *p)
{
    return p[0] == 0 && memcmp(p, p + 1, SECTOR - 1) == 0;
}

static void make_file(const struct object *o, const struct choice *c, uint64_t *seed, const char *path)
{
    uint64_t size = o->n_sizes ? o->size[choose(c, seed, o->n_sizes)] : 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    need(fd >= 0 && syscall(SYS_ftruncate, fd, size) == 0, path);
    for (size_t i = 0; i < o->n_sectors; i++) {
        const struct version *v = sector_choose(&o->sector[i], c, seed);
        uint64_t off = (uint64_t)i * SECTOR;
        if (!v || off >= size || all_zero(v->byte))
            continue;
        size_t len = size - off < SECTOR ? (size_t)(size - off) : SECTOR;
        need(syscall(SYS_pwrite64, fd, v->byte, len, off) == (long)len, path);
    }
    close(fd);
}

static void make_dir(const struct disk *d, const struct names *t, unsigned dir, const struct choice *c, uint64_t *seed, const char *path)
{
    need(syscall(SYS_mkdirat, AT_FDCWD, path, 0700) == 0, path);
    for (size_t i = 0; i < t->n; i++) {
        char name[PATH_MAX];
        if (t->e[i].dir != dir)
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, t->e[i].name);
        if (d->obj[t->e[i].obj].is_dir)
            make_dir(d, t, t->e[i].obj, c, seed, name);
        else
            make_file(&d->obj[t->e[i].obj], c, seed, name);
    }
}

void disk_image(const struct disk *d, const struct choice *c, const char *dir)
{
    struct names t = { 0 };
    uint64_t seed = c->seed;
    t.e = grow(NULL, &t.cap, d->durable.n + 1, sizeof(*t.e));
    if (d->durable.n)
        memcpy(t.e, d->durable.e, d->durable.n * sizeof(*t.e));
    t.n = d->durable.n;
    for (size_t i = 0; i < d->n_waiting; i++) {
        if (survives(c, &seed))
            names_apply(&t, trace_event(d->waiting[i]));
    }
    make_dir(d, &t, ROOT, c, &seed, dir);
    free(t.e);
}
