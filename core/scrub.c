/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scrub.c: verify a whole container, and heal what is bad.
 *
 * One look at everything in the order of the file, which is kept in memory. One call for the waves of all stripes then brings
 * back what is erased and shows whether parity agrees (whole.c). Stripes in which more is wrong are decoded, neighbours
 * together, so that a container full of flipped bytes costs few large reads, writes and syncs. Then tables and headers.
 */
#include "core/scrub.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/big.h"
#include "core/container.h"
#include "core/log.h"
#include "core/lost.h"
#include "core/stripe.h"
#include "core/whole.h"

enum { RUN_BLOCKS = 256, BAND_STRIPES = 32 };

/* What became of a stored position. */
enum fate {
    FATE_UNKNOWN,  /* not looked at, or unsure */
    FATE_RIGHT,
    FATE_REPAIRED, /* was wrong, is right on the medium or on a spare */
    FATE_BAD,      /* is wrong; right bytes are known, but were not written, or nothing kept them */
    FATE_LOST,
};

struct job {
    struct holofs *fs;
    struct copen *o;
    bool heal, in_vain; /* in_vain: something could not be read */
    struct verify_result *out;
    const struct scrub_how *how;
    uint8_t *buf;           /* RUN_BLOCKS blocks */
    uint64_t *sum;          /* of each stored position whose fate is RIGHT or REPAIRED */
    uint8_t *fate;          /* of each stored position */
    struct whole whole;     /* what was read */
    bool *dirty;            /* D stripes: something in it is not known to be right */
    struct heal *blocks;    /* REPAIR_BLOCKS */
    struct stripe *stripes; /* BAND_STRIPES */
};

/* Count n blocks as bad, and heal them together. */
static void heal_together(struct job *j, struct heal *h, unsigned n)
{
    j->out->bad += n;
    if (j->heal && n) {
        mutex_lock(&j->fs->repair_lock);
        j->out->repaired += container_heal_blocks(j->fs, j->o->h.id, h, n);
        mutex_unlock(&j->fs->repair_lock);
    }
}

static void watched(struct job *j, enum scrub_what what, uint32_t file_block, uint32_t n, enum scrub_fate fate)
{
    if (j->how->blocks && n)
        j->how->blocks(j->how->arg, what, file_block, n, fate);
}

/* Tell who watches of n blocks that heal_together has had. */
static void watched_heals(struct job *j, enum scrub_what what, const struct heal *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        watched(j, what, h[i].file_block, 1, j->heal && h[i].healed ? SCRUB_REPAIRED : SCRUB_BAD);
}

/* A header that contradicts the log is not copied over the other. */
static void scrub_headers(struct job *j)
{
    uint8_t *want = j->buf, *got = j->buf + BLOCK_SIZE;
    const uint32_t place[2] = { 0, chead_file_blocks(&j->o->h) - 1 };
    unsigned n = 0;
    chead_encode(&j->o->h, want);
    for (int c = 0; c < 2 && container_header_fits(j->fs, &j->o->h); c++) {
        j->out->blocks++;
        if (container_read_file_block(j->fs, j->o, place[c], got) || memcmp(got, want, BLOCK_SIZE) != 0)
            j->blocks[n++] = (struct heal){ .file_block = place[c], .block = want };
    }
    heal_together(j, j->blocks, n);
    watched_heals(j, SCRUB_HEADER, j->blocks, n);
    for (unsigned i = 0; i < n && j->heal; i++) {
        COUNT(j->fs, headers_repaired, j->blocks[i].healed);
        event_damage(j->fs, "repaired", j->o->h.id, "header", 0, "?", 0, 1);
    }
}

/* ---- data and parity ---- */

/* Read everything in the order of the file, and note the stripes that need a closer look. */
static int look_at_positions(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    for (uint32_t x = 0; x < n; x += RUN_BLOCKS) {
        bool unreadable[RUN_BLOCKS];
        uint32_t run = n - x < RUN_BLOCKS ? n - x : RUN_BLOCKS;
        uint8_t *block = j->whole.stored + (size_t)x * BLOCK_SIZE;
        container_read_positions(j->fs, j->o, x, run, block, unreadable);
        j->out->blocks += run;
        for (uint32_t i = 0; i < run; i++) {
            j->sum[x + i] = chead_block_sum(j->fs->sb.uuid, j->o->h.id, x + i, block + (size_t)i * BLOCK_SIZE);
            j->in_vain |= unreadable[i];
            int verdict = unreadable[i] ? BLOCK_WRONG : container_judge(j->fs, j->o, x + i, j->sum[x + i]);
            if (verdict < 0)
                return verdict;
            j->fate[x + i] = verdict == BLOCK_RIGHT ? FATE_RIGHT : FATE_UNKNOWN;
            j->dirty[(x + i) % j->o->h.D] |= verdict != BLOCK_RIGHT;
        }
        int e = j->how->step ? j->how->step(j->how->arg, (uint64_t)run * BLOCK_SIZE) : 0;
        if (e)
            return e;
    }
    return 0;
}

