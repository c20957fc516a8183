/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu.c: batches of containers through the streams of a runtime.
 *
 * A slot is a stream and a piece of device memory. A call cuts its containers into batches that fit a slot; a batch is copied
 * in, one launch works on all of it, and results are copied out, while the other slots do the same with the next ones. Memory
 * grows to what the largest batch needs and is kept: GPU_STREAMS times a container, or GPU_STREAMS·SLOT_BYTES if that is more.
 *
 *   slot:   free ──submit()──▶ busy ──finish()──▶ free
 *   device: working ──a call answers -ENODEV──▶ lost, for ever
 *
 * Invariants:
 *  1. No call returns while a slot is busy: nothing is copied from or to the caller's memory after that.
 *  2. A lost device is not asked again.
 *
 * LOCKING: `turn` (rank 750) is held while a call waits for the device, because slots are what it guards; others who want the device
 * wait for their turn. `lock` (rank 755) guards the counters and is never held across a call of the runtime.
 */
#include "cuda/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "cuda/sampler.h"

enum { LOCK_TURN = 750, LOCK_COUNTERS = 755 };
enum { ALIGN = 256, SLOT_BYTES = 32 << 20, SLOT_GRAIN = 1 << 20 };

struct slot {
    uint8_t *memory; /* of the device */
    size_t cap;
    bool busy;
};

struct gpu {
    struct gpu_runtime *rt;
    struct mutex turn;
    struct slot slot[GPU_STREAMS];
    struct mutex lock;
    struct cuda_status status;
    struct sampler sampler;
};

/* One call of gpu_containers(). */
struct call {
    struct gpu *g;
    const struct ecc_container *c;
    unsigned n, next; /* containers; the first one that is not submitted */
    unsigned slots;   /* in use: fewer than GPU_STREAMS when the device has not more memory */
    size_t batch;     /* device bytes for one batch */
    struct gpu_job job;
    uint64_t launches, bytes_in, bytes_out;
};

/* ---- sizes ---- */

static size_t align_up(size_t v, size_t to)
{
    return (v + to - 1) / to * to;
}

/* Bytes of a container, and where they are in its part of a slot. */
struct shape {
    size_t stored, out, dirty;
    size_t out_at, dirty_at, total;
};

static struct shape shape_of(const struct gpu_job *job, const struct ecc_container *c)
{
    struct shape s = { 0 };
    size_t rows = (size_t)job->m * c->layout.D * job->block_size;
    s.stored = (size_t)c->layout.used * job->block_size + (job->work == GPU_SYNDROME ? rows : 0);
    s.out = c->out ? rows : 0;
    s.dirty = job->work == GPU_SYNDROME && c->dirty ? c->layout.D : 0;
    s.out_at = align_up(s.stored, ALIGN);
    s.dirty_at = s.out_at + align_up(s.out, ALIGN);
    s.total = s.dirty_at + align_up(s.dirty, ALIGN);
    return s;
}

/* A third of the work for each slot, but no more than SLOT_BYTES, and no less than the largest container. */
static size_t batch_bytes(const struct gpu_job *job, const struct ecc_container *c, unsigned n)
{
    size_t largest = ALIGN, all = 0;
    for (unsigned i = 0; i < n; i++) {
        size_t total = shape_of(job, &c[i]).total;
        largest = total > largest ? total : largest;
        all += total;
    }
    size_t share = all / GPU_STREAMS < SLOT_BYTES ? all / GPU_STREAMS : SLOT_BYTES;
    return align_up(share > largest ? share : largest, SLOT_GRAIN);
}

/* ---- slots ---- */

static void slot_release(struct gpu *g, struct slot *s)
{
    if (s->memory)
        g->rt->release(g->rt, s->memory);
    *s = (struct slot){ 0 };
}

static int slot_grow(struct gpu *g, struct slot *s, size_t cap)
{
    void *memory;
    if (s->cap >= cap)
        return 0;
    slot_release(g, s);
    int e = g->rt->alloc(g->rt, cap, &memory);
    if (e)
        return e;
    *s = (struct slot){ .memory = memory, .cap = cap };
    return 0;
}

