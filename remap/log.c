/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.c: the five copies of the remap log while they are written.
 *
 * State           copies on disk                            entered by
 * whole           equal, and open for appending             remap_log_rewrite(), remap_log_open()
 * broken          may differ                                any failed write, sync or rename
 *
 * Invariants:
 * 1. A sequence number is never used twice, not even after a failure: `next` only grows, until 2^63 (FORMAT.md, «Numbering»).
 * 2. All copies are appended to at the same time, and a crash may spoil the block that is being written in each of them. What counted in it
 *    before is in one of two guards then, which is not written meanwhile: while `guarded`, guard[!turn] holds the block at tail.
 *    A copy that is written anew is alone.
 * 3. tail holds the last, partly filled block of entries as it is on disk.
 */
#include "remap/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "remap/load.h"
#include "remap/remap.h"

enum {
    BLOCK = REMAP_BLOCK_SIZE,
    PER_BLOCK = BLOCK / REMAP_ENTRY_SIZE,
    SLACK = 4096, /* entries that a log may have beyond twice its table */
};

struct remap_log {
    struct backing *b;
    uint8_t uuid[16];
    struct remap_header header;
    _Atomic bool broken;
    _Atomic uint64_t next; /* sequence number; atomic, as repaired is, for those who only ask */
    _Atomic uint64_t repaired;
    struct bfile *copy[REMAP_COPIES];
    struct bfile *guard[REMAP_GUARDS]; /* NULL: not there yet */
    unsigned turn;                     /* the guard to be written next */
    bool guarded;
    uint8_t *tail;                     /* 2 blocks, aligned, and one to read into */
};

static uint64_t slots_of(const struct remap_log *l)
{
    return l->next - l->header.first;
}

static void copies_close(struct remap_log *l)
{
    for (size_t i = 0; i < REMAP_COPIES; i++) {
        if (l->copy[i])
            l->copy[i]->ops->close(l->copy[i]);
        l->copy[i] = NULL;
    }
}

static void guards_close(struct remap_log *l)
{
    for (size_t i = 0; i < REMAP_GUARDS; i++) {
        if (l->guard[i])
            l->guard[i]->ops->close(l->guard[i]);
        l->guard[i] = NULL;
    }
    l->guarded = false;
}

static int file_fill(struct bfile *f, const uint8_t *p, size_t len)
{
    int rc = bfile_pwrite(f, p, len, 0);
    return rc ? rc : f->ops->datasync(f);
}

/* Put a new file in the place of one. Whatever fails, the old one or the new one is there, whole. */
static int file_replace(struct backing *b, const char *name, const uint8_t *p, size_t len, struct bfile **out)
{
    char fresh[REMAP_NAME_MAX + 4];
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    struct bfile *f;
    int rc = b->ops->open(b, fresh, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC | BACKING_DIRECT, &f);
    if (rc)
        return rc;
    rc = file_fill(f, p, len);
    if (rc == 0)
        rc = b->ops->rename(b, fresh, name);
    if (rc == 0)
        rc = b->ops->sync_dir(b, "");
    if (rc)
        f->ops->close(f);
    else
        *out = f;
    return rc;
}

static int copy_replace(struct backing *b, unsigned i, const struct remap_image *img, struct bfile **out)
{
    char name[REMAP_NAME_MAX];
    snprintf(name, sizeof(name), "remap.%u", i);
    return file_replace(b, name, img->p, img->len, out);
}

/* Both guards anew, with the block at p. */
static int guards_replace(struct backing *b, const uint8_t *p, struct bfile *out[REMAP_GUARDS])
{
    int rc = 0;
    for (unsigned i = 0; i < REMAP_GUARDS && rc == 0; i++) {
        char name[REMAP_NAME_MAX];
        remap_guard_name(i, name);
        rc = file_replace(b, name, p, BLOCK, &out[i]);
    }
    return rc;
}