static bool any_dirty(const struct job *j)
{
    for (uint32_t t = 0; t < j->o->h.D; t++) {
        if (j->dirty[t])
            return true;
    }
    return false;
}

/* ---- erasures alone: from the waves of the whole container ---- */

/*
 * Ask for the bad blocks of a stripe to be rebuilt, if checksums are sure of all of them and they are not too many. Positions
 * of one stripe are D apart.
 */
static void mark_erasures(struct job *j, uint32_t stripe)
{
    uint32_t n = chead_positions(&j->o->h), D = j->o->h.D, bad = 0;
    for (uint32_t x = stripe; x < n; x += D) {
        if (j->fate[x] == FATE_RIGHT)
            continue;
        if (!container_table_intact(j->fs, j->o, x) || ++bad > j->o->h.m)
            return;
    }
    for (uint32_t x = stripe; x < n; x += D)
        j->whole.erased[x] = j->fate[x] != FATE_RIGHT;
}

/* Is everything that was rebuilt what its checksum says? Then the stripe needs nothing but to be written. */
static int confirm_rebuilt(struct job *j, uint32_t stripe)
{
    uint32_t n = chead_positions(&j->o->h), D = j->o->h.D, rebuilt = 0;
    for (uint32_t x = stripe; x < n; x += D) {
        if (!j->whole.erased[x])
            continue;
        uint64_t sum = chead_block_sum(j->fs->sb.uuid, j->o->h.id, x, j->whole.stored + (size_t)x * BLOCK_SIZE);
        int verdict = container_judge(j->fs, j->o, x, sum);
        if (verdict != BLOCK_RIGHT)
            return verdict < 0 ? verdict : 0;
        j->sum[x] = sum;
        rebuilt++;
    }
    for (uint32_t x = stripe; x < n; x += D)
        j->fate[x] = j->whole.erased[x] ? FATE_BAD : FATE_RIGHT;
    j->dirty[stripe] = false;
    COUNT(j->fs, decode_ops, 1);
    COUNT(j->fs, decode_success, 1);
    COUNT(j->fs, decode_bytes, (uint64_t)j->o->h.k * BLOCK_SIZE);
    COUNT(j->fs, errors_detected, rebuilt);
    return 0;
}

/* What erasures explain is right in memory after this; stripes that contradict themselves are told; the rest stays dirty. */
static int solve_erasures(struct job *j)
{
    uint32_t D = j->o->h.D;
    for (uint32_t t = 0; t < D; t++) {
        if (j->dirty[t])
            mark_erasures(j, t);
    }
    int e = whole_solve(&j->whole);
    for (uint32_t t = 0; t < D && !e; t++) {
        if (j->whole.verdict[t] == ECC_REBUILT || j->whole.verdict[t] == ECC_EXPLAINED)
            e = confirm_rebuilt(j, t);
        if (j->dirty[t])
            j->whole.verdict[t] = ECC_TOO_MANY; /* not a contradiction: something in it is wrong or unsure */
    }
    if (!e)
        j->out->parity_disagrees = whole_tell_disagreements(&j->whole);
    return e;
}

static uint64_t count_different(const uint8_t *a, const uint8_t *b)
{
    uint64_t n = 0;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        n += a[i] != b[i];
    return n;
}

/* Leave out what a reader has repaired meanwhile: it is on the medium as it should be (REPAIR held). Others are counted. */
static unsigned drop_repaired(struct job *j, struct heal *h, unsigned n)
{
    uint32_t base = chead_file_block(&j->o->h, 0);
    bool unreadable[RUN_BLOCKS];
    unsigned left = 0;
    for (unsigned i = 0, run = 1; i < n; i += run, run = 1) {
        while (i + run < n && run < RUN_BLOCKS && h[i + run].file_block == h[i].file_block + run)
            run++;
        container_read_positions(j->fs, j->o, h[i].file_block - base, run, j->buf, unreadable);
        for (unsigned k = 0; k < run; k++) {
            uint64_t wrong = count_different(j->buf + (size_t)k * BLOCK_SIZE, h[i + k].block);
            COUNT(j->fs, corrected_bytes, unreadable[k] ? BLOCK_SIZE : wrong);
            if (wrong || unreadable[k])
                h[left++] = h[i + k];
            else
                j->fate[h[i + k].file_block - base] = FATE_RIGHT;
        }
    }
    return left;
}

