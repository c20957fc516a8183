/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * read.c: file data back: extent, container, checksum, expand.
 *
 * Extents are copied under the inode's lock and read without it. Should a container vanish in between (its last
 * bytes were replaced and it was deleted), the extents are looked up again.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"
#include "core/container.h"
#include "core/lost.h"
#include "core/read.h"

enum { EXTENTS_AT_ONCE = 64, LOOKUPS_MAX = 8 };

/* What [off, end) consists of; between extents there are holes. */
struct plan {
    struct extent e[EXTENTS_AT_ONCE];
    size_t n;
    uint64_t end; /* how far the plan goes */
};

static int make_plan(struct holofs *fs, struct inode *i, uint64_t off, uint64_t end, struct plan *p)
{
    p->n = 0;
    p->end = end;
    while (off < end) {
        struct iwin *w;
        uint64_t wend = (off / WINDOW_SIZE + 1) * WINDOW_SIZE;
        int e = inode_window(fs, i, (uint32_t)(off / WINDOW_SIZE), &w);
        if (e)
            return e;
        for (uint32_t k = window_find(&w->w, off); k < w->w.n && w->w.e[k].off < end; k++) {
            if (p->n == EXTENTS_AT_ONCE) {
                p->end = w->w.e[k].off;
                return 0;
            }
            p->e[p->n++] = w->w.e[k];
        }
        off = wend;
    }
    return 0;
}

/* The index says whose bytes these are; the container must agree. */
static int check_tag(struct holofs *fs, const struct extent *e, uint32_t tag)
{
    if (tag == e->tag)
        return 0;
    event_add(fs, "index_mismatch", "s:i, s:i", "container", (int)e->container, "offset", (int)e->coff);
    return -HOLO_ESTALE;
}

static int check_run_tag(struct holofs *fs, const struct extent *e)
{
    uint64_t sum;
    struct container *c = ctab_find(fs, e->container);
    if (!c || c->state != CONTAINER_SEALED)
        return 0;
    int r = container_block_sum(fs, e->container, e->coff / BLOCK_SIZE, &sum);
    return r ? 0 : check_tag(fs, e, (uint32_t)sum); /* an unreadable table says nothing */
}