static void tail_take(struct remap_log *l, const struct remap_image *img)
{
    uint64_t at = remap_slot_offset(slots_of(l) / PER_BLOCK * PER_BLOCK);
    memset(l->tail, 0, (size_t)2 * BLOCK);
    if (at < img->len)
        memcpy(l->tail, img->p + at, BLOCK);
}

static int guards_format(struct backing *b)
{
    struct bfile *f[REMAP_GUARDS] = { 0 };
    void *zeros;
    if (posix_memalign(&zeros, BLOCK, BLOCK) != 0)
        return -ENOMEM;
    memset(zeros, 0, BLOCK);
    int rc = guards_replace(b, zeros, f);
    for (unsigned i = 0; i < REMAP_GUARDS; i++) {
        if (f[i])
            f[i]->ops->close(f[i]);
    }
    free(zeros);
    return rc;
}

int remap_log_format(struct backing *b, const uint8_t uuid[16], const struct remap_header *h)
{
    struct remap_image img = { 0 };
    int rc = remap_image_create(h, uuid, 0, &img);
    for (unsigned i = 0; i < REMAP_COPIES && rc == 0; i++) {
        struct bfile *f;
        rc = copy_replace(b, i, &img, &f);
        if (rc == 0)
            f->ops->close(f);
    }
    free(img.p);
    return rc ? rc : guards_format(b);
}

int remap_log_rewrite(struct remap_log *l, const struct remap_header *spares, struct remap_entry *e, size_t n)
{
    struct remap_header h = spares ? *spares : l->header;
    h.first = l->next + (spares && slots_of(l) == 0); /* two lists of spare files must not share their F */
    h.first = h.first <= REMAP_FIRST_MAX ? h.first : 1;
    h.snapshot = n;
    struct remap_image img;
    int rc = remap_image_create(&h, l->uuid, n, &img);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        e[i].sequence = h.first + i;
        remap_entry_encode(&e[i], l->uuid, img.p + remap_slot_offset(i));
    }
    l->next = h.first + n + (n == 0); /* an empty log that half succeeded must not share its F with the next try */
    l->broken = true;
    l->guarded = false;
    copies_close(l);
    for (unsigned i = 0; i < REMAP_COPIES && rc == 0; i++)
        rc = copy_replace(l->b, i, &img, &l->copy[i]);
    if (rc == 0) {
        l->header = h;
        l->next = h.first + n;
        l->broken = false;
        tail_take(l, &img);
    }
    free(img.p);
    return rc;
}

bool remap_log_wants_rewrite(const struct remap_log *l, uint64_t live)
{
    return l->broken || slots_of(l) > 2 * live + SLACK;
}

/* ---- appending ---- */

/* What counts in the block that will be overwritten is in a guard, and both guards are open. */
static int guard_tail(struct remap_log *l)
{
    if (l->guard[0] && l->guard[1] && (l->guarded || slots_of(l) % PER_BLOCK == 0))
        return 0;
    guards_close(l);
    l->turn = 0;
    int rc = guards_replace(l->b, l->tail, l->guard);
    if (rc)
        guards_close(l);
    l->guarded = rc == 0;
    return rc;
}

/* What is done while the copies are written. */
struct beside {
    int (*run)(void *arg);
    void *arg;
    int rc;
};

static void run_beside(void *arg)
{
    struct beside *x = arg;
    x->rc = x->run ? x->run(x->arg) : 0;
}

/* All copies and one guard, which gets the last block only: one before that is full, and will not be overwritten again. */
static int append_to_all(struct remap_log *l, size_t len, uint64_t at, struct beside *x)
{
    struct backing_write w[REMAP_COPIES + 1];
    for (size_t i = 0; i < REMAP_COPIES; i++)
        w[i] = (struct backing_write){ .f = l->copy[i], .buf = l->tail, .len = len, .off = at };
    w[REMAP_COPIES] = (struct backing_write){ .f = l->guard[l->turn], .buf = l->tail + len - BLOCK, .len = BLOCK };
    int rc = backing_write_durably(l->b, w, REMAP_COPIES + 1, run_beside, x);
    return rc ? rc : x->rc;
}

