/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runtime.cu: struct gpu_runtime on CUDA. The first device that is visible is used (CUDA_VISIBLE_DEVICES chooses). The current
 * device belongs to a thread, and it is the first one unless somebody says otherwise, which nobody here does.
 *
 * An error that is not known to be harmless is taken for the loss of the device: after a fault in a kernel, an uncorrectable memory
 * error or a device that fell off the bus, every later call fails as well.
 */
#include <cerrno>
#include <cstdio>

#include "cuda/launch.h"

extern "C" {
#include "cuda/nvml.h"
#include "cuda/runtime.h"
}

namespace {

enum { COMPUTE_MAJOR_MIN = 8 };

/* Set by open(), until close(). The module has one device. */
struct {
    cudaStream_t stream[GPU_STREAMS];
    struct nvml nvml;
} state;

thread_local char message[128];

/* 0, or the code and the message of what failed. */
int check(cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return 0;
    (void)cudaGetLastError(); /* or the next call would answer it again */
    snprintf(message, sizeof(message), "%s: %s", what, cudaGetErrorString(e));
    switch (e) {
    case cudaErrorMemoryAllocation:
        return -ENOMEM;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorHostMemoryAlreadyRegistered:
    case cudaErrorHostMemoryNotRegistered:
    case cudaErrorNotSupported:
        return -EIO;
    default:
        return -ENODEV;
    }
}

const char *rt_why(struct gpu_runtime *)
{
    return message;
}

/* ---- the device ---- */

int refuse(const char *text)
{
    snprintf(message, sizeof(message), "%s", text);
    return -ENODEV;
}

int find_device(void)
{
    int driver = 0, devices = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        return refuse("no NVIDIA driver is loaded");
    int e = check(cudaGetDeviceCount(&devices), "looking for a GPU");
    if (!e && devices == 0)
        e = refuse("the NVIDIA driver sees no GPU");
    return e;
}

void version(char *out, size_t cap, int number)
{
    snprintf(out, cap, "%d.%d", number / 1000, number % 1000 / 10);
}

int describe(struct gpu_device *out)
{
    struct cudaDeviceProp prop;
    int number = 0;
    char bus_id[32];
    int e = check(cudaGetDeviceProperties(&prop, 0), "properties of the GPU");
    if (e)
        return e;
    snprintf(out->name, sizeof(out->name), "%.63s", prop.name);
    out->memory_bytes = prop.totalGlobalMem;
    out->multiprocessors = (unsigned)prop.multiProcessorCount;
    out->major = (unsigned)prop.major;
    out->minor = (unsigned)prop.minor;
    if (cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), 0) == cudaSuccess)
        nvml_open(&state.nvml, bus_id);
    if (cudaRuntimeGetVersion(&number) == cudaSuccess)
        version(out->runtime, sizeof(out->runtime), number);
    if (!nvml_driver_version(&state.nvml, out->driver, sizeof(out->driver)) && cudaDriverGetVersion(&number) == cudaSuccess)
        version(out->driver, sizeof(out->driver), number);
    if (prop.major >= COMPUTE_MAJOR_MIN)
        return 0;
    snprintf(message, sizeof(message), "%.60s has compute capability %d.%d: 8.0 is needed", prop.name, prop.major, prop.minor);
    return -ENODEV;
}

void rt_close(struct gpu_runtime *)
{
    for (unsigned i = 0; i < GPU_STREAMS; i++) {
        if (state.stream[i])
            (void)cudaStreamDestroy(state.stream[i]);
        state.stream[i] = nullptr;
    }
    nvml_close(&state.nvml);
}

int rt_open(struct gpu_runtime *rt, struct gpu_device *out)
{
    int e = find_device();
    if (!e)
        e = check(cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync), "choosing the GPU"); /* do not burn a core while waiting */
    if (!e)
        e = describe(out);
    for (unsigned i = 0; !e && i < GPU_STREAMS; i++)
        e = check(cudaStreamCreateWithFlags(&state.stream[i], cudaStreamNonBlocking), "making a stream");
    if (e)
        rt_close(rt);
    return e;
}

