#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpu.sh: is the GPU engine right on this machine's GPU, and how fast is it? Builds, compares every byte with the scalar engine, then
# measures. Usage: gpu.sh [--json FILE] [--containers N] [--nmax BLOCKS] [--runs N]. Exits with 77, and one line, without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}

sh tools/build.sh "$build" >/dev/null
cmake --build "$build" --target gpu_bench test_cuda_device >/dev/null
export HOLOFS_CUDA_MODULE=${HOLOFS_CUDA_MODULE:-$PWD/$build/bin/libholofs_cuda.so}
if [ ! -e "$HOLOFS_CUDA_MODULE" ]; then
    echo "gpu.sh: the GPU module was not built: it needs nvcc" >&2
    exit 77
fi

result=0
output=$("$build/tests/test_cuda_device" ${GPU_TEST_ARGS:-} 2>&1) || result=$?
if [ "$result" -eq 77 ]; then
    echo "gpu.sh: no GPU: ${output#skipped: }" >&2
    exit 77
elif [ "$result" -ne 0 ]; then
    echo "$output"
    echo "gpu.sh: the GPU's bytes are not the scalar engine's: nothing was measured" >&2
    exit 1
fi
echo "every byte that was compared is the scalar engine's"
exec "$build/bench/gpu_bench" "$@"