int remap_log_append(struct remap_log *l, struct remap_entry *e, size_t n, int (*beside)(void *arg), void *arg)
{
    struct beside x = { .run = beside, .arg = arg };
    uint64_t slot = slots_of(l), at = remap_slot_offset(slot / PER_BLOCK * PER_BLOCK);
    size_t fill = (size_t)(slot % PER_BLOCK), len = (fill + n + PER_BLOCK - 1) / PER_BLOCK * BLOCK;
    int rc = guard_tail(l);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        e[i].sequence = l->next++;
        remap_entry_encode(&e[i], l->uuid, l->tail + (fill + i) * REMAP_ENTRY_SIZE);
    }
    rc = append_to_all(l, len, at, &x);
    if (rc) {
        l->broken = true;
        return rc;
    }
    l->turn = !l->turn;
    l->guarded = true;
    if (fill + n >= PER_BLOCK) {
        memmove(l->tail, l->tail + BLOCK, BLOCK);
        memset(l->tail + BLOCK, 0, BLOCK);
    }
    return 0;
}

/* ---- checking ---- */

enum { CHECK_PIECE = 1 << 16 };

/* Does the copy have these bytes at this offset? The slots in use hold their entries, the others zeros. */
static bool piece_is_right(const struct remap_log *l, const uint8_t *header, const uint8_t *p, size_t len, uint64_t off)
{
    struct remap_entry e;
    uint8_t any = 0;
    for (size_t i = 0; i < len; i += REMAP_ENTRY_SIZE) {
        uint64_t at = off + i, slot = (at - REMAP_SLOTS_OFFSET) / REMAP_ENTRY_SIZE;
        if (at < REMAP_SLOTS_OFFSET) {
            if (memcmp(p + i, header + at % REMAP_HEADER_SIZE, REMAP_ENTRY_SIZE) != 0)
                return false;
        } else if (slot < slots_of(l)) {
            if (!remap_entry_decode(p + i, l->uuid, l->header.first + slot, &e))
                return false;
        } else {
            for (size_t k = 0; k < REMAP_ENTRY_SIZE; k++)
                any |= p[i + k];
        }
    }
    return any == 0;
}

/* Does a guard hold the block at tail? */
static bool guard_is_tail(struct remap_log *l, unsigned i)
{
    uint8_t *got = l->tail + (size_t)2 * BLOCK;
    struct bfile *f = l->guard[i];
    return f && f->ops->pread(f, got, BLOCK, 0) == 0 && memcmp(got, l->tail, BLOCK) == 0;
}

static bool copy_is_right(const struct remap_log *l, unsigned copy, const uint8_t *header, uint8_t *piece)
{
    char name[16];
    struct bfile *f;
    uint64_t size, want = (remap_slot_offset(slots_of(l)) + BLOCK - 1) / BLOCK * BLOCK;
    snprintf(name, sizeof(name), "remap.%u", copy);
    if (l->b->ops->open(l->b, name, BACKING_READ | BACKING_DIRECT, &f))
        return false;
    bool right = f->ops->size(f, &size) == 0 && size == want;
    for (uint64_t off = 0; off < want && right; off += CHECK_PIECE) {
        size_t len = want - off < CHECK_PIECE ? (size_t)(want - off) : CHECK_PIECE;
        right = f->ops->pread(f, piece, len, off) == 0 && piece_is_right(l, header, piece, len, off);
    }
    f->ops->close(f);
    return right;
}

int remap_log_check(struct remap_log *l, unsigned *bad)
{
    uint8_t header[REMAP_HEADER_SIZE];
    void *piece;
    if (posix_memalign(&piece, BLOCK, CHECK_PIECE) != 0)
        return -ENOMEM;
    remap_header_encode(&l->header, l->uuid, header);
    *bad = 0;
    for (unsigned i = 0; i < REMAP_COPIES; i++)
        *bad |= copy_is_right(l, i, header, piece) ? 0 : 1u << i;
    l->guarded = l->guarded && guard_is_tail(l, !l->turn);
    free(piece);
    return 0;
}

