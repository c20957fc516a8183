/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backing_memory.c: a store in memory, for tests.
 *
 * A file is an array of chunks; one that was never written reads as zeros and takes no space. Nodes are
 * counted: the table of names holds one reference, every open file another, so that an unlinked file lives
 * on while it is open. A file opened with DIRECT checks the alignment that a disk would demand.
 *
 * Locks: `names` guards the table, the names and the counts; a node's rwlock guards its bytes. The second is
 * never taken under the first. `used` is atomic.
 */
#include "store/backing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/lock.h"

enum { CHUNK = 65536, BUCKETS = 1024, RANK_NAMES = 910, DIRECT_ALIGN = 4096 };

struct node {
    struct node *next;
    char *name;
    unsigned refs;
    bool dir;
    pthread_rwlock_t lock;
    uint8_t **chunk;
    size_t n_chunks;
    uint64_t size_bytes;
};

struct memory_backing {
    struct backing b;
    struct mutex names;
    struct node *bucket[BUCKETS];
    uint64_t total_bytes;
    _Atomic uint64_t used;
};

struct memory_file {
    struct bfile f;
    struct memory_backing *m;
    struct node *node;
    int flags;
};

static struct memory_backing *memory_of(struct backing *b)
{
    return (struct memory_backing *)b;
}

static struct memory_file *file_of(struct bfile *f)
{
    return (struct memory_file *)f;
}

static bool space_take(struct memory_backing *m, uint64_t bytes)
{
    uint64_t used = atomic_load(&m->used);
    do {
        if (bytes > m->total_bytes - used)
            return false;
    } while (!atomic_compare_exchange_weak(&m->used, &used, used + bytes));
    return true;
}

/* Drop the chunks from index `from` on. */
static void chunks_drop(struct memory_backing *m, struct node *n, size_t from)
{
    for (size_t i = from; i < n->n_chunks; i++) {
        if (!n->chunk[i])
            continue;
        free(n->chunk[i]);
        n->chunk[i] = NULL;
        atomic_fetch_sub(&m->used, CHUNK);
    }
}

static int chunks_resize(struct node *n, size_t count)
{
    if (count <= n->n_chunks)
        return 0;
    size_t cap = n->n_chunks * 2 > count ? n->n_chunks * 2 : count;
    uint8_t **chunk = realloc(n->chunk, cap * sizeof(*chunk));
    if (!chunk)
        return -ENOMEM;
    memset(chunk + n->n_chunks, 0, (cap - n->n_chunks) * sizeof(*chunk));
    n->chunk = chunk;
    n->n_chunks = cap;
    return 0;
}

/* Make sure that every chunk of [off, end) has memory. Until then nothing of the file changes. */
static int chunks_alloc(struct memory_backing *m, struct node *n, uint64_t off, uint64_t end)
{
    if (end - off > m->total_bytes)
        return -ENOSPC;
    int rc = chunks_resize(n, (size_t)((end + CHUNK - 1) / CHUNK));
    for (size_t i = (size_t)(off / CHUNK); rc == 0 && i * CHUNK < end; i++) {
        if (n->chunk[i])
            continue;
        if (!space_take(m, CHUNK))
            return -ENOSPC;
        n->chunk[i] = calloc(1, CHUNK);
        if (!n->chunk[i]) {
            atomic_fetch_sub(&m->used, CHUNK);
            rc = -ENOMEM;
        }
    }
    return rc;
}

static size_t piece_len(uint64_t off, size_t left)
{
    size_t room = CHUNK - (size_t)(off % CHUNK);
    return left < room ? left : room;
}

static bool misaligned(const struct memory_file *f, const void *buf, size_t len, uint64_t off)
{
    return (f->flags & BACKING_DIRECT) && (((uintptr_t)buf | len | off) % DIRECT_ALIGN) != 0;
}

static void bytes_read(const struct node *n, uint8_t *dst, size_t len, uint64_t off)
{
    while (len > 0) {
        size_t piece = piece_len(off, len), i = (size_t)(off / CHUNK);
        if (i < n->n_chunks && n->chunk[i])
            memcpy(dst, n->chunk[i] + off % CHUNK, piece);
        else
            memset(dst, 0, piece);
        dst += piece, off += piece, len -= piece;
    }
}

