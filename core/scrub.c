/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scrub.c: verify whole containers, on demand or because damage was met in them. */
#include "core/scrub.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/container.h"
#include "core/log.h"

enum { RUN_BLOCKS = 256 };

struct job {
    struct holofs *fs;
    struct copen *o;
    bool heal;
    uint8_t *buf; /* RUN_BLOCKS blocks */
    struct verify_result *out;
};

static int heal_one(struct job *j, uint32_t file_block, const uint8_t *block, const char *what)
{
    j->out->bad++;
    if (!j->heal)
        return 0;
    struct heal h = { file_block, block };
    int e = container_heal_blocks(j->fs, j->o->h.id, &h, 1);
    if (!e) {
        j->out->repaired++;
        COUNT(j->fs, repaired_blocks, 1);
        event_damage(j->fs, "repaired", j->o->h.id, what, 0, "?", 0);
    }
    return 0;
}

static bool read_file_block(struct job *j, uint32_t fb, uint8_t *block)
{
    int e = remap_lookup(j->fs->remap, j->o->h.id, fb) ? remap_read(j->fs->remap, j->o->h.id, fb, block)
                                                       : j->o->f->ops->pread(j->o->f, block, BLOCK_SIZE, (uint64_t)fb * BLOCK_SIZE);
    j->out->blocks++;
    return e == 0;
}

static int scrub_headers(struct job *j)
{
    uint8_t *want = j->buf, *got = j->buf + BLOCK_SIZE;
    chead_encode(&j->o->h, want);
    const uint32_t place[2] = { 0, chead_file_blocks(&j->o->h) - 1 };
    for (int c = 0; c < 2; c++) {
        if (read_file_block(j, place[c], got) && memcmp(got, want, BLOCK_SIZE) == 0)
            continue;
        COUNT(j->fs, headers_repaired, j->heal);
        heal_one(j, place[c], want, "header");
    }
    return 0;
}

/* Both copies of table block t are bad: take the checksums of blocks that an entry or their stripe confirms. */
static int rebuild_table(struct job *j, uint32_t t, uint8_t *table)
{
    uint64_t sums[TABLE_ENTRIES];
    uint32_t first = t * TABLE_ENTRIES, n = chead_positions(&j->o->h);
    uint8_t *block = j->buf + 2 * BLOCK_SIZE;
    for (uint32_t x = first; x < n && x < first + TABLE_ENTRIES; x++) {
        int e = container_read_block(j->fs, j->o, x, block);
        if (e || container_verify(j->fs, j->o, x, block) != 1)
            e = j->heal ? repair_position(j->fs, j->o, x, block, NULL) : -HOLO_ESUM;
        if (e)
            return e;
        sums[x - first] = chead_block_sum(j->fs->sb.uuid, j->o->h.id, x, block);
    }
    uint64_t *all = calloc(n, sizeof(*all));
    if (!all)
        return -ENOMEM;
    for (uint32_t x = first; x < n && x < first + TABLE_ENTRIES; x++)
        all[x] = sums[x - first];
    ctable_encode(j->fs->sb.uuid, j->o->h.id, t, all, n, table);
    free(all);
    return 0;
}

static int scrub_table(struct job *j, uint32_t t)
{
    uint8_t *copy[2] = { j->buf, j->buf + BLOCK_SIZE };
    bool ok[2];
    for (unsigned c = 0; c < 2; c++)
        ok[c] = read_file_block(j, chead_table_block(&j->o->h, c, t), copy[c]) && ctable_intact(j->fs->sb.uuid, j->o->h.id, t, copy[c]);
    if (ok[0] && ok[1])
        return 0;
    const uint8_t *right = ok[0] ? copy[0] : copy[1];
    if (!ok[0] && !ok[1]) {
        if (rebuild_table(j, t, copy[0])) {
            j->out->bad += 2;
            j->out->lost += 2;
            return 0;
        }
        right = copy[0];
    }
    for (unsigned c = 0; c < 2; c++) {
        if (ok[c])
            continue;
        COUNT(j->fs, table_blocks_repaired, j->heal);
        heal_one(j, chead_table_block(&j->o->h, c, t), right, "table");
    }
    return 0;
}

static int scrub_position(struct job *j, uint32_t x, uint8_t *block, bool readable)
{
    int ok = readable ? container_verify(j->fs, j->o, x, block) : 0;
    if (ok != 0)
        return ok < 0 ? ok : 0;
    j->out->bad++;
    if (!j->heal)
        return 0;
    int e = repair_position(j->fs, j->o, x, block, NULL);
    if (e)
        j->out->lost++;
    else
        j->out->repaired++;
    return 0;
}

static int scrub_positions(struct job *j)
{
    uint32_t n = chead_positions(&j->o->h);
    for (uint32_t x = 0; x < n; x += RUN_BLOCKS) {
        uint32_t run = n - x < RUN_BLOCKS ? n - x : RUN_BLOCKS;
        struct bfile *f = j->o->f;
        bool whole = f->ops->pread(f, j->buf, (size_t)run * BLOCK_SIZE, (uint64_t)chead_file_block(&j->o->h, x) * BLOCK_SIZE) == 0;
        j->out->blocks += run;
        for (uint32_t i = 0; i < run; i++) {
            uint8_t *b = j->buf + (size_t)i * BLOCK_SIZE;
            bool remapped = remap_lookup(j->fs->remap, j->o->h.id, chead_file_block(&j->o->h, x + i));
            bool readable = whole && !remapped ? true : container_read_block(j->fs, j->o, x + i, b) == 0;
            int e = scrub_position(j, x + i, b, readable);
            if (e)
                return e;
        }
    }
    return 0;
}

