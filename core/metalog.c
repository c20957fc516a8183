/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metalog.c: committed records flow into metadata containers as frames.
 *
 * The metadata head is the committer's alone (COMMIT). It gets its container id when it is queued for
 * sealing: nothing refers to its contents by place.
 */
#include "base/err.h"
#include "core/head.h"
#include "core/log.h"

int metalog_seal(struct holofs *fs)
{
    struct head *h = fs->metalog;
    if (!h || h->fill == 0)
        return 0;
    mutex_lock(&fs->head_lock);
    while (fs->n_sealing >= SEALING_MAX && !trouble_now(fs, TROUBLE_SEAL)) /* more of them take ring space, which is bounded */
        mutex_wait(&fs->head_lock, &fs->head_cond);
    h->id = fs->next_container++;
    head_queue(fs, h);
    mutex_unlock(&fs->head_lock);
    fs->metalog = NULL;
    fs->meta_open_bytes = 0;
    return fs->failed;
}

/* Bytes of whole records at the start of `records` that fit into `room`; at least one record must. */
static size_t whole_records(const uint8_t *records, size_t len, size_t room)
{
    size_t n = 0;
    while (n < len) {
        size_t next = le32_get(records + n);
        if (next == 0 || n + next > room)
            break;
        n += next;
    }
    return n;
}

static int need_head(struct holofs *fs, const struct ring_txg *t)
{
    if (fs->metalog)
        return 0;
    mutex_lock(&fs->head_lock);
    struct head *h = head_create(fs, 0, CLASS_META_LOG, fs->sb.meta_r);
    mutex_unlock(&fs->head_lock);
    if (!h)
        return -ENOMEM;
    h->first_txg = t->txg;
    fs->metalog = h;
    return 0;
}

/*
 * A txg that would go over into the next container begins there instead, if it fits into one: a mount that begins between the two goes on
 * behind the last txg of a sealed container, and would not know that its end is missing.
 */
static int keep_together(struct holofs *fs, size_t len)
{
    const struct head *h = fs->metalog;
    bool fits = !h || h->fill == 0 || frame_size(len) <= h->cap_bytes - h->fill;
    return fits || frame_size(len) > h->cap_bytes ? 0 : metalog_seal(fs);
}

int metalog_append(struct holofs *fs, const struct ring_txg *t, const uint8_t *records, size_t len)
{
    int together = keep_together(fs, len);
    if (together)
        return together;
    struct frame f = { .kind = FRAME_LOG, .epoch = t->epoch, .txg = t->txg, .chain = t->chain, .time_ns = t->time_ns };
    while (len) {
        int e = need_head(fs, t);
        if (e)
            return e;
        struct head *h = fs->metalog;
        size_t room = (size_t)(h->cap_bytes - h->fill);
        size_t n = room <= FRAME_HEADER ? 0 : whole_records(records, len, room - FRAME_HEADER);
        if (n == 0 && h->fill == 0)
            return -EOVERFLOW;
        if (n == 0) {
            e = metalog_seal(fs);
            if (e)
                return e;
            continue;
        }
        f.records = records;
        f.len = (uint32_t)n;
        f.flags = n == len ? FRAME_LAST : 0;
        frame_encode(&f, fs->sb.uuid, h->buf + h->fill);
        h->fill += frame_size(n);
        fs->meta_open_bytes = h->fill;
        h->last_txg = t->txg;
        if (h->first_lsn > t->lsn)
            h->first_lsn = t->lsn;
        f.part++;
        records += n;
        len -= n;
    }
    return 0;
}