/* Write what was rebuilt, REPAIR_BLOCKS with one sync. */
static void heal_erasures(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h), base = chead_file_block(&j->o->h, 0);
    for (uint32_t x = 0; x < n;) {
        unsigned found = 0;
        for (; x < n && found < REPAIR_BLOCKS; x++) {
            if (j->fate[x] == FATE_BAD)
                j->blocks[found++] = (struct heal){ .file_block = base + x, .block = j->whole.stored + (size_t)x * BLOCK_SIZE };
        }
        mutex_lock(&j->fs->repair_lock);
        found = drop_repaired(j, j->blocks, found);
        container_heal_blocks(j->fs, j->o->h.id, j->blocks, found);
        mutex_unlock(&j->fs->repair_lock);
        for (unsigned i = 0; i < found; i++) {
            if (j->blocks[i].healed)
                j->fate[j->blocks[i].file_block - base] = FATE_REPAIRED;
        }
    }
}

/* ---- flips, too many losses, lost checksums: stripe by stripe ---- */

/* Stripes first … first + count: their members are neighbours in the file and in memory. */
struct band {
    uint32_t first, count;
};

/* Member i of all stripes of a band: as few reads as possible. */
static int read_members(struct job *j, const struct band *b, unsigned i)
{
    struct stripe *s = j->stripes;
    bool unreadable[BAND_STRIPES];
    int e = 0;
    for (uint32_t t = 0, run = 1; t < b->count && !e; t += run, run = 1) {
        if (!s[t].block[i])
            continue;
        while (t + run < b->count && s[t + run].block[i] && s[t + run].pos[i] == s[t].pos[i] + run)
            run++;
        container_read_positions(j->fs, j->o, s[t].pos[i], run, s[t].block[i], unreadable);
        for (uint32_t k = 0; k < run && !e; k++) {
            j->in_vain |= unreadable[k];
            e = stripe_judge(j->fs, j->o, &s[t + k], i, !unreadable[k]);
        }
    }
    return e;
}

static int read_band(struct job *j, const struct band *b)
{
    int e = repair_pool(j->fs);
    for (uint32_t t = 0; t < b->count && !e; t++)
        stripe_place(j->o, b->first + t, j->fs->repair_blocks + (size_t)t * BLOCK_SIZE, (size_t)b->count * BLOCK_SIZE, &j->stripes[t]);
    for (unsigned i = 0; i < j->o->h.k + j->o->h.m && !e; i++)
        e = read_members(j, b, i);
    return e;
}

/* The blocks of a decoded band that have to be written, member by member, so that neighbours follow each other. */
static unsigned gather_changes(struct job *j, const struct band *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < j->o->h.k + j->o->h.m; i++) {
        for (uint32_t t = 0; t < b->count; t++) {
            const struct stripe *s = &j->stripes[t];
            if (s->block[i] && s->changed[i])
                j->blocks[n++] = (struct heal){ .file_block = chead_file_block(&j->o->h, s->pos[i]), .block = s->block[i] };
        }
    }
    return n;
}