static void bytes_write(struct node *n, const uint8_t *src, size_t len, uint64_t off)
{
    while (len > 0) {
        size_t piece = piece_len(off, len);
        memcpy(n->chunk[off / CHUNK] + off % CHUNK, src, piece);
        src += piece, off += piece, len -= piece;
    }
}

static int memory_pread(struct bfile *bf, void *buf, size_t len, uint64_t off)
{
    struct memory_file *f = file_of(bf);
    if (misaligned(f, buf, len, off))
        return -EINVAL;
    pthread_rwlock_rdlock(&f->node->lock);
    bool inside = len == 0 || (off <= f->node->size_bytes && len <= f->node->size_bytes - off);
    if (inside)
        bytes_read(f->node, buf, len, off);
    pthread_rwlock_unlock(&f->node->lock);
    return inside ? 0 : -HOLO_ETRUNC;
}

static int write_locked(struct memory_file *f, const struct iovec *iov, int n, uint64_t off, uint64_t end)
{
    int rc = chunks_alloc(f->m, f->node, off, end);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        bytes_write(f->node, iov[i].iov_base, iov[i].iov_len, off);
        off += iov[i].iov_len;
    }
    if (end > f->node->size_bytes)
        f->node->size_bytes = end;
    return 0;
}

static int memory_pwritev(struct bfile *bf, const struct iovec *iov, int n, uint64_t off)
{
    struct memory_file *f = file_of(bf);
    if (!(f->flags & BACKING_WRITE))
        return -EBADF;
    uint64_t len = 0;
    for (int i = 0; i < n; i++) {
        if (misaligned(f, iov[i].iov_base, iov[i].iov_len, off))
            return -EINVAL;
        len += iov[i].iov_len;
    }
    if (len == 0)
        return 0;
    if (off > INT64_MAX || len > INT64_MAX - off)
        return -EFBIG;
    pthread_rwlock_wrlock(&f->node->lock);
    int rc = write_locked(f, iov, n, off, off + len);
    pthread_rwlock_unlock(&f->node->lock);
    return rc;
}

static int memory_datasync(struct bfile *f)
{
    (void)f;
    return 0;
}

static int memory_size(struct bfile *bf, uint64_t *out_bytes)
{
    struct memory_file *f = file_of(bf);
    pthread_rwlock_rdlock(&f->node->lock);
    *out_bytes = f->node->size_bytes;
    pthread_rwlock_unlock(&f->node->lock);
    return 0;
}

static void truncate_locked(struct memory_backing *m, struct node *n, uint64_t size_bytes)
{
    chunks_drop(m, n, (size_t)((size_bytes + CHUNK - 1) / CHUNK));
    size_t last = (size_t)(size_bytes / CHUNK), keep = (size_t)(size_bytes % CHUNK);
    if (last < n->n_chunks && n->chunk[last])
        memset(n->chunk[last] + keep, 0, CHUNK - keep);
    n->size_bytes = size_bytes;
}

static int memory_truncate(struct bfile *bf, uint64_t size_bytes)
{
    struct memory_file *f = file_of(bf);
    if (!(f->flags & BACKING_WRITE))
        return -EBADF;
    if (size_bytes > INT64_MAX)
        return -EFBIG;
    pthread_rwlock_wrlock(&f->node->lock);
    truncate_locked(f->m, f->node, size_bytes);
    pthread_rwlock_unlock(&f->node->lock);
    return 0;
}

static void zero_locked(struct node *n, uint64_t end)
{
    for (uint64_t off = 0; off < end; off += CHUNK)
        memset(n->chunk[off / CHUNK], 0, end - off < CHUNK ? (size_t)(end - off) : CHUNK);
    if (end > n->size_bytes)
        n->size_bytes = end;
}

static int memory_preallocate(struct bfile *bf, uint64_t size_bytes)
{
    struct memory_file *f = file_of(bf);
    if (!(f->flags & BACKING_WRITE))
        return -EBADF;
    pthread_rwlock_wrlock(&f->node->lock);
    int rc = chunks_alloc(f->m, f->node, 0, size_bytes);
    if (rc == 0)
        zero_locked(f->node, size_bytes);
    pthread_rwlock_unlock(&f->node->lock);
    return rc;
}