int read_run(struct holofs *fs, const struct extent *e, uint64_t from, uint64_t to, uint8_t *out, size_t room, struct scratch *s,
             const struct whose *w)
{
    const uint8_t *data;
    uint64_t coff = (uint64_t)e->coff + e->skip + (from - e->off);
    size_t len = (size_t)(to - from), whole = (len + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    int r = check_run_tag(fs, e);
    if (r)
        return r;
    if (coff % BLOCK_SIZE == 0 && whole <= room)
        return container_read(fs, e->container, coff, len, out, &data, w);
    r = container_read(fs, e->container, coff, len, s->blocks, &data, w);
    if (!r)
        memcpy(out, data, len);
    return r;
}

int read_stored(struct holofs *fs, const struct extent *e, struct scratch *s, const struct whose *w, const uint8_t **data)
{
    int r = container_read(fs, e->container, e->coff, e->stored, s->blocks, data, w);
    return r ? r : check_tag(fs, e, (uint32_t)sum64(*data, e->stored < BLOCK_SIZE ? e->stored : BLOCK_SIZE, 0));
}

int read_expanded(struct holofs *fs, const struct extent *e, struct scratch *s, const struct whose *w, const uint8_t **data)
{
    int r = read_stored(fs, e, s, w, data);
    if (!r && e->codec == EXTENT_ZSTD) {
        r = e->raw <= CHUNK_SIZE ? codec_expand(s->codec, *data, e->stored, s->piece, e->raw) : -HOLO_ECORRUPT;
        *data = s->piece;
    }
    return r;
}

/* Bytes of a piece that has to be read whole. */
static int read_piece(struct holofs *fs, const struct extent *e, uint64_t from, uint64_t to, uint8_t *out, struct scratch *s,
                      const struct whose *w)
{
    const uint8_t *data;
    int r = read_expanded(fs, e, s, w, &data);
    if (!r)
        memcpy(out, data + e->skip + (from - e->off), (size_t)(to - from));
    return r;
}

static int read_plan(struct holofs *fs, uint64_t ino, const struct plan *p, uint64_t off, uint8_t *out, size_t room)
{
    struct scratch *s = scratch_get(fs);
    int r = s ? 0 : -ENOMEM;
    uint64_t at = off;
    for (size_t k = 0; k < p->n && !r; k++) {
        const struct extent *e = &p->e[k];
        uint64_t from = e->off > at ? e->off : at, to = e->off + e->len < p->end ? e->off + e->len : p->end;
        struct whose w = { ino, from };
        memset(out + (at - off), 0, (size_t)(from - at));
        uint8_t *dst = out + (from - off);
        if (e->codec == EXTENT_RUN)
            r = read_run(fs, e, from, to, dst, room - (size_t)(from - off), s, &w);
        else
            r = read_piece(fs, e, from, to, dst, s, &w);
        at = to;
    }
    if (!r)
        memset(out + (at - off), 0, (size_t)(p->end - at));
    if (s)
        scratch_put(fs, s);
    return r;
}

/* Read up to size bytes; *size becomes what was read. */
static int read_some(struct holofs *fs, struct inode *i, uint64_t off, uint8_t *out, size_t room, size_t *size)
{
    struct plan p;
    for (int tries = 0;; tries++) {
        mutex_lock(&i->lock);
        uint64_t end = off + *size < i->img.size ? off + *size : i->img.size;
        int e = off < end ? make_plan(fs, i, off, end, &p) : 0;
        mutex_unlock(&i->lock);
        if (e || off >= end) {
            *size = 0;
            return e;
        }
        e = read_plan(fs, i->ino, &p, off, out, room);
        if ((e == -HOLO_ELOST || e == -ENOENT) && tries < LOOKUPS_MAX)
            continue;
        *size = (size_t)(p.end - off);
        return e;
    }
}

/* What the disk refuses while it is away for a moment can be read when it is back. */
static int read_again(struct holofs *fs, struct inode *i, uint64_t off, uint8_t *out, size_t room, size_t *size)
{
    size_t n = *size;
    int e = read_some(fs, i, off, out, room, &n);
    if (e == -EIO && disk_answers(fs)) {
        n = *size;
        e = read_some(fs, i, off, out, room, &n);
    }
    *size = n;
    return e;
}

/* Each failure is counted and told with the path. */
static void read_failed(struct holofs *fs, uint64_t ino, uint64_t off, int e)
{
    char path[1024];
    COUNT(fs, eio_reads, 1);
    if (fs->away || (holo_errno(e) == EIO && !disk_answers(fs)))
        return; /* that was told, and nothing is lost */
    COUNT(fs, unexplained_reads, e != -HOLO_EPARITY); /* lost blocks are counted by themselves */
    path_for_message(fs, ino, path, sizeof(path));
    event_add(fs, "read_failed", "s:s, s:I, s:I, s:s", "path", path, "inode", (json_int_t)ino, "offset", (json_int_t)off, "error",
              holo_strerror(e));
}

/* Whatever keeps bytes of a file that exists from being read, a container that is gone for one, is EIO to the reader. */
static int as_read_error(int e)
{
    if (e == -EMFILE || e == -ENFILE)
        return -EIO;
    return e == -ENOMEM || holo_errno(e) == EIO ? e : -HOLO_ELOST;
}

ssize_t holofs_read(struct holofs *fs, uint64_t ino, uint64_t off, void *buf, size_t size)
{
    struct inode *i;
    uint64_t t0 = clock_mono_ns();
    cache_relieve(fs);
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    size_t done = 0, room = (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE + BLOCK_SIZE;
    while (done < size && !e) {
        size_t n = size - done < WINDOW_SIZE ? size - done : WINDOW_SIZE;
        e = read_again(fs, i, off + done, (uint8_t *)buf + done, room - done, &n);
        if (n == 0)
            break;
        done += e ? 0 : n;
    }
    if (e)
        read_failed(fs, ino, off + done, e);
    inode_put(fs, i);
    COUNT(fs, bytes_read, done);
    hist_add(&fs->count.read_ns, clock_mono_ns() - t0);
    return e ? as_read_error(e) : (ssize_t)done;
}

int holofs_seek(struct holofs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *out)
{
    struct inode *i;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    bool want_data = whence == SEEK_DATA, found = false;
    mutex_lock(&i->lock);
    uint64_t size = i->img.size;
    if (off >= size)
        e = -ENXIO;
    while (!e && !found && off < size) {
        struct iwin *w;
        uint32_t win = (uint32_t)(off / WINDOW_SIZE);
        if (want_data) {
            int r = inode_next_window(fs, i, win, &win);
            if (r <= 0) {
                e = r < 0 ? r : -ENXIO;
                break;
            }
            off = (uint64_t)win * WINDOW_SIZE > off ? (uint64_t)win * WINDOW_SIZE : off;
        }
        e = inode_window(fs, i, win, &w);
        if (e)
            break;
        uint64_t wend = (uint64_t)(win + 1) * WINDOW_SIZE;
        uint32_t k = window_find(&w->w, off);
        if (want_data) {
            found = k < w->w.n;
            off = !found ? wend : w->w.e[k].off > off ? w->w.e[k].off : off;
            continue;
        }
        while (k < w->w.n && w->w.e[k].off <= off)
            off = w->w.e[k].off + w->w.e[k].len, k++;
        found = off < wend;
    }
    if (!e && want_data && off >= size)
        e = -ENXIO;
    *out = off < size ? off : size;
    mutex_unlock(&i->lock);
    inode_put(fs, i);
    return e;
}

ssize_t holofs_copy(struct holofs *fs, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, size_t len)
{
    uint8_t *buf = aligned_alloc(BLOCK_SIZE, WINDOW_SIZE + 2 * BLOCK_SIZE);
    ssize_t done = 0, n = 0;
    if (!buf)
        return -ENOMEM;
    while ((size_t)done < len) {
        size_t want = len - (size_t)done < WINDOW_SIZE ? len - (size_t)done : WINDOW_SIZE;
        n = holofs_read(fs, from, from_off + (uint64_t)done, buf, want);
        if (n > 0)
            n = holofs_write(fs, to, to_off + (uint64_t)done, buf, (size_t)n, false);
        if (n <= 0)
            break;
        done += n;
    }
    free(buf);
    return done ? done : n;
}
