/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * repair.c: rebuild bad blocks from their stripe, heal them on the medium, tell whose they were.
 *
 * One repair runs at a time (REPAIR): of several readers of the same bad place the first repairs, the others
 * find it good. Only bytes that their checksum confirms are ever returned or written; where both copies of the
 * table are damaged, parity that is left over confirms instead: first that the blocks without a checksum are good as
 * they are, then that they are good as rebuilt.
 *
 * Heal: write in place, sync, read back past the page cache; if the place does not keep them, remap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/container.h"
#include "core/log.h"
#include "core/scrub.h"

void path_for_message(struct holofs *fs, uint64_t ino, char *out, size_t cap)
{
    int n = -ENOENT;
    if (ino) {
        mutex_lock(&fs->reader_lock);
        n = fs->reader ? meta_path_of(fs->reader, ino, out, cap) : -ENOENT;
        mutex_unlock(&fs->reader_lock);
    }
    if (n < 0)
        snprintf(out, cap, ino ? "inode %llu" : "?", (unsigned long long)ino);
}

static int by_coff(const void *pa, const void *pb)
{
    const struct piece *a = pa, *b = pb;
    return a->coff < b->coff ? -1 : a->coff > b->coff;
}

/* Read the container's directory once, without repairing anything: it is only for messages (REPAIR held). */
static void load_pieces(struct holofs *fs, struct copen *o)
{
    uint32_t first = (uint32_t)(o->h.dir_off / BLOCK_SIZE), n = o->h.used - first;
    if (o->pieces || o->h.cls != CLASS_DATA || o->h.pieces == 0)
        return;
    uint8_t *raw = aligned_alloc(BLOCK_SIZE, (size_t)n * BLOCK_SIZE);
    o->pieces = malloc(o->h.pieces * sizeof(*o->pieces));
    for (uint32_t i = 0; raw && i < n; i++) {
        if (container_read_block(fs, o, first + i, raw + (size_t)i * BLOCK_SIZE))
            memset(raw + (size_t)i * BLOCK_SIZE, 0, BLOCK_SIZE);
    }
    for (uint32_t i = 0; raw && o->pieces && i < o->h.pieces; i++)
        o->n_pieces += piece_decode(raw + (size_t)i * PIECE_BYTES, fs->sb.uuid, o->h.id, &o->pieces[o->n_pieces]);
    if (o->n_pieces)
        qsort(o->pieces, o->n_pieces, sizeof(*o->pieces), by_coff);
    free(raw);
}

/* Which file does data position x belong to, by the container's own directory? 0 if unknown (REPAIR held). */
static uint64_t owner(struct holofs *fs, struct copen *o, uint32_t x, uint64_t *off)
{
    uint64_t at = (uint64_t)x * BLOCK_SIZE;
    load_pieces(fs, o);
    size_t lo = 0, hi = o->n_pieces;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (o->pieces[mid].coff < at + BLOCK_SIZE)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || (uint64_t)o->pieces[lo - 1].coff + o->pieces[lo - 1].stored <= at)
        return 0;
    const struct piece *p = &o->pieces[lo - 1];
    *off = p->off + (at > p->coff && p->codec == EXTENT_RUN ? at - p->coff : 0);
    return p->ino;
}

static const char *kind_of(const struct copen *o, uint32_t x)
{
    if (x >= o->h.used)
        return "parity";
    return o->h.cls == CLASS_DATA ? "data" : "metadata";
}

static void tell(struct holofs *fs, struct copen *o, uint32_t x, const struct whose *w, const char *event)
{
    char path[1024];
    struct whose who = w ? *w : (struct whose){ 0 };
    if (who.ino == 0 && x < o->h.used)
        who.ino = owner(fs, o, x, &who.off);
    path_for_message(fs, who.ino, path, sizeof(path));
    event_damage(fs, event, o->h.id, kind_of(o, x), who.ino, path, who.off);
}

/* The blocks of one stripe, as read, and which of them are bad. */
struct stripe {
    uint8_t *mem;
    uint8_t *block[ECC_N_MAX];
    uint32_t pos[ECC_N_MAX];
    unsigned erased[ECC_N_MAX], n_erased, n;
    bool unsure[ECC_N_MAX]; /* erased, but only for want of a checksum */
    uint32_t number;
};