static struct node **slot_of(struct memory_backing *m, const char *name)
{
    uint32_t h = 2166136261u;
    for (const char *c = name; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    struct node **slot = &m->bucket[h % BUCKETS];
    while (*slot && strcmp((*slot)->name, name) != 0)
        slot = &(*slot)->next;
    return slot;
}

static void node_put_locked(struct memory_backing *m, struct node *n)
{
    if (--n->refs > 0)
        return;
    chunks_drop(m, n, 0);
    pthread_rwlock_destroy(&n->lock);
    free(n->chunk);
    free(n->name);
    free(n);
}

/* The same names are taken as in a directory: no empty component, no "." and no "..". */
static bool name_ok(const char *name)
{
    for (;;) {
        size_t len = strcspn(name, "/");
        if (len == 0 || (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
            return false;
        if (!name[len])
            return true;
        name += len + 1;
    }
}

/* 0 if the directory that would hold name exists. */
static int parent_check(struct memory_backing *m, const char *name)
{
    if (!name_ok(name))
        return -EINVAL;
    const char *slash = strrchr(name, '/');
    if (!slash)
        return 0;
    char *parent = strndup(name, (size_t)(slash - name));
    if (!parent)
        return -ENOMEM;
    const struct node *n = *slot_of(m, parent);
    free(parent);
    return !n ? -ENOENT : n->dir ? 0 : -ENOTDIR;
}

static int node_create(struct memory_backing *m, const char *name, bool dir, struct node **out)
{
    struct node *n = calloc(1, sizeof(*n));
    char *copy = strdup(name);
    if (!n || !copy) {
        free(n);
        free(copy);
        return -ENOMEM;
    }
    pthread_rwlock_init(&n->lock, NULL);
    n->name = copy;
    n->dir = dir;
    n->refs = 1;
    *slot_of(m, name) = n;
    *out = n;
    return 0;
}

static int node_open_locked(struct memory_backing *m, const char *name, int flags, struct node **out)
{
    int rc = parent_check(m, name);
    if (rc)
        return rc;
    struct node *n = *slot_of(m, name);
    if (n && (flags & BACKING_CREATE) && (flags & BACKING_EXCL))
        return -EEXIST;
    if (n && n->dir)
        return -EISDIR;
    if (!n && !(flags & BACKING_CREATE))
        return -ENOENT;
    if (!n)
        rc = node_create(m, name, false, &n);
    if (rc)
        return rc;
    n->refs++;
    *out = n;
    return 0;
}

static void memory_file_close(struct bfile *bf)
{
    struct memory_file *f = file_of(bf);
    mutex_lock(&f->m->names);
    node_put_locked(f->m, f->node);
    mutex_unlock(&f->m->names);
    free(f);
}

static const struct bfile_ops memory_file_ops = {
    .pread = memory_pread,
    .pwritev = memory_pwritev,
    .datasync = memory_datasync,
    .size = memory_size,
    .truncate = memory_truncate,
    .preallocate = memory_preallocate,
    .close = memory_file_close,
};

static int memory_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    struct memory_backing *m = memory_of(b);
    struct memory_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->f.ops = &memory_file_ops;
    f->m = m;
    f->flags = flags;
    mutex_lock(&m->names);
    int rc = node_open_locked(m, name, flags, &f->node);
    mutex_unlock(&m->names);
    if (rc) {
        free(f);
        return rc;
    }
    if (flags & BACKING_TRUNC)
        memory_truncate(&f->f, 0);
    *out = &f->f;
    return 0;
}

static int memory_unlink(struct backing *b, const char *name)
{
    struct memory_backing *m = memory_of(b);
    mutex_lock(&m->names);
    struct node **slot = slot_of(m, name), *n = *slot;
    int rc = !n ? -ENOENT : n->dir ? -EISDIR : 0;
    if (rc == 0) {
        *slot = n->next;
        node_put_locked(m, n);
    }
    mutex_unlock(&m->names);
    return rc;
}

static int rename_locked(struct memory_backing *m, const char *from, const char *to)
{
    int rc = parent_check(m, to);
    struct node *n = *slot_of(m, from), *old = *slot_of(m, to);
    if (rc || n == old)
        return rc ? rc : n ? 0 : -ENOENT;
    if (!n || n->dir || (old && old->dir))
        return !n ? -ENOENT : -EISDIR;
    char *copy = strdup(to);
    if (!copy)
        return -ENOMEM;
    if (old) {
        *slot_of(m, to) = old->next;
        node_put_locked(m, old);
    }
    *slot_of(m, from) = n->next;
    free(n->name);
    n->name = copy;
    n->next = NULL;
    *slot_of(m, to) = n;
    return 0;
}

static int memory_rename(struct backing *b, const char *from, const char *to)
{
    struct memory_backing *m = memory_of(b);
    mutex_lock(&m->names);
    int rc = rename_locked(m, from, to);
    mutex_unlock(&m->names);
    return rc;
}

static int memory_mkdir(struct backing *b, const char *name)
{
    struct memory_backing *m = memory_of(b);
    mutex_lock(&m->names);
    int rc = parent_check(m, name);
    struct node *n = rc ? NULL : *slot_of(m, name);
    if (n && !n->dir)
        rc = -ENOTDIR;
    else if (!n && rc == 0)
        rc = node_create(m, name, true, &n);
    mutex_unlock(&m->names);
    return rc;
}

static int dir_check_locked(struct memory_backing *m, const char *name)
{
    const struct node *n = *name ? *slot_of(m, name) : NULL;
    return !*name ? 0 : !n ? -ENOENT : n->dir ? 0 : -ENOTDIR;
}

static int memory_sync_dir(struct backing *b, const char *name)
{
    struct memory_backing *m = memory_of(b);
    mutex_lock(&m->names);
    int rc = dir_check_locked(m, name);
    mutex_unlock(&m->names);
    return rc;
}

/* The names in a directory, zero-terminated, one behind the other. */
static int names_collect_locked(struct memory_backing *m, const char *dir, struct buf *names)
{
    int rc = dir_check_locked(m, dir);
    size_t skip = *dir ? strlen(dir) + 1 : 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct node *n = m->bucket[i]; n && rc == 0; n = n->next) {
            if (skip && (strncmp(n->name, dir, skip - 1) != 0 || n->name[skip - 1] != '/'))
                continue;
            if (!strchr(n->name + skip, '/'))
                rc = buf_add(names, n->name + skip, strlen(n->name + skip) + 1);
        }
    return rc;
}

/* The callback runs without the lock: it may well unlink what it is shown. */
static int memory_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    struct memory_backing *m = memory_of(b);
    struct buf names = { 0 };
    mutex_lock(&m->names);
    int rc = names_collect_locked(m, dir, &names);
    mutex_unlock(&m->names);
    for (size_t off = 0; off < names.len && rc == 0; off += strlen((char *)names.p + off) + 1)
        rc = cb(arg, (const char *)names.p + off);
    buf_fini(&names);
    return rc;
}

static int memory_space(struct backing *b, struct backing_space *out)
{
    struct memory_backing *m = memory_of(b);
    out->total_bytes = m->total_bytes;
    out->free_bytes = m->total_bytes - atomic_load(&m->used);
    return 0;
}

static void memory_close(struct backing *b)
{
    struct memory_backing *m = memory_of(b);
    for (size_t i = 0; i < BUCKETS; i++)
        while (m->bucket[i]) {
            struct node *n = m->bucket[i];
            m->bucket[i] = n->next;
            node_put_locked(m, n);
        }
    mutex_fini(&m->names);
    free(m);
}

static const struct backing_ops memory_ops = {
    .open = memory_open,
    .unlink = memory_unlink,
    .rename = memory_rename,
    .mkdir = memory_mkdir,
    .sync_dir = memory_sync_dir,
    .list = memory_list,
    .space = memory_space,
    .close = memory_close,
};

int backing_memory_create(uint64_t total_bytes, struct backing **out)
{
    struct memory_backing *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->b.ops = &memory_ops;
    m->total_bytes = total_bytes;
    mutex_init(&m->names, RANK_NAMES);
    *out = &m->b;
    return 0;
}
