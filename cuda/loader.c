/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loader.c: finds the GPU module, opens it, and is the engine that others see. The handle is the one global of the program: there is
 * one GPU, the functions of struct ecc_engine carry no context, and a CUDA context belongs to the process.
 */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda/gpu.h"

#define MODULE "libholofs_cuda.so"

/* Written once, by load(); `asked` afterwards. */
static struct {
    atomic_bool asked;
    struct gpu *gpu; /* NULL: none, and `why` says it */
    struct gpu_runtime *rt;
    const struct ecc_engine *cpu;
    char why[128];
} handle;

/* ---- the module ---- */

static bool try_path(const char *path, void **module)
{
    if (access(path, R_OK) != 0)
        return false;
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*module) {
        const char *text = dlerror();
        snprintf(handle.why, sizeof(handle.why), "%.*s", (int)strcspn(text, "\n"), text);
    }
    return true;
}

/* NULL with a reason in handle.why. */
static void *open_module(void)
{
    static const char *const place[] = { "", "../lib/holofs/" };
    const char *named = secure_getenv("HOLOFS_CUDA_MODULE");
    char exe[PATH_MAX], path[PATH_MAX + 32];
    void *module = NULL;
    if (named) {
        if (!try_path(named, &module))
            snprintf(handle.why, sizeof(handle.why), "no GPU module at HOLOFS_CUDA_MODULE");
        return module;
    }
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(exe, '/');
    for (unsigned i = 0; slash && i < sizeof(place) / sizeof(place[0]); i++) {
        snprintf(path, sizeof(path), "%.*s%s" MODULE, (int)(slash - exe + 1), exe, place[i]);
        if (try_path(path, &module))
            return module;
    }
    snprintf(handle.why, sizeof(handle.why), "no GPU module: " MODULE " is neither beside the program nor in ../lib/holofs");
    return NULL;
}

static struct gpu_runtime *open_runtime(void)
{
    void *module = open_module();
    if (!module)
        return NULL;
    gpu_runtime_fn *get;
    *(void **)&get = dlsym(module, GPU_RUNTIME_SYMBOL);
    struct gpu_runtime *rt = get ? get() : NULL;
    if (rt && rt->abi == GPU_ABI && strcmp(rt->build, HOLOFS_VERSION) == 0)
        return rt;
    snprintf(handle.why, sizeof(handle.why), "the GPU module is of another build of holofs");
    return NULL;
}

static void load(void)
{
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++)
        handle.cpu = (*e)->supported() ? *e : handle.cpu;
    struct gpu_runtime *rt = open_runtime();
    if (rt && gpu_create(rt, &handle.gpu, handle.why, sizeof(handle.why)) == 0)
        handle.rt = rt;
    handle.asked = true;
}

static struct gpu *get_gpu(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return handle.gpu;
}

/* ---- the engine ---- */

static bool cuda_supported(void)
{
    return get_gpu() != NULL;
}

static void cuda_encode(const struct ecc_code *code, const uint8_t *const *data, uint8_t *const *parity, size_t len)
{
    gpu_count_stripe(get_gpu());
    handle.cpu->encode(code, data, parity, len);
}

static void cuda_syndrome(const struct ecc_code *code, const uint8_t *const *blocks, uint8_t *const *syn, size_t len)
{
    gpu_count_stripe(get_gpu());
    handle.cpu->syndrome(code, blocks, syn, len);
}

static void cuda_apply(const uint8_t *coef, unsigned rows, unsigned cols, const uint8_t *const *src, uint8_t *const *dst, size_t len)
{
    gpu_count_stripe(get_gpu());
    handle.cpu->apply(coef, rows, cols, src, dst, len);
}

static int cuda_containers(enum ecc_work work, const struct ecc_code *code, size_t block_size, const struct ecc_container *c, unsigned n)
{
    return gpu_containers(get_gpu(), work, code, block_size, c, n);
}

static int cuda_pin(void *p, size_t len)
{
    return gpu_pin(get_gpu(), p, len);
}

static void cuda_unpin(void *p, size_t len)
{
    gpu_unpin(get_gpu(), p, len);
}

const struct ecc_engine *cuda_engine_get(char *why, size_t cap)
{
    static const struct ecc_engine engine = {
        .name = "cuda",
        .supported = cuda_supported,
        .encode = cuda_encode,
        .syndrome = cuda_syndrome,
        .apply = cuda_apply,
        .containers = cuda_containers,
        .pin = cuda_pin,
        .unpin = cuda_unpin,
    };
    bool there = get_gpu() != NULL;
    snprintf(why, cap, "%s", there ? "" : handle.why);
    return there ? &engine : NULL;
}

void cuda_status_get(struct cuda_status *out)
{
    bool asked = handle.asked;
    if (asked && handle.gpu) {
        gpu_status(handle.gpu, out);
        return;
    }
    *out = (struct cuda_status){ .memory_free_bytes = -1, .utilization_pct = -1, .temperature_c = -1, .power_mw = -1 };
    snprintf(out->why, sizeof(out->why), "%s", asked ? handle.why : "nobody has asked for it");
}

struct gpu_runtime *cuda_runtime_get(void)
{
    return handle.asked ? handle.rt : NULL;
}
