/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect_record.c: records and their items, the frames that carry them, and the directory of a container of file data. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "core/inspect_private.h"
#include "store/frame.h"
#include "store/record.h"

static const char *kind_name(unsigned kind)
{
    static const char *const names[] = { "?", "create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename", "setattr",
                                         "write", "truncate", "punch", "setxattr", "removexattr", "purge", "container", "format", "dump",
                                         "commit", "move" };
    return names[kind < sizeof(names) / sizeof(names[0]) ? kind : 0];
}

static const char *const codecs[] = { "raw", "zstd", "run" };
static const char *const classes[] = { "?", "metadata log", "file data", "metadata dump" };
static const char *const states[] = { "?", "open", "sealed", "dead" };

#define INT(v) ((json_int_t)(v))

static json_t *extent_json(const struct extent *e)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I}", "offset", INT(e->off), "len", INT(e->len), "skip", INT(e->skip),
                     "container", INT(e->container), "at", INT(e->coff), "stored", INT(e->stored), "raw", INT(e->raw), "codec",
                     e->codec <= EXTENT_RUN ? codecs[e->codec] : "?", "tag", INT(e->tag));
}

static json_t *inode_json(const struct inode_image *i)
{
    char mode[16];
    snprintf(mode, sizeof(mode), "0%o", i->mode);
    return json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "item", "inode", "inode",
                     INT(i->ino), "mode", mode, "size", INT(i->size), "stored", INT(i->stored), "parent", INT(i->parent), "links",
                     INT(i->nlink), "uid", INT(i->uid), "gid", INT(i->gid), "rdev", INT(i->rdev), "generation", INT(i->gen), "flags",
                     INT(i->flags), "atime", (double)i->atime / 1e9, "mtime", (double)i->mtime / 1e9, "ctime", (double)i->ctime / 1e9,
                     "btime", (double)i->btime / 1e9);
}

/* An extent item, and one that says where the extent was before. */
static json_t *placed_json(const struct item *it, const char *name)
{
    json_t *o = json_pack("{s:s, s:I}", "item", name, "inode", INT(it->ino)), *e = extent_json(&it->extent);
    if (o && e)
        json_object_update(o, e);
    json_decref(e);
    if (o && it->type == ITEM_MOVE)
        json_object_set_new(o, "from", json_pack("{s:I, s:I, s:I}", "container", INT(it->place.container), "at", INT(it->place.coff),
                                                 "skip", INT(it->place.skip)));
    return o;
}

static json_t *window_json(const struct item *it)
{
    struct window w = { 0 };
    json_t *list = json_array();
    bool right = window_decode(&w, it->window, it->value, it->value_len) == 0;
    for (uint32_t i = 0; i < w.n; i++)
        json_array_append_new(list, extent_json(&w.e[i]));
    window_fini(&w);
    return json_pack("{s:s, s:I, s:I, s:b, s:o}", "item", "window", "inode", INT(it->ino), "window", INT(it->window), "right", right,
                     "extents", list);
}

static json_t *container_json(const struct container_info *c)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "item", "container", "container", INT(c->id), "class",
                     classes[c->cls < 4 ? c->cls : 0], "state", states[c->state < 4 ? c->state : 0], "r", INT(c->r), "used",
                     INT(c->used), "flags", INT(c->flags), "first_txg", INT(c->first_txg), "last_txg", INT(c->last_txg));
}

static json_t *name_json(const char *type, const struct item *it, const char *of, uint64_t ino)
{
    return json_pack("{s:s, s:I, s:o}", "item", type, of, INT(ino), "name", inspect_text(it->name, it->name_len));
}

static json_t *item_json(const struct item *it)
{
    json_t *o;
    switch (it->type) {
    case ITEM_INODE:
        return inode_json(&it->inode);
    case ITEM_INODE_GONE:
        return json_pack("{s:s, s:I}", "item", "inode gone", "inode", INT(it->ino));
    case ITEM_ENTRY:
        o = name_json("entry", it, "parent", it->parent);
        json_object_set_new(o, "inode", json_integer(INT(it->ino)));
        json_object_set_new(o, "cookie", json_integer(INT(it->cookie)));
        json_object_set_new(o, "type", json_integer(INT(it->dtype)));
        return o;
    case ITEM_ENTRY_GONE:
        return name_json("entry gone", it, "parent", it->parent);
    case ITEM_SYMLINK:
        return json_pack("{s:s, s:I, s:o}", "item", "symlink", "inode", INT(it->ino), "target", inspect_text(it->value, it->value_len));
    case ITEM_XATTR:
        o = name_json("xattr", it, "inode", it->ino);
        json_object_set_new(o, "value", inspect_text(it->value, it->value_len));
        return o;
    case ITEM_XATTR_GONE:
        return name_json("xattr gone", it, "inode", it->ino);
    case ITEM_ORPHAN:
    case ITEM_ORPHAN_GONE:
        return json_pack("{s:s, s:I}", "item", it->type == ITEM_ORPHAN ? "orphan" : "orphan gone", "inode", INT(it->ino));
    case ITEM_EXTENT:
        return placed_json(it, "extent");
    case ITEM_MOVE:
        return placed_json(it, "move");
    case ITEM_RANGE_GONE:
        return json_pack("{s:s, s:I, s:I, s:I}", "item", "range gone", "inode", INT(it->ino), "offset", INT(it->off), "len", INT(it->len));
    case ITEM_CONTAINER:
        return container_json(&it->container);
    case ITEM_COUNTERS:
        return json_pack("{s:s, s:I, s:I, s:I, s:I}", "item", "counters", "next_inode", INT(it->counters.next_ino), "next_cookie",
                         INT(it->counters.next_cookie), "next_sequence", INT(it->counters.next_seq), "next_container",
                         INT(it->counters.next_container));
    case ITEM_WINDOW:
        return window_json(it);
    case ITEM_DUMP_COMPLETE:
        return json_pack("{s:s, s:I, s:I, s:I}", "item", "dump complete", "txg", INT(it->txg), "first_container",
                         INT(it->first_container), "last_container", INT(it->last_container));
    case ITEM_TIMES:
        return json_pack("{s:s, s:I, s:f, s:f}", "item", "times", "inode", INT(it->ino), "mtime", (double)it->mtime / 1e9, "ctime",
                         (double)it->ctime / 1e9);
    default:
        return json_pack("{s:s, s:I}", "item", "?", "type", INT(it->type));
    }
}

