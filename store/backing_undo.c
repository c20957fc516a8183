/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backing_undo.c: another backing, with what is there kept in an undo file before it is changed.
 *
 * What is known of a name of the store:
 *
 *   there is    file  done   of the undo file                          leaves it by
 *   nothing     -     -      -                                         the first change of the name, or of a file opened by it
 *   a node      yes   false  FILE, and images of some of its blocks    writes (more blocks), or loss of the name: all blocks, WHOLE
 *   a node      yes   true   FILE, images of all blocks, WHOLE         never
 *   a node      no    true   ABSENT                                    never
 *
 * A file whose node is done may be changed at will, and so may any other that gets its name. So a rename keeps all of both files, and needs no
 * record of its own: taking back puts old contents under old names.
 *
 * The lock is held until the old state is durable, so that no other thread takes the block for kept and changes it meanwhile. When the undo
 * file cannot be written any more, nothing is changed any more either.
 */
#include "store/undo.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/sum.h"
#include "store/format.h"

enum { UNDO_RANK = 890, ALIGN = BLOCK_SIZE };
enum {
    GROUP = 16, /* blocks that are kept together: the next repair is often beside the last, and each sync costs */
    READ_BLOCKS = UNDO_PAYLOAD_MAX / BLOCK_SIZE,
};

struct node {
    struct node *next;
    char *name;
    uint32_t number;
    bool done;
    uint64_t blocks; /* that the file had */
    uint8_t *kept;   /* a bit for each */
};

struct undo_keeper {
    struct mutex lock;
    struct undo_file u;
    struct node *nodes;
    uint32_t n;
    uint64_t synced; /* all of the undo file up to here */
    uint8_t *buf;    /* READ_BLOCKS */
    _Atomic int error;
};

struct undo_backing {
    struct backing b;
    struct undo_keeper *k;
    struct backing *lower;
};

struct undo_bfile {
    struct bfile f;
    struct undo_backing *b;
    struct bfile *lower;
    char *name;
    struct node *node; /* of the name it was opened by; NULL until something is written; the lock */
};

static struct undo_backing *undo_of(struct backing *b)
{
    return (struct undo_backing *)b;
}

static struct undo_bfile *file_of(struct bfile *f)
{
    return (struct undo_bfile *)f;
}

/* ---- records; with the lock ---- */

static int sync_locked(struct undo_keeper *k)
{
    int e = k->synced == k->u.end ? 0 : undo_sync(&k->u);
    if (!e)
        k->synced = k->u.end;
    if (e)
        k->error = e;
    return e;
}

static int append_locked(struct undo_keeper *k, struct undo_record r, const void *payload)
{
    int e = k->error ? k->error : undo_append(&k->u, &r, payload);
    if (e)
        k->error = e;
    return e;
}

static struct node *find_locked(struct undo_keeper *k, const char *name)
{
    struct node *n = k->nodes;
    while (n && strcmp(n->name, name) != 0)
        n = n->next;
    return n;
}

static struct undo_owner owner_of(const struct backing *lower, const char *name)
{
    struct stat st;
    int fd = backing_posix_fd(lower);
    if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return (struct undo_owner){ UNDO_NO_OWNER, UNDO_NO_OWNER, UNDO_NO_OWNER };
    return (struct undo_owner){ (uint32_t)st.st_mode & 07777, (uint32_t)st.st_uid, (uint32_t)st.st_gid };
}

static int tell_name_locked(struct undo_keeper *k, struct backing *lower, const struct node *n, enum undo_kind kind, uint64_t size)
{
    struct undo_owner o = owner_of(lower, n->name);
    size_t len = strlen(n->name), head = kind == UNDO_FILE ? UNDO_OWNER_BYTES : 0;
    uint8_t *p = malloc(head + len);
    if (!p)
        return -ENOMEM;
    if (head) {
        le32_put(p, o.mode);
        le32_put(p + 4, o.uid);
        le32_put(p + 8, o.gid);
    }
    memcpy(p + head, n->name, len);
    int e = append_locked(k, (struct undo_record){ .kind = kind, .file = n->number, .size_or_sum = size, .len = (uint32_t)(head + len) }, p);
    free(p);
    return e;
}

