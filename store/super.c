/* SPDX-License-Identifier: GPL-2.0-or-later */
/* super.c: encode, decode, vote on and write the superblock's copies. */
#include "store/super.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/vote.h"

static const char magic[8] = { 'h', 'o', 'l', 'o', 'f', 's', 'S', 'B' };

enum { OFF_SUM = 4088, OFF_UUID = 40 };

static uint64_t super_sum(const uint8_t *block)
{
    return sum64(block, OFF_SUM, sum_seed(block + OFF_UUID, SUM_ID_SUPER, 0));
}

void super_encode(const struct superblock *sb, uint8_t block[BLOCK_SIZE])
{
    memset(block, 0, BLOCK_SIZE);
    struct wr w = wr_init(block, BLOCK_SIZE);
    wr_bytes(&w, magic, sizeof(magic));
    wr_u32(&w, sb->version);
    wr_u32(&w, 0);
    wr_u64(&w, sb->compat);
    wr_u64(&w, sb->ro_compat);
    wr_u64(&w, sb->incompat);
    wr_bytes(&w, sb->uuid, 16);
    uint8_t *label = wr_room(&w, SUPER_LABEL_MAX);
    memcpy(label, sb->label, strnlen(sb->label, SUPER_LABEL_MAX));
    wr_u64(&w, sb->sequence);
    wr_u32(&w, sb->k);
    wr_u32(&w, sb->r);
    wr_u32(&w, sb->seed_base);
    wr_u32(&w, sb->nmax);
    wr_u32(&w, sb->ring_blocks);
    wr_u32(&w, sb->flags);
    wr_u64(&w, sb->size_limit_bytes);
    wr_u64(&w, sb->reserve_bytes);
    wr_u64(&w, sb->epoch);
    wr_u64(&w, sb->hint_tail);
    wr_u64(&w, sb->hint_end);
    wr_u64(&w, sb->hint_txg);
    wr_u64(&w, (uint64_t)sb->created_ns);
    wr_u64(&w, (uint64_t)sb->written_ns);
    wr_u32(&w, sb->meta_r);
    wr_u32(&w, 0);
    wr_u64(&w, sb->ever_repaired);
    wr_u64(&w, sb->ever_remapped);
    wr_u64(&w, sb->ever_lost);
    le64_put(block + OFF_SUM, super_sum(block));
}

static bool geometry_ok(const struct superblock *sb)
{
    return sb->r >= 1 && sb->r <= 10 && sb->meta_r >= 1 && sb->meta_r <= 10 && sb->k >= 1 && sb->k <= 255 && sb->k + 2 * sb->r <= 255 &&
           sb->k + 2 * sb->meta_r <= 255 && sb->nmax >= 64 && sb->nmax <= (1u << 20) && sb->ring_blocks >= 2 * RING_ENTRY_BLOCKS;
}

int super_decode(const uint8_t block[BLOCK_SIZE], struct superblock *sb)
{
    if (memcmp(block, magic, sizeof(magic)) != 0)
        return -HOLO_EFORMAT;
    if (le64_get(block + OFF_SUM) != super_sum(block))
        return -HOLO_ESUM;
    struct superblock s = { 0 };
    struct rd r = rd_init(block, BLOCK_SIZE);
    rd_u64(&r);
    s.version = rd_u32(&r);
    rd_u32(&r);
    s.compat = rd_u64(&r);
    s.ro_compat = rd_u64(&r);
    s.incompat = rd_u64(&r);
    memcpy(s.uuid, rd_bytes(&r, 16), 16);
    memcpy(s.label, rd_bytes(&r, SUPER_LABEL_MAX), SUPER_LABEL_MAX);
    s.sequence = rd_u64(&r);
    s.k = rd_u32(&r);
    s.r = rd_u32(&r);
    s.seed_base = rd_u32(&r);
    s.nmax = rd_u32(&r);
    s.ring_blocks = rd_u32(&r);
    s.flags = rd_u32(&r);
    s.size_limit_bytes = rd_u64(&r);
    s.reserve_bytes = rd_u64(&r);
    s.epoch = rd_u64(&r);
    s.hint_tail = rd_u64(&r);
    s.hint_end = rd_u64(&r);
    s.hint_txg = rd_u64(&r);
    s.created_ns = (int64_t)rd_u64(&r);
    s.written_ns = (int64_t)rd_u64(&r);
    s.meta_r = rd_u32(&r);
    rd_u32(&r);
    s.ever_repaired = rd_u64(&r);
    s.ever_remapped = rd_u64(&r);
    s.ever_lost = rd_u64(&r);
    if (s.version != HOLO_FORMAT_VERSION)
        return -HOLO_EVERSION;
    if (!geometry_ok(&s))
        return -HOLO_ECORRUPT;
    *sb = s;
    return 0;
}

static void copy_name(unsigned i, char name[32])
{
    snprintf(name, 32, "superblock.%u", i);
}

static int read_copy(struct backing *b, unsigned i, uint8_t block[BLOCK_SIZE])
{
    char name[32];
    struct bfile *f;
    copy_name(i, name);
    int r = b->ops->open(b, name, BACKING_READ, &f);
    if (r)
        return r;
    r = f->ops->pread(f, block, BLOCK_SIZE, 0);
    f->ops->close(f);
    return r;
}

struct candidate {
    uint8_t block[BLOCK_SIZE];
    struct superblock sb;
    int error;
    bool read; /* block holds what is on the medium */
    unsigned votes;
};

