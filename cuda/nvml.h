/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nvml.h: load, temperature and power of a device, from the driver's management library if it is there. Part of the module. */
#ifndef HOLO_CUDA_NVML_H
#define HOLO_CUDA_NVML_H

#include <stdbool.h>
#include <stddef.h>

#include "cuda/runtime.h"

/* The handle of one device; zeros: not there, and everything answers -1. */
struct nvml {
    void *library, *device;
};

/* @bus_id: as CUDA writes it, "0000:1b:00.0". A library or device that is missing is no error. */
void nvml_open(struct nvml *n, const char *bus_id);
void nvml_close(struct nvml *n);

/* Everything but the free memory. */
void nvml_sample(const struct nvml *n, struct gpu_sample *out);

/* "580.95.05"; false: not known. */
bool nvml_driver_version(const struct nvml *n, char *out, size_t cap);

#endif
