/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect.c: decode superblocks and container headers from their files; what the other dumps share. */
#include "core/inspect_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/backing.h"

static void hex(const uint8_t *b, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", b[i]);
}

static int read_at(int fd, uint8_t *block, off_t off)
{
    ssize_t n = pread(fd, block, BLOCK_SIZE, off);
    return n == BLOCK_SIZE ? 0 : n < 0 ? -errno : -HOLO_ETRUNC;
}

/* Header A, or B where A cannot be read. */
int inspect_header(int fd, struct container_header *h)
{
    uint8_t block[BLOCK_SIZE];
    struct stat st;
    int e = read_at(fd, block, 0);
    if (!e)
        e = chead_decode_any(block, h);
    if (!e || fstat(fd, &st) || st.st_size < 2 * BLOCK_SIZE)
        return e;
    int eb = read_at(fd, block, st.st_size / BLOCK_SIZE * BLOCK_SIZE - BLOCK_SIZE);
    return eb ? e : chead_decode_any(block, h);
}

static json_t *container_json(const struct container_header *h)
{
    static const char *const classes[] = { "?", "metadata log", "file data", "metadata dump" };
    char uuid[33];
    hex(h->uuid, 16, uuid);
    return json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:I, s:I, s:I, s:I, s:f}", "id", (int)h->id, "uuid",
                     uuid, "class", classes[h->cls < 4 ? h->cls : 0], "r", (int)h->r, "k", (int)h->k, "m", (int)h->m, "d", (int)h->D,
                     "nmax", (int)h->nmax, "used", (int)h->used, "table_blocks", (int)h->table_blocks, "file_blocks",
                     (int)chead_file_blocks(h), "seed_base", (json_int_t)h->seed_base, "pieces", (int)h->pieces, "content_bytes",
                     (json_int_t)h->content_bytes, "epoch", (json_int_t)h->epoch, "first_txg", (json_int_t)h->first_txg, "last_txg",
                     (json_int_t)h->last_txg, "sealed", (double)h->sealed_ns / 1e9);
}

static json_t *super_json(const struct superblock *s)
{
    char uuid[33];
    hex(s->uuid, 16, uuid);
    return json_pack("{s:i, s:s, s:s%, s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:b, s:I, s:I, s:I, s:I, s:I}", "version_offset", 8, "uuid", uuid, "label", s->label,
                     strnlen(s->label, SUPER_LABEL_MAX), "version", (int)s->version, "sequence", (json_int_t)s->sequence, "k", (int)s->k,
                     "r", (int)s->r, "meta_r", (int)s->meta_r, "nmax", (int)s->nmax, "ring_blocks", (int)s->ring_blocks,
                     "size_limit_bytes", (json_int_t)s->size_limit_bytes, "clean", (int)(s->flags & SUPER_CLEAN), "epoch",
                     (json_int_t)s->epoch, "ring_tail", (json_int_t)s->hint_tail, "ring_end", (json_int_t)s->hint_end, "last_txg",
                     (json_int_t)s->hint_txg, "seed_base", (json_int_t)s->seed_base);
}

static int give(json_t *o, struct buf *out)
{
    char *text = o ? json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    int e = text ? buf_printf(out, "%s", text) : -ENOMEM;
    json_decref(o);
    free(text);
    return e;
}

int holofs_inspect_container(const char *file, struct buf *out)
{
    struct container_header h;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = inspect_header(fd, &h);
    close(fd);
    return e ? e : give(container_json(&h), out);
}

int holofs_inspect_superblock(const char *file, struct buf *out)
{
    uint8_t block[BLOCK_SIZE];
    struct superblock sb;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = read_at(fd, block, 0);
    close(fd);
    if (!e)
        e = super_decode(block, &sb);
    return e ? e : give(super_json(&sb), out);
}

/* ---- shared ---- */

int inspect_emit(struct inspect *in, json_t *o)
{
    return o ? in->emit(in->arg, o) : -ENOMEM;
}

int inspect_wrong(struct inspect *in, const char *where, uint64_t at, const char *why)
{
    in->wrong++;
    return inspect_emit(in, json_pack("{s:s, s:I, s:s}", "what", "wrong", where, (json_int_t)at, "why", why));
}

int inspect_super(const struct inspect *in, const char *file, unsigned up, struct superblock *sb)
{
    struct super_vote vote;
    struct backing *b;
    char dir[PATH_MAX + 8] = "";
    if (in->store) {
        snprintf(dir, sizeof(dir), "%s", in->store);
    } else {
        if (!realpath(file, dir))
            return -errno;
        for (unsigned i = 0; i <= up && strrchr(dir, '/'); i++)
            *strrchr(dir, '/') = 0;
        strcat(dir, *dir ? "" : "/");
    }
    int e = backing_posix_open(dir, true, &b);
    if (e)
        return e;
    e = super_read(b, sb, &vote);
    b->ops->close(b);
    return e;
}

int inspect_read(struct inspect *in, int fd, uint64_t off, uint8_t *out, size_t len)
{
    int e = 0;
    ssize_t n = pread(fd, out, len, (off_t)off);
    if (n == (ssize_t)len)
        return 0;
    for (size_t at = 0; at < len && !e; at += BLOCK_SIZE) {
        size_t now = len - at < BLOCK_SIZE ? len - at : BLOCK_SIZE;
        memset(out + at, 0, now);
        n = pread(fd, out + at, now, (off_t)(off + at));
        if (n != (ssize_t)now)
            e = inspect_wrong(in, "offset", off + at, n < 0 ? strerror(errno) : "the file ends before");
        if (n >= 0 && n != (ssize_t)now) { /* the same goes for all behind it */
            memset(out + at, 0, len - at);
            break;
        }
    }
    return e;
}

json_t *inspect_text(const void *p, size_t len)
{
    struct buf b = { 0 };
    const uint8_t *c = p;
    json_t *o = json_stringn(p, len);
    for (size_t i = 0; i < len && !o; i++) {
        bool plain = c[i] >= ' ' && c[i] < 127 && c[i] != '\\';
        if (buf_printf(&b, plain ? "%c" : "\\x%02x", c[i]))
            break;
    }
    if (!o)
        o = json_stringn((const char *)b.p, b.len);
    buf_fini(&b);
    return o;
}

json_t *inspect_hex(uint64_t v)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, v);
    return json_string(text);
}
