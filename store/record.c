/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record.c: encode and decode records and their items. */
#include "store/record.h"

#include <string.h>

#include "base/err.h"

void rec_begin(struct rec *r, void *space, size_t cap, enum record_kind kind, int64_t time_ns)
{
    r->w = wr_init(space, cap);
    r->items = 0;
    wr_u32(&r->w, 0);
    wr_u16(&r->w, (uint16_t)kind);
    wr_u16(&r->w, 0);
    wr_u64(&r->w, 0);
    wr_u64(&r->w, (uint64_t)time_ns);
}

static void item(struct rec *r, enum item_type type, size_t payload)
{
    wr_u16(&r->w, (uint16_t)type);
    wr_u16(&r->w, 0);
    wr_u32(&r->w, (uint32_t)payload);
    r->items++;
}

static void pad(struct rec *r)
{
    size_t n = -r->w.off & 7;
    uint8_t *q = wr_room(&r->w, n);
    if (q)
        memset(q, 0, n);
}

void rec_inode(struct rec *r, const struct inode_image *i)
{
    item(r, ITEM_INODE, 112);
    struct wr *w = &r->w;
    wr_u64(w, i->ino);
    wr_u64(w, i->size);
    wr_u64(w, i->stored);
    wr_u64(w, i->parent);
    wr_u64(w, (uint64_t)i->atime);
    wr_u64(w, (uint64_t)i->mtime);
    wr_u64(w, (uint64_t)i->ctime);
    wr_u64(w, (uint64_t)i->btime);
    wr_u32(w, i->gen);
    wr_u32(w, i->mode);
    wr_u32(w, i->uid);
    wr_u32(w, i->gid);
    wr_u32(w, i->nlink);
    wr_u32(w, i->rdev);
    wr_u32(w, i->flags);
    wr_u32(w, 0);
    wr_u64(w, 0);
    wr_u64(w, 0);
}

void rec_inode_gone(struct rec *r, uint64_t ino)
{
    item(r, ITEM_INODE_GONE, 8);
    wr_u64(&r->w, ino);
}

void rec_entry(struct rec *r, uint64_t parent, uint64_t ino, uint64_t cookie, uint32_t dtype, const char *name, size_t len)
{
    item(r, ITEM_ENTRY, 32 + len);
    wr_u64(&r->w, parent);
    wr_u64(&r->w, ino);
    wr_u64(&r->w, cookie);
    wr_u32(&r->w, dtype);
    wr_u32(&r->w, (uint32_t)len);
    wr_bytes(&r->w, name, len);
    pad(r);
}

void rec_entry_gone(struct rec *r, uint64_t parent, const char *name, size_t len)
{
    item(r, ITEM_ENTRY_GONE, 12 + len);
    wr_u64(&r->w, parent);
    wr_u32(&r->w, (uint32_t)len);
    wr_bytes(&r->w, name, len);
    pad(r);
}

void rec_symlink(struct rec *r, uint64_t ino, const char *target, size_t len)
{
    item(r, ITEM_SYMLINK, 8 + len);
    wr_u64(&r->w, ino);
    wr_bytes(&r->w, target, len);
    pad(r);
}

void rec_xattr(struct rec *r, uint64_t ino, const char *name, size_t name_len, const void *value, size_t len)
{
    item(r, ITEM_XATTR, 16 + name_len + len);
    wr_u64(&r->w, ino);
    wr_u32(&r->w, (uint32_t)name_len);
    wr_u32(&r->w, (uint32_t)len);
    wr_bytes(&r->w, name, name_len);
    wr_bytes(&r->w, value, len);
    pad(r);
}

void rec_xattr_gone(struct rec *r, uint64_t ino, const char *name, size_t name_len)
{
    item(r, ITEM_XATTR_GONE, 12 + name_len);
    wr_u64(&r->w, ino);
    wr_u32(&r->w, (uint32_t)name_len);
    wr_bytes(&r->w, name, name_len);
    pad(r);
}

void rec_orphan(struct rec *r, uint64_t ino, bool gone)
{
    item(r, gone ? ITEM_ORPHAN_GONE : ITEM_ORPHAN, 8);
    wr_u64(&r->w, ino);
}

void rec_extent(struct rec *r, uint64_t ino, const struct extent *e)
{
    item(r, ITEM_EXTENT, 8 + EXTENT_BYTES);
    wr_u64(&r->w, ino);
    extent_encode(&r->w, e);
    pad(r);
}

