/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launch.h: the launches of kernels.cu, one for each m; for the .cu files only. */
#ifndef HOLO_CUDA_LAUNCH_H
#define HOLO_CUDA_LAUNCH_H

#include <cuda_runtime.h>

#include "cuda/job.h"

/* Queue the job on the stream. The job is copied before the call returns. */
#define GPU_LAUNCH(m) extern "C" cudaError_t gpu_launch_##m(const struct gpu_job *job, cudaStream_t stream)

GPU_LAUNCH(2);
GPU_LAUNCH(4);
GPU_LAUNCH(6);
GPU_LAUNCH(8);
GPU_LAUNCH(10);
GPU_LAUNCH(12);
GPU_LAUNCH(14);
GPU_LAUNCH(16);
GPU_LAUNCH(18);
GPU_LAUNCH(20);

#endif
