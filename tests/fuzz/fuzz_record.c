/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_record.c: a stream of records of any bytes, read to its end; what was understood is written again and must read the same.
 *
 * Input: the stream. The four bytes of each record's length are corrected if its first byte is 0xff: a fuzzer does not
 * guess lengths well.
 */
#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "store/record.h"

enum { ITEMS_MAX = 256 };

struct stream {
    const uint8_t *p;
    size_t len;
};

static void expect_inside(const struct stream *s, const void *p, size_t n)
{
    const uint8_t *q = p;
    FUZZ_CHECK(n == 0 || (q >= s->p && q <= s->p + s->len && n <= (size_t)(s->p + s->len - q)));
}

static void write_item(struct rec *r, const struct item *it)
{
    switch (it->type) {
    case ITEM_INODE:
        rec_inode(r, &it->inode);
        break;
    case ITEM_INODE_GONE:
        rec_inode_gone(r, it->ino);
        break;
    case ITEM_ENTRY:
        rec_entry(r, it->parent, it->ino, it->cookie, it->dtype, it->name, it->name_len);
        break;
    case ITEM_ENTRY_GONE:
        rec_entry_gone(r, it->parent, it->name, it->name_len);
        break;
    case ITEM_SYMLINK:
        rec_symlink(r, it->ino, (const char *)it->value, it->value_len);
        break;
    case ITEM_XATTR:
        rec_xattr(r, it->ino, it->name, it->name_len, it->value, it->value_len);
        break;
    case ITEM_XATTR_GONE:
        rec_xattr_gone(r, it->ino, it->name, it->name_len);
        break;
    case ITEM_ORPHAN:
    case ITEM_ORPHAN_GONE:
        rec_orphan(r, it->ino, it->type == ITEM_ORPHAN_GONE);
        break;
    case ITEM_EXTENT:
        rec_extent(r, it->ino, &it->extent);
        break;
    case ITEM_RANGE_GONE:
        rec_range_gone(r, it->ino, it->off, it->len);
        break;
    case ITEM_CONTAINER:
        rec_container(r, &it->container);
        break;
    case ITEM_COUNTERS:
        rec_counters(r, &it->counters);
        break;
    case ITEM_WINDOW:
        rec_window(r, it->ino, it->window, it->value, it->value_len);
        break;
    case ITEM_DUMP_COMPLETE:
        rec_dump_complete(r, it->txg, it->first_container, it->last_container);
        break;
    case ITEM_TIMES:
        rec_times(r, it->ino, it->mtime, it->ctime);
        break;
    case ITEM_MOVE:
        rec_move(r, it->ino, &it->extent, &it->place);
        break;
    case ITEM_SKIPPABLE:
    default:
        FUZZ_CHECK(it->type == 0 && "an unknown item was accepted");
    }
}

