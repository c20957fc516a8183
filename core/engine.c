/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine.c: choose the parity engines, run them, tell what they do. */
#include "core/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/log.h"
#include "cuda/cuda.h"

/* ---- choosing ---- */

/* What the option `ecc` asks for. */
struct wish {
    const struct ecc_engine *cpu, *device;
    bool by_name;
    char no_device[128]; /* why there is none */
};

static const struct ecc_engine *find_device(const struct holofs *fs, struct wish *w)
{
    return fs->opt.device ? fs->opt.device : cuda_engine_get(w->no_device, sizeof(w->no_device));
}

static int read_wish(const struct holofs *fs, struct wish *w, char *why, size_t cap)
{
    const char *name = fs->opt.engine ? fs->opt.engine : "auto";
    *w = (struct wish){ .by_name = strcmp(name, "auto") != 0 };
    if (!w->by_name || strcmp(name, "cuda") == 0)
        w->device = find_device(fs, w);
    else
        w->cpu = ecc_engine_find(name);
    if (!w->by_name || w->device || w->cpu)
        return 0;
    snprintf(why, cap, "ecc=%s: %s", name, w->no_device[0] ? w->no_device : "this machine does not have it");
    return -HOLO_ENOENGINE;
}

/* Add text to a line that may end early. */
static void add(char *line, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *line, size_t cap, const char *fmt, ...)
{
    size_t n = strlen(line);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + n, cap - n, fmt, ap);
    va_end(ap);
}

static void explain_device(const struct ecc_plan_stats *s, char *line, size_t cap)
{
    const struct ecc_plan_cost *c = &s->cost[ECC_ENCODE];
    if (s->given_up)
        add(line, cap, "; %s is not used: %s", s->device, s->last_failure);
    else if (c->wins_from_bytes == UINT64_MAX)
        add(line, cap, "; %s is slower here: %.1f GB/s after %.0f us, against %.1f", s->device, c->device_gb_s, c->device_latency_us,
            c->cpu_gb_s);
    else
        add(line, cap, "; %s from %.1f MB on: %.1f GB/s after %.0f us, against %.1f", s->device, (double)c->wins_from_bytes / 1e6,
            c->device_gb_s, c->device_latency_us, c->cpu_gb_s);
}

/* One line for people, as it was when the store was opened. */
static void explain(struct holofs *fs, const struct wish *w, const struct ecc_plan_stats *s)
{
    char *line = fs->engine_why;
    size_t cap = sizeof(fs->engine_why);
    snprintf(line, cap, "%s", w->by_name ? "asked for by name" : "fastest of");
    for (unsigned i = 0; i < s->engines.n && !w->by_name; i++)
        add(line, cap, "%s %s %.1f", i ? "," : "", s->engines.row[i].name, s->engines.row[i].encode_gb_s);
    if (!w->by_name)
        add(line, cap, " GB/s");
    if (s->device)
        explain_device(s, line, cap);
    else if (w->no_device[0])
        add(line, cap, "; no GPU: %s", w->no_device);
}

int engine_choose(struct holofs *fs, char *why, size_t cap)
{
    struct wish w;
    struct ecc_plan_stats s;
    int e = read_wish(fs, &w, why, cap);
    if (e)
        return e;
    const struct ecc_plan_options o = {
        .code = fs->code[fs->sb.r],
        .block_size = BLOCK_SIZE,
        .full = { .used = fs->sb.nmax, .D = ecc_layout_stripes(fs->sb.nmax, fs->sb.k) },
        .cpu = w.cpu,
        .device = w.device,
        .device_always = w.by_name && w.device,
    };
    e = ecc_plan_create(&o, &fs->plan);
    if (e) {
        snprintf(why, cap, "engine: %s", holo_strerror(e));
        return e;
    }
    fs->engine = ecc_plan_cpu(fs->plan);
    ecc_plan_get_stats(fs->plan, &s);
    explain(fs, &w, &s);
    if (!s.given_up || !o.device_always)
        return 0;
    snprintf(why, cap, "ecc=%s: %s", fs->opt.engine, s.last_failure);
    return -HOLO_ENOENGINE;
}

/* ---- running ---- */

int engine_run(struct holofs *fs, enum ecc_work work, const struct ecc_code *code, const struct ecc_container *c, unsigned n)
{
    int e = ecc_plan_containers(fs->plan, work, code, BLOCK_SIZE, c, n);
    engine_tell(fs);
    return e;
}

void engine_tell(struct holofs *fs)
{
    struct ecc_plan_stats s;
    ecc_plan_get_stats(fs->plan, &s);
    uint64_t told = atomic_exchange(&fs->engine_fallbacks_told, s.fallbacks);
    if (s.fallbacks > told)
        event_add(fs, "engine_fallback", "s:s, s:s, s:b", "engine", s.device, "why", s.last_failure, "given_up", s.given_up);
}

