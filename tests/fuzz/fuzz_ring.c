/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_ring.c: a small ring in memory: commits, mirroring, damage of any kind, and what a scan finds afterwards.
 *
 * Input: a byte of flags, then a script (enum step). A txg's bytes follow from its epoch, number and sizes, so what is read is
 * compared with what was written. Invariants: nothing but what was sent is ever read; what was acknowledged and is right in one
 * of the copies is found. Blocks with forged headers (right checksums over wrong fields) end these two: from then on the scan
 * must only stay within its bounds.
 */
#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/sum.h"
#include "store/ring.h"

enum step { STEP_APPEND, STEP_MIRROR, STEP_TAIL, STEP_FLIP, STEP_ZERO, STEP_MOVE, STEP_FORGE, STEP_RESTART, STEPS };
enum { BLOCKS = 48, SENT_MAX = 128, STEPS_MAX = 96, SEGMENTS_MAX = 3, OFF_SUM = 4088, OFF_LSN = 24, HEADER_END = 128, MAY_FORGE = 1,
       FLIPS = 6 /* of a block, in both copies: with more a scan may try for seconds, as it should */ };

struct sent {
    uint64_t epoch, txg, lsn, blocks;
    uint32_t records, segment[SEGMENTS_MAX], n_segments;
    bool living; /* acknowledged, and not lost by damage since */
};

struct model {
    struct backing *b;
    struct ring *r;
    struct sent sent[SENT_MAX];
    unsigned n;
    uint64_t epoch, last_txg, base_epoch, base_txg, base_chain, tail, mirrored;
    bool begun, forged;
    bool harmed, doubt; /* damaged since the last restart; something is missing at the end, until the next append */
    bool damaged[RING_COPIES][BLOCKS];
    unsigned flips[BLOCKS];
};

/* ---- what a txg holds ---- */

static size_t sent_size(const struct sent *s)
{
    size_t n = s->records;
    for (uint32_t i = 0; i < s->n_segments; i++)
        n += s->segment[i];
    return n;
}

static uint8_t *sent_bytes(const struct sent *s)
{
    uint8_t *p = malloc(sent_size(s) + 1);
    FUZZ_CHECK(p);
    fuzz_fill(s->epoch * 1000 + s->txg, p, sent_size(s));
    return p;
}

static void expect_stream(const struct sent *s, const struct buf *got)
{
    uint8_t *p = sent_bytes(s);
    size_t table = (size_t)s->n_segments * RING_SEGMENT_BYTES;
    FUZZ_CHECK(got->len == table + sent_size(s));
    FUZZ_CHECK(memcmp(got->p + table, p, sent_size(s)) == 0);
    for (uint32_t i = 0; i < s->n_segments; i++) {
        struct ring_segment seg;
        ring_segment_get(got->p, i, &seg);
        FUZZ_CHECK(seg.len == s->segment[i] && seg.container == s->txg && seg.off == i);
    }
    free(p);
}

/* ---- the ring goes on ---- */

static void append(struct fuzz_in *in, struct model *m)
{
    struct ring_data data[SEGMENTS_MAX];
    if (m->n == SENT_MAX)
        return;
    struct sent s = { .epoch = m->epoch, .txg = m->last_txg + 1, .records = in_u16(in) % 20000 };
    s.n_segments = in_u8(in) % (SEGMENTS_MAX + 1);
    for (uint32_t i = 0; i < s.n_segments; i++)
        s.segment[i] = in_u16(in) % 20000;
    uint8_t *p = sent_bytes(&s), *at = p + s.records;
    for (uint32_t i = 0; i < s.n_segments; at += s.segment[i++])
        data[i] = (struct ring_data){ { (uint32_t)s.txg, s.segment[i], i }, at };
    struct ring_txg t = { .epoch = s.epoch, .txg = s.txg, .time_ns = 5 };
    if (!m->begun) {
        t.flags = RING_EPOCH_FIRST;
        t.base_epoch = m->base_epoch;
        t.base_txg = m->base_txg;
        t.base_chain = m->base_chain;
    }
    uint64_t at_lsn = ring_end(m->r);
    int e = ring_append(m->r, &t, data, s.n_segments, s.records ? p : NULL, s.records);
    FUZZ_CHECK(e == 0 || e == -HOLO_ERINGFULL);
    free(p);
    if (e)
        return;
    m->begun = true;
    m->doubt = false;
    m->last_txg++;
    FUZZ_CHECK(t.lsn == at_lsn && t.blocks > 0 && t.blocks <= BLOCKS);
    for (uint64_t l = t.lsn; l < t.lsn + t.blocks; l++)
        m->damaged[0][l % BLOCKS] = false;
    s.lsn = t.lsn;
    s.blocks = t.blocks;
    s.living = true;
    m->sent[m->n++] = s;
}