void rt_sample(struct gpu_runtime *, struct gpu_sample *out)
{
    size_t free_bytes, total;
    nvml_sample(&state.nvml, out);
    out->memory_free_bytes = cudaMemGetInfo(&free_bytes, &total) == cudaSuccess ? (int64_t)free_bytes : -1;
}

/* ---- memory ---- */

int rt_alloc(struct gpu_runtime *, size_t len, void **out)
{
    return check(cudaMalloc(out, len), "memory of the GPU");
}

void rt_release(struct gpu_runtime *, void *p)
{
    (void)check(cudaFree(p), "memory of the GPU");
}

int rt_pin(struct gpu_runtime *, void *host, size_t len)
{
    return check(cudaHostRegister(host, len, cudaHostRegisterPortable), "locking memory for the GPU");
}

void rt_unpin(struct gpu_runtime *, void *host)
{
    (void)check(cudaHostUnregister(host), "unlocking memory");
}

/* ---- work ---- */

int rt_copy_in(struct gpu_runtime *, unsigned stream, void *device, const void *host, size_t len)
{
    return check(cudaMemcpyAsync(device, host, len, cudaMemcpyHostToDevice, state.stream[stream]), "copying to the GPU");
}

int rt_copy_out(struct gpu_runtime *, unsigned stream, void *host, const void *device, size_t len)
{
    return check(cudaMemcpyAsync(host, device, len, cudaMemcpyDeviceToHost, state.stream[stream]), "copying from the GPU");
}

int rt_clear(struct gpu_runtime *, unsigned stream, void *device, size_t len)
{
    return check(cudaMemsetAsync(device, 0, len, state.stream[stream]), "clearing memory of the GPU");
}

int rt_launch(struct gpu_runtime *, unsigned stream, const struct gpu_job *job)
{
    static cudaError_t (*const launch[])(const struct gpu_job *, cudaStream_t) = {
        gpu_launch_2,  gpu_launch_4,  gpu_launch_6,  gpu_launch_8,  gpu_launch_10,
        gpu_launch_12, gpu_launch_14, gpu_launch_16, gpu_launch_18, gpu_launch_20,
    };
    return check(launch[job->m / 2 - 1](job, state.stream[stream]), "starting a kernel");
}

int rt_wait(struct gpu_runtime *, unsigned stream)
{
    return check(cudaStreamSynchronize(state.stream[stream]), "waiting for the GPU");
}

/* Between two events on stream 0. */
int time_between(struct gpu_runtime *rt, cudaEvent_t begin, cudaEvent_t end, const struct gpu_job *job, unsigned count, double *seconds)
{
    float ms = 0;
    int e = check(cudaEventRecord(begin, state.stream[0]), "timing");
    for (unsigned i = 0; !e && i < count; i++)
        e = rt_launch(rt, 0, job);
    if (!e)
        e = check(cudaEventRecord(end, state.stream[0]), "timing");
    if (!e)
        e = rt_wait(rt, 0);
    if (!e)
        e = check(cudaEventElapsedTime(&ms, begin, end), "timing");
    *seconds = ms / 1e3;
    return e;
}

int rt_time_launches(struct gpu_runtime *rt, const struct gpu_job *job, unsigned count, double *seconds)
{
    cudaEvent_t begin = nullptr, end = nullptr;
    int e = check(cudaEventCreate(&begin), "timing");
    if (e)
        goto out;
    e = check(cudaEventCreate(&end), "timing");
    if (e)
        goto destroy_begin;
    e = time_between(rt, begin, end, job, count, seconds);
    (void)cudaEventDestroy(end);
destroy_begin:
    (void)cudaEventDestroy(begin);
out:
    return e;
}

}

extern "C" __attribute__((visibility("default"))) struct gpu_runtime *holofs_gpu_runtime(void)
{
    static struct gpu_runtime runtime = {
        .abi = GPU_ABI,
        .build = HOLOFS_VERSION,
        .open = rt_open,
        .close = rt_close,
        .alloc = rt_alloc,
        .release = rt_release,
        .copy_in = rt_copy_in,
        .copy_out = rt_copy_out,
        .clear = rt_clear,
        .launch = rt_launch,
        .wait = rt_wait,
        .pin = rt_pin,
        .unpin = rt_unpin,
        .sample = rt_sample,
        .why = rt_why,
        .time_launches = rt_time_launches,
    };
    return &runtime;
}
