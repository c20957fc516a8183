/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.c: choose an engine for each batch, run it, check the device, fall back to the CPU. Invariants: plan.h. */
#include "ecc/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "ecc/cost.h"
#include "ecc/trial.h"

enum { FAILURES_IN_A_ROW = 3, FAILURES_IN_ALL = 16, ASK_AGAIN_SHARE = 16, PIECE = 2048, RANK_PLAN = 700 };
enum who { CPU, DEVICE, N_WHO };

struct ecc_plan {
    struct ecc_plan_options o;
    struct ecc_calibration engines;
    uint64_t calibration_ns;
    double data_share; /* of the bytes that the usual container reads and writes */

    struct mutex lock; /* a leaf; guards what follows */
    bool given_up;
    unsigned in_a_row;
    struct cost cost[N_WHO][ECC_WORKS][ECC_R_MAX + 1];
    double credit_ns[ECC_WORKS]; /* saved up for asking the engine that lost again */
    struct ecc_plan_work done[N_WHO][ECC_WORKS];
    uint64_t fallbacks, checked, turn;
    char last_failure[96];
};

/* One call of ecc_plan_containers. */
struct batch {
    enum ecc_work work;
    const struct ecc_code *code;
    size_t block_size;
    const struct ecc_container *c;
    unsigned n;
    double moved; /* bytes read and written: what costs are reckoned by */
    uint64_t data;
};

static const char *name_of(enum ecc_work work)
{
    return work == ECC_ENCODE ? "encode" : "syndrome";
}

static struct batch make_batch(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    struct batch b = { work, code, block_size, c, n, 0, 0 };
    for (unsigned i = 0; i < n; i++) {
        uint64_t parity = (uint64_t)ecc_code_m(code) * c[i].layout.D * block_size, data = (uint64_t)c[i].layout.used * block_size;
        b.data += data;
        b.moved += (double)(data + parity) + (work == ECC_SYNDROME && c[i].out ? (double)parity : 0);
    }
    return b;
}

static int run(const struct ecc_engine *engine, const struct batch *b)
{
    return engine->containers(b->work, b->code, b->block_size, b->c, b->n);
}

/* ---- the device's failures ---- */

static void fail(struct ecc_plan *p, const char *what, const char *why, bool at_once)
{
    mutex_lock(&p->lock);
    bool before = p->given_up;
    p->in_a_row++;
    snprintf(p->last_failure, sizeof(p->last_failure), "%s: %s", what, why);
    p->given_up |= at_once || p->in_a_row >= FAILURES_IN_A_ROW || p->fallbacks >= FAILURES_IN_ALL;
    bool now = p->given_up;
    mutex_unlock(&p->lock);
    log_warn("engine %s: %s: %s%s", p->o.device->name, what, why, now && !before ? "; the CPU does its work from now on" : "");
}

/* ---- one stripe of what the device did, by the CPU ---- */

struct stripe {
    const uint8_t *member[ECC_N_MAX];
    const uint8_t *result[ECC_M_MAX]; /* parity or waves, as the device left them; NULL: only a flag */
};

static void find_stripe(const struct batch *b, const struct ecc_container *c, uint32_t t, struct stripe *s)
{
    unsigned k = ecc_code_k(b->code), m = ecc_code_m(b->code);
    for (unsigned i = 0; i < k + m; i++) {
        uint32_t x = ecc_layout_position(&c->layout, k, t, i);
        bool stored = x < c->layout.used || (b->work == ECC_SYNDROME && x != UINT32_MAX);
        s->member[i] = stored ? c->stored + x * b->block_size : NULL;
        if (i < k)
            continue;
        if (b->work == ECC_ENCODE)
            s->result[i - k] = c->out + (x - c->layout.used) * b->block_size;
        else
            s->result[i - k] = c->out ? c->out + ((size_t)(i - k) * c->layout.D + t) * b->block_size : NULL;
    }
}

/* Compute stripe t again and compare. */
static bool stripe_is_right(const struct ecc_engine *cpu, const struct batch *b, const struct ecc_container *c, uint32_t t)
{
    static const uint8_t zeros[PIECE];
    unsigned n = ecc_code_k(b->code) + ecc_code_m(b->code), m = ecc_code_m(b->code);
    uint8_t scratch[ECC_M_MAX][PIECE], *dst[ECC_M_MAX];
    const uint8_t *src[ECC_N_MAX];
    struct stripe s;
    bool same = true, clean = true;
    find_stripe(b, c, t, &s);
    for (size_t off = 0; off < b->block_size; off += PIECE) {
        size_t len = b->block_size - off < PIECE ? b->block_size - off : PIECE;
        for (unsigned i = 0; i < n; i++)
            src[i] = s.member[i] ? s.member[i] + off : NULL;
        for (unsigned r = 0; r < m; r++)
            dst[r] = scratch[r];
        (b->work == ECC_ENCODE ? cpu->encode : cpu->syndrome)(b->code, src, dst, len);
        for (unsigned r = 0; r < m; r++) {
            same &= !s.result[r] || memcmp(s.result[r] + off, scratch[r], len) == 0;
            clean &= memcmp(scratch[r], zeros, len) == 0;
        }
    }
    return same && (b->work == ECC_ENCODE || !c->dirty || (c->dirty[t] != 0) == !clean);
}