static int add_node_locked(struct undo_keeper *k, struct backing *lower, const char *name, enum undo_kind kind, uint64_t size, struct node **out)
{
    struct node *n = calloc(1, sizeof(*n));
    uint64_t blocks = (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
    if (n) {
        *n = (struct node){ .next = k->nodes, .name = strdup(name), .number = k->n, .done = kind != UNDO_FILE, .blocks = blocks };
        n->kept = calloc(1, blocks / 8 + 1);
    }
    int e = n && n->name && n->kept ? tell_name_locked(k, lower, n, kind, size) : -ENOMEM;
    if (e) {
        if (n) {
            free(n->name);
            free(n->kept);
        }
        free(n);
        return e;
    }
    k->nodes = n;
    k->n++;
    *out = n;
    return 0;
}

/* What is known of a name from now on. A file that cannot be opened cannot be kept. */
static int node_locked(struct undo_keeper *k, struct backing *lower, const char *name, struct node **out)
{
    struct bfile *f;
    uint64_t size = 0;
    *out = find_locked(k, name);
    if (*out)
        return 0;
    int e = lower->ops->open(lower, name, BACKING_READ, &f);
    if (e == -ENOENT)
        return add_node_locked(k, lower, name, UNDO_ABSENT, 0, out);
    if (e)
        return e;
    e = f->ops->size(f, &size);
    f->ops->close(f);
    return e ? e : add_node_locked(k, lower, name, UNDO_FILE, size, out);
}

/* ---- blocks; with the lock ---- */

static bool is_kept(const struct node *n, uint64_t block)
{
    return n->kept[block / 8] >> (block % 8) & 1;
}

static bool is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, BLOCK_SIZE - 1) == 0;
}

/* One record of n blocks of the same kind. */
static int image_locked(struct undo_keeper *k, struct node *f, enum undo_kind kind, uint64_t block, uint32_t n, const uint8_t *p)
{
    int e = append_locked(k, (struct undo_record){ .kind = kind, .file = f->number, .block = block, .blocks = n,
                                                   .len = kind == UNDO_IMAGE ? n * BLOCK_SIZE : 0 }, p);
    for (uint64_t b = block; b < block + n && !e; b++)
        f->kept[b / 8] |= (uint8_t)(1u << b % 8);
    return e;
}

static int images_locked(struct undo_keeper *k, struct node *f, uint64_t block, uint32_t n)
{
    int e = 0;
    for (uint32_t i = 0, run; i < n && !e; i += run) {
        bool zero = is_zero(k->buf + (size_t)i * BLOCK_SIZE);
        for (run = 1; i + run < n && is_zero(k->buf + (size_t)(i + run) * BLOCK_SIZE) == zero; run++)
            continue;
        e = image_locked(k, f, zero ? UNDO_ZEROS : UNDO_IMAGE, block + i, run, k->buf + (size_t)i * BLOCK_SIZE);
    }
    return e;
}

/* Blocks [block, block + n) into the buffer, with zeros behind the end of the file. */
static int read_locked(struct undo_keeper *k, struct bfile *raw, uint64_t block, uint32_t n)
{
    uint64_t size, off = block * BLOCK_SIZE, len = (uint64_t)n * BLOCK_SIZE;
    int e = raw->ops->size(raw, &size);
    if (e)
        return e;
    if (size < off + len) {
        uint64_t there = size > off ? size - off : 0;
        memset(k->buf + there, 0, len - there);
        len = there;
    }
    return len ? raw->ops->pread(raw, k->buf, len, off) : 0;
}

static bool is_of_medium(int e)
{
    return e == -EIO || e == -ENODATA || e == -EILSEQ || e == -EREMOTEIO;
}

