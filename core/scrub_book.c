/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrub_book.c: the file «scrub» of a store: how far a scrub is, and when each container was verified.
 *
 * Nothing depends on it but what is verified next: where it is gone, damaged or old, containers are verified once more. So it is
 * replaced whole, at most every half minute, and not for a store that was never scrubbed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "core/container.h"
#include "core/log.h"
#include "core/scrubber.h"

enum {
    BOOK_VERSION = 1, BOOK_HEADER = 160, BOOK_ROW = 16, BOOK_SUM = 8, BOOK_MAX = 1 << 28,
    FLAG_TRUST_PARITY = 1, FLAG_WATCHED_ONLY = 2, FLAG_FRESH = 4,
    ROW_DUE = 1,
};
static const char magic[8] = "HOLOSCRB", name[] = "scrub", fresh[] = "scrub.new";

/* ---- encode ---- */

struct rows {
    struct holofs *fs;
    struct buf *out;
    uint32_t n;
};

static bool worth_a_row(const struct container *c)
{
    return c && c->state == CONTAINER_SEALED && (c->verified_s || c->watched_s || c->due);
}

static int add_row(void *arg, uint32_t id)
{
    struct rows *x = arg;
    struct container *c = ctab_find(x->fs, id);
    uint8_t row[BOOK_ROW];
    if (!worth_a_row(c))
        return 0;
    le32_put(row, id);
    le32_put(row + 4, c->due ? ROW_DUE : 0);
    le32_put(row + 8, c->verified_s);
    le32_put(row + 12, c->watched_s);
    x->n++;
    return buf_add(x->out, row, sizeof(row));
}

static void put_header(struct holofs *fs, uint32_t rows, uint8_t out[BOOK_HEADER])
{
    struct scrub_state *s = &fs->scrub;
    struct scrub_choice choice = scrub_choice_of(s);
    struct wr w = wr_init(out, BOOK_HEADER);
    memset(out, 0, BOOK_HEADER);
    wr_bytes(&w, magic, sizeof(magic));
    wr_bytes(&w, fs->sb.uuid, sizeof(fs->sb.uuid));
    wr_u32(&w, BOOK_VERSION);
    wr_u32(&w, rows);
    wr_u32(&w, s->run);
    wr_u32(&w, (choice.trust_parity ? FLAG_TRUST_PARITY : 0) | (choice.watched_only ? FLAG_WATCHED_ONLY : 0) | (s->fresh ? FLAG_FRESH : 0));
    wr_u32(&w, choice.percent);
    wr_u32(&w, choice.older_s);
    const uint64_t v[] = { s->rate, (uint64_t)s->started_s, (uint64_t)s->finished_s, s->passes, s->containers_total, s->containers_done,
                           s->bytes_total, s->bytes_done, s->blocks, s->bad, s->repaired, s->lost, s->parity_disagrees };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        wr_u64(&w, v[i]);
}

static int encode(struct holofs *fs, struct buf *out)
{
    uint8_t header[BOOK_HEADER] = { 0 }, sum[BOOK_SUM];
    struct rows x = { fs, out, 0 };
    int e = buf_add(out, header, sizeof(header));
    if (!e)
        e = ctab_each(fs, add_row, &x);
    if (e)
        return e;
    put_header(fs, x.n, out->p);
    le64_put(sum, sum64(out->p, out->len, sum_seed(fs->sb.uuid, SUM_ID_SCRUB, 0)));
    return buf_add(out, sum, sizeof(sum));
}

/* ---- decode ---- */