/* As many slots as there is memory for; one is enough. */
static int reserve(struct call *a)
{
    struct gpu *g = a->g;
    for (a->slots = 0; a->slots < GPU_STREAMS; a->slots++) {
        int e = slot_grow(g, &g->slot[a->slots], a->batch);
        for (unsigned i = a->slots + 1; e == -ENOMEM && a->slots == 0 && i < GPU_STREAMS; i++)
            slot_release(g, &g->slot[i]);
        if (e == -ENOMEM && a->slots == 0)
            e = slot_grow(g, &g->slot[0], a->batch);
        if (e == -ENOMEM && a->slots > 0)
            return 0;
        if (e)
            return e;
    }
    return 0;
}

static size_t held(const struct gpu *g)
{
    size_t sum = 0;
    for (unsigned i = 0; i < GPU_STREAMS; i++)
        sum += g->slot[i].cap;
    return sum;
}

/* ---- batches ---- */

static int copy_in(struct call *a, unsigned stream, uint8_t *device, const struct ecc_container *c, const struct shape *s)
{
    struct gpu_runtime *rt = a->g->rt;
    int e = s->stored ? rt->copy_in(rt, stream, device, c->stored, s->stored) : 0;
    if (!e && s->dirty)
        e = rt->clear(rt, stream, device + s->dirty_at, s->dirty);
    a->bytes_in += s->stored;
    return e;
}

static int copy_out(struct call *a, unsigned stream, const uint8_t *device, const struct ecc_container *c, const struct shape *s)
{
    struct gpu_runtime *rt = a->g->rt;
    int e = s->out ? rt->copy_out(rt, stream, c->out, device + s->out_at, s->out) : 0;
    if (!e && s->dirty)
        e = rt->copy_out(rt, stream, c->dirty, device + s->dirty_at, s->dirty);
    a->bytes_out += s->out + s->dirty;
    return e;
}

/* Queue the next containers, as many as fit, on a free slot. It is busy then, also when this fails halfway. */
static int submit(struct call *a, unsigned i)
{
    struct gpu_runtime *rt = a->g->rt;
    struct slot *slot = &a->g->slot[i];
    const struct ecc_container *first = a->c + a->next;
    size_t used = 0;
    int e = 0;
    slot->busy = true;
    for (a->job.parts = 0; !e && a->next < a->n && a->job.parts < GPU_PARTS; a->next++) {
        const struct ecc_container *c = a->c + a->next;
        struct shape s = shape_of(&a->job, c);
        if (used + s.total > slot->cap)
            break;
        uint8_t *p = slot->memory + used;
        a->job.part[a->job.parts++] = (struct gpu_part){ .stored = p, .out = s.out ? p + s.out_at : NULL,
                                                         .dirty = s.dirty ? p + s.dirty_at : NULL, .used = c->layout.used, .D = c->layout.D };
        e = copy_in(a, i, p, c, &s);
        used += s.total;
    }
    if (!e)
        e = rt->launch(rt, i, &a->job);
    a->launches += !e;
    for (uint32_t j = 0; !e && j < a->job.parts; j++) {
        struct shape s = shape_of(&a->job, first + j);
        e = copy_out(a, i, a->job.part[j].stored, first + j, &s);
    }
    return e;
}

static int finish(struct call *a, unsigned i)
{
    struct slot *slot = &a->g->slot[i];
    int e = slot->busy ? a->g->rt->wait(a->g->rt, i) : 0;
    slot->busy = false;
    return e;
}

/* The first thing that went wrong, in words, while it is still the last one. */
static void note(struct gpu *g, int e)
{
    mutex_lock(&g->lock);
    snprintf(g->status.last_error, sizeof(g->status.last_error), "%s", g->rt->why(g->rt));
    g->status.lost |= e == -ENODEV;
    mutex_unlock(&g->lock);
}

static int run(struct call *a)
{
    int e = reserve(a);
    for (unsigned i = 0; !e && a->next < a->n; i = (i + 1) % a->slots) {
        e = finish(a, i);
        if (!e)
            e = submit(a, i);
    }
    if (e)
        note(a->g, e);
    for (unsigned i = 0; i < GPU_STREAMS; i++) {
        int late = finish(a, i);
        if (late && !e)
            note(a->g, e = late);
    }
    return e;
}

/* ---- the engine ---- */

static bool fits(const struct ecc_container *c, unsigned n, size_t block_size)
{
    for (unsigned i = 0; i < n; i++) {
        if ((uint64_t)c[i].layout.D * block_size > UINT32_MAX)
            return false;
    }
    return block_size <= UINT32_MAX && block_size % ECC_ALIGN == 0;
}

