/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seal.c: turn a full head into an immutable container: directory, checksums, parity, headers, one sync.
 *
 * File layout (docs/FORMAT.md, «Containers»): header A, table A, data, parity, table B, header B.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/big.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/engine.h"
#include "core/head.h"
#include "core/log.h"

/* Of the reserve: what is given up at once besides a container, for the index; room beyond it before it is filled again. */
enum { RESERVE_PIECE = 4 << 20, REFILL_ROOM = 32 << 20 };

/* A head on its way into a file, and what surrounds its data there. */
struct job {
    struct head *head;
    struct container_header h;
    uint8_t *parity, *table, *header;
    uint64_t *sums; /* data, then parity */
};

static void job_fini(struct holofs *fs, struct job *p)
{
    big_put(fs, p->parity);
    free(p->table);
    free(p->header);
    free(p->sums);
}

/* Write the directory behind the content; the head is data from then on. */
static void close_content(struct holofs *fs, struct head *h, struct job *p)
{
    uint64_t dir = (h->fill + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    size_t n = h->cls == CLASS_DATA ? h->n_pieces : 0;
    uint64_t end = dir + n * PIECE_BYTES;
    uint64_t used = (end + BLOCK_SIZE - 1) / BLOCK_SIZE;
    memset(h->buf + h->fill, 0, used * BLOCK_SIZE - h->fill);
    for (size_t i = 0; i < n; i++)
        piece_encode(&h->pieces[i], fs->sb.uuid, h->id, h->buf + dir + i * PIECE_BYTES);
    p->h.content_bytes = h->fill;
    p->h.dir_off = dir;
    p->h.pieces = (uint32_t)n;
    p->h.used = (uint32_t)used;
    h->used = (uint32_t)used;
}

static void fill_header(struct holofs *fs, const struct head *h, struct container_header *c)
{
    c->id = h->id;
    c->cls = h->cls;
    c->r = h->r;
    c->k = fs->sb.k;
    c->m = 2 * h->r;
    c->nmax = fs->sb.nmax;
    c->D = ecc_layout_stripes(fs->sb.nmax, fs->sb.k);
    c->seed_base = fs->sb.seed_base;
    memcpy(c->uuid, fs->sb.uuid, 16);
    c->epoch = fs->epoch;
    c->first_txg = h->first_txg;
    c->last_txg = h->last_txg;
    c->previous = h->cls == CLASS_META_LOG ? fs->previous_meta : 0;
    c->sb_ring_blocks = fs->sb.ring_blocks;
    c->sb_r = fs->sb.r;
    c->sb_meta_r = fs->sb.meta_r;
    c->sb_size_limit = fs->sb.size_limit_bytes;
    c->sealed_ns = clock_real_ns();
    c->table_blocks = chead_table_blocks_for(chead_positions(c));
}

/* Parity of all of them in one go: a GPU is worth its latency for large batches only. */
static int compute_parity(struct holofs *fs, const struct job *job, unsigned n)
{
    struct ecc_container c[SEAL_BATCH];
    for (unsigned i = 0; i < n; i++) {
        const struct job *j = &job[i];
        c[i] = (struct ecc_container){ .layout = { j->h.used, j->h.D }, .stored = j->head->buf, .out = j->parity };
        big_pin(fs, j->head->buf);
        big_pin(fs, j->parity);
        COUNT(fs, encode_bytes, (uint64_t)j->h.used * BLOCK_SIZE);
        COUNT(fs, parity_bytes, (uint64_t)j->h.m * j->h.D * BLOCK_SIZE);
    }
    uint64_t t0 = clock_mono_ns();
    int e = engine_run(fs, ECC_ENCODE, fs->code[job[0].h.r], c, n);
    uint64_t ns = clock_mono_ns() - t0;
    COUNT(fs, encode_ops, n);
    COUNT(fs, encode_ns, ns);
    fs->count.last_encode_ns = ns;
    return e;
}

static void compute_tables(struct holofs *fs, struct job *p)
{
    const struct head *h = p->head;
    uint32_t n = chead_positions(&p->h);
    for (uint32_t x = 0; x < p->h.used; x++)
        p->sums[x] = h->summed[x] ? h->sums[x] : chead_block_sum(fs->sb.uuid, h->id, x, h->buf + (size_t)x * BLOCK_SIZE);
    for (uint32_t x = p->h.used; x < n; x++)
        p->sums[x] = chead_block_sum(fs->sb.uuid, h->id, x, p->parity + (size_t)(x - p->h.used) * BLOCK_SIZE);
    for (uint32_t t = 0; t < p->h.table_blocks; t++)
        ctable_encode(fs->sb.uuid, h->id, t, p->sums, n, p->table + (size_t)t * BLOCK_SIZE);
    chead_encode(&p->h, p->header);
}

static int make_job(struct holofs *fs, struct head *h, struct job *p)
{
    p->head = h;
    close_content(fs, h, p);
    fill_header(fs, h, &p->h);
    p->parity = big_get(fs, (size_t)p->h.m * p->h.D * BLOCK_SIZE);
    p->table = aligned_alloc(BLOCK_SIZE, (size_t)p->h.table_blocks * BLOCK_SIZE);
    p->header = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    p->sums = malloc(chead_positions(&p->h) * sizeof(*p->sums));
    return p->parity && p->table && p->header && p->sums ? 0 : -ENOMEM;
}

static int write_file(struct holofs *fs, const struct job *p)
{
    const struct head *h = p->head;
    char name[CONTAINER_NAME_MAX], dir[CONTAINER_NAME_MAX];
    struct bfile *f;
    container_name(h->id, name);
    container_dir(h->id, dir);
    int e = fs->backing->ops->mkdir(fs->backing, dir);
    if (!e)
        e = fs->backing->ops->sync_dir(fs->backing, "containers");
    if (!e)
        e = fs->backing->ops->open(fs->backing, name, BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC, &f);
    if (e)
        return e;
    struct iovec iov[] = {
        { p->header, BLOCK_SIZE },
        { p->table, (size_t)p->h.table_blocks * BLOCK_SIZE },
        { h->buf, (size_t)p->h.used * BLOCK_SIZE },
        { p->parity, (size_t)p->h.m * p->h.D * BLOCK_SIZE },
        { p->table, (size_t)p->h.table_blocks * BLOCK_SIZE },
        { p->header, BLOCK_SIZE },
    };
    e = f->ops->pwritev(f, iov, sizeof(iov) / sizeof(iov[0]), 0);
    if (!e)
        e = f->ops->datasync(f);
    f->ops->close(f);
    if (!e)
        e = fs->backing->ops->sync_dir(fs->backing, dir);
    if (e)
        container_unlink(fs, h->id);
    else
        COUNT(fs, container_bytes_written, (uint64_t)chead_file_blocks(&p->h) * BLOCK_SIZE);
    return e;
}

bool release_reserve(struct holofs *fs)
{
    struct bfile *f;
    uint64_t left = fs->reserve_left, piece = container_full_size(fs, fs->sb.meta_r) + RESERVE_PIECE, keep;
    do {
        if (!left)
            return false;
        keep = left > piece ? (left - piece) / BLOCK_SIZE * BLOCK_SIZE : 0;
    } while (!atomic_compare_exchange_weak(&fs->reserve_left, &left, keep));
    int e = fs->backing->ops->open(fs->backing, "reserve", BACKING_WRITE, &f);
    if (e)
        return false;
    e = f->ops->truncate(f, keep);
    f->ops->close(f);
    fs->reserve_used = true;
    event_add(fs, "reserve_used", "s:s, s:I", "why", "the disk is full", "left", (json_int_t)keep);
    return e == 0;
}

void refill_reserve(struct holofs *fs)
{
    struct backing_space s;
    struct bfile *f;
    uint64_t full = fs->sb.reserve_bytes, left = fs->reserve_left;
    bool due = fs->reserve_used || left < full;
    if (!due || fs->backing->ops->space(fs->backing, &s) || s.free_bytes < 2 * (full - left) + 4 * container_full_size(fs, fs->sb.meta_r) + REFILL_ROOM)
        return;
    if (fs->backing->ops->open(fs->backing, "reserve", BACKING_WRITE | BACKING_CREATE, &f))
        return;
    int e = f->ops->preallocate(f, full);
    f->ops->close(f);
    if (e)
        return;
    fs->reserve_left = full;
    fs->reserve_used = false;
    event_add(fs, "reserve_filled", "s:I", "bytes", (json_int_t)full);
}

void measure_reserve(struct holofs *fs)
{
    struct bfile *f;
    uint64_t size = 0;
    if (fs->backing->ops->open(fs->backing, "reserve", BACKING_READ, &f) == 0) {
        f->ops->size(f, &size);
        f->ops->close(f);
    }
    fs->reserve_left = size;
}

/* Four attempts, or one when they failed before; the reserve is given up for the first that finds the disk full. */
static int write_again(struct holofs *fs, const struct job *p)
{
    int e = 0;
    bool before = fs->trouble[TROUBLE_SEAL];
    for (int try = 0; try < (before ? 1 : 4); try++) {
        e = write_file(fs, p);
        if (disk_is_full(e) && release_reserve(fs))
            e = write_file(fs, p);
        if (!e)
            return 0;
        if (!before)
            log_err("container %08x: %s (attempt %d)", p->head->id, holo_strerror(e), try + 1);
    }
    return e;
}

int seal_write(struct holofs *fs, struct head *const *h, unsigned n, void (*done)(struct holofs *fs, struct head *h))
{
    struct job job[SEAL_BATCH] = { 0 };
    int e = 0;
    for (unsigned i = 0; i < n && !e; i++)
        e = make_job(fs, h[i], &job[i]);
    if (!e)
        e = compute_parity(fs, job, n);
    for (unsigned i = 0; i < n && !e; i++) {
        compute_tables(fs, &job[i]);
        e = write_again(fs, &job[i]);
        if (!e && done)
            done(fs, h[i]);
    }
    for (unsigned i = 0; i < n; i++)
        job_fini(fs, &job[i]);
    return e;
}

/* The first heads in the queue that can be written now and have the first one's R (HEAD held). */
static unsigned next_batch(struct holofs *fs, struct head *out[SEAL_BATCH])
{
    unsigned n = 0;
    for (struct head *h = fs->sealing; h && n < SEAL_BATCH; h = h->next) {
        if (h->state == HEAD_SEALING && h->writers == 0 && (n == 0 || h->r == out[0]->r))
            out[n++] = h;
    }
    return n;
}

/* The container is durable: reads go to the file, the buffer is free again. */
static void finish(struct holofs *fs, struct head *h)
{
    mutex_lock(&fs->head_lock);
    struct container_info info = { .id = h->id, .cls = h->cls, .state = CONTAINER_SEALED, .r = h->r, .used = h->used };
    ctab_set(fs, &info, UINT64_MAX, NULL);
    mutex_lock(&fs->ctab_lock);
    bool unused = h->refs == 1;
    mutex_unlock(&fs->ctab_lock);
    if (unused)
        head_drop_buffer(fs, h);
    h->state = HEAD_SEALED;
    fs->n_sealing--;
    uint64_t file = space_of_container(fs, h->r, h->used);
    fs->container_file_bytes += file;
    fs->meta_file_bytes += h->cls == CLASS_DATA ? 0 : file;
    COUNT(fs, containers_sealed, 1);
    pthread_cond_broadcast(&fs->head_cond);
    mutex_unlock(&fs->head_lock);
}

void *sealer_main(void *arg)
{
    struct holofs *fs = arg;
    mutex_lock(&fs->head_lock);
    for (;;) {
        struct head *batch[SEAL_BATCH];
        unsigned n = next_batch(fs, batch);
        if (!n && fs->sealer_stop)
            break;
        if (!n || fs->failed) {
            if (fs->sealer_stop)
                break;
            mutex_wait(&fs->head_lock, &fs->head_cond);
            continue;
        }
        uint64_t attempt = ++fs->seals_begun;
        mutex_unlock(&fs->head_lock);
        uint64_t t0 = clock_mono_ns();
        int e = seal_write(fs, batch, n, finish);
        hist_add(&fs->count.seal_ns, (clock_mono_ns() - t0) / n);
        if (e)
            trouble_begin(fs, TROUBLE_SEAL, e);
        else
            trouble_end(fs, TROUBLE_SEAL);
        mutex_lock(&fs->head_lock);
        fs->seals_ended = attempt;
        pthread_cond_broadcast(&fs->head_cond);
        if (e && fs->sealer_stop)
            break;
        if (e)
            mutex_timedwait(&fs->head_lock, &fs->head_cond, TROUBLE_RETRY_NS);
    }
    mutex_unlock(&fs->head_lock);
    return NULL;
}