void rec_move(struct rec *r, uint64_t ino, const struct extent *e, const struct extent_place *place)
{
    item(r, ITEM_MOVE, 20 + EXTENT_BYTES);
    wr_u64(&r->w, ino);
    extent_encode(&r->w, e);
    wr_u32(&r->w, place->container);
    wr_u32(&r->w, place->coff);
    wr_u32(&r->w, place->skip);
    pad(r);
}

void rec_times(struct rec *r, uint64_t ino, int64_t mtime, int64_t ctime)
{
    item(r, ITEM_TIMES, 24);
    wr_u64(&r->w, ino);
    wr_u64(&r->w, (uint64_t)mtime);
    wr_u64(&r->w, (uint64_t)ctime);
}

void rec_range_gone(struct rec *r, uint64_t ino, uint64_t off, uint64_t len)
{
    item(r, ITEM_RANGE_GONE, 24);
    wr_u64(&r->w, ino);
    wr_u64(&r->w, off);
    wr_u64(&r->w, len);
}

void rec_container(struct rec *r, const struct container_info *c)
{
    item(r, ITEM_CONTAINER, 40);
    wr_u32(&r->w, c->id);
    wr_u32(&r->w, c->cls);
    wr_u32(&r->w, c->state);
    wr_u32(&r->w, c->r);
    wr_u32(&r->w, c->used);
    wr_u32(&r->w, c->flags);
    wr_u64(&r->w, c->first_txg);
    wr_u64(&r->w, c->last_txg);
}

void rec_counters(struct rec *r, const struct counters *c)
{
    item(r, ITEM_COUNTERS, 32);
    wr_u64(&r->w, c->next_ino);
    wr_u64(&r->w, c->next_cookie);
    wr_u64(&r->w, c->next_seq);
    wr_u32(&r->w, c->next_container);
    wr_u32(&r->w, 0);
}

void rec_window(struct rec *r, uint64_t ino, uint32_t window, const void *blob, size_t len)
{
    item(r, ITEM_WINDOW, 16 + len);
    wr_u64(&r->w, ino);
    wr_u32(&r->w, window);
    wr_u32(&r->w, (uint32_t)len);
    wr_bytes(&r->w, blob, len);
    pad(r);
}

void rec_dump_complete(struct rec *r, uint64_t txg, uint32_t first, uint32_t last)
{
    item(r, ITEM_DUMP_COMPLETE, 16);
    wr_u64(&r->w, txg);
    wr_u32(&r->w, first);
    wr_u32(&r->w, last);
}

size_t rec_end(struct rec *r)
{
    if (r->w.bad || r->w.off > RECORD_MAX || r->items > UINT16_MAX)
        return 0;
    le32_put(r->w.p, (uint32_t)r->w.off);
    le16_put(r->w.p + 6, (uint16_t)r->items);
    return r->w.off;
}

void rec_set_seq(uint8_t *record, uint64_t seq)
{
    le64_put(record + 8, seq);
}

int rec_next(struct rd *stream, struct rec_view *v)
{
    if (rd_left(stream) == 0)
        return stream->bad ? -HOLO_ECORRUPT : 0;
    uint32_t len = rd_u32(stream);
    v->kind = (enum record_kind)rd_u16(stream);
    v->items = rd_u16(stream);
    v->seq = rd_u64(stream);
    v->time_ns = (int64_t)rd_u64(stream);
    if (stream->bad || len < RECORD_HEADER || len % 8 != 0)
        return -HOLO_ECORRUPT;
    const uint8_t *body = rd_bytes(stream, len - RECORD_HEADER);
    if (!body)
        return -HOLO_ECORRUPT;
    v->body = rd_init(body, len - RECORD_HEADER);
    return 1;
}

static void get_name(struct rd *r, struct item *it)
{
    it->name_len = rd_u32(r);
    if (it->name_len > 255)
        r->bad = true;
    else
        it->name = (const char *)rd_bytes(r, it->name_len);
}

static void get_inode(struct rd *r, struct inode_image *i)
{
    i->ino = rd_u64(r);
    i->size = rd_u64(r);
    i->stored = rd_u64(r);
    i->parent = rd_u64(r);
    i->atime = (int64_t)rd_u64(r);
    i->mtime = (int64_t)rd_u64(r);
    i->ctime = (int64_t)rd_u64(r);
    i->btime = (int64_t)rd_u64(r);
    i->gen = rd_u32(r);
    i->mode = rd_u32(r);
    i->uid = rd_u32(r);
    i->gid = rd_u32(r);
    i->nlink = rd_u32(r);
    i->rdev = rd_u32(r);
    i->flags = rd_u32(r);
    if (i->ino == 0 || i->ino >> 39 || i->size > HOLO_FILE_SIZE_MAX)
        r->bad = true;
}