static bool is_lost(struct gpu *g)
{
    mutex_lock(&g->lock);
    bool lost = g->status.lost;
    mutex_unlock(&g->lock);
    return lost;
}

static void count(struct call *a, int e, uint64_t begin_ns)
{
    struct cuda_status *s = &a->g->status;
    mutex_lock(&a->g->lock);
    s->launches += a->launches;
    s->containers += e ? 0 : a->n;
    s->bytes_in += a->bytes_in;
    s->bytes_out += a->bytes_out;
    s->busy_ns += clock_mono_ns() - begin_ns;
    s->fallbacks += e != 0;
    s->memory_held_bytes = held(a->g);
    mutex_unlock(&a->g->lock);
}

int gpu_containers(struct gpu *g, enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c,
                   unsigned n)
{
    struct call a = { .g = g, .c = c, .n = n };
    int e = fits(c, n, block_size) ? 0 : -E2BIG;
    mutex_lock(&g->turn);
    uint64_t begin_ns = clock_mono_ns();
    if (!e && is_lost(g))
        e = -ENODEV;
    if (!e) {
        gpu_job_init(&a.job, work, code, block_size);
        a.batch = batch_bytes(&a.job, c, n);
        e = run(&a);
    }
    count(&a, e, begin_ns);
    mutex_unlock(&g->turn);
    return e;
}

int gpu_pin(struct gpu *g, void *p, size_t len)
{
    if (is_lost(g))
        return -ENODEV;
    int e = g->rt->pin(g->rt, p, len);
    if (e)
        note(g, e);
    mutex_lock(&g->lock);
    g->status.pinned_bytes += e ? 0 : len;
    mutex_unlock(&g->lock);
    return e;
}

void gpu_unpin(struct gpu *g, void *p, size_t len)
{
    g->rt->unpin(g->rt, p);
    mutex_lock(&g->lock);
    g->status.pinned_bytes -= len;
    mutex_unlock(&g->lock);
}

void gpu_count_stripe(struct gpu *g)
{
    mutex_lock(&g->lock);
    g->status.cpu_stripes++;
    mutex_unlock(&g->lock);
}

void gpu_status(struct gpu *g, struct cuda_status *out)
{
    struct gpu_sample sample;
    sampler_get(&g->sampler, &sample);
    mutex_lock(&g->lock);
    *out = g->status;
    mutex_unlock(&g->lock);
    out->memory_free_bytes = sample.memory_free_bytes;
    out->utilization_pct = sample.utilization_pct;
    out->temperature_c = sample.temperature_c;
    out->power_mw = sample.power_mw;
}

static void describe(struct cuda_status *s, const struct gpu_device *d)
{
    *s = (struct cuda_status){ .present = true, .memory_bytes = d->memory_bytes, .multiprocessors = d->multiprocessors,
                               .compute_major = d->major, .compute_minor = d->minor };
    memcpy(s->name, d->name, sizeof(s->name));
    memcpy(s->driver, d->driver, sizeof(s->driver));
    memcpy(s->runtime, d->runtime, sizeof(s->runtime));
}

int gpu_create(struct gpu_runtime *rt, struct gpu **out, char *why, size_t cap)
{
    struct gpu_device device = { 0 };
    struct gpu *g = calloc(1, sizeof(*g));
    if (!g) {
        snprintf(why, cap, "out of memory");
        return -ENOMEM;
    }
    int e = rt->open(rt, &device);
    if (e) {
        snprintf(why, cap, "%s", rt->why(rt));
        free(g);
        return e;
    }
    g->rt = rt;
    mutex_init(&g->turn, LOCK_TURN);
    mutex_init(&g->lock, LOCK_COUNTERS);
    sampler_init(&g->sampler, rt);
    describe(&g->status, &device);
    *out = g;
    return 0;
}

void gpu_destroy(struct gpu *g)
{
    if (!g)
        return;
    sampler_fini(&g->sampler);
    for (unsigned i = 0; i < GPU_STREAMS; i++)
        slot_release(g, &g->slot[i]);
    g->rt->close(g->rt);
    mutex_fini(&g->lock);
    mutex_fini(&g->turn);
    free(g);
}