/* A majority beats everything; among equals the higher sequence number wins. */
static bool better(const struct candidate *a, const struct candidate *b)
{
    bool am = a->votes >= 3, bm = b->votes >= 3;
    if (am != bm)
        return am;
    if (a->votes != b->votes && !am)
        return a->votes > b->votes;
    return a->sb.sequence > b->sb.sequence;
}

/* Is this copy, flipped or not, one of the superblock with this checksum? */
static bool carries(const struct candidate *c, const uint8_t *sum)
{
    unsigned same = 0;
    for (unsigned i = 0; i < 8; i++)
        same += c->block[OFF_SUM + i] == sum[i];
    return c->read && same > 4;
}

/* What most copies say, byte by byte: a superblock that at least three carry, though none of them may be intact. */
static bool vote_by_bytes(const struct candidate *c, struct superblock *sb)
{
    const uint8_t *copies[SUPER_COPIES];
    uint8_t voted[BLOCK_SIZE];
    unsigned n = 0, carriers = 0;
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        if (c[i].read)
            copies[n++] = c[i].block;
    }
    if (n < 3)
        return false;
    vote_bytes(copies, n, BLOCK_SIZE, voted);
    for (unsigned i = 0; i < SUPER_COPIES; i++)
        carriers += carries(&c[i], voted + OFF_SUM);
    return carriers >= 3 && super_decode(voted, sb) == 0;
}

static void read_copies(struct backing *b, struct candidate *c)
{
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        c[i].votes = 0;
        c[i].error = read_copy(b, i, c[i].block);
        c[i].read = !c[i].error;
        if (!c[i].error)
            c[i].error = super_decode(c[i].block, &c[i].sb);
    }
}

static const struct candidate *choose(struct candidate *c)
{
    const struct candidate *best = NULL;
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        for (unsigned j = 0; j < SUPER_COPIES && !c[i].error; j++)
            c[i].votes += !c[j].error && memcmp(c[i].block, c[j].block, BLOCK_SIZE) == 0;
        if (!c[i].error && (!best || better(&c[i], best)))
            best = &c[i];
    }
    return best;
}

int super_read(struct backing *b, struct superblock *sb, struct super_vote *vote)
{
    struct candidate c[SUPER_COPIES];
    struct superblock voted;
    unsigned looks_like = 0, newer = 0, unread = 0;
    int unread_error = 0;
    *vote = (struct super_vote){ 0 };
    read_copies(b, c);
    const struct candidate *best = choose(c);
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        if (!c[i].read && c[i].error != -ENOENT && c[i].error != -HOLO_ETRUNC) {
            unread++;
            unread_error = c[i].error;
        }
        looks_like += c[i].error != -HOLO_EFORMAT && c[i].error != -ENOENT && c[i].error != -HOLO_ETRUNC;
        newer += c[i].error == -HOLO_EVERSION;
        vote->valid += !c[i].error;
    }
    if (newer > vote->valid)
        return -HOLO_EVERSION;
    if ((!best || best->votes < 3) && vote_by_bytes(c, &voted)) {
        for (unsigned i = 0; i < SUPER_COPIES; i++)
            vote->agreeing += !c[i].error && c[i].sb.sequence == voted.sequence;
        *sb = voted;
        return 0;
    }
    if (!best && unread >= 3) /* the disk, or who may read it: no reason to believe that the copies are gone */
        return unread_error;
    if (!best)
        return looks_like ? -HOLO_EVOTE : -HOLO_EFORMAT;
    vote->agreeing = best->votes;
    *sb = best->sb;
    return 0;
}

static int write_file(struct backing *b, const char *name, int flags, const uint8_t block[BLOCK_SIZE])
{
    struct bfile *f;
    int r = b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE | flags, &f);
    if (r)
        return r;
    r = bfile_pwrite(f, block, BLOCK_SIZE, 0);
    if (!r)
        r = f->ops->datasync(f);
    f->ops->close(f);
    return r;
}

/* Where the disk does not take a copy any more, another file takes its place. */
static int write_copy(struct backing *b, unsigned i, const uint8_t block[BLOCK_SIZE])
{
    char name[32], fresh[40];
    copy_name(i, name);
    if (write_file(b, name, 0, block) == 0)
        return 0;
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    int r = write_file(b, fresh, BACKING_TRUNC, block);
    if (!r)
        r = b->ops->rename(b, fresh, name);
    if (r) {
        b->ops->unlink(b, fresh);
        return r;
    }
    return b->ops->sync_dir(b, "");
}

int super_write(struct backing *b, const struct superblock *sb, unsigned *failed)
{
    uint8_t block[BLOCK_SIZE];
    unsigned bad = 0;
    int error = 0;
    super_encode(sb, block);
    for (unsigned i = 0; i < SUPER_COPIES; i++) {
        int r = write_copy(b, i, block);
        if (r) {
            bad++;
            error = r;
        }
    }
    if (failed)
        *failed = bad;
    return SUPER_COPIES - bad >= 3 ? 0 : error;
}

int super_check_features(const struct superblock *sb)
{
    if (sb->incompat & SUPER_INCOMPAT_UNDO)
        return -HOLO_EUNDO;
    if (sb->incompat & ~SUPER_INCOMPAT_KNOWN)
        return -HOLO_EFEATURE;
    return sb->ro_compat & ~SUPER_RO_COMPAT_KNOWN ? -EROFS : 0;
}