/* A run of at most READ_BLOCKS that are not kept. What is asked for is tried block by block if the medium does not give all. */
static int keep_run_locked(struct undo_keeper *k, struct node *f, struct bfile *raw, uint64_t block, uint32_t n, uint64_t from, uint64_t to)
{
    int e = read_locked(k, raw, block, n);
    if (!is_of_medium(e))
        return e ? e : images_locked(k, f, block, n);
    e = 0;
    for (uint64_t b = block > from ? block : from; b < block + n && b < to && !e; b++) {
        e = read_locked(k, raw, b, 1);
        if (e == 0)
            e = images_locked(k, f, b, 1);
        else if (is_of_medium(e))
            e = image_locked(k, f, UNDO_UNREADABLE, b, 1, NULL);
    }
    return e;
}

/* Blocks [from, to) of a file that has its name yet, and their neighbours. Not durable yet. */
static int keep_blocks_locked(struct undo_keeper *k, struct backing *lower, struct node *f, uint64_t from, uint64_t to)
{
    struct bfile *raw = NULL;
    uint64_t first = from - from % GROUP, end = (to + GROUP - 1) / GROUP * GROUP;
    bool all = true;
    int e = 0;
    to = to < f->blocks ? to : f->blocks;
    end = end < f->blocks ? end : f->blocks;
    for (uint64_t b = from; b < to && all; b++)
        all = is_kept(f, b);
    if (f->done || all)
        return 0;
    e = lower->ops->open(lower, f->name, BACKING_READ, &raw);
    for (uint64_t b = first; b < end && !e;) {
        uint32_t n = 0;
        while (n < READ_BLOCKS && b + n < end && !is_kept(f, b + n))
            n++;
        e = n ? keep_run_locked(k, f, raw, b, n, from, to) : 0;
        b += n ? n : 1;
    }
    if (raw)
        raw->ops->close(raw);
    return e;
}

static int keep_all_locked(struct undo_keeper *k, struct backing *lower, struct node *f)
{
    if (f->done)
        return 0;
    int e = keep_blocks_locked(k, lower, f, 0, f->blocks);
    if (!e)
        e = append_locked(k, (struct undo_record){ .kind = UNDO_WHOLE, .file = f->number }, NULL);
    f->done = e == 0;
    return e;
}

/* The name will be lost, or what is behind it will be another file. */
static int keep_name_locked(struct undo_keeper *k, struct backing *lower, const char *name)
{
    struct node *n;
    int e = k->error ? k->error : node_locked(k, lower, name, &n);
    return e ? e : keep_all_locked(k, lower, n);
}

static int keep_names(struct undo_backing *b, const char *name, const char *other)
{
    struct undo_keeper *k = b->k;
    mutex_lock(&k->lock);
    int e = keep_name_locked(k, b->lower, name);
    if (!e && other)
        e = keep_name_locked(k, b->lower, other);
    if (!e)
        e = sync_locked(k);
    mutex_unlock(&k->lock);
    return e;
}

int undo_keep_whole(struct undo_keeper *k, struct backing *lower, const char *name)
{
    mutex_lock(&k->lock);
    int e = keep_name_locked(k, lower, name);
    if (!e)
        e = sync_locked(k);
    mutex_unlock(&k->lock);
    return e == -ELOOP || e == -EISDIR || e == -HOLO_ECORRUPT ? -EINVAL : e;
}

/* ---- files ---- */

static int file_node_locked(struct undo_bfile *f)
{
    int e = f->b->k->error;
    return e || f->node ? e : node_locked(f->b->k, f->b->lower, f->name, &f->node);
}

/* A superblock tells which state of the store is the repair's own: each that is written is noted. */
static int note_state_locked(struct undo_bfile *f, const struct iovec *iov, int n, uint64_t off)
{
    if (strncmp(f->name, "superblock.", 11) != 0 || n != 1 || off != 0 || iov->iov_len != BLOCK_SIZE)
        return 0;
    return append_locked(f->b->k, (struct undo_record){ .kind = UNDO_STATE, .file = f->node->number,
                                                        .size_or_sum = sum64(iov->iov_base, BLOCK_SIZE, 0) }, NULL);
}