/* One stripe of each container, another one each time: a step that shares no factor with most D walks through all of them. */
static bool looks_right(struct ecc_plan *p, const struct batch *b)
{
    enum { STEP = 7919 };
    mutex_lock(&p->lock);
    uint64_t turn = p->turn;
    p->turn += b->n;
    p->checked += b->n;
    mutex_unlock(&p->lock);
    bool right = true;
    for (unsigned i = 0; i < b->n; i++)
        right &= stripe_is_right(p->o.cpu, b, &b->c[i], (uint32_t)((turn + i) * STEP % b->c[i].layout.D));
    return right;
}

/* ---- choosing and running ---- */

static struct cost *cost_of(struct ecc_plan *p, enum who who, const struct batch *b)
{
    return &p->cost[who][b->work][ecc_code_m(b->code) / 2];
}

static double expected_ns(struct ecc_plan *p, enum who who, const struct batch *b)
{
    return cost_estimate_ns(cost_of(p, who, b), b->moved);
}

static enum who cheaper(struct ecc_plan *p, const struct batch *b)
{
    return expected_ns(p, DEVICE, b) < expected_ns(p, CPU, b) ? DEVICE : CPU;
}

static enum who choose(struct ecc_plan *p, const struct batch *b)
{
    if (!p->o.device)
        return CPU;
    mutex_lock(&p->lock);
    enum who choice = p->given_up ? CPU : p->o.device_always ? DEVICE : cheaper(p, b);
    if (!p->given_up && !p->o.device_always) {
        enum who other = choice == CPU ? DEVICE : CPU;
        p->credit_ns[b->work] += expected_ns(p, choice, b) / ASK_AGAIN_SHARE;
        if (p->credit_ns[b->work] >= expected_ns(p, other, b)) {
            p->credit_ns[b->work] = 0;
            choice = other;
        }
    }
    mutex_unlock(&p->lock);
    return choice;
}

static void note_done(struct ecc_plan *p, enum who who, const struct batch *b, uint64_t ns)
{
    struct ecc_plan_work *w = &p->done[who][b->work];
    mutex_lock(&p->lock);
    w->batches++;
    w->bytes += b->data;
    w->ns += ns;
    if (p->o.device)
        cost_observe(cost_of(p, who, b), b->moved, (double)ns);
    if (who == DEVICE)
        p->in_a_row = 0;
    mutex_unlock(&p->lock);
}

/* Did the device do it, and right? */
static bool by_device(struct ecc_plan *p, const struct batch *b)
{
    uint64_t t0 = p->o.now_ns();
    int e = run(p->o.device, b);
    uint64_t ns = p->o.now_ns() - t0;
    if (!e && looks_right(p, b)) {
        note_done(p, DEVICE, b, ns);
        return true;
    }
    mutex_lock(&p->lock);
    p->fallbacks++;
    mutex_unlock(&p->lock);
    fail(p, name_of(b->work), e ? holo_strerror(e) : "other bytes than the CPU's", e == 0);
    return false;
}

int ecc_plan_containers(struct ecc_plan *p, enum ecc_work work, const struct ecc_code *code, size_t block_size,
                        const struct ecc_container *c, unsigned n)
{
    struct batch b = make_batch(work, code, block_size, c, n);
    if (choose(p, &b) == DEVICE && by_device(p, &b))
        return 0;
    uint64_t t0 = p->o.now_ns();
    int e = run(p->o.cpu, &b);
    note_done(p, CPU, &b, p->o.now_ns() - t0);
    return e;
}

bool ecc_plan_prefers_device(struct ecc_plan *p, enum ecc_work work)
{
    const struct ecc_container c = { .layout = p->o.full };
    struct batch b = make_batch(work, p->o.code, p->o.block_size, &c, 1);
    if (!p->o.device)
        return false;
    mutex_lock(&p->lock);
    bool it = !p->given_up && (p->o.device_always || cheaper(p, &b) == DEVICE);
    mutex_unlock(&p->lock);
    return it;
}

const struct ecc_engine *ecc_plan_cpu(const struct ecc_plan *p)
{
    return p->o.cpu;
}