/* Guards that are not there, or hold something else, are written before the next append. */
static void guards_open(struct remap_log *l)
{
    for (unsigned i = 0; i < REMAP_GUARDS; i++) {
        char name[REMAP_NAME_MAX];
        remap_guard_name(i, name);
        if (l->b->ops->open(l->b, name, BACKING_WRITE | BACKING_DIRECT, &l->guard[i]))
            l->guard[i] = NULL;
    }
    for (unsigned i = 0; i < REMAP_GUARDS && !l->guarded; i++) {
        l->guarded = guard_is_tail(l, i);
        l->turn = !i;
    }
}

/* Open the copies for appending; those that differ from the image are replaced by it. */
static int copies_repair(struct remap_log *l, const struct remap_loaded *ld)
{
    for (unsigned i = 0; i < REMAP_COPIES; i++) {
        char name[REMAP_NAME_MAX];
        snprintf(name, sizeof(name), "remap.%u", i);
        int rc = ld->equal[i] ? l->b->ops->open(l->b, name, BACKING_WRITE | BACKING_DIRECT, &l->copy[i])
                              : copy_replace(l->b, i, &ld->image, &l->copy[i]);
        if (rc) {
            l->copy[i] = NULL;
            return rc;
        }
        l->repaired += !ld->equal[i];
    }
    return 0;
}

static void repair(struct remap_log *l, const struct remap_loaded *ld, struct remap_map *map)
{
    struct remap_entry *e = NULL;
    size_t n;
    int rc = ld->lost ? remap_map_entries(map, &e, &n) : copies_repair(l, ld);
    if (rc == 0 && ld->lost) {
        rc = remap_log_rewrite(l, NULL, e, n);
        l->repaired += rc == 0 ? REMAP_COPIES : 0;
    }
    free(e);
    l->broken = rc != 0;
    if (rc)
        log_warn("remap table: a copy cannot be repaired now: %s", holo_strerror(rc));
}

static int log_create(struct backing *b, const uint8_t uuid[16], struct remap_log **out)
{
    struct remap_log *l = calloc(1, sizeof(*l));
    void *tail;
    if (!l || posix_memalign(&tail, BLOCK, (size_t)3 * BLOCK) != 0) {
        free(l);
        return -ENOMEM;
    }
    l->tail = tail;
    l->b = b;
    memcpy(l->uuid, uuid, sizeof(l->uuid));
    *out = l;
    return 0;
}

int remap_log_open(struct backing *b, const uint8_t uuid[16], bool read_only, struct remap_log **out, struct remap_map **out_map)
{
    struct remap_log *l;
    int rc = log_create(b, uuid, &l);
    if (rc)
        return rc;
    struct remap_loaded ld;
    struct remap_map *map;
    rc = remap_log_load(b, uuid, &ld, &map);
    if (rc) {
        remap_log_close(l);
        return rc;
    }
    l->header = ld.header;
    l->next = ld.next;
    tail_take(l, &ld.image);
    if (ld.lost)
        log_err("remap table: %llu entries are lost in all copies; their blocks are rebuilt from parity when read", (unsigned long long)ld.lost);
    if (!read_only) {
        guards_open(l);
        repair(l, &ld, map);
    }
    remap_loaded_fini(&ld);
    *out = l;
    *out_map = map;
    return 0;
}

void remap_log_close(struct remap_log *l)
{
    if (!l)
        return;
    copies_close(l);
    guards_close(l);
    free(l->tail);
    free(l);
}

const struct remap_header *remap_log_header(const struct remap_log *l)
{
    return &l->header;
}

uint64_t remap_log_sequence(const struct remap_log *l)
{
    return l->next - 1;
}

uint64_t remap_log_repaired(const struct remap_log *l)
{
    return l->repaired;
}

void remap_log_count_repaired(struct remap_log *l, unsigned copies)
{
    l->repaired += copies;
}

bool remap_log_broken(const struct remap_log *l)
{
    return l->broken;
}