int inspect_stream(struct inspect *in, const uint8_t *p, size_t len, uint64_t txg)
{
    struct rd stream = rd_init(p, len);
    struct rec_view v;
    struct item it;
    int e = 0, r = 0;
    while (!e && (r = rec_next(&stream, &v)) > 0) {
        json_t *items = json_array();
        int n;
        while ((n = rec_next_item(&v, &it)) > 0)
            json_array_append_new(items, item_json(&it));
        e = inspect_emit(in, json_pack("{s:s, s:I, s:I, s:s, s:f, s:o}", "what", "record", "txg", INT(txg), "sequence", INT(v.seq), "kind",
                                       kind_name(v.kind), "time", (double)v.time_ns / 1e9, "items", items));
        if (n < 0 && !e)
            e = inspect_wrong(in, "sequence", v.seq, "the items of this record are damaged, or newer than this program");
    }
    return e || r == 0 ? e : inspect_wrong(in, "txg", txg, "the records of this transaction are damaged from here on");
}

/* ---- metadata containers ---- */

static int emit_frame(struct inspect *in, const struct frame *f)
{
    if (in->one_txg && f->txg != in->txg)
        return 0;
    int e = inspect_emit(in, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:o, s:f, s:I}", "what", "frame", "kind",
                                       f->kind == FRAME_DUMP ? "dump" : "log", "epoch", INT(f->epoch), "txg", INT(f->txg), "part",
                                       INT(f->part), "last", (int)(f->flags & FRAME_LAST), "chain", inspect_hex(f->chain), "time",
                                       (double)f->time_ns / 1e9, "bytes", INT(f->len)));
    return e ? e : inspect_stream(in, f->records, f->len, f->txg);
}

/* Every frame of the content; where one is bad, on from the next that is right. */
static int emit_frames(struct inspect *in, const struct container_header *h, const uint8_t *content)
{
    bool told = false;
    int e = 0;
    for (size_t at = 0; at + FRAME_HEADER <= h->content_bytes && !e;) {
        struct rd stream = rd_init(content + at, (size_t)h->content_bytes - at);
        struct frame f;
        if (frame_next(&stream, h->uuid, &f) > 0) {
            e = emit_frame(in, &f);
            at += stream.off;
            told = false;
            continue;
        }
        if (!told)
            e = inspect_wrong(in, "content_offset", at, "no right frame is here");
        told = true;
        at += 8;
    }
    return e;
}

/* The content of a container, and its header. 0 or a negative code; free *content. */
static int read_content(struct inspect *in, int fd, struct container_header *h, uint8_t **content)
{
    *content = NULL;
    int e = inspect_header(fd, h);
    if (e)
        return e;
    size_t len = (size_t)h->used * BLOCK_SIZE;
    *content = malloc(len + 1);
    return *content ? inspect_read(in, fd, (uint64_t)chead_file_block(h, 0) * BLOCK_SIZE, *content, len) : -ENOMEM;
}

int holofs_inspect_records(struct inspect *in, const char *file)
{
    struct container_header h;
    uint8_t *content = NULL, magic[8] = { 0 };
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = read_content(in, fd, &h, &content);
    if (e && pread(fd, magic, sizeof(magic), 0) >= 0 && memcmp(magic, "holofsHC", 8) != 0) {
        in->records = true;
        e = holofs_inspect_ring(in, file);
    } else if (!e && h.cls == CLASS_DATA) {
        e = -HOLO_EFORMAT;
    } else if (!e) {
        e = emit_frames(in, &h, content);
    }
    free(content);
    close(fd);
    return e;
}

/* ---- file data ---- */

int holofs_inspect_pieces(struct inspect *in, const char *file)
{
    struct container_header h;
    uint8_t *content = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = read_content(in, fd, &h, &content);
    if (!e && h.cls != CLASS_DATA)
        e = -HOLO_EFORMAT;
    for (uint32_t i = 0; i < h.pieces && !e; i++) {
        struct piece p;
        uint64_t at = h.dir_off + (uint64_t)i * PIECE_BYTES;
        if (at + PIECE_BYTES > (uint64_t)h.used * BLOCK_SIZE) {
            e = inspect_wrong(in, "piece", i, "the directory does not fit into the container");
            break;
        }
        if (piece_decode(content + at, h.uuid, h.id, &p))
            e = inspect_emit(in, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "what", "piece", "inode", INT(p.ino), "offset",
                                           INT(p.off), "sequence", INT(p.seq), "at", INT(p.coff), "stored", INT(p.stored), "raw",
                                           INT(p.raw), "codec", p.codec <= EXTENT_RUN ? codecs[p.codec] : "?"));
        else
            e = inspect_wrong(in, "piece", i, "this entry of the directory is damaged");
    }
    free(content);
    close(fd);
    return e;
}