static void get_container(struct rd *r, struct container_info *c)
{
    c->id = rd_u32(r);
    c->cls = rd_u32(r);
    c->state = rd_u32(r);
    c->r = rd_u32(r);
    c->used = rd_u32(r);
    c->flags = rd_u32(r);
    c->first_txg = rd_u64(r);
    c->last_txg = rd_u64(r);
    if (c->state < CONTAINER_OPEN || c->state > CONTAINER_DEAD || c->cls < CLASS_META_LOG || c->cls > CLASS_META_DUMP)
        r->bad = true;
}

static void get_value(struct rd *r, struct item *it)
{
    it->value_len = (uint32_t)rd_left(r);
    it->value = rd_bytes(r, it->value_len);
}

/* One payload. Sets r->bad if it is malformed. */
static void get_payload(struct rd *r, struct item *it)
{
    switch (it->type) {
    case ITEM_INODE:
        get_inode(r, &it->inode);
        it->ino = it->inode.ino;
        break;
    case ITEM_INODE_GONE:
    case ITEM_ORPHAN:
    case ITEM_ORPHAN_GONE:
        it->ino = rd_u64(r);
        break;
    case ITEM_ENTRY:
        it->parent = rd_u64(r);
        it->ino = rd_u64(r);
        it->cookie = rd_u64(r);
        it->dtype = rd_u32(r);
        get_name(r, it);
        break;
    case ITEM_ENTRY_GONE:
        it->parent = rd_u64(r);
        get_name(r, it);
        break;
    case ITEM_SYMLINK:
        it->ino = rd_u64(r);
        get_value(r, it);
        break;
    case ITEM_XATTR:
        it->ino = rd_u64(r);
        it->name_len = rd_u32(r);
        it->value_len = rd_u32(r);
        it->name = (const char *)rd_bytes(r, it->name_len);
        it->value = rd_bytes(r, it->value_len);
        break;
    case ITEM_XATTR_GONE:
        it->ino = rd_u64(r);
        get_name(r, it);
        break;
    case ITEM_EXTENT:
        it->ino = rd_u64(r);
        if (!extent_decode(r, &it->extent))
            r->bad = true;
        break;
    case ITEM_MOVE:
        it->ino = rd_u64(r);
        if (!extent_decode(r, &it->extent))
            r->bad = true;
        it->place.container = rd_u32(r);
        it->place.coff = rd_u32(r);
        it->place.skip = rd_u32(r);
        break;
    case ITEM_RANGE_GONE:
        it->ino = rd_u64(r);
        it->off = rd_u64(r);
        it->len = rd_u64(r);
        if (it->off > HOLO_FILE_SIZE_MAX || it->len > HOLO_FILE_SIZE_MAX - it->off)
            r->bad = true;
        break;
    case ITEM_CONTAINER:
        get_container(r, &it->container);
        break;
    case ITEM_COUNTERS:
        it->counters.next_ino = rd_u64(r);
        it->counters.next_cookie = rd_u64(r);
        it->counters.next_seq = rd_u64(r);
        it->counters.next_container = rd_u32(r);
        break;
    case ITEM_WINDOW:
        it->ino = rd_u64(r);
        it->window = rd_u32(r);
        it->value_len = rd_u32(r);
        it->value = rd_bytes(r, it->value_len);
        break;
    case ITEM_DUMP_COMPLETE:
        it->txg = rd_u64(r);
        it->first_container = rd_u32(r);
        it->last_container = rd_u32(r);
        break;
    case ITEM_TIMES:
        it->ino = rd_u64(r);
        it->mtime = (int64_t)rd_u64(r);
        it->ctime = (int64_t)rd_u64(r);
        break;
    case ITEM_SKIPPABLE:
    default:
        r->bad = true;
    }
}

int rec_next_item(struct rec_view *v, struct item *it)
{
    for (;;) {
        if (v->items == 0)
            return 0;
        v->items--;
        *it = (struct item){ .type = (enum item_type)rd_u16(&v->body) };
        rd_u16(&v->body);
        uint32_t len = rd_u32(&v->body);
        const uint8_t *payload = rd_bytes(&v->body, len);
        rd_bytes(&v->body, -v->body.off & 7);
        if (!payload || v->body.bad)
            return -HOLO_ECORRUPT;
        if (it->type & ITEM_SKIPPABLE)
            continue;
        struct rd r = rd_init(payload, len);
        get_payload(&r, it);
        return r.bad ? -HOLO_ECORRUPT : 1;
    }
}