/* Bytes [off, end) are going to change. */
static int keep_range_locked(struct undo_bfile *f, uint64_t off, uint64_t end)
{
    int e = file_node_locked(f);
    if (e || f->node->done)
        return e;
    return keep_blocks_locked(f->b->k, f->b->lower, f->node, off / BLOCK_SIZE, end / BLOCK_SIZE + (end % BLOCK_SIZE != 0));
}

static int undo_pread(struct bfile *f, void *buf, size_t len, uint64_t off)
{
    return file_of(f)->lower->ops->pread(file_of(f)->lower, buf, len, off);
}

static int undo_pwritev(struct bfile *bf, const struct iovec *iov, int n, uint64_t off)
{
    struct undo_bfile *f = file_of(bf);
    uint64_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    mutex_lock(&f->b->k->lock);
    int e = keep_range_locked(f, off, off + len);
    if (!e)
        e = note_state_locked(f, iov, n, off);
    if (!e)
        e = sync_locked(f->b->k);
    mutex_unlock(&f->b->k->lock);
    return e ? e : f->lower->ops->pwritev(f->lower, iov, n, off);
}

static int undo_datasync(struct bfile *f)
{
    return file_of(f)->lower->ops->datasync(file_of(f)->lower);
}

static int undo_size(struct bfile *f, uint64_t *out_bytes)
{
    return file_of(f)->lower->ops->size(file_of(f)->lower, out_bytes);
}

static int keep_range(struct undo_bfile *f, uint64_t off, uint64_t end)
{
    mutex_lock(&f->b->k->lock);
    int e = keep_range_locked(f, off, end);
    if (!e)
        e = sync_locked(f->b->k);
    mutex_unlock(&f->b->k->lock);
    return e;
}

static int undo_truncate(struct bfile *bf, uint64_t size_bytes)
{
    struct undo_bfile *f = file_of(bf);
    int e = keep_range(f, size_bytes, UINT64_MAX - GROUP * BLOCK_SIZE);
    return e ? e : f->lower->ops->truncate(f->lower, size_bytes);
}

static int undo_preallocate(struct bfile *bf, uint64_t size_bytes)
{
    struct undo_bfile *f = file_of(bf);
    int e = keep_range(f, 0, size_bytes);
    return e ? e : f->lower->ops->preallocate(f->lower, size_bytes);
}

static void undo_file_close(struct bfile *bf)
{
    struct undo_bfile *f = file_of(bf);
    if (f->lower)
        f->lower->ops->close(f->lower);
    free(f->name);
    free(f);
}

static const struct bfile_ops undo_file_ops = {
    .pread = undo_pread,
    .pwritev = undo_pwritev,
    .datasync = undo_datasync,
    .size = undo_size,
    .truncate = undo_truncate,
    .preallocate = undo_preallocate,
    .close = undo_file_close,
};

/* ---- the directory ---- */

/* Before a file may be made or emptied by opening it. */
static int keep_for_open(struct undo_backing *b, const char *name, int flags)
{
    struct node *n;
    mutex_lock(&b->k->lock);
    int e = b->k->error ? b->k->error : node_locked(b->k, b->lower, name, &n);
    if (!e && flags & BACKING_TRUNC)
        e = keep_all_locked(b->k, b->lower, n);
    if (!e)
        e = sync_locked(b->k);
    mutex_unlock(&b->k->lock);
    return e;
}

static int undo_open_file(struct backing *bb, const char *name, int flags, struct bfile **out)
{
    struct undo_backing *b = undo_of(bb);
    int e = flags & (BACKING_CREATE | BACKING_TRUNC) ? keep_for_open(b, name, flags) : 0;
    if (e)
        return e;
    struct undo_bfile *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct undo_bfile){ .f = { &undo_file_ops }, .b = b, .name = strdup(name) };
    e = f->name ? b->lower->ops->open(b->lower, name, flags, &f->lower) : -ENOMEM;
    if (e)
        undo_file_close(&f->f);
    else
        *out = &f->f;
    return e;
}