static int read_stripe(struct holofs *fs, struct copen *o, uint32_t x, struct stripe *s)
{
    struct ecc_layout l = { .used = o->h.used, .D = o->h.D };
    unsigned member;
    ecc_layout_locate(&l, o->h.k, x, &s->number, &member);
    s->n = o->h.k + o->h.m;
    s->n_erased = 0;
    s->mem = aligned_alloc(BLOCK_SIZE, (size_t)s->n * BLOCK_SIZE);
    if (!s->mem)
        return -ENOMEM;
    for (unsigned i = 0; i < s->n; i++) {
        s->pos[i] = ecc_layout_position(&l, o->h.k, s->number, i);
        s->block[i] = s->pos[i] == UINT32_MAX ? NULL : s->mem + (size_t)i * BLOCK_SIZE;
        if (!s->block[i])
            continue;
        int e = container_read_block(fs, o, s->pos[i], s->block[i]);
        int ok = e ? 0 : container_verify(fs, o, s->pos[i], s->block[i]);
        if (ok < 0)
            return ok;
        if (e)
            COUNT(fs, read_errors, 1);
        else if (!ok)
            COUNT(fs, checksum_failures, 1);
        s->unsure[i] = !e && !ok && !container_table_readable(fs, o, s->pos[i]);
        if (!ok)
            s->erased[s->n_erased++] = i;
    }
    return 0;
}

/* Is every rebuilt block right? */
static bool confirmed(struct holofs *fs, struct copen *o, const struct ecc_code *code, const struct stripe *s)
{
    bool all = true;
    for (unsigned i = 0; i < s->n_erased; i++)
        all &= container_verify(fs, o, s->pos[s->erased[i]], s->block[s->erased[i]]) == 1;
    if (all || s->n_erased >= o->h.m)
        return all;
    for (unsigned i = 0; i < s->n_erased; i++) {
        if (container_table_readable(fs, o, s->pos[s->erased[i]]))
            return false;
    }
    uint8_t *scratch = aligned_alloc(BLOCK_SIZE, (size_t)o->h.m * BLOCK_SIZE);
    all = scratch && ecc_parity_agrees(fs->engine, code, (const uint8_t *const *)s->block, scratch, BLOCK_SIZE);
    free(scratch);
    return all;
}

static bool all_zero(const struct stripe *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        const uint8_t *b = s->block[i];
        if (b && (b[0] || memcmp(b, b + 1, BLOCK_SIZE - 1) != 0))
            return false;
    }
    return true;
}

/*
 * Take the blocks without a checksum as they are and rebuild only the others. True if the parity that is left over
 * agrees; then no block is unsure any more. Zeros agree with each other: a wiped stripe confirms nothing.
 */
static bool rebuild_trusting(struct holofs *fs, struct copen *o, const struct ecc_code *code, struct stripe *s)
{
    unsigned bad[ECC_N_MAX], n = 0;
    for (unsigned i = 0; i < s->n_erased; i++) {
        if (!s->unsure[s->erased[i]])
            bad[n++] = s->erased[i];
    }
    if (n == s->n_erased || n >= o->h.m || all_zero(s))
        return false;
    if (n && ecc_rebuild(fs->engine, code, s->block, bad, n, BLOCK_SIZE))
        return false;
    uint8_t *scratch = aligned_alloc(BLOCK_SIZE, (size_t)o->h.m * BLOCK_SIZE);
    bool agrees = scratch && ecc_parity_agrees(fs->engine, code, (const uint8_t *const *)s->block, scratch, BLOCK_SIZE);
    free(scratch);
    if (!agrees)
        return false;
    memcpy(s->erased, bad, n * sizeof(*bad));
    s->n_erased = n;
    return true;
}

