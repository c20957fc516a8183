/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write.c: file data on its way into heads.
 *
 * A write is cut at chunk boundaries. Each piece is compressed if it is the whole of its chunk and shrinks, is
 * put into the head of its redundancy, and only then, under the inode's lock, enters the windows and the log.
 * Compressing and copying so run beside each other for several writers.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/attr.h"
#include "core/cache.h"
#include "core/head.h"

enum { PIECES_MAX = 10, WRITE_MAX = 1 << 20, COMPRESS_MIN = 512, RAW_STREAK_MAX = 8, RETRY_EVERY = 16 };

struct prepared {
    struct extent e[PIECES_MAX];
    struct slot slot[PIECES_MAX];
    size_t n, bytes;
    uint64_t size; /* of the file before the write */
};

/* The compressed form of a chunk in s->piece, or 0 if it stays raw. */
static size_t shrink(struct holofs *fs, struct inode *i, struct scratch *s, const uint8_t *p, size_t len)
{
    if (fs->opt.compress == HOLOFS_COMPRESS_OFF || len < COMPRESS_MIN)
        return 0;
    if (fs->opt.compress == HOLOFS_COMPRESS_AUTO) {
        if (i->raw_streak >= RAW_STREAK_MAX && ++i->raw_streak % RETRY_EVERY)
            return 0;
        if (codec_looks_incompressible(p, len)) {
            i->raw_streak += i->raw_streak < RAW_STREAK_MAX;
            return 0;
        }
    }
    size_t n = codec_compress(s->codec, fs->opt.zstd_level, p, len, s->piece, len - len / 8);
    if (n == 0) {
        i->raw_streak += i->raw_streak < RAW_STREAK_MAX;
        return 0;
    }
    i->raw_streak = 0;
    COUNT(fs, bytes_compressed_in, len);
    COUNT(fs, bytes_compressed_out, n);
    return n;
}

/* May this piece be compressed? Only what replaces all there is of its chunk. */
static bool whole_chunk(uint64_t size, uint64_t off, size_t len)
{
    return off % CHUNK_SIZE == 0 && (len == CHUNK_SIZE || off + len >= size);
}

static int put_piece(struct holofs *fs, struct inode *i, struct scratch *s, unsigned r, uint64_t off, const uint8_t *p, size_t len,
                     struct prepared *out)
{
    size_t packed = whole_chunk(out->size, off, len) ? shrink(fs, i, s, p, len) : 0;
    unsigned codec = packed ? EXTENT_ZSTD : len >= BLOCK_SIZE ? EXTENT_RUN : EXTENT_RAW;
    struct piece piece = { .ino = i->ino, .off = off, .stored = (uint32_t)(packed ? packed : len), .raw = (uint32_t)len, .codec = codec };
    struct slot *slot = &out->slot[out->n];
    int e = head_reserve(fs, r, &piece, out->n == 0, slot);
    if (e)
        return e;
    memcpy(slot->at, packed ? s->piece : p, piece.stored);
    uint32_t tag = head_sum_piece(fs, slot, piece.stored, codec);
    out->e[out->n++] = (struct extent){ .off = off, .len = (uint32_t)len, .container = slot->head->id, .coff = slot->coff,
                                        .stored = piece.stored, .raw = (uint32_t)len, .tag = tag, .codec = (uint8_t)codec };
    COUNT(fs, bytes_stored, piece.stored);
    if (packed)
        COUNT(fs, chunks_zstd, 1);
    else
        COUNT(fs, chunks_raw, 1);
    return 0;
}

/* Put as much of len bytes into heads as goes without waiting, but at least one piece. */
static int prepare(struct holofs *fs, struct inode *i, uint64_t off, const uint8_t *p, size_t len, struct prepared *out)
{
    struct scratch *s = scratch_get(fs);
    int e = s ? 0 : -ENOMEM;
    unsigned r = fs->opt.redundancy ? fs->opt.redundancy : fs->sb.r;
    while (len && !e) {
        size_t n = CHUNK_SIZE - (size_t)(off % CHUNK_SIZE);
        n = n < len ? n : len;
        e = put_piece(fs, i, s, r, off, p, n, out);
        out->bytes += e ? 0 : n;
        off += n;
        p += n;
        len -= n;
    }
    if (s)
        scratch_put(fs, s);
    return e == -EAGAIN ? 0 : e;
}

/* Are there privileges that go with the write (lock held)? Capabilities always do, mode bits when it is asked for. */
static bool must_kill(struct holofs *fs, struct inode *i, bool kill_priv)
{
    if (kill_priv && killed_mode(i->img.mode) != i->img.mode)
        return true;
    return (i->img.flags & INODE_HAS_XATTR) && inode_load_xattrs(fs, i) == 0 && xattr_find(i, "security.capability");
}