int container_scrub(struct holofs *fs, uint32_t id, bool heal, struct verify_result *out)
{
    struct job j = { .fs = fs, .heal = heal && !fs->read_only, .out = out };
    unsigned bad;
    *out = (struct verify_result){ 0 };
    int e = copen_file(fs, id, true, &j.o, &bad);
    if (e)
        return e == -HOLO_ESUM || e == -HOLO_EFORMAT || e == -HOLO_ETRUNC ? -HOLO_ELOST : e;
    j.buf = aligned_alloc(BLOCK_SIZE, (size_t)RUN_BLOCKS * BLOCK_SIZE);
    e = j.buf ? scrub_headers(&j) : -ENOMEM;
    for (uint32_t t = 0; t < j.o->h.table_blocks && !e; t++)
        e = scrub_table(&j, t);
    if (!e)
        e = scrub_positions(&j);
    free(j.buf);
    copen_free(j.o);
    COUNT(fs, scrubbed_blocks, out->blocks);
    return e;
}

void scrub_queue(struct holofs *fs, uint32_t id)
{
    struct scrub_state *s = &fs->scrub;
    mutex_lock(&s->lock);
    bool there = false;
    for (size_t i = 0; i < s->n_queue; i++)
        there |= s->queue[i] == id;
    if (!there && s->n_queue == s->cap_queue) {
        size_t cap = s->cap_queue ? 2 * s->cap_queue : 16;
        uint32_t *q = realloc(s->queue, cap * sizeof(*q));
        if (q) {
            s->queue = q;
            s->cap_queue = cap;
        }
    }
    if (!there && s->n_queue < s->cap_queue)
        s->queue[s->n_queue++] = id;
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
}

int scrub_start(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    mutex_lock(&s->lock);
    int e = s->running || s->pass_wanted ? -EALREADY : 0;
    if (!e) {
        s->pass_wanted = true;
        s->running = true;
    }
    pthread_cond_signal(&s->wake);
    mutex_unlock(&s->lock);
    return e;
}

static int scrub_one(void *arg, uint32_t id)
{
    struct holofs *fs = arg;
    struct scrub_state *s = &fs->scrub;
    struct verify_result r;
    if (fs->stopping)
        return 1;
    struct container *c = ctab_find(fs, id);
    if (!c || c->state != CONTAINER_SEALED)
        return 0;
    int e = container_scrub(fs, id, true, &r);
    s->containers_done++;
    s->blocks += r.blocks;
    s->bad += r.bad;
    s->repaired += r.repaired;
    s->lost += r.lost;
    if (e && ctab_find(fs, id)) {
        s->lost++;
        event_add(fs, "container_unreadable", "s:i, s:s", "container", (int)id, "error", holo_strerror(e));
    } else {
        copen_drop(fs, id); /* tables were perhaps healed: read them again */
    }
    return 0;
}

static void whole_pass(struct holofs *fs)
{
    struct scrub_state *s = &fs->scrub;
    s->containers_done = s->blocks = s->bad = s->repaired = s->lost = 0;
    s->containers_total = fs->n_containers;
    int stopped = ctab_each(fs, scrub_one, fs);
    if (!stopped) {
        s->finished_ns = clock_real_ns();
        s->passes++;
        COUNT(fs, scrubs, 1);
        event_add(fs, "scrub_finished", "s:I, s:I, s:I, s:I", "blocks", (json_int_t)s->blocks, "bad", (json_int_t)s->bad, "repaired",
                  (json_int_t)s->repaired, "lost", (json_int_t)s->lost);
    }
    s->running = false;
}

/* One pass over a container repairs what it finds: what it queued by that is done. */
static void unqueue(struct scrub_state *s, uint32_t id)
{
    mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_queue; i++) {
        if (s->queue[i] == id)
            s->queue[i--] = s->queue[--s->n_queue];
    }
    mutex_unlock(&s->lock);
}

void *scrubber_main(void *arg)
{
    struct holofs *fs = arg;
    struct scrub_state *s = &fs->scrub;
    while (!fs->stopping) {
        mutex_lock(&s->lock);
        if (!s->n_queue && !s->pass_wanted && !fs->stopping)
            mutex_timedwait(&s->lock, &s->wake, 1000000000u);
        bool pass = s->pass_wanted && !s->n_queue;
        uint32_t id = s->n_queue ? s->queue[0] : UINT32_MAX;
        s->pass_wanted &= !pass;
        mutex_unlock(&s->lock);
        if (id != UINT32_MAX) {
            scrub_one(fs, id);
            unqueue(s, id);
        } else if (pass) {
            whole_pass(fs);
        }
    }
    return NULL;
}

int holofs_scrub_text(struct holofs *fs, struct buf *out)
{
    struct scrub_state *s = &fs->scrub;
    return buf_printf(out, "state: %s\npasses: %llu\ncontainers: %llu of %llu\nblocks: %llu\nbad: %llu\nrepaired: %llu\nlost: %llu\n",
                      s->running ? "running" : "idle", (unsigned long long)s->passes, (unsigned long long)s->containers_done,
                      (unsigned long long)s->containers_total, (unsigned long long)s->blocks, (unsigned long long)s->bad,
                      (unsigned long long)s->repaired, (unsigned long long)s->lost);
}