bool ecc_plan_pin(struct ecc_plan *p, void *mem, size_t len)
{
    if (!p->o.device || !p->o.device->pin)
        return false;
    mutex_lock(&p->lock);
    bool wanted = !p->given_up;
    mutex_unlock(&p->lock);
    return wanted && p->o.device->pin(mem, len) == 0;
}

void ecc_plan_unpin(struct ecc_plan *p, void *mem, size_t len)
{
    p->o.device->unpin(mem, len);
}

/* ---- creation ---- */

/* Costs of codes with another m, until they have been seen: the CPU computes in proportion to m, a device moves bytes. */
static void spread_cost(struct ecc_plan *p, enum who who, enum ecc_work work, const struct cost *c)
{
    unsigned m = ecc_code_m(p->o.code);
    for (unsigned r = ECC_R_MIN; r <= ECC_R_MAX; r++) {
        double factor = who == CPU && 2 * r > m ? 2.0 * r / m : 1;
        cost_scale(c, factor, &p->cost[who][work][r]);
    }
}

static void weigh(struct ecc_plan *p)
{
    struct ecc_trial *t;
    const char *why = NULL;
    if (ecc_trial_create(&p->o, &t)) {
        fail(p, "calibration", "no memory", true);
        return;
    }
    if (!ecc_trial_agrees(t, &why))
        fail(p, "first test", why, true);
    for (unsigned w = 0; w < ECC_WORKS && !why; w++) {
        struct cost c;
        ecc_trial_measure(t, p->o.cpu, (enum ecc_work)w, &c);
        spread_cost(p, CPU, (enum ecc_work)w, &c);
        int e = ecc_trial_measure(t, p->o.device, (enum ecc_work)w, &c);
        spread_cost(p, DEVICE, (enum ecc_work)w, &c);
        if (e)
            fail(p, "calibration", why = holo_strerror(e), true);
    }
    ecc_trial_destroy(t);
}

int ecc_plan_create(const struct ecc_plan_options *o, struct ecc_plan **out)
{
    struct ecc_plan *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    uint64_t t0 = clock_mono_ns();
    p->o = *o;
    p->o.now_ns = o->now_ns ? o->now_ns : clock_mono_ns;
    mutex_init(&p->lock, RANK_PLAN);
    if (o->cpu)
        ecc_calibrate_one(o->cpu, o->code, &p->engines);
    else
        ecc_calibrate(o->code, &p->engines);
    p->o.cpu = p->engines.best;
    double data = (double)o->full.used * (double)o->block_size;
    p->data_share = data / (data + (double)ecc_code_m(o->code) * o->full.D * (double)o->block_size);
    if (o->device)
        weigh(p);
    p->calibration_ns = clock_mono_ns() - t0;
    *out = p;
    return 0;
}

void ecc_plan_destroy(struct ecc_plan *p)
{
    if (!p)
        return;
    mutex_fini(&p->lock);
    free(p);
}

/* ---- what it knows ---- */

static struct ecc_plan_cost describe(const struct ecc_plan *p, enum ecc_work work)
{
    unsigned r = ecc_code_m(p->o.code) / 2;
    const struct cost *cpu = &p->cost[CPU][work][r], *device = &p->cost[DEVICE][work][r];
    struct ecc_plan_cost d = { .wins_from_bytes = UINT64_MAX };
    double cpu_ns = cost_ns_per_byte(cpu), device_ns = cost_ns_per_byte(device), from = cost_wins_from(device, cpu);
    d.cpu_gb_s = cpu_ns > 0 ? p->data_share / cpu_ns : 0;
    d.device_gb_s = device_ns > 0 ? p->data_share / device_ns : 0;
    d.device_latency_us = cost_fixed_ns(device) / 1e3;
    if (cpu_ns > 0 && from >= 0 && from < 1e18)
        d.wins_from_bytes = (uint64_t)(from * p->data_share);
    return d;
}

void ecc_plan_get_stats(struct ecc_plan *p, struct ecc_plan_stats *out)
{
    *out = (struct ecc_plan_stats){ .cpu = p->o.cpu->name, .device = p->o.device ? p->o.device->name : NULL };
    out->device_always = p->o.device_always;
    out->engines = p->engines;
    out->calibration_ns = p->calibration_ns;
    mutex_lock(&p->lock);
    out->given_up = p->given_up;
    for (unsigned w = 0; w < ECC_WORKS; w++) {
        out->cost[w] = describe(p, (enum ecc_work)w);
        out->done_cpu[w] = p->done[CPU][w];
        out->done_device[w] = p->done[DEVICE][w];
    }
    out->fallbacks = p->fallbacks;
    out->checked_stripes = p->checked;
    memcpy(out->last_failure, p->last_failure, sizeof(out->last_failure));
    mutex_unlock(&p->lock);
}