static int undo_unlink(struct backing *bb, const char *name)
{
    struct undo_backing *b = undo_of(bb);
    struct bfile *f;
    int e = b->lower->ops->open(b->lower, name, BACKING_READ, &f);
    if (e == 0)
        f->ops->close(f);
    e = e == -ENOENT ? e : keep_names(b, name, NULL); /* what is not there needs no record */
    return e ? e : b->lower->ops->unlink(b->lower, name);
}

static int undo_rename(struct backing *bb, const char *from, const char *to)
{
    struct undo_backing *b = undo_of(bb);
    int e = keep_names(b, from, to);
    return e ? e : b->lower->ops->rename(b->lower, from, to);
}

static int any_name(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return 1;
}

static int keep_dir_locked(struct undo_keeper *k, struct backing *lower, const char *name)
{
    struct node *n;
    if (k->error || find_locked(k, name))
        return k->error;
    int e = lower->ops->list(lower, name, any_name, NULL);
    if (e != -ENOENT)
        return e == 1 ? 0 : e;
    return add_node_locked(k, lower, name, UNDO_DIR_ABSENT, 0, &n);
}

static int undo_mkdir(struct backing *bb, const char *name)
{
    struct undo_backing *b = undo_of(bb);
    mutex_lock(&b->k->lock);
    int e = keep_dir_locked(b->k, b->lower, name);
    if (!e)
        e = sync_locked(b->k);
    mutex_unlock(&b->k->lock);
    return e ? e : b->lower->ops->mkdir(b->lower, name);
}

static int undo_sync_dir(struct backing *b, const char *name)
{
    return undo_of(b)->lower->ops->sync_dir(undo_of(b)->lower, name);
}

static int undo_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    return undo_of(b)->lower->ops->list(undo_of(b)->lower, dir, cb, arg);
}

static int undo_space(struct backing *b, struct backing_space *out)
{
    return undo_of(b)->lower->ops->space(undo_of(b)->lower, out);
}

static void undo_backing_close(struct backing *b)
{
    undo_of(b)->lower->ops->close(undo_of(b)->lower);
    free(b);
}

static const struct backing_ops undo_ops = {
    .open = undo_open_file,
    .unlink = undo_unlink,
    .rename = undo_rename,
    .mkdir = undo_mkdir,
    .sync_dir = undo_sync_dir,
    .list = undo_list,
    .space = undo_space,
    .close = undo_backing_close,
};

int backing_undo(struct undo_keeper *k, struct backing *lower, struct backing **out)
{
    struct undo_backing *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    *b = (struct undo_backing){ .b = { &undo_ops }, .k = k, .lower = lower };
    *out = &b->b;
    return 0;
}

/* ---- the keeper ---- */

int undo_keeper_create(const struct undo_file *u, struct undo_keeper **out)
{
    struct undo_keeper *k = calloc(1, sizeof(*k));
    void *buf;
    if (!k || posix_memalign(&buf, ALIGN, UNDO_PAYLOAD_MAX) != 0) {
        free(k);
        return -ENOMEM;
    }
    mutex_init(&k->lock, UNDO_RANK);
    k->buf = buf;
    k->u = *u;
    k->synced = u->end;
    *out = k;
    return 0;
}

int undo_keeper_error(const struct undo_keeper *k)
{
    return k->error;
}

int undo_keeper_finish(struct undo_keeper *k)
{
    int e = k->error ? k->error : undo_set_state(&k->u, UNDO_FINISHED);
    undo_close(&k->u);
    while (k->nodes) {
        struct node *n = k->nodes;
        k->nodes = n->next;
        free(n->name);
        free(n->kept);
        free(n);
    }
    mutex_fini(&k->lock);
    free(k->buf);
    free(k);
    return e;
}
