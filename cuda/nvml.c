/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvml.c: the few functions of libnvidia-ml.so.1 that are used, looked up by name: a driver may come without it. Their C interface is
 * NVIDIA's «NVML API Reference Guide»; 0 means success.
 */
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <string.h>

enum { SENSOR_GPU = 0 };

struct load {
    unsigned gpu, memory; /* per cent of the last sample period */
};

typedef int call_fn(void);
typedef int handle_fn(const char *bus_id, void **device);
typedef int load_fn(void *device, struct load *out);
typedef int temperature_fn(void *device, int sensor, unsigned *celsius);
typedef int power_fn(void *device, unsigned *milliwatts);
typedef int version_fn(char *out, unsigned cap);

static void find(const struct nvml *n, const char *name, void *function)
{
    void *p = dlsym(n->library, name);
    memcpy(function, &p, sizeof(p));
}

void nvml_open(struct nvml *n, const char *bus_id)
{
    call_fn *init = NULL;
    handle_fn *handle = NULL;
    *n = (struct nvml){ .library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL) };
    if (!n->library)
        return;
    find(n, "nvmlInit_v2", &init);
    find(n, "nvmlDeviceGetHandleByPciBusId_v2", &handle);
    if (!init || !handle || init() != 0) {
        dlclose(n->library);
        *n = (struct nvml){ NULL, NULL };
    } else if (handle(bus_id, &n->device) != 0) {
        nvml_close(n);
    }
}

void nvml_close(struct nvml *n)
{
    call_fn *shutdown = NULL;
    if (!n->library)
        return;
    find(n, "nvmlShutdown", &shutdown);
    if (shutdown)
        shutdown();
    dlclose(n->library);
    *n = (struct nvml){ NULL, NULL };
}

void nvml_sample(const struct nvml *n, struct gpu_sample *out)
{
    load_fn *load = NULL;
    temperature_fn *temperature = NULL;
    power_fn *power = NULL;
    struct load percent;
    unsigned v;
    out->utilization_pct = out->temperature_c = out->power_mw = -1;
    if (!n->library)
        return;
    find(n, "nvmlDeviceGetUtilizationRates", &load);
    find(n, "nvmlDeviceGetTemperature", &temperature);
    find(n, "nvmlDeviceGetPowerUsage", &power);
    if (load && load(n->device, &percent) == 0)
        out->utilization_pct = percent.gpu;
    if (temperature && temperature(n->device, SENSOR_GPU, &v) == 0)
        out->temperature_c = v;
    if (power && power(n->device, &v) == 0)
        out->power_mw = v;
}

bool nvml_driver_version(const struct nvml *n, char *out, size_t cap)
{
    version_fn *version = NULL;
    if (n->library)
        find(n, "nvmlSystemGetDriverVersion", &version);
    return version && version(out, (unsigned)cap) == 0;
}
