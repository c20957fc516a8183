/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seal.c: turn a full head into an immutable container: directory, checksums, parity, headers, one sync.
 *
 * File layout (docs/FORMAT.md, «Containers»): header A, table A, data, parity, table B, header B.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "core/container.h"
#include "core/head.h"
#include "core/log.h"

/* What surrounds the data of one container. */
struct frame_parts {
    struct container_header h;
    uint8_t *parity, *table, *header;
    uint64_t *sums; /* data, then parity */
};

static void parts_fini(struct frame_parts *p)
{
    free(p->parity);
    free(p->table);
    free(p->header);
    free(p->sums);
}

/* Write the directory behind the content; the head is data from then on. */
static void close_content(struct holofs *fs, struct head *h, struct frame_parts *p)
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

static int compute_parity(struct holofs *fs, const struct head *h, struct frame_parts *p)
{
    const struct ecc_container c = { .layout = { .used = p->h.used, .D = p->h.D }, .stored = h->buf, .out = p->parity };
    uint64_t t0 = clock_mono_ns();
    int e = fs->engine->containers(ECC_ENCODE, fs->code[h->r], BLOCK_SIZE, &c, 1);
    uint64_t ns = clock_mono_ns() - t0;
    COUNT(fs, encode_ops, 1);
    COUNT(fs, encode_ns, ns);
    COUNT(fs, encode_bytes, (uint64_t)p->h.used * BLOCK_SIZE);
    COUNT(fs, parity_bytes, (uint64_t)p->h.m * p->h.D * BLOCK_SIZE);
    fs->count.last_encode_ns = ns;
    return e;
}

static void compute_tables(struct holofs *fs, const struct head *h, struct frame_parts *p)
{
    uint32_t n = chead_positions(&p->h);
    for (uint32_t x = 0; x < p->h.used; x++)
        p->sums[x] = h->summed[x] ? h->sums[x] : chead_block_sum(fs->sb.uuid, h->id, x, h->buf + (size_t)x * BLOCK_SIZE);
    for (uint32_t x = p->h.used; x < n; x++)
        p->sums[x] = chead_block_sum(fs->sb.uuid, h->id, x, p->parity + (size_t)(x - p->h.used) * BLOCK_SIZE);
    for (uint32_t t = 0; t < p->h.table_blocks; t++)
        ctable_encode(fs->sb.uuid, h->id, t, p->sums, n, p->table + (size_t)t * BLOCK_SIZE);
    chead_encode(&p->h, p->header);
}

static int make_parts(struct holofs *fs, struct head *h, struct frame_parts *p)
{
    *p = (struct frame_parts){ 0 };
    close_content(fs, h, p);
    fill_header(fs, h, &p->h);
    size_t parity = (size_t)p->h.m * p->h.D * BLOCK_SIZE;
    p->parity = aligned_alloc(BLOCK_SIZE, parity);
    p->table = aligned_alloc(BLOCK_SIZE, (size_t)p->h.table_blocks * BLOCK_SIZE);
    p->header = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
    p->sums = malloc(chead_positions(&p->h) * sizeof(*p->sums));
    if (!p->parity || !p->table || !p->header || !p->sums)
        return -ENOMEM;
    int e = compute_parity(fs, h, p);
    if (!e)
        compute_tables(fs, h, p);
    return e;
}

static int write_file(struct holofs *fs, const struct head *h, const struct frame_parts *p)
{
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
        fs->backing->ops->unlink(fs->backing, name);
    else
        COUNT(fs, container_bytes_written, (uint64_t)chead_file_blocks(&p->h) * BLOCK_SIZE);
    return e;
}

bool release_reserve(struct holofs *fs)
{
    struct bfile *f;
    if (fs->reserve_used || fs->backing->ops->open(fs->backing, "reserve", BACKING_WRITE, &f))
        return false;
    int e = f->ops->truncate(f, 0);
    f->ops->close(f);
    fs->reserve_used = true;
    event_add(fs, "reserve_used", "s:s", "why", "the disk is full");
    return e == 0;
}

int seal_write(struct holofs *fs, struct head *h)
{
    struct frame_parts p;
    int e = make_parts(fs, h, &p);
    for (int try = 0; !e && try < 4; try++) {
        e = write_file(fs, h, &p);
        if (e == -ENOSPC && release_reserve(fs))
            e = write_file(fs, h, &p);
        if (!e)
            break;
        log_err("container %08x: %s (attempt %d)", h->id, holo_strerror(e), try + 1);
        if (try < 3)
            e = 0;
    }
    parts_fini(&p);
    return e;
}

/* The first head in the queue that can be written now (HEAD held). */
static struct head *next_job(struct holofs *fs)
{
    for (struct head *h = fs->sealing; h; h = h->next) {
        if (h->state == HEAD_SEALING && h->writers == 0)
            return h;
    }
    return NULL;
}

/* The container is durable: reads go to the file, the buffer is free again (HEAD held). */
static void finish(struct holofs *fs, struct head *h)
{
    struct container_info info = { .id = h->id, .cls = h->cls, .state = CONTAINER_SEALED, .r = h->r, .used = h->used };
    ctab_set(fs, &info, UINT64_MAX, NULL);
    mutex_lock(&fs->ctab_lock);
    bool unused = h->refs == 1;
    mutex_unlock(&fs->ctab_lock);
    if (unused)
        head_drop_buffer(fs, h);
    h->state = HEAD_SEALED;
    fs->n_sealing--;
    fs->container_file_bytes += container_full_size(fs, h->r) - ((uint64_t)fs->sb.nmax - h->used) * BLOCK_SIZE;
    COUNT(fs, containers_sealed, 1);
}

void *sealer_main(void *arg)
{
    struct holofs *fs = arg;
    mutex_lock(&fs->head_lock);
    for (;;) {
        struct head *h = next_job(fs);
        if (!h && fs->sealer_stop)
            break;
        if (!h || fs->failed) {
            if (fs->sealer_stop)
                break;
            mutex_wait(&fs->head_lock, &fs->head_cond);
            continue;
        }
        mutex_unlock(&fs->head_lock);
        uint64_t t0 = clock_mono_ns();
        int e = seal_write(fs, h);
        hist_add(&fs->count.seal_ns, clock_mono_ns() - t0);
        if (e)
            fs_fail(fs, e, "sealing a container");
        mutex_lock(&fs->head_lock);
        if (!e)
            finish(fs, h);
        pthread_cond_broadcast(&fs->head_cond);
    }
    mutex_unlock(&fs->head_lock);
    return NULL;
}
