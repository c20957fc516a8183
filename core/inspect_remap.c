/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect_remap.c: one copy of the remap table, as it is in the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "core/inspect_private.h"
#include "remap/entry.h"

enum { UUID_OFF = 16 };

/* Both headers, by the uuid that each names itself, which must be the store's if that is known. 0 if one is right. */
static int read_headers(struct inspect *in, const uint8_t *image, const uint8_t *store, const uint8_t **uuid, struct remap_header *h)
{
    int e = 0;
    for (unsigned i = 0; i < REMAP_HEADERS && !e; i++) {
        const uint8_t *block = image + (size_t)i * REMAP_HEADER_SIZE, *own = block + UUID_OFF;
        struct remap_header here;
        int r = remap_header_decode(block, own, &here);
        if (r) {
            e = inspect_wrong(in, "header", i, r == -HOLO_EVERSION ? "newer than this program" : "damaged");
            continue;
        }
        if (store && memcmp(own, store, 16) != 0)
            e = inspect_wrong(in, "header", i, "of another store");
        if (!*uuid) {
            *uuid = own;
            *h = here;
        }
    }
    return e;
}

static int emit_header(struct inspect *in, const struct remap_header *h)
{
    int e = inspect_emit(in, json_pack("{s:s, s:I, s:I, s:I}", "what", "header", "first", (json_int_t)h->first, "snapshot",
                                       (json_int_t)h->snapshot, "spare_files", (json_int_t)h->n_spares));
    for (uint32_t i = 0; i < h->n_spares && !e; i++) {
        char path[REMAP_PATHS_MAX + 1];
        json_t *o = json_pack("{s:s, s:I, s:I}", "what", "spare", "number", (json_int_t)h->spare[i].number, "blocks",
                              (json_int_t)h->spare[i].blocks);
        remap_header_path(h, &h->spare[i], path);
        if (o && *path) {
            json_object_set_new(o, "directory", inspect_text(path, strlen(path)));
            json_object_set_new(o, "identity", json_integer((json_int_t)h->spare[i].identity));
        }
        e = inspect_emit(in, o);
    }
    return e;
}

static json_t *entry_json(const struct remap_entry *r)
{
    static const char *const kinds[] = { "?", "add", "drop block", "drop container", "spare bad" };
    json_t *o = json_pack("{s:s, s:I, s:s}", "what", "entry", "sequence", (json_int_t)r->sequence, "kind", kinds[r->kind]);
    if (o && r->kind != REMAP_SPARE_BAD)
        json_object_set_new(o, "container", json_integer((json_int_t)r->container));
    if (o && (r->kind == REMAP_ADD || r->kind == REMAP_DROP_BLOCK))
        json_object_set_new(o, "block", json_integer((json_int_t)r->file_block));
    if (o && (r->kind == REMAP_ADD || r->kind == REMAP_SPARE_BAD)) {
        json_object_set_new(o, "spare", json_integer((json_int_t)r->spare));
        json_object_set_new(o, "spare_block", json_integer((json_int_t)r->spare_block));
    }
    if (o && r->kind == REMAP_ADD)
        json_object_set_new(o, "sum", inspect_hex(r->sum));
    return o;
}

static bool is_empty(const uint8_t *slot)
{
    static const uint8_t zeros[REMAP_ENTRY_SIZE];
    return memcmp(slot, zeros, REMAP_ENTRY_SIZE) == 0;
}

/* Without a header the first entry that is right says where the log begins. */
static uint64_t first_of(const uint8_t *image, uint64_t slots, const uint8_t *uuid)
{
    for (uint64_t i = 0; i < slots; i++) {
        struct remap_entry r;
        const uint8_t *slot = image + remap_slot_offset(i);
        uint64_t seq = le64_get(slot);
        if (seq > i && remap_entry_decode(slot, uuid, seq, &r))
            return seq - i;
    }
    return 1;
}

static int emit_entries(struct inspect *in, const uint8_t *image, uint64_t slots, const uint8_t *uuid, uint64_t first)
{
    int e = 0;
    for (uint64_t i = 0; i < slots && !e; i++) {
        struct remap_entry r;
        const uint8_t *slot = image + remap_slot_offset(i);
        if (is_empty(slot))
            continue;
        if (remap_entry_decode(slot, uuid, first + i, &r))
            e = inspect_emit(in, entry_json(&r));
        else
            e = inspect_wrong(in, "slot", i, "this entry is damaged, torn, or of another log");
    }
    return e;
}

static int look_at(struct inspect *in, const char *file, const uint8_t *image, size_t len)
{
    struct remap_header h = { 0 };
    struct superblock sb;
    const uint8_t *uuid = NULL, *store = inspect_super(in, file, 0, &sb) ? NULL : sb.uuid;
    uint64_t slots = (len - REMAP_SLOTS_OFFSET) / REMAP_ENTRY_SIZE;
    int e = read_headers(in, image, store, &uuid, &h);
    if (!e && uuid)
        e = emit_header(in, &h);
    if (!uuid)
        uuid = store;
    if (!e && !uuid)
        return inspect_wrong(in, "offset", 0, "without a header or a superblock beside it, whose entries these are is not known");
    return e ? e : emit_entries(in, image, slots, uuid, h.first ? h.first : first_of(image, slots, uuid));
}

int holofs_inspect_remap(struct inspect *in, const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = fstat(fd, &st) ? -errno : 0;
    size_t size = !e && st.st_size < REMAP_LOG_MAX ? (size_t)st.st_size : REMAP_LOG_MAX;
    size_t len = size < REMAP_SLOTS_OFFSET ? REMAP_SLOTS_OFFSET : size;
    uint8_t *image = e ? NULL : calloc(1, len);
    if (!e)
        e = image ? inspect_read(in, fd, 0, image, len) : -ENOMEM;
    if (!e)
        e = look_at(in, file, image, len);
    free(image);
    close(fd);
    return e;
}