static bool same_bytes(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

static void expect_same(const struct item *a, const struct item *b)
{
    const struct inode_image *i = &a->inode, *j = &b->inode;
    const struct extent *e = &a->extent, *f = &b->extent;
    const struct container_info *c = &a->container, *d = &b->container;
    FUZZ_CHECK(a->type == b->type && a->ino == b->ino && a->parent == b->parent && a->cookie == b->cookie && a->off == b->off);
    FUZZ_CHECK(a->len == b->len && a->txg == b->txg && a->dtype == b->dtype && a->window == b->window && a->mtime == b->mtime);
    FUZZ_CHECK(a->ctime == b->ctime && a->first_container == b->first_container && a->last_container == b->last_container);
    FUZZ_CHECK(a->name_len == b->name_len && same_bytes(a->name, b->name, a->name_len));
    FUZZ_CHECK(a->value_len == b->value_len && same_bytes(a->value, b->value, a->value_len));
    FUZZ_CHECK(i->ino == j->ino && i->size == j->size && i->stored == j->stored && i->parent == j->parent && i->atime == j->atime);
    FUZZ_CHECK(i->mtime == j->mtime && i->ctime == j->ctime && i->btime == j->btime && i->gen == j->gen && i->mode == j->mode);
    FUZZ_CHECK(i->uid == j->uid && i->gid == j->gid && i->nlink == j->nlink && i->rdev == j->rdev && i->flags == j->flags);
    FUZZ_CHECK(e->off == f->off && e->len == f->len && e->skip == f->skip && e->container == f->container && e->coff == f->coff);
    FUZZ_CHECK(e->stored == f->stored && e->raw == f->raw && e->tag == f->tag && e->codec == f->codec);
    FUZZ_CHECK(a->place.container == b->place.container && a->place.coff == b->place.coff && a->place.skip == b->place.skip);
    FUZZ_CHECK(c->id == d->id && c->cls == d->cls && c->state == d->state && c->r == d->r && c->used == d->used && c->flags == d->flags);
    FUZZ_CHECK(c->first_txg == d->first_txg && c->last_txg == d->last_txg);
    FUZZ_CHECK(a->counters.next_ino == b->counters.next_ino && a->counters.next_cookie == b->counters.next_cookie);
    FUZZ_CHECK(a->counters.next_seq == b->counters.next_seq && a->counters.next_container == b->counters.next_container);
}

/* Values that the rest of the program takes as given. */
static void expect_possible(const struct stream *s, const struct item *it)
{
    expect_inside(s, it->name, it->name_len);
    expect_inside(s, it->value, it->value_len);
    if (it->type == ITEM_INODE)
        FUZZ_CHECK(it->ino == it->inode.ino && it->ino != 0 && it->inode.size <= HOLO_FILE_SIZE_MAX);
    if (it->type == ITEM_RANGE_GONE)
        FUZZ_CHECK(it->off + it->len <= HOLO_FILE_SIZE_MAX);
    if (it->type == ITEM_ENTRY || it->type == ITEM_ENTRY_GONE || it->type == ITEM_XATTR_GONE)
        FUZZ_CHECK(it->name_len <= 255);
}

static void expect_round_trip(const struct rec_view *v, const struct item *items, uint32_t n, size_t cap)
{
    uint8_t *bytes = malloc(cap);
    FUZZ_CHECK(bytes);
    struct rec r;
    rec_begin(&r, bytes, cap, v->kind, v->time_ns);
    for (uint32_t i = 0; i < n; i++)
        write_item(&r, &items[i]);
    size_t len = rec_end(&r);
    FUZZ_CHECK(len > 0);
    rec_set_seq(bytes, v->seq);
    struct rd stream = rd_init(bytes, len);
    struct rec_view back;
    struct item it;
    FUZZ_CHECK(rec_next(&stream, &back) == 1 && rd_left(&stream) == 0);
    FUZZ_CHECK(back.kind == v->kind && back.seq == v->seq && back.time_ns == v->time_ns && back.items == n);
    for (uint32_t i = 0; i < n; i++) {
        FUZZ_CHECK(rec_next_item(&back, &it) == 1);
        expect_same(&items[i], &it);
    }
    FUZZ_CHECK(rec_next_item(&back, &it) == 0);
    free(bytes);
}

static void one_record(const struct stream *s, struct rec_view *v)
{
    static const size_t item_room = 160; /* of everything in an item but names and values */
    struct item *items = calloc(ITEMS_MAX, sizeof(*items));
    struct rec_view whole = *v;
    uint32_t n = 0;
    size_t room = RECORD_HEADER;
    FUZZ_CHECK(items);
    while (n < ITEMS_MAX && rec_next_item(v, &items[n]) == 1) {
        expect_possible(s, &items[n]);
        room += item_room + items[n].name_len + items[n].value_len;
        n++;
    }
    expect_round_trip(&whole, items, n, room);
    free(items);
}

/* Make the length of each record fit that asks for it. */
static void fix_lengths(uint8_t *p, size_t len)
{
    for (size_t at = 0; len - at >= RECORD_HEADER;) {
        size_t left = len - at;
        if (p[at] == 0xff)
            le32_put(p + at, (uint32_t)(left & ~(size_t)7));
        size_t n = le32_get(p + at);
        if (n < RECORD_HEADER || n > left)
            return;
        at += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *bytes = fuzz_exact(data, len);
    struct stream s = { bytes, len };
    fix_lengths(bytes, len);
    struct rd r = rd_init(bytes, len);
    struct rec_view v;
    size_t before = 0;
    while (rec_next(&r, &v) == 1) {
        FUZZ_CHECK(r.off >= before + RECORD_HEADER && r.off <= len);
        before = r.off;
        one_record(&s, &v);
    }
    free(bytes);
    return 0;
}

/* A record with one item of each type from `from` on. */
static size_t seed_record(unsigned from, uint8_t *out, size_t cap)
{
    static const struct inode_image image = { .ino = 12, .size = 5000, .parent = 1, .mode = 0100644, .nlink = 1, .gen = 1 };
    static const struct extent extent = { .off = 4096, .len = 4096, .container = 1, .coff = 8192, .stored = 4096, .raw = 4096, .tag = 5,
                                          .codec = EXTENT_RUN };
    static const struct container_info info = { .id = 1, .cls = CLASS_DATA, .state = CONTAINER_SEALED, .r = 3, .used = 9 };
    struct rec r;
    rec_begin(&r, out, cap, REC_CREATE, 1234);
    for (unsigned type = from; type < from + 4 && type <= ITEM_MOVE; type++) {
        struct item it = { .type = (enum item_type)type, .ino = 12, .parent = 1, .cookie = 9, .dtype = 8, .name = "name", .name_len = 4,
                           .value = (const uint8_t *)"some value", .value_len = 10, .inode = image, .extent = extent, .container = info,
                           .off = 4096, .len = 100, .place = { 1, 4096, 5 }, .txg = 4, .window = 1, .counters = { .next_ino = 13, .next_seq = 99 } };
        write_item(&r, &it);
    }
    size_t len = rec_end(&r);
    rec_set_seq(out, 100 + from);
    return len;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    size_t len = 0;
    if (i > 5)
        return 0;
    for (unsigned from = i < 5 ? 1 + 4 * i : 1; from <= (i < 5 ? 1 + 4 * i : 17u); from += 4)
        len += seed_record(from, out + len, cap - len);
    return len;
}
