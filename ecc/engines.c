/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engines.c: the engines compiled in, what this machine supports, and which of them is fastest here. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ecc/sweep.h"

enum { CALIBRATE_NS = 1000000, CALIBRATE_BYTES = 256 << 10, CALIBRATE_BLOCK = 4096 };

bool ecc_cpu_any(void)
{
    return true;
}

#ifdef __x86_64__
bool ecc_cpu_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

bool ecc_cpu_gfni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("gfni");
}
#endif

const struct ecc_engine *const *ecc_engines(void)
{
    static const struct ecc_engine *const list[] = {
        &ecc_engine_scalar,
#ifdef __x86_64__
        &ecc_engine_avx2,
        &ecc_engine_gfni,
#endif
        NULL,
    };
    return list;
}

const struct ecc_engine *ecc_engine_find(const char *name)
{
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (strcmp((*e)->name, name) == 0)
            return (*e)->supported() ? *e : NULL;
    }
    return NULL;
}

/* k + m blocks and m waves in one piece of memory. */
struct trial {
    uint8_t *memory;
    const uint8_t *block[ECC_N_MAX];
    uint8_t *parity[ECC_M_MAX], *wave[ECC_M_MAX];
    size_t len;
};

static bool trial_init(struct trial *t, unsigned k, unsigned m)
{
    size_t len = CALIBRATE_BYTES / k / ECC_ALIGN * ECC_ALIGN;
    t->len = len < CALIBRATE_BLOCK ? len : CALIBRATE_BLOCK;
    size_t total = (k + 2 * m) * t->len;
    t->memory = aligned_alloc(ECC_ALIGN, total);
    if (!t->memory)
        return false;
    memset(t->memory, 0x5a, total);
    for (unsigned i = 0; i < k + m; i++)
        t->block[i] = t->memory + i * t->len;
    for (unsigned r = 0; r < m; r++) {
        t->parity[r] = t->memory + (k + r) * t->len;
        t->wave[r] = t->memory + (k + m + r) * t->len;
    }
    return true;
}

/* GB/s of the best of the runs that fit into the time: the others were disturbed. */
static double measure(const struct ecc_engine *engine, enum ecc_work work, const struct ecc_code *code, struct trial *t)
{
    uint64_t begin = clock_mono_ns(), before = begin, best = UINT64_MAX;
    do {
        if (work == ECC_ENCODE)
            engine->encode(code, t->block, t->parity, t->len);
        else
            engine->syndrome(code, t->block, t->wave, t->len);
        uint64_t now = clock_mono_ns();
        best = now - before < best ? now - before : best;
        before = now;
    } while (before - begin < CALIBRATE_NS);
    return (double)(ecc_code_k(code) * t->len) / (double)(best ? best : 1);
}

/* Without memory for it (t NULL) the speeds are 0. */
static void add_row(const struct ecc_engine *engine, const struct ecc_code *code, struct trial *t, struct ecc_calibration *out)
{
    struct ecc_speed *row = &out->row[out->n++];
    row->name = engine->name;
    row->encode_gb_s = t ? measure(engine, ECC_ENCODE, code, t) : 0;
    row->syndrome_gb_s = t ? measure(engine, ECC_SYNDROME, code, t) : 0;
    if (!out->best || row->encode_gb_s >= out->row[out->best_row].encode_gb_s) {
        out->best = engine;
        out->best_row = out->n - 1;
    }
}

void ecc_calibrate(const struct ecc_code *code, struct ecc_calibration *out)
{
    struct trial t;
    bool can_measure = trial_init(&t, ecc_code_k(code), ecc_code_m(code));
    *out = (struct ecc_calibration){ 0 };
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if ((*e)->supported())
            add_row(*e, code, can_measure ? &t : NULL, out);
    }
    if (can_measure)
        free(t.memory);
}

void ecc_calibrate_one(const struct ecc_engine *engine, const struct ecc_code *code, struct ecc_calibration *out)
{
    struct trial t;
    bool can_measure = trial_init(&t, ecc_code_k(code), ecc_code_m(code));
    *out = (struct ecc_calibration){ 0 };
    add_row(engine, code, can_measure ? &t : NULL, out);
    if (can_measure)
        free(t.memory);
}