static void mirror(struct model *m)
{
    uint64_t from = m->mirrored > m->tail ? m->mirrored : m->tail;
    FUZZ_CHECK(ring_mirror(m->r) >= 0);
    for (uint64_t l = from; l < ring_end(m->r); l++)
        m->damaged[1][l % BLOCKS] = m->damaged[0][l % BLOCKS];
    m->mirrored = ring_end(m->r);
}

/* The tail moves to a living txg, or to the end. */
static void move_tail(struct fuzz_in *in, struct model *m)
{
    unsigned which = m->n ? in_below(in, m->n) : 0;
    uint64_t lsn = which < m->n && m->sent[which].living ? m->sent[which].lsn : ring_end(m->r);
    if (m->forged || lsn < m->tail)
        return;
    ring_set_tail(m->r, lsn);
    m->tail = lsn;
    for (unsigned i = 0; i < m->n; i++)
        m->sent[i].living &= m->sent[i].lsn >= lsn;
}

/* ---- damage ---- */

static struct bfile *journal(struct model *m, unsigned copy)
{
    struct bfile *f;
    FUZZ_CHECK(m->b->ops->open(m->b, copy ? "journal.1" : "journal.0", BACKING_WRITE, &f) == 0);
    return f;
}

static void forge(struct fuzz_in *in, struct model *m, uint8_t *block, uint32_t at)
{
    uint32_t off = in_below(in, HEADER_END);
    in_bytes(in, block + off, in_u8(in) % 17 < HEADER_END - off ? 8 : 1);
    if (off + 8 <= OFF_LSN && le64_get(block + OFF_LSN) == 0)
        le64_put(block + OFF_LSN, at);
    uint64_t lsn = le64_get(block + OFF_LSN);
    le64_put(block + OFF_SUM, sum64(block, OFF_SUM, sum_seed(fuzz_uuid, SUM_ID_RING_HEADER, lsn)));
    m->forged = true;
}

/* Any block, or the first one of a txg: 128 is the newest. */
static uint32_t take_block(struct fuzz_in *in, const struct model *m)
{
    uint8_t v = in_u8(in);
    return v < 128 || m->n == 0 ? v % BLOCKS : (uint32_t)(m->sent[m->n - 1 - (v - 128u) % m->n].lsn % BLOCKS);
}

static void damage(struct fuzz_in *in, struct model *m, enum step how)
{
    unsigned copy = in_u8(in) % RING_COPIES;
    uint32_t at = take_block(in, m), from = at, off = 0;
    uint8_t block[BLOCK_SIZE];
    struct bfile *f = journal(m, copy);
    if (how == STEP_FLIP && ++m->flips[at] > FLIPS)
        how = STEP_ZERO;
    if (how == STEP_MOVE)
        from = take_block(in, m);
    FUZZ_CHECK(f->ops->pread(f, block, BLOCK_SIZE, (uint64_t)from * BLOCK_SIZE) == 0);
    if (how == STEP_FLIP) {
        off = in_below(in, BLOCK_SIZE);
        block[off] ^= (uint8_t)(1 + in_u8(in) % 255);
    }
    if (how == STEP_ZERO)
        memset(block, 0, BLOCK_SIZE);
    if (how == STEP_FORGE)
        forge(in, m, block, at);
    FUZZ_CHECK(bfile_pwrite(f, block, BLOCK_SIZE, (uint64_t)at * BLOCK_SIZE) == 0);
    f->ops->close(f);
    m->damaged[copy][at] = true;
    m->harmed = true;
}

/* ---- what is found ---- */

static const struct sent *find(const struct model *m, uint64_t epoch, uint64_t txg)
{
    for (unsigned i = 0; i < m->n; i++) {
        if (m->sent[i].epoch == epoch && m->sent[i].txg == txg)
            return &m->sent[i];
    }
    return NULL;
}

static bool right_somewhere(const struct model *m, const struct sent *s)
{
    for (uint64_t l = s->lsn; l < s->lsn + s->blocks; l++) {
        bool mirrored = l < m->mirrored && !m->damaged[1][l % BLOCKS];
        if (m->damaged[0][l % BLOCKS] && !mirrored)
            return false;
    }
    return true;
}

/* Every txg that was found can be read, and is what was sent. */
static void expect_found_are_right(struct model *m, const struct ring_scan_result *s)
{
    struct buf got = { 0 };
    for (size_t i = 0; i < s->n; i++) {
        const struct ring_txg *t = &s->txgs[i];
        int e = ring_read(m->r, t, &got);
        if (m->forged)
            continue;
        const struct sent *want = find(m, t->epoch, t->txg);
        FUZZ_CHECK(e == 0);
        FUZZ_CHECK(want && want->lsn == t->lsn && want->blocks == t->blocks);
        FUZZ_CHECK(i == 0 || t->txg > s->txgs[i - 1].txg);
        expect_stream(want, &got);
    }
    buf_fini(&got);
}

/*
 * What was acknowledged and is right in a copy is found. What is not found is told, unless it is the newest: that looks
 * like a crash.
 */
