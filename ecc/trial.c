/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trial.c: one container in memory, worked on by the CPU and by a device, compared and timed. */
#include "ecc/trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { RUNS = 3, RUNS_NS = 20000000, SMALLER = 16, TEST_STRIPES = 7, MEMORY_MAX = 160 << 20, PAGE = 4096 };

struct ecc_trial {
    const struct ecc_engine *cpu, *device;
    const struct ecc_code *code;
    uint64_t (*now_ns)(void);
    size_t block_size, len;
    struct ecc_layout full, small;
    uint8_t *mem, *dirty; /* mem: data, parity behind it */
    bool pinned;
};

static struct ecc_layout full_stripes(const struct ecc_trial *t, uint32_t D)
{
    return (struct ecc_layout){ .used = ecc_code_k(t->code) * D, .D = D };
}

static size_t parity_bytes(const struct ecc_trial *t, const struct ecc_layout *l)
{
    return (size_t)ecc_code_m(t->code) * l->D * t->block_size;
}

/* A container as it is used here, its parity behind its data. */
static struct ecc_container place(const struct ecc_trial *t, enum ecc_work work, const struct ecc_layout *l)
{
    struct ecc_container c = { .layout = *l, .stored = t->mem };
    if (work == ECC_ENCODE)
        c.out = t->mem + l->used * t->block_size;
    else
        c.dirty = t->dirty;
    return c;
}

int ecc_trial_create(const struct ecc_plan_options *o, struct ecc_trial **out)
{
    struct ecc_trial *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    *t = (struct ecc_trial){ .cpu = o->cpu, .device = o->device, .code = o->code, .block_size = o->block_size };
    t->now_ns = o->now_ns;
    size_t stripe = (ecc_code_k(o->code) + ecc_code_m(o->code)) * o->block_size, fit = MEMORY_MAX / stripe;
    uint32_t D = o->full.D < fit ? o->full.D : (uint32_t)fit;
    t->full = full_stripes(t, D ? D : 1);
    t->small = full_stripes(t, D / SMALLER | 1);
    t->len = (t->full.D * stripe + PAGE - 1) / PAGE * PAGE;
    t->mem = aligned_alloc(PAGE, t->len);
    t->dirty = malloc(t->full.D > TEST_STRIPES ? t->full.D : TEST_STRIPES);
    if (!t->mem || !t->dirty) {
        ecc_trial_destroy(t);
        return -ENOMEM;
    }
    memset(t->mem, 0x5a, t->len);
    t->pinned = o->device->pin && o->device->pin(t->mem, t->len) == 0;
    *out = t;
    return 0;
}

void ecc_trial_destroy(struct ecc_trial *t)
{
    if (t->pinned)
        t->device->unpin(t->mem, t->len);
    free(t->mem);
    free(t->dirty);
    free(t);
}

/* ---- the same bytes? ---- */

/* What one engine makes of the same small container: parity, then waves with one byte flipped, and flags. */
struct answer {
    uint8_t *parity, *waves, dirty[TEST_STRIPES];
};

static int ask(const struct ecc_trial *t, const struct ecc_engine *engine, const struct ecc_layout *l, uint8_t *stored, struct answer *a)
{
    struct ecc_container c = { .layout = *l, .stored = stored, .out = a->parity };
    size_t parity = parity_bytes(t, l), data = l->used * t->block_size;
    int e = engine->containers(ECC_ENCODE, t->code, t->block_size, &c, 1);
    if (e)
        return e;
    memcpy(stored + data, a->parity, parity);
    stored[data / 2] ^= 0x80;
    c.out = a->waves;
    c.dirty = a->dirty;
    e = engine->containers(ECC_SYNDROME, t->code, t->block_size, &c, 1);
    stored[data / 2] ^= 0x80;
    return e;
}

static const char *compare(const struct ecc_trial *t, const struct ecc_layout *l, uint8_t *mem)
{
    size_t parity = parity_bytes(t, l), stored = l->used * t->block_size + parity;
    struct answer cpu = { mem + stored, mem + stored + parity, { 0 } }, device = { cpu.waves + parity, cpu.waves + 2 * parity, { 0 } };
    uint32_t state = 1;
    for (size_t i = 0; i < stored + 4 * parity; i++) {
        state = state * 1664525u + 1013904223u;
        mem[i] = (uint8_t)(state >> 24);
    }
    ask(t, t->cpu, l, mem, &cpu);
    int e = ask(t, t->device, l, mem, &device);
    if (e)
        return holo_strerror(e);
    bool same = memcmp(cpu.parity, device.parity, parity) == 0 && memcmp(cpu.waves, device.waves, parity) == 0 &&
                memcmp(cpu.dirty, device.dirty, l->D) == 0;
    return same ? NULL : "other bytes than the CPU's";
}

bool ecc_trial_agrees(struct ecc_trial *t, const char **why)
{
    struct ecc_layout l = full_stripes(t, TEST_STRIPES);
    l.used -= TEST_STRIPES / 2; /* not full, and rotated parity */
    uint8_t *mem = malloc(l.used * t->block_size + 5 * parity_bytes(t, &l));
    *why = mem ? compare(t, &l, mem) : "no memory";
    free(mem);
    return *why == NULL;
}

/* ---- how long? ---- */

/* Nanoseconds of the best of a few runs, or a negative code. */
static double best_run(struct ecc_trial *t, const struct ecc_engine *engine, enum ecc_work work, const struct ecc_layout *l)
{
    const struct ecc_container c = place(t, work, l);
    uint64_t begin = t->now_ns(), before = begin, best = UINT64_MAX;
    for (unsigned i = 0; i < RUNS && before - begin < RUNS_NS; i++) {
        int e = engine->containers(work, t->code, t->block_size, &c, 1);
        if (e)
            return e;
        uint64_t now = t->now_ns();
        best = now - before < best ? now - before : best;
        before = now;
    }
    return (double)(best ? best : 1);
}

int ecc_trial_measure(struct ecc_trial *t, const struct ecc_engine *engine, enum ecc_work work, struct cost *out)
{
    const struct ecc_container warm_up = place(t, work, &t->small);
    int e = engine->containers(work, t->code, t->block_size, &warm_up, 1);
    double small = e ? e : best_run(t, engine, work, &t->small), large = small < 0 ? small : best_run(t, engine, work, &t->full);
    *out = (struct cost){ 0 };
    if (large < 0)
        return (int)large;
    double stripe = (double)((ecc_code_k(t->code) + ecc_code_m(t->code)) * t->block_size);
    if (engine == t->cpu)
        cost_fit(out, t->full.D * stripe, large, t->full.D * stripe, large);
    else
        cost_fit(out, t->small.D * stripe, small, t->full.D * stripe, large);
    return 0;
}