static void take_header(struct holofs *fs, struct rd *r)
{
    struct scrub_state *s = &fs->scrub;
    uint32_t run = rd_u32(r), flags = rd_u32(r);
    s->choice = (struct scrub_choice){ .trust_parity = flags & FLAG_TRUST_PARITY, .watched_only = flags & FLAG_WATCHED_ONLY };
    s->choice.percent = rd_u32(r);
    s->choice.older_s = rd_u32(r);
    s->fresh = flags & FLAG_FRESH;
    s->rate = rd_u64(r);
    s->started_s = (int64_t)rd_u64(r);
    s->finished_s = (int64_t)rd_u64(r);
    _Atomic uint64_t *const v[] = { &s->passes, &s->containers_total, &s->containers_done, &s->bytes_total, &s->bytes_done, &s->blocks,
                                    &s->bad, &s->repaired, &s->lost, &s->parity_disagrees };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        *v[i] = rd_u64(r);
    s->run = run == SCRUB_RUNNING || run == SCRUB_PAUSED ? (enum scrub_run)run : SCRUB_IDLE;
}

static int decode(struct holofs *fs, const uint8_t *p, size_t len)
{
    if (len < BOOK_HEADER + BOOK_SUM || memcmp(p, magic, sizeof(magic)) != 0)
        return -HOLO_EFORMAT;
    if (memcmp(p + 8, fs->sb.uuid, 16) != 0 || le64_get(p + len - BOOK_SUM) != sum64(p, len - BOOK_SUM, sum_seed(fs->sb.uuid, SUM_ID_SCRUB, 0)))
        return -HOLO_ESUM;
    struct rd r = rd_init(p + 24, len - 24 - BOOK_SUM);
    uint32_t version = rd_u32(&r), rows = rd_u32(&r);
    if (version != BOOK_VERSION || len != BOOK_HEADER + (size_t)rows * BOOK_ROW + BOOK_SUM)
        return version > BOOK_VERSION ? -HOLO_EVERSION : -HOLO_EFORMAT;
    take_header(fs, &r);
    for (const uint8_t *row = p + BOOK_HEADER; rows--; row += BOOK_ROW) {
        struct container *c = ctab_find(fs, le32_get(row));
        if (!c)
            continue; /* deleted since */
        c->due = le32_get(row + 4) & ROW_DUE;
        c->verified_s = le32_get(row + 8);
        c->watched_s = le32_get(row + 12);
    }
    return 0;
}

/* ---- files ---- */

static int read_whole(struct holofs *fs, uint8_t **out, size_t *len)
{
    struct bfile *f;
    uint64_t size = 0;
    int e = fs->backing->ops->open(fs->backing, name, BACKING_READ, &f);
    if (e)
        return e;
    e = f->ops->size(f, &size);
    if (!e && size > BOOK_MAX)
        e = -HOLO_EFORMAT;
    *out = e ? NULL : malloc(size + 1);
    if (!e)
        e = *out ? f->ops->pread(f, *out, size, 0) : -ENOMEM;
    f->ops->close(f);
    *len = size;
    return e;
}

void scrub_book_load(struct holofs *fs)
{
    uint8_t *p = NULL;
    size_t len = 0;
    int e = read_whole(fs, &p, &len);
    if (!e)
        e = decode(fs, p, len);
    free(p);
    if (e && e != -ENOENT)
        event_add(fs, "scrub_book_lost", "s:s, s:s", "error", holo_strerror(e), "meaning", "nothing counts as verified");
}

static int replace(struct holofs *fs, const struct buf *b)
{
    struct backing *backing = fs->backing;
    struct bfile *f;
    int e = backing->ops->open(backing, fresh, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (e)
        return e;
    e = bfile_pwrite(f, b->p, b->len, 0);
    if (!e)
        e = f->ops->datasync(f);
    f->ops->close(f);
    if (!e)
        e = backing->ops->rename(backing, fresh, name);
    else
        backing->ops->unlink(backing, fresh);
    return e ? e : backing->ops->sync_dir(backing, "");
}

void scrub_book_save(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    struct buf b = { 0 };
    if (fs->read_only || !s->changed)
        return;
    s->changed = false;
    int e = encode(fs, &b);
    if (!e)
        e = replace(fs, &b);
    buf_fini(&b);
    s->changed |= e != 0;
    if (e && !s->save_failed)
        event_add(fs, "scrub_book_not_written", "s:s", "error", holo_strerror(e));
    s->save_failed = e != 0;
}