static void expect_right_are_found(struct model *m, const struct ring_scan_result *s)
{
    for (unsigned i = 0; i < m->n; i++) {
        const struct sent *w = &m->sent[i];
        bool found = false;
        for (size_t k = 0; k < s->n; k++)
            found |= s->txgs[k].epoch == w->epoch && s->txgs[k].txg == w->txg;
        if (w->living && right_somewhere(m, w))
            FUZZ_CHECK(found);
        if (w->living && !found && s->n > 0 && w->txg < s->txgs[s->n - 1].txg)
            FUZZ_CHECK(s->lost_txgs > 0);
        m->sent[i].living = found;
    }
}

static void restart(struct model *m)
{
    struct ring_scan_result s;
    ring_close(m->r);
    FUZZ_CHECK(ring_open(m->b, fuzz_uuid, BLOCKS, false, &m->r) == 0);
    FUZZ_CHECK(ring_scan(m->r, 0, &s) == 0);
    FUZZ_CHECK(s.tail <= s.end && s.end - s.tail <= BLOCKS && ring_used_blocks(m->r) <= BLOCKS);
    if (!m->forged && !m->harmed && !m->doubt)
        FUZZ_CHECK(s.missing_to == 0 && !s.end_unknown);
    expect_found_are_right(m, &s);
    if (!m->forged)
        expect_right_are_found(m, &s);
    const struct ring_txg *last = s.n ? &s.txgs[s.n - 1] : NULL;
    m->base_epoch = last ? last->epoch : 0;
    m->base_txg = last ? last->txg : 0;
    m->base_chain = last ? last->chain : 0;
    m->last_txg = m->base_txg;
    m->epoch = (m->forged && m->base_epoch > m->epoch ? m->base_epoch : m->epoch) + 1;
    m->begun = false;
    m->tail = s.tail;
    m->mirrored = s.end;
    memset(m->damaged, 0, sizeof(m->damaged));
    m->harmed = false;
    m->doubt = s.missing_to || s.end_unknown;
    free(s.txgs);
}

/* A commit after all that is there after another scan. */
static void expect_goes_on(struct model *m)
{
    static const uint8_t small[] = { 100, 0, 1, 50, 0 };
    struct fuzz_in in = { small, sizeof(small) };
    unsigned before = m->n;
    if (m->forged)
        return;
    append(&in, m);
    FUZZ_CHECK(m->n > before || m->n == SENT_MAX || ring_free_blocks(m->r) < 1);
    restart(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_in in = { data, len };
    uint8_t flags = in_u8(&in);
    struct model *m = calloc(1, sizeof(*m));
    FUZZ_CHECK(m && backing_memory_create(4 << 20, &m->b) == 0);
    FUZZ_CHECK(ring_format(m->b, BLOCKS) == 0 && ring_open(m->b, fuzz_uuid, BLOCKS, false, &m->r) == 0);
    m->epoch = 1;
    for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++) {
        enum step s = (enum step)(in_u8(&in) % STEPS);
        if (s == STEP_APPEND)
            append(&in, m);
        else if (s == STEP_MIRROR)
            mirror(m);
        else if (s == STEP_TAIL)
            move_tail(&in, m);
        else if (s == STEP_RESTART)
            restart(m);
        else if (s != STEP_FORGE || flags & MAY_FORGE)
            damage(&in, m, s);
    }
    restart(m);
    expect_goes_on(m);
    ring_close(m->r);
    m->b->ops->close(m->b);
    free(m);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *out, size_t cap)
{
    static const uint8_t go_on[] = { STEP_APPEND, 0x10, 0x20, 2, 0x55, 0x02, 0x10, 0x30, STEP_APPEND, 200, 0, 0 };
    static const uint8_t damages[][8] = {
        { STEP_RESTART },
        { STEP_MIRROR, STEP_FLIP, 0, 3, 1, 0, 7, STEP_RESTART },
        { STEP_MIRROR, STEP_ZERO, 1, 5, STEP_MOVE, 0, 2, 9 },
        { STEP_MIRROR, STEP_TAIL, 1, 0, STEP_MIRROR, STEP_RESTART, STEP_MIRROR, STEP_MIRROR },
        { STEP_RESTART, STEP_APPEND, 9, 9, 0, STEP_MIRROR, STEP_ZERO, 0 },
        { STEP_FORGE, 0, 0, 48, 0, 1, 255, 255 },
        { STEP_FORGE, 1, 2, 32, 0, 1, 1, 0 },
    };
    if (i >= sizeof(damages) / sizeof(*damages) || cap < 256)
        return 0;
    size_t at = 0;
    out[at++] = i >= 5 ? MAY_FORGE : 0;
    for (unsigned n = 0; n <= i; n++) {
        memcpy(out + at, go_on, sizeof(go_on));
        at += sizeof(go_on);
        memcpy(out + at, damages[i], sizeof(damages[i]));
        at += sizeof(damages[i]);
    }
    out[at++] = 128; /* completes a step that asks for a block */
    return at;
}
