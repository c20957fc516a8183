/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernels.cu: the kernels of one m, GPU_M, and their launch; compiled once for each m = 2, 4, … 20.
 *
 * Grid: y is a container of the job, x cuts its rows (D·block_size bytes, one row for each member) into blocks. A block is 128
 * threads without anything in common: 4096 columns. A thread works on 32 columns of every member; a warp reads 1 KiB of a
 * member at a time, in whole sectors. Bytes moved for each byte of data: encode 1 read and m/k written, syndromes 1 + m/k
 * read and m/k or nothing written. Nothing is read twice, there is no shared memory and no barrier.
 */
#include "cuda/kernel.h"
#include "cuda/launch.h"

#ifndef GPU_M
#error "GPU_M, the number of parity members, is defined by the build"
#endif

namespace {

/*
 * Blocks that shall fit on a multiprocessor of 65536 registers: as many as what has to be kept allows, 8·m for the waves and about 40
 * besides. Told so, the compiler does not fill the rest with masks of seeds that it could as well make again.
 */
enum { RESIDENT = GPU_M <= 4 ? 6 : GPU_M <= 6 ? 5 : GPU_M <= 10 ? 4 : GPU_M <= 12 ? 3 : 2 };

template <int WORK, bool SCALED>
__global__ __launch_bounds__(GPU_THREADS, RESIDENT) void waves(const __grid_constant__ struct gpu_job job)
{
    constexpr struct gpu_diagonal diagonal = gpu_diagonal_of(GPU_M);
    gpu_thread(&job, blockIdx.y, blockIdx.x * GPU_THREADS + threadIdx.x, GPU_M, WORK, SCALED, diagonal.v);
}

}

#define GPU_NAME(m) GPU_NAME_(m)
#define GPU_NAME_(m) gpu_launch_##m

extern "C" cudaError_t GPU_NAME(GPU_M)(const struct gpu_job *job, cudaStream_t stream)
{
    const dim3 grid(gpu_job_blocks(job), job->parts);
    if (job->work == GPU_ENCODE && !job->scaled)
        waves<GPU_ENCODE, false><<<grid, GPU_THREADS, 0, stream>>>(*job);
    else if (job->work == GPU_ENCODE)
        waves<GPU_ENCODE, true><<<grid, GPU_THREADS, 0, stream>>>(*job);
    else if (!job->scaled)
        waves<GPU_SYNDROME, false><<<grid, GPU_THREADS, 0, stream>>>(*job);
    else
        waves<GPU_SYNDROME, true><<<grid, GPU_THREADS, 0, stream>>>(*job);
    return cudaGetLastError();
}