static int rebuild(struct holofs *fs, struct copen *o, struct stripe *s)
{
    struct ecc_code *own = NULL;
    const struct ecc_code *code = fs->code[o->h.r];
    if (o->h.k != fs->sb.k || o->h.seed_base != fs->sb.seed_base) {
        int e = ecc_code_create(o->h.k, o->h.m, o->h.seed_base, &own);
        if (e)
            return e;
        code = own;
    }
    uint64_t t0 = clock_mono_ns();
    int e = 0;
    if (!rebuild_trusting(fs, o, code, s)) {
        e = ecc_rebuild(fs->engine, code, s->block, s->erased, s->n_erased, BLOCK_SIZE);
        if (!e && !confirmed(fs, o, code, s))
            e = -HOLO_ESUM;
    }
    uint64_t ns = clock_mono_ns() - t0;
    ecc_code_destroy(own);
    COUNT(fs, decode_ops, 1);
    COUNT(fs, decode_bytes, (uint64_t)o->h.k * BLOCK_SIZE);
    COUNT(fs, decode_ns, ns);
    fs->count.last_decode_ns = ns;
    COUNT(fs, errors_detected, s->n_erased);
    if (e)
        COUNT(fs, decode_fail, 1);
    else
        COUNT(fs, decode_success, 1);
    return e;
}

int container_heal_blocks(struct holofs *fs, uint32_t id, const struct heal *heal, unsigned n)
{
    char name[CONTAINER_NAME_MAX];
    struct bfile *f = NULL, *direct = NULL;
    container_name(id, name);
    uint8_t *back = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    int e = fs->backing->ops->open(fs->backing, name, BACKING_WRITE, &f);
    for (unsigned i = 0; i < n && f; i++) {
        int w = bfile_pwrite(f, heal[i].block, BLOCK_SIZE, (uint64_t)heal[i].file_block * BLOCK_SIZE);
        e = e ? e : w;
    }
    if (f && f->ops->datasync(f))
        e = -EIO;
    if (f)
        f->ops->close(f);
    int ed = fs->backing->ops->open(fs->backing, name, BACKING_READ | BACKING_DIRECT, &direct);
    int result = 0;
    for (unsigned i = 0; i < n; i++) {
        bool kept = !ed && back && !direct->ops->pread(direct, back, BLOCK_SIZE, (uint64_t)heal[i].file_block * BLOCK_SIZE) &&
                    memcmp(back, heal[i].block, BLOCK_SIZE) == 0;
        if (kept && !e)
            continue;
        int r = remap_add(fs->remap, id, heal[i].file_block, heal[i].block);
        if (r == 0) {
            COUNT(fs, remapped_blocks, 1);
            event_add(fs, "remapped", "s:i, s:i", "container", (int)id, "file_block", (int)heal[i].file_block);
        }
        result = r ? r : result;
    }
    if (direct)
        direct->ops->close(direct);
    free(back);
    return result;
}

static void heal_stripe(struct holofs *fs, struct copen *o, const struct stripe *s)
{
    struct heal heal[ECC_M_MAX];
    if (s->n_erased == 0)
        return;
    for (unsigned i = 0; i < s->n_erased; i++)
        heal[i] = (struct heal){ chead_file_block(&o->h, s->pos[s->erased[i]]), s->block[s->erased[i]] };
    int e = container_heal_blocks(fs, o->h.id, heal, s->n_erased);
    if (e)
        event_add(fs, "heal_failed", "s:i, s:s", "container", (int)o->h.id, "error", holo_strerror(e));
    COUNT(fs, repaired_blocks, e ? 0 : s->n_erased);
}

static int repair_locked(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w)
{
    struct stripe s = { 0 };
    int e = container_read_block(fs, o, x, block);
    if (!e && container_verify(fs, o, x, block) == 1)
        return 0;
    e = read_stripe(fs, o, x, &s);
    if (!e)
        e = rebuild(fs, o, &s);
    if (e) {
        COUNT(fs, lost_blocks, 1);
        tell(fs, o, x, w, "lost");
        free(s.mem);
        return e;
    }
    for (unsigned i = 0; i < s.n; i++) {
        if (s.block[i] && s.pos[i] == x)
            memcpy(block, s.block[i], BLOCK_SIZE);
    }
    for (unsigned i = 0; i < s.n_erased; i++)
        tell(fs, o, s.pos[s.erased[i]], s.pos[s.erased[i]] == x ? w : NULL, "repaired");
    if (!fs->read_only)
        heal_stripe(fs, o, &s);
    free(s.mem);
    return 0;
}

int repair_position(struct holofs *fs, struct copen *o, uint32_t x, uint8_t *block, const struct whose *w)
{
    mutex_lock(&fs->repair_lock);
    int e = repair_locked(fs, o, x, block, w);
    mutex_unlock(&fs->repair_lock);
    scrub_queue(fs, o->h.id);
    return e;
}
