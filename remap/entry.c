/* SPDX-License-Identifier: GPL-2.0-or-later */
/* entry.c: the bytes of a remap log: its header and its entries. */
#include "remap/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"

#define SUM_ID_REMAP UINT64_C(0x72656d6170)
#define SUM_ID_SPARE UINT64_C(0x7370617265)

enum { BLOCK = 4096, ENTRY_SUMMED = REMAP_ENTRY_SIZE - 8, HEADER_SUMMED = REMAP_HEADER_SIZE - 8, HEADER_FIXED = 64, SPARE_SIZE = 16,
       PATHS = HEADER_FIXED + REMAP_SPARES_MAX * SPARE_SIZE };
_Static_assert(PATHS + REMAP_PATHS_MAX == HEADER_SUMMED, "list and paths fit");

static const char magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'R', 'M' };

void remap_entry_encode(const struct remap_entry *e, const uint8_t uuid[16], uint8_t out[REMAP_ENTRY_SIZE])
{
    memset(out, 0, REMAP_ENTRY_SIZE);
    le64_put(out, e->sequence);
    out[8] = (uint8_t)e->kind;
    le32_put(out + 12, e->container);
    le32_put(out + 16, e->file_block);
    le32_put(out + 20, e->spare);
    le32_put(out + 24, e->spare_block);
    le64_put(out + 32, e->sum);
    le64_put(out + ENTRY_SUMMED, sum64(out, ENTRY_SUMMED, sum_seed(uuid, SUM_ID_REMAP, e->sequence)));
}

bool remap_entry_decode(const uint8_t in[REMAP_ENTRY_SIZE], const uint8_t uuid[16], uint64_t sequence, struct remap_entry *out)
{
    if (le64_get(in) != sequence || in[8] < REMAP_ADD || in[8] > REMAP_SPARE_BAD)
        return false;
    if (le64_get(in + ENTRY_SUMMED) != sum64(in, ENTRY_SUMMED, sum_seed(uuid, SUM_ID_REMAP, sequence)))
        return false;
    *out = (struct remap_entry){
        .sequence = sequence,
        .kind = (enum remap_kind)in[8],
        .container = le32_get(in + 12),
        .file_block = le32_get(in + 16),
        .spare = le32_get(in + 20),
        .spare_block = le32_get(in + 24),
        .sum = le64_get(in + 32),
    };
    return true;
}

void remap_header_encode(const struct remap_header *h, const uint8_t uuid[16], uint8_t out[REMAP_HEADER_SIZE])
{
    memset(out, 0, REMAP_HEADER_SIZE);
    memcpy(out, magic, sizeof(magic));
    le32_put(out + 8, REMAP_VERSION);
    le32_put(out + 12, h->n_spares);
    memcpy(out + 16, uuid, 16);
    le64_put(out + 32, h->first);
    le64_put(out + 40, h->snapshot);
    size_t at = PATHS;
    for (uint32_t i = 0; i < h->n_spares; i++) {
        const struct remap_spare *s = &h->spare[i];
        uint8_t *p = out + HEADER_FIXED + i * SPARE_SIZE;
        le32_put(p, s->number);
        le32_put(p + 4, s->blocks);
        le16_put(p + 8, s->path_len);
        le32_put(p + 12, s->identity);
        memcpy(out + at, h->paths + s->path_off, s->path_len);
        at += s->path_len;
    }
    le64_put(out + HEADER_SUMMED, sum64(out, HEADER_SUMMED, sum_seed(uuid, SUM_ID_REMAP, 0)));
}