static void settle_fates(struct job *j, const struct band *b, unsigned n)
{
    for (uint32_t t = 0; t < b->count; t++) {
        const struct stripe *s = &j->stripes[t];
        for (unsigned i = 0; i < s->n; i++) {
            if (!s->block[i])
                continue;
            j->sum[s->pos[i]] = s->sum[i];
            uint8_t *fate = &j->fate[s->pos[i]];
            bool repaired = *fate == FATE_REPAIRED; /* by the first of two looks */
            *fate = s->state[i] != ECC_RIGHT ? FATE_LOST : s->changed[i] ? FATE_BAD : repaired ? FATE_REPAIRED : FATE_RIGHT;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (j->blocks[i].healed)
            j->fate[j->blocks[i].file_block - chead_file_block(&j->o->h, 0)] = FATE_REPAIRED;
    }
}

/* Read again, decode, heal (REPAIR held): what a reader has repaired meanwhile is right now. */
static int mend_band(struct job *j, const struct band *b)
{
    int e = read_band(j, b);
    for (uint32_t t = 0; t < b->count && !e; t++) {
        int d = stripe_decode(j->fs, j->o, &j->stripes[t]);
        e = d == -HOLO_EPARITY ? 0 : d;
    }
    if (e)
        return e;
    unsigned n = gather_changes(j, b);
    if (j->heal)
        container_heal_blocks(j->fs, j->o->h.id, j->blocks, n);
    settle_fates(j, b, n);
    return 0;
}

/* Every dirty stripe, in bands of neighbours that fit the memory there is for repairs: a sync for each band. */
static int mend_stripes(struct job *j)
{
    uint32_t most = REPAIR_BLOCKS / (j->o->h.k + j->o->h.m), D = j->o->h.D;
    most = most < BAND_STRIPES ? most : BAND_STRIPES;
    int e = 0;
    for (struct band b = { 0, 1 }; b.first < D && !e; b.first += b.count, b.count = 1) {
        if (!j->dirty[b.first])
            continue;
        while (b.count < most && b.first + b.count < D && j->dirty[b.first + b.count])
            b.count++;
        mutex_lock(&j->fs->repair_lock);
        e = mend_band(j, &b);
        mutex_unlock(&j->fs->repair_lock);
    }
    return e;
}

static bool mark_losses(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    bool any = false;
    memset(j->dirty, 0, j->o->h.D * sizeof(*j->dirty));
    for (uint32_t x = 0; x < n; x++) {
        j->dirty[x % j->o->h.D] |= j->fate[x] == FATE_LOST;
        any |= j->fate[x] == FATE_LOST;
    }
    return any;
}

/* Nothing is lost because the disk is away: it must answer before and after another look. */
static int make_sure_of_losses(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    j->in_vain |= container_retry_tables(j->o);
    if (!j->in_vain || !mark_losses(j))
        return 0;
    bool sure = disk_answers(j->fs);
    int e = sure ? mend_stripes(j) : 0;
    sure = sure && !e && (!mark_losses(j) || disk_answers(j->fs));
    for (uint32_t x = 0; x < n && !sure; x++)
        j->fate[x] = j->fate[x] == FATE_LOST ? FATE_UNKNOWN : j->fate[x];
    return e ? e : sure ? 0 : -EAGAIN;
}

/* Neighbours of one fate, to who watches: data and parity apart. */
static void watched_run(struct job *j, uint32_t x, uint32_t n, uint8_t fate)
{
    enum scrub_fate to = fate == FATE_REPAIRED ? SCRUB_REPAIRED : fate == FATE_BAD ? SCRUB_BAD : SCRUB_LOST;
    uint32_t used = j->o->h.used, data = x >= used ? 0 : used - x < n ? used - x : n;
    watched(j, SCRUB_DATA, chead_file_block(&j->o->h, x), data, to);
    watched(j, SCRUB_PARITY, chead_file_block(&j->o->h, x + data), n - data, to);
}

/* Each loss counts once, whoever meets it first, until it is found right (REPAIR held). */
static void note_losses(struct job *j)
{
    struct container *c = ctab_find(j->fs, j->o->h.id);
    for (uint32_t x = 0; x < chead_positions(&j->o->h); x++) {
        if (j->fate[x] == FATE_LOST)
            lost_add(j->fs, c, x);
        else if (j->fate[x] != FATE_UNKNOWN)
            lost_remove(j->fs, c, x);
    }
}

/* Count and tell, neighbours of one fate together. */
static void tell_fates(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    mutex_lock(&j->fs->repair_lock);
    note_losses(j);
    for (uint32_t x = 0, run = 1; x < n; x += run, run = 1) {
        uint8_t fate = j->fate[x];
        while (x + run < n && j->fate[x + run] == fate)
            run++;
        if (fate == FATE_RIGHT || fate == FATE_UNKNOWN)
            continue;
        j->out->bad += run;
        j->out->repaired += fate == FATE_REPAIRED ? run : 0;
        j->out->lost += fate == FATE_LOST ? run : 0;
        watched_run(j, x, run, fate);
        if (fate == FATE_LOST || (fate == FATE_REPAIRED && j->heal))
            tell_damage(j->fs, j->o, x, run, NULL, fate == FATE_LOST ? "lost" : "repaired");
    }
    mutex_unlock(&j->fs->repair_lock);
}

/* ---- checksum tables ---- */

/* Table block t from the checksums of its blocks, if all of them are right now. */
static bool rebuild_table(struct job *j, uint32_t t, uint8_t *block)
{
    uint32_t n = chead_positions(&j->o->h), first = t * TABLE_ENTRIES;
    for (uint32_t x = first; x < n && x < first + TABLE_ENTRIES; x++) {
        if (j->fate[x] == FATE_LOST || j->fate[x] == FATE_UNKNOWN)
            return false;
    }
    ctable_encode(j->fs->sb.uuid, j->o->h.id, t, j->sum, n, block);
    return true;
}

/* Look at both copies of table block t; what is to be written goes behind the n in j->blocks. Returns the new n. */
static unsigned look_at_table(struct job *j, uint32_t t, uint8_t *right, unsigned n)
{
    uint8_t *got = j->buf;
    bool ok[2];
    for (unsigned c = 0; c < 2; c++) {
        ok[c] = container_read_file_block(j->fs, j->o, chead_table_block(&j->o->h, c, t), got) == 0 &&
                ctable_intact(j->fs->sb.uuid, j->o->h.id, t, got);
        if (ok[c])
            memcpy(right, got, BLOCK_SIZE);
    }
    j->out->blocks += 2;
    if (!ok[0] && !ok[1] && !rebuild_table(j, t, right)) {
        j->out->bad += 2;
        for (unsigned c = 0; c < 2; c++)
            watched(j, SCRUB_TABLE, chead_table_block(&j->o->h, c, t), 1, SCRUB_LOST);
        return n;
    }
    for (unsigned c = 0; c < 2; c++) {
        if (!ok[c])
            j->blocks[n++] = (struct heal){ .file_block = chead_table_block(&j->o->h, c, t), .block = right };
    }
    return n;
}

static void scrub_tables(struct job *j)
{
    for (uint32_t t = 0; t < j->o->h.table_blocks;) {
        unsigned n = 0;
        for (unsigned i = 1; i < RUN_BLOCKS && t < j->o->h.table_blocks; i++, t++)
            n = look_at_table(j, t, j->buf + (size_t)i * BLOCK_SIZE, n);
        heal_together(j, j->blocks, n);
        watched_heals(j, SCRUB_TABLE, j->blocks, n);
        for (unsigned i = 0; i < n && j->heal; i++) {
            COUNT(j->fs, table_blocks_repaired, j->blocks[i].healed);
            event_damage(j->fs, "repaired", j->o->h.id, "table", 0, "?", 0, 1);
        }
    }
}

static int job_init(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    j->buf = aligned_alloc(BLOCK_SIZE, (size_t)RUN_BLOCKS * BLOCK_SIZE);
    j->sum = calloc(n, sizeof(*j->sum));
    j->fate = calloc(n, sizeof(*j->fate));
    j->dirty = calloc(j->o->h.D, sizeof(*j->dirty));
    j->blocks = calloc(REPAIR_BLOCKS, sizeof(*j->blocks));
    j->stripes = calloc(BAND_STRIPES, sizeof(*j->stripes));
    int e = whole_init(j->fs, j->o, &j->whole);
    if (e)
        return e;
    return j->buf && j->sum && j->fate && j->dirty && j->blocks && j->stripes ? 0 : -ENOMEM;
}

static void job_fini(struct job *j)
{
    whole_fini(&j->whole);
    free(j->buf);
    free(j->sum);
    free(j->fate);
    free(j->dirty);
    free(j->blocks);
    free(j->stripes);
    copen_free(j->o);
}

int container_scrub(struct holofs *fs, uint32_t id, const struct scrub_how *how, struct verify_result *out)
{
    struct job j = { .fs = fs, .heal = how->heal && !fs->read_only, .out = out, .how = how };
    unsigned bad;
    *out = (struct verify_result){ 0 };
    int e = copen_file(fs, id, true, &j.o, &bad);
    if (e)
        return e == -HOLO_ESUM || e == -HOLO_EFORMAT || e == -HOLO_ETRUNC ? -HOLO_ELOST : e;
    e = job_init(&j);
    if (!e)
        e = look_at_positions(&j);
    if (!e && (!how->trust_parity || any_dirty(&j)))
        e = solve_erasures(&j);
    if (!e && j.heal)
        heal_erasures(&j);
    if (!e)
        e = mend_stripes(&j);
    int sure = e ? e : make_sure_of_losses(&j);
    if (!e)
        tell_fates(&j);
    e = sure;
    if (!e) {
        scrub_tables(&j); /* after the data, which tells what belongs there */
        scrub_headers(&j);
    }
    job_fini(&j);
    COUNT(fs, scrubbed_blocks, out->blocks);
    return e;
}