/* Log the extents and put them into the windows (lock held). */
static int enter(struct holofs *fs, struct inode *i, const struct prepared *p, uint64_t *seq, uint64_t *txg)
{
    uint8_t space[1024];
    struct iwin *w[PIECES_MAX];
    struct rec r;
    int64_t now = clock_real_ns();
    bool set_times = !fs->times_from_above;
    if (i->gone)
        return -ESTALE;
    for (size_t k = 0; k < p->n; k++) {
        int e = inode_window(fs, i, (uint32_t)(p->e[k].off / WINDOW_SIZE), &w[k]);
        if (e) {
            restamp_windows(i, i->dirty_txg);
            return e;
        }
        w[k]->dirty_txg = UINT64_MAX; /* not to be dropped while the next one is loaded */
    }
    rec_begin(&r, space, sizeof(space), REC_WRITE, now);
    for (size_t k = 0; k < p->n; k++)
        rec_extent(&r, i->ino, &p->e[k]);
    if (set_times)
        rec_times(&r, i->ino, now, now);
    int e = log_append(fs, space, rec_end(&r), p->e, p->n, txg, seq);
    if (e) {
        restamp_windows(i, i->dirty_txg);
        return e;
    }
    for (size_t k = 0; k < p->n && !e; k++) {
        int64_t delta;
        e = window_insert(&w[k]->w, &p->e[k], &delta, NULL, NULL);
        window_charge(fs, w[k]);
        w[k]->dirty_txg = *txg;
        i->img.stored += (uint64_t)delta;
        uint64_t end = p->e[k].off + p->e[k].len;
        i->img.size = end > i->img.size ? end : i->img.size;
    }
    if (set_times)
        i->img.mtime = i->img.ctime = now;
    i->stale |= i->told;
    inode_dirty(i, *txg);
    if (e)
        fs_fail(fs, e, "write");
    return e;
}

/* Write some of at most WRITE_MAX bytes; *done becomes how many. */
static int write_some(struct holofs *fs, struct inode *i, uint64_t off, const uint8_t *p, size_t len, bool kill_priv, size_t *done)
{
    struct prepared prep = { .n = 0 };
    uint64_t seq = 0, txg = 0;
    int e = log_throttle(fs);
    mutex_lock(&i->lock);
    prep.size = i->img.size;
    mutex_unlock(&i->lock);
    if (!e)
        e = prepare(fs, i, off, p, len, &prep);
    bool kill = false;
    if (!e) {
        mutex_lock(&i->lock);
        e = enter(fs, i, &prep, &seq, &txg);
        kill = !e && must_kill(fs, i, kill_priv);
        mutex_unlock(&i->lock);
    }
    for (size_t k = 0; k < prep.n; k++)
        head_done(fs, &prep.slot[k], seq, txg);
    if (kill) {
        struct holofs_attr a;
        struct holofs_setattr s = { .set = kill_priv ? HOLOFS_SET_KILL_PRIV : HOLOFS_SET_KILL_CAP };
        e = holofs_setattr(fs, i->ino, &s, &a);
    }
    *done = e ? 0 : prep.bytes;
    return e;
}

ssize_t holofs_write(struct holofs *fs, uint64_t ino, uint64_t off, const void *buf, size_t size, bool kill_priv)
{
    struct inode *i;
    uint64_t t0 = clock_mono_ns();
    if (off > HOLO_FILE_SIZE_MAX || size > HOLO_FILE_SIZE_MAX - off)
        return -EFBIG;
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    size_t done = 0;
    while (done < size && !e) {
        size_t n = size - done < WRITE_MAX ? size - done : WRITE_MAX;
        e = write_some(fs, i, off + done, (const uint8_t *)buf + done, n, kill_priv, &n);
        done += n;
    }
    inode_put(fs, i);
    COUNT(fs, bytes_written, done);
    hist_add(&fs->count.write_ns, clock_mono_ns() - t0);
    return done ? (ssize_t)done : e;
}

/* Everything logged before, of one inode or of all. */
int holofs_fsync(struct holofs *fs, uint64_t ino)
{
    struct inode *i;
    if (fs->read_only)
        return 0;
    if (ino == 0)
        return commit_txg(fs, log_open_txg(fs));
    int e = inode_get(fs, ino, &i);
    if (e)
        return e;
    uint64_t txg = S_ISDIR(i->type) ? log_open_txg(fs) : i->dirty_txg;
    inode_put(fs, i);
    return commit_txg(fs, txg);
}