/* ---- telling ---- */

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_real(json_t *o, const char *key, double v)
{
    json_object_set_new(o, key, json_real(v));
}

static json_t *device_row(const struct ecc_plan_stats *s)
{
    static const char *const keys[ECC_WORKS][4] = {
        { "encode_gb_s", "encode_latency_us", "encode_cpu_gb_s", "encode_wins_from_bytes" },
        { "syndrome_gb_s", "syndrome_latency_us", "syndrome_cpu_gb_s", "syndrome_wins_from_bytes" },
    };
    json_t *o = json_pack("{s:s, s:b, s:b}", "name", s->device, "device", 1, "given_up", s->given_up);
    for (unsigned w = 0; w < ECC_WORKS; w++) {
        const struct ecc_plan_cost *c = &s->cost[w];
        put_real(o, keys[w][0], c->device_gb_s);
        put_real(o, keys[w][1], c->device_latency_us);
        put_real(o, keys[w][2], c->cpu_gb_s);
        json_object_set_new(o, keys[w][3], c->wins_from_bytes == UINT64_MAX ? json_null() : json_integer((json_int_t)c->wins_from_bytes));
    }
    return o;
}

/* Every engine that was measured, and how fast it was. */
static json_t *measured(const struct ecc_plan_stats *s)
{
    json_t *rows = json_array();
    for (unsigned i = 0; i < s->engines.n; i++) {
        const struct ecc_speed *r = &s->engines.row[i];
        json_array_append_new(rows, json_pack("{s:s, s:b, s:f, s:f}", "name", r->name, "device", 0, "encode_gb_s", r->encode_gb_s,
                                              "syndrome_gb_s", r->syndrome_gb_s));
    }
    if (s->device)
        json_array_append_new(rows, device_row(s));
    return rows;
}

static json_t *work_json(const struct ecc_plan_work done[ECC_WORKS])
{
    static const char *const keys[ECC_WORKS][3] = { { "encode_batches", "encode_bytes", "encode_ms" },
                                                    { "syndrome_batches", "syndrome_bytes", "syndrome_ms" } };
    json_t *o = json_object();
    for (unsigned w = 0; w < ECC_WORKS; w++) {
        put(o, keys[w][0], done[w].batches);
        put(o, keys[w][1], done[w].bytes);
        put_real(o, keys[w][2], (double)done[w].ns / 1e6);
    }
    return o;
}

json_t *engine_json(struct holofs *fs)
{
    struct ecc_plan_stats s;
    ecc_plan_get_stats(fs->plan, &s);
    bool device = ecc_plan_prefers_device(fs->plan, ECC_ENCODE);
    json_t *work = json_object(), *o = json_pack("{s:s, s:s, s:s}", "name", device ? s.device : s.cpu, "why", fs->engine_why, "cpu", s.cpu);
    put_real(o, "calibration_ms", (double)s.calibration_ns / 1e6);
    json_object_set_new(o, "measured", measured(&s));
    json_object_set_new(work, s.cpu, work_json(s.done_cpu));
    if (s.device)
        json_object_set_new(work, s.device, work_json(s.done_device));
    json_object_set_new(o, "work", work);
    put(o, "fallbacks", s.fallbacks);
    put(o, "checked_stripes", s.checked_stripes);
    json_object_set_new(o, "last_failure", json_string(s.last_failure));
    return o;
}

/* What nobody knows is left out. */
static void put_known(json_t *o, const char *key, int64_t v)
{
    if (v >= 0)
        put(o, key, (uint64_t)v);
}

json_t *gpu_json(struct holofs *fs)
{
    struct cuda_status s;
    struct ecc_plan_stats p;
    cuda_status_get(&s);
    ecc_plan_get_stats(fs->plan, &p);
    json_t *o = json_pack("{s:b, s:b, s:s, s:s, s:s, s:s, s:s}", "present", s.present, "lost", s.lost, "name", s.name, "why", s.why, "driver",
                          s.driver, "runtime", s.runtime, "last_error", s.last_error);
    put(o, "multiprocessors", s.multiprocessors);
    put_real(o, "compute_capability", s.compute_major + s.compute_minor / 10.0);
    put(o, "memory_bytes", s.memory_bytes);
    put_known(o, "memory_free_bytes", s.memory_free_bytes);
    put(o, "memory_held_bytes", s.memory_held_bytes);
    put(o, "pinned_bytes", s.pinned_bytes);
    put_known(o, "utilization_pct", s.utilization_pct);
    put_known(o, "temperature_c", s.temperature_c);
    put_known(o, "power_mw", s.power_mw);
    put(o, "launches", s.launches);
    put(o, "containers", s.containers);
    put(o, "bytes_in", s.bytes_in);
    put(o, "bytes_out", s.bytes_out);
    put(o, "busy_ms", s.busy_ns / 1000000);
    put(o, "fallbacks", p.fallbacks);
    return o;
}