/* What a loader can afford: a table over these spares, and every slot of the snapshot. */
static bool header_sane(const struct remap_header *h)
{
    uint64_t blocks = 0;
    bool ok = h->first >= 1 && h->first <= REMAP_FIRST_MAX && h->n_spares <= REMAP_SPARES_MAX;
    for (uint32_t i = 0; ok && i < h->n_spares; i++) {
        const char *path = h->paths + h->spare[i].path_off;
        blocks += h->spare[i].blocks;
        ok &= h->spare[i].path_len == 0 || (path[0] == '/' && !memchr(path, 0, h->spare[i].path_len));
        for (uint32_t k = 0; k < i; k++)
            ok &= h->spare[k].number != h->spare[i].number;
    }
    return ok && blocks <= REMAP_BLOCKS_MAX && h->snapshot <= blocks && remap_slot_offset(h->snapshot) <= REMAP_LOG_MAX;
}

int remap_header_decode(const uint8_t in[REMAP_HEADER_SIZE], const uint8_t uuid[16], struct remap_header *out)
{
    if (memcmp(in, magic, sizeof(magic)) != 0 || memcmp(in + 16, uuid, 16) != 0)
        return -HOLO_ECORRUPT;
    if (le64_get(in + HEADER_SUMMED) != sum64(in, HEADER_SUMMED, sum_seed(uuid, SUM_ID_REMAP, 0)))
        return -HOLO_ECORRUPT;
    if (le32_get(in + 8) != REMAP_VERSION)
        return -HOLO_EVERSION;
    struct remap_header h = { .first = le64_get(in + 32), .snapshot = le64_get(in + 40), .n_spares = le32_get(in + 12) };
    uint32_t paths = 0;
    for (uint32_t i = 0; i < h.n_spares && i < REMAP_SPARES_MAX; i++) {
        const uint8_t *p = in + HEADER_FIXED + i * SPARE_SIZE;
        h.spare[i] = (struct remap_spare){ .number = le32_get(p), .blocks = le32_get(p + 4), .identity = le32_get(p + 12),
                                           .path_off = (uint16_t)paths, .path_len = le16_get(p + 8) };
        paths += h.spare[i].path_len;
        if (paths > REMAP_PATHS_MAX)
            return -HOLO_ECORRUPT;
    }
    memcpy(h.paths, in + PATHS, paths);
    if (!header_sane(&h))
        return -HOLO_ECORRUPT;
    *out = h;
    return 0;
}

int remap_header_add_spare(struct remap_header *h, const struct remap_spare *s, const char *dir)
{
    size_t len = dir ? strlen(dir) : 0, at = 0;
    for (uint32_t i = 0; i < h->n_spares; i++)
        at += h->spare[i].path_len;
    if (h->n_spares == REMAP_SPARES_MAX || len > REMAP_PATHS_MAX - at)
        return -ENOSPC;
    h->spare[h->n_spares] = *s;
    h->spare[h->n_spares].path_off = (uint16_t)at;
    h->spare[h->n_spares].path_len = (uint16_t)len;
    h->n_spares++;
    if (len)
        memcpy(h->paths + at, dir, len);
    return 0;
}

void remap_header_path(const struct remap_header *h, const struct remap_spare *s, char out[REMAP_PATHS_MAX + 1])
{
    memcpy(out, h->paths + s->path_off, s->path_len);
    out[s->path_len] = 0;
}

int remap_image_create(const struct remap_header *h, const uint8_t uuid[16], uint64_t n, struct remap_image *out)
{
    uint64_t end = remap_slot_offset(n);
    size_t len = (size_t)((end + BLOCK - 1) / BLOCK * BLOCK);
    void *p;
    if (posix_memalign(&p, BLOCK, len) != 0)
        return -ENOMEM;
    memset(p, 0, len);
    for (size_t i = 0; i < REMAP_HEADERS; i++)
        remap_header_encode(h, uuid, (uint8_t *)p + i * REMAP_HEADER_SIZE);
    *out = (struct remap_image){ .p = p, .len = len };
    return 0;
}

uint64_t remap_block_sum(const uint8_t uuid[16], uint32_t container, uint32_t file_block, const void *block)
{
    return sum64(block, BLOCK, sum_seed(uuid, SUM_ID_SPARE, (uint64_t)container << 32 | file_block));
}
